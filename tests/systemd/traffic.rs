//! What runs through the proxy while things happen to it: slow downloads, tunnels, idle keep-alive clients, wrk.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt};

use crate::origin;

/// Long enough for any answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of a slow download ...
const FILE: usize = 300_000;
/// ... of which so many are read at a time.
const STEP: usize = 6_000;
const PAUSE: Duration = Duration::from_millis(40);

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that could not be made: refused, reset, timed out.
    pub refused: u64,
    /// Whole downloads, and those that failed or were cut.
    pub downloads: u64,
    pub cut: u64,
    /// Messages that came back through tunnels, and tunnels that broke.
    pub echoes: u64,
    pub broken: u64,
    /// Requests of idle clients that were answered, and those that failed.
    pub answered: u64,
    pub lost: u64,
}

impl Tally {
    /// Failures of any kind.
    pub fn failures(&self) -> u64 {
        self.refused + self.cut + self.broken + self.lost
    }

    pub fn since(&self, before: &Tally) -> Tally {
        Tally {
            refused: self.refused - before.refused,
            downloads: self.downloads - before.downloads,
            cut: self.cut - before.cut,
            echoes: self.echoes - before.echoes,
            broken: self.broken - before.broken,
            answered: self.answered - before.answered,
            lost: self.lost - before.lost,
        }
    }
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    refused: AtomicU64,
    downloads: AtomicU64,
    cut: AtomicU64,
    echoes: AtomicU64,
    broken: AtomicU64,
    answered: AtomicU64,
    lost: AtomicU64,
    /// Idle clients send a request when this changes.
    round: AtomicU32,
    /// Idle clients that are connected and wait.
    waiting: AtomicU64,
    /// Why things failed, and how often.
    reasons: Mutex<BTreeMap<String, u64>>,
}

impl Shared {
    fn count(&self, counter: &AtomicU64, why: &str, error: &dyn std::fmt::Display) {
        if self.stop.load(SeqCst) {
            return;
        }
        counter.fetch_add(1, SeqCst);
        let mut reasons = self.reasons.lock().expect("nobody panics with it");
        *reasons.entry(format!("{why}: {error}")).or_default() += 1;
    }
}

/// Clients that run until they are dropped.
pub struct Traffic {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    idle: u64,
}

fn dial(shared: &Shared, port: u16, small: bool) -> Option<TcpStream> {
    let open = || -> nix::Result<TcpStream> {
        let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        if small {
            setsockopt(&fd, sockopt::RcvBuf, &8192)?;
        }
        connect(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port))?;
        Ok(TcpStream::from(fd))
    };
    match open() {
        Ok(stream) => {
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            stream.set_nodelay(true).expect("an option");
            Some(stream)
        }
        Err(error) => {
            shared.count(&shared.refused, "connect", &error.desc());
            std::thread::sleep(Duration::from_millis(20));
            None
        }
    }
}

/// The head of an answer, and what came behind it.
fn head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut got = Vec::new();
    let mut buf = [0; 2048];
    loop {
        if let Some(at) = got.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = got.split_off(at + 4);
            return Ok((String::from_utf8_lossy(&got).into_owned(), rest));
        }
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("closed after {} bytes", got.len()),
            ));
        }
        got.extend_from_slice(&buf[..n]);
    }
}

fn expect(head: &str, status: &str) -> io::Result<()> {
    if head.starts_with(&format!("HTTP/1.1 {status}")) {
        return Ok(());
    }
    Err(io::Error::other(format!("answer {:?}", head.lines().next().unwrap_or_default())))
}

fn download(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let request = format!("GET /file/{FILE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (head, mut body) = head(stream)?;
    expect(&head, "200")?;
    let mut buf = vec![0; STEP];
    while body.len() < FILE && !shared.stop.load(SeqCst) {
        std::thread::sleep(PAUSE);
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return Err(io::Error::other(format!("{} of {FILE} bytes", body.len())));
        }
        body.extend_from_slice(&buf[..n]);
    }
    if body.iter().enumerate().any(|(i, b)| *b != origin::byte(i)) {
        return Err(io::Error::other("other bytes than were sent"));
    }
    Ok(())
}

fn tunnel(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    // The key and its answer are the example of RFC 6455, section 1.3.
    let request = "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes())?;
    let (head, rest) = head(stream)?;
    expect(&head, "101")?;
    let mut number = 0u32;
    let mut buf = rest;
    while !shared.stop.load(SeqCst) {
        number += 1;
        let message = format!("message {number}\n");
        stream.write_all(message.as_bytes())?;
        buf.resize(message.len(), 0);
        stream.read_exact(&mut buf)?;
        if buf != message.as_bytes() {
            return Err(io::Error::other("another message came back"));
        }
        shared.echoes.fetch_add(1, SeqCst);
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn request(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let (head, mut body) = head(stream)?;
    expect(&head, "200")?;
    let missing = 3 - body.len().min(3);
    let mut rest = vec![0; missing];
    stream.read_exact(&mut rest)?;
    body.extend_from_slice(&rest);
    if body != b"ok\n" {
        return Err(io::Error::other("another body than was sent"));
    }
    Ok(())
}

fn idle(shared: &Shared, port: u16) {
    while !shared.stop.load(SeqCst) {
        let mut round = shared.round.load(SeqCst);
        let Some(mut stream) = dial(shared, port, false) else { continue };
        if let Err(error) = request(&mut stream) {
            shared.count(&shared.lost, "first request of an idle client", &error);
            continue;
        }
        shared.waiting.fetch_add(1, SeqCst);
        while !shared.stop.load(SeqCst) {
            if shared.round.load(SeqCst) == round {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            round = shared.round.load(SeqCst);
            match request(&mut stream) {
                Ok(()) => _ = shared.answered.fetch_add(1, SeqCst),
                Err(error) => {
                    shared.count(&shared.lost, "request of an idle client", &error);
                    break;
                }
            }
        }
        shared.waiting.fetch_sub(1, SeqCst);
    }
}

impl Traffic {
    /// Start so many slow downloads, tunnels and idle keep-alive clients.
    pub fn start(port: u16, downloads: usize, tunnels: usize, idles: usize) -> Traffic {
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        let mut spawn = |n: usize, f: fn(&Shared, u16)| {
            for _ in 0..n {
                let shared = shared.clone();
                let thread = std::thread::Builder::new().stack_size(128 * 1024);
                threads.push(thread.spawn(move || f(&shared, port)).expect("a thread"));
            }
        };
        spawn(downloads, |shared, port| {
            while !shared.stop.load(SeqCst) {
                let Some(mut stream) = dial(shared, port, true) else { continue };
                match download(&mut stream, shared) {
                    Ok(()) => _ = shared.downloads.fetch_add(1, SeqCst),
                    Err(error) => shared.count(&shared.cut, "download", &error),
                }
            }
        });
        spawn(tunnels, |shared, port| {
            while !shared.stop.load(SeqCst) {
                let Some(mut stream) = dial(shared, port, false) else { continue };
                if let Err(error) = tunnel(&mut stream, shared) {
                    shared.count(&shared.broken, "tunnel", &error);
                }
            }
        });
        spawn(idles, idle);
        let traffic = Traffic { shared, threads, idle: idles as u64 };
        traffic.settle();
        traffic
    }

    /// Wait until all idle clients are connected and wait.
    pub fn settle(&self) {
        let until = Instant::now() + PATIENCE;
        while self.shared.waiting.load(SeqCst) < self.idle {
            assert!(Instant::now() < until, "idle clients cannot connect: {:#?}", self.reasons());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn tally(&self) -> Tally {
        let s = &*self.shared;
        let get = |c: &AtomicU64| c.load(SeqCst);
        Tally {
            refused: get(&s.refused),
            downloads: get(&s.downloads),
            cut: get(&s.cut),
            echoes: get(&s.echoes),
            broken: get(&s.broken),
            answered: get(&s.answered),
            lost: get(&s.lost),
        }
    }

    /// Every idle client sends a request. Waits for all answers.
    pub fn wake_idle(&self) {
        let before = self.tally();
        self.shared.round.fetch_add(1, SeqCst);
        let until = Instant::now() + PATIENCE;
        loop {
            let now = self.tally().since(&before);
            if now.answered + now.lost >= self.idle {
                return self.settle();
            }
            assert!(Instant::now() < until, "only {now:?}: {:#?}", self.reasons());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Why things failed, and how often.
    pub fn reasons(&self) -> BTreeMap<String, u64> {
        self.shared.reasons.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What wrk counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wrk {
    pub requests: u64,
    pub connect: u64,
    pub read: u64,
    pub write: u64,
    pub timeout: u64,
    pub bad_status: u64,
}

impl Wrk {
    pub fn failures(&self) -> u64 {
        self.connect + self.read + self.write + self.timeout + self.bad_status
    }

    fn parse(text: &str) -> Wrk {
        let mut wrk = Wrk::default();
        for line in text.lines() {
            let line = line.trim();
            let numbers: Vec<u64> =
                line.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
            if line.contains(" requests in ") {
                wrk.requests = numbers[0];
            } else if line.starts_with("Socket errors:") {
                [wrk.connect, wrk.read, wrk.write, wrk.timeout] =
                    numbers[..4].try_into().expect("four numbers");
            } else if line.starts_with("Non-2xx") {
                wrk.bad_status = *numbers.last().expect("a number");
            }
        }
        assert!(wrk.requests > 0, "wrk did nothing:\n{text}");
        wrk
    }
}

/// Run wrk twice at the same time: keep-alive, and a connection for each request.
pub fn wrk(port: u16, seconds: u32) -> (JoinHandle<Wrk>, JoinHandle<Wrk>) {
    let url = format!("http://{}/", SocketAddr::from(([127, 0, 0, 1], port)));
    let run = move |close: bool, url: String| {
        std::thread::spawn(move || {
            let mut command = Command::new("wrk");
            command.args(["-t1", "-c16", "--timeout", "10s", &format!("-d{seconds}s")]);
            if close {
                command.args(["-H", "Connection: close"]);
            }
            let out = command.arg(url).stdin(Stdio::null()).output().expect("wrk runs");
            Wrk::parse(&String::from_utf8_lossy(&out.stdout))
        })
    };
    (run(false, url.clone()), run(true, url))
}

/// A header of the answer to a request on a connection of its own.
pub fn header(port: u16, name: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").ok()?;
    let (head, _) = head(&mut stream).ok()?;
    let line = |l: &str| {
        let (n, value) = l.split_once(": ")?;
        n.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    };
    head.lines().find_map(line)
}
