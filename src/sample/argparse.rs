//! Cutting an argument list and checking one argument. Manual section 2.2 (quoting inside arguments) and 7.3.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::base::duration::{self, Unit};
use crate::base::size;
use crate::config::{Loc, SectionKind};

use super::{Arg, ArgType, ExprCx, RefKind, Regex, VarName, cast};

/// One argument as written, quotes and escapes resolved.
pub(super) struct RawArg {
    pub bytes: Vec<u8>,
    pub offset: usize,
}

/// Cut `(a,"b,c",d)` at `at`; no parenthesis there means no arguments. Gives the offset after the list.
/// The error carries the offset of the offending byte.
pub(super) fn split(text: &[u8], at: usize) -> Result<(Vec<RawArg>, usize), (usize, &'static str)> {
    if text.get(at) != Some(&b'(') {
        return Ok((Vec::new(), at));
    }
    let mut args = Vec::new();
    let mut i = at + 1;
    let mut cur = RawArg { bytes: Vec::new(), offset: i };
    let mut quote: Option<(u8, usize)> = None;
    while let Some(&c) = text.get(i) {
        match (c, quote) {
            (b'\\', None | Some((b'"', _))) => {
                let Some(&n) = text.get(i + 1) else {
                    return Err((i, "backslash at the end"));
                };
                match n {
                    b'n' => cur.bytes.push(b'\n'),
                    b'r' => cur.bytes.push(b'\r'),
                    b't' => cur.bytes.push(b'\t'),
                    b'\\' | b'"' | b'\'' | b' ' | b'#' => cur.bytes.push(n),
                    _ => cur.bytes.extend_from_slice(&[b'\\', n]),
                }
                i += 2;
                continue;
            }
            (b'"' | b'\'', None) => quote = Some((c, i)),
            (_, Some((q, _))) if q == c => quote = None,
            (b',', None) => {
                args.push(std::mem::replace(&mut cur, RawArg { bytes: Vec::new(), offset: i + 1 }));
            }
            (b')', None) => {
                // `f()` is the same as `f`.
                if !(args.is_empty() && cur.bytes.is_empty() && i == at + 1) {
                    args.push(cur);
                }
                return Ok((args, i + 1));
            }
            // White space in front of an argument does not belong to it.
            (b' ' | b'\t', None) if cur.bytes.is_empty() => cur.offset = i + 1,
            _ => cur.bytes.push(c),
        }
        i += 1;
    }
    match quote {
        Some((_, offset)) => Err((offset, "unterminated quote")),
        None => Err((at, "missing closing parenthesis")),
    }
}

/// Check one argument against its type.
pub(super) fn check(
    cx: &mut ExprCx<'_>,
    ty: ArgType,
    bytes: &[u8],
    loc: Loc,
    mandatory: bool,
) -> Result<Arg, String> {
    if bytes.is_empty() {
        // Some string arguments are meaningful when empty (`concat(,x)`).
        return match ty {
            ArgType::Str => Ok(Arg::Str(Box::default())),
            _ if mandatory => Err(format!("a {} is expected", ty.name())),
            _ => Ok(Arg::None),
        };
    }
    let text = String::from_utf8_lossy(bytes);
    let wrong = || format!("'{text}' is not a valid {}", ty.name());
    Ok(match ty {
        ArgType::Str => Arg::Str(bytes.into()),
        ArgType::Int => Arg::Int(parse_strict_int(bytes).ok_or_else(wrong)?),
        ArgType::Time => {
            let d = duration::parse(&text, Unit::Ms).map_err(|e| format!("{e} in '{text}'"))?;
            Arg::Int(i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
        }
        ArgType::Size => {
            let n = size::parse(&text).map_err(|e| format!("{e} in '{text}'"))?;
            Arg::Int(i64::try_from(n).unwrap_or(i64::MAX))
        }
        ArgType::Ip4 => match cast::parse_ip(bytes) {
            Some(a @ IpAddr::V4(_)) => Arg::Ip(a),
            _ => return Err(wrong()),
        },
        ArgType::Ip6 => match cast::parse_ip(bytes) {
            Some(a @ IpAddr::V6(_)) => Arg::Ip(a),
            _ => return Err(wrong()),
        },
        ArgType::Mask4 => Arg::Ip(IpAddr::V4(parse_mask4(&text).ok_or_else(wrong)?)),
        ArgType::Mask6 => Arg::Ip(IpAddr::V6(parse_mask6(&text).ok_or_else(wrong)?)),
        ArgType::Regex => Arg::Regex(Regex::new(bytes, false)?),
        ArgType::RegexI => Arg::Regex(Regex::new(bytes, true)?),
        ArgType::Frontend => Arg::Name(cx.reference(RefKind::Frontend, &text, loc)),
        ArgType::Backend => Arg::Name(cx.reference(RefKind::Backend, &text, loc)),
        ArgType::Server if cx.section.kind == SectionKind::Defaults && !text.contains('/') => {
            return Err(format!(
                "'{text}': a server in a 'defaults' section needs its backend, as 'backend/server'"
            ));
        }
        ArgType::Server => Arg::Name(cx.reference(RefKind::Server, &text, loc)),
        ArgType::Table => Arg::Name(cx.reference(RefKind::Table, &text, loc)),
        ArgType::Userlist => Arg::Name(cx.reference(RefKind::Userlist, &text, loc)),
        ArgType::Resolvers => Arg::Name(cx.reference(RefKind::Resolvers, &text, loc)),
        ArgType::Var => Arg::Var(VarName::parse(bytes)?),
        ArgType::VarOrInt => match parse_strict_int(bytes) {
            Some(i) => Arg::Int(i),
            None => Arg::Var(VarName::parse(bytes)?),
        },
    })
}

fn parse_strict_int(b: &[u8]) -> Option<i64> {
    std::str::from_utf8(b).ok()?.parse().ok()
}

/// `24` or `255.255.255.0`.
pub(crate) fn parse_mask4(t: &str) -> Option<Ipv4Addr> {
    if let Ok(bits) = t.parse::<u32>() {
        return (bits <= 32).then(|| Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0)));
    }
    t.parse().ok()
}

/// `64` or `ffff:ffff::`.
pub(crate) fn parse_mask6(t: &str) -> Option<Ipv6Addr> {
    if let Ok(bits) = t.parse::<u32>() {
        return (bits <= 128).then(|| Ipv6Addr::from(u128::MAX.checked_shl(128 - bits).unwrap_or(0)));
    }
    t.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(t: &str) -> Vec<String> {
        split(t.as_bytes(), 0)
            .map(|(a, _)| a.into_iter().map(|a| String::from_utf8_lossy(&a.bytes).into_owned()).collect())
            .unwrap_or_else(|(at, m)| vec![format!("{at}: {m}")])
    }

    #[test]
    fn arguments_are_cut_at_bare_commas() {
        assert_eq!(cut("(a,b)"), ["a", "b"]);
        assert_eq!(cut("()"), [""; 0]);
        assert_eq!(cut("(,x)"), ["", "x"]);
        assert_eq!(cut(r#"("a,b",'c)\d',e\ f, g )"#), ["a,b", r"c)\d", "e f", "g "]);
        assert_eq!(cut(r#"("(foo|bar)([0-9]+)?","\2\1",i)"#), ["(foo|bar)([0-9]+)?", r"\2\1", "i"]);
        assert_eq!(cut("(a"), ["0: missing closing parenthesis"]);
        assert_eq!(cut("('a)"), ["1: unterminated quote"]);
    }

    #[test]
    fn masks() {
        assert_eq!(parse_mask4("24"), Some(Ipv4Addr::new(255, 255, 255, 0)));
        assert_eq!(parse_mask4("0"), Some(Ipv4Addr::new(0, 0, 0, 0)));
        assert_eq!(parse_mask4("255.255.0.0"), Some(Ipv4Addr::new(255, 255, 0, 0)));
        assert_eq!(parse_mask4("33"), None);
        assert_eq!(parse_mask6("64").map(|a| a.to_string()), Some("ffff:ffff:ffff:ffff::".into()));
    }
}
