//! Old processes that still serve: what they answer, and how long they may.

use std::io::Read;
use std::time::Instant;

use super::pair::{Client, Worker, config, has_connections, serve};
use super::support::{Dir, free_port, until};

#[test]
fn an_old_process_answers_commands_as_long_as_it_serves() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let with = |name: &str| config(name, port, server.port, "").replace("nbthread 2", "nbthread 8");
    let old = Worker::start(&dir, &dir.file("a.cfg", &with("a")), None);
    let mut client = Client::connect(port);
    client.write("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    server.was_asked();
    let tasks = || {
        let all = std::fs::read_dir(format!("/proc/{}/task", old.process.pid())).expect("it runs");
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
        all.flatten().filter_map(name).filter(|name| name.trim().starts_with("haring/")).count()
    };
    let before = tasks();
    assert!(before >= 8, "{before}");
    let new = old.succeeded_by(&dir, &dir.file("b.cfg", &with("b")));
    // One has the client, and one hands over.
    until("threads have ended", || tasks() <= 2);
    assert_eq!((old.info("CurrConns"), old.info("Stopping")), (1, 1));
    server.go_on();
    client.response().expect("answered");
    old.ends_well();
    has_connections(&new, 1);
}

#[test]
fn an_old_process_that_takes_too_long_ends_and_who_moved_stays() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let file = |name: &str| {
        let text =
            config(name, port, server.port, "").replacen("global\n", "global\n hard-stop-after 2s\n", 1);
        dir.file(&format!("{name}.cfg"), &text)
    };
    let mut old = Worker::start(&dir, &file("a"), None);
    let (mut idle, mut slow) = (Client::connect(port), Client::connect(port));
    assert_eq!(idle.get("/").expect("served"), "/");
    slow.write("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    server.was_asked();
    let new = old.succeeded_by(&dir, &file("b"));
    let begin = Instant::now();
    has_connections(&new, 1);
    assert_eq!(old.process.ended().code(), Some(0));
    let took = begin.elapsed().as_secs_f32();
    assert!((1.0..8.0).contains(&took), "{took}");
    assert!(old.process.said().contains("performing a hard-stop"), "{}", old.process.said());
    let mut rest = String::new();
    let _ = slow.0.read_to_string(&mut rest);
    assert_eq!(rest, "", "it was not answered");
    idle.write("GET /next HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(idle.response().expect("answered").0.contains("via: b"));
}
