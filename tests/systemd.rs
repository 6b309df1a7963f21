//! The service under a real systemd, with traffic through it: reload, restart, crash, upgrade.

#![allow(clippy::disallowed_methods)] // These tests wait for real processes in real time.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

#[path = "systemd/machine.rs"]
mod machine;
#[path = "systemd/origin.rs"]
mod origin;
#[allow(dead_code)]
#[path = "systemd/service.rs"]
mod service;
#[path = "systemd/state.rs"]
mod state;
#[allow(dead_code)]
#[path = "e2e/support.rs"]
mod support;
#[path = "systemd/traffic.rs"]
mod traffic;

use service::{CLASSIC, Service, UNIT};
use state::Admin;
use support::Client;
use traffic::{Tally, Traffic, Wrk, wrk};

/// Does something to the service while everything runs through it. Gives what failed.
fn during(service: &Service, traffic: &Traffic, act: impl FnOnce(&Service)) -> (Tally, Wrk, Wrk) {
    traffic.settle();
    let before = traffic.tally();
    let (keep, close) = wrk(service.port, 3);
    std::thread::sleep(Duration::from_millis(700));
    act(service);
    let (keep, close) = (keep.join().expect("wrk ends"), close.join().expect("wrk ends"));
    traffic.wake_idle();
    (traffic.tally().since(&before), keep, close)
}

/// Nothing at all may have failed, and everything must have happened.
fn assert_perfect(what: &str, traffic: &Traffic, (tally, keep, close): (Tally, Wrk, Wrk)) {
    eprintln!("{what}: {tally:?}, keep-alive {keep:?}, connection per request {close:?}");
    let failures = tally.failures() + keep.failures() + close.failures();
    assert_eq!(failures, 0, "{what}: {:#?}", traffic.reasons());
    assert!(tally.echoes > 0 && tally.answered > 0, "{what}");
}

#[test]
fn nothing_is_lost() {
    let service = Service::start();
    let traffic = Traffic::start(service.port, 50, 50, 200);
    let perfect = |what: &str, act: &dyn Fn(&Service)| {
        assert_perfect(what, &traffic, during(&service, &traffic, |s| act(s)));
        assert!(service.settled(), "{what}: {:?}", service.processes());
    };
    perfect("nothing", &|_| ());
    perfect("reload", &|s| {
        let before = s.workers();
        s.machine.done(&["systemctl", "reload", UNIT]);
        s.wait("a new worker", |s| s.workers().iter().any(|w| !before.contains(w)));
    });
    perfect("a broken configuration", &|s| {
        let before = s.workers();
        s.machine.done(&["sh", "-c", "echo nonsense >> /etc/haring/haring.cfg"]);
        assert!(!s.machine.run(&["systemctl", "reload", UNIT]).status.success());
        // Not even the signal does any harm.
        s.machine.done(&["systemctl", "kill", "--kill-who=main", "-s", "USR2", UNIT]);
        s.wait("the reason in the status", |s| {
            let status = s.machine.done(&["systemctl", "status", "-n", "0", UNIT]);
            status.contains("haring.cfg") && status.contains("nonsense")
        });
        assert!(s.machine.journal().contains("unknown keyword 'nonsense'"), "{}", s.machine.journal());
        assert_eq!(s.workers(), before);
        s.machine.done(&["sed", "-i", "/nonsense/d", "/etc/haring/haring.cfg"]);
    });
    perfect("restart", &|s| {
        let before = s.main();
        s.machine.done(&["systemctl", "restart", UNIT]);
        assert_ne!(s.main(), before);
    });
    perfect("a killed master", &|s| {
        let before = s.main();
        s.machine.done(&["systemctl", "kill", "--kill-who=main", "-s", "KILL", UNIT]);
        s.wait("a new master", |s| s.main() != before && s.active());
    });
    perfect("an upgrade", &|s| {
        let upgrade = "for p in haring haring-systemd-wrapper; do cp /usr/sbin/$p /usr/sbin/$p.new && \
                       mv /usr/sbin/$p.new /usr/sbin/$p; done";
        s.machine.done(&["sh", "-c", upgrade]);
        s.machine.done(&["systemctl", "reload", UNIT]);
        s.wait("the new program", |s| {
            s.processes().iter().all(|p| {
                let exe = s.machine.run(&["readlink", &format!("/proc/{}/exe", p.0)]).stdout;
                exe == b"/usr/sbin/haring\n"
            })
        });
    });
    let traffic = &traffic;
    let (tally, keep, close) = during(&service, traffic, |s| {
        let worker = s.workers()[0];
        s.machine.done(&["kill", "-KILL", &worker.to_string()]);
        s.wait("another worker", |s| s.workers().first().is_some_and(|w| *w != worker));
    });
    eprintln!("a killed worker: {tally:?}, keep-alive {keep:?}, connection per request {close:?}");
    assert_eq!(tally.refused + keep.connect + close.connect, 0, "{:#?}", traffic.reasons());
    // Each connection that there was at that moment may have failed, but only once.
    let most = Tally { cut: 50, broken: 50, lost: 200, ..tally };
    assert!(tally.cut <= most.cut && tally.broken <= most.broken && tally.lost <= most.lost, "{tally:?}");
    assert!(keep.failures() <= 16 && close.failures() <= 16, "{:#?}", traffic.reasons());
    assert!(service.settled(), "{:?}", service.processes());
}

/// Reloads in a row, under load: one worker is left, and it is not larger than the first.
#[test]
fn a_hundred_reloads() {
    let service = Service::start();
    let traffic = Traffic::start(service.port, 10, 10, 50);
    let reload = || {
        let before = service.workers();
        service.machine.done(&["systemctl", "kill", "--kill-who=main", "-s", "USR2", UNIT]);
        service.wait("a new worker", |s| s.workers().iter().any(|w| !before.contains(w)));
    };
    // What a worker has depends on what it happened to do so far: the smallest of some.
    let memory = || {
        let measure = |_| {
            reload();
            assert!(service.settled(), "{:?}", service.processes());
            service.memory()
        };
        (0..8).map(measure).min().expect("some")
    };
    let first = memory();
    let before = traffic.tally();
    let count = std::env::var("HARING_RELOADS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let (keep, close) = wrk(service.port, 12 * count.max(100) / 100);
    for _ in 0..count {
        reload();
    }
    let (keep, close) = (keep.join().expect("wrk ends"), close.join().expect("wrk ends"));
    traffic.wake_idle();
    assert_perfect("a hundred reloads", &traffic, (traffic.tally().since(&before), keep, close));
    assert!(service.settled(), "{:?}", service.processes());
    let last = memory();
    eprintln!("memory of the worker: {first} kB, {last} kB after the reloads");
    assert!(last <= first + first / 10, "{first} kB, {last} kB");
}

/// The master ends alone at a stop; systemd then closes the ways to the workers, and they end too: the one that serves,
/// and the one that finishes.
#[test]
fn a_stop_leaves_nobody() {
    let service = Service::start();
    let mut download = Client::connect(service.port);
    download.send("GET /file/100000000 HTTP/1.1\r\nhost: x\r\n\r\n");
    download.stream.read_exact(&mut [0; 1000]).expect("it has begun");
    service.machine.done(&["systemctl", "reload", UNIT]);
    service.wait("two workers", |s| s.workers().len() == 2);
    service.machine.done(&["systemctl", "stop", UNIT]);
    service.wait("nobody", |s| s.processes().is_empty());
    assert!(std::net::TcpStream::connect(("127.0.0.1", service.port)).is_err());
    service.machine.done(&["systemctl", "start", UNIT]);
    assert_eq!(support::get(service.port, "/", "host: x\r\n").status, 200);
}

/// The same under the wrapper, as scripts know it: its pid file names the worker.
#[test]
fn the_classic_unit_keeps_its_clients() {
    let service = Service::installed();
    let act = |verb: &str| drop(service.machine.done(&["systemctl", verb, CLASSIC]));
    let pid = || service.machine.run(&["cat", "/run/haring.pid"]).stdout;
    act("start");
    service.wait("somebody who listens", |s| std::net::TcpStream::connect(("127.0.0.1", s.port)).is_ok());
    let mut client = Client::connect(service.port);
    for verb in ["restart", "reload", "restart"] {
        let before = pid();
        let mut ask = || {
            client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
            let answer = client.answer().expect("the connection stays");
            answer.header("worker").map(|worker| format!("{worker}\n").into_bytes())
        };
        assert_eq!(ask().as_ref(), Some(&before), "{verb}");
        act(verb);
        service.wait("another worker", |_| pid() != before);
        service.wait("the end of the old one", |s| s.machine.processes(CLASSIC).len() == 2);
        assert_eq!(ask(), Some(pid()), "{verb}");
    }
    act("stop");
    service.wait("nobody", |s| s.machine.processes(CLASSIC).is_empty());
}

/// What must be the same before and after.
fn knowledge(admin: &Admin) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let stays = ["weight", "status", "stot", "bin", "bout", "hrsp_2xx", "req_tot", "rate_max", "act", "bck"];
    let statistics = admin.statistics();
    let kept = statistics.into_iter().map(|(name, columns)| {
        let values: Vec<String> = stays.iter().map(|s| format!("{s}={}", columns[*s])).collect();
        (name, values.join(" "))
    });
    (admin.entries("seen"), kept.collect())
}

/// From the moment that `act` gives until a worker other than `old` answers a new connection.
fn first_accept(service: &Service, act: impl FnOnce() -> Instant) -> Duration {
    let worker = || traffic::header(service.port, "worker").unwrap_or_default();
    let old = worker();
    let since = act();
    loop {
        let now = worker();
        if now != old && !now.is_empty() {
            return since.elapsed();
        }
        assert!(since.elapsed() < support::PATIENCE, "no new worker: {:?}", service.processes());
    }
}

#[test]
fn what_it_knows_survives() {
    let entries = std::env::var("HARING_ENTRIES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let service = Service::start();
    let admin = Admin::new(service.machine.init, "/run/haring.sock");
    admin.fill("seen", entries);
    admin.ask("set weight others/a 3;set server others/b state drain;set server others/c state maint");
    admin.ask("set server others/d addr 127.0.0.9 port 9;set maxconn frontend fe 1234");
    let (keep, close) = wrk(service.port, 1);
    assert_eq!(keep.join().expect("wrk ends").failures() + close.join().expect("wrk ends").failures(), 0);
    // The state of each second is kept.
    std::thread::sleep(Duration::from_millis(1500));
    let started = Instant::now();
    let uptime = |admin: &Admin| admin.info("Uptime_sec").parse::<u64>().expect("seconds");
    let up = uptime(&admin);
    let (main, worker) = (|| service.main().to_string(), || service.workers()[0].to_string());
    let kill = |what: &str, pid: String| {
        let now = Instant::now();
        service.machine.done(&["kill", what, &pid]);
        now
    };
    let restart = || {
        let now = Instant::now();
        service.machine.done(&["systemctl", "restart", UNIT]);
        now
    };
    let acts: [(&str, &dyn Fn() -> Instant); 4] = [
        ("reload", &|| kill("-USR2", main())),
        ("restart", &restart),
        ("a killed worker", &|| kill("-KILL", worker())),
        ("a killed master", &|| kill("-KILL", main())),
    ];
    for (what, act) in acts {
        let before = knowledge(&admin);
        assert_eq!(before.0.len(), entries as usize + 1, "{what}");
        let took = first_accept(&service, act);
        assert!(service.settled(), "{what}: {:?}", service.processes());
        eprintln!("{what}: the new worker answered after {took:?}");
        let after = knowledge(&admin);
        let mut differ = before.0.iter().filter(|(k, v)| after.0.get(*k) != Some(v) && *k != "127.0.0.1");
        assert_eq!(differ.next(), None, "{what}: in the table");
        assert_eq!(before.0.len(), after.0.len(), "{what}");
        for name in ["others/a", "others/b", "others/c", "others/d"] {
            assert_eq!(before.1[name], after.1[name], "{what}: {name}");
        }
        let address = admin.ask("show servers state others");
        assert!(address.contains("127.0.0.9"), "{what}: {address}");
        assert_eq!(admin.statistics()["fe/FRONTEND"]["slim"], "1234", "{what}");
        // Requests were counted on, not from nothing.
        let count =
            |k: &(BTreeMap<String, String>, BTreeMap<String, String>)| number(&k.1["fe/FRONTEND"], "req_tot");
        assert!(
            count(&after) >= count(&before),
            "{what}: {} {}",
            before.1["fe/FRONTEND"],
            after.1["fe/FRONTEND"]
        );
        let passed = started.elapsed().as_secs();
        assert!((up + passed).abs_diff(uptime(&admin)) <= 2, "{what}: {up} + {passed}, {}", uptime(&admin));
    }
}

/// The number of a name in `name=number …`.
fn number(text: &str, name: &str) -> u64 {
    let value = text.split(' ').find_map(|f| f.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}
