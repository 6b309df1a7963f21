//! `haring-systemd-wrapper`: runs `haring` with the same options, passes signals on, and replaces it on SIGUSR2
//! and SIGHUP: the new configuration is checked first, the new process takes over, the old one finishes. The wrapper
//! itself is executed anew then, so that an upgraded file takes over; its process id and its children stay.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::control::Signals;

/// Nothing but signals wakes the wrapper; a lost one would be seen after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Tells the wrapper that is executed anew which children it has: `<its process id>:<child>,<child>`. The first
/// number shows that it is meant for this process, not for one that has inherited the environment.
const CHILDREN: &str = "HARING_WRAPPER_CHILDREN";

/// What a child ended with: an exit code, or 128 and the signal's number as shells have it.
fn code_of(status: WaitStatus) -> Option<(Pid, u8)> {
    match status {
        WaitStatus::Exited(pid, code) => Some((pid, code as u8)),
        WaitStatus::Signaled(pid, signal, _) => Some((pid, 128 + signal as u8)),
        _ => None,
    }
}

struct Wrapper {
    /// Its own file.
    own: PathBuf,
    options: Vec<OsString>,
    /// Process ids of running children.
    children: BTreeSet<i32>,
    /// The one that serves.
    current: Option<Pid>,
    /// Exit code of the last one that served.
    code: u8,
}

/// Entry point of the wrapper.
pub fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let own = args.next().unwrap_or_default();
    let options: Vec<OsString> = args.collect();
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            say(&format!("signalfd: {}", error.desc()));
            return ExitCode::FAILURE;
        }
    };
    let value = std::env::var(CHILDREN).unwrap_or_default();
    let children = inherited(&value, std::process::id());
    let current = children.last().map(|p| Pid::from_raw(*p));
    let mut wrapper = Wrapper { own: own_file(&own), options, children, current, code: 1 };
    if !wrapper.start() && wrapper.children.is_empty() {
        return ExitCode::FAILURE;
    }
    while !wrapper.children.is_empty() {
        match signals.next(LOOK_AGAIN) {
            Some(Signal::SIGUSR2 | Signal::SIGHUP) => wrapper.reload(),
            Some(signal @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGUSR1)) => wrapper.pass_on(signal),
            _ => {}
        }
        wrapper.reap();
    }
    say(&format!("exit, code {}", wrapper.code));
    ExitCode::from(wrapper.code)
}

/// The wrapper's own file, also when another one has taken its place since the start.
fn own_file(own: &OsString) -> PathBuf {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from(own));
    without_mark(&path)
}

/// A path without what the kernel adds to the name of a file that is gone.
fn without_mark(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    PathBuf::from(OsString::from_vec(bytes.strip_suffix(b" (deleted)").unwrap_or(bytes).to_vec()))
}

/// The children that the value of [`CHILDREN`] gives to the process `own`.
fn inherited(value: &str, own: u32) -> BTreeSet<i32> {
    match value.split_once(':') {
        Some((pid, list)) if pid.parse() == Ok(own) => {
            list.split(',').filter_map(|p| p.parse().ok()).filter(|p| *p > 1).collect()
        }
        _ => BTreeSet::new(),
    }
}

fn say(text: &str) {
    super::messages::notice(&format!("haring-systemd-wrapper: {text}"));
}

impl Wrapper {
    /// `haring` beside the wrapper's own file.
    fn program(&self) -> PathBuf {
        self.own.with_file_name("haring")
    }

    /// Start a process that replaces all running ones. False when it could not be started at all.
    fn start(&mut self) -> bool {
        let mut command = Command::new(self.program());
        command.args(&self.options).arg("-Ds").env_remove(CHILDREN);
        if !self.children.is_empty() {
            command.arg("-sf").args(self.children.iter().map(i32::to_string));
        }
        match command.spawn() {
            Ok(child) => {
                let pid = Pid::from_raw(child.id() as i32);
                self.children.insert(pid.as_raw());
                self.current = Some(pid);
                true
            }
            Err(error) => {
                say(&format!("cannot run {}: {error}", self.program().display()));
                false
            }
        }
    }

    fn reload(&mut self) {
        let mut check = Command::new(self.program());
        match check.args(&self.options).args(["-c", "-q"]).env_remove(CHILDREN).status() {
            Ok(status) if status.success() => self.execute_anew(),
            Ok(_) => say("the new configuration is not valid: the old process goes on"),
            Err(error) => say(&format!("cannot check the configuration: {error}")),
        }
    }

    /// Signals stay blocked and queued meanwhile, and children stay children: nothing is lost in between.
    fn execute_anew(&mut self) {
        say("re-executing");
        // One that has ended by now must not be named to the successor: its number may be another's later.
        self.reap();
        let children: Vec<String> = self.children.iter().map(i32::to_string).collect();
        let value = format!("{}:{}", std::process::id(), children.join(","));
        let error = Command::new(&self.own).args(&self.options).env(CHILDREN, value).exec();
        say(&format!("cannot execute {}: {error}: this one goes on", self.own.display()));
        self.start();
    }

    fn pass_on(&self, signal: Signal) {
        for pid in &self.children {
            // One that has just ended needs no signal.
            let _ = kill(Pid::from_raw(*pid), signal);
        }
    }

    /// Collect every child that has ended.
    fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(status) => {
                    if let Some((pid, code)) = code_of(status) {
                        self.ended(pid, code);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    fn ended(&mut self, pid: Pid, code: u8) {
        self.children.remove(&pid.as_raw());
        if self.current == Some(pid) {
            self.code = code;
            // A successor that could not start leaves its predecessor in charge: it was not told to finish.
            self.current = self.children.last().map(|p| Pid::from_raw(*p));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_children_are_taken_over() {
        assert_eq!(inherited("7:12,9", 7), BTreeSet::from([9, 12]));
        assert_eq!(inherited("8:12,9", 7), BTreeSet::new());
        assert_eq!(inherited("7:", 7), BTreeSet::new());
        assert_eq!(inherited("7:-1,0,1,x,5", 7), BTreeSet::from([5]));
        assert_eq!(inherited("", 7), BTreeSet::new());
    }

    #[test]
    fn a_replaced_file_is_found_by_its_name() {
        assert_eq!(without_mark(Path::new("/a/w (deleted)")), PathBuf::from("/a/w"));
        assert_eq!(without_mark(Path::new("/a/w")), PathBuf::from("/a/w"));
    }
}
