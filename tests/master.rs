//! Master and workers as their operator meets them: reloads, crashes, signals, programs. Each test starts the binary.

#![allow(clippy::disallowed_methods)] // These tests wait for real processes in real time.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[allow(dead_code)]
#[path = "e2e/support.rs"]
mod support;

use support::{Client, Dir, free_port, get, wait_until};

const HARING: &str = env!("CARGO_BIN_EXE_haring");
const WRAPPER: &str = env!("CARGO_BIN_EXE_haring-systemd-wrapper");

/// A master, with what it writes in a file. Its children end with it: at the latest when their channel closes.
struct Master {
    child: Child,
    dir: Dir,
    port: u16,
}

impl Master {
    fn new(program: &str, options: &[&str], global: &str) -> Master {
        let (dir, port) = (Dir::new(), free_port());
        let config = dir.file("haring.cfg", &config(port, "one", global));
        let log = fs::File::create(dir.0.join("log")).expect("a file");
        let mut command = Command::new(program);
        command.args(options).arg("-f").arg(config).stdin(Stdio::null());
        command.env_remove("NOTIFY_SOCKET").current_dir(&dir.0);
        let child = command.stdout(log.try_clone().expect("a descriptor")).stderr(log).spawn();
        Master { child: child.expect("it starts"), dir, port }
    }

    fn start(program: &str, options: &[&str], global: &str) -> Master {
        let master = Master::new(program, options, global);
        wait_until("it serves", || master.answer().as_deref() == Some("one"));
        master.wait_for_log("serves");
        master
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it runs");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.0.join("log")).unwrap_or_default()
    }

    fn wait_for_log(&self, what: &str) {
        let until = Instant::now() + support::PATIENCE;
        while !self.log().contains(what) {
            assert!(Instant::now() < until, "no '{what}' in\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The body of an answer; `None` when nobody answers.
    fn answer(&self) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(support::PATIENCE)).ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }

    /// Wait until a worker has become ready so many times.
    fn wait_for_ready(&self, times: usize) {
        wait_until("ready", || self.log().matches(" serves, after ").count() == times);
    }

    fn configure(&self, body: &str, global: &str) {
        self.dir.file("haring.cfg", &config(self.port, body, global));
    }

    fn reload(&self, body: &str) {
        self.signal(Signal::SIGUSR2);
        wait_until(body, || self.answer().as_deref() == Some(body));
    }

    /// The running children with that in their command line.
    fn children(&self, what: &str) -> Vec<i32> {
        children_of(self.pid().as_raw(), what)
    }

    fn worker(&self) -> i32 {
        wait_until("one worker", || self.children("haring").len() == 1);
        self.children("haring")[0]
    }

    fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + support::PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it does not end:\n{}", self.log());
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn children_of(parent: i32, what: &str) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.filter(|pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(what)
    })
    .collect()
}

fn runs(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn config(port: u16, body: &str, global: &str) -> String {
    format!(
        "global\n nbthread 1\n{global}\ndefaults\n mode http\n timeout connect 2s\n timeout client 10s\n timeout server 10s\n\
         frontend f\n bind 127.0.0.1:{port}\n http-request return status 200 content-type text/plain string {body}\n"
    )
}

#[test]
fn a_reload_replaces_worker_and_program() {
    for (program, options, code) in [(HARING, &["-W"][..], 0), (HARING, &["-Ws"], 0), (WRAPPER, &[], 143)] {
        let mut master = Master::start(program, options, "");
        let (pid, first) = (master.pid(), master.worker());
        master.configure("two", "");
        master.reload("two");
        assert_ne!(master.worker(), first);
        for n in 0..5 {
            let body = format!("again{n}");
            master.configure(&body, "");
            master.reload(&body);
        }
        master.worker();
        assert_eq!(master.pid(), pid);
        master.signal(Signal::SIGTERM);
        assert_eq!(master.ended().code(), Some(code), "{}", master.log());
        assert_eq!(master.answer(), None, "nobody is left");
    }
}

#[test]
fn a_broken_configuration_changes_nothing() {
    let mut master = Master::start(HARING, &["-W"], "");
    let worker = master.worker();
    master.configure("two", " nonsense");
    master.signal(Signal::SIGHUP);
    master.wait_for_log("reload failed");
    let log = master.log();
    let reason = log.lines().find(|l| l.contains("reload failed")).expect("it is there");
    assert!(reason.contains("unknown keyword 'nonsense'") && reason.contains("haring.cfg:3"), "{reason}");
    assert_eq!((master.answer().as_deref(), master.worker()), (Some("one"), worker));
    // The next one is good again.
    master.configure("three", "");
    master.reload("three");
    assert_ne!(master.worker(), worker);
    master.signal(Signal::SIGINT);
    assert_eq!(master.ended().code(), Some(130), "{}", master.log());
}

#[test]
fn a_start_that_fails_ends_with_its_exit_code() {
    for (program, options) in [(HARING, &["-W"][..]), (HARING, &["-W", "-D"]), (WRAPPER, &[])] {
        let mut master = Master::new(program, options, " nonsense");
        assert_eq!(master.ended().code(), Some(1), "{}", master.log());
        assert!(master.log().contains("unknown keyword 'nonsense'"), "{}", master.log());
    }
}

#[test]
fn a_killed_worker_is_replaced_at_once_and_its_port_stays_open() {
    let master = Master::start(HARING, &["-W"], "");
    for n in 1..4 {
        let worker = master.worker();
        kill(Pid::from_raw(worker), Signal::SIGKILL).expect("it runs");
        wait_until("its end", || !runs(worker));
        // Whoever comes in between waits in the queue of the socket: the next worker answers.
        assert_eq!(master.answer().as_deref(), Some("one"));
        master.wait_for_ready(n + 1);
        assert_eq!(master.answer().as_deref(), Some("one"));
        assert_ne!(master.worker(), worker);
    }
    master.wait_for_log("another one is started in 100 ms");
}

#[test]
fn a_worker_that_was_asked_to_end_ends_the_master() {
    let signals = [(Signal::SIGTERM, 143), (Signal::SIGUSR1, 0)];
    for (signal, code) in signals {
        let mut master = Master::start(WRAPPER, &["-p", "pid"], "");
        let pid = fs::read_to_string(master.dir.0.join("pid")).expect("written");
        assert_eq!(pid.trim(), master.worker().to_string(), "the pid file has the worker's number");
        kill(Pid::from_raw(master.worker()), signal).expect("it runs");
        assert_eq!(master.ended().code(), Some(code), "{}", master.log());
    }
}

#[test]
fn a_soft_stop_waits_for_the_last_request() {
    let mut master = Master::start(HARING, &["-W"], "");
    let mut client = Client::connect(master.port);
    client.send("GET / HTTP/1.1\r\n");
    wait_until("it is there", || master.answer().is_some());
    master.signal(Signal::SIGUSR1);
    wait_until("no more clients", || TcpStream::connect(("127.0.0.1", master.port)).is_err());
    assert!(master.child.try_wait().expect("our child").is_none());
    client.send("host: x\r\n\r\n");
    assert_eq!(client.answer().map(|a| a.body), Some(b"one".to_vec()));
    drop(client);
    assert_eq!(master.ended().code(), Some(0), "{}", master.log());
}

/// A server that never answers, and a proxy to it. An exchange with it keeps a worker.
fn silent_server() -> (std::net::TcpListener, u16, String) {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = server.local_addr().expect("bound");
    let port = free_port();
    let text = format!(
        "listen silent\n mode http\n timeout connect 2s\n timeout client 60s\n timeout server 60s\n \
         bind 127.0.0.1:{port}\n server s {address}"
    );
    (server, port, text)
}

#[test]
fn pause_and_resume_are_passed_on() {
    let mut master = Master::start(HARING, &["-W"], "");
    master.signal(Signal::SIGTTOU);
    master.wait_for_log("Paused frontend f");
    master.signal(Signal::SIGTTIN);
    master.wait_for_log("Resumed frontend f");
    assert_eq!(master.answer().as_deref(), Some("one"));
    master.signal(Signal::SIGQUIT);
    master.wait_for_log("SIGQUIT: VmRSS");
    master.signal(Signal::SIGTERM);
    assert_eq!(master.ended().code(), Some(0), "{}", master.log());
}

#[test]
fn old_workers_survive_so_many_reloads() {
    let (server, port, proxy) = silent_server();
    let global = format!(" mworker-max-reloads 1\n{proxy}");
    let master = Master::start(HARING, &["-W"], &global);
    let old = master.worker();
    let mut client = Client::connect(port);
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    let _request = server.accept().expect("it arrives");
    master.configure("two", &global);
    master.reload("two");
    assert_eq!(master.children("haring").len(), 2);
    master.configure("three", &global);
    master.reload("three");
    wait_until("the old one is stopped", || !runs(old));
    master.wait_for_log("has survived 2 reloads");
}

#[test]
fn a_killed_master_takes_its_workers_and_programs_with_it() {
    let mut master = Master::start(HARING, &["-W"], "program p\n command /bin/sleep 1000");
    wait_until("the program runs", || master.children("sleep").len() == 1);
    let children = master.children("");
    assert_eq!(children.len(), 2, "{children:?}");
    master.signal(Signal::SIGKILL);
    assert_eq!(master.ended().signal(), Some(9));
    wait_until("they end", || !children.iter().any(|pid| runs(*pid)));
}

#[test]
fn programs_start_end_and_stay_with_the_master() {
    let programs = "program one\n command /bin/sleep \"1001\"\n\
                    program two\n command /bin/sleep 1002\n no option start-on-reload\n\
                    program once\n command /bin/sh -c \"echo $HARING_TEST > once; exit 0\"\nglobal\n setenv A b";
    let mut master = Master::start(HARING, &["-W"], programs);
    wait_until("both run", || master.children("sleep").len() == 2);
    let (one, two) = (master.children("1001"), master.children("1002"));
    wait_until("the third has run", || master.dir.0.join("once").exists());
    master.configure("two", programs);
    master.reload("two");
    wait_until("one is another", || master.children("1001").len() == 1 && master.children("1001") != one);
    assert_eq!(master.children("1002"), two);
    // One that fails is started again.
    kill(Pid::from_raw(two[0]), Signal::SIGKILL).expect("it runs");
    wait_until("it is back", || master.children("1002").len() == 1 && master.children("1002") != two);
    // A configuration without it ends it.
    master.configure("three", "program one\n command /bin/sleep 1001");
    master.reload("three");
    wait_until("two is gone", || master.children("1002").is_empty());
    let last = master.children("1001");
    master.signal(Signal::SIGTERM);
    assert_eq!(master.ended().code(), Some(0), "{}", master.log());
    assert!(!runs(last[0]));
}

#[test]
fn a_failed_reload_changes_nothing_for_programs() {
    let programs = "program one\n command /bin/sleep 1003";
    let master = Master::start(HARING, &["-W"], programs);
    wait_until("it runs", || master.children("1003").len() == 1);
    let first = master.children("1003");
    master.configure("two", "nonsense");
    master.signal(Signal::SIGUSR2);
    master.wait_for_log("reload failed");
    assert_eq!(master.children("1003"), first);
    // The section is gone from the file, but that file is not in force.
    kill(Pid::from_raw(first[0]), Signal::SIGKILL).expect("it runs");
    wait_until("it is back", || master.children("1003").len() == 1 && master.children("1003") != first);
}

#[test]
fn programs_are_checked() {
    let dir = Dir::new();
    let config = dir.file("a.cfg", &config(1, "one", "program p\n user nosuchuser\nprogram q\n command"));
    let out = Command::new(HARING).args(["-c", "-f"]).arg(config).output().expect("it runs");
    let text = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1));
    for what in ["cannot find user id for 'nosuchuser'", "program 'p' has no 'command'", "a program"] {
        assert!(text.contains(what), "{what}: {text}");
    }
}

#[test]
fn a_daemon_says_how_its_start_went_and_has_its_own_number_in_the_pid_file() {
    let (dir, port) = (Dir::new(), free_port());
    let config = dir.file("haring.cfg", &config(port, "one", ""));
    let pidfile = dir.0.join("pid");
    let mut command = Command::new(HARING);
    command.args(["-W", "-D", "-p"]).arg(&pidfile).arg("-f").arg(config);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(get(port, "/", "host: x\r\n").body, b"one");
    // Nobody holds the terminal any more.
    let mut text = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut text).expect("text");
    let master = fs::read_to_string(&pidfile).expect("written").trim().parse().expect("a number");
    let workers = children_of(master, "haring");
    assert_eq!(workers.len(), 1, "{text}");
    kill(Pid::from_raw(master), Signal::SIGTERM).expect("it runs");
    wait_until("they end", || !runs(master) && !runs(workers[0]));
}

#[test]
fn a_program_file_that_does_not_run_does_not_take_over() {
    // Links, not copies: a copy cannot be executed while another test's child still has it open for writing.
    let bin = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("master-{}", std::process::id()));
    fs::create_dir_all(&bin).expect("a directory for the program");
    let bin = Dir(bin);
    let program = bin.0.join("haring");
    fs::hard_link(HARING, &program).expect("a link to the program");
    let master = Master::start(program.to_str().expect("a path"), &["-W"], "");
    let worker = master.worker();
    fs::remove_file(&program).expect("the link is there");
    bin.file("haring", "half of a program");
    master.configure("two", "");
    master.signal(Signal::SIGUSR2);
    master.wait_for_log("reload failed");
    assert_eq!((master.answer().as_deref(), master.worker()), (Some("one"), worker));
    fs::remove_file(&program).expect("the file is there");
    // Neither does one that never ends: it is killed.
    let script = "printf '#!/bin/sh\\nexec sleep 60\\n' > haring && chmod 755 haring";
    let written = Command::new("/bin/sh").args(["-c", script]).current_dir(&bin.0).status();
    assert!(written.expect("a shell").success());
    master.signal(Signal::SIGUSR2);
    master.wait_for_log("it does not end");
    assert_eq!((master.answer().as_deref(), master.worker()), (Some("one"), worker));
    fs::remove_file(&program).expect("the link is there");
    fs::hard_link(HARING, &program).expect("another link in its place");
    master.reload("two");
    let exe = fs::read_link(format!("/proc/{}/exe", master.pid())).expect("it runs");
    assert_eq!(exe, program);
}

#[test]
fn a_master_replaces_another_one() {
    let place = Dir::new();
    let admin = place.0.join("admin");
    let socket = format!(" stats socket {} level admin expose-fd listeners", admin.display());
    let mut old = Master::start(HARING, &["-W"], &socket);
    // An idle client stays connected over it.
    let mut client = Client::connect(old.port);
    let request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    client.send(request);
    assert_eq!(client.answer().map(|a| a.body), Some(b"one".to_vec()));
    let pid = old.pid().to_string();
    let config = old.dir.file("new.cfg", &config(old.port, "two", &socket));
    let log = fs::File::create(old.dir.0.join("new.log")).expect("a file");
    let mut command = Command::new(HARING);
    command.args(["-W", "-x"]).arg(&admin).args(["-sf", &pid, "-f"]).arg(config);
    let child = command.current_dir(&old.dir.0).stdin(Stdio::null()).stderr(log).spawn();
    let mut child = child.expect("it starts");
    assert_eq!(old.ended().code(), Some(0), "{}", old.log());
    assert_eq!(old.answer().as_deref(), Some("two"));
    client.send(request);
    assert_eq!(client.answer().map(|a| a.body), Some(b"two".to_vec()));
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("it runs");
    assert_eq!(child.wait().expect("our child").code(), Some(0));
}

#[test]
fn a_configuration_that_can_be_read_once_is_for_the_worker_alone() {
    let mut child = Command::new(HARING)
        .args(["-db", "-f", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let text = config(free_port(), "one", " master-worker");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let out = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.contains("can be read again"), "{text}");
}

#[test]
fn the_configuration_may_ask_for_a_master() {
    let mut master = Master::start(HARING, &["-db"], " master-worker");
    let worker = master.worker();
    assert_ne!(worker, master.pid().as_raw());
    master.signal(Signal::SIGUSR1);
    assert_eq!(master.ended().code(), Some(0), "{}", master.log());
}

#[test]
fn the_wrapper_answers_what_the_program_answers() {
    let version = |program: &str| Command::new(program).arg("-v").output().expect("it runs").stdout;
    assert_eq!(version(WRAPPER), version(HARING));
    let code = |args: &[&str]| Command::new(WRAPPER).args(args).output().expect("it runs").status.code();
    assert_eq!(code(&["-no-such-option"]), Some(1));
    assert_eq!(code(&["-c", "-f", "/nonexistent"]), Some(1));
    assert!(Path::new(WRAPPER).exists());
}
