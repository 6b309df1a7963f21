//! HTTP mode: any mix of requests over a network that misbehaves is answered or closed, once.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use haring::http::{BodyLen, Method, RequestHead, ResponseHead};
use haring::http1::{ChunkDecoder, ChunkStep, Limits, Parsed, Relax, parse_request, parse_response};
use haring::runtime::{self, sim::Faults};

use crate::world::{Lines, Peer, connect, load, origin, run};

const PROXY: u16 = 1080;
const ORIGIN: u16 = 2001;

fn config(lines: &Lines, extra: &str) -> String {
    format!(
        "global\n log {} local2\ndefaults\n mode http\n log global\n option httplog\n timeout client 3s\n \
         timeout server 3s\n timeout connect 1s\n timeout http-request 3s\n timeout http-keep-alive 2s\n\
         listen px\n bind 127.0.0.1:{PROXY}\n {extra}\n server s1 127.0.0.1:{ORIGIN}\n",
        lines.target()
    )
}

/// The body that a target asks for: `/n/SEED/LENGTH...`.
fn content(target: &str) -> Vec<u8> {
    let mut parts = target.split('/').skip(2);
    let seed: u64 = parts.next().and_then(|p| p.parse().ok()).unwrap_or(0);
    let len: usize = parts.next().and_then(|p| p.parse().ok()).unwrap_or(0);
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// Body bytes of a message from `peer`, by its framing. `None`: cut short.
async fn read_body(peer: &mut Peer, framing: BodyLen) -> Option<Vec<u8>> {
    match framing {
        BodyLen::None => Some(Vec::new()),
        BodyLen::Length(n) => {
            while (peer.data.len() as u64) < n {
                if !peer.more().await {
                    return None;
                }
            }
            let rest = peer.data.split_off(n as usize);
            Some(std::mem::replace(&mut peer.data, rest))
        }
        BodyLen::Chunked => {
            let mut decoder = ChunkDecoder::new();
            let mut body = Vec::new();
            loop {
                let mut at = 0;
                while at < peer.data.len() {
                    match decoder.decode(&peer.data[at..]).expect("the proxy sends valid chunks") {
                        ChunkStep::More { consumed } => at += consumed,
                        ChunkStep::Data { data, consumed } => {
                            body.extend_from_slice(&peer.data[at + data.start..at + data.end]);
                            at += consumed;
                        }
                        ChunkStep::End { consumed } => {
                            peer.data.drain(..at + consumed);
                            return Some(body);
                        }
                    }
                }
                peer.data.clear();
                if !peer.more().await {
                    return None;
                }
            }
        }
        BodyLen::UntilClose | BodyLen::Tunnel => {
            while peer.more().await {}
            Some(std::mem::take(&mut peer.data))
        }
    }
}

async fn read_request(peer: &mut Peer) -> Option<RequestHead> {
    let mut head = RequestHead::new();
    loop {
        if !peer.data.is_empty() {
            let parsed = parse_request(&peer.data, &Limits::default(), Relax::Strict, &mut head);
            if let Parsed::Complete { head_len } = parsed.expect("the proxy sends valid requests") {
                peer.data.drain(..head_len);
                return Some(head);
            }
        }
        if !peer.more().await {
            return None;
        }
    }
}

async fn read_response(peer: &mut Peer, method: Method) -> Option<ResponseHead> {
    let mut head = ResponseHead::new();
    loop {
        if !peer.data.is_empty() {
            let parsed = parse_response(&peer.data, &Limits::default(), Relax::Strict, method, &mut head);
            if let Parsed::Complete { head_len } = parsed.expect("the proxy sends valid responses") {
                peer.data.drain(..head_len);
                if !head.is_interim() {
                    return Some(head);
                }
                head.clear();
                continue;
            }
        }
        if !peer.more().await {
            return None;
        }
    }
}

/// Answers as the target says: `/KIND/SEED/LENGTH`.
async fn serve_origin(mut peer: Peer, seen: Rc<RefCell<Vec<String>>>) {
    while let Some(head) = read_request(&mut peer).await {
        let target = String::from_utf8_lossy(head.target()).into_owned();
        seen.borrow_mut().push(target.clone());
        let body = content(&target);
        let kind = target.split('/').nth(1).unwrap_or("").to_owned();
        if kind != "early" && read_body(&mut peer, head.framing()).await.is_none() {
            return;
        }
        if kind == "slow" {
            runtime::sleep(Duration::from_millis(500)).await;
        }
        let bare = head.method() == Method::Head;
        let mut out = Vec::new();
        match kind.as_str() {
            "chunked" => {
                out.extend_from_slice(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                if !bare {
                    for part in body.chunks(7000) {
                        out.extend_from_slice(format!("{:x};x=y\r\n", part.len()).as_bytes());
                        out.extend_from_slice(part);
                        out.extend_from_slice(b"\r\n");
                    }
                    out.extend_from_slice(b"0\r\nSum: x\r\n\r\n");
                }
            }
            "close" => {
                out.extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\n");
                if !bare {
                    out.extend_from_slice(&body);
                }
            }
            "none" => out.extend_from_slice(b"HTTP/1.1 204 No Content\r\n\r\n"),
            "vanish" => return,
            _ => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                out.extend_from_slice(head.as_bytes());
                if !bare {
                    out.extend_from_slice(&body);
                }
            }
        }
        if !peer.say(&out).await || kind == "close" || kind == "early" {
            return;
        }
    }
}

struct Rng(u64);

impl Rng {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

/// One random request: bytes, method, target.
fn random_request(rng: &mut Rng, id: u64) -> (Vec<u8>, Method, String) {
    let kinds = ["n", "n", "n", "chunked", "close", "slow", "none", "early"];
    let kind = kinds[rng.next(kinds.len() as u64) as usize];
    let len = match rng.next(4) {
        0 => 0,
        1 => rng.next(200),
        2 => rng.next(20_000),
        _ => rng.next(300_000),
    };
    let target = format!("/{kind}/{id}/{len}");
    let old = rng.next(5) == 0;
    let (method, token) = match rng.next(6) {
        0 => (Method::Head, "HEAD"),
        1 | 2 => (Method::Post, "POST"),
        _ => (Method::Get, "GET"),
    };
    let version = if old { "1.0" } else { "1.1" };
    let mut out = format!("{token} {target} HTTP/{version}\r\nHost: x\r\n").into_bytes();
    if method == Method::Post {
        let most = if rng.next(2) == 0 { 100 } else { 100_000 };
        let size = rng.next(most) as usize;
        let body = vec![b'b'; size];
        if old || rng.next(2) == 0 {
            out.extend_from_slice(format!("Content-Length: {size}\r\n\r\n").as_bytes());
            out.extend_from_slice(&body);
        } else {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for part in body.chunks(3000) {
                out.extend_from_slice(format!("{:X}\r\n", part.len()).as_bytes());
                out.extend_from_slice(part);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
        }
    } else {
        out.extend_from_slice(b"\r\n");
    }
    (out, method, target)
}

/// Sends requests one after the other. Counts the answers that came complete.
async fn client(seed: u64, requests: u64, strict: bool, answered: Rc<RefCell<u64>>) {
    let mut rng = Rng(seed | 1);
    let mut peer = None;
    for i in 0..requests {
        let (bytes, method, target) = random_request(&mut rng, seed * 1000 + i);
        let mut p = match peer.take() {
            Some(p) => p,
            None => match connect(PROXY).await {
                Some(socket) => Peer::new(socket),
                None => continue,
            },
        };
        p.socket.send(bytes);
        let Some(head) = read_response(&mut p, method).await else {
            assert!(!strict, "no answer to {target}");
            continue;
        };
        let body = read_body(&mut p, head.framing()).await;
        match body {
            Some(body) if head.status() == 200 && method != Method::Head => {
                let until_close = head.framing() == BodyLen::UntilClose;
                let whole = content(&target);
                // Only a close-delimited body may look complete although it was cut.
                let fits = body == whole || (!strict && until_close && whole.starts_with(&body));
                assert!(fits, "a wrong body for {target}: {} of {}", body.len(), whole.len());
                *answered.borrow_mut() += 1;
            }
            Some(_) => {
                assert!(!strict || head.status() < 300, "status {} for {target}", head.status());
                *answered.borrow_mut() += 1;
            }
            None => assert!(
                !strict,
                "a cut body for {method:?} {target}: {:?} {:?} got {} at {:?}",
                head.framing(),
                String::from_utf8_lossy(head.received()),
                p.data.len(),
                runtime::now()
            ),
        }
        let stays = !head.connection().close
            && (head.version() == haring::http::Version::HTTP_11 || head.connection().keep_alive);
        let early = target.starts_with("/early/");
        if stays && !p.ended && !early && rng.next(8) != 0 {
            peer = Some(p);
        }
    }
}

fn scenario(seed: u64, faults: Faults, extra: &str) {
    let strict = [faults.reset, faults.connect_fail].iter().all(|&r| r == 0);
    let lines = Lines::new();
    let shared = load(&config(&lines, extra));
    let answered = Rc::new(RefCell::new(0));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (a, s) = (answered.clone(), seen.clone());
    run(seed, faults, &shared, move |_| async move {
        origin(ORIGIN, move |peer| serve_origin(peer, s.clone()));
        let left = Rc::new(RefCell::new(4));
        for i in 0..4 {
            let (a, left) = (a.clone(), left.clone());
            runtime::spawn(async move {
                client(seed * 10 + i, 8, strict, a).await;
                *left.borrow_mut() -= 1;
            });
        }
        while *left.borrow() > 0 {
            runtime::sleep(Duration::from_millis(100)).await;
        }
    });
    let totals = shared.live.process_totals();
    let lines = lines.take_at_least(totals.requests as usize);
    let answered = *answered.borrow();
    if strict {
        assert_eq!(totals.requests, 32);
        assert_eq!(answered, 32);
        assert_eq!(seen.borrow().len(), 32, "each request reaches the server once: {:?}", seen.borrow());
        assert_eq!(lines.len(), 32, "{lines:#?}");
    } else {
        let most = (totals.requests + totals.connections) as usize;
        assert!(lines.len() >= totals.requests as usize && lines.len() <= most, "{lines:#?}");
    }
}

#[test]
fn a_quiet_network_answers_everything() {
    for seed in 1..20 {
        scenario(seed, Faults::default(), "");
    }
}

#[test]
fn short_reads_and_delays_change_nothing() {
    for seed in 1..30 {
        let faults = Faults { short_recv: 300, delay: 200, enobufs: 50, ..Faults::default() };
        scenario(seed, faults, "");
    }
}

#[test]
fn resets_at_any_point_leave_nothing_behind() {
    for seed in 1..60 {
        let faults = Faults {
            short_recv: 200,
            delay: 100,
            reset: 20,
            connect_fail: 50,
            short_send: 200,
            emfile: 50,
            enobufs: 20,
        };
        scenario(seed, faults, "");
    }
}

#[test]
fn every_connection_mode_answers_everything() {
    for mode in ["option httpclose", "option http-server-close", "http-reuse never", "http-reuse always"] {
        for seed in 1..6 {
            let faults = Faults { short_recv: 100, delay: 100, ..Faults::default() };
            scenario(seed, faults, mode);
        }
    }
}

#[test]
fn a_request_that_hits_a_dead_idle_connection_is_sent_once_more() {
    let lines = Lines::new();
    let shared = load(&config(&lines, "http-reuse always"));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let s = seen.clone();
    run(1, Faults::default(), &shared, move |_| async move {
        let first = Rc::new(RefCell::new(true));
        origin(ORIGIN, move |mut peer: Peer| {
            let (s, first) = (s.clone(), first.clone());
            async move {
                let dies = std::mem::replace(&mut *first.borrow_mut(), false);
                let mut served = 0;
                while let Some(head) = read_request(&mut peer).await {
                    s.borrow_mut().push(String::from_utf8_lossy(head.target()).into_owned());
                    served += 1;
                    if dies && served == 2 {
                        return;
                    }
                    peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                }
            }
        });
        let mut peer = Peer::new(connect(PROXY).await.expect("connect"));
        for target in ["/a", "/b"] {
            peer.say(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
            let head = read_response(&mut peer, Method::Get).await.expect("an answer");
            assert_eq!(head.status(), 200);
            assert_eq!(read_body(&mut peer, head.framing()).await.as_deref(), Some(&b"ok"[..]));
        }
    });
    assert_eq!(*seen.borrow(), ["/a", "/b", "/b"]);
    let lines = lines.take();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines.iter().all(|l| l.contains(" 200 ") && l.contains("/0 0/0 ")),
        "no retry is counted: {lines:#?}"
    );
}
