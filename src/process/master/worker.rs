//! A worker as its master sees it.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Ns;
use super::notify;
use super::state::{self, Record};
use super::supervisor::OBEY_MAX;
use crate::net::Channel;
use crate::process::control::mono;
use crate::process::link::{self, ToWorker};
use crate::process::{messages, version};
use crate::sys::process::{close_on_exec, unblock_signals};

/// Text of a worker's start that is remembered at most.
const LOG_MAX: usize = 256 * 1024;
/// Length of its status line at most.
const STATUS_MAX: usize = 1024;

/// Why a worker was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The master has just been started.
    First,
    /// Somebody asked for it.
    Reload,
    /// The one that served has died.
    Replace,
}

/// What is known of a worker until it is ready.
#[derive(Debug)]
pub struct Start {
    /// Why it was started.
    pub why: Why,
    /// The one that served then, and the end of the channel that it gets when this one is ready.
    pub handover: Option<(i32, Channel)>,
    /// What it wants to have held when it serves.
    pub kept: Vec<(String, OwnedFd)>,
}

/// What a worker does.
#[derive(Debug)]
pub enum Phase {
    /// It loads its configuration.
    Starting(Start),
    /// It accepts.
    Serving,
    /// It finishes what it has.
    Leaving,
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With that code.
    Exited(u8),
    /// By that signal.
    Killed(i32),
    /// It was not our child: its channel has closed.
    Unknown,
}

impl Outcome {
    /// The exit code that stands for it, as shells have it.
    pub fn code(self) -> u8 {
        match self {
            Outcome::Exited(code) => code,
            Outcome::Killed(signal) => 128_u8.saturating_add(signal as u8),
            Outcome::Unknown => 0,
        }
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Outcome::Exited(code) => format!("exited with code {code}"),
            Outcome::Killed(number) => {
                let name = Signal::try_from(number).map_or("a signal", Signal::as_str);
                format!("was killed by {name} ({number})")
            }
            Outcome::Unknown => "has ended".to_owned(),
        }
    }
}

/// A worker.
#[derive(Debug)]
pub struct Worker {
    /// Its process id.
    pub pid: i32,
    /// The channel to it; `None` when it has closed its end.
    pub link: Option<Channel>,
    /// It is a child of this process; the workers of a master before this one are not.
    pub ours: bool,
    /// What it does.
    pub phase: Phase,
    /// Reloads that it has survived.
    pub reloads: u32,
    /// Monotonic time of its start.
    pub started_ns: Ns,
    /// Monotonic time since which it serves.
    pub ready_ns: Ns,
    /// Version of the program.
    pub version: String,
    /// What it said of itself last.
    pub status: String,
    /// What it said while it started.
    pub log: String,
    /// It was told to end: when it is killed.
    pub kill_ns: Option<Ns>,
    /// A message of it was refused, and that was said.
    complained: bool,
}

impl Worker {
    /// A worker of that process id, just started.
    pub fn new(pid: i32, link: Option<Channel>, phase: Phase, now_ns: Ns) -> Worker {
        Worker {
            pid,
            link,
            ours: true,
            phase,
            reloads: 0,
            started_ns: now_ns,
            ready_ns: now_ns,
            version: version::VERSION.to_owned(),
            status: String::new(),
            log: String::new(),
            kill_ns: None,
            complained: false,
        }
    }

    /// The worker of a master before this one: all that is known of it is its channel.
    pub fn of_before(pid: i32, fd: OwnedFd, phase: Phase) -> Worker {
        let mut worker = Worker::new(pid, Some(Channel::from_fd(fd)), phase, mono().0);
        worker.ours = false;
        worker.version = String::new();
        worker
    }

    /// It has not said yet that it is ready.
    pub fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting(_))
    }

    /// It accepts, and nobody else has come after it.
    pub fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Serving)
    }

    /// The name of its channel at the service manager.
    pub fn key(&self) -> String {
        key(self.pid, !self.is_serving())
    }

    /// Send it a signal.
    pub fn signal(&mut self, signal: Signal, now_ns: Ns) {
        if matches!(signal, Signal::SIGTERM | Signal::SIGINT) {
            self.kill_ns.get_or_insert(now_ns + OBEY_MAX.as_nanos() as Ns);
        }
        // One that is not our child is known to be alive, and its id its own, as long as its channel is open.
        if self.ours || self.link.is_some() {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Say what is wrong with its messages: the first time only, for a worker that a stranger has taken over may send
    /// any number of them.
    pub fn complain(&mut self, what: &str) {
        if !std::mem::replace(&mut self.complained, true) {
            messages::warning(&format!("worker {}: {what}", self.pid));
        }
    }

    /// Remember what it says.
    pub fn add_log(&mut self, text: &str) {
        if self.log.len() + text.len() <= LOG_MAX {
            self.log.push_str(text);
        }
    }

    /// Take its status over: one line.
    pub fn set_status(&mut self, text: &str) {
        self.status = text.chars().filter(|c| !c.is_control()).take(STATUS_MAX).collect();
    }

    /// For the next image.
    pub fn save(&self) -> Option<Record> {
        let phase = match self.phase {
            // A reload waits for the end of the start before it.
            Phase::Starting(_) => return None,
            Phase::Serving => "serving",
            Phase::Leaving => "leaving",
        };
        let fd = self.link.as_ref().map_or(-1, |link| std::os::fd::AsFd::as_fd(link).as_raw_fd());
        let record = Record::new("worker").with(self.pid).with(fd).with(phase);
        let record = record.with(self.reloads).with(self.started_ns).with(self.ready_ns);
        let record = record.with(u8::from(self.ours)).with(self.kill_ns.unwrap_or(0));
        Some(record.with(&self.version).with(&self.status).with(&self.log))
    }

    /// What [`Worker::save`] has written.
    pub fn restore(record: &Record) -> Option<Worker> {
        let pid = record.number::<i32>(1).filter(|pid| *pid > 1)?;
        let phase = if record.text(3) == "serving" { Phase::Serving } else { Phase::Leaving };
        Some(Worker {
            pid,
            link: record.fd(2).map(Channel::from_fd),
            ours: record.number::<u8>(7) != Some(0),
            phase,
            reloads: record.number(4).unwrap_or(0),
            started_ns: record.number(5).unwrap_or(0),
            ready_ns: record.number(6).unwrap_or(0),
            version: record.text(9).to_owned(),
            status: record.text(10).to_owned(),
            log: record.text(11).to_owned(),
            kill_ns: record.number(8).filter(|ns| *ns > 0),
            complained: false,
        })
    }
}

/// The name of a worker's channel at the service manager.
pub fn key(pid: i32, leaving: bool) -> String {
    format!("{}/{pid}", if leaving { "leaving" } else { "worker" })
}

/// The worker whose channel has that name: its process id, and whether it leaves.
pub fn of_key(name: &str) -> Option<(i32, bool)> {
    let (kind, pid) = name.split_once('/')?;
    let leaving = match kind {
        "worker" => false,
        "leaving" => true,
        _ => return None,
    };
    Some((pid.parse().ok().filter(|pid| *pid > 1)?, leaving))
}

/// Start the program with a channel to it. The workers of a `service` do not run as root by mistake.
pub fn spawn(program: &Path, options: &[OsString], service: bool) -> std::io::Result<(i32, Channel)> {
    let (ours, theirs) = Channel::pair()?;
    let theirs = theirs.into_fd();
    close_on_exec(&theirs, false)?;
    let mut command = Command::new(program);
    command.args(options).env_remove(state::ENV).env("HAPROXY_MWORKER", "1");
    command.env(link::ENV, format!("{}:{}", std::process::id(), theirs.as_raw_fd()));
    if service {
        command.env(link::SERVICE, "1");
    }
    for name in notify::OWN_VARIABLES {
        command.env_remove(name);
    }
    unblock_signals(&mut command);
    let child = command.spawn()?;
    Ok((child.id() as i32, ours))
}

/// Hand everything to a new worker: what is held, the one that serves until now, and the word to start. Gives the other
/// end of the channel between the two.
pub fn equip<'a>(
    link: &Channel,
    held: impl Iterator<Item = (&'a String, &'a OwnedFd)>,
    serving: Option<i32>,
) -> std::io::Result<Option<Channel>> {
    for (key, fd) in held {
        ToWorker::Inherit(key.clone(), fd.try_clone()?).send(link)?;
    }
    let mut rest = None;
    if let Some(pid) = serving {
        let (first, second) = Channel::pair()?;
        ToWorker::Predecessor(pid, first.into_fd()).send(link)?;
        rest = Some(second);
    }
    ToWorker::Go.send(link)?;
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_comes_back() {
        let (link, _other) = Channel::pair().expect("a pair");
        let number = std::os::fd::AsFd::as_fd(&link).as_raw_fd();
        let mut worker = Worker::new(4711, Some(link), Phase::Serving, 5);
        worker.reloads = 3;
        worker.add_log("[ALERT] all\nis lost\n");
        worker.set_status("serves\n17 clients");
        let record = worker.save().expect("it serves");
        // The next image has the descriptor by its number alone.
        let _ = std::os::fd::IntoRawFd::into_raw_fd(worker.link.take().expect("it has one").into_fd());
        let again = Worker::restore(&state::parse(&state::write(&[record]))[0]).expect("a worker");
        assert_eq!((again.pid, again.reloads, again.ours, again.kill_ns), (4711, 3, true, None));
        assert!(again.is_serving() && again.link.is_some());
        assert_eq!((again.log.as_str(), again.status.as_str()), (worker.log.as_str(), "serves17 clients"));
        assert_eq!(std::os::fd::AsFd::as_fd(again.link.as_ref().expect("kept")).as_raw_fd(), number);
        assert!(Worker::restore(&Record::new("worker").with(1)).is_none());
    }

    #[test]
    fn names_of_channels() {
        assert_eq!(of_key(&key(12, false)), Some((12, false)));
        assert_eq!(of_key(&key(12, true)), Some((12, true)));
        for other in ["worker", "worker/x", "worker/0", "worker/1", "table/12", ""] {
            assert_eq!(of_key(other), None, "{other}");
        }
    }

    #[test]
    fn codes_of_ends() {
        assert_eq!([Outcome::Exited(2).code(), Outcome::Killed(9).code()], [2, 137]);
        assert_eq!(Outcome::Killed(9).words(), "was killed by SIGKILL (9)");
    }
}
