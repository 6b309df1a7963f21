//! Words of the segment: what they hold, and the lock-free lists of the index.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::Key;
use super::atomics::fence;
use super::schema::{KEY, META, NEXT};
use super::table::Table;

/// Processes that have a part of counts of their own: one that serves, one that takes over from it, one that still
/// finishes. More than these share parts: see [`super::members`].
pub(super) const PROCESSES: usize = 3;

/// A record's first word: uses by each process (18 bits each), state (2), version (8; the count in the record's link
/// extends it). Each process counts in a field of its own, so that what a killed one used can be given back exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta(pub u64);

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free = 0,
    /// Being filled by its owner. Once it can be found in the index it is as good as live, and whoever finds it
    /// makes it so.
    Building = 1,
    Live = 2,
    /// Removed; still in the index, perhaps, and in its owner's list by age.
    Dead = 3,
}

const USES_BITS: u32 = 18;
const USES: u64 = (1 << USES_BITS) - 1;
const STATE: u32 = USES_BITS * PROCESSES as u32;
const REFS: u64 = (1 << STATE) - 1;
const VERSION: u32 = STATE + 2;
const VERSIONS: u64 = 1 << (64 - VERSION);

/// Slabs at most.
pub(super) const SLABS_MAX: usize = 1022;

impl Meta {
    pub(super) fn new(version: u64, state: State) -> Meta {
        Meta((version << VERSION) | ((state as u64) << STATE))
    }
    /// One use by that process.
    pub(super) fn one(process: usize) -> u64 {
        1 << (USES_BITS * process as u32)
    }
    /// The bits of that process's uses.
    pub(super) fn field(process: usize) -> u64 {
        USES << (USES_BITS * process as u32)
    }
    /// True when anybody uses it.
    pub(super) fn used(self) -> bool {
        self.0 & REFS != 0
    }
    /// Uses by all processes.
    pub(super) fn refs(self) -> u64 {
        (0..PROCESSES as u32).map(|p| (self.0 >> (USES_BITS * p)) & USES).sum()
    }
    /// No further use by that process can be counted.
    pub(super) fn full(self, process: usize) -> bool {
        self.0 & Meta::field(process) == Meta::field(process)
    }
    pub(super) fn state(self) -> State {
        match (self.0 >> STATE) & 3 {
            0 => State::Free,
            1 => State::Building,
            2 => State::Live,
            _ => State::Dead,
        }
    }
    pub(super) fn version(self) -> u64 {
        self.0 >> VERSION
    }
    pub(super) fn is_live(self) -> bool {
        self.state() == State::Live
    }
    /// Live, if it is in the index.
    pub(super) fn is_whole(self) -> bool {
        matches!(self.state(), State::Live | State::Building)
    }
    pub(super) fn with(self, state: State) -> Meta {
        Meta((self.0 & !(3 << STATE)) | ((state as u64) << STATE))
    }
    pub(super) fn unused(self) -> Meta {
        Meta(self.0 & !REFS)
    }
    /// The same record with nothing in it, as its next incarnation.
    pub(super) fn next(self, state: State) -> Meta {
        Meta::new((self.version() + 1) & (VERSIONS - 1), state)
    }
}

/// When an entry was last used (milliseconds, 48 bits), and which slab owns its record, from 1 (16); 0: none, it never
/// left the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Touched(pub u64);

const OWNER_BITS: u32 = 16;
const TOUCHED_MAX: u64 = (1 << (64 - OWNER_BITS)) - 1;

impl Touched {
    pub(super) fn new(ms: u64, owner: usize) -> Touched {
        Touched((ms.min(TOUCHED_MAX) << OWNER_BITS) | (owner as u64 + 1))
    }
    pub(super) fn ms(self) -> u64 {
        self.0 >> OWNER_BITS
    }
    pub(super) fn owner(self) -> Option<usize> {
        (self.0 as usize & ((1 << OWNER_BITS) - 1)).checked_sub(1)
    }
    pub(super) fn at(self, ms: u64) -> Touched {
        Touched((ms.min(TOUCHED_MAX) << OWNER_BITS) | (self.0 & ((1 << OWNER_BITS) - 1)))
    }
    pub(super) fn owned_by(self, owner: usize) -> Touched {
        Touched::new(self.ms(), owner)
    }
}

/// A link: the record it leads to, plus 1 (32 bits), a mark on the link of a record that is being removed, and a
/// count of changes (31 bits), so that a CAS by somebody who was asleep fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link(pub u64);

const MARK: u64 = 1 << 32;

impl Link {
    pub(super) fn record(self) -> Option<u32> {
        (self.0 as u32).checked_sub(1)
    }
    pub(super) fn marked(self) -> bool {
        self.0 & MARK != 0
    }
    fn mark(self) -> Link {
        Link(self.0 | MARK)
    }
    /// The same word led elsewhere, unmarked.
    pub(super) fn lead(self, to: Option<u32>) -> Link {
        let count = (self.0 >> 33).wrapping_add(1);
        Link((count << 33) | to.map_or(0, |r| u64::from(r) + 1))
    }
}

/// What a walk through a bucket found.
pub(super) struct Found {
    /// The bucket's head at the beginning of the walk.
    pub(super) head: Link,
    /// The live record with the key, and its first word.
    pub(super) hit: Option<(u32, Meta)>,
    /// The record's link, which changes with each incarnation.
    pub(super) link: Link,
}

/// What to look for.
#[derive(Clone, Copy)]
pub(super) enum Want<'a> {
    Key(Key<'a>),
    Record(u32),
    /// Nothing: walk to the end, which takes out every marked record.
    End,
}

impl Table {
    /// Walk through a bucket. Marked records on the way are taken out.
    pub(super) fn walk(&self, bucket: usize, want: Want<'_>) -> Found {
        'again: loop {
            let mut at = bucket;
            let mut link = Link(self.w(at).load(Acquire));
            let mut head = link;
            loop {
                let Some(rec) = link.record() else { return Found { head, hit: None, link } };
                let base = self.record(rec);
                let meta = Meta(self.w(base + META).load(Acquire));
                let next = Link(self.w(base + NEXT).load(Acquire));
                let same = match want {
                    Want::Key(k) => meta.is_whole() && k.equals(self.ws(base + KEY, self.key_words())),
                    Want::Record(r) => r == rec,
                    Want::End => false,
                };
                // Still linked from where we came, so it was not reused while we looked at it.
                fence(Acquire);
                if self.w(at).load(Acquire) != link.0 {
                    continue 'again;
                }
                if next.marked() {
                    let past = link.lead(next.record());
                    if self.w(at).compare_exchange(link.0, past.0, AcqRel, Relaxed).is_err() {
                        continue 'again;
                    }
                    if at == bucket {
                        head = past;
                    }
                    link = past;
                    continue;
                }
                if same {
                    return Found { head, hit: Some((rec, self.promote(base, meta))), link: next };
                }
                at = base + NEXT;
                link = next;
            }
        }
    }

    /// Make a record live that is in the index.
    pub(super) fn promote(&self, base: usize, meta: Meta) -> Meta {
        if meta.state() == State::Building {
            // Fails when somebody else was faster, and then it is live as well; uses are counted on live ones only.
            let live = meta.with(State::Live);
            let _ = self.w(base + META).compare_exchange(meta.0, live.0, AcqRel, Relaxed);
            return live;
        }
        meta
    }

    /// Take a dead record out of the index; any number of threads may at once.
    pub(super) fn unlink(&self, rec: u32, dead: Meta) {
        debug_assert_eq!(dead.state(), State::Dead);
        let base = self.record(rec);
        let bucket = self.bucket(self.stored_hash(rec));
        loop {
            let next = self.w(base + NEXT).load(Acquire);
            // Asked after the link was read: if the record is reused from here on, its link changes and the CAS fails.
            let meta = Meta(self.w(base + META).load(Acquire));
            if meta.version() != dead.version() || meta.state() != State::Dead {
                return;
            }
            if Link(next).marked()
                || self.w(base + NEXT).compare_exchange(next, Link(next).mark().0, AcqRel, Relaxed).is_ok()
            {
                break;
            }
        }
        self.walk(bucket, Want::End);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_parts() {
        let m = Meta(Meta::new(5, State::Live).0 + 3 * Meta::one(1) + Meta::one(2));
        assert_eq!((m.version(), m.state(), m.refs(), m.used()), (5, State::Live, 4, true));
        let m = Meta(m.with(State::Dead).0 & !Meta::field(1));
        assert_eq!((m.version(), m.state(), m.refs(), m.unused().used()), (5, State::Dead, 1, false));
        assert!(Meta(Meta::field(0)).full(0) && !Meta(Meta::field(0)).full(1));
        assert_eq!(Meta::new(255, State::Free).next(State::Building).version(), 0);
        let t = Touched::new(77, SLABS_MAX - 1);
        assert_eq!((t.ms(), t.owner(), t.at(78).owner()), (77, Some(SLABS_MAX - 1), Some(SLABS_MAX - 1)));
        assert_eq!((t.at(78).ms(), t.owned_by(3).owner(), t.owned_by(3).ms()), (78, Some(3), 77));
        assert_eq!((Touched(0).owner(), Touched::new(u64::MAX, 0).owner()), (None, Some(0)));
        let l = Link(u64::MAX).lead(Some(9));
        assert_eq!((l.record(), l.marked()), (Some(9), false));
        assert_eq!(l.mark().record(), Some(9));
        assert_ne!(l.lead(Some(9)), l);
    }
}
