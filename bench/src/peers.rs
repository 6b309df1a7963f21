//! What replication costs: two nodes, new sessions at a fixed rate through the first, bytes between the nodes and
//! processor time of both.

use crate::args::Args;
use crate::load::{self, FRESH, Plan};
use crate::net::{Failure, Url};
use crate::rig::process::{self, Running};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CONF: &str = "# One node of two that replicate a table.
global
    nbthread 1
    maxconn 4000
    stats socket @DIR@/@NODE@.sock level admin

defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s

peers pair
    peer one 127.0.0.1:@PEER1@
    peer two 127.0.0.1:@PEER2@

frontend in
    bind 127.0.0.1:@PORT@ backlog 4096
    default_backend app

backend app
    stick-table type string len 32 size 2m expire 30m peers pair
    stick on url_param(sid)
    server s1 127.0.0.1:@ORIGIN@
";

/// What one run gave.
struct Figures {
    requests: u64,
    failed: u64,
    /// Bytes on the connections between the nodes, both directions.
    bytes: u64,
    /// Entries that the second node has at the end, of those that the first one has.
    arrived: u64,
    made: u64,
    cpu: [f64; 2],
}

struct Pair {
    nodes: [Running; 2],
    sockets: [PathBuf; 2],
    peers: [u16; 2],
}

struct Options {
    rate: f64,
    seconds: f64,
    origin: u16,
    work: PathBuf,
}

/// `haring-bench peers`
pub fn main(all: &[String]) -> Result<(), Failure> {
    let args = Args::parse(all, &[])?;
    args.only(&["--bin", "--haproxy", "--rate", "--seconds", "--rounds"])?;
    crate::net::raise_nofile();
    let programs = [
        ("Haring", args.text("--bin").unwrap_or("target/release/haring").to_string()),
        ("HAProxy", args.text("--haproxy").unwrap_or("haproxy").to_string()),
    ];
    let me = std::env::current_exe()?.display().to_string();
    let mut origin = process::spawn_on(1, &[me, "origin".into()], Stdio::piped(), Stdio::inherit())?;
    let mut line = String::new();
    BufReader::new(origin.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let port =
        line.trim().strip_prefix("port ").and_then(|p| p.parse().ok()).ok_or("the origin does not start")?;
    let origin = Running::new(origin, port);
    let options = Options {
        rate: args.number("--rate", 10_000.0)?,
        seconds: args.number("--seconds", 5.0)?,
        origin: origin.port,
        work: std::env::temp_dir().join(format!("haring-bench-peers-{}", std::process::id())),
    };
    println!(
        "{:10} {:>10} {:>12} {:>13} {:>14} {:>14} {:>9}",
        "", "sessions", "bytes/s", "bytes/session", "us, first node", "us, second", "arrived"
    );
    for _ in 0..args.number("--rounds", 3)? {
        for (name, program) in &programs {
            std::fs::create_dir_all(&options.work)?;
            let figures = run(&options, program);
            let _ = std::fs::remove_dir_all(&options.work);
            println!("{name:10} {}", show(&figures?, options.seconds));
        }
    }
    Ok(())
}

fn show(f: &Figures, seconds: f64) -> String {
    let each = |x: f64| x / f.requests.max(1) as f64;
    let mut text = format!(
        "{:>10} {:>12.0} {:>13.1} {:>14.2} {:>14.2} {:>8.2}%",
        f.requests,
        f.bytes as f64 / seconds,
        each(f.bytes as f64),
        each(f.cpu[0] * 1e6),
        each(f.cpu[1] * 1e6),
        100.0 * f.arrived as f64 / f.made.max(1) as f64
    );
    if f.failed > 0 {
        let _ = write!(text, "  {} FAILED", f.failed);
    }
    text
}

fn run(options: &Options, program: &str) -> Result<Figures, Failure> {
    let pair = start(options, program)?;
    let cpu = pair.nodes.each_ref().map(Running::cpu);
    let before = pair.bytes()?;
    let url = Url::parse(&format!("http://127.0.0.1:{}/?sid={FRESH}", pair.nodes[0].port))?;
    let out = load::run(&Plan {
        addr: url.addr,
        request: load::get(&url, false, false, "haring-bench"),
        expect: None,
        close: false,
        connections: 64,
        time: Duration::from_secs_f64(options.seconds),
        rate: Some(options.rate),
    })?;
    // What is still on its way.
    std::thread::sleep(Duration::from_millis(500));
    let spent = |i: usize| pair.nodes[i].cpu() - cpu[i];
    Ok(Figures {
        requests: out.requests,
        failed: out.failed,
        bytes: pair.bytes()?.saturating_sub(before),
        made: used(&pair.sockets[0])?,
        arrived: used(&pair.sockets[1])?,
        cpu: [spent(0), spent(1)],
    })
}

/// Both nodes, connected to each other.
fn start(options: &Options, program: &str) -> Result<Pair, Failure> {
    let peers = [process::free_port()?, process::free_port()?];
    let node = |name: &str| -> Result<(Running, PathBuf), Failure> {
        let port = process::free_port()?;
        let dir = options.work.display().to_string();
        let text = CONF
            .replace("@DIR@", &dir)
            .replace("@NODE@", name)
            .replace("@PORT@", &port.to_string())
            .replace("@ORIGIN@", &options.origin.to_string())
            .replace("@PEER1@", &peers[0].to_string())
            .replace("@PEER2@", &peers[1].to_string());
        let conf = options.work.join(format!("{name}.cfg"));
        std::fs::write(&conf, text)?;
        let words = [program, "-db", "-L", name, "-f"].map(String::from);
        let command: Vec<String> = words.into_iter().chain([conf.display().to_string()]).collect();
        let log = std::fs::File::create(options.work.join(format!("{name}.log")))?;
        let child = process::spawn_on(0, &command, log.try_clone()?.into(), log.into())?;
        let running = Running::new(child, port);
        process::wait_for_port(port).map_err(|e| {
            let said = std::fs::read_to_string(options.work.join(format!("{name}.log"))).unwrap_or_default();
            format!("{program}: {e}\n{said}")
        })?;
        Ok((running, options.work.join(format!("{name}.sock"))))
    };
    let (one, socket_one) = node("one")?;
    let (two, socket_two) = node("two")?;
    let pair = Pair { nodes: [one, two], sockets: [socket_one, socket_two], peers };
    let patience = Instant::now() + Duration::from_secs(15);
    while pair.bytes()? == 0 {
        if Instant::now() > patience {
            return Err(format!("{program}: the nodes do not connect").into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // The first lesson.
    std::thread::sleep(Duration::from_secs(2));
    Ok(pair)
}

impl Pair {
    /// Bytes that the nodes have sent each other on connections that are open.
    fn bytes(&self) -> Result<u64, Failure> {
        let mut total = 0;
        for port in self.peers {
            let filter = format!("( sport = :{port} or dport = :{port} )");
            let out = Command::new("ss").args(["-HtiO", "state", "established", &filter]).output()?;
            let text = String::from_utf8_lossy(&out.stdout);
            total += text
                .split_whitespace()
                .filter_map(|w| w.strip_prefix("bytes_sent:")?.parse::<u64>().ok())
                .sum::<u64>();
        }
        Ok(total)
    }
}

/// Entries in the table of a node.
fn used(socket: &Path) -> Result<u64, Failure> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"show table\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    text.lines()
        .find(|l| l.contains("table: app,"))
        .and_then(|l| l.rsplit_once("used:")?.1.trim().parse().ok())
        .ok_or_else(|| format!("no figures of the table in:\n{text}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_per_session() {
        let f =
            Figures { requests: 1000, failed: 1, bytes: 20_000, arrived: 990, made: 1000, cpu: [0.02, 0.01] };
        let text = show(&f, 2.0);
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words, ["1000", "10000", "20.0", "20.00", "10.00", "99.00%", "1", "FAILED"]);
    }
}
