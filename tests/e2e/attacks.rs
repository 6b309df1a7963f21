//! Requests that try to mean one thing to us and another to the server. Each gets an error or a close, and never
//! becomes two requests, or another request, at the server.

use std::time::Duration;

use crate::support::*;

/// A request hidden behind the one that is judged.
const SECOND: &str = "GET /second HTTP/1.1\r\nHost: x\r\n\r\n";

struct Target {
    port: u16,
    server: Recorder,
    _haring: Process,
}

fn target(rules: &str) -> Target {
    let (port, server) = (free_port(), Recorder::start());
    let config = format!(
        "defaults
    mode http
    timeout connect 5s
    timeout client 2s
    timeout server 5s
listen li
    bind 127.0.0.1:{port}
    {rules}
    server s 127.0.0.1:{}
",
        server.port
    );
    Target { port, _haring: haring(&config, &[port]), server }
}

impl Target {
    /// Statuses of the answers, until the connection ends or nothing more comes.
    fn statuses(&self, request: &[u8]) -> Vec<u16> {
        let mut c = Client::connect(self.port);
        c.send(request);
        let _ = c.stream.shutdown(std::net::Shutdown::Write);
        let all = c.everything();
        let text = String::from_utf8_lossy(&all).into_owned();
        text.split("HTTP/1.1 ").skip(1).filter_map(|a| a.get(..3)?.parse().ok()).collect()
    }

    /// The request must be refused, and the server must not hear of it.
    fn refuses(&self, request: &[u8]) -> Result<(), String> {
        let statuses = self.statuses(request);
        let seen = self.server.take();
        let shown = String::from_utf8_lossy(request).chars().take(200).collect::<String>();
        if !seen.is_empty() {
            return Err(format!("{shown:?}: the server was sent {:?}", String::from_utf8_lossy(&seen)));
        }
        match statuses.as_slice() {
            // Closed without a word.
            [] => Ok(()),
            [s] if (400..=505).contains(s) => Ok(()),
            other => Err(format!("{shown:?}: answered {other:?}")),
        }
    }

    fn refuses_all(&self, requests: impl IntoIterator<Item = Vec<u8>>) {
        let complaints: Vec<String> = requests.into_iter().filter_map(|r| self.refuses(&r).err()).collect();
        assert!(complaints.is_empty(), "{} accepted:\n{}", complaints.len(), complaints.join("\n"));
    }
}

fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn lengths_that_are_no_numbers_or_not_one() {
    let t = target("");
    let values: &[&[u8]] = &[
        b"",
        b"+5",
        b"-1",
        b"0x5",
        b"1_0",
        b"5 5",
        b"5, 6",
        b"5,",
        b",5",
        b"18446744073709551616",
        b"99999999999999999999999999",
        b"5;x",
        b"5a",
        b"5\x0b",
        b"\xa05",
        b"5\x00",
        b"5.0",
        b"1e1",
        b"five",
        b"9223372036854775808000",
    ];
    let one = values.iter().map(|v| {
        bytes(&[b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ", v, b"\r\n\r\nabcde", SECOND.as_bytes()])
    });
    t.refuses_all(one);
    let pairs: &[&[u8]] = &[
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5\r\nContent-Length: 5, 6",
        b"Content-Length: 0\r\nContent-Length: 5",
    ];
    t.refuses_all(
        pairs
            .iter()
            .map(|h| bytes(&[b"POST / HTTP/1.1\r\nHost: x\r\n", h, b"\r\n\r\nabcde", SECOND.as_bytes()])),
    );
}

#[test]
fn transfer_codings_that_do_not_frame() {
    let t = target("");
    let values: &[&[u8]] = &[
        b"chunked, chunked",
        b"chunked, identity",
        b"chunked, gzip",
        b"gzip, chunked",
        b"xchunked",
        b"chunkedx",
        b"chunked;q=1",
        b"\"chunked\"",
        b"identity",
        b"identity, chunked",
        b"\x0bchunked",
        b"chunked\x0b",
        b"\xa0chunked",
        b"chunked\xa0",
        b"chunked\x00",
        b"",
        b"chun ked",
        b"gzip",
        b"chunked chunked",
    ];
    let body = b"\r\n\r\n0\r\n\r\n";
    t.refuses_all(
        values.iter().map(|v| {
            bytes(&[b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ", v, body, SECOND.as_bytes()])
        }),
    );
    let heads: &[&[u8]] = &[
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\x00: chunked",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\x0b: chunked",
    ];
    t.refuses_all(heads.iter().map(|h| bytes(&[h, body, SECOND.as_bytes()])));
}

/// Two framings in one message, and chunks in HTTP/1.0: refused, or closed after one request with one framing.
#[test]
fn two_framings_never_make_two_requests() {
    let t = target("");
    for head in [
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked",
        "POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        let statuses = t.statuses(format!("{head}\r\n\r\n0\r\n\r\n{SECOND}").as_bytes());
        assert!(statuses.len() <= 1, "{head:?}: {statuses:?}");
        let seen = String::from_utf8_lossy(&t.server.take()).into_owned();
        assert!(!seen.contains("/second"), "{head:?}: the server was sent {seen:?}");
        let framings =
            ["content-length:", "transfer-encoding:"].map(|h| seen.to_ascii_lowercase().contains(h));
        assert!(framings != [true, true], "{head:?}: the server was sent {seen:?}");
    }
}

#[test]
fn chunks_that_are_not_what_they_say() {
    // Without a server the answer cannot be anyone else's.
    let t = target("");
    let bodies: &[&[u8]] = &[
        b"0x5\r\nabcde\r\n0\r\n\r\n",
        b"5zz\r\nabcde\r\n0\r\n\r\n",
        b"+5\r\nabcde\r\n0\r\n\r\n",
        b"-5\r\nabcde\r\n0\r\n\r\n",
        b"_5\r\nabcde\r\n0\r\n\r\n",
        b"5\nabcde\r\n0\r\n\r\n",
        b"5;\nabcde\r\n0\r\n\r\n",
        b"5;a\nb\r\nabcde\r\n0\r\n\r\n",
        b"5;a\rb\r\nabcde\r\n0\r\n\r\n",
        b"5\rabcde\r\n0\r\n\r\n",
        b"5\r\nabcdeX\r\n0\r\n\r\n",
        b"5\r\nabcde0\r\n\r\n",
        b"5\r\nabcde\n0\r\n\r\n",
        b" 5\r\nabcde\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"10000000000000000\r\n",
        b"5;a\x00b\r\nabcde\r\n0\r\n\r\n",
        b"0\r\nA b: c\r\n\r\n",
        b"0\r\n: c\r\n\r\n",
        b"0\r\nContent\nLength: 5\r\n\r\n",
    ];
    let mut complaints = Vec::new();
    for body in bodies {
        let request = bytes(&[
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            body,
            SECOND.as_bytes(),
        ]);
        let statuses = t.statuses(&request);
        let seen = String::from_utf8_lossy(&t.server.take()).into_owned();
        // The head may have gone to the server before the body was seen; nothing behind the fault may.
        if seen.contains("/second") || statuses.len() > 1 || statuses.iter().any(|s| *s < 400) {
            complaints.push(format!("{:?}: {statuses:?}, {seen:?}", String::from_utf8_lossy(body)));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn header_names_and_bytes() {
    let t = target("");
    let long = [b"A".repeat(270), b": b".to_vec()].concat();
    let lines: &[&[u8]] = &[
        b": x",
        b"A b: c",
        b"A : b",
        b"A\t: b",
        b"\x00: b",
        b"A\x01: b",
        b"A: b\x00c",
        b"A: b\rc",
        b"A\x85: b",
        b"A\xc3\xa9: b",
        b"A",
        b"(A): b",
        b"A[]: b",
        b"A: b\r\n: c",
        b"A: b\r\r\n",
        &long,
    ];
    t.refuses_all(
        lines.iter().map(|l| bytes(&[b"GET / HTTP/1.1\r\nHost: x\r\n", l, b"\r\n\r\n", SECOND.as_bytes()])),
    );
    // A line that continues the one before, or a bare line feed, must not smuggle a header in.
    for l in [
        &b"X: b\r\n Transfer-Encoding: chunked"[..],
        b"X: b\n Transfer-Encoding: chunked",
        b" Transfer-Encoding: chunked",
    ] {
        let statuses = t.statuses(&bytes(&[b"GET / HTTP/1.1\r\nHost: x\r\n", l, b"\r\n\r\n"]));
        let seen = String::from_utf8_lossy(&t.server.take()).to_ascii_lowercase();
        assert!(!seen.contains("\ntransfer-encoding") && !seen.contains("\n "), "{seen:?}");
        assert!(statuses.len() <= 1);
    }
}

#[test]
fn request_lines_and_hosts() {
    let t = target("");
    let heads: &[&[u8]] = &[
        b"GET /a#.png HTTP/1.1\r\nHost: x",
        b"GET http://y/ HTTP/1.1\r\nHost: x",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y",
        b"GET / HTTP/1.1\r\nHost: a:8x",
        b"GET / HTTP/1.1\r\nHost: a b",
        b"GET / HTTP/1.1\r\nHost: a/b",
        b"GET / HTTP/1.1 \r\nHost: a",
        b"GET / HTTP/2.0\r\nHost: a",
        b"GET / HTTP/1.10\r\nHost: a",
        b"GET / http/1.1\r\nHost: a",
        b"GET / HTTP/01.1\r\nHost: a",
        b"G@T / HTTP/1.1\r\nHost: a",
        b"GET /\x01 HTTP/1.1\r\nHost: a",
        b"GET /\xe9 HTTP/1.1\r\nHost: a",
        b"GET /\x7f HTTP/1.1\r\nHost: a",
        b"GET /\x00 HTTP/1.1\r\nHost: a",
        b" GET / HTTP/1.1\r\nHost: a",
        b"GET /",
        b"CONNECT a HTTP/1.1\r\nHost: a",
        b"CONNECT a:80 HTTP/1.1\r\nHost: b",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    t.refuses_all(heads.iter().map(|h| bytes(&[h, b"\r\n\r\n"])));
}

/// The body of a request that we answer ourselves is never taken for the next request.
#[test]
fn bodies_that_nobody_read() {
    let rules = "http-request deny if { path /deny }
    http-request redirect location / if { path /redirect }
    monitor-uri /monitor";
    let t = target(rules);
    for path in ["/deny", "/redirect", "/monitor"] {
        for length in [SECOND.len(), SECOND.len() + 100_000] {
            let filler = "x".repeat(length - SECOND.len());
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{SECOND}{filler}{SECOND}"
            );
            let statuses = t.statuses(request.as_bytes());
            // What follows the body is a request of its own, if the connection is still there.
            assert!(!statuses.is_empty() && statuses.len() <= 2, "{path}: {statuses:?}");
            let seen = String::from_utf8_lossy(&t.server.take()).into_owned();
            assert!(seen.matches("/second").count() < statuses.len(), "{path}: {statuses:?} {seen:?}");
        }
        let chunked = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{SECOND}\r\n0\r\n\r\n",
            SECOND.len()
        );
        assert_eq!(t.statuses(chunked.as_bytes()).len(), 1, "{path}");
        assert!(t.server.take().is_empty(), "{path}");
    }
}

/// No tunnel before a 101 or a 2xx to CONNECT: the next request is judged by the rules.
#[test]
fn early_switches_of_protocol() {
    let t = target("http-request deny if { path /admin }");
    let admin = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n";
    for head in [
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 3\r\n\r\nabc",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    ] {
        let statuses = t.statuses(format!("{head}{admin}").as_bytes());
        let seen = String::from_utf8_lossy(&t.server.take()).into_owned();
        assert!(!seen.contains("/admin"), "{head:?}: {seen:?}");
        assert!(statuses.get(1).is_none_or(|s| *s == 403), "{head:?}: {statuses:?}");
    }
}

/// `Connection: content-length` must not make us drop what frames the message.
#[test]
fn connection_headers_that_name_framing() {
    let t = target("");
    for name in ["content-length", "transfer-encoding", "host", "close, content-length", "cookie"] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\nConnection: {name}\r\nContent-Length: 5\r\n\r\nabcde{SECOND}"
        );
        let _ = t.statuses(request.as_bytes());
        let seen = String::from_utf8_lossy(&t.server.take()).to_ascii_lowercase();
        let first = seen.split("abcde").next().unwrap_or_default();
        if !seen.is_empty() {
            assert!(first.contains("content-length: 5\r\n"), "{name}: {seen:?}");
            assert!(first.contains("host: x\r\n"), "{name}: {seen:?}");
        }
    }
}

/// A server may not confuse the client either.
#[test]
fn answers_with_two_meanings() {
    let answers: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b: c\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\x00\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"\x00\x00\x00\r\n\r\n",
    ];
    for answer in answers {
        let (port, server) = (free_port(), Recorder::answering(answer.to_vec()));
        let config = format!(
            "defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    retries 0
listen li
    bind 127.0.0.1:{port}
    server s 127.0.0.1:{}
",
            server.port
        );
        let _p = haring(&config, &[port]);
        let a = get(port, "/", "Host: x\r\n");
        assert_eq!(a.status, 502, "{:?}", String::from_utf8_lossy(answer));
    }
    std::thread::sleep(Duration::from_millis(1));
}
