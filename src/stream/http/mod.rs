//! HTTP mode: keep-alive sessions and their exchanges.

pub(super) mod answers;
pub(super) mod body;
mod cacheable;
mod capture;
pub(super) mod exchange;
pub(super) mod keepalive;
pub(super) mod request;
pub(super) mod response;
pub(super) mod talk;

use crate::base::time::Mono;

/// What becomes of the client connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It waits for another request.
    KeepAlive,
    /// It is closed once everything is sent.
    Close,
    /// The same, but the client may still be sending: it gets to read the answer first.
    Linger,
    /// It is closed with a reset.
    Abort,
    /// The process stops, and the request is not complete: another process takes it. With the time of its first byte.
    Leave(Mono),
    /// Another process goes on with the tunnel.
    Moved,
}
