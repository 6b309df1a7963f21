//! Socket addresses, as values and as the kernel lays them out.

use std::fmt;
use std::mem::{MaybeUninit, offset_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The address of a stream or datagram socket.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SockAddr {
    /// IPv4 or IPv6 address and port.
    Ip(SocketAddr),
    /// File system path of a Unix socket, at most 107 bytes. Empty for an unnamed peer.
    Unix(Box<[u8]>),
    /// Linux abstract Unix socket name (`abns@`), without the leading NUL.
    Abstract(Box<[u8]>),
}

/// Bytes that a Unix path or abstract name may have (`sun_path` less the NUL).
pub const UNIX_PATH_MAX: usize = 107;

impl SockAddr {
    /// The IP address and port, when this is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            SockAddr::Ip(a) => Some(*a),
            _ => None,
        }
    }

    /// A Unix socket's path.
    pub fn unix(path: impl AsRef<[u8]>) -> SockAddr {
        SockAddr::Unix(path.as_ref().into())
    }

    /// True for paths and abstract names.
    pub fn is_unix(&self) -> bool {
        !matches!(self, SockAddr::Ip(_))
    }

    /// The kernel's address family.
    pub fn family(&self) -> i32 {
        match self {
            SockAddr::Ip(SocketAddr::V4(_)) => libc::AF_INET,
            SockAddr::Ip(SocketAddr::V6(_)) => libc::AF_INET6,
            _ => libc::AF_UNIX,
        }
    }
}

impl SockAddr {
    /// The address that a configured one means to the kernel; `None` for descriptors.
    pub fn configured(addr: &crate::base::SockAddr) -> Option<SockAddr> {
        use crate::base::SockAddr as Configured;
        Some(match addr {
            Configured::Inet(a) => SockAddr::Ip(*a),
            Configured::Unix(path) => SockAddr::Unix(path.clone()),
            Configured::Abstract(name) => {
                // HAProxy's abstract names fill the whole of `sun_path`; those of `abnsz@` do not.
                let mut name = name.to_vec();
                name.resize(UNIX_PATH_MAX, 0);
                SockAddr::Abstract(name.into())
            }
            Configured::AbstractZ(name) => SockAddr::Abstract(name.clone()),
            Configured::Fd(_) | Configured::SockPair(_) => return None,
        })
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

/// A `sockaddr_storage` with its length.
#[derive(Clone, Copy)]
pub struct RawAddr {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl fmt::Debug for RawAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parse().fmt(f)
    }
}

impl RawAddr {
    /// Lays `addr` out for the kernel. An over-long Unix path is cut; `check` refuses it before.
    pub fn new(addr: &SockAddr) -> RawAddr {
        match addr {
            SockAddr::Ip(SocketAddr::V4(a)) => RawAddr::of(&libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: a.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(a.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SockAddr::Ip(SocketAddr::V6(a)) => RawAddr::of(&libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: a.port().to_be(),
                sin6_flowinfo: a.flowinfo().to_be(),
                sin6_addr: libc::in6_addr { s6_addr: a.ip().octets() },
                sin6_scope_id: a.scope_id(),
            }),
            SockAddr::Unix(path) => RawAddr::of_unix(path, 0, 1),
            SockAddr::Abstract(name) => RawAddr::of_unix(name, 1, 0),
        }
    }

    fn of_unix(name: &[u8], skip: usize, nul: usize) -> RawAddr {
        let mut un = libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
        let n = name.len().min(UNIX_PATH_MAX);
        for (to, from) in un.sun_path[skip..].iter_mut().zip(&name[..n]) {
            *to = *from as libc::c_char;
        }
        let mut raw = RawAddr::of(&un);
        raw.len = (offset_of!(libc::sockaddr_un, sun_path) + skip + n + nul) as u32;
        raw
    }

    fn of<T: Copy>(a: &T) -> RawAddr {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        // SAFETY: every sockaddr type fits into the storage (checked above), which has the strictest alignment.
        unsafe { storage.as_mut_ptr().cast::<T>().write(*a) };
        // SAFETY: zeroed before, and integers throughout.
        RawAddr { storage: unsafe { storage.assume_init() }, len: size_of::<T>() as u32 }
    }

    /// Room for the kernel to write an address into.
    pub fn empty() -> RawAddr {
        // SAFETY: integers throughout; zero is valid.
        let storage = unsafe { std::mem::zeroed() };
        RawAddr { storage, len: size_of::<libc::sockaddr_storage>() as u32 }
    }

    /// Pointer and length for a system call.
    pub fn as_ptr(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        ((&raw const self.storage).cast(), self.len)
    }

    /// Pointers for a system call that writes an address.
    pub(super) fn as_mut_ptr(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        ((&raw mut self.storage).cast(), &raw mut self.len)
    }

    /// Reads back what the kernel wrote. Unknown families are `None`.
    pub fn parse(&self) -> Option<SockAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                let a = self.view::<libc::sockaddr_in>();
                let ip = Ipv4Addr::from(a.sin_addr.s_addr.to_ne_bytes());
                Some(SockAddr::Ip(SocketAddrV4::new(ip, u16::from_be(a.sin_port)).into()))
            }
            libc::AF_INET6 => {
                let a = self.view::<libc::sockaddr_in6>();
                let ip = Ipv6Addr::from(a.sin6_addr.s6_addr);
                let port = u16::from_be(a.sin6_port);
                Some(match ip.to_ipv4_mapped() {
                    // A client of a v4v6 listener is an IPv4 client to everyone else (logs, ACLs).
                    Some(v4) => SockAddr::Ip(SocketAddrV4::new(v4, port).into()),
                    None => {
                        SockAddr::Ip(SocketAddrV6::new(ip, port, a.sin6_flowinfo, a.sin6_scope_id).into())
                    }
                })
            }
            libc::AF_UNIX => {
                let a = self.view::<libc::sockaddr_un>();
                let n = (self.len as usize).saturating_sub(offset_of!(libc::sockaddr_un, sun_path));
                let bytes: Vec<u8> = a.sun_path[..n.min(108)].iter().map(|&c| c as u8).collect();
                Some(match bytes.split_first() {
                    Some((0, name)) => SockAddr::Abstract(name.into()),
                    _ => SockAddr::Unix(bytes.split(|&b| b == 0).next().unwrap_or(&[]).into()),
                })
            }
            _ => None,
        }
    }

    fn view<T: Copy>(&self) -> T {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: the storage is as large and as strictly aligned as any sockaddr, fully initialised, and the sockaddr
        // types are integers throughout.
        unsafe { (&raw const self.storage).cast::<T>().read() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_layout_and_back() {
        for text in ["127.0.0.1:80", "[2001:db8::1]:443", "0.0.0.0:0"] {
            let addr = SockAddr::Ip(text.parse().unwrap());
            assert_eq!(RawAddr::new(&addr).parse(), Some(addr));
        }
        for addr in [SockAddr::unix("/run/x.sock"), SockAddr::Abstract(b"name"[..].into())] {
            assert_eq!(RawAddr::new(&addr).parse(), Some(addr));
        }
        let mapped = SockAddr::Ip("[::ffff:10.0.0.1]:8".parse().unwrap());
        assert_eq!(RawAddr::new(&mapped).parse(), Some(SockAddr::Ip("10.0.0.1:8".parse().unwrap())));
    }
}
