//! The chunked transfer coding (RFC 9112 7.1).

use std::ops::Range;
use thiserror::Error;

/// What is wrong with a chunked body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// A byte that is no hexadecimal digit in a chunk size, or no digit at all.
    #[error("bad chunk size")]
    BadSize,
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

/// A decoder's state between calls. Bounded: it holds no body byte.
#[derive(Clone, Debug, Default)]
pub struct ChunkDecoder {
    _private: (),
}

impl ChunkDecoder {
    /// At the start of a chunked body.
    pub fn new() -> ChunkDecoder {
        ChunkDecoder::default()
    }

    /// Looks at the next bytes and says what the first of them are.
    pub fn decode(&mut self, _bytes: &[u8]) -> Result<ChunkStep, ChunkError> {
        todo!()
    }

    /// Validates as many bytes as belong to this message: (bytes consumed, message complete). For a relay that
    /// forwards the coded form.
    pub fn validate(&mut self, _bytes: &[u8]) -> Result<(usize, bool), ChunkError> {
        todo!()
    }

    /// Whether the end of the message has been seen.
    pub fn is_done(&self) -> bool {
        todo!()
    }
}

/// Appends the head of a chunk of `len` (> 0) bytes; the data and [`CHUNK_END`] follow.
pub fn push_chunk_head(_out: &mut Vec<u8>, _len: u64) {
    todo!()
}

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk and an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
