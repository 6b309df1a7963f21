//! Every wait of HTTP mode ends, and the log says how.

use std::time::Duration;

use haring::runtime::{self, sim::Faults};

use crate::world::{Lines, Peer, connect, load, origin, run};

const PROXY: u16 = 1081;
const ORIGIN: u16 = 2003;

/// One client that sends `say` and reads to the end; an origin that answers the first bytes with `answer` and
/// then keeps the connection open (or closes it at once: `closes`).
fn exchange(extra: &str, say: &'static [u8], answer: &'static [u8], closes: bool) -> (Vec<u8>, Vec<String>) {
    let lines = Lines::new();
    let text = format!(
        "global\n log {} local2\ndefaults\n mode http\n log global\n option httplog\n timeout client 1s\n timeout \
         server 800ms\n timeout connect 300ms\n timeout http-request 500ms\n timeout http-keep-alive 600ms\n timeout \
         queue 300ms\nlisten px\n bind 127.0.0.1:{PROXY}\n {extra}\n server s1 127.0.0.1:{ORIGIN}\n",
        lines.target()
    );
    let shared = load(&text);
    let got = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let out = got.clone();
    run(1, Faults::default(), &shared, move |_| async move {
        origin(ORIGIN, move |mut p: Peer| async move {
            if p.more().await {
                p.say(answer).await;
            }
            if !closes {
                p.rest(Duration::from_secs(60)).await;
            }
        });
        let mut p = Peer::new(connect(PROXY).await.expect("connect"));
        if !say.is_empty() {
            p.say(say).await;
        }
        *out.borrow_mut() = p.rest(Duration::from_secs(30)).await;
        runtime::sleep(Duration::from_secs(1)).await;
    });
    (got.take(), lines.take())
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[track_caller]
fn check(result: (Vec<u8>, Vec<String>), status: &str, log: &str) {
    let (answer, lines) = result;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with(status), "{answer}");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains(log), "{log} is not in {}", lines[0]);
}

#[test]
fn no_request_is_408() {
    check(exchange("", b"", b"", false), "HTTP/1.1 408", "px/<NOSRV> -1/-1/-1/-1/500 408 ");
    check(exchange("", b"GET / HT", b"", false), "HTTP/1.1 408", " cR-- ");
}

#[test]
fn probes_can_be_ignored() {
    let (answer, lines) = exchange("option http-ignore-probes", b"", b"", false);
    assert!(answer.is_empty() && lines.is_empty(), "{lines:?}");
    let (answer, lines) = exchange("option dontlognull", b"", b"", false);
    assert!(answer.starts_with(b"HTTP/1.1 408") && lines.is_empty(), "{lines:?}");
}

#[test]
fn a_silent_server_is_504() {
    check(exchange("", GET, b"", false), "HTTP/1.1 504", "px/s1 0/0/0/-1/800 504 ");
    check(exchange("", GET, b"HTTP/1.1 200 OK\r\nConte", false), "HTTP/1.1 504", " sH-- ");
}

#[test]
fn a_server_that_closes_early_is_502() {
    check(exchange("", GET, b"", true), "HTTP/1.1 502", " SH-- ");
    check(exchange("", GET, b"HTTP/1.1 200 OK\r\nConte", true), "HTTP/1.1 502", " SH-- ");
    check(exchange("", GET, b"no http at all\r\n\r\n", true), "HTTP/1.1 502", " PH-- ");
}

#[test]
fn a_body_that_stops_is_reported() {
    let part = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello";
    check(exchange("", GET, part, false), "HTTP/1.1 200", " sD-- ");
    check(exchange("", GET, part, true), "HTTP/1.1 200", " SD-- ");
    let chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    check(exchange("", GET, chunk, true), "HTTP/1.1 200", " SD-- ");
}

#[test]
fn an_idle_client_is_closed_without_a_word() {
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let result = exchange("", GET, whole, false);
    assert!(result.0.ends_with(b"ok"), "{}", result.0.escape_ascii());
    check(result, "HTTP/1.1 200", " 200 ");
}

#[test]
fn a_request_body_that_stops_waits_for_the_server() {
    let post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhello";
    check(exchange("", post, b"", false), "HTTP/1.1 504", " sH-- ");
    check(exchange("option http-buffer-request", post, b"", false), "HTTP/1.1 408", " cR-- ");
}

#[test]
fn bad_requests_are_400() {
    check(exchange("", b"GARBAGE\r\n\r\n", b"", false), "HTTP/1.1 400", " PR-- ");
    let smuggled =
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabcde\r\n0\r\n\r\n";
    check(exchange("", smuggled, b"", false), "HTTP/1.1 400", " 400 ");
}

#[test]
fn a_client_that_leaves_is_reported() {
    let lines = Lines::new();
    let text = format!(
        "global\n log {} local2\ndefaults\n mode http\n log global\n option httplog\n timeout client 1s\n timeout \
         server 800ms\n timeout connect 300ms\nlisten px\n bind 127.0.0.1:{PROXY}\n option abortonclose\n server s1 \
         127.0.0.1:{ORIGIN}\n",
        lines.target()
    );
    let shared = load(&text);
    run(1, Faults::default(), &shared, |_| async {
        origin(ORIGIN, |mut p: Peer| async move {
            p.rest(Duration::from_secs(60)).await;
        });
        let p = Peer::new(connect(PROXY).await.expect("connect"));
        p.say(GET).await;
        runtime::sleep(Duration::from_millis(100)).await;
        drop(p);
    });
    let lines = lines.take();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains(" CH-- "), "{}", lines[0]);
}

#[test]
fn a_client_that_leaves_before_a_connection_gets_no_answer() {
    let lines = Lines::new();
    let text = format!(
        "global\n log {} local2\ndefaults\n mode http\n log global\n option httplog\n timeout client 9s\n timeout \
         server 800ms\n timeout connect 2s\n retries 5\nlisten px\n bind 127.0.0.1:{PROXY}\n option abortonclose\n \
         server s1 127.0.0.1:{ORIGIN}\n",
        lines.target()
    );
    let shared = load(&text);
    run(1, Faults::default(), &shared, |_| async {
        // Nobody listens: the proxy waits before it tries again.
        let p = Peer::new(connect(PROXY).await.expect("connect"));
        p.say(GET).await;
        runtime::sleep(Duration::from_millis(100)).await;
        drop(p);
    });
    let lines = lines.take();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    // Neither after the first wait for another attempt nor with an answer that nobody reads.
    assert!(lines[0].contains("px/s1 0/0/-1/-1/10"), "{}", lines[0]);
    assert!(lines[0].contains(" -1 0 - - CC-- "), "{}", lines[0]);
}

#[test]
fn a_body_that_a_rule_waits_for_in_vain_is_an_error() {
    let post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhello";
    let part = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello";
    check(exchange("http-request wait-for-body time 100ms", post, b"", false), "HTTP/1.1 408", " cR-- ");
    let rule = "http-response wait-for-body time 100ms";
    check(exchange(rule, GET, part, false), "HTTP/1.1 504", "px/s1 0/0/0/-1/100 504 ");
    // What a broken server sent is passed on, and the log says the rest.
    check(exchange(rule, GET, part, true), "HTTP/1.1 200", " SD-- ");
    // Enough is enough.
    let enough = "http-request wait-for-body time 100ms at-least 5";
    check(
        exchange(enough, post, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        "HTTP/1.1 200",
        " 200 ",
    );
    check(exchange(&format!("{rule} at-least 5"), GET, part, false), "HTTP/1.1 200", " sD-- ");
}

#[test]
fn a_body_that_a_rule_waited_for_can_be_looked_at() {
    let rules = "http-response wait-for-body time 100ms\n http-response set-header x-body \
                 %[res.body]/%[res.body_len]/%[res.body_size]";
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        let closes = answer.ends_with(b"\r\n\r\nhello");
        let (got, _) = exchange(rules, GET, answer, closes);
        let got = String::from_utf8_lossy(&got).into_owned();
        assert!(got.contains("x-body: hello/5/5\r\n"), "{got}");
        assert!(got.ends_with("hello") || got.ends_with("\r\n0\r\n\r\n"), "{got}");
    }
}
