//! Tests of the choice as a whole.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::*;
use crate::base::time::Mono;
use crate::proxy::live::{AdminFlags, ServerStatus};
use crate::proxy::testing::backend;
use crate::proxy::{Live, Snapshot};

/// A request of which everything is known.
#[derive(Default)]
struct Asked<'a> {
    source: Option<IpAddr>,
    uri: Option<&'a [u8]>,
    header: Option<&'a [u8]>,
}

impl KeySource for Asked<'_> {
    fn source(&self) -> Option<IpAddr> {
        self.source
    }
    fn uri(&self) -> Option<&[u8]> {
        self.uri
    }
    fn header(&self, _name: &[u8]) -> Option<&[u8]> {
        self.header
    }
    fn body(&self) -> Option<&[u8]> {
        None
    }
}

struct Farm {
    snapshot: Snapshot,
    live: Live,
    balancer: Balancer,
}

impl Farm {
    /// `options` of the backend, and one server for each entry of `servers` (its options).
    fn new(options: &[&str], servers: &[&str]) -> Farm {
        let mut lines: Vec<String> = options.iter().map(|o| o.to_string()).collect();
        let server = |(i, o): (usize, &&str)| format!("server s{i} 127.0.0.1:80 {o}");
        lines.extend(servers.iter().enumerate().map(server));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (snapshot, live) = backend(&lines);
        Farm { snapshot, live, balancer: Balancer::new() }
    }

    fn px(&self) -> &Proxy {
        self.snapshot.backend("b").expect("declared")
    }

    fn pick(&mut self, req: &Request) -> Pick {
        let px = self.snapshot.backend("b").expect("declared");
        self.balancer.pick(px, &self.live, req)
    }

    /// The servers of `n` requests, as digits; `-` for none, `F` for full.
    fn run(&mut self, n: usize) -> String {
        (0..n).map(|_| show(self.pick(&Request::default()))).collect()
    }

    fn set(&mut self, index: usize, status: ServerStatus) {
        let px = self.snapshot.backend("b").expect("declared");
        self.live.set_status(px, index, status, Mono(1));
    }

    /// Put `n` sessions on a server.
    fn load(&self, index: usize, n: u32) {
        let id = self.px().backend().servers[index].id;
        (0..n).for_each(|_| {
            self.live.server(id).sessions.inc();
        });
    }
}

fn show(p: Pick) -> char {
    match p {
        Pick::Server(i) => char::from_digit(i as u32, 10).expect("few servers"),
        Pick::Full => 'F',
        Pick::None => '-',
    }
}

#[test]
fn same_servers_as_haproxy() {
    let mut weights: HashMap<&str, Vec<String>> = HashMap::new();
    let mut inputs: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut cases = 0;
    for line in include_str!("recorded.txt").lines().filter(|l| !l.starts_with('#')) {
        let (what, rest) = line.split_once(' ').expect("each line has a kind");
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match what {
            "weights" => {
                weights.insert(name, rest.split(' ').map(|w| format!("weight {w}")).collect());
            }
            "input" => inputs.entry(name).or_default().push(rest),
            _ => {
                cases += 1;
                recorded_case(name, rest, &weights, &inputs);
            }
        }
    }
    assert!(cases > 250);
}

fn recorded_case(
    name: &str,
    expected: &str,
    weights: &HashMap<&str, Vec<String>>,
    inputs: &HashMap<&str, Vec<&str>>,
) {
    let (left, set) = name.rsplit_once('_').expect("names end in a set of weights");
    let servers: Vec<&str> = weights[set].iter().map(String::as_str).collect();
    let parts: Vec<&str> = left.split('_').collect();
    let hash_type = |p: &[&str]| format!("hash-type {} {} {}", p[1], p[2], p[3]);
    let (kind, options) = match parts[0] {
        "src" => ("src", vec!["balance source".to_owned(), hash_type(&parts)]),
        "srcd" => ("src", vec!["balance source".to_owned()]),
        "srcc" => ("src", vec!["balance source".to_owned(), "hash-type consistent".to_owned()]),
        "uri" => ("uri", vec!["balance uri".to_owned(), hash_type(&parts)]),
        "urix" => ("uri", vec![format!("balance uri {}", parts[1..].join(" "))]),
        "param" => ("param", vec!["balance url_param id".to_owned()]),
        _ => ("hdr", vec!["balance hdr(x-k)".to_owned()]),
    };
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut farm = Farm::new(&options, &servers);
    let input = match kind {
        "param" | "hdr" => &inputs["ids"],
        k => &inputs[k],
    };
    for (text, want) in input.iter().zip(expected.chars()) {
        if text.is_empty() {
            continue;
        }
        let uri = format!("/x?id={text}&b=2");
        let asked = match kind {
            "src" => Asked { source: text.parse().ok(), ..Asked::default() },
            "uri" => Asked { uri: Some(text.as_bytes()), ..Asked::default() },
            "param" => Asked { uri: Some(uri.as_bytes()), ..Asked::default() },
            _ => Asked { header: Some(text.as_bytes()), ..Asked::default() },
        };
        let key = key(farm.px(), &asked);
        assert!(key.is_some(), "{name} {text}");
        assert_eq!(show(farm.pick(&Request { key, ..Request::default() })), want, "{name} {text}");
    }
}

#[test]
fn round_robin_over_threads_is_one_sequence() {
    let mut a = Farm::new(&["balance roundrobin"], &["weight 1", "weight 2", "weight 3"]);
    let mut other = Balancer::new();
    let mut order = String::new();
    for n in 0..12 {
        let px = a.snapshot.backend("b").expect("declared");
        let b = if n % 3 == 0 { &mut other } else { &mut a.balancer };
        order.push(show(b.pick(px, &a.live, &Request::default())));
    }
    assert_eq!(order, "212021212021");
}

#[test]
fn servers_that_are_down_are_left_out_at_once() {
    let mut f = Farm::new(&[], &["", "", ""]);
    assert_eq!(f.run(3), "012");
    f.set(1, ServerStatus::Stopped);
    let order = f.run(6);
    assert!(!order.contains('1'), "{order}");
    f.set(0, ServerStatus::Stopping);
    assert_eq!(f.run(2), "22");
    f.set(2, ServerStatus::Stopped);
    assert_eq!(f.run(2), "--");
    f.set(1, ServerStatus::Running);
    assert_eq!(f.run(2), "11");
}

#[test]
fn backups_stand_in() {
    let mut f = Farm::new(&[], &["", "backup", "backup"]);
    assert_eq!(f.run(3), "000");
    f.set(0, ServerStatus::Stopped);
    assert_eq!(f.run(3), "111");
    let mut f = Farm::new(&["option allbackups"], &["", "backup", "backup"]);
    f.set(0, ServerStatus::Stopped);
    let order = f.run(4);
    assert!(order == "1212" || order == "2121", "{order}");
}

#[test]
fn disabled_and_drained_servers_get_nothing() {
    let mut f = Farm::new(&[], &["disabled", "", "weight 0"]);
    assert_eq!(f.run(3), "111");
    let px = f.snapshot.backend("b").expect("declared");
    f.live.set_admin(px, 1, AdminFlags::FORCED_DRAIN, Mono(1));
    assert_eq!(f.run(1), "-");
    let px = f.snapshot.backend("b").expect("declared");
    assert!(f.live.server(px.backend().servers[1].id).is_up(), "draining servers keep their sessions");
    f.live.set_admin(px, 0, AdminFlags(0), Mono(1));
    f.live.set_status(px, 0, ServerStatus::Running, Mono(1));
    assert_eq!(f.run(2), "00");
}

#[test]
fn full_servers_are_skipped() {
    for algorithm in ["roundrobin", "static-rr", "leastconn", "first", "random(3)"] {
        let mut f = Farm::new(&[&format!("balance {algorithm}")], &["maxconn 2", "maxconn 1"]);
        f.load(0, 2);
        let picks: String = (0..8)
            .map(|n| show(f.pick(&Request { random: n * 0x1234_5678_9abc_def1, ..Request::default() })))
            .collect();
        assert!(picks.contains('1') && !picks.contains('0'), "{algorithm}: {picks}");
        f.load(1, 1);
        if algorithm == "leastconn" {
            // Its queue has no limit, but the manual's order asks for the backend's queue first.
            continue;
        }
        assert_eq!(f.run(2), "FF", "{algorithm}");
    }
}

#[test]
fn least_connections_for_the_weight() {
    let mut f = Farm::new(&["balance leastconn"], &["weight 1", "weight 3", "weight 1"]);
    let mut seen = [0u32; 3];
    for _ in 0..50 {
        let Pick::Server(i) = f.pick(&Request::default()) else { panic!("servers are up") };
        f.load(i, 1);
        seen[i] += 1;
    }
    assert!(seen[1].abs_diff(30) <= 2 && seen[0].abs_diff(10) <= 1, "{seen:?}");
    let mut idle = Farm::new(&["balance leastconn"], &["weight 1", "weight 2"]);
    assert_eq!(idle.run(6), "010101", "HAProxy 2.6 takes idle servers in turns");
}

#[test]
fn first_by_number() {
    let mut f = Farm::new(&["balance first"], &["id 9 maxconn 1", "id 3 maxconn 1"]);
    assert_eq!(f.run(1), "1");
    f.load(1, 1);
    assert_eq!(f.run(1), "0");
}

#[test]
fn redispatch_goes_elsewhere() {
    let avoid = |n| Request { avoid: Some(n), key: Some(5), ..Request::default() };
    for options in [
        &["balance roundrobin"][..],
        &["balance static-rr"],
        &["balance leastconn"],
        &["balance first"],
        &["balance random"],
        &["balance source"],
        &["balance source", "hash-type consistent"],
        &["balance sticky"],
    ] {
        let mut f = Farm::new(options, &["", "", ""]);
        for n in 0..3 {
            for _ in 0..4 {
                assert_ne!(f.pick(&avoid(n)), Pick::Server(n), "{options:?}");
            }
        }
        let mut alone = Farm::new(options, &[""]);
        assert_eq!(alone.pick(&avoid(0)), Pick::Server(0), "{options:?}: there is no other");
    }
}

#[test]
fn bounded_load_spills_over() {
    let mut f =
        Farm::new(&["balance source", "hash-type consistent", "hash-balance-factor 150"], &["", "", "", ""]);
    let key = Request { key: Some(1234), ..Request::default() };
    let Pick::Server(owner) = f.pick(&key) else { panic!("servers are up") };
    let mut seen = [0u32; 4];
    for _ in 0..40 {
        let Pick::Server(i) = f.pick(&key) else { panic!("servers are up") };
        f.load(i, 1);
        seen[i] += 1;
    }
    assert!(seen[owner] > 10 && seen[owner] <= 16, "{seen:?}: at most 1.5 times the mean of 10");
    assert!(seen.iter().filter(|n| **n > 0).count() >= 3, "{seen:?}");
}

#[test]
fn weights_change_at_run_time() {
    let mut f = Farm::new(&["balance roundrobin"], &["", ""]);
    let px = f.snapshot.backend("b").expect("declared");
    f.live.set_weight(px, 1, 3, 100, Mono(1));
    let order = f.run(40);
    assert_eq!(order.matches('1').count(), 30);
    let px = f.snapshot.backend("b").expect("declared");
    f.live.set_weight(px, 1, 3, 33, Mono(1));
    let order = f.run(2 * 32);
    assert_eq!(order.matches('1').count(), 32, "a slow start at a third has the weight of 16 sixteenths");
    let mut s = Farm::new(&["balance static-rr"], &["", ""]);
    let px = s.snapshot.backend("b").expect("declared");
    s.live.set_weight(px, 1, 3, 100, Mono(1));
    assert_eq!(s.run(40).matches('1').count(), 20, "static weights stay");
}

#[test]
fn prefer_last_server() {
    let last = Request { last: Some(1), ..Request::default() };
    let mut f = Farm::new(&["option prefer-last-server"], &["", "maxconn 1"]);
    assert_eq!(f.pick(&last), Pick::Server(1));
    f.load(1, 1);
    assert_eq!(f.pick(&last), Pick::Server(1), "it waits there");
    f.set(1, ServerStatus::Stopped);
    assert_eq!(f.pick(&last), Pick::Server(0));
    let mut f = Farm::new(&["option prefer-last-server", "max-keep-alive-queue 0"], &["", "maxconn 1"]);
    assert_eq!(f.pick(&last), Pick::Server(1));
    f.load(1, 1);
    assert_eq!(f.pick(&last), Pick::Server(0));
}

#[test]
fn minconn_follows_the_load() {
    let f = Farm::new(&["fullconn 100"], &["minconn 10 maxconn 50"]);
    let px = f.px();
    let srv = &px.backend().servers[0];
    let limit = |load: u32| {
        let gauge = &f.live.backend(px.id).sessions;
        while gauge.get() < load {
            gauge.inc();
        }
        dynamic_limit(px, srv, &f.live)
    };
    assert_eq!([limit(0), limit(20), limit(50), limit(99), limit(100), limit(200)], [10, 10, 25, 49, 50, 50]);
    f.live.server(srv.id).maxconn.store(5, Relaxed);
    assert_eq!(dynamic_limit(px, srv, &f.live), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is up or down, no algorithm picks a server that is not usable while there is another.
    #[test]
    fn never_a_server_that_is_down(
        algorithm in prop::sample::select(vec![
            "roundrobin", "static-rr", "leastconn", "first", "random", "source", "uri", "sticky",
        ]),
        consistent in any::<bool>(),
        up in prop::collection::vec(any::<bool>(), 1..6),
        keys in prop::collection::vec(any::<Option<u32>>(), 8),
    ) {
        let hash = if consistent { "hash-type consistent" } else { "hash-type map-based" };
        let mut f = Farm::new(&[&format!("balance {algorithm}"), hash], &vec![""; up.len()]);
        for (i, u) in up.iter().enumerate() {
            if !u {
                f.set(i, ServerStatus::Stopped);
            }
        }
        for key in keys {
            let random = u64::from(key.unwrap_or(1)) << 32;
            match f.pick(&Request { key, random, ..Request::default() }) {
                Pick::Server(i) => prop_assert!(up[i]),
                Pick::None => prop_assert!(!up.contains(&true)),
                Pick::Full => prop_assert!(false, "nothing has a limit"),
            }
        }
    }
}

/// A context with nothing but a payload.
struct Bytes<'a>(&'a [u8]);

impl crate::sample::Ctx for Bytes<'_> {
    fn now(&self) -> Mono {
        Mono(0)
    }
    fn wall(&self) -> crate::base::time::Wall {
        crate::base::time::Wall(0)
    }
    fn request_payload(&self) -> Option<&[u8]> {
        Some(self.0)
    }
    fn src(&self) -> Option<std::net::SocketAddr> {
        "192.0.2.7:1".parse().ok()
    }
}

impl KeySource for Bytes<'_> {
    fn source(&self) -> Option<IpAddr> {
        None
    }
    fn uri(&self) -> Option<&[u8]> {
        None
    }
    fn header(&self, _name: &[u8]) -> Option<&[u8]> {
        None
    }
    fn body(&self) -> Option<&[u8]> {
        None
    }
    fn context(&self) -> Option<&dyn crate::sample::Ctx> {
        Some(self)
    }
}

#[test]
fn expressions_are_hashed() {
    let f = Farm::new(&["balance hash src", "hash-type map-based crc32"], &["", ""]);
    assert_eq!(key(f.px(), &Bytes(b"")), Some(crate::base::hash::crc32(&[192, 0, 2, 7])));
    let rdp = Farm::new(&["balance rdp-cookie"], &["", ""]);
    let packet = b"\x03\x00\x00\x2a\x25\xe0\x00\x00\x00\x00\x00Cookie: mstshash=alice\r\n\x01\x00\x08\x00\x00\x00\x00\x00";
    assert_eq!(key(rdp.px(), &Bytes(packet)), Some(crate::base::hash::sdbm(b"alice")));
    assert_eq!(key(rdp.px(), &Bytes(b"GET /")), None);
}

#[test]
fn busy_servers_may_lose_their_keys() {
    for hash in ["hash-type map-based", "hash-type consistent"] {
        let request = Request { key: Some(77), ..Request::default() };
        let farm =
            |affinity: &str, server: &str| Farm::new(&["balance source", hash, affinity], &[server, server]);
        let mut always = farm("hash-preserve-affinity always", "maxconn 1");
        let Pick::Server(owner) = always.pick(&request) else { panic!("servers are up") };
        always.load(owner, 1);
        assert_eq!(always.pick(&request), Pick::Server(owner), "{hash}: its keys wait");
        let mut f = farm("hash-preserve-affinity maxconn", "maxconn 1");
        f.load(owner, 1);
        assert_eq!(f.pick(&request), Pick::Server(1 - owner), "{hash}");
        let mut f = farm("hash-preserve-affinity maxqueue", "maxconn 1 maxqueue 2");
        f.load(owner, 1);
        assert_eq!(f.pick(&request), Pick::Server(owner), "{hash}: there is room in the queue");
        let id = f.px().backend().servers[owner].id;
        f.live.server(id).queued.inc();
        f.live.server(id).queued.inc();
        assert_eq!(f.pick(&request), Pick::Server(1 - owner), "{hash}");
    }
}
