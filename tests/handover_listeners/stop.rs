//! Soft stops that nobody succeeds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{Dir, HARING, PATIENCE, Process, answering, free_port, get, until};

fn start(dir: &Dir, port: u16, global: &str) -> Process {
    let config = dir.file("a.cfg", &answering(global, &format!(" bind 127.0.0.1:{port}"), "a"));
    let mut command = Command::new(HARING);
    command.args(["-db", "-f", &config]);
    let process = Process::spawn(&mut command, dir, |_| ());
    until("it serves", || get(port).is_ok());
    process
}

fn stop(process: &Process) {
    kill(Pid::from_raw(process.pid()), Signal::SIGUSR1).expect("it runs");
}

/// A client after its first request. Gives the head of the answer.
fn ask(client: &mut TcpStream) -> String {
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
    let mut buf = [0; 1024];
    let len = client.read(&mut buf).expect("answered");
    let text = String::from_utf8_lossy(&buf[..len]).to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 200"), "{text}");
    text
}

fn idle_clients(port: u16, count: usize) -> Vec<TcpStream> {
    let client = |_| {
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        ask(&mut client);
        client
    };
    (0..count).map(client).collect()
}

fn is_open(client: &TcpStream) -> bool {
    client.set_nonblocking(true).expect("a socket");
    let open = client.peek(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
    client.set_nonblocking(false).expect("a socket");
    open
}

#[test]
fn idle_clients_are_closed_at_once_or_in_the_course_of_time() {
    let (dir, port) = (Dir::new(), free_port());
    for (global, spread) in [("", false), (" close-spread-time 2s", true)] {
        let mut process = start(&dir, port, global);
        let clients = idle_clients(port, 60);
        stop(&process);
        let begun = Instant::now();
        let count = || clients.iter().filter(|c| is_open(c)).count();
        if spread {
            until("the first ones are closed", || count() < 60);
            until("half of them are closed", || count() <= 30);
            assert!(count() > 5, "not all at once");
            assert!(begun.elapsed() > Duration::from_millis(300), "{:?}", begun.elapsed());
        }
        until("all are closed", || count() == 0);
        assert!(spread || begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
        assert_eq!(process.ended().code(), Some(0));
    }
}

#[test]
fn with_infinite_time_clients_leave_when_they_like() {
    let (dir, port) = (Dir::new(), free_port());
    let mut process = start(&dir, port, " close-spread-time infinite");
    let mut clients = idle_clients(port, 5);
    stop(&process);
    until("it stops listening", || TcpStream::connect(("127.0.0.1", port)).is_err());
    sleep(Duration::from_millis(100));
    for client in &mut clients {
        let head = ask(client);
        assert!(!head.contains("connection: close"), "{head}");
    }
    assert!(clients.iter().all(is_open) && process.is_running());
    drop(clients);
    assert_eq!(process.ended().code(), Some(0));
}

#[test]
fn grace_comes_first_and_the_queue_is_served() {
    let (dir, port) = (Dir::new(), free_port());
    let mut process = start(&dir, port, " grace 400ms\n maxconn 1\n nbthread 2");
    let busy = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let waiting: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("there is a queue")).collect();
    stop(&process);
    sleep(Duration::from_millis(100));
    let late = TcpStream::connect(("127.0.0.1", port)).expect("it still listens");
    let all: Vec<_> = waiting.into_iter().chain([late]).collect();
    let all: Vec<_> = all.into_iter().map(|c| std::thread::spawn(|| super::support::exchange(c))).collect();
    sleep(Duration::from_millis(600));
    drop(busy);
    for client in all {
        assert_eq!(client.join().expect("no panic").expect("served"), "a");
    }
    assert_eq!(process.ended().code(), Some(0));
}
