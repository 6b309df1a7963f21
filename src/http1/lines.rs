//! Lines of a head: what requests and responses share. Reads each byte once however the bytes arrive.

use super::{Limits, Relax};
use crate::http::{FieldId, Fields, ScanState, Span, token};

/// Longest field name; HAProxy's limit too.
pub(super) const MAX_NAME: usize = 255;

/// What can be wrong with a line, in the words of neither side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LineErrorKind {
    TooLarge,
    TooMany,
    Control,
    Name,
    NameTooLong,
    Fold,
}

/// What, and at which byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LineError {
    pub(super) kind: LineErrorKind,
    pub(super) at: usize,
}

impl LineError {
    fn new(kind: LineErrorKind, at: usize) -> LineError {
        LineError { kind, at }
    }
}

/// A line of the head: where it is without its end, and where the next one starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) next: usize,
}

/// Finds the end of the current line. `None` when more bytes are needed; the scan position then stands where
/// the next call has to go on.
///
/// A line ends with CRLF. A LF alone is taken as well (RFC 9112 2.2), as people type it into netcat, but then
/// in every line of the head: a single LF in a CRLF message is what desynchronisation is made of.
fn physical_line(
    bytes: &[u8],
    limits: &Limits,
    relax: Relax,
    scan: &mut ScanState,
) -> Result<Option<(usize, usize)>, LineError> {
    let window = &bytes[..bytes.len().min(limits.head_bytes)];
    loop {
        let from = scan.pos.min(window.len());
        let Some(found) = memchr::memchr3(b'\n', b'\r', 0, &window[from..]) else {
            scan.pos = window.len();
            return missing(bytes, limits);
        };
        let at = from + found;
        let (end, next) = match (window[at], window.get(at + 1)) {
            (b'\r', Some(b'\n')) => (at, at + 2),
            (b'\n', _) => (at, at + 1),
            (b'\r', None) => {
                scan.pos = at;
                return missing(bytes, limits);
            }
            (0, _) if relax == Relax::Unsafe && scan.started => {
                scan.pos = at + 1;
                continue;
            }
            _ => return Err(LineError::new(LineErrorKind::Control, at)),
        };
        let bare = next - end == 1;
        match scan.bare_lf {
            Some(before) if before != bare && relax == Relax::Strict => {
                return Err(LineError::new(LineErrorKind::Control, at));
            }
            Some(_) => {}
            None => scan.bare_lf = Some(bare),
        }
        scan.pos = next;
        return Ok(Some((end, next)));
    }
}

fn missing(bytes: &[u8], limits: &Limits) -> Result<Option<(usize, usize)>, LineError> {
    if bytes.len() >= limits.head_bytes {
        return Err(LineError::new(LineErrorKind::TooLarge, limits.head_bytes));
    }
    Ok(None)
}

/// Skips empty lines in front of a message (RFC 9112 2.2), then reads the start line. `None` when more bytes
/// are needed.
pub(super) fn start_line(
    bytes: &[u8],
    limits: &Limits,
    relax: Relax,
    scan: &mut ScanState,
) -> Result<Option<Line>, LineError> {
    loop {
        // A line that begins with a control byte will never be one: say so at once. A TLS hello on a clear-text
        // port ends here instead of at a timeout.
        if bytes.get(scan.line).is_some_and(|&b| b < b' ' && !matches!(b, b'\r' | b'\n')) {
            return Err(LineError::new(LineErrorKind::Control, scan.line));
        }
        let found = physical_line(bytes, limits, relax, scan)?;
        if let Some((end, next)) = found
            && end == scan.line
        {
            scan.line = next;
            scan.bare_lf = None;
            continue;
        }
        let Some((end, next)) = found else { return Ok(None) };
        let line = Line { start: scan.line, end, next };
        scan.line = next;
        scan.started = true;
        return Ok(Some(line));
    }
}

/// Reads field lines up to and including the empty line: the head's length, or `None` when more bytes are
/// needed. Spans are positions in `bytes`.
pub(super) fn field_lines(
    bytes: &[u8],
    limits: &Limits,
    relax: Relax,
    scan: &mut ScanState,
    fields: &mut Fields,
) -> Result<Option<usize>, LineError> {
    loop {
        let Some((end, next)) = physical_line(bytes, limits, relax, scan)? else { return Ok(None) };
        if end == scan.line {
            return Ok(Some(next));
        }
        // Only the byte after the line tells whether it goes on (obs-fold, RFC 9112 5.2).
        match bytes.get(next) {
            None if bytes.len() >= limits.head_bytes => {
                return Err(LineError::new(LineErrorKind::TooLarge, limits.head_bytes));
            }
            None => {
                scan.pos = end;
                return Ok(None);
            }
            Some(b' ' | b'\t') => {
                scan.folded = true;
                continue;
            }
            Some(_) => {}
        }
        let line = scan.line..end;
        scan.line = next;
        if scan.lines >= limits.max_fields {
            return Err(LineError::new(LineErrorKind::TooMany, line.start));
        }
        scan.lines += 1;
        field_line(bytes, line, relax, fields)?;
    }
}

/// Reads one field line (folds included).
#[inline]
fn field_line(
    bytes: &[u8],
    line: std::ops::Range<usize>,
    relax: Relax,
    fields: &mut Fields,
) -> Result<(), LineError> {
    let text = &bytes[line.clone()];
    let mut name_len = text.iter().position(|&b| !token::is_tchar(b)).unwrap_or(text.len());
    let mut drop = false;
    if text.get(name_len) != Some(&b':') || name_len == 0 {
        let bad = LineError::new(LineErrorKind::Name, line.start + name_len);
        if matches!(text.first(), Some(b' ' | b'\t')) {
            return Err(LineError::new(LineErrorKind::Fold, line.start));
        }
        if relax == Relax::Strict || name_len == 0 {
            return Err(bad);
        }
        // Unsafe mode takes the line and forgets it. Without a colon there is no name to speak of.
        name_len = memchr::memchr(b':', text).ok_or(bad)?;
        drop = true;
    }
    if name_len > MAX_NAME {
        return Err(LineError::new(LineErrorKind::NameTooLong, line.start + MAX_NAME));
    }
    if drop {
        return Ok(());
    }
    let mut start = name_len + 1;
    let mut end = text.len();
    while start < end && is_blank(text[start]) {
        start += 1;
    }
    while end > start && is_blank(text[end - 1]) {
        end -= 1;
    }
    let name = line.start..line.start + name_len;
    let id = FieldId::from_name(&text[..name_len]);
    fields.push_span(name, Span::new(line.start + start..line.start + end), id);
    Ok(())
}

/// White space of a value that may hold folds.
#[inline]
fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// Gives the head its copy of the bytes: spans of the list now point into it. Folds become spaces, which is
/// what RFC 9112 5.2 asks of a proxy that does not refuse them.
pub(super) fn adopt(bytes: &[u8], head_len: usize, scan: &ScanState, fields: &mut Fields) {
    debug_assert!(fields.buf.is_empty());
    fields.buf.extend_from_slice(&bytes[..head_len]);
    if scan.folded {
        fields.unfold();
    }
}

/// How a version may be written: (major, minor) of `HTTP/1.x`.
pub(super) fn parse_version(text: &[u8]) -> Option<crate::http::Version> {
    use crate::http::Version;
    match text {
        b"HTTP/1.1" => Some(Version::HTTP_11),
        b"HTTP/1.0" => Some(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9'] => {
            Some(Version { major: 1, minor: minor - b'0' })
        }
        _ => None,
    }
}

/// What unsafe mode takes for a version: a protocol name, a slash, digits and dots (`RTSP/1.0`, `HTTP/1.11`).
pub(super) fn is_other_version(text: &[u8]) -> bool {
    let Some(slash) = memchr::memchr(b'/', text) else { return false };
    slash > 0
        && text[..slash].iter().all(u8::is_ascii_uppercase)
        && text.get(slash + 1).is_some_and(u8::is_ascii_digit)
        && text[slash + 1..].iter().all(|b| b.is_ascii_digit() || *b == b'.')
}
