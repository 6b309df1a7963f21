//! Keys: at most `len` bytes, compared as if padded with zeros.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::Ordering::Relaxed;

use smallvec::SmallVec;

use super::atomics::AtomicU64;

/// Type of a table's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// IPv4 address.
    Ip,
    /// IPv6 address.
    Ipv6,
    /// 32-bit integer.
    Integer,
    /// At most that many characters.
    String(u32),
    /// That many bytes; shorter ones are padded with zeros.
    Binary(u32),
}

impl KeyType {
    /// Bytes that are stored.
    pub fn len(self) -> usize {
        match self {
            KeyType::Ip | KeyType::Integer => 4,
            KeyType::Ipv6 => 16,
            KeyType::String(n) | KeyType::Binary(n) => n as usize,
        }
    }

    /// True for `string len 0` and `binary len 0`, which no configuration can say.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Name as written behind `type`.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::Ip => "ip",
            KeyType::Ipv6 => "ipv6",
            KeyType::Integer => "integer",
            KeyType::String(_) => "string",
            KeyType::Binary(_) => "binary",
        }
    }

    pub(super) fn words(self) -> usize {
        self.len().div_ceil(8)
    }

    /// The key for a string or a blob (also the raw bytes of any other type): cut to the length.
    pub fn key(self, bytes: &[u8]) -> Key<'_> {
        let bytes = &bytes[..bytes.len().min(self.len())];
        let end = match self {
            // Strings end at a NUL for our peers.
            KeyType::String(_) => memchr::memchr(0, bytes).unwrap_or(bytes.len()),
            _ => bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1),
        };
        Key { bytes: Bytes::Borrowed(&bytes[..end]) }
    }
}

#[derive(Clone, Copy, Debug)]
enum Bytes<'a> {
    Borrowed(&'a [u8]),
    Inline([u8; 16]),
}

/// A key, ready for lookups.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    bytes: Bytes<'a>,
}

impl From<Ipv4Addr> for Key<'static> {
    fn from(a: Ipv4Addr) -> Self {
        Key::inline(&a.octets())
    }
}

impl From<Ipv6Addr> for Key<'static> {
    fn from(a: Ipv6Addr) -> Self {
        Key::inline(&a.octets())
    }
}

impl From<u32> for Key<'static> {
    fn from(i: u32) -> Self {
        Key::inline(&i.to_be_bytes())
    }
}

impl Key<'_> {
    fn inline(b: &[u8]) -> Key<'static> {
        let mut bytes = [0; 16];
        bytes[..b.len()].copy_from_slice(b);
        Key { bytes: Bytes::Inline(bytes) }
    }

    fn trimmed(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Borrowed(b) => b,
            Bytes::Inline(b) => &b[..b.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1)],
        }
    }

    /// The word at that place of the stored form.
    fn word(b: &[u8], i: usize) -> u64 {
        let mut w = [0; 8];
        let rest = b.get(i * 8..).unwrap_or(&[]);
        let n = rest.len().min(8);
        w[..n].copy_from_slice(&rest[..n]);
        u64::from_le_bytes(w)
    }

    pub(super) fn hash(&self, seed: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(self.trimmed(), seed)
    }

    pub(super) fn equals(&self, stored: &[AtomicU64]) -> bool {
        let b = self.trimmed();
        stored.iter().enumerate().all(|(i, w)| w.load(Relaxed) == Key::word(b, i))
    }

    pub(super) fn store(&self, to: &[AtomicU64]) {
        let b = self.trimmed();
        for (i, w) in to.iter().enumerate() {
            w.store(Key::word(b, i), Relaxed);
        }
    }
}

/// The hash of a stored key. Takes no memory, however long the key is.
pub(super) fn stored_hash(of: KeyType, stored: &[AtomicU64], seed: u64) -> u64 {
    if of.len() <= SHORT {
        return of.key(&load(stored, of.len())).hash(seed);
    }
    let bytes = || stored.iter().flat_map(|w| w.load(Relaxed).to_le_bytes());
    let end = match of {
        KeyType::String(_) => bytes().position(|b| b == 0).unwrap_or(of.len()),
        _ => bytes().enumerate().filter(|(_, b)| *b != 0).last().map_or(0, |(last, _)| last + 1),
    };
    let mut hash = xxhash_rust::xxh3::Xxh3::with_seed(seed);
    for (i, w) in stored.iter().enumerate() {
        let n = end.saturating_sub(i * 8).min(8);
        hash.update(&w.load(Relaxed).to_le_bytes()[..n]);
    }
    hash.digest()
}

/// Keys of up to so many bytes are copied without taking memory.
const SHORT: usize = 64;

/// The stored bytes, padding included (`len` of them).
pub(super) fn load(stored: &[AtomicU64], len: usize) -> SmallVec<[u8; SHORT]> {
    collect(stored.iter().map(|w| w.load(Relaxed)), len)
}

/// The same of words that were read.
pub(super) fn bytes(stored: &[u64], len: usize) -> SmallVec<[u8; SHORT]> {
    collect(stored.iter().copied(), len)
}

fn collect(words: impl Iterator<Item = u64>, len: usize) -> SmallVec<[u8; SHORT]> {
    let mut out = SmallVec::new();
    for w in words {
        out.extend_from_slice(&w.to_le_bytes());
    }
    out.truncate(len);
    out
}
