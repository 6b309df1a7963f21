//! Clients and servers that send slowly, without end, or do not read: answered or cut off in time, with bounded memory.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::*;

/// How much a process may grow under an attack. In KiB; the largest buffers of a connection are a few hundred.
const GROWTH_KIB: u64 = 48 * 1024;

fn start(server: u16) -> (u16, Process) {
    let port = free_port();
    let config = format!(
        "defaults
    mode http
    timeout connect 5s
    timeout client 3s
    timeout http-request 700ms
    timeout server 3s
    retries 0
listen li
    bind 127.0.0.1:{port}
    monitor-uri /alive
    server s 127.0.0.1:{server}
"
    );
    (port, haring(&config, &[port]))
}

fn alive(port: u16) {
    let began = Instant::now();
    assert_eq!(get(port, "/alive", "Host: x\r\n").status, 200);
    assert!(began.elapsed() < Duration::from_secs(2), "others wait for {:?}", began.elapsed());
}

#[test]
fn a_request_may_come_byte_by_byte_but_not_for_ever() {
    let server = Recorder::start();
    let (port, _p) = start(server.port);
    let mut c = Client::connect(port);
    for b in b"GET /bytes HTTP/1.1\r\nHost: x\r\nX: y\r\n\r\n" {
        c.send([*b]);
    }
    assert_eq!(c.answer().expect("an answer").status, 200);
    // One byte each 50 ms does not keep the clock from running.
    let mut c = Client::connect(port);
    c.send("GET / HTTP/1.1\r\nHost: x\r\nX: ");
    let began = Instant::now();
    let mut other = c.stream.try_clone().expect("descriptors are left");
    let drip = std::thread::spawn(move || {
        for _ in 0..60 {
            if other.write_all(b"y").is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let status = c.answer().map(|a| a.status);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(matches!(status, Some(408) | None), "{status:?}");
    drip.join().expect("the drip ends with the connection");
    alive(port);
}

#[test]
fn a_body_that_stops_is_not_waited_for() {
    let server = Recorder::start();
    let (port, _p) = start(server.port);
    let mut c = Client::connect(port);
    // The recorder answers at once: what is measured is how long the rest of the body is waited for.
    c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nthis much");
    let began = Instant::now();
    let _ = c.everything();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    alive(port);
}

/// A body that is awaited and comes byte by byte takes the memory of its bytes, not of as many buffers.
#[test]
fn a_body_that_trickles_into_the_buffer() {
    let server = Recorder::start();
    let port = free_port();
    let config = format!(
        "defaults\n    mode http\n    timeout client 20s\n    timeout server 3s\n    timeout connect 3s\nlisten li\n    \
         bind 127.0.0.1:{port}\n    option http-buffer-request\n    server s 127.0.0.1:{}\n",
        server.port
    );
    let p = haring(&config, &[port]);
    let before = p.memory_kib();
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(port)).collect();
    for c in &mut clients {
        c.send("POST /trickle HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n");
    }
    for i in 0..300 {
        for c in &mut clients {
            c.send([b'a' + (i % 26) as u8]);
        }
        std::thread::sleep(Duration::from_millis(1));
        if i == 298 {
            // Less than one page for each byte.
            let growth = p.memory_kib() - before;
            assert!(growth < 4 * 1024, "{growth} KiB for 2400 bytes");
        }
    }
    let body: Vec<u8> = (0..300).map(|i| b'a' + (i % 26) as u8).collect();
    for c in &mut clients {
        assert_eq!(c.answer().expect("an answer").status, 200);
    }
    assert!(find(&server.take(), &body).is_some(), "the body arrives as it was sent");
}

#[test]
fn heads_without_end_are_refused() {
    let server = Recorder::start();
    let (port, p) = start(server.port);
    let before = p.memory_kib();
    let heads: [(&str, Vec<u8>); 5] = [
        (
            "100,000 header lines",
            [b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec(), b"A: b\r\n".repeat(100_000), b"\r\n".to_vec()]
                .concat(),
        ),
        (
            "a target of 1 MiB",
            [b"GET /".to_vec(), b"a".repeat(1 << 20), b" HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()].concat(),
        ),
        (
            "a value of 1 MiB",
            [b"GET / HTTP/1.1\r\nHost: x\r\nA: ".to_vec(), b"a".repeat(1 << 20), b"\r\n\r\n".to_vec()]
                .concat(),
        ),
        (
            "a name of 1 MiB",
            [b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec(), b"a".repeat(1 << 20), b": b\r\n\r\n".to_vec()]
                .concat(),
        ),
        ("a method of 1 MiB", [b"G".repeat(1 << 20), b" / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()].concat()),
    ];
    for (what, head) in &heads {
        let mut c = Client::connect(port);
        c.send(head);
        let status = c.answer().map(|a| a.status);
        assert!(matches!(status, Some(400 | 413 | 414 | 431) | None), "{what}: {status:?}");
        assert!(server.take().is_empty(), "{what} reached the server");
    }
    assert!(p.memory_kib() < before + GROWTH_KIB, "{} -> {} KiB", before, p.memory_kib());
    alive(port);
}

#[test]
fn chunk_extensions_and_trailers_without_end() {
    let server = Recorder::start();
    let (port, p) = start(server.port);
    let before = p.memory_kib();
    let start = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for tail in [
        [b"1;".to_vec(), b"a".repeat(8 << 20)].concat(),
        [b"0\r\n".to_vec(), b"A: b\r\n".repeat(1_000_000)].concat(),
        [b"0\r\nA: ".to_vec(), b"a".repeat(8 << 20)].concat(),
        // Each chunk is one byte: legal, but not for free.
        [b"1\r\na\r\n".repeat(500_000), b"0\r\n\r\n".to_vec()].concat(),
    ] {
        let mut c = Client::connect(port);
        c.send([start.clone(), tail].concat());
        let _ = c.stream.shutdown(std::net::Shutdown::Write);
        let _ = c.everything();
        server.take();
    }
    assert!(p.memory_kib() < before + GROWTH_KIB, "{} -> {} KiB", before, p.memory_kib());
    alive(port);
}

/// Thousands of pipelined requests from a client that reads nothing: at some point we stop reading too.
#[test]
fn a_flood_of_pipelined_requests() {
    let server = Recorder::start();
    let (port, p) = start(server.port);
    let before = p.memory_kib();
    let mut c = Client::connect(port);
    c.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("valid");
    let flood = b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10_000);
    let mut sent = 0;
    // Until the kernel takes no more, or 60 MB have gone.
    while sent < 60 << 20 {
        match c.stream.write(&flood) {
            Ok(n) => sent += n,
            Err(_) => break,
        }
        if sent % (8 << 20) < flood.len() {
            alive(port);
        }
    }
    assert!(p.memory_kib() < before + GROWTH_KIB, "{} -> {} KiB", before, p.memory_kib());
    alive(port);
}

/// The same with answers of our own, and with a server's that have no body: nothing paces those but the client.
#[test]
fn a_flood_of_requests_with_answers_that_nobody_reads() {
    let server = Recorder::answering(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    let port = free_port();
    let config = format!(
        "defaults\n    mode http\n    timeout client 3s\n    timeout server 3s\n    timeout connect 3s\nlisten li\n    \
         bind 127.0.0.1:{port}\n    monitor-uri /alive\n    http-request redirect location /{} if {{ path /r }}\n    \
         server s 127.0.0.1:{}\n",
        "x".repeat(400),
        server.port
    );
    let p = haring(&config, &[port]);
    for path in ["/r", "/alive", "/"] {
        let before = p.memory_kib();
        let mut c = Client::connect(port);
        c.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("valid");
        let flood = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(1000).into_bytes();
        let mut sent = 0;
        while sent < 60 << 20 {
            match c.stream.write(&flood) {
                Ok(n) => sent += n,
                Err(_) => break,
            }
        }
        assert!(sent < 60 << 20, "{path}: everything is taken from a client that reads nothing");
        assert!(p.memory_kib() < before + GROWTH_KIB, "{path}: {} -> {} KiB", before, p.memory_kib());
        alive(port);
    }
}

/// A server that sends interim responses for ever, to a client that reads none of them and to one that knows none.
#[test]
fn interim_responses_without_end() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let server = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut s in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buf = [0; 4096];
                let _ = s.read(&mut buf);
                let hints =
                    format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(900)).repeat(50);
                while s.write_all(hints.as_bytes()).is_ok() {}
            });
        }
    });
    let (port, p) = start(server);
    let before = p.memory_kib();
    let mut silent = Client::connect(port);
    silent.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut old = Client::connect(port);
    old.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer().expect("an answer").status, 502);
    std::thread::sleep(Duration::from_secs(1));
    assert!(p.memory_kib() < before + GROWTH_KIB, "{} -> {} KiB", before, p.memory_kib());
    alive(port);
    // One that breaks off takes its server connection along.
    drop(silent);
    alive(port);
}

#[test]
fn pipelined_requests_are_all_answered() {
    let server = Recorder::start();
    let (port, _p) = start(server.port);
    let mut c = Client::connect(port);
    let mut other = c.stream.try_clone().expect("descriptors are left");
    let writer = std::thread::spawn(move || {
        let _ = other.write_all(&b"GET /alive HTTP/1.1\r\nHost: x\r\n\r\n".repeat(5000));
    });
    for i in 0..5000 {
        let a = c.answer().unwrap_or_else(|| panic!("closed after {i} answers"));
        assert_eq!(a.status, 200);
    }
    writer.join().expect("everything was taken");
}

/// A server that never stops sending headers, or bodies to a client that does not read.
#[test]
fn servers_that_send_without_end() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let server = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut s in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buf = [0; 4096];
                let n = s.read(&mut buf).unwrap_or(0);
                let (head, more): (&[u8], &[u8]) = match find(&buf[..n], b"/body") {
                    Some(_) => (b"HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n", &[b'x'; 65_536]),
                    None => (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
                };
                if s.write_all(head).is_ok() {
                    while s.write_all(more).is_ok() {}
                }
            });
        }
    });
    let (port, p) = start(server);
    let before = p.memory_kib();
    assert_eq!(get(port, "/head", "Host: x\r\n").status, 502);
    let mut c = Client::connect(port);
    c.send("GET /body HTTP/1.1\r\nHost: x\r\n\r\n");
    std::thread::sleep(Duration::from_millis(800));
    alive(port);
    assert!(p.memory_kib() < before + GROWTH_KIB, "{} -> {} KiB", before, p.memory_kib());
    drop(c);
    alive(port);
}

/// Downloads that nobody reads, and a crowd at the door: with few descriptors neither pipes nor connections that wait
/// for their turn may take those of the servers.
#[test]
fn few_descriptors_are_enough_for_all_that_are_let_in() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let server = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut s in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buf = [0; 4096];
                while let Ok(n @ 1..) = s.read(&mut buf) {
                    if find(&buf[..n], b"/big").is_none() {
                        let _ = s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                        continue;
                    }
                    let _ = s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n");
                    while s.write_all(&[b'x'; 65_536]).is_ok() {}
                }
            });
        }
    });
    let port = free_port();
    let config = format!(
        "global\n    nbthread 1\ndefaults\n    mode http\n    timeout client 20s\n    timeout server 20s\n    \
         timeout connect 3s\n    retries 0\nlisten li\n    bind 127.0.0.1:{port}\n    server s 127.0.0.1:{server}\n"
    );
    let _p = haring_with_descriptors(&config, &[port], 150);
    let readers: Vec<Client> = (0..40)
        .map(|_| {
            let mut c = Client::connect(port);
            c.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
            c
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let crowd: Vec<Client> = (0..200)
        .map(|_| {
            let mut c = Client::connect(port);
            c.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            c
        })
        .collect();
    for mut c in crowd {
        assert_eq!(c.answer().expect("an answer").status, 200);
    }
    drop(readers);
}

/// More clients with half a request each than the memory carries: they wait at the door.
#[test]
fn little_memory_is_enough_for_all_that_are_let_in() {
    let server = Recorder::start();
    let port = free_port();
    let config = format!(
        "global\n    maxconn 3000\n    nbthread 2\ndefaults\n    mode http\n    timeout client 20s\n    timeout server 20s\n    \
         timeout connect 3s\nlisten li\n    bind 127.0.0.1:{port}\n    server s 127.0.0.1:{}\n",
        server.port
    );
    let mut p = haring_with_memory(&config, &[port], 40);
    let half = format!("GET /{} HTTP/1.1\r\nX: ", "a".repeat(9000));
    let crowd: Vec<Client> = (0..1500)
        .map(|_| {
            let mut c = Client::connect(port);
            c.send(&half);
            c
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    assert!(p.is_running(), "{}", p.output());
    drop(crowd);
    assert_eq!(get(port, "/", "Host: x\r\n").status, 200);
}

/// A thousand connections that say nothing are gone when their time is up.
#[test]
fn silent_connections_do_not_stay() {
    let server = Recorder::start();
    let (port, p) = start(server.port);
    let before = p.memory_kib();
    let mut clients: Vec<Client> = (0..1000).map(|_| Client::connect(port)).collect();
    alive(port);
    let began = Instant::now();
    for c in &mut clients {
        let status = c.answer().map(|a| a.status);
        assert!(matches!(status, Some(408) | None), "{status:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(p.memory_kib() < before + GROWTH_KIB, "{} -> {} KiB", before, p.memory_kib());
}
