//! One server as configured.

use std::time::Duration;

use crate::base::SockAddr;
use crate::base::addr::AddrSpec;
use crate::config::Loc;
use crate::log::LogFormat;
use crate::net::Source;
use crate::proxy_protocol::Type;

use super::check::ServerCheck;
use super::{ProxyId, ServerId};

/// `usesrc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UseSource {
    /// `client`: the client's address and port.
    Client,
    /// `clientip`: the client's address, any port.
    ClientIp,
    /// `hdr_ip(name[,occ])`: an address from a request header.
    HeaderIp {
        /// Header name.
        name: Vec<u8>,
        /// Occurrence: from 1, negative from the end.
        occurrence: i32,
    },
    /// A fixed foreign address.
    Address(SockAddr),
}

/// `source` as resolved.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SourceAddr {
    /// Local address to bind before connecting.
    pub addr: Option<SockAddr>,
    /// Local port range, both ends included; 0-0: any port.
    pub ports: (u16, u16),
    /// Transparent proxying.
    pub usesrc: Option<UseSource>,
    /// `interface`: `SO_BINDTODEVICE`.
    pub interface: Option<String>,
}

/// `source` as written: like [`SourceAddr`], with names not yet resolved.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SourceSpec {
    /// Local address.
    pub addr: Option<AddrSpec>,
    /// Transparent proxying.
    pub usesrc: Option<UseSource>,
    /// `interface`.
    pub interface: Option<String>,
}

impl SourceAddr {
    /// The local side of connections, when it is a fixed address.
    pub fn fixed(&self) -> Option<Source> {
        let ip = self.addr.as_ref()?.inet()?;
        let ports = match self.ports {
            (0, 0) if ip.port() != 0 => Some(ip.port()..=ip.port()),
            (0, 0) => None,
            (low, high) => Some(low..=high),
        };
        Some(Source { ip: ip.ip(), ports, transparent: false })
    }
}

/// Version of the PROXY protocol.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderVersion {
    V1,
    V2,
}

/// `send-proxy`, `send-proxy-v2`, `proxy-v2-options`: a header in front of what a server gets. All but the version is for
/// version 2 only.
#[derive(Clone, Debug)]
pub struct SendProxy {
    /// The version.
    pub version: HeaderVersion,
    /// `crc32c`.
    pub checksum: bool,
    /// `unique-id`.
    pub unique_id: bool,
    /// `ssl` and what is a part of it.
    pub ssl: bool,
    /// `set-proxy-v2-tlv-fmt`; a type without a format has an empty value.
    pub tlvs: Vec<(Type, Option<LogFormat>)>,
}

/// A server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its position in the live records.
    pub id: ServerId,
    /// The backend it belongs to.
    pub proxy: ProxyId,
    /// Its position in `Backend::servers`.
    pub index: usize,
    /// Name.
    pub name: String,
    /// `id`, or the automatic number (from 1 in each backend).
    pub uuid: u32,
    /// The number was written (`id`).
    pub id_written: bool,
    /// The host as written, when it was a name.
    pub hostname: Option<String>,
    /// Where to connect. `None`: the name did not resolve and `init-addr` lets it start down.
    pub addr: Option<SockAddr>,
    /// The port was written as `+n` or `-n`, or not at all: it is added to the client's destination port.
    pub port_offset: Option<i32>,
    /// Configured weight, 0 to 256.
    pub weight: u32,
    /// `maxconn`: concurrent sessions; 0: no limit.
    pub maxconn: u32,
    /// `minconn`: lower bound of the dynamic limit; equal to `maxconn` when not dynamic.
    pub minconn: u32,
    /// `maxqueue`: waiters on this server; 0: no limit.
    pub maxqueue: u32,
    /// `backup`.
    pub backup: bool,
    /// `disabled`: starts in maintenance.
    pub disabled: bool,
    /// `non-stick`.
    pub non_stick: bool,
    /// `cookie` value.
    pub cookie: Option<Vec<u8>>,
    /// `redir` prefix: GET and HEAD are answered with a 302 to this prefix and the URI.
    pub redir: Option<Vec<u8>>,
    /// `source`; the backend's when `None`.
    pub source: Option<SourceAddr>,
    /// `slowstart`: how long the weight climbs after the server came up.
    pub slowstart: Option<Duration>,
    /// Health checks, as written; what is `None` has the manual's default.
    pub check: ServerCheck,
    /// `track`: whose state this server follows.
    pub track: Option<ServerId>,
    /// The header of the PROXY protocol that its connections begin with.
    pub send_proxy: Option<Box<SendProxy>>,
    /// `pool-max-conn`: idle connections kept, over all threads; `None`: no limit.
    pub pool_max_conn: Option<u32>,
    /// `pool-low-conn`: below this number of idle connections a thread does not take another thread's.
    pub pool_low_conn: u32,
    /// `pool-purge-delay`: half of the idle connections go after this time unused.
    pub pool_purge_delay: Duration,
    /// `max-reuse`: requests per connection; `None`: no limit.
    pub max_reuse: Option<u32>,
    /// `tcp-ut`: `TCP_USER_TIMEOUT`.
    pub tcp_user_timeout: Option<Duration>,
    /// `tfo`.
    pub tfo: bool,
    /// Not written as a server: the target of `dispatch` or `option transparent`, which logs show as `<NOSRV>`
    /// and statistics do not show.
    pub implicit: bool,
    /// The `server` line.
    pub loc: Loc,
}
