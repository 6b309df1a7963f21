//! What stick tables cost: lookups, updates of distinct keys and of one hot key, inserts into a full table, by 1, 2, 4
//! and 8 threads and processes. `cargo run --release --example table_bench [-- SECONDS]`, or `scripts/bench tables`.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use haring::base::time::Mono;
use haring::stick::{DataDef, DataType, Key, KeyType, Schema, Slot, Table, Writer};

const SIZE: u32 = 1 << 17;
/// Keys that are looked up and updated.
const KEYS: u32 = 1 << 16;
const SLABS: usize = 32;
const LOADS: [&str; 5] = ["read", "lookup", "update", "hot", "insert"];
const ABOUT: [&str; 5] = [
    "one value of any key (sc_get_gpc0, table_gpc0)",
    "any key found, held, let go",
    "own keys: two counters, a rate, expiry",
    "one key of all: the same",
    "new keys in a full table: the oldest goes",
];

type Error = Box<dyn std::error::Error + Send + Sync>;

fn schema() -> Result<Schema, Error> {
    let mut s = Schema::new(KeyType::Ip, SIZE);
    s.expire_ms = Some(3_600_000);
    s.store(DataDef::plain(DataType::Gpc0))?;
    s.store(DataDef::plain(DataType::HttpReqCnt))?;
    s.store(DataDef::rate(DataType::HttpReqRate, 10_000))?;
    Ok(s)
}

fn clock() -> Mono {
    read_clock(ClockId::CLOCK_MONOTONIC)
}

fn read_clock(id: ClockId) -> Mono {
    let ns = |t: TimeSpec| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64;
    Mono(clock_gettime(id).map_or(0, ns))
}

fn key(n: u32) -> Key<'static> {
    Key::from(n.wrapping_mul(0x9e37_79b1))
}

struct Worker {
    writer: Writer,
    slots: [Option<Slot>; 3],
    index: u32,
    of: u32,
    x: u32,
}

impl Worker {
    fn new(table: &Arc<Table>, index: u32, of: u32) -> Result<Worker, Error> {
        let slot = |d| table.schema().slot(d, 0);
        let slots = [slot(DataType::Gpc0), slot(DataType::HttpReqCnt), slot(DataType::HttpReqRate)];
        let writer = Writer::claim(table, std::process::id(), index).ok_or("no slab is free")?;
        Ok(Worker { writer, slots, index, of, x: index * 7919 + 1 })
    }

    fn update(&self, n: u32, now: Mono) {
        let Some(entry) = self.writer.get_or_insert(key(n), now) else { return };
        for slot in self.slots.into_iter().flatten() {
            black_box(entry.add(slot, 1, now));
        }
        entry.touch(now);
    }

    fn step(&mut self, load: &str, now: Mono) {
        self.x = self.x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let any = (self.x >> 8) % KEYS;
        let table = self.writer.table();
        match load {
            "read" => drop(black_box(self.slots[0].and_then(|s| table.read(key(any), s, now)))),
            "lookup" => drop(black_box(table.get(key(any), now))),
            "update" => self.update(any / self.of * self.of + self.index, now),
            "hot" => self.update(0, now),
            _ => self.update(KEYS + self.x, now),
        }
    }

    /// Nanoseconds of processor time per operation.
    fn run(&mut self, load: &str, time: Duration) -> f64 {
        let cpu = || read_clock(ClockId::CLOCK_THREAD_CPUTIME_ID);
        let (start, cpu_start) = (clock(), cpu());
        let mut ops = 0u64;
        loop {
            let now = clock();
            if now.since(start) >= time {
                return cpu().since(cpu_start).as_nanos() as f64 / ops as f64;
            }
            for _ in 0..256 {
                self.step(load, now);
            }
            ops += 256;
            self.writer.maintain(now, 16);
        }
    }
}

fn fill(table: &Arc<Table>, full: bool) -> Result<(), Error> {
    let w = Worker::new(table, 31, 1)?;
    let end = if full { SIZE } else { KEYS };
    (0..end).for_each(|n| w.update(n, clock()));
    Ok(())
}

fn threads(load: &'static str, n: u32, time: Duration) -> Result<f64, Error> {
    let table = Arc::new(Table::create("bench", schema()?, SLABS)?);
    fill(&table, load == "insert")?;
    let barrier = Barrier::new(n as usize);
    let each: Result<Vec<f64>, Error> = std::thread::scope(|scope| {
        let run = |index| {
            let (table, barrier) = (&table, &barrier);
            scope.spawn(move || {
                let mut w = Worker::new(table, index, n)?;
                barrier.wait();
                Ok(w.run(load, time))
            })
        };
        let all: Vec<_> = (0..n).map(run).collect();
        all.into_iter().map(|t| t.join().map_err(|_| "a thread panicked")?).collect()
    });
    Ok(mean(&each?))
}

/// At most three processes share a table.
fn processes(load: &str, n: u32, time: Duration) -> Result<f64, Error> {
    let table = Arc::new(Table::create("bench", schema()?, SLABS)?);
    fill(&table, load == "insert")?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), table.fd().as_raw_fd());
    let others = (n - 1).min(2);
    let mut children = Vec::new();
    for index in 1..=others {
        let mut command = Command::new(std::env::current_exe()?);
        let (index, n, ms) = (index.to_string(), n.to_string(), time.as_millis().to_string());
        command.args(["--child", &path, load, &index, &n, &ms]).stdout(Stdio::piped());
        children.push(command.spawn()?);
    }
    let mut each = vec![Worker::new(&table, 0, n)?.run(load, time)];
    for child in children {
        let out = child.wait_with_output()?;
        each.push(String::from_utf8(out.stdout)?.trim().parse()?);
    }
    Ok(mean(&each))
}

fn child(args: &[String]) -> Result<(), Error> {
    let [path, load, index, of, ms] = args else { return Err("what a parent gives".into()) };
    let file = File::options().read(true).write(true).open(path)?;
    let table = Arc::new(Table::open(OwnedFd::from(file), schema()?, SLABS, std::process::id(), |_| false)?);
    let ns = Worker::new(&table, index.parse()?, of.parse()?)?.run(load, Duration::from_millis(ms.parse()?));
    writeln!(io::stdout(), "{ns}")?;
    Ok(())
}

fn mean(each: &[f64]) -> f64 {
    each.iter().sum::<f64>() / each.len() as f64
}

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "--child") {
        return child(&args[1..]);
    }
    let seconds: f64 = args.first().map_or(Ok(0.5), |a| a.parse())?;
    let time = Duration::from_secs_f64(seconds);
    let cores = std::thread::available_parallelism()?.get() as u32;
    let mut out = io::stdout();
    writeln!(out, "{} bytes per entry; {cores} processors", schema()?.entry_bytes())?;
    writeln!(out, "ns of processor time per operation, by threads (t) and processes (p)")?;
    writeln!(out, "{:8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}", "", "1t", "2t", "4t", "8t", "2p", "3p")?;
    for (load, about) in LOADS.into_iter().zip(ABOUT) {
        write!(out, "{load:8}")?;
        for n in [1, 2, 4, 8] {
            write!(out, "{:8.1}", threads(load, n, time)?)?;
        }
        for n in [2, 3] {
            write!(out, "{:8.1}", processes(load, n, time)?)?;
        }
        writeln!(out, "   {about}")?;
    }
    Ok(())
}
