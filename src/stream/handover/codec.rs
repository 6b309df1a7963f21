//! Bytes of a connection's state: integers in little endian, strings and lists behind their length.
//!
//! The other side is a program of the same protocol version, but not to be trusted further than its messages go: every
//! length is checked, and what is left over makes a message invalid.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::base::time::{Mono, Wall};
use crate::sample::Value;

/// A message that says nothing sensible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Something that goes over.
pub(super) trait Code: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// What is left of a message.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub fn end(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    fn bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes(N)?.try_into().map_err(|_| Malformed)
    }

    /// The length of a list whose entries take at least a byte each.
    fn count(&mut self) -> Result<usize, Malformed> {
        let n = u32::get(self)? as usize;
        if n > self.rest.len() { Err(Malformed) } else { Ok(n) }
    }
}

macro_rules! integers {
    ($($t:ty)*) => {$(
        impl Code for $t {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                from.array().map(<$t>::from_le_bytes)
            }
        }
    )*};
}

integers! { u8 u16 u32 u64 i64 }

impl Code for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }
}

fn put_len(n: usize, out: &mut Vec<u8>) {
    // A message that is too long for its channel is not sent at all: no need to refuse one here.
    u32::try_from(n).unwrap_or(u32::MAX).put(out);
}

/// Bytes; a list of anything else is a `Vec` of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Code for Blob {
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.0.len(), out);
        out.extend_from_slice(&self.0);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let n = from.count()?;
        Ok(Blob(from.bytes(n)?.to_vec()))
    }
}

impl Code for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let Blob(bytes) = Blob::get(from)?;
        String::from_utf8(bytes).map_err(|_| Malformed)
    }
}

impl<T: Code> Code for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.len(), out);
        self.iter().for_each(|v| v.put(out));
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let n = from.count()?;
        // No capacity in advance: the length is only a claim.
        let mut all = Vec::new();
        for _ in 0..n {
            all.push(T::get(from)?);
        }
        Ok(all)
    }
}

impl<T: Code> Code for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(v) = self {
            v.put(out);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(if bool::get(from)? { Some(T::get(from)?) } else { None })
    }
}

impl<A: Code, B: Code> Code for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok((A::get(from)?, B::get(from)?))
    }
}

impl Code for Mono {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        u64::get(from).map(Mono)
    }
}

impl Code for Wall {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        u64::get(from).map(Wall)
    }
}

/// In nanoseconds.
impl Code for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX).put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        u64::get(from).map(Duration::from_nanos)
    }
}

impl Code for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            IpAddr::V4(a) => {
                out.push(4);
                out.extend_from_slice(&a.octets());
            }
            IpAddr::V6(a) => {
                out.push(6);
                out.extend_from_slice(&a.octets());
            }
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            4 => Ok(Ipv4Addr::from(from.array::<4>()?).into()),
            6 => Ok(Ipv6Addr::from(from.array::<16>()?).into()),
            _ => Err(Malformed),
        }
    }
}

impl Code for SocketAddr {
    fn put(&self, out: &mut Vec<u8>) {
        self.ip().put(out);
        self.port().put(out);
        let scope = if let SocketAddr::V6(a) = self { a.scope_id() } else { 0 };
        scope.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut addr = SocketAddr::new(IpAddr::get(from)?, u16::get(from)?);
        let scope = u32::get(from)?;
        if let SocketAddr::V6(a) = &mut addr {
            a.set_scope_id(scope);
        }
        Ok(addr)
    }
}

impl Code for Value {
    fn put(&self, out: &mut Vec<u8>) {
        let mut text = |kind, bytes: &Vec<u8>| {
            out.push(kind);
            put_len(bytes.len(), out);
            out.extend_from_slice(bytes);
        };
        match self {
            Value::Str(v) => text(b's', v),
            Value::Bin(v) => text(b'b', v),
            Value::Meth(v) => text(b'm', v),
            Value::Bool(v) => (b'?', *v).put(out),
            Value::Int(v) => (b'i', *v).put(out),
            Value::Ip(v) => (b'a', *v).put(out),
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match u8::get(from)? {
            b's' => Value::Str(Blob::get(from)?.0),
            b'b' => Value::Bin(Blob::get(from)?.0),
            b'm' => Value::Meth(Blob::get(from)?.0),
            b'?' => Value::Bool(bool::get(from)?),
            b'i' => Value::Int(i64::get(from)?),
            b'a' => Value::Ip(IpAddr::get(from)?),
            _ => return Err(Malformed),
        })
    }
}

/// A struct whose fields go over in order.
macro_rules! coded {
    ($(#[$meta:meta])* pub(super) struct $name:ident { $($(#[$fmeta:meta])* $field:ident: $t:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(super) struct $name { $($(#[$fmeta])* pub $field: $t,)* }

        impl Code for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                $(let $field = <$t>::get(from)?;)*
                Ok($name { $($field,)* })
            }
        }
    };
}
pub(super) use coded;
