//! The answers the proxy gives itself, and the check of `errorfile` contents.

use thiserror::Error;

/// The statuses with a page of their own.
pub const STATUSES: [u16; 20] =
    [200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 421, 422, 425, 429, 500, 501, 502, 503, 504];

/// The complete response (head and body) for a status: a static page for the known ones, the page of the
/// class (400 or 500) for others.
pub fn page(_status: u16) -> &'static [u8] {
    todo!()
}

/// Why the contents of an error file cannot be sent as a response.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ErrorFileProblem {
    /// It is larger than a buffer.
    #[error("larger than a buffer ({0} bytes)")]
    TooLarge(usize),
}

/// Checks the contents of an `errorfile`: a complete HTTP response that fits a buffer.
pub fn check_error_file(_contents: &[u8], _bufsize: usize) -> Result<(), ErrorFileProblem> {
    todo!()
}
