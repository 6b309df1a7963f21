//! The small structs that a [`Proxy`](super::Proxy) is made of.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// `mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Bytes.
    #[default]
    Tcp,
    /// Requests and responses.
    Http,
    /// Answers `OK` and closes (1.x).
    Health,
}

/// Every `timeout`; `None` means that it never strikes. The values are as configured: the accessors apply
/// the manual's fallbacks (an unset `http-request` follows `client`, and so on).
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Timeouts {
    pub client: Option<Duration>,
    pub server: Option<Duration>,
    pub connect: Option<Duration>,
    pub queue: Option<Duration>,
    pub check: Option<Duration>,
    pub http_request: Option<Duration>,
    pub http_keep_alive: Option<Duration>,
    pub tunnel: Option<Duration>,
    pub client_fin: Option<Duration>,
    pub server_fin: Option<Duration>,
    pub tarpit: Option<Duration>,
    pub client_hs: Option<Duration>,
}

impl Timeouts {
    /// How long the whole request head may take; `client` when unset.
    pub fn http_request(&self) -> Option<Duration> {
        self.http_request.or(self.client)
    }

    /// How long to wait for the next request; then `http-request`, then `client`.
    pub fn http_keep_alive(&self) -> Option<Duration> {
        self.http_keep_alive.or_else(|| self.http_request())
    }

    /// How long to stay in a queue; `connect` when unset.
    pub fn queue(&self) -> Option<Duration> {
        self.queue.or(self.connect)
    }

    /// How long a tarpitted request is held; `connect` when unset.
    pub fn tarpit(&self) -> Option<Duration> {
        self.tarpit.or(self.connect)
    }
}

/// TCP keep-alive on one side (`option tcpka`, `clitcpka`, `srvtcpka` and their `-cnt`, `-idle`, `-intvl`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TcpKeepAlive {
    pub enabled: bool,
    pub count: Option<u32>,
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
}

/// `option splice-auto`, `splice-request`, `splice-response`. Our relay promotes by itself when it pays; these
/// say what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Splice {
    pub auto: bool,
    pub request: bool,
    pub response: bool,
}

/// Options of connections, whatever they carry.
#[derive(Clone, Debug, Default)]
pub struct ConnOptions {
    /// Keep-alive probes towards clients.
    pub client_keep_alive: TcpKeepAlive,
    /// Keep-alive probes towards servers.
    pub server_keep_alive: TcpKeepAlive,
    /// What may be spliced.
    pub splice: Splice,
    /// Close client-side sockets with a reset (`option nolinger` in a frontend).
    pub nolinger: bool,
    /// `option independent-streams`: writing to a side does not refresh its read timeout.
    pub independent_streams: bool,
    /// `option contstats`: counters move during long transfers. We always do that.
    pub contstats: bool,
}

/// What happens to connections between requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HttpClose {
    /// Both sides stay open (the default, `option http-keep-alive`).
    #[default]
    KeepAlive,
    /// `option http-server-close`: the server side closes after each response.
    ServerClose,
    /// `option httpclose`, `option forceclose`: both sides close after each response.
    Close,
    /// `option http-tunnel`: only the first request and response are looked at.
    Tunnel,
}

/// `http-reuse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum HttpReuse {
    /// Nothing written. As safe as `safe`: a client's first request shares a connection only when we can send it
    /// again ourselves, so that nobody sees a failure that a connection of its own would not have had.
    #[default]
    Replayable,
    Never,
    Safe,
    Aggressive,
    Always,
}

/// `option forwardfor` and `option originalto`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedFor {
    /// Header name, as written.
    pub header: Vec<u8>,
    /// Not for addresses in this network: address and prefix length in bits.
    pub except: Option<(IpAddr, u8)>,
    /// Only when the request has no such header.
    pub if_none: bool,
}

impl ForwardedFor {
    /// True when `addr` lies in the `except` network.
    pub fn is_excepted(&self, addr: IpAddr) -> bool {
        let Some((net, bits)) = self.except else { return false };
        match (net, addr.to_canonical()) {
            (IpAddr::V4(n), IpAddr::V4(a)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                n.to_bits() & mask == a.to_bits() & mask
            }
            (IpAddr::V6(n), IpAddr::V6(a)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                n.to_bits() & mask == a.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// Options of `mode http`.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// Connection mode.
    pub close: HttpClose,
    /// `option http-pretend-keepalive`: ask the server for keep-alive and close it all the same.
    pub pretend_keepalive: bool,
    /// `option http-no-delay`: send each piece at once.
    pub no_delay: bool,
    /// `option http-ignore-probes`: no 400/408 and no log for connections that send nothing.
    pub ignore_probes: bool,
    /// `option http-buffer-request`: read the body (or a full buffer) before the rules.
    pub buffer_request: bool,
    /// `option forwardfor`.
    pub forwardfor: Option<ForwardedFor>,
    /// `option originalto`.
    pub originalto: Option<ForwardedFor>,
    /// `option accept-invalid-http-request` (3.x: accept-unsafe-violations-in-http-request).
    pub accept_unsafe_request: bool,
    /// `option accept-invalid-http-response`.
    pub accept_unsafe_response: bool,
    /// `option abortonclose`: drop the request when the client leaves before it reached a server.
    pub abortonclose: bool,
    /// `option checkcache`: block responses whose cookies a cache could keep.
    pub checkcache: bool,
    /// `option http-restrict-req-hdr-names`.
    pub restrict_names: RestrictNames,
    /// `http-reuse`.
    pub reuse: HttpReuse,
    /// `http-send-name-header`: tell the server its name in this header.
    pub send_name_header: Option<Vec<u8>>,
}

/// `option http-restrict-req-hdr-names`: what happens to request fields whose name holds something else than
/// letters, digits and hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RestrictNames {
    /// They stay.
    #[default]
    Preserve,
    /// They are removed.
    Delete,
    /// The request is refused with 403.
    Reject,
}

/// `retry-on`: which failures may be tried again. A bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOn(pub u32);

#[allow(missing_docs)]
impl RetryOn {
    pub const NONE: RetryOn = RetryOn(0);
    /// `conn-failure`: the connection could not be established (the default).
    pub const CONN_FAILURE: RetryOn = RetryOn(1);
    /// `empty-response`: the server closed without an answer.
    pub const EMPTY_RESPONSE: RetryOn = RetryOn(2);
    /// `junk-response`: the answer could not be parsed.
    pub const JUNK_RESPONSE: RetryOn = RetryOn(4);
    /// `response-timeout`.
    pub const RESPONSE_TIMEOUT: RetryOn = RetryOn(8);
    /// `0rtt-rejected`.
    pub const EARLY_DATA: RetryOn = RetryOn(0x10);
    pub const S401: RetryOn = RetryOn(0x20);
    pub const S403: RetryOn = RetryOn(0x40);
    pub const S404: RetryOn = RetryOn(0x80);
    pub const S408: RetryOn = RetryOn(0x100);
    pub const S421: RetryOn = RetryOn(0x200);
    pub const S425: RetryOn = RetryOn(0x400);
    pub const S429: RetryOn = RetryOn(0x800);
    pub const S500: RetryOn = RetryOn(0x1000);
    pub const S501: RetryOn = RetryOn(0x2000);
    pub const S502: RetryOn = RetryOn(0x4000);
    pub const S503: RetryOn = RetryOn(0x8000);
    pub const S504: RetryOn = RetryOn(0x10000);

    /// The union.
    pub const fn or(self, o: RetryOn) -> RetryOn {
        RetryOn(self.0 | o.0)
    }

    /// True when any bit of `o` is set.
    pub const fn has(self, o: RetryOn) -> bool {
        self.0 & o.0 != 0
    }

    /// The bit of a status code, `NONE` for codes that cannot be retried.
    pub const fn of_status(status: u16) -> RetryOn {
        match status {
            401 => Self::S401,
            403 => Self::S403,
            404 => Self::S404,
            408 => Self::S408,
            421 => Self::S421,
            425 => Self::S425,
            429 => Self::S429,
            500 => Self::S500,
            501 => Self::S501,
            502 => Self::S502,
            503 => Self::S503,
            504 => Self::S504,
            _ => Self::NONE,
        }
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        RetryOn::CONN_FAILURE
    }
}

/// What to answer instead of the built-in page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorPage {
    /// `errorfile`: the whole response, head and body, sent as it is. Empty: close without a word.
    Raw(Vec<u8>),
    /// `errorloc302`/`errorloc303`: a redirect.
    Location {
        /// 302 or 303.
        status: u16,
        /// The target, as written.
        url: Vec<u8>,
    },
}

/// The error pages of a proxy by status code.
#[derive(Clone, Debug, Default)]
pub struct ErrorPages {
    pages: Vec<(u16, Arc<ErrorPage>)>,
}

impl ErrorPages {
    /// The page for `status`, if one was configured.
    pub fn get(&self, status: u16) -> Option<&Arc<ErrorPage>> {
        self.pages.iter().find(|(s, _)| *s == status).map(|(_, p)| p)
    }

    /// Set the page for `status`; the last one wins.
    pub fn set(&mut self, status: u16, page: Arc<ErrorPage>) {
        self.pages.retain(|(s, _)| *s != status);
        self.pages.push((status, page));
    }

    /// Every configured page.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Arc<ErrorPage>)> {
        self.pages.iter().map(|(s, p)| (*s, p))
    }
}
