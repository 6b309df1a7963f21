//! Typed values: what fetches yield and converters transform.

use std::net::IpAddr;

use super::Buf;

/// The type of a sample as the configuration's checks see it. Manual section 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Not known before evaluation (a variable), or a converter that takes anything.
    Any,
    /// A converter's output that has the type of its input.
    Same,
    /// Boolean.
    Bool,
    /// Signed 64-bit integer.
    Int,
    /// IPv4 or IPv6 address, known at evaluation only.
    Addr,
    /// IPv4 address.
    Ipv4,
    /// IPv6 address.
    Ipv6,
    /// String.
    Str,
    /// Binary block.
    Bin,
    /// HTTP method.
    Meth,
}

impl Type {
    /// The name used in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Type::Any => "any",
            Type::Same => "same",
            Type::Bool => "bool",
            Type::Int => "sint",
            Type::Addr => "addr",
            Type::Ipv4 => "ipv4",
            Type::Ipv6 => "ipv6",
            Type::Str => "str",
            Type::Bin => "bin",
            Type::Meth => "meth",
        }
    }

    /// True when a sample of this type can be cast to `to` (it may still fail at
    /// evaluation, as a string that is no address does).
    pub const fn casts_to(self, to: Type) -> bool {
        use Type::*;
        match (self, to) {
            (Any | Same, _) | (_, Any | Same) => true,
            (Bool, Bool | Int | Str | Bin) => true,
            (Bool, _) => false,
            (Int, Meth) => false,
            (Int, _) => true,
            (Addr | Ipv4, Int) => true,
            (Addr | Ipv4 | Ipv6, Addr | Ipv4 | Ipv6 | Str | Bin) => true,
            (Addr | Ipv4 | Ipv6, _) => false,
            (Str, _) => true,
            (Bin, Str | Bin) => true,
            (Bin, _) => false,
            (Meth, Str | Bin | Meth) => true,
            (Meth, _) => false,
        }
    }
}

/// A value. Text and binary either borrow from the message or own pooled scratch memory.
#[derive(Debug)]
pub enum Sample<'a> {
    /// Boolean.
    Bool(bool),
    /// Signed 64-bit integer.
    Int(i64),
    /// Address.
    Ip(IpAddr),
    /// Text (any bytes; HTTP does not promise UTF-8).
    Str(Buf<'a>),
    /// Binary.
    Bin(Buf<'a>),
    /// HTTP method, as its name.
    Meth(Buf<'a>),
}

impl<'a> Sample<'a> {
    /// A string that borrows.
    pub fn str(s: &'a [u8]) -> Sample<'a> {
        Sample::Str(Buf::Borrowed(s))
    }

    /// The sample's own type.
    pub fn ty(&self) -> Type {
        match self {
            Sample::Bool(_) => Type::Bool,
            Sample::Int(_) => Type::Int,
            Sample::Ip(IpAddr::V4(_)) => Type::Ipv4,
            Sample::Ip(IpAddr::V6(_)) => Type::Ipv6,
            Sample::Str(_) => Type::Str,
            Sample::Bin(_) => Type::Bin,
            Sample::Meth(_) => Type::Meth,
        }
    }

    /// The bytes of a string, binary or method sample.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Sample::Str(b) | Sample::Bin(b) | Sample::Meth(b) => Some(b),
            _ => None,
        }
    }
}
