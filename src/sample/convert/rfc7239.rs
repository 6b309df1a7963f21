//! The `Forwarded` header (RFC 7239): taking it apart and building its nodes.

use std::io::Write;
use std::net::IpAddr;

use crate::http::token;
use crate::http::uri::split_authority;
use crate::sample::{Arg, ArgType, Args, Converter, Ctx, ExprCx, Sample, Scratch, Type, parse_ip};

/// The table.
pub const CONVERTERS: &[Converter] = &[
    Converter::new("rfc7239_is_valid", Type::Str, Type::Bool, |_, s, _| {
        Some(Sample::Bool(is_valid(s.bytes()?)))
    })
    .doc("whether the text is a valid Forwarded value"),
    Converter::new("rfc7239_field", Type::Str, Type::Str, field)
        .args(1, &[ArgType::Str])
        .prepare(field_args)
        .doc("a parameter of a Forwarded value: proto, host, for, by"),
    Converter::new("rfc7239_n2nn", Type::Str, Type::Any, |_, s, _| {
        Some(match node(s.bytes()?)?.0 {
            Name::Ip(ip) => Sample::Ip(ip),
            Name::Other(n) => Sample::Str(Scratch::of(n).into()),
        })
    })
    .doc("the name of a node: an address, 'unknown' or an identifier"),
    Converter::new("rfc7239_n2np", Type::Str, Type::Any, |_, s, _| {
        Some(match node(s.bytes()?)?.1? {
            Port::Number(n) => Sample::Int(i64::from(n)),
            Port::Other(p) => Sample::Str(Scratch::of(p).into()),
        })
    })
    .doc("the port of a node: a number or an identifier"),
    Converter::new("rfc7239_nn", Type::Any, Type::Str, make_name)
        .doc("the name of a node from an address or a string"),
    Converter::new("rfc7239_np", Type::Any, Type::Str, make_port)
        .doc("the port of a node from an integer or a string"),
];

enum Name<'t> {
    Ip(IpAddr),
    Other(&'t [u8]),
}

enum Port<'t> {
    Number(u16),
    Other(&'t [u8]),
}

/// `_` and at least one of the characters that section 6.3 allows.
fn is_obfuscated(t: &[u8]) -> bool {
    t.len() > 1
        && t[0] == b'_'
        && t[1..].iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
}

/// Section 6: `nodename [ ":" node-port ]`.
fn node(t: &[u8]) -> Option<(Name<'_>, Option<Port<'_>>)> {
    let (name, rest) = if let Some(inner) = t.strip_prefix(b"[") {
        let end = memchr::memchr(b']', inner)?;
        let IpAddr::V6(ip) = parse_ip(&inner[..end])? else { return None };
        (Name::Ip(ip.into()), &inner[end + 1..])
    } else {
        let end = memchr::memchr(b':', t).unwrap_or(t.len());
        let name = match &t[..end] {
            n if n == b"unknown" || is_obfuscated(n) => Name::Other(n),
            n => match parse_ip(n)? {
                ip @ IpAddr::V4(_) => Name::Ip(ip),
                IpAddr::V6(_) => return None,
            },
        };
        (name, &t[end..])
    };
    let port = match rest.split_first() {
        None => None,
        Some((b':', p)) if is_obfuscated(p) => Some(Port::Other(p)),
        Some((b':', p)) if p.len() <= 5 && p.iter().all(u8::is_ascii_digit) => {
            Some(Port::Number(std::str::from_utf8(p).ok()?.parse().ok()?))
        }
        Some(_) => return None,
    };
    Some((name, port))
}

/// The parameters of one element: name and value, quotes removed. `None` marks a syntax error.
fn parameters(t: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    let mut rest = Some(t);
    std::iter::from_fn(move || {
        let r = rest.take()?;
        let parsed = parameter(r);
        if let Some((_, _, tail)) = parsed {
            rest = tail;
        }
        Some(parsed.map(|(n, v, _)| (n, v)))
    })
}

/// Name, value, and what follows the semicolon behind them.
type Parameter<'t> = (&'t [u8], &'t [u8], Option<&'t [u8]>);

fn parameter(t: &[u8]) -> Option<Parameter<'_>> {
    let eq = memchr::memchr(b'=', t)?;
    let (name, t) = (&t[..eq], &t[eq + 1..]);
    let (value, t) = match t.strip_prefix(b"\"") {
        Some(quoted) => {
            let end = memchr::memchr(b'"', quoted)?;
            (&quoted[..end], &quoted[end + 1..])
        }
        None => {
            let end = memchr::memchr(b';', t).unwrap_or(t.len());
            if !token::is_token(&t[..end]) {
                return None;
            }
            (&t[..end], &t[end..])
        }
    };
    match t.split_first() {
        None => Some((name, value, None)),
        Some((b';', tail)) => Some((name, value, Some(tail))),
        Some(_) => None,
    }
}

const NAMES: [&[u8]; 4] = [b"proto", b"host", b"for", b"by"];

fn is_valid(t: &[u8]) -> bool {
    let mut seen = [false; NAMES.len()];
    parameters(t).all(|p| {
        let Some((name, value)) = p else { return false };
        let Some(i) = NAMES.iter().position(|n| n.eq_ignore_ascii_case(name)) else { return false };
        if std::mem::replace(&mut seen[i], true) {
            return false;
        }
        match i {
            0 => value.eq_ignore_ascii_case(b"http") || value.eq_ignore_ascii_case(b"https"),
            1 => is_host(value),
            _ => node(value).is_some(),
        }
    })
}

fn is_host(t: &[u8]) -> bool {
    let ok = |c: &u8| {
        c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b'~' | b'[' | b']' | b':' | b'%')
    };
    split_authority(t).is_some_and(|a| a.userinfo.is_none() && !a.host.is_empty() && a.host.iter().all(ok))
}

fn field_args(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    match NAMES.iter().position(|n| Some(*n) == a.str(0)) {
        Some(i) => {
            a.set(0, Arg::Int(i as i64));
            Ok(())
        }
        None => Err((0, "proto, host, for or by is expected".to_owned())),
    }
}

fn field<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let name = NAMES[usize::try_from(a.int(0)?).ok()?];
    let t = s.bytes()?;
    if !is_valid(t) {
        return None;
    }
    let found = parameters(t).flatten().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
    Some(Sample::Str(Scratch::of(found.1).into()))
}

fn make_name<'a>(_: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let mut out = Scratch::new();
    match &s {
        Sample::Ip(IpAddr::V4(ip)) => write!(out, "{ip}").ok()?,
        Sample::Ip(IpAddr::V6(ip)) => write!(out, "[{ip}]").ok()?,
        other => {
            let t = other.bytes()?;
            if t.is_empty() {
                out.write_all(b"unknown").ok()?;
            } else {
                out.write_all(b"_").ok()?;
                out.write_all(t).ok()?;
                if !is_obfuscated(&out) {
                    return None;
                }
            }
        }
    }
    Some(Sample::Str(out.into()))
}

fn make_port<'a>(_: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let mut out = Scratch::new();
    match &s {
        Sample::Int(i) => write!(out, "{}", u16::try_from(*i).ok()?).ok()?,
        other => {
            out.write_all(b"_").ok()?;
            out.write_all(other.bytes()?).ok()?;
            if !is_obfuscated(&out) {
                return None;
            }
        }
    }
    Some(Sample::Str(out.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity() {
        for good in [
            "for=127.0.0.1;proto=http",
            "proto=https;host=\"a.org:80\";for=\"127.0.0.1:9\"",
            "for=\"[::1]:_p\"",
            "by=unknown",
            "for=_x",
        ] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "proto=custom",
            "for=127.0.0.1;for=1.2.3.4",
            "for=[::1]",
            "for=1.2.3.4:80",
            "x=y",
            "for=",
            "for=\"1.2.3.4",
            "for=1.2.3.4;",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn nodes() {
        assert!(matches!(node(b"127.0.0.1:9999"), Some((Name::Ip(IpAddr::V4(_)), Some(Port::Number(9999))))));
        assert!(matches!(
            node(b"[ab:cd::1]:9998"),
            Some((Name::Ip(IpAddr::V6(_)), Some(Port::Number(9998))))
        ));
        assert!(matches!(node(b"_name:_port"), Some((Name::Other(b"_name"), Some(Port::Other(b"_port"))))));
        assert!(node(b"::1").is_none() && node(b"1.2.3.4:99999").is_none() && node(b"_").is_none());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]
        #[test]
        fn any_text_is_harmless(t in "[a-z=;:\"\\[\\]0-9._]{0,30}") {
            is_valid(t.as_bytes());
            node(t.as_bytes());
        }
    }
}
