//! Tunnels: TCP and WebSocket.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use super::pair::{Client, Logs, Worker, has_connections};
use super::support::{Dir, PATIENCE, free_port, until};

/// What a server does with a connection.
type Serve = fn(TcpStream) -> std::io::Result<()>;

fn serve(serve: Serve) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Echoes, and says how much it was when there is no more.
fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buf = vec![0; 65_536];
    let mut total = 0;
    loop {
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return stream.write_all(format!("all {total}").as_bytes());
        }
        stream.write_all(&buf[..n])?;
        total += n;
    }
}

fn websocket(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(
        head.contains("upgrade: websocket") && head.contains("sec-websocket-key: x3jjhmbdl1ezlkh9gbhxdw==")
    );
    stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSeen: there\r\n\
          Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n\r\n",
    )?;
    echo(stream)
}

/// Sends numbers, 8 bytes each, 32 MiB of them, whatever is received.
fn count(mut stream: TcpStream) -> std::io::Result<()> {
    for block in 0..512_u64 {
        let numbers: Vec<u8> = (block * 8192..(block + 1) * 8192).flat_map(u64::to_be_bytes).collect();
        stream.write_all(&numbers)?;
    }
    Ok(())
}

fn config(mode: &str, port: u16, server: u16, more: &str) -> String {
    format!(
        "global\n nbthread 2\ndefaults\n timeout connect 2s\n timeout client 20s\n timeout server 20s\n{more}\n\
         listen web\n mode {mode}\n bind 127.0.0.1:{port}\n server s 127.0.0.1:{server}\n"
    )
}

impl Client {
    fn says(&mut self, text: &str) {
        let mut heard = vec![0; text.len()];
        self.0.read_exact(&mut heard).unwrap_or_else(|e| panic!("{e} instead of {text}"));
        assert_eq!(String::from_utf8_lossy(&heard), text);
    }

    fn echo(&mut self, text: &str) {
        self.write(text);
        self.says(text);
    }
}

#[test]
fn tcp_tunnels_go_on() {
    let (dir, port, server, logs) = (Dir::new(), free_port(), serve(echo), Logs::new());
    let more = format!(" log {} local0\n log-format line,%ci:%cp,%U,%B,%ts,%s,%Tt", logs.target());
    let file = dir.file("a.cfg", &config("tcp", port, server, &more));
    let old = Worker::start(&dir, &file, None);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(port)).collect();
    clients.iter_mut().for_each(|c| c.echo("before"));
    let new = old.succeeded_by(&dir, &file);
    old.ends_well();
    has_connections(&new, 20);
    assert_eq!(new.stat("web", "s", "scur"), 20);
    assert_eq!(new.stat("web", "BACKEND", "scur"), 20);
    assert_eq!(new.stat("web", "s", "stot"), 0, "the old one has counted them");
    assert_eq!(new.ask("show sess").lines().filter(|l| l.contains("proto=tcpv4")).count(), 20);
    for client in &mut clients {
        client.echo("and after");
        client.0.shutdown(Shutdown::Write).expect("open");
        client.says("all 15");
        client.is_closed();
    }
    has_connections(&new, 0);
    assert_eq!((new.stat("web", "s", "scur"), new.stat("web", "s", "lbtot")), (0, 0));
    let lines = logs.lines("line,");
    assert_eq!(lines.len(), 20, "{lines:#?}");
    for client in &clients {
        let line = format!("line,{},15,21,--,s,", client.0.local_addr().expect("bound"));
        assert_eq!(lines.iter().filter(|l| l.contains(&line)).count(), 1, "{line} in {lines:#?}");
    }
}

#[test]
fn websockets_go_on() {
    let (dir, port, server, logs) = (Dir::new(), free_port(), serve(websocket), Logs::new());
    let more =
        format!(" log {} local0\n log-format line,%r,%ST,%U,%ts,%hr,%HU,%[var(txn.mark)]", logs.target());
    let rules = " capture request header host len 20\n http-request set-var(txn.mark) str(kept)\n \
                 http-request track-sc1 src\n stick-table type ip size 10 store conn_cur\n";
    let file = dir.file("a.cfg", &(config("http", port, server, &more) + rules));
    let old = Worker::start(&dir, &file, None);
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(port)).collect();
    for client in &mut clients {
        client.write(
            "GET /chat HTTP/1.1\r\nHost: here\r\nUser-Agent: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n\r\nearly",
        );
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let mut byte = [0];
            client.0.read_exact(&mut byte).expect("an answer");
            head.push(byte[0] as char);
        }
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client.says("early");
        client.echo("before");
    }
    let new = old.succeeded_by(&dir, &file);
    old.ends_well();
    has_connections(&new, 5);
    let table = new.ask("show table web");
    assert!(table.contains("conn_cur=5"), "{table}");
    for client in &mut clients {
        client.echo("after");
        client.0.shutdown(Shutdown::Write).expect("open");
        client.says("all 16");
        client.is_closed();
    }
    has_connections(&new, 0);
    let table = new.ask("show table web");
    assert!(table.contains("conn_cur=0"), "{table}");
    let lines = logs.lines("line,");
    assert_eq!(lines.len(), 5, "{lines:#?}");
    for line in lines {
        assert!(line.contains("line,GET /chat HTTP/1.1,101,"), "{line}");
        assert!(line.contains(",--,{here},/chat,kept"), "{line}");
    }
}

#[test]
fn tunnels_that_never_pause_lose_nothing() {
    let (dir, port, server) = (Dir::new(), free_port(), serve(echo));
    let file = dir.file("a.cfg", &config("tcp", port, server, ""));
    let mut worker = Worker::start(&dir, &file, None);
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..6_usize)
        .map(|i| {
            let over = over.clone();
            let mut client = Client::connect(port);
            thread::spawn(move || {
                let mut total = 0;
                for n in 0_usize.. {
                    // Some send little, some more than a buffer.
                    let text = format!("{i} {n} {}", "x".repeat((n * 7919) % [10, 100, 70_000][i % 3]));
                    client.echo(&text);
                    total += text.len();
                    if over.load(SeqCst) {
                        break;
                    }
                }
                client.0.shutdown(Shutdown::Write).expect("open");
                client.says(&format!("all {total}"));
                client.is_closed();
            })
        })
        .collect();
    for _ in 0..6 {
        let next = worker.succeeded_by(&dir, &file);
        worker.ends_well();
        worker = next;
        thread::sleep(Duration::from_millis(20));
    }
    over.store(true, SeqCst);
    clients.into_iter().for_each(|client| client.join().expect("nothing was lost"));
}

#[test]
fn a_bulk_transfer_arrives_whole() {
    let (dir, port, server) = (Dir::new(), free_port(), serve(count));
    let file = dir.file("a.cfg", &config("tcp", port, server, " option splice-auto"));
    let mut workers = vec![Worker::start(&dir, &file, None)];
    let mut client = Client::connect(port);
    let reader = thread::spawn(move || {
        let mut block = vec![0; 65_536];
        for n in 0..512_u64 {
            client.0.read_exact(&mut block).unwrap_or_else(|e| panic!("{e} at {n}"));
            let wanted: Vec<u8> = (n * 8192..(n + 1) * 8192).flat_map(u64::to_be_bytes).collect();
            assert!(block == wanted, "block {n}");
            thread::sleep(Duration::from_millis(3));
        }
        client.is_closed();
    });
    while !reader.is_finished() {
        thread::sleep(Duration::from_millis(100));
        let last = workers.last().expect("one at least");
        workers.push(last.succeeded_by(&dir, &file));
    }
    reader.join().expect("whole");
    workers.pop();
    workers.into_iter().for_each(Worker::ends_well);
}

#[test]
fn a_tunnel_with_one_closed_side_goes_on() {
    static GO_ON: AtomicBool = AtomicBool::new(false);
    fn last_words(mut stream: TcpStream) -> std::io::Result<()> {
        let mut all = String::new();
        stream.read_to_string(&mut all)?;
        stream.write_all(b"one ")?;
        until("the test goes on", || GO_ON.load(SeqCst));
        stream.write_all(all.as_bytes())
    }
    let (dir, port, server) = (Dir::new(), free_port(), serve(last_words));
    let file = dir.file("a.cfg", &config("tcp", port, server, ""));
    let old = Worker::start(&dir, &file, None);
    let mut client = Client::connect(port);
    client.write("two");
    client.0.shutdown(Shutdown::Write).expect("open");
    client.says("one ");
    let new = old.succeeded_by(&dir, &file);
    old.ends_well();
    has_connections(&new, 1);
    GO_ON.store(true, SeqCst);
    client.says("two");
    client.is_closed();
    has_connections(&new, 0);
}

#[test]
fn a_tunnel_to_a_server_that_is_no_more_stays() {
    let (dir, port, server) = (Dir::new(), free_port(), serve(echo));
    let text = config("tcp", port, server, "");
    let mut old = Worker::start(&dir, &dir.file("a.cfg", &text), None);
    let mut client = Client::connect(port);
    client.echo("before");
    let new = old.succeeded_by(&dir, &dir.file("b.cfg", &text.replace("server s", "server t")));
    until("it stops", || old.process.said().contains("Proxy web stopped"));
    thread::sleep(Duration::from_millis(300));
    client.echo("after");
    assert!(old.process.is_running());
    assert_eq!(new.stat("web", "FRONTEND", "scur"), 0);
    drop(client);
    old.ends_well();
}

#[test]
fn what_a_receiver_does_not_take_yet_is_not_lost() {
    let (dir, port, server) = (Dir::new(), free_port(), serve(count));
    let file = dir.file("a.cfg", &config("tcp", port, server, ""));
    let old = Worker::start(&dir, &file, None);
    let mut client = Client::connect(port);
    thread::sleep(Duration::from_millis(200));
    let new = old.succeeded_by(&dir, &file);
    // Mostly the old process still holds some of it; when the kernel took everything, the tunnel has moved.
    thread::sleep(Duration::from_millis(700));
    let mut total = 0;
    let mut buf = vec![0; 1 << 20];
    client.0.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    loop {
        match client.0.read(&mut buf).expect("no reset") {
            0 => break,
            n => total += n,
        }
    }
    assert_eq!(total, 32 << 20);
    drop(client);
    old.ends_well();
    has_connections(&new, 0);
}
