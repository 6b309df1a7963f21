//! Response heads.

use super::{Limits, Parsed, Relax, ResponseError};
use crate::http::{Method, ResponseHead};

/// Parses a response head to a request with `request_method` (HEAD and CONNECT change the framing). Same
/// contract as [`super::parse_request`].
pub fn parse_response(
    _bytes: &[u8],
    _limits: &Limits,
    _relax: Relax,
    _request_method: Method,
    _out: &mut ResponseHead,
) -> Result<Parsed, ResponseError> {
    todo!("{:?}", _out.scan)
}
