//! `show info` and `show activity`.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use super::commands::{Call, Next};
use crate::runtime;
use crate::stats::{self, Value};

/// Fields of `show info`: name, tags, value.
type Line = (&'static str, &'static str, Value);

fn lines(call: &Call<'_>) -> Vec<Line> {
    let cx = call.cx;
    let facts = &cx.facts;
    let now = runtime::now();
    let uptime = now.since(facts.started).as_secs();
    let t = cx.live.process_totals();
    let state = &cx.live.process;
    let pipes = crate::net::pipe_counts();
    let small = |v: u64| u32::try_from(v).unwrap_or(u32::MAX);
    let text = |s: &str| Value::Text(s.to_owned());
    let (days, hours, minutes) = (uptime / 86400, uptime / 3600 % 24, uptime / 60 % 60);
    let mut lines: Vec<Line> = vec![
        ("Name", "POS", text("Haring")),
        ("Version", "POS", text(&facts.version)),
        ("Release_date", "POS", text(facts.release_date)),
        ("Nbthread", "CGS", small(facts.threads as u64).into()),
        ("Nbproc", "CGS", 1u32.into()),
        ("Process_num", "KGP", 1u32.into()),
        ("Pid", "SGP", facts.pid.into()),
        ("Uptime", "MDP", format!("{days}d {hours}h{minutes:02}m{:02}s", uptime % 60).into()),
        ("Uptime_sec", "MDP", small(uptime).into()),
        ("Memmax_MB", "CLP", small(facts.memory_max_mb).into()),
        ("Ulimit-n", "CLP", small(facts.limits.descriptors).into()),
        ("Maxsock", "CLP", small(facts.limits.descriptors).into()),
        ("Maxconn", "CLP", state.maxconn.get(small(facts.limits.maxconn as u64)).into()),
        ("Hard_maxconn", "CLP", small(facts.limits.maxconn as u64).into()),
        ("CurrConns", "MGP", state.connections.get().into()),
        ("CumConns", "MCP", Value::U64(t.connections)),
        ("CumReq", "MCP", Value::U64(t.requests)),
        ("Maxpipes", "CLP", small(facts.limits.maxpipes as u64).into()),
        ("PipesUsed", "MGP", small(pipes.0 as u64).into()),
        ("PipesFree", "MGP", small(pipes.1 as u64).into()),
        ("ConnRate", "MRP", state.connection_rate.get(t.connections, now.0).into()),
        ("ConnRateLimit", "CLP", state.max_connection_rate.get(facts.maxconnrate).into()),
        ("MaxConnRate", "MMP", state.connection_rate.max().into()),
        ("SessRate", "MRP", state.session_rate.get(t.sessions, now.0).into()),
        ("SessRateLimit", "CLP", state.max_session_rate.get(facts.maxsessrate).into()),
        ("MaxSessRate", "MMP", state.session_rate.max().into()),
    ];
    lines.extend(ABSENT.iter().map(|name| (*name, "MCP", Value::U32(0))));
    lines.extend([
        ("Tasks", "MGP", tasks(call).into()),
        // What this thread had to run was done before it came to this command.
        ("Run_queue", "MGP", 0u32.into()),
        ("node", "CNs", text(&facts.node)),
    ]);
    if let Some(description) = &facts.description {
        lines.push(("description", "CNs", text(description)));
    }
    lines.extend([
        ("Stopping", "SGP", 0u32.into()),
        ("Listeners", "SGP", small(facts.listeners as u64).into()),
        ("DroppedLogs", "MCP", small(crate::log::dropped_total()).into()),
        ("TotalBytesOut", "MCP", Value::U64(t.bytes_out)),
        ("TotalSplicedBytesOut", "MCP", Value::U64(t.spliced_bytes)),
        ("Build info", "POS", text(&facts.version)),
        ("Memmax_bytes", "CLP", Value::U64(facts.memory_max_mb << 20)),
        ("Start_time_sec", "SDP", small(facts.started_wall.0 / 1_000_000).into()),
    ]);
    lines
}

/// Counters of TLS, compression and peers: tools expect them, and without the features they stand at zero.
const ABSENT: [&str; 17] = [
    "MaxSslConns",
    "CurrSslConns",
    "CumSslConns",
    "SslRate",
    "SslRateLimit",
    "MaxSslRate",
    "SslFrontendKeyRate",
    "SslFrontendMaxKeyRate",
    "SslFrontendSessionReuse_pct",
    "SslBackendKeyRate",
    "SslBackendMaxKeyRate",
    "SslCacheLookups",
    "SslCacheMisses",
    "CompressBpsIn",
    "CompressBpsOut",
    "CompressBpsRateLim",
    "ActivePeers",
];

/// Tasks of all threads: one for each client connection, check, agent and listener.
fn tasks(call: &Call<'_>) -> u32 {
    let cx = call.cx;
    let servers = cx.snapshot.proxies.iter().flat_map(|p| &p.backend).flat_map(|b| &b.servers);
    let checks =
        servers.map(|s| u32::from(s.check.enabled == Some(true)) + u32::from(s.check.agent == Some(true)));
    cx.live.process.connections.get() + checks.sum::<u32>() + cx.facts.listeners as u32
}

/// `show info [typed|json]`.
pub fn info(call: &mut Call<'_>) -> Next {
    let lines = lines(call);
    let has = |word: &str| call.args.iter().any(|a| a == word);
    if has("json") {
        call.out.push('[');
        for (i, (name, tags, value)) in lines.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            // Writing to a String cannot fail.
            let _ =
                write!(call.out, "{comma}{{\"field\":{{\"pos\":{i},\"name\":\"{name}\"}},\"processNum\":1,");
            stats::json_value(tags, value, call.out);
            call.out.push('}');
        }
        call.out.push_str("]\n");
    } else if has("typed") {
        for (i, (name, tags, value)) in lines.iter().enumerate() {
            let _ = writeln!(call.out, "{i}.{name}.1:{tags}:{}:{value}", value.kind());
        }
    } else {
        for (name, _, value) in &lines {
            let _ = writeln!(call.out, "{name}: {value}");
        }
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
