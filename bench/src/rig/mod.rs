//! The rig: contestants, one after the other and again, on the same work; the proxy alone on one processor, load
//! and origin on another. What counts is the proxy's processor time per unit of work, which repeats far better
//! than throughput does.

mod measure;
mod plot;
pub mod process;
mod report;
mod scenario;

use crate::args::Args;
use crate::net::Failure;
use measure::Sample;
use process::Running;
use scenario::{Contestant, Program, SCENARIOS, Scenario};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// How to measure.
pub struct Options {
    /// Our binary.
    pub bin: String,
    /// HAProxy's.
    pub haproxy: String,
    /// nginx's.
    pub nginx: String,
    /// This program.
    pub me: String,
    /// Configuration files.
    pub conf: PathBuf,
    /// Where results go.
    pub out: PathBuf,
    /// For files that are removed at the end.
    pub work: PathBuf,
    /// Length of a run.
    pub seconds: f64,
    /// Runs of each contestant.
    pub rounds: usize,
    /// Requests per second of the latency scenario.
    pub rate: u32,
    /// Connections of the idle scenario.
    pub idle_connections: usize,
    /// Processor of the proxy.
    pub proxy_cpu: usize,
    /// Processor of load and origin.
    pub load_cpu: usize,
}

/// All runs of a contestant in a scenario.
pub struct Series {
    /// Who.
    pub who: Contestant,
    /// The runs; empty when it did not work.
    pub samples: Vec<Sample>,
    /// Why there are none.
    pub problem: Option<String>,
}

/// All runs of a scenario.
pub struct Results {
    /// Which.
    pub scenario: Scenario,
    /// Who and what.
    pub series: Vec<Series>,
}

const OPTIONS: [&str; 15] = [
    "--bin",
    "--haproxy",
    "--nginx",
    "--conf",
    "--out",
    "--only",
    "--skip",
    "--seconds",
    "--rounds",
    "--rate",
    "--idle-connections",
    "--proxy-cpu",
    "--load-cpu",
    "--list",
    "--no-report",
];

/// `haring-bench rig`
pub fn main(all: &[String]) -> Result<(), Failure> {
    let args = Args::parse(all, &["--list", "--no-report"])?;
    args.only(&OPTIONS)?;
    if args.has("--list") {
        for s in SCENARIOS {
            println!("{:16} {}", s.name, s.title);
        }
        return Ok(());
    }
    crate::net::raise_nofile();
    let text = |name: &str, default: &str| args.text(name).unwrap_or(default).to_string();
    let work = std::env::temp_dir().join(format!("haring-bench-{}", std::process::id()));
    let options = Options {
        bin: text("--bin", "target/release/haring"),
        haproxy: text("--haproxy", "haproxy"),
        nginx: text("--nginx", "nginx"),
        me: std::env::current_exe()?.display().to_string(),
        conf: text("--conf", "bench/conf").into(),
        out: text("--out", "bench/results").into(),
        work: work.clone(),
        seconds: args.number("--seconds", 5.0)?,
        rounds: args.number("--rounds", 5)?,
        rate: args.number("--rate", 20_000)?,
        idle_connections: args.number("--idle-connections", 9000)?,
        proxy_cpu: args.number("--proxy-cpu", 0)?,
        load_cpu: args.number("--load-cpu", 1)?,
    };
    let chosen = choose(args.text("--only"))?;
    let skip: Vec<&str> = args.text("--skip").unwrap_or("").split(',').collect();
    std::fs::create_dir_all(&work)?;
    let results = run_all(&options, &chosen, &skip);
    let _ = std::fs::remove_dir_all(&work);
    let results = results?;
    print!("{}", report::tables(&results));
    if !args.has("--no-report") {
        let path = report::write(&options, &results, &machine(&options))?;
        println!("Written: {}", path.display());
    }
    Ok(())
}

fn choose(only: Option<&str>) -> Result<Vec<Scenario>, Failure> {
    let Some(only) = only else { return Ok(SCENARIOS.to_vec()) };
    only.split(',')
        .map(|name| {
            let found = SCENARIOS.iter().find(|s| s.name == name);
            found.copied().ok_or_else(|| format!("no such scenario: {name} (see --list)").into())
        })
        .collect()
}

fn run_all(options: &Options, chosen: &[Scenario], skip: &[&str]) -> Result<Vec<Results>, Failure> {
    let origin = start_origin(options)?;
    let mut all = Vec::new();
    for scenario in chosen {
        eprintln!("{}", scenario.title);
        all.push(run_scenario(options, scenario, skip, origin.port));
    }
    Ok(all)
}

fn start_origin(options: &Options) -> Result<Running, Failure> {
    let command = [options.me.clone(), "origin".to_string()];
    let mut child = process::spawn_on(options.load_cpu, &command, Stdio::piped(), Stdio::inherit())?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let port =
        line.trim().strip_prefix("port ").and_then(|p| p.parse().ok()).ok_or("the origin does not start")?;
    let origin = Running::new(child, port);
    process::wait_for_port(port)?;
    Ok(origin)
}

/// Starts everybody, then runs A B C, B C A, ... so that drift of the machine hits all alike.
fn run_scenario(options: &Options, scenario: &Scenario, skip: &[&str], origin: u16) -> Results {
    let mut entries: Vec<(Series, Option<Running>)> = Vec::new();
    for who in scenario.contestants.iter().filter(|who| !skip.contains(&who.key)) {
        let started = process::start(options, who, origin).and_then(|running| {
            measure::warm_up(options, scenario, &running)?;
            Ok(running)
        });
        let (running, problem) = match started {
            Ok(running) => (Some(running), None),
            Err(e) => (None, Some(e.to_string())),
        };
        if let Some(problem) = &problem {
            eprintln!("  {:28} {problem}", who.label);
        }
        entries.push((Series { who: *who, samples: Vec::new(), problem }, running));
    }
    // Memory and counted calls do not vary; once is enough.
    let rounds = match scenario.unit {
        scenario::Unit::Calls | scenario::Unit::BytesPerConnection => 1,
        _ => options.rounds,
    };
    for round in 0..rounds {
        let count = entries.len();
        for step in 0..count {
            let (series, running) = &mut entries[(round + step) % count];
            let Some(proxy) = running else { continue };
            match measure::run(options, scenario, proxy) {
                Ok(sample) => {
                    let rate = sample.requests as f64 / sample.seconds;
                    eprintln!(
                        "  {:28} {:>9} {}{}{}",
                        series.who.label,
                        scenario.unit.show(sample.figure),
                        scenario.unit.text(),
                        if rate.is_finite() { format!("  {rate:>8.0} requests/s") } else { String::new() },
                        if sample.failed > 0 { format!("  {} FAILED", sample.failed) } else { String::new() }
                    );
                    series.samples.push(sample);
                }
                Err(e) => {
                    eprintln!("  {:28} {e}", series.who.label);
                    series.problem = Some(e.to_string());
                    *running = None;
                }
            }
        }
    }
    Results { scenario: *scenario, series: entries.into_iter().map(|(series, _)| series).collect() }
}

/// What the figures were made on: (name, value).
fn machine(options: &Options) -> Vec<(String, String)> {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = file("/proc/cpuinfo");
    let cpu = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .unwrap_or("")
        .trim_start_matches(['\t', ' ', ':']);
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let mut list = vec![
        ("Kernel".to_string(), file("/proc/sys/kernel/osrelease").trim().to_string()),
        ("Processor".to_string(), format!("{cpu}, {count} used")),
    ];
    for (name, program, flag) in [
        ("Haring", Program::Haring, "-v"),
        ("HAProxy", Program::Haproxy, "-v"),
        ("nginx", Program::Nginx, "-v"),
    ] {
        let path = match program {
            Program::Haring => &options.bin,
            Program::Haproxy => &options.haproxy,
            Program::Nginx => &options.nginx,
        };
        let version = Command::new(path).arg(flag).output().ok().map(|o| {
            let text = if o.stdout.is_empty() { o.stderr } else { o.stdout };
            String::from_utf8_lossy(&text).lines().next().unwrap_or("").to_string()
        });
        list.push((name.to_string(), version.unwrap_or_else(|| "not there".to_string())));
    }
    list
}
