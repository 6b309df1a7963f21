//! Request heads.

use super::{Limits, Parsed, Relax, RequestError};
use crate::http::RequestHead;

/// Parses a request head. `bytes` is everything received since the end of the message before; on
/// [`Parsed::Partial`] call again with more bytes and the same `out`: what was read is not read again. Start
/// with a cleared head.
pub fn parse_request(
    _bytes: &[u8],
    _limits: &Limits,
    _relax: Relax,
    _out: &mut RequestHead,
) -> Result<Parsed, RequestError> {
    todo!("{:?}", _out.scan)
}
