//! The table and its entries as everybody sees them.

use std::cell::Cell;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::base::time::Mono;
use crate::sys::memfd::Segment;

use super::atomics::{AtomicU64, fence, seed};
use super::index::{Meta, PROCESSES, SLABS_MAX, State, Touched, Want};
use super::members::GUESTS;
use super::schema::{KEY, META, NEXT, TOUCHED, WORDS_MAX};
use super::slab;
use super::{Changes, DataClass, DataType, Key, RateParts, Schema, Slot, current, key, rate};

/// First word of every segment of this kind.
const MAGIC: u64 = u64::from_le_bytes(*b"HaringST");
/// Changes with every change of what the words mean.
const VERSION: u64 = 4;

// Words of the header.
const H_MAGIC: usize = 0;
const H_VERSION: usize = 1;
const H_SCHEMA: usize = 2;
const H_SEED: usize = 3;
pub(super) const H_POOL: usize = 4;
/// The processes that have a part of counts each, in that order; 0: none. See [`super::members`].
pub(super) const H_PROCESSES: usize = 5;
/// Slabs.
const H_SLABS: usize = 8;
/// 1: it holds what the peers know.
const H_COMPLETE: usize = 9;
/// The definition, from here on.
const H_DEFINITION: usize = 16;
/// Processes that share another one's part.
pub(super) const H_GUESTS: usize = 64;
const H_WORDS: usize = H_GUESTS + GUESTS;
const _: () = assert!(H_DEFINITION + WORDS_MAX <= H_GUESTS && H_PROCESSES + PROCESSES <= H_SLABS);

/// Why a segment of another process cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The descriptor is none of ours, or cannot be mapped.
    #[error("not a table's memory: {0}")]
    Memory(#[from] io::Error),
    /// Made by a version that lays tables out differently.
    #[error("the table was made by another version")]
    Version,
    /// The definition changed.
    #[error("the table is defined differently")]
    Schema,
    /// As many processes as may use it do.
    #[error("too many processes use the table")]
    Busy,
}

/// A table. Any number of threads and processes use it at once.
#[derive(Debug)]
pub struct Table {
    schema: Schema,
    slabs: usize,
    segment: Segment,
    seed: u64,
    /// Which part of counts is this process's.
    process: usize,
    buckets_at: usize,
    records_at: usize,
    record_words: usize,
    key_words: usize,
    changes: OnceLock<Arc<Changes>>,
}

pub(super) const NS_PER_MS: u64 = 1_000_000;

pub(super) fn ms(now: Mono) -> u32 {
    // Compared by wrapping differences only.
    (now.0 / NS_PER_MS) as u32
}

#[cfg(test)]
thread_local! {
    /// Accesses to the segment until this thread is "killed" (a panic); for tests of what it leaves behind.
    pub(super) static FUEL: Cell<u64> = const { Cell::new(u64::MAX) };
}

impl Table {
    /// An empty table for at most `slabs` threads, those of overlapping processes included.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn create(name: &str, schema: Schema, slabs: usize) -> io::Result<Table> {
        let slabs = slabs.clamp(1, SLABS_MAX);
        let records_at = H_WORDS + slabs * slab::WORDS + schema.buckets();
        let words = records_at + schema.size as usize * schema.record_words();
        let table = Table::over(Segment::new(&format!("stick/{name}"), words)?, schema, slabs);
        let seed = seed();
        table.w(H_PROCESSES).store(u64::from(std::process::id()), Relaxed);
        table.w(H_SEED).store(seed, Relaxed);
        table.w(H_SCHEMA).store(table.schema.hash(slabs), Relaxed);
        table.w(H_SLABS).store(slabs as u64, Relaxed);
        for (at, word) in (H_DEFINITION..).zip(table.schema.to_words()) {
            table.w(at).store(word, Relaxed);
        }
        table.w(H_VERSION).store(VERSION, Relaxed);
        table.w(H_MAGIC).store(MAGIC, Release);
        Ok(Table { seed, ..table })
    }

    /// The table that another process made, with the same schema and at least that many slabs. `process` names this
    /// one, `dead` says of the ids of others whether they are gone: see [`Table::join`].
    ///
    /// # Errors
    /// When it is not the same kind of table.
    pub fn open(
        fd: OwnedFd,
        schema: Schema,
        slabs: usize,
        process: u32,
        dead: impl Fn(u32) -> bool,
    ) -> Result<Table, OpenError> {
        let other = Table::peek(fd)?;
        let same = other.schema.hash(other.slabs) == schema.hash(other.slabs);
        if !same || other.slabs < slabs.clamp(1, SLABS_MAX) {
            return Err(OpenError::Schema);
        }
        let mut table = Table { schema, ..other };
        table.process = table.join(process, dead)?;
        Ok(table)
    }

    /// The table that another process made, however it is defined, only to be looked at: nothing of it may be used.
    ///
    /// # Errors
    /// When it is no table, or one of another version.
    pub(super) fn peek(fd: OwnedFd) -> Result<Table, OpenError> {
        let segment = Segment::map(fd)?;
        let header: Vec<u64> = segment.words().iter().take(H_WORDS).map(|w| w.load(Acquire)).collect();
        if header.len() < H_WORDS || header[H_MAGIC] != MAGIC || header[H_VERSION] != VERSION {
            return Err(OpenError::Version);
        }
        let schema = Schema::from_words(&header[H_DEFINITION..]).ok_or(OpenError::Version)?;
        let slabs = header[H_SLABS] as usize;
        if !(1..=SLABS_MAX).contains(&slabs) || header[H_SCHEMA] != schema.hash(slabs) {
            return Err(OpenError::Version);
        }
        let table = Table { seed: header[H_SEED], ..Table::over(segment, schema, slabs) };
        let needed = table.schema.size as usize * table.record_words + table.records_at;
        if table.segment.words().len() < needed {
            return Err(OpenError::Version);
        }
        Ok(table)
    }

    /// Whether it holds all that its peers know.
    pub fn is_complete(&self) -> bool {
        self.w(H_COMPLETE).load(Relaxed) != 0
    }

    /// It holds all that its peers know, for processes to come.
    pub fn set_complete(&self) {
        self.w(H_COMPLETE).store(1, Relaxed);
    }

    /// Take back what processes that are gone counted on a record.
    pub(super) fn give_back(&self, rec: u32, parts: &[usize]) {
        for p in parts {
            let word = self.w(self.record(rec) + META);
            if word.load(Relaxed) & Meta::field(*p) != 0 {
                word.fetch_and(!Meta::field(*p), AcqRel);
            }
            if let Some(slot) = self.schema.slot(DataType::ConnCur, 0) {
                current::give_back(self.w(self.record(rec) + slot.word as usize), *p);
            }
        }
    }

    /// Records that were ever used.
    pub(super) fn records_ever(&self) -> u32 {
        u32::try_from(self.w(H_POOL).load(Acquire)).unwrap_or(u32::MAX).min(self.schema.size)
    }

    fn over(segment: Segment, schema: Schema, slabs: usize) -> Table {
        let buckets_at = H_WORDS + slabs * slab::WORDS;
        Table {
            slabs,
            segment,
            seed: 0,
            process: 0,
            buckets_at,
            records_at: buckets_at + schema.buckets(),
            record_words: schema.record_words(),
            key_words: schema.key.words(),
            schema,
            changes: OnceLock::new(),
        }
    }

    /// From now on, note what is changed ([`Entry::touch`]). Only the first call counts.
    pub fn replicate(&self, changes: Arc<Changes>) {
        let _ = self.changes.set(changes);
    }

    /// What was changed, when that is noted.
    pub fn changes(&self) -> Option<&Arc<Changes>> {
        self.changes.get()
    }

    /// Its definition.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The segment, to hand over to a successor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.segment.fd()
    }

    /// Entries in it; those that expired but were not collected yet count.
    pub fn used(&self) -> u32 {
        let of = |s: usize, word: usize| self.w(self.slab(s) + word).load(Relaxed) as i64;
        let own = |s: usize| of(s, slab::USED) + of(s, slab::LENT).max(0) - of(s, slab::ZOMBIES).max(0);
        u32::try_from((0..self.slabs).map(|s| own(s).max(0)).sum::<i64>()).unwrap_or(u32::MAX)
    }

    /// The entry with that key. Does not count as a use for expiry: see [`Entry::touch`].
    pub fn get(&self, key: Key<'_>, now: Mono) -> Option<Entry<'_>> {
        loop {
            let (rec, meta) = self.walk(self.bucket(key.hash(self.seed)), Want::Key(key)).hit?;
            if !meta.used() && self.expired(rec, now) {
                return None;
            }
            if let Some(entry) = self.pin_key(rec, meta, key) {
                return Some(entry);
            }
            if meta.full(self.process) {
                return None;
            }
        }
    }

    /// One value of the entry with that key. Writes nothing, so that any number of threads can ask at once.
    pub fn read(&self, key: Key<'_>, slot: Slot, now: Mono) -> Option<u64> {
        loop {
            let found = self.walk(self.bucket(key.hash(self.seed)), Want::Key(key));
            let (rec, meta) = found.hit?;
            let expired = !meta.used() && self.expired(rec, now);
            let value = self.value(rec, slot, now);
            fence(Acquire);
            let after = Meta(self.w(self.record(rec) + META).load(Relaxed));
            let link = self.w(self.record(rec) + NEXT).load(Relaxed);
            if after.version() == meta.version() && after.is_live() && link == found.link.0 {
                return (!expired).then_some(value);
            }
        }
    }

    /// Every entry that is not expired, until the callback returns false. Entries that come or go meanwhile may or may
    /// not be among them.
    pub fn each(&self, now: Mono, mut f: impl FnMut(&Entry<'_>) -> bool) {
        for rec in 0..self.records_ever() {
            let meta = Meta(self.w(self.record(rec) + META).load(Acquire));
            if !meta.is_live() || (!meta.used() && self.expired(rec, now)) {
                continue;
            }
            if let Some(entry) = self.pin(rec, meta)
                && !f(&entry)
            {
                return;
            }
        }
    }

    /// Remove an entry (`clear table`). False when somebody uses it, or it is gone.
    pub fn remove(&self, key: Key<'_>) -> bool {
        let Some((rec, meta)) = self.walk(self.bucket(key.hash(self.seed)), Want::Key(key)).hit else {
            return false;
        };
        self.kill(rec, meta.unused())
    }

    /// Give back a use that was kept with [`Entry::keep`].
    pub fn resume(&self, id: EntryId) -> Entry<'_> {
        Entry { table: self, rec: id.rec }
    }

    /// A look at an entry whose use was kept: the use stays kept.
    pub fn kept(&self, id: &EntryId) -> ManuallyDrop<Entry<'_>> {
        ManuallyDrop::new(Entry { table: self, rec: id.rec })
    }

    /// The entry that this thread just made, which has its use.
    pub(super) fn resume_own(&self, rec: u32) -> Entry<'_> {
        Entry { table: self, rec }
    }

    /// Take a live, unused record out of the index; its owner collects it later.
    pub(super) fn kill(&self, rec: u32, meta: Meta) -> bool {
        debug_assert!(meta.is_live() && !meta.used());
        let dead = meta.with(State::Dead);
        if self.w(self.record(rec) + META).compare_exchange(meta.0, dead.0, AcqRel, Relaxed).is_err() {
            return false;
        }
        self.count_dead(rec, 1);
        self.unlink(rec, dead);
        true
    }

    /// There are that many more dead ones in the list of the record's owner.
    pub(super) fn count_dead(&self, rec: u32, n: i64) {
        if let Some(owner) = self.touched(rec).owner() {
            self.w(self.slab(owner) + slab::ZOMBIES).fetch_add(n as u64, Relaxed);
        }
    }

    /// Use the record, unless it changed since `meta` was read in a way other than its use count.
    fn pin(&self, rec: u32, meta: Meta) -> Option<Entry<'_>> {
        let word = self.w(self.record(rec) + META);
        let mut old = meta;
        loop {
            if !old.is_live() || old.version() != meta.version() || old.full(self.process) {
                return None;
            }
            match word.compare_exchange_weak(old.0, old.0 + Meta::one(self.process), AcqRel, Acquire) {
                Ok(_) => return Some(Entry { table: self, rec }),
                Err(now) => old = Meta(now),
            }
        }
    }

    /// The same, for a key: versions are short, and the record may have come round to the same one.
    pub(super) fn pin_key(&self, rec: u32, meta: Meta, key: Key<'_>) -> Option<Entry<'_>> {
        let entry = self.pin(rec, meta)?;
        key.equals(self.ws(self.record(rec) + KEY, self.key_words)).then_some(entry)
    }

    pub(super) fn pin_found(&self, rec: u32, meta: Meta) -> Option<Entry<'_>> {
        self.pin(rec, meta)
    }

    /// Whether the record's life is over at `now`.
    pub(super) fn expired(&self, rec: u32, now: Mono) -> bool {
        let touched = self.touched(rec).ms();
        self.schema.expire_ms.is_some_and(|ms| now.0 / NS_PER_MS >= touched.saturating_add(ms))
    }

    /// When it was used last, and who owns the record.
    pub(super) fn touched(&self, rec: u32) -> Touched {
        Touched(self.w(self.record(rec) + TOUCHED).load(Acquire))
    }

    /// Which part of counts is this process's.
    pub(super) fn process(&self) -> usize {
        self.process
    }

    fn value(&self, rec: u32, slot: Slot, now: Mono) -> u64 {
        let at = self.record(rec) + slot.word as usize;
        match slot.class {
            DataClass::Rate => rate::read(self.ws(at, 2), ms(now), slot.period_ms) * u64::from(slot.factor),
            _ if slot.split => current::read(self.w(at)),
            DataClass::Count32 => u64::from(self.w(at).load(Relaxed) as u32),
            _ => self.w(at).load(Relaxed),
        }
    }

    /// The hash of the key in a record.
    pub(super) fn stored_hash(&self, rec: u32) -> u64 {
        key::stored_hash(self.schema.key, self.ws(self.record(rec) + KEY, self.key_words), self.seed)
    }

    pub(super) fn hash(&self, key: Key<'_>) -> u64 {
        key.hash(self.seed)
    }

    pub(super) fn slabs(&self) -> usize {
        self.slabs
    }
    pub(super) fn key_words(&self) -> usize {
        self.key_words
    }
    pub(super) fn record_words(&self) -> usize {
        self.record_words
    }
    /// First word of a slab's block.
    pub(super) fn slab(&self, s: usize) -> usize {
        H_WORDS + s * slab::WORDS
    }
    /// Word of the bucket for a hash.
    pub(super) fn bucket(&self, hash: u64) -> usize {
        self.buckets_at + (hash as usize & (self.records_at - self.buckets_at - 1))
    }
    /// First word of a record.
    pub(super) fn record(&self, rec: u32) -> usize {
        self.records_at + rec as usize * self.record_words
    }
    pub(super) fn w(&self, at: usize) -> &AtomicU64 {
        #[cfg(test)]
        FUEL.with(|f| {
            f.set(f.get().wrapping_sub(1));
            assert!(f.get() != 0, "killed");
        });
        &self.segment.words()[at]
    }
    pub(super) fn ws(&self, at: usize, n: usize) -> &[AtomicU64] {
        &self.segment.words()[at..at + n]
    }
}

/// A use of an entry that outlives a borrow of its table. It has to come back through [`Table::resume`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the entry stays in use until it is resumed"]
pub struct EntryId {
    rec: u32,
}

#[cfg(test)]
impl EntryId {
    pub(super) fn rec(&self) -> u32 {
        self.rec
    }
}

/// An entry in use: it cannot expire, and nobody purges it, as long as this lives.
#[derive(Debug)]
pub struct Entry<'t> {
    table: &'t Table,
    rec: u32,
}

impl Entry<'_> {
    pub(super) fn rec(&self) -> u32 {
        self.rec
    }

    fn at(&self, word: usize) -> &AtomicU64 {
        self.table.w(self.table.record(self.rec) + word)
    }

    /// Keep using it without borrowing the table (a tracked session).
    pub fn keep(self) -> EntryId {
        let id = EntryId { rec: self.rec };
        std::mem::forget(self);
        id
    }

    /// Used, and perhaps changed, by local traffic: its life starts again, and peers will hear of it. Call it after the
    /// changes.
    pub fn touch(&self, now: Mono) {
        self.refresh(now);
        if let Some(changes) = self.table.changes.get() {
            changes.mark(self.rec);
        }
    }

    /// Its life starts again; peers do not hear of it (what a peer taught, a mere look).
    pub fn refresh(&self, now: Mono) {
        // At most one write per millisecond: the line is shared by every thread that counts on this entry.
        self.touch_at(|old| now.0 / NS_PER_MS > old, now.0 / NS_PER_MS);
    }

    /// Milliseconds until it expires; `None` when it does not.
    pub fn expires_in_ms(&self, now: Mono) -> Option<u64> {
        let spent = (now.0 / NS_PER_MS).saturating_sub(self.table.touched(self.rec).ms());
        self.table.schema.expire_ms.map(|ms| ms.saturating_sub(spent))
    }

    /// Let it expire in that many milliseconds, at most the table's `expire` (what a peer says).
    pub fn expire_in_ms(&self, left_ms: u64, now: Mono) {
        if let Some(ms) = self.table.schema.expire_ms {
            self.touch_at(|_| true, (now.0 / NS_PER_MS).saturating_sub(ms.saturating_sub(left_ms)));
        }
    }

    /// Set the last use, if `when` says so of the one before. The owner, in the same word, may change meanwhile.
    fn touch_at(&self, when: impl Fn(u64) -> bool, ms: u64) {
        let change = |old| Some(Touched(old)).filter(|t| when(t.ms())).map(|t| t.at(ms).0);
        let _ = self.at(TOUCHED).fetch_update(Relaxed, Relaxed, change);
    }

    /// Users of it besides this one.
    pub fn uses(&self) -> u32 {
        (Meta(self.at(META).load(Relaxed)).refs() as u32).saturating_sub(1)
    }

    /// The key's bytes: as long as the type says, padding of zeros included.
    pub fn key(&self) -> SmallVec<[u8; 64]> {
        let words = self.table.ws(self.table.record(self.rec) + KEY, self.table.key_words);
        key::load(words, self.table.schema.key.len())
    }

    /// A value; of a rate, the events over the last period.
    pub fn get(&self, slot: Slot, now: Mono) -> u64 {
        self.table.value(self.rec, slot, now)
    }

    /// Count `n` events; gives the new value. 32-bit counts wrap.
    pub fn add(&self, slot: Slot, n: u64, now: Mono) -> u64 {
        if slot.class == DataClass::Rate {
            let words = self.table.ws(self.table.record(self.rec) + slot.word as usize, 2);
            let factor = u64::from(slot.factor);
            return rate::add(words, ms(now), slot.period_ms, n.div_ceil(factor)) * factor;
        }
        if slot.split {
            return current::add(self.at(slot.word as usize), self.table.process, n);
        }
        let sum = self.at(slot.word as usize).fetch_add(n, Relaxed).wrapping_add(n);
        if slot.class == DataClass::Count32 { u64::from(sum as u32) } else { sum }
    }

    /// Count down, not below 0 (`conn_cur`).
    pub fn sub(&self, slot: Slot, n: u64) {
        debug_assert_ne!(slot.class, DataClass::Rate);
        if slot.split {
            return current::sub(self.at(slot.word as usize), self.table.process, n);
        }
        let lower = |old: u64| Some(old.saturating_sub(n));
        // The closure always gives a value.
        let _ = self.at(slot.word as usize).fetch_update(Relaxed, Relaxed, lower);
    }

    /// Set a value; of a rate, the count of a period that begins now, with none in the period before.
    pub fn set(&self, slot: Slot, value: u64, now: Mono) {
        match slot.class {
            DataClass::Rate => {
                let current = u32::try_from(value.div_ceil(slot.factor.into())).unwrap_or(u32::MAX);
                let parts = RateParts { elapsed_ms: 0, current, previous: 0 };
                rate::set(self.rate_words(slot), ms(now), slot.period_ms, parts);
            }
            _ if slot.split => current::set(self.at(slot.word as usize), self.table.process, value),
            DataClass::Count32 => self.at(slot.word as usize).store(u64::from(value as u32), Relaxed),
            _ => self.at(slot.word as usize).store(value, Relaxed),
        }
    }

    pub(super) fn raw(&self, slot: Slot, words: usize) -> &[AtomicU64] {
        self.table.ws(self.table.record(self.rec) + slot.word as usize, words)
    }

    pub(super) fn rate_words(&self, slot: Slot) -> &[AtomicU64] {
        self.raw(slot, 2)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        // A test's killed thread gives nothing back.
        if cfg!(test) && std::thread::panicking() {
            return;
        }
        let one = Meta::one(self.table.process);
        let before = Meta(self.at(META).fetch_sub(one, Release));
        debug_assert!(before.0 & Meta::field(self.table.process) != 0 && before.is_live());
    }
}

/// A thread's way to make entries: owns one slab. Not shared; move it to its thread.
#[derive(Debug)]
pub struct Writer {
    pub(super) table: Arc<Table>,
    pub(super) slab: usize,
    /// Names this thread in the slab's block.
    pub(super) owner: u64,
    /// The slab that was asked for records.
    pub(super) asked: Cell<Option<usize>>,
    /// The entry that was given last: the next one, younger as a rule, goes behind it.
    pub(super) given: Cell<Option<u32>>,
    /// Slabs that have an owner, as it was lately.
    pub(super) sharers: Cell<usize>,
}
