//! The load generator: one thread, one epoll set, N connections.
//!
//! Closed loop by default: each connection asks again as soon as it is answered. With `--rate` the requests have
//! a schedule of their own, and the latency of each counts from the moment it should have been sent: a server
//! that stalls is charged for all requests it held up (no coordinated omission).

use crate::args::Args;
use crate::net::{self, Failure, Poller, Ready, Url};
use crate::response::{Progress, Response};
use hdrhistogram::Histogram;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Stands for a number that no other request of the run has.
pub const FRESH: &str = "@FRESH-NUM@";

/// What to send and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to.
    pub addr: SocketAddr,
    /// The bytes of one request; the first [`FRESH`] in it becomes a running number of as many digits.
    pub request: Vec<u8>,
    /// Bytes that answer a request in plain TCP mode; `None`: a HTTP response does.
    pub expect: Option<u64>,
    /// A new connection for each request; it is done when the peer closes.
    pub close: bool,
    /// Connections at a time.
    pub connections: usize,
    /// How long.
    pub time: Duration,
    /// Requests per second over all connections; `None`: as fast as they are answered.
    pub rate: Option<f64>,
}

/// What came of it.
pub struct Outcome {
    /// Requests answered with a complete, good response.
    pub requests: u64,
    /// Connections refused or broken, responses incomplete or not 2xx.
    pub failed: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Seconds it really took.
    pub seconds: f64,
    /// Latencies in nanoseconds.
    pub latency: Histogram<u64>,
}

/// Which part of its life a connection is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No socket, nothing to do.
    Idle,
    /// Request being sent: bytes already out. Connecting counts as nothing sent yet.
    Sending(usize),
    /// Answer being received.
    Receiving,
    /// Answer complete; a kept connection without a request of its own, or one that waits for the close.
    Done,
}

struct Conn {
    stream: Option<TcpStream>,
    state: State,
    request: Vec<u8>,
    response: Response,
    left: u64,
    start: Instant,
}

struct Load<'a> {
    plan: &'a Plan,
    poller: Poller,
    /// Where the running number is written in each request.
    number_at: Option<usize>,
    begun: u64,
    conns: Vec<Conn>,
    /// Connections that wait for their turn in the schedule.
    free: Vec<usize>,
    buf: Vec<u8>,
    began: Instant,
    scheduled: u64,
    out: Outcome,
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Result<Outcome, Failure> {
    net::raise_nofile();
    let began = Instant::now();
    let conn = |_| Conn {
        stream: None,
        state: State::Idle,
        request: plan.request.clone(),
        response: Response::default(),
        left: 0,
        start: began,
    };
    let mut load = Load {
        plan,
        poller: Poller::new()?,
        number_at: plan.request.windows(FRESH.len()).position(|w| w == FRESH.as_bytes()),
        begun: 0,
        conns: (0..plan.connections).map(conn).collect(),
        free: (0..plan.connections).rev().collect(),
        buf: vec![0; 1 << 20],
        began,
        scheduled: 0,
        out: Outcome {
            requests: 0,
            failed: 0,
            bytes: 0,
            seconds: 0.0,
            latency: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
        },
    };
    load.run()?;
    Ok(load.out)
}

impl Load<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let end = self.began + self.plan.time;
        let mut ready: Vec<Ready> = Vec::new();
        loop {
            let now = Instant::now();
            if now >= end {
                break;
            }
            self.start_due(now);
            let limit = self.next_due().unwrap_or(end).min(end).saturating_duration_since(Instant::now());
            // Timeouts are whole milliseconds: the rest is spent looking again.
            self.poller.wait(Some(limit), &mut ready)?;
            for event in ready.drain(..) {
                self.advance(event.token as usize, event.broken);
            }
        }
        self.out.seconds = self.began.elapsed().as_secs_f64();
        Ok(())
    }

    /// When the next request is due, if a connection waits for one.
    fn next_due(&self) -> Option<Instant> {
        let rate = self.plan.rate?;
        (!self.free.is_empty()).then(|| self.began + Duration::from_secs_f64(self.scheduled as f64 / rate))
    }

    /// Starts requests on free connections: all of them, or as many as the schedule says.
    fn start_due(&mut self, now: Instant) {
        // Each at most once: one that fails at once comes back into the list.
        for _ in 0..self.free.len() {
            let start = match self.next_due() {
                None => now,
                Some(due) if due <= now => due,
                Some(_) => return,
            };
            self.scheduled += 1;
            let Some(index) = self.free.pop() else { return };
            self.begin(index, start);
        }
    }

    /// Begins a request whose latency counts from `start`.
    fn begin(&mut self, index: usize, start: Instant) {
        let plan = self.plan;
        let conn = &mut self.conns[index];
        if let Some(at) = self.number_at {
            self.begun += 1;
            let digits = format!("{:0width$}", self.begun, width = FRESH.len());
            conn.request[at..at + FRESH.len()].copy_from_slice(digits.as_bytes());
        }
        conn.start = start;
        conn.response.reset();
        conn.left = plan.expect.unwrap_or(0);
        conn.state = State::Sending(0);
        if conn.stream.is_none() {
            let stream = net::connect(&plan.addr).and_then(|s| {
                self.poller.add_edge(&s, index as u64)?;
                Ok(s)
            });
            match stream {
                Ok(stream) => conn.stream = Some(stream),
                Err(_) => self.fail(index),
            }
            // Readiness to write comes as an event when the connection stands.
            return;
        }
        self.advance(index, false);
    }

    /// Goes as far as the socket lets a connection go.
    fn advance(&mut self, index: usize, broken: bool) {
        if broken && matches!(self.conns[index].state, State::Sending(0)) {
            return self.fail(index);
        }
        if let State::Sending(sent) = self.conns[index].state {
            match self.send(index, sent) {
                Ok(true) => self.conns[index].state = State::Receiving,
                Ok(false) => return,
                Err(_) => return self.fail(index),
            }
            if !broken {
                // The answer makes an edge of its own.
                return;
            }
        }
        self.receive(index);
    }

    /// Sends the rest of the request; whether all of it is out.
    fn send(&mut self, index: usize, mut sent: usize) -> io::Result<bool> {
        let conn = &mut self.conns[index];
        let Some(stream) = &mut conn.stream else { return Ok(false) };
        while sent < conn.request.len() {
            match stream.write(&conn.request[sent..]) {
                Ok(n) => sent += n,
                Err(e)
                    if e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::NotConnected =>
                {
                    conn.state = State::Sending(sent);
                    return Ok(false);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    fn receive(&mut self, index: usize) {
        loop {
            let conn = &mut self.conns[index];
            let Some(stream) = &mut conn.stream else { return };
            let skip = match self.plan.expect {
                Some(_) => conn.left,
                None => conn.response.skippable(),
            };
            // Long bodies are not copied to user space: the load must cost less than what it measures.
            let discard = skip > 65536;
            let want = self.buf.len().min(usize::try_from(skip).unwrap_or(usize::MAX).max(65536));
            let result = match discard {
                true => net::discard(stream, &mut self.buf[..want]),
                false => stream.read(&mut self.buf[..want]),
            };
            let n = match result {
                Ok(0) => return self.closed(index),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) if self.conns[index].state == State::Done && self.plan.close => {
                    return self.closed(index);
                }
                Err(_) => return self.fail(index),
            };
            self.out.bytes += n as u64;
            if conn.state == State::Done {
                return self.fail(index);
            }
            let progress = match (self.plan.expect, discard) {
                (Some(_), _) => {
                    conn.left = conn.left.saturating_sub(n as u64);
                    if conn.left == 0 { Progress::Done } else { Progress::More }
                }
                (None, true) => conn.response.skipped(n as u64),
                (None, false) => conn.response.feed(&self.buf[..n]),
            };
            match progress {
                Progress::Bad => return self.fail(index),
                Progress::More if n < want && !self.plan.close => return,
                Progress::More => {}
                Progress::Done if self.plan.close => conn.state = State::Done,
                Progress::Done => return self.complete(index),
            }
        }
    }

    /// The peer has closed.
    fn closed(&mut self, index: usize) {
        let conn = &self.conns[index];
        let complete = match conn.state {
            State::Done => self.plan.close,
            State::Receiving => self.plan.expect.is_none() && conn.response.closed() && self.plan.close,
            _ => false,
        };
        if complete { self.complete(index) } else { self.fail(index) }
    }

    fn complete(&mut self, index: usize) {
        let now = Instant::now();
        let conn = &mut self.conns[index];
        if self.plan.expect.is_none() && !(200..300).contains(&conn.response.status()) {
            return self.fail(index);
        }
        let nanos = now.saturating_duration_since(conn.start).as_nanos();
        let _ = self.out.latency.record(u64::try_from(nanos).unwrap_or(u64::MAX).max(1));
        self.out.requests += 1;
        conn.state = State::Done;
        if self.plan.close {
            conn.stream = None;
            conn.state = State::Idle;
        }
        if self.plan.rate.is_some() || self.plan.close {
            self.free.push(index);
        } else {
            self.begin(index, now);
        }
    }

    fn fail(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        conn.stream = None;
        let waits = conn.state == State::Idle || (conn.state == State::Done && !self.plan.close);
        conn.state = State::Idle;
        if !waits {
            self.out.failed += 1;
            self.free.push(index);
        }
    }
}

/// The bytes of a GET.
pub fn get(url: &Url, http10: bool, close: bool, agent: &str) -> Vec<u8> {
    let version = if http10 { "1.0" } else { "1.1" };
    let connection = match (http10, close) {
        (false, true) => "Connection: close\r\n",
        (true, false) => "Connection: keep-alive\r\n",
        _ => "",
    };
    format!(
        "GET {} HTTP/{version}\r\nUser-Agent: {agent}\r\nHost: {}\r\n{connection}\r\n",
        url.path, url.authority
    )
    .into_bytes()
}

/// `haring-bench load`
pub fn main(all: &[String]) -> Result<(), Failure> {
    let args = Args::parse(all, &["--close", "--http10", "--tcp", "--latency", "--plain"])?;
    args.only(&[
        "--close",
        "--http10",
        "--tcp",
        "--latency",
        "--plain",
        "--connections",
        "--seconds",
        "--rate",
        "--cpu",
        "--send",
        "--expect",
    ])?;
    let [target] = &args.words[..] else { return Err("load needs one URL".into()) };
    if args.has("--cpu") {
        net::pin(args.number("--cpu", 0)?)?;
    }
    let url = Url::parse(target)?;
    let close = args.has("--close");
    let (request, expect) = match args.has("--tcp") {
        true => (vec![b'x'; args.number("--send", 64)?], Some(args.number("--expect", 64)?)),
        false => (get(&url, args.has("--http10"), close, "haring-bench"), None),
    };
    let rate: f64 = args.number("--rate", 0.0)?;
    let plan = Plan {
        addr: url.addr,
        request,
        expect,
        close,
        connections: args.number("--connections", 64)?,
        time: Duration::from_secs_f64(args.number("--seconds", 10.0)?),
        rate: (rate > 0.0).then_some(rate),
    };
    let out = run(&plan)?;
    if args.has("--plain") {
        print!("{}", plain(&out));
    } else {
        print_report(&out, args.has("--latency"));
    }
    Ok(())
}

/// The percentiles that are reported.
pub const PERCENTILES: [f64; 6] = [50.0, 90.0, 99.0, 99.9, 99.99, 100.0];

/// One `name value` per line, for the rig.
fn plain(out: &Outcome) -> String {
    let mut text = format!(
        "requests {}\nfailed {}\nbytes {}\nseconds {:.6}\n",
        out.requests, out.failed, out.bytes, out.seconds
    );
    for p in PERCENTILES {
        text.push_str(&format!("p{p} {}\n", out.latency.value_at_quantile(p / 100.0)));
    }
    text
}

fn print_report(out: &Outcome, latency: bool) {
    println!(
        "{} requests, {} failed in {:.2} s: {:.0} requests/s, {:.1} MiB/s",
        out.requests,
        out.failed,
        out.seconds,
        out.requests as f64 / out.seconds,
        out.bytes as f64 / out.seconds / 1_048_576.0
    );
    if latency {
        for p in PERCENTILES {
            let name = if p == 100.0 { "max".to_string() } else { format!("p{p}") };
            println!("  {name:>7}  {:>10.1} us", out.latency.value_at_quantile(p / 100.0) as f64 / 1000.0);
        }
    }
}
