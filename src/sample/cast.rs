//! Conversions between types. Each may fail; the expression then yields nothing.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Buf, Sample, Scratch, Type};

/// Cast a sample to `to`; the same sample when it has that type already.
pub fn cast(s: Sample<'_>, to: Type) -> Option<Sample<'_>> {
    match to {
        Type::Any | Type::Same => Some(s),
        Type::Bool => match s {
            Sample::Bool(_) => Some(s),
            other => Some(Sample::Bool(to_int(&other)? != 0)),
        },
        Type::Int => to_int(&s).map(Sample::Int),
        Type::Addr => to_ip(&s).map(Sample::Ip),
        Type::Ipv4 => to_v4(to_ip(&s)?).map(|a| Sample::Ip(IpAddr::V4(a))),
        Type::Ipv6 => Some(Sample::Ip(IpAddr::V6(to_v6(to_ip(&s)?)))),
        Type::Str => to_str(s).map(Sample::Str),
        Type::Bin => to_bin(s).map(Sample::Bin),
        Type::Meth => to_str(s).map(Sample::Meth),
    }
}

/// The integer that a sample stands for.
pub fn to_int(s: &Sample<'_>) -> Option<i64> {
    match s {
        Sample::Bool(b) => Some(i64::from(*b)),
        Sample::Int(i) => Some(*i),
        Sample::Ip(IpAddr::V4(a)) => Some(i64::from(u32::from(*a))),
        Sample::Str(b) => parse_int(b),
        Sample::Ip(IpAddr::V6(_)) | Sample::Bin(_) | Sample::Meth(_) => None,
    }
}

/// The signed decimal number that a text starts with; what follows it is ignored and no digit means 0, as
/// in HAProxy (`Content-Length: 42, 42`). `None` for an empty text. Saturates.
pub fn parse_int(b: &[u8]) -> Option<i64> {
    let (neg, digits) = match b.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, b),
    };
    let digits = &digits[..digits.iter().position(|c| !c.is_ascii_digit()).unwrap_or(digits.len())];
    Some(digits.iter().fold(0i64, |v, c| {
        let d = i64::from(c - b'0');
        if neg { v.saturating_mul(10).saturating_sub(d) } else { v.saturating_mul(10).saturating_add(d) }
    }))
}

/// The address that a sample stands for.
pub fn to_ip(s: &Sample<'_>) -> Option<IpAddr> {
    match s {
        Sample::Ip(a) => Some(*a),
        Sample::Int(i) => Some(IpAddr::V4(Ipv4Addr::from(u32::try_from(*i & 0xffff_ffff).ok()?))),
        Sample::Str(b) => parse_ip(b),
        Sample::Bool(_) | Sample::Bin(_) | Sample::Meth(_) => None,
    }
}

/// An IPv4 or IPv6 address in text, without port or brackets.
pub fn parse_ip(b: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(b).ok()?.parse().ok()
}

/// The IPv4 address in an address: itself, `::ffff:a.b.c.d`, `2002:V4::`.
pub fn to_v4(a: IpAddr) -> Option<Ipv4Addr> {
    match a {
        IpAddr::V4(a) => Some(a),
        IpAddr::V6(a) => {
            let s = a.segments();
            if let Some(v4) = a.to_ipv4_mapped() {
                Some(v4)
            } else if s[0] == 0x2002 && s[3..] == [0; 5] {
                Some(Ipv4Addr::from((u32::from(s[1]) << 16) | u32::from(s[2])))
            } else if s[..6] == [0; 6] && s[6] != 0 {
                a.to_ipv4()
            } else {
                None
            }
        }
    }
}

/// The IPv6 form: `::ffff:a.b.c.d` for IPv4.
pub fn to_v6(a: IpAddr) -> Ipv6Addr {
    match a {
        IpAddr::V4(a) => a.to_ipv6_mapped(),
        IpAddr::V6(a) => a,
    }
}

/// The text of a sample.
pub fn to_str(s: Sample<'_>) -> Option<Buf<'_>> {
    Some(match s {
        Sample::Str(b) | Sample::Meth(b) => b,
        // The bytes as they are, up to the first NUL: text has none.
        Sample::Bin(b) => match memchr::memchr(0, &b) {
            Some(end) => b.slice(0, end),
            None => b,
        },
        other => {
            let mut out = Scratch::new();
            // Writing into memory cannot fail.
            let _ = match other {
                Sample::Bool(b) => out.write_all(if b { b"1" } else { b"0" }),
                Sample::Int(i) => write!(out, "{i}"),
                Sample::Ip(IpAddr::V4(a)) => write!(out, "{a}"),
                Sample::Ip(IpAddr::V6(a)) => write!(out, "{a}"),
                _ => Ok(()),
            };
            out.into()
        }
    })
}

/// The binary form of a sample: network byte order for numbers and addresses.
pub fn to_bin(s: Sample<'_>) -> Option<Buf<'_>> {
    Some(match s {
        Sample::Str(b) | Sample::Meth(b) | Sample::Bin(b) => b,
        Sample::Int(i) => Scratch::of(&i.to_be_bytes()).into(),
        Sample::Ip(IpAddr::V4(a)) => Scratch::of(&a.octets()).into(),
        Sample::Ip(IpAddr::V6(a)) => Scratch::of(&a.octets()).into(),
        Sample::Bool(b) => Scratch::of(&i64::from(b).to_be_bytes()).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: Sample<'_>, to: Type) -> Option<String> {
        let s = cast(s, to)?;
        to_str(s).map(|b| String::from_utf8_lossy(&b).into_owned())
    }

    #[test]
    fn casts_follow_the_matrix() {
        assert_eq!(text(Sample::Bool(true), Type::Int), Some("1".into()));
        assert_eq!(text(Sample::Int(0), Type::Bool), Some("0".into()));
        assert_eq!(text(Sample::Int(0x7f00_0001), Type::Ipv4), Some("127.0.0.1".into()));
        assert_eq!(text(Sample::str(b"10.0.0.1"), Type::Ipv6), Some("::ffff:10.0.0.1".into()));
        assert_eq!(text(Sample::str(b"2002:a00:1::"), Type::Ipv4), Some("10.0.0.1".into()));
        assert_eq!(text(Sample::str(b"nope"), Type::Addr), None);
        assert_eq!(text(Sample::str(b"-42"), Type::Int), Some("-42".into()));
        assert_eq!(text(Sample::str(b"42x"), Type::Int), Some("42".into()));
        assert_eq!(text(Sample::str(b"x"), Type::Int), Some("0".into()));
        assert_eq!(cast(Sample::Int(1), Type::Bin).and_then(|s| s.bytes().map(<[u8]>::len)), Some(8));
    }

    #[test]
    fn integers_saturate() {
        assert_eq!(parse_int(b"99999999999999999999"), Some(i64::MAX));
        assert_eq!(parse_int(b"-99999999999999999999"), Some(i64::MIN));
        assert_eq!(parse_int(b""), None);
    }
}
