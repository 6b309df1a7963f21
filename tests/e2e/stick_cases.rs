//! Stick rules beside HAProxy's: the same configuration and the same requests give the same servers and entries.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use crate::support::*;

struct Case {
    name: &'static str,
    /// Sections; `{s1}` and `{s2}` stand for the servers' addresses, `{dead}` for one where nobody listens.
    config: &'static str,
    /// `GET <path> [<header>|<header>...]`, `CLI <command>`, `TABLE <name>`.
    steps: &'static [&'static str],
    /// Who answers the requests.
    servers: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "a string key keeps its first len bytes",
        config: "listen l
            bind {fe}
            stick-table type string len 8 size 100
            stick on req.cook(A)
            server s1 {s1}
            server s2 {s2}",
        steps: &[
            "GET / Cookie: A=1234567",
            "GET / Cookie: A=12345678",
            "GET / Cookie: A=123456789",
            "GET / Cookie: A=12345678abcdef",
            "TABLE l",
        ],
        servers: "s1 s2 s2 s2",
    },
    Case {
        name: "one key from the request and one from the response for each table",
        config: "listen l
            bind {fe}
            stick-table type string len 20 size 100
            stick on req.hdr(x-a)
            stick on req.hdr(x-b)
            stick store-request req.hdr(x-c)
            stick store-response res.hdr(x-res)
            stick store-response res.cook(C)
            server s1 {s1}
            server s2 {s2}",
        steps: &[
            "GET / X-A: a1|X-B: b1|X-C: c1|X-Back: X-Res: r1|X-Back: Set-Cookie: C=k1",
            "TABLE l",
            "GET / X-B: b2|X-C: c2|X-Back: Set-Cookie: C=k2",
            "TABLE l",
            "GET / X-A: a9|X-B: b2",
            "GET / X-A: a9|X-B: b2",
            "TABLE l",
        ],
        servers: "s1 s2 s1 s1",
    },
    Case {
        name: "the first match wins",
        config: "backend t
            stick-table type string len 20 size 100 expire 1h
        listen l
            bind {fe}
            stick match req.hdr(x-a) table t
            stick match req.hdr(x-b) table t
            stick store-request req.hdr(x-c) table t
            server s1 {s1}
            server s2 {s2}",
        steps: &[
            "GET / X-C: k1",
            "GET / X-C: k2",
            "GET / X-A: k1|X-B: k2",
            "GET / X-A: k2|X-B: k1",
            "GET / X-A: none|X-B: k1",
            "CLI disable server l/s1",
            "GET / X-A: k1|X-B: k2",
            "GET / X-A: k1",
            "TABLE t",
            "CLI enable server l/s1",
            "CLI set server l/s1 state drain",
            "GET / X-A: k1",
            "CLI set server l/s1 state ready",
            "CLI set server l/s1 weight 0",
            "GET / X-A: k1",
        ],
        servers: "s1 s2 s1 s2 s1 s2 s2 s1 s1",
    },
    Case {
        name: "force-persist counts, ignore-persist does not",
        config: "listen l
            bind {fe}
            force-persist if { path /f }
            ignore-persist if { path /i }
            stick-table type string len 20 size 100
            stick on req.hdr(x-a)
            server s1 {s1}
            server s2 {s2}",
        steps: &[
            "GET / X-A: k1",
            "GET / X-A: k2",
            "GET /i X-A: k1",
            "GET /i X-A: k1",
            "CLI disable server l/s1",
            "GET /f X-A: k1",
            "GET / X-A: k1",
            "CLI enable server l/s1",
            "GET / X-A: k1",
            "TABLE l",
        ],
        servers: "s1 s2 s1 s1 s1 s2 s2",
    },
    Case {
        name: "option persist",
        config: "listen l
            bind {fe}
            option persist
            stick-table type string len 20 size 100
            stick on req.hdr(x-a)
            server s1 {s1}
            server s2 {s2}",
        steps: &["GET / X-A: k1", "GET /", "CLI disable server l/s1", "GET / X-A: k1", "TABLE l"],
        servers: "s1 s2 s1",
    },
    Case {
        name: "non-stick servers, cookies and use-server",
        config: "listen l
            bind {fe}
            stick-table type string len 20 size 100
            stick on req.hdr(x-a)
            cookie SRV insert
            use-server s2 if { path /u }
            server s1 {s1} cookie x non-stick
            server s2 {s2} cookie y",
        steps: &[
            "GET / X-A: k0",
            "GET / X-A: k1",
            "TABLE l",
            "GET / X-A: k1|Cookie: SRV=x",
            "TABLE l",
            "GET /u X-A: k7",
            "TABLE l",
        ],
        servers: "s1 s2 s1 s2",
    },
    Case {
        name: "the server that answered instead is learnt",
        config: "listen l
            bind {fe}
            retries 1
            option redispatch 1
            stick-table type string len 20 size 100
            stick on req.hdr(x-a)
            server d {dead}
            server s1 {s1}",
        steps: &["GET / X-A: k0", "GET / X-A: k1", "GET / X-A: k0", "TABLE l"],
        servers: "s1 s1 s1",
    },
    Case {
        name: "nobody answers, nothing is learnt",
        config: "listen l
            bind {fe}
            retries 0
            stick-table type string len 20 size 100
            stick on req.hdr(x-a)
            server d {dead}",
        steps: &["GET / X-A: k0", "TABLE l"],
        servers: "503",
    },
    Case {
        name: "who came to a backup server stays",
        config: "listen l
            bind {fe}
            stick-table type string len 20 size 100
            stick on req.hdr(x-a)
            server s1 {s1}
            server s2 {s2} backup",
        steps: &[
            "CLI disable server l/s1",
            "GET / X-A: k1",
            "CLI enable server l/s1",
            "GET / X-A: k1",
            "GET / X-A: k2",
            "TABLE l",
        ],
        servers: "s2 s2 s1",
    },
    Case {
        name: "addresses as keys",
        config: "listen l
            bind {fe}
            stick-table type ip size 100 store gpc0
            stick on req.hdr(x-a)
            server s1 {s1}
            server s2 {s2}",
        steps: &[
            "GET / X-A: 1.2.3.4",
            "GET / X-A: ::ffff:1.2.3.5",
            "GET / X-A: 2001::1",
            "GET / X-A: nonsense",
            "GET / X-A: 1.2.3.4",
            "TABLE l",
        ],
        servers: "s1 s2 s1 s2 s1",
    },
    Case {
        name: "eight stores at most",
        config: "backend t1
            stick-table type string size 100
        backend t2
            stick-table type string size 100
        backend t3
            stick-table type string size 100
        backend t4
            stick-table type string size 100
        backend t5
            stick-table type string size 100
        listen l
            bind {fe}
            stick store-request req.hdr(x-a) table t1
            stick store-request req.hdr(x-a) table t2
            stick store-request req.hdr(x-a) table t3
            stick store-request req.hdr(x-a) table t4
            stick store-request req.hdr(x-a) table t5
            stick store-response res.hdr(x-res) table t1
            stick store-response res.hdr(x-res) table t2
            stick store-response res.hdr(x-res) table t3
            stick store-response res.hdr(x-res) table t4
            stick store-response res.hdr(x-res) table t5
            server s1 {s1}",
        steps: &["GET / X-A: k|X-Back: X-Res: r", "TABLE t1", "TABLE t2", "TABLE t3", "TABLE t4", "TABLE t5"],
        servers: "s1",
    },
    Case {
        name: "another backend knows the server by its name",
        config: "frontend f
            bind {fe}
            use_backend b2 if { path /2 }
            default_backend b1
        backend b1
            stick-table type string size 100
            stick on req.hdr(x-a)
            server s1 {s1}
            server s2 {s2}
        backend b2
            stick on req.hdr(x-a) table b1
            server s2 {s2}
            server s1 {s1}",
        steps: &["GET / X-A: k0", "GET / X-A: k1", "GET /2 X-A: k0", "GET /2 X-A: k1", "TABLE b1"],
        servers: "s1 s2 s1 s2",
    },
    Case {
        name: "srvkey addr",
        config: "frontend f
            bind {fe}
            use_backend b2 if { path /2 }
            default_backend b1
        backend b1
            stick-table type string size 100 srvkey addr
            stick on req.hdr(x-a)
            server s1 {s1}
            server s2 {s2}
        backend b2
            stick on req.hdr(x-a) table b1
            server x2 {s2} id 20
            server x1 {s1} id 10",
        steps: &[
            "GET / X-A: k0",
            "GET / X-A: k1",
            "TABLE b1",
            "GET /2 X-A: k0",
            "GET /2 X-A: k1",
            "TABLE b1",
            // Nobody in b2 is there any more: the number counts, and the entry follows.
            "CLI set server b2/x2 addr 127.0.0.2",
            "GET /2 X-A: k0",
            "GET /2 X-A: k1",
            "TABLE b1",
        ],
        servers: "s1 s2 s1 s2 s1 s2",
    },
    Case {
        name: "a server's number set by hand",
        config: "listen l
            bind {fe}
            stick-table type string size 100 store server_id
            stick match req.hdr(x-a)
            server s1 {s1}
            server s2 {s2}",
        steps: &[
            "CLI set table l key k9 data.server_id 2",
            "GET / X-A: k9",
            "GET / X-A: k9",
            "CLI set table l key k9 data.server_id 7",
            "GET / X-A: k9",
            "GET / X-A: k9",
            "TABLE l",
        ],
        servers: "s2 s2 s1 s2",
    },
];

/// A server on all of 127/8 that says its name, and sends the headers that the request asks for.
fn server(name: &'static str) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").expect("loopback has ports");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, name));
        }
    });
    port
}

fn serve(mut stream: TcpStream, name: &str) {
    let mut head = Vec::new();
    let mut buf = [0; 4096];
    while find(&head, b"\r\n\r\n").is_none() {
        match stream.read(&mut buf) {
            Ok(n) if n > 0 => head.extend_from_slice(&buf[..n]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&head);
    let back: String = text
        .lines()
        .filter_map(|l| l.split_once(": "))
        .filter(|(n, _)| n.eq_ignore_ascii_case("x-back"))
        .map(|(_, v)| format!("{v}\r\n"))
        .collect();
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nX-Name: {name}\r\n{back}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
}

struct Run {
    port: u16,
    socket: PathBuf,
    /// What stands for what, to compare runs on different ports.
    names: Vec<(String, &'static str)>,
    _dir: Dir,
    _process: Process,
}

impl Run {
    fn start(case: &Case, program: fn(&str, &[u16]) -> Process) -> Run {
        let (port, dead) = (free_port(), free_port());
        let (s1, s2) = (server("s1"), server("s2"));
        let dir = Dir::new();
        let socket = dir.0.join("admin.sock");
        let names = vec![(format!(":{s1}"), ":S1"), (format!(":{s2}"), ":S2")];
        let sections = case
            .config
            .replace("{fe}", &format!("127.0.0.1:{port}"))
            .replace("{s1}", &format!("127.0.0.1:{s1}"))
            .replace("{s2}", &format!("127.0.0.1:{s2}"))
            .replace("{dead}", &format!("127.0.0.1:{dead}"));
        let config = format!(
            "global
            nbthread 1
            stats socket {} level admin
        defaults
            mode http
            timeout connect 5s
            timeout client 20s
            timeout server 20s
        {sections}\n",
            socket.display()
        );
        let process = program(&config, &[port]);
        Run { port, socket, names, _dir: dir, _process: process }
    }

    fn step(&self, step: &str) -> (bool, String) {
        let (what, rest) = step.split_once(' ').expect("a step has two words");
        match what {
            "GET" => {
                let (path, headers) = rest.split_once(' ').unwrap_or((rest, ""));
                let lines = headers.split('|').filter(|h| !h.is_empty());
                let headers: String = lines.map(|h| format!("{h}\r\n")).collect();
                let a = get(self.port, path, &format!("Host: h\r\n{headers}"));
                (true, a.header("x-name").map_or(a.status.to_string(), str::to_owned))
            }
            "CLI" => {
                ask(&self.socket, rest);
                (false, String::new())
            }
            _ => (false, self.table(rest)),
        }
    }

    /// The entries of a table in the order of their keys, without addresses and times.
    fn table(&self, name: &str) -> String {
        let text = ask(&self.socket, &format!("show table {name}"));
        let shown = |l: &str| {
            let words = l
                .split(' ')
                .filter(|w| !w.starts_with("0x") && !w.starts_with("exp=") && !w.starts_with("shard="));
            words.collect::<Vec<_>>().join(" ")
        };
        let mut lines: Vec<String> = text.lines().filter(|l| !l.is_empty()).map(shown).collect();
        assert!(lines[0].starts_with("# table: "), "{text}");
        lines[1..].sort();
        let mut out = lines.join("\n");
        for (from, to) in &self.names {
            out = out.replace(from, to);
        }
        out
    }
}

#[test]
fn stick_rules_do_what_the_reference_does() {
    for case in CASES {
        let runs =
            [Run::start(case, haproxy), Run::start(case, |config, ports| haring_with(config, ports, &[]))];
        let mut servers = Vec::new();
        for step in case.steps {
            let [(is_request, expected), (_, got)] = [runs[0].step(step), runs[1].step(step)];
            assert_eq!(got, expected, "{}: {step}", case.name);
            if is_request {
                servers.push(got);
            }
        }
        assert_eq!(servers.join(" "), case.servers, "{}", case.name);
    }
}
