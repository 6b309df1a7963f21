//! Processes, an application, a client.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What a node runs.
#[derive(Clone)]
pub enum Kind {
    Haring,
    /// The program.
    HaProxy(PathBuf),
}

/// A newer HAProxy than the installed one, when the environment names it.
pub fn newest_haproxy() -> Option<PathBuf> {
    std::env::var_os("HARING_TEST_HAPROXY").map(PathBuf::from)
}

/// Two ports that are free on the first three loopback addresses.
pub struct Ports {
    pub peers: u16,
    pub http: u16,
    /// Entries are dealt out.
    pub shards: bool,
}

impl Ports {
    pub fn free() -> Ports {
        Ports { peers: free_port(), http: free_port(), shards: false }
    }
}

/// Outside of the range that outgoing connections take theirs from.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..2000 {
        let n = NEXT.fetch_add(1, Relaxed) * 7 + std::process::id() * 131;
        let port = 12_000 + (n % 18_000) as u16;
        let free = |i| TcpListener::bind((Ipv4Addr::new(127, 0, 0, i), port)).is_ok();
        if (1..=3).all(free) {
            return port;
        }
    }
    panic!("no free port");
}

/// Waits until `check` succeeds; its last complaint is the failure.
pub fn eventually(what: &str, mut check: impl FnMut() -> Result<(), String>) {
    let until = Instant::now() + Duration::from_secs(40);
    loop {
        match check() {
            Ok(()) => return,
            Err(why) => assert!(Instant::now() < until, "{what}: {why}"),
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// A running node.
pub struct Node {
    pub kind: Kind,
    name: String,
    args: Vec<String>,
    child: RefCell<Child>,
    dir: PathBuf,
}

impl Node {
    /// Starts a node called `name`; `config` gets the path of its admin socket.
    pub fn start(kind: Kind, name: &str, args: &[&str], config: impl FnOnce(&str) -> String) -> Node {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Relaxed);
        let dir = std::env::temp_dir().join(format!("haring-live-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a writable temporary directory");
        let text = config(&dir.join("sock").display().to_string());
        std::fs::write(dir.join("cfg"), text).expect("a writable temporary directory");
        let args = args.iter().map(|a| (*a).to_owned()).collect();
        let child = RefCell::new(spawn(&kind, name, &dir, &args));
        let node = Node { kind, name: name.to_owned(), args, child, dir };
        node.wait();
        node
    }

    fn wait(&self) {
        eventually("the node starts", || {
            if let Ok(Some(status)) = self.child.borrow_mut().try_wait() {
                panic!("the node ended with {status}: {}", self.log());
            }
            UnixStream::connect(self.dir.join("sock")).map(|_| ()).map_err(|e| e.to_string())
        });
    }

    /// Kills it and starts it again.
    pub fn restart(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
        let _ = std::fs::remove_file(self.dir.join("sock"));
        *self.child.get_mut() = spawn(&self.kind, &self.name, &self.dir, &self.args);
        self.wait();
    }

    pub fn pid(&self) -> u32 {
        self.child.borrow().id()
    }

    pub fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(done.is_ok_and(|s| s.success()), "kill {signal}");
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.get_mut().try_wait(), Ok(Some(_)))
    }

    /// What it wrote to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// A command's answer.
    pub fn command(&self, line: &str) -> String {
        let mut s = UnixStream::connect(self.dir.join("sock")).expect("the admin socket");
        writeln!(s, "{line}").expect("a command fits");
        let mut answer = String::new();
        s.read_to_string(&mut answer).expect("text");
        answer
    }

    /// The lines of a table's entries.
    pub fn table(&self, name: &str) -> Vec<String> {
        let all = self.command(&format!("show table {name}"));
        all.lines().filter(|l| l.contains(" key=")).map(str::to_owned).collect()
    }

    /// The line of one entry.
    pub fn entry(&self, table: &str, key: &str) -> Option<String> {
        self.table(table).into_iter().find(|e| field(e, "key") == key)
    }

    /// TCP sockets of the process at that local port.
    pub fn open_sockets(&self, port: u16) -> usize {
        let own: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("it runs")
            .filter_map(|fd| Some(std::fs::read_link(fd.ok()?.path()).ok()?.display().to_string()))
            .collect();
        let tcp = std::fs::read_to_string("/proc/net/tcp").expect("procfs");
        let at = format!(":{port:04X}");
        let ours = tcp.lines().filter(|l| {
            let words: Vec<&str> = l.split_whitespace().collect();
            let inode = words.get(9).copied().unwrap_or_default();
            words.get(1).is_some_and(|a| a.ends_with(&at)) && own.contains(&format!("socket:[{inode}]"))
        });
        ours.count()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn spawn(kind: &Kind, name: &str, dir: &std::path::Path, args: &Vec<String>) -> Child {
    let program = match kind {
        Kind::Haring => PathBuf::from(env!("CARGO_BIN_EXE_haring")),
        Kind::HaProxy(program) => program.clone(),
    };
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).expect("a log");
    Command::new(program)
        .args(["-db", "-L", name, "-f"])
        .arg(dir.join("cfg"))
        .args(args)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the program is installed (scripts/test installs haproxy)")
}

/// A word `name=value` of an entry's line; `conn_rate(3600000)=1` is `conn_rate`.
pub fn field(entry: &str, name: &str) -> String {
    let of = |w: &str| {
        let (n, v) = w.split_once('=')?;
        (n.split('(').next() == Some(name)).then(|| v.to_owned())
    };
    entry.split_whitespace().find_map(of).unwrap_or_default()
}

/// The number in such a word.
pub fn value(entry: &str, name: &str) -> Option<u64> {
    field(entry, name).parse().ok()
}

/// An application server: each answer without a cookie sets a fresh one.
pub struct App {
    pub port: u16,
}

impl App {
    pub fn start(name: &'static str) -> App {
        static SESSIONS: AtomicU32 = AtomicU32::new(0);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(&stream);
                    let (mut line, mut known) = (String::new(), false);
                    while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                        known |= line.to_ascii_lowercase().starts_with("cookie:");
                        line.clear();
                    }
                    let cookie = match known {
                        true => String::new(),
                        false => {
                            let n = SESSIONS.fetch_add(1, Relaxed);
                            format!("Set-Cookie: PHPSESSID=session{:x}n{n}; path=/\r\n", std::process::id())
                        }
                    };
                    let _ = (&stream).write_all(
                        format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-App: {name}\r\n{cookie}Connection: close\r\n\r\n"
                        )
                        .as_bytes(),
                    );
                });
            }
        });
        App { port }
    }
}

/// What a client sees.
pub struct Answer {
    pub app: String,
    pub cookie: Option<String>,
}

/// One request.
pub fn get(to: (Ipv4Addr, u16), cookie: Option<&str>) -> Result<Answer, String> {
    let mut s = TcpStream::connect(to).map_err(|e| e.to_string())?;
    let cookie = cookie.map_or(String::new(), |c| format!("Cookie: PHPSESSID={c}\r\n"));
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{cookie}Connection: close\r\n\r\n");
    s.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut text = String::new();
    s.read_to_string(&mut text).map_err(|e| e.to_string())?;
    if !text.starts_with("HTTP/1.1 200") {
        return Err(text);
    }
    let header = |name: &str| {
        let line = text.lines().find_map(|l| l.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(name)));
        line.map(|(_, v)| v.trim().to_owned())
    };
    let cookie = header("set-cookie").and_then(|c| {
        let value = c.strip_prefix("PHPSESSID=")?;
        Some(value.split(';').next().unwrap_or_default().to_owned())
    });
    Ok(Answer { app: header("x-app").unwrap_or_default(), cookie })
}
