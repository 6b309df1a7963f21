//! `show fd`, `show pools`, `show threads`: for developers. What they print is not for tools (management manual), and
//! describes our own insides.

use std::fmt::Write;
use std::os::fd::RawFd;

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getpeername, getsockname};

use super::Context;
use super::commands::{Call, Next};
use crate::{net, runtime};

/// Most descriptors that one command lists: the thread that lists them serves clients, too.
const FDS_MAX: usize = 5000;

/// `show fd [<fd>]`.
pub fn fds(call: &mut Call<'_>) -> Next {
    let numbers: Vec<RawFd> = match call.args.first() {
        Some(text) => text.parse().ok().into_iter().collect(),
        None => {
            let Ok(dir) = std::fs::read_dir("/proc/self/fd") else {
                call.out.push_str("/proc is not there.\n");
                return Next::Continue;
            };
            let mut all: Vec<RawFd> =
                dir.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
            all.sort_unstable();
            all
        }
    };
    for fd in numbers.iter().take(FDS_MAX) {
        let Ok(target) = std::fs::read_link(format!("/proc/self/fd/{fd}")) else { continue };
        let _ = write!(call.out, "{fd:>7} : {}", target.display());
        socket(*fd, call.out);
        call.out.push('\n');
    }
    if numbers.len() > FDS_MAX {
        let _ = writeln!(call.out, "        and {} more: 'show fd <number>'", numbers.len() - FDS_MAX);
    }
    Next::Continue
}

fn socket(fd: RawFd, out: &mut String) {
    let Ok(local) = getsockname::<SockaddrStorage>(fd) else { return };
    let family = match local.family() {
        Some(AddressFamily::Inet) => "ipv4",
        Some(AddressFamily::Inet6) => "ipv6",
        Some(AddressFamily::Unix) => "unix",
        _ => "other",
    };
    let _ = write!(out, " fam={family}");
    if family.starts_with("ip") {
        let _ = write!(out, " local={local}");
        if let Ok(peer) = getpeername::<SockaddrStorage>(fd) {
            let _ = write!(out, " peer={peer}");
        }
    }
}

/// The line of /proc/self/task/<tid>/schedstat: nanoseconds on a processor, nanoseconds of waiting for one, turns.
fn schedstat(tid: u32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/schedstat")).ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The system's numbers of the process's threads, with their names.
fn tids() -> Vec<(u32, String)> {
    let mut tasks: Vec<(u32, String)> = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .map(|tid: u32| {
            (tid, std::fs::read_to_string(format!("/proc/self/task/{tid}/comm")).unwrap_or_default())
        })
        .collect();
    tasks.sort_unstable();
    tasks
}

/// Time that the worker threads have spent on processors, in nanoseconds.
pub fn cpu_ns(cx: &Context) -> u64 {
    let workers = 1..=cx.live.threads.len();
    let names: Vec<String> = workers.map(|n| format!("haring/{n}")).collect();
    let is_worker = |comm: &str| names.iter().any(|n| n == comm.trim_end());
    tids()
        .iter()
        .filter(|(_, comm)| is_worker(comm))
        .filter_map(|(tid, _)| schedstat(*tid))
        .map(|s| s.0)
        .sum()
}

/// `show threads`: the one that serves the command has a star.
pub fn threads(call: &mut Call<'_>) -> Next {
    let tasks = tids();
    let live = &call.cx.live;
    for (index, counters) in live.threads.iter().enumerate() {
        let star = if index == runtime::thread_index() { '*' } else { ' ' };
        let name = format!("haring/{}", index + 1);
        let tid = tasks.iter().find(|(_, comm)| comm.trim_end() == name).map_or(0, |(tid, _)| *tid);
        let (cpu, wait) = schedstat(tid).unwrap_or_default();
        let t = &counters.process;
        let _ = writeln!(call.out, "{star} Thread {} : id={tid} name={name}", index + 1);
        let _ = writeln!(call.out, "             cpu_ns={cpu} wait_ns={wait}");
        let _ = writeln!(
            call.out,
            "             conns={} streams={} reqs={} bytes_out={}",
            t.connections.get(),
            t.sessions.get(),
            t.requests.get(),
            t.bytes_out.get()
        );
    }
    Next::Continue
}

/// One line of `show pools`: records of one size.
struct Pool {
    name: String,
    size: usize,
    allocated: usize,
    used: usize,
}

fn all_pools(cx: &Context) -> Vec<Pool> {
    let (pipes_used, pipes_idle) = net::pipe_counts();
    let mut pools = vec![Pool {
        name: "pipe".to_owned(),
        size: 1 << 20,
        allocated: pipes_used + pipes_idle,
        used: pipes_used,
    }];
    for (_, name, table) in cx.stick.iter() {
        let schema = table.schema();
        let used = table.used() as usize;
        pools.push(Pool {
            name: format!("table {name}"),
            size: schema.entry_bytes(),
            allocated: schema.size as usize,
            used,
        });
    }
    pools
}

/// Bytes that pools and stick tables have set aside, and the part of it that is in use.
pub fn pool_bytes(cx: &Context) -> (u64, u64) {
    let pools = all_pools(cx);
    let bytes = |count: fn(&Pool) -> usize| pools.iter().map(|p| (count(p) * p.size) as u64).sum();
    (bytes(|p| p.allocated), bytes(|p| p.used))
}

/// `show pools`: what the program keeps in pools of its own. The rest is on the heap.
pub fn pools(call: &mut Call<'_>) -> Next {
    let pools = all_pools(call.cx);
    call.out.push_str("Dumping pools usage.\n");
    for p in &pools {
        let _ = writeln!(
            call.out,
            "  - Pool {} ({} bytes) : {} allocated ({} bytes), {} used",
            p.name,
            p.size,
            p.allocated,
            p.allocated * p.size,
            p.used
        );
    }
    let (allocated, used) = pool_bytes(call.cx);
    let _ = writeln!(call.out, "Total: {} pools, {allocated} bytes allocated, {used} used.", pools.len());
    Next::Continue
}

/// `debug dev ...`: there is nothing behind it, at any level.
pub fn debug(call: &mut Call<'_>) -> Next {
    call.out.push_str("Commands that crash, stall or read the memory of the process do not exist here.\n");
    Next::Continue
}
