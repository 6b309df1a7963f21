//! What replication reads and writes of a table, beyond what traffic does: entries by the number of their record, and
//! rates with their position in time.

use std::sync::atomic::Ordering::Acquire;

use crate::base::time::Mono;

use super::index::Meta;
use super::schema::META;
use super::table::{Entry, Table, ms};
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
        self.records_ever()
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
        rate::parts(self.rate_words(slot), ms(now), slot.period_ms)
    }

    /// Take over a rate that another node counted: its periods become ours.
    pub fn learn_rate(&self, slot: Slot, parts: RateParts, now: Mono) {
        debug_assert_eq!(slot.class, DataClass::Rate);
        rate::set(self.rate_words(slot), ms(now), slot.period_ms, parts);
    }
}
