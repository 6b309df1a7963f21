//! Clients between two requests, and in the middle of one.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use super::pair::{Client, Logs, Worker, config, has_connections, serve};
use super::support::{Dir, PATIENCE, free_port, until};

#[test]
fn idle_clients_see_no_close() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let old = Worker::start(&dir, &dir.file("a.cfg", &config("old", port, server.port, "")), None);
    let mut clients: Vec<Client> = (0..200).map(|_| Client::connect(port)).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        // Some have not asked for anything yet.
        if i % 10 > 0 {
            assert_eq!(client.get("/before").expect("served"), "/before");
        }
    }
    has_connections(&old, 200);
    let new = old.succeeded_by(&dir, &dir.file("b.cfg", &config("new", port, server.port, "")));
    old.ends_well();
    has_connections(&new, 200);
    assert_eq!(new.info("CurrConns"), 200);
    assert_eq!(new.info("CumConns"), 0, "the old one has counted them");
    let errors = clients.iter_mut().filter_map(|c| c.get("/after").err()).count();
    assert_eq!(errors, 0);
    assert_eq!(new.stat("web", "FRONTEND", "req_tot"), 200);
    drop(clients);
    has_connections(&new, 0);
}

#[test]
fn parts_of_requests_and_requests_in_a_row_are_answered() {
    let (dir, port, server, logs) = (Dir::new(), free_port(), serve(), Logs::new());
    let more = format!(" log {} local0\n log-format %r,%ST,%ci:%cp,%Tq", logs.target());
    let old = Worker::start(&dir, &dir.file("a.cfg", &config("old", port, server.port, &more)), None);
    let (mut first, mut later, mut row) =
        (Client::connect(port), Client::connect(port), Client::connect(port));
    first.write("GET /first HT");
    assert_eq!(later.get("/0").expect("served"), "/0");
    later.write("GET /later HTTP/1.1\r\nHo");
    row.write(
        "GET /slow1 HTTP/1.1\r\nhost: x\r\n\r\nGET /row2 HTTP/1.1\r\nhost: x\r\n\r\nGET /row3 HTTP/1.1\r\nho",
    );
    server.was_asked();
    let new = old.succeeded_by(&dir, &dir.file("b.cfg", &config("new", port, server.port, &more)));
    has_connections(&new, 2);
    first.write("TP/1.1\r\nhost: x\r\n\r\n");
    later.write("st: x\r\n\r\n");
    for (client, path) in [(&mut first, "/first"), (&mut later, "/later")] {
        let (head, body) = client.response().expect("answered");
        assert!(head.contains("via: new") && body == path, "{head}{body}");
    }
    server.go_on();
    assert_eq!(row.response().expect("answered").1, "/slow1");
    assert_eq!(row.response().expect("answered").1, "/row2");
    old.ends_well();
    row.write("st: x\r\n\r\n");
    let (head, body) = row.response().expect("answered");
    assert!(head.contains("via: new") && body == "/row3", "{head}{body}");
    assert_eq!(row.get("/row4").expect("served"), "/row4");
    let lines = logs.lines("GET");
    assert_eq!(lines.len(), 7, "{lines:#?}");
    for (client, path) in [(&first, "/first"), (&later, "/later"), (&row, "/row3"), (&row, "/row4")] {
        let from = format!(",200,{}", client.0.local_addr().expect("connected"));
        let line: Vec<&String> = lines.iter().filter(|l| l.contains(path)).collect();
        assert!(line.len() == 1 && line[0].contains(&from), "{path}{from} in {lines:#?}");
    }
}

#[test]
fn an_exchange_ends_where_it_began_and_its_client_moves_then() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let old = Worker::start(&dir, &dir.file("a.cfg", &config("old", port, server.port, "")), None);
    let mut client = Client::connect(port);
    client.write("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    server.was_asked();
    let new = old.succeeded_by(&dir, &dir.file("b.cfg", &config("new", port, server.port, "")));
    until("it stops", || old.process.said().contains("Proxy web stopped"));
    server.go_on();
    let (head, body) = client.response().expect("answered");
    assert!(head.contains("via: old") && body == "/slow", "{head}");
    assert!(!head.contains("connection"), "{head}");
    old.ends_well();
    has_connections(&new, 1);
    assert_eq!(client.get("/next").expect("served"), "/next");
}

#[test]
fn clients_that_never_pause_lose_nothing_in_many_reloads() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let file = dir.file("a.cfg", &config("x", port, server.port, ""));
    let mut worker = Worker::start(&dir, &file, None);
    let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let clients: Vec<_> = (0..8_u32)
        .map(|i| {
            let (over, served) = (over.clone(), served.clone());
            let mut client = Client::connect(port);
            thread::spawn(move || -> std::io::Result<()> {
                for n in 0_u32.. {
                    let path = format!("/{i}/{n}");
                    assert_eq!(client.get(&path)?, path);
                    served.fetch_add(1, SeqCst);
                    if n % 3 == 0 {
                        // At every distance from the moment of the hand-over.
                        thread::sleep(Duration::from_micros(u64::from((i * 7 + n) % 23) * 100));
                    }
                    if over.load(SeqCst) {
                        break;
                    }
                }
                Ok(())
            })
        })
        .collect();
    for _ in 0..10 {
        let next = worker.succeeded_by(&dir, &file);
        worker.ends_well();
        worker = next;
    }
    over.store(true, SeqCst);
    for client in clients {
        client.join().expect("no panic").expect("no error");
    }
    assert!(served.load(SeqCst) > 100);
}

#[test]
fn what_connections_track_is_counted_on() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let more = " stick-table type ip size 100 expire 1m store conn_cur,gpc0\n tcp-request connection track-sc0 src\n \
                tcp-request connection set-var(sess.mark) str(kept)\n http-request sc-inc-gpc0(0)\n \
                http-response set-header seen %[var(sess.mark)]-%[sc0_conn_cur]";
    let file = dir.file("a.cfg", &config("x", port, server.port, more));
    let old = Worker::start(&dir, &file, None);
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(port)).collect();
    clients.iter_mut().for_each(|c| assert_eq!(c.get("/0").expect("served"), "/0"));
    let new = old.succeeded_by(&dir, &file);
    old.ends_well();
    has_connections(&new, 5);
    let table = new.ask("show table web");
    assert!(table.contains("conn_cur=5"), "{table}");
    clients[3].write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    let (head, _) = clients[3].response().expect("served");
    assert!(head.contains("seen: kept-5"), "{head}");
    clients.truncate(2);
    has_connections(&new, 2);
    let table = new.ask("show table web");
    assert!(table.contains("conn_cur=2"), "{table}");
}

#[test]
fn clients_of_other_kinds_move_too() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let path = dir.path("web.sock");
    // A TCP frontend that hands HTTP clients to an HTTP backend, and clients on a Unix socket.
    let text = |name: &str| {
        let binds = format!("frontend tcp\n mode tcp\n bind 127.0.0.1:{port}\n default_backend web\n");
        format!(
            "{binds}{}",
            config(name, free_port(), server.port, &format!(" bind {path}")).replace("global", "\nglobal")
        )
    };
    let old = Worker::start(&dir, &dir.file("a.cfg", &text("old")), None);
    let mut tcp = Client::connect(port);
    assert_eq!(tcp.get("/before").expect("served"), "/before");
    let mut unix = UnixStream::connect(&path).expect("it listens");
    unix.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut ask = |path: &str| {
        unix.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).expect("open");
        let mut answer = String::new();
        while !answer.ends_with(path) {
            let mut bytes = [0; 500];
            let n = unix.read(&mut bytes).expect("an answer");
            assert!(n > 0, "closed after {answer}");
            answer.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
        answer
    };
    assert!(ask("/before").contains("via: old"));
    let new = old.succeeded_by(&dir, &dir.file("b.cfg", &text("new")));
    old.ends_well();
    until("both have moved", || new.info("CurrConns") == 2);
    assert!(ask("/after").contains("via: new"));
    assert_eq!(tcp.get("/after").expect("served"), "/after");
    assert_eq!(new.stat("tcp", "FRONTEND", "scur"), 1);
}
