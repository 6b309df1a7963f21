//! Tables take no memory while they are used.

use super::*;
use crate::sys::alloc::allocations;

/// Entries that are found, changed, made, purged and expired, by two threads, and noted for peers.
fn use_all(t: &Arc<Table>, key_of: impl Fn(&[u8]) -> Key<'_>) -> usize {
    use_ring(0);
    t.replicate(Arc::new(Changes::new(t.schema().size, 1)));
    let (a, b) = (Writer::claim(t, 1, 0).unwrap(), Writer::claim(t, 1, 1).unwrap());
    let slot = |data| t.schema().slot(data, 0).unwrap();
    let (gpc0, rate, current) = (slot(DataType::Gpc0), slot(DataType::HttpReqRate), slot(DataType::ConnCur));
    let name = |n: u32, out: &mut [u8]| out.iter_mut().for_each(|b| *b = 1 + (n % 250) as u8);
    let mut made = 0;
    let taken = allocations(|| {
        let mut bytes = [0; 300];
        for n in 0..3000u32 {
            let now = at(u64::from(n));
            name(n / 2, &mut bytes);
            let w = if n % 3 == 0 { &b } else { &a };
            if let Some(e) = w.get_or_insert(key_of(&bytes), now) {
                e.add(gpc0, 1, now);
                e.add(rate, 1, now);
                e.add(current, 1, now);
                e.sub(current, 1);
                e.set(gpc0, 7, now);
                e.touch(now);
                let id = e.keep();
                drop(t.resume(id));
                made += 1;
            }
            name(n / 3, &mut bytes);
            let _ = t.read(key_of(&bytes), gpc0, now);
            if let Some(e) = t.get(key_of(&bytes), now) {
                let _ = (e.get(rate, now), e.uses(), e.expires_in_ms(now));
            }
            if n % 100 == 0 {
                t.remove(key_of(&bytes));
                a.maintain(now, 16);
                b.maintain(now, 16);
            }
        }
    });
    assert!(made > 2900, "{made}");
    taken
}

fn with(key: KeyType, size: u32) -> Arc<Table> {
    let mut s = Schema { expire_ms: Some(200), ..Schema::new(key, size) };
    for def in [DataDef::plain(DataType::Gpc0), DataDef::rate(DataType::HttpReqRate, 1000)] {
        s.store(def).unwrap();
    }
    s.store(DataDef::plain(DataType::ConnCur)).unwrap();
    table(s, 2)
}

#[test]
fn use_takes_no_memory() {
    assert!(allocations(|| drop(vec![1])) > 0, "the count works");
    for size in [1, 50, 1000] {
        for key in
            [KeyType::Ip, KeyType::Ipv6, KeyType::String(32), KeyType::String(200), KeyType::Binary(300)]
        {
            let t = with(key, size);
            assert_eq!(use_all(&t, |b| key.key(b)), 0, "{key:?}, {size} entries");
        }
    }
}

#[test]
fn long_keys_are_found_where_they_were_put() {
    for key in [KeyType::String(300), KeyType::Binary(300), KeyType::String(65), KeyType::String(64)] {
        let t = with(key, 20);
        let w = Writer::claim(&t, 1, 0).unwrap();
        for len in [0, 1, 7, 8, 9, 64, 65, 128, 240, 241, 299, 300] {
            let bytes = vec![b'x'; len];
            drop(w.get_or_insert(key.key(&bytes), at(0)).unwrap());
            assert!(t.remove(key.key(&bytes)), "{key:?}, {len}");
            // Taken out of its bucket only when that was found again.
            assert_eq!(
                t.walk(t.bucket(t.hash(key.key(&bytes))), index::Want::Key(key.key(&bytes))).head.record(),
                None
            );
        }
    }
}
