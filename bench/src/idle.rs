//! Holds keep-alive connections that have been used once and are quiet now.

use crate::args::Args;
use crate::load;
use crate::net::{self, Failure, Url};
use crate::response::{Progress, Response};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// `haring-bench idle`: opens the connections, sends one request on each, prints `ready N`, and holds them until
/// its standard input ends. Then it says how many are still open.
pub fn main(all: &[String]) -> Result<(), Failure> {
    let args = Args::parse(all, &[])?;
    args.only(&["--connections", "--cpu"])?;
    let [target] = &args.words[..] else { return Err("idle needs one URL".into()) };
    if args.has("--cpu") {
        net::pin(args.number("--cpu", 0)?)?;
    }
    let wanted: usize = args.number("--connections", 1000)?;
    if net::raise_nofile() < wanted as u64 + 16 {
        return Err("the limit of open files is too low".into());
    }
    let url = Url::parse(target)?;
    let request = load::get(&url, false, false, "haring-bench");
    let mut held = Vec::with_capacity(wanted);
    for n in 0..wanted {
        held.push(open(&url, &request).map_err(|e| format!("connection {n}: {e}"))?);
    }
    println!("ready {}", held.len());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let open = held.iter().filter(|stream| is_open(stream)).count();
    println!("open {open}");
    Ok(())
}

fn open(url: &Url, request: &[u8]) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(url.addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request)?;
    let mut response = Response::default();
    let mut buf = [0; 4096];
    loop {
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return Err("closed instead of answering".into());
        }
        match response.feed(&buf[..n]) {
            Progress::More => {}
            Progress::Done if response.status() == 200 => return Ok(stream),
            Progress::Done => return Err(format!("status {}", response.status()).into()),
            Progress::Bad => return Err("bad response".into()),
        }
    }
}

/// Whether something answers HTTP on a local port.
pub fn probe(port: u16) -> Result<(), Failure> {
    let url = Url::parse(&format!("http://127.0.0.1:{port}/"))?;
    open(&url, &load::get(&url, false, false, "haring-bench")).map(drop)
}

fn is_open(mut stream: &TcpStream) -> bool {
    let _ = stream.set_nonblocking(true);
    matches!(stream.read(&mut [0; 1]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}
