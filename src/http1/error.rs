//! What a peer can do wrong in a head, and what it is answered.

use thiserror::Error;

/// What is wrong with a request head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RequestErrorKind {
    /// The head does not fit the limit.
    #[error("request head too large")]
    HeadTooLarge,
}

/// What is wrong with a request head, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{kind} at byte {at}")]
pub struct RequestError {
    /// What.
    pub kind: RequestErrorKind,
    /// Offset in the bytes given to the parser.
    pub at: usize,
}

impl RequestError {
    /// The status to answer with.
    pub fn status(&self) -> u16 {
        todo!()
    }
}

/// What is wrong with a response head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ResponseErrorKind {
    /// The head does not fit the limit.
    #[error("response head too large")]
    HeadTooLarge,
}

/// What is wrong with a response head, and where. The client is answered 502.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{kind} at byte {at}")]
pub struct ResponseError {
    /// What.
    pub kind: ResponseErrorKind,
    /// Offset in the bytes given to the parser.
    pub at: usize,
}
