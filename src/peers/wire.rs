//! Message framing: class, type, and for variable messages a length and a body.

use super::error::DecodeError;
use super::varint;

/// Longest variable message taken, body included. As large as HAProxy's default buffer, its own limit.
pub const MESSAGE_MAX_BYTES: usize = 16_384;

const CLASS_CONTROL: u8 = 0;
const CLASS_ERROR: u8 = 1;
const CLASS_TABLE: u8 = 10;
/// Types from here on carry a length and a body.
const VARIABLE: u8 = 128;

/// A control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Control {
    /// Asks for a full resync.
    ResyncRequest = 0,
    /// Everything was pushed, and the sender is up to date.
    ResyncFinished = 1,
    /// Everything was pushed, but the sender is not up to date itself.
    ResyncPartial = 2,
    /// Acknowledges finished or partial.
    ResyncConfirm = 3,
    /// Says that the sender lives.
    Heartbeat = 4,
}

impl Control {
    /// The two bytes of the message.
    pub const fn bytes(self) -> [u8; 2] {
        [CLASS_CONTROL, self as u8]
    }
}

/// The two bytes that tell the peer about its protocol error.
pub const ERROR_PROTOCOL: [u8; 2] = [CLASS_ERROR, 0];
/// The two bytes that tell the peer about its oversized message.
pub const ERROR_SIZE: [u8; 2] = [CLASS_ERROR, 1];

/// Type of a stick-table message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TableMessage {
    /// An entry with its update id.
    Update = 128,
    /// An entry whose update id follows the last one.
    Incremental = 129,
    /// A table's definition; later updates are for it.
    Definition = 130,
    /// Later updates are for a table defined before.
    Switch = 131,
    /// Updates up to an id have arrived. (132, as every release sends it; one table of the description has 133.)
    Ack = 132,
    /// Like `Update`, with the time the entry has left.
    TimedUpdate = 133,
    /// Like `Incremental`, with the time the entry has left.
    TimedIncremental = 134,
}

impl TableMessage {
    const ALL: [TableMessage; 7] = [
        TableMessage::Update,
        TableMessage::Incremental,
        TableMessage::Definition,
        TableMessage::Switch,
        TableMessage::Ack,
        TableMessage::TimedUpdate,
        TableMessage::TimedIncremental,
    ];

    /// Whether the body starts with an update id.
    pub fn has_id(self) -> bool {
        matches!(self, TableMessage::Update | TableMessage::TimedUpdate)
    }

    /// Bytes of an update's body before its key.
    pub fn head_bytes(self) -> usize {
        4 * (usize::from(self.has_id()) + usize::from(self.is_timed()))
    }

    /// Whether the body carries the time the entry has left.
    pub fn is_timed(self) -> bool {
        matches!(self, TableMessage::TimedUpdate | TableMessage::TimedIncremental)
    }
}

/// One message of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Control class.
    Control(Control),
    /// The peer reports a protocol error.
    ProtocolError,
    /// The peer reports a message over its limit.
    SizeLimit,
    /// Stick-table class, with the body.
    Table(TableMessage, &'a [u8]),
}

/// Read one message from the front of `input`, which moves past it. `Ok(None)`: more bytes are needed. The length is
/// checked as soon as it is there, so that at most [`MESSAGE_MAX_BYTES`] and a header are ever waited for.
pub fn next<'a>(input: &mut &'a [u8]) -> Result<Option<Message<'a>>, DecodeError> {
    let mut rest = *input;
    let (class, kind) = match *rest {
        [class, kind, ..] => (class, kind),
        [class] if ![CLASS_CONTROL, CLASS_ERROR, CLASS_TABLE].contains(&class) => {
            return Err(DecodeError::UnknownClass(class));
        }
        _ => return Ok(None),
    };
    rest = &rest[2..];
    let unknown = DecodeError::UnknownType { class, kind };
    let message = match class {
        CLASS_CONTROL => Message::Control(match kind {
            0 => Control::ResyncRequest,
            1 => Control::ResyncFinished,
            2 => Control::ResyncPartial,
            3 => Control::ResyncConfirm,
            4 => Control::Heartbeat,
            _ => return Err(unknown),
        }),
        CLASS_ERROR => match kind {
            0 => Message::ProtocolError,
            1 => Message::SizeLimit,
            _ => return Err(unknown),
        },
        CLASS_TABLE => {
            let index = usize::from(kind.checked_sub(VARIABLE).ok_or(unknown)?);
            let kind = *TableMessage::ALL.get(index).ok_or(unknown)?;
            let Some(len) = varint::peek(&mut rest)? else { return Ok(None) };
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if len > MESSAGE_MAX_BYTES {
                return Err(DecodeError::MessageTooLarge);
            }
            let Some((body, after)) = rest.split_at_checked(len) else { return Ok(None) };
            rest = after;
            Message::Table(kind, body)
        }
        _ => return Err(DecodeError::UnknownClass(class)),
    };
    *input = rest;
    Ok(Some(message))
}

/// Append a stick-table message around `body`.
pub fn put_table(out: &mut Vec<u8>, kind: TableMessage, body: &[u8]) {
    out.extend([CLASS_TABLE, kind as u8]);
    varint::put(out, body.len() as u64);
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(mut bytes: &[u8]) -> Result<Option<Message<'_>>, DecodeError> {
        next(&mut bytes)
    }

    #[test]
    fn frames() {
        assert_eq!(first(&[0, 4]), Ok(Some(Message::Control(Control::Heartbeat))));
        assert_eq!(first(&[1, 1]), Ok(Some(Message::SizeLimit)));
        assert_eq!(first(&[10, 131, 1, 5]), Ok(Some(Message::Table(TableMessage::Switch, &[5]))));
        for part in [&[][..], &[0], &[10], &[10, 128], &[10, 128, 0xf0], &[10, 128, 3, 1, 2]] {
            assert_eq!(first(part), Ok(None), "{part:?}");
        }
    }

    #[test]
    fn refuses() {
        assert_eq!(first(&[2]), Err(DecodeError::UnknownClass(2)));
        assert_eq!(first(&[255, 0]), Err(DecodeError::UnknownClass(255)));
        assert_eq!(first(&[0, 5]), Err(DecodeError::UnknownType { class: 0, kind: 5 }));
        assert_eq!(first(&[1, 2]), Err(DecodeError::UnknownType { class: 1, kind: 2 }));
        assert_eq!(first(&[10, 4]), Err(DecodeError::UnknownType { class: 10, kind: 4 }));
        assert_eq!(first(&[10, 135]), Err(DecodeError::UnknownType { class: 10, kind: 135 }));
        let mut large = vec![10, 128];
        varint::put(&mut large, MESSAGE_MAX_BYTES as u64 + 1);
        assert_eq!(first(&large), Err(DecodeError::MessageTooLarge));
        assert_eq!(first(&[[10, 128].as_slice(), &[0xff; 10]].concat()), Err(DecodeError::IntegerTooLong));
    }
}
