//! What processes that are gone, and threads that gave their slabs up, left in a table: found and taken over.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::index::{State, Touched, Want};
use super::schema::TOUCHED;
use super::slab::{GIVEN, NEWEST, OLDEST, OWNED, OWNER, USED, WANTED, WORDS, ZOMBIES};
use super::table::{Table, Writer};

impl Table {
    /// Whether there is anything for [`Writer::adopt`].
    pub fn has_orphans(&self, dead: impl Fn(u32) -> bool) -> bool {
        let slab = |s: usize, word: usize| self.w(self.slab(s) + word).load(Relaxed);
        self.members().any(&dead)
            || (0..self.slabs()).any(|s| match slab(s, OWNER) {
                0 => slab(s, OWNED) > 0,
                owner => dead((owner >> 32) as u32),
            })
    }

    /// Slabs that nobody owns.
    pub(super) fn free_slabs(&self) -> usize {
        (0..self.slabs()).filter(|s| self.w(self.slab(*s) + OWNER).load(Relaxed) == 0).count()
    }
}

impl Writer {
    /// Take over from processes that are gone, as `dead` says of their ids, and from threads that gave their slabs up.
    /// Entries that are whole stay; what was left half done is undone; uses and current connections that the processes
    /// counted are given back; every record finds its way back. Others may use the table meanwhile, and whoever adopts
    /// may be killed as well: the next one goes on. Takes time in proportion to the table's size, and memory; not for
    /// the hot path. Gives the number of entries that were taken over.
    pub fn adopt(&self, dead: impl Fn(u32) -> bool) -> usize {
        let t = &*self.table;
        let mut taken = vec![false; t.slabs()];
        for (s, taken) in taken.iter_mut().enumerate().filter(|(s, _)| *s != self.slab) {
            let word = t.w(t.slab(s) + OWNER);
            let owner = word.load(Acquire);
            let gone = owner == 0 || dead((owner >> 32) as u32);
            // Ours until it is empty: should we die in between, our successor goes on.
            *taken = gone && word.compare_exchange(owner, self.owner, AcqRel, Relaxed).is_ok();
        }
        let slabs = || taken.iter().enumerate().filter(|(_, taken)| **taken).map(|(s, _)| s);
        self.take_gift(usize::MAX);
        for s in slabs() {
            for other in 0..t.slabs() {
                let wanted = t.w(t.slab(other) + WANTED);
                let _ = wanted.compare_exchange(s as u64 + 1, 0, AcqRel, Relaxed);
            }
            self.accept(s, usize::MAX);
        }
        let parts = t.take_parts((self.owner >> 32) as u32, &dead);
        let mut entries = self.own_list();
        let before = entries.len();
        for rec in 0..t.records_ever() {
            t.give_back(rec, &parts);
            match t.touched(rec).owner() {
                None => drop(self.mark_own(rec)),
                Some(s) if taken[s] => self.take_over(rec, s, &mut entries),
                Some(s) if s == self.slab => {
                    let meta = self.meta(rec);
                    if meta.state() == State::Building && !meta.used() {
                        self.settle_abandoned(rec, meta);
                    }
                }
                Some(_) => (),
            }
        }
        entries.sort_by_key(|(touched, _)| *touched);
        self.given.set(None);
        for word in [OLDEST, NEWEST, USED, ZOMBIES] {
            self.set(word, 0);
        }
        for (touched, rec) in &entries {
            self.append(*rec, *touched as u32);
            // Others may remove it meanwhile, and say so: then there are less than that, and `collect` finds out.
            if self.meta(*rec).state() == State::Dead {
                t.count_dead(*rec, 1);
            }
        }
        for s in slabs() {
            // A gift that came after all stays for the next owner.
            for word in (1..WORDS).filter(|w| *w != GIVEN) {
                t.w(t.slab(s) + word).store(0, Relaxed);
            }
            t.w(t.slab(s) + OWNER).store(0, Release);
        }
        t.free_parts(&parts);
        entries.len() - before
    }

    /// Our entries, with their last use.
    pub(super) fn own_list(&self) -> Vec<(u64, u32)> {
        let mut list = Vec::new();
        let mut at = self.oldest();
        while let Some(rec) = at {
            list.push((self.touched(rec), rec));
            at = self.links(rec).1;
        }
        list
    }

    pub(super) fn touched(&self, rec: u32) -> u64 {
        self.table.touched(rec).ms()
    }

    /// Take over a record of a slab that is ours now.
    fn take_over(&self, rec: u32, from: usize, entries: &mut Vec<(u64, u32)>) {
        let t = &*self.table;
        let base = t.record(rec);
        let meta = self.meta(rec);
        let linked = meta.is_whole()
            && t.walk(t.bucket(t.stored_hash(rec)), Want::Record(rec)).hit.is_some_and(|(r, _)| r == rec);
        // Others may note uses meanwhile; and it may be on its way to another slab, whose owner is faster.
        let mine =
            |w: u64| Some(Touched(w)).filter(|t| t.owner() == Some(from)).map(|t| t.owned_by(self.slab).0);
        if t.w(base + TOUCHED).fetch_update(AcqRel, Acquire, mine).is_err() {
            return;
        }
        self.set(OWNED, self.get(OWNED) + 1);
        if meta.state() == State::Free {
            return self.push_free(rec);
        }
        if meta.state() == State::Dead {
            t.unlink(rec, meta);
        }
        // What is in use there is being filled by another thread.
        let lost = meta.state() == State::Building && !meta.used() && !linked;
        if (lost || meta.state() == State::Dead) && self.set_free(rec, meta) {
            return self.push_free(rec);
        }
        if linked {
            t.promote(base, self.meta(rec));
        }
        entries.push((self.touched(rec), rec));
    }
}
