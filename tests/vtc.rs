//! Runs every script of tests/vtc with `varnishtest` (Debian's `varnish` package) against the binary, two at a time.
//!
//! `cargo test --test vtc [-- NAME...]` runs those whose names contain one of the words. With HAPROXY_PROGRAM set
//! they run against that program instead: each script passes with HAProxy 2.6 too.

#![allow(clippy::disallowed_methods)] // A test may ask for the time.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::Instant;

const JOBS: usize = 2;
/// Seconds that one script may take.
const LIMIT_S: &str = "40";

struct Outcome {
    name: String,
    passed: bool,
    seconds: f64,
    log: String,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vtc");
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("tests/vtc can be read")
        .map(|e| e.expect("tests/vtc can be read").path())
        .filter(|p| p.extension().is_some_and(|e| e == "vtc"))
        .filter(|p| words.is_empty() || words.iter().any(|w| name_of(p).contains(w.as_str())))
        .collect();
    scripts.sort();
    if std::env::args().any(|a| a == "--list") {
        scripts.iter().for_each(|s| println!("{}: test", name_of(s)));
        return ExitCode::SUCCESS;
    }
    let program = std::env::var_os("HAPROXY_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_haring").into());
    println!("\nrunning {} scripts of tests/vtc with {}", scripts.len(), program.display());
    let began = Instant::now();
    let next = Mutex::new(scripts.iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for _ in 0..JOBS {
            s.spawn(|| {
                loop {
                    let Some(script) = next.lock().expect("no thread panics").next() else { return };
                    let o = run(script, Path::new(&program));
                    println!(
                        "{} {} ({:.2} s)",
                        o.name,
                        if o.passed { "... ok" } else { "... FAILED" },
                        o.seconds
                    );
                    if !o.passed {
                        failed.lock().expect("no thread panics").push(o);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no thread panics");
    for o in &failed {
        println!("\n---- {} ----\n{}", o.name, telling_lines(&o.log));
    }
    let total = scripts.len();
    println!(
        "\n{} of {total} scripts passed in {:.1} s",
        total - failed.len(),
        began.elapsed().as_secs_f64()
    );
    for o in &failed {
        println!(
            "    failed: {} (see it all: HAPROXY_PROGRAM=... varnishtest -v tests/vtc/{}.vtc)",
            o.name, o.name
        );
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn name_of(script: &Path) -> String {
    script.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn run(script: &Path, program: &Path) -> Outcome {
    let began = Instant::now();
    let output = Command::new("varnishtest")
        .args(["-t", LIMIT_S, "-b", "4M"])
        .arg(script)
        .env("HAPROXY_PROGRAM", program)
        .env_remove("NOTIFY_SOCKET")
        .output()
        .expect("varnishtest is installed (Debian package `varnish`; scripts/test installs it)");
    let text = [output.stdout, output.stderr].concat();
    Outcome {
        name: name_of(script),
        // A script that skips itself did not show anything.
        passed: output.status.success() && !contains(&text, b" skipped "),
        seconds: began.elapsed().as_secs_f64(),
        log: String::from_utf8_lossy(&text).into_owned(),
    }
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|w| w == what)
}

/// What a reader needs first: the failed expectation, what the program said, what was sent and received, and the end
/// of the log.
fn telling_lines(log: &str) -> String {
    let lines: Vec<&str> =
        log.lines().filter(|l| !l.contains("macro def") && !l.contains("|conf|")).collect();
    let telling = |l: &&&str| {
        l.starts_with("----")
            || [
                "ALERT",
                "WARNING",
                "panicked",
                "syslog|",
                "rxhdr|",
                "txreq|",
                "FAILED",
                "Assert",
                "TIMED OUT",
            ]
            .iter()
            .any(|w| l.contains(w))
    };
    let mut shown: Vec<&str> = lines.iter().filter(telling).take(60).copied().collect();
    shown.push("...");
    shown.extend(lines.iter().skip(lines.len().saturating_sub(25)));
    shown.join("\n")
}
