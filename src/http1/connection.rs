//! Persistence: who may keep a connection, and the `Connection` field each side is sent.

use crate::http::{RequestHead, ResponseHead, Version};

/// Whether the client keeps its connection open after this request (RFC 9112 9.3: version and tokens).
pub fn client_keeps_alive(_request: &RequestHead) -> bool {
    todo!()
}

/// Whether the server's connection can carry another request after this response: its version, its tokens
/// and a body with an end of its own.
pub fn server_keeps_alive(_response: &ResponseHead) -> bool {
    todo!()
}

/// What the peer is told about the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persistence {
    /// It stays open.
    KeepAlive,
    /// It ends with this message.
    Close,
    /// Left as it is: tunnels, and an upgrade that the head asks for or grants.
    Untouched,
}

/// Rewrites the `Connection` field of a request that goes to a server. An upgrade token stays (with its
/// `Upgrade` field); `Proxy-Connection` and `Keep-Alive` go.
pub fn rewrite_request(_request: &mut RequestHead, _persistence: Persistence) {
    todo!()
}

/// Rewrites the `Connection` field of a response that goes to a client that speaks `client_version`.
pub fn rewrite_response(_response: &mut ResponseHead, _client_version: Version, _persistence: Persistence) {
    todo!()
}

/// The protocols of the `Upgrade` field when `Connection: upgrade` is there too.
pub fn upgrade_protocols(_request: &RequestHead) -> Option<&[u8]> {
    todo!()
}
