//! What goes over with a connection. Everything that the configuration numbers goes by name: the other process has
//! another configuration.

use std::net::SocketAddr;

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

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    Waiting(Waiting),
}

/// The first bytes of the messages with connections.
const WAITING: u8 = b'w';

impl Message {
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Message::Waiting(w) => {
                out.push(WAITING);
                w.put(&mut out);
            }
        }
        out
    }

    pub fn read(bytes: &[u8]) -> Result<Message, Malformed> {
        let mut from = Reader::new(bytes);
        let message = match u8::get(&mut from)? {
            WAITING => Message::Waiting(Waiting::get(&mut from)?),
            _ => return Err(Malformed),
        };
        from.end()?;
        Ok(message)
    }

    /// The descriptors that belong to it.
    pub fn fds(&self) -> usize {
        match self {
            Message::Waiting(_) => 1,
        }
    }

    pub fn client(&self) -> &ClientState {
        match self {
            Message::Waiting(w) => &w.client,
        }
    }
}
