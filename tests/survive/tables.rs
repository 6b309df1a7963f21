//! Stick tables.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::master::{Master, Worker};
use super::support::{DEFAULTS, Dir, free_port, get, until};

/// A frontend that counts its clients' requests, and tables.
fn config(port: u16, tables: &str) -> String {
    format!(
        "global\n nbthread 2\n{DEFAULTS}frontend web\n bind 127.0.0.1:{port}\n\
         \x20http-request track-sc0 src table clients\n\
         \x20http-request return status 200 content-type text/plain string ok\n{tables}"
    )
}

const CLIENTS: &str =
    "backend clients\n stick-table type ip size 1k expire 1h store conn_cur,http_req_cnt,gpc(3)\n";

/// Key, uses and values of each entry: not where it is, nor how long it has to live.
fn entries(worker: &Worker, table: &str) -> Vec<String> {
    let shown = worker.ask(&format!("show table {table}"));
    let words = |line: &str| {
        let kept = line.split_whitespace().filter(|w| !w.starts_with("0x") && !w.starts_with("exp="));
        kept.collect::<Vec<_>>().join(" ")
    };
    let mut lines: Vec<String> = shown.lines().filter(|l| l.starts_with("0x")).map(words).collect();
    lines.sort();
    lines
}

fn fill(worker: &Worker, table: &str, count: u32) {
    let line = |n: u32| format!("set table {table} key 10.0.{}.{} data.gpc2 {n}", n / 250, n % 250);
    let all: Vec<String> = (0..count).map(line).collect();
    for some in all.chunks(50) {
        assert_eq!(worker.ask(&some.join("; ")).trim(), "");
    }
}

/// A connection in the middle of its second request.
fn busy_client(port: u16) -> TcpStream {
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut answer = [0; 1024];
    let n = client.read(&mut answer).expect("served");
    assert!(answer[..n].starts_with(b"HTTP/1.1 200"));
    client.write_all(b"GET /").expect("sent");
    client
}

#[test]
fn entries_survive_a_killed_worker_and_what_it_held_is_given_back() {
    let (dir, port, mut master) = (Dir::new(), free_port(), Master::default());
    let track = " tcp-request connection track-sc1 src table clients\n";
    let text = config(port, CLIENTS).replace(" http-request track", &format!("{track} http-request track"));
    let file = dir.file("a.cfg", &text);
    let mut old = master.start(&dir, &file);
    fill(&old, "clients", 300);
    let client = busy_client(port);
    until("it is counted", || {
        entries(&old, "clients").iter().any(|e| e.contains("use=1") && e.contains("conn_cur=1"))
    });
    let before = entries(&old, "clients");
    assert_eq!(before.len(), 301);
    old.kill();
    drop(client);
    let new = master.start(&dir, &file);
    let expected: Vec<String> =
        before.iter().map(|e| e.replace("use=1", "use=0").replace("conn_cur=1", "conn_cur=0")).collect();
    assert_ne!(before, expected);
    until("what was held is given back", || entries(&new, "clients") == expected);
    assert_eq!(new.log, "", "nothing to say");
    // Records of the dead are used again: there is room for as many as ever.
    fill(&new, "clients", 1000);
    assert!(entries(&new, "clients").len() > 1000);
}

#[test]
fn both_generations_count_on_the_same_entries() {
    let (dir, port, mut master) = (Dir::new(), free_port(), Master::default());
    let file = dir.file("a.cfg", &config(port, CLIENTS));
    let old = master.start(&dir, &file);
    get(port).expect("served");
    let mut client = busy_client(port);
    let mut new = master.succeed(&old, &dir, &file);
    (0..20).for_each(|_| drop(get(port).expect("served by one of them")));
    let count = |worker: &Worker| {
        let all = entries(worker, "clients");
        let word = all.first().and_then(|e| e.split("http_req_cnt=").nth(1)).expect("it is stored");
        word.split(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a number")
    };
    let before = count(&new);
    assert_eq!(before, 22);
    client.write_all(b" HTTP/1.0\r\n\r\n").expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("served");
    get(port).expect("served");
    assert_eq!(count(&new), before + 2, "one each");
    let mut old = old;
    assert_eq!(old.process.ended().code(), Some(0));
    drop(old);
    get(port).expect("served");
    assert_eq!(count(&new), before + 3);
    // A third one, after the second was killed, while the first is gone.
    new.kill();
    let third = master.start(&dir, &file);
    get(port).expect("served");
    assert_eq!(count(&third), before + 4);
}

#[test]
fn a_changed_definition_keeps_what_it_can() {
    let (dir, port, mut master) = (Dir::new(), free_port(), Master::default());
    let other = "backend other\n stick-table type string len 16 size 1k store gpc0\n";
    let gone = "backend gone\n stick-table type ip size 1k store gpc0\n";
    let old = master.start(&dir, &dir.file("a.cfg", &config(port, &format!("{CLIENTS}{other}{gone}"))));
    fill(&old, "clients", 200);
    assert_eq!(old.ask("set table other key abc data.gpc0 5").trim(), "");
    let before = entries(&old, "clients");
    let clients = "backend clients\n stick-table type ip size 2k store gpc(4),http_req_cnt,gpt0\n";
    let other = "backend other\n stick-table type integer size 1k store gpc0\n";
    let mut new = master.succeed(&old, &dir, &dir.file("b.cfg", &config(port, &format!("{clients}{other}"))));
    let after = entries(&new, "clients");
    assert_eq!(after.len(), 200);
    for n in [0, 1, 249, 199] {
        let key = format!("key=10.0.{}.{} ", n / 250, n % 250);
        let find = |all: &[String]| all.iter().find(|e| e.contains(&key)).cloned();
        assert_eq!(find(&before).is_some(), find(&after).is_some());
        assert!(find(&after).is_none_or(|e| e.contains(&format!("gpc2={n} "))), "{after:?}");
    }
    assert!(entries(&new, "other").is_empty());
    let notices: Vec<&str> = new.log.lines().filter_map(|l| l.split(" : ").nth(1)).collect();
    let expected = [
        "stick-table 'clients': made anew; 200 entries copied, not stored any more: conn_cur.",
        "stick-table 'other': made anew; 0 entries copied, 1 dropped.",
    ];
    assert_eq!(notices, expected, "{}", new.log);
    master.forget(&mut new, 1);
    assert_eq!(new.forgotten, ["table/gone"]);
    // The copy is spread over the threads, so that each of them can use what is old.
    until("the copy is spread", || new.ask("show table clients").contains("used:200"));
    drop(old);
    fill(&new, "clients", 2040);
    assert!(entries(&new, "clients").len() > 1900);
}

#[test]
fn any_number_of_generations_count_on_the_same_entries() {
    let (dir, port, mut master) = (Dir::new(), free_port(), Master::default());
    let track = " tcp-request connection track-sc1 src table clients\n";
    let text = config(port, CLIENTS).replace(" http-request track", &format!("{track} http-request track"));
    let file = dir.file("a.cfg", &text);
    let mut workers = vec![master.start(&dir, &file)];
    let mut clients = Vec::new();
    let current = |worker: &Worker| {
        let all = entries(worker, "clients");
        all.first().and_then(|e| e.split("conn_cur=").nth(1)?.split(' ').next()?.parse::<usize>().ok())
    };
    for n in 1..=6 {
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        client.write_all(b"GET /").expect("sent");
        clients.push(client);
        let serving = workers.last().expect("it serves");
        until("the client is counted", || current(serving) == Some(n));
        let next = master.succeed(serving, &dir, &file);
        assert_eq!(next.log, "", "nothing is made anew");
        workers.push(next);
    }
    let serving = workers.pop().expect("it serves");
    assert_eq!(current(&serving), Some(6));
    for (left, mut client) in (0..6).rev().zip(clients) {
        client.write_all(b" HTTP/1.0\r\n\r\n").expect("sent");
        client.read_to_string(&mut String::new()).expect("served");
        until("one less is counted", || current(&serving) == Some(left));
    }
    workers.iter_mut().for_each(|old| assert_eq!(old.process.ended().code(), Some(0)));
}
