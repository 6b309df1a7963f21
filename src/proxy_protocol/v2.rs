//! Version 2: binary (2.2).

use std::net::{IpAddr, SocketAddr};

use super::tlv::{self, Tlvs, Type};
use super::{Endpoints, Error, Header, Parsed, begins, to_v6};
use crate::base::hash::crc32c;

/// What no other protocol begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length of the rest.
pub(super) const FIXED: usize = 16;

/// Version 2 and the command, as one byte.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// Family and protocol, as one byte.
const UNSPEC: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

pub(super) fn parse(bytes: &[u8], max: usize) -> Result<Parsed, Error> {
    if !begins(bytes, SIGNATURE) {
        return Err(Error::NotHeader);
    }
    match bytes.get(SIGNATURE.len()) {
        None => return Ok(Parsed::Incomplete),
        Some(&(LOCAL | PROXY)) => {}
        Some(b) if b >> 4 == 2 => return Err(Error::Invalid),
        Some(_) => return Err(Error::NotHeader),
    }
    let Some(fixed) = bytes.first_chunk::<FIXED>() else { return Ok(Parsed::Incomplete) };
    let (command, family) = (fixed[12], fixed[13]);
    let len = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if len > max {
        return Err(Error::TooLong);
    }
    let addr_len = match (command, family) {
        // "Discard the protocol block including the family which is ignored."
        (LOCAL, _) => 0,
        (_, UNSPEC) => 0,
        (_, f) => addresses_len(f).ok_or(Error::Invalid)?,
    };
    if FIXED + addr_len > len {
        return Err(Error::Invalid);
    }
    let Some(header) = bytes.get(..len) else { return Ok(Parsed::Incomplete) };
    if command == LOCAL {
        return Ok(Parsed::Complete(Header::default(), len));
    }
    let (addresses, rest) = header[FIXED..].split_at(addr_len);
    let tlvs = Tlvs::parse(rest)?;
    verify(header, rest)?;
    let endpoints = match family {
        TCP4 => read_endpoints::<4>(addresses),
        TCP6 => read_endpoints::<16>(addresses),
        // Combinations that are valid and not used on TCP: as if nothing were said (2.2).
        _ => None,
    };
    Ok(Parsed::Complete(Header { endpoints, tlvs }, len))
}

/// The length of the addresses of a family and protocol that the specification knows.
fn addresses_len(family: u8) -> Option<usize> {
    if family & 0xf > 2 {
        return None;
    }
    match family >> 4 {
        0 => Some(0),
        1 => Some(2 * 4 + 2 * 2),
        2 => Some(2 * 16 + 2 * 2),
        3 => Some(2 * 108),
        _ => None,
    }
}

/// Source, destination, source port, destination port.
fn read_endpoints<const N: usize>(bytes: &[u8]) -> Option<Endpoints>
where
    IpAddr: From<[u8; N]>,
{
    let (src, rest) = bytes.split_first_chunk::<N>()?;
    let (dst, rest) = rest.split_first_chunk::<N>()?;
    let (src_port, rest) = rest.split_first_chunk::<2>()?;
    let dst_port = rest.first_chunk::<2>()?;
    let addr = |ip: &[u8; N], port| SocketAddr::new(IpAddr::from(*ip), u16::from_be_bytes(port));
    Some(Endpoints { src: addr(src, *src_port), dst: addr(dst, *dst_port) })
}

/// Compares the checksum, if there is one (2.2.3): that of the header with zeroes in its place.
fn verify(header: &[u8], tlvs: &[u8]) -> Result<(), Error> {
    let start = header.len() - tlvs.len();
    for (at, ty, value) in tlv::places(tlvs) {
        if ty != Type::CRC32C.0 {
            continue;
        }
        let said = <[u8; 4]>::try_from(value).map_err(|_| Error::Invalid)?;
        let mut zeroed = header.to_vec();
        zeroed[start + at..][..4].fill(0);
        if crc32c(&zeroed) != u32::from_be_bytes(said) {
            return Err(Error::Invalid);
        }
    }
    Ok(())
}

/// A header of version 2 in the making.
#[derive(Clone, Debug)]
pub struct V2 {
    bytes: Vec<u8>,
    checksum: bool,
}

impl V2 {
    /// For a connection of our own (`LOCAL`).
    pub fn local() -> V2 {
        V2::new(LOCAL, UNSPEC)
    }

    /// For a client's connection (`PROXY`); without endpoints its family is unspecified. When one end is of IPv4 and
    /// the other of IPv6, the former is written as a mapped address.
    pub fn proxy(endpoints: Option<Endpoints>) -> V2 {
        let Some(Endpoints { src, dst }) = endpoints else { return V2::new(PROXY, UNSPEC) };
        let mut new;
        match (src.ip(), dst.ip()) {
            (IpAddr::V4(s), IpAddr::V4(d)) => {
                new = V2::new(PROXY, TCP4);
                new.bytes.extend_from_slice(&s.octets());
                new.bytes.extend_from_slice(&d.octets());
            }
            (s, d) => {
                new = V2::new(PROXY, TCP6);
                new.bytes.extend_from_slice(&to_v6(s).octets());
                new.bytes.extend_from_slice(&to_v6(d).octets());
            }
        }
        new.bytes.extend_from_slice(&src.port().to_be_bytes());
        new.bytes.extend_from_slice(&dst.port().to_be_bytes());
        new
    }

    fn new(command: u8, family: u8) -> V2 {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[command, family, 0, 0]);
        V2 { bytes, checksum: false }
    }

    /// Bytes that a header of the length field's maximum has left for TLVs.
    fn room(&self) -> usize {
        let checksum = if self.checksum { tlv::HEAD + 4 } else { 0 };
        (super::V2_MAX - checksum).saturating_sub(self.bytes.len())
    }

    /// Adds a TLV. False, and nothing added, when there is no room for it.
    pub fn tlv(&mut self, ty: Type, value: &[u8]) -> bool {
        match u16::try_from(value.len()) {
            Ok(len) if tlv::HEAD + value.len() <= self.room() => {
                self.bytes.push(ty.0);
                self.bytes.extend_from_slice(&len.to_be_bytes());
                self.bytes.extend_from_slice(value);
                true
            }
            _ => false,
        }
    }

    /// Adds a checksum.
    pub fn checksum(&mut self) {
        self.checksum = self.checksum || self.room() >= tlv::HEAD + 4;
    }

    /// The header.
    pub fn finish(mut self) -> Vec<u8> {
        if self.checksum {
            self.bytes.extend_from_slice(&[Type::CRC32C.0, 0, 4, 0, 0, 0, 0]);
        }
        // `room` has kept it below 64 KiB.
        let len = u16::try_from(self.bytes.len() - FIXED).unwrap_or(u16::MAX);
        self.bytes[14..FIXED].copy_from_slice(&len.to_be_bytes());
        if self.checksum {
            let sum = crc32c(&self.bytes);
            let at = self.bytes.len() - 4;
            self.bytes[at..].copy_from_slice(&sum.to_be_bytes());
        }
        self.bytes
    }
}
