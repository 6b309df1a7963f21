//! `haring-bench`: what measures Haring and its peers.
//!
//! - `haring-bench rig ...` runs contestants against each other and writes a report (`scripts/bench` calls it);
//! - `haring-bench load ...` is the load generator, `origin` the server behind the proxies, `idle` holds quiet
//!   connections;
//! - `haring-bench peers ...` measures what replicating new entries of a stick table costs;
//! - `haring-bench -c CLIENTS -t SECONDS URL` does what webbench does, and prints what it prints.

mod args;
mod idle;
mod load;
mod net;
mod origin;
mod peers;
mod response;
mod rig;
mod webbench;

use std::process::ExitCode;

const USAGE: &str = "usage:
  haring-bench rig [--bin PATH] [--only A,B] [--seconds N] [--rounds N] [--out DIR] [--list]
  haring-bench load [--connections N] [--seconds N] [--close] [--http10] [--rate N] [--latency] [--cpu N] URL
  haring-bench load --tcp [--send BYTES] [--expect BYTES] [...] HOST:PORT
  haring-bench origin [--port N] [--cpu N] [--echo]
  haring-bench idle [--connections N] URL
  haring-bench peers [--bin PATH] [--haproxy PATH] [--rate N] [--seconds N] [--rounds N]
  haring-bench -c CLIENTS -t SECONDS URL";

fn main() -> ExitCode {
    let all: Vec<String> = std::env::args().skip(1).collect();
    let result = match all.first().map(String::as_str) {
        Some("rig") => rig::main(&all[1..]),
        Some("load") => load::main(&all[1..]),
        Some("origin") => origin::main(&all[1..]),
        Some("idle") => idle::main(&all[1..]),
        Some("peers") => peers::main(&all[1..]),
        None | Some("-h" | "--help" | "help") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(_) => webbench::main(&all),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("haring-bench: {e}");
            ExitCode::FAILURE
        }
    }
}
