//! The PROXY protocol, versions 1 and 2: a header at the start of a connection that says whose connection it was
//! before a proxy took it. Pure: bytes in, header out, and back.
//!
//! The sections named here are those of the specification (`proxy-protocol.txt` of 2025).
//!
//! Stricter than the text where it leaves a choice: a version 1 line has exactly its fields, each in its one canonical
//! form. More patient: a header may come in pieces, since nothing but its own length says how TCP cuts it.

mod tlv;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub use tlv::{Tlvs, Type};
pub use v1::write_v1;
pub use v2::V2;

/// The longest header of version 1 (2.1): the worst case of `UNKNOWN`, with its CRLF.
pub const V1_MAX: usize = 107;

/// The longest header of version 2: its fixed part, and as much as its length field can say.
pub const V2_MAX: usize = v2::FIXED + u16::MAX as usize;

/// The endpoints of the connection that a proxy speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The client.
    pub src: SocketAddr,
    /// Where it connected to.
    pub dst: SocketAddr,
}

/// A header that was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The endpoints; `None`: those of the connection itself hold (`LOCAL`, `UNKNOWN`, and families that are not the
    /// Internet's).
    pub endpoints: Option<Endpoints>,
    /// What else it says; nothing in version 1 and in `LOCAL`.
    pub tlvs: Tlvs,
}

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header.
    Incomplete,
    /// A header, and its length: what follows belongs to the client.
    Complete(Header, usize),
}

/// Why the bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// They do not begin as a header of either version does.
    #[error("not a PROXY protocol header")]
    NotHeader,
    /// They begin as one and go on as none.
    #[error("invalid PROXY protocol header")]
    Invalid,
    /// A protocol that version 1 does not know.
    #[error("unhandled protocol in the PROXY protocol header")]
    Unhandled,
    /// A header of version 2 that says it is longer than the caller takes.
    #[error("PROXY protocol header too long")]
    TooLong,
}

/// Parses the header at the start of `bytes`. One of version 2 may be `max` bytes long.
///
/// # Errors
/// As soon as no continuation could make a header of the bytes; the verdict does not depend on how much more there is.
pub fn parse(bytes: &[u8], max: usize) -> Result<Parsed, Error> {
    match bytes.first() {
        None => Ok(Parsed::Incomplete),
        Some(b'P') => v1::parse(bytes),
        Some(_) => v2::parse(bytes, max),
    }
}

/// The address as one of IPv6: a header has one family for both ends.
fn to_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(a) => a.to_ipv6_mapped(),
        IpAddr::V6(a) => a,
    }
}

/// Whether `bytes` begin with `signature`, as far as they go.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let n = bytes.len().min(signature.len());
    bytes[..n] == signature[..n]
}
