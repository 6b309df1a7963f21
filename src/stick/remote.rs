//! What replication reads and writes of a table, beyond what traffic does: entries by the number of their record, and
//! rates with their position in time.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::base::time::Mono;

use super::index::Meta;
use super::schema::{META, STAMPS};
use super::table::{Entry, H_POOL, Table, ms};
use super::{DataClass, Slot, rate};

/// A rate as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateParts {
    /// Milliseconds since the current period began.
    pub elapsed_ms: u32,
    /// Events in the current period.
    pub current: u32,
    /// Events in the period before.
    pub previous: u32,
}

impl Table {
    /// Records that were ever used: numbers below this may hold entries.
    pub fn records(&self) -> u32 {
        u32::try_from(self.w(H_POOL).load(Acquire)).unwrap_or(u32::MAX).min(self.schema().size)
    }

    /// The live entry in that record, if there is one. The record may hold another key than a moment ago.
    pub fn at_record(&self, record: u32, now: Mono) -> Option<Entry<'_>> {
        if record >= self.schema().size {
            return None;
        }
        let meta = Meta(self.w(self.record(record) + META).load(Acquire));
        if !meta.is_live() || (!meta.used() && self.expired(record, now)) {
            return None;
        }
        self.pin_found(record, meta)
    }

    /// The first live entry in that record or a later one, with its record.
    pub fn from_record(&self, record: u32, now: Mono) -> Option<(u32, Entry<'_>)> {
        (record..self.records()).find_map(|r| Some((r, self.at_record(r, now)?)))
    }
}

impl Entry<'_> {
    /// The number of its record: the same as long as the entry lives.
    pub fn record(&self) -> u32 {
        self.rec()
    }

    /// A rate's parts.
    pub fn rate_parts(&self, slot: Slot, now: Mono) -> RateParts {
        debug_assert_eq!(slot.class, DataClass::Rate);
        let (table, rec) = (self.table(), self.rec());
        let words = table.ws(table.record(rec) + slot.word as usize, 2);
        rate::parts(words, table.age_ms(rec, now), slot.period_ms)
    }

    /// Take over a rate that another node counted. Its periods began at other times than ours: the events are dealt out
    /// to our two periods as if each of its periods were even.
    pub fn learn_rate(&self, slot: Slot, parts: RateParts, now: Mono) {
        debug_assert_eq!(slot.class, DataClass::Rate);
        let (table, rec) = (self.table(), self.rec());
        let age = table.age_ms(rec, now);
        let (current, previous) = rate::shift(parts, age, slot.period_ms);
        let words = table.ws(table.record(rec) + slot.word as usize, 2);
        rate::set(words, age, slot.period_ms, current, previous);
    }

    /// A new entry that another node has had for longer: let it have been made that long ago, so that its rates have a
    /// period before the current one.
    pub fn backdate(&self, age_ms: u32, now: Mono) {
        let word = self.table().w(self.table().record(self.rec()) + STAMPS);
        let created = u64::from(ms(now).wrapping_sub(age_ms)) << 32;
        // The other half belongs to the owner of the slab.
        let _ = word.fetch_update(Relaxed, Relaxed, |old| Some(created | (old & u64::from(u32::MAX))));
    }
}
