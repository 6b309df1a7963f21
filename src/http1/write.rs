//! Heads to bytes, in one pass.

use crate::http::{RequestHead, ResponseHead};

/// Appends the head as it stands now, the empty line included.
pub fn write_request(_head: &RequestHead, _out: &mut Vec<u8>) {
    todo!()
}

/// Appends the head as it stands now, the empty line included.
pub fn write_response(_head: &ResponseHead, _out: &mut Vec<u8>) {
    todo!()
}
