//! One listening socket as configured: a `bind` line with port range `8000-8009` makes ten of these.

use std::time::Duration;

use crate::base::SockAddr;
use crate::config::Loc;

use super::{ListenerId, ProxyId};

/// Owner and permissions of a Unix listening socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixOwner {
    /// Permission bits (`mode`, octal).
    pub mode: Option<u32>,
    /// Numeric owner (`uid`, or `user` resolved when the configuration is loaded).
    pub uid: Option<u32>,
    /// Numeric group (`gid`, or `group` resolved).
    pub gid: Option<u32>,
}

/// `level` of a command-line listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
#[allow(missing_docs)]
pub enum ListenerAccess {
    User,
    #[default]
    Operator,
    Admin,
}

/// Options that are set on the listening socket itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerSocket {
    /// `listen(2)` backlog; the proxy's `backlog`, else its `maxconn`, when unset.
    pub backlog: Option<u32>,
    /// `SO_BINDTODEVICE`.
    pub interface: Option<String>,
    /// `TCP_MAXSEG`; negative: the client's MSS is lowered by that much.
    pub mss: Option<i32>,
    /// `TCP_DEFER_ACCEPT`.
    pub defer_accept: bool,
    /// `TCP_FASTOPEN`.
    pub tfo: bool,
    /// `IP_TRANSPARENT`.
    pub transparent: bool,
    /// `IPV6_V6ONLY` off.
    pub v4v6: bool,
    /// `IPV6_V6ONLY` on.
    pub v6only: bool,
    /// `TCP_USER_TIMEOUT`.
    pub tcp_user_timeout: Option<Duration>,
    /// Owner of a Unix socket.
    pub unix: UnixOwner,
}

/// A listener.
#[derive(Clone, Debug)]
pub struct ListenerConf {
    /// Its position.
    pub id: ListenerId,
    /// The frontend that it feeds.
    pub proxy: ProxyId,
    /// `name`, or `sock-N` for the statistics.
    pub name: Option<String>,
    /// `id`, or the automatic number (from 1 in each proxy).
    pub uuid: u32,
    /// Where it listens.
    pub addr: SockAddr,
    /// Socket options.
    pub socket: ListenerSocket,
    /// `maxconn`: connections of this listener; the proxy's when `None`.
    pub maxconn: Option<u32>,
    /// `level`.
    pub access: ListenerAccess,
    /// `accept-proxy`: expect a PROXY protocol header first.
    pub accept_proxy: bool,
    /// `thread`: threads that serve this listener, a bit per thread from 0; 0 means all.
    pub threads: u64,
    /// The `bind` line.
    pub loc: Loc,
}
