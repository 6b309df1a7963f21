//! One run of one contestant: load on one processor, proxy on the other, processor time before and after.

use super::Options;
use super::process::{self, Running};
use super::scenario::{Scenario, Unit};
use crate::net::Failure;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What one run gave.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The scenario's figure, in its unit.
    pub figure: f64,
    /// Requests answered.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Bytes received by the load generator.
    pub bytes: u64,
    /// How long the run took, in seconds.
    pub seconds: f64,
    /// Processor time of the proxy, in seconds.
    pub cpu: f64,
    /// Latencies in microseconds: 50, 90, 99, 99.9, 99.99 and 100 %.
    pub latency: [f64; 6],
}

/// Runs the load generator for `seconds`.
fn load(options: &Options, scenario: &Scenario, port: u16, seconds: f64) -> Result<Sample, Failure> {
    let mut command: Vec<String> = vec![options.me.clone(), "load".into(), "--plain".into()];
    let rate = options.rate.to_string();
    command.extend(scenario.load.iter().map(|word| word.replace("@RATE@", &rate)));
    command.push(format!("--seconds={seconds}"));
    command.push(format!("http://127.0.0.1:{port}{}", scenario.path));
    let child = process::spawn_on(options.load_cpu, &command, Stdio::piped(), Stdio::inherit())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err("the load generator failed".into());
    }
    let text = String::from_utf8(output.stdout)?;
    let values: HashMap<&str, f64> = text
        .lines()
        .filter_map(|l| l.split_once(' '))
        .filter_map(|(k, v)| Some((k, v.parse().ok()?)))
        .collect();
    let get = |name: &str| values.get(name).copied().unwrap_or(0.0);
    Ok(Sample {
        requests: get("requests") as u64,
        failed: get("failed") as u64,
        bytes: get("bytes") as u64,
        seconds: get("seconds"),
        latency: ["p50", "p90", "p99", "p99.9", "p99.99", "p100"].map(|p| get(p) / 1000.0),
        ..Sample::default()
    })
}

/// A short run that fills pools and connection caches and is not counted.
pub fn warm_up(options: &Options, scenario: &Scenario, proxy: &Running) -> Result<(), Failure> {
    load(options, scenario, proxy.port, options.seconds.min(1.0)).map(drop)
}

/// One counted run.
pub fn run(options: &Options, scenario: &Scenario, proxy: &Running) -> Result<Sample, Failure> {
    match scenario.unit {
        Unit::Calls => return calls(options, scenario, proxy),
        Unit::BytesPerConnection => return idle(options, scenario, proxy),
        _ => {}
    }
    let before = proxy.cpu();
    let mut sample = load(options, scenario, proxy.port, options.seconds)?;
    sample.cpu = proxy.cpu() - before;
    if sample.requests == 0 {
        return Err("no request was answered".into());
    }
    sample.figure = match scenario.unit {
        Unit::SecondsPerGib => sample.cpu / (sample.bytes as f64 / f64::from(1 << 30)),
        Unit::Latency => sample.latency[2],
        _ => sample.cpu * 1e6 / sample.requests as f64,
    };
    Ok(sample)
}

/// System calls per request, counted by strace in a run of its own (it slows everything down).
fn calls(options: &Options, scenario: &Scenario, proxy: &Running) -> Result<Sample, Failure> {
    let file = options.work.join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-qq", "-o"]).arg(&file);
    for pid in proxy.pids() {
        command.args(["-p", &pid.to_string()]);
    }
    let mut strace = command.stdin(Stdio::null()).spawn().map_err(|e| format!("strace: {e}"))?;
    std::thread::sleep(Duration::from_millis(500));
    let sample = load(options, scenario, proxy.port, options.seconds.min(2.0));
    kill(Pid::from_raw(strace.id() as i32), Signal::SIGINT)?;
    strace.wait()?;
    let mut sample = sample?;
    let text = std::fs::read_to_string(&file)?;
    let total =
        text.lines().rev().find(|l| l.trim_end().ends_with("total")).ok_or("strace counted nothing")?;
    let calls: f64 =
        total.split_whitespace().nth(3).and_then(|n| n.parse().ok()).ok_or("strace: no total")?;
    sample.figure = calls / sample.requests.max(1) as f64;
    Ok(sample)
}

/// Growth of the proxy's private memory per idle connection.
fn idle(options: &Options, scenario: &Scenario, proxy: &Running) -> Result<Sample, Failure> {
    let before = proxy.private_memory();
    let count = options.idle_connections;
    let url = format!("http://127.0.0.1:{}{}", proxy.port, scenario.path);
    let command = [options.me.clone(), "idle".into(), "--connections".into(), count.to_string(), url];
    let mut child = process::spawn_on(options.load_cpu, &command, Stdio::piped(), Stdio::inherit())?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let ready = lines.next().transpose()?.unwrap_or_default();
    if ready != format!("ready {count}") {
        let _ = child.wait();
        return Err(format!("could not open {count} connections").into());
    }
    std::thread::sleep(Duration::from_secs(1));
    let after = proxy.private_memory();
    drop(child.stdin.take());
    let open = lines.next().transpose()?.unwrap_or_default();
    child.wait()?;
    if open != format!("open {count}") {
        return Err(format!("of {count} idle connections these are left: {open}").into());
    }
    let figure = after.saturating_sub(before) as f64 / count as f64;
    Ok(Sample { figure, requests: count as u64, ..Sample::default() })
}
