//! Keys of the hashing algorithms: what is hashed, and how.

use std::net::IpAddr;

use crate::base::hash::avalanche;
use crate::sample::to_bin;

use super::{Algorithm, BalanceConf, KeySource};

/// The hashed key of a request; `None` when the algorithm needs none or the request has none.
pub(super) fn of(conf: &BalanceConf, from: &dyn KeySource) -> Option<u32> {
    match &conf.algorithm {
        Algorithm::Source => from.source().map(|ip| source(conf, ip)),
        Algorithm::Uri { .. } => from.uri().map(|u| bytes(conf, uri(&conf.algorithm, u))),
        Algorithm::UrlParam { name, check_post } => {
            let query = from.uri().and_then(|u| memchr::memchr(b'?', u).map(|at| &u[at + 1..]));
            let found = query.and_then(|q| param(q, name));
            let found = match found {
                None if *check_post => from.body().and_then(|b| param(form(b), name)),
                f => f,
            };
            found.map(|v| bytes(conf, v))
        }
        Algorithm::Header { name, domain_only } => {
            let value = from.header(name)?;
            let value = if *domain_only { main_domain(value) } else { value };
            (!value.is_empty()).then(|| bytes(conf, value))
        }
        Algorithm::Hash(expr) | Algorithm::RdpCookie(expr) => {
            let value = to_bin(expr.0.eval(from.context()?)?)?;
            Some(bytes(conf, &value))
        }
        _ => None,
    }
}

fn bytes(conf: &BalanceConf, key: &[u8]) -> u32 {
    mix(conf, conf.function.hash(key))
}

fn mix(conf: &BalanceConf, hash: u32) -> u32 {
    if conf.avalanche { avalanche(hash) } else { hash }
}

/// The words of the address, one over the other; the hash function is not used for addresses.
fn source(conf: &BalanceConf, ip: IpAddr) -> u32 {
    let folded = match ip {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => {
            ip.octets().as_chunks::<4>().0.iter().fold(0, |h, word| h ^ u32::from_be_bytes(*word))
        }
    };
    mix(conf, folded)
}

/// The part of the URI that is hashed.
fn uri<'a>(algorithm: &Algorithm, uri: &'a [u8]) -> &'a [u8] {
    let Algorithm::Uri { whole, path_only, len, depth } = *algorithm else { return uri };
    let mut key = uri;
    if path_only {
        key = path(key);
    }
    if len > 0 {
        key = &key[..key.len().min(len)];
    }
    let mut slashes = 0;
    let end = key.iter().position(|c| match c {
        b'/' => {
            slashes += 1;
            depth > 0 && slashes == depth + 1
        }
        b'?' => !whole,
        _ => false,
    });
    &key[..end.unwrap_or(key.len())]
}

/// Without scheme and authority.
fn path(uri: &[u8]) -> &[u8] {
    if uri.first() == Some(&b'/') {
        return uri;
    }
    let Some(at) = memchr::memmem::find(uri, b"://") else { return uri };
    let authority = at + 3;
    memchr::memchr(b'/', &uri[authority..]).map_or(uri, |slash| &uri[authority + slash..])
}

/// The value of `name=value` among pairs separated by `&` (or `;`).
fn param<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|c| matches!(c, b'&' | b';')).find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

/// The start of a body that may be a form: up to the first blank or control character.
fn form(body: &[u8]) -> &[u8] {
    let end = body.iter().position(|c| *c <= b' ' || *c == 0x7f).unwrap_or(body.len());
    &body[..end]
}

/// `haproxy.1wt.eu` is `1wt`: the label before the last dot. A name without dots is itself.
fn main_domain(host: &[u8]) -> &[u8] {
    let Some(last) = memchr::memrchr(b'.', host) else { return host };
    let start = memchr::memrchr(b'.', &host[..last]).map_or(0, |d| d + 1);
    &host[start..last]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params() {
        assert_eq!(param(b"a=1&id=xy&b=2", b"id"), Some(&b"xy"[..]));
        assert_eq!(param(b"xid=1;id=2", b"id"), Some(&b"2"[..]));
        assert_eq!(param(b"id", b"id"), None);
        assert_eq!(param(b"idx=1", b"id"), None);
        assert_eq!(param(form(b"id=7 junk&id=8"), b"id"), Some(&b"7"[..]));
    }

    #[test]
    fn domains() {
        assert_eq!(main_domain(b"haproxy.1wt.eu"), b"1wt");
        assert_eq!(main_domain(b"www.example.org:8080"), b"example");
        assert_eq!(main_domain(b"example.org"), b"example");
        assert_eq!(main_domain(b"localhost"), b"localhost");
        assert_eq!(main_domain(b""), b"");
    }

    #[test]
    fn paths() {
        assert_eq!(path(b"http://h/a?b"), b"/a?b");
        assert_eq!(path(b"/a://b/c"), b"/a://b/c");
        assert_eq!(path(b"*"), b"*");
    }
}
