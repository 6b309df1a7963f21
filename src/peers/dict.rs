//! The two caches behind dictionary values: a string travels once and is then named by a small id. A session has one
//! cache for each direction; both start empty with it.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::error::DecodeError;
use super::varint;

/// Ids run from 1 to this.
pub const CACHE_ENTRIES: usize = 128;

/// Longest dictionary string taken; they are server names.
const STRING_MAX_BYTES: usize = 1024;

/// What the peer was told. A name is told once with each table that uses it: a peer that does not have the first of
/// them passes over what is said about it, names included.
#[derive(Debug, Default)]
pub struct SendCache {
    ids: HashMap<Arc<str>, usize>,
    slots: Vec<Told>,
    next: usize,
}

#[derive(Debug)]
struct Told {
    name: Arc<str>,
    /// The tables it was told with, a bit each.
    tables: SmallVec<[u64; 2]>,
}

impl Told {
    fn new(name: &Arc<str>) -> Told {
        Told { name: name.clone(), tables: SmallVec::new() }
    }

    /// Remember that it is told with `table`; false when it was before.
    fn tell(&mut self, table: usize) -> bool {
        let (word, bit) = (table / 64, 1 << (table % 64));
        if self.tables.len() <= word {
            self.tables.resize(word + 1, 0);
        }
        let new = self.tables[word] & bit == 0;
        self.tables[word] |= bit;
        new
    }
}

impl SendCache {
    /// The names, by slot.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.slots.iter().map(|told| &told.name)
    }

    /// Append `name` as a dictionary value of `table`: its id, and the string the first time.
    pub fn put(&mut self, name: Option<&Arc<str>>, table: usize, out: &mut Vec<u8>) {
        let Some(name) = name.filter(|n| n.len() <= STRING_MAX_BYTES) else {
            // A value of length zero: no entry.
            varint::put(out, 0);
            return;
        };
        let mut value = Vec::with_capacity(name.len() + 8);
        let slot = self.ids.get(name).copied().unwrap_or_else(|| self.insert(name));
        varint::put(&mut value, slot as u64 + 1);
        if self.slots[slot].tell(table) {
            varint::put(&mut value, name.len() as u64);
            value.extend_from_slice(name.as_bytes());
        }
        varint::put(out, value.len() as u64);
        out.extend(value);
    }

    /// The oldest id is given away first: the receiver overwrites whatever the id meant before.
    fn insert(&mut self, name: &Arc<str>) -> usize {
        let slot = self.next;
        self.next = (slot + 1) % CACHE_ENTRIES;
        if let Some(old) = self.slots.get_mut(slot) {
            self.ids.remove(&old.name);
            *old = Told::new(name);
        } else {
            self.slots.push(Told::new(name));
        }
        self.ids.insert(name.clone(), slot);
        debug_assert!(self.ids.len() == self.slots.len() && self.slots.len() <= CACHE_ENTRIES);
        slot
    }
}

/// What the peer told.
#[derive(Debug, Default)]
pub struct ReceiveCache {
    slots: Vec<Option<Arc<str>>>,
}

impl ReceiveCache {
    /// The names, by slot.
    pub fn names(&self) -> &[Option<Arc<str>>] {
        &self.slots
    }

    /// Read one dictionary value; `None` when the entry has none, or one that was told with a table that we do not
    /// have and whose messages we could not read (HAProxy tells a name once for all tables).
    pub fn get(&mut self, input: &mut &[u8]) -> Result<Option<Arc<str>>, DecodeError> {
        let mut value = varint::get_bytes(input)?;
        if value.is_empty() {
            return Ok(None);
        }
        let id = varint::get(&mut value)?;
        let slot = usize::try_from(id).ok().filter(|id| (1..=CACHE_ENTRIES).contains(id));
        let slot = slot.ok_or(DecodeError::DictionaryId(id))? - 1;
        if value.is_empty() {
            return Ok(self.slots.get(slot).cloned().flatten());
        }
        let name = varint::get_bytes(&mut value)?;
        let name = std::str::from_utf8(name).ok().filter(|n| n.len() <= STRING_MAX_BYTES);
        let name: Arc<str> = name.ok_or(DecodeError::DictionaryString)?.into();
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, None);
        }
        self.slots[slot] = Some(name.clone());
        Ok(Some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_time_is_an_id() {
        let (mut send, mut receive) = (SendCache::default(), ReceiveCache::default());
        let app: Arc<str> = "app1".into();
        let mut out = Vec::new();
        send.put(Some(&app), 0, &mut out);
        send.put(Some(&app), 0, &mut out);
        send.put(None, 0, &mut out);
        assert_eq!(out, [6, 1, 4, b'a', b'p', b'p', b'1', 1, 1, 0]);
        let mut input = out.as_slice();
        assert_eq!(receive.get(&mut input), Ok(Some(app.clone())));
        assert_eq!(receive.get(&mut input), Ok(Some(app)));
        assert_eq!(receive.get(&mut input), Ok(None));
        assert!(input.is_empty());
    }

    #[test]
    fn each_table_says_the_name_once() {
        let mut send = SendCache::default();
        let app: Arc<str> = "a".into();
        let mut said = |table| {
            let mut out = Vec::new();
            send.put(Some(&app), table, &mut out);
            out
        };
        for table in [0, 1, 200] {
            assert_eq!(said(table), [3, 1, 1, b'a']);
            assert_eq!(said(table), [1, 1]);
        }
        assert_eq!(said(0), [1, 1]);
    }

    #[test]
    fn ids_are_reused() {
        let (mut send, mut receive) = (SendCache::default(), ReceiveCache::default());
        let names: Vec<Arc<str>> = (0..CACHE_ENTRIES + 40).map(|i| format!("s{i}").into()).collect();
        for round in 0..3 {
            for name in names.iter().skip(round * 7) {
                let mut out = Vec::new();
                send.put(Some(name), 0, &mut out);
                assert_eq!(receive.get(&mut out.as_slice()), Ok(Some(name.clone())));
            }
        }
        assert_eq!(receive.slots.len(), CACHE_ENTRIES);
    }

    #[test]
    fn refuses() {
        let mut c = ReceiveCache::default();
        assert_eq!(c.get(&mut [1, 0].as_slice()), Err(DecodeError::DictionaryId(0)));
        assert_eq!(c.get(&mut [1, 129].as_slice()), Err(DecodeError::DictionaryId(129)));
        assert_eq!(c.get(&mut [1, 5].as_slice()), Ok(None), "it may have come with a foreign table");
        assert_eq!(c.get(&mut [3, 5, 1, 0xff].as_slice()), Err(DecodeError::DictionaryString));
        assert_eq!(c.get(&mut [2, 5, 1].as_slice()), Err(DecodeError::Truncated));
        assert_eq!(c.get(&mut [9, 5].as_slice()), Err(DecodeError::Truncated));
    }
}
