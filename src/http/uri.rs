//! Request targets: the four forms of RFC 9112 3.2, path, query, authority, parameters.

use super::method::Method;
use super::token;
use std::ops::Range;

/// A request target taken apart. Every part is a slice of the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Uri<'a> {
    /// The whole target.
    pub all: &'a [u8],
    /// Scheme of an absolute form, without `://`.
    pub scheme: Option<&'a [u8]>,
    /// Authority of an absolute form or of CONNECT.
    pub authority: Option<&'a [u8]>,
    /// Path, from its `/` to the query or the fragment; `None` for `*`, for the authority form, and for an
    /// absolute form without one.
    pub path: Option<&'a [u8]>,
    /// Query without its `?`.
    pub query: Option<&'a [u8]>,
    path_at: usize,
}

impl<'a> Uri<'a> {
    /// Takes a target apart. Never fails: what fits no form has no parts.
    #[inline]
    pub fn parse(target: &'a [u8], method: Method) -> Uri<'a> {
        let mut uri = Uri { all: target, ..Uri::default() };
        if target.first() != Some(&b'/') {
            if method == Method::Connect {
                uri.authority = Some(target);
                uri.path_at = target.len();
                return uri;
            }
            let Some(authority_at) = uri.parse_scheme() else {
                uri.path_at = target.len();
                return uri;
            };
            let rest = &target[authority_at..];
            let len = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
            uri.authority = Some(&rest[..len]);
            uri.path_at = authority_at + len;
        }
        uri.parse_path();
        uri
    }

    /// Reads `scheme://`; where the authority starts.
    fn parse_scheme(&mut self) -> Option<usize> {
        let colon = memchr::memchr(b':', self.all)?;
        let scheme = &self.all[..colon];
        let valid = scheme.first().is_some_and(u8::is_ascii_alphabetic)
            && scheme.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if !valid || !self.all[colon..].starts_with(b"://") {
            return None;
        }
        self.scheme = Some(scheme);
        Some(colon + 3)
    }

    fn parse_path(&mut self) {
        let rest = &self.all[self.path_at..];
        // A fragment only gets here in unsafe mode; it then belongs to the part it is written in.
        let mark = memchr::memchr(b'?', rest);
        let path = &rest[..mark.unwrap_or(rest.len())];
        self.path = path.starts_with(b"/").then_some(path);
        self.query = match self.path.is_some() || path.is_empty() {
            true => mark.map(|at| &rest[at + 1..]),
            false => None,
        };
    }

    /// Where the path stands in the target (empty, at its place, when there is none).
    pub fn path_range(&self) -> Range<usize> {
        self.path_at..self.path_at + self.path.map_or(0, <[u8]>::len)
    }

    /// Where the query stands in the target, its `?` included (empty, at its place, when there is none).
    pub fn query_range_with_mark(&self) -> Range<usize> {
        let start = self.path_range().end;
        start..start + self.query.map_or(0, |q| q.len() + 1)
    }

    /// Path and query together, as `pathq` gives them.
    pub fn path_and_query(&self) -> Option<&'a [u8]> {
        self.path.map(|_| &self.all[self.path_at..self.query_range_with_mark().end])
    }
}

/// An authority cut into host and port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Authority<'a> {
    /// What stands before `@`, if anything.
    pub userinfo: Option<&'a [u8]>,
    /// Host; an IPv6 address keeps its brackets. May be empty.
    pub host: &'a [u8],
    /// The port's digits (may be empty: `host:`); `None` without a colon.
    pub port: Option<&'a [u8]>,
}

impl Authority<'_> {
    /// The port as a number; `None` when there is none or it is empty.
    pub fn port_number(&self) -> Option<u16> {
        self.port.and_then(token::parse_u64).and_then(|n| u16::try_from(n).ok())
    }
}

/// Cuts an authority (or a Host value) into host and port (RFC 3986 3.2). `None` when the port is not a number
/// up to 65535, the brackets of an IPv6 address do not match, or a byte may not stand in a host.
pub fn split_authority(authority: &[u8]) -> Option<Authority<'_>> {
    let (userinfo, rest) = match memchr::memrchr(b'@', authority) {
        Some(at) => (Some(&authority[..at]), &authority[at + 1..]),
        None => (None, authority),
    };
    let host_len = match rest.first() {
        Some(b'[') => memchr::memchr(b']', rest)? + 1,
        _ => rest.iter().position(|&b| !is_host_byte(b)).unwrap_or(rest.len()),
    };
    let (host, after) = rest.split_at(host_len);
    if host.first() == Some(&b'[') && !is_ip_literal(host) {
        return None;
    }
    let port = match after {
        [] => None,
        [b':', digits @ ..] => Some(digits),
        _ => return None,
    };
    if let Some(digits) = port
        && !digits.is_empty()
        && token::parse_u64(digits).is_none_or(|n| n > 65535)
    {
        return None;
    }
    Some(Authority { userinfo, host, port })
}

/// A byte of a registered name or an IPv4 address: unreserved, percent, or a sub-delimiter.
fn is_host_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
        )
        || matches!(b, b',' | b';' | b'=')
}

/// `[` IPv6 address (with a zone) or future literal `]`.
fn is_ip_literal(host: &[u8]) -> bool {
    let inner = &host[1..host.len() - 1];
    !inner.is_empty() && inner.iter().all(|&b| b == b':' || is_host_byte(b))
}

/// Where the parameters of a target start: behind the first `?`, or behind `delim` when that is another byte
/// (`url_param`'s argument).
fn params_at(target: &[u8], delim: u8) -> Option<usize> {
    memchr::memchr(delim, target).map(|at| at + 1)
}

/// The value of a parameter of a target: `name=value` parts behind `delim` (`?` by default), cut at `&`, and at
/// `;` too when that is the delimiter. A fragment ends the parameters.
pub fn param<'a>(target: &'a [u8], name: &[u8], delim: u8, ignore_case: bool) -> Option<&'a [u8]> {
    let query = &target[params_at(target, delim)?..];
    let query = &query[..memchr::memchr(b'#', query).unwrap_or(query.len())];
    let same = |a: &[u8]| if ignore_case { a.eq_ignore_ascii_case(name) } else { a == name };
    query
        .split(|&b| b == b'&' || (b == b';' && delim == b';'))
        .filter_map(|part| memchr::memchr(b'=', part).map(|eq| (&part[..eq], &part[eq + 1..])))
        .find_map(|(key, value)| same(key).then_some(value))
}

/// The parameters of a query string in order: (name, value); a part without `=` has an empty value.
pub fn params(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|&b| b == b'&').map(|part| match memchr::memchr(b'=', part) {
        Some(eq) => (&part[..eq], &part[eq + 1..]),
        None => (part, &part[part.len()..]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str) -> Uri<'_> {
        Uri::parse(target.as_bytes(), Method::Get)
    }

    #[test]
    fn the_four_forms() {
        let u = get("/a/b?x=1?y");
        assert_eq!((u.path, u.query), (Some(&b"/a/b"[..]), Some(&b"x=1?y"[..])));
        assert_eq!(u.path_and_query(), Some(&b"/a/b?x=1?y"[..]));
        let u = get("http://u:p@h:80/p?q");
        assert_eq!((u.scheme, u.authority), (Some(&b"http"[..]), Some(&b"u:p@h:80"[..])));
        assert_eq!((u.path, u.query), (Some(&b"/p"[..]), Some(&b"q"[..])));
        let u = get("http://h?q");
        assert_eq!((u.authority, u.path, u.query), (Some(&b"h"[..]), None, Some(&b"q"[..])));
        assert_eq!(u.query_range_with_mark(), 8..10);
        let u = get("http://h");
        assert_eq!((u.authority, u.path, u.path_range()), (Some(&b"h"[..]), None, 8..8));
        let u = Uri::parse(b"h:443", Method::Connect);
        assert_eq!((u.authority, u.path, u.scheme), (Some(&b"h:443"[..]), None, None));
        for odd in ["*", "a", "a?b", "1http://h/", ":", "://", ""] {
            let u = get(odd);
            assert_eq!((u.scheme, u.authority, u.path, u.query), (None, None, None, None), "{odd}");
        }
    }

    #[test]
    fn authorities() {
        let ok = |s: &'static str| {
            split_authority(s.as_bytes()).map(|a| (a.host, a.port_number(), a.port.is_some()))
        };
        assert_eq!(ok("a"), Some((&b"a"[..], None, false)));
        assert_eq!(ok("a:80"), Some((&b"a"[..], Some(80), true)));
        assert_eq!(ok("a:"), Some((&b"a"[..], None, true)));
        assert_eq!(ok("u:p@a:1"), Some((&b"a"[..], Some(1), true)));
        assert_eq!(ok("[::1]:8080"), Some((&b"[::1]"[..], Some(8080), true)));
        assert_eq!(ok("[::1]"), Some((&b"[::1]"[..], None, false)));
        assert_eq!(ok(""), Some((&b""[..], None, false)));
        assert_eq!(ok(":"), Some((&b""[..], None, true)));
        for bad in
            ["a:8x", "a b", "a:65536", "[::1", "[]", "a:80:90", "a/b", "a\\b", "a#", "[::1]x", "a:+80", "é"]
        {
            assert_eq!(ok(bad), None, "{bad}");
        }
    }

    #[test]
    fn parameters() {
        let t = b"/p;sid=9?a=1&b=&c&A=2#d=3";
        assert_eq!(param(t, b"a", b'?', false), Some(&b"1"[..]));
        assert_eq!(param(t, b"A", b'?', false), Some(&b"2"[..]));
        assert_eq!(param(t, b"B", b'?', true), Some(&b""[..]));
        assert_eq!(param(t, b"c", b'?', false), None);
        assert_eq!(param(t, b"d", b'?', false), None);
        assert_eq!(param(b"/p;x=1;sid=9", b"sid", b';', false), Some(&b"9"[..]));
        let all: Vec<_> = params(b"a=1&b").collect();
        assert_eq!(all, [(&b"a"[..], &b"1"[..]), (b"b", b"")]);
    }
}
