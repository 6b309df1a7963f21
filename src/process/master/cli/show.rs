//! `show proc`: tools read its columns.

use std::fmt::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use crate::process::control::mono;
use crate::process::master::Ns;
use crate::process::master::program::Program;
use crate::process::master::supervisor::Master;
use crate::process::master::worker::{Phase, Worker};
use crate::process::version;

/// A line.
struct Row {
    pid: i32,
    kind: String,
    reloads: String,
    up: Duration,
    version: String,
    /// The descriptor of its channel.
    fd: i32,
}

/// The processes, those that leave apart.
pub fn processes(master: &Master, debug: bool) -> String {
    let now = mono().0;
    let own = Row {
        pid: std::process::id() as i32,
        kind: "master".to_owned(),
        reloads: format!("{} [failed: {}]", master.loads.reloads, master.loads.failed),
        up: since(now, master.started_ns),
        version: version::VERSION.to_owned(),
        fd: -1,
    };
    let workers = |leaving: bool| {
        let all = master.workers.iter().filter(move |w| matches!(w.phase, Phase::Leaving) == leaving);
        all.map(|w| of_worker(w, now)).collect()
    };
    let programs = |all: &[Program]| all.iter().filter(|p| p.pid > 0).map(|p| of_program(p, now)).collect();
    let groups: [(&str, Vec<Row>); 5] = [
        ("", vec![own]),
        ("# workers", workers(false)),
        ("# old workers", workers(true)),
        ("# programs", programs(&master.programs)),
        ("# old programs", programs(&master.leaving_programs)),
    ];
    table(&groups, debug)
}

fn of_worker(worker: &Worker, now: Ns) -> Row {
    let version = if worker.version.is_empty() { "-" } else { &worker.version };
    Row {
        pid: worker.pid,
        kind: "worker".to_owned(),
        reloads: worker.reloads.to_string(),
        up: since(now, worker.started_ns),
        version: version.to_owned(),
        fd: worker.link.as_ref().map_or(-1, |link| link.as_fd().as_raw_fd()),
    }
}

fn of_program(program: &Program, now: Ns) -> Row {
    Row {
        pid: program.pid,
        kind: program.name.clone(),
        reloads: program.reloads.to_string(),
        up: since(now, program.started_ns),
        version: "-".to_owned(),
        fd: -1,
    }
}

fn since(now: Ns, then: Ns) -> Duration {
    Duration::from_nanos(now.saturating_sub(then))
}

fn table(groups: &[(&str, Vec<Row>)], debug: bool) -> String {
    let mut out = String::new();
    let columns = ["#<PID>", "<type>", "<reloads>", "<uptime>", "<version>"];
    line(&mut out, columns, debug.then_some(["<ipc_fd[0]>", "<ipc_fd[1]>"]));
    for (n, (title, rows)) in groups.iter().enumerate() {
        // The serving workers have their title always.
        if rows.is_empty() && n != 1 {
            continue;
        }
        if !title.is_empty() {
            out.push_str(title);
            out.push('\n');
        }
        for row in rows {
            let (pid, up, fd) = (row.pid.to_string(), uptime(row.up), row.fd.to_string());
            let columns = [pid.as_str(), &row.kind, &row.reloads, &up, &row.version];
            line(&mut out, columns, debug.then_some([&fd, "-1"]));
        }
    }
    out
}

fn line(out: &mut String, [a, b, c, d, e]: [&str; 5], debug: Option<[&str; 2]>) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{a:<15} {b:<15} {c:<15} {d:<15} {e:<15}");
    if let Some([first, second]) = debug {
        let _ = write!(out, "\t\t {first:<15} {second:<15}");
    }
    out.push('\n');
}

fn uptime(up: Duration) -> String {
    let s = up.as_secs();
    format!("{}d{:02}h{:02}m{:02}s", s / 86400, s / 3600 % 24, s / 60 % 60, s % 60)
}

/// What the master holds for workers: the number here, and the key.
pub fn held(master: &Master, out: &mut String) {
    out.push_str("# fd key\n");
    for (key, fd) in master.store.iter() {
        let _ = writeln!(out, "{} {key}", fd.as_raw_fd());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pid: i32, kind: &str, reloads: &str, seconds: u64, version: &str) -> Row {
        let (kind, reloads, version) = (kind.to_owned(), reloads.to_owned(), version.to_owned());
        Row { pid, kind, reloads, up: Duration::from_secs(seconds), version, fd: 7 }
    }

    #[test]
    fn columns_are_where_tools_expect_them() {
        let groups = [
            ("", vec![row(1162, "master", "5 [failed: 0]", 127, "2.5-dev13")]),
            ("# workers", vec![]),
            ("# old workers", vec![row(1233, "worker", "3", 100_000, "2.0-dev3-6019f6-289")]),
            ("# programs", vec![row(1244, "foo", "0", 0, "-")]),
            ("# old programs", vec![]),
        ];
        let expected = "\
#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
1162            master          5 [failed: 0]   0d00h02m07s     2.5-dev13      \n\
# workers\n\
# old workers\n\
1233            worker          3               1d03h46m40s     2.0-dev3-6019f6-289\n\
# programs\n\
1244            foo             0               0d00h00m00s     -              \n";
        assert_eq!(table(&groups, false), expected);
        let debug = table(&groups, true);
        assert!(debug.starts_with(
            "#<PID>          <type>          <reloads>       <uptime>        <version>      \t\t <ipc_fd[0]>     <ipc_fd[1]>    \n"
        ));
        assert!(debug.contains(
            "5 [failed: 0]   0d00h02m07s     2.5-dev13      \t\t 7               -1             \n"
        ));
    }
}
