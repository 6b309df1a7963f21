//! Workers that take their sockets over from each other while clients come.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::Duration;

use haring::net::Channel;
use haring::process::link::{ToMaster, ToWorker};

use super::load::{Goal, Load};
use super::master::Worker;
use super::support::{Dir, answering, exchange, exchange_unix, free_port, get, until};

/// A master: what it holds, and the worker that serves.
struct Master {
    held: BTreeMap<String, OwnedFd>,
    serving: Worker,
}

/// A worker that was given everything, and said that it is ready.
struct Ready {
    worker: Worker,
    kept: Vec<(String, OwnedFd)>,
    /// The end of the channel for the old one.
    rest: Channel,
}

impl Master {
    fn start(dir: &Dir, config: &str) -> Master {
        let serving = Worker::start(dir, config);
        serving.send(&ToWorker::Go);
        let (kept, _) = serving.ready();
        Master { held: kept.into_iter().collect(), serving }
    }

    fn prepare(&self, dir: &Dir, config: &str) -> (Worker, Channel) {
        let worker = Worker::start(dir, config);
        for (key, fd) in &self.held {
            worker.send(&ToWorker::Inherit(key.clone(), fd.try_clone().expect("a descriptor")));
        }
        let (first, rest) = Channel::pair().expect("a pair");
        worker.send(&ToWorker::Predecessor(self.serving.process.pid(), first.into_fd()));
        worker.send(&ToWorker::Go);
        (worker, rest)
    }

    fn begin(&self, dir: &Dir, config: &str) -> Ready {
        let (worker, rest) = self.prepare(dir, config);
        let (kept, _) = worker.ready();
        Ready { worker, kept, rest }
    }

    fn finish(&mut self, ready: Ready) {
        let Ready { worker, kept, rest } = ready;
        self.held.extend(kept);
        self.serving.send(&ToWorker::Successor(worker.process.pid(), rest.into_fd()));
        let mut old = std::mem::replace(&mut self.serving, worker);
        assert_eq!(old.process.ended().code(), Some(0));
        self.serving.send(&ToWorker::Gone(old.process.pid()));
        self.listen();
    }

    /// What the new worker has to say.
    fn listen(&mut self) {
        loop {
            match ToMaster::receive(&self.serving.channel) {
                Ok(Some(ToMaster::Forget(key))) => drop(self.held.remove(&key)),
                Ok(Some(ToMaster::Keep(key, fd))) => drop(self.held.insert(key, fd)),
                Ok(Some(_)) => {}
                Ok(None) => panic!("it has ended"),
                Err(_) => return,
            }
        }
    }

    fn take_over(&mut self, dir: &Dir, config: &str) {
        let ready = self.begin(dir, config);
        self.finish(ready);
    }

    fn listeners(&self) -> Vec<&str> {
        self.held.keys().filter(|key| key.starts_with("listener/")).map(String::as_str).collect()
    }
}

fn tcp(port: u16) -> Goal {
    Goal::Tcp(format!("127.0.0.1:{port}"))
}

fn threads(dir: &Dir, count: usize, binds: &str) -> String {
    dir.file(&format!("{count}.cfg"), &answering(&format!(" nbthread {count}"), binds, "a"))
}

#[test]
fn more_and_fewer_threads_lose_nobody() {
    let (dir, port) = (Dir::new(), free_port());
    let bind = format!(" bind 127.0.0.1:{port}");
    let mut master = Master::start(&dir, &threads(&dir, 4, &bind));
    let load = Load::start(&tcp(port), 6);
    let mut most = 4;
    for count in [2, 1, 3, 6, 1, 5] {
        master.take_over(&dir, &threads(&dir, count, &bind));
        most = most.max(count);
        assert_eq!(master.listeners().len(), most, "none is closed: {:?}", master.listeners());
        load.go_on(50);
    }
    let outcome = load.end();
    outcome.is_whole();
    assert!(outcome.slowest < Duration::from_millis(900), "somebody had to ask twice: {outcome:?}");
}

#[test]
fn who_waits_in_a_queue_of_the_old_one_is_served_by_the_new_one() {
    let (dir, port) = (Dir::new(), free_port());
    let bind = format!(" bind 127.0.0.1:{port}");
    let full = answering(" nbthread 4\n maxconn 1", &bind, "a");
    let mut master = Master::start(&dir, &dir.file("full.cfg", &full));
    // Takes the only place.
    let busy = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    sleep(Duration::from_millis(100));
    let connect = |_| TcpStream::connect(("127.0.0.1", port)).expect("there is a queue");
    let waiting: Vec<TcpStream> = (0..60).map(connect).collect();
    let ready = master.begin(&dir, &threads(&dir, 1, &bind));
    let served: Vec<_> = waiting.into_iter().map(|client| std::thread::spawn(|| exchange(client))).collect();
    sleep(Duration::from_millis(100));
    drop(busy);
    master.finish(ready);
    for client in served {
        assert_eq!(client.join().expect("no panic").expect("served"), "a");
    }
}

#[test]
fn addresses_come_and_go() {
    let (dir, stays) = (Dir::new(), free_port());
    let (goes, comes) = (free_port(), free_port());
    let config = |name: &str, other: u16| {
        let binds = format!(" bind 127.0.0.1:{stays}\n bind 127.0.0.1:{other}");
        dir.file(name, &answering(" nbthread 3", &binds, "a"))
    };
    let (one, two) = (config("one.cfg", goes), config("two.cfg", comes));
    let mut master = Master::start(&dir, &one);
    let (all, some) = (Load::start(&tcp(stays), 3), Load::start(&tcp(goes), 6));
    master.take_over(&dir, &two);
    assert_eq!(get(comes).expect("it listens"), "a");
    assert!(TcpStream::connect(("127.0.0.1", goes)).is_err(), "nobody listens there any more");
    assert!(!master.listeners().iter().any(|key| key.contains(&goes.to_string())));
    master.take_over(&dir, &one);
    some.go_on(20);
    all.end().is_whole();
    let some = some.end();
    assert_eq!(some.failures, [""; 0], "whoever was let in is served");
}

#[test]
fn changed_options_are_applied_or_the_socket_is_replaced() {
    let (dir, port) = (Dir::new(), free_port());
    let config = |name: &str, bind: &str| dir.file(name, &answering(" nbthread 2", bind, "a"));
    let shared = config("shared.cfg", &format!(" bind 127.0.0.1:{port} backlog 7 maxconn 500"));
    let single =
        answering(" nbthread 2\n noreuseport", &format!(" bind 127.0.0.1:{port} backlog 99 mss 600"), "a");
    let single = dir.file("single.cfg", &single);
    let device = config("device.cfg", &format!(" bind 127.0.0.1:{port} interface lo name x"));
    let mut master = Master::start(&dir, &single);
    assert_eq!(master.listeners().len(), 1);
    let load = Load::start(&tcp(port), 4);
    for (config, expected) in [(&shared, 2), (&single, 2), (&shared, 2)] {
        master.take_over(&dir, config);
        assert_eq!(master.listeners().len(), expected, "{:?}", master.listeners());
        load.go_on(20);
    }
    // Needs no rights for a device that the socket may be bound to for the first time.
    master.take_over(&dir, &device);
    assert!(master.listeners().iter().all(|key| key.contains("dev%3Dlo")), "{:?}", master.listeners());
    load.go_on(20);
    master.take_over(&dir, &single);
    load.go_on(20);
    load.end().is_whole();
}

#[test]
fn ipv6_with_and_without_ipv4() {
    let (dir, port) = (Dir::new(), free_port());
    let config = |name: &str, option: &str| {
        dir.file(name, &answering(" nbthread 2", &format!(" bind :::{port} {option}"), "a"))
    };
    let (both, one) = (config("both.cfg", "v4v6"), config("one.cfg", "v6only"));
    let mut master = Master::start(&dir, &both);
    let load = Load::start(&Goal::Tcp(format!("[::1]:{port}")), 4);
    assert_eq!(get(port).expect("both"), "a");
    master.take_over(&dir, &one);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "IPv6 only");
    load.go_on(20);
    master.take_over(&dir, &both);
    assert_eq!(get(port).expect("both"), "a");
    load.end().is_whole();
}

#[test]
fn unix_sockets_are_taken_over_with_their_paths() {
    let (dir, port) = (Dir::new(), free_port());
    let (path, moved) = (dir.path("web.sock"), dir.path("moved.sock"));
    let config = |name: &str, path: &str, options: &str| {
        let binds = format!(" bind 127.0.0.1:{port}\n bind unix@{path} {options}");
        dir.file(name, &answering(" nbthread 2", &binds, "a"))
    };
    let (one, two) = (config("one.cfg", &path, "mode 600"), config("two.cfg", &path, "mode 666"));
    let three = config("three.cfg", &moved, "");
    let mode = || fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
    let mut master = Master::start(&dir, &one);
    let load = Load::start(&Goal::Unix(path.clone()), 4);
    assert_eq!(mode(), 0o600);
    master.take_over(&dir, &two);
    assert_eq!(mode(), 0o666);
    load.go_on(50);
    master.take_over(&dir, &one);
    load.go_on(50);
    load.end().is_whole();
    // Somebody has removed it: a new one takes its place.
    fs::remove_file(&path).expect("it was there");
    master.take_over(&dir, &one);
    let client = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    assert_eq!(exchange_unix(client).expect("served"), "a");
    master.take_over(&dir, &three);
    let client = std::os::unix::net::UnixStream::connect(&moved).expect("it listens");
    assert_eq!(exchange_unix(client).expect("served"), "a");
    assert!(std::os::unix::net::UnixStream::connect(&path).is_err());
    assert!(
        fs::read_dir(dir.path("."))
            .expect("it is there")
            .flatten()
            .all(|entry| { !entry.file_name().to_string_lossy().contains(".sock.") })
    );
}

#[test]
fn abstract_names_are_taken_over() {
    use std::os::linux::net::SocketAddrExt;
    let (dir, port) = (Dir::new(), free_port());
    let name = format!("haring-test-{}-{port}", std::process::id());
    let binds = format!(" bind abnsz@{name}\n bind abns@{name}");
    let mut master = Master::start(&dir, &threads(&dir, 2, &binds));
    for count in [1, 3] {
        master.take_over(&dir, &threads(&dir, count, &binds));
        for len in [name.len(), 107] {
            let mut bytes = name.clone().into_bytes();
            bytes.resize(len, 0);
            let addr = std::os::unix::net::SocketAddr::from_abstract_name(&bytes).expect("a name");
            let client = std::os::unix::net::UnixStream::connect_addr(&addr).expect("it listens");
            assert_eq!(exchange_unix(client).expect("served"), "a");
        }
    }
    assert_eq!(master.listeners().len(), 2, "{:?}", master.listeners());
}

#[test]
fn a_start_that_fails_harms_nobody() {
    let (dir, port) = (Dir::new(), free_port());
    let (path, taken) = (dir.path("web.sock"), std::net::TcpListener::bind("127.0.0.1:0").expect("loopback"));
    let taken_port = taken.local_addr().expect("bound").port();
    let good = format!(" bind 127.0.0.1:{port}\n bind unix@{path}");
    let mut master = Master::start(&dir, &threads(&dir, 2, &good));
    let (load, unix) = (Load::start(&tcp(port), 4), Load::start(&Goal::Unix(path.clone()), 2));
    for _ in 0..5 {
        let bad = threads(&dir, 6, &format!("{good}\n bind 127.0.0.1:{taken_port}"));
        let (mut worker, rest) = master.prepare(&dir, &bad);
        assert_eq!(worker.process.ended().code(), Some(1));
        assert!(worker.process.said().contains("cannot bind socket"), "{}", worker.process.said());
        drop(rest);
        load.go_on(20);
    }
    master.take_over(&dir, &threads(&dir, 2, &good));
    assert_eq!(master.listeners().len(), 3);
    load.end().is_whole();
    unix.end().is_whole();
}

#[test]
fn the_admin_socket_is_the_new_processs_at_once() {
    let (dir, port) = (Dir::new(), free_port());
    let admin = dir.path("admin.sock");
    let config = |name: &str| {
        let global = format!(" stats socket {admin} level admin");
        dir.file(name, &answering(&global, &format!(" bind 127.0.0.1:{port}"), name))
    };
    let (one, two) = (config("one"), config("two"));
    let mut master = Master::start(&dir, &one);
    let slow = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let ready = master.begin(&dir, &two);
    let pid = ready.worker.process.pid();
    sleep(Duration::from_millis(50));
    master.serving.send(&ToWorker::Successor(pid, ready.rest.into_fd()));
    let ask = || {
        let client = std::os::unix::net::UnixStream::connect(&admin).expect("it listens");
        super::support::ask(client, "show info")
    };
    until("the old one leaves it", || (0..20).all(|_| ask().contains(&format!("Pid: {pid}\n"))));
    drop(slow);
    assert_eq!(master.serving.process.ended().code(), Some(0));
}

#[test]
fn connections_come_over_a_pair_of_sockets() {
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::unix::net::UnixStream;
    let dir = Dir::new();
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let number = theirs.as_raw_fd();
    let theirs = OwnedFd::from(theirs);
    haring::sys::process::close_on_exec(&theirs, false).expect("it is open");
    let config = |count| threads(&dir, count, &format!(" bind sockpair@{number}"));
    let mut master = Master::start(&dir, &config(2));
    haring::sys::process::close_on_exec(&theirs, true).expect("it is open");
    let send = || {
        let (client, end) = UnixStream::pair().expect("a pair");
        haring::net::send_over(ours.as_fd(), b"x", &[end.as_fd()]).expect("it reads");
        drop(end);
        exchange_unix(client)
    };
    for _ in 0..10 {
        assert_eq!(send().expect("served"), "a");
    }
    // The next one was not given that number by whoever started it.
    master.take_over(&dir, &config(1));
    let clients: Vec<_> = (0..5).map(|_| send()).collect();
    assert!(clients.into_iter().all(|answer| answer.is_ok_and(|body| body == "a")));
    assert_eq!(master.listeners(), [format!("listener/sockpair%40{number}/0")]);
}
