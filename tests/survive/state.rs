//! Server states, weights, addresses, counters, uptime.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::master::{Master, Worker};
use super::support::{DEFAULTS, Dir, HARING, Process, ask, free_port, get, until};

/// A server that answers each connection, until its listener is dropped with the process.
fn origin() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    port
}

fn config(port: u16, rest: &str) -> String {
    format!(
        "global\n nbthread 2\n{DEFAULTS}frontend web\n bind 127.0.0.1:{port} name in\n default_backend app\n{rest}"
    )
}

/// The columns of `show stat` by name, of each row.
fn stat(worker: &Worker) -> BTreeMap<String, BTreeMap<String, String>> {
    let text = worker.ask("show stat");
    let mut lines = text.lines().filter(|l| !l.is_empty());
    let names: Vec<&str> = lines.next().expect("a head").trim_start_matches("# ").split(',').collect();
    let row = |line: &str| {
        let values: Vec<&str> = line.split(',').collect();
        let columns = names.iter().zip(&values).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        (format!("{}/{}", values[0], values[1]), columns)
    };
    lines.map(row).collect()
}

/// What does not change by itself from one moment to the next.
const COLUMNS: [&str; 24] = [
    "stot",
    "bin",
    "bout",
    "econ",
    "eresp",
    "wretr",
    "status",
    "weight",
    "act",
    "bck",
    "chkfail",
    "chkdown",
    "lbtot",
    "check_status",
    "hrsp_2xx",
    "hrsp_5xx",
    "req_tot",
    "cli_abrt",
    "connect",
    "smax",
    "rate_max",
    "qmax",
    "conn_tot",
    "addr",
];

fn comparable(worker: &Worker) -> BTreeMap<String, Vec<String>> {
    let columns = |row: &BTreeMap<String, String>| {
        let column = |c: &&str| format!("{c}={}", row.get(*c).expect("there is such a column"));
        COLUMNS.iter().map(column).collect()
    };
    stat(worker).iter().map(|(name, row)| (name.clone(), columns(row))).collect()
}

fn server(worker: &Worker, name: &str) -> BTreeMap<String, String> {
    let text = worker.ask("show servers state app");
    let mut lines = text.lines().skip(1);
    let names: Vec<&str> = lines.next().expect("a head").trim_start_matches("# ").split(' ').collect();
    let row = lines
        .map(|l| l.split(' ').collect::<Vec<_>>())
        .find(|v| v.get(3) == Some(&name))
        .expect("the server");
    names.iter().zip(row).map(|(n, v)| ((*n).to_owned(), v.to_owned())).collect()
}

fn info(worker: &Worker, name: &str) -> String {
    let text = worker.ask("show info");
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

/// Ask for all of these; none of them has an answer, or a good one.
fn change(worker: &Worker, commands: &[&str]) {
    for command in commands {
        let answer = worker.ask(command);
        assert!(answer.trim().is_empty() || answer.contains("changed"), "{command}: {answer}");
    }
}

const CHANGES: [&str; 11] = [
    "disable health app/e",
    "set server app/a weight 7",
    "set server app/b state drain",
    "set server app/c state maint",
    "set server app/d addr 127.0.0.9 port 9",
    "set server app/e health down",
    "set maxconn server app/a 77",
    "set maxconn frontend web 99",
    "set maxconn global 50",
    "set rate-limit sessions global 1000",
    "disable frontend other",
];

#[test]
fn states_and_counters_survive_a_killed_worker() {
    let (dir, port, other, mut master) = (Dir::new(), free_port(), free_port(), Master::default());
    let up = origin();
    let servers: String =
        ["a", "b", "c", "d"].iter().map(|s| format!(" server {s} 127.0.0.1:{up}\n")).collect();
    let rest = format!(
        "frontend other\n bind 127.0.0.1:{other}\n default_backend app\nbackend app\n{servers}\
         \x20server e 127.0.0.1:{up} check inter 1h\n server f 127.0.0.1:{up} track e\n server g 127.0.0.1:1 check inter 50ms fall 1\n"
    );
    let file = dir.file("a.cfg", &config(port, &rest));
    let mut old = master.start(&dir, &file);
    until("the check has failed", || server(&old, "g")["srv_op_state"] == "0");
    (0..20).for_each(|_| drop(get(port).expect("served")));
    until("the first check is over", || server(&old, "e")["srv_check_status"] != "1");
    change(&old, &CHANGES);
    until("it has let go", || TcpStream::connect(("127.0.0.1", other)).is_err());
    until("rates have a maximum", || stat(&old)["web/FRONTEND"]["rate_max"] != "0");
    // The image is written each second.
    sleep(Duration::from_millis(1500));
    let before = comparable(&old);
    let states: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].map(|s| (server(&old, s), s)).into();
    let facts = ["Maxconn", "SessRateLimit", "CumConns", "CumReq", "Start_time_sec", "TotalBytesOut"];
    let told = facts.map(|name| info(&old, name));
    let uptime: u64 = info(&old, "Uptime_sec").parse().expect("a number");
    old.kill();
    let new = master.start(&dir, &file);
    assert_eq!(new.log, "");
    assert_eq!(comparable(&new), before);
    for (mut was, name) in states {
        let mut is = server(&new, name);
        let time = "srv_time_since_last_change";
        let [a, b] = [&was, &is].map(|row| row[time].parse::<i64>().expect("seconds"));
        assert!((a..a + 30).contains(&b), "{name}: {a} {b}");
        is.remove(time);
        was.remove(time);
        assert_eq!(is, was, "{name}");
    }
    assert_eq!(facts.map(|name| info(&new, name)), told);
    assert!(info(&new, "Uptime_sec").parse::<u64>().expect("a number") >= uptime.max(2));
    assert!(info(&new, "Pid") != old.process.pid().to_string());
    until("it is still disabled", || TcpStream::connect(("127.0.0.1", other)).is_err());
    change(&new, &["enable frontend other", "set server app/c state ready"]);
    until("it serves again", || get(other).is_ok());
    // It goes on counting from there.
    let count = |worker: &Worker| stat(worker)["web/FRONTEND"]["stot"].parse::<u64>().expect("a number");
    let at = count(&new);
    get(port).expect("served");
    until("one more", || count(&new) == at + 1);
    assert!(stat(&new)["web/FRONTEND"]["rate"].parse::<u64>().expect("a number") <= 2, "what was is not now");
}

#[test]
fn an_admin_change_is_kept_at_once() {
    let (dir, port, mut master) = (Dir::new(), free_port(), Master::default());
    let file =
        dir.file("a.cfg", &config(port, "backend app\n server a 127.0.0.1:1\n server b 127.0.0.1:1\n"));
    let mut worker = master.start(&dir, &file);
    for n in 1..6 {
        change(&worker, &[&format!("set server app/a weight {n}"), "set server app/b state maint"]);
        sleep(Duration::from_millis(100));
        worker.kill();
        worker = master.start(&dir, &file);
        assert_eq!(server(&worker, "a")["srv_uweight"], n.to_string());
        assert_eq!(server(&worker, "b")["srv_admin_state"], "1");
    }
}

#[test]
fn what_the_old_process_counts_while_it_finishes_is_added() {
    let (dir, port, mut master) = (Dir::new(), free_port(), Master::default());
    let file = dir.file("a.cfg", &config(port, &format!("backend app\n server a 127.0.0.1:{}\n", origin())));
    let mut old = master.start(&dir, &file);
    (0..5).for_each(|_| drop(get(port).expect("served")));
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    client.write_all(b"GET / HTTP/1.1\r\n").expect("sent");
    sleep(Duration::from_millis(100));
    let new = master.succeed(&old, &dir, &file);
    let count = |worker: &Worker, name: &str, column: &str| {
        stat(worker)[name][column].parse::<u64>().expect("a number")
    };
    let before = count(&new, "app/a", "stot");
    assert!(before <= 5);
    get(port).expect("served by one of them");
    client.write_all(b"Host: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("served");
    assert_eq!(old.process.ended().code(), Some(0));
    new.send(&haring::process::link::ToWorker::Gone(old.process.pid()));
    until("all are counted", || count(&new, "app/a", "stot") == 7);
    assert_eq!((count(&new, "web/FRONTEND", "hrsp_2xx"), count(&new, "web/FRONTEND", "conn_tot")), (7, 7));
    assert_eq!(info(&new, "CumReq"), "7");
    // Not twice, and not as something that happens now.
    sleep(Duration::from_millis(1200));
    assert_eq!(count(&new, "app/a", "stot"), 7);
    assert!(count(&new, "web/FRONTEND", "rate_max") <= 6);
}

#[test]
fn a_changed_configuration_wins() {
    let (dir, port, mut master) = (Dir::new(), free_port(), Master::default());
    let names = ["a", "b", "c", "d", "e"];
    let first: String =
        names.iter().map(|s| format!(" server {s} 127.0.0.1:1 weight 10 maxconn 5\n")).collect();
    let old = master.start(&dir, &dir.file("a.cfg", &config(port, &format!("backend app\n{first}"))));
    for s in names {
        let commands =
            ["weight 20", "addr 127.0.0.9 port 9", "state drain"].map(|c| format!("set server app/{s} {c}"));
        change(&old, &commands.each_ref().map(String::as_str));
    }
    change(&old, &["set maxconn frontend web 99"]);
    sleep(Duration::from_millis(100));
    let second = " server e 127.0.0.1:1 weight 10 maxconn 5\n server a 127.0.0.1:1 weight 30 maxconn 5\n \
                  server b 127.0.0.1:2 weight 10 maxconn 5\n server c 127.0.0.1:1 weight 10 disabled\n server new 127.0.0.1:1\n";
    let text = config(port, &format!("backend app\n{second}"))
        .replace("default_backend", "maxconn 50\n default_backend");
    let new = master.succeed(&old, &dir, &dir.file("b.cfg", &text));
    let shown = |name: &str| {
        let row = server(&new, name);
        ["srv_uweight", "srv_addr", "srv_port", "srv_admin_state"].map(|c| row[c].clone()).join(" ")
    };
    assert_eq!(shown("a"), "30 127.0.0.9 9 8", "its weight");
    assert_eq!(shown("b"), "20 127.0.0.1 2 8", "its address");
    assert_eq!(shown("c"), "20 127.0.0.9 9 5", "its state");
    assert_eq!(shown("e"), "20 127.0.0.9 9 8", "another place in the list is no change");
    assert_eq!(shown("new"), "1 127.0.0.1 1 0");
    assert_eq!(stat(&new)["web/FRONTEND"]["slim"], "50");
}

#[test]
fn what_is_no_image_is_said_and_left() {
    let (dir, port, mut master) = (Dir::new(), free_port(), Master::default());
    let file = dir.file("a.cfg", &config(port, "backend app\n server a 127.0.0.1:1\n"));
    master.held.insert("state".into(), std::fs::File::open(&file).expect("a file").into());
    let worker = master.start(&dir, &file);
    assert!(worker.log.contains("cannot be taken over"), "{}", worker.log);
    assert_eq!(server(&worker, "a")["srv_uweight"], "1");
}

#[test]
fn a_state_file_is_loaded_and_wins() {
    let (dir, port) = (Dir::new(), free_port());
    let states = dir.path("states");
    let servers =
        ["a", "b", "c"].map(|s| format!(" server {s} 127.0.0.1:1 weight 10 check inter 1h\n")).concat();
    let last = " server d 127.0.0.1:1 disabled\n server e 127.0.0.1:1 track c\n";
    let text = |global: &str, backend: &str, servers: &str| {
        let text = config(port, &format!("backend app\n{backend}{servers}{last}"));
        text.replacen("global\n", &format!("global\n{global}"), 1)
    };
    let plain = dir.file("a.cfg", &text("", "", &servers));
    let mut old = Master::default().start(&dir, &plain);
    // The checks of the others come later: they are spread over the hour.
    until("the check has failed", || server(&old, "a")["srv_op_state"] == "0");
    let commands = [
        "set server app/a weight 20",
        "set server app/b state drain",
        "set server app/c state maint",
        "set server app/a check-port 77",
        "set server app/b addr 127.0.0.1 port 9",
    ];
    change(&old, &commands[..3]);
    commands[3..].iter().for_each(|c| drop(old.ask(c)));
    std::fs::write(&states, old.ask("show servers state")).expect("written");
    old.kill();
    let shown = |worker: &Worker, name: &str| {
        let row = server(worker, name);
        let columns = ["srv_op_state", "srv_admin_state", "srv_uweight", "srv_port", "srv_check_port"];
        columns.map(|c| row[c].clone()).join(" ")
    };
    let expected = ["0 0 20 1 77", "2 8 10 9 0", "0 1 10 1 0", "0 5 1 1 0", "0 2 1 1 0"];
    let loads = |global: &str, backend: &str| {
        let mut master = Master::default();
        let file = dir.file("b.cfg", &text(global, backend, &servers));
        let worker = master.start(&dir, &file);
        let all = ["a", "b", "c", "d", "e"].map(|s| shown(&worker, s));
        (all, worker, master, file)
    };
    let global = format!(" server-state-file {states}\n");
    let (all, mut worker, mut master, file) = loads(&global, " load-server-state-from-file global\n");
    assert_eq!((all.each_ref().map(String::as_str), worker.log.as_str()), (expected, ""));
    // What was changed since is in the image; the file is what the configuration asks for.
    change(&worker, &["set server app/a weight 30"]);
    sleep(Duration::from_millis(100));
    worker.kill();
    let mut worker = master.start(&dir, &file);
    assert_eq!(shown(&worker, "a"), expected[0]);
    worker.kill();
    // Its own file; a weight that was configured anew; a file that is none.
    let base = format!(" server-state-base {}\n", dir.path(""));
    let local = " load-server-state-from-file local\n server-state-file-name states\n";
    let (all, mut worker, ..) = loads(&base, local);
    assert_eq!(all, expected);
    worker.kill();
    let changed = servers.replace("weight 10", "weight 11");
    let mut worker = Master::default().start(&dir, &dir.file("c.cfg", &text(&base, local, &changed)));
    assert_eq!(shown(&worker, "a"), "0 0 11 1 77");
    worker.kill();
    std::fs::write(&states, "1\nwhat is this\n").expect("written");
    let (all, worker, ..) = loads(&base, local);
    assert_ne!(all, expected);
    assert!(worker.log.contains("states' line 2"), "{}", worker.log);
    drop(worker);
    let (_, worker, ..) = loads(&base, " load-server-state-from-file local\n");
    assert!(worker.log.contains("app': No such file"), "{}", worker.log);
}

#[test]
fn without_a_master_the_old_process_hands_it_over() {
    let (dir, port) = (Dir::new(), free_port());
    let socket = dir.path("admin.sock");
    let rest = "backend app\n server a 127.0.0.1:1\n stick-table type ip size 100 store gpc0\n";
    let global = format!("global\n stats socket {socket} level admin expose-fd listeners\n");
    let file = dir.file("a.cfg", &config(port, rest).replacen("global\n", &global, 1));
    let command = |line: &str| {
        let client = UnixStream::connect(&socket).ok()?;
        Some(ask(client, line))
    };
    let start = |args: &[&str]| {
        let mut command = Command::new(HARING);
        command.args(["-db", "-f", &file]).args(args);
        Process::spawn(&mut command, &dir, |_| ())
    };
    let served_by =
        |pid: i32| command("show info").is_some_and(|info| info.contains(&format!("Pid: {pid}\n")));
    let mut old = start(&[]);
    until("it serves", || served_by(old.pid()));
    command("set server app/a weight 9; set table app key 1.2.3.4 data.gpc0 7");
    sleep(Duration::from_millis(100));
    let new = start(&["-x", &socket, "-sf", &old.pid().to_string()]);
    assert_eq!(old.ended().code(), Some(0));
    until("the new one serves", || served_by(new.pid()));
    let shown = command("show servers state app; show table app").expect("it serves");
    assert!(shown.contains(" a 127.0.0.1 2 0 9 1 ") && shown.contains("key=1.2.3.4 "), "{shown}");
    assert_eq!(new.said(), "");
}
