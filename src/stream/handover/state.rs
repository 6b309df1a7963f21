//! What goes over with a connection. Everything that the configuration numbers goes by name: the other process has
//! another configuration.

use std::net::SocketAddr;
use std::time::Duration;

use super::codec::{Blob, Code, Malformed, Reader, coded};
use crate::base::time::{Mono, Wall};
use crate::sample::Value;

coded! {
    /// An entry that the connection or the exchange tracks.
    pub(super) struct TrackState {
        sc: u32,
        table: String,
        key: Blob,
    }
}

coded! {
    /// A client connection. Instants are of `CLOCK_MONOTONIC`, which is the same for all processes of a machine.
    pub(super) struct ClientState {
        /// See [`super::names`].
        listener: String,
        src: Option<SocketAddr>,
        /// Our address, if it was asked for or changed by a rule.
        dst: Option<Option<SocketAddr>>,
        /// When the PROXY protocol's header was complete that it began with, and its TLVs.
        header: Option<(Mono, Blob)>,
        start: Mono,
        start_wall: Wall,
        exchanges: u32,
        sent: u64,
        /// The HTTP backend of a TCP frontend's client.
        tcp_http: Option<String>,
        /// Backend and server that were used last.
        last_server: Option<(String, String)>,
        vars: Vec<(u64, Value)>,
        tracks: Vec<TrackState>,
    }
}

coded! {
    /// A client that waits for a request's head to be complete, or sends none.
    pub(super) struct Waiting {
        client: ClientState,
        /// When the first byte of the request was received.
        first_byte: Option<Mono>,
        /// What of the request was received.
        received: Blob,
    }
}

coded! {
    /// A head: as it is written, and the request line that is logged.
    pub(super) struct HeadState {
        bytes: Blob,
        line: Blob,
    }
}

coded! {
    /// When things happened: see [`crate::log::Timeline`].
    pub(super) struct TimesState {
        accept: Mono,
        handshake: Mono,
        first_byte: Option<Mono>,
        request: Option<Mono>,
        queue: Option<Mono>,
        connect: Option<Mono>,
        response: Option<Mono>,
    }
}

coded! {
    /// What an exchange's log line and the counters want to know at its end, and its rules' timeouts.
    pub(super) struct ExchangeState {
        times: TimesState,
        start_wall: Wall,
        first: bool,
        has_request: bool,
        request: Option<HeadState>,
        response: Option<Blob>,
        vars_txn: Vec<(u64, Value)>,
        vars_req: Vec<(u64, Value)>,
        vars_res: Vec<(u64, Value)>,
        tracks: Vec<TrackState>,
        req_captures: Vec<Option<Blob>>,
        res_captures: Vec<Option<Blob>>,
        req_cookie: Blob,
        res_cookie: Blob,
        unique_id: Option<Blob>,
        status: Option<u16>,
        /// From the client and to it: all, and what was counted.
        bytes_in: (u64, u64),
        bytes_out: (u64, u64),
        retries: u32,
        redispatched: bool,
        persistent: bool,
        srv_queue: u64,
        be_queue: u64,
        /// The letters of the log.
        cookie: (u8, u8),
        /// A level of the log; -1: silent.
        level: Option<i64>,
        client_timeout: Option<Duration>,
        server_timeout: Option<Duration>,
        tunnel_timeout: Option<Duration>,
        server_src: Option<SocketAddr>,
        server_rtt: Option<(Duration, Duration)>,
        logged: bool,
    }
}

coded! {
    /// A client and a server that talk to each other.
    pub(super) struct Tunnel {
        client: ClientState,
        backend: String,
        server: String,
        exchange: ExchangeState,
        up_closed: bool,
        down_closed: bool,
        client_active: Mono,
        server_active: Mono,
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    Waiting(Box<Waiting>),
    /// Descriptors: the client's connection and the server's.
    Tunnel(Box<Tunnel>),
}

/// The first bytes of the messages with connections.
const WAITING: u8 = b'w';
const TUNNEL: u8 = b't';

impl Message {
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Message::Waiting(w) => {
                out.push(WAITING);
                w.put(&mut out);
            }
            Message::Tunnel(t) => {
                out.push(TUNNEL);
                t.put(&mut out);
            }
        }
        out
    }

    pub fn read(bytes: &[u8]) -> Result<Message, Malformed> {
        let mut from = Reader::new(bytes);
        let message = match u8::get(&mut from)? {
            WAITING => Message::Waiting(Box::new(Waiting::get(&mut from)?)),
            TUNNEL => Message::Tunnel(Box::new(Tunnel::get(&mut from)?)),
            _ => return Err(Malformed),
        };
        from.end()?;
        Ok(message)
    }

    /// The descriptors that belong to it.
    pub fn fds(&self) -> usize {
        match self {
            Message::Waiting(_) => 1,
            Message::Tunnel(_) => 2,
        }
    }

    pub fn client(&self) -> &ClientState {
        match self {
            Message::Waiting(w) => &w.client,
            Message::Tunnel(t) => &t.client,
        }
    }
}
