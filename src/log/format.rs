//! Log-format strings: compiled once, rendered without allocating.

/// From which moment of an exchange on a format can be rendered completely. A line is written at the first
/// moment at which its format is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// As soon as the connection is accepted.
    #[default]
    Accept,
    /// The request's headers are there.
    Request,
    /// The server connection is established.
    Connect,
    /// The response's headers are there.
    Response,
    /// The exchange has ended.
    Close,
}

/// A compiled log-format string.
#[derive(Debug, Default)]
pub struct LogFormat {
    /// See [`Step`].
    pub complete_at: Step,
}
