//! The processes that use a table, and their parts of its counts (uses of entries, `conn_cur`).
//!
//! As long as there are parts, each process has its own, so that what a killed one counted can be taken back at once and
//! exactly. Those that come when there is none share the part of another one: as its guests. What one of them leaves
//! when it is killed stays until all that share the part are gone. A part's first process may end before its guests:
//! one of those stands for it then.

use std::sync::atomic::Ordering::SeqCst;

use super::index::PROCESSES;
use super::table::{H_GUESTS, H_PROCESSES, OpenError, Table};

/// Processes that share parts with others at most: far more than any machine starts while old ones finish.
pub(super) const GUESTS: usize = 64;
/// Marks a process in the list whose part the named one gives back.
const GIVES_BACK: u64 = 1 << 32;

/// A guest: its id, and its part, from 1.
fn guest(process: u32, part: usize) -> u64 {
    u64::from(process) | (part as u64 + 1) << 32
}

impl Table {
    fn member(&self, part: usize) -> u64 {
        self.w(H_PROCESSES + part).load(SeqCst)
    }

    fn replace(&self, at: usize, old: u64, new: u64) -> bool {
        self.w(at).compare_exchange(old, new, SeqCst, SeqCst).is_ok()
    }

    /// Guests, all of them or those of one part: the word, and what it says.
    fn guests(&self, part: Option<usize>) -> impl Iterator<Item = (usize, u64)> + '_ {
        let all = (H_GUESTS..H_GUESTS + GUESTS).map(|at| (at, self.w(at).load(SeqCst)));
        all.filter(move |(_, g)| *g != 0 && part.is_none_or(|p| *g >> 32 == p as u64 + 1))
    }

    /// The ids of all processes that use it.
    pub(super) fn members(&self) -> impl Iterator<Item = u32> + '_ {
        let parts = (0..PROCESSES).map(|p| self.member(p));
        parts.chain(self.guests(None).map(|(_, g)| g)).map(|id| id as u32).filter(|id| *id != 0)
    }

    /// A part for a process: one that nobody has, else that of one that is gone (what it counted is given back, which takes
    /// time in proportion to the table's size), else one that is shared.
    pub(super) fn join(&self, process: u32, dead: impl Fn(u32) -> bool) -> Result<usize, OpenError> {
        let own = u64::from(process);
        let take = |p: &usize, old: u64| self.replace(H_PROCESSES + p, old, own);
        let free = |p: &usize| self.member(*p) == own || take(p, 0);
        if let Some(part) = (0..PROCESSES).find(free) {
            return Ok(part);
        }
        let shared = |p: usize| self.guests(Some(p)).any(|(_, g)| !dead(g as u32));
        let mark = own | GIVES_BACK;
        let gone = |p: &usize| {
            let id = self.member(*p);
            dead(id as u32) && !shared(*p) && self.replace(H_PROCESSES + p, id, mark)
        };
        if let Some(part) = (0..PROCESSES).find(gone) {
            // Somebody may have come as its guest meanwhile.
            if !shared(part) {
                (0..self.records_ever()).for_each(|rec| self.give_back(rec, &[part]));
            }
            self.replace(H_PROCESSES + part, mark, own);
            return Ok(part);
        }
        for _ in 0..GUESTS {
            let hosts = (0..PROCESSES).map(|p| (p, self.member(p)));
            let host = hosts
                .filter(|(_, id)| id & GIVES_BACK == 0)
                .min_by_key(|(p, _)| self.guests(Some(*p)).count());
            let Some((part, id)) = host else { continue };
            let me = guest(process, part);
            let Some(at) = (H_GUESTS..H_GUESTS + GUESTS).find(|at| self.replace(*at, 0, me)) else { break };
            // Who gives a part back looks for guests after it has marked it: one of us sees the other.
            if self.member(part) == id {
                return Ok(part);
            }
            self.replace(at, me, 0);
        }
        Err(OpenError::Busy)
    }

    /// This process has counted nothing in it, and will not.
    pub(super) fn leave(&self, process: u32) {
        self.replace(H_PROCESSES + self.process(), process.into(), 0);
        let me = guest(process, self.process());
        for (at, g) in self.guests(Some(self.process())).filter(|(_, g)| *g == me) {
            self.replace(at, g, 0);
        }
    }

    /// For the process `own`: parts whose processes are all gone, marked, so that nobody begins to count in one while it
    /// is given back. Parts that are shared with somebody who lives get another first process.
    pub(super) fn take_parts(&self, own: u32, dead: impl Fn(u32) -> bool) -> Vec<usize> {
        for (at, g) in self.guests(None).filter(|(_, g)| dead(*g as u32)) {
            self.replace(at, g, 0);
        }
        let taken = (0..PROCESSES).filter(|p| {
            let (at, id) = (H_PROCESSES + p, self.member(*p));
            let mark = u64::from(own) | GIVES_BACK;
            if id == 0 || !dead(id as u32) || !self.replace(at, id, mark) {
                return false;
            }
            let Some((place, g)) = self.guests(Some(*p)).next() else { return true };
            // In this order: should we be killed in between, it is there twice, which harms nobody.
            self.replace(at, mark, g & u64::from(u32::MAX));
            self.replace(place, g, 0);
            false
        });
        taken.collect()
    }

    /// They are given back.
    pub(super) fn free_parts(&self, parts: &[usize]) {
        parts.iter().for_each(|p| self.w(H_PROCESSES + p).store(0, SeqCst));
    }
}
