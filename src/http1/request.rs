//! Request heads.

use super::framing::{self, Framing};
use super::lines::{self, Line, LineError, LineErrorKind};
use super::{Limits, Parsed, Relax, RequestError, RequestErrorKind as Kind, authority};
use crate::http::{BodyLen, FieldId, Fields, Method, RequestHead, Span, Version, token};

/// Parses a request head. `bytes` is everything received since the end of the message before; on
/// [`Parsed::Partial`] call again with more bytes and the same `out`: what was read is not read again. Start
/// with a cleared head.
pub fn parse_request(
    bytes: &[u8],
    limits: &Limits,
    relax: Relax,
    out: &mut RequestHead,
) -> Result<Parsed, RequestError> {
    if !out.scan.started {
        let Some(line) = lines::start_line(bytes, limits, relax, &mut out.scan)? else {
            return Ok(Parsed::Partial);
        };
        request_line(bytes, line, relax, out)?;
        if out.version.major == 0 {
            return finish_http09(bytes, line, out);
        }
    }
    match lines::field_lines(bytes, limits, relax, &mut out.scan, &mut out.fields)? {
        None => Ok(Parsed::Partial),
        Some(head_len) => {
            lines::adopt(bytes, head_len, &out.scan, &mut out.fields);
            out.head_len = head_len as u32;
            check_head(out, limits, relax)?;
            Ok(Parsed::Complete { head_len })
        }
    }
}

impl From<LineError> for RequestError {
    fn from(e: LineError) -> RequestError {
        let kind = match e.kind {
            LineErrorKind::TooLarge => Kind::HeadTooLarge,
            LineErrorKind::TooMany => Kind::TooManyFields,
            LineErrorKind::Control => Kind::ControlByte,
            LineErrorKind::Name => Kind::BadFieldName,
            LineErrorKind::NameTooLong => Kind::FieldNameTooLong,
            LineErrorKind::Fold => Kind::FoldOfNothing,
        };
        RequestError { kind, at: e.at }
    }
}

/// `method SP target SP version`, one space each (RFC 9112 3).
fn request_line(bytes: &[u8], line: Line, relax: Relax, out: &mut RequestHead) -> Result<(), RequestError> {
    let fail = |kind, at| Err(RequestError { kind, at });
    let text = &bytes[line.start..line.end];
    out.line = Span::new(line.start..line.end);
    let method_len = text.iter().position(|&b| !token::is_tchar(b)).unwrap_or(text.len());
    if method_len == 0 || !matches!(text.get(method_len), None | Some(b' ' | b'\t')) {
        return fail(Kind::BadMethod, line.start + method_len);
    }
    out.method = Method::from_token(&text[..method_len]);
    out.method_span = Span::new(line.start..line.start + method_len);

    let target_at = skip_gap(text, method_len, relax);
    let target_len =
        text[target_at..].iter().position(|&b| !is_plain_target(b)).unwrap_or(text.len() - target_at);
    let target_len = match text.get(target_at + target_len) {
        None | Some(b' ' | b'\t') => target_len,
        Some(_) => odd_target(text, target_at, relax)
            .map_err(|(kind, at)| RequestError { kind, at: line.start + at })?,
    };
    if target_len == 0 {
        return fail(
            if target_at == text.len() { Kind::BadTarget } else { Kind::BadRequestLine },
            line.start + target_at,
        );
    }
    out.target = Span::new(line.start + target_at..line.start + target_at + target_len);

    let target_end = target_at + target_len;
    if target_end == text.len() {
        if relax == Relax::Strict || out.method != Method::Get {
            return fail(Kind::Http09, line.end);
        }
        out.version = Version { major: 0, minor: 9 };
        return Ok(());
    }
    let version_at = skip_gap(text, target_end, relax);
    match lines::parse_version(&text[version_at..]) {
        Some(version) => out.version = version,
        None if relax == Relax::Unsafe && lines::is_other_version(&text[version_at..]) => {
            out.version = Version::HTTP_10;
            out.raw_version = Span::new(line.start + version_at..line.end);
        }
        None => {
            let kind = match text.get(version_at) {
                Some(b' ' | b'\t') => Kind::BadRequestLine,
                _ => Kind::BadVersion,
            };
            return fail(kind, line.start + version_at);
        }
    }
    Ok(())
}

/// A target byte that needs no second look: visible ASCII except `#`.
#[inline]
fn is_plain_target(b: u8) -> bool {
    token::is_target_byte(b) && b != b'#'
}

/// The length of a target that holds something unusual; unsafe mode lets `#` and bytes above 127 pass.
fn odd_target(text: &[u8], start: usize, relax: Relax) -> Result<usize, (Kind, usize)> {
    for (at, &b) in text.iter().enumerate().skip(start) {
        match b {
            b' ' | b'\t' => return Ok(at - start),
            b'#' if relax == Relax::Strict => return Err((Kind::FragmentInTarget, at)),
            0x80.. if relax == Relax::Unsafe => {}
            b if token::is_target_byte(b) => {}
            _ => return Err((Kind::BadTarget, at)),
        }
    }
    Ok(text.len() - start)
}

/// Where the next part of the request line starts: one space further, in unsafe mode behind all white space.
fn skip_gap(text: &[u8], at: usize, relax: Relax) -> usize {
    match relax {
        Relax::Strict if text.get(at) == Some(&b' ') && at + 1 < text.len() => at + 1,
        Relax::Strict => at,
        Relax::Unsafe => {
            text[at..].iter().position(|b| !matches!(b, b' ' | b'\t')).map_or(text.len(), |n| at + n)
        }
    }
}

/// A HTTP/0.9 request is its request line; it goes on as HTTP/1.0.
fn finish_http09(bytes: &[u8], line: Line, out: &mut RequestHead) -> Result<Parsed, RequestError> {
    out.version = Version::HTTP_10;
    lines::adopt(bytes, line.next, &out.scan, &mut out.fields);
    out.head_len = line.next as u32;
    Ok(Parsed::Complete { head_len: line.next })
}

/// What only the whole head shows: framing, Host, the Connection tokens.
fn check_head(out: &mut RequestHead, limits: &Limits, relax: Relax) -> Result<(), RequestError> {
    check_framing(out, limits)?;
    authority::check_target(out, relax)?;
    if out.fields.has_id(FieldId::Connection) {
        check_connection(out)?;
    }
    if out.connection.upgrade {
        check_upgrade(out, relax)?;
    }
    Ok(())
}

fn check_framing(out: &mut RequestHead, limits: &Limits) -> Result<(), RequestError> {
    let fields = &out.fields;
    let at = |id| position(fields, id);
    out.body = match framing::read(&out.fields, out.version) {
        Framing::None => BodyLen::None,
        Framing::Length { length, occurrences: 1 } => BodyLen::Length(length),
        Framing::Length { .. } | Framing::LengthsDiffer => {
            return Err(RequestError { kind: Kind::DuplicateContentLength, at: at(FieldId::ContentLength) });
        }
        Framing::BadLength => {
            return Err(RequestError { kind: Kind::BadContentLength, at: at(FieldId::ContentLength) });
        }
        Framing::Chunked => BodyLen::Chunked,
        other => {
            let kind = match other {
                Framing::Both => Kind::BothFramings,
                Framing::ChunkedIn10 => Kind::TransferEncodingIn10,
                Framing::OtherCoding => Kind::UnsupportedCoding,
                _ => Kind::BadTransferEncoding,
            };
            return Err(RequestError { kind, at: at(FieldId::TransferEncoding) });
        }
    };
    let old = out.version < Version::HTTP_11;
    if old
        && !limits.accept_any_payload
        && matches!(out.method, Method::Get | Method::Head | Method::Delete)
        && !out.body.is_empty()
    {
        return Err(RequestError { kind: Kind::UnexpectedPayload, at: at(FieldId::ContentLength) });
    }
    Ok(())
}

/// Where the first field of that name stands.
pub(super) fn error_at(out: &RequestHead, id: FieldId) -> usize {
    position(&out.fields, id)
}

fn position(fields: &Fields, id: FieldId) -> usize {
    fields.with_id(id).next().map_or(0, |f| fields.name_position(f.index))
}

/// Reads the Connection tokens. One that names a field which frames or routes the message would make the next
/// hop drop that field (RFC 9110 7.6.1): refused.
fn check_connection(out: &mut RequestHead) -> Result<(), RequestError> {
    let flags = framing::connection_flags(&out.fields, out.version);
    for name in [&b"content-length"[..], b"transfer-encoding", b"host"] {
        if out.fields.with_id(FieldId::Connection).any(|f| token::list_contains(f.value, name)) {
            let at = error_at(out, FieldId::Connection);
            return Err(RequestError { kind: Kind::ConnectionNamesFraming, at });
        }
    }
    out.connection = flags;
    Ok(())
}

/// An upgrade to WebSocket carries a key (RFC 6455 4.1), or it is something that only looks like one.
fn check_upgrade(out: &RequestHead, relax: Relax) -> Result<(), RequestError> {
    let websocket = out.fields.with_id(FieldId::Upgrade).any(|f| token::list_contains(f.value, b"websocket"));
    if websocket
        && relax == Relax::Strict
        && out.fields.get(b"sec-websocket-key").is_none_or(<[u8]>::is_empty)
    {
        return Err(RequestError { kind: Kind::MissingWebSocketKey, at: error_at(out, FieldId::Upgrade) });
    }
    Ok(())
}
