//! Connections that change hands at any moment, again and again: nobody notices.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haring::net::Packet;
use haring::runtime::{self, sim::Faults};
use haring::stream::handover::{Carrier, Estate, Successor, adopt};
use haring::stream::{Shared, Worker};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::world::{Lines, Peer, connect, load, origin, run};

const PROXY: u16 = 1100;
const ORIGIN: u16 = 2003;

fn config(mode: &str, lines: &Lines) -> String {
    format!(
        "global\n log {} local2\ndefaults\n mode {mode}\n log global\n log-format line:%ci:%cp:%U:%B:%ts\n timeout client \
         30s\n timeout server 30s\n timeout connect 1s\n option splice-auto\nlisten px\n bind 127.0.0.1:{PROXY}\n \
         server s1 127.0.0.1:{ORIGIN}\n",
        lines.target()
    )
}

/// The way from one process to the next. It is full now and then.
struct Mail {
    messages: Mutex<VecDeque<(Vec<u8>, Vec<OwnedFd>)>>,
    attempts: AtomicU32,
}

impl Carrier for Mail {
    fn carry(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        if self.attempts.fetch_add(1, Relaxed).is_multiple_of(3) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let fds = fds.iter().map(runtime::sim::share).collect();
        self.messages.lock().expect("no panic").push_back((message.to_vec(), fds));
        Ok(())
    }
}

/// After `wait`, all that `old` carries goes to a process that succeeds it.
async fn succeed(old: &Rc<Worker>, shared: &Arc<Shared>, wait: u64, over: Rc<Cell<bool>>) -> Rc<Worker> {
    runtime::sleep(Duration::from_micros(wait)).await;
    let new = Worker::new(0, shared.clone());
    let estate = Estate::new(shared.clone());
    let mail = Arc::new(Mail { messages: Mutex::default(), attempts: AtomicU32::new(0) });
    let names: Vec<String> = estate.names().collect();
    let old_view = old.view();
    let known = names.iter().map(String::as_str);
    old.stop_for(Arc::new(Successor::new(mail.clone(), &old_view.shared.snapshot, known)));
    let worker = new.clone();
    runtime::spawn(async move {
        // Longer than there may be something: what is left would close descriptors of the kernel's.
        let mut rounds = 0;
        while rounds < 500 {
            runtime::sleep(Duration::from_millis(3)).await;
            rounds += u32::from(over.get());
            while let Some((bytes, fds)) = mail.messages.lock().expect("no panic").pop_front() {
                let arrival = estate.read(Packet { bytes, fds }).expect("it is known here");
                runtime::spawn(adopt(worker.clone(), arrival).expect("it is usable"));
            }
        }
    });
    new
}

/// Runs clients while one process after the other takes over, and returns what was logged.
fn generations<F: Future<Output = ()> + 'static>(
    (mode, seed, faults): (&str, u64, Faults),
    waits: Vec<u64>,
    (clients, lines_wanted): (usize, usize),
    client: impl Fn(usize) -> F + 'static,
) -> Vec<String> {
    let http = mode == "http";
    let lines = Lines::new();
    let shared = || load(&config(mode, &lines));
    let first = shared();
    let others: Vec<Arc<Shared>> = waits.iter().map(|_| shared()).collect();
    let shown = others.clone();
    let served = first.clone();
    run(seed, faults, &first, move |worker| async move {
        if http {
            origin(ORIGIN, reply);
        } else {
            origin(ORIGIN, echo);
        }
        let (done, all) = (Rc::new(Cell::new(0)), clients);
        for i in 0..all {
            let (client, done) = (client(i), done.clone());
            runtime::spawn(async move {
                client.await;
                done.set(done.get() + 1);
            });
        }
        let over = Rc::new(Cell::new(false));
        let mut worker = worker;
        for (shared, wait) in others.iter().zip(waits) {
            worker = succeed(&worker, shared, wait, over.clone()).await;
        }
        while done.get() < all {
            runtime::sleep(Duration::from_millis(10)).await;
        }
        over.set(true);
        runtime::sleep(Duration::from_secs(10)).await;
    });
    for shared in shown.iter().chain([&served]) {
        let live = &shared.live;
        assert_eq!(live.process.connections.get(), 0, "connections are left");
        assert_eq!((live.frontends[0].sessions.get(), live.backends[0].sessions.get()), (0, 0));
        assert_eq!(live.servers[0].sessions.get(), 0, "sessions of the server are left");
    }
    let all: u64 = shown.iter().chain([&served]).map(|s| s.live.process_totals().connections).sum();
    assert_eq!(all, clients as u64, "each connection counts once");
    lines.take_at_least(lines_wanted)
}

/// Requests get their first line as the answer.
async fn reply(mut p: Peer) {
    while p.more().await {
        while let Some(end) = p.data.windows(4).position(|w| w == b"\r\n\r\n") {
            let head: Vec<u8> = p.data.drain(..end + 4).collect();
            let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
            let answer =
                [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", line.len()).as_bytes(), line]
                    .concat();
            if !p.say(&answer).await {
                return;
            }
        }
    }
}

async fn echo(mut p: Peer) {
    while p.more().await {
        let data = std::mem::take(&mut p.data);
        if !p.say(&data).await {
            return;
        }
    }
    let _ = p.socket.shutdown_write();
}

/// What a client does: pauses in µs, and lengths.
type Script = Vec<(u64, usize)>;

async fn answer(p: &mut Peer) -> String {
    loop {
        if let Some(end) = p.data.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&p.data[..end]).to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200") && !head.contains("connection:"), "{head}");
            let len =
                head.split_once("content-length: ").and_then(|(_, v)| v.trim().parse().ok()).unwrap_or(0);
            if p.data.len() >= end + 4 + len {
                p.data.drain(..end + 4);
                return String::from_utf8_lossy(&p.data.drain(..len).collect::<Vec<u8>>()).into_owned();
            }
        }
        assert!(p.more().await, "closed after {:?}", String::from_utf8_lossy(&p.data));
    }
}

/// Sends requests, cut anywhere, some in a row, and wants an answer to each.
async fn ask(i: usize, script: Script) {
    let mut p = Peer::new(connect(PROXY).await.expect("connect"));
    for (n, (pause, cut)) in script.into_iter().enumerate() {
        let rows = 1 + cut % 3;
        let requests: String =
            (0..rows).map(|k| format!("GET /{i}/{n}/{k} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
        let (a, b) = requests.split_at(cut % requests.len());
        p.say(a.as_bytes()).await;
        runtime::sleep(Duration::from_micros(pause)).await;
        p.say(b.as_bytes()).await;
        for k in 0..rows {
            assert_eq!(answer(&mut p).await, format!("GET /{i}/{n}/{k} HTTP/1.1"));
        }
        runtime::sleep(Duration::from_micros(pause * 7 % 1900)).await;
    }
}

/// Sends parts and wants them back, all in the end.
async fn talk(script: Script) {
    let mut p = Peer::new(connect(PROXY).await.expect("connect"));
    let mut sent = Vec::new();
    for (pause, len) in script {
        let part: Vec<u8> = (0..len).map(|i| ((sent.len() + i) * 31 % 251) as u8).collect();
        p.socket.send(part.clone());
        sent.extend(part);
        runtime::timeout_at(runtime::now() + Duration::from_micros(pause), p.more()).await;
        p.ended = false;
    }
    while p.data.len() < sent.len() {
        assert!(p.more().await, "closed after {} of {} bytes", p.data.len(), sent.len());
    }
    assert!(p.data == sent, "other bytes came back");
    p.data.clear();
    p.socket.shutdown_write().expect("open");
    assert!(p.rest(Duration::from_secs(90)).await.is_empty());
}

fn faults() -> impl Strategy<Value = Faults> {
    (0_u16..300, 0_u16..300, 0_u16..100, 0_u16..100).prop_map(|(short_recv, short_send, delay, enobufs)| {
        Faults { short_recv, short_send, delay, enobufs, ..Faults::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_request_is_answered(
        seed: u64,
        faults in faults(),
        waits in vec(0_u64..20_000, 1..4),
        scripts in vec(vec((0_u64..3000, 0_usize..120), 1..12), 1..6),
    ) {
        let requests: usize = scripts.iter().flatten().map(|(_, cut)| 1 + cut % 3).sum();
        let clients = scripts.len();
        let lines = generations(("http", seed, faults), waits, (clients, requests), move |i| ask(i, scripts[i].clone()));
        prop_assert_eq!(lines.len(), requests, "each exchange is logged once: {:#?}", lines);
    }

    #[test]
    fn every_byte_of_a_tunnel_arrives(
        seed: u64,
        faults in faults(),
        waits in vec(0_u64..20_000, 1..4),
        scripts in vec(vec((0_u64..3000, prop_oneof![1_usize..200, 1_usize..40_000]), 1..12), 1..6),
    ) {
        let bytes: Vec<usize> = scripts.iter().map(|s| s.iter().map(|(_, len)| len).sum()).collect();
        let clients = scripts.len();
        let lines = generations(("tcp", seed, faults), waits, (clients, clients), move |i| talk(scripts[i].clone()));
        prop_assert_eq!(lines.len(), clients, "each tunnel is logged once: {:#?}", lines);
        for n in bytes {
            prop_assert!(lines.iter().any(|l| l.ends_with(&format!(":{n}:{n}:--"))), "no {n} in {lines:#?}");
        }
    }
}

/// Says something, and then nothing more: how many seconds later it was closed.
async fn fall_silent(text: &[u8]) -> u64 {
    let mut p = Peer::new(connect(PROXY).await.expect("connect"));
    p.say(text).await;
    assert!(p.more().await, "an answer");
    let since = runtime::now();
    p.rest(Duration::from_secs(90)).await;
    runtime::now().since(since).as_secs()
}

#[test]
fn silence_is_as_long_as_without_a_hand_over() {
    for (mode, text) in [("http", &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..]), ("tcp", b"x")] {
        let waits = vec![10_000_000, 15_000_000];
        generations((mode, 1, Faults::default()), waits, (1, 1), move |_| async move {
            assert_eq!(fall_silent(text).await, 30, "{mode}");
        });
    }
}
