//! Tools that were written for HAProxy's socket, as Debian ships them: hatop, prometheus-haproxy-exporter, socat.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::*;

/// Two servers, one of which is down, behind a socket for administrators.
struct Setup {
    process: Process,
    _web: Process,
    socket: PathBuf,
    _dir: Dir,
}

fn setup() -> Setup {
    let (web, front, dead) = (free_port(), free_port(), free_port());
    let nginx = nginx("one", web);
    let dir = Dir::new();
    let socket = dir.0.join("admin.sock");
    let config = format!(
        "global
    stats socket {} level admin mode 600
    stats timeout 10s
    node lb7
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
frontend shop
    bind 127.0.0.1:{front}
    default_backend carts
backend carts
    option httpchk
    server alive 127.0.0.1:{web} check inter 100ms weight 7
    server fallen 127.0.0.1:{dead} check inter 100ms
",
        socket.display()
    );
    let process = haring(&config, &[front]);
    wait_for(&socket);
    wait_until("the checks know", || ask(&socket, "show stat carts 4 -1").matches("DOWN").count() == 1);
    for _ in 0..3 {
        let mut client = Client::connect(front);
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(client.answer().map(|a| a.status), Some(200));
    }
    Setup { process, _web: nginx, socket, _dir: dir }
}

/// The admin socket is bound after the ports.
fn wait_for(socket: &PathBuf) {
    wait_until("the socket listens", || UnixStream::connect(socket).is_ok());
}

fn ask(socket: &PathBuf, command: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("the socket is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("valid");
    // In one piece: what follows the command may be left unread.
    stream.write_all(format!("{command}\n").as_bytes()).expect("it listens");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

#[test]
fn exporter_reads_every_row() {
    let setup = setup();
    let port = free_port();
    let dir = Dir::new();
    let mut command = Command::new(find_program("prometheus-haproxy-exporter"));
    command
        .arg(format!("--haproxy.scrape-uri=unix:{}", setup.socket.display()))
        .arg(format!(
            "--haproxy.pid-file={}",
            dir.file("pid", &setup.process.child.id().to_string()).display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let _exporter = start(command, dir, &[port]);
    let mut client = Client::connect(port);
    client.send("GET /metrics HTTP/1.0\r\n\r\n");
    let answer = client.answer().expect("metrics");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    for line in [
        "haproxy_up 1",
        "haproxy_exporter_csv_parse_failures_total 0",
        "haproxy_server_up{backend=\"carts\",server=\"alive\"} 1",
        "haproxy_server_up{backend=\"carts\",server=\"fallen\"} 0",
        "haproxy_server_weight{backend=\"carts\",server=\"alive\"} 7",
        "haproxy_server_http_responses_total{backend=\"carts\",code=\"2xx\",server=\"alive\"} 3",
        "haproxy_server_check_failures_total{backend=\"carts\",server=\"alive\"} 0",
        "haproxy_frontend_http_requests_total{frontend=\"shop\"} 3",
        "haproxy_backend_up{backend=\"carts\"} 1",
        "haproxy_backend_current_server{backend=\"carts\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "no '{line}' in\n{text}");
    }
}

/// A program in a terminal: what it shows is gathered, what it is given are keys.
struct Terminal {
    child: std::process::Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// `script` (util-linux) makes the terminal.
    fn start(command: &str) -> Terminal {
        let mut child = Command::new(find_program("script"))
            .args(["-qec", &format!("stty rows 40 cols 150; exec {command}"), "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script starts");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (sink, mut out) = (shown.clone(), child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut buf) {
                sink.lock().expect("nobody panics with it").extend_from_slice(&buf[..n]);
            }
        });
        Terminal { child, shown }
    }

    /// The text without the terminal's control sequences.
    fn text(&self) -> String {
        let bytes = self.shown.lock().expect("nobody panics with it").clone();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut out = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '\u{1b}' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !c.is_ascii_alphabetic()) {},
                Some('(') => _ = chars.next(),
                _ => {}
            }
            out.push(' ');
        }
        out
    }

    fn shows(&self, what: &str) {
        wait_until(&format!("the terminal shows '{what}'"), || self.text().contains(what));
    }

    fn keys(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        stdin.write_all(keys.as_bytes()).and_then(|()| stdin.flush()).expect("it runs");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn hatop_shows_servers_and_passes_commands_on() {
    let setup = setup();
    let hatop = find_program("hatop");
    let mut t = Terminal::start(&format!("{} -i 1 -s {}", hatop.display(), setup.socket.display()));
    for what in ["Haring Version", "lb7", "shop", "carts", "alive", "fallen", "L4CON", "1-STATUS"] {
        t.shows(what);
    }
    // Its own command line: a session with a prompt.
    t.keys("5");
    t.shows("command line");
    t.keys("get weight carts/alive\r");
    t.shows("7 (initial 7)");
    t.keys("set weight carts/alive 3\r");
    wait_until("the command arrived", || {
        ask(&setup.socket, "get weight carts/alive").starts_with("3 (initial 7)")
    });
    t.keys("\u{1b}");
    std::thread::sleep(Duration::from_millis(300));
    t.keys("q");
    wait_until("hatop ended", || t.child.try_wait().expect("our child").is_some());
}

#[test]
fn socat_holds_an_interactive_session() {
    let setup = setup();
    let mut socat = Command::new(find_program("socat"))
        .arg("-")
        .arg(format!("UNIX-CONNECT:{}", setup.socket.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("socat starts");
    let lines = "prompt\nset weight carts/alive 5; get weight carts/alive\noperator\nset weight carts/alive 6\nquit\n";
    socat.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
    let mut text = String::new();
    socat.stdout.take().expect("piped").read_to_string(&mut text).expect("text");
    assert_eq!(text, "\n> \n5 (initial 7)\n\n> \n> Permission denied\n\n> ");
    assert!(socat.wait().expect("our child").success());
}

#[test]
fn odd_clients_do_not_keep_the_socket_busy() {
    let setup = setup();
    let connect = || {
        let s = UnixStream::connect(&setup.socket).expect("the socket is there");
        s.set_read_timeout(Some(PATIENCE)).expect("valid");
        s
    };
    let end = |mut s: UnixStream| {
        let mut text = Vec::new();
        // A reset is an end, too.
        let _ = s.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    };
    // Half a command at the end of the stream is no command.
    let mut s = connect();
    s.write_all(b"set weight carts/alive 1").expect("it listens");
    s.shutdown(std::net::Shutdown::Write).expect("connected");
    assert_eq!(end(s), "");
    assert!(ask(&setup.socket, "get weight carts/alive").starts_with("7 "));
    // The answer arrives although the client has closed its side.
    let mut s = connect();
    s.write_all(b"show stat\n").expect("it listens");
    s.shutdown(std::net::Shutdown::Write).expect("connected");
    assert!(end(s).contains("carts,BACKEND"));
    // A line without an end, and bytes that are no text.
    let mut s = connect();
    let _ = s.write_all(&vec![b'x'; 100_000]);
    assert!(end(s).contains("too long"));
    let mut s = connect();
    s.write_all(b"\xff\xfe\0\x01 \xc3\x28\n").expect("it listens");
    assert!(end(s).starts_with("Unknown command"));
    // A payload beyond its limit, in lines; and one that never ends.
    let mut s = connect();
    let _ = s.write_all(b"add map #0 <<\n");
    let _ = s.write_all("k v\n".repeat(400_000).as_bytes());
    assert!(!end(s).contains("entries"));
    // Many commands in one line, many lines in a session, and one who asks a lot and reads nothing.
    let many = "show version;".repeat(1000);
    assert_eq!(ask(&setup.socket, &many).matches("\n\n").count(), 1000);
    let mut deaf = connect();
    deaf.write_all(b"prompt i\n").expect("it listens");
    deaf.set_write_timeout(Some(Duration::from_millis(200))).expect("valid");
    let burst = "show stat;".repeat(1000) + "\n";
    for _ in 0..50 {
        if deaf.write_all(burst.as_bytes()).is_err() {
            break;
        }
    }
    assert!(ask(&setup.socket, "show info").contains("Name: Haring"));
    assert!(setup.process.memory_kib() < 200 << 10, "{} KiB", setup.process.memory_kib());
}

#[test]
fn sessions_are_limited_over_all_sockets_and_end_when_silent() {
    let dir = Dir::new();
    let (a, b) = (dir.0.join("a.sock"), dir.0.join("b.sock"));
    let port = free_port();
    let config = format!(
        "global
    stats socket {},{} level user mode 600
    stats maxconn 2
    stats timeout 2s
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
frontend f
    bind 127.0.0.1:{port}
    http-request deny
",
        a.display(),
        b.display()
    );
    let _process = haring(&config, &[port]);
    wait_for(&b);
    wait_until("nobody is connected", || ask(&a, "show cli level").starts_with("user"));
    let open = |path: &PathBuf| {
        let mut s = UnixStream::connect(path).expect("the socket is there");
        s.set_read_timeout(Some(PATIENCE)).expect("valid");
        s.write_all(b"prompt i\n").expect("it listens");
        s
    };
    let (mut first, mut second) = (open(&a), open(&b));
    let mut byte = [0; 1];
    assert_eq!(first.read(&mut byte).expect("an answer"), 1);
    assert_eq!(second.read(&mut byte).expect("an answer"), 1);
    let began = std::time::Instant::now();
    let mut third = open(&a);
    third.set_read_timeout(Some(Duration::from_millis(300))).expect("valid");
    assert!(third.read(&mut byte).is_err(), "two sessions are open already");
    // The silent ones end, and the third has its turn.
    third.set_read_timeout(Some(PATIENCE)).expect("valid");
    assert_eq!(third.read(&mut byte).expect("an answer"), 1);
    assert!(began.elapsed() > Duration::from_secs(1));
    assert_eq!(first.read(&mut byte).expect("its end"), 0);
}

/// Words that fit some command, and words that fit none.
const WORDS: &[&str] = &[
    "carts/alive",
    "carts/fallen",
    "carts",
    "shop",
    "#0",
    "#99",
    "@1",
    "@0",
    "@",
    "@4294967296",
    "-1",
    "0",
    "1",
    "256",
    "18446744073709551616",
    "-9223372036854775808",
    "99999999999%",
    "up",
    "down",
    "ready",
    "maint",
    "drain",
    "stopping",
    "state",
    "health",
    "weight",
    "addr",
    "agent",
    "check-addr",
    "check-port",
    "agent-send",
    "port",
    "127.0.0.1",
    "::1",
    "65536",
    "typed",
    "json",
    "desc",
    "request",
    "response",
    "data.gpc0",
    "gt",
    "key",
    "ptr",
    "0x1",
    "\\",
    "\\ ",
    "<<",
    "proc.x",
    "int(1)",
    "fmt",
    "%[",
    "expr",
    "cli",
    "999999999999d",
    "\0",
    "\u{e9}",
    "all",
    "server",
    "frontend",
    "global",
];

#[test]
fn no_command_line_breaks_the_process() {
    let mut setup = setup();
    let help = ask(&setup.socket, "help");
    let plain = |w: &&str| w.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let commands: Vec<String> = help
        .lines()
        .filter_map(|l| l.strip_prefix("  "))
        .map(|l| l.split([' ']).take_while(plain).collect::<Vec<_>>().join(" "))
        .filter(|c| !c.starts_with("prompt") && !c.starts_with("quit"))
        .collect();
    assert!(commands.len() > 40, "{help}");
    // Marsaglia's xorshift: the same lines each time.
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |n: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice % n as u64) as usize
    };
    for _ in 0..4000 {
        let mut line = commands[below(commands.len())].clone();
        for _ in 0..below(6) {
            line += " ";
            line += WORDS[below(WORDS.len())];
        }
        if line.contains("<<") {
            line += "\nk v\nk\n\n";
        }
        ask(&setup.socket, &line);
    }
    assert!(ask(&setup.socket, "show version").ends_with("\n\n"));
    assert!(setup.process.is_running() && !setup.process.output().contains("panicked"));
}

/// The names that HAProxy 2.6 has, in its order; tools find fields by name, scripts also by line.
const INFO: &str = "Name Version Release_date Nbthread Nbproc Process_num Pid Uptime Uptime_sec Memmax_MB PoolAlloc_MB \
    PoolUsed_MB PoolFailed Ulimit-n Maxsock Maxconn Hard_maxconn CurrConns CumConns CumReq MaxSslConns CurrSslConns \
    CumSslConns Maxpipes PipesUsed PipesFree ConnRate ConnRateLimit MaxConnRate SessRate SessRateLimit MaxSessRate \
    SslRate SslRateLimit MaxSslRate SslFrontendKeyRate SslFrontendMaxKeyRate SslFrontendSessionReuse_pct \
    SslBackendKeyRate SslBackendMaxKeyRate SslCacheLookups SslCacheMisses CompressBpsIn CompressBpsOut \
    CompressBpsRateLim Tasks Run_queue Idle_pct node Stopping Jobs Unstoppable_Jobs Listeners ActivePeers \
    ConnectedPeers DroppedLogs BusyPolling FailedResolutions TotalBytesOut TotalSplicedBytesOut BytesOutRate \
    DebugCommandsIssued CumRecvLogs Build_info Memmax_bytes PoolAlloc_bytes PoolUsed_bytes Start_time_sec Tainted";

#[test]
fn show_info_has_every_field_and_says_what_it_is() {
    let setup = setup();
    let plain = ask(&setup.socket, "show info");
    let field = |line: &str| line.split(':').next().unwrap_or_default().replace(' ', "_");
    let names: Vec<String> = plain.lines().filter(|l| !l.is_empty()).map(field).collect();
    assert_eq!(names.join(" "), INFO.split_whitespace().collect::<Vec<_>>().join(" "));
    let idle = plain.lines().find_map(|l| l.strip_prefix("Idle_pct: ")?.parse::<u32>().ok());
    assert!(idle.is_some_and(|n| n <= 100), "{plain}");
    for (command, start) in [("show info desc", "Pid: "), ("show info typed desc", "6.Pid.1:SGP:u32:")] {
        let text = ask(&setup.socket, command);
        let line = text.lines().find(|l| l.starts_with(start)).expect("it shows the process's number");
        assert_eq!(
            line,
            format!("{start}{}:\"the system's number of this worker process\"", setup.process.child.id())
        );
        assert!(text.lines().filter(|l| !l.is_empty()).all(|l| l.ends_with('"')), "{text}");
    }
}

#[test]
fn sessions_above_stats_maxconn_wait_outside() {
    let (front, admin) = (free_port(), free_port());
    let config = format!(
        "global
    stats socket ipv4@127.0.0.1:{admin} level admin
    stats maxconn 2
    stats timeout 1m
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
listen shop
    bind 127.0.0.1:{front}
"
    );
    let process = haring(&config, &[front, admin]);
    let descriptors = || {
        let dir = format!("/proc/{}/fd", process.child.id());
        std::fs::read_dir(dir).map_or(0, Iterator::count)
    };
    let before = descriptors();
    let idle: Vec<Client> = (0..300).map(|_| Client::connect(admin)).collect();
    std::thread::sleep(Duration::from_millis(200));
    let now = descriptors();
    assert!(now <= before + 10, "{before} descriptors became {now}");
    drop(idle);
    let mut client = Client::connect(admin);
    client.send("show version\n");
    let answer = client.everything();
    assert!(answer.ends_with(b"\n\n"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn who_does_not_read_a_long_map_costs_no_memory() {
    let (front, dir) = (free_port(), Dir::new());
    let socket = dir.0.join("admin.sock");
    let entries: String = (0..100_000).map(|n| format!("key-number-{n} {}\n", "v".repeat(100))).collect();
    let map = dir.file("long.map", &entries);
    let config = format!(
        "global
    stats socket {} level admin
    stats timeout 1m
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
listen shop
    bind 127.0.0.1:{front}
    http-request set-header x %[path,map({})]
",
        socket.display(),
        map.display()
    );
    let process = haring(&config, &[front]);
    wait_for(&socket);
    let megabytes = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
        line.expect("Linux says so") >> 10
    };
    // Reading it once shows that it is all there: 100,000 lines and the end.
    assert_eq!(ask(&socket, "show map #0").lines().count(), 100_001);
    let before = megabytes();
    let idle: Vec<UnixStream> = (0..8)
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).expect("it listens");
            stream.write_all(b"show map #0\n").expect("it reads");
            stream
        })
        .collect();
    assert_eq!(ask(&socket, "get map #0 key-number-5").matches("found=yes").count(), 1);
    std::thread::sleep(Duration::from_millis(500));
    let now = megabytes();
    assert!(now < before + 20, "{before} MiB became {now} MiB");
    drop(idle);
}
