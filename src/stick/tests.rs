mod alloc;
mod crash;

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use proptest::prelude::*;

use super::table::FUEL;
use super::*;
use crate::base::time::Mono;

fn at(ms: u64) -> Mono {
    Mono((1_000_000 + ms) * 1_000_000)
}

fn schema(size: u32) -> Schema {
    let mut s = Schema::new(KeyType::Integer, size);
    s.store(DataDef::plain(DataType::Gpc0)).unwrap();
    s.store(DataDef::rate(DataType::HttpReqRate, 1000)).unwrap();
    s.store(DataDef::plain(DataType::ConnCur)).unwrap();
    s
}

fn table(s: Schema, slabs: usize) -> Arc<Table> {
    Arc::new(Table::create("test", s, slabs).unwrap())
}

fn keys(t: &Table, now: Mono) -> Vec<u32> {
    let mut out = Vec::new();
    t.each(now, |e| {
        out.push(u32::from_be_bytes(e.key()[..4].try_into().unwrap()));
        true
    });
    out.sort_unstable();
    out
}

#[test]
fn finds_what_was_inserted_and_counts() {
    let t = table(schema(100), 2);
    let (a, b) = (Writer::claim(&t, 1, 0).unwrap(), Writer::claim(&t, 1, 1).unwrap());
    assert!(Writer::claim(&t, 1, 2).is_none(), "two slabs only");
    let gpc0 = t.schema().slot(DataType::Gpc0, 0).unwrap();
    let rate = t.schema().slot(DataType::HttpReqRate, 0).unwrap();
    assert!(t.schema().slot(DataType::Gpc1, 0).is_none());
    let now = at(0);
    assert!(t.get(7.into(), now).is_none());
    let e = a.get_or_insert(7.into(), now).unwrap();
    assert_eq!((e.add(gpc0, 2, now), e.add(rate, 5, now), e.uses()), (2, 5, 0));
    let same = b.get_or_insert(7.into(), now).unwrap();
    assert_eq!((same.get(gpc0, now), same.get(rate, now), same.uses()), (2, 5, 1));
    assert_eq!((t.read(7.into(), gpc0, now), t.read(8.into(), gpc0, now)), (Some(2), None));
    assert_eq!(t.used(), 1);
    assert!(!t.remove(7.into()), "in use");
    drop(e);
    let id = same.keep();
    assert!(!t.remove(7.into()), "kept");
    drop(t.resume(id));
    assert!(t.remove(7.into()));
    assert!(t.get(7.into(), now).is_none() && t.used() == 0);
    assert_eq!(b.get_or_insert(7.into(), now).unwrap().get(gpc0, now), 0, "a new entry is empty");
}

#[test]
fn counts_wrap_at_32_bits_and_stop_at_zero() {
    let t = table(schema(4), 1);
    let w = Writer::claim(&t, 1, 0).unwrap();
    let e = w.get_or_insert(1.into(), at(0)).unwrap();
    let gpc0 = t.schema().slot(DataType::Gpc0, 0).unwrap();
    e.set(gpc0, u64::from(u32::MAX), at(0));
    assert_eq!(e.add(gpc0, 2, at(0)), 1);
    assert_eq!(e.get(gpc0, at(0)), 1);
    let cur = t.schema().slot(DataType::ConnCur, 0).unwrap();
    e.add(cur, 1, at(0));
    e.sub(cur, 2);
    assert_eq!(e.get(cur, at(0)), 0);
}

#[test]
fn arrays_take_the_place_of_the_old_names() {
    let mut s = Schema::new(KeyType::Ip, 10);
    s.store(DataDef { data: DataType::Gpc, elems: 3, period_ms: 0 }).unwrap();
    s.store(DataDef { data: DataType::GpcRate, elems: 2, period_ms: 10 }).unwrap();
    assert_eq!(s.slot(DataType::Gpc1, 0), s.slot(DataType::Gpc, 1));
    assert_eq!(s.slot(DataType::Gpc0Rate, 0), s.slot(DataType::GpcRate, 0));
    assert!(s.slot(DataType::Gpc, 2).is_some() && s.slot(DataType::Gpc, 3).is_none());
    assert_eq!(s.store(DataDef::plain(DataType::Gpc0)), Err(SchemaError::Excluded("gpc0", "gpc")));
    assert_eq!(s.store(DataDef::rate(DataType::ConnRate, 0)), Err(SchemaError::Period("conn_rate")));
    let many = DataDef { data: DataType::Gpt, elems: 101, period_ms: 0 };
    assert_eq!(s.store(many), Err(SchemaError::Elements("gpt")));
    assert_eq!(s.store(s.data()[0]), Err(SchemaError::Twice("gpc")));
}

#[test]
fn keys_are_cut_and_padded() {
    let s = KeyType::String(4);
    let t = table(Schema::new(s, 10), 1);
    let w = Writer::claim(&t, 1, 0).unwrap();
    drop(w.get_or_insert(s.key(b"abcdef"), at(0)));
    assert!(t.get(s.key(b"abcd"), at(0)).is_some() && t.get(s.key(b"abc"), at(0)).is_none());
    drop(w.get_or_insert(s.key(b"x\0y"), at(0)));
    assert_eq!(&t.get(s.key(b"x"), at(0)).unwrap().key()[..], b"x\0\0\0");
    let b = KeyType::Binary(20);
    let t = table(Schema::new(b, 10), 1);
    let w = Writer::claim(&t, 1, 0).unwrap();
    drop(w.get_or_insert(b.key(b"\0ab\0"), at(0)));
    assert!(t.get(b.key(b"\0ab"), at(0)).is_some() && t.get(b.key(b"ab"), at(0)).is_none());
    assert_eq!(t.get(b.key(b"\0ab"), at(0)).unwrap().key().len(), 20);
}

#[test]
fn entries_live_for_expire_after_their_last_use() {
    let t = table(Schema { expire_ms: Some(100), ..schema(10) }, 2);
    let (a, b) = (Writer::claim(&t, 1, 0).unwrap(), Writer::claim(&t, 1, 1).unwrap());
    for k in 0..3 {
        drop(a.get_or_insert(k.into(), at(0)));
    }
    t.get(0.into(), at(60)).unwrap().touch(at(60));
    let used = t.get(1.into(), at(60)).unwrap();
    assert_eq!(used.expires_in_ms(at(60)), Some(40));
    assert!(t.get(2.into(), at(99)).is_some() && t.get(2.into(), at(100)).is_none());
    assert_eq!(keys(&t, at(120)), [0, 1], "one was used, one is in use");
    assert_eq!((a.maintain(at(120), 10), t.used()), (1, 2));
    // Another thread makes a new one of what expired but was not collected.
    drop(used);
    b.get_or_insert(1.into(), at(130)).unwrap();
    assert_eq!((keys(&t, at(130)), t.used()), (vec![0, 1], 2));
    a.maintain(at(170), 10);
    a.maintain(at(170), 10);
    assert_eq!((keys(&t, at(170)), t.used()), (vec![1], 1));
}

#[test]
fn the_oldest_goes_when_the_table_is_full() {
    let t = table(schema(4), 1);
    let w = Writer::claim(&t, 1, 0).unwrap();
    for k in 0..4 {
        drop(w.get_or_insert(k.into(), at(u64::from(k))));
    }
    t.get(0.into(), at(10)).unwrap().touch(at(10));
    let held = t.get(1.into(), at(10)).unwrap();
    drop(w.get_or_insert(4.into(), at(20)));
    assert_eq!(keys(&t, at(20)), [0, 1, 3, 4]);
    drop(w.get_or_insert(5.into(), at(21)));
    assert_eq!(keys(&t, at(21)), [0, 1, 4, 5]);
    let all: Vec<_> = [0, 4, 5].map(|k| t.get(k.into(), at(21)).unwrap()).into();
    assert!(w.get_or_insert(6.into(), at(22)).is_none(), "all are in use");
    drop((all, held));
    assert!(w.get_or_insert(6.into(), at(22)).is_some());
    assert_eq!(t.used(), 4);
}

#[test]
fn nopurge_refuses() {
    let t = table(Schema { nopurge: true, expire_ms: Some(100), ..schema(2) }, 1);
    let w = Writer::claim(&t, 1, 0).unwrap();
    assert!(w.get_or_insert(1.into(), at(0)).is_some() && w.get_or_insert(2.into(), at(50)).is_some());
    assert!(w.get_or_insert(3.into(), at(99)).is_none());
    assert!(w.get_or_insert(1.into(), at(99)).is_some(), "it is there");
    assert!(w.get_or_insert(3.into(), at(100)).is_some(), "what expired makes room");
    assert!(t.remove(2.into()) && w.get_or_insert(4.into(), at(101)).is_some(), "as does what was removed");
}

#[test]
fn the_size_is_shared_by_hand_over() {
    let t = table(schema(128), 2);
    let (a, b) = (Writer::claim(&t, 1, 0).unwrap(), Writer::claim(&t, 1, 1).unwrap());
    for k in 0..127 {
        drop(a.get_or_insert(k.into(), at(u64::from(k))));
    }
    for k in 200..202 {
        assert!(b.get_or_insert(k.into(), at(130)).is_some());
    }
    assert_eq!((t.used(), t.get(200.into(), at(130)).is_some()), (128, false), "it has one record");
    a.maintain(at(131), 1);
    let left = keys(&t, at(132));
    assert_eq!(left.first(), Some(&31), "the oldest went: {left:?}");
    for k in 202..233 {
        assert!(b.get_or_insert(k.into(), at(133)).is_some());
    }
    assert_eq!((keys(&t, at(133)).len(), t.used()), (128, 128));
}

#[test]
fn threads_share_a_single_record() {
    let small = Schema { expire_ms: Some(50), ..schema(1) };
    let t = table(small.clone(), 2);
    let (a, b) = (Writer::claim(&t, 1, 0).unwrap(), Writer::claim(&t, 1, 1).unwrap());
    let gpc0 = small.slot(DataType::Gpc0, 0).unwrap();
    for round in 0..50u32 {
        let now = at(u64::from(round) * 100);
        for (w, k) in [(&a, round), (&b, round + 1), (&b, round + 2), (&a, round)] {
            let e = w.get_or_insert(k.into(), now).expect("a key that nobody uses goes");
            assert_eq!(e.add(gpc0, 1, now), 1, "it is a new one");
            assert!([&a, &b].iter().all(|w| w.get_or_insert((k + 9).into(), now).is_none()), "it is in use");
            drop(e);
            assert_eq!((keys(&t, now).as_slice(), t.used()), ([k].as_slice(), 1));
        }
        // It expires, and whoever comes first has it.
        a.maintain(at(u64::from(round) * 100 + 60), 4);
        b.maintain(at(u64::from(round) * 100 + 60), 4);
        assert_eq!(t.used(), 0);
    }
    let t = table(Schema { nopurge: true, ..small }, 2);
    let (a, b) = (Writer::claim(&t, 1, 0).unwrap(), Writer::claim(&t, 1, 1).unwrap());
    assert!(a.get_or_insert(1.into(), at(0)).is_some() && b.get_or_insert(2.into(), at(49)).is_none());
    assert!(b.get_or_insert(2.into(), at(50)).is_some() && a.get_or_insert(1.into(), at(51)).is_none());
}

#[test]
fn a_late_thread_of_a_large_table_need_not_wait() {
    let t = table(schema(1024), 2);
    let (a, b) = (Writer::claim(&t, 1, 0).unwrap(), Writer::claim(&t, 1, 1).unwrap());
    for k in 0..2000u32 {
        drop(a.get_or_insert(k.into(), at(u64::from(k))));
    }
    // Eight were kept for it; the ninth is made of its own first, and more are asked for by that.
    for k in 5000..5009u32 {
        assert!(b.get_or_insert(k.into(), at(3000)).is_some());
    }
    assert_eq!((t.used(), t.get(5000.into(), at(3000)).is_none()), (1024, true));
    // The other one answers with its next operation, whatever that is.
    drop(a.get_or_insert(1999.into(), at(3001)));
    for k in 5010..5040u32 {
        assert!(b.get_or_insert(k.into(), at(3002)).is_some());
    }
    assert!(t.get(5001.into(), at(3002)).is_some(), "its own were spared");
    assert_eq!(t.used(), 1024 - 64 + 30);
}

#[test]
fn a_thread_of_a_huge_table_takes_little_before_it_needs_it() {
    let t = table(schema(1 << 24), 2);
    let (a, _b) = (Writer::claim(&t, 1, 0).unwrap(), Writer::claim(&t, 1, 1).unwrap());
    assert_eq!(a.lists().0.len(), 4096);
}

#[test]
fn another_process_opens_the_same_table_only() {
    let t = table(schema(10), 2);
    let w = Writer::claim(&t, 1, 0).unwrap();
    drop(w.get_or_insert(9.into(), at(0)));
    let fd = || t.fd().try_clone_to_owned().unwrap();
    let other = Table::open(fd(), schema(10), 2, 77, |_| false).unwrap();
    assert!(other.get(9.into(), at(0)).is_some());
    assert!(Table::open(fd(), schema(10), 1, 80, |_| false).is_ok(), "more slabs than needed");
    assert!(matches!(Table::open(fd(), schema(10), 3, 80, |_| false), Err(OpenError::Schema)));
    assert!(matches!(Table::open(fd(), schema(11), 2, 77, |_| false), Err(OpenError::Schema)));
    assert!(matches!(
        Table::open(fd(), Schema::new(KeyType::Integer, 10), 2, 77, |_| false),
        Err(OpenError::Schema)
    ));
    let foreign = crate::sys::memfd::Segment::new("x", 9).unwrap().fd().try_clone_to_owned().unwrap();
    assert!(matches!(Table::open(foreign, schema(10), 2, 77, |_| false), Err(OpenError::Version)));
}

#[test]
fn more_processes_than_parts_share_them_until_all_of_those_are_gone() {
    let schema = schema(10);
    let first = table(schema.clone(), 16);
    let own = std::process::id();
    let cur = first.schema().slot(DataType::ConnCur, 0).unwrap();
    let w = Writer::claim(&first, own, 0).unwrap();
    let total = || first.read(7.into(), cur, at(0)).unwrap();
    let join = |process| {
        let fd = first.fd().try_clone_to_owned().unwrap();
        Table::open(fd, schema.clone(), 2, process, |_| false).unwrap()
    };
    let count = |t: &Table| {
        let e = t.get(7.into(), at(0)).unwrap();
        e.add(cur, 1, at(0));
        let _ = e.keep();
    };
    w.get_or_insert(7.into(), at(0)).unwrap().add(cur, 1, at(0));
    // Nobody is turned away: the fourth to the sixth are guests of the first three.
    let all: Vec<Table> = (100..105).map(join).collect();
    all.iter().for_each(count);
    assert_eq!(total(), 6);
    // 100 has a guest, 103 or 104; so has one more of the parts, and one has none.
    let dead = |gone: &'static [u32]| move |id| gone.contains(&id);
    assert!(first.has_orphans(dead(&[100])));
    for gone in [&[100][..], &[100, 101], &[100, 101, 102]] {
        w.adopt(|id| gone.contains(&id));
        assert!(!first.has_orphans(|id| gone.contains(&id)), "{gone:?}");
        assert!(total() >= 6 - gone.len() as u64 && total() <= 6, "{gone:?}");
    }
    // A part is free by now, and what nobody counts any more is gone from it.
    let late = join(200);
    count(&late);
    w.adopt(dead(&[100, 101, 102, 103, 104]));
    assert!((2..=4).contains(&total()), "{}: what shares our part stays as long as we do", total());
    w.adopt(dead(&[100, 101, 102, 103, 104, 200]));
    assert!(!first.has_orphans(dead(&[100, 101, 102, 103, 104, 200])));
    let most = (0..64 + 2).filter(|n| {
        let fd = first.fd().try_clone_to_owned().unwrap();
        Table::open(fd, schema.clone(), 2, 300 + n, |_| false).is_ok()
    });
    assert_eq!(most.count(), 66);
    let fd = first.fd().try_clone_to_owned().unwrap();
    assert!(matches!(Table::open(fd, schema.clone(), 2, 999, |_| false), Err(OpenError::Busy)));
    w.adopt(|id| id >= 300);
    let fd = first.fd().try_clone_to_owned().unwrap();
    assert!(Table::open(fd, schema, 2, 999, |_| false).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Against a naive map with the exact order of last uses, in a small table.
    #[test]
    fn behaves_like_a_map(
        ops in proptest::collection::vec((0u8..6, 0u32..12, 0u64..40), 1..200),
        nopurge in any::<bool>(),
    ) {
        let t = table(Schema { expire_ms: Some(200), nopurge, ..schema(8) }, 1);
        let w = Writer::claim(&t, 1, 0).unwrap();
        let gpc0 = t.schema().slot(DataType::Gpc0, 0).unwrap();
        let mut model: HashMap<u32, (u64, u64)> = HashMap::new();
        let mut ms = 0;
        for (op, key, step) in ops {
            ms += step;
            let now = at(ms);
            model.retain(|_, (_, touched)| ms < *touched + 200);
            match op {
                0..=2 => match w.get_or_insert(key.into(), now) {
                    Some(e) => {
                        if !model.contains_key(&key) && model.len() == 8 {
                            prop_assert!(!nopurge);
                            // Equal times may go in any order.
                            let gone = model.keys().copied().find(|k| t.get((*k).into(), now).is_none());
                            let gone = gone.expect("one had to go");
                            let oldest = model.values().map(|v| v.1).min().unwrap();
                            prop_assert_eq!(model[&gone].1, oldest);
                            model.remove(&gone);
                        }
                        let m = model.entry(key).or_insert((0, ms));
                        m.0 += 1;
                        prop_assert_eq!(e.add(gpc0, 1, now), m.0);
                    }
                    None => prop_assert!(nopurge && model.len() == 8 && !model.contains_key(&key)),
                },
                3 => {
                    if let Some(e) = t.get(key.into(), now) {
                        e.touch(now);
                        model.get_mut(&key).expect("in both").1 = ms;
                    }
                }
                4 => prop_assert_eq!(t.get(key.into(), now).is_some() && t.remove(key.into()),
                    model.remove(&key).is_some()),
                _ => {
                    w.maintain(now, 3);
                }
            }
            let mut expected: Vec<u32> = model.keys().copied().collect();
            expected.sort_unstable();
            prop_assert_eq!(keys(&t, now), expected);
            prop_assert!(t.used() <= 8);
            for (k, v) in &model {
                prop_assert_eq!(t.read((*k).into(), gpc0, now), Some(v.0));
            }
        }
    }
}

/// Threads insert, count, remove and expire on few keys; every pair of values of an entry belongs together, no key is
/// there twice, the cap holds, and counts on an entry in use are exact.
#[test]
fn threads_do_not_disturb_each_other() {
    let mut s = Schema::new(KeyType::String(24), 40);
    s.expire_ms = Some(30);
    s.store(DataDef::plain(DataType::BytesInCnt)).unwrap();
    s.store(DataDef::plain(DataType::BytesOutCnt)).unwrap();
    let t = table(s, 4);
    let (hot, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let sum = t.schema().slot(DataType::BytesInCnt, 0).unwrap();
    let tag = t.schema().slot(DataType::BytesOutCnt, 0).unwrap();
    let name = |k: u64| format!("key-{:012}", k * 7919);
    let holder = Writer::claim(&t, 1, 99).unwrap();
    let kept = holder.get_or_insert(t.schema().key.key(b"hot"), at(0)).unwrap();
    std::thread::scope(|scope| {
        let workers = [0, 1, 2u64].map(|n| {
            let (t, hot) = (&t, &hot);
            scope.spawn(move || {
                let w = Writer::claim(t, 1, n as u32).unwrap();
                let key_type = t.schema().key;
                let mut x = 88172645463325252u64 ^ (n << 40);
                for i in 0..if cfg!(miri) { 60 } else { 8000u64 } {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    let (k, now) = (x % 60, at(i / 20));
                    let name = name(k);
                    let key = key_type.key(name.as_bytes());
                    match (x >> 32) % 8 {
                        0 => drop(t.remove(key)),
                        1 => drop(w.maintain(now, 4)),
                        2 => {
                            let e = w.get_or_insert(key_type.key(b"hot"), now).unwrap();
                            e.add(sum, 1, now);
                            hot.fetch_add(1, Relaxed);
                        }
                        _ => {
                            if let Some(e) = w.get_or_insert(key, now) {
                                let before = e.get(tag, now);
                                assert!(before == 0 || before == k + 1, "another key's entry");
                                e.set(tag, k + 1, now);
                                assert_eq!(&e.key()[..16], name.as_bytes());
                                e.touch(now);
                            }
                        }
                    }
                }
            })
        });
        let (t, done) = (&t, &done);
        let reader = scope.spawn(move || {
            let mut seen = 0;
            while !done.load(Relaxed) {
                for k in 0..60 {
                    let v = t.read(t.schema().key.key(name(k).as_bytes()), tag, at(0));
                    assert!(v.is_none_or(|v| v == 0 || v == k + 1), "torn: {v:?} for {k}");
                    seen += 1;
                }
                assert!(t.used() <= 60);
            }
            seen
        });
        for worker in workers {
            worker.join().unwrap();
        }
        done.store(true, Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    assert_eq!(kept.get(sum, at(0)), hot.load(Relaxed));
    let mut count = BTreeMap::new();
    t.each(at(0), |e| {
        *count.entry(e.key().to_vec()).or_insert(0) += 1;
        true
    });
    assert!(count.len() <= 40 && count.values().all(|n| *n == 1), "{count:?}");
}

/// A writer dies at each single access to the segment in turn; its successor finds a whole table.
#[test]
fn a_killed_writer_leaves_nothing_behind() {
    let gpc0 = schema(6).slot(DataType::Gpc0, 0).unwrap();
    let cur = schema(6).slot(DataType::ConnCur, 0).unwrap();
    for (killed, fuel) in (1..9000).enumerate() {
        let t = table(Schema { expire_ms: Some(100), ..schema(6) }, 2);
        let theirs = t.fd().try_clone_to_owned().unwrap();
        let theirs =
            Table::open(theirs, Schema { expire_ms: Some(100), ..schema(6) }, 2, 66, |_| false).unwrap();
        let w = Writer::claim(&Arc::new(theirs), 66, 0).unwrap();
        let heir = Writer::claim(&t, 77, 0).unwrap();
        let (both, mine) = (50.into(), 51.into());
        let kept = [both, mine].map(|k| {
            let e = heir.get_or_insert(k, at(0)).unwrap();
            e.add(cur, 2, at(0));
            e
        });
        FUEL.set(fuel);
        let died = catch_unwind(AssertUnwindSafe(|| {
            for i in 0..24u32 {
                let now = at(u64::from(i) * 12);
                let tracked = w.table().get(both, now).expect("it is in use");
                tracked.add(cur, 1, now);
                if let Some(e) = w.get_or_insert((i % 9).into(), now) {
                    e.add(gpc0, u64::from(i % 9) + 1, now);
                }
                w.table().remove((i % 5).into());
                w.maintain(now, 2);
                tracked.sub(cur, 1);
                if i % 8 == 7 {
                    w.hand_out(77, 2);
                }
            }
        }))
        .is_err();
        FUEL.set(u64::MAX);
        std::mem::forget(w);
        heir.adopt(|process| process == 66);
        let now = at(0);
        assert_eq!(kept.each_ref().map(|e| (e.uses(), e.get(cur, now))), [(0, 2); 2], "after {fuel}");
        drop(kept);
        let (mut before, used) = (keys(&t, now), t.used() as usize);
        before.retain(|k| *k < 50);
        assert_eq!(used, before.len() + 2, "after {fuel}");
        assert!(before.windows(2).all(|k| k[0] < k[1]), "twice after {fuel}: {before:?}");
        for k in &before {
            let v = t.read((*k).into(), gpc0, now).expect("what is listed is found");
            assert_eq!(v % (u64::from(*k) + 1), 0, "after {fuel}");
        }
        // Nothing leaked: all six can be used at once.
        let all: Vec<_> = (100..106).filter_map(|k: u32| heir.get_or_insert(k.into(), at(1000))).collect();
        assert_eq!(all.len(), 6, "after {fuel}");
        assert!(Writer::claim(&t, 77, 1).is_some(), "the dead one's slab is free");
        if !died {
            assert!(killed > 300, "the test kills at {killed} places only");
            return;
        }
    }
    panic!("the run never came to its end");
}

/// A writer that has no records dies at each single access while it fills those of another process.
#[test]
fn a_killed_borrower_leaves_nothing_behind() {
    let gpc0 = schema(4).slot(DataType::Gpc0, 0).unwrap();
    let conf = || Schema { expire_ms: Some(1000), ..schema(4) };
    for (killed, fuel) in (1..9000).enumerate() {
        let t = table(conf(), 2);
        let theirs = Table::open(t.fd().try_clone_to_owned().unwrap(), conf(), 2, 66, |_| false).unwrap();
        let w = Writer::claim(&Arc::new(theirs), 66, 0).unwrap();
        let heir = Writer::claim(&t, 77, 0).unwrap();
        let kept = heir.get_or_insert(50.into(), at(0)).unwrap();
        for k in 51..54 {
            drop(heir.get_or_insert(k.into(), at(0)).unwrap());
        }
        FUEL.set(fuel);
        let died = catch_unwind(AssertUnwindSafe(|| {
            for i in 0..5u32 {
                let now = at(u64::from(i) + 1);
                w.get_or_insert(i.into(), now).expect("others' entries go").add(gpc0, u64::from(i) + 1, now);
            }
        }))
        .is_err();
        FUEL.set(u64::MAX);
        std::mem::forget(w);
        if fuel % 2 == 0 {
            heir.maintain(at(5), 4);
            let _ = heir.get_or_insert(51.into(), at(5));
        }
        heir.adopt(|process| process == 66);
        let all = keys(&t, at(5));
        assert_eq!(t.used() as usize, all.len(), "after {fuel}");
        assert!(all.windows(2).all(|k| k[0] < k[1]), "twice after {fuel}: {all:?}");
        for k in all.iter().filter(|k| **k < 50) {
            let v = t.read((*k).into(), gpc0, at(5)).expect("what is listed is found");
            assert!(v == 0 || v == u64::from(*k) + 1, "after {fuel}");
        }
        drop(kept);
        let all: Vec<_> = (100..104).filter_map(|k: u32| heir.get_or_insert(k.into(), at(9))).collect();
        assert_eq!(all.len(), 4, "after {fuel}");
        if !died {
            assert!(killed > 200, "the test kills at {killed} places only");
            return;
        }
    }
    panic!("the run never came to its end");
}

#[test]
fn what_a_thread_gave_up_is_taken_over() {
    let t = table(Schema { expire_ms: Some(100), ..schema(20) }, 3);
    let (a, b) = (Writer::claim(&t, 1, 0).unwrap(), Writer::claim(&t, 2, 0).unwrap());
    for k in 0..5 {
        drop(a.get_or_insert(k.into(), at(u64::from(k))));
        drop(b.get_or_insert((k + 10).into(), at(u64::from(k))));
    }
    let used = t.get(3.into(), at(5)).unwrap();
    drop(a);
    assert_eq!(b.adopt(|_| false), 5);
    assert_eq!((keys(&t, at(5)).len(), t.used()), (10, 10));
    assert_eq!(b.maintain(at(500), 20), 9, "all but the one in use");
    drop(used);
    assert_eq!(b.maintain(at(1000), 20), 1);
    assert_eq!(t.used(), 0);
}

#[test]
fn who_leaves_spreads_its_entries_by_age() {
    let t = table(Schema { expire_ms: Some(1000), ..schema(300) }, 4);
    let old = Writer::claim(&t, 1, 0).unwrap();
    let gpc0 = t.schema().slot(DataType::Gpc0, 0).unwrap();
    for k in 0..60u32 {
        old.get_or_insert(k.into(), at(u64::from(k))).unwrap().add(gpc0, u64::from(k), at(u64::from(k)));
    }
    let heirs = [0, 1].map(|n| Writer::claim(&t, 2, n).unwrap());
    for (n, heir) in heirs.iter().enumerate() {
        drop(heir.get_or_insert((100 + n as u32).into(), at(100)));
    }
    let tracked = t.get(3.into(), at(100)).unwrap();
    let mut rounds = 0;
    while old.hand_out(2, 10) > 0 {
        assert_eq!(t.used(), 62, "what is on its way counts");
        assert_eq!(keys(&t, at(100)).len(), 62);
        if rounds < 5 {
            assert!(
                t.remove((59 - rounds).into()) && old.get_or_insert((59 - rounds).into(), at(101)).is_some()
            );
        }
        heirs.iter().for_each(|heir| assert_eq!(heir.maintain(at(101), 0), 0));
        rounds += 1;
        assert!(rounds < 50, "it never ends");
    }
    drop(tracked);
    let (free, aged) = old.lists();
    assert_eq!((free.len(), aged.len()), (0, 0));
    assert!(heirs.iter().all(|heir| heir.lists().1.len() >= 25), "both have their share");
    assert_eq!((keys(&t, at(101)).len(), t.used()), (62, 62));
    // By age: half of them have expired, and are found without passing the others.
    let gone: usize = heirs.iter().map(|heir| heir.maintain(at(1030), 20)).sum();
    assert_eq!(gone, 31);
    for k in 31..40u32 {
        assert_eq!(t.read(k.into(), gpc0, at(1030)), Some(u64::from(k)));
    }
}

#[test]
fn tables_pass_from_process_to_process() {
    let def = |name: &str, schema: Schema| TableDef {
        name: name.into(),
        schema,
        owner: TableOwner::Proxy(0),
        peers: None,
        write_to: None,
        recv_only: false,
        srvkey: SrvKey::Name,
        brates_factor: 1,
        loc: crate::config::Loc::default(),
    };
    let before = Tables::new(&[def("same", schema(1000)), def("other", schema(1000))], 2).unwrap();
    let writers = Writers::claim(&before, 0);
    let fill = |id: u32| {
        for k in 0..500u32 {
            drop(writers.get(TableId(id)).unwrap().get_or_insert(k.into(), at(u64::from(k))));
        }
    };
    fill(0);
    fill(1);
    let fd = |name: &str| {
        let id = before.find(name)?;
        before.get(id)?.fd().try_clone_to_owned().ok()
    };
    let defs = [
        def("same", Schema { nopurge: true, ..schema(1000) }),
        def("other", schema(200)),
        def("new", schema(9)),
    ];
    let heritage = Heritage {
        segment: &mut |name| fd(name),
        dead: &|_| false,
        now: at(1000),
        wait: &std::thread::park_timeout,
    };
    let after = Tables::inherit(&defs, 3, heritage).unwrap();
    let origins = [0, 1, 2].map(|id| after.origin(TableId(id)));
    assert_eq!(origins, [Origin::Shared, Origin::Copied, Origin::New]);
    assert_eq!(after.notices(), ["stick-table 'other': made anew; 200 entries copied, 300 dropped."]);
    let used = [0, 1, 2].map(|id| after.get(TableId(id)).unwrap().used());
    assert_eq!(used, [500, 200, 0]);
    // The threads of the successor get all of it, while they run.
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (after, done) = (&after, &done);
        // Also when something fails.
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Relaxed);
            }
        }
        let end = Done(done);
        let threads = [0, 1, 2].map(|n| {
            scope.spawn(move || {
                let writers = Writers::claim(after, n);
                while !done.load(Relaxed) {
                    writers.iter().for_each(|(_, w)| assert_eq!(w.maintain(at(1000), 8), 0));
                }
                let lists = writers.iter().map(|(_, w)| w.lists().1.len()).collect::<Vec<_>>();
                std::mem::forget(writers);
                lists
            })
        });
        while after.list_owners(TableId(0)) < 4 || after.list_owners(TableId(1)) < 4 {
            std::thread::yield_now();
        }
        drop((writers, before));
        assert_eq!(after.adopt(|_| false, std::thread::park_timeout), 500);
        assert!(!after.has_orphans(|_| false));
        drop(end);
        let lists = threads.map(|t| t.join().unwrap());
        assert_eq!([0, 1].map(|id| lists.iter().map(|l| l[id]).sum::<usize>()), [500, 200]);
        assert!(lists.iter().all(|l| l[0] > 100 && l[1] > 40), "{lists:?}");
    });
}
