//! The program as its operator meets it: exit codes, signals, sockets, rights. Each test starts the binary.

#![allow(clippy::disallowed_methods)] // These tests wait for a real process in real time.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const HARING: &str = env!("CARGO_BIN_EXE_haring");
const WRAPPER: &str = env!("CARGO_BIN_EXE_haring-systemd-wrapper");

/// A directory of its own for each test, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("haring-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory for the test");
        Dir(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn config(&self, text: &str) -> String {
        let path = self.path("haring.cfg");
        fs::write(&path, text).expect("the configuration can be written");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running process; killed when the test ends before it does.
struct Running(Child);

impl Running {
    fn start(program: &str, args: &[&str]) -> Running {
        let child = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        Running(child.expect("the binary starts"))
    }

    fn haring(config: &str) -> Running {
        Running::start(HARING, &["-db", "-f", config])
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id() as i32)
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it runs");
    }

    /// Wait for its end, at most that long.
    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if let Some(status) = self.0.try_wait().expect("it is our child") {
                return Some(status);
            }
            sleep(Duration::from_millis(5));
        }
        None
    }

    fn ended(&mut self) -> ExitStatus {
        self.wait(Duration::from_secs(5)).expect("it ends within five seconds")
    }

    /// What it wrote to standard error; after its end only.
    fn errors(&mut self) -> String {
        let mut text = String::new();
        let _ = self.0.stderr.take().expect("piped").read_to_string(&mut text);
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(args: &[&str]) -> Output {
    Command::new(HARING).args(args).output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A loopback port that nobody listens on now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("bound").port()
}

/// Wait until somebody accepts there.
fn wait_for(port: u16) {
    let until = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "nobody listens on {port}");
        sleep(Duration::from_millis(10));
    }
}

/// A server that answers each connection's first request after `delay`, with its name, and closes.
fn origin(name: &'static str, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, name, delay));
        }
    });
    port
}

fn answer(mut stream: TcpStream, name: &str, delay: Duration) {
    let mut request = [0; 4096];
    if stream.read(&mut request).unwrap_or(0) == 0 {
        return;
    }
    sleep(delay);
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{name}", name.len());
    let _ = stream.write_all(head.as_bytes());
}

fn get(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut out = Vec::new();
    stream.read_to_end(&mut out)?;
    Ok(text(&out))
}

const DEFAULTS: &str =
    "defaults\n mode http\n timeout connect 2s\n timeout client 10s\n timeout server 10s\n";

fn proxy(port: u16, origin: u16, global: &str) -> String {
    format!("global\n{global}\n{DEFAULTS}listen web\n bind 127.0.0.1:{port}\n server s 127.0.0.1:{origin}\n")
}

fn command(path: &str, line: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("the admin socket is there");
    stream.set_read_timeout(Some(Duration::from_secs(3))).expect("a timeout");
    stream.write_all(line.as_bytes()).expect("it reads");
    stream.shutdown(Shutdown::Write).expect("half close");
    let mut out = String::new();
    stream.read_to_string(&mut out).expect("an answer and a close");
    out
}

#[test]
fn check_has_three_exit_codes() {
    let dir = Dir::new();
    let good = dir.config(&proxy(1, 2, ""));
    let out = run(&["-c", "-V", "-f", &good]);
    assert_eq!((out.status.code(), text(&out.stdout).trim()), (Some(0), "Configuration file is valid"));
    let out = run(&["-f", &good, "-c", "-q"]);
    assert_eq!((out.status.code(), out.stdout.len(), out.stderr.len()), (Some(0), 0, 0));
    let bad = dir.config("listen web\n bnid :1\n");
    let out = run(&["-c", "-f", &bad]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("haring.cfg:2]"), "{}", text(&out.stderr));
    assert_eq!(run(&["-c", "-f", "/nonexistent.cfg"]).status.code(), Some(1));
    let empty = dir.config("global\n maxconn 10\n");
    assert_eq!(run(&["-c", "-f", &empty]).status.code(), Some(2));
    let old =
        dir.config(&format!("{DEFAULTS}listen web 127.0.0.1:1\n server s 127.0.0.1:2\n clitimeout 5000\n"));
    assert_eq!(run(&["-c", "-f", &old]).status.code(), Some(0));
    assert_eq!(run(&["-c", "-dW", "-f", &old]).status.code(), Some(1));
}

#[test]
fn conditions_and_information() {
    assert_eq!(run(&["-cc", "streq(a,a) && !streq(a,b)"]).status.code(), Some(0));
    assert_eq!(run(&["-cc", "streq(a,b)"]).status.code(), Some(1));
    assert_eq!(run(&["-cc", "streq(a"]).status.code(), Some(2));
    let out = text(&run(&["-vv"]).stdout);
    assert_eq!(out.split_whitespace().nth(2), Some(env!("CARGO_PKG_VERSION")));
    assert!(out.contains("\n  TARGET  = linux-glibc\n"), "{out}");
    let out = run(&["-x-y"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("unknown option '-x-y'"));
    assert!(text(&out.stderr).contains("Usage :"));
}

#[test]
fn every_address_in_use_is_named_with_its_line() {
    let dir = Dir::new();
    let holders: Vec<TcpListener> =
        (0..2).map(|_| TcpListener::bind("127.0.0.1:0").expect("loopback")).collect();
    let ports: Vec<u16> = holders.iter().map(|l| l.local_addr().expect("bound").port()).collect();
    let config = dir.config(&format!(
        "{DEFAULTS}frontend a\n bind 127.0.0.1:{}\n bind 127.0.0.1:{}\nfrontend b\n bind 127.0.0.1:{}\n",
        ports[0],
        free_port(),
        ports[1]
    ));
    let out = run(&["-db", "-f", &config]);
    assert_eq!(out.status.code(), Some(1));
    let errors = text(&out.stderr);
    for (line, frontend) in [(7, "a"), (10, "b")] {
        let head = format!(
            "Binding [{config}:{line}] for frontend {frontend}: cannot bind socket (Address already in use)"
        );
        assert!(errors.contains(&head), "{errors}");
    }
}

#[test]
fn sigterm_and_sigint_stop_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let dir = Dir::new();
        let port = free_port();
        let mut haring = Running::haring(&dir.config(&proxy(port, 1, "")));
        wait_for(port);
        let _idle = TcpStream::connect(("127.0.0.1", port)).expect("it serves");
        let asked = Instant::now();
        haring.signal(signal);
        assert_eq!(haring.ended().signal(), Some(signal as i32));
        assert!(asked.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn soft_stop_finishes_what_runs() {
    let dir = Dir::new();
    let port = free_port();
    let slow = origin("slow", Duration::from_millis(600));
    let mut haring = Running::haring(&dir.config(&proxy(port, slow, "nbthread 2")));
    wait_for(port);
    // An idle keep-alive connection must not keep the process.
    let mut idle = TcpStream::connect(("127.0.0.1", port)).expect("it serves");
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    let mut first = [0; 4096];
    assert!(idle.read(&mut first).expect("an answer") > 0);
    let running = thread::spawn(move || get(port));
    sleep(Duration::from_millis(200));
    haring.signal(Signal::SIGUSR1);
    sleep(Duration::from_millis(100));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "it still listens");
    let answer = running.join().expect("no panic").expect("the running request is answered");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("slow"), "{answer}");
    assert_eq!(haring.ended().code(), Some(0));
    assert!(haring.errors().contains("Proxy web stopped"));
}

#[test]
fn hard_stop_after_bounds_a_soft_stop() {
    let dir = Dir::new();
    let port = free_port();
    let never = origin("never", Duration::from_secs(60));
    let mut haring = Running::haring(&dir.config(&proxy(port, never, "hard-stop-after 300ms")));
    wait_for(port);
    thread::spawn(move || get(port));
    sleep(Duration::from_millis(100));
    haring.signal(Signal::SIGUSR1);
    assert!(haring.wait(Duration::from_millis(150)).is_none(), "the request runs");
    assert!(haring.wait(Duration::from_secs(3)).is_some());
}

#[test]
fn pause_and_resume() {
    let dir = Dir::new();
    let port = free_port();
    let fast = origin("fast", Duration::ZERO);
    let haring = Running::haring(&dir.config(&proxy(port, fast, "")));
    wait_for(port);
    assert!(get(port).expect("served").ends_with("fast"));
    haring.signal(Signal::SIGTTOU);
    sleep(Duration::from_millis(100));
    let waiting = thread::spawn(move || get(port));
    sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished(), "a paused frontend serves nobody");
    haring.signal(Signal::SIGTTIN);
    assert!(waiting.join().expect("no panic").expect("served later").ends_with("fast"));
}

#[test]
fn the_foreground_leaves_the_pid_file_alone() {
    let dir = Dir::new();
    let port = free_port();
    let config = dir.config(&format!("global\n pidfile /nosuch/dir/pid\n{}", proxy(port, 1, "")));
    let haring = Running::start(HARING, &["-db", "-f", &config]);
    wait_for(port);
    drop(haring);
}

#[test]
fn a_check_finds_unknown_users() {
    let dir = Dir::new();
    for line in ["user nosuchuser", "group nosuchgroup", "unix-bind user nosuchuser"] {
        let config = dir.config(&format!("global\n {line}\n{}", proxy(free_port(), 1, "")));
        let out = run(&["-c", "-f", &config]);
        assert_eq!(out.status.code(), Some(1), "{line}");
        assert!(text(&out.stderr).contains(":2] : cannot find"), "{}", text(&out.stderr));
    }
}

#[test]
fn daemon_writes_its_pid() {
    let dir = Dir::new();
    let port = free_port();
    let config = dir.config(&proxy(port, 1, ""));
    let pidfile = dir.path("pid");
    let out = run(&["-D", "-p", &pidfile, "-f", &config]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    wait_for(port);
    let pid: i32 = fs::read_to_string(&pidfile).expect("written").trim().parse().expect("a number");
    let pid = Pid::from_raw(pid);
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
    assert!(text(&command_line).contains("haring"));
    assert_eq!(nix::unistd::getsid(Some(pid)), Ok(pid), "it leads a session of its own");
    kill(pid, Signal::SIGTERM).expect("it runs");
    let until = Instant::now() + Duration::from_secs(3);
    while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z ")) {
        assert!(Instant::now() < until, "it does not stop");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_successor_tells_the_old_one_to_finish() {
    let dir = Dir::new();
    let port = free_port();
    let fast = origin("fast", Duration::ZERO);
    let config = dir.config(&proxy(port, fast, ""));
    let mut old = Running::haring(&config);
    wait_for(port);
    let pid = old.pid().to_string();
    let new = Running::start(HARING, &["-db", "-f", &config, "-sf", &pid]);
    assert_eq!(old.ended().code(), Some(0));
    assert!(get(port).expect("the new one serves").ends_with("fast"));
    drop(new);
}

#[test]
fn rights_are_given_up() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("needs root: chroot, setuid");
        return;
    }
    let dir = Dir::new();
    let port = free_port();
    let jail = dir.path("jail");
    fs::create_dir(&jail).expect("a jail");
    let global = format!(
        "chroot {jail}\n user nobody\n group nogroup\n stats socket {} mode 660\n",
        dir.path("admin")
    );
    let haring = Running::haring(&dir.config(&proxy(port, origin("fast", Duration::ZERO), &global)));
    // The address is bound before the rights go: an answer comes only after that.
    wait_for(port);
    assert!(get(port).expect("it serves in its jail").ends_with("fast"));
    let pid = haring.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).expect("always there");
        line[name.len()..].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let nobody = nix::unistd::User::from_name("nobody").expect("readable").expect("there");
    let nogroup = nix::unistd::Group::from_name("nogroup").expect("readable").expect("there");
    assert_eq!(line("Uid:"), vec![nobody.uid.to_string(); 4]);
    assert_eq!(line("Gid:"), vec![nogroup.gid.to_string(); 4]);
    assert_eq!(line("Groups:"), [nogroup.gid.to_string()]);
    assert_eq!(fs::read_link(format!("/proc/{pid}/root")).expect("readable"), PathBuf::from(&jail));
    let mode = fs::metadata(dir.path("admin")).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(line(set), ["0000000000000000"], "{set}");
    }
    assert_eq!(line("NoNewPrivs:"), ["1"]);
}

#[test]
fn named_capabilities_stay() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("needs root: setuid");
        return;
    }
    let dir = Dir::new();
    let port = free_port();
    let global =
        "user nobody\n group nogroup\n setcap cap_net_admin,cap_net_bind_service\n insecure-setuid-wanted\n";
    let haring = Running::haring(&dir.config(&proxy(port, origin("fast", Duration::ZERO), global)));
    wait_for(port);
    assert!(get(port).expect("it serves").ends_with("fast"));
    let status = fs::read_to_string(format!("/proc/{}/status", haring.pid())).expect("it runs");
    let line = |name: &str| status.lines().find(|l| l.starts_with(name)).expect("always there").to_owned();
    // CAP_NET_BIND_SERVICE is bit 10, CAP_NET_ADMIN bit 12.
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert!(line(set).ends_with("0000000000001400"), "{}", line(set));
    }
    assert!(line("NoNewPrivs:").ends_with('0'));
}

#[test]
fn admin_socket() {
    let dir = Dir::new();
    let port = free_port();
    let path = dir.path("admin");
    let origin = origin("fast", Duration::ZERO);
    let haring =
        Running::haring(&dir.config(&proxy(port, origin, &format!("stats socket {path} level admin"))));
    wait_for(port);
    assert!(get(port).expect("served").ends_with("fast"));
    let info = command(&path, "show info\n");
    assert!(info.contains(&format!("Pid: {}\n", haring.pid())), "{info}");
    assert!(info.contains("\nCumReq: 1\n"), "{info}");
    assert!(info.ends_with("\n\n"));
    let two = command(&path, "show version; show cli level\n");
    assert_eq!(two, format!("{}\n\nadmin\n\n", env!("CARGO_PKG_VERSION")));
    assert!(command(&path, "make coffee\n").starts_with("Unknown command"));
    let stat = command(&path, "show stat -1 4 -1\n");
    let rows: Vec<&str> = stat.lines().collect();
    assert!(rows[1].starts_with("web,s,0,0,0,1,,1,"), "{stat}");
    assert_eq!(command(&path, "disable server web/s\n"), "\n");
    assert!(get(port).expect("answered").starts_with("HTTP/1.1 503"));
    assert_eq!(command(&path, "enable server web/s\n"), "\n");
    assert!(get(port).expect("served").ends_with("fast"));
    assert!(command(&path, "operator; disable server web/s\n").contains("Permission denied"));
    // Interactive: a prompt after each answer, until `quit`.
    let session = command(&path, "prompt\nshow version\nquit\n");
    assert_eq!(session, format!("\n> {}\n\n> ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn inherited_listeners() {
    let dir = Dir::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let fd = listener.as_raw_fd();
    nix::fcntl::fcntl(&listener, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))
        .expect("inheritable");
    let origin = origin("fast", Duration::ZERO);
    let config = dir.config(&format!(
        "global\n nbthread 3\n{DEFAULTS}listen web\n bind \"fd@${{web_fd}}\"\n server s 127.0.0.1:{origin}\n"
    ));
    // These clients wait in the kernel's queue before the program runs: threads that are not ready yet get some.
    let early: Vec<_> = (0..12).map(|_| thread::spawn(move || get(port))).collect();
    sleep(Duration::from_millis(50));
    let child = Command::new(HARING)
        .args(["-d", "-f", &config])
        .env("web_fd", fd.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let haring = Running(child.expect("the binary starts"));
    drop(listener);
    for client in early {
        assert!(client.join().expect("no panic").expect("served").ends_with("fast"));
    }
    for _ in 0..6 {
        assert!(get(port).expect("every thread gets its share").ends_with("fast"));
    }
    drop(haring);
}

#[test]
fn wrapper_replaces_the_process_when_the_configuration_is_good() {
    let dir = Dir::new();
    let port = free_port();
    let config = dir.config(&proxy(port, origin("one", Duration::ZERO), ""));
    let pidfile = dir.path("pid");
    let mut wrapper = Running::start(WRAPPER, &["-f", &config, "-p", &pidfile]);
    wait_for(port);
    let pid = || fs::read_to_string(&pidfile).unwrap_or_default();
    let first = pid();
    assert!(get(port).expect("served").ends_with("one"));
    // A broken configuration changes nothing.
    let mut file = File::options().append(true).open(&config).expect("there");
    file.write_all(b" no-such-keyword\n").expect("written");
    wrapper.signal(Signal::SIGHUP);
    sleep(Duration::from_millis(300));
    assert_eq!(pid(), first);
    dir.config(&proxy(port, origin("two", Duration::ZERO), ""));
    wrapper.signal(Signal::SIGUSR2);
    let until = Instant::now() + Duration::from_secs(5);
    while !get(port).is_ok_and(|a| a.ends_with("two")) {
        assert!(Instant::now() < until, "the new process does not serve");
        sleep(Duration::from_millis(20));
    }
    assert_ne!(pid(), first);
    wrapper.signal(Signal::SIGTERM);
    assert_eq!(wrapper.ended().code(), Some(143));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_replaced_wrapper_takes_over_at_a_reload() {
    // Links, not copies: a copy cannot be executed while another test's child still has it open for writing.
    let bin = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("wrapper-{}", std::process::id()));
    fs::create_dir_all(&bin).expect("a directory for the programs");
    let bin = Dir(bin);
    let wrapper = bin.path("haring-systemd-wrapper");
    fs::hard_link(WRAPPER, &wrapper).expect("a link to the wrapper");
    fs::hard_link(HARING, bin.path("haring")).expect("a link to the program");
    let dir = Dir::new();
    let port = free_port();
    let config = dir.config(&proxy(port, origin("one", Duration::ZERO), ""));
    let mut running = Running::start(&wrapper, &["-f", &config]);
    wait_for(port);
    fs::remove_file(&wrapper).expect("the link is there");
    fs::hard_link(WRAPPER, &wrapper).expect("another link in its place");
    let exe = format!("/proc/{}/exe", running.pid());
    let file = || fs::read_link(&exe).expect("the wrapper runs").display().to_string();
    assert!(file().ends_with(" (deleted)"), "{}", file());
    fs::write(&config, proxy(port, origin("two", Duration::ZERO), ""))
        .expect("the configuration can be written");
    running.signal(Signal::SIGUSR2);
    let until = Instant::now() + Duration::from_secs(10);
    while !get(port).is_ok_and(|a| a.contains("two")) {
        assert!(Instant::now() < until, "the new configuration serves");
        sleep(Duration::from_millis(20));
    }
    assert_eq!(file(), wrapper);
    running.signal(Signal::SIGTERM);
    let status = running.wait(Duration::from_secs(5)).expect("it ends");
    assert_eq!(status.code(), Some(143), "the code of the child that it started anew");
}

#[test]
fn maxconn_lets_clients_wait() {
    let dir = Dir::new();
    let port = free_port();
    let slow = origin("slow", Duration::from_millis(300));
    let config = dir.config(&proxy(port, slow, "nbthread 1\n maxconn 1"));
    let _haring = Running::haring(&config);
    wait_for(port);
    let asked = Instant::now();
    let clients: Vec<_> = (0..3).map(|_| thread::spawn(move || get(port))).collect();
    for client in clients {
        assert!(client.join().expect("no panic").expect("served in the end").ends_with("slow"));
    }
    assert!(asked.elapsed() >= Duration::from_millis(900), "one after the other");
}

/// Wait until the admin socket says `what` about the server `web/s`.
fn wait_for_status(admin: &str, what: &str) {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let stat = command(admin, "show stat -1 4 -1\n");
        let status = stat.lines().nth(1).and_then(|l| l.split(',').nth(17)).unwrap_or_default().to_owned();
        if status == what {
            return;
        }
        assert!(Instant::now() < until, "it is {status}, not {what}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn traffic_counts_as_checks() {
    let dir = Dir::new();
    let port = free_port();
    let admin = dir.path("admin");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let origin = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            if stream.read(&mut request).unwrap_or(0) > 0 {
                let _ =
                    stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        }
    });
    let check = "check inter 10s observe layer7 error-limit 3 on-error mark-down";
    let config = format!(
        "global\n stats socket {admin}\n{DEFAULTS}listen web\n bind 127.0.0.1:{port}\n server s 127.0.0.1:{origin} {check}\n"
    );
    let _haring = Running::haring(&dir.config(&config));
    wait_for(port);
    for _ in 0..3 {
        assert!(get(port).expect("answered").starts_with("HTTP/1.1 500"));
    }
    wait_for_status(&admin, "DOWN");
    assert!(get(port).expect("answered").starts_with("HTTP/1.1 503"));
}

#[test]
fn sessions_end_with_their_server() {
    let dir = Dir::new();
    let port = free_port();
    let admin = dir.path("admin");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let origin = listener.local_addr().expect("bound").port();
    let kept = thread::spawn(move || listener.incoming().flatten().take(2).collect::<Vec<_>>());
    let config = format!(
        "global\n nbthread 2\n stats socket {admin} level admin\n{DEFAULTS}listen web\n mode tcp\n bind 127.0.0.1:{port}\n \
         server s 127.0.0.1:{origin} check inter 10s on-marked-down shutdown-sessions\n"
    );
    let _haring = Running::haring(&dir.config(&config));
    // The check's connection is the other one that the origin sees.
    let until = Instant::now() + Duration::from_secs(5);
    let mut client = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(client) => break client,
            Err(_) => assert!(Instant::now() < until, "nobody listens"),
        }
        sleep(Duration::from_millis(10));
    };
    client.set_read_timeout(Some(Duration::from_secs(3))).expect("a timeout");
    let _origin_side = kept.join().expect("two connections");
    sleep(Duration::from_millis(50));
    command(&admin, "set server web/s health down\n");
    let mut byte = [0];
    let end = client.read(&mut byte);
    assert!(matches!(end, Ok(0)) || end.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset));
}

/// A service whose configuration names no user is not started as root by mistake; `user root` says that it is meant.
#[test]
fn no_service_runs_as_root_by_mistake() {
    let dir = Dir::new();
    let check = |user: &str| {
        let config = dir.config(&proxy(free_port(), free_port(), user));
        let out = Command::new(HARING).args(["-Ws", "-c", "-f"]).arg(&config).output().expect("it runs");
        (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (ok, said) = check("");
    assert!(!ok && said.contains("'global' names no user") && said.contains("user root"), "{said}");
    assert_eq!(check("user root\n"), (true, String::new()));
    assert_eq!(check("user nobody\n group nogroup\n"), (true, String::new()));
}
