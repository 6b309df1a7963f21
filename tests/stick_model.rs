//! The index and the records of stick tables under a model checker: the sources themselves, with loom's atomics in place
//! of the machine's, in tables of one to three records, with every order of steps that up to `HARING_PREEMPTIONS`
//! (2 unless set) interruptions give, and with every value that a load may see under its ordering.

#![allow(dead_code, unused_imports)]

mod base {
    pub mod time {
        pub use haring::base::time::Mono;
    }
}

mod sys {
    /// Memory of loom's words; nothing is mapped.
    pub mod memfd {
        use std::io;
        use std::os::fd::{BorrowedFd, OwnedFd};

        use loom::sync::atomic::AtomicU64;

        #[derive(Debug)]
        pub struct Segment {
            words: Vec<AtomicU64>,
        }

        impl Segment {
            pub fn new(_: &str, words: usize) -> io::Result<Segment> {
                Ok(Segment { words: (0..words).map(|_| AtomicU64::new(0)).collect() })
            }
            pub fn map(_: OwnedFd) -> io::Result<Segment> {
                Err(io::ErrorKind::Unsupported.into())
            }
            pub fn words(&self) -> &[AtomicU64] {
                &self.words
            }
            pub fn fd(&self) -> BorrowedFd<'_> {
                unreachable!("the model hands nothing over")
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
        pub use loom::sync::atomic::{AtomicU64, fence};

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

    /// Rates have no part in the protocol.
    mod rate {
        use super::RateParts;
        use super::atomics::AtomicU64;

        pub fn add(_: &[AtomicU64], _: u32, _: u32, _: u64) -> u64 {
            0
        }
        pub fn read(_: &[AtomicU64], _: u32, _: u32) -> u64 {
            0
        }
        pub fn set(_: &[AtomicU64], _: u32, _: u32, _: RateParts) {}
    }
}

use std::sync::Arc;

use base::time::Mono;
use loom::thread;
use stick::*;

const NOW: Mono = Mono(5_000_000_000);

fn later(ms: u64) -> Mono {
    Mono(NOW.0 + ms * 1_000_000)
}

fn check(f: impl Fn() + Send + Sync + 'static) {
    check_less(0, f);
}

/// With so many interruptions less, for what takes minutes otherwise.
fn check_less(by: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    let bound: Option<usize> = std::env::var("HARING_PREEMPTIONS").ok().and_then(|n| n.parse().ok());
    model.preemption_bound = Some(bound.unwrap_or(2).saturating_sub(by));
    model.max_branches = 100_000;
    model.check(f);
}

fn table(size: u32, slabs: usize, expire_ms: Option<u64>) -> (Arc<Table>, Slot) {
    let mut s = Schema::new(KeyType::Integer, size);
    s.expire_ms = expire_ms;
    s.store(DataDef::plain(DataType::Gpc0)).expect("the first one");
    let slot = s.slot(DataType::Gpc0, 0).expect("stored");
    (Arc::new(Table::create("model", s, slabs).expect("no system call")), slot)
}

fn writer(t: &Arc<Table>, thread: u32) -> Writer {
    Writer::claim(t, 1, thread).expect("there are enough slabs")
}

fn keys(t: &Table) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    t.each(NOW, |e| {
        out.push((u32::from_be_bytes(e.key()[..4].try_into().expect("four bytes")), e.uses()));
        true
    });
    out.sort_unstable();
    out
}

#[test]
fn a_key_that_two_insert_is_there_once() {
    check(|| {
        let (t, slot) = table(2, 2, None);
        let (a, b) = (writer(&t, 0), writer(&t, 1));
        let other = thread::spawn(move || {
            b.get_or_insert(1.into(), NOW).expect("there is room").add(slot, 1, NOW);
        });
        a.get_or_insert(1.into(), NOW).expect("there is room").add(slot, 1, NOW);
        other.join().expect("no panic");
        assert_eq!((keys(&t), t.read(1.into(), slot, NOW)), (vec![(1, 0)], Some(2)));
    });
}

#[test]
fn neighbours_in_a_bucket_come_and_go() {
    check(|| {
        let (t, slot) = table(2, 2, None);
        let (a, b) = (writer(&t, 0), writer(&t, 1));
        drop(a.get_or_insert(1.into(), NOW));
        let (t2, t3) = (t.clone(), t.clone());
        let remover = thread::spawn(move || t2.remove(1.into()));
        let inserter = thread::spawn(move || drop(b.get_or_insert(3.into(), NOW).expect("there is room")));
        assert_ne!(t3.read(3.into(), slot, NOW), Some(1));
        inserter.join().expect("no panic");
        assert!(remover.join().expect("no panic"));
        assert_eq!(keys(&t), [(3, 0)]);
        drop(a);
    });
}

#[test]
fn what_is_in_use_is_not_removed() {
    check(|| {
        let (t, slot) = table(1, 1, None);
        let a = writer(&t, 0);
        drop(a.get_or_insert(1.into(), NOW));
        let t2 = t.clone();
        let remover = thread::spawn(move || t2.remove(1.into()));
        let counted = t.get(1.into(), NOW).map(|e| {
            let before = e.get(slot, NOW);
            e.add(slot, 1, NOW) - before
        });
        let removed = remover.join().expect("no panic");
        assert!(removed || counted == Some(1), "either it was removed, or it was in use");
        assert_eq!(keys(&t).len(), usize::from(!removed));
        // Its record is whole again.
        assert_eq!(a.get_or_insert(2.into(), NOW).expect("there is room").get(slot, NOW), 0);
    });
}

/// The only record goes to another key while somebody reads the first one.
#[test]
fn a_purged_record_does_not_show_through() {
    check(|| {
        let (t, slot) = table(1, 1, None);
        let a = writer(&t, 0);
        a.get_or_insert(1.into(), NOW).expect("there is room").set(slot, 10, NOW);
        let t2 = t.clone();
        let reader = thread::spawn(move || {
            let read = t2.read(1.into(), slot, NOW);
            assert!(read.is_none() || read == Some(10), "torn: {read:?}");
        });
        let e = a.get_or_insert(2.into(), later(1)).expect("nobody uses the other");
        assert_eq!(e.get(slot, later(1)), 0);
        e.set(slot, 20, later(1));
        reader.join().expect("no panic");
    });
}

/// The same while somebody counts on the first one.
#[test]
fn nobody_counts_on_another_key() {
    check(|| {
        let (t, slot) = table(1, 1, None);
        let a = writer(&t, 0);
        drop(a.get_or_insert(1.into(), NOW));
        let t2 = t.clone();
        let user = thread::spawn(move || t2.get(1.into(), NOW).map(|e| e.add(slot, 1, NOW)));
        let made = a.get_or_insert(2.into(), later(1)).map(|e| e.add(slot, 1, NOW));
        let used = user.join().expect("no panic");
        assert!(made.is_none_or(|n| n == 1) && used.is_none_or(|n| n == 1), "{made:?} {used:?}");
        assert!(made.is_some() || used.is_some(), "somebody was first");
        assert_eq!(keys(&t), [(if made.is_some() { 2 } else { 1 }, 0)]);
    });
}

#[test]
fn expired_ones_are_replaced_once() {
    check(|| {
        let (t, slot) = table(3, 2, Some(10));
        let (a, b) = (writer(&t, 0), writer(&t, 1));
        a.get_or_insert(1.into(), NOW).expect("there is room").set(slot, 10, NOW);
        let t2 = t.clone();
        let other = thread::spawn(move || {
            b.get_or_insert(1.into(), later(20)).expect("there is room").add(slot, 1, later(20));
        });
        a.maintain(later(20), 4);
        other.join().expect("no panic");
        assert_eq!(t2.read(1.into(), slot, later(20)), Some(1));
        assert_eq!(keys(&t), [(1, 0)]);
    });
}

#[test]
fn records_that_are_handed_over_are_whole() {
    check(|| {
        let (t, slot) = table(2, 2, None);
        let (a, b) = (writer(&t, 0), writer(&t, 1));
        for k in [1, 2] {
            drop(a.get_or_insert(k.into(), NOW));
        }
        let used = [1, 2].map(|k: u32| a.get_or_insert(k.into(), NOW));
        assert!(b.get_or_insert(3.into(), NOW).is_none(), "nothing is left");
        drop(used);
        let t2 = t.clone();
        let asker = thread::spawn(move || {
            let got = b.get_or_insert(3.into(), later(1)).map(|e| e.add(slot, 1, later(1)));
            (got, b)
        });
        a.maintain(later(1), 4);
        let (got, b) = asker.join().expect("no panic");
        assert!(got.is_none() || got == Some(1));
        let again = b.get_or_insert(3.into(), later(2)).expect("it was given").get(slot, later(2));
        assert_eq!(Some(again), got.or(Some(0)));
        assert_eq!(t2.read(3.into(), slot, later(2)), Some(again));
        assert_eq!(keys(&t2), [(2, 0), (3, 0)]);
    });
}

/// Two that have no record take the same one of a third, which is about to use it as well.
#[test]
fn a_record_is_filled_in_place_by_one() {
    check_less(1, || {
        let (t, slot) = table(1, 2, None);
        let (a, b) = (writer(&t, 0), writer(&t, 1));
        drop(a.get_or_insert(1.into(), NOW));
        let other = thread::spawn(move || b.get_or_insert(2.into(), later(1)).map(|e| e.add(slot, 1, NOW)));
        let mine = a.get_or_insert(3.into(), later(1)).map(|e| e.add(slot, 1, NOW));
        let theirs = other.join().expect("no panic");
        assert!(mine.is_none_or(|n| n == 1) && theirs.is_none_or(|n| n == 1), "{mine:?} {theirs:?}");
        let left = keys(&t);
        assert!(left.len() == 1 && left[0].1 == 0, "{left:?}");
        assert!(if left[0].0 == 3 { mine.is_some() } else { theirs.is_some() }, "{left:?}");
        assert!(a.get_or_insert(4.into(), later(2)).is_some(), "the record is lost");
        assert_eq!((keys(&t), t.used()), (vec![(4, 0)], 1));
    });
}

/// What is filled in place does not show through, and is removed like others.
#[test]
fn a_record_filled_in_place_is_looked_up_and_removed() {
    check(|| {
        let (t, slot) = table(1, 2, None);
        let (a, b) = (writer(&t, 0), writer(&t, 1));
        a.get_or_insert(1.into(), NOW).expect("there is room").set(slot, 10, NOW);
        let t2 = t.clone();
        let other = thread::spawn(move || {
            if let Some(e) = b.get_or_insert(2.into(), later(1)) {
                e.set(slot, 20, NOW);
            }
        });
        let seen = (t.read(1.into(), slot, NOW), t.read(2.into(), slot, NOW));
        assert!(matches!(seen.0, None | Some(10)) && matches!(seen.1, None | Some(0 | 20)), "{seen:?}");
        t2.remove(2.into());
        a.maintain(later(1), 4);
        other.join().expect("no panic");
        assert!(a.get_or_insert(4.into(), later(2)).is_some(), "the record is lost");
        assert_eq!((keys(&t), t.used()), (vec![(4, 0)], 1));
    });
}

/// The owner is gone, and its slab is adopted while another thread fills its record in place.
#[test]
fn adoption_of_what_is_filled_in_place() {
    check(|| {
        let (t, slot) = table(1, 3, None);
        let (a, b, c) = (writer(&t, 0), writer(&t, 1), writer(&t, 2));
        drop(a.get_or_insert(1.into(), NOW));
        drop(a);
        let other = thread::spawn(move || c.get_or_insert(2.into(), later(1)).map(|e| e.add(slot, 1, NOW)));
        b.adopt(|_| false);
        let made = other.join().expect("no panic");
        assert!(made.is_none_or(|n| n == 1), "{made:?}");
        assert_eq!(keys(&t).len(), usize::from(made.is_some()));
        // The count of dead ones may be off by one that died meanwhile, until the next entry is made.
        for k in [5, 6] {
            assert!(b.get_or_insert(k.into(), later(2)).is_some(), "the record is lost");
            assert_eq!(keys(&t), [(k, 0)]);
        }
        assert_eq!(t.used(), 1);
    });
}

/// A slab is given up, and adopted while somebody else uses and removes what is in it.
#[test]
fn adoption_among_others() {
    check(|| {
        let (t, slot) = table(2, 3, None);
        let (a, b) = (writer(&t, 0), writer(&t, 1));
        drop(a.get_or_insert(1.into(), NOW));
        drop(a);
        let t2 = t.clone();
        let user = thread::spawn(move || {
            let used = t2.get(1.into(), NOW).map(|e| e.add(slot, 1, NOW));
            assert!(used.is_none() || used == Some(1));
            t2.remove(1.into())
        });
        b.adopt(|_| false);
        assert!(user.join().expect("no panic"));
        b.maintain(NOW, 4);
        for k in [5, 6] {
            assert!(b.get_or_insert(k.into(), NOW).is_some(), "a record is lost");
        }
        assert_eq!(keys(&t), [(5, 0), (6, 0)]);
    });
}

/// Who leaves hands its entries out, while they are accepted, used, removed, and filled in place by somebody else.
#[test]
fn entries_that_are_handed_out_stay_whole() {
    check(|| {
        let (t, slot) = table(2, 3, None);
        let (a, b) = (writer(&t, 0), Writer::claim(&t, 2, 0).expect("there are enough slabs"));
        a.get_or_insert(1.into(), NOW).expect("there is room").set(slot, 10, NOW);
        drop(a.get_or_insert(2.into(), NOW));
        let t2 = t.clone();
        let other = thread::spawn(move || {
            b.maintain(later(1), 4);
            let used = t2.get(1.into(), later(1)).map(|e| e.add(slot, 1, later(1)));
            let removed = t2.remove(2.into());
            b.maintain(later(1), 4);
            (b, used, removed)
        });
        a.hand_out(2, 8);
        let (b, used, removed) = other.join().expect("no panic");
        assert_eq!((used, removed), (Some(11), true));
        a.hand_out(2, 8);
        b.maintain(later(1), 4);
        assert_eq!((keys(&t), t.read(1.into(), slot, later(1)), t.used()), (vec![(1, 0)], Some(11), 1));
        assert_eq!(a.owned(), 0, "all of it has gone over");
        for k in [5, 6] {
            assert!(b.get_or_insert(k.into(), later(2)).is_some(), "a record is lost");
        }
        assert_eq!((keys(&t), t.used()), (vec![(5, 0), (6, 0)], 2));
    });
}
