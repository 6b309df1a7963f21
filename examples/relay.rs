//! The smallest proxies that the runtime can carry, to measure what it costs apart from everything else:
//!
//! `relay tcp LISTEN BACKEND [CPU]`: every connection is relayed byte for byte to a connection of its own.
//! `relay http LISTEN BACKEND [CPU]`: keep-alive requests (without bodies) go over pooled server connections;
//! responses are framed by Content-Length. Anything else is not understood.
//! `relay http1 LISTEN BACKEND [CPU]`: the same, but the client connection is closed after one response (its
//! `Connection: keep-alive` becomes `close`, so that the load generator knows).
//!
//! CPU per request: run it pinned, load it with `wrk`, and divide its CPU time (/proc/PID/stat) by wrk's count.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use haring::net::{BindOpts, ConnectOpts, Listener, SockAddr, Socket};
use haring::runtime::{self, Builder, Config};

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, mode, listen, backend, rest @ ..] = &args[..] else {
        eprintln!("usage: relay tcp|http|http1 LISTEN BACKEND [CPU]");
        std::process::exit(1);
    };
    if let Err(e) = runtime::probe() {
        eprintln!("{e}");
        std::process::exit(1);
    }
    let parse = |s: &String| SockAddr::Ip(s.parse().expect("an address and port"));
    let (listen, backend, http) = (parse(listen), parse(backend), mode.starts_with("http"));
    let once = mode == "http1";
    let cpu = rest.first().map(|c| c.parse().expect("a CPU number"));
    Builder::new(0, Config { cpu, ..Config::default() }).run(async move {
        let listener = Listener::bind(&listen, &BindOpts { nodelay: true, ..BindOpts::default() })?;
        let pool = Rc::new(Pool { backend, idle: RefCell::new(Vec::new()) });
        loop {
            let (client, _) = listener.accept().await?;
            client.arm_recv();
            let pool = pool.clone();
            runtime::spawn(async move {
                // What ends a connection is of no interest here.
                let _ = if http { serve(&client, &pool, once).await } else { tunnel(&client, &pool).await };
            });
        }
    })?
}

struct Pool {
    backend: SockAddr,
    idle: RefCell<Vec<Socket>>,
}

impl Pool {
    async fn take(&self) -> io::Result<Socket> {
        loop {
            let Some(socket) = self.idle.borrow_mut().pop() else { break };
            if socket.is_idle_alive() {
                return Ok(socket);
            }
        }
        Socket::connect(&self.backend, &ConnectOpts { nodelay: true, ..ConnectOpts::default() }).await
    }
}

async fn tunnel(client: &Socket, pool: &Pool) -> io::Result<()> {
    let server =
        Socket::connect(&pool.backend, &ConnectOpts { nodelay: true, ..ConnectOpts::default() }).await?;
    let (mut up, mut down) = (true, true);
    poll_fn(|cx| {
        for (from, to, open) in [(client, &server, &mut up), (&server, client, &mut down)] {
            while *open && to.send_pending() < 256 << 10 {
                match from.poll_recv(cx) {
                    Poll::Ready(Ok(buf)) if !buf.is_empty() => to.send(buf),
                    Poll::Ready(Ok(_)) => *open = false,
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                    Poll::Pending => break,
                }
            }
            if *open && to.poll_sent(cx, 128 << 10)?.is_ready() && to.send_pending() >= 256 << 10 {
                continue;
            }
        }
        // An orderly end of either side ends both: enough for a measurement.
        if up && down { Poll::Pending } else { Poll::Ready(Ok(())) }
    })
    .await
}

async fn serve(client: &Socket, pool: &Pool, once: bool) -> io::Result<()> {
    loop {
        let request = client.recv().await?;
        if request.is_empty() {
            return Ok(());
        }
        let server = pool.take().await?;
        server.send(request);
        let mut left = None;
        loop {
            let part = server.recv().await?;
            if part.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let remaining: usize = match left {
                Some(n) => n,
                None => response_length(&part).ok_or(io::ErrorKind::InvalidData)?,
            };
            let remaining = remaining.checked_sub(part.len()).ok_or(io::ErrorKind::InvalidData)?;
            match memchr::memmem::find(&part, b"keep-alive\r").filter(|_| once) {
                Some(at) => {
                    let mut bytes = runtime::take_vec();
                    bytes.extend_from_slice(&part);
                    bytes[at..at + 10].copy_from_slice(b"close     ");
                    client.send(bytes);
                }
                None => client.send(part),
            }
            if remaining == 0 {
                break;
            }
            left = Some(remaining);
            poll_fn(|cx| client.poll_sent(cx, 256 << 10)).await?;
        }
        pool.idle.borrow_mut().push(server);
        if once {
            return client.flushed().await;
        }
    }
}

/// Bytes of a response, head and body.
fn response_length(bytes: &[u8]) -> Option<usize> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let at = memchr::memmem::find(&bytes[..head], b"Content-Length: ")? + 16;
    let digits = bytes[at..].iter().take_while(|b| b.is_ascii_digit());
    Some(head + digits.fold(0, |n, d| n * 10 + usize::from(d - b'0')))
}
