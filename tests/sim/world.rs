//! A proxy with its origins and clients in one simulated thread.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use haring::config::{self, LoadOptions};
use haring::net::{BindOpts, ConnectOpts, Listener, RecvBuf, SockAddr, Socket};
use haring::proxy::queue::Queues;
use haring::proxy::{Live, resolve};
use haring::runtime::{self, sim};
use haring::stream::{Shared, Worker, accept};

/// Log lines, as a syslog receiver gets them.
pub struct Lines {
    port: u16,
    lines: Receiver<String>,
}

impl Lines {
    /// A receiver on a free port.
    pub fn new() -> Lines {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = socket.local_addr().expect("it is bound").port();
        let (tx, lines) = channel();
        std::thread::spawn(move || {
            let mut buf = vec![0; 65536];
            while let Ok(n) = socket.recv(&mut buf) {
                if tx.send(String::from_utf8_lossy(&buf[..n]).trim_end().to_owned()).is_err() {
                    return;
                }
            }
        });
        Lines { port, lines }
    }

    /// What a `log` line must name.
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Like `take`, but waits for `n` lines longer: a busy machine runs the receiver late.
    pub fn take_at_least(&self, n: usize) -> Vec<String> {
        let mut all = Vec::new();
        while all.len() < n
            && let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5))
        {
            all.push(line);
        }
        all.extend(self.take());
        all
    }

    /// Everything received; waits a little for what is on its way.
    pub fn take(&self) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(50)) {
            all.push(line);
        }
        all
    }
}

/// Loads a configuration for one thread.
pub fn load(text: &str) -> Arc<Shared> {
    let tables = haring::registry::tables();
    let loaded = config::load_str("test.cfg", text, LoadOptions::default(), &tables);
    let mut diags = loaded.diags;
    let snapshot = resolve(loaded.sections, &mut diags);
    let errors: Vec<_> = diags.list.iter().filter(|d| d.severity == config::Severity::Alert).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let snapshot = Arc::new(snapshot.expect("no error was reported"));
    let live = Arc::new(Live::new(&snapshot, 1));
    let queues = Queues::new(snapshot.clone(), live.clone());
    let _ = PathBuf::new();
    Shared::new(snapshot, live, queues, 0).expect("there is memory")
}

/// Runs the proxy with `scenario` as the rest of the world, then checks that nothing is left behind.
pub fn run<F: Future<Output = ()> + 'static>(
    seed: u64,
    faults: sim::Faults,
    shared: &Arc<Shared>,
    scenario: impl FnOnce(Rc<Worker>) -> F,
) {
    let shared = shared.clone();
    let checked = shared.clone();
    sim::run(seed, faults, async move {
        let worker = Worker::new(0, shared.clone());
        for conf in &shared.snapshot.listeners {
            let addr = conf.addr.inet().expect("the tests listen on IP addresses");
            let listener = Listener::bind(&SockAddr::Ip(addr), &BindOpts::default()).expect("bind");
            let (worker, id) = (worker.clone(), conf.id);
            runtime::spawn(async move {
                accept(worker, id, listener).await.expect("the listener works");
            });
        }
        runtime::yield_now().await;
        scenario(worker).await;
        // Timeouts end what clients left behind; a minute is more than any of them.
        for _ in 0..600 {
            if shared.live.process.connections.get() == 0 {
                break;
            }
            runtime::sleep(Duration::from_millis(100)).await;
        }
        // Idle server connections are purged after a few seconds.
        runtime::sleep(Duration::from_secs(30)).await;
    });
    let live = &checked.live;
    assert_eq!(live.process.connections.get(), 0, "client connections are left");
    for (i, fe) in live.frontends.iter().enumerate() {
        assert_eq!(fe.sessions.get(), 0, "sessions of frontend {i} are left");
    }
    for (i, be) in live.backends.iter().enumerate() {
        assert_eq!(be.sessions.get(), 0, "sessions of backend {i} are left");
        assert_eq!(be.queued.get(), 0, "somebody still queues in backend {i}");
    }
    for (i, srv) in live.servers.iter().enumerate() {
        assert_eq!(srv.sessions.get(), 0, "sessions of server {i} are left");
        assert_eq!(srv.queued.get(), 0, "somebody still queues for server {i}");
    }
}

/// Connects to the proxy.
pub async fn connect(port: u16) -> Option<Socket> {
    let addr = SockAddr::Ip(([127, 0, 0, 1], port).into());
    let limit = runtime::now() + PATIENCE;
    runtime::timeout_at(limit, Socket::connect(&addr, &ConnectOpts::default())).await?.ok()
}

/// How long clients and origins wait for anything.
const PATIENCE: Duration = Duration::from_secs(40);

/// An origin: runs `serve` for each connection to `port`.
pub fn origin<F: Future<Output = ()> + 'static>(port: u16, serve: impl Fn(Peer) -> F + 'static) {
    let addr = SockAddr::Ip(([127, 0, 0, 1], port).into());
    let listener = Listener::bind(&addr, &BindOpts::default()).expect("bind");
    runtime::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            runtime::spawn(serve(Peer::new(socket)));
        }
    });
}

/// A socket with what was read from it and not used yet.
pub struct Peer {
    pub socket: Socket,
    pub data: Vec<u8>,
    pub ended: bool,
}

impl Peer {
    pub fn new(socket: Socket) -> Peer {
        Peer { socket, data: Vec::new(), ended: false }
    }

    /// Reads once. False at the end, when the connection broke, or when nothing came for long.
    pub async fn more(&mut self) -> bool {
        match runtime::timeout_at(runtime::now() + PATIENCE, self.socket.recv()).await {
            Some(Ok(buf)) if !buf.is_empty() => {
                self.take(&buf);
                true
            }
            _ => {
                self.ended = true;
                false
            }
        }
    }

    fn take(&mut self, buf: &RecvBuf) {
        self.data.extend_from_slice(buf);
    }

    /// Reads until the end, at most `limit` long; what was read.
    pub async fn rest(&mut self, limit: Duration) -> Vec<u8> {
        let deadline = runtime::now() + limit;
        while let Some(true) = runtime::timeout_at(deadline, self.more()).await {}
        std::mem::take(&mut self.data)
    }

    /// Sends; true when the kernel took it.
    pub async fn say(&self, bytes: &[u8]) -> bool {
        self.socket.send(bytes.to_vec());
        self.socket.flushed().await.is_ok()
    }
}
