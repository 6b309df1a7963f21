//! What an expression may ask of the place where it is evaluated.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::time::{Mono, Wall};
use crate::http::{RequestHead, ResponseHead};
use crate::proxy_protocol::Tlvs;
use crate::stick::{TableId, Writer};

use super::{Buf, Scope, TrackedEntry, VarStore};

/// A proxy: index into the snapshot's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProxyIdx(pub u32);

/// A server, counted over all proxies of the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerIdx(pub u32);

/// The buffered part of a message body, transfer coding removed.
#[derive(Clone, Copy, Debug, Default)]
pub struct BodyView<'a> {
    /// The bytes that are buffered now.
    pub bytes: &'a [u8],
    /// True when this is the whole body.
    pub complete: bool,
    /// The advertised length (Content-Length), when there is one. In bytes.
    pub advertised: Option<u64>,
}

/// A timeout of a stream that `set-timeout` changes.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutKind {
    Client,
    Connect,
    Queue,
    Server,
    Tarpit,
    Tunnel,
}

/// Where the last rule that ended a rule set stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRule {
    /// The file's name as it was given.
    pub file: &'static str,
    /// Line, from 1.
    pub line: u32,
}

/// Which captured header, see `capture request header`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureSide {
    /// Request slot.
    Request,
    /// Response slot.
    Response,
}

/// Live figures of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyCount {
    /// Servers that can take traffic.
    UsableServers,
    /// Free connection and queue slots over all usable servers; -1 when one of them has no limit.
    FreeSlots,
    /// Current connections of the frontend.
    FeConn,
    /// Current connections of the backend.
    BeConn,
    /// Free connections of the backend's servers; -1 when unlimited.
    BeConnFree,
    /// Queued requests, backend and servers together.
    Queue,
    /// Sessions created in the last second, frontend.
    FeSessRate,
    /// Sessions created in the last second, backend.
    BeSessRate,
    /// HTTP requests in the last second, frontend.
    FeReqRate,
    /// Configured servers, usable or not.
    AllServers,
}

/// Live figures of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerCount {
    /// Current connections.
    Conn,
    /// Free connection slots; -1 when unlimited.
    ConnFree,
    /// 1 when it can take traffic, else 0.
    IsUp,
    /// Requests waiting in its own queue.
    Queue,
    /// Sessions created in the last second.
    SessRate,
    /// Effective weight.
    Weight,
    /// Initial weight.
    InitialWeight,
    /// User's weight.
    UserWeight,
}

/// Live state and names of the proxies and servers of the snapshot in use.
pub trait Live {
    /// The proxy's name.
    fn proxy_name(&self, p: ProxyIdx) -> &str;
    /// The proxy's numeric id as in statistics.
    fn proxy_id(&self, p: ProxyIdx) -> i64;
    /// The server's name.
    fn server_name(&self, s: ServerIdx) -> &str;
    /// The server's numeric id.
    fn server_id(&self, s: ServerIdx) -> i64;
    /// Current figure of a proxy.
    fn proxy_count(&self, p: ProxyIdx, what: ProxyCount) -> i64;
    /// Current figure of a server.
    fn server_count(&self, s: ServerIdx, what: ServerCount) -> i64;
    /// Worker threads.
    fn threads(&self) -> i64 {
        1
    }
    /// Connections of the whole process.
    fn act_conn(&self) -> i64 {
        0
    }
    /// The backend called `name` (for names that are computed).
    fn find_backend(&self, _name: &str) -> Option<ProxyIdx> {
        None
    }
    /// False for a backend that routing rules pass over: it is disabled or unpublished.
    fn takes_routes(&self, _backend: ProxyIdx) -> bool {
        true
    }
    /// The server called `name` in that backend.
    fn find_server(&self, _backend: ProxyIdx, _name: &str) -> Option<ServerIdx> {
        None
    }
    /// True while the process finishes its last connections.
    fn stopping(&self) -> bool {
        false
    }
}

/// Everything a fetch may ask. A place without a stream (a check, the socket, a test) implements the
/// two clocks only; everything else answers "not available" by default, and the fetch then fails.
///
/// Nothing here takes `&mut self`: variables and captures use interior mutability, because converters
/// (`set-var(txn.x)`) store while an expression borrows from the message.
pub trait Ctx {
    /// Monotonic time of this turn.
    fn now(&self) -> Mono;
    /// Wall-clock time of this turn.
    fn wall(&self) -> Wall;

    /// Client address as changed by PROXY protocol or `set-src`; `None` for unix sockets.
    fn src(&self) -> Option<SocketAddr> {
        None
    }
    /// Address that the client connected to, as changed by `set-dst`.
    fn dst(&self) -> Option<SocketAddr> {
        None
    }
    /// The peer address of the client's connection itself, whatever `set-src` says.
    fn client_src(&self) -> Option<SocketAddr> {
        self.src()
    }
    /// The local address of the client's connection itself.
    fn client_dst(&self) -> Option<SocketAddr> {
        self.dst()
    }
    /// The further contents of the PROXY protocol's header that the connection began with; `None`: it had none.
    fn proxy_header(&self) -> Option<&Tlvs> {
        None
    }
    /// Local address of the connection to the server.
    fn server_src(&self) -> Option<SocketAddr> {
        None
    }
    /// Remote address of the connection to the server.
    fn server_dst(&self) -> Option<SocketAddr> {
        None
    }
    /// The listening socket's numeric id (`so_id`).
    fn listener_id(&self) -> Option<i64> {
        None
    }
    /// The listening socket's name (`so_name`).
    fn listener_name(&self) -> Option<&str> {
        None
    }
    /// Current connections of the listening socket (`dst_conn`).
    fn listener_conn(&self) -> Option<i64> {
        None
    }
    /// Bytes received from and sent to the client, if counted (`bytes_in`, `bytes_out`).
    fn bytes(&self) -> Option<(u64, u64)> {
        None
    }

    /// The request head, as changed by rules so far; `None` before it was parsed and in TCP mode.
    fn request(&self) -> Option<&RequestHead> {
        None
    }
    /// The response head; `None` until it arrived.
    fn response(&self) -> Option<&ResponseHead> {
        None
    }
    /// Buffered request body.
    fn request_body(&self) -> Option<BodyView<'_>> {
        None
    }
    /// Buffered response body.
    fn response_body(&self) -> Option<BodyView<'_>> {
        None
    }
    /// Raw bytes that the client sent and that nobody consumed yet (TCP mode, `req.payload`).
    fn request_payload(&self) -> Option<&[u8]> {
        None
    }
    /// Raw bytes that the server sent and that nobody consumed yet.
    fn response_payload(&self) -> Option<&[u8]> {
        None
    }
    /// False while more input may arrive that could change the outcome of content rules: the inspect
    /// delay still runs and the buffer is neither full nor at the end of the stream.
    fn input_final(&self) -> bool {
        true
    }
    /// True for the first request of a connection.
    fn first_request(&self) -> Option<bool> {
        None
    }

    /// The frontend.
    fn frontend(&self) -> Option<ProxyIdx> {
        None
    }
    /// The backend; the frontend itself while no backend was chosen.
    fn backend(&self) -> Option<ProxyIdx> {
        None
    }
    /// The server, once chosen.
    fn server(&self) -> Option<ServerIdx> {
        None
    }
    /// Live state and names.
    fn live(&self) -> Option<&dyn Live> {
        None
    }
    /// This thread's way to write a stick table, which also reads it.
    fn writer(&self, _table: TableId) -> Option<&Writer> {
        None
    }

    /// The entry that stick counter `sc` of this stream (or of its connection) tracks.
    fn tracked(&self, _sc: usize) -> Option<TrackedEntry<'_>> {
        None
    }
    /// The stick table of the proxy whose rule is evaluated.
    fn own_table(&self) -> Option<TableId> {
        None
    }
    /// The variables of one scope, `proc` excepted: those belong to the process.
    fn vars(&self, _scope: Scope) -> Option<&VarStore> {
        None
    }
    /// The unique id of this request, made at first use.
    fn unique_id(&self) -> Option<Buf<'_>> {
        None
    }
    /// A captured header (or sample) by its slot.
    fn capture(&self, _side: CaptureSide, _slot: usize) -> Option<Buf<'_>> {
        None
    }
    /// Store into a capture slot; cut to the slot's length by the implementation.
    fn set_capture(&self, _side: CaptureSide, _slot: usize, _value: &[u8]) {}
    /// The request line's method as captured when it was parsed, before rules changed it.
    fn captured_method(&self) -> Option<&[u8]> {
        None
    }
    /// The request target as received, before rules changed it.
    fn captured_uri(&self) -> Option<&[u8]> {
        None
    }
    /// Where the last rule that ended a rule set stands.
    fn last_rule(&self) -> Option<LastRule> {
        None
    }
    /// A timeout as configured (the frontend's for the client's side, the backend's for the server's), or as it
    /// is in force for this stream.
    fn timeout(&self, _kind: TimeoutKind, _current: bool) -> Option<Duration> {
        None
    }
    /// The number of connection retries as configured for the backend, or as it is in force for this stream.
    fn retries(&self, _current: bool) -> Option<u32> {
        None
    }
    /// Smoothed round-trip time of the client's connection and its variance, as the kernel measured them.
    fn client_rtt(&self) -> Option<(Duration, Duration)> {
        None
    }
    /// The same of the connection to the server, as they were when its response began.
    fn server_rtt(&self) -> Option<(Duration, Duration)> {
        None
    }
    /// Index of the worker thread.
    fn thread(&self) -> i64 {
        0
    }
    /// 64 random bits. Replaced by a seeded source in simulations.
    fn random(&self) -> u64 {
        thread_random()
    }
}

thread_local! {
    static RNG: Cell<u64> = const { Cell::new(0) };
}

/// SplitMix64 per thread, seeded by the standard library's random hasher keys. Not for secrets.
fn thread_random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    RNG.with(|r| {
        let mut s = r.get();
        if s == 0 {
            s = std::collections::hash_map::RandomState::new().build_hasher().finish() | 1;
        }
        s = s.wrapping_add(0x9E37_79B9_7F4A_7C15);
        r.set(s);
        let z = (s ^ (s >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}
