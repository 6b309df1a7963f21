//! Socket options of binds and connects, as plain data.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::sys::socket::IntOpt;

/// TCP keep-alive probing; an unset value is the system's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Seconds of silence before the first probe (`TCP_KEEPIDLE`).
    pub idle_s: Option<u32>,
    /// Seconds between probes (`TCP_KEEPINTVL`).
    pub interval_s: Option<u32>,
    /// Probes before the connection is dropped (`TCP_KEEPCNT`).
    pub count: Option<u32>,
}

impl Keepalive {
    /// As socket options.
    pub(super) fn options(&self) -> impl Iterator<Item = (IntOpt, i32)> + use<> {
        let value = |v: Option<u32>| v.map(|v| i32::try_from(v).unwrap_or(i32::MAX));
        [
            (IntOpt::KEEP_ALIVE, Some(1)),
            (IntOpt::KEEP_IDLE, value(self.idle_s)),
            (IntOpt::KEEP_INTERVAL, value(self.interval_s)),
            (IntOpt::KEEP_COUNT, value(self.count)),
        ]
        .into_iter()
        .filter_map(|(opt, value)| Some((opt, value?)))
    }
}

/// The local side of an outgoing connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Address to bind to.
    pub ip: IpAddr,
    /// Ports to try in turn; `None` lets the kernel choose at connect time (`IP_BIND_ADDRESS_NO_PORT`).
    pub ports: Option<RangeInclusive<u16>>,
    /// The address is not ours (`IP_TRANSPARENT`, needs CAP_NET_ADMIN).
    pub transparent: bool,
}

/// Options of an outgoing connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOpts {
    /// `source`.
    pub source: Option<Source>,
    /// `interface`: bind to a device (`SO_BINDTODEVICE`).
    pub interface: Option<String>,
    /// Packet mark (`SO_MARK`).
    pub mark: Option<u32>,
    /// `TCP_MAXSEG`.
    pub mss: Option<u32>,
    /// `TCP_FASTOPEN_CONNECT`.
    pub tfo: bool,
    /// Send small segments at once (`TCP_NODELAY`). `Default` leaves it off: set it.
    pub nodelay: bool,
    /// Keep-alive probes.
    pub keepalive: Option<Keepalive>,
    /// `TCP_USER_TIMEOUT` in milliseconds.
    pub user_timeout_ms: Option<u32>,
    /// Kernel send buffer in bytes.
    pub send_buffer: Option<u32>,
    /// Kernel receive buffer in bytes.
    pub recv_buffer: Option<u32>,
    /// Network namespace file to open the socket in.
    pub namespace: Option<String>,
}

/// Mode and owner of a Unix listener's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixOwner {
    /// File mode.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

/// Options of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindOpts {
    /// Length of the accept queue; `None`: the system's maximum.
    pub backlog: Option<u32>,
    /// IPv6 only (`v6only`).
    pub v6only: bool,
    /// IPv6 with IPv4 mapped (`v4v6`). Neither: the system's default.
    pub v4v6: bool,
    /// Seconds to wait for data before a connection is accepted (`TCP_DEFER_ACCEPT`).
    pub defer_accept_s: Option<u32>,
    /// `TCP_MAXSEG`.
    pub mss: Option<u32>,
    /// Device to bind to (`SO_BINDTODEVICE`).
    pub interface: Option<String>,
    /// Address need not be ours (`IP_TRANSPARENT`).
    pub transparent: bool,
    /// Address need not exist yet (`IP_FREEBIND`).
    pub freebind: bool,
    /// Fast-open queue length (`TCP_FASTOPEN`).
    pub tfo: Option<u32>,
    /// `TCP_USER_TIMEOUT` in milliseconds, inherited by accepted sockets.
    pub user_timeout_ms: Option<u32>,
    /// Keep-alive probes, inherited by accepted sockets.
    pub keepalive: Option<Keepalive>,
    /// `TCP_NODELAY`, inherited by accepted sockets.
    pub nodelay: bool,
    /// No `SO_REUSEPORT` (`noreuseport`): one socket for the whole process.
    pub no_reuseport: bool,
    /// Kernel send buffer of accepted sockets in bytes.
    pub send_buffer: Option<u32>,
    /// Kernel receive buffer of accepted sockets in bytes.
    pub recv_buffer: Option<u32>,
    /// Mode and owner of a Unix socket's file.
    pub unix: UnixOwner,
    /// Network namespace file to open the socket in.
    pub namespace: Option<String>,
}
