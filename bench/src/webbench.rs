//! `haring-bench -c CLIENTS -t SECONDS URL`: webbench's command line and its output. HTTP/1.0, a connection for
//! each request, each read until the server closes.

use crate::args::Args;
use crate::load::{self, Plan};
use crate::net::{Failure, Url};
use std::time::Duration;

/// The whole command line.
pub fn main(all: &[String]) -> Result<(), Failure> {
    let flags = ["-f", "--force", "-r", "--reload", "-1", "--http10", "--get"];
    let args = Args::parse(all, &flags)?;
    args.only(&[
        "-c",
        "--clients",
        "-t",
        "--time",
        "-f",
        "--force",
        "-r",
        "--reload",
        "-1",
        "--http10",
        "--get",
    ])?;
    let [target] = &args.words[..] else { return Err("one URL is needed; see --help".into()) };
    let clients: usize = args.number("-c", args.number("--clients", 1)?)?;
    let seconds: u64 = args.number("-t", args.number("--time", 30)?)?;
    if clients == 0 || seconds == 0 {
        return Err("clients and seconds must be at least 1".into());
    }
    let url = Url::parse(target)?;
    println!("Benchmarking: GET {target}");
    println!("{clients} client{}, running {seconds} sec.\n", if clients == 1 { "" } else { "s" });
    let plan = Plan {
        addr: url.addr,
        request: load::get(&url, true, true, "WebBench 1.5"),
        expect: None,
        close: true,
        connections: clients,
        time: Duration::from_secs(seconds),
        rate: None,
    };
    let out = load::run(&plan)?;
    let pages = (out.requests + out.failed) as f64 / (seconds as f64 / 60.0);
    let bytes = out.bytes as f64 / seconds as f64;
    println!("Speed={} pages/min, {} bytes/sec.", pages as u64, bytes as u64);
    println!("Requests: {} susceed, {} failed.", out.requests, out.failed);
    if out.requests == 0 {
        return Err("no request was answered".into());
    }
    Ok(())
}
