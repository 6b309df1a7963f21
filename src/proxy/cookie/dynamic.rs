//! Dynamic cookies: the value is a hash of the server's address and a secret.

use std::net::IpAddr;

use xxhash_rust::xxh64::xxh64;

use crate::base::SockAddr;

/// The cookie value of a server at `addr`: 16 hexadecimal digits. `None` for other than internet addresses.
///
/// Hashed are the key, the address, and the port as a 32-bit big-endian number, in this order; that is what
/// HAProxy hashes, so a farm may run both.
pub fn dynamic_value(key: &[u8], addr: &SockAddr) -> Option<Vec<u8>> {
    let addr = addr.inet()?;
    let mut input = Vec::with_capacity(20 + key.len());
    input.extend_from_slice(key);
    match addr.ip() {
        IpAddr::V4(ip) => input.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => input.extend_from_slice(&ip.octets()),
    }
    input.extend_from_slice(&u32::from(addr.port()).to_be_bytes());
    Some(format!("{:016x}", xxh64(&input, 0)).into_bytes())
}
