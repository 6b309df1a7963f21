//! The master's admin socket (`-S`) as its operator meets it. Each test starts the binary.

#![allow(clippy::disallowed_methods)] // These tests wait for real processes in real time.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::Pid;

#[allow(dead_code)]
#[path = "e2e/support.rs"]
mod support;

use support::{Client, Dir, free_port, get, wait_until};

const HARING: &str = env!("CARGO_BIN_EXE_haring");

struct Master {
    child: Child,
    dir: Dir,
    port: u16,
}

fn config(port: u16, body: &str, more: &str) -> String {
    format!(
        "global\n nbthread 1\n{more}\ndefaults\n mode http\n timeout connect 2s\n timeout client 10s\n timeout server 10s\n\
         frontend f\n bind 127.0.0.1:{port}\n http-request return status 200 content-type text/plain string {body}\n"
    )
}

impl Master {
    fn with(option: &str) -> Master {
        Master::in_dir(Dir::new(), option)
    }

    fn start() -> Master {
        let dir = Dir::new();
        let option = dir.0.join("master.sock").display().to_string();
        Master::in_dir(dir, &option)
    }

    fn in_dir(dir: Dir, option: &str) -> Master {
        let port = free_port();
        let file = dir.file("haring.cfg", &config(port, "one", ""));
        let log = fs::File::create(dir.0.join("log")).expect("a file");
        let mut command = Command::new(HARING);
        command.args(["-W", "-S", option, "-f"]).arg(file).stdin(Stdio::null()).current_dir(&dir.0);
        command.env_remove("NOTIFY_SOCKET").stdout(log.try_clone().expect("a descriptor")).stderr(log);
        let master = Master { child: command.spawn().expect("it starts"), dir, port };
        wait_until("it serves", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        wait_until("the master knows", || master.log().contains(" serves, after "));
        master
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.0.join("log")).unwrap_or_default()
    }

    fn configure(&self, body: &str, more: &str) {
        self.dir.file("haring.cfg", &config(self.port, body, more));
    }

    fn body(&self) -> String {
        String::from_utf8(get(self.port, "/", "host: x\r\n").body).expect("text")
    }

    fn connect(&self) -> Talk<UnixStream> {
        let stream = UnixStream::connect(self.dir.0.join("master.sock")).expect("it listens");
        stream.set_read_timeout(Some(support::PATIENCE)).expect("valid");
        Talk { stream, read: String::new() }
    }

    /// All that is answered to these lines, as socat has it.
    fn ask(&self, lines: &str) -> String {
        let mut talk = self.connect();
        talk.say(lines);
        talk.stream.shutdown(Shutdown::Write).expect("open");
        talk.rest()
    }

    /// The processes of that kind under that title of `show proc`.
    fn processes(&self, title: &str) -> Vec<i32> {
        let text = self.ask("show proc");
        let section = text.split(title).nth(1).unwrap_or_default();
        let lines = section.lines().skip(1).take_while(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| line.split(' ').next().expect("a column").parse().expect("a number")).collect()
    }

    fn worker(&self) -> i32 {
        let all = self.processes("# workers");
        assert_eq!(all.len(), 1, "{all:?}");
        all[0]
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// A client that waits for what it expects.
struct Talk<S> {
    stream: S,
    read: String,
}

impl<S: Read + Write> Talk<S> {
    fn say(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("sent");
    }

    /// Everything up to an ending that was not read before.
    fn until(&mut self, end: &str) -> String {
        let mut piece = [0; 4096];
        loop {
            if let Some(at) = self.read.find(end) {
                return self.read.drain(..at + end.len()).collect();
            }
            let n = self.stream.read(&mut piece).unwrap_or_else(|e| panic!("{e}: {}", self.read));
            assert!(n > 0, "it has ended: {}", self.read);
            self.read.push_str(&String::from_utf8_lossy(&piece[..n]));
        }
    }

    fn rest(&mut self) -> String {
        let mut text = std::mem::take(&mut self.read);
        self.stream.read_to_string(&mut text).expect("text");
        text
    }
}

#[test]
fn a_reload_answers_when_it_is_done_and_says_why_it_failed() {
    let master = Master::start();
    let first = master.worker();
    master.configure("two", "");
    let answer = master.ask("reload; show version");
    assert!(answer.starts_with("Success=1\n--\n") && answer.ends_with(" serves\n\n"), "{answer}");
    // The one before may take a last connection.
    wait_until("it serves", || master.body() == "two");
    let second = master.worker();
    assert_ne!(second, first);
    assert!(master.ask("@1 show info").contains(&format!("Pid: {second}\n")));

    master.configure("three", " nonsense");
    let answer = master.ask("reload");
    assert!(answer.starts_with("Success=0\n--\n"), "{answer}");
    assert!(answer.contains("[ALERT]") && answer.contains("unknown keyword 'nonsense'"), "{answer}");
    assert_eq!((master.body().as_str(), master.worker()), ("two", second));
    let logs = master.ask("show startup-logs");
    assert!(logs.contains("unknown keyword 'nonsense'"), "{logs}");
    assert_eq!(master.ask("prompt"), "master[ReloadFailed]> ");
    assert!(master.ask("show proc").contains(" 2 [failed: 1] "), "{}", master.ask("show proc"));

    master.configure("four", "");
    assert!(master.ask("reload").starts_with("Success=1\n"));
    wait_until("it serves", || master.body() == "four");
    assert_eq!(master.ask("prompt"), "master> ");
    let processes = master.ask("show proc");
    assert!(processes.contains(" 3 [failed: 0] "), "{processes}");
}

#[test]
fn sessions_survive_a_reload_with_all_that_they_were_told() {
    let master = Master::start();
    let mut other = master.connect();
    other.say("prompt");
    other.until("master> ");
    other.say("operator; experimental-mode on; @1");
    let prompt = other.until("(x)> ") + &other.until("(x)> ");
    assert!(prompt.ends_with(&format!("{}(x)> ", master.worker())), "{prompt}");
    // Half a line, and half a payload.
    other.stream.write_all(b"set var proc.x str(\"a\")\nget var pro").expect("sent");
    other.until("(x)> ");
    let mut payload = master.connect();
    payload.say("@1 set var proc.x str(\"a\") <<E\nfirst");
    let mut idle = master.connect();

    let mut own = master.connect();
    own.say("prompt");
    own.until("master> ");
    own.say("reload");
    let answer = own.until("master> ");
    assert!(answer.starts_with("Success=1\n--\n"), "{answer}");
    own.say("show cli level");
    assert_eq!(own.until("master> "), "admin\n\nmaster> ");

    other.say("c.x; show cli level");
    let text = other.until("(x)> ") + &other.until("(x)> ");
    assert!(text.contains("operator\n\n"), "{text}");
    assert!(text.ends_with(&format!("{}(x)> ", master.worker())), "the new worker: {text}");
    payload.say("E\nshow cli level");
    assert!(payload.until("admin\n\n").contains("experimental-mode"), "the command has come whole");
    idle.say("show cli level");
    assert_eq!(idle.until("\n\n"), "admin\n\n");
}

#[test]
fn connections_during_a_reload_are_served() {
    let master = Master::start();
    for _ in 0..5 {
        let mut reload = master.connect();
        reload.say("reload");
        for _ in 0..20 {
            assert_eq!(master.ask("show cli level"), "admin\n\n");
        }
        assert!(reload.rest().starts_with("Success=1\n"));
    }
    // Two at once: whoever asks while a worker starts gets the answer of the reload after that.
    let mut all: Vec<_> = (0..4).map(|_| master.connect()).collect();
    for talk in &mut all {
        talk.say("reload");
        std::thread::sleep(Duration::from_millis(20));
    }
    for talk in &mut all {
        let answer = talk.rest();
        assert!(answer.starts_with("Success=1\n"), "{answer}");
    }
}

#[test]
fn who_sends_a_reload_and_leaves_is_obeyed() {
    let master = Master::start();
    master.configure("two", "");
    let mut talk = master.connect();
    talk.say("reload");
    drop(talk);
    wait_until("reloaded", || master.body() == "two");
    assert_eq!(master.ask("show cli level"), "admin\n\n");
}

#[test]
fn workers_that_leave_are_reached_by_number_until_a_hard_reload_ends_them() {
    let server = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let (address, port) = (server.local_addr().expect("bound"), free_port());
    let silent = format!(
        "listen silent\n mode http\n timeout connect 2s\n timeout client 60s\n timeout server 60s\n \
         bind 127.0.0.1:{port}\n server s {address}\nprogram sleeper\n command /bin/sleep 1000"
    );
    let master = Master::start();
    master.configure("two", &silent);
    assert!(master.ask("reload").starts_with("Success=1\n"));
    let old = master.worker();
    let mut client = Client::connect(port);
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    let _request = server.accept().expect("it arrives");
    assert!(master.ask("reload").starts_with("Success=1\n"));
    let new = master.worker();
    assert_eq!(master.processes("# old workers"), [old]);
    assert_eq!(master.processes("# programs").len(), 1);
    let pid = |of: i32| format!("Pid: {of}\n");
    assert!(master.ask(&format!("@!{old} show info")).contains(&pid(old)));
    assert!(master.ask(&format!("@!{new} show info")).contains(&pid(new)));
    let debug = master.ask("show proc debug");
    assert!(debug.contains("<ipc_fd[0]>") && debug.contains(" sleeper "), "{debug}");

    assert!(master.ask("hard-reload").starts_with("Success=1\n"));
    wait_until("both are gone", || master.processes("# old workers").is_empty());
    assert!(client.answer().is_none_or(|a| a.status != 200), "it was cut");
    let gone = master.ask(&format!("@!{new} show info"));
    assert_eq!(gone, format!("Can't find the target PID matching the prefix '@!{new}'\n"));
    // A session that was in one of them is told so as well.
    assert_eq!(master.worker(), master.processes("# workers")[0]);
}

#[test]
fn a_worker_that_dies_leaves_the_session() {
    let master = Master::start();
    let worker = master.worker();
    let mut talk = master.connect();
    talk.say("prompt");
    talk.until("master> ");
    talk.say("@@1");
    talk.until("> ");
    talk.say("get var proc.x; show version");
    talk.until("> ");
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("it runs");
    talk.until("master> ");
    wait_until("another one", || master.processes("# workers").first().is_some_and(|pid| *pid != worker));
    wait_until("it serves", || master.ask("@1 show cli level") == "admin\n\n");
    talk.say("@1 show cli level");
    assert_eq!(talk.until("master> "), "admin\n\nmaster> ");
}

#[test]
fn a_session_in_a_worker_has_its_own_prompt() {
    let master = Master::start();
    let mut talk = master.connect();
    talk.say("prompt");
    talk.until("master> ");
    talk.say("@@1");
    talk.until("> ");
    talk.say("show cli level; user");
    assert_eq!(talk.until("> "), "admin\n\n\n> ");
    talk.say("show cli level");
    assert_eq!(talk.until("> "), "user\n\n> ");
    talk.say("quit");
    talk.until("master> ");
    talk.say("show cli level");
    assert_eq!(talk.until("master> "), "admin\n\nmaster> ", "the session of the master is another one");
    // One line of commands goes there whole.
    assert_eq!(master.ask("@@1 user; show cli level\nshow cli level"), "\nuser\n\nadmin\n\n");
    // A command that begins a session gets no input.
    assert!(master.ask("@1 prompt\nshow cli level").ends_with("admin\n\n"));
}

#[test]
fn payloads_of_any_size_and_answers_that_nobody_reads() {
    let master = Master::start();
    let map = master.dir.file("big.map", "");
    let more = format!(
        "frontend maps\n bind 127.0.0.1:{}\n http-request redirect location /%[path,map({})]",
        free_port(),
        map.display()
    );
    master.configure("two", &more);
    assert!(master.ask("reload").starts_with("Success=1\n"));
    let lines: String = (0..30_000).map(|n| format!("key{n} value-of-{n}\n")).collect();
    let (half, rest) = lines.split_at(lines[..lines.len() / 2].rfind('\n').expect("a line") + 1);
    for part in [half, rest] {
        assert_eq!(master.ask(&format!("@1 add map {} <<\n{part}", map.display())), "\n");
    }
    let count = |answer: &str| answer.lines().filter(|line| line.contains(" value-of-")).count();
    let show = format!("@1 show map {}", map.display());
    assert_eq!(count(&master.ask(&show)), 30_000);
    // Forty that ask and do not read: neither grows, nor do others wait.
    let memory = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a line");
        line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("KiB")
    };
    let before = memory(master.child.id());
    let mut all: Vec<_> = (0..40).map(|_| master.connect()).collect();
    for talk in &mut all {
        talk.say(&show);
    }
    assert_eq!(count(&master.ask(&show)), 30_000);
    let grown = memory(master.child.id()).saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB");
    let mut last = all.pop().expect("one");
    last.stream.shutdown(Shutdown::Write).expect("open");
    assert_eq!(count(&last.rest()), 30_000, "it only had to wait");
    // A worker that leaves still gives the answers that were asked of it, over images of the master.
    let mut last = all.pop().expect("one");
    drop(all);
    assert!(master.ask("reload").starts_with("Success=1\n"));
    assert!(master.ask("reload").starts_with("Success=1\n"));
    last.stream.shutdown(Shutdown::Write).expect("open");
    let answer = last.rest();
    assert_eq!(count(&answer), 30_000, "{} bytes", answer.len());
}

#[test]
fn too_much_is_refused_and_too_many_make_place() {
    let master = Master::start();
    let mut talk = master.connect();
    talk.stream.write_all(&vec![b'x'; 20_000]).expect("sent");
    assert!(talk.rest().starts_with("The command line is too long"));
    let mut talk = master.connect();
    let line = "y".repeat(60_000) + "\n";
    talk.say("@1 add map #1 <<");
    for _ in 0..40 {
        if talk.stream.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    assert!(talk.rest().starts_with("The payload is too long"));
    // Hundreds of megabytes of payloads are not carried through a reload.
    let mut large: Vec<_> = (0..20).map(|_| master.connect()).collect();
    for talk in &mut large {
        talk.say(&format!("@1 add map #1 <<\n{}", line.repeat(16)));
    }
    assert!(master.ask("reload").starts_with("Success=1\n"));
    assert_eq!(master.ask("@1 show cli level"), "admin\n\n");
    drop(large);
    // Idle connections are given up for new ones when there are too many and they have been quiet for some time.
    let idle: Vec<_> = (0..64).map(|_| master.connect()).collect();
    let began = Instant::now();
    assert_eq!(master.ask("show cli level"), "admin\n\n");
    assert!(began.elapsed() > Duration::from_secs(2), "none of them was quiet for long");
    drop(idle);
    for _ in 0..200 {
        assert_eq!(master.ask("show cli level"), "admin\n\n");
    }
}

#[test]
fn levels_modes_and_owners_of_the_socket() {
    let dir = Dir::new();
    let option = format!("{},mode,600,level,operator", dir.0.join("master.sock").display());
    let master = Master::in_dir(dir, &option);
    let mode = fs::metadata(master.dir.0.join("master.sock")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(master.ask("show cli level; @1 show cli level"), "operator\n\noperator\n\n");
    assert!(master.ask("@1 disable frontend f").starts_with("Permission denied\n"));
    let path = master.dir.0.join("master.sock").display().to_string();
    assert_eq!(master.ask("show cli sockets"), format!("# socket lvl processes\n{path} operator master\n\n"));
    // A level is kept over a reload; it cannot be raised by one.
    assert!(master.ask("reload").starts_with("Success=1\n"));
    assert_eq!(master.ask("@1 show cli level"), "operator\n\n");
}

#[test]
fn every_kind_of_address() {
    let port = free_port();
    let name = format!("abns@haring-mcli-{}-{port}", std::process::id());
    for option in [format!("127.0.0.1:{port}"), format!("[::1]:{port}"), name] {
        let master = Master::with(&option);
        for _ in 0..2 {
            assert!(ask_at(&option, "reload").starts_with("Success=1\n"), "{option}");
            assert!(ask_at(&option, "@1 show info").contains("\nPid: "), "{option}");
        }
        drop(master);
    }
}

fn ask_at(option: &str, line: &str) -> String {
    let mut command = Command::new("socat");
    let address = match option.strip_prefix("abns@") {
        // HAProxy's abstract names fill the whole address.
        Some(name) => format!("ABSTRACT-CONNECT:{name},unix-tightsocklen=0"),
        None => format!("TCP:{option}"),
    };
    let mut child = command
        .args(["-t20", "-", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("socat");
    child.stdin.take().expect("piped").write_all(format!("{line}\n").as_bytes()).expect("sent");
    String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("text")
}

#[test]
fn descriptors_that_the_caller_has_opened() {
    // A listening socket.
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    let number = passed(&listener);
    let mut master = Master::with(&format!("fd@{number}"));
    nix::unistd::close(number).expect("it is open");
    drop(listener);
    for _ in 0..2 {
        assert!(ask_at(&address, "reload").starts_with("Success=1\n"));
    }
    // The workers do not have it: nobody listens when the master is gone.
    master.child.kill().expect("it runs");
    master.child.wait().expect("our child");
    wait_until("closed", || TcpStream::connect(&address).is_err());

    // A socket over which connections come.
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let number = passed(&theirs);
    let _master = Master::with(&format!("sockpair@{number}"));
    nix::unistd::close(number).expect("it is open");
    drop(theirs);
    for _ in 0..2 {
        let (client, server) = UnixStream::pair().expect("a pair");
        let fds = [server.as_raw_fd()];
        let bytes = [std::io::IoSlice::new(b"\0")];
        let rights = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(ours.as_raw_fd(), &bytes, &rights, MsgFlags::empty(), None).expect("sent");
        drop(server);
        client.set_read_timeout(Some(support::PATIENCE)).expect("valid");
        let mut talk = Talk { stream: client, read: String::new() };
        talk.say("reload");
        assert!(talk.rest().starts_with("Success=1\n"));
    }
}

/// A number under which the next child has this descriptor.
fn passed(fd: impl AsFd) -> i32 {
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_DUPFD(300)).expect("a descriptor")
}

#[test]
fn what_is_wrong_with_the_option_is_said_at_the_start() {
    let dir = Dir::new();
    let file = dir.file("a.cfg", &config(free_port(), "one", ""));
    let start = |args: &[&str]| {
        let mut command = Command::new(HARING);
        let out =
            command.args(args).arg("-f").arg(&file).env_remove("NOTIFY_SOCKET").output().expect("it runs");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    for (option, what) in [
        ("/x,levle,admin", "did you mean 'level'?"),
        ("127.0.0.1", "or a path that starts with '/'"),
        ("/nonexistent/x", "its directory must exist"),
        ("fd@777", "that the caller has left open"),
    ] {
        let (code, text) = start(&["-W", "-S", option]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("[ALERT]") && text.contains(what), "{option}: {text}");
    }
    let (code, text) = start(&["-W", "-c", "-S", "/x,levle,admin"]);
    assert!(code == Some(1) && text.contains("did you mean 'level'?"), "{text}");
    let out = start(&["-c", "-q", "-S", "/x,level,admin"]);
    assert_eq!(out, (Some(0), String::new()));
}

#[test]
fn a_master_with_many_idle_and_stuck_sessions_sleeps() {
    let master = Master::start();
    let mut all: Vec<_> = (0..64).map(|_| master.connect()).collect();
    // These send and do not read.
    for talk in &mut all[..8] {
        talk.say("prompt");
        talk.until("master> ");
        talk.say("@@1");
        talk.stream.set_nonblocking(true).expect("valid");
    }
    // Until nobody takes anything any more.
    for _ in 0..10 {
        for talk in &mut all[..8] {
            while talk.stream.write(b"help\n".repeat(1000).as_slice()).is_ok() {}
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // Long enough to be closed for others.
    std::thread::sleep(Duration::from_secs(5));
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", master.child.id())).expect("it runs");
        let fields: Vec<i64> =
            stat.rsplit(") ").next().expect("a line").split(' ').filter_map(|n| n.parse().ok()).collect();
        fields[10] + fields[11]
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    let used = ticks() - before;
    assert!(used < 20, "{used} hundredths of a second");
    assert_eq!(master.ask("show cli level"), "admin\n\n");
}
