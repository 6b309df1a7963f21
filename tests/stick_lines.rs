//! How many cache lines that other threads use an operation on a stick table writes: counted, with the sources themselves
//! over words that note each write. What this says holds for any number of threads.

#![allow(dead_code, unused_imports)]

mod base {
    pub mod time {
        pub use haring::base::time::Mono;
    }
}

mod sys {
    pub mod memfd {
        use std::io;
        use std::os::fd::{BorrowedFd, OwnedFd};

        use crate::counted::AtomicU64;

        #[derive(Debug)]
        pub struct Segment {
            words: Vec<AtomicU64>,
        }

        impl Segment {
            pub fn new(_: &str, words: usize) -> io::Result<Segment> {
                Ok(Segment { words: (0..words).map(AtomicU64::new).collect() })
            }
            pub fn map(_: OwnedFd) -> io::Result<Segment> {
                Err(io::ErrorKind::Unsupported.into())
            }
            pub fn words(&self) -> &[AtomicU64] {
                &self.words
            }
            pub fn fd(&self) -> BorrowedFd<'_> {
                unreachable!("nothing is handed over")
            }
        }
    }
}

/// Atomic words that note in which line of 64 bytes they were written.
mod counted {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::sync::atomic::{self, Ordering};

    thread_local! {
        static WRITTEN: RefCell<BTreeSet<usize>> = const { RefCell::new(BTreeSet::new()) };
    }

    /// The lines that were written since this was asked last.
    pub fn written() -> Vec<usize> {
        WRITTEN.with_borrow_mut(|w| std::mem::take(w).into_iter().collect())
    }

    #[derive(Debug)]
    pub struct AtomicU64 {
        at: usize,
        word: atomic::AtomicU64,
    }

    type Exchanged = Result<u64, u64>;

    impl AtomicU64 {
        /// The word at that place of the segment.
        pub fn new(at: usize) -> AtomicU64 {
            AtomicU64 { at, word: atomic::AtomicU64::new(0) }
        }
        fn note(&self) -> &atomic::AtomicU64 {
            WRITTEN.with_borrow_mut(|w| w.insert(self.at / 8));
            &self.word
        }
        pub fn load(&self, o: Ordering) -> u64 {
            self.word.load(o)
        }
        pub fn store(&self, v: u64, o: Ordering) {
            self.note().store(v, o);
        }
        pub fn swap(&self, v: u64, o: Ordering) -> u64 {
            self.note().swap(v, o)
        }
        pub fn fetch_add(&self, v: u64, o: Ordering) -> u64 {
            self.note().fetch_add(v, o)
        }
        pub fn fetch_sub(&self, v: u64, o: Ordering) -> u64 {
            self.note().fetch_sub(v, o)
        }
        pub fn fetch_and(&self, v: u64, o: Ordering) -> u64 {
            self.note().fetch_and(v, o)
        }
        pub fn fetch_min(&self, v: u64, o: Ordering) -> u64 {
            self.note().fetch_min(v, o)
        }
        pub fn compare_exchange(&self, a: u64, b: u64, o: Ordering, p: Ordering) -> Exchanged {
            self.note().compare_exchange(a, b, o, p)
        }
        pub fn compare_exchange_weak(&self, a: u64, b: u64, o: Ordering, p: Ordering) -> Exchanged {
            self.note().compare_exchange(a, b, o, p)
        }
        pub fn fetch_update(&self, o: Ordering, p: Ordering, f: impl Fn(u64) -> Option<u64>) -> Exchanged {
            match f(self.word.load(p)) {
                Some(_) => self.note().fetch_update(o, p, f),
                None => Err(self.word.load(p)),
            }
        }
    }
}

#[path = "."]
mod stick {
    #[path = "../src/stick/adopt.rs"]
    mod adopt;
    #[path = "../src/stick/current.rs"]
    mod current;
    #[path = "../src/stick/data.rs"]
    mod data;
    #[path = "../src/stick/gift.rs"]
    mod gift;
    #[path = "../src/stick/index.rs"]
    mod index;
    #[path = "../src/stick/key.rs"]
    mod key;
    #[path = "../src/stick/members.rs"]
    mod members;
    #[path = "../src/stick/schema.rs"]
    mod schema;
    #[path = "../src/stick/slab.rs"]
    mod slab;
    #[path = "../src/stick/table.rs"]
    mod table;

    pub use data::{DataClass, DataType, Slot};
    pub use key::{Key, KeyType};
    pub use schema::{DataDef, Schema, SchemaError};
    pub use table::{Entry, EntryId, Table, Writer};

    mod atomics {
        pub use crate::counted::AtomicU64;
        pub use std::sync::atomic::fence;

        pub fn seed() -> u64 {
            7
        }
    }

    pub struct RateParts {
        pub elapsed_ms: u32,
        pub current: u32,
        pub previous: u32,
    }

    /// Nothing replicates here.
    #[derive(Debug)]
    pub struct Changes;

    impl Changes {
        pub fn mark(&self, _: u32) {}
    }

    mod rate {
        use super::RateParts;
        use super::atomics::AtomicU64;
        use std::sync::atomic::Ordering::Relaxed;

        /// Writes as the real one does: one of the two words.
        pub fn add(words: &[AtomicU64], _: u32, _: u32, n: u64) -> u64 {
            words[0].fetch_add(n, Relaxed)
        }
        pub fn read(words: &[AtomicU64], _: u32, _: u32) -> u64 {
            words[0].load(Relaxed)
        }
        pub fn set(_: &[AtomicU64], _: u32, _: u32, _: RateParts) {}
    }
}

use std::sync::Arc;

use base::time::Mono;
use counted::written;
use stick::*;

fn at(ms: u64) -> Mono {
    Mono((1000 + ms) * 1_000_000)
}

#[test]
fn operations_write_the_lines_of_their_entry_only() {
    let mut s = Schema::new(KeyType::Ip, 4096);
    s.expire_ms = Some(1000);
    for data in [DataDef::plain(DataType::Gpc0), DataDef::rate(DataType::HttpReqRate, 1000)] {
        s.store(data).expect("stored once");
    }
    let slots = [DataType::Gpc0, DataType::HttpReqRate].map(|d| s.slot(d, 0).expect("stored"));
    let t = Arc::new(Table::create("lines", s, 64).expect("memory"));
    let w = Writer::claim(&t, 1, 0).expect("a slab is free");
    for k in 0..5000u32 {
        drop(w.get_or_insert(k.into(), at(0)));
    }
    w.maintain(at(0), 1);
    let keys: Vec<u32> = (0..5000).filter(|k| t.read((*k).into(), slots[0], at(0)).is_some()).collect();
    assert_eq!(keys.len(), 4096);
    let per_entry = t.schema().entry_bytes().div_ceil(64) + 1;
    let (mut most, mut seen) = (0, std::collections::HashMap::new());
    written();
    for k in &keys {
        let key: Key<'_> = (*k).into();
        t.read(key, slots[0], at(1));
        assert_eq!(written(), [0usize; 0], "a look writes nothing");
        drop(t.get(key, at(1)));
        assert_eq!(written().len(), 1, "a use is counted in the entry's first word");
        let entry = w.get_or_insert(key, at(2)).expect("it is there");
        for slot in slots {
            entry.add(slot, 1, at(2));
        }
        entry.touch(at(2));
        drop(entry);
        let lines = written();
        most = most.max(lines.len());
        for line in lines {
            *seen.entry(line).or_insert(0) += 1;
        }
    }
    assert!(most <= per_entry, "an update wrote {most} lines");
    // No line that all updates have in common: only neighbours in memory share one.
    assert!(seen.values().all(|n| *n <= 2), "updates of distinct keys write the same line");
}

#[test]
fn inserts_write_lines_of_their_own_thread_the_bucket_and_the_records() {
    let t = Arc::new(Table::create("lines", Schema::new(KeyType::Ip, 4096), 8).expect("memory"));
    let w = Writer::claim(&t, 1, 0).expect("a slab is free");
    (0..4096u32).for_each(|k| drop(w.get_or_insert(k.into(), at(u64::from(k)))));
    written();
    let mut all = 0;
    for k in 5000..6000u32 {
        drop(w.get_or_insert(k.into(), at(u64::from(k))));
        all += written().len();
    }
    // Purging one and making another: two lines of the slab, two buckets or links, the record, its neighbours in the
    // lists by age.
    assert!(all <= 1000 * 9, "{all} lines for 1000 inserts into a full table");
}
