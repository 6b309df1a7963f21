//! Version 1: a line of text (2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Endpoints, Error, Header, Parsed, Tlvs, V1_MAX, begins, to_v6};

const SIGNATURE: &[u8] = b"PROXY ";

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    if !begins(bytes, SIGNATURE) {
        return Err(Error::NotHeader);
    }
    let window = &bytes[..bytes.len().min(V1_MAX)];
    let Some(end) = window.iter().position(|b| matches!(b, b'\r' | b'\n')) else {
        // The line's CRLF has no room any more, or may still come.
        return if window.len() == V1_MAX { Err(Error::Invalid) } else { Ok(Parsed::Incomplete) };
    };
    match (window[end], window.get(end + 1)) {
        (b'\r', Some(b'\n')) => {}
        (b'\r', None) if window.len() < V1_MAX => return Ok(Parsed::Incomplete),
        _ => return Err(Error::Invalid),
    }
    let line = std::str::from_utf8(&window[SIGNATURE.len().min(end)..end]).map_err(|_| Error::Invalid)?;
    let header = Header { endpoints: endpoints(line)?, tlvs: Tlvs::default() };
    Ok(Parsed::Complete(header, end + 2))
}

/// What follows the signature.
fn endpoints(line: &str) -> Result<Option<Endpoints>, Error> {
    let mut words = line.split(' ');
    let (src, dst): (IpAddr, IpAddr) = match words.next() {
        // Whatever else the line says is to be ignored.
        Some("UNKNOWN") => return Ok(None),
        Some("TCP4") => (ip::<Ipv4Addr>(words.next())?, ip::<Ipv4Addr>(words.next())?),
        Some("TCP6") => (ip::<Ipv6Addr>(words.next())?, ip::<Ipv6Addr>(words.next())?),
        _ => return Err(Error::Unhandled),
    };
    let (src_port, dst_port) = (port(words.next())?, port(words.next())?);
    if words.next().is_some() {
        return Err(Error::Invalid);
    }
    Ok(Some(Endpoints { src: SocketAddr::new(src, src_port), dst: SocketAddr::new(dst, dst_port) }))
}

fn ip<A: FromStr + Into<IpAddr>>(word: Option<&str>) -> Result<IpAddr, Error> {
    word.and_then(|w| w.parse::<A>().ok()).map(Into::into).ok_or(Error::Invalid)
}

/// Digits only, and no zero in front of others.
fn port(word: Option<&str>) -> Result<u16, Error> {
    let word = word.ok_or(Error::Invalid)?;
    let canonical = word.bytes().all(|b| b.is_ascii_digit()) && (word.len() == 1 || !word.starts_with('0'));
    word.parse().ok().filter(|_| canonical).ok_or(Error::Invalid)
}

/// The header of version 1; without endpoints it is `UNKNOWN`. When one end is of IPv4 and the other of IPv6, the former
/// is written as a mapped address.
pub fn write_v1(endpoints: Option<Endpoints>) -> String {
    let Some(Endpoints { src, dst }) = endpoints else { return "PROXY UNKNOWN\r\n".to_owned() };
    let ports = (src.port(), dst.port());
    match (src.ip(), dst.ip()) {
        (IpAddr::V4(s), IpAddr::V4(d)) => format!("PROXY TCP4 {s} {d} {} {}\r\n", ports.0, ports.1),
        (s, d) => format!("PROXY TCP6 {} {} {} {}\r\n", to_v6(s), to_v6(d), ports.0, ports.1),
    }
}
