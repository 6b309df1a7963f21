//! What cannot move is treated well.

use std::io::Write;
use std::os::fd::AsFd;

use haring::net::Channel;
use haring::process::link::ToWorker;

use super::pair::{Client, Server, Worker, config, has_connections, serve};
use super::support::{Dir, PATIENCE, free_port, until};

fn ask_slowly(port: u16, server: &Server) -> Client {
    let mut client = Client::connect(port);
    client.write("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    server.was_asked();
    client
}

/// An idle client is closed in order, one that waits for an answer gets it, and knows that it was the last one.
fn ends_here(old: Worker, mut idle: Client, mut busy: Client, server: &Server) {
    idle.is_closed();
    server.go_on();
    let (head, body) = busy.response().expect("answered");
    assert!(head.contains("connection: close") && body == "/slow", "{head}");
    busy.is_closed();
    old.process_ends();
}

impl Worker {
    fn process_ends(mut self) {
        assert_eq!(self.process.ended().code(), Some(0), "{}", self.process.said());
    }
}

#[test]
fn clients_of_a_frontend_that_is_no_more_are_closed_in_order() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let old = Worker::start(&dir, &dir.file("a.cfg", &config("old", port, server.port, "")), None);
    let mut idle = Client::connect(port);
    assert_eq!(idle.get("/").expect("served"), "/");
    let busy = ask_slowly(port, &server);
    let renamed = config("new", port, server.port, "").replace("listen web", "listen other");
    let _new = old.succeeded_by(&dir, &dir.file("b.cfg", &renamed));
    ends_here(old, idle, busy, &server);
}

/// The test is the successor, and says this to the hello.
fn answers(said: &[&[u8]]) {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let old = Worker::start(&dir, &dir.file("a.cfg", &config("old", port, server.port, "")), None);
    let mut idle = Client::connect(port);
    assert_eq!(idle.get("/").expect("served"), "/");
    let busy = ask_slowly(port, &server);
    let (own, theirs) = Channel::pair().expect("a pair");
    for message in said {
        own.send(message, &[]).expect("sent");
    }
    old.send(&ToWorker::Successor(1, theirs.into_fd()));
    let hello = own.receive_within(PATIENCE).expect("it says").expect("something");
    assert_eq!(hello.bytes[0], b'H');
    ends_here(old, idle, busy, &server);
    let more = own.receive_within(PATIENCE).expect("the end");
    assert!(more.is_none(), "nothing was handed over: {more:?}");
}

#[test]
fn a_successor_that_refuses_gets_nothing() {
    answers(&[b"R"]);
}

#[test]
fn a_successor_that_talks_nonsense_gets_nothing() {
    answers(&[b"N\x01\x00a", b"N\xff\xffa"]);
}

#[test]
fn a_successor_that_is_silent_gets_nothing() {
    answers(&[]);
}

#[test]
fn a_successor_that_dies_takes_only_what_it_has() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let old = Worker::start(&dir, &dir.file("a.cfg", &config("old", port, server.port, "")), None);
    let mut idle = Client::connect(port);
    assert_eq!(idle.get("/").expect("served"), "/");
    let mut busy = ask_slowly(port, &server);
    let (own, theirs) = Channel::pair().expect("a pair");
    let name = format!("listener http web 127.0.0.1:{port}");
    own.send(&[b"N", &(name.len() as u16).to_le_bytes()[..], name.as_bytes()].concat(), &[]).expect("sent");
    own.send(b"A", &[]).expect("sent");
    old.send(&ToWorker::Successor(1, theirs.into_fd()));
    own.receive_within(PATIENCE).expect("it says").expect("hello");
    let moved = own.receive_within(PATIENCE).expect("it says").expect("a client");
    assert_eq!((moved.bytes[0], moved.fds.len()), (b'w', 1));
    drop((own, moved));
    idle.is_closed();
    server.go_on();
    assert_eq!(busy.response().expect("answered").1, "/slow");
    busy.is_closed();
    old.process_ends();
}

#[test]
fn a_predecessor_that_talks_nonsense_does_no_harm() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let (own, theirs) = Channel::pair().expect("a pair");
    let new = Worker::start(&dir, &dir.file("a.cfg", &config("new", port, server.port, "")), Some(theirs));
    let null = std::fs::File::open("/dev/null").expect("it exists");
    own.send(b"H\xff\xff\xff\xff", &[]).expect("sent");
    let answer = || loop {
        let packet = own.receive_within(PATIENCE).expect("an answer").expect("one");
        // Which sockets it serves.
        if !packet.bytes.starts_with(b"listeners") {
            return packet.bytes;
        }
    };
    assert_eq!(answer(), b"R");
    for message in [&b"w"[..], b"x", b"w\xff\xff\xff\xff\xff", b"O", b"N", b"A", b"t\0\0\0\0"] {
        own.send(message, &[]).expect("sent");
        own.send(message, &[null.as_fd()]).expect("sent");
    }
    let version = haring::stream::handover::VERSION.to_le_bytes();
    own.send(&[b"H", &version[..]].concat(), &[]).expect("sent");
    assert_eq!(answer()[0], b'N');
    assert_eq!(Client::connect(port).get("/").expect("served"), "/");
    drop(own);
    until("it says that it understood nothing", || {
        new.process.said().contains("were closed: they mean nothing")
    });
    new.send(&ToWorker::Gone(0));
    assert_eq!(Client::connect(port).get("/").expect("served"), "/");
}

#[test]
fn a_full_successor_takes_one_client_after_the_other() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let old = Worker::start(&dir, &dir.file("a.cfg", &config("old", port, server.port, "")), None);
    let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(port)).collect();
    clients.iter_mut().for_each(|c| assert_eq!(c.get("/0").expect("served"), "/0"));
    let small = config("new", port, server.port, "").replace("maxconn 1000", "maxconn 6");
    let new = old.succeeded_by(&dir, &dir.file("b.cfg", &small));
    old.process_ends();
    has_connections(&new, 6);
    for client in &mut clients {
        client.write("GET /x HTTP/1.0\r\n\r\n");
        client.0.flush().expect("sent");
    }
    for client in &mut clients {
        assert_eq!(client.response().expect("answered").1, "/x");
    }
    has_connections(&new, 0);
}
