//! `haring-systemd-wrapper`: runs `haring` with the same options, passes signals on, and replaces it on SIGUSR2
//! and SIGHUP: the new configuration is checked first, the new process takes over, the old one finishes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::control::Signals;

/// Nothing but signals wakes the wrapper; a lost one would be seen after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What a child ended with: an exit code, or 128 and the signal's number as shells have it.
fn code_of(status: WaitStatus) -> Option<(Pid, u8)> {
    match status {
        WaitStatus::Exited(pid, code) => Some((pid, code as u8)),
        WaitStatus::Signaled(pid, signal, _) => Some((pid, 128 + signal as u8)),
        _ => None,
    }
}

struct Wrapper {
    program: PathBuf,
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
    let mut wrapper =
        Wrapper { program: program(&own), options, children: BTreeSet::new(), current: None, code: 1 };
    if !wrapper.start() {
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

/// `haring` beside the wrapper's own file.
fn program(own: &OsString) -> PathBuf {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from(own));
    path.with_file_name("haring")
}

fn say(text: &str) {
    super::messages::notice(&format!("haring-systemd-wrapper: {text}"));
}

impl Wrapper {
    /// Start a process that replaces all running ones. False when it could not be started at all.
    fn start(&mut self) -> bool {
        let mut command = Command::new(&self.program);
        command.args(&self.options).arg("-Ds");
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
                say(&format!("cannot run {}: {error}", self.program.display()));
                false
            }
        }
    }

    fn reload(&mut self) {
        match Command::new(&self.program).args(&self.options).args(["-c", "-q"]).status() {
            Ok(status) if status.success() => {
                say("re-executing");
                self.start();
            }
            Ok(_) => say("the new configuration is not valid: the old process goes on"),
            Err(error) => say(&format!("cannot check the configuration: {error}")),
        }
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
