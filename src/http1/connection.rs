//! Persistence: who may keep a connection, the `Connection` field each side is sent, protocol switches.
//!
//! `Connection` is written anew on each hop (RFC 9110 7.6.1). Only `upgrade` and `te` survive, each with the
//! field it announces. Tokens that name other fields are dropped without removing those fields: a client must
//! not be able to strip `X-Forwarded-For` from what our server reads.

use super::websocket;
use crate::http::{BodyLen, FieldId, Fields, RequestHead, ResponseHead, Version, token};
use thiserror::Error;

/// Whether the client keeps its connection open after this request (RFC 9112 9.3: version and tokens).
pub fn client_keeps_alive(request: &RequestHead) -> bool {
    let said = request.connection();
    !said.close && (request.version() >= Version::HTTP_11 || said.keep_alive)
}

/// Whether the server's connection can carry another request after this response: its version, its tokens
/// and a body with an end of its own.
pub fn server_keeps_alive(response: &ResponseHead) -> bool {
    let said = response.connection();
    !said.close
        && (response.version() >= Version::HTTP_11 || said.keep_alive)
        && !matches!(response.framing(), BodyLen::UntilClose | BodyLen::Tunnel)
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

/// Rewrites the `Connection` field of a request that goes to a server, which is asked to keep or to close the
/// connection. An upgrade stays (with its `Upgrade` field) unless a body follows or it is to `h2c`; `Keep-Alive`
/// and `Proxy-Connection` go.
pub fn rewrite_request(request: &mut RequestHead, persistence: Persistence) {
    if persistence == Persistence::Untouched {
        return;
    }
    let upgrade = keeps_upgrade(request);
    let te = keeps_te(request);
    drop_hop_fields(&mut request.fields);
    if !upgrade {
        request.fields.remove_id(FieldId::Upgrade);
        request.fields.remove(b"http2-settings");
    }
    let modern = request.version >= Version::HTTP_11;
    let value: &[u8] = match (persistence, upgrade, te) {
        (_, true, true) => b"upgrade, TE",
        (_, true, false) => b"upgrade",
        (Persistence::Close, _, true) if modern => b"close, TE",
        (Persistence::Close, _, false) if modern => b"close",
        (Persistence::KeepAlive, _, _) if !modern => b"keep-alive",
        (_, _, true) => b"TE",
        (_, _, false) => return,
    };
    request.fields.add(b"Connection", value);
}

/// An upgrade that may go on. Bytes of a body would be taken for the new protocol, and over h2c the client could
/// speak to the server past our rules.
fn keeps_upgrade(request: &RequestHead) -> bool {
    request.connection().upgrade
        && request.framing().is_empty()
        && !request.fields.with_id(FieldId::Upgrade).any(|f| token::list_contains(f.value, b"h2c"))
}

/// `TE` goes on only as `trailers` and only when Connection announced it (RFC 9110 10.1.4): other codings would
/// be answered in a form we cannot forward.
fn keeps_te(request: &mut RequestHead) -> bool {
    if !request.fields.has_id(FieldId::Te) {
        return false;
    }
    let trailers = request.fields.with_id(FieldId::Te).any(|f| token::list_contains(f.value, b"trailers"));
    request.fields.remove_id(FieldId::Te);
    let keep = trailers && request.connection().te && request.version() >= Version::HTTP_11;
    if keep {
        request.fields.add(b"TE", b"trailers");
    }
    keep
}

fn drop_hop_fields(fields: &mut Fields) {
    fields.remove_id(FieldId::Connection);
    fields.remove_id(FieldId::ProxyConnection);
    fields.remove_id(FieldId::KeepAlive);
}

/// How the body of a response goes on to the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyForm {
    /// As it came.
    AsIs,
    /// Without its chunks, ended by closing: the client speaks HTTP/1.0 and knows no chunks.
    Dechunked,
}

/// Rewrites the `Connection` field of a response that goes to a client that speaks `client_version`, and removes
/// framing fields from responses that have no body by nature. Says in which form the body has to go; with
/// [`BodyForm::Dechunked`] the connection must be closed behind it, whatever `persistence` was.
pub fn rewrite_response(
    response: &mut ResponseHead,
    client_version: Version,
    persistence: Persistence,
) -> BodyForm {
    if matches!(response.status, 100..=199 | 204) {
        // No body can follow (RFC 9110 6.4.1); a length that a server sends anyway confuses clients.
        response.fields.remove_id(FieldId::ContentLength);
        response.fields.remove_id(FieldId::TransferEncoding);
    }
    if persistence == Persistence::Untouched || response.framing() == BodyLen::Tunnel || response.is_interim()
    {
        return BodyForm::AsIs;
    }
    one_length(&mut response.fields);
    let mut form = BodyForm::AsIs;
    let mut close = persistence == Persistence::Close;
    if client_version < Version::HTTP_11 && response.fields.has_id(FieldId::TransferEncoding) {
        response.fields.remove_id(FieldId::TransferEncoding);
        if response.framing() == BodyLen::Chunked {
            form = BodyForm::Dechunked;
            close = true;
        }
    }
    // Close-delimited: the client has to see the close whatever we planned.
    close |= response.framing() == BodyLen::UntilClose;
    drop_hop_fields(&mut response.fields);
    // What the client makes of silence depends on the older of both versions: its own and the one we answer in.
    let modern = client_version.min(response.version) >= Version::HTTP_11;
    match (close, modern) {
        (true, _) => response.fields.add(b"Connection", b"close"),
        (false, false) => response.fields.add(b"Connection", b"keep-alive"),
        (false, true) => {}
    }
    form
}

/// Several equal lengths go on as one.
fn one_length(fields: &mut Fields) {
    let mut seen = false;
    if fields.has_id(FieldId::ContentLength) {
        fields.remove_if(|f| f.id == FieldId::ContentLength && std::mem::replace(&mut seen, true));
    }
}

/// The protocols of the first `Upgrade` field when `Connection: upgrade` is there too.
pub fn upgrade_protocols(request: &RequestHead) -> Option<&[u8]> {
    if !request.connection().upgrade {
        return None;
    }
    request.fields.get_id(FieldId::Upgrade)
}

/// Why a 101 cannot be passed on (the client is answered 502).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SwitchError {
    /// The request, as the server got it, asked for no upgrade.
    #[error("101 to a request without upgrade")]
    NotAsked,
    /// The response does not say `Connection: upgrade` and `Upgrade`.
    #[error("101 without upgrade")]
    NotGranted,
    /// `Sec-WebSocket-Accept` does not answer the request's key (RFC 6455 4.2.2).
    #[error("101 with an invalid Sec-WebSocket-Accept")]
    BadAccept,
}

/// Whether a 101 answers what the request asked for. Only then may the connection become a tunnel. `relax` is
/// that of the response.
pub fn check_switch(
    request: &RequestHead,
    response: &ResponseHead,
    relax: super::Relax,
) -> Result<(), SwitchError> {
    if !keeps_upgrade(request) {
        return Err(SwitchError::NotAsked);
    }
    if !response.connection().upgrade {
        return Err(SwitchError::NotGranted);
    }
    let mut granted = response.fields.with_id(FieldId::Upgrade);
    if relax == super::Relax::Unsafe || !granted.any(|f| token::list_contains(f.value, b"websocket")) {
        return Ok(());
    }
    let key = request.fields.get(b"sec-websocket-key");
    match (key, response.fields.get(b"sec-websocket-accept")) {
        (Some(key), Some(accept)) if websocket::accept_for(key) == accept => Ok(()),
        _ => Err(SwitchError::BadAccept),
    }
}
