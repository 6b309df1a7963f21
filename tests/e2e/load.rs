//! Under load: nothing fails, and ten thousand clients are held at once.

use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;

fn config(port: u16, web: [u16; 2], more: &str) -> String {
    let [web1, web2] = web;
    format!(
        "global
    maxconn 9000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 10s
frontend fe
    bind 127.0.0.1:{port} backlog 4096
    {more}
    default_backend be
backend be
    balance roundrobin
    server web1 127.0.0.1:{web1}
    server web2 127.0.0.1:{web2}
"
    )
}

/// HTTP/1.0, a connection for each request, a hundred clients: what webbench does.
#[test]
fn a_connection_for_each_request() {
    let (port, web) = (free_port(), [free_port(), free_port()]);
    let _servers = [nginx("web1", web[0]), nginx("web2", web[1])];
    let mut p = haring(&config(port, web, "option httpclose"), &[port]);
    let (good, bad) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let end = Instant::now() + Duration::from_secs(3);
    std::thread::scope(|s| {
        for _ in 0..100 {
            s.spawn(|| {
                while Instant::now() < end {
                    let mut c = Client::connect(port);
                    c.send("GET / HTTP/1.0\r\nUser-Agent: WebBench 1.5\r\nHost: 127.0.0.1\r\n\r\n");
                    let fine =
                        c.answer().is_some_and(|a| a.status == 200 && a.body.starts_with(b"this is web"));
                    (if fine { &good } else { &bad }).fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(bad.load(Ordering::Relaxed), 0, "failed requests");
    assert!(good.load(Ordering::Relaxed) > 300, "{good:?} requests in 3 s");
    assert!(p.is_running());
}

#[test]
fn keep_alive_and_large_objects_under_wrk() {
    let (port, web) = (free_port(), [free_port(), free_port()]);
    let _servers = [nginx("web1", web[0]), nginx("web2", web[1])];
    let mut p = haring(&config(port, web, ""), &[port]);
    for (path, connections) in [("/", "64"), ("/big", "16")] {
        let out = Command::new(find_program("wrk"))
            .args(["-t", "1", "-c", connections, "-d", "2", "--timeout", "10"])
            .arg(format!("http://127.0.0.1:{port}{path}"))
            .output()
            .expect("wrk is installed (scripts/test installs it)");
        let report = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{report}");
        assert!(!report.contains("Non-2xx") && !report.contains("Socket errors"), "{path}: {report}");
        let line = report.lines().find(|l| l.contains("requests in")).unwrap_or_default();
        let done: u64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        assert!(done > 20, "{report}");
    }
    assert!(p.is_running());
}

#[test]
fn ten_thousand_clients_are_held() {
    const CLIENTS: usize = 10_000;
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a process has limits");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("the soft limit may reach the hard one");
    assert!(
        hard as usize > CLIENTS + 500,
        "this needs more than {CLIENTS} descriptors; the hard limit is {hard}"
    );
    let port = free_port();
    let config = format!(
        "global
    maxconn 10100
    ulimit-n 15000
defaults
    mode http
    timeout connect 5s
    timeout client 120s
    timeout server 10s
frontend fe
    bind 127.0.0.1:{port} backlog 8192
    monitor-uri /alive
    http-request redirect location /there
"
    );
    let mut p = haring(&config, &[port]);
    let before = p.memory_kib();
    let mut clients: Vec<Client> = Vec::with_capacity(CLIENTS);
    for i in 0..CLIENTS {
        let mut c = Client::connect(port);
        c.send("GET /here HTTP/1.1\r\nHost: x\r\n\r\n");
        clients.push(c);
        // Read in groups, so that many requests are under way at once.
        if i % 100 == 99 {
            for c in &mut clients[i - 99..=i] {
                assert_eq!(c.answer().expect("an answer").status, 302);
            }
        }
    }
    let per_client = (p.memory_kib().saturating_sub(before)) * 1024 / CLIENTS as u64;
    println!("{per_client} bytes of resident memory for each idle client (debug build)");
    assert!(per_client < 16 * 1024, "{per_client} bytes for each idle client");
    // All of them are still there, and so is everybody else.
    assert_eq!(get(port, "/alive", "Host: x\r\n").status, 200);
    for c in &mut clients {
        c.send("GET /again HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for c in &mut clients {
        assert_eq!(c.answer().expect("the connection was kept").status, 302);
    }
    drop(clients);
    wait_until("new clients are served after all have left", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok() && get(port, "/alive", "Host: x\r\n").status == 200
    });
    assert!(p.is_running());
}
