//! The Debian package on a machine with systemd: installed, upgraded under a running service, removed and purged.

#![allow(clippy::disallowed_methods)] // These tests wait for real processes in real time.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[allow(dead_code)]
#[path = "systemd/machine.rs"]
mod machine;
#[allow(dead_code)]
#[path = "e2e/support.rs"]
mod support;

use machine::Machine;
use support::{Dir, PATIENCE};

const TOP: &str = env!("CARGO_MANIFEST_DIR");
/// The unit that runs when the package is installed.
const UNIT: &str = "haring.service";
/// The other one that comes with it; they exclude each other.
const CLASSIC: &str = "haring-classic.service";
const CONFIG: &str = "/etc/haring/haring.cfg";

/// Build the package from the binaries under test; gives its file name.
///
/// Where lintian is installed it looks at the first one; it is too big to be installed for this.
fn build(out: &Path, revision: &str) -> String {
    let binaries = Path::new(env!("CARGO_BIN_EXE_haring")).parent().expect("it is in a directory");
    let built = Command::new(Path::new(TOP).join("scripts/package"))
        .args(["--fast", "--revision", revision, "--binaries"])
        .arg(binaries)
        .arg("--out")
        .arg(out)
        .args((revision == "1" && Path::new("/usr/bin/lintian").exists()).then_some("--lint"))
        .stdin(Stdio::null())
        .output()
        .expect("the script runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let text = String::from_utf8_lossy(&built.stdout).into_owned();
    let line = text.lines().last().expect("the last line is the package");
    Path::new(line).file_name().expect("a file").to_string_lossy().into_owned()
}

/// A machine with the package installed.
struct Host {
    machine: Machine,
    /// The unit that runs.
    unit: &'static str,
    /// All files before the package came.
    before: BTreeSet<String>,
}

impl Host {
    fn sh(&self, script: &str) -> String {
        self.machine.done(&["sh", "-c", script])
    }

    fn dpkg(&self, args: &str) -> String {
        self.sh(&format!("DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io --no-triggers {args} 2>&1"))
    }

    fn property(&self, name: &str) -> String {
        self.machine.property(self.unit, name)
    }

    fn main_pid(&self) -> String {
        self.property("MainPID")
    }

    /// The processes that serve.
    fn workers(&self) -> BTreeSet<i32> {
        let main: i32 = self.main_pid().parse().unwrap_or(0);
        self.machine.processes(self.unit).into_iter().map(|p| p.0).filter(|p| *p != main).collect()
    }

    fn wait(&self, what: &str, ready: impl Fn(&Host) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !ready(self) {
            assert!(Instant::now() < until, "no {what}\n{}", self.machine.journal());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Every file, but for what belongs to dpkg, to logs of systemd, to caches, and to the programs that add users.
fn files(machine: &Machine) -> BTreeSet<String> {
    let script = "find /etc /usr /var /run/haring* /tmp ! -type d -o -name '*haring*' 2>/dev/null || true";
    let apart = ["/var/lib/dpkg/", "/var/log/journal", "/var/cache/", "/var/log/dpkg.log", "/etc/.pwd.lock"];
    let text = machine.done(&["sh", "-c", script]);
    let kept = |l: &&str| !apart.iter().any(|a| l.starts_with(a)) && !l.ends_with('-');
    text.lines().filter(kept).map(str::to_owned).collect()
}

/// One request to the default configuration's `health`; gives the status line and all the rest.
fn get(path: &str) -> String {
    get_at(8404, path)
}

/// The same at another port.
fn get_at(port: u16, path: &str) -> String {
    let until = Instant::now() + PATIENCE;
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < until, "nobody listens: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut text = String::new();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it can be written");
    stream.read_to_string(&mut text).expect("an answer");
    text
}

/// A request on a connection that stays; gives the answer's first bytes.
fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut answer = [0; 4096];
    let n = stream.read(&mut answer)?;
    if n == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&answer[..n]).into_owned())
}

fn installed(host: &Host) {
    let status = host.sh("dpkg-query -W -f '${Status} ${Version}' haring");
    assert!(status.starts_with("install ok installed 0.") && status.ends_with("-1"), "{status}");
    assert_eq!(host.sh("stat -c '%a %U %G %F' /var/lib/haring/dev").trim(), "755 root root directory");
    assert_eq!(host.sh("getent passwd haring | cut -d: -f6-").trim(), "/var/lib/haring:/usr/sbin/nologin");
    assert_eq!(host.sh("systemctl is-enabled haring.service").trim(), "enabled");
    assert_eq!(host.machine.run(&["systemctl", "is-enabled", CLASSIC]).stdout, b"disabled\n");
    // The configuration is right as it comes, without a warning.
    assert_eq!(host.sh(&format!("haring -dW -c -f {CONFIG} 2>&1")).trim(), "Configuration file is valid");
    let conffiles = host.sh("dpkg-query -W -f '${Conffiles}' haring");
    for file in [CONFIG, "/etc/haring/errors/503.http", "/etc/default/haring", "/etc/logrotate.d/haring"] {
        assert!(conffiles.contains(&format!(" {file} ")), "{file} in {conffiles}");
    }
    for page in ["haring.1", "haring-systemd-wrapper.8", "haring-tune-host.8"] {
        host.sh(&format!("test -s /usr/share/man/man{}/{page}.gz", &page[page.len() - 1..]));
    }
    // The units are right, and allow little.
    let units = [UNIT, CLASSIC];
    assert_eq!(host.sh(&format!("systemd-analyze verify --man=no {} 2>&1", units.join(" "))), "");
    for unit in units {
        host.sh(&format!("systemd-analyze security --no-pager --threshold=35 {unit}"));
    }
    let (code, help) = (host.sh("haring-tune-host --help"), host.sh("haring-systemd-wrapper -v"));
    assert!(code.contains("--apply") && help.starts_with("Haring version "), "{code}{help}");
}

/// It answers, as the user and in the place that the configuration says.
fn serves(host: &Host) {
    host.wait("worker", |h| h.workers().len() == 1);
    assert!(get("/health").starts_with("HTTP/1.1 200 "));
    let page = get("/");
    assert!(page.starts_with("HTTP/1.1 503 ") && page.contains("<h1>"), "the error page: {page}");
    let worker = *host.workers().first().expect("there is one");
    let uid = host.sh("id -u haring");
    let status = host.sh(&format!("cat /proc/{worker}/status"));
    assert!(status.contains(&format!("Uid:\t{0}\t{0}\t{0}\t{0}", uid.trim())), "{status}");
    for none in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(none), "{none} in\n{status}");
    }
    assert_eq!(host.sh(&format!("readlink /proc/{worker}/root")).trim(), "/var/lib/haring");
    assert!(host.sh("test -S /run/haring/admin.sock && echo it is there").starts_with("it is"));
}

/// Another version takes over from the one that runs: the same master, another worker, never inactive, nothing lost.
fn upgraded(host: &Host, package: &str) {
    let before = (host.main_pid(), host.property("ActiveEnterTimestampMonotonic"));
    let workers = host.workers();
    host.sh(&format!("echo '# mine' >>{CONFIG}"));
    let mut idle = TcpStream::connect(("127.0.0.1", 8404)).expect("it listens");
    assert!(ask(&mut idle).expect("an answer").starts_with("HTTP/1.1 200 "));
    let ready = AtomicBool::new(false);
    let failed = std::thread::scope(|scope| {
        // This thread's network is that of the machine, and its children's too.
        let clients = scope.spawn(|| {
            let mut failed = Vec::new();
            while !ready.load(Ordering::Relaxed) {
                let answer = TcpStream::connect(("127.0.0.1", 8404)).and_then(|mut stream| ask(&mut stream));
                failed.extend(answer.err());
                std::thread::sleep(Duration::from_millis(1));
            }
            failed
        });
        host.dpkg(&format!("-i /mnt/source/{package}"));
        host.wait("other worker alone", |h| h.workers().len() == 1 && h.workers().is_disjoint(&workers));
        ready.store(true, Ordering::Relaxed);
        clients.join().expect("the clients end")
    });
    assert!(failed.is_empty(), "{failed:?}");
    assert!(ask(&mut idle).expect("the connection has not been closed").starts_with("HTTP/1.1 200 "));
    assert_eq!((host.main_pid(), host.property("ActiveEnterTimestampMonotonic")), before);
    for pid in host.machine.processes(host.unit) {
        let exe = host.sh(&format!("readlink /proc/{}/exe", pid.0));
        assert!(!exe.contains("deleted"), "it runs the old program: {pid:?} {exe}");
    }
    assert_eq!(host.sh(&format!("tail -1 {CONFIG}")).trim(), "# mine");
}

/// With a configuration that is not valid any more, the old version goes on, and the upgrade is none the worse.
fn upgraded_with_a_mistake(host: &Host, package: &str) {
    let workers = host.workers();
    host.sh(&format!("cp {CONFIG} /root.cfg; echo 'frontend x y' >>{CONFIG}"));
    let said = host.dpkg(&format!("-i /mnt/source/{package}"));
    assert!(said.contains("goes on with the old program"), "{said}");
    assert_eq!(host.sh("dpkg-query -W -f '${Status}' haring"), "install ok installed");
    assert_eq!(host.workers(), workers);
    assert!(get("/health").starts_with("HTTP/1.1 200 "));
    host.sh(&format!("cat /root.cfg >{CONFIG}; rm /root.cfg"));
}

/// The example of a socket: the first connection starts the service, which takes the socket for its `bind` line.
fn activated(host: &Host) {
    host.machine.done(&["systemctl", "stop", UNIT]);
    host.sh(&format!(
        "cp {CONFIG} /root.cfg; printf 'frontend www\n bind :80\n monitor-uri /health\n' >>{CONFIG}"
    ));
    host.sh("cp /usr/share/doc/haring/examples/haring.socket /etc/systemd/system/; systemctl daemon-reload");
    host.machine.done(&["systemctl", "start", "haring.socket"]);
    assert_eq!(host.property("ActiveState"), "inactive");
    assert!(get_at(80, "/health").starts_with("HTTP/1.1 200 "));
    assert_eq!(host.sh("ss -Hltn sport = :80 | wc -l").trim(), "1", "it is the socket of systemd");
    host.machine.done(&["systemctl", "restart", UNIT]);
    assert!(get_at(80, "/health").starts_with("HTTP/1.1 200 "));
    host.sh(&format!("cat /root.cfg >{CONFIG}; rm /root.cfg"));
    host.machine.done(&["systemctl", "stop", "haring.socket", UNIT]);
    host.sh("rm /etc/systemd/system/haring.socket; systemctl daemon-reload");
}

fn removed(host: &Host) {
    host.dpkg("-r haring");
    assert_eq!(host.property("ActiveState"), "inactive");
    host.wait("end of the worker", |h| h.workers().is_empty());
    assert!(host.sh(&format!("cat {CONFIG}")).ends_with("# mine\n"));
    host.sh("touch /var/log/haring.log /var/log/haring.log.2.gz /var/lib/haring/dev/log");
    host.dpkg("-P haring");
    let left: Vec<String> = files(&host.machine).difference(&host.before).cloned().collect();
    assert_eq!(left, Vec::<String>::new(), "left behind");
    assert!(!host.machine.run(&["getent", "passwd", "haring"]).status.success(), "the user is left");
    assert!(!host.machine.run(&["getent", "group", "haring"]).status.success(), "the group is left");
}

#[test]
fn a_package_comes_is_upgraded_hot_and_goes_without_a_trace() {
    // The machine's ports are its own: systemd inherits this thread's network, and brings the loopback up.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("the test runs as root");
    let dir = Dir::new();
    let packages = ["1", "2"].map(|revision| build(&dir.0, revision));
    // Containers forbid services, and leave manual pages out.
    let machine = Machine::boot(dir, "rm -rf /usr/sbin/policy-rc.d /etc/dpkg/dpkg.cfg.d\n");
    let before = files(&machine);
    let mut host = Host { machine, unit: UNIT, before };
    host.dpkg(&format!("-i /mnt/source/{}", packages[0]));
    installed(&host);
    serves(&host);
    upgraded(&host, &packages[1]);
    activated(&host);
    host.unit = CLASSIC;
    host.machine.done(&["systemctl", "start", CLASSIC]);
    assert_eq!(host.machine.property(UNIT, "ActiveState"), "inactive");
    serves(&host);
    upgraded(&host, &packages[0]);
    upgraded_with_a_mistake(&host, &packages[1]);
    removed(&host);
}

/// Every option is in the manual page, and the page is well-formed.
#[test]
fn manual_pages_are_whole() {
    let usage = Command::new(env!("CARGO_BIN_EXE_haring")).arg("-h").output().expect("it runs");
    let usage = String::from_utf8_lossy(&usage.stdout).into_owned();
    let flags: Vec<&str> = usage
        .lines()
        .filter_map(|l| l.strip_prefix("        -"))
        .map(|l| l.split([' ', '<']).next().unwrap_or(l))
        .collect();
    assert!(flags.len() > 30, "{usage}");
    let pages = Path::new(TOP).join("docs/man");
    let haring = std::fs::read_to_string(pages.join("haring.1")).expect("the page is there");
    for flag in flags {
        // A dash is `\-` in the page; nothing but a blank, a comma, a quote or the end of the line may follow.
        let name = format!("\\-{flag}");
        let found = haring.match_indices(&name).any(|(at, _)| {
            let next = haring[at + name.len()..].chars().next().unwrap_or('\n');
            !next.is_alphanumeric() || flag == "dK"
        });
        assert!(found, "-{flag} is not in haring.1");
    }
    for page in std::fs::read_dir(&pages).expect("the pages are there").flatten() {
        let out = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(page.path())
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .expect("man (man-db) runs");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success() && said.is_empty() && !out.stdout.is_empty(), "{page:?}: {said}");
    }
}
