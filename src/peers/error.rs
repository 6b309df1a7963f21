//! What can be wrong with a peer's bytes, one name per offence.

use thiserror::Error;

/// A fault inside one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The message ends before its fields do.
    #[error("message ends before its fields do")]
    Truncated,
    /// An encoded integer exceeds 64 bits.
    #[error("encoded integer exceeds 64 bits")]
    IntegerTooLong,
    /// A message's announced length exceeds the limit; answered by the size limit error.
    #[error("message exceeds the size limit")]
    MessageTooLarge,
    /// A message class other than control, error and stick-table updates.
    #[error("unknown message class {0}")]
    UnknownClass(u8),
    /// A message type that its class does not have.
    #[error("unknown message type {kind} in class {class}")]
    UnknownType {
        /// The class byte.
        class: u8,
        /// The type byte.
        kind: u8,
    },
    /// An update or switch came before any table definition.
    #[error("stick-table update without a table definition")]
    NoTable,
    /// A table definition's name is not text.
    #[error("stick-table name is not text")]
    TableName,
    /// A table definition's key type is not one of the protocol's.
    #[error("unknown key type {0}")]
    KeyType(u64),
    /// A table definition's key length cannot be, for its type.
    #[error("key length {0} is impossible for the key type")]
    KeyLength(u64),
    /// A definition's parameter list names another data type than its bitfield, or out of order.
    #[error("parameters of data type {found} where those of {expected} must come")]
    DataParameters {
        /// The type that the bitfield asks for.
        expected: u8,
        /// The type that the list names.
        found: u64,
    },
    /// An array of no or too many elements.
    #[error("array of {0} elements")]
    Elements(u64),
    /// A rate counter with an impossible period.
    #[error("rate period of {0} ms")]
    Period(u64),
    /// A string key longer than the table's definition allows.
    #[error("key longer than the table's definition allows")]
    KeyTooLong,
    /// A value exceeds its data type.
    #[error("value {value} exceeds data type {data}")]
    ValueRange {
        /// The data type's number.
        data: u8,
        /// What came.
        value: u64,
    },
    /// A dictionary id outside the cache.
    #[error("dictionary id {0} outside the cache")]
    DictionaryId(u64),
    /// A dictionary string that is not text or too long.
    #[error("dictionary string is not text or too long")]
    DictionaryString,
    /// An acknowledgement for a table that was never defined to that peer.
    #[error("acknowledgement for unknown table {0}")]
    AckTable(u64),
}

/// The handshake's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 200
    Succeeded,
    /// 300
    TryAgain,
    /// 501
    ProtocolError,
    /// 502
    BadVersion,
    /// 503: the hello was meant for a peer of another name.
    LocalMismatch,
    /// 504: the hello's sender is not a member.
    RemoteMismatch,
}

impl Status {
    /// The three-digit number.
    pub const fn code(self) -> u16 {
        match self {
            Status::Succeeded => 200,
            Status::TryAgain => 300,
            Status::ProtocolError => 501,
            Status::BadVersion => 502,
            Status::LocalMismatch => 503,
            Status::RemoteMismatch => 504,
        }
    }

    /// The status behind a number.
    pub const fn from_code(code: u16) -> Option<Status> {
        Some(match code {
            200 => Status::Succeeded,
            300 => Status::TryAgain,
            501 => Status::ProtocolError,
            502 => Status::BadVersion,
            503 => Status::LocalMismatch,
            504 => Status::RemoteMismatch,
            _ => return None,
        })
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CloseReason {
    /// The peer's bytes broke the protocol after the handshake.
    #[error("protocol error: {0}")]
    Misbehaved(#[from] DecodeError),
    /// The peer's hello or status line was malformed.
    #[error("malformed handshake")]
    BadHandshake,
    /// We refused the peer's hello.
    #[error("refused the peer with status {}", .0.code())]
    Refused(Status),
    /// The peer refused our hello.
    #[error("peer answered status {}", .0.code())]
    RefusedByPeer(Status),
    /// The peer sent the protocol error message.
    #[error("peer reports a protocol error")]
    PeerProtocolError,
    /// The peer sent the size limit error message.
    #[error("peer reports a message over its size limit")]
    PeerSizeLimit,
    /// The handshake did not end in time.
    #[error("handshake timed out")]
    HandshakeTimeout,
    /// Nothing came for longer than a live peer stays silent.
    #[error("peer sent nothing, not even a heartbeat")]
    Silent,
    /// It never confirmed the end of a lesson.
    #[error("peer never confirmed what it was taught")]
    Unconfirmed,
    /// We are stopping.
    #[error("stopping")]
    Stopping,
    /// A newer session with the same peer took over.
    #[error("replaced by a newer session with the same peer")]
    Replaced,
    /// Too many connections said no name: the oldest gave way.
    #[error("gave way to newer connections before it said its name")]
    Crowded,
    /// The connection ended.
    #[error("connection closed")]
    Disconnected,
}
