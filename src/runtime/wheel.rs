//! A hierarchical timer wheel: 6 levels of 64 slots, a tick is a millisecond.
//!
//! Entries belong to `Timer`s and live in a slab, linked into the slots by index. Moving a deadline to later, or
//! clearing it, is a store: the entry stays where it is linked and is looked at again when that time comes. Timeouts
//! are re-armed on every request and fire almost never, so this is what they cost.

use slab::Slab;

use super::exec::TaskId;
use crate::base::time::Mono;

const LEVELS: usize = 6;
const SLOTS: usize = 64;
const NIL: u32 = u32::MAX;
const UNLINKED: u16 = u16::MAX;
const TICK_NS: u64 = 1_000_000;
/// Ticks that the wheel spans; what lies further is linked at the far end and looked at again there.
const SPAN: u64 = 1 << (6 * LEVELS as u64);

struct Entry {
    deadline: Mono,
    /// Tick at which it is linked.
    tick: u64,
    task: TaskId,
    prev: u32,
    next: u32,
    /// level * 64 + slot, or `UNLINKED`.
    list: u16,
}

/// The timers of one thread.
pub(super) struct Wheel {
    entries: Slab<Entry>,
    heads: [u32; LEVELS * SLOTS],
    occupied: [u64; LEVELS],
    /// Everything up to this tick has fired.
    elapsed: u64,
}

/// First tick that is not before `t`.
fn tick_at(t: Mono) -> u64 {
    t.0.div_ceil(TICK_NS)
}

impl Wheel {
    pub(super) const fn new() -> Wheel {
        Wheel { entries: Slab::new(), heads: [NIL; LEVELS * SLOTS], occupied: [0; LEVELS], elapsed: 0 }
    }

    /// Starts at `now`. Entries left by an earlier run are forgotten.
    pub(super) fn start(&mut self, now: Mono) {
        *self = Wheel { elapsed: now.0 / TICK_NS, ..Wheel::new() };
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn insert(&mut self) -> u32 {
        self.entries.insert(Entry {
            deadline: Mono::NEVER,
            tick: 0,
            task: TaskId::NONE,
            prev: NIL,
            next: NIL,
            list: UNLINKED,
        }) as u32
    }

    pub(super) fn remove(&mut self, key: u32) {
        self.unlink(key);
        self.entries.remove(key as usize);
    }

    pub(super) fn deadline(&self, key: u32) -> Mono {
        self.entries[key as usize].deadline
    }

    pub(super) fn set(&mut self, key: u32, t: Mono) {
        let entry = &mut self.entries[key as usize];
        entry.deadline = t;
        if t == Mono::NEVER || entry.list != UNLINKED && entry.tick <= tick_at(t) {
            return;
        }
        self.unlink(key);
        self.link(key);
    }

    pub(super) fn wait(&mut self, key: u32, task: TaskId) {
        self.entries[key as usize].task = task;
    }

    fn link(&mut self, key: u32) {
        // What is due already fires with the next tick that is processed.
        let wanted = tick_at(self.entries[key as usize].deadline).max(self.elapsed + 1);
        let tick = wanted.min(self.elapsed + SPAN - 1);
        // The level is that of the highest 6-bit digit in which the tick differs from `elapsed`: lower digits
        // are sorted when that digit comes.
        let differing = (tick ^ self.elapsed) | 1;
        let level = ((63 - differing.leading_zeros()) as usize / 6).min(LEVELS - 1);
        let slot = (tick >> (6 * level)) as usize % SLOTS;
        let list = level * SLOTS + slot;
        let head = self.heads[list];
        let entry = &mut self.entries[key as usize];
        entry.tick = tick;
        entry.prev = NIL;
        entry.next = head;
        entry.list = list as u16;
        if head != NIL {
            self.entries[head as usize].prev = key;
        }
        self.heads[list] = key;
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, key: u32) {
        let entry = &mut self.entries[key as usize];
        if entry.list == UNLINKED {
            return;
        }
        let list = usize::from(entry.list);
        let (prev, next) = (entry.prev, entry.next);
        entry.list = UNLINKED;
        if next != NIL {
            self.entries[next as usize].prev = prev;
        }
        if prev != NIL {
            self.entries[prev as usize].next = next;
        } else {
            self.heads[list] = next;
            if next == NIL {
                self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
            }
        }
    }

    /// The first occupied slot: (tick at which to look at it, level, slot).
    fn first(&self) -> Option<(u64, usize, usize)> {
        // Slots of a lower level always come before those of a higher one: they share the higher digits with
        // `elapsed`.
        for (level, &bits) in self.occupied.iter().enumerate() {
            if bits == 0 {
                continue;
            }
            let shift = 6 * level;
            let here = (self.elapsed >> shift) as u32 % SLOTS as u32;
            let distance = bits.rotate_right(here).trailing_zeros();
            let slot = (here + distance) as usize % SLOTS;
            let mut start = ((self.elapsed >> shift) + u64::from(distance)) << shift;
            // Only the top level wraps around within its own slot.
            if start <= self.elapsed && level == LEVELS - 1 && distance == 0 {
                start = ((self.elapsed >> shift) + SLOTS as u64) << shift;
            }
            return Some((start, level, slot));
        }
        None
    }

    /// When to call `advance` next; never later than the first deadline, maybe earlier.
    pub(super) fn next(&self) -> Mono {
        match self.first() {
            Some((tick, ..)) => Mono(tick.saturating_mul(TICK_NS)),
            None => Mono::NEVER,
        }
    }

    /// Fires what is due at `now`.
    pub(super) fn advance(&mut self, now: Mono, mut wake: impl FnMut(TaskId)) {
        let now_tick = now.0 / TICK_NS;
        while let Some((tick, level, slot)) = self.first() {
            if tick > now_tick {
                break;
            }
            self.elapsed = self.elapsed.max(tick);
            let list = level * SLOTS + slot;
            let mut key = std::mem::replace(&mut self.heads[list], NIL);
            self.occupied[level] &= !(1 << slot);
            while key != NIL {
                let entry = &mut self.entries[key as usize];
                let next = entry.next;
                entry.list = UNLINKED;
                if entry.deadline <= now {
                    wake(std::mem::replace(&mut entry.task, TaskId::NONE));
                } else if entry.deadline != Mono::NEVER {
                    self.link(key);
                }
                key = next;
            }
        }
        self.elapsed = self.elapsed.max(now_tick);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Set(usize, u64),
        Clear(usize),
        Remove(usize),
        Advance(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let ns = prop_oneof![0u64..3_000_000, 0u64..200_000_000, 0u64..90_000_000_000, 0..u64::MAX / 400];
        let step = prop_oneof![
            3 => ns.clone().prop_map(Step::Insert),
            3 => (any::<usize>(), ns.clone()).prop_map(|(i, t)| Step::Set(i, t)),
            1 => any::<usize>().prop_map(Step::Clear),
            1 => any::<usize>().prop_map(Step::Remove),
            4 => ns.prop_map(Step::Advance),
        ];
        prop::collection::vec(step, 1..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
        /// Against a plain list of deadlines: everything fires exactly when due (to the tick), `next` is never late.
        #[test]
        fn agrees_with_a_list(start in 0u64..u64::MAX / 8, steps in steps()) {
            let mut now = Mono(start);
            let mut wheel = Wheel::new();
            wheel.start(now);
            let mut naive: BTreeMap<u32, Mono> = BTreeMap::new(); // unfired, by key
            let mut keys: Vec<u32> = Vec::new();
            for step in steps {
                let pick = |i: usize, keys: &Vec<u32>| (!keys.is_empty()).then(|| keys[i % keys.len()]);
                match step {
                    Step::Insert(d) => {
                        let key = wheel.insert();
                        let t = Mono(now.0 + d);
                        wheel.wait(key, TaskId::from_bits(u64::from(key)));
                        wheel.set(key, t);
                        naive.insert(key, t);
                        keys.push(key);
                    }
                    Step::Set(i, d) => if let Some(key) = pick(i, &keys) {
                        let t = Mono(now.0 + d);
                        wheel.wait(key, TaskId::from_bits(u64::from(key)));
                        wheel.set(key, t);
                        naive.insert(key, t);
                    },
                    Step::Clear(i) => if let Some(key) = pick(i, &keys) {
                        wheel.set(key, Mono::NEVER);
                        naive.remove(&key);
                    },
                    Step::Remove(i) => if let Some(key) = pick(i, &keys) {
                        wheel.remove(key);
                        naive.remove(&key);
                        keys.retain(|k| *k != key);
                    },
                    Step::Advance(d) => {
                        now = Mono(now.0 + d);
                        let mut fired = Vec::new();
                        wheel.advance(now, |t| fired.push(t.bits() as u32));
                        fired.retain(|k| *k != u32::MAX);
                        for key in fired {
                            let t = naive.remove(&key);
                            prop_assert!(t.is_some_and(|t| t <= now), "fired early or twice");
                        }
                        for t in naive.values() {
                            prop_assert!(tick_at(*t) > now.0 / TICK_NS, "{t:?} is overdue at {now:?}");
                        }
                    }
                }
                if let Some(first) = naive.values().min() {
                    let latest = Mono(tick_at(*first).max(now.0 / TICK_NS + 1) * TICK_NS);
                    prop_assert!(wheel.next() <= latest, "next {:?} after {latest:?}", wheel.next());
                }
            }
        }
    }
}
