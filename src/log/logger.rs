//! Each thread's logger: lines are collected and leave together, without ever blocking the thread.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::addr::SockAddr;
use crate::base::time::Wall;
use crate::net::Datagram;
use crate::sample::Ctx;
use crate::sys::fd;

use super::{Level, LevelOverride, LogFields, LogFormat, ProxyLog, Target};

/// A batch leaves before the end of the turn when it holds this many lines...
const BATCH_LINES: usize = 256;
/// ... or this many bytes.
const BATCH_BYTES: usize = 256 * 1024;
/// Writes to a descriptor hold whole lines up to this size: such a write to a pipe is atomic (PIPE_BUF), and never
/// blocks once poll(2) says that the pipe is writable.
const ATOMIC_WRITE: usize = 4096;
/// What a descriptor that does not take more may leave unwritten of a line that was begun.
const UNFINISHED_MAX: usize = 128 * 1024;

static DROPPED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static LOGGER: RefCell<Logger> = const { RefCell::new(Logger::new()) };
    static PID: Cell<u32> = const { Cell::new(0) };
}

/// The process id, without a system call on threads that write many lines. (A thread that collects lines was started
/// after the last fork; others may be the one that forks.)
pub(super) fn pid() -> u32 {
    match PID.get() {
        0 => std::process::id(),
        pid => pid,
    }
}

/// Collect the lines of this thread from now on, and send them when [`flush`] is called: a worker calls it at the
/// end of each turn. Threads that never call this send each line at once.
pub fn batch_on_this_thread() {
    LOGGER.with_borrow_mut(|l| l.batching = true);
    PID.set(std::process::id());
}

/// Log one exchange, as the options of the frontend say (`dontlognull`, `dontlog-normal`,
/// `log-separate-errors`, `set-log-level`). Cheap when nothing is to be written.
pub fn exchange(
    log: &ProxyLog,
    level: Option<LevelOverride>,
    fields: &LogFields<'_>,
    cx: &dyn Ctx,
    now: Wall,
) {
    if let Some(level) = level_of(log, level, fields) {
        // Without a request only the client's connection is at fault.
        let error = log.error_format.as_ref().filter(|_| fields.http && fields.request_line.is_none());
        traffic(log, error.unwrap_or(&log.format), level, fields, cx, now);
    }
}

/// Log a connection that failed before there was a request (TLS handshake, PROXY protocol), in the
/// `error-log-format` or the legacy text: `ADDR [DATE] FRONTEND/BIND: MESSAGE`.
pub fn connection_error(
    log: &ProxyLog,
    fields: &LogFields<'_>,
    bind_name: &str,
    message: &str,
    cx: &dyn Ctx,
    now: Wall,
) {
    if log.targets.is_empty() || (log.dont_log_null && fields.bytes_uploaded == 0) {
        return;
    }
    let level = if log.separate_errors { Level::Err } else { Level::Info };
    if let Some(format) = &log.error_format {
        return traffic(log, format, level, fields, cx, now);
    }
    let mut line = Vec::new();
    super::builtin::error_prefix().render(fields, cx, &mut line);
    line.extend_from_slice(format!("{bind_name}: {message}").as_bytes());
    log.counter.fetch_add(1, Ordering::Relaxed);
    LOGGER.with_borrow_mut(|l| l.offer(log, level, now, &[], &line));
}

/// Log a message about a proxy or a server ("Server be/s1 is DOWN, ..."). Works on any thread.
pub fn emit_system(log: &ProxyLog, level: Level, message: &str, now: Wall) {
    LOGGER.with_borrow_mut(|l| l.offer(log, level, now, &[], message.as_bytes()));
}

/// Send what this thread has collected. Called once at the end of each turn.
pub fn flush() {
    LOGGER.with_borrow_mut(Logger::flush);
}

/// Lines lost by the whole process so far (`DroppedLogs` of `show info`).
pub fn dropped_total() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// At which level an exchange is logged; `None`: not at all.
fn level_of(log: &ProxyLog, level: Option<LevelOverride>, f: &LogFields<'_>) -> Option<Level> {
    if log.targets.is_empty() || (log.dont_log_null && f.bytes_uploaded == 0) {
        return None;
    }
    let level = match level {
        Some(LevelOverride::Silent) => return None,
        Some(LevelOverride::Level(l)) => Some(l),
        None => None,
    };
    // Something went wrong that was not our own answer ('L'), or the server needed more than one attempt.
    let cause = f.termination[0];
    let abnormal = f.redispatched
        || !matches!(cause, b'-' | b'L')
        || (cause == b'-' && f.retries > 0)
        || f.status.is_some_and(|s| s >= 500);
    if !abnormal && log.dont_log_normal {
        return None;
    }
    match level {
        Some(l) => Some(l),
        None if abnormal && log.separate_errors => Some(Level::Err),
        None => Some(Level::Info),
    }
}

fn traffic(
    log: &ProxyLog,
    format: &LogFormat,
    level: Level,
    fields: &LogFields<'_>,
    cx: &dyn Ctx,
    now: Wall,
) {
    if log.targets.is_empty() {
        return;
    }
    LOGGER.with_borrow_mut(|l| {
        let (mut line, mut sd) = (std::mem::take(&mut l.line), std::mem::take(&mut l.sd));
        line.clear();
        sd.clear();
        format.render(fields, cx, &mut line);
        if let Some(f) = &log.format_sd {
            f.render(fields, cx, &mut sd);
        }
        log.counter.fetch_add(1, Ordering::Relaxed);
        l.offer(log, level, now, &sd, &line);
        (l.line, l.sd) = (line, sd);
    });
}

struct Logger {
    batching: bool,
    /// By target number.
    sinks: Vec<Option<Sink>>,
    /// Numbers of the targets that hold lines.
    dirty: Vec<usize>,
    line: Vec<u8>,
    sd: Vec<u8>,
}

/// One target on one thread.
struct Sink {
    target: Arc<Target>,
    way: Way,
    /// The datagrams, one after the other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

enum Way {
    /// Opened at first use; tried again at each batch when that failed.
    Datagram(Option<Datagram>),
    /// What is left of a line whose beginning was written.
    Fd(i32, Vec<u8>),
}

impl Logger {
    const fn new() -> Logger {
        Logger { batching: false, sinks: Vec::new(), dirty: Vec::new(), line: Vec::new(), sd: Vec::new() }
    }

    /// Give a message to every target that wants it.
    fn offer(&mut self, log: &ProxyLog, level: Level, now: Wall, sd: &[u8], message: &[u8]) {
        for target in &log.targets {
            if !target.takes(level) {
                continue;
            }
            let sink = self.sink(target);
            target.frame(&mut sink.bytes, log, level, now, sd, message);
            sink.ends.push(sink.bytes.len());
            let (first, full) =
                (sink.ends.len() == 1, sink.ends.len() >= BATCH_LINES || sink.bytes.len() >= BATCH_BYTES);
            if full {
                sink.send();
            } else if first {
                self.dirty.push(target.id);
            }
        }
        if !self.batching {
            self.flush();
        }
    }

    fn sink(&mut self, target: &Arc<Target>) -> &mut Sink {
        if self.sinks.len() <= target.id {
            self.sinks.resize_with(target.id + 1, || None);
        }
        self.sinks[target.id].get_or_insert_with(|| Sink::new(target.clone()))
    }

    fn flush(&mut self) {
        for id in self.dirty.drain(..) {
            if let Some(sink) = &mut self.sinks[id] {
                sink.send();
            }
        }
    }
}

impl Sink {
    fn new(target: Arc<Target>) -> Sink {
        let way = match target.addr {
            SockAddr::Fd(n) => Way::Fd(n, Vec::new()),
            _ => Way::Datagram(None),
        };
        Sink { target, way, bytes: Vec::new(), ends: Vec::new() }
    }

    /// Send the batch. What is not taken is lost, and counted.
    fn send(&mut self) {
        let offered = self.ends.len();
        if offered == 0 {
            return;
        }
        let taken = match &mut self.way {
            Way::Datagram(socket) => send_datagrams(socket, &self.target.addr, &self.bytes, &self.ends),
            Way::Fd(n, unfinished) => write_lines(*n, unfinished, &self.bytes, &self.ends),
        };
        let lost = (offered - taken.min(offered)) as u64;
        if lost > 0 {
            self.target.count_dropped(lost);
            DROPPED.fetch_add(lost, Ordering::Relaxed);
        }
        self.bytes.clear();
        self.ends.clear();
    }
}

fn send_datagrams(socket: &mut Option<Datagram>, addr: &SockAddr, bytes: &[u8], ends: &[usize]) -> usize {
    if socket.is_none() {
        *socket = crate::net::SockAddr::configured(addr).and_then(|a| Datagram::new(&a).ok());
    }
    let Some(socket) = socket else { return 0 };
    let mut from = 0;
    let messages: smallvec::SmallVec<[&[u8]; 64]> = ends
        .iter()
        .map(|end| {
            let m = &bytes[from..*end];
            from = *end;
            m
        })
        .collect();
    socket.send_batch(&messages)
}

/// Write whole lines, several in one call as long as the write stays atomic. Gives the number of lines taken.
fn write_lines(n: i32, unfinished: &mut Vec<u8>, bytes: &[u8], ends: &[usize]) -> usize {
    if !unfinished.is_empty() {
        let done = write_some(n, unfinished);
        unfinished.drain(..done);
        if !unfinished.is_empty() {
            return 0;
        }
    }
    let (mut from, mut taken) = (0, 0);
    while taken < ends.len() {
        // As many lines as fit, and at least one.
        let fit = ends[taken..].iter().take_while(|end| **end - from <= ATOMIC_WRITE).count().max(1);
        let end = ends[taken + fit - 1];
        let done = write_some(n, &bytes[from..end]);
        if done == end - from {
            taken += fit;
            from = end;
            continue;
        }
        // Lines that were written whole count; a torn one is finished before anything else is written.
        let whole = ends[taken..].iter().take_while(|e| **e - from <= done).count();
        let torn_from = if whole == 0 { 0 } else { ends[taken + whole - 1] - from };
        taken += whole;
        if done > torn_from && end - from - done <= UNFINISHED_MAX {
            unfinished.extend_from_slice(&bytes[from + done..ends[taken]]);
            taken += 1;
        }
        return taken;
    }
    taken
}

/// Write without blocking; the number of bytes taken.
fn write_some(n: i32, bytes: &[u8]) -> usize {
    let mut done = 0;
    while done < bytes.len() {
        let part = &bytes[done..bytes.len().min(done + ATOMIC_WRITE)];
        match fd::try_write(n, part) {
            Ok(0) | Err(_) => break,
            Ok(k) => done += k,
        }
    }
    done
}
