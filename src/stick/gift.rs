//! How records change hands: a slab that has none asks the one that owns most, and who leaves, or has adopted what
//! others left, spreads its entries over the slabs of those who stay.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::base::time::Mono;

use super::index::{State, Touched};
use super::schema::TOUCHED;
use super::slab::{GIVEN, LENT, OWNED, OWNER, USED, WANTED, ZOMBIES};
use super::table::Writer;

/// Records that are handed over to one that asked, at most.
const GIFT: u64 = 64;

impl Writer {
    /// Ask the slab that owns most for records.
    pub(super) fn ask(&self) {
        let t = &*self.table;
        let me = self.slab as u64 + 1;
        if let Some(s) = self.asked.get()
            && t.w(t.slab(s) + WANTED).load(Relaxed) == me
        {
            return;
        }
        // Nobody answers for a slab without an owner.
        let answers = |s: &usize| *s != self.slab && t.w(t.slab(*s) + OWNER).load(Relaxed) != 0;
        let owned = |s: usize| t.w(t.slab(s) + OWNED).load(Relaxed);
        let richest = (0..t.slabs()).filter(answers).max_by_key(|s| owned(*s));
        if let Some(s) = richest.filter(|s| owned(*s) > 0)
            && t.w(t.slab(s) + WANTED).compare_exchange(0, me, AcqRel, Relaxed).is_ok()
        {
            self.asked.set(Some(s));
        }
    }

    /// Hand over records to a slab that asked: free ones, else the oldest. In a small table free ones only: whoever
    /// needs others can fill them in place.
    pub(super) fn give(&self, now: Mono) {
        let t = &*self.table;
        let Some(to) = (self.get(WANTED) as usize).checked_sub(1) else { return };
        let given = t.w(t.slab(to) + GIVEN);
        if given.load(Acquire) == 0 && self.get(OWNED) > 0 {
            let small = self.share() == 0;
            if !small {
                self.collect(now);
            }
            let mut first: Option<u32> = None;
            let mut n = 0;
            for _ in 0..(self.get(OWNED) / 4).clamp(1, GIFT) {
                let purged = |w: &Writer| !small && !t.schema().nopurge && w.purge();
                let Some(rec) = self.pop_free().or_else(|| purged(self).then(|| self.pop_free()).flatten())
                else {
                    break;
                };
                self.set_links(rec, None, first);
                first = Some(rec);
                n += 1;
            }
            if self.publish(to, first) {
                self.set(OWNED, self.get(OWNED) - n);
            } else {
                self.unchain(first);
            }
        }
        t.w(t.slab(self.slab) + WANTED).store(0, Release);
    }

    /// Offer a chain to a slab. False when it has another one.
    fn publish(&self, to: usize, first: Option<u32>) -> bool {
        let t = &*self.table;
        let from = (self.slab as u64 + 1) << 32;
        let chain = first.map_or(0, |r| from | (u64::from(r) + 1));
        t.w(t.slab(to) + GIVEN).compare_exchange(0, chain, AcqRel, Relaxed).is_ok()
    }

    /// Take back a chain that was not published.
    fn unchain(&self, first: Option<u32>) {
        let mut at = first;
        while let Some(rec) = at {
            at = self.links(rec).1;
            self.place(rec);
        }
    }

    /// Into the list where a record of ours belongs.
    fn place(&self, rec: u32) {
        match self.meta(rec).state() {
            State::Free => self.push_free(rec),
            _ => self.append_given(rec),
        }
    }

    /// Give what this slab owns to the slabs of a process, up to `max` records to each, entries with what is in them,
    /// the longest unused first. For who leaves, and who has adopted. Gives the number of records that are left or on
    /// their way.
    pub fn hand_out(&self, process: u32, max: usize) -> u64 {
        let t = &*self.table;
        let theirs =
            |s: &usize| *s != self.slab && (t.w(t.slab(*s) + OWNER).load(Relaxed) >> 32) as u32 == process;
        let all: Vec<usize> = (0..t.slabs()).filter(theirs).collect();
        let idle = |s: &usize| t.w(t.slab(*s) + GIVEN).load(Acquire) == 0;
        let mut to: Vec<usize> = all.into_iter().filter(idle).collect();
        // Who owns least comes first when there are few.
        to.sort_by_key(|s| t.w(t.slab(*s) + OWNED).load(Relaxed));
        let share = (self.get(OWNED) as usize).div_ceil(to.len().max(1)).min(max);
        let mut chains = vec![(None, None, 0, 0); to.len()];
        'full: for _ in 0..share {
            // Dealt one by one, so that old and young entries spread.
            for chain in &mut chains {
                let Some((rec, is_entry)) = self.pop_any() else { break 'full };
                self.set_links(rec, None, None);
                match chain.1 {
                    Some(last) => self.set_links(last, None, Some(rec)),
                    None => chain.0 = Some(rec),
                }
                chain.1 = Some(rec);
                chain.2 += 1;
                chain.3 += u64::from(is_entry);
            }
        }
        let lent = t.w(t.slab(self.slab) + LENT);
        for (slab, (first, _, records, entries)) in to.into_iter().zip(chains) {
            lent.fetch_add(entries, Relaxed);
            if self.publish(slab, first) {
                self.set(OWNED, self.get(OWNED) - records);
            } else {
                lent.fetch_sub(entries, Relaxed);
                self.unchain(first);
            }
        }
        self.owned()
    }

    /// Entries in its list, dead ones included.
    pub(super) fn entries(&self) -> usize {
        self.get(USED) as usize
    }

    /// Records that it owns, or that are on their way from it.
    pub fn owned(&self) -> u64 {
        let lent = self.table.w(self.table.slab(self.slab) + LENT).load(Relaxed);
        self.get(OWNED) + (lent as i64).max(0) as u64
    }

    /// The entry that was queued first, else a free record.
    fn pop_any(&self) -> Option<(u32, bool)> {
        while let Some(rec) = self.oldest() {
            let meta = self.meta(rec);
            if meta.state() != State::Dead {
                self.detach(rec);
                return Some((rec, true));
            }
            self.reap(rec, meta);
        }
        self.pop_free().map(|rec| (rec, false))
    }

    /// A given record is ours now.
    fn keep_given(&self, rec: u32, giver: usize) {
        let t = &*self.table;
        self.set(OWNED, self.get(OWNED) + 1);
        let state = self.meta(rec).state();
        if state != State::Free {
            t.w(t.slab(giver) + LENT).fetch_sub(1, Relaxed);
        }
        if state == State::Dead {
            // Whoever killed it counted it there, as a rule.
            t.w(t.slab(giver) + ZOMBIES).fetch_sub(1, Relaxed);
            t.w(t.slab(self.slab) + ZOMBIES).fetch_add(1, Relaxed);
        }
        self.place(rec);
    }

    /// Take up to `max` records that were given to us.
    pub(super) fn take_gift(&self, max: usize) {
        if self.get(GIVEN) != 0 {
            self.accept(self.slab, max);
        }
    }

    /// Take the records that were given to a slab, ours or that of an owner who is gone.
    pub(super) fn accept(&self, slab: usize, max: usize) {
        let t = &*self.table;
        let given = t.w(t.slab(slab) + GIVEN);
        for _ in 0..max {
            let chain = given.load(Acquire);
            let (Some(rec), Some(giver)) = ((chain as u32).checked_sub(1), (chain >> 32).checked_sub(1))
            else {
                return;
            };
            let rest = self.links(rec).1.map_or(0, |r| chain >> 32 << 32 | (u64::from(r) + 1));
            let word = t.w(t.record(rec) + TOUCHED);
            // Others may note uses of it meanwhile.
            let mine = |w: u64| {
                let from_giver = Some(Touched(w)).filter(|t| t.owner() == Some(giver as usize));
                from_giver.map(|t| t.owned_by(self.slab).0)
            };
            let before = word.fetch_update(AcqRel, Acquire, mine);
            let ours = before.is_ok();
            if before.is_err_and(|w| Touched(w).owner() != Some(slab)) {
                // The giver died, and somebody adopts its records: the others of the chain as well.
                let _ = given.compare_exchange(chain, 0, AcqRel, Relaxed);
                return;
            }
            // Accepted before the owner of the slab died: found among its records.
            let moved = given.compare_exchange(chain, rest, AcqRel, Relaxed).is_ok();
            if ours {
                self.keep_given(rec, giver as usize);
            }
            if !moved {
                return;
            }
        }
    }
}
