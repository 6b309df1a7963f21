//! What can be read from the first bytes of a TLS connection without decrypting it (RFC 8446 4.1.2, RFC 6066 3).

use crate::sample::{Buf, Scratch};

/// Reads big-endian numbers and counted blocks; every read may run out of bytes.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    fn number(&mut self, size: usize) -> Option<usize> {
        Some(self.take(size)?.iter().fold(0, |v, c| (v << 8) | usize::from(*c)))
    }
    /// A block behind its length of `size` bytes.
    fn block(&mut self, size: usize) -> Option<Reader<'a>> {
        let n = self.number(size)?;
        self.take(n).map(Reader)
    }
}

/// The type of the handshake message in the first record.
pub(super) fn hello_type(b: &[u8]) -> Option<i64> {
    let mut r = Reader(b);
    if r.number(1)? != 0x16 || r.number(1)? != 3 {
        return None;
    }
    r.take(3)?;
    r.number(1).map(|t| t as i64)
}

/// Whatever follows, this is no record of a handshake.
pub(super) fn is_none(b: &[u8]) -> bool {
    !matches!(b, [] | [0x16] | [0x16, 3, ..])
}

/// The first record is whole.
pub(super) fn is_whole(b: &[u8]) -> bool {
    let mut r = Reader(b);
    r.take(3).is_some() && r.block(2).is_some()
}

/// The version in the client hello as major * 65536 + minor, so that it compares as `3.1`.
pub(super) fn version(b: &[u8]) -> Option<i64> {
    let mut hello = client_hello(b)?;
    let (major, minor) = (hello.number(1)?, hello.number(1)?);
    Some(((major << 16) + minor) as i64)
}

/// The body of the client hello in the first record.
fn client_hello(b: &[u8]) -> Option<Reader<'_>> {
    let mut r = Reader(b);
    if r.number(1)? != 0x16 || r.number(1)? != 3 {
        return None;
    }
    r.take(1)?;
    let mut record = r.block(2)?;
    if record.number(1)? != 1 {
        return None;
    }
    record.block(3)
}

/// The extension of that type.
fn extension(b: &[u8], wanted: usize) -> Option<Reader<'_>> {
    let mut hello = client_hello(b)?;
    hello.take(2 + 32)?;
    hello.block(1)?;
    hello.block(2)?;
    hello.block(1)?;
    let mut all = hello.block(2)?;
    loop {
        let kind = all.number(2)?;
        let body = all.block(2)?;
        if kind == wanted {
            return Some(body);
        }
    }
}

/// The host name of the server_name extension.
pub(super) fn server_name(b: &[u8]) -> Option<&[u8]> {
    let mut list = extension(b, 0)?.block(2)?;
    loop {
        let kind = list.number(1)?;
        let name = list.block(2)?;
        if kind == 0 {
            return Some(name.0);
        }
    }
}

/// The protocol names of the ALPN extension.
pub(super) fn alpn(b: &[u8]) -> Option<Buf<'static>> {
    let mut list = extension(b, 16)?.block(2)?;
    let mut out = Scratch::new();
    while !list.0.is_empty() {
        if !out.is_empty() {
            out.vec().push(b',');
        }
        out.vec().extend_from_slice(list.block(1)?.0);
    }
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Vec<u8> {
        let ext =
            |kind: u16, body: &[u8]| [&kind.to_be_bytes(), &(body.len() as u16).to_be_bytes(), body].concat();
        let sni = ext(0, b"\x00\x0e\x00\x00\x0bexample.org");
        let alpn = ext(16, b"\x00\x0c\x02h2\x08http/1.1");
        let exts = [alpn, sni].concat();
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend((exts.len() as u16).to_be_bytes());
        body.extend(exts);
        let mut msg = vec![1, 0];
        msg.extend((body.len() as u16).to_be_bytes());
        msg.extend(body);
        let mut rec = vec![0x16, 3, 1];
        rec.extend((msg.len() as u16).to_be_bytes());
        rec.extend(msg);
        rec
    }

    #[test]
    fn reads_a_client_hello() {
        let h = hello();
        assert_eq!(hello_type(&h), Some(1));
        assert_eq!(version(&h), Some((3 << 16) + 3));
        assert_eq!(server_name(&h), Some(&b"example.org"[..]));
        assert_eq!(alpn(&h).map(|b| b.to_vec()), Some(b"h2,http/1.1".to_vec()));
    }

    #[test]
    fn every_prefix_is_harmless() {
        let h = hello();
        for n in 0..h.len() {
            assert_eq!(server_name(&h[..n]), None);
        }
    }
}
