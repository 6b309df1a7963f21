//! What a log line can say about one exchange: a plain struct, filled by the stream when it logs.

use std::net::SocketAddr;

use crate::base::time::{Mono, Wall};

/// One end of a connection as it appears in logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogAddr {
    /// Not known (no server connection was made): `-`.
    #[default]
    None,
    /// An IPv4 or IPv6 address and port.
    Inet(SocketAddr),
    /// A unix socket: `unix`, and the listener's id in the place of the port.
    Unix {
        /// Id of the listening socket, as in the statistics.
        id: u32,
    },
}

impl From<Option<SocketAddr>> for LogAddr {
    fn from(a: Option<SocketAddr>) -> LogAddr {
        a.map_or(LogAddr::None, LogAddr::Inet)
    }
}

/// The milestones of one exchange. All timers of the log (`%TR`, `%Tw`, ...) are differences of these,
/// each cut to milliseconds since `accept` first, so that the parts always add up to the whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeline {
    /// The connection was accepted, or the previous exchange of the connection ended.
    pub accept: Mono,
    /// Handshakes (TLS, PROXY protocol) were done; `accept` when there were none or it is not the
    /// connection's first exchange.
    pub handshake: Mono,
    /// The first byte of the request arrived; `None` when none did (and in TCP mode).
    pub first_byte: Option<Mono>,
    /// The request's headers were complete; `None` when they never were. TCP mode: `None`.
    pub request: Option<Mono>,
    /// The request left the queue (or did not have to queue).
    pub queue: Option<Mono>,
    /// The server connection was established, or taken from the pool.
    pub connect: Option<Mono>,
    /// The response's headers were complete (the last ones, not 1xx). TCP mode: the same as `connect`.
    pub response: Option<Mono>,
    /// The exchange ended; with `option logasap`: the line is being written.
    pub end: Mono,
}

/// Where in the life of an exchange a line was written (`%OG`).
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    #[default]
    Unspec,
    SessError,
    SessKilled,
    TxnAccept,
    TxnRequest,
    TxnConnect,
    TxnResponse,
    TxnClose,
}

/// Everything the log variables show, except sample expressions (those read the stream).
#[derive(Clone, Debug)]
pub struct LogFields<'a> {
    /// Wall-clock time at `timeline.accept`.
    pub accept_wall: Wall,
    /// When things happened.
    pub timeline: Timeline,
    /// Client address (`%ci`, `%cp`).
    pub client: LogAddr,
    /// Address that the client connected to (`%fi`, `%fp`).
    pub frontend_addr: LogAddr,
    /// Our own end of the server connection (`%bi`, `%bp`).
    pub backend_source: LogAddr,
    /// The server's address (`%si`, `%sp`).
    pub server_addr: LogAddr,
    /// Frontend name.
    pub frontend: &'a str,
    /// The client connection is TLS: `%ft` gets a `~`.
    pub frontend_tls: bool,
    /// The frontend is in HTTP mode (shown by the default format).
    pub http: bool,
    /// Backend name; the frontend's own when no backend was chosen.
    pub backend: &'a str,
    /// Server name, or the name of the internal service in angle brackets (`<STATS>`); `None`: `<NOSRV>`.
    pub server: Option<&'a str>,
    /// Status sent to the client; `None`: -1 in HTTP, 0 in TCP.
    pub status: Option<u16>,
    /// Bytes sent from the server's side to the client, headers included (`%B`).
    pub bytes_read: u64,
    /// Bytes received from the client, headers included (`%U`).
    pub bytes_uploaded: u64,
    /// Termination state: cause, state, request cookie, response cookie.
    pub termination: [u8; 4],
    /// Concurrent connections of the process.
    pub actconn: u32,
    /// Concurrent connections of the frontend.
    pub feconn: u32,
    /// Concurrent connections of the backend.
    pub beconn: u32,
    /// Concurrent connections of the server.
    pub srvconn: u32,
    /// Connection retries.
    pub retries: u32,
    /// The last retry went to another server: `+` before the count.
    pub redispatched: bool,
    /// Requests served before this one in the server's queue.
    pub srv_queue: u64,
    /// Requests served before this one in the backend's queue.
    pub be_queue: u64,
    /// The request line as received (method, target, version), cut at `tune.http.logurilen`; `None`:
    /// `<BADREQ>`.
    pub request_line: Option<&'a [u8]>,
    /// Captured request cookie, `name=value`.
    pub request_cookie: Option<&'a [u8]>,
    /// Captured response cookie, `name=value`.
    pub response_cookie: Option<&'a [u8]>,
    /// Captured request headers; `None` when the frontend declares none.
    pub request_captures: Option<&'a super::Captures>,
    /// Captured response headers; `None` when the frontend declares none.
    pub response_captures: Option<&'a super::Captures>,
    /// The unique id, when the frontend makes one.
    pub unique_id: Option<&'a [u8]>,
    /// Number of lines that the frontend has logged (`%lc`).
    pub log_counter: u32,
    /// Number of the request, or of the session in TCP mode, in the process (`%rt`).
    pub request_counter: u32,
    /// TLS version of the client connection.
    pub tls_version: Option<&'a str>,
    /// TLS cipher of the client connection.
    pub tls_cipher: Option<&'a str>,
    /// The exchange goes on after this line: `+` before byte counts and total times.
    pub incomplete: bool,
    /// Where in the exchange's life the line was written.
    pub origin: Origin,
}

impl Default for LogFields<'_> {
    fn default() -> Self {
        LogFields {
            accept_wall: Wall::default(),
            timeline: Timeline::default(),
            client: LogAddr::None,
            frontend_addr: LogAddr::None,
            backend_source: LogAddr::None,
            server_addr: LogAddr::None,
            frontend: "",
            frontend_tls: false,
            http: false,
            backend: "",
            server: None,
            status: None,
            bytes_read: 0,
            bytes_uploaded: 0,
            termination: *b"----",
            actconn: 0,
            feconn: 0,
            beconn: 0,
            srvconn: 0,
            retries: 0,
            redispatched: false,
            srv_queue: 0,
            be_queue: 0,
            request_line: None,
            request_cookie: None,
            response_cookie: None,
            request_captures: None,
            response_captures: None,
            unique_id: None,
            log_counter: 0,
            request_counter: 0,
            tls_version: None,
            tls_cipher: None,
            incomplete: false,
            origin: Origin::Unspec,
        }
    }
}
