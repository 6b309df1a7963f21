//! Programs under test: started on their processor, watched in /proc, stopped by their process id.

use super::Options;
use super::scenario::{Contestant, Program};
use crate::net::Failure;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A child that is stopped when it is dropped. Should this process die first, the kernel tells the child
/// (`setpriv --pdeathsig`).
pub struct Running {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.pid();
        let _ = kill(pid, Signal::SIGTERM);
        let patience = Instant::now() + Duration::from_secs(3);
        while Instant::now() < patience {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for pid in tree(pid) {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

impl Running {
    /// Wraps a child that listens on `port`.
    pub fn new(child: Child, port: u16) -> Running {
        Running { child, port }
    }

    /// The process id of the child.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Processor time of the process and its descendants so far, all threads, in seconds.
    pub fn cpu(&self) -> f64 {
        let ticks: u64 = tree(self.pid()).into_iter().filter_map(cpu_ticks).sum();
        let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
        ticks as f64 / per_second as f64
    }

    /// Private memory of the process and its descendants, in bytes.
    pub fn private_memory(&self) -> u64 {
        let kib: u64 = tree(self.pid()).into_iter().filter_map(private_kib).sum();
        kib * 1024
    }

    /// The process and its descendants.
    pub fn pids(&self) -> Vec<Pid> {
        tree(self.pid())
    }
}

/// A port that nobody listens on.
pub fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Runs `command` on one processor, bound to the life of this process.
pub fn spawn_on(cpu: usize, command: &[String], stdout: Stdio, stderr: Stdio) -> Result<Child, Failure> {
    let before = sched_getaffinity(Pid::from_raw(0))?;
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).map_err(|e| format!("processor {cpu}: {e}"))?;
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "TERM"])
        .args(command)
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(stderr)
        .spawn();
    sched_setaffinity(Pid::from_raw(0), &before)?;
    child.map_err(|e| format!("{}: {e}", command[0]).into())
}

/// Starts a contestant in front of the origin and waits until it answers.
pub fn start(options: &Options, who: &Contestant, origin: u16) -> Result<Running, Failure> {
    let port = free_port()?;
    let dir = options.work.join(format!("{}-{port}", who.key));
    fs::create_dir_all(&dir)?;
    let conf = write_conf(options, who, origin, port, &dir)?;
    let log = dir.join("stderr");
    let conf = conf.display().to_string();
    let words: Vec<&str> = match who.program {
        Program::Haring => vec![&options.bin, "-db", "-f", &conf],
        Program::Haproxy => vec![&options.haproxy, "-db", "-f", &conf],
        Program::Nginx => vec![&options.nginx, "-c", &conf],
    };
    let command: Vec<String> = words.into_iter().map(str::to_string).collect();
    let out = fs::File::create(&log)?;
    let child = spawn_on(options.proxy_cpu, &command, out.try_clone()?.into(), out.into())?;
    let mut running = Running { child, port };
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        if crate::idle::probe(port).is_ok() {
            return Ok(running);
        }
        let gone = running.child.try_wait()?;
        if gone.is_some() || Instant::now() > patience {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let what = if gone.is_some() { "stopped" } else { "does not answer" };
            return Err(format!("{} {what}:\n{}", who.label, said.trim()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn write_conf(
    options: &Options,
    who: &Contestant,
    origin: u16,
    port: u16,
    dir: &Path,
) -> Result<PathBuf, Failure> {
    let from = options.conf.join(who.conf);
    let text = fs::read_to_string(&from).map_err(|e| format!("{}: {e}", from.display()))?;
    let text = text
        .replace("@PORT@", &port.to_string())
        .replace("@ORIGIN@", &origin.to_string())
        .replace("@OPTIONS@", who.options)
        // HAProxy has three counters built in, and knows the setting from 2.8 on.
        .replace("@COUNTERS@", if who.options.contains("track-sc3") { "tune.stick-counters 10" } else { "" })
        .replace("@DIR@", &dir.display().to_string());
    let to = dir.join(who.conf);
    fs::write(&to, text)?;
    Ok(to)
}

/// Waits until something listens on a port.
pub fn wait_for_port(port: u16) -> Result<(), Failure> {
    let patience = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > patience {
            return Err(format!("nothing listens on port {port}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A process and its descendants.
fn tree(root: Pid) -> Vec<Pid> {
    let parents: Vec<(i32, i32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| Some((pid, stat_field(pid, 1)? as i32)))
        .collect();
    let mut found = vec![root.as_raw()];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.into_iter().map(Pid::from_raw).collect()
}

/// A field of /proc/PID/stat, counted from the state behind the name (state is 0).
fn stat_field(pid: i32, field: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let behind_name = &stat[stat.rfind(')')? + 2..];
    behind_name.split(' ').nth(field)?.parse().ok()
}

/// utime + stime: of all threads, those that have ended and io_uring's workers included.
fn cpu_ticks(pid: Pid) -> Option<u64> {
    Some(stat_field(pid.as_raw(), 11)? + stat_field(pid.as_raw(), 12)?)
}

fn private_kib(pid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = |name: &str| -> Option<u64> {
        text.lines().find_map(|l| l.strip_prefix(name))?.trim().trim_end_matches(" kB").parse().ok()
    };
    Some(line("Private_Clean:")? + line("Private_Dirty:")?)
}
