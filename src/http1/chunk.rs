//! The chunked transfer coding (RFC 9112 7.1).

use crate::http::{FieldId, token};
use std::ops::Range;
use thiserror::Error;

/// Longest chunk line (size and extensions) in bytes. Nobody uses extensions; a long one is an attack.
pub const MAX_CHUNK_LINE: usize = 4096;

/// Most bytes that the chunk lines of one message may spend beyond a fair share of 16 per chunk. Without it a
/// body of one-byte chunks with long extensions would make us read thousands of bytes for each one.
pub const MAX_CHUNK_EXCESS: u64 = 16 * 1024;

/// Most bytes of a trailer section.
pub const MAX_TRAILER_BYTES: usize = 8192;

/// Most lines of a trailer section.
pub const MAX_TRAILER_LINES: usize = 100;

/// What is wrong with a chunked body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// A byte that is no hexadecimal digit in a chunk size, or no digit at all.
    #[error("invalid chunk size")]
    BadSize,
    /// A chunk of 2^63 bytes or more.
    #[error("chunk too large")]
    SizeTooLarge,
    /// A control byte (a bare CR, LF or NUL among them) in a chunk line.
    #[error("invalid byte in a chunk extension")]
    BadExtension,
    /// A chunk line, or all of them together, say too much.
    #[error("chunk extensions too long")]
    ExtensionTooLong,
    /// The data of a chunk, or its line, does not end with CRLF.
    #[error("chunk not ended by CRLF")]
    BadEnd,
    /// A trailer line is not `name: value`.
    #[error("invalid trailer")]
    BadTrailer,
    /// A trailer that frames or routes the message (RFC 9110 6.5.1).
    #[error("forbidden trailer")]
    ForbiddenTrailer,
    /// Too many trailers, or too long ones.
    #[error("trailer section too large")]
    TrailersTooLarge,
}

/// What the next bytes of a chunked body are. `consumed` bytes are done with and valid: forward them as they
/// are, or only the data, then call again with the rest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChunkStep {
    /// All bytes are consumed and hold no data; more are needed.
    More {
        /// Always all of them.
        consumed: usize,
    },
    /// Body bytes.
    Data {
        /// Where they are in the bytes given.
        data: Range<usize>,
        /// The end of `data`.
        consumed: usize,
    },
    /// The end of the message, trailers included.
    End {
        /// What is left after it belongs to the next message.
        consumed: usize,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// Digits of the size.
    #[default]
    Size,
    /// Blanks between the size and `;` or the line end.
    AfterSize,
    Extension,
    /// LF after the CR of a chunk line.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// First byte of a trailer line.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    /// LF of the empty line.
    EndLf,
    Done,
}

/// A decoder's state between calls. Bounded: it holds no body byte, only the name of the current trailer.
#[derive(Clone, Debug, Default)]
pub struct ChunkDecoder {
    state: State,
    /// While the size is read: the size; in data: bytes left.
    left: u64,
    /// Bytes of the current chunk line; in trailers: of the section.
    line: usize,
    /// Bytes of chunk lines beyond the fair share.
    excess: u64,
    trailers: usize,
    name: Vec<u8>,
}

impl ChunkDecoder {
    /// At the start of a chunked body.
    pub fn new() -> ChunkDecoder {
        ChunkDecoder::default()
    }

    /// Looks at the next bytes and says what the first of them are.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<ChunkStep, ChunkError> {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Done => break,
                State::Data => {
                    let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    self.left -= n as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(ChunkStep::Data { data: at..at + n, consumed: at + n });
                }
                _ => self.byte(bytes[at])?,
            }
            at += 1;
        }
        Ok(if self.state == State::Done {
            ChunkStep::End { consumed: at }
        } else {
            ChunkStep::More { consumed: at }
        })
    }

    /// Validates as many bytes as belong to this message: (bytes consumed, message complete). For a relay that
    /// forwards the coded form.
    pub fn validate(&mut self, bytes: &[u8]) -> Result<(usize, bool), ChunkError> {
        let mut at = 0;
        loop {
            match self.decode(&bytes[at..])? {
                ChunkStep::More { consumed } => return Ok((at + consumed, false)),
                ChunkStep::Data { consumed, .. } => at += consumed,
                ChunkStep::End { consumed } => return Ok((at + consumed, true)),
            }
        }
    }

    /// Whether the end of the message has been seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of the current chunk that have not come yet; zero between chunks. That many may go through a pipe
    /// unread (see [`ChunkDecoder::skip_data`]).
    pub fn data_left(&self) -> u64 {
        if self.state == State::Data { self.left } else { 0 }
    }

    /// Says that `n` bytes of the current chunk's data (at most [`ChunkDecoder::data_left`]) went past the
    /// decoder.
    pub fn skip_data(&mut self, n: u64) {
        debug_assert!(n <= self.data_left());
        self.left -= n.min(self.data_left());
        if self.state == State::Data && self.left == 0 {
            self.state = State::DataCr;
        }
    }

    /// One byte that is not data.
    fn byte(&mut self, b: u8) -> Result<(), ChunkError> {
        match self.state {
            State::Size | State::AfterSize | State::Extension | State::SizeLf => self.line_byte(b)?,
            State::DataCr => self.state = expect(b, b'\r', State::DataLf)?,
            State::DataLf => {
                self.state = expect(b, b'\n', State::Size)?;
                self.line = 0;
            }
            _ => self.trailer_byte(b)?,
        }
        Ok(())
    }

    fn line_byte(&mut self, b: u8) -> Result<(), ChunkError> {
        self.line += 1;
        if self.line > MAX_CHUNK_LINE {
            return Err(ChunkError::ExtensionTooLong);
        }
        self.state = match (self.state, b) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = u64::from((b as char).to_digit(16).unwrap_or(0));
                if self.left > (i64::MAX as u64) >> 4 {
                    return Err(ChunkError::SizeTooLarge);
                }
                self.left = (self.left << 4) | digit;
                State::Size
            }
            (State::Size, _) if self.line == 1 => return Err(ChunkError::BadSize),
            (State::Size | State::AfterSize, b' ' | b'\t') => State::AfterSize,
            (State::Size | State::AfterSize, b';') => State::Extension,
            (State::Size | State::AfterSize | State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b) if token::is_value_byte(b) => State::Extension,
            (State::Extension, _) => return Err(ChunkError::BadExtension),
            (State::SizeLf, b'\n') => return self.end_of_line(),
            (State::SizeLf, _) => return Err(ChunkError::BadEnd),
            _ => return Err(ChunkError::BadSize),
        };
        Ok(())
    }

    fn end_of_line(&mut self) -> Result<(), ChunkError> {
        self.excess = (self.excess + self.line as u64).saturating_sub(16);
        if self.excess > MAX_CHUNK_EXCESS {
            return Err(ChunkError::ExtensionTooLong);
        }
        self.line = 0;
        self.state = if self.left == 0 { State::TrailerStart } else { State::Data };
        Ok(())
    }

    fn trailer_byte(&mut self, b: u8) -> Result<(), ChunkError> {
        self.line += 1;
        if self.line > MAX_TRAILER_BYTES {
            return Err(ChunkError::TrailersTooLarge);
        }
        self.state = match (self.state, b) {
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => State::Done,
            (State::TrailerStart | State::TrailerName, b) if token::is_tchar(b) => {
                if self.state == State::TrailerStart {
                    self.trailers += 1;
                    self.name.clear();
                }
                if self.trailers > MAX_TRAILER_LINES || self.name.len() == super::lines::MAX_NAME {
                    return Err(ChunkError::TrailersTooLarge);
                }
                self.name.push(b);
                State::TrailerName
            }
            (State::TrailerName, b':') => {
                if is_forbidden_trailer(&self.name) {
                    return Err(ChunkError::ForbiddenTrailer);
                }
                State::TrailerValue
            }
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, b) if b != b'\n' && b != 0 => State::TrailerValue,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            _ => return Err(ChunkError::BadTrailer),
        };
        Ok(())
    }
}

fn expect(b: u8, wanted: u8, next: State) -> Result<State, ChunkError> {
    if b == wanted { Ok(next) } else { Err(ChunkError::BadEnd) }
}

/// Fields that frame, route or authenticate: a recipient that merges trailers into the head must not meet them
/// here (RFC 9110 6.5.1).
fn is_forbidden_trailer(name: &[u8]) -> bool {
    matches!(
        FieldId::from_name(name),
        FieldId::ContentLength
            | FieldId::TransferEncoding
            | FieldId::Host
            | FieldId::Connection
            | FieldId::Upgrade
            | FieldId::Te
            | FieldId::Trailer
            | FieldId::Expect
            | FieldId::Authorization
            | FieldId::ProxyAuthorization
            | FieldId::Cookie
            | FieldId::SetCookie
    )
}

/// Appends the head of a chunk of `len` (> 0) bytes; the data and [`CHUNK_END`] follow.
pub fn push_chunk_head(out: &mut Vec<u8>, len: u64) {
    debug_assert!(len > 0, "an empty chunk would end the body");
    let digits = (64 - len.leading_zeros()).div_ceil(4).max(1);
    for i in (0..digits).rev() {
        out.push(b"0123456789abcdef"[((len >> (4 * i)) & 15) as usize]);
    }
    out.extend_from_slice(b"\r\n");
}

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk and an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
