//! What is not a plain request and response: interim answers, protocol switches, early answers, TCP frontends
//! with an HTTP backend.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use haring::runtime::{self, sim::Faults};

use crate::world::{Lines, Peer, connect, load, origin, run};

const PROXY: u16 = 1082;
const ORIGIN: u16 = 2004;

fn config(lines: &Lines, mode: &str, extra: &str) -> String {
    format!(
        "global\n log {} local2\ndefaults\n mode http\n log global\n option httplog\n timeout client 2s\n timeout \
         server 2s\n timeout connect 1s\n timeout tunnel 4s\nfrontend fe\n mode {mode}\n bind 127.0.0.1:{PROXY}\n {extra}\n \
         default_backend be\nbackend be\n server s1 127.0.0.1:{ORIGIN}\n",
        lines.target()
    )
}

/// Reads until `end` was seen (or nothing comes any more); gives everything read so far.
async fn read_until(p: &mut Peer, end: &[u8]) -> Vec<u8> {
    while !p.data.windows(end.len()).any(|w| w == end) && p.more().await {}
    std::mem::take(&mut p.data)
}

/// Runs one client against one kind of origin; gives what the client got and the log lines.
fn one(
    mode: &str,
    extra: &str,
    talk: impl AsyncFnOnce(&mut Peer) -> Vec<u8> + 'static,
    serve: impl AsyncFn(Peer) + 'static,
) -> (String, Vec<String>) {
    let lines = Lines::new();
    let shared = load(&config(&lines, mode, extra));
    let got = Rc::new(RefCell::new(Vec::new()));
    let out = got.clone();
    run(1, Faults::default(), &shared, move |_| async move {
        let serve = Rc::new(serve);
        origin(ORIGIN, move |p| {
            let serve = serve.clone();
            async move { serve(p).await }
        });
        let mut p = Peer::new(connect(PROXY).await.expect("connect"));
        let said = talk(&mut p).await;
        *out.borrow_mut() = said;
    });
    (String::from_utf8_lossy(&got.take()).into_owned(), lines.take())
}

const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

async fn echo_after(mut p: Peer, answer: &[u8]) {
    read_until(&mut p, b"\r\n\r\n").await;
    p.say(answer).await;
    while p.more().await {
        let data = std::mem::take(&mut p.data);
        p.say(&data).await;
    }
    let _ = p.socket.shutdown_write();
}

#[test]
fn a_switch_makes_a_tunnel() {
    let (got, lines) = one(
        "http",
        "",
        async |p| {
            p.say(UPGRADE).await;
            let mut all = read_until(p, b"\r\n\r\n").await;
            for _ in 0..3 {
                // Longer than `timeout client`: only `timeout tunnel` counts now.
                runtime::sleep(Duration::from_secs(3)).await;
                p.say(b"ping").await;
                all.extend(read_until(p, b"ping").await);
            }
            p.socket.shutdown_write().expect("shutdown");
            all.extend(p.rest(Duration::from_secs(5)).await);
            all
        },
        async |p| echo_after(p, SWITCHED).await,
    );
    assert!(got.starts_with("HTTP/1.1 101 ") && got.ends_with("\r\n\r\npingpingping"), "{got}");
    assert!(lines.len() == 1 && lines[0].contains(" 101 ") && lines[0].contains(" ---- "), "{lines:#?}");
}

#[test]
fn nothing_is_tunnelled_before_the_server_agreed() {
    let smuggled = [UPGRADE, b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let s = seen.clone();
    let (got, lines) = one(
        "http",
        "",
        async move |p| {
            p.say(&smuggled).await;
            p.rest(Duration::from_secs(5)).await
        },
        async move |mut p: Peer| {
            let first = read_until(&mut p, b"\r\n\r\n").await;
            // Whatever follows the upgrade request must not have arrived with it.
            s.borrow_mut().push(String::from_utf8_lossy(&first).into_owned());
            p.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
            while p.more().await {
                let head = read_until(&mut p, b"\r\n\r\n").await;
                s.borrow_mut().push(String::from_utf8_lossy(&head).into_owned());
                p.say(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo").await;
            }
        },
    );
    assert!(got.contains("no") && got.ends_with("two"), "{got}");
    assert!(!seen.borrow()[0].contains("second"), "{:?}", seen.borrow());
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn a_switch_that_nobody_asked_for_is_refused() {
    let (got, lines) = one(
        "http",
        "",
        async |p| {
            p.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
            p.rest(Duration::from_secs(5)).await
        },
        async |p| echo_after(p, SWITCHED).await,
    );
    assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
    assert!(lines[0].contains(" PH-- "), "{lines:#?}");
}

#[test]
fn connect_makes_a_tunnel_when_granted() {
    let (got, lines) = one(
        "http",
        "",
        async |p| {
            p.say(b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n").await;
            let mut all = read_until(p, b"\r\n\r\n").await;
            p.say(b"hello").await;
            all.extend(read_until(p, b"hello").await);
            p.socket.shutdown_write().expect("shutdown");
            all.extend(p.rest(Duration::from_secs(5)).await);
            all
        },
        async |p| echo_after(p, b"HTTP/1.1 200 Granted\r\n\r\n").await,
    );
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\nhello"), "{got}");
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

#[test]
fn the_server_invites_the_body() {
    let (got, lines) = one(
        "http",
        "",
        async |p| {
            p.say(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
            let mut all = read_until(p, b"\r\n\r\n").await;
            p.say(b"hello").await;
            all.extend(p.rest(Duration::from_secs(5)).await);
            all
        },
        async |mut p: Peer| {
            read_until(&mut p, b"\r\n\r\n").await;
            p.say(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            let body = read_until(&mut p, b"hello").await;
            p.say(&[&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"[..], &body].concat()).await;
            p.rest(Duration::from_secs(5)).await;
        },
    );
    assert!(got.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{got}");
    assert!(got.ends_with("hello"), "{got}");
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let (got, lines) = one(
        "http",
        "",
        async |p| {
            p.say(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n").await;
            p.socket.send(vec![b'x'; 300_000]);
            p.rest(Duration::from_secs(20)).await
        },
        async |mut p: Peer| {
            p.more().await;
            p.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig").await;
            p.socket.shutdown_write().expect("shutdown");
            p.rest(Duration::from_secs(5)).await;
        },
    );
    assert!(got.starts_with("HTTP/1.1 413 ") && got.ends_with("big"), "{got}");
    assert!(lines.len() == 1 && lines[0].contains(" 413 "), "{lines:#?}");
}

#[test]
fn an_unread_body_is_not_taken_for_a_request() {
    let hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
    let whole = format!("POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", hidden.len());
    let sent = [whole.as_bytes(), hidden].concat();
    let seen = Rc::new(RefCell::new(0));
    let s = seen.clone();
    let (got, lines) = one(
        "http",
        "http-request deny if { path /no }",
        async move |p| {
            p.say(&sent).await;
            p.rest(Duration::from_secs(5)).await
        },
        async move |mut p: Peer| {
            *s.borrow_mut() += 1;
            p.rest(Duration::from_secs(5)).await;
        },
    );
    assert!(got.starts_with("HTTP/1.1 403 "), "{got}");
    assert_eq!(*seen.borrow(), 0, "the server saw a connection");
    assert!(lines.len() == 1 && lines[0].contains(" PR-- "), "{lines:#?}");
}

#[test]
fn a_tcp_frontend_may_lead_to_an_http_backend() {
    let rules = "tcp-request inspect-delay 1s\n tcp-request content accept if HTTP";
    for extra in ["", rules] {
        let (got, _) = one(
            "tcp",
            extra,
            async |p| {
                p.say(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await;
                let mut all = read_until(p, b"ok").await;
                p.say(b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
                all.extend(p.rest(Duration::from_secs(5)).await);
                all
            },
            async |mut p: Peer| {
                while !read_until(&mut p, b"\r\n\r\n").await.is_empty() {
                    p.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                }
            },
        );
        assert_eq!(got.matches("HTTP/1.1 200 OK").count(), 2, "{extra}: {got}");
    }
}
