//! Entries on the wire: a key and its data, in the order of the table's definition.

use std::sync::Arc;

use super::dict::{ReceiveCache, SendCache};
use super::error::DecodeError;
use super::types::{DataSpec, DataType, KeyType, Kind, TableSpec};
use super::varint;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A counter, tag or id.
    Int(u64),
    /// A two-period rate counter.
    Rate {
        /// Milliseconds since the current period began; saturated.
        elapsed_ms: u32,
        /// Events in the current period.
        current: u32,
        /// Events in the period before.
        previous: u32,
    },
    /// A dictionary string (a server's name), if the entry has one.
    Name(Option<Arc<str>>),
}

/// One value and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The data type.
    pub data: DataType,
    /// Index in an array, 0 otherwise.
    pub index: u8,
    /// The value.
    pub value: Value,
}

/// An entry as it travels. Reused between messages, so that steady traffic allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The key: 4 or 16 address bytes; an integer in network order; text without its end; exactly the table's length
    /// for binary.
    pub key: Vec<u8>,
    /// Milliseconds the entry has left, when the message said so; else the receiver's table decides.
    pub expire_ms: Option<u32>,
    /// The data, ascending by type and index. A type the table stores but that is missing here is sent as nothing.
    pub fields: Vec<Field>,
}

impl Entry {
    /// Empty it for reuse.
    pub fn clear(&mut self) {
        self.key.clear();
        self.expire_ms = None;
        self.fields.clear();
    }

    /// Append key and data as `spec`, that of our table number `table`, orders them. Keys are cut or padded to what the definition promises.
    pub fn encode(&self, spec: &TableSpec, table: usize, dict: &mut SendCache, out: &mut Vec<u8>) {
        let len = spec.key_len as usize;
        if spec.key == KeyType::String {
            let key = &self.key[..self.key.len().min(len.saturating_sub(1))];
            varint::put(out, key.len() as u64);
            out.extend_from_slice(key);
        } else {
            let key = &self.key[..self.key.len().min(len)];
            out.extend_from_slice(key);
            out.resize(out.len() + len - key.len(), 0);
        }
        let mut fields = self.fields.iter().peekable();
        for d in spec.data() {
            for index in 0..d.elements {
                while fields.peek().is_some_and(|f| (f.data, f.index) < (d.data, index)) {
                    fields.next();
                }
                let value = fields.next_if(|f| (f.data, f.index) == (d.data, index)).map(|f| &f.value);
                encode_value(d, value, (table, dict), out);
            }
        }
    }

    /// Read key and data of a table that the peer defined as `remote`; only what `local` can hold is kept. What
    /// follows the known data types is left unread, as newer senders may add to a message.
    pub fn decode(
        &mut self,
        mut input: &[u8],
        remote: &TableSpec,
        local: &TableSpec,
        dict: &mut ReceiveCache,
    ) -> Result<(), DecodeError> {
        let input = &mut input;
        let len = remote.key_len as usize;
        let key = if remote.key == KeyType::String {
            let key = varint::get_bytes(input)?;
            if key.len() >= len {
                return Err(DecodeError::KeyTooLong);
            }
            key
        } else {
            varint::take(input, len)?
        };
        self.key.clear();
        self.key.extend_from_slice(key);
        self.fields.clear();
        for d in remote.data() {
            let wanted =
                local.find(d.data).filter(|l| (d.data.is_learned() || local.learns_all) && l.matches(d));
            for index in 0..d.elements {
                let value = decode_value(d, input, dict)?;
                if wanted.is_some_and(|l| index < l.elements) {
                    self.fields.push(Field { data: d.data, index, value });
                }
            }
        }
        Ok(())
    }
}

fn encode_value(
    spec: &DataSpec,
    value: Option<&Value>,
    (table, dict): (usize, &mut SendCache),
    out: &mut Vec<u8>,
) {
    match (spec.data.kind(), value) {
        (Kind::U32, Some(Value::Int(n))) => varint::put(out, (*n).min(u64::from(u32::MAX))),
        (Kind::U64, Some(Value::Int(n))) => varint::put(out, *n),
        (Kind::U32 | Kind::U64, _) => varint::put(out, 0),
        (Kind::Rate, Some(Value::Rate { elapsed_ms, current, previous })) => {
            for n in [elapsed_ms, current, previous] {
                varint::put(out, u64::from(*n));
            }
        }
        (Kind::Rate, _) => out.extend([0; 3]),
        (Kind::Name, Some(Value::Name(name))) => dict.put(name.as_ref(), table, out),
        (Kind::Name, _) => dict.put(None, table, out),
    }
}

fn decode_value(spec: &DataSpec, input: &mut &[u8], dict: &mut ReceiveCache) -> Result<Value, DecodeError> {
    let data = spec.data.number();
    let narrow = |value: u64| u32::try_from(value).map_err(|_| DecodeError::ValueRange { data, value });
    Ok(match spec.data.kind() {
        Kind::U64 => Value::Int(varint::get(input)?),
        Kind::U32 => Value::Int(narrow(varint::get(input)?)?.into()),
        Kind::Rate => Value::Rate {
            elapsed_ms: u32::try_from(varint::get(input)?).unwrap_or(u32::MAX),
            current: narrow(varint::get(input)?)?,
            previous: narrow(varint::get(input)?)?,
        },
        Kind::Name => Value::Name(dict.get(input)?),
    })
}
