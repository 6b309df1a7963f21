//! What a session needs of a stick table.

use std::sync::Arc;

use super::entry::Entry;
use super::types::TableSpec;
use crate::base::time::Mono;

/// A stick table as peers see it. Positions count local changes: each change of an entry gives the entry the next
/// position, and an entry has only its newest one, so a storm of changes costs one update.
pub trait TableView: Send + Sync {
    /// What the definition message says.
    fn spec(&self) -> &TableSpec;

    /// The position of the newest local change; 0 before the first.
    fn position(&self) -> u64;

    /// Fill `out` with the entry whose position is the lowest above `after`, and return that position.
    fn next_update(&self, after: u64, now: Mono, out: &mut Entry) -> Option<u64>;

    /// Fill `out` with the next live entry of a walk through the whole table, entries learned from peers included,
    /// and return the cursor to go on from. A walk starts at cursor 0. Entries that stay in the table during the
    /// whole walk are visited.
    fn next_entry(&self, cursor: u64, now: Mono, out: &mut Entry) -> Option<u64>;

    /// Take over what a peer says: create or overwrite the entry's `fields`, leave other data alone, and do not count
    /// it as a local change. False when the table has no room for it.
    fn learn(&self, entry: &Entry, now: Mono) -> bool;
}

/// The tables of a peers section; a table's place in the list is its number.
pub type Tables = [Arc<dyn TableView>];
