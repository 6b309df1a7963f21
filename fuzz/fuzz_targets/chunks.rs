//! Chunked bodies. The first byte is the size of the pieces the rest arrives in.
//!
//! Checked: no panic; pieces do not change the body, its end or the verdict; consumed bytes never exceed what was
//! given.
#![no_main]

use haring::http1::{ChunkDecoder, ChunkError, ChunkStep};
use libfuzzer_sys::fuzz_target;

/// Body, bytes consumed and whether the end came.
fn decode(coded: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), ChunkError> {
    let mut decoder = ChunkDecoder::new();
    let mut body = Vec::new();
    let mut at = 0;
    while at < coded.len() {
        let piece = &coded[at..coded.len().min(at.saturating_add(step))];
        match decoder.decode(piece)? {
            ChunkStep::More { consumed } => {
                assert_eq!(consumed, piece.len());
                at += consumed;
            }
            ChunkStep::Data { data, consumed } => {
                assert!(data.end == consumed && consumed <= piece.len());
                body.extend_from_slice(&piece[data]);
                at += consumed;
            }
            ChunkStep::End { consumed } => return Ok((body, at + consumed, true)),
        }
    }
    Ok((body, at, false))
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, coded)) = data.split_first() else { return };
    let whole = decode(coded, usize::MAX);
    let pieces = decode(coded, usize::from(step) + 1);
    assert_eq!(pieces, whole);
    let validated = ChunkDecoder::new().validate(coded);
    match (validated, whole) {
        (Ok((n, done)), Ok((_, at, end))) => assert_eq!((n, done), (at, end)),
        (Err(a), Err(b)) => assert_eq!(a, b),
        (a, b) => panic!("{a:?} {b:?}"),
    }
});
