//! Entries of a table that another process made with another definition: copied by key, each kind of data that both
//! store.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use smallvec::SmallVec;

use crate::base::time::Mono;

use super::atomics::fence;
use super::index::Meta;
use super::schema::{KEY, META, NEXT};
use super::table::{Entry, NS_PER_MS, Table, Writer};
use super::{DataType, Schema, Slot, key};

/// What became of the entries of a table with another definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Copied {
    /// Entries that were copied.
    pub(super) entries: usize,
    /// Entries that found no room: those that were used longest ago.
    pub(super) left_out: usize,
    /// What of their data was not copied.
    pub(super) dropped: Vec<&'static str>,
}

/// The words of a record, as they were at one moment.
type Words = SmallVec<[u64; 32]>;

impl Table {
    /// Read a record of a table that is only looked at. `None` when it holds no entry, or changes just now.
    fn snapshot(&self, rec: u32) -> Option<Words> {
        let base = self.record(rec);
        let meta = Meta(self.w(base + META).load(Acquire));
        let link = self.w(base + NEXT).load(Acquire);
        if !meta.is_live() {
            return None;
        }
        let words = self.ws(base, self.record_words()).iter().map(|w| w.load(Relaxed)).collect();
        fence(Acquire);
        let after = Meta(self.w(base + META).load(Relaxed));
        let same = after.is_live() && after.version() == meta.version();
        // Entries that are linked in before this one change nothing about it; its own link changes with each reuse.
        (same && self.w(base + NEXT).load(Relaxed) == link).then_some(words)
    }
}

impl Writer {
    /// Copy the entries of `old`. When there are more than this table takes, those stay that were used last.
    pub(super) fn copy_from(&self, old: &Table, now: Mono) -> Copied {
        let table = Arc::clone(self.table());
        let schema = table.schema();
        let (pairs, dropped) = pairs(schema, old.schema());
        if !same_keys(schema, old.schema()) {
            return Copied { left_out: old.used() as usize, dropped, ..Copied::default() };
        }
        let alive = |ms: u64| schema.expire_ms.is_none_or(|e| now.0 / NS_PER_MS < ms.saturating_add(e));
        let live = |rec: &u32| Meta(old.w(old.record(*rec) + META).load(Relaxed)).is_live();
        let found = (0..old.records_ever()).filter(live).map(|rec| (old.touched(rec).ms(), rec));
        let mut found: Vec<(u64, u32)> = found.filter(|(ms, _)| alive(*ms)).collect();
        found.sort_unstable();
        let left_out = found.len().saturating_sub(schema.size as usize);
        let mut entries = 0;
        for (ms, rec) in found.drain(left_out..) {
            let Some(words) = old.snapshot(rec) else { continue };
            let bytes = key::bytes(&words[KEY..KEY + old.key_words()], old.schema().key.len());
            // As old as it was: it expires when it would have, and its place by age is the end.
            let Some(entry) = self.get_or_insert(schema.key.key(&bytes), Mono(ms * NS_PER_MS)) else {
                continue;
            };
            pairs.iter().for_each(|(to, from)| entry.put(*to, *from, &words));
            entries += 1;
        }
        Copied { entries, left_out, dropped }
    }
}

impl Entry<'_> {
    fn put(&self, to: Slot, from: Slot, words: &[u64]) {
        let n = to.words();
        let from = &words[from.word as usize..from.word as usize + n];
        for (word, value) in self.raw(to, n).iter().zip(from) {
            word.store(*value, Relaxed);
        }
    }
}

/// Whether a key means the same in both. Texts and blobs may be cut: what is looked up is cut as well.
fn same_keys(new: &Schema, old: &Schema) -> bool {
    new.key.name() == old.key.name()
}

/// Where each value goes and where it comes from; and which of the old data has no place.
fn pairs(new: &Schema, old: &Schema) -> (Vec<(Slot, Slot)>, Vec<&'static str>) {
    let mut pairs = Vec::new();
    for def in new.data() {
        for elem in 0..def.elems {
            let Some(to) = new.slot(def.data, elem) else { continue };
            // `gpc0` is the first of `gpc`, whichever way round.
            let single = || {
                let one = DataType::ALL.iter().find(|d| d.data.in_array() == Some((def.data, elem)))?;
                old.slot(one.data, 0)
            };
            let Some(from) = old.slot(def.data, elem).or_else(single) else { continue };
            // What goes on in other processes is not ours to count; events of other periods cannot be compared.
            if !to.split && from.period_ms == to.period_ms && from.factor == to.factor {
                pairs.push((to, from));
            }
        }
    }
    let kept = |d: DataType| {
        let of = |slot: Slot| pairs.iter().any(|(_, from)| from.word == slot.word);
        d == DataType::ConnCur && new.has(d) || old.slot(d, 0).is_some_and(of)
    };
    let dropped = old.data().iter().filter(|d| !kept(d.data)).map(|d| d.data.info().name).collect();
    (pairs, dropped)
}

#[cfg(test)]
mod tests {
    use super::super::{DataDef, KeyType};
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono((1_000_000 + ms) * NS_PER_MS)
    }

    fn schema(key: KeyType, size: u32, data: &[DataDef]) -> Schema {
        let mut s = Schema::new(key, size);
        data.iter().for_each(|d| s.store(*d).expect("they fit"));
        s
    }

    fn table(s: Schema) -> Arc<Table> {
        Arc::new(Table::create("test", s, 4).expect("memory"))
    }

    fn peek(t: &Table) -> Table {
        Table::peek(t.fd().try_clone_to_owned().expect("a descriptor")).expect("a table")
    }

    fn value(t: &Table, key: u32, data: DataType, elem: u16, now: Mono) -> Option<u64> {
        t.read(key.into(), t.schema().slot(data, elem).expect("stored"), now)
    }

    #[test]
    fn data_that_both_store_is_copied() {
        let rate = DataDef::rate(DataType::HttpReqRate, 10_000);
        let plain = [DataType::Gpc0, DataType::BytesInCnt, DataType::ConnCur, DataType::Gpt0];
        let mut defs: Vec<DataDef> = plain.into_iter().map(DataDef::plain).collect();
        defs.push(rate);
        defs.push(DataDef::rate(DataType::ConnRate, 1000));
        let old = table(schema(KeyType::Integer, 100, &defs));
        let w = Writer::claim(&old, 1, 0).expect("a slab");
        for k in 0..50u32 {
            let e = w.get_or_insert(k.into(), at(k.into())).expect("room");
            for (i, d) in defs.iter().enumerate() {
                e.add(old.schema().slot(d.data, 0).expect("stored"), u64::from(k) + i as u64, at(k.into()));
            }
        }
        let array = DataDef { data: DataType::Gpc, elems: 2, period_ms: 0 };
        let other = DataDef::rate(DataType::ConnRate, 2000);
        let cur = DataDef::plain(DataType::ConnCur);
        let mut new = schema(KeyType::Integer, 200, &[cur, rate, array, other]);
        new.expire_ms = Some(1000);
        let new = table(new);
        let heir = Writer::claim(&new, 2, 0).expect("a slab");
        let copied = heir.copy_from(&peek(&old), at(1005));
        assert_eq!((copied.entries, copied.left_out), (44, 0), "six expired");
        assert_eq!(copied.dropped, ["bytes_in_cnt", "gpt0", "conn_rate"]);
        for k in 0..50u32 {
            let got = value(&new, k, DataType::Gpc, 0, at(1005));
            assert_eq!(got, (k > 5).then_some(u64::from(k)));
            if k > 5 {
                assert_eq!(value(&new, k, DataType::Gpc, 1, at(1005)), Some(0));
                assert_eq!(value(&new, k, DataType::ConnCur, 0, at(1005)), Some(0));
                let rates = [&old, &new].map(|t| value(t, k, DataType::HttpReqRate, 0, at(1005)));
                assert_eq!(rates[0], rates[1]);
                assert_eq!(
                    new.get(k.into(), at(1005)).expect("there").expires_in_ms(at(1005)),
                    Some(u64::from(k) - 5)
                );
            }
        }
        assert_eq!(heir.maintain(at(1010), 100), 5, "the copies are in the order of their age");
    }

    #[test]
    fn the_most_recently_used_stay_in_a_smaller_table() {
        let old = table(schema(KeyType::String(8), 100, &[]));
        let w = Writer::claim(&old, 1, 0).expect("a slab");
        let name = |k: u64| format!("key{:05}", (k * 37) % 100);
        for k in 0..100 {
            drop(w.get_or_insert(old.schema().key.key(name(k).as_bytes()), at(k)));
        }
        let new = table(schema(KeyType::String(20), 30, &[]));
        let heir = Writer::claim(&new, 2, 0).expect("a slab");
        let copied = heir.copy_from(&peek(&old), at(200));
        assert_eq!(copied, Copied { entries: 30, left_out: 70, dropped: Vec::new() });
        for k in 0..100 {
            let there = new.get(new.schema().key.key(name(k).as_bytes()), at(200)).is_some();
            assert_eq!(there, k >= 70, "{k}");
        }
    }

    #[test]
    fn other_keys_are_not_copied() {
        let old = table(schema(KeyType::Ip, 10, &[]));
        let w = Writer::claim(&old, 1, 0).expect("a slab");
        drop(w.get_or_insert(1.into(), at(0)));
        let new = table(schema(KeyType::Integer, 10, &[]));
        let heir = Writer::claim(&new, 2, 0).expect("a slab");
        assert_eq!(heir.copy_from(&peek(&old), at(0)), Copied { left_out: 1, ..Copied::default() });
        assert_eq!(new.used(), 0);
    }
}
