//! Processes without a master, replaced as scripts do it: `haring -D -p FILE [-x SOCKET] -sf $(cat FILE)`.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::load::{Goal, Load};
use super::support::{Dir, HARING, Process, answering, ask, exchange, free_port, get, until};

/// The daemon of a directory.
struct Daemon<'a> {
    dir: &'a Dir,
    all: Vec<i32>,
}

impl<'a> Daemon<'a> {
    fn start(dir: &'a Dir, config: &str) -> Daemon<'a> {
        let mut daemon = Daemon { dir, all: Vec::new() };
        daemon.run(config, &[]);
        daemon
    }

    fn pid(&self) -> i32 {
        *self.all.last().expect("it was started")
    }

    /// Start another one; when the command returns, it serves.
    fn run(&mut self, config: &str, options: &[&str]) {
        let file = self.dir.path("pid");
        let mut command = Command::new(HARING);
        command.args(["-D", "-p", &file, "-f", config]).args(options);
        let mut process = Process::spawn(&mut command, self.dir, |_| ());
        let status = process.ended();
        assert!(status.success(), "{}", process.said());
        let pid = fs::read_to_string(&file).expect("it was written").trim().parse().expect("a number");
        self.all.push(pid);
    }

    /// The same in place of the one that runs, which ends.
    fn replace(&mut self, config: &str, options: &[&str]) {
        let old = self.pid();
        self.run(config, &[options, &["-sf", &old.to_string()]].concat());
        assert_ne!(self.pid(), old);
        until("the old one ends", || !runs(old));
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // Those that have ended were not our children: their numbers may be others' by now.
        self.all.iter().filter(|pid| runs(**pid)).for_each(|pid| {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        });
    }
}

fn runs(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("haring"))
}

fn config(dir: &Dir, name: &str, threads: usize, admin: &str, binds: &str) -> String {
    let global = format!(" nbthread {threads}\n stats socket {admin} level admin expose-fd listeners");
    dir.file(name, &answering(&global, binds, name))
}

#[test]
fn with_the_admin_socket_nobody_notices() {
    let (dir, shared, single) = (Dir::new(), free_port(), free_port());
    let (admin, path) = (dir.path("admin.sock"), dir.path("web.sock"));
    // The second one can be had by one socket only.
    let binds = |more: &str| {
        format!(" bind 127.0.0.1:{shared} {more}\n bind 127.0.0.1:{single}\n bind unix@{path} {more}")
    };
    let make = |name: &str, threads, more| config(&dir, name, threads, &admin, &binds(more));
    let mut daemon = Daemon::start(&dir, &make("one", 3, ""));
    let goals = [shared, single].map(|port| Goal::Tcp(format!("127.0.0.1:{port}")));
    let loads = [&goals[0], &goals[1], &Goal::Unix(path.clone())].map(|goal| Load::start(goal, 2));
    let idle = TcpStream::connect(("127.0.0.1", shared)).expect("it listens");
    for (name, threads) in [("two", 1), ("three", 4), ("four", 2), ("five", 3)] {
        let file = make(name, threads, if threads == 1 { "maxconn 300" } else { "" });
        daemon.replace(&file, &["-x", &admin, "-dR"]);
        assert_eq!(get(shared).expect("served"), name);
        let stream = UnixStream::connect(&admin).expect("it listens");
        assert!(ask(stream, "show info").contains(&format!("Pid: {}\n", daemon.pid())));
        loads.iter().for_each(|load| load.go_on(20));
    }
    for load in loads {
        let outcome = load.end();
        outcome.is_whole();
        assert!(outcome.slowest < Duration::from_millis(900), "somebody had to ask twice: {outcome:?}");
    }
    assert_eq!(exchange(idle).expect("served by the last one"), "five");
}

#[test]
fn without_it_nobody_is_lost() {
    let (dir, port) = (Dir::new(), free_port());
    let binds = format!(" bind 127.0.0.1:{port}\n bind unix@{}", dir.path("web.sock"));
    let make = |name: &str| dir.file(name, &answering(" nbthread 2", &binds, name));
    let mut daemon = Daemon::start(&dir, &make("one"));
    let load = Load::start(&Goal::Tcp(format!("127.0.0.1:{port}")), 4);
    let unix = Load::start(&Goal::Unix(dir.path("web.sock")), 2);
    for name in ["two", "three", "four"] {
        daemon.replace(&make(name), &[]);
        assert_eq!(get(port).expect("served"), name);
        load.go_on(20);
    }
    load.end().is_whole();
    unix.end().is_whole();
}

#[test]
fn both_serve_until_the_old_one_is_asked_to_finish() {
    let (dir, port) = (Dir::new(), free_port());
    let admin = dir.path("admin.sock");
    let make = |name: &str| config(&dir, name, 1, &admin, &format!(" bind 127.0.0.1:{port}"));
    let mut daemon = Daemon::start(&dir, &make("one"));
    let old = daemon.pid();
    daemon.run(&make("two"), &["-x", &admin]);
    sleep(Duration::from_millis(200));
    assert!(runs(old) && runs(daemon.pid()));
    // A third one that asks, and goes away in the middle, is no successor; nor is one that does not read.
    for _ in 0..3 {
        let mut stream = UnixStream::connect(&admin).expect("it listens");
        stream.write_all(b"hand over\n").expect("it reads");
        sleep(Duration::from_millis(20));
    }
    let load = Load::start(&Goal::Tcp(format!("127.0.0.1:{port}")), 4);
    kill(Pid::from_raw(old), Signal::SIGUSR1).expect("it runs");
    until("the old one ends", || !runs(old));
    load.go_on(50);
    load.end().is_whole();
    assert_eq!(get(port).expect("served"), "two");
}

#[test]
fn what_cannot_be_taken_over_is_said() {
    let (dir, port) = (Dir::new(), free_port());
    let admin = dir.path("admin.sock");
    let bind = format!(" bind 127.0.0.1:{port}");
    for (options, why) in
        [("level admin", "gives nothing away"), ("level operator expose-fd listeners", "denied")]
    {
        let global = format!(" stats socket {admin} {options}");
        let mut daemon = Daemon::start(&dir, &dir.file("a.cfg", &answering(&global, &bind, "a")));
        let config = dir.file("b.cfg", &answering("", &bind, "b"));
        let mut command = Command::new(HARING);
        command.args(["-db", "-f", &config, "-x", &admin]);
        let mut process = Process::spawn(&mut command, &dir, |_| ());
        assert_eq!(process.ended().code(), Some(1));
        assert!(process.said().contains(why) && process.said().contains(&admin), "{}", process.said());
        assert_eq!(get(port).expect("served"), "a");
        daemon.replace(&config, &[]);
    }
    let mut command = Command::new(HARING);
    command.args(["-db", "-f", &dir.path("b.cfg"), "-x", &dir.path("nothing")]);
    let mut process = Process::spawn(&mut command, &dir, |_| ());
    assert_eq!(process.ended().code(), Some(1));
    assert!(process.said().contains("nothing can be taken over"), "{}", process.said());
}

#[test]
fn a_daemon_that_cannot_start_says_why_and_leaves_the_old_one_alone() {
    let (dir, port) = (Dir::new(), free_port());
    let admin = dir.path("admin.sock");
    let good = config(&dir, "good", 2, &admin, &format!(" bind 127.0.0.1:{port}"));
    let daemon = Daemon::start(&dir, &good);
    let load = Load::start(&Goal::Tcp(format!("127.0.0.1:{port}")), 2);
    let missing = dir.path("no/such.sock");
    let bad = config(&dir, "bad", 3, &admin, &format!(" bind 127.0.0.1:{port}\n bind unix@{missing}"));
    let old = daemon.pid().to_string();
    for options in [&["-x", &admin, "-sf", &old][..], &["-sf", &old]] {
        let mut command = Command::new(HARING);
        command.args(["-D", "-p", &dir.path("pid"), "-f", &bad]).args(options);
        let mut process = Process::spawn(&mut command, &dir, |_| ());
        assert_eq!(process.ended().code(), Some(1));
        assert!(process.said().contains("cannot bind socket"), "{}", process.said());
        assert_eq!(fs::read_to_string(dir.path("pid")).expect("there"), format!("{old}\n"));
    }
    load.go_on(20);
    load.end().is_whole();
    assert!(runs(daemon.pid()));
}

#[test]
fn an_admin_port_changes_hands_without_the_admin_socket() {
    let (dir, port, admin) = (Dir::new(), free_port(), free_port());
    let global = format!(" stats socket ipv4@127.0.0.1:{admin} level admin");
    let make = |name: &str| dir.file(name, &answering(&global, &format!(" bind 127.0.0.1:{port}"), name));
    let mut daemon = Daemon::start(&dir, &make("one"));
    let slow = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let old = daemon.pid();
    daemon.run(&make("two"), &["-sf", &old.to_string()]);
    let pid = daemon.pid();
    until("the old one leaves it", || {
        (0..20).all(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", admin)).expect("it listens");
            stream.write_all(b"show info\n").expect("sent");
            let mut text = String::new();
            std::io::Read::read_to_string(&mut stream, &mut text).expect("an answer");
            text.contains(&format!("Pid: {pid}\n"))
        })
    });
    assert!(runs(old), "it has a client");
    drop(slow);
    until("the old one ends", || !runs(old));
}

#[test]
fn tables_come_along() {
    let (dir, port) = (Dir::new(), free_port());
    let admin = dir.path("admin.sock");
    let make = |name: &str, threads| {
        let config = config(&dir, name, threads, &admin, &format!(" bind 127.0.0.1:{port}"));
        let text = fs::read_to_string(&config).expect("just written");
        dir.file(name, &format!("{text}backend seen\n stick-table type string len 20 size 1k store gpc0\n"))
    };
    let mut daemon = Daemon::start(&dir, &make("one", 2));
    let say = |line: &str| ask(UnixStream::connect(&admin).expect("it listens"), line);
    assert_eq!(say("set table seen key me data.gpc0 7").trim(), "");
    for (name, threads) in [("two", 3), ("three", 1)] {
        daemon.replace(&make(name, threads), &["-x", &admin]);
        let table = say("show table seen");
        assert!(table.contains("key=me") && table.contains("gpc0=7"), "{table}");
    }
}

#[test]
fn systemds_sockets_are_used_without_a_master_too() {
    let (dir, listener) = (Dir::new(), std::net::TcpListener::bind("127.0.0.1:0").expect("loopback"));
    let port = listener.local_addr().expect("bound").port();
    let config = dir.file("a.cfg", &answering(" nbthread 3", &format!(" bind 127.0.0.1:{port}"), "a"));
    let listener = std::os::fd::OwnedFd::from(listener);
    let number = std::os::fd::AsRawFd::as_raw_fd(&listener);
    // Clients that came before it was started, and while it is not there, wait.
    let client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let mut waiting = Some(client);
    for _ in 0..2 {
        let mut command = Command::new("/bin/bash");
        let line = format!("exec 3<&{number}; LISTEN_PID=$$ LISTEN_FDS=1 exec {HARING} -db -f {config}");
        command.args(["-c", &line]);
        let mut process = Process::spawn(&mut command, &dir, |_| {
            haring::sys::process::close_on_exec(&listener, false).expect("it is open");
        });
        assert_eq!(exchange(waiting.take().expect("one")).expect("served"), "a");
        for _ in 0..20 {
            assert_eq!(get(port).expect("served"), "a");
        }
        kill(Pid::from_raw(process.pid()), Signal::SIGUSR1).expect("it runs");
        assert_eq!(process.ended().code(), Some(0));
        waiting = Some(TcpStream::connect(("127.0.0.1", port)).expect("it still listens"));
    }
}
