//! What the admin socket changes, traffic obeys: on several threads, with real clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::*;

struct Setup {
    process: Process,
    _web: Process,
    socket: PathBuf,
    front: u16,
    _dir: Dir,
}

/// Two threads in front of one server.
fn setup() -> Setup {
    let (web, front) = (free_port(), free_port());
    let nginx = nginx("one", web);
    let dir = Dir::new();
    let socket = dir.0.join("admin.sock");
    let config = format!(
        "global
    stats socket {} level admin
    nbthread 2
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
frontend shop
    bind 127.0.0.1:{front}
    default_backend carts
backend carts
    server one 127.0.0.1:{web}
",
        socket.display()
    );
    let process = haring(&config, &[front]);
    wait_until("the socket listens", || UnixStream::connect(&socket).is_ok());
    Setup { process, _web: nginx, socket, front, _dir: dir }
}

#[test]
fn a_disabled_frontend_gives_its_port_back_and_takes_it_again() {
    let s = setup();
    for _ in 0..5 {
        assert_eq!(ask(&s.socket, "disable frontend shop"), "\n");
        assert!(TcpStream::connect(("127.0.0.1", s.front)).is_err(), "the port is still there");
        assert_eq!(ask(&s.socket, "enable frontend shop"), "\n");
        // Each thread has a socket of its own: enough connections to meet both.
        for _ in 0..8 {
            assert_eq!(get(s.front, "/", "Host: x\r\n").status, 200);
        }
    }
}

/// How many of the connections were answered.
fn answered(clients: &[Client]) -> usize {
    let has_answer = |c: &&Client| {
        c.stream.set_nonblocking(true).expect("a TCP socket");
        c.stream.peek(&mut [0; 1]).is_ok_and(|n| n > 0)
    };
    clients.iter().filter(has_answer).count()
}

#[test]
fn no_thread_takes_a_connection_above_the_limits() {
    let s = setup();
    for (lower, raise) in [
        ("set maxconn frontend shop 2", "set maxconn frontend shop 100"),
        ("set maxconn global 2", "set maxconn global 0"),
    ] {
        assert_eq!(ask(&s.socket, lower), "\n");
        let mut clients = Vec::new();
        for _ in 0..12 {
            let mut client = Client::connect(s.front);
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            std::thread::sleep(Duration::from_millis(10));
            clients.push(client);
        }
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(answered(&clients), 2, "{lower}");
        let shown = ask(&s.socket, "show stat shop 1 -1");
        assert_eq!(shown.lines().nth(1).and_then(|row| row.split(',').nth(4)), Some("2"), "{shown}");
        assert_eq!(ask(&s.socket, raise), "\n");
        wait_until("all are served", || answered(&clients) == 12);
        drop(clients);
        wait_until("all are gone", || ask(&s.socket, "show sess") == "\n");
    }
}

/// Many short lines of payloads, whose prompts nobody reads.
#[test]
fn prompts_do_not_pile_up_for_who_does_not_read() {
    let s = setup();
    let before = s.process.memory_kib();
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let mut session = UnixStream::connect(&s.socket).expect("it listens");
        session.write_all(b"prompt\nshow info <<END\n").expect("it is read");
        session.write_all(&b"\n".repeat(1_000_000)).expect("it is read");
        sessions.push(session);
    }
    let grown = s.process.memory_kib().saturating_sub(before);
    assert!(grown < 60_000, "{grown} KiB more");
    for session in &mut sessions {
        session.write_all(b"END\nquit\n").expect("it is read");
        let mut all = String::new();
        session.read_to_string(&mut all).expect("text");
        assert!(all.starts_with("\n> + + ") && all.contains("Uptime:"), "{}", all.len());
    }
}
