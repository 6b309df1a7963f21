//! The peers codec against HAProxy itself (Debian's 2.6): each calls the other, each teaches the other.

#![allow(clippy::disallowed_methods)] // Real sockets, real time.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use haring::base::time::Mono;
use haring::peers::{
    CloseReason, DataSpec, DataType, Entry, Event, Field, KeyType, Members, Session, TableSpec, TableView,
    Tables, Value,
};

/// A naive stick table.
struct Table {
    spec: TableSpec,
    entries: Mutex<BTreeMap<Vec<u8>, (u64, Entry)>>,
    position: Mutex<u64>,
}

impl Table {
    fn set(&self, key: &[u8], fields: Vec<Field>) {
        let mut position = self.position.lock().expect("no panic holds it");
        *position += 1;
        let entry = Entry { key: key.to_vec(), expire_ms: Some(20_000), fields };
        self.entries.lock().expect("no panic holds it").insert(key.to_vec(), (*position, entry));
    }

    fn get(&self, key: &[u8]) -> Option<Entry> {
        self.entries.lock().expect("no panic holds it").get(key).map(|(_, e)| e.clone())
    }
}

impl TableView for Table {
    fn spec(&self) -> &TableSpec {
        &self.spec
    }

    fn position(&self) -> u64 {
        *self.position.lock().expect("no panic holds it")
    }

    fn next_update(&self, after: u64, _: Mono, out: &mut Entry) -> Option<u64> {
        let entries = self.entries.lock().expect("no panic holds it");
        let (position, entry) = entries.values().filter(|(p, _)| *p > after).min_by_key(|(p, _)| *p)?;
        out.clone_from(entry);
        Some(*position)
    }

    fn next_entry(&self, cursor: u64, _: Mono, out: &mut Entry) -> Option<u64> {
        let entries = self.entries.lock().expect("no panic holds it");
        out.clone_from(&entries.values().nth(cursor as usize)?.1);
        Some(cursor + 1)
    }

    fn learn(&self, entry: &Entry, _: Mono) -> bool {
        self.entries.lock().expect("no panic holds it").insert(entry.key.clone(), (0, entry.clone()));
        true
    }
}

struct HaProxy {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl HaProxy {
    /// Node `theirs`, with our node `ours` at `our_port`.
    fn start(our_port: u16) -> HaProxy {
        let port = {
            let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            probe.local_addr().expect("bound").port()
        };
        let dir = std::env::temp_dir().join(format!("haring-peers-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a writable temporary directory");
        let file = dir.join("haproxy.cfg");
        let config = format!(
            "global
    localpeer theirs
    stats socket {}/sock level admin
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
peers p
    peer theirs 127.0.0.1:{port}
    peer ours 127.0.0.1:{our_port}
backend app
    stick-table type string len 32 size 5k expire 5m peers p
    stick on req.cook(PHPSESSID)
    server app1 127.0.0.1:1
    server app2 127.0.0.1:1
backend ip
    stick-table type ip size 5k expire 30s store gpt(3),gpc_rate(2,10s),conn_cnt,conn_rate(1h),bytes_in_cnt peers p
",
            dir.display()
        );
        std::fs::write(&file, config).expect("a writable temporary directory");
        let child = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy is installed (scripts/test installs it)");
        let started = HaProxy { child, dir, port };
        for _ in 0..200 {
            if UnixStream::connect(started.dir.join("sock")).is_ok() {
                return started;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        panic!("haproxy does not start");
    }

    fn command(&self, line: &str) -> String {
        let mut s = UnixStream::connect(self.dir.join("sock")).expect("the stats socket");
        writeln!(s, "{line}").expect("a command fits");
        let mut answer = String::new();
        s.read_to_string(&mut answer).expect("text");
        answer
    }

    fn table_has(&self, table: &str, what: &[&str]) -> bool {
        let all = self.command(&format!("show table {table}"));
        all.lines().any(|l| what.iter().all(|w| l.contains(w)))
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A session on a real connection.
struct Link<'a> {
    stream: TcpStream,
    session: Session,
    tables: &'a Tables,
    start: Instant,
    events: Vec<Event>,
}

impl Link<'_> {
    fn now(&self) -> Mono {
        Mono(1) + self.start.elapsed()
    }

    /// Exchange until `enough`, at most for some seconds.
    fn run_until(&mut self, what: &str, mut enough: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(12);
        let timeout = Some(Duration::from_millis(20));
        self.stream.set_read_timeout(timeout).expect("a socket option");
        let mut buf = [0; 4096];
        while !enough(self) {
            assert!(Instant::now() < until, "{what}: never came; {:?}", self.events);
            let mut out = Vec::new();
            while self.session.poll_output(self.tables, self.now(), &mut out, usize::MAX) {}
            self.stream.write_all(&out).expect("the peer reads");
            match self.stream.read(&mut buf) {
                Ok(0) => self.session.close(CloseReason::Disconnected),
                Ok(n) => self.session.handle_input(&buf[..n], self.tables, self.now()),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => panic!("{what}: {e}"),
            }
            self.session.on_timer(self.now());
            while let Some(e) = self.session.poll_event() {
                assert!(!matches!(e, Event::Closed(_)), "{what}: {e:?} after {:?}", self.events);
                self.events.push(e);
            }
        }
    }
}

fn tables() -> Vec<Arc<Table>> {
    use DataType::*;
    let app = vec![DataSpec::counter(ServerId), DataSpec::counter(ServerKey)];
    let ip = vec![
        DataSpec { data: Gpt, elements: 3, period_ms: 0 },
        DataSpec { data: GpcRate, elements: 2, period_ms: 10_000 },
        DataSpec::counter(ConnCnt),
        DataSpec::rate(ConnRate, 3_600_000),
        DataSpec::counter(BytesInCnt),
    ];
    [
        TableSpec::new("app", KeyType::String, 33, 300_000, app),
        TableSpec::new("ip", KeyType::Ipv4, 4, 30_000, ip),
    ]
    .into_iter()
    .map(|spec| Arc::new(Table { spec, entries: Mutex::default(), position: Mutex::default() }))
    .collect()
}

fn views(tables: &[Arc<Table>]) -> Vec<Arc<dyn TableView>> {
    tables.iter().map(|t| t.clone() as Arc<dyn TableView>).collect()
}

fn cookie(server: u64, name: &str) -> Vec<Field> {
    vec![
        Field { data: DataType::ServerId, index: 0, value: Value::Int(server) },
        Field { data: DataType::ServerKey, index: 0, value: Value::Name(Some(name.into())) },
    ]
}

fn call<'a>(haproxy: &HaProxy, tables: &'a Tables) -> Link<'a> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, haproxy.port)).expect("haproxy listens");
    let session = Session::client("theirs", "ours", std::process::id(), 1, tables, &[], Mono(1));
    Link { stream, session, tables, start: Instant::now(), events: vec![] }
}

#[test]
fn we_call_haproxy() {
    // Nobody listens at our address.
    let haproxy = HaProxy::start(1);
    haproxy.command("set table ip key 10.0.0.1 data.conn_cnt 4000 data.bytes_in_cnt 5000000000");
    assert!(haproxy.table_has("ip", &["10.0.0.1", "conn_cnt=4000"]), "{}", haproxy.command("show table ip"));
    haproxy.command("set table ip key 10.0.0.2 data.conn_rate 100");
    let own = tables();
    let seen = views(&own);
    let mut link = call(&haproxy, &seen);
    link.run_until("handshake", |l| l.session.is_open());
    link.session.request_resync();
    link.run_until("lesson", |l| l.events.iter().any(|e| matches!(e, Event::Learned { .. })));
    let got = own[1].get(&[10, 0, 0, 1]).expect("learned");
    let value =
        |data, index| got.fields.iter().find(|f| (f.data, f.index) == (data, index)).map(|f| &f.value);
    assert_eq!(value(DataType::ConnCnt, 0), Some(&Value::Int(4000)));
    assert_eq!(value(DataType::BytesInCnt, 0), Some(&Value::Int(5_000_000_000)));
    // Ours, live: absolute and incremental updates, two tables in turn, more names than the dictionary holds.
    let long = "x".repeat(32);
    for n in 0..300 {
        own[0].set(format!("s{n}").as_bytes(), cookie(2, &format!("app{n}")));
    }
    own[0].set(long.as_bytes(), cookie(2, "app2"));
    let rate = Value::Rate { elapsed_ms: 1000, current: 250, previous: 0 };
    own[1].set(
        &[10, 0, 0, 3],
        vec![
            Field { data: DataType::ConnCnt, index: 0, value: Value::Int(70_000) },
            Field { data: DataType::ConnRate, index: 0, value: rate },
            Field { data: DataType::Gpt, index: 2, value: Value::Int(99) },
        ],
    );
    link.run_until("acknowledgements", |l| l.session.positions().eq([301, 1]));
    own[0].set(b"s1", cookie(1, "app1"));
    link.run_until("the last one", |l| l.session.positions().eq([302, 1]));
    assert!(haproxy.table_has("app", &["key=s1 ", "server_id=1", "server_key=app1"]));
    assert!(haproxy.table_has("app", &["key=s2 ", "server_id=2", "server_key=app2"]));
    assert!(haproxy.table_has("app", &[&long, "server_key=app2"]));
    let what = ["key=10.0.0.3", "conn_cnt=70000", "conn_rate(3600000)=250", "gpt2=99", "gpt0=0"];
    assert!(haproxy.table_has("ip", &what), "{}", haproxy.command("show table ip"));
    assert!(haproxy.command("show table app").contains("used:301"));
    // Both stay in touch when nothing happens.
    link.run_until("heartbeats", |l| {
        l.session.counters().heartbeats_received > 1 && l.session.counters().heartbeats_sent > 1
    });
    let peers = haproxy.command("show peers");
    assert!(peers.contains("id=ours(remote,active)") && peers.contains("proto_err=0"), "{peers}");
}

#[test]
fn haproxy_calls_us() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let haproxy = HaProxy::start(listener.local_addr().expect("bound").port());
    let own = tables();
    let seen = views(&own);
    own[0].set(b"s1", cookie(1, "app1"));
    for n in 0..2000u32 {
        let gpt = Field { data: DataType::Gpt, index: 0, value: Value::Int(n.into()) };
        own[1].set(&(0x0a00_0000 + n).to_be_bytes(), vec![gpt]);
    }
    let members = Members { local: "ours".into(), all: vec!["ours".into(), "theirs".into()] };
    for round in 0..2 {
        let stream = listener.accept().expect("haproxy calls").0;
        let session = Session::server(members.clone(), false, &seen, Mono(1));
        let mut link = Link { stream, session, tables: &seen, start: Instant::now(), events: vec![] };
        link.session.set_up_to_date(true);
        // All was acknowledged in a session before: only a lesson can tell it.
        link.session.resume(&[1, 2000]);
        link.run_until("handshake", |l| l.session.is_open());
        assert_eq!(link.events[0], Event::Established { peer: "theirs".into(), minor: 1 });
        if round == 0 {
            link.run_until("lesson", |l| l.events.contains(&Event::LessonConfirmed));
            assert!(haproxy.table_has("app", &["key=s1 ", "server_id=1", "server_key=app1"]));
            assert!(haproxy.command("show table ip").contains("used:2000"));
            // The time left came with it, not the table's own 30 seconds.
            assert!(!haproxy.table_has("ip", &["exp=2", "exp=29"]));
            haproxy.command("set table ip key 10.9.9.9 data.conn_cnt 3");
        } else {
            link.session.request_resync();
            link.run_until("lesson", |l| l.events.contains(&Event::Learned { complete: true }));
            assert!(own[1].get(&[10, 9, 9, 9]).is_some());
        }
    }
}
