//! Processes, ports, receivers and clients for the tests.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(10);

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);
static NEXT_DIR: AtomicU32 = AtomicU32::new(0);

/// A loopback port that nobody listens on, below the range that the kernel gives to clients.
pub fn free_port() -> u16 {
    const LOW: u16 = 10_240;
    const HIGH: u16 = 32_000;
    let start = LOW + (std::process::id() * 61 % u32::from(HIGH - LOW)) as u16;
    let _ = NEXT_PORT.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed);
    loop {
        let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        if port >= HIGH {
            NEXT_PORT.store(LOW, Ordering::Relaxed);
            continue;
        }
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A directory that goes away with the value.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Dir {
        let n = NEXT_DIR.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("haring-e2e-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory is writable");
        Dir(path)
    }

    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("the temporary directory is writable");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A child that is killed, by its own pid, with the value.
pub struct Process {
    pub child: Child,
    pub dir: Dir,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what the process in {} said ---\n{}", self.dir.0.display(), self.output());
        }
    }
}

impl Process {
    /// Everything it wrote to its standard outputs.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.0.join("output")).unwrap_or_default()).into_owned()
    }

    /// Resident memory in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a running process has memory");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number of KiB")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }
}

pub fn start(mut command: Command, dir: Dir, ports: &[u16]) -> Process {
    let output = std::fs::File::create(dir.0.join("output")).expect("the temporary directory is writable");
    command.stdin(Stdio::null());
    command.stdout(output.try_clone().expect("descriptors are left")).stderr(output);
    let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let mut p = Process { child, dir };
    for port in ports {
        wait_until(&format!("port {port} is open"), || {
            assert!(p.is_running(), "{command:?} ended:\n{}", p.output());
            TcpStream::connect(("127.0.0.1", *port)).is_ok()
        });
    }
    p
}

/// The program under test with this configuration; `ports` must be open when it returns.
pub fn haring(config: &str, ports: &[u16]) -> Process {
    launch(config, ports, Command::new(program()))
}

/// The same with so many file descriptors and no more.
pub fn haring_with_descriptors(config: &str, ports: &[u16], descriptors: u32) -> Process {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")).arg(program());
    launch(config, ports, command)
}

/// The same with so many MiB of memory (`-m`) and no more.
pub fn haring_with_memory(config: &str, ports: &[u16], megabytes: u32) -> Process {
    let mut command = Command::new(program());
    command.arg("-m").arg(megabytes.to_string());
    launch(config, ports, command)
}

/// The same with these arguments.
pub fn haring_with(config: &str, ports: &[u16], args: &[&str]) -> Process {
    let mut command = Command::new(program());
    command.args(args);
    launch(config, ports, command)
}

/// Debian's HAProxy with this configuration.
pub fn haproxy(config: &str, ports: &[u16]) -> Process {
    launch(config, ports, Command::new(find_program("haproxy")))
}

fn program() -> std::ffi::OsString {
    std::env::var_os("HARING_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_haring").into())
}

fn launch(config: &str, ports: &[u16], mut command: Command) -> Process {
    let dir = Dir::new();
    let path = dir.file("haring.cfg", config);
    command.arg("-db").arg("-f").arg(path);
    start(command, dir, ports)
}

/// An nginx that names itself, tells what it was sent, and serves /big of one MiB.
pub fn nginx(name: &str, port: u16) -> Process {
    let dir = Dir::new();
    let root = dir.0.clone();
    let root = root.display();
    dir.file("big", &"0123456789abcdef".repeat(65_536));
    let text = format!(
        "daemon off; master_process off; worker_processes 1; error_log {root}/error.log; pid {root}/pid;
         worker_rlimit_nofile 8192;
         events {{ worker_connections 4096; }}
         http {{
            access_log off; keepalive_requests 1000000;
            client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;
            uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
            server {{
                listen 127.0.0.1:{port} backlog=4096;
                add_header X-Name {name} always;
                add_header X-Seen-For \"$http_x_forwarded_for\" always;
                add_header X-Seen-Cookie \"$http_cookie\" always;
                location = /big {{ root {root}; }}
                location / {{ default_type text/plain; return 200 \"this is {name}\\n\"; }}
            }}
         }}"
    );
    let path = dir.file("nginx.conf", &text);
    let mut command = Command::new(find_program("nginx"));
    command.arg("-c").arg(path).arg("-e").arg("stderr").arg("-p").arg(&dir.0);
    start(command, dir, &[port])
}

/// A program by name; Debian keeps some where an ordinary PATH does not look.
pub fn find_program(name: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"])
        .map(|d| Path::new(d).join(name))
        .find(|p| p.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; scripts/test installs what the tests need"))
}

/// Ask again and again, until it is true or patience ends.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_at_most(PATIENCE, what, &mut condition);
}

/// The same with another limit.
pub fn wait_at_most(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < limit, "waited {limit:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A syslog receiver on a UDP port; keeps every datagram.
pub struct Syslog {
    pub port: u16,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Syslog {
    pub fn start() -> Syslog {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
        let _ = nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &(8 << 20));
        let port = socket.local_addr().expect("bound").port();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        std::thread::spawn(move || {
            let mut buf = vec![0; 65_536];
            while let Ok(n) = socket.recv(&mut buf) {
                let text = String::from_utf8_lossy(&buf[..n]).trim_end_matches('\n').to_owned();
                sink.lock().expect("nobody panics with it").push(text);
            }
        });
        Syslog { port, lines }
    }

    /// The lines that hold `what`.
    pub fn with(&self, what: &str) -> Vec<String> {
        let lines = self.lines.lock().expect("nobody panics with it");
        lines.iter().filter(|l| l.contains(what)).cloned().collect()
    }

    /// Wait until there are at least `n` lines with `what`.
    pub fn wait_for(&self, n: usize, what: &str, limit: Duration) -> Vec<String> {
        wait_at_most(limit, &format!("{n} log lines hold '{what}'"), || self.with(what).len() >= n);
        self.with(what)
    }
}

/// An answer, cut into its parts.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|l| l.split_once(':'));
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
    }
}

/// A client connection.
pub struct Client {
    pub stream: TcpStream,
    rest: Vec<u8>,
}

impl Client {
    pub fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the port is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("valid");
        stream.set_write_timeout(Some(PATIENCE)).expect("valid");
        stream.set_nodelay(true).expect("a TCP socket");
        Client { stream, rest: Vec::new() }
    }

    /// Send; a peer that has closed already is no failure here.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Read more. False at the end of the stream.
    fn more(&mut self) -> bool {
        let mut buf = [0; 65_536];
        match self.stream.read(&mut buf) {
            Ok(n) => {
                self.rest.extend_from_slice(&buf[..n]);
                n > 0
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("no answer within {PATIENCE:?}; so far: {:?}", String::from_utf8_lossy(&self.rest))
            }
            Err(_) => false,
        }
    }

    /// Read one answer: by Content-Length, or to the end of the stream. `None` when the stream ends before a head.
    pub fn answer(&mut self) -> Option<Answer> {
        let head_end = loop {
            if let Some(i) = find(&self.rest, b"\r\n\r\n") {
                break i;
            }
            if !self.more() {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.rest[..head_end]).into_owned();
        self.rest.drain(..head_end + 4);
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.header("content-length").and_then(|v| v.parse::<usize>().ok());
        match length {
            Some(n) => {
                while self.rest.len() < n && self.more() {}
                answer.body = self.rest.drain(..n.min(self.rest.len())).collect();
            }
            None if status / 100 == 1 || status == 204 || status == 304 => {}
            None => {
                while self.more() {}
                answer.body = std::mem::take(&mut self.rest);
            }
        }
        Some(answer)
    }

    /// Everything up to the end of the stream.
    pub fn everything(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.rest)
    }
}

/// A GET on a connection of its own.
pub fn get(port: u16, path: &str, headers: &str) -> Answer {
    let mut c = Client::connect(port);
    c.send(format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"));
    c.answer().expect("an answer")
}

/// What a command of the admin socket at that path answers.
pub fn ask(socket: &Path, command: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("the admin socket is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("valid");
    writeln!(stream, "{command}").expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    answer
}

/// Position of `what` in `text`.
pub fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|w| w == what)
}

/// A server that answers 200 to whatever ends in an empty line, and remembers every byte that it was sent.
pub struct Recorder {
    pub port: u16,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    pub fn start() -> Recorder {
        Recorder::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())
    }

    /// The same with another answer.
    pub fn answering(answer: Vec<u8>) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let port = listener.local_addr().expect("bound").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (record, answer) = (record.clone(), answer.clone());
                std::thread::spawn(move || Recorder::serve(stream, &record, &answer));
            }
        });
        Recorder { port, seen }
    }

    fn serve(mut stream: TcpStream, record: &Mutex<Vec<u8>>, answer: &[u8]) {
        let mut buf = [0; 65_536];
        while let Ok(n) = stream.read(&mut buf) {
            if n == 0 {
                return;
            }
            record.lock().expect("nobody panics with it").extend_from_slice(&buf[..n]);
            if find(&buf[..n], b"\r\n\r\n").is_some() && stream.write_all(answer).is_err() {
                return;
            }
        }
    }

    /// What it was sent since the last call.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.seen.lock().expect("nobody panics with it"))
    }
}
