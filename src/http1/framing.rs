//! Body framing (RFC 9112 6) and Connection tokens, for both directions.

use crate::http::{BodyLen, ConnectionFlags, FieldId, Fields, Version, token};

/// What the framing fields of a head say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// Neither field is there.
    None,
    /// So many bytes, said so many times.
    Length { length: u64, occurrences: usize },
    /// Several lengths that differ.
    LengthsDiffer,
    /// Not a plain decimal number below 2^63.
    BadLength,
    /// One `chunked`.
    Chunked,
    /// Both fields.
    Both,
    /// Transfer-Encoding below HTTP/1.1.
    ChunkedIn10,
    /// Codings that end with `chunked`, but not that alone.
    OtherCoding,
    /// `chunked` several times, an empty list element, or a list that does not end with `chunked`.
    BadCoding,
}

/// Reads the framing fields.
#[inline]
pub(super) fn read(fields: &Fields, version: Version) -> Framing {
    let coded = fields.has_id(FieldId::TransferEncoding);
    let sized = fields.has_id(FieldId::ContentLength);
    match (coded, sized) {
        (false, false) => Framing::None,
        (true, true) => Framing::Both,
        (false, true) => length(fields),
        (true, false) if version < Version::HTTP_11 => Framing::ChunkedIn10,
        (true, false) => coding(fields),
    }
}

fn length(fields: &Fields) -> Framing {
    let mut first = None;
    let mut occurrences = 0;
    for field in fields.with_id(FieldId::ContentLength) {
        // Above 2^63 the number would not survive other implementations' signed arithmetic.
        let Some(n) = token::parse_u64(field.value).filter(|&n| n <= i64::MAX as u64) else {
            return Framing::BadLength;
        };
        occurrences += 1;
        if *first.get_or_insert(n) != n {
            return Framing::LengthsDiffer;
        }
    }
    Framing::Length { length: first.unwrap_or(0), occurrences }
}

fn coding(fields: &Fields) -> Framing {
    let mut chunked = 0;
    let mut others = 0;
    let mut odd = false;
    let mut ends_chunked = false;
    for field in fields.with_id(FieldId::TransferEncoding) {
        for name in token::split_commas(field.value) {
            ends_chunked = name.eq_ignore_ascii_case(b"chunked");
            match ends_chunked {
                true => chunked += 1,
                false if token::is_token(name) => others += 1,
                false => odd = true,
            }
        }
    }
    match (chunked, others, odd, ends_chunked) {
        (1, 0, false, true) => Framing::Chunked,
        (1, _, false, true) => Framing::OtherCoding,
        _ => Framing::BadCoding,
    }
}

/// What unsafe mode makes of a response's Transfer-Encoding with empty elements or several `chunked`: nothing at
/// all is no coding, otherwise `chunked`. `None` when another coding is named.
pub(super) fn lax_coding(fields: &Fields) -> Option<BodyLen> {
    let mut body = BodyLen::UntilClose;
    for field in fields.with_id(FieldId::TransferEncoding) {
        for name in token::split_commas(field.value).filter(|name| !name.is_empty()) {
            if !name.eq_ignore_ascii_case(b"chunked") {
                return None;
            }
            body = BodyLen::Chunked;
        }
    }
    Some(body)
}

/// The Connection tokens that mean something to us.
pub(super) fn connection_flags(fields: &Fields, version: Version) -> ConnectionFlags {
    let mut flags = ConnectionFlags::default();
    for field in fields.with_id(FieldId::Connection) {
        for name in token::split_commas(field.value) {
            flags.close |= name.eq_ignore_ascii_case(b"close");
            flags.keep_alive |= name.eq_ignore_ascii_case(b"keep-alive");
            flags.upgrade |= name.eq_ignore_ascii_case(b"upgrade");
            flags.te |= name.eq_ignore_ascii_case(b"te");
        }
    }
    flags.upgrade &= version >= Version::HTTP_11 && fields.has_id(FieldId::Upgrade);
    flags
}
