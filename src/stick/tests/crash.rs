//! Processes that work on a table at full speed are killed at any instruction, while another one reads, inserts and
//! adopts. `HARING_KILLS` says how many (`scripts/test` asks for thousands).

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::park_timeout;
use std::time::Duration;

use super::super::index::{Meta, PROCESSES, State};
use super::super::schema::META;
use super::super::table::{H_POOL, H_PROCESSES};
use super::super::*;
use crate::base::time::Mono;

const SIZE: u32 = 96;
const SLABS: usize = 8;
const KEYS: u64 = 160;
/// Uses that one process keeps at once.
const TRACKED: usize = 12;
const NAME: &str = "stick::tests::crash::killed_processes_harm_nobody";
const VAR: &str = "HARING_CRASH_TABLE";

fn schema() -> Schema {
    let mut s = Schema::new(KeyType::String(24), SIZE);
    s.expire_ms = Some(40);
    for data in [DataType::BytesInCnt, DataType::BytesOutCnt, DataType::ConnCur, DataType::Gpc0] {
        s.store(DataDef::plain(data)).unwrap();
    }
    s.store(DataDef::rate(DataType::HttpReqRate, 10)).unwrap();
    s
}

fn now() -> Mono {
    let t = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    Mono(t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}

/// A key that tells a torn one: a number, and what follows from it.
fn name(k: u64) -> String {
    format!("{k:04}-{:016x}", sum(k))
}

fn sum(k: u64) -> u64 {
    (k + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

struct Slots {
    tag: [Slot; 2],
    cur: Slot,
    rate: Slot,
}

impl Slots {
    fn of(t: &Table) -> Slots {
        let slot = |d| t.schema().slot(d, 0).unwrap();
        Slots {
            tag: [slot(DataType::BytesInCnt), slot(DataType::BytesOutCnt)],
            cur: slot(DataType::ConnCur),
            rate: slot(DataType::HttpReqRate),
        }
    }
}

/// Every word of the entry belongs to its key.
fn check(e: &Entry<'_>, s: &Slots, now: Mono) -> u64 {
    let key = e.key();
    let text = std::str::from_utf8(&key[..21]).expect("a torn key");
    let k: u64 = text[..4].parse().expect("a torn key");
    assert_eq!(text, name(k), "a torn key");
    for slot in s.tag {
        let v = e.get(slot, now);
        assert!(v == 0 || v == sum(k), "torn: {v:x} of {text}");
    }
    assert!(e.get(s.cur, now) <= (PROCESSES * TRACKED) as u64 + 3);
    k
}

/// What every process does.
struct Load {
    x: u64,
    tracked: Vec<EntryId>,
}

impl Load {
    fn step(&mut self, w: &Writer, s: &Slots) {
        let (t, now) = (w.table().clone(), now());
        self.x ^= self.x << 13;
        self.x ^= self.x >> 7;
        self.x ^= self.x << 17;
        let k = self.x % KEYS;
        let text = name(k);
        let key = t.schema().key.key(text.as_bytes());
        match (self.x >> 32) % 16 {
            0 => drop(t.remove(key)),
            1 => drop(w.maintain(now, 8)),
            2..=5 => {
                if let Some(e) = t.get(key, now) {
                    assert_eq!(check(&e, s, now), k);
                    e.touch(now);
                }
            }
            _ => {
                let Some(e) = w.get_or_insert(key, now) else { return };
                assert_eq!(check(&e, s, now), k);
                e.set(s.tag[0], sum(k), now);
                e.add(s.rate, 1, now);
                e.set(s.tag[1], sum(k), now);
                e.touch(now);
                if self.tracked.len() < TRACKED {
                    e.add(s.cur, 1, now);
                    self.tracked.push(e.keep());
                }
            }
        }
        if self.x >> 60 < 5 {
            self.untrack(&t, s);
        }
    }

    fn untrack(&mut self, t: &Table, s: &Slots) {
        if !self.tracked.is_empty() {
            let n = self.x as usize % self.tracked.len();
            t.resume(self.tracked.swap_remove(n)).sub(s.cur, 1);
        }
    }
}

fn open(path: &str, process: u32) -> Table {
    let file = File::options().read(true).write(true).open(path).unwrap();
    Table::open(OwnedFd::from(file), schema(), SLABS, process, |_| false).unwrap()
}

/// A process that works until it is killed.
fn work(path: &str) {
    let process = std::process::id();
    let t = Arc::new(open(path, process));
    let s = Slots::of(&t);
    let w = Writer::claim(&t, process, 0).unwrap();
    let mut load = Load { x: now().0 | 1, tracked: Vec::new() };
    // Should the parent die, so do we, in time.
    let parent = std::os::unix::process::parent_id();
    for n in 0..200_000_000u64 {
        load.step(&w, &s);
        if n % 61 == 0 {
            w.hand_out(parent, 3);
        }
    }
}

fn spawn(path: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", NAME, "--nocapture"]).env(VAR, path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

/// With nobody else at work: every record is in a list, once, and nothing is counted that nobody uses.
fn audit(w: &Writer, load: &Load, s: &Slots) {
    let t = w.table();
    w.maintain(now(), 0);
    let pool = t.w(H_POOL).load(Relaxed) as u32;
    let (free, aged) = w.lists();
    let all: BTreeSet<u32> = free.iter().chain(&aged).copied().collect();
    assert_eq!(all.len(), free.len() + aged.len(), "a record is in a list twice");
    assert_eq!(all.into_iter().collect::<Vec<_>>(), (0..pool).collect::<Vec<_>>(), "records leaked");
    let mut uses: HashMap<u32, u64> = HashMap::new();
    for id in &load.tracked {
        *uses.entry(id.rec()).or_default() += 1;
    }
    let mut keys = BTreeSet::new();
    for rec in 0..pool {
        let meta = Meta(t.w(t.record(rec) + META).load(Relaxed));
        assert_ne!(meta.state(), State::Building);
        assert_eq!(meta.refs(), uses.get(&rec).copied().unwrap_or(0), "uses of record {rec}");
        let Some(e) = t.at_record(rec, Mono(0)) else { continue };
        assert!(keys.insert(check(&e, s, now())), "a key is there twice");
        assert_eq!(e.get(s.cur, now()), uses.get(&rec).copied().unwrap_or(0), "connections of record {rec}");
    }
    assert_eq!(aged.len(), keys.len() + w.dead_ones(), "the list by age has the live ones");
}

/// The survivor: works, adopts whom it is told to, and audits when all others are dead.
fn survive(
    t: &Arc<Table>,
    orders: &mpsc::Receiver<Vec<u32>>,
    done: &mpsc::Sender<()>,
    reading: &Mutex<()>,
) -> u64 {
    let s = Slots::of(t);
    let w = Writer::claim(t, std::process::id(), 0).unwrap();
    let mut load = Load { x: 0x1234_5678_9abc_def1, tracked: Vec::new() };
    let mut steps = 0;
    loop {
        for _ in 0..32 {
            load.step(&w, &s);
            steps += 1;
        }
        // Leaves the processors to the others for most of the time.
        match orders.recv_timeout(Duration::from_micros(300)) {
            Ok(dead) => {
                w.adopt(|p| dead.contains(&p));
                if dead.len() == PROCESSES - 1 {
                    let _alone = reading.lock().unwrap();
                    audit(&w, &load, &s);
                }
                done.send(()).unwrap();
            }
            Err(mpsc::RecvTimeoutError::Timeout) => (),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    while !load.tracked.is_empty() {
        load.untrack(t, &s);
    }
    let _alone = reading.lock().unwrap();
    audit(&w, &load, &s);
    steps
}

fn read(t: &Table, stop: &AtomicBool, reading: &Mutex<()>) -> u64 {
    let s = Slots::of(t);
    let mut seen = 0;
    while !stop.load(Relaxed) {
        park_timeout(Duration::from_micros(300));
        let _busy = reading.lock().unwrap();
        let now = now();
        t.each(now, |e| {
            check(e, &s, now);
            seen += 1;
            true
        });
        for k in 0..KEYS {
            let v = t.read(t.schema().key.key(name(k).as_bytes()), s.tag[0], now);
            assert!(v.is_none_or(|v| v == 0 || v == sum(k)), "torn: {v:x?} of {k}");
        }
    }
    seen
}

/// Starts processes and kills them, two at a time; now and then both.
fn kill(t: &Table, path: &str, kills: u64, adopt: impl Fn(Vec<u32>)) {
    let mut x = now().0 | 1;
    let mut random = |n: u64| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x % n
    };
    let attached =
        |child: &Child| (0..PROCESSES).any(|p| t.w(H_PROCESSES + p).load(Relaxed) == u64::from(child.id()));
    let end = |mut child: Child| {
        let id = child.id();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "it ended by itself: {status}");
        id
    };
    let mut children: Vec<Child> = Vec::new();
    for n in 0..kills {
        while children.len() < PROCESSES - 1 {
            children.push(spawn(path));
        }
        for child in &mut children {
            while !attached(child) {
                assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
                park_timeout(Duration::from_micros(50));
            }
        }
        park_timeout(Duration::from_micros(random(1500)));
        if n % 8 == 0 {
            adopt(children.drain(..).map(end).collect());
        } else {
            let child = children.swap_remove(random(children.len() as u64) as usize);
            adopt(vec![end(child)]);
        }
    }
    adopt(children.into_iter().map(end).collect());
}

#[test]
fn killed_processes_harm_nobody() {
    if let Ok(path) = std::env::var(VAR) {
        return work(&path);
    }
    let kills = std::env::var("HARING_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let t = Arc::new(Table::create("crash", schema(), SLABS).unwrap());
    let path = format!("/proc/{}/fd/{}", std::process::id(), t.fd().as_raw_fd());
    let (stop, reading) = (AtomicBool::new(false), Mutex::new(()));
    let (orders, inbox) = mpsc::channel();
    let (done, outbox) = mpsc::channel();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(&t, &stop, &reading));
        let (shared, reading) = (&t, &reading);
        let survivor = scope.spawn(move || survive(shared, &inbox, &done, reading));
        // Moved in, so that the survivor hears of the end.
        let orders = orders;
        kill(&t, &path, kills, |dead| {
            orders.send(dead).unwrap();
            outbox.recv().expect("the survivor goes on");
        });
        drop(orders);
        assert!(survivor.join().unwrap() > kills * 32);
        stop.store(true, Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}
