//! Socket addresses as the kernel knows them.

use std::fmt;
use std::net::SocketAddr;

/// The address of a stream or datagram socket.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SockAddr {
    /// IPv4 or IPv6 address and port.
    Ip(SocketAddr),
    /// File system path of a Unix socket, at most 107 bytes.
    Unix(Box<[u8]>),
    /// Linux abstract Unix socket name (`abns@`), without the leading NUL. Empty for an unnamed peer.
    Abstract(Box<[u8]>),
}

impl SockAddr {
    /// The IP address and port, when this is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            SockAddr::Ip(a) => Some(*a),
            _ => None,
        }
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(a: SocketAddr) -> Self {
        SockAddr::Ip(a)
    }
}

impl fmt::Display for SockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SockAddr::Ip(a) => a.fmt(f),
            SockAddr::Unix(p) => write!(f, "unix@{}", String::from_utf8_lossy(p)),
            SockAddr::Abstract(p) => write!(f, "abns@{}", String::from_utf8_lossy(p)),
        }
    }
}
