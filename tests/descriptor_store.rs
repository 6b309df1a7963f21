//! The master and a service manager: what it reports, what it has kept, what it takes back. A small service manager of
//! our own stands in for systemd here; tests/systemd.rs runs the real one.

#![allow(clippy::disallowed_methods)] // This test waits for real processes in real time.

use std::collections::BTreeMap;
use std::io::{IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::stat::fstat;
use nix::unistd::Pid;

#[allow(dead_code)]
#[path = "e2e/support.rs"]
mod support;

use support::{Dir, wait_until};

const HARING: &str = env!("CARGO_BIN_EXE_haring");

/// What the service has told, and what it has had kept.
#[derive(Default)]
struct Told {
    lines: Vec<String>,
    kept: BTreeMap<String, Vec<OwnedFd>>,
}

/// A service manager: a socket, and a thread that reads it.
struct Manager {
    dir: Dir,
    told: Arc<Mutex<Told>>,
    /// A socket that it has opened itself.
    activated: TcpListener,
}

impl Manager {
    fn new() -> Manager {
        let dir = Dir::new();
        let socket = UnixDatagram::bind(dir.0.join("notify")).expect("a socket");
        let told = Arc::new(Mutex::new(Told::default()));
        let theirs = told.clone();
        std::thread::spawn(move || {
            while let Some((text, fds)) = receive(&socket) {
                take(&mut theirs.lock().expect("no panic"), &text, fds);
            }
        });
        let activated = TcpListener::bind("127.0.0.1:0").expect("loopback");
        Manager { dir, told, activated }
    }

    fn configure(&self, text: &str) {
        self.configure_at("fd@3", text);
    }

    fn configure_at(&self, bind: &str, text: &str) {
        let user = if nix::unistd::Uid::effective().is_root() { " user root\n" } else { "" };
        let text = format!(
            "global\n nbthread 1\n{user}defaults\n mode http\n timeout connect 2s\n timeout client 10s\n timeout server 10s\n\
             frontend f\n bind {bind}\n{text}\n"
        );
        self.dir.file("haring.cfg", &text);
    }

    /// Start a master with what is kept, as systemd does.
    fn start(&self) -> Service {
        let mut numbers = vec![self.pass(&self.activated.try_clone().expect("a descriptor").into())];
        let mut names = vec!["web".to_owned()];
        for (name, fds) in &self.told.lock().expect("no panic").kept {
            for fd in fds {
                numbers.push(self.pass(fd));
                names.push(name.clone());
            }
        }
        let mut script = String::new();
        for (n, number) in numbers.iter().enumerate() {
            script.push_str(&format!("exec {}<&{number} {number}<&-; ", n + 3));
        }
        script.push_str("export LISTEN_PID=$$; exec \"$@\"");
        let log = std::fs::File::options().append(true).create(true).open(self.dir.0.join("log"));
        let log = log.expect("a file");
        let mut command = Command::new("bash");
        command.args(["-c", &script, "bash", HARING, "-Ws", "-f"]).arg(self.dir.0.join("haring.cfg"));
        command.arg("-S").arg(self.dir.0.join("master.sock"));
        command.env("LISTEN_FDS", numbers.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        command
            .env("NOTIFY_SOCKET", self.dir.0.join("notify"))
            .env("WATCHDOG_USEC", "200000")
            .env("FDSTORE", "4096");
        command.stdout(log.try_clone().expect("a descriptor")).stderr(log).stdin(Stdio::null());
        let child = command.spawn().expect("it starts");
        for number in numbers {
            nix::unistd::close(number).expect("it is open");
        }
        Service(child)
    }

    /// A number under which the next child has this descriptor.
    fn pass(&self, fd: &OwnedFd) -> i32 {
        fcntl(fd, FcntlArg::F_DUPFD(200)).expect("a descriptor")
    }

    /// Wait until that was told, and forget everything up to it.
    fn wait_for(&self, what: &str) -> String {
        let mut found = None;
        wait_until(&format!("{what} in {}", self.log()), || {
            let mut told = self.told.lock().expect("no panic");
            let at = told.lines.iter().position(|line| line.contains(what));
            found = at.and_then(|at| told.lines.drain(..=at).next_back());
            found.is_some()
        });
        found.expect("it was found")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.0.join("log")).unwrap_or_default()
    }

    fn kept(&self, kind: &str) -> Vec<String> {
        let told = self.told.lock().expect("no panic");
        let kept = told.kept.iter().filter(|(name, fds)| name.starts_with(kind) && !fds.is_empty());
        kept.map(|(name, _)| name.clone()).collect()
    }

    /// The worker that serves, as its master has reported it.
    fn worker(&self) -> i32 {
        wait_until("one worker", || self.kept("worker/").len() == 1);
        self.kept("worker/")[0].trim_start_matches("worker/").parse().expect("a number")
    }

    fn answer(&self) -> String {
        let address = self.activated.local_addr().expect("bound");
        let mut stream = TcpStream::connect(address).expect("the socket is open");
        stream.set_read_timeout(Some(support::PATIENCE)).expect("valid");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }
}

fn receive(socket: &UnixDatagram) -> Option<(String, Vec<OwnedFd>)> {
    let mut bytes = [0; 4096];
    let mut control = nix::cmsg_space!([i32; 8]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
    let mut fds = Vec::new();
    for part in message.cmsgs().ok()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            let adopt = |n: &i32| haring::sys::process::adopt_fd(*n).expect("it was received");
            fds.extend(numbers.iter().map(adopt));
        }
    }
    let len = message.bytes;
    Some((String::from_utf8_lossy(&bytes[..len]).into_owned(), fds))
}

fn take(told: &mut Told, text: &str, fds: Vec<OwnedFd>) {
    let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored").to_owned();
    if text.lines().any(|line| line == "FDSTORE=1") {
        assert!(!name.contains(':') && name.len() <= 255, "{name}");
        // systemd does not keep the same twice, under whatever names.
        let inode = |fd: &OwnedFd| fstat(fd).expect("it is open").st_ino;
        let known: Vec<u64> = told.kept.values().flatten().map(inode).collect();
        let new = fds.into_iter().filter(|fd| !known.contains(&inode(fd)));
        told.kept.entry(name.clone()).or_default().extend(new);
    } else if text.lines().any(|line| line == "FDSTOREREMOVE=1") {
        told.kept.remove(&name);
    }
    told.lines.push(text.replace('\n', " | "));
}

struct Service(Child);

impl Service {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).expect("it runs");
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("its end", || {
            status = self.0.try_wait().expect("our child");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn runs(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn says(body: &str) -> String {
    format!(" http-request return status 200 content-type text/plain string {body}")
}

#[test]
fn a_service_manager_learns_everything_and_gives_back_what_it_has_kept() {
    let manager = Manager::new();
    manager.configure(&says("one"));
    let mut service = manager.start();
    let ready = manager.wait_for("READY=1");
    assert!(ready.contains(&format!("MAINPID={}", service.0.id())), "{ready}");
    let first = manager.worker();
    assert!(ready.contains(&format!("STATUS=Worker {first} serves")), "{ready}");
    manager.wait_for("WATCHDOG=1");
    assert_eq!(manager.answer(), "one");

    // A reload.
    manager.configure(&says("two"));
    service.signal(Signal::SIGUSR2);
    let reloading = manager.wait_for("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.wait_for("READY=1");
    let second = manager.worker();
    assert_ne!(second, first);
    wait_until("the first one ends", || !runs(first) && manager.kept("leaving/").is_empty());
    assert_eq!(manager.answer(), "two");

    // One that fails.
    manager.configure(" nonsense");
    service.signal(Signal::SIGUSR2);
    manager.wait_for("RELOADING=1");
    let status = manager.wait_for("READY=1");
    assert!(status.contains("STATUS=Last start failed"), "{status}");
    assert!(status.contains("haring.cfg") && status.contains("'nonsense'"), "{status}");
    assert_eq!((manager.worker(), manager.answer().as_str()), (second, "two"));

    // The master is killed: its worker serves on, and the next master replaces it.
    manager.configure(&says("three"));
    service.signal(Signal::SIGKILL);
    service.ended();
    assert_eq!(manager.answer(), "two");
    let mut service = manager.start();
    manager.wait_for("READY=1");
    wait_until("the second one ends", || !runs(second));
    let third = manager.worker();
    assert_eq!(manager.answer(), "three");

    // A configuration that is broken when the master starts: the worker stays all the same.
    manager.configure(" nonsense");
    service.signal(Signal::SIGKILL);
    service.ended();
    let mut service = manager.start();
    let status = manager.wait_for("READY=1");
    assert!(status.contains("STATUS=Last start failed"), "{status}");
    assert_eq!((manager.worker(), manager.answer().as_str()), (third, "three"));

    // A stop: the master ends alone, the worker ends with what the manager has kept.
    service.signal(Signal::SIGTERM);
    manager.wait_for("STOPPING=1");
    assert_eq!(service.ended().code(), Some(0), "{}", manager.log());
    assert!(runs(third) && manager.answer() == "three");
    manager.told.lock().expect("no panic").kept.clear();
    wait_until("the third one ends", || !runs(third));

    // A socket that the manager has opened is also taken for its address: nobody else could bind that.
    manager.configure_at(&manager.activated.local_addr().expect("bound").to_string(), &says("four"));
    let mut service = manager.start();
    manager.wait_for("READY=1");
    assert_eq!(manager.answer(), "four");
    manager.configure_at(&manager.activated.local_addr().expect("bound").to_string(), &says("five"));
    service.signal(Signal::SIGUSR2);
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    wait_until("the new one answers", || manager.answer() == "five");

    // SIGINT ends everything, whatever is kept.
    let worker = manager.worker();
    service.signal(Signal::SIGINT);
    assert_eq!(service.ended().code(), Some(130), "{}", manager.log());
    assert!(!runs(worker));
}

/// A worker that finishes has as much time when the master ends, or is killed, as without that.
#[test]
fn a_worker_that_finishes_outlives_its_master() {
    let manager = Manager::new();
    let server = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = server.local_addr().expect("bound").port();
    manager.configure(&format!(" default_backend b\nbackend b\n server s 127.0.0.1:{port}"));
    let mut service = manager.start();
    manager.wait_for("READY=1");
    let first = manager.worker();
    let mut client = TcpStream::connect(manager.activated.local_addr().expect("bound")).expect("it listens");
    client.set_read_timeout(Some(support::PATIENCE)).expect("valid");
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
    let (mut asked, _) = server.accept().expect("the request comes");
    manager.configure(&says("two"));
    service.signal(Signal::SIGUSR2);
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    wait_until("its channel is kept", || manager.kept("leaving/").len() == 1);
    for (signal, answer) in [(Signal::SIGTERM, "three"), (Signal::SIGKILL, "four")] {
        manager.configure(&says(answer));
        service.signal(signal);
        service.ended();
        assert!(runs(first), "{signal}");
        service = manager.start();
        manager.wait_for("READY=1");
        wait_until("the next one answers", || manager.answer() == answer);
    }
    assert!(runs(first));
    asked.write_all(b"HTTP/1.0 200 OK\r\n\r\nlate").expect("it waits");
    drop(asked);
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an answer");
    assert!(text.ends_with("late"), "{text}");
    wait_until("it ends then", || !runs(first));
    service.signal(Signal::SIGINT);
    service.ended();
}

#[test]
fn the_admin_socket_of_the_master_is_kept() {
    let manager = Manager::new();
    let path = manager.dir.0.join("master.sock");
    let ask = || {
        let mut stream = UnixStream::connect(&path).expect("it is open");
        stream.set_read_timeout(Some(support::PATIENCE)).expect("valid");
        stream.write_all(b"show cli level\n").expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("open");
        stream
    };
    let answer = |mut stream: UnixStream| {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    };
    manager.configure(&says("one"));
    let mut service = manager.start();
    manager.wait_for("READY=1");
    assert_eq!(manager.kept("master-cli/").len(), 1);
    assert_eq!(answer(ask()), "admin\n\n");
    service.signal(Signal::SIGKILL);
    service.ended();
    // Whoever comes while there is no master has to wait.
    let early = ask();
    let mut service = manager.start();
    assert_eq!(answer(early), "admin\n\n");
    manager.wait_for("READY=1");
    // A socket whose file is gone is of no use.
    std::fs::remove_file(&path).expect("it is there");
    service.signal(Signal::SIGKILL);
    service.ended();
    let mut service = manager.start();
    manager.wait_for("READY=1");
    assert_eq!(answer(ask()), "admin\n\n");
    assert_eq!(manager.kept("master-cli/").len(), 1);
    service.signal(Signal::SIGINT);
    service.ended();
}
