//! What was written in a proxy section, before names are resolved. One [`RawProxy`] per section; it starts as a
//! clone of the one of its `defaults`. `None` means: not written, the manual's default applies.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::acl::Condition;
use crate::base::addr::AddrSpec;
use crate::config::Loc;
use crate::log::LogFormat;
use crate::proxy_protocol::Type;

use super::ListenerAccess;
use super::balance::BalanceConf;
use super::check::ServerCheck;
use super::cookie::CookieConf;
use super::listener::ListenerSocket;
use super::options::{
    ConnOptions, ErrorPage, ForwardedFor, HttpClose, HttpReuse, Mode, RestrictNames, RetryOn, Timeouts,
};
use super::server::SourceSpec;
use super::snapshot::PersistRule;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub loc: Loc,
}

impl<T> At<T> {
    /// Put the two together.
    pub fn new(value: T, loc: Loc) -> At<T> {
        At { value, loc }
    }
}

/// Everything that this feature's keywords say in one section.
#[derive(Clone, Debug, Default)]
pub struct RawProxy {
    /// `mode`.
    pub mode: Option<Mode>,
    /// `disabled`, `enabled`.
    pub disabled: bool,
    /// `id`.
    pub id: Option<At<u32>>,
    /// `description`.
    pub description: Option<String>,
    /// `guid`.
    pub guid: Option<String>,
    /// Every `timeout`.
    pub timeouts: Timeouts,
    /// Connection options.
    pub conn: ConnOptions,
    /// HTTP options.
    pub http: RawHttp,
    /// The client side.
    pub front: RawFrontend,
    /// The server side.
    pub back: RawBackend,
    /// `errorfile`, `errorloc*`, `errorfiles`, in order.
    pub errors: Vec<RawError>,
}

/// HTTP options as written.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct RawHttp {
    pub close: Option<HttpClose>,
    pub pretend_keepalive: bool,
    pub no_delay: bool,
    pub ignore_probes: bool,
    pub buffer_request: bool,
    pub forwardfor: Option<ForwardedFor>,
    pub originalto: Option<ForwardedFor>,
    pub accept_unsafe_request: bool,
    pub accept_unsafe_response: bool,
    pub abortonclose: bool,
    pub checkcache: bool,
    pub restrict_names: RestrictNames,
    pub reuse: Option<HttpReuse>,
    pub send_name_header: Option<Vec<u8>>,
}

/// The client side as written.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct RawFrontend {
    pub binds: Vec<RawBind>,
    pub maxconn: Option<u32>,
    pub backlog: Option<u32>,
    pub default_backend: Option<At<String>>,
    pub rate_limit: Option<u32>,
    pub monitor_uri: Option<Vec<u8>>,
    pub monitor_net: Option<(IpAddr, u8)>,
    pub max_session_srv_conns: Option<u32>,
    pub monitor_fail: Vec<Condition>,
}

/// The server side as written.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct RawBackend {
    pub servers: Vec<RawServer>,
    /// What `default-server` lines said so far: laid below each later `server` line.
    pub default_server: ServerOptions,
    pub balance: Option<At<()>>,
    pub balance_conf: BalanceConf,
    pub cookie: Option<At<CookieConf>>,
    pub dynamic_cookie_key: Option<Vec<u8>>,
    pub persist: bool,
    pub rdp_persist: Option<Vec<u8>>,
    pub retries: Option<u32>,
    pub retry_on: Option<At<RetryOn>>,
    pub redispatch: Option<i32>,
    pub fullconn: Option<u32>,
    pub allbackups: bool,
    pub prefer_last_server: bool,
    pub max_keep_alive_queue: Option<u32>,
    pub source: Option<SourceSpec>,
    pub dispatch: Option<At<AddrSpec>>,
    pub transparent: bool,
    pub persist_rules: Vec<PersistRule>,
    pub unpublished: bool,
}

/// One error page as written.
#[derive(Clone, Debug)]
pub enum RawError {
    /// For one status code.
    Page {
        /// The code.
        status: u16,
        /// The answer.
        page: Arc<ErrorPage>,
    },
    /// `errorfiles NAME [code...]`.
    Section {
        /// Name of the `http-errors` section.
        name: At<String>,
        /// Only these codes; all when empty.
        codes: Vec<u16>,
    },
}

/// What an `http-errors` section holds.
#[derive(Clone, Debug, Default)]
pub struct RawErrorSection {
    /// The pages in order.
    pub pages: Vec<(u16, Arc<ErrorPage>)>,
}

/// A `bind` line.
#[derive(Clone, Debug)]
pub struct RawBind {
    /// The addresses.
    pub addrs: Vec<AddrSpec>,
    /// The options.
    pub options: BindOptions,
    /// The line.
    pub loc: Loc,
}

/// The options of a `bind` line.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct BindOptions {
    pub name: Option<String>,
    pub id: Option<At<u32>>,
    pub maxconn: Option<u32>,
    pub access: Option<ListenerAccess>,
    pub accept_proxy: bool,
    pub expose_fd: bool,
    pub threads: u64,
    pub socket: ListenerSocket,
}

/// A `server` or `server-template` line.
#[derive(Clone, Debug)]
pub struct RawServer {
    /// Name.
    pub name: At<String>,
    /// Address.
    pub addr: At<AddrSpec>,
    /// `server-template`: the numbers that are appended to the name.
    pub template: Option<(u32, u32)>,
    /// The options, `default-server` included.
    pub options: ServerOptions,
    /// The line.
    pub loc: Loc,
}

/// How a name is resolved at start (`init-addr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitAddr {
    /// From the state file.
    Last,
    /// From the C library.
    Libc,
    /// Not at all: start down.
    None,
    /// This address.
    Ip(IpAddr),
}

/// The options of a `server` line.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct ServerOptions {
    pub id: Option<At<u32>>,
    pub weight: Option<u32>,
    pub maxconn: Option<u32>,
    pub minconn: Option<u32>,
    pub maxqueue: Option<u32>,
    pub backup: bool,
    pub disabled: bool,
    pub non_stick: bool,
    pub cookie: Option<At<Vec<u8>>>,
    pub redir: Option<Vec<u8>>,
    pub source: Option<SourceSpec>,
    pub slowstart: Option<Duration>,
    pub check: ServerCheck,
    pub send_proxy: SendProxyOptions,
    pub pool_max_conn: Option<Option<u32>>,
    pub pool_low_conn: Option<u32>,
    pub pool_purge_delay: Option<Duration>,
    pub max_reuse: Option<u32>,
    pub tcp_user_timeout: Option<Duration>,
    pub tfo: bool,
    pub init_addr: Option<Vec<InitAddr>>,
    pub guid: Option<String>,
    pub shard: Option<At<u32>>,
}

/// What a server's connections begin with, as written so far.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct SendProxyOptions {
    pub v1: bool,
    pub v2: bool,
    pub ssl: bool,
    pub checksum: bool,
    pub unique_id: bool,
    pub tlvs: Vec<(Type, Option<LogFormat>)>,
    /// Where something was written that is for version 2 only.
    pub v2_only: Option<At<&'static str>>,
}

/// What a `peers` section holds.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct RawPeers {
    pub disabled: bool,
    pub shards: Option<At<u32>>,
    pub members: Vec<RawMember>,
    pub bind: Option<RawBind>,
    /// What `default-bind` lines said so far.
    pub bind_options: BindOptions,
    /// What `default-server` lines said so far.
    pub default_server: ServerOptions,
}

/// A `peer` or `server` line of a `peers` section.
#[derive(Clone, Debug)]
pub struct RawMember {
    /// Name.
    pub name: At<String>,
    /// Address.
    pub addr: Option<At<AddrSpec>>,
    /// An address was written that is none; that was said.
    pub wrong_addr: bool,
    /// A `peer` line.
    pub is_peer: bool,
    /// The options, `default-server` included.
    pub options: ServerOptions,
    /// The line.
    pub loc: Loc,
}
