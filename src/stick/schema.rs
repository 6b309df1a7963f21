//! What a table is: key, size, expiry, data; and where that lies in the segment.

use super::data::ARRAY_MAX;
use super::{DataType, KeyType, Slot};

/// One stored kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataDef {
    /// Which.
    pub data: DataType,
    /// Elements of an array; 1 for the others.
    pub elems: u16,
    /// Period of a rate in milliseconds; 0 for the others.
    pub period_ms: u32,
}

impl DataDef {
    /// A kind without arguments.
    pub fn plain(data: DataType) -> DataDef {
        DataDef { data, elems: 1, period_ms: 0 }
    }
    /// A rate.
    pub fn rate(data: DataType, period_ms: u32) -> DataDef {
        DataDef { data, elems: 1, period_ms }
    }
    fn words(self) -> usize {
        self.data.words() * usize::from(self.elems)
    }
}

/// Why data cannot be stored in a table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Stored already.
    #[error("'{0}' is stored twice")]
    Twice(&'static str),
    /// `gpc0` beside `gpc`.
    #[error("'{0}' and '{1}' exclude each other")]
    Excluded(&'static str, &'static str),
    /// An array without elements, or with too many.
    #[error("'{0}' has 1 to 100 elements")]
    Elements(&'static str),
    /// A rate without a period.
    #[error("'{0}' needs a period above 0")]
    Period(&'static str),
}

/// Bytes of a key in a segment at most, that anybody could have made.
const KEY_MAX: u32 = 1 << 20;
/// Words that a definition takes in a segment, at most.
pub(super) const WORDS_MAX: usize = 5 + DataType::ALL.len();

/// A table's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Type of the keys.
    pub key: KeyType,
    /// Entries at most.
    pub size: u32,
    /// Life of an entry after its last use in milliseconds; `None`: until it is purged.
    pub expire_ms: Option<u64>,
    /// Refuse new entries when full, instead of dropping old ones.
    pub nopurge: bool,
    /// Bytes that `bytes_in_rate` and `bytes_out_rate` store as one (`brates-factor`).
    pub brates_factor: u32,
    pub(super) data: Vec<DataDef>,
}

// Words of a record before its key.
pub(super) const META: usize = 0;
pub(super) const NEXT: usize = 1;
pub(super) const TOUCHED: usize = 2;
pub(super) const LINKS: usize = 3;
pub(super) const STAMPS: usize = 4;
pub(super) const KEY: usize = 5;

impl Schema {
    /// A table without data.
    pub fn new(key: KeyType, size: u32) -> Schema {
        // The index refers to records with 32 bits, of which 0 is none.
        Schema {
            key,
            size: size.clamp(1, u32::MAX - 1),
            expire_ms: None,
            nopurge: false,
            brates_factor: 1,
            data: Vec::new(),
        }
    }

    /// Store one more kind of data.
    ///
    /// # Errors
    /// When it is there already, or excludes what is there, or its arguments make no sense.
    pub fn store(&mut self, def: DataDef) -> Result<(), SchemaError> {
        let name = def.data.info().name;
        if self.has(def.data) {
            return Err(SchemaError::Twice(name));
        }
        for other in &self.data {
            let (a, b) = (def.data.in_array(), other.data.in_array());
            if a.is_some_and(|(x, _)| x == other.data) || b.is_some_and(|(x, _)| x == def.data) {
                return Err(SchemaError::Excluded(name, other.data.info().name));
            }
        }
        if def.elems == 0 || def.elems > ARRAY_MAX || (def.elems > 1 && !def.data.info().array) {
            return Err(SchemaError::Elements(name));
        }
        if def.data.words() == 2 && def.period_ms == 0 {
            return Err(SchemaError::Period(name));
        }
        self.data.push(def);
        Ok(())
    }

    /// Stored kinds, in the order of their addition.
    pub fn data(&self) -> &[DataDef] {
        &self.data
    }

    /// Whether that kind itself is stored.
    pub fn has(&self, data: DataType) -> bool {
        self.data.iter().any(|d| d.data == data)
    }

    /// Where one value is, `gpc0` also as the first element of `gpc`; `None` when it is not stored.
    pub fn slot(&self, data: DataType, elem: u16) -> Option<Slot> {
        let mut word = KEY + self.key.words();
        for d in &self.data {
            if d.data == data && elem < d.elems {
                return Some(Slot {
                    word: (word + data.words() * usize::from(elem)) as u32,
                    split: data == DataType::ConnCur,
                    class: data.info().class,
                    period_ms: d.period_ms.max(1),
                    factor: match data {
                        DataType::BytesInRate | DataType::BytesOutRate => self.brates_factor.max(1),
                        _ => 1,
                    },
                });
            }
            word += d.words();
        }
        data.in_array().filter(|_| elem == 0).and_then(|(array, i)| self.slot(array, i))
    }

    /// Words of a record.
    pub(super) fn record_words(&self) -> usize {
        KEY + self.key.words() + self.data.iter().map(|d| d.words()).sum::<usize>()
    }

    /// Buckets of the index.
    pub(super) fn buckets(&self) -> usize {
        (self.size as usize).next_power_of_two()
    }

    /// Bytes that one entry takes, its share of the index included.
    pub fn entry_bytes(&self) -> usize {
        self.record_words() * 8 + self.buckets() * 8 / self.size as usize
    }

    fn kind(&self) -> u64 {
        match self.key {
            KeyType::Ip => 1,
            KeyType::Ipv6 => 2,
            KeyType::Integer => 3,
            KeyType::String(_) => 4,
            KeyType::Binary(_) => 5,
        }
    }

    /// The definition as it is written into a segment, so that another process can read what is there although its own
    /// definition differs. Expiry and purging are not part of it.
    pub(super) fn to_words(&self) -> Vec<u64> {
        let head = [self.kind(), self.key.len() as u64, self.size.into(), self.brates_factor.into()];
        let data = self
            .data
            .iter()
            .map(|d| (u64::from(d.period_ms) << 32) | (u64::from(d.elems) << 16) | (d.data as u64 & 0xffff));
        head.into_iter().chain([self.data.len() as u64]).chain(data).collect()
    }

    /// What [`Schema::to_words`] wrote; `None` when it was something else.
    pub(super) fn from_words(words: &[u64]) -> Option<Schema> {
        let [kind, len, size, factor, count, data @ ..] = words else { return None };
        let len = u32::try_from(*len).ok().filter(|n| (1..=KEY_MAX).contains(n))?;
        let key = match kind {
            1 => KeyType::Ip,
            2 => KeyType::Ipv6,
            3 => KeyType::Integer,
            4 => KeyType::String(len),
            5 => KeyType::Binary(len),
            _ => return None,
        };
        let size = u32::try_from(*size).ok().filter(|n| *n > 0)?;
        let mut schema = Schema { brates_factor: u32::try_from(*factor).ok()?, ..Schema::new(key, size) };
        for word in data.get(..usize::try_from(*count).ok()?)? {
            let data = DataType::ALL.get(*word as usize & 0xffff)?.data;
            let def = DataDef { data, elems: (*word >> 16) as u16, period_ms: (*word >> 32) as u32 };
            schema.store(def).ok()?;
        }
        Some(schema)
    }

    /// A number that differs whenever two definitions lay out their segments differently or mean something else by
    /// what is in them. Expiry and purging may change without.
    pub fn hash(&self, slabs: usize) -> u64 {
        let mut h = xxhash_rust::xxh64::Xxh64::new(0);
        let mut put = |v: u64| h.update(&v.to_le_bytes());
        put(self.kind());
        put(self.key.len() as u64);
        put(u64::from(self.size));
        put(slabs as u64);
        for d in &self.data {
            put(d.data as u64);
            put(u64::from(d.elems));
            put(u64::from(d.period_ms));
            if matches!(d.data, DataType::BytesInRate | DataType::BytesOutRate) && self.brates_factor > 1 {
                put(u64::from(self.brates_factor));
            }
        }
        h.digest()
    }
}
