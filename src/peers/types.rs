//! Key and data types of the wire, and a table's definition in them.

use super::error::DecodeError;
use super::varint;

/// Most elements of an array data type (manual, 11.1 `gpt(<nb>)`).
pub const ELEMENTS_MAX: u64 = 100;

/// Longest table name that is looked at; configuration names are far shorter.
const TABLE_NAME_MAX: usize = 1024;

/// A table's key type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// Signed 32-bit integer.
    Integer,
    /// IPv4 address.
    Ipv4,
    /// IPv6 address.
    Ipv6,
    /// Text; the definition's key length counts one more byte than the longest key.
    String,
    /// Bytes, padded with zeroes to the key length.
    Binary,
}

impl KeyType {
    const ALL: [(u64, KeyType); 5] = [
        (2, KeyType::Integer),
        (4, KeyType::Ipv4),
        (5, KeyType::Ipv6),
        (6, KeyType::String),
        (7, KeyType::Binary),
    ];

    /// The number on the wire.
    pub fn number(self) -> u64 {
        Self::ALL.iter().find(|(_, k)| *k == self).map_or(0, |(n, _)| *n)
    }

    fn from_number(n: u64) -> Result<KeyType, DecodeError> {
        Self::ALL.iter().find(|(m, _)| *m == n).map(|(_, k)| *k).ok_or(DecodeError::KeyType(n))
    }

    /// The one key length of the type, where there is only one.
    pub fn fixed_len(self) -> Option<u32> {
        match self {
            KeyType::Integer | KeyType::Ipv4 => Some(4),
            KeyType::Ipv6 => Some(16),
            KeyType::String | KeyType::Binary => None,
        }
    }
}

/// How a data type's values travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer up to 32 bits.
    U32,
    /// An integer up to 64 bits.
    U64,
    /// A two-period rate counter.
    Rate,
    /// A dictionary string.
    Name,
}

macro_rules! data_types {
    ($($number:literal $variant:ident $name:literal $kind:ident $array:literal;)*) => {
        /// A data type; the discriminant is its bit in the definition's bitfield.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DataType {
            $(#[doc = concat!("`", $name, "`")] $variant = $number,)*
        }

        impl DataType {
            /// Every data type in wire order.
            pub const ALL: &[DataType] = &[$(DataType::$variant),*];

            /// The configuration's word for it.
            pub const fn name(self) -> &'static str {
                match self { $(DataType::$variant => $name),* }
            }

            /// How its values travel.
            pub const fn kind(self) -> Kind {
                match self { $(DataType::$variant => Kind::$kind),* }
            }

            /// Whether it is an array.
            pub const fn is_array(self) -> bool {
                match self { $(DataType::$variant => $array),* }
            }
        }
    };
}

data_types! {
    0 ServerId "server_id" U32 false;
    1 Gpt0 "gpt0" U32 false;
    2 Gpc0 "gpc0" U32 false;
    3 Gpc0Rate "gpc0_rate" Rate false;
    4 ConnCnt "conn_cnt" U32 false;
    5 ConnRate "conn_rate" Rate false;
    6 ConnCur "conn_cur" U32 false;
    7 SessCnt "sess_cnt" U32 false;
    8 SessRate "sess_rate" Rate false;
    9 HttpReqCnt "http_req_cnt" U32 false;
    10 HttpReqRate "http_req_rate" Rate false;
    11 HttpErrCnt "http_err_cnt" U32 false;
    12 HttpErrRate "http_err_rate" Rate false;
    13 BytesInCnt "bytes_in_cnt" U64 false;
    14 BytesInRate "bytes_in_rate" Rate false;
    15 BytesOutCnt "bytes_out_cnt" U64 false;
    16 BytesOutRate "bytes_out_rate" Rate false;
    17 Gpc1 "gpc1" U32 false;
    18 Gpc1Rate "gpc1_rate" Rate false;
    19 ServerKey "server_key" Name false;
    20 HttpFailCnt "http_fail_cnt" U32 false;
    21 HttpFailRate "http_fail_rate" Rate false;
    22 Gpt "gpt" U32 true;
    23 Gpc "gpc" U32 true;
    24 GpcRate "gpc_rate" Rate true;
    25 GlitchCnt "glitch_cnt" U32 false;
    26 GlitchRate "glitch_rate" Rate false;
}

impl DataType {
    /// The number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether values of this type are taken from peers. Current connections are a local fact: a remote count
    /// would never go down (manual, 3.5).
    pub const fn is_learned(self) -> bool {
        !matches!(self, DataType::ConnCur)
    }

    /// Whether the definition carries parameters for this type.
    const fn has_parameters(self) -> bool {
        self.is_array() || matches!(self.kind(), Kind::Rate)
    }
}

/// One data type of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataSpec {
    /// Which.
    pub data: DataType,
    /// Number of elements; 1 unless it is an array.
    pub elements: u8,
    /// The rate's period in milliseconds; 0 unless it is a rate.
    pub period_ms: u32,
}

impl DataSpec {
    /// A scalar without a period.
    pub const fn counter(data: DataType) -> DataSpec {
        DataSpec { data, elements: 1, period_ms: 0 }
    }

    /// A scalar rate.
    pub const fn rate(data: DataType, period_ms: u32) -> DataSpec {
        DataSpec { data, elements: 1, period_ms }
    }

    /// Whether the two describe values that can be exchanged (arrays may differ in length).
    pub fn matches(&self, other: &DataSpec) -> bool {
        self.data == other.data && self.period_ms == other.period_ms
    }
}

/// What peers must agree on to exchange a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Name on the wire; a table of a peers section has a `/` in front.
    pub name: String,
    /// Key type.
    pub key: KeyType,
    /// Key length in bytes as the wire has it: one more than the longest key for strings.
    pub key_len: u32,
    /// Lifetime of entries in milliseconds, 0 for ever.
    pub expire_ms: u64,
    /// Also data that are local facts (`conn_cur`) are taken from peers: the table is there to look at others'.
    pub learns_all: bool,
    data: Vec<DataSpec>,
}

impl TableSpec {
    /// A table with the data types `data`, in any order.
    pub fn new(name: &str, key: KeyType, key_len: u32, expire_ms: u64, mut data: Vec<DataSpec>) -> TableSpec {
        data.sort_by_key(|d| d.data);
        data.dedup_by_key(|d| d.data);
        TableSpec { name: name.to_owned(), key, key_len, expire_ms, learns_all: false, data }
    }

    /// The data types in wire order.
    pub fn data(&self) -> &[DataSpec] {
        &self.data
    }

    /// The data types as a bitfield.
    pub fn data_bits(&self) -> u64 {
        self.data.iter().fold(0, |bits, d| bits | 1 << d.data.number())
    }

    /// What is stored of `data`.
    pub fn find(&self, data: DataType) -> Option<&DataSpec> {
        self.data.iter().find(|d| d.data == data)
    }

    /// Whether keys of `remote` are keys of this table.
    pub fn same_keys(&self, remote: &TableSpec) -> bool {
        self.key == remote.key && self.key_len == remote.key_len
    }

    /// The definition message's body, for the sender's table number `id`.
    pub fn encode(&self, id: u64, out: &mut Vec<u8>) {
        varint::put(out, id);
        varint::put(out, self.name.len() as u64);
        out.extend_from_slice(self.name.as_bytes());
        varint::put(out, self.key.number());
        varint::put(out, u64::from(self.key_len));
        varint::put(out, self.data_bits());
        varint::put(out, self.expire_ms);
        for d in self.data.iter().filter(|d| d.data.has_parameters()) {
            varint::put(out, u64::from(d.data.number()));
            if d.data.is_array() {
                varint::put(out, u64::from(d.elements));
            }
            if d.data.kind() == Kind::Rate {
                varint::put(out, u64::from(d.period_ms));
            }
        }
    }

    /// Read a definition message's body: the sender's table number and the table. Data types newer than we know
    /// come last in every list, so they are left out here and skipped in updates. `known` says whether the table
    /// is one of ours; one that is not and cannot be read is `Ok((id, None))`.
    pub fn decode(
        mut body: &[u8],
        known: impl FnOnce(&str) -> bool,
    ) -> Result<(u64, Option<TableSpec>), DecodeError> {
        let input = &mut body;
        let id = varint::get(input)?;
        let name = varint::get_bytes(input)?;
        let name = std::str::from_utf8(name).map_err(|_| DecodeError::TableName)?;
        if name.is_empty() || name.len() > TABLE_NAME_MAX {
            return Err(DecodeError::TableName);
        }
        let known = known(name);
        match Self::decode_rest(name, input) {
            Ok(spec) => Ok((id, Some(spec))),
            Err(e) if known => Err(e),
            Err(_) => Ok((id, None)),
        }
    }

    fn decode_rest(name: &str, input: &mut &[u8]) -> Result<TableSpec, DecodeError> {
        let key = KeyType::from_number(varint::get(input)?)?;
        let key_len = Self::decode_key_len(key, varint::get(input)?)?;
        let bits = varint::get(input)?;
        // Senders of version 2.0 end here.
        let expire_ms = if input.is_empty() { 0 } else { varint::get(input)? };
        let mut data = Vec::new();
        for &d in DataType::ALL.iter().filter(|d| bits >> d.number() & 1 == 1) {
            data.push(Self::decode_data(d, input)?);
        }
        Ok(TableSpec { name: name.to_owned(), key, key_len, expire_ms, learns_all: false, data })
    }

    fn decode_key_len(key: KeyType, len: u64) -> Result<u32, DecodeError> {
        let bad = DecodeError::KeyLength(len);
        let n = u32::try_from(len).map_err(|_| bad)?;
        let fits = key.fixed_len().map_or(n > 0, |fixed| n == fixed);
        if fits { Ok(n) } else { Err(bad) }
    }

    fn decode_data(data: DataType, input: &mut &[u8]) -> Result<DataSpec, DecodeError> {
        let mut spec = DataSpec::counter(data);
        if !data.has_parameters() || (input.is_empty() && !data.is_array()) {
            return Ok(spec);
        }
        let found = varint::get(input)?;
        if found != u64::from(data.number()) {
            return Err(DecodeError::DataParameters { expected: data.number(), found });
        }
        if data.is_array() {
            let n = varint::get(input)?;
            if n == 0 || n > ELEMENTS_MAX {
                return Err(DecodeError::Elements(n));
            }
            spec.elements = n as u8;
        }
        if data.kind() == Kind::Rate {
            let period = varint::get(input)?;
            spec.period_ms =
                u32::try_from(period).ok().filter(|p| *p > 0).ok_or(DecodeError::Period(period))?;
        }
        Ok(spec)
    }
}
