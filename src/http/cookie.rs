//! Cookies: pairs of the request's `Cookie` fields with their exact positions, and the name, value and
//! attributes of a `Set-Cookie` field.
//!
//! Tolerant, as browsers and applications are not careful: white space around names, `=` and values, `,` besides
//! `;` between pairs, empty pairs, parts without `=`. Quotes keep their delimiters inside; a quote that is not
//! closed reaches to the end of the value. Names are compared byte for byte.

use super::field_id::FieldId;
use super::fields::Fields;
use super::token::trim_ows;
use std::ops::Range;

/// One `name=value` pair of a `Cookie` value; positions are byte offsets in that value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// Where the name stands.
    pub name: Range<usize>,
    /// Where the value stands (quotes included); empty when there is none.
    pub value: Range<usize>,
    /// Everything between the delimiters around the pair, white space included.
    pub segment: Range<usize>,
}

/// Where the next delimiter stands, quoted strings skipped; or the end.
fn segment_end(value: &[u8], start: usize, is_delimiter: impl Fn(u8) -> bool) -> usize {
    let mut quoted = false;
    let mut at = start;
    while at < value.len() {
        match value[at] {
            b'"' => quoted = !quoted,
            b'\\' if quoted => at += 1,
            b if !quoted && is_delimiter(b) => return at,
            _ => {}
        }
        at += 1;
    }
    value.len()
}

/// `range` without the white space at both ends.
fn trimmed(value: &[u8], range: Range<usize>) -> Range<usize> {
    let text = &value[range.clone()];
    let start = range.start + text.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let len = trim_ows(text).len();
    if len == 0 { start..start } else { start..start + len }
}

/// The pair in a segment; `None` without `=` or without a name.
fn pair_in(value: &[u8], segment: Range<usize>) -> Option<Pair> {
    let equals = segment.start + memchr::memchr(b'=', &value[segment.clone()])?;
    let name = trimmed(value, segment.start..equals);
    let pair = Pair { value: trimmed(value, equals + 1..segment.end), name, segment };
    (!pair.name.is_empty()).then_some(pair)
}

/// The pairs of one `Cookie` value, in order.
pub fn pairs(value: &[u8]) -> impl Iterator<Item = Pair> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        loop {
            let start = next?;
            let end = segment_end(value, start, |b| matches!(b, b';' | b','));
            next = (end < value.len()).then_some(end + 1);
            if let Some(pair) = pair_in(value, start..end) {
                return Some(pair);
            }
        }
    })
}

/// A pair found in a head: which field, and where in its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The `Cookie` field's position ([`super::Field::index`]).
    pub index: usize,
    /// Where in the field's value.
    pub pair: Pair,
}

/// The first pair of that name (case-sensitive) in all `Cookie` fields of a request.
pub fn find(fields: &Fields, name: &[u8]) -> Option<Found> {
    fields.with_id(FieldId::Cookie).find_map(|field| {
        let pair = pairs(field.value).find(|p| &field.value[p.name.clone()] == name)?;
        Some(Found { index: field.index, pair })
    })
}

/// All values of that name in the `Cookie` fields of a request, in order. A fetch without an occurrence wants
/// the last one.
pub fn values<'a>(fields: &'a Fields, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    fields.with_id(FieldId::Cookie).flat_map(move |field| {
        let value = field.value;
        pairs(value).filter(move |p| &value[p.name.clone()] == name).map(move |p| &value[p.value])
    })
}

/// Removes one pair and its delimiter; the other pairs keep their bytes. The field goes with its last pair.
pub fn remove(fields: &mut Fields, found: &Found) {
    let Some(value) = fields.value_at(found.index) else { return };
    let segment = found.pair.segment.clone();
    debug_assert!(segment.end <= value.len(), "the pair is of another value");
    let cut = if segment.start > 0 {
        // With the delimiter in front: what follows keeps its own.
        segment.start - 1..segment.end
    } else {
        let after = &value[segment.end..];
        let skip = after.iter().take_while(|b| matches!(b, b';' | b',' | b' ' | b'\t')).count();
        0..segment.end + skip
    };
    let is_filler = |b: &u8| matches!(b, b';' | b',' | b' ' | b'\t');
    if value[..cut.start].iter().all(is_filler) && value[cut.end..].iter().all(is_filler) {
        fields.remove_at(found.index);
    } else {
        fields.splice_value(found.index, cut, b"");
    }
}

/// Removes every pair of that name; how many there were.
pub fn remove_all(fields: &mut Fields, name: &[u8]) -> usize {
    let mut removed = 0;
    while let Some(found) = find(fields, name) {
        remove(fields, &found);
        removed += 1;
    }
    removed
}

/// Replaces the value of one pair; everything else keeps its bytes.
pub fn replace(fields: &mut Fields, found: &Found, value: &[u8]) {
    fields.splice_value(found.index, found.pair.value.clone(), value);
}

/// Cuts a value that an own prefix was put before (`cookie NAME prefix`): (prefix, rest), both without the
/// `~` between them. A quote that opens the value belongs to the rest, so it is in neither.
pub fn split_prefix(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let at = memchr::memchr(b'~', value)?;
    Some((&value[..at], &value[at + 1..]))
}

/// Takes the prefix out of a pair's value; a quote that opens it stays. Nothing happens without one.
pub fn remove_prefix(fields: &mut Fields, found: &Found) {
    let Some(value) = fields.value_at(found.index) else { return };
    let range = found.pair.value.clone();
    let text = &value[range.clone()];
    let open = usize::from(text.starts_with(b"\""));
    if let Some(at) = memchr::memchr(b'~', text) {
        fields.splice_value(found.index, range.start + open..range.start + at + 1, b"");
    }
}

/// Appends `prefix~` and the value of a response's cookie: the value that `cookie NAME prefix` sends.
pub fn push_prefixed(out: &mut Vec<u8>, prefix: &[u8], value: &[u8]) {
    out.extend_from_slice(prefix);
    out.push(b'~');
    out.extend_from_slice(value);
}

/// A `Set-Cookie` value taken apart; positions are byte offsets in the value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetCookie {
    /// Where the name stands.
    pub name: Range<usize>,
    /// Where the value stands (quotes included).
    pub value: Range<usize>,
    /// Where the attributes start (the first `;`), or the end.
    pub attributes: usize,
}

/// Takes a `Set-Cookie` value apart. `None` without `name=`.
pub fn parse_set_cookie(value: &[u8]) -> Option<SetCookie> {
    let attributes = segment_end(value, 0, |b| b == b';');
    let pair = pair_in(value, 0..attributes)?;
    Some(SetCookie { name: pair.name, value: pair.value, attributes })
}

/// The attributes of a `Set-Cookie` value in order: (name, value or empty).
pub fn attributes(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let start = segment_end(value, 0, |b| b == b';');
    let mut next = (start < value.len()).then_some(start + 1);
    std::iter::from_fn(move || {
        loop {
            let start = next?;
            let end = segment_end(value, start, |b| b == b';');
            next = (end < value.len()).then_some(end + 1);
            let part = &value[start..end];
            let (name, value) = match memchr::memchr(b'=', part) {
                Some(eq) => (trim_ows(&part[..eq]), trim_ows(&part[eq + 1..])),
                None => (trim_ows(part), &part[part.len()..]),
            };
            if !name.is_empty() {
                return Some((name, value));
            }
        }
    })
}

/// A cookie that a response sets: the `Set-Cookie` field's position and its parts (first of that name).
pub fn find_set_cookie(fields: &Fields, name: &[u8]) -> Option<(usize, SetCookie)> {
    fields.with_id(FieldId::SetCookie).find_map(|field| {
        let cookie = parse_set_cookie(field.value)?;
        (&field.value[cookie.name.clone()] == name).then_some((field.index, cookie))
    })
}

/// The value of a cookie that a response sets (first `Set-Cookie` of that name).
pub fn set_cookie_value<'a>(fields: &'a Fields, name: &[u8]) -> Option<&'a [u8]> {
    let (index, cookie) = find_set_cookie(fields, name)?;
    fields.value_at(index).map(|value| &value[cookie.value])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(value: &str) -> Vec<(String, String)> {
        let text = |r: Range<usize>| value[r].to_string();
        pairs(value.as_bytes()).map(|p| (text(p.name), text(p.value))).collect()
    }

    fn one(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_string(), value.to_string())]
    }

    fn cookies(values: &[&str]) -> Fields {
        let mut fields = Fields::default();
        for v in values {
            fields.add(b"Cookie", v.as_bytes());
        }
        fields
    }

    #[test]
    fn pairs_as_the_reference_reads_them() {
        for text in ["A=1", " A=1", "A = 1 ", "A\t=\t1", ";;A=1", "A=1;", "x; A=1", "=9; A=1"] {
            assert_eq!(list(text), one("A", "1"), "{text}");
        }
        let two = [("A".to_string(), "1".to_string()), ("B".to_string(), "2".to_string())];
        for text in ["A=1; B=2", "A=1;B=2", "A=1, B=2", "A = 1 ; B = 2", "A=1;;;B=2;"] {
            assert_eq!(list(text), two, "{text}");
        }
        assert_eq!(list("A=1=2"), one("A", "1=2"));
        assert_eq!(list("A==1"), one("A", "=1"));
        assert_eq!(list("A="), one("A", ""));
        assert_eq!(list("A=1 2"), one("A", "1 2"));
        assert_eq!(list("A=\"1;x\"; B=2")[0], ("A".to_string(), "\"1;x\"".to_string()));
        assert_eq!(list("A=x\"y;z\"; B=3")[1], ("B".to_string(), "3".to_string()));
        assert_eq!(list("A=\"1; B=2"), one("A", "\"1; B=2"));
        assert_eq!(list("B=\"x\\\"; A=1"), one("B", "\"x\\\"; A=1"));
    }

    #[test]
    fn removing_a_pair_leaves_the_others_alone() {
        for (before, after) in [
            ("S=x; B=2", "B=2"),
            ("B=2; S=x", "B=2"),
            ("A=1; S=x; B=2", "A=1; B=2"),
            ("A=1;S=x;B=2", "A=1;B=2"),
            ("A=1 ;  S=x  ;  B=2", "A=1 ;  B=2"),
            ("S=x; foo", "foo"),
            ("A=\"q;r\"; S=x", "A=\"q;r\""),
            ("A=1; S=x|123|456; B=2", "A=1; B=2"),
        ] {
            let mut fields = cookies(&[before]);
            let found = find(&fields, b"S").unwrap();
            remove(&mut fields, &found);
            assert_eq!(
                fields.get(b"cookie").map(|v| String::from_utf8_lossy(v).into_owned()).as_deref(),
                Some(after)
            );
        }
        for alone in ["S=x", " S=x ", ";S=x;", "S=x; "] {
            let mut fields = cookies(&[alone, "A=1"]);
            let found = find(&fields, b"S").unwrap();
            remove(&mut fields, &found);
            assert_eq!(fields.count(b"cookie"), 1, "{alone}");
            assert_eq!(fields.get(b"cookie"), Some(&b"A=1"[..]));
        }
        let mut fields = cookies(&["S=1; A=1; S=2", "S=3"]);
        assert_eq!(remove_all(&mut fields, b"S"), 3);
        assert_eq!(fields.iter().collect::<Vec<_>>(), [(&b"Cookie"[..], &b"A=1"[..])]);
    }

    #[test]
    fn an_unclosed_quote_hides_what_follows() {
        assert_eq!(find(&cookies(&["A=\"1; S=x; B=2"]), b"S"), None);
    }

    #[test]
    fn values_over_all_fields() {
        let fields = cookies(&["A=1; B=2", "A=3; a=4"]);
        assert_eq!(values(&fields, b"A").collect::<Vec<_>>(), [b"1", b"3"]);
    }

    #[test]
    fn replacing_and_prefixes() {
        let mut fields = cookies(&["A=1; S = srv1~abc ; B=2"]);
        let found = find(&fields, b"S").unwrap();
        remove_prefix(&mut fields, &found);
        assert_eq!(fields.get(b"cookie"), Some(&b"A=1; S = abc ; B=2"[..]));
        let found = find(&fields, b"S").unwrap();
        replace(&mut fields, &found, b"zz");
        assert_eq!(fields.get(b"cookie"), Some(&b"A=1; S = zz ; B=2"[..]));
        let mut fields = cookies(&["S=\"srv1~abc\""]);
        let found = find(&fields, b"S").unwrap();
        assert_eq!(split_prefix(b"\"srv1~abc\""), Some((&b"srv1"[..], &b"abc\""[..])));
        remove_prefix(&mut fields, &found);
        assert_eq!(fields.get(b"cookie"), Some(&b"S=\"abc\""[..]));
        assert_eq!(split_prefix(b"abc"), None);
        let mut out = Vec::new();
        push_prefixed(&mut out, b"s1", b"abc");
        assert_eq!(out, b"s1~abc");
    }

    #[test]
    fn set_cookie_parts() {
        let v = b"S = \"a;b\" ; Path=/x; HttpOnly;; Max-Age = 5";
        let c = parse_set_cookie(v).unwrap();
        assert_eq!((&v[c.name], &v[c.value], c.attributes), (&b"S"[..], &b"\"a;b\""[..], 10));
        let all: Vec<_> = attributes(v).collect();
        assert_eq!(all, [(&b"Path"[..], &b"/x"[..]), (b"HttpOnly", b""), (b"Max-Age", b"5")]);
        assert_eq!(parse_set_cookie(b"S; path=/"), None);
        let v = b"S=";
        let c = parse_set_cookie(v).unwrap();
        assert_eq!((&v[c.value], c.attributes), (&b""[..], 2));
        let mut fields = Fields::default();
        fields.add(b"Set-Cookie", b"A=1; S=9");
        fields.add(b"set-cookie", b"S=2; path=/");
        assert_eq!(set_cookie_value(&fields, b"S"), Some(&b"2"[..]));
        assert_eq!(set_cookie_value(&fields, b"s"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn any_bytes_give_sane_ranges_and_removal_ends(text in "[AS=;,\" \\\\x~]{0,40}") {
            let value = text.as_bytes();
            let mut last = 0;
            for p in pairs(value) {
                prop_assert!(p.segment.start >= last && p.segment.end <= value.len());
                prop_assert!(p.name.start >= p.segment.start && p.value.end <= p.segment.end);
                prop_assert!(p.name.end <= p.value.start);
                last = p.segment.end;
            }
            let others = |f: &Fields| {
                let mut all = Vec::new();
                for field in f.with_id(FieldId::Cookie) {
                    for p in pairs(field.value).filter(|p| &field.value[p.name.clone()] != b"S") {
                        all.push((field.value[p.name].to_vec(), field.value[p.value].to_vec()));
                    }
                }
                all
            };
            let mut fields = cookies(&[&text]);
            let before = others(&fields);
            remove_all(&mut fields, b"S");
            prop_assert_eq!(find(&fields, b"S"), None);
            prop_assert_eq!(others(&fields), before);
        }
    }
}
