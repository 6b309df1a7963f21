//! Where a request wants to go: the form of its target, its Host, and whether both say the same
//! (RFC 9112 3.2). An absolute target is normalised as HAProxy does it (RFC 3986 6.2.3): the port that the
//! scheme implies goes, an empty path becomes `/`, and Host follows.

use super::request::error_at;
use super::{Relax, RequestError, RequestErrorKind as Kind};
use crate::http::uri::{self, Authority};
use crate::http::{FieldId, Method, RequestHead, Span, Version};

/// Checks target and Host of a complete head.
pub(super) fn check_target(out: &mut RequestHead, relax: Relax) -> Result<(), RequestError> {
    check_host(out, relax)?;
    if out.target().first() == Some(&b'/') && out.method != Method::Connect {
        return Ok(());
    }
    let target_at = out.target.range().start;
    let fail = |kind| Err(RequestError { kind, at: target_at });
    if out.method == Method::Connect {
        return check_connect(out, relax);
    }
    let parts = out.uri();
    if parts.scheme.is_some() {
        return check_absolute(out, relax);
    }
    // `*` is for OPTIONS (RFC 9112 3.2.4).
    if out.target() == b"*" && (out.method == Method::Options || relax == Relax::Unsafe) {
        return Ok(());
    }
    fail(Kind::BadTarget)
}

/// One Host (RFC 9112 3.2), of `host[:port]` form. Unsafe mode does not look at it.
fn check_host(out: &RequestHead, relax: Relax) -> Result<(), RequestError> {
    if relax == Relax::Unsafe {
        return Ok(());
    }
    let fail = |kind, at| Err(RequestError { kind, at });
    let mut hosts = out.fields.with_id(FieldId::Host);
    let Some(host) = hosts.next() else {
        return if out.version >= Version::HTTP_11 {
            fail(Kind::MissingHost, out.received_len())
        } else {
            Ok(())
        };
    };
    if let Some(second) = hosts.next() {
        return fail(Kind::DuplicateHost, out.fields.name_position(second.index));
    }
    match uri::split_authority(host.value) {
        Some(Authority { userinfo: None, .. }) => Ok(()),
        _ => fail(Kind::BadHost, out.fields.name_position(host.index)),
    }
}

/// CONNECT wants `host:port`. Host has to agree; a port that is 80 or 443 may be missing from it, and goes when
/// it is there.
fn check_connect(out: &mut RequestHead, relax: Relax) -> Result<(), RequestError> {
    if relax == Relax::Unsafe {
        return Ok(());
    }
    let bad = RequestError { kind: Kind::BadAuthority, at: out.target.range().start };
    let authority = uri::split_authority(out.target()).ok_or(bad)?;
    let port = match authority {
        Authority { userinfo: None, host, .. } if !host.is_empty() => authority.port_number().ok_or(bad)?,
        _ => return Err(bad),
    };
    let implied = matches!(port, 80 | 443).then_some(port);
    let Some((index, host)) = out.fields.with_id(FieldId::Host).next().map(|f| (f.index, f.value)) else {
        return Ok(());
    };
    let Some(host) = uri::split_authority(host) else { return Ok(()) };
    if !host.host.eq_ignore_ascii_case(authority.host) || host.port_number().or(implied) != Some(port) {
        return Err(RequestError { kind: Kind::HostMismatch, at: error_at(out, FieldId::Host) });
    }
    if implied.is_some() && host.port_number().is_some() {
        let bare = host.host.len();
        let end = bare + 1 + host.port.map_or(0, <[u8]>::len);
        out.fields.splice_value(index, bare..end, b"");
    }
    Ok(())
}

/// The port that a scheme implies.
fn default_port(scheme: &[u8]) -> Option<u16> {
    if scheme.eq_ignore_ascii_case(b"http") {
        Some(80)
    } else if scheme.eq_ignore_ascii_case(b"https") {
        Some(443)
    } else {
        None
    }
}

fn check_absolute(out: &mut RequestHead, relax: Relax) -> Result<(), RequestError> {
    let target_at = out.target.range().start;
    let parts = out.uri();
    let implied = parts.scheme.and_then(default_port);
    let Some(authority) = parts.authority.and_then(uri::split_authority) else {
        return match relax {
            Relax::Strict => Err(RequestError { kind: Kind::BadAuthority, at: target_at }),
            Relax::Unsafe => Ok(()),
        };
    };
    let port = authority.port_number().or(implied);
    if relax == Relax::Strict
        && let Some(host) = out.fields.get_id(FieldId::Host).and_then(uri::split_authority)
        && (!host.host.eq_ignore_ascii_case(authority.host) || host.port_number().or(implied) != port)
    {
        return Err(RequestError { kind: Kind::HostMismatch, at: error_at(out, FieldId::Host) });
    }
    let strip_port = authority.port.is_some() && implied.is_some() && port == implied;
    normalise(out, strip_port);
    Ok(())
}

/// Takes the implied port out of an absolute target and out of Host, and gives it a path.
fn normalise(out: &mut RequestHead, strip_port: bool) {
    let parts = out.uri();
    let authority_end = parts.path_range().start;
    let no_path = authority_end == parts.all.len();
    if !strip_port && !no_path {
        return;
    }
    let authority = parts.authority.and_then(uri::split_authority).unwrap_or_default();
    let host = authority.host;
    let port_len = if strip_port { authority.port.map_or(0, |p| p.len() + 1) } else { 0 };
    let stale = out.fields.with_id(FieldId::Host).next().filter(|f| f.value != host).map(|f| f.index);
    let host = host.to_vec();
    if let (true, Some(index)) = (strip_port, stale) {
        out.fields.set_value_at(index, &host);
    }
    let path: &[u8] = if no_path { b"/" } else { b"" };
    out.splice_target(authority_end - port_len..authority_end, path);
    rebuild_line(out);
}

/// Puts the request line together again for the log, with the target as it is now.
fn rebuild_line(out: &mut RequestHead) {
    let line = out.line.range();
    let target = out.target.range();
    let version = {
        let text = &out.fields.buf[line.clone()];
        let space = memchr::memrchr(b' ', text).unwrap_or(0);
        line.start + space..line.end
    };
    let buf = &mut out.fields.buf;
    let start = buf.len();
    buf.extend_from_within(out.method_span.range());
    buf.push(b' ');
    buf.extend_from_within(target);
    buf.extend_from_within(version);
    out.line = Span::new(start..buf.len());
}
