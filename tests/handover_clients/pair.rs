//! Workers that succeed each other, and their clients.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use haring::net::Channel;
use haring::process::link::{self, ToMaster, ToWorker};

use super::support::{Dir, HARING, PATIENCE, Process, ask, until};

pub struct Worker {
    pub process: Process,
    channel: Channel,
}

impl Worker {
    /// A worker that serves, and has that predecessor.
    pub fn start(dir: &Dir, config: &str, predecessor: Option<Channel>) -> Worker {
        let (channel, theirs) = Channel::pair().expect("a pair");
        let theirs = theirs.into_fd();
        let mut command = Command::new(HARING);
        command.args(["-db", "-f", config]);
        command.env(link::ENV, format!("{}:{}", std::process::id(), theirs.as_raw_fd()));
        let process = Process::spawn(&mut command, dir, |_| {
            haring::sys::process::close_on_exec(&theirs, false).expect("it is open");
        });
        drop(theirs);
        let worker = Worker { process, channel };
        if let Some(predecessor) = predecessor {
            worker.send(&ToWorker::Predecessor(0, predecessor.into_fd()));
        }
        worker.send(&ToWorker::Go);
        loop {
            worker.channel.wait(PATIENCE);
            match ToMaster::receive(&worker.channel).expect("something it says").expect("it lives") {
                ToMaster::Ready => return worker,
                ToMaster::Log(text) => eprint!("{text}"),
                _ => {}
            }
        }
    }

    pub fn send(&self, message: &ToWorker) {
        message.send(&self.channel).expect("it reads");
    }

    /// Another worker takes over. This one goes on with what cannot move.
    pub fn succeeded_by(&self, dir: &Dir, config: &str) -> Worker {
        let (ours, theirs) = Channel::pair().expect("a pair");
        let next = Worker::start(dir, config, Some(theirs));
        self.send(&ToWorker::Successor(next.process.pid(), ours.into_fd()));
        next
    }

    /// A command on the admin socket.
    pub fn ask(&self, line: &str) -> String {
        let (own, theirs) = UnixStream::pair().expect("a pair");
        self.send(&ToWorker::Cli("admin".into(), theirs.into()));
        ask(own, line)
    }

    /// A field of `show info`.
    pub fn info(&self, field: &str) -> u64 {
        let all = self.ask("show info");
        let line = all.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(": "));
        line.and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("no {field} in {all}"))
    }

    /// A field of a line of `show stat`.
    pub fn stat(&self, proxy: &str, server: &str, field: &str) -> u64 {
        let all = self.ask("show stat");
        let mut lines = all.lines().map(|l| l.trim_start_matches("# ").split(',').collect::<Vec<_>>());
        let at = lines.next().and_then(|head| head.iter().position(|f| *f == field)).expect("a field");
        let line = lines.find(|l| l[0] == proxy && l[1] == server).expect("a line");
        line[at].parse().unwrap_or_else(|_| panic!("{field} is '{}'", line[at]))
    }

    /// It ends by itself, with nothing to complain of.
    pub fn ends_well(mut self) {
        let status = self.process.ended();
        assert_eq!(status.code(), Some(0), "{}", self.process.said());
        let said = self.process.said();
        assert!(!said.contains("panicked") && !said.contains("closed:"), "{said}");
    }
}

/// A client that keeps its connection.
pub struct Client(pub TcpStream);

impl Client {
    pub fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        Client(stream)
    }

    pub fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("it takes it");
    }

    /// A response with a length: head and body.
    pub fn response(&mut self) -> std::io::Result<(String, String)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if self.0.read(&mut byte)? == 0 {
                let head = String::from_utf8_lossy(&head).into_owned();
                return Err(std::io::Error::other(format!("closed after {head:?}")));
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
        let len = head.split_once("content-length: ").and_then(|(_, r)| r.split("\r\n").next()?.parse().ok());
        let mut body = vec![0; len.expect("a length")];
        self.0.read_exact(&mut body)?;
        Ok((head, String::from_utf8(body).expect("text")))
    }

    /// One request, and the body of its answer.
    pub fn get(&mut self, path: &str) -> std::io::Result<String> {
        self.0.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
        let (head, body) = self.response()?;
        assert!(head.starts_with("http/1.1 200 ") && !head.contains("connection:"), "{head}");
        Ok(body)
    }

    /// The other side has closed in order, and said nothing before.
    pub fn is_closed(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("no reset");
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

/// A configuration: `name` answers from a backend server at `server`, as `/` and with anything else.
pub fn config(name: &str, port: u16, server: u16, more: &str) -> String {
    format!(
        "global\n nbthread 2\n{}\n{}listen web\n bind 127.0.0.1:{port}\n http-response set-header via {name}\n{more}\n \
         server s 127.0.0.1:{server}\n",
        " maxconn 1000",
        super::support::DEFAULTS
    )
}

/// A server that answers each request with its path.
pub struct Server {
    pub port: u16,
    slow: Arc<Slow>,
}

/// `/slow…` is answered only when the test says so.
#[derive(Default)]
struct Slow {
    asked: AtomicBool,
    go_on: AtomicBool,
}

impl Server {
    /// A request for `/slow…` has come.
    pub fn was_asked(&self) {
        until("the request reaches the server", || self.slow.asked.load(SeqCst));
    }

    /// Answer it now.
    pub fn go_on(&self) {
        self.slow.go_on.store(true, SeqCst);
    }
}

pub fn serve() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let slow = Arc::<Slow>::default();
    let server = Server { port, slow: slow.clone() };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let slow = slow.clone();
            thread::spawn(move || answer_all(Client(stream), &slow));
        }
    });
    server
}

fn answer_all(mut client: Client, slow: &Slow) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.0.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).ok()?;
        let path = head.split(' ').nth(1)?;
        if path.starts_with("/slow") {
            slow.asked.store(true, SeqCst);
            until("the test goes on", || slow.go_on.load(SeqCst));
        }
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
        client.0.write_all(answer.as_bytes()).ok()?;
    }
}

/// Receives log lines.
pub struct Logs(UdpSocket);

impl Logs {
    pub fn new() -> Logs {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        Logs(socket)
    }

    /// What to write into the configuration.
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.0.local_addr().expect("bound").port())
    }

    /// All lines that say this, when nothing more comes.
    pub fn lines(&self, with: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = [0; 4096];
        while let Ok(n) = self.0.recv(&mut line) {
            let line = String::from_utf8_lossy(&line[..n]).into_owned();
            if line.contains(with) {
                lines.push(line);
            }
        }
        lines
    }
}

/// The connections of the process are so many.
pub fn has_connections(worker: &Worker, n: u64) {
    until("the number of connections", || worker.stat("web", "FRONTEND", "scur") == n);
}
