//! The first moments of a process.

use std::net::TcpListener;
use std::os::fd::AsRawFd;

use crate::support::*;

/// A listening socket that was handed over is accepted on one thread, which deals connections out to the others.
/// Clients wait in the socket from the start, and none may be lost to a thread that has not begun yet.
#[test]
fn no_client_is_lost_while_threads_start() {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    for round in 0..10 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let port = listener.local_addr().expect("bound").port();
        fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty())).expect("an open descriptor");
        let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(port)).collect();
        for c in &mut clients {
            c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        let config = format!(
            "global
    nbthread 4
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend fe
    bind fd@{}
    http-request deny
",
            listener.as_raw_fd()
        );
        let _p = haring(&config, &[]);
        for (i, c) in clients.iter_mut().enumerate() {
            let status = c.answer().map(|a| a.status);
            assert_eq!(status, Some(403), "client {i} of round {round}");
        }
    }
}
