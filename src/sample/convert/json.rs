//! `json_query` and its JWT relatives: one value out of a JSON text, found without building a tree.

use crate::sample::{Arg, ArgType, Args, Buf, Converter, Ctx, ExprCx, Sample, Scratch, Type};

use super::encode::base64_decode;

const ARGS: &[ArgType] = &[ArgType::Str, ArgType::Str];

/// The table.
pub const CONVERTERS: &[Converter] = &[
    Converter::new("json_query", Type::Str, Type::Any, |a, s, _| query(a, s.bytes()?))
        .args(1, ARGS)
        .prepare(path_args)
        .doc("a value by its path ($.a.b[0]); with 'int', as an integer"),
    Converter::new("jwt_header_query", Type::Bin, Type::Any, |a, s, c| jwt(a, s, c, 0))
        .args(0, ARGS)
        .prepare(path_args)
        .doc("the header of a JSON web token, or a value of it"),
    Converter::new("jwt_payload_query", Type::Bin, Type::Any, |a, s, c| jwt(a, s, c, 1))
        .args(0, ARGS)
        .prepare(path_args)
        .doc("the payload of a JSON web token, or a value of it"),
];

#[derive(Debug, PartialEq)]
enum Key {
    Name(Vec<u8>),
    Index(usize),
}

struct Path(Vec<Key>);

/// `$.a.b[0]`, `$['a.b']`; a backslash in front of a dot makes it part of the name.
fn parse_path(t: &[u8]) -> Option<Path> {
    let mut rest = t.strip_prefix(b"$")?;
    let mut keys = Vec::new();
    while let Some((&c, tail)) = rest.split_first() {
        rest = tail;
        match c {
            b'.' => {
                let mut name = Vec::new();
                while let Some((&c, tail)) = rest.split_first() {
                    match (c, tail.first()) {
                        (b'.' | b'[', _) => break,
                        (b'\\', Some(&n)) => {
                            name.push(n);
                            rest = &tail[1..];
                        }
                        _ => {
                            name.push(c);
                            rest = tail;
                        }
                    }
                }
                if name.is_empty() {
                    return None;
                }
                keys.push(Key::Name(name));
            }
            b'[' => {
                let end = memchr::memchr(b']', rest)?;
                let inner = &rest[..end];
                rest = &rest[end + 1..];
                keys.push(match inner.first()? {
                    q @ (b'\'' | b'"') => Key::Name(inner[1..].strip_suffix(&[*q])?.to_vec()),
                    _ => Key::Index(std::str::from_utf8(inner).ok()?.parse().ok()?),
                });
            }
            _ => return None,
        }
    }
    Some(Path(keys))
}

fn path_args(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    if let Some(t) = a.str(0).filter(|t| !t.is_empty()) {
        let path = parse_path(t).ok_or_else(|| {
            (
                0,
                format!(
                    "'{}' is no JSON path; it starts with '$', as '$.name' or '$.list[0]'",
                    String::from_utf8_lossy(t)
                ),
            )
        })?;
        a.set_extra(path);
    }
    let int = match a.str(1) {
        None | Some(b"") => 0,
        Some(b"int") => 1,
        Some(_) => return Err((1, "the only output type is 'int'".to_owned())),
    };
    a.set(1, Arg::Int(int));
    Ok(())
}

/// A cursor over JSON text. Lenient about what it skips; bounded by the length of the text.
struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Scanner<'t> {
    fn space(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }
    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.text.get(self.at).copied()
    }
    fn accept(&mut self, c: u8) -> bool {
        let yes = self.peek() == Some(c);
        self.at += usize::from(yes);
        yes
    }
    /// A string's raw inside; the cursor is at its quote.
    fn string(&mut self) -> Option<&'t [u8]> {
        if !self.accept(b'"') {
            return None;
        }
        let start = self.at;
        loop {
            match self.text.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(&self.text[start..self.at - 1]);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }
    /// Skip one value and give its text. No recursion: brackets are counted.
    fn value(&mut self) -> Option<&'t [u8]> {
        self.space();
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                _ => {
                    let end = self.text[self.at..]
                        .iter()
                        .position(|c| matches!(c, b',' | b':' | b'}' | b']') || c.is_ascii_whitespace());
                    let len = end.unwrap_or(self.text.len() - self.at);
                    if len == 0 {
                        return None;
                    }
                    self.at += len;
                }
            }
            if depth == 0 {
                return Some(&self.text[start..self.at]);
            }
        }
    }
    /// Move to the value of a member.
    fn enter(&mut self, key: &Key) -> Option<()> {
        match key {
            Key::Name(name) => {
                if !self.accept(b'{') {
                    return None;
                }
                loop {
                    let got = self.string()?;
                    if !self.accept(b':') {
                        return None;
                    }
                    if got == name.as_slice() {
                        return Some(());
                    }
                    self.value()?;
                    if !self.accept(b',') {
                        return None;
                    }
                }
            }
            Key::Index(n) => {
                if !self.accept(b'[') {
                    return None;
                }
                for _ in 0..*n {
                    self.value()?;
                    if !self.accept(b',') {
                        return None;
                    }
                }
                Some(())
            }
        }
    }
}

/// A JSON string's escapes resolved.
fn unescape(raw: &[u8]) -> Option<Buf<'static>> {
    let mut out = Scratch::new();
    let mut i = 0;
    let hex4 = |i: usize| -> Option<u32> {
        raw.get(i..i + 4)?.iter().try_fold(0, |v, c| Some(v * 16 + (*c as char).to_digit(16)?))
    };
    while let Some(&c) = raw.get(i) {
        i += 1;
        if c != b'\\' {
            out.vec().push(c);
            continue;
        }
        let e = *raw.get(i)?;
        i += 1;
        let plain = match e {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let mut v = hex4(i)?;
                i += 4;
                if (0xd800..0xdc00).contains(&v) && raw.get(i..i + 2) == Some(b"\\u") {
                    let low = hex4(i + 2)?;
                    i += 6;
                    v = 0x1_0000 + ((v - 0xd800) << 10) + (low.checked_sub(0xdc00)? & 0x3ff);
                }
                let mut utf8 = [0; 4];
                out.vec().extend_from_slice(char::from_u32(v)?.encode_utf8(&mut utf8).as_bytes());
                continue;
            }
            other => other,
        };
        out.vec().push(plain);
    }
    Some(out.into())
}

/// Owned result: the text may be a temporary.
fn query(a: &Args, text: &[u8]) -> Option<Sample<'static>> {
    let path: &Path = a.extra()?;
    let mut s = Scanner { text, at: 0 };
    for key in &path.0 {
        s.enter(key)?;
    }
    let want_int = a.int_or(1, 0) != 0;
    match s.peek()? {
        b'"' => {
            let b = unescape(s.string()?)?;
            if want_int { parse_number(&b).map(Sample::Int) } else { Some(Sample::Str(b)) }
        }
        b'{' => None,
        b'[' if want_int => None,
        b'[' => Some(Sample::Str(Scratch::of(s.value()?).into())),
        _ => match s.value()? {
            b"true" => Some(Sample::Bool(true)),
            b"false" => Some(Sample::Bool(false)),
            b"null" => None,
            number if want_int => parse_number(number).map(Sample::Int),
            number if number[0] == b'-' || number[0].is_ascii_digit() => {
                Some(Sample::Str(Scratch::of(number).into()))
            }
            _ => None,
        },
    }
}

/// An integer, or the whole part of a decimal number.
fn parse_number(b: &[u8]) -> Option<i64> {
    let t = std::str::from_utf8(b).ok()?;
    t.parse().ok().or_else(|| t.parse::<f64>().ok().filter(|f| f.is_finite()).map(|f| f as i64))
}

fn jwt<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx, part: usize) -> Option<Sample<'a>> {
    let token = s.bytes()?;
    let b64 = token.split(|c| *c == b'.').nth(part)?;
    let mut text = Scratch::new();
    base64_decode(b64, true, text.vec())?;
    if a.extra::<Path>().is_none() {
        return Some(Sample::Str(text.into()));
    }
    query(a, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, int: bool, text: &str) -> String {
        let mut a = Args::new(vec![Arg::None, Arg::Int(i64::from(int))]);
        a.set_extra(parse_path(path.as_bytes()).expect("valid path"));
        match query(&a, text.as_bytes()) {
            Some(s) => String::from_utf8_lossy(&crate::sample::to_str(s).expect("castable")).into_owned(),
            None => "none".into(),
        }
    }

    #[test]
    fn values_by_path() {
        let t = r#"{"iss":"kubernetes.io\/x","n":-4,"d":4.5,"t":true,"f":false,"my.key":"v","o":{"l":[1,[2,3],"x"]}}"#;
        assert_eq!(get("$.iss", false, t), "kubernetes.io/x");
        assert_eq!(get("$.n", true, t), "-4");
        assert_eq!(get("$.d", false, t), "4.5");
        assert_eq!(get("$.t", false, t), "1");
        assert_eq!(get("$.f", false, t), "0");
        assert_eq!(get(r"$.my\.key", false, t), "v");
        assert_eq!(get("$['my.key']", false, t), "v");
        assert_eq!(get("$.o.l[1][0]", false, t), "2");
        assert_eq!(get("$.o.l", false, t), r#"[1,[2,3],"x"]"#);
        assert_eq!(get("$.o", false, t), "none");
        assert_eq!(get("$.missing", false, t), "none");
        assert_eq!(get("$.iss", false, "{\"iss\":\"a\\u00e9\\ud83d\\ude00\"}"), "aé😀");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]
        #[test]
        fn any_text_is_harmless(t in "[\\[\\]{}\":,\\\\a1 ]{0,40}") {
            get("$.a[0].a", true, &t);
        }
    }
}
