//! What the admin socket changes, traffic obeys: on several threads, with real clients.

use std::net::TcpStream;
use std::path::PathBuf;

use crate::support::*;

struct Setup {
    _process: Process,
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
    wait_until("the socket listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    Setup { _process: process, _web: nginx, socket, front, _dir: dir }
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
