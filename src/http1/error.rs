//! What a peer can do wrong in a head, and what it is answered.

use thiserror::Error;

/// What is wrong with a request head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Error)]
#[non_exhaustive]
pub enum RequestErrorKind {
    /// The head does not fit the limit.
    #[error("head too large")]
    HeadTooLarge,
    /// More field lines than allowed.
    #[error("too many header fields")]
    TooManyFields,
    /// The method is empty or holds a byte that is no token byte.
    #[error("invalid method")]
    BadMethod,
    /// More than one space, a tab, or something after the version in the request line.
    #[error("invalid white space in the request line")]
    BadRequestLine,
    /// The target holds a byte that may not stand there, or has none of the four forms.
    #[error("invalid request target")]
    BadTarget,
    /// The target has a `#`.
    #[error("fragment in the request target")]
    FragmentInTarget,
    /// The target of CONNECT is not `host:port`, or the authority of an absolute target is malformed.
    #[error("invalid authority")]
    BadAuthority,
    /// There is no version (HTTP/0.9).
    #[error("HTTP/0.9 request")]
    Http09,
    /// The version is not `HTTP/` and two digits, or its major number is not 1.
    #[error("invalid protocol version")]
    BadVersion,
    /// A NUL, a CR without LF, a control byte in the request line, or a LF without CR where other lines had
    /// one.
    #[error("forbidden control byte")]
    ControlByte,
    /// A field name is empty or holds a byte that is no token byte (a space before the colon counts).
    #[error("invalid header field name")]
    BadFieldName,
    /// A field name of more than 255 bytes.
    #[error("header field name too long")]
    FieldNameTooLong,
    /// The first field line starts with white space (a fold of nothing).
    #[error("header field continues nothing")]
    FoldOfNothing,
    /// HTTP/1.1 without `Host`.
    #[error("missing Host header field")]
    MissingHost,
    /// Several `Host` fields.
    #[error("several Host header fields")]
    DuplicateHost,
    /// `Host` is not `host` or `host:port`.
    #[error("invalid Host header field")]
    BadHost,
    /// `Host` and the authority of the target disagree.
    #[error("Host header field and authority disagree")]
    HostMismatch,
    /// `Content-Length` is not a plain decimal number below 2^63.
    #[error("invalid Content-Length header field")]
    BadContentLength,
    /// Several `Content-Length` fields.
    #[error("several Content-Length header fields")]
    DuplicateContentLength,
    /// `Content-Length` and `Transfer-Encoding` together.
    #[error("Content-Length together with Transfer-Encoding")]
    BothFramings,
    /// `Transfer-Encoding` is empty, repeats `chunked`, or does not end with it.
    #[error("invalid Transfer-Encoding header field")]
    BadTransferEncoding,
    /// `Transfer-Encoding` names a coding besides a final `chunked`.
    #[error("unsupported transfer coding")]
    UnsupportedCoding,
    /// `Transfer-Encoding` in HTTP/1.0.
    #[error("Transfer-Encoding in HTTP/1.0")]
    TransferEncodingIn10,
    /// `Connection` names a field that frames or routes the message.
    #[error("Connection names a framing header field")]
    ConnectionNamesFraming,
    /// A HTTP/1.0 GET, HEAD or DELETE with a body.
    #[error("HTTP/1.0 request of this method with a payload")]
    UnexpectedPayload,
    /// A WebSocket handshake without its key.
    #[error("WebSocket handshake without Sec-WebSocket-Key")]
    MissingWebSocketKey,
}

impl RequestErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: &'static [RequestErrorKind] = &[
        RequestErrorKind::HeadTooLarge,
        RequestErrorKind::TooManyFields,
        RequestErrorKind::BadMethod,
        RequestErrorKind::BadRequestLine,
        RequestErrorKind::BadTarget,
        RequestErrorKind::FragmentInTarget,
        RequestErrorKind::BadAuthority,
        RequestErrorKind::Http09,
        RequestErrorKind::BadVersion,
        RequestErrorKind::ControlByte,
        RequestErrorKind::BadFieldName,
        RequestErrorKind::FieldNameTooLong,
        RequestErrorKind::FoldOfNothing,
        RequestErrorKind::MissingHost,
        RequestErrorKind::DuplicateHost,
        RequestErrorKind::BadHost,
        RequestErrorKind::HostMismatch,
        RequestErrorKind::BadContentLength,
        RequestErrorKind::DuplicateContentLength,
        RequestErrorKind::BothFramings,
        RequestErrorKind::BadTransferEncoding,
        RequestErrorKind::UnsupportedCoding,
        RequestErrorKind::TransferEncodingIn10,
        RequestErrorKind::ConnectionNamesFraming,
        RequestErrorKind::UnexpectedPayload,
        RequestErrorKind::MissingWebSocketKey,
    ];
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
    /// The status to answer with, always with a close: the end of this message is not known.
    ///
    /// A head that is too large is a 400 as well (HAProxy's answer; its manual, section 1.4.1), not a 414 or
    /// 431.
    pub fn status(&self) -> u16 {
        match self.kind {
            RequestErrorKind::UnexpectedPayload => 413,
            RequestErrorKind::UnsupportedCoding => 501,
            _ => 400,
        }
    }
}

/// What is wrong with a response head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Error)]
#[non_exhaustive]
pub enum ResponseErrorKind {
    /// The head does not fit the limit.
    #[error("head too large")]
    HeadTooLarge,
    /// More field lines than allowed.
    #[error("too many header fields")]
    TooManyFields,
    /// The version is not `HTTP/` and two digits, or its major number is not 1.
    #[error("invalid protocol version")]
    BadVersion,
    /// The status is not three digits from 100 on.
    #[error("invalid status code")]
    BadStatus,
    /// A NUL, a CR without LF, or a LF without CR where other lines had one.
    #[error("forbidden control byte")]
    ControlByte,
    /// A field name is empty or holds a byte that is no token byte.
    #[error("invalid header field name")]
    BadFieldName,
    /// A field name of more than 255 bytes.
    #[error("header field name too long")]
    FieldNameTooLong,
    /// The first field line starts with white space.
    #[error("header field continues nothing")]
    FoldOfNothing,
    /// `Content-Length` is not a plain decimal number below 2^63.
    #[error("invalid Content-Length header field")]
    BadContentLength,
    /// Several `Content-Length` fields that differ.
    #[error("several Content-Length header fields")]
    DuplicateContentLength,
    /// `Content-Length` and `Transfer-Encoding` together.
    #[error("Content-Length together with Transfer-Encoding")]
    BothFramings,
    /// `Transfer-Encoding` is anything but one `chunked`.
    #[error("invalid Transfer-Encoding header field")]
    BadTransferEncoding,
    /// `Transfer-Encoding` in HTTP/1.0.
    #[error("Transfer-Encoding in HTTP/1.0")]
    TransferEncodingIn10,
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
