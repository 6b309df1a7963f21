//! Peers at work: real processes on loopback addresses replicate stick tables among themselves and with HAProxy.

#![allow(clippy::disallowed_methods)] // Real processes, real time.

#[path = "peers_live/node.rs"]
mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use node::{App, Kind, Node, Ports, eventually, get, newest_haproxy};

/// The configuration that the manual of every session-keeping setup has, one node's.
fn sticky(ports: &Ports, apps: &[App; 2], index: usize, socket: &str) -> String {
    let (peers, http) = (ports.peers, ports.http);
    format!(
        "global
    stats socket {socket} level admin
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
peers mypeers
    log stderr format raw local0
    peer node1 127.0.0.1:{peers}
    peer node2 127.0.0.2:{peers}
    peer node3 127.0.0.3:{peers}
frontend in
    bind 127.0.0.{index}:{http}
    default_backend dynamic_group
backend dynamic_group
    mode http
    stick-table type string len 32 size 5k expire 5m peers mypeers
    stick on req.cook(PHPSESSID)
    stick store-response res.cook(PHPSESSID)
    balance roundrobin
    option http-server-close
    option httpchk GET /index.php
    option redispatch
    http-check expect status 200
    server app1 127.0.0.1:{} check rise 1 maxconn 3000
    server app2 127.0.0.1:{} check rise 1 maxconn 3000
",
        apps[0].port, apps[1].port
    )
}

fn connects(addr: (Ipv4Addr, u16)) -> Result<(), String> {
    TcpStream::connect(addr).map(|_| ()).map_err(|e| e.to_string())
}

/// Key and server of each entry.
fn servers(node: &Node) -> BTreeMap<String, String> {
    let entries = node.table("dynamic_group");
    entries.iter().map(|e| (node::field(e, "key"), node::field(e, "server_id"))).collect()
}

fn same_everywhere(nodes: &[Node], count: usize, when: &str) {
    eventually(when, || {
        let all: Vec<_> = nodes.iter().map(servers).collect();
        let same = all
            .iter()
            .all(|t| t.len() == count && *t == all[0] && t.values().all(|id| id == "1" || id == "2"));
        same.then_some(()).ok_or_else(|| {
            format!("{all:#?}\n{}", nodes.iter().map(|n| n.command("show peers")).collect::<String>())
        })
    });
}

/// Three nodes, five clients each: all know all, every client may move, and a node that comes back learns.
fn three_nodes(kinds: [Kind; 3], restarts: &[usize]) {
    let (ports, apps) = (Ports::free(), [App::start("app1"), App::start("app2")]);
    let mut nodes: Vec<Node> = (1..=3)
        .map(|i| Node::start(kinds[i - 1].clone(), &format!("node{i}"), &[], |s| sticky(&ports, &apps, i, s)))
        .collect();
    let addr = |i: usize| (Ipv4Addr::new(127, 0, 0, i as u8 + 1), ports.http);
    let mut clients = Vec::new();
    for i in 0..3 {
        eventually("the node serves", || connects(addr(i)));
    }
    for i in 0..3 {
        for _ in 0..5 {
            let answer = get(addr(i), None).expect("served");
            clients.push((i, answer.cookie.expect("a new client gets a cookie"), answer.app));
        }
    }
    assert_eq!(clients.iter().map(|c| &c.2).collect::<BTreeSet<_>>().len(), 2, "both servers have clients");
    same_everywhere(&nodes, 15, "15 entries on all nodes");
    for (i, cookie, app) in &clients {
        for moved in [(i + 1) % 3, (i + 2) % 3] {
            let answer = get(addr(moved), Some(cookie)).expect("served");
            assert_eq!(&answer.app, app, "{cookie} moved from {i} to {moved}");
        }
    }
    for &i in restarts {
        nodes[i].restart();
        same_everywhere(&nodes, 15, "all entries after a restart");
        // And it goes on both ways.
        eventually("the node serves again", || get(addr(i), Some(&clients[0].1)).map(|_| ()));
    }
    let answer = get(addr(1), None).expect("served");
    clients.push((1, answer.cookie.expect("a new client gets a cookie"), answer.app));
    same_everywhere(&nodes, 16, "an entry made after the restarts");
}

#[test]
fn three_nodes_share_their_clients() {
    three_nodes([Kind::Haring, Kind::Haring, Kind::Haring], &[1]);
}

#[test]
fn haproxy_shares_clients_with_us() {
    three_nodes([Kind::Haring, Kind::HaProxy("haproxy".into()), Kind::Haring], &[1, 0]);
    if let Some(newest) = newest_haproxy() {
        three_nodes([Kind::Haring, Kind::HaProxy(newest), Kind::Haring], &[1, 0]);
    }
}

fn all_types(ports: &Ports, index: usize, socket: &str, arrays: bool) -> String {
    let peers = ports.peers;
    let store = match arrays {
        true => "gpt(3),gpc(4),gpc_rate(2,1h)",
        false => "gpt0,gpc0,gpc0_rate(1h),gpc1,gpc1_rate(1h)",
    };
    format!(
        "global
    stats socket {socket} level admin
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
peers mypeers
    peer node1 127.0.0.1:{peers}
    peer node2 127.0.0.2:{peers}
    table own type integer size 100 expire 1h store gpc0,conn_cur
frontend in
    bind 127.0.0.{index}:{}
backend ip
    stick-table type ip size 1k expire 1h peers mypeers store server_id,{store},conn_cnt,conn_rate(1h),sess_cnt,\
sess_rate(1h),http_req_cnt,http_req_rate(1h),http_err_cnt,http_err_rate(1h),bytes_in_cnt,bytes_in_rate(1h),\
bytes_out_cnt,bytes_out_rate(1h),http_fail_cnt,http_fail_rate(1h)
backend v6
    stick-table type ipv6 size 1k expire 1h peers mypeers store conn_cnt
backend bin
    stick-table type binary len 6 size 1k expire 1h peers mypeers store conn_cnt
backend str
    stick-table type string len 10 size 1k expire 1h peers mypeers store conn_cnt
",
        ports.http
    )
}

fn exchange_all_types(other: Kind, arrays: bool) {
    let ports = Ports::free();
    let mut nodes: Vec<Node> = [(1, Kind::Haring), (2, other)]
        .into_iter()
        .map(|(i, kind)| Node::start(kind, &format!("node{i}"), &[], |s| all_types(&ports, i, s, arrays)))
        .collect();
    let scalars = [
        ("server_id", 3),
        ("conn_cnt", 4_000_000_000u64),
        ("sess_cnt", 5),
        ("http_req_cnt", 6),
        ("http_err_cnt", 7),
        ("bytes_in_cnt", 123_456_789_012),
        ("bytes_out_cnt", 8),
        ("http_fail_cnt", 9),
        ("conn_rate", 100),
        ("sess_rate", 101),
        ("http_req_rate", 102),
        ("http_err_rate", 103),
        ("bytes_in_rate", 104),
        ("bytes_out_rate", 105),
        ("http_fail_rate", 106),
    ];
    let own: &[(&str, u64)] = match arrays {
        true => {
            &[("gpt0", 1), ("gpt2", 11), ("gpc0", 2), ("gpc3", 12), ("gpc0_rate", 107), ("gpc1_rate", 108)]
        }
        false => &[("gpt0", 1), ("gpc0", 2), ("gpc1", 12), ("gpc0_rate", 107), ("gpc1_rate", 108)],
    };
    // HAProxy's command sets no elements of arrays.
    let kinds: Vec<Kind> = nodes.iter().map(|n| n.kind.clone()).collect();
    let all = |i: usize| -> Vec<(&str, u64)> {
        let own = if arrays && !matches!(kinds[i], Kind::Haring) { &[] } else { own };
        scalars.iter().chain(own).copied().collect()
    };
    for (i, node) in nodes.iter().enumerate() {
        let data: String = all(i).iter().map(|(name, n)| format!(" data.{name} {n}")).collect();
        for (table, key) in
            [("ip", format!("10.0.0.{i}")), ("v6", format!("2001:db8::{i}")), ("str", format!("s{i}"))]
        {
            let data = if table == "ip" { data.as_str() } else { " data.conn_cnt 9" };
            let said = node.command(&format!("set table {table} key {key}{data}"));
            assert_eq!(said.trim(), "", "{table}");
        }
        let said = node.command(&format!("set table mypeers/own key 4{i} data.gpc0 77 data.conn_cur 5"));
        assert_eq!(said.trim(), "");
    }
    let check = |nodes: &[Node], when: &str| {
        for (i, node) in nodes.iter().enumerate() {
            eventually(when, || {
                for by in 0..2 {
                    let key = format!("10.0.0.{by}");
                    let entry = node.entry("ip", &key).ok_or(format!("{i}: no {key}"))?;
                    for (name, wanted) in &all(by) {
                        let got: u64 = node::value(&entry, name).ok_or(format!("{i}: no {name}: {entry}"))?;
                        // Rates slide from the moment they were set.
                        let low = if name.ends_with("rate") { wanted * 95 / 100 } else { *wanted };
                        if !(low..=*wanted).contains(&got) {
                            return Err(format!("{i}: {key}: {name} is {got}, not {wanted}: {entry}"));
                        }
                    }
                }
                for (table, key) in [("v6", "2001:db8::"), ("str", "s")] {
                    for n in 0..2 {
                        let key = if n == 0 && table == "v6" { key.to_owned() } else { format!("{key}{n}") };
                        let entry = node.entry(table, &key).ok_or(format!("{i}: no {table} {key}"))?;
                        node::value(&entry, "conn_cnt").filter(|n| *n == 9).ok_or(entry)?;
                    }
                }
                for n in 0..2 {
                    let entry =
                        node.entry("mypeers/own", &format!("4{n}")).ok_or(format!("{i}: no own 4{n}"))?;
                    node::value(&entry, "gpc0").filter(|n| *n == 77).ok_or(entry.clone())?;
                    // What a node counts itself stays its own.
                    let current = if n == i { 5 } else { 0 };
                    let ours = matches!(node.kind, Kind::Haring);
                    if ours && node::value(&entry, "conn_cur") != Some(current) && when == "first" {
                        return Err(entry);
                    }
                }
                Ok(())
            });
        }
    };
    check(&nodes, "first");
    for i in [1, 0] {
        nodes[i].restart();
        check(&nodes, "after a restart");
    }
}

#[test]
fn every_type_travels() {
    for arrays in [true, false] {
        exchange_all_types(Kind::Haring, arrays);
    }
}

#[test]
fn every_type_travels_to_haproxy_and_back() {
    for arrays in [true, false] {
        exchange_all_types(Kind::HaProxy("haproxy".into()), arrays);
        if let Some(newest) = newest_haproxy() {
            exchange_all_types(Kind::HaProxy(newest), arrays);
        }
    }
}

/// A new process takes over from an old one that is told to finish: the old one teaches it.
fn reload(before: Kind, after: Kind) {
    let (ports, apps) = (Ports::free(), [App::start("app1"), App::start("app2")]);
    let mut old = Node::start(before, "node1", &[], |s| sticky(&ports, &apps, 1, s));
    let addr = (Ipv4Addr::LOCALHOST, ports.http);
    eventually("the node serves", || connects(addr));
    for _ in 0..5 {
        get(addr, None).expect("served");
    }
    let taught = servers(&old);
    assert_eq!(taught.len(), 5);
    let taught_after = |old: &Node| match old.kind {
        // It gives only what it believes to be complete: it waits some seconds for others to ask after a start.
        Kind::HaProxy(_) => std::thread::park_timeout(Duration::from_secs(11)),
        Kind::Haring => {}
    };
    taught_after(&old);
    let pid = old.pid().to_string();
    let new = Node::start(after, "node1", &["-sf", &pid], |s| sticky(&ports, &apps, 1, s));
    eventually("the new process knows what the old one knew", || {
        let now = servers(&new);
        (now == taught).then_some(()).ok_or(format!("{now:?}"))
    });
    eventually("the old process ends", || old.has_ended().then_some(()).ok_or_else(|| "it runs".to_owned()));
}

#[test]
fn a_reload_keeps_the_table() {
    reload(Kind::Haring, Kind::Haring);
}

#[test]
fn haproxy_hands_its_table_over_and_takes_ours() {
    reload(Kind::HaProxy("haproxy".into()), Kind::Haring);
    reload(Kind::Haring, Kind::HaProxy("haproxy".into()));
}

fn two_tables(ports: &Ports, index: usize, socket: &str) -> String {
    let (peers, http) = (ports.peers, ports.http);
    let receives = if index == 2 { "recv-only write-to mypeers/sum" } else { "" };
    format!(
        "global
    stats socket {socket} level admin
defaults
    mode http
    timeout client 5s
peers mypeers
    bind 127.0.0.{index}:{peers}
    shards 2
    server node1 {}
    server node2 {} shard {}
    server node3 {} shard 2
    table t type string size 1000 {receives} store server_id,gpc0,conn_cur,gpt0
    table sum type string size 1000 store server_id,gpc0,conn_cur,gpt0
frontend in
    bind 127.0.0.{index}:{http}
",
        if index == 1 { String::new() } else { format!("127.0.0.1:{peers}") },
        if index == 2 { String::new() } else { format!("127.0.0.2:{peers}") },
        if ports.shards { 1 } else { 0 },
        if index == 3 { String::new() } else { format!("127.0.0.3:{peers}") },
    )
}

fn connected(node: &Node, to: &str) {
    eventually("the nodes connect", || {
        let state = node.command("show peers");
        state.contains(&format!("id={to}(remote,active)")).then_some(()).ok_or(state)
    });
}

fn keys(node: &Node, table: &str) -> BTreeSet<String> {
    node.table(table).iter().map(|e| node::field(e, "key")).collect()
}

#[test]
fn a_table_that_only_receives_looks_at_others() {
    let ports = Ports::free();
    let nodes =
        [1, 2].map(|i| Node::start(Kind::Haring, &format!("node{i}"), &[], |s| two_tables(&ports, i, s)));
    connected(&nodes[0], "node2");
    let data = "data.server_id 3 data.gpc0 7 data.conn_cur 5 data.gpt0 9";
    assert_eq!(nodes[0].command(&format!("set table mypeers/t key a {data}")).trim(), "");
    eventually("everything is received, facts of the other node included", || {
        let entry = nodes[1].entry("mypeers/t", "a").ok_or("no entry")?;
        let all = ["server_id=3", "gpc0=7", "conn_cur=5", "gpt0=9"].iter().all(|w| entry.contains(w));
        all.then_some(()).ok_or(entry)
    });
    let sum = nodes[1].entry("mypeers/sum", "a").expect("written with the other");
    assert!(["server_id=3", "gpc0=0", "conn_cur=0", "gpt0=9"].iter().all(|w| sum.contains(w)), "{sum}");
    // What is changed there stays there.
    assert_eq!(nodes[1].command("set table mypeers/t key b data.gpc0 1").trim(), "");
    assert_eq!(nodes[1].command("set table mypeers/sum key c data.gpc0 1").trim(), "");
    eventually("the other table goes both ways", || {
        nodes[0].entry("mypeers/sum", "c").map(|_| ()).ok_or_else(|| nodes[0].command("show peers"))
    });
    assert_eq!(keys(&nodes[0], "mypeers/t"), BTreeSet::from(["a".to_owned()]));
    assert_eq!(keys(&nodes[0], "mypeers/sum"), BTreeSet::from(["c".to_owned()]));
}

#[test]
fn shards_deal_the_entries_out() {
    let ports = Ports { shards: true, ..Ports::free() };
    let nodes =
        [1, 2, 3].map(|i| Node::start(Kind::Haring, &format!("node{i}"), &[], |s| two_tables(&ports, i, s)));
    connected(&nodes[0], "node2");
    connected(&nodes[0], "node3");
    for i in 0..60 {
        assert_eq!(nodes[0].command(&format!("set table mypeers/sum key k{i} data.gpc0 1")).trim(), "");
    }
    eventually("every entry is at one of the two", || {
        let (two, three) = (keys(&nodes[1], "mypeers/sum"), keys(&nodes[2], "mypeers/sum"));
        let dealt =
            two.len() + three.len() == 60 && two.is_disjoint(&three) && two.len() > 10 && three.len() > 10;
        dealt.then_some(()).ok_or(format!("{two:?} {three:?}"))
    });
}

/// Stopping without a successor takes no time.
#[test]
fn a_stop_does_not_wait_for_nobody() {
    let (ports, apps) = (Ports::free(), [App::start("app1"), App::start("app2")]);
    let mut node = Node::start(Kind::Haring, "node1", &[], |s| sticky(&ports, &apps, 1, s));
    let other = Node::start(Kind::Haring, "node2", &[], |s| sticky(&ports, &apps, 2, s));
    connected(&other, "node1");
    let began = Instant::now();
    node.signal("-USR1");
    eventually("the node ends", || node.has_ended().then_some(()).ok_or_else(|| node.log()));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    eventually("the other one knows", || {
        let state = other.command("show peers");
        state.contains("id=node1(remote,inactive)").then_some(()).ok_or(state)
    });
    let log = other.log();
    let said = |line: &str| log.lines().any(|l| l == format!("peers mypeers: {line}"));
    assert!(said("session with node1 established"), "{log}");
    assert!(said("session with node1 is over: connection closed"), "{log}");
}

/// What a stranger or a broken peer says ends its connection with the status that the protocol has for it.
#[test]
fn strangers_are_told_why() {
    let (ports, apps) = (Ports::free(), [App::start("app1"), App::start("app2")]);
    let node = Node::start(Kind::Haring, "node1", &[], |s| sticky(&ports, &apps, 1, s));
    let addr = (Ipv4Addr::LOCALHOST, ports.peers);
    eventually("the node listens", || connects(addr));
    let talk = |said: &[u8]| {
        let mut s = TcpStream::connect(addr).expect("it listens");
        s.set_read_timeout(Some(Duration::from_secs(8))).expect("a socket option");
        s.write_all(said).expect("it reads");
        let mut answer = Vec::new();
        s.read_to_end(&mut answer).expect("it closes in time");
        answer
    };
    assert_eq!(talk(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"), b"501\n");
    assert_eq!(talk(&[0xff; 3000]), b"501\n");
    assert_eq!(talk(b"HAProxyS 3.0\nnode1\nnode2 1 1\n"), b"502\n");
    assert_eq!(talk(b"HAProxyS 2.1\nnode9\nnode2 1 1\n"), b"503\n");
    assert_eq!(talk(b"HAProxyS 2.1\nnode1\nnode9 1 1\n"), b"504\n");
    let hello: &[u8] = b"HAProxyS 2.1\nnode1\nnode2 1 1\n";
    // The error message is the last thing said.
    let ends = |said: &[u8], with: &[u8]| {
        let answer = talk(&[hello, said].concat());
        assert!(answer.starts_with(b"200\n") && answer.ends_with(with), "{said:?}: {answer:?}");
    };
    ends(&[2, 0], &[1, 0]);
    ends(&[10, 127], &[1, 0]);
    ends(&[10, 128, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], &[1, 1]);
    ends(&[10, 128, 4, 0, 0, 0, 1], &[1, 0]);
    ends(&[10, 130, 3, 1, 0xff, 0xff], &[1, 0]);
    let mut seed = 0x9e37_79b9u32;
    for _ in 0..200 {
        let mut junk = Vec::new();
        for _ in 0..64 {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            junk.push(seed as u8);
        }
        junk.truncate(seed as usize % 64 + 1);
        let mut s = TcpStream::connect(addr).expect("it listens");
        let _ = s.write_all(if seed & 1 == 0 { hello } else { b"" });
        let _ = s.write_all(&junk);
    }
    // Somebody who connects and says nothing, or half of it, is not waited for.
    let before = Instant::now();
    assert_eq!(talk(b""), b"");
    assert_eq!(talk(b"HAProxyS 2.1\nnode1\n"), b"");
    assert!(before.elapsed() > Duration::from_secs(5), "it closes after its patience, not at once");
    eventually("no connection is left", || {
        let left = node.open_sockets(ports.peers);
        (left == 1).then_some(()).ok_or(format!("{left} sockets at the peers port"))
    });
    assert!(node.command("show peers").contains("id=node2(remote,inactive)"));
    let errors = node.log();
    assert!(!errors.contains("panicked"), "{errors}");
}

/// Who says nothing, or nonsense, neither keeps a peer out nor holds many sockets.
#[test]
fn strangers_keep_nobody_out() {
    let (ports, apps) = (Ports::free(), [App::start("app1"), App::start("app2")]);
    let node = Node::start(Kind::Haring, "node1", &[], |s| sticky(&ports, &apps, 1, s));
    let addr = (Ipv4Addr::LOCALHOST, ports.peers);
    eventually("the node listens", || connects(addr));
    let many = |said: &[u8]| -> Vec<TcpStream> {
        let one = |_| {
            let mut s = TcpStream::connect(addr).expect("it listens");
            s.write_all(said).expect("it reads");
            s
        };
        (0..300).map(one).collect()
    };
    let mute = many(b"");
    let mut peer = TcpStream::connect(addr).expect("it listens");
    peer.write_all(b"HAProxyS 2.1\nnode1\nnode2 1 1\n").expect("it reads");
    let mut status = [0; 4];
    peer.read_exact(&mut status).expect("a peer is heard among strangers");
    assert_eq!(&status, b"200\n");
    let wrong = many(b"HAProxyS 3.0\n");
    let held = node.open_sockets(ports.peers);
    assert!(held < 250, "{held} sockets for {} mute and {} wrong strangers", mute.len(), wrong.len());
}

/// A node that only holds tables for the others needs no proxy.
#[test]
fn a_node_without_proxies_is_one() {
    let port = Ports::free().peers;
    let file = std::env::temp_dir().join(format!("haring-live-{}-peers-only.cfg", std::process::id()));
    let check = |more: &str| {
        let text = format!("peers p\n    peer n 127.0.0.1:{port}\n{more}");
        std::fs::write(&file, text).expect("a writable temporary directory");
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_haring"));
        let status = { run }.args(["-c", "-q", "-L", "n", "-f"]).arg(&file).status();
        status.expect("it runs").code()
    };
    assert_eq!(check("    table t type ip size 10\n"), Some(0));
    assert_eq!(check("    table t type ip size 10\n    disabled\n"), Some(2));
    assert_eq!(check(""), Some(2), "a section without tables does not listen");
    let _ = std::fs::remove_file(&file);
}
