//! A whole site: two nginx behind a frontend that routes by host, cookies, health checks, logs that halog reads, and
//! a TCP port beside it.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::*;

struct Site {
    port: u16,
    tcp: u16,
    web: [u16; 2],
    servers: [Option<Process>; 2],
    syslog: Syslog,
    started: Instant,
    _haring: Process,
}

fn site() -> Site {
    let (port, tcp, web) = (free_port(), free_port(), [free_port(), free_port()]);
    let servers = [Some(nginx("web1", web[0])), Some(nginx("web2", web[1]))];
    let syslog = Syslog::start();
    let [web1, web2] = web;
    let log = syslog.port;
    let config = format!(
        "global
    log 127.0.0.1:{log} local2
    maxconn 5000
defaults
    mode http
    log global
    option httplog
    option dontlognull
    option redispatch
    timeout http-request 2s
    timeout queue 3s
    timeout connect 1s
    timeout client 10s
    timeout server 2s
    timeout http-keep-alive 10s
    timeout check 2s
frontend http_80_in
    bind 0.0.0.0:{port}
    option httpclose
    option forwardfor
    acl site hdr_reg(host) -i ^(www.example.org|ww1.example.org)$
    use_backend server_web if site
backend server_web
    balance roundrobin
    cookie SERVERID insert indirect nocache
    option httpchk GET /index.html
    server web1 127.0.0.1:{web1} cookie web1 check inter 1500 rise 3 fall 3 weight 1
    server web2 127.0.0.1:{web2} cookie web2 check inter 1500 rise 3 fall 3 weight 2
listen tcp_in
    bind 127.0.0.1:{tcp}
    mode tcp
    option tcplog
    balance leastconn
    server t1 127.0.0.1:{web1} check
    server t2 127.0.0.1:{web2} check
"
    );
    let haring = haring(&config, &[port, tcp]);
    Site { port, tcp, web, servers, syslog, started: Instant::now(), _haring: haring }
}

const HOST: &str = "Host: www.example.org\r\n";

#[test]
fn a_site_is_balanced_logged_and_survives_a_server() {
    let mut s = site();
    let requests = routing(&s) + cookies(&s);
    logs(&s, requests);
    tcp(&s);
    a_server_goes_and_comes_back(&mut s);
}

fn routing(s: &Site) -> usize {
    let mut count = [0; 2];
    for i in 0..30 {
        let host = if i % 2 == 0 { HOST } else { "Host: WW1.Example.Org\r\n" };
        let a = get(s.port, &format!("/r{i}"), host);
        assert_eq!(a.status, 200, "{a:?}");
        assert_eq!(a.header("x-seen-for"), Some("127.0.0.1"));
        assert_eq!(a.header("connection"), Some("close"));
        count[usize::from(a.header("x-name") == Some("web2"))] += 1;
    }
    // One to two, whatever the number of threads that balance.
    assert!((8..=12).contains(&count[0]), "{count:?}");
    for host in ["Host: unknown.example.org\r\n", "Host: www.example.org.evil\r\n"] {
        assert_eq!(get(s.port, "/unknown", host).status, 503);
    }
    32
}

fn cookies(s: &Site) -> usize {
    let first = get(s.port, "/c", HOST);
    let cookie = first.header("set-cookie").expect("a new client gets a cookie").to_owned();
    let name = first.header("x-name").expect("nginx says who it is").to_owned();
    assert_eq!(cookie, format!("SERVERID={name}; path=/"));
    for _ in 0..10 {
        let a = get(s.port, "/c", &format!("{HOST}Cookie: a=b; SERVERID={name}; c=d\r\n"));
        assert_eq!(a.header("x-name"), Some(name.as_str()));
        assert_eq!(a.header("set-cookie"), None);
        assert_eq!(a.header("x-seen-cookie"), Some("a=b; c=d"));
    }
    11
}

/// One line for each request, in a layout that halog reads.
fn logs(s: &Site, requests: usize) {
    let lines = s.syslog.wait_for(requests, " http_80_in ", PATIENCE);
    assert_eq!(lines.len(), requests);
    let line = regex::Regex::new(concat!(
        r#"^<150>[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d [a-z0-9._-]+\[\d+\]: 127\.0\.0\.1:\d+ "#,
        r#"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{3}\] http_80_in (server_web/web[12]|http_80_in/<NOSRV>) "#,
        r#"-?\d+/-?\d+/-?\d+/-?\d+/\d+ (200|503) \d+ - - (--(NI|VN)|SC--) \d+/\d+/\d+/\d+/\d+ \d+/\d+ "GET /[a-z0-9]+ HTTP/1\.1"$"#
    ))
    .expect("a valid expression");
    for l in &lines {
        assert!(line.is_match(l), "{l}");
    }
    // What rsyslog writes into its file.
    let file: String = lines.iter().map(|l| format!("{} host {}\n", &l[5..20], &l[21..])).collect();
    let servers = halog(&file, &["-srv"]);
    let of = |name: &str| -> usize {
        let row =
            servers.lines().find(|l| l.contains(name)).unwrap_or_else(|| panic!("{name} in:\n{servers}"));
        row.split_whitespace().nth(2).and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{row}"))
    };
    assert_eq!(of("server_web/web1") + of("server_web/web2"), requests - 2, "{servers}");
    let statuses = halog(&file, &["-st"]);
    let status = |code: &str| statuses.lines().any(|l| l.split_whitespace().eq(code.split(' ')));
    assert!(
        status(&format!("200 {}", requests - 2)) || status(&format!("{} 200", requests - 2)),
        "{statuses}"
    );
    assert!(halog(&file, &["-ut"]).contains("/c"), "the table of URLs");
    assert!(halog(&file, &["-tc"]).contains("SC"), "the table of termination codes");
    assert!(halog(&file, &["-pct"]).lines().count() > 10, "the percentiles");
    halog(&file, &["-ad", "10", "-q"]);
}

fn halog(log: &str, args: &[&str]) -> String {
    let mut child = Command::new(find_program("halog"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("halog is part of Debian's haproxy package");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(log.as_bytes()).expect("halog reads");
    drop(input);
    let out = child.wait_with_output().expect("halog ends");
    assert!(out.status.success(), "halog {args:?}: {out:?}");
    let (table, report) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    // "N lines in, M lines out, 0 parsing errors".
    assert!(!report.contains("parsing errors") || report.contains(" 0 parsing errors"), "{args:?}: {report}");
    table.into_owned()
}

fn tcp(s: &Site) {
    for _ in 0..4 {
        let a = get(s.tcp, "/tcp", "Host: anything\r\n");
        assert_eq!(a.status, 200);
        assert_eq!(a.header("x-seen-for"), None, "nothing is added in TCP mode: {a:?}");
    }
    let line = regex::Regex::new(
        r"127\.0\.0\.1:\d+ \[.{24}\] tcp_in tcp_in/t[12] \d+/\d+/\d+ \d+ -- \d+/\d+/\d+/\d+/0 0/0$",
    )
    .expect("a valid expression");
    for l in s.syslog.wait_for(4, " tcp_in ", PATIENCE) {
        assert!(l.contains("Connect") || line.is_match(&l) || l.contains(" 0 "), "{l}");
    }
}

fn a_server_goes_and_comes_back(s: &mut Site) {
    let stuck = format!("{HOST}Cookie: SERVERID=web2\r\n");
    assert_eq!(get(s.port, "/before", &stuck).header("x-name"), Some("web2"));
    // A server begins at the edge: one failure takes it down. Good checks make it sturdier, up to `fall` failures.
    std::thread::sleep(Duration::from_secs(5).saturating_sub(s.started.elapsed()));
    let stopped = Instant::now();
    s.servers[1] = None;
    // Until the checks notice, redispatch keeps the clients happy.
    let a = get(s.port, "/gap", &stuck);
    assert_eq!((a.status, a.header("x-name")), (200, Some("web1")));
    let limit = Duration::from_secs(9);
    let down = s.syslog.wait_for(1, "Server server_web/web2 is DOWN", limit);
    // Three checks, 1.5 s apart (spread by a few per cent).
    assert!(stopped.elapsed() > Duration::from_millis(2500), "down after {:?}", stopped.elapsed());
    assert!(down[0].starts_with("<145>"), "level alert: {}", down[0]);
    assert!(down[0].contains("1 active and 0 backup servers left"), "{}", down[0]);
    for i in 0..10 {
        let a = get(s.port, &format!("/down{i}"), HOST);
        assert_eq!((a.status, a.header("x-name")), (200, Some("web1")));
    }
    let a = get(s.port, "/moved", &stuck);
    assert_eq!(a.header("set-cookie"), Some("SERVERID=web1; path=/"));
    s.syslog.wait_for(1, "- - --DI ", PATIENCE);

    let started = Instant::now();
    s.servers[1] = Some(nginx("web2", s.web[1]));
    let up = s.syslog.wait_for(1, "Server server_web/web2 is UP", limit);
    assert!(started.elapsed() > Duration::from_millis(2500), "up after {:?}", started.elapsed());
    assert!(up[0].starts_with("<149>"), "level notice: {}", up[0]);
    assert_eq!(get(s.port, "/after", &stuck).header("x-name"), Some("web2"));
    assert_eq!(s.syslog.with(" 503 ").len(), 2, "no client saw an error but those of unknown hosts");
}
