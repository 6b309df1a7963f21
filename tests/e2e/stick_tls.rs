//! TCP mode: stick to the server that gave out a TLS session, and rules on what a server says first, beside HAProxy.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;

use crate::support::*;

/// A TLS record with one handshake message, up to its session id and a little more.
fn hello(kind: u8, random: u8, session: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([random; 32]);
    body.push(session.len() as u8);
    body.extend(session);
    body.extend(rest);
    let mut out = vec![22, 3, 1, 0, body.len() as u8 + 4, kind, 0, 0, body.len() as u8];
    out.extend(body);
    out
}

fn client_hello(session: &[u8]) -> Vec<u8> {
    hello(1, b'c', session, &[0, 2, 0, 0x35, 1, 0])
}

/// A server that answers a client hello with its own, in two pieces; its number is in the random bytes. Its sessions
/// are called after it.
fn server(number: u8) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buf = [0; 1024];
                let n = stream.read(&mut buf).unwrap_or(0);
                if n < 44 {
                    return;
                }
                let known = &buf[44..44 + usize::from(buf[43])];
                let fresh = [b's', number];
                let answer = hello(2, number, if known.is_empty() { &fresh } else { known }, &[0, 0x35, 0]);
                let _ = stream.set_nodelay(true);
                let _ = stream.write_all(&answer[..20]);
                std::thread::sleep(std::time::Duration::from_millis(30));
                let _ = stream.write_all(&answer[20..]);
                // Everything after that comes back as it was.
                while let Ok(n) = stream.read(&mut buf)
                    && n > 0
                    && stream.write_all(&buf[..n]).is_ok()
                {}
            });
        }
    });
    port
}

struct Run {
    port: u16,
    strict: u16,
    socket: PathBuf,
    _dir: Dir,
    _process: Process,
}

fn start(program: fn(&str, &[u16]) -> Process) -> Run {
    let (port, strict) = (free_port(), free_port());
    let dir = Dir::new();
    let socket = dir.0.join("admin.sock");
    let (s1, s2) = (server(b'1'), server(b'2'));
    let config = format!(
        "global
    nbthread 1
    stats socket {} level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen https
    bind 127.0.0.1:{port}
    balance roundrobin
    stick-table type binary len 32 size 30k expire 30m
    acl clienthello req.ssl_hello_type 1
    acl serverhello res.payload_lv(43,1) -m found
    tcp-response inspect-delay 5s
    tcp-request inspect-delay 5s
    tcp-request content accept if clienthello
    tcp-response content accept if serverhello
    stick on req.payload_lv(43,1) if clienthello
    stick store-response res.payload_lv(43,1) if serverhello
    server s1 127.0.0.1:{s1}
    server s2 127.0.0.1:{s2}
listen strict
    bind 127.0.0.1:{strict}
    tcp-response inspect-delay 500ms
    tcp-response content accept if {{ res.payload(11,1) -m str 1 }}
    tcp-response content reject if {{ res.payload(11,1) -m str 2 }}
    balance roundrobin
    server s1 127.0.0.1:{s1}
    server s2 127.0.0.1:{s2}
",
        socket.display()
    );
    let process = program(&config, &[port, strict]);
    Run { port, strict, socket, _dir: dir, _process: process }
}

/// Says hello; the number of the server that answers, and whether the bytes behind came through. `None`: it closed.
fn connect(port: u16, session: &[u8]) -> Option<char> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("valid");
    stream.write_all(&client_hello(session)).expect("it listens");
    let mut head = [0; 44];
    stream.read_exact(&mut head).ok()?;
    let mut rest = vec![0; usize::from(head[43]) + 3];
    stream.read_exact(&mut rest).expect("the rest of the hello");
    assert_eq!((head[0], head[5]), (22, 2), "a server hello");
    stream.write_all(b"ping").expect("it is a tunnel now");
    stream.shutdown(Shutdown::Write).expect("a TCP socket");
    let mut echo = Vec::new();
    stream.read_to_end(&mut echo).expect("it comes back");
    assert_eq!(echo, b"ping");
    Some(char::from(head[11]))
}

#[test]
fn tls_sessions_stick_to_their_server() {
    for program in [haproxy as fn(&str, &[u16]) -> Process, |config, ports| haring_with(config, ports, &[])] {
        let run = start(program);
        // The connection that found the port open may have counted for round robin.
        let fresh: String = [b"", b""].iter().filter_map(|s| connect(run.port, *s)).collect();
        assert!(fresh == "12" || fresh == "21", "{fresh}");
        // The server's own session ids are learnt, and those of clients that come with one.
        let other = connect(run.port, b"other").expect("an answer");
        for _ in 0..2 {
            let answers = [b"s2".as_slice(), b"s2", b"s1", b"s1", b"other"].map(|s| connect(run.port, s));
            assert_eq!(answers, [Some('2'), Some('2'), Some('1'), Some('1'), Some(other)]);
        }
        let table = ask(&run.socket, "show table https");
        let mut keys: Vec<&str> = table
            .lines()
            .filter_map(|l| l.split_once("key="))
            .filter_map(|(_, l)| l.split_once("00"))
            .map(|(key, _)| key)
            .collect();
        keys.sort_unstable();
        assert_eq!(keys, ["6F74686572", "7331", "7332"], "{table}");
    }
}

#[test]
fn a_server_is_judged_by_what_it_says_first() {
    for program in [haproxy as fn(&str, &[u16]) -> Process, |config, ports| haring_with(config, ports, &[])] {
        let run = start(program);
        let answers: Vec<Option<char>> = (0..4).map(|_| connect(run.strict, b"")).collect();
        let ways = [[Some('1'), None, Some('1'), None], [None, Some('1'), None, Some('1')]];
        assert!(ways.contains(&[answers[0], answers[1], answers[2], answers[3]]), "{answers:?}");
    }
}
