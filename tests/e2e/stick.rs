//! A node that sticks to the server that gave out a session: the application's cookie, a table with peers, checks.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::support::*;

/// An application: a client without a session gets a fresh one.
struct App {
    port: u16,
    sick: Arc<AtomicBool>,
}

impl App {
    fn start(name: &'static str) -> App {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let port = listener.local_addr().expect("bound").port();
        let sick = Arc::new(AtomicBool::new(false));
        let flag = sick.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let flag = flag.clone();
                std::thread::spawn(move || serve(stream, name, &flag));
            }
        });
        App { port, sick }
    }
}

fn serve(mut stream: TcpStream, name: &str, sick: &AtomicBool) {
    static SESSIONS: AtomicU32 = AtomicU32::new(1);
    let mut head = Vec::new();
    let mut buf = [0; 4096];
    while find(&head, b"\r\n\r\n").is_none() {
        match stream.read(&mut buf) {
            Ok(n) if n > 0 => head.extend_from_slice(&buf[..n]),
            _ => return,
        }
    }
    let status = match find(&head, b"GET /index.php ") {
        Some(0) if sick.load(Ordering::Relaxed) => "503 Sick",
        _ => "200 OK",
    };
    let cookie = match find(&head, b"PHPSESSID=") {
        Some(_) => String::new(),
        None => {
            let n = SESSIONS.fetch_add(1, Ordering::Relaxed);
            format!("Set-Cookie: PHPSESSID=sess{n:08x}; path=/\r\n")
        }
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nX-App: {name}\r\n{cookie}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
}

struct Node {
    port: u16,
    socket: PathBuf,
    apps: [App; 2],
    _dir: Dir,
    _haring: Process,
}

fn node(size: &str, expire: &str) -> Node {
    let (port, peer) = (free_port(), free_port());
    let others = [free_port(), free_port()];
    let apps = [App::start("app1"), App::start("app2")];
    let dir = Dir::new();
    let socket = dir.0.join("admin.sock");
    let config = format!(
        "global
    nbthread 2
    stats socket {socket} level admin
defaults
    timeout connect 1s
    timeout client 10s
    timeout server 10s
peers mypeers
    peer node1 127.0.0.1:{peer}
    peer node2 127.0.0.1:{}
    peer node3 127.0.0.1:{}
frontend web
    mode http
    bind 127.0.0.1:{port}
    default_backend dynamic_group
backend dynamic_group
    mode http
    stick-table type string len 32 size {size} expire {expire} peers mypeers
    stick on req.cook(PHPSESSID)
    stick store-response res.cook(PHPSESSID)
    balance roundrobin
    option http-server-close
    option httpchk GET /index.php
    option redispatch
    http-check expect status 200
    server app1 127.0.0.1:{} check inter 100ms rise 1 maxconn 3000
    server app2 127.0.0.1:{} check inter 100ms rise 1 maxconn 3000
",
        others[0],
        others[1],
        apps[0].port,
        apps[1].port,
        socket = socket.display(),
    );
    let haring = haring_with(&config, &[port, peer], &["-L", "node1"]);
    Node { port, socket, apps, _dir: dir, _haring: haring }
}

/// An entry: key, the server's number, its name.
type Row = (String, u32, String);

impl Node {
    fn rows(&self) -> Vec<Row> {
        let text = ask(&self.socket, "show table dynamic_group");
        let mut rows: Vec<Row> = text.lines().filter(|l| l.contains("key=")).map(row).collect();
        rows.sort();
        rows
    }

    /// The application that answers, and the session it gives out.
    fn visit(&self, cookie: Option<&str>) -> (String, Option<String>) {
        let header = cookie.map(|c| format!("Cookie: lang=en; PHPSESSID={c}\r\n")).unwrap_or_default();
        let a = get(self.port, "/", &format!("Host: example.org\r\n{header}"));
        assert_eq!(a.status, 200, "{a:?}");
        let session = a.header("set-cookie").and_then(|c| c.strip_prefix("PHPSESSID=")).map(|c| {
            let end = c.find(';').unwrap_or(c.len());
            c[..end].to_owned()
        });
        (a.header("x-app").expect("an application answered").to_owned(), session)
    }

    fn wait_for_server(&self, name: &str, status: &str) {
        wait_until(&format!("{name} is {status}"), || {
            let stat = ask(&self.socket, "show stat");
            let line = stat.lines().find(|l| l.starts_with(&format!("dynamic_group,{name},")));
            line.is_some_and(|l| l.split(',').nth(17) == Some(status))
        });
    }
}

fn row(line: &str) -> Row {
    let of = |name: &str| {
        let word = line.split(' ').find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
        word.unwrap_or_else(|| panic!("{name} in {line}")).to_owned()
    };
    (of("key"), of("server_id").parse().expect("a number"), of("server_key"))
}

fn number(app: &str) -> u32 {
    app.strip_prefix("app").and_then(|n| n.parse().ok()).expect("app1 or app2")
}

#[test]
fn a_session_stays_with_the_application_that_gave_it_out() {
    let n = node("5k", "5m");
    for app in ["app1", "app2"] {
        n.wait_for_server(app, "UP");
    }
    // Five clients come for the first time.
    let mut clients: Vec<(String, String)> = Vec::new();
    for _ in 0..5 {
        let (app, session) = n.visit(None);
        clients.push((session.expect("a fresh session"), app));
    }
    let expected = |clients: &[(String, String)]| {
        let mut rows: Vec<Row> =
            clients.iter().map(|(s, app)| (s.clone(), number(app), app.clone())).collect();
        rows.sort();
        rows
    };
    assert_eq!(n.rows(), expected(&clients));
    let head = ask(&n.socket, "show table dynamic_group");
    assert!(head.starts_with("# table: dynamic_group, type: string, size:5120, used:5\n"), "{head}");
    let both = clients.iter().any(|c| c.1 == "app1") && clients.iter().any(|c| c.1 == "app2");
    assert!(both, "round robin uses both: {clients:?}");
    // They come back to where they were.
    for _ in 0..3 {
        for (session, app) in &clients {
            assert_eq!(n.visit(Some(session)), (app.clone(), None));
        }
    }
    assert_eq!(n.rows(), expected(&clients));

    // One application is down: its clients go to the other one, and are known there from then on.
    n.apps[0].sick.store(true, Ordering::Relaxed);
    n.wait_for_server("app1", "DOWN");
    for (session, app) in &mut clients {
        "app2".clone_into(app);
        assert_eq!(n.visit(Some(session)), (app.clone(), None));
    }
    assert_eq!(n.rows(), expected(&clients));
    n.apps[0].sick.store(false, Ordering::Relaxed);
    n.wait_for_server("app1", "UP");
    for (session, app) in &clients {
        assert_eq!(n.visit(Some(session)), (app.clone(), None));
    }
    // A session that the node has never seen is learnt from the request. Only 32 bytes of it count.
    let long = "0123456789abcdef0123456789abcdef";
    let (app, _) = n.visit(Some(&format!("{long}-and-more")));
    for end in ["", "-and-more", "-and-something-else"] {
        assert_eq!(n.visit(Some(&format!("{long}{end}"))).0, app);
    }
    clients.push((long.to_owned(), app));
    assert_eq!(n.rows(), expected(&clients));
}

#[test]
fn sessions_expire_and_their_number_is_bounded() {
    // Enough for either thread to have some of its own: a thread that has next to none may refuse a new one.
    const SIZE: usize = 400;
    let n = node("400", "4s");
    for app in ["app1", "app2"] {
        n.wait_for_server(app, "UP");
    }
    let visit = || n.visit(None).1.expect("a fresh session");
    let sessions: Vec<String> = (0..SIZE * 2).map(|_| visit()).collect();
    let rows = n.rows();
    assert!(rows.len() <= SIZE, "{} entries", rows.len());
    // The newest one pushed an older one out.
    let newest = sessions.last().expect("there were some");
    assert!(rows.iter().any(|r| r.0 == *newest), "{newest} in {rows:?}");
    // One that is used stays, the others go.
    let (app, _) = n.visit(Some(newest));
    for _ in 0..11 {
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(n.visit(Some(newest)).0, app);
    }
    let left: Vec<String> = n.rows().into_iter().map(|r| r.0).collect();
    assert_eq!(left, std::slice::from_ref(newest));
    wait_until("the last entry has expired", || n.rows().is_empty());
}

/// Hostile sessions: long, binary, empty, quoted. Nothing breaks, and the table stays as it is meant to be.
#[test]
fn odd_sessions_do_no_harm() {
    let n = node("100", "5m");
    for app in ["app1", "app2"] {
        n.wait_for_server(app, "UP");
    }
    let odd: [&[u8]; 8] =
        [&[b'x'; 8000], b"\"quoted; value\"", b"\xff\xfe\x80", b"", b"=", b"a,b", b" spaces \t", b"%00%ff"];
    for value in odd {
        let mut c = Client::connect(n.port);
        let cookie = [b"GET / HTTP/1.1\r\nHost: h\r\nCookie: PHPSESSID=", value, b"\r\n\r\n"].concat();
        c.send(cookie);
        let a = c.answer().expect("an answer");
        assert_eq!(a.status, 200, "{a:?}");
    }
    // A NUL is refused before any table sees it.
    let mut c = Client::connect(n.port);
    c.send(b"GET / HTTP/1.1\r\nHost: h\r\nCookie: PHPSESSID=a\0b\r\n\r\n");
    assert_eq!(c.answer().expect("an answer").status, 400);
    let text = ask(&n.socket, "show table dynamic_group");
    let keys: Vec<&str> = text.lines().filter(|l| l.contains("key=")).collect();
    // The empty one and those that are no value are not there.
    assert!((4..=odd.len()).contains(&keys.len()), "{text}");
    assert!(keys.iter().any(|l| l.contains(&format!("key={} ", "x".repeat(32)))), "{text}");
    assert!(keys.iter().all(|l| l.contains("server_id=1 ") || l.contains("server_id=2 ")), "{text}");
}
