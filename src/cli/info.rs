//! `show info` and `show activity`.

use std::cell::Cell;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::commands::{Call, Next};
use super::{Context, internals, peers};
use crate::base::time::Mono;
use crate::runtime;
use crate::stats::{self, Value};

/// A field of `show info`: name, tags, value, what it is.
type Line = (&'static str, &'static str, Value, &'static str);

fn small(v: u64) -> Value {
    u32::try_from(v).unwrap_or(u32::MAX).into()
}

fn text(s: &str) -> Value {
    Value::Text(s.to_owned())
}

const ZERO: Value = Value::U32(0);

/// What does not change by itself.
fn process(cx: &Context) -> Vec<Line> {
    let facts = &cx.facts;
    let uptime = runtime::now().since(facts.since).as_secs();
    let (days, hours, minutes) = (uptime / 86400, uptime / 3600 % 24, uptime / 60 % 60);
    let (allocated, used) = internals::pool_bytes(cx);
    let (limits, maxconn) = (&facts.limits, facts.limits.maxconn as u64);
    let maxconn_now = cx.live.process.maxconn.get(u32::try_from(maxconn).unwrap_or(u32::MAX));
    vec![
        ("Name", "POS", text("Haring"), "name of the program"),
        ("Version", "POS", text(&facts.version), "its version"),
        ("Release_date", "POS", text(facts.release_date), "date of the version"),
        ("Nbthread", "CGS", small(facts.threads as u64), "worker threads"),
        ("Nbproc", "CGS", 1u32.into(), "worker processes, always 1"),
        ("Process_num", "KGP", 1u32.into(), "number of this worker process, always 1"),
        ("Pid", "SGP", facts.pid.into(), "the system's number of this worker process"),
        (
            "Uptime",
            "MDP",
            format!("{days}d {hours}h{minutes:02}m{:02}s", uptime % 60).into(),
            "time since the start",
        ),
        ("Uptime_sec", "MDP", small(uptime), "time since the start, in seconds"),
        ("Memmax_MB", "CLP", small(facts.memory_max_mb), "limit of memory (-m), in MiB; 0: none"),
        ("PoolAlloc_MB", "MGP", small(allocated >> 20), "memory set aside by pools and stick tables, in MiB"),
        ("PoolUsed_MB", "MGP", small(used >> 20), "part of it that is in use, in MiB"),
        ("PoolFailed", "MCP", ZERO, "failed allocations of pools"),
        ("Ulimit-n", "CLP", small(limits.descriptors), "limit of file descriptors"),
        ("Maxsock", "CLP", small(limits.descriptors), "limit of sockets"),
        ("Maxconn", "CLP", maxconn_now.into(), "limit of connections ('set maxconn global' changes it)"),
        ("Hard_maxconn", "CLP", small(maxconn), "limit of connections that the process was started for"),
    ]
}

/// Connections, requests and their rates.
fn traffic(cx: &Context) -> Vec<Line> {
    let (facts, state) = (&cx.facts, &cx.live.process);
    let now = runtime::now();
    let t = cx.live.process_totals();
    let pipes = crate::net::pipe_counts();
    let conn_limit = state.max_connection_rate.get(facts.maxconnrate);
    let sess_limit = state.max_session_rate.get(facts.maxsessrate);
    let conn_rate = state.connection_rate.get(t.connections, now.0);
    let sess_rate = state.session_rate.get(t.sessions, now.0);
    vec![
        ("CurrConns", "MGP", state.connections.get().into(), "client connections now"),
        ("CumConns", "MCP", Value::U64(t.connections), "client connections since the start"),
        ("CumReq", "MCP", Value::U64(t.requests), "requests since the start"),
        ("MaxSslConns", "MMP", ZERO, NO_TLS),
        ("CurrSslConns", "MGP", ZERO, NO_TLS),
        ("CumSslConns", "MCP", ZERO, NO_TLS),
        ("Maxpipes", "CLP", small(facts.limits.maxpipes as u64), "limit of pipes for splicing"),
        ("PipesUsed", "MGP", small(pipes.0 as u64), "pipes in use"),
        ("PipesFree", "MGP", small(pipes.1 as u64), "pipes that wait to be used again"),
        ("ConnRate", "MRP", conn_rate.into(), "client connections in the last second"),
        ("ConnRateLimit", "CLP", conn_limit.into(), "limit of ConnRate; 0: none"),
        ("MaxConnRate", "MMP", state.connection_rate.max().into(), "highest ConnRate"),
        ("SessRate", "MRP", sess_rate.into(), "sessions in the last second"),
        ("SessRateLimit", "CLP", sess_limit.into(), "limit of SessRate; 0: none"),
        ("MaxSessRate", "MMP", state.session_rate.max().into(), "highest SessRate"),
        ("SslRate", "MRP", ZERO, NO_TLS),
        ("SslRateLimit", "CLP", ZERO, NO_TLS),
        ("MaxSslRate", "MMP", ZERO, NO_TLS),
        ("SslFrontendKeyRate", "MGP", ZERO, NO_TLS),
        ("SslFrontendMaxKeyRate", "MMP", ZERO, NO_TLS),
        ("SslFrontendSessionReuse_pct", "MGP", ZERO, NO_TLS),
        ("SslBackendKeyRate", "MRP", ZERO, NO_TLS),
        ("SslBackendMaxKeyRate", "MMP", ZERO, NO_TLS),
        ("SslCacheLookups", "MCP", ZERO, NO_TLS),
        ("SslCacheMisses", "MCP", ZERO, NO_TLS),
        ("CompressBpsIn", "MGP", ZERO, NO_COMPRESSION),
        ("CompressBpsOut", "MGP", ZERO, NO_COMPRESSION),
        ("CompressBpsRateLim", "CLP", ZERO, NO_COMPRESSION),
    ]
}

/// Tools expect these counters; without the features they stand at zero.
const NO_TLS: &str = "0: no TLS in this build";
const NO_COMPRESSION: &str = "0: no compression in this build";

/// What the process is doing.
fn activities(cx: &Context) -> Vec<Line> {
    let facts = &cx.facts;
    let t = cx.live.process_totals();
    let (idle, bytes_rate) = since_last(cx, t.bytes_out);
    let jobs = u64::from(cx.live.process.connections.get()) + facts.listeners as u64;
    let (active, connected) = peers::counts();
    let mut lines: Vec<Line> = vec![
        ("Tasks", "MGP", tasks(cx).into(), "connections, checks, agents and listeners"),
        // What this thread had to run was done before it came to this command.
        ("Run_queue", "MGP", ZERO, "tasks that wait for their turn"),
        ("Idle_pct", "MaP", idle.into(), "share of time that the threads waited, since a 'show info' before"),
        ("node", "COS", text(&facts.node), "name of this node ('node')"),
    ];
    if let Some(description) = &facts.description {
        lines.push(("description", "COS", text(description), "what the node is for ('description')"));
    }
    lines.extend([
        (
            "Stopping",
            "MGP",
            Value::U32(u32::from(cx.live.process.stopping.load(Relaxed))),
            "1 while the process is stopping",
        ),
        ("Jobs", "MGP", small(jobs), "client connections and listeners"),
        ("Unstoppable Jobs", "MGP", ZERO, "jobs that outlive a stop"),
        ("Listeners", "MGP", small(facts.listeners as u64), "listening sockets"),
        ("ActivePeers", "MGP", small(active), "connections of peers, also those that are being made"),
        ("ConnectedPeers", "MGP", small(connected), "connections of peers past the handshake"),
        ("DroppedLogs", "MCP", small(crate::log::dropped_total()), "log lines that were dropped"),
        ("BusyPolling", "MGP", ZERO, "1 while threads poll without waiting"),
        ("FailedResolutions", "MCP", ZERO, "failed name resolutions"),
        ("TotalBytesOut", "MCP", Value::U64(t.bytes_out), "bytes sent since the start"),
        ("TotalSplicedBytesOut", "MCP", Value::U64(t.spliced_bytes), "bytes sent through pipes"),
        ("BytesOutRate", "MRP", Value::U64(bytes_rate), "bytes sent per second, since a 'show info' before"),
        ("DebugCommandsIssued", "MCP", ZERO, "debug commands: there are none"),
        ("CumRecvLogs", "MCP", ZERO, "log messages received"),
    ]);
    lines
}

fn lines(cx: &Context) -> Vec<Line> {
    let facts = &cx.facts;
    let (allocated, used) = internals::pool_bytes(cx);
    let mut lines = process(cx);
    lines.extend(traffic(cx));
    lines.extend(activities(cx));
    lines.extend([
        ("Build info", "POS", text(&facts.version), "version and build"),
        ("Memmax_bytes", "CLP", Value::U64(facts.memory_max_mb << 20), "limit of memory (-m), in bytes"),
        ("PoolAlloc_bytes", "MGP", Value::U64(allocated), "memory set aside by pools and stick tables"),
        ("PoolUsed_bytes", "MGP", Value::U64(used), "part of it that is in use"),
        (
            "Start_time_sec",
            "MDP",
            small(facts.since_wall.0 / 1_000_000),
            "time of the start, in seconds since 1970",
        ),
        ("Tainted", "SGP", text("0"), "0: nothing experimental was used"),
    ]);
    lines
}

/// What `Idle_pct` and `BytesOutRate` are measured from.
#[derive(Clone, Copy)]
struct Sample {
    at: Mono,
    cpu_ns: u64,
    bytes_out: u64,
}

thread_local! {
    /// The last two samples, at least a second apart. One thread serves all admin sockets.
    static SAMPLES: Cell<[Option<Sample>; 2]> = const { Cell::new([None; 2]) };
}

/// Percent of time that the threads waited, and bytes per second, measured over a second at least; over the time since
/// the start when this is the first time that somebody asks.
fn since_last(cx: &Context, bytes_out: u64) -> (u32, u64) {
    let now = Sample { at: runtime::now(), cpu_ns: internals::cpu_ns(cx), bytes_out };
    let before = cx.live.past.process.bytes_out.get();
    let start = Sample { at: cx.facts.started, cpu_ns: 0, bytes_out: before };
    let [older, newer] = SAMPLES.get();
    let old_enough = |s: &Sample| now.at.since(s.at) >= Duration::from_secs(1);
    let from = match newer.filter(old_enough) {
        Some(newer) => {
            SAMPLES.set([Some(newer), Some(now)]);
            newer
        }
        None => {
            SAMPLES.set([older, newer.or(Some(now))]);
            older.unwrap_or(start)
        }
    };
    let ns = u64::try_from(now.at.since(from.at).as_nanos()).unwrap_or(u64::MAX).max(1);
    let busy = u128::from(now.cpu_ns.saturating_sub(from.cpu_ns)) * 100;
    let busy = (busy / (u128::from(ns) * cx.facts.threads.max(1) as u128)).min(100);
    let rate = u128::from(bytes_out.saturating_sub(from.bytes_out)) * 1_000_000_000 / u128::from(ns);
    (100 - busy as u32, u64::try_from(rate).unwrap_or(u64::MAX))
}

/// Tasks of all threads: one for each client connection, check, agent and listener.
fn tasks(cx: &Context) -> u32 {
    let servers = cx.snapshot.proxies.iter().flat_map(|p| &p.backend).flat_map(|b| &b.servers);
    let checks =
        servers.map(|s| u32::from(s.check.enabled == Some(true)) + u32::from(s.check.agent == Some(true)));
    cx.live.process.connections.get() + checks.sum::<u32>() + cx.facts.listeners as u32
}

/// `show info [typed|json] [desc]`.
pub fn info(call: &mut Call<'_>) -> Next {
    let lines = lines(call.cx);
    let has = |word: &str| call.args.iter().any(|a| a == word);
    let with_docs = has("desc");
    // Writing to a String cannot fail.
    if has("json") {
        call.out.push('[');
        for (i, (name, tags, value, _)) in lines.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let _ =
                write!(call.out, "{comma}{{\"field\":{{\"pos\":{i},\"name\":\"{name}\"}},\"processNum\":1,");
            stats::json_value(tags, value, call.out);
            call.out.push('}');
        }
        call.out.push_str("]\n");
        return Next::Continue;
    }
    for (i, (name, tags, value, doc)) in lines.iter().enumerate() {
        let _ = match has("typed") {
            true => write!(call.out, "{i}.{name}.1:{tags}:{}:{value}", value.kind()),
            false => write!(call.out, "{name}: {value}"),
        };
        if with_docs {
            let _ = write!(call.out, ":\"{doc}\"");
        }
        call.out.push('\n');
    }
    Next::Continue
}

/// `show activity`: the counters of each thread.
pub fn activity(call: &mut Call<'_>) -> Next {
    let live = &call.cx.live;
    let _ = writeln!(call.out, "thread_id: {} (1..{})", runtime::thread_index() + 1, live.threads.len());
    let wall = runtime::wall().0;
    let _ = writeln!(call.out, "date_now: {}.{:06}", wall / 1_000_000, wall % 1_000_000);
    let mut line = |name: &str, values: Vec<u64>| {
        let total: u64 = values.iter().sum();
        let each: Vec<String> = values.iter().map(u64::to_string).collect();
        let _ = writeln!(call.out, "{name}: {total} [ {} ]", each.join(" "));
    };
    line("accepted", live.threads.iter().map(|t| t.process.connections.get()).collect());
    line("requests", live.threads.iter().map(|t| t.process.requests.get()).collect());
    line("streams", live.threads.iter().map(|t| t.process.sessions.get()).collect());
    line("bytes_out", live.threads.iter().map(|t| t.process.bytes_out.get()).collect());
    line("spliced_bytes", live.threads.iter().map(|t| t.process.spliced_bytes.get()).collect());
    line("accept_failures", live.threads.iter().map(|t| t.process.accept_failures.get()).collect());
    let checks: u64 = live.servers.iter().map(|s| s.check_failures.load(Relaxed)).sum();
    let _ = writeln!(call.out, "failed_checks: {checks}");
    Next::Continue
}
