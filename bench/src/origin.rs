//! The server behind the proxies: one thread that answers `GET /SIZE` with that many bytes (`/` gives 128), or
//! sends back what it gets (`--echo`).
//!
//! Bodies are written, not sent by sendfile: on the loopback interface the pages that sendfile hands over reach the
//! proxy as they are, 4 KiB each, and fill a pipe sixteen times sooner than what comes from a network card or a
//! write. That would only measure the origin.

use crate::args::Args;
use crate::net::{self, Failure, Poller, Ready};
use crate::response::find_end;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

/// The longest body.
const MAX_BODY: usize = 64 << 20;

/// Bytes of one write of a large body.
const BLOCK: usize = 1 << 20;

/// Bodies up to this size go out with their head in one write.
const SMALL: usize = 16 << 10;

struct Conn {
    stream: TcpStream,
    input: Vec<u8>,
    /// Head (and small body) not sent yet.
    output: Vec<u8>,
    sent: usize,
    /// What is left of a large body, and where it goes on.
    body_left: usize,
    close: bool,
}

struct Origin {
    poller: Poller,
    listener: TcpListener,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    body: Vec<u8>,
    echo: bool,
    buf: Vec<u8>,
}

const LISTENER: u64 = u64::MAX;

/// `haring-bench origin`: prints `port N` and serves until it is killed or its standard input ends.
pub fn main(all: &[String]) -> Result<(), Failure> {
    let args = Args::parse(all, &["--echo"])?;
    args.only(&["--port", "--cpu", "--echo"])?;
    net::raise_nofile();
    if args.has("--cpu") {
        net::pin(args.number("--cpu", 0)?)?;
    }
    let listener = TcpListener::bind(("127.0.0.1", args.number("--port", 0)?))?;
    // std listens with a backlog of 128; listening again sets a longer one.
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(4096)?)?;
    listener.set_nonblocking(true)?;
    println!("port {}", listener.local_addr()?.port());
    io::stdout().flush()?;
    let poller = Poller::new()?;
    poller.add_level(&listener, LISTENER)?;
    let mut origin = Origin {
        poller,
        listener,
        conns: Vec::new(),
        free: Vec::new(),
        body: vec![b'b'; BLOCK],
        echo: args.has("--echo"),
        buf: vec![0; 64 << 10],
    };
    origin.run()
}

impl Origin {
    fn run(&mut self) -> Result<(), Failure> {
        let mut ready: Vec<Ready> = Vec::new();
        loop {
            self.poller.wait(None, &mut ready)?;
            for event in ready.drain(..) {
                match event.token {
                    LISTENER => self.accept(),
                    token => {
                        let index = token as usize;
                        if self.serve(index).is_err() {
                            self.conns[index] = None;
                            self.free.push(index);
                        }
                    }
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let index = self.free.pop().unwrap_or(self.conns.len());
            if index == self.conns.len() {
                self.conns.push(None);
            }
            let _ = stream.set_nodelay(true);
            if stream.set_nonblocking(true).is_err() || self.poller.add_edge(&stream, index as u64).is_err() {
                self.free.push(index);
                continue;
            }
            let conn =
                Conn { stream, input: Vec::new(), output: Vec::new(), sent: 0, body_left: 0, close: false };
            self.conns[index] = Some(conn);
        }
    }

    /// Goes as far as the socket lets it; an error ends the connection.
    fn serve(&mut self, index: usize) -> io::Result<()> {
        let Some(conn) = self.conns[index].as_mut() else { return Ok(()) };
        loop {
            if !conn.flush(&self.body)? {
                return Ok(());
            }
            if conn.close {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            if !self.echo && conn.answer()? {
                continue;
            }
            match conn.stream.read(&mut self.buf) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) if self.echo => conn.output.extend_from_slice(&self.buf[..n]),
                Ok(n) => {
                    conn.input.extend_from_slice(&self.buf[..n]);
                    let answered = conn.answer()?;
                    if n < self.buf.len() && conn.flush(&self.body)? && conn.input.is_empty() && answered {
                        // All that was there is read and answered: more makes an edge of its own.
                        if conn.close {
                            return Err(io::ErrorKind::ConnectionAborted.into());
                        }
                        return Ok(());
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}

impl Conn {
    /// Takes the next request from the input and queues its answer; whether there was one.
    fn answer(&mut self) -> io::Result<bool> {
        let Some(end) = find_end(&self.input) else {
            return if self.input.len() > 65536 { Err(io::ErrorKind::InvalidData.into()) } else { Ok(false) };
        };
        let head = &self.input[..end];
        let line_end = head.iter().position(|&b| b == b'\n').unwrap_or(end);
        let line = &head[..line_end];
        let old = line.windows(8).any(|w| w == b"HTTP/1.0");
        let says = |what: &[u8]| head.windows(what.len()).any(|w| w.eq_ignore_ascii_case(what));
        self.close = if old { !says(b"connection: keep-alive") } else { says(b"connection: close") };
        let path = line.split(|&b| b == b' ').nth(1).unwrap_or(b"/");
        let size = std::str::from_utf8(&path[1.min(path.len())..]).ok().and_then(|s| s.parse().ok());
        let size: usize = size.unwrap_or(128).min(MAX_BODY);
        self.input.drain(..end);
        let connection = match (old, self.close) {
            (_, true) => "Connection: close\r\n",
            (true, false) => "Connection: keep-alive\r\n",
            _ => "",
        };
        write!(
            self.output,
            "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\n{connection}Content-Length: {size}\r\n\r\n"
        )?;
        if size <= SMALL {
            self.output.resize(self.output.len() + size, b'b');
        } else {
            self.body_left = size;
        }
        Ok(true)
    }

    /// Sends what is queued; whether all of it is out.
    fn flush(&mut self, body: &[u8]) -> io::Result<bool> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        self.output.clear();
        self.sent = 0;
        while self.body_left > 0 {
            match self.stream.write(&body[..self.body_left.min(body.len())]) {
                Ok(n) => self.body_left -= n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}
