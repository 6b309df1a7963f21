//! HTTP/1 on the wire: a pure codec. Bytes in, heads and body ranges out; no sockets, no clock.
//!
//! Strict by default (RFC 9112 and what keeps requests from being read in two ways); [`Relax::Unsafe`] gives
//! way only where HAProxy's `option accept-unsafe-violations-in-http-request/-response` does.

mod authority;
pub mod chunk;
pub mod connection;
mod error;
mod framing;
mod lines;
pub mod pages;
mod request;
mod response;
mod websocket;
mod write;

pub use chunk::{ChunkDecoder, ChunkError, ChunkStep};
pub use connection::{BodyForm, Persistence};
pub use error::{RequestError, RequestErrorKind, ResponseError, ResponseErrorKind};
pub use request::parse_request;
pub use response::parse_response;
pub use write::{write_request, write_response};

/// Bounds of a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest head in bytes, the empty line included: `tune.bufsize - tune.maxrewrite`.
    pub head_bytes: usize,
    /// Most field lines: `tune.http.maxhdr` less one, as that counts the start line too.
    pub max_fields: usize,
    /// Take HTTP/1.0 GET, HEAD and DELETE requests with a body (global `h1-accept-payload-with-any-method`).
    pub accept_any_payload: bool,
}

impl Limits {
    /// The limits that follow from the tuning keywords.
    pub fn from_tuning(bufsize: usize, maxrewrite: usize, maxhdr: usize) -> Limits {
        Limits {
            head_bytes: bufsize.saturating_sub(maxrewrite),
            max_fields: maxhdr.saturating_sub(1),
            accept_any_payload: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::from_tuning(16384, 1024, 101)
    }
}

/// How strict the parser is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Relax {
    /// As the RFCs want it.
    #[default]
    Strict,
    /// `option accept-unsafe-violations-in-http-request` (or `-response`).
    Unsafe,
}

/// What came out of the bytes so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// The head is not complete: call again with the same bytes and more behind them, and the same `out`.
    Partial,
    /// The head is complete and fills `head_len` bytes (leading empty lines included); the body follows.
    Complete {
        /// Length of the head in bytes.
        head_len: usize,
    },
}

#[cfg(test)]
mod tests;
