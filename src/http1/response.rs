//! Response heads.

use super::framing::{self, Framing};
use super::lines::{self, Line, LineError, LineErrorKind};
use super::{Limits, Parsed, Relax, ResponseError, ResponseErrorKind as Kind};
use crate::http::{BodyLen, FieldId, Method, ResponseHead, Span, Version};

/// Parses a response head to a request with `request_method` (HEAD and CONNECT change the framing). Same
/// contract as [`super::parse_request`].
///
/// A 101 is taken as it comes ([`BodyLen::Tunnel`]); whether the request asked for it is
/// [`super::connection::check_switch`]'s to say.
pub fn parse_response(
    bytes: &[u8],
    limits: &Limits,
    relax: Relax,
    request_method: Method,
    out: &mut ResponseHead,
) -> Result<Parsed, ResponseError> {
    if !out.scan.started {
        let Some(line) = lines::start_line(bytes, limits, relax, &mut out.scan)? else {
            return match starts_like_http(bytes, out.scan.line) {
                true => Ok(Parsed::Partial),
                false => Err(ResponseError { kind: Kind::BadVersion, at: out.scan.line }),
            };
        };
        status_line(bytes, line, relax, out)?;
    }
    match lines::field_lines(bytes, limits, relax, &mut out.scan, &mut out.fields)? {
        None => Ok(Parsed::Partial),
        Some(head_len) => {
            lines::adopt(bytes, head_len, &out.scan, &mut out.fields);
            out.head_len = head_len as u32;
            if out.fields.has_id(FieldId::Connection) {
                out.connection = framing::connection_flags(&out.fields, out.version);
            }
            out.body = response_framing(out, relax, request_method)?;
            Ok(Parsed::Complete { head_len })
        }
    }
}

impl From<LineError> for ResponseError {
    fn from(e: LineError) -> ResponseError {
        let kind = match e.kind {
            LineErrorKind::TooLarge => Kind::HeadTooLarge,
            LineErrorKind::TooMany => Kind::TooManyFields,
            LineErrorKind::Control => Kind::ControlByte,
            LineErrorKind::Name => Kind::BadFieldName,
            LineErrorKind::NameTooLong => Kind::FieldNameTooLong,
            LineErrorKind::Fold => Kind::FoldOfNothing,
        };
        ResponseError { kind, at: e.at }
    }
}

/// Whether an unfinished status line can still become one: a server that does not speak HTTP is told apart
/// before it has sent a line end. Any protocol name passes here, unsafe mode may want it.
fn starts_like_http(bytes: &[u8], start: usize) -> bool {
    let text = &bytes[start.min(bytes.len())..];
    let name = &text[..text.len().min(8)];
    name.iter().take_while(|&&b| b != b'/').all(|&b| b.is_ascii_uppercase() || matches!(b, b'\r' | b'\n'))
}

/// `version SP status [SP reason]`; the second space may be missing, as servers do that.
fn status_line(bytes: &[u8], line: Line, relax: Relax, out: &mut ResponseHead) -> Result<(), ResponseError> {
    let fail = |kind, at| Err(ResponseError { kind, at: line.start + at });
    let text = &bytes[line.start..line.end];
    let version_len = memchr::memchr(b' ', text).unwrap_or(text.len());
    match lines::parse_version(&text[..version_len]) {
        Some(version) => out.version = version,
        None if relax == Relax::Unsafe && lines::is_other_version(&text[..version_len]) => {
            out.version = Version::HTTP_10;
            out.raw_version = Span::new(line.start..line.start + version_len);
        }
        None => return fail(Kind::BadVersion, 0),
    }
    let rest = text.get(version_len + 1..).unwrap_or_default();
    let digits = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    let code = crate::http::token::parse_u64(&rest[..digits]).and_then(|n| u16::try_from(n).ok());
    let valid = match relax {
        Relax::Strict => digits == 3,
        Relax::Unsafe => digits >= 3,
    };
    out.status = match code {
        Some(code) if valid && code >= 100 => code,
        _ => return fail(Kind::BadStatus, version_len + 1),
    };
    let reason_at = version_len + 1 + digits;
    match text.get(reason_at) {
        None => out.reason = Span::new(line.end..line.end),
        Some(b' ') => out.reason = Span::new(line.start + reason_at + 1..line.end),
        Some(_) => return fail(Kind::BadStatus, reason_at),
    }
    Ok(())
}

/// RFC 9112 6.3, in its order. The framing fields are checked even where they do not count: what comes after
/// us may count them.
fn response_framing(
    out: &ResponseHead,
    relax: Relax,
    request_method: Method,
) -> Result<BodyLen, ResponseError> {
    let at = |id| out.fields.with_id(id).next().map_or(0, |f| out.fields.name_position(f.index));
    let framing = framing::read(&out.fields, out.version);
    let said = match framing {
        Framing::None => BodyLen::UntilClose,
        // The same length twice is one length: servers do it, and only one goes on.
        Framing::Length { length, .. } => BodyLen::Length(length),
        Framing::LengthsDiffer => {
            return Err(ResponseError { kind: Kind::DuplicateContentLength, at: at(FieldId::ContentLength) });
        }
        Framing::BadLength => {
            return Err(ResponseError { kind: Kind::BadContentLength, at: at(FieldId::ContentLength) });
        }
        Framing::Chunked => BodyLen::Chunked,
        Framing::BadCoding if relax == Relax::Unsafe => match framing::lax_coding(&out.fields) {
            Some(body) => body,
            None => {
                return Err(ResponseError {
                    kind: Kind::BadTransferEncoding,
                    at: at(FieldId::TransferEncoding),
                });
            }
        },
        other => {
            let kind = match other {
                Framing::Both => Kind::BothFramings,
                Framing::ChunkedIn10 => Kind::TransferEncodingIn10,
                _ => Kind::BadTransferEncoding,
            };
            return Err(ResponseError { kind, at: at(FieldId::TransferEncoding) });
        }
    };
    Ok(match out.status {
        101 => BodyLen::Tunnel,
        100..=199 | 204 | 304 => BodyLen::None,
        _ if request_method == Method::Head => BodyLen::None,
        200..=299 if request_method == Method::Connect => BodyLen::Tunnel,
        _ => said,
    })
}
