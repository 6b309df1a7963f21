//! What a thread does with the records that it owns: filling, expiring, purging. [`super::gift`] hands records over,
//! [`super::adopt`] takes over what others left.
//!
//! The lists of a slab (free records; entries by age) are changed by its owner only, so plain loads and stores do.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::base::time::Mono;

use super::atomics::fence;
use super::index::{Meta, State, Touched, Want};
use super::schema::{KEY, LINKS, META, NEXT, STAMPS, TOUCHED};
use super::table::{Entry, H_POOL, NS_PER_MS, Table, Writer, ms};
use super::{Key, index::Link};

/// Words of a slab's block: two cache lines, so that neighbours do not disturb each other.
pub(super) const WORDS: usize = 16;
// The words.
pub(super) const OWNER: usize = 0;
pub(super) const FREE: usize = 1;
pub(super) const OLDEST: usize = 2;
pub(super) const NEWEST: usize = 3;
/// Records in the list by age, dead ones included.
pub(super) const USED: usize = 4;
/// Dead ones among them, killed by others; may be off by what killed processes did not count.
pub(super) const ZOMBIES: usize = 5;
/// Records that the slab owns.
pub(super) const OWNED: usize = 6;
/// Entries that it gave away and that nobody accepted yet: no list has them.
pub(super) const LENT: usize = 7;
/// The slab that asks this one for records, plus 1.
pub(super) const WANTED: usize = 8;
/// First of a chain of records that another slab gave, free ones or entries, plus 1 (32 bits); that slab, plus 1. The
/// records are the giver's until they are accepted one by one, so that none is lost, whoever dies.
pub(super) const GIVEN: usize = 9;

/// Records that are taken from the pool at once, at most.
const CHUNK: u32 = 64;
/// Records that a thread takes before it needs them, at most: taking one takes its memory.
const RESERVE_MAX: usize = 4096;
/// Entries that are looked at for an old one before the oldest known is taken.
const PURGE_LOOK: usize = 64;
/// Attempts to get an entry of another slab.
const SEIZE_TRIES: usize = 4;
/// Entries that are passed to find one's place by age.
pub(super) const SORT_LOOK: usize = 64;
/// Given records that are accepted when one is needed, at most, and now and then.
const ACCEPT: usize = 256;
const ACCEPT_IDLE: usize = 4096;

/// A record to fill. One that is not our own stays in its owner's list.
struct Room {
    rec: u32,
    own: bool,
}

impl Writer {
    /// Own a slab of the table. `process` and `thread` name the owner, for [`Writer::adopt`] in others.
    /// `None` when all slabs are owned.
    pub fn claim(table: &Arc<Table>, process: u32, thread: u32) -> Option<Writer> {
        let owner = (u64::from(process) << 32) | (u64::from(thread) + 1);
        (0..table.slabs()).find_map(|slab| {
            let word = table.w(table.slab(slab) + OWNER);
            word.compare_exchange(0, owner, AcqRel, Relaxed).ok()?;
            let writer = Writer {
                table: table.clone(),
                slab,
                owner,
                asked: Cell::new(None),
                given: Cell::new(None),
                sharers: Cell::new(1),
            };
            writer.count_sharers();
            writer.reserve();
            Some(writer)
        })
    }

    /// Take some records at once, or ask for some, so that this thread need not wait when the pool is dry. Not of small
    /// tables: what one thread keeps there, others would miss.
    fn reserve(&self) {
        let share = self.share().min(RESERVE_MAX);
        if share > 0 && self.get(OWNED) == 0 && !self.take_chunk(share as u64) {
            self.ask();
        }
    }

    /// Records that this thread may keep for itself; none in small tables.
    pub(super) fn share(&self) -> usize {
        self.table.schema().size as usize / (64 * self.table.slabs())
    }

    /// The table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    fn count_sharers(&self) {
        let t = &*self.table;
        let owned = |s: &usize| t.w(t.slab(*s) + OWNER).load(Relaxed) != 0;
        self.sharers.set((0..t.slabs()).filter(owned).count().max(1));
    }

    pub(super) fn get(&self, word: usize) -> u64 {
        self.table.w(self.table.slab(self.slab) + word).load(Relaxed)
    }

    pub(super) fn set(&self, word: usize, value: u64) {
        self.table.w(self.table.slab(self.slab) + word).store(value, Relaxed);
    }

    pub(super) fn meta(&self, rec: u32) -> Meta {
        Meta(self.table.w(self.table.record(rec) + META).load(Acquire))
    }

    fn set_meta(&self, rec: u32, meta: Meta) {
        self.table.w(self.table.record(rec) + META).store(meta.0, Release);
    }

    /// The entry with that key, made with zeros if there is none. `None` when the table is full: of entries in use,
    /// with `nopurge` of any, or of others' entries that are not handed over yet.
    pub fn get_or_insert(&self, key: Key<'_>, now: Mono) -> Option<Entry<'_>> {
        let t = &*self.table;
        if self.get(WANTED) != 0 && self.share() > 0 {
            self.give(now);
        }
        let bucket = t.bucket(t.hash(key));
        let mut spare: Option<Room> = None;
        loop {
            let found = t.walk(bucket, Want::Key(key));
            if let Some((rec, meta)) = found.hit {
                let over = !meta.used() && t.expired(rec, now);
                if over {
                    t.kill(rec, meta);
                    continue;
                }
                let entry = t.pin_key(rec, meta, key);
                if entry.is_some() || meta.full(t.process()) {
                    self.put_back(spare);
                    return entry;
                }
                continue;
            }
            let Some(Room { rec, own }) = spare else {
                let room = self.alloc(now)?;
                self.fill(&room, key, now);
                spare = Some(room);
                // Making room may have changed the bucket.
                continue;
            };
            let next = t.w(t.record(rec) + NEXT);
            next.store(Link(next.load(Relaxed)).lead(found.head.record()).0, Relaxed);
            let head = found.head.lead(Some(rec));
            if t.w(bucket).compare_exchange(found.head.0, head.0, AcqRel, Relaxed).is_ok() {
                if own {
                    self.append(rec, ms(now));
                }
                t.promote(t.record(rec), self.meta(rec));
                return Some(t.resume_own(rec));
            }
        }
    }

    /// Write a new entry into a free record. The link's count moves on, its mark goes.
    fn fill(&self, room: &Room, key: Key<'_>, now: Mono) {
        let t = &*self.table;
        let base = t.record(room.rec);
        if room.own {
            // Release: whoever sees this also sees that the record is out of the index. (Without, a walk that began
            // before could take it for a linked one.)
            self.set_meta(room.rec, self.building(self.meta(room.rec)));
        }
        // Whoever sees any of what follows sees the new version as well.
        fence(Release);
        key.store(t.ws(base + KEY, t.key_words()));
        for w in t.ws(base + KEY + t.key_words(), t.record_words() - KEY - t.key_words()) {
            w.store(0, Relaxed);
        }
        // The owner may be changing. The closure always gives a value.
        let at = |old| Some(Touched(old).at(now.0 / NS_PER_MS).0);
        let _ = t.w(base + TOUCHED).fetch_update(Relaxed, Relaxed, at);
    }

    /// The next incarnation, in use by this thread.
    fn building(&self, of: Meta) -> Meta {
        Meta(of.next(State::Building).0 | Meta::one(self.table.process()))
    }

    fn put_back(&self, spare: Option<Room>) {
        match spare {
            Some(Room { rec, own: true }) => self.free(rec),
            Some(Room { rec, own: false }) => {
                self.set_meta(rec, self.meta(rec).next(State::Dead));
                self.table.count_dead(rec, 1);
            }
            None => (),
        }
    }

    /// A record to fill: a free one, one of the pool, else the oldest entry's, else one of another slab.
    fn alloc(&self, now: Mono) -> Option<Room> {
        let own = self.alloc_own(now).map(|rec| Room { rec, own: true });
        own.or_else(|| self.seize(now).map(|rec| Room { rec, own: false }))
    }

    fn alloc_own(&self, now: Mono) -> Option<u32> {
        self.take_gift(ACCEPT);
        if self.share() > 0 {
            self.give(now);
        }
        if let Some(rec) = self.pop_free() {
            return Some(rec);
        }
        if self.take_chunk(u64::from(CHUNK)) {
            return self.pop_free();
        }
        if self.get(OWNED) < u64::from(self.table.schema().size) / (2 * self.sharers.get() as u64) {
            // Far less than a fair share: do not live off the own few only.
            self.ask();
        }
        self.collect(now);
        if let Some(rec) = self.pop_free() {
            return Some(rec);
        }
        if !self.table.schema().nopurge && self.purge() {
            return self.pop_free();
        }
        self.ask();
        None
    }

    /// Remove an entry of another slab, the one that was used least lately of some, to fill its record in place: for a
    /// thread that has none when it needs one. The record stays in its owner's list by age.
    fn seize(&self, now: Mono) -> Option<u32> {
        let t = &*self.table;
        let end = t.w(H_POOL).load(Acquire).min(u64::from(t.schema().size));
        let looks = end.min(PURGE_LOOK as u64);
        let start = if looks < end { (now.0 / 1024) % end } else { 0 };
        for _ in 0..SEIZE_TRIES {
            let age = |rec: u32| {
                let meta = self.meta(rec);
                match meta.state() {
                    State::Dead => Some((0, rec, meta)),
                    State::Live if meta.used() => None,
                    State::Live if t.expired(rec, now) => Some((0, rec, meta)),
                    State::Live if !t.schema().nopurge => Some((self.touched(rec), rec, meta)),
                    _ => None,
                }
            };
            let (_, rec, meta) =
                (0..looks).filter_map(|i| age(((start + i) % end) as u32)).min_by_key(|c| c.0)?;
            let dead = meta.with(State::Dead);
            if meta.is_live() {
                if !t.kill(rec, meta) {
                    continue;
                }
            } else {
                t.unlink(rec, dead);
            }
            // Its owner may be about to free it.
            let word = t.w(t.record(rec) + META);
            if word.compare_exchange(dead.0, self.building(dead).0, AcqRel, Relaxed).is_ok() {
                t.count_dead(rec, -1);
                return Some(rec);
            }
        }
        None
    }

    pub(super) fn pop_free(&self) -> Option<u32> {
        let rec = (self.get(FREE) as u32).checked_sub(1)?;
        self.set(FREE, self.links(rec).1.map_or(0, |r| u64::from(r) + 1));
        Some(rec)
    }

    /// Out of the index for sure: ready to be filled again.
    pub(super) fn free(&self, rec: u32) {
        self.set_meta(rec, self.meta(rec).next(State::Free));
        self.push_free(rec);
    }

    pub(super) fn push_free(&self, rec: u32) {
        self.set_links(rec, None, (self.get(FREE) as u32).checked_sub(1));
        self.set(FREE, u64::from(rec) + 1);
    }

    /// Take a chunk of never used records, `max` at most; a share of what is left, so that the last ones spread.
    fn take_chunk(&self, max: u64) -> bool {
        let t = &*self.table;
        let (pool, size) = (t.w(H_POOL), u64::from(t.schema().size));
        let mut first = pool.load(Relaxed);
        loop {
            let left = size.saturating_sub(first);
            if left == 0 {
                return false;
            }
            let share = left / (4 * t.slabs() as u64);
            let n = share.clamp(1, max);
            if let Err(now) = pool.compare_exchange(first, first + n, AcqRel, Relaxed) {
                first = now;
                continue;
            }
            // From here on the records are out of the pool, and whoever marks one as its own has it: an adopter takes
            // those that a killed process left unmarked, and may be faster than we are.
            let marked = (first..first + n).rev().filter(|rec| self.mark_own(*rec as u32)).count();
            if marked > 0 {
                return true;
            }
            first = pool.load(Relaxed);
        }
    }

    /// Own a record that nobody owns. False when somebody does.
    pub(super) fn mark_own(&self, rec: u32) -> bool {
        let word = self.table.w(self.table.record(rec) + TOUCHED);
        let ok = word.compare_exchange(0, Touched::new(0, self.slab).0, AcqRel, Relaxed).is_ok();
        if ok {
            self.push_free(rec);
            self.set(OWNED, self.get(OWNED) + 1);
        }
        ok
    }

    pub(super) fn links(&self, rec: u32) -> (Option<u32>, Option<u32>) {
        let w = self.table.w(self.table.record(rec) + LINKS).load(Relaxed);
        (((w >> 32) as u32).checked_sub(1), (w as u32).checked_sub(1))
    }

    pub(super) fn set_links(&self, rec: u32, older: Option<u32>, newer: Option<u32>) {
        let word = |r: Option<u32>| r.map_or(0, |r| u64::from(r) + 1);
        self.table.w(self.table.record(rec) + LINKS).store((word(older) << 32) | word(newer), Relaxed);
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        (self.get(OLDEST) as u32).checked_sub(1)
    }

    /// Into the list by age; `stamp_ms` is the use that puts it there. Nearly always that is the end.
    pub(super) fn append(&self, rec: u32, stamp_ms: u32) {
        self.stamp(rec, stamp_ms);
        let (mut older, mut newer) = ((self.get(NEWEST) as u32).checked_sub(1), None);
        for _ in 0..SORT_LOOK {
            let Some(o) = older else { break };
            if self.queued_ms(o).wrapping_sub(stamp_ms) as i32 <= 0 {
                break;
            }
            (older, newer) = (self.links(o).0, Some(o));
        }
        self.link_between(rec, older, newer);
    }

    /// An entry that was given: behind the one that was given before it, or by its age.
    pub(super) fn append_given(&self, rec: u32) {
        let stamp_ms = self.touched_ms(rec);
        self.stamp(rec, stamp_ms);
        let younger = |r: u32| self.queued_ms(r).wrapping_sub(stamp_ms) as i32 > 0;
        let mut older = self.given.get().filter(|r| !younger(*r));
        let mut newer = older.map_or_else(|| self.oldest(), |o| self.links(o).1);
        for _ in 0..SORT_LOOK {
            let Some(n) = newer.filter(|n| !younger(*n)) else { break };
            (older, newer) = (Some(n), self.links(n).1);
        }
        self.link_between(rec, older, newer);
        self.given.set(Some(rec));
    }

    fn stamp(&self, rec: u32, stamp_ms: u32) {
        let stamps = self.table.w(self.table.record(rec) + STAMPS);
        stamps.store((stamps.load(Relaxed) >> 32 << 32) | u64::from(stamp_ms), Relaxed);
    }

    fn link_between(&self, rec: u32, older: Option<u32>, newer: Option<u32>) {
        self.set_links(rec, older, newer);
        match older {
            Some(o) => self.set_links(o, self.links(o).0, Some(rec)),
            None => self.set(OLDEST, u64::from(rec) + 1),
        }
        match newer {
            Some(n) => self.set_links(n, Some(rec), self.links(n).1),
            None => self.set(NEWEST, u64::from(rec) + 1),
        }
        self.set(USED, self.get(USED) + 1);
    }

    pub(super) fn detach(&self, rec: u32) {
        let (older, newer) = self.links(rec);
        if self.given.get() == Some(rec) {
            self.given.set(older);
        }
        let word = |r: Option<u32>| r.map_or(0, |r| u64::from(r) + 1);
        match older {
            Some(o) => self.set_links(o, self.links(o).0, newer),
            None => self.set(OLDEST, word(newer)),
        }
        match newer {
            Some(n) => self.set_links(n, older, self.links(n).1),
            None => self.set(NEWEST, word(older)),
        }
        self.set(USED, self.get(USED) - 1);
    }

    /// Free an entry of ours that somebody killed. False when another thread fills it anew already.
    pub(super) fn reap(&self, rec: u32, dead: Meta) -> bool {
        self.table.unlink(rec, dead);
        if !self.set_free(rec, dead) {
            return false;
        }
        self.detach(rec);
        self.table.w(self.table.slab(self.slab) + ZOMBIES).fetch_sub(1, Relaxed);
        self.push_free(rec);
        true
    }

    /// Free, unless it changed.
    pub(super) fn set_free(&self, rec: u32, from: Meta) -> bool {
        let word = self.table.w(self.table.record(rec) + META);
        word.compare_exchange(from.0, from.next(State::Free).0, AcqRel, Relaxed).is_ok()
    }

    /// What a process that is gone was filling in place: an entry, if it came into the index, else dead.
    pub(super) fn settle_abandoned(&self, rec: u32, meta: Meta) {
        let t = &*self.table;
        if t.walk(t.bucket(t.stored_hash(rec)), Want::Record(rec)).hit.is_some() {
            return;
        }
        let word = t.w(t.record(rec) + META);
        if word.compare_exchange(meta.0, meta.with(State::Dead).0, AcqRel, Relaxed).is_ok() {
            t.count_dead(rec, 1);
        }
    }

    pub(super) fn touched_ms(&self, rec: u32) -> u32 {
        // Compared by wrapping differences only.
        self.table.touched(rec).ms() as u32
    }

    pub(super) fn queued_ms(&self, rec: u32) -> u32 {
        self.table.w(self.table.record(rec) + STAMPS).load(Relaxed) as u32
    }

    /// Look at the oldest entry: free it when it is dead, when `over` says so, or move it where its last use puts it.
    /// False when it is neither.
    fn settle(&self, rec: u32, over: bool) -> bool {
        let mut meta = self.meta(rec);
        if meta.state() == State::Building && !meta.used() {
            self.settle_abandoned(rec, meta);
            meta = self.meta(rec);
        }
        if meta.state() == State::Dead {
            return self.reap(rec, meta);
        }
        if meta.used() {
            // As good as used now; its true place is found when it comes by again.
            let newest = (self.get(NEWEST) as u32).checked_sub(1).unwrap_or(rec);
            let stamp = self.queued_ms(newest);
            self.detach(rec);
            self.append(rec, stamp);
            return false;
        }
        over && self.table.kill(rec, meta) && self.reap(rec, meta.with(State::Dead))
    }

    /// Drop the least recently used entry that is not in use. Uses are noticed here, not when they happen: an entry
    /// that was used since it was queued is queued again.
    pub(super) fn purge(&self) -> bool {
        let mut candidate = None;
        for look in 0..self.get(USED) {
            let Some(rec) = self.oldest() else { break };
            let refreshed = self.touched_ms(rec) != self.queued_ms(rec) && look < PURGE_LOOK as u64;
            if refreshed && self.meta(rec).is_live() {
                self.detach(rec);
                self.append(rec, self.touched_ms(rec));
                candidate = candidate.or(Some(rec));
                continue;
            }
            if self.settle(rec, true) {
                return true;
            }
        }
        // Everything was used lately: the one that was queued first, then.
        candidate.is_some_and(|rec| self.settle(rec, true))
    }

    /// Free up to `budget` entries that expired, and hand over what another slab asked for. To be called now and then;
    /// lookups do not depend on it. Gives the number of freed ones.
    pub fn maintain(&self, now: Mono, budget: usize) -> usize {
        self.count_sharers();
        self.take_gift(ACCEPT_IDLE);
        self.give(now);
        if self.share() > 0 { self.expire(now, budget) } else { self.expire_in_place(now, budget) }
    }

    /// In a small table: what expired stays a dead one in the list, so that any thread can fill it anew.
    fn expire_in_place(&self, now: Mono, budget: usize) -> usize {
        let t = &*self.table;
        let Some(expire_ms) = t.schema().expire_ms else { return 0 };
        let mut freed = 0;
        let mut at = self.oldest();
        while let Some(rec) = at
            && freed < budget
        {
            at = self.links(rec).1;
            let meta = self.meta(rec);
            let queued_for = ms(now).wrapping_sub(self.queued_ms(rec));
            if meta.is_live() && (u64::from(queued_for) < expire_ms || queued_for > u32::MAX / 2) {
                break;
            }
            if meta.is_live() && !meta.used() && t.expired(rec, now) && t.kill(rec, meta) {
                freed += 1;
            }
        }
        freed
    }

    fn expire(&self, now: Mono, budget: usize) -> usize {
        let Some(expire_ms) = self.table.schema().expire_ms else { return 0 };
        let mut freed = 0;
        for _ in 0..budget {
            let Some(rec) = self.oldest() else { break };
            let dead = self.meta(rec).state() == State::Dead;
            let queued_for = ms(now).wrapping_sub(self.queued_ms(rec));
            if !dead && (u64::from(queued_for) < expire_ms || queued_for > u32::MAX / 2) {
                break;
            }
            if self.settle(rec, self.table.expired(rec, now)) {
                freed += 1;
            } else if !self.meta(rec).used() {
                self.detach(rec);
                self.append(rec, self.touched_ms(rec));
            } else {
                // In use, and moved to the end by that: look again in a while.
                self.detach(rec);
                self.append(rec, ms(now));
            }
        }
        freed
    }

    /// Free what expired and what others killed, before anything else has to go.
    pub(super) fn collect(&self, now: Mono) {
        if self.expire(now, PURGE_LOOK) > 0 {
            return;
        }
        let zombies = self.table.w(self.table.slab(self.slab) + ZOMBIES);
        let mut at = self.oldest();
        while let Some(rec) = at
            && zombies.load(Relaxed) as i64 > 0
        {
            at = self.links(rec).1;
            let meta = self.meta(rec);
            if meta.state() == State::Dead {
                self.reap(rec, meta);
            }
        }
        if zombies.load(Relaxed) as i64 > 0 && at.is_none() {
            // Those of a killer that is just about to say so come back with its word.
            zombies.fetch_min(0, Relaxed);
        }
    }

    /// The free records and those in the list by age, for audits.
    #[cfg(test)]
    pub(super) fn lists(&self) -> (Vec<u32>, Vec<u32>) {
        let first = (self.get(FREE) as u32).checked_sub(1);
        let free = std::iter::successors(first, |rec| self.links(*rec).1).collect();
        (free, self.own_list().into_iter().map(|(_, rec)| rec).collect())
    }

    /// Dead ones in the list by age.
    #[cfg(test)]
    pub(super) fn dead_ones(&self) -> usize {
        self.own_list().iter().filter(|(_, rec)| self.meta(*rec).state() == State::Dead).count()
    }
}

impl Drop for Writer {
    /// The slab keeps its entries; whoever claims it next has them.
    fn drop(&mut self) {
        self.table.w(self.table.slab(self.slab) + OWNER).store(0, Release);
    }
}
