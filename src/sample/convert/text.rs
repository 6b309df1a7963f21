//! Text: case, cutting, joining, replacing.

use crate::sample::{
    ArgType, Args, Buf, CaptureSide, Converter, Ctx, ExprCx, Regex, Sample, Scratch, Type, cast, parse_int,
    vars,
};

/// A replacement stops growing here. In bytes.
const REPLACED_MAX: usize = 64 * 1024;
const CUT: &[ArgType] = &[ArgType::Int, ArgType::Str, ArgType::Int];

const fn on_text(name: &'static str, f: crate::sample::ConvertFn) -> Converter {
    Converter::new(name, Type::Str, Type::Str, f)
}

/// The table.
pub const CONVERTERS: &[Converter] = &[
    on_text("lower", |_, s, _| in_place(s, |v| v.make_ascii_lowercase())).doc("lower case"),
    on_text("upper", |_, s, _| in_place(s, |v| v.make_ascii_uppercase())).doc("upper case"),
    Converter::new("length", Type::Str, Type::Int, |_, s, _| Some(Sample::Int(s.bytes()?.len() as i64)))
        .doc("length in bytes"),
    on_text("field", |a, s, _| cut(a, s, true))
        .args(2, CUT)
        .prepare(cut_args)
        .doc("the n-th part between delimiters"),
    on_text("word", |a, s, _| cut(a, s, false))
        .args(2, CUT)
        .prepare(cut_args)
        .doc("the n-th part between delimiters, empty parts not counted"),
    Converter::new("bytes", Type::Bin, Type::Bin, bytes)
        .args(1, &[ArgType::VarOrInt, ArgType::VarOrInt])
        .prepare(|_, a| match (0..2).find(|i| a.int_or(*i, 0) < 0) {
            Some(i) => Err((i, "must not be negative".to_owned())),
            None => Ok(()),
        })
        .doc("bytes from an offset, at most <length>"),
    on_text("regsub", regsub)
        .args(2, &[ArgType::Str, ArgType::Str, ArgType::Str])
        .prepare(regsub_args)
        .doc("replaces what a regex matches; flags g (all) and i (ignore case)"),
    on_text("concat", concat)
        .args(0, &[ArgType::Str, ArgType::Var, ArgType::Str])
        .doc("appends a string, a variable and a string"),
    on_text("add_item", add_item)
        .args(1, &[ArgType::Str, ArgType::Var, ArgType::Str])
        .prepare(|_, a| {
            if a.var(1).is_none() && a.str(2).is_none_or(<[u8]>::is_empty) {
                return Err((1, "a variable or a suffix is needed".to_owned()));
            }
            Ok(())
        })
        .doc("appends a delimiter and a variable or a suffix"),
    Converter::new("strcmp", Type::Str, Type::Int, strcmp)
        .args(1, &[ArgType::Var])
        .doc("compares with a variable"),
    Converter::new("secure_memcmp", Type::Bin, Type::Bool, secure_memcmp)
        .args(1, &[ArgType::Var])
        .doc("compares with a variable in constant time"),
    Converter::new("iif", Type::Bool, Type::Str, |a, s, _| {
        let Sample::Bool(b) = s else { return None };
        Some(Sample::str(a.str(usize::from(!b)).unwrap_or_default()))
    })
    .args(2, &[ArgType::Str, ArgType::Str])
    .doc("one string when true, another when false"),
    on_text("rtrim", |a, s, _| trim(a, s, false)).args(1, &[ArgType::Str]).doc("cuts characters off the end"),
    on_text("ltrim", |a, s, _| trim(a, s, true))
        .args(1, &[ArgType::Str])
        .doc("cuts characters off the start"),
    on_text("cut_crlf", |_, s, _| {
        let end = s.bytes()?.iter().position(|c| matches!(c, b'\r' | b'\n'));
        slice(s, 0, end)
    })
    .doc("what stands before the first CR or LF"),
    on_text("host_only", host_only).doc("host of a Host value, lower case"),
    Converter::new("port_only", Type::Str, Type::Int, |_, s, _| {
        let b = s.bytes()?;
        Some(Sample::Int(host_end(b).and_then(|e| parse_int(&b[e + 1..])).unwrap_or(0)))
    })
    .doc("port of a Host value, 0 without one"),
    on_text("param", param).args(1, &[ArgType::Str, ArgType::Str]).doc("parameter in a query string"),
    on_text("language", language)
        .args(1, &[ArgType::Str, ArgType::Str])
        .doc("best of the given languages in an Accept-Language value"),
    Converter::new("capture-req", Type::Str, Type::Str, |a, s, c| {
        c.set_capture(CaptureSide::Request, usize::try_from(a.int(0)?).ok()?, s.bytes()?);
        Some(s)
    })
    .args(1, &[ArgType::Int])
    .doc("stores into a request capture slot"),
    Converter::new("capture-res", Type::Str, Type::Str, |a, s, c| {
        c.set_capture(CaptureSide::Response, usize::try_from(a.int(0)?).ok()?, s.bytes()?);
        Some(s)
    })
    .args(1, &[ArgType::Int])
    .doc("stores into a response capture slot"),
    Converter::new("reverse", Type::Str, Type::Str, |_, s, _| in_place(s, |v| v.reverse()))
        .doc("the bytes backwards"),
    on_text("reverse_dom", reverse_dom).doc("the labels of a host name backwards"),
    Converter::new("has_ctl", Type::Bin, Type::Bool, has_ctl)
        .args(0, &[ArgType::Str])
        .prepare(has_ctl_args)
        .doc("whether there are control characters"),
];

fn in_place<'a>(s: Sample<'a>, f: fn(&mut Vec<u8>)) -> Option<Sample<'a>> {
    let Sample::Str(mut b) = s else { return None };
    f(b.make_mut());
    Some(Sample::Str(b))
}

/// The part of a string or binary sample, to its end when `end` is `None`.
fn slice(s: Sample<'_>, start: usize, end: Option<usize>) -> Option<Sample<'_>> {
    Some(match s {
        Sample::Str(b) => {
            let end = end.unwrap_or(b.len());
            Sample::Str(b.slice(start, end))
        }
        Sample::Bin(b) => {
            let end = end.unwrap_or(b.len());
            Sample::Bin(b.slice(start, end))
        }
        _ => return None,
    })
}

fn cut_args(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    if a.int(0) == Some(0) {
        return Err((0, "must not be 0: parts count from 1, or from -1 at the end".to_owned()));
    }
    if a.str(1).is_none_or(<[u8]>::is_empty) {
        return Err((1, "at least one delimiter is needed".to_owned()));
    }
    if a.int_or(2, 1) < 0 {
        return Err((2, "must not be negative; 0 takes all that is left".to_owned()));
    }
    Ok(())
}

/// `field` and `word`: positions of the wanted part.
fn cut_range(text: &[u8], index: i64, delims: &[u8], count: i64, keep_empty: bool) -> Option<(usize, usize)> {
    let at = |part: &[u8]| {
        let start = part.as_ptr() as usize - text.as_ptr() as usize;
        (start, start + part.len())
    };
    let mut parts = text.split(|c| delims.contains(c)).filter(|p| keep_empty || !p.is_empty());
    let skip = usize::try_from(index.unsigned_abs() - 1).ok()?;
    let more = usize::try_from(count - 1).ok();
    if index > 0 {
        let first = at(parts.nth(skip)?);
        let last = match more {
            None => parts.next_back().map(at),
            Some(n) => parts.take(n).last().map(at),
        };
        // With `count` 0, empty words behind the last one belong to it no more than to any other.
        Some((first.0, last.unwrap_or(first).1))
    } else {
        let mut parts = parts.rev();
        let last = at(parts.nth(skip)?);
        let first = match more {
            None => parts.next_back().map(at),
            Some(n) => parts.take(n).last().map(at),
        };
        Some((first.unwrap_or(last).0, last.1))
    }
}

fn cut<'a>(a: &'a Args, s: Sample<'a>, keep_empty: bool) -> Option<Sample<'a>> {
    let (start, end) = cut_range(s.bytes()?, a.int(0)?, a.str(1)?, a.int_or(2, 1), keep_empty)?;
    slice(s, start, Some(end))
}

fn bytes<'a>(a: &'a Args, s: Sample<'a>, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let len = s.bytes()?.len();
    let start = usize::try_from(super::math::number(a, 0, c)?).ok()?;
    if start >= len {
        return None;
    }
    let end = match a.get(1) {
        crate::sample::Arg::None => len,
        _ => start.saturating_add(usize::try_from(super::math::number(a, 1, c)?).ok()?).min(len),
    };
    slice(s, start, Some(end))
}

struct RegSub {
    regex: Regex,
    all: bool,
}

fn regsub_args(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    let flags = a.str(2).unwrap_or_default();
    if let Some(c) = flags.iter().find(|c| !matches!(c, b'i' | b'g')) {
        return Err((2, format!("'{}' is no flag; i and g are", *c as char)));
    }
    let (ignore_case, all) = (flags.contains(&b'i'), flags.contains(&b'g'));
    let regex = Regex::new(a.str(0).unwrap_or_default(), ignore_case).map_err(|e| (0, e))?;
    a.set_extra(RegSub { regex, all });
    Ok(())
}

fn regsub<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let r: &RegSub = a.extra()?;
    let mut out = Scratch::new();
    if r.regex.replace(s.bytes()?, a.str(1)?, r.all, REPLACED_MAX, out.vec()) {
        return Some(Sample::Str(out.into()));
    }
    Some(s)
}

/// The text of a variable; empty when it is not set.
fn variable(a: &Args, i: usize, c: &dyn Ctx) -> Buf<'static> {
    a.var(i).and_then(|v| vars::read(v, c)).and_then(cast::to_str).unwrap_or(Buf::Borrowed(b""))
}

fn concat<'a>(a: &'a Args, s: Sample<'a>, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let Sample::Str(mut b) = s else { return None };
    let out = b.make_mut();
    out.extend_from_slice(a.str(0).unwrap_or_default());
    out.extend_from_slice(&variable(a, 1, c));
    out.extend_from_slice(a.str(2).unwrap_or_default());
    Some(Sample::Str(b))
}

fn add_item<'a>(a: &'a Args, s: Sample<'a>, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let Sample::Str(mut b) = s else { return None };
    let (item, suffix) = (variable(a, 1, c), a.str(2).unwrap_or_default());
    if !item.is_empty() || (a.var(1).is_none() && !suffix.is_empty()) {
        let out = b.make_mut();
        if !out.is_empty() {
            out.extend_from_slice(a.str(0).unwrap_or_default());
        }
        out.extend_from_slice(&item);
        out.extend_from_slice(suffix);
    }
    Some(Sample::Str(b))
}

fn strcmp<'a>(a: &'a Args, s: Sample<'a>, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let other = cast::to_str(vars::read(a.var(0)?, c)?)?;
    let mine = s.bytes()?;
    let differs =
        mine.iter().zip(other.iter()).find(|(x, y)| x != y).map(|(x, y)| i64::from(*x) - i64::from(*y));
    Some(Sample::Int(differs.unwrap_or(mine.len() as i64 - other.len() as i64)))
}

fn secure_memcmp<'a>(a: &'a Args, s: Sample<'a>, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let other = cast::to_bin(vars::read(a.var(0)?, c)?)?;
    let mine = s.bytes()?;
    // No early exit: the time must not tell where the first difference is.
    let same =
        mine.len() == other.len() && mine.iter().zip(other.iter()).fold(0u8, |d, (x, y)| d | (x ^ y)) == 0;
    Some(Sample::Bool(same))
}

fn trim<'a>(a: &'a Args, s: Sample<'a>, left: bool) -> Option<Sample<'a>> {
    let chars = a.str(0)?;
    let b = s.bytes()?;
    let keep = |c: &u8| !chars.contains(c);
    if left {
        let start = b.iter().position(keep).unwrap_or(b.len());
        slice(s, start, None)
    } else {
        let end = b.iter().rposition(keep).map_or(0, |i| i + 1);
        slice(s, 0, Some(end))
    }
}

/// Where the colon before the port stands, if there is one.
fn host_end(b: &[u8]) -> Option<usize> {
    let from = if b.first() == Some(&b'[') { memchr::memchr(b']', b)? + 1 } else { 0 };
    memchr::memrchr(b':', &b[from..]).map(|i| from + i)
}

fn host_only<'a>(_: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let end = host_end(s.bytes()?);
    in_place(slice(s, 0, end)?, |v| v.make_ascii_lowercase())
}

fn param<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let (name, delim) = (a.str(0)?, a.str(1).and_then(|d| d.first().copied()).unwrap_or(b'&'));
    let b = s.bytes()?;
    // Unlike `urlp`, a name without '=' counts, with an empty value.
    let found = b.split(|c| *c == delim).find_map(|p| match memchr::memchr(b'=', p) {
        Some(eq) if &p[..eq] == name => Some(&p[eq + 1..]),
        None if p == name => Some(&p[p.len()..]),
        _ => None,
    })?;
    let start = found.as_ptr() as usize - b.as_ptr() as usize;
    let end = start + found.len();
    slice(s, start, Some(end))
}

/// RFC 9110 12.5.4; the first of the highest weight wins.
fn language<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let known = a.str(0)?;
    let list = || known.split(|c| *c == b';');
    let mut best: Option<(&[u8], u32)> = None;
    for item in s.bytes()?.split(|c| *c == b',') {
        let mut parts = item.split(|c| *c == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|p| p.strip_prefix(b"q=")).map_or(1000, weight);
        if weight == 0 || best.is_some_and(|(_, w)| w >= weight) {
            continue;
        }
        let base = name.split(|c| *c == b'-').next().unwrap_or_default();
        if let Some(hit) = list().find(|k| *k == name).or_else(|| list().find(|k| *k == base)) {
            best = Some((hit, weight));
        }
    }
    best.map(|(b, _)| b).or_else(|| a.str(1)).map(Sample::str)
}

/// A quality value in thousandths.
fn weight(q: &[u8]) -> u32 {
    match q.split_first() {
        Some((b'1', _)) => 1000,
        Some((b'0', [b'.', rest @ ..])) => (0..3).fold(0, |v, i| {
            let d = rest.get(i).filter(|c| c.is_ascii_digit()).map_or(0, |c| u32::from(c - b'0'));
            v * 10 + d
        }),
        _ => 0,
    }
}

fn reverse_dom<'a>(_: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let b = s.bytes()?;
    let b = b.strip_suffix(b".").unwrap_or(b);
    let mut out = Scratch::new();
    for label in b.rsplit(|c| *c == b'.') {
        if label.is_empty() {
            return None;
        }
        if !out.is_empty() {
            out.vec().push(b'.');
        }
        out.vec().extend_from_slice(label);
    }
    Some(Sample::Str(out.into()))
}

fn has_ctl_args(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    let mask = match a.str(0).unwrap_or_default() {
        b"" => 0x1_FFFF_FDFF,
        b"any" => 0x1_FFFF_FFFF,
        b"http" => 0x2401,
        other => {
            let t = String::from_utf8_lossy(other).to_ascii_lowercase();
            let v = match t.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16).ok(),
                None => t.parse().ok(),
            };
            v.filter(|v| (0..1 << 33).contains(v))
                .ok_or_else(|| (0, format!("'{t}' is no 33-bit mask; 'any' and 'http' are known names")))?
        }
    };
    a.set(0, crate::sample::Arg::Int(mask));
    Ok(())
}

fn has_ctl<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let mask = a.int(0)?;
    let hit = s.bytes()?.iter().any(|c| match c {
        0..=31 => mask >> c & 1 != 0,
        127 => mask >> 32 & 1 != 0,
        _ => false,
    });
    Some(Sample::Bool(hit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str, index: i64, delims: &str, count: i64, keep_empty: bool) -> String {
        match cut_range(text.as_bytes(), index, delims.as_bytes(), count, keep_empty) {
            Some((a, b)) => text[a..b].to_owned(),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn fields_as_in_the_manual() {
        let t = "f1_f2_f3__f5";
        assert_eq!(part(t, 5, "_", 1, true), "f5");
        assert_eq!(part(t, 2, "_", 0, true), "f2_f3__f5");
        assert_eq!(part(t, 2, "_", 2, true), "f2_f3");
        assert_eq!(part(t, -2, "_", 3, true), "f2_f3_");
        assert_eq!(part(t, -3, "_", 0, true), "f1_f2_f3");
        assert_eq!(part(t, 7, "_", 1, true), "none");
    }

    #[test]
    fn words_as_in_the_manual() {
        let t = "f1_f2_f3__f5";
        assert_eq!(part(t, 4, "_", 1, false), "f5");
        assert_eq!(part(t, 2, "_", 0, false), "f2_f3__f5");
        assert_eq!(part(t, 3, "_", 2, false), "f3__f5");
        assert_eq!(part(t, -2, "_", 3, false), "f1_f2_f3");
        assert_eq!(part(t, -3, "_", 0, false), "f1_f2");
        assert_eq!(part("/f1/f2/f3/f4", 1, "/", 1, false), "f1");
    }

    #[test]
    fn weights() {
        assert_eq!(weight(b"1"), 1000);
        assert_eq!(weight(b"0.8"), 800);
        assert_eq!(weight(b"0"), 0);
        assert_eq!(weight(b"x"), 0);
    }

    #[test]
    fn hosts() {
        assert_eq!(host_end(b"a.b:80"), Some(3));
        assert_eq!(host_end(b"[::1]"), None);
        assert_eq!(host_end(b"[::1]:80"), Some(5));
    }
}
