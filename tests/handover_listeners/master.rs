//! Workers under a master that this test plays.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use haring::net::Channel;
use haring::process::link::{self, ToMaster, ToWorker};
use nix::sys::signal::Signal;

use super::support::{Dir, HARING, PATIENCE, Process, answering, ask, free_port, get, until};

/// A worker, and its master's end of the channel to it.
pub struct Worker {
    pub process: Process,
    pub channel: Channel,
}

impl Worker {
    pub fn start(dir: &Dir, config: &str) -> Worker {
        let (channel, theirs) = Channel::pair().expect("a pair");
        let theirs = theirs.into_fd();
        let mut command = Command::new(HARING);
        command.args(["-db", "-f", config]);
        command.env(link::ENV, format!("{}:{}", std::process::id(), theirs.as_raw_fd()));
        let process = Process::spawn(&mut command, dir, |_| {
            haring::sys::process::close_on_exec(&theirs, false).expect("it is open");
        });
        Worker { process, channel }
    }

    pub fn send(&self, message: &ToWorker) {
        message.send(&self.channel).expect("it reads");
    }

    pub fn next(&self) -> Option<ToMaster> {
        self.channel.wait(PATIENCE);
        ToMaster::receive(&self.channel).expect("something it says")
    }

    /// Everything up to `ready`: what is kept, and what is said.
    pub fn ready(&self) -> (Vec<(String, OwnedFd)>, String) {
        let (mut kept, mut said) = (Vec::new(), String::new());
        loop {
            match self.next().expect("it lives") {
                ToMaster::Keep(key, fd) => kept.push((key, fd)),
                ToMaster::Log(text) => said.push_str(&text),
                ToMaster::Ready => return (kept, said),
                other => panic!("before it was ready: {other:?}"),
            }
        }
    }
}

#[test]
fn a_worker_starts_when_it_is_told_and_ends_with_its_master() {
    let (dir, port) = (Dir::new(), free_port());
    let config = dir.file("a.cfg", &answering("", &format!(" bind 127.0.0.1:{port}"), "a"));
    let mut worker = Worker::start(&dir, &config);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "not before 'go'");
    worker.send(&ToWorker::Go);
    worker.ready();
    assert_eq!(get(port).expect("served"), "a");
    drop(worker.channel);
    assert_eq!(worker.process.ended().signal(), Some(Signal::SIGTERM as i32));
}

#[test]
fn the_master_hears_why_a_start_failed() {
    let dir = Dir::new();
    let config = dir.file("bad.cfg", "listen web\n bnid :1\n");
    let mut worker = Worker::start(&dir, &config);
    worker.send(&ToWorker::Go);
    let mut said = String::new();
    while let Some(message) = worker.next() {
        match message {
            ToMaster::Log(text) => said.push_str(&text),
            other => panic!("it cannot start: {other:?}"),
        }
    }
    assert!(said.contains("bad.cfg:2]") && said.contains("'bnid'"), "{said}");
    assert_eq!(said, worker.process.said());
    assert_eq!(worker.process.ended().code(), Some(1));
}

#[test]
fn a_worker_without_a_master_before_it_was_told_to_start_ends() {
    let dir = Dir::new();
    let config = dir.file("a.cfg", &answering("", " bind 127.0.0.1:1", "a"));
    let mut worker = Worker::start(&dir, &config);
    drop(worker.channel);
    assert_eq!(worker.process.ended().code(), Some(1));
    assert!(worker.process.said().contains("is gone"), "{}", worker.process.said());
}

#[test]
fn connections_to_the_masters_socket_are_served_with_their_level() {
    let (dir, port) = (Dir::new(), free_port());
    let config = dir.file("a.cfg", &answering("", &format!(" bind 127.0.0.1:{port}"), "a"));
    let worker = Worker::start(&dir, &config);
    worker.send(&ToWorker::Go);
    worker.ready();
    for (level, answer) in [("admin", ""), ("user", "Permission denied")] {
        let (own, theirs) = UnixStream::pair().expect("a pair");
        worker.send(&ToWorker::Cli(level.into(), theirs.into()));
        assert_eq!(ask(own, "disable frontend web").trim(), answer, "as {level}");
    }
    let (own, theirs) = UnixStream::pair().expect("a pair");
    worker.channel.send(b"what is this", &[]).expect("it reads");
    worker.send(&ToWorker::Cli("god".into(), own.try_clone().expect("a descriptor").into()));
    worker.send(&ToWorker::Cli("user".into(), theirs.into()));
    assert!(ask(own, "show info").contains(&format!("Pid: {}\n", worker.process.pid())));
}

#[test]
fn with_a_successor_a_worker_ends_after_its_last_connection() {
    let (dir, port) = (Dir::new(), free_port());
    let global = " grace 60s";
    let config = dir.file("a.cfg", &answering(global, &format!(" bind 127.0.0.1:{port}"), "a"));
    for master_stays in [true, false] {
        let mut worker = Worker::start(&dir, &config);
        worker.send(&ToWorker::Go);
        worker.ready();
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        client.write_all(b"GET / HT").expect("sent");
        sleep(Duration::from_millis(50));
        let (own, theirs) = Channel::pair().expect("a pair");
        own.send(b"listeners", &[]).expect("nothing is served on");
        worker.send(&ToWorker::Successor(1, theirs.into_fd()));
        drop(own);
        until("it stops listening at once", || TcpStream::connect(("127.0.0.1", port)).is_err());
        sleep(Duration::from_millis(50));
        assert!(worker.process.is_running(), "somebody is in the middle of a request");
        if master_stays {
            client.write_all(b"TP/1.0\r\n\r\n").expect("sent");
            let mut answer = String::new();
            client.read_to_string(&mut answer).expect("served");
            assert!(answer.ends_with("\r\na"), "{answer}");
            assert_eq!(worker.process.ended().code(), Some(0));
        } else {
            drop(worker.channel);
            assert_eq!(worker.process.ended().signal(), Some(Signal::SIGTERM as i32));
        }
    }
}
