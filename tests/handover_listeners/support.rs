//! Processes, ports and directories.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub const HARING: &str = env!("CARGO_BIN_EXE_haring");
/// How long anything may take that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A child that is started while another thread prepares a descriptor for its own child would inherit that one.
static SPAWN: Mutex<()> = Mutex::new(());

/// A directory that goes away with the value.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("haring-listen-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory for the test");
        Dir(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).expect("the directory is writable");
        self.path(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running process; killed when the test ends before it does. What it says is in a file.
pub struct Process {
    pub child: Child,
    said: PathBuf,
}

impl Process {
    pub fn spawn(command: &mut Command, dir: &Dir, prepare: impl FnOnce(&mut Command)) -> Process {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let said = dir.0.join(format!("said{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = fs::File::create(&said).expect("the directory is writable");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let guard = SPAWN.lock().unwrap_or_else(PoisonError::into_inner);
        prepare(command);
        let child = command.spawn().expect("the binary starts");
        drop(guard);
        Process { child, said }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Its end, which comes soon.
    pub fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < until, "it goes on; it said:\n{}", self.said());
            sleep(Duration::from_millis(5));
        }
    }

    /// What it wrote to standard error.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} said ---\n{}", self.pid(), self.said());
        }
    }
}

pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < limit, "not in time: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// A loopback port that nobody listens on, below the range that the kernel gives to clients.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const LOW: u16 = 10_240;
    const HIGH: u16 = 32_000;
    let start = LOW + (std::process::id() * 67 % u32::from(HIGH - LOW)) as u16;
    let _ = NEXT.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if port >= HIGH {
            NEXT.store(LOW, Ordering::Relaxed);
        } else if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// One request; the answer's body.
pub fn get(port: u16) -> std::io::Result<String> {
    exchange(TcpStream::connect(("127.0.0.1", port))?)
}

pub fn exchange(stream: TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    request(stream)
}

pub fn exchange_unix(stream: UnixStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    request(stream)
}

fn request(mut stream: impl Read + Write) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut out = String::new();
    stream.read_to_string(&mut out)?;
    let body = out.split_once("\r\n\r\n").filter(|(head, _)| head.starts_with("HTTP/1.1 200"));
    body.map(|(_, body)| body.to_owned()).ok_or_else(|| std::io::Error::other(format!("got {out:?}")))
}

/// One command on an admin connection.
pub fn ask(mut stream: UnixStream, line: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    let mut out = String::new();
    stream.read_to_string(&mut out).expect("an answer and a close");
    out
}

pub const DEFAULTS: &str =
    "defaults\n mode http\n timeout connect 2s\n timeout client 10s\n timeout server 10s\n";

/// A configuration whose frontend answers with `name` by itself.
pub fn answering(global: &str, binds: &str, name: &str) -> String {
    format!(
        "global\n{global}\n{DEFAULTS}frontend web\n{binds}\n http-request return status 200 content-type text/plain \
         string {name}\n"
    )
}
