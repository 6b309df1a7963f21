//! Messages that `varnishtest` cannot write or read.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use crate::support::*;

fn proxy(server: u16, options: &str) -> (u16, Process) {
    let port = free_port();
    let config = format!(
        "defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen li
    bind 127.0.0.1:{port}
    {options}
    server s 127.0.0.1:{server}
"
    );
    (port, haring(&config, &[port]))
}

#[test]
fn trailers_and_chunk_extensions_pass_both_ways() {
    let answer =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n\
        5;name=value;q=\"a b\"\r\nhello\r\n0\r\nX-Sum: 42\r\nX-Other: y\r\n\r\n";
    let server = Recorder::answering(answer.to_vec());
    let (port, _p) = proxy(server.port, "");
    let mut c = Client::connect(port);
    c.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    c.send("3;ext\r\nabc\r\n0\r\nX-Client-Sum: 7\r\n\r\n");
    // The recorder answers each piece that ends in an empty line; the first answer is the one that counts.
    let got = String::from_utf8_lossy(&c.everything()).into_owned();
    assert!(got.starts_with("HTTP/1.1 200 "), "{got:?}");
    assert!(got.contains("hello\r\n"), "{got:?}");
    assert!(got.ends_with("0\r\nX-Sum: 42\r\nX-Other: y\r\n\r\n"), "{got:?}");
    let seen = String::from_utf8_lossy(&server.take()).into_owned();
    assert!(seen.contains("abc\r\n0\r\nX-Client-Sum: 7\r\n\r\n"), "{seen:?}");
}

/// A client may close its side after the request and still get the whole answer.
#[test]
fn a_client_that_closes_its_side_gets_its_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let server = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut s in listener.incoming().flatten() {
            let mut buf = [0; 4096];
            let _ = s.read(&mut buf);
            std::thread::sleep(Duration::from_millis(200));
            let _ = s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let (port, _p) = proxy(server, "");
    let mut c = Client::connect(port);
    c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    c.stream.shutdown(std::net::Shutdown::Write).expect("connected");
    let a = c.answer().expect("an answer");
    assert_eq!((a.status, a.body.as_slice()), (200, &b"hello"[..]));
}

/// What a large object is made of arrives unchanged, whatever way it takes through the process.
#[test]
fn large_bodies_arrive_unchanged_both_ways() {
    let body: Vec<u8> = (0..12_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let server = listener.local_addr().expect("bound").port();
    // An echo: the answer's body is the request's.
    std::thread::spawn(move || {
        for mut s in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut data = Vec::new();
                let mut buf = vec![0; 1 << 16];
                loop {
                    let n = s.read(&mut buf).unwrap_or(0);
                    data.extend_from_slice(&buf[..n]);
                    let Some(head) = find(&data[..data.len().min(4096)], b"\r\n\r\n") else {
                        assert!(n > 0, "the head comes whole");
                        continue;
                    };
                    if n == 0 || data.len() - head - 4 >= 12_000_000 {
                        let _ = s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12000000\r\n\r\n");
                        let _ = s.write_all(&data[head + 4..]);
                        return;
                    }
                }
            });
        }
    });
    for options in ["", "mode tcp"] {
        let (port, _p) = proxy(server, options);
        let mut c = Client::connect(port);
        let mut other = c.stream.try_clone().expect("descriptors are left");
        let sent = body.clone();
        let writer = std::thread::spawn(move || {
            let _ = other.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 12000000\r\n\r\n");
            let _ = other.write_all(&sent);
        });
        let a = c.answer().expect("an answer");
        writer.join().expect("everything was taken");
        assert_eq!(a.body.len(), body.len(), "'{options}'");
        assert!(a.body == body, "'{options}': some bytes changed");
    }
}

/// Who asks `monitor-net` or `mode health` reads the answer and then the end, however long its question was.
#[test]
fn monitors_are_answered_without_a_reset() {
    let (net, health) = (free_port(), free_port());
    let config = format!(
        "defaults\n    timeout client 3s\n    timeout server 3s\n    timeout connect 3s\nfrontend net\n    mode http\n    \
         bind 127.0.0.1:{net}\n    monitor-net 127.0.0.0/8\nlisten health\n    mode health\n    \
         bind 127.0.0.1:{health}\n"
    );
    let _p = haring(&config, &[net, health]);
    for (port, expected) in [(net, "HTTP/1.0 200 OK\r\n\r\n"), (health, "OK")] {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("the port is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("valid");
        let question = format!("GET / HTTP/1.0\r\nX: {}\r\n\r\n", "y".repeat(3000));
        std::io::Write::write_all(&mut stream, question.as_bytes()).expect("it is taken");
        let mut all = String::new();
        std::thread::sleep(std::time::Duration::from_millis(100));
        std::io::Read::read_to_string(&mut stream, &mut all).expect("the end, not a reset");
        assert_eq!(all, expected);
    }
}

/// A rule may give a response with a body a status that has none; the body must not become the next response.
#[test]
fn a_status_without_a_body_ends_the_connection_when_one_follows() {
    let server = Recorder::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/".to_vec());
    let port = free_port();
    let config = format!(
        "defaults\n    mode http\n    timeout client 3s\n    timeout server 3s\n    timeout connect 3s\nlisten li\n    \
         bind 127.0.0.1:{port}\n    http-response set-status 204\n    server s 127.0.0.1:{}\n",
        server.port
    );
    let _p = haring(&config, &[port]);
    let mut c = Client::connect(port);
    c.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
    let a = c.answer().expect("an answer");
    assert_eq!((a.status, a.header("connection")), (204, Some("close")));
    assert!(find(&c.everything(), b"HTTP/1.1").is_none(), "nothing follows on this connection");
}
