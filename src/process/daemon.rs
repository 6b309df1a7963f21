//! The background, the pid file, and the processes that we replace.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::args::Args;
use super::messages;
use crate::proxy::GlobalConf;

/// Which of the two processes this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that was started: it ends once it has written down the daemon's process id.
    Parent(i32),
    /// The daemon.
    Daemon,
}

fn failed(what: &str, why: &dyn std::fmt::Display) -> String {
    format!("startup : cannot {what}: {why}")
}

/// A child in a session of its own, that still has the terminal. Before any thread was started.
pub fn fork() -> Result<Side, String> {
    match crate::sys::process::fork() {
        Err(error) => Err(failed("fork", &error)),
        Ok(Some(child)) => Ok(Side::Parent(child)),
        Ok(None) => {
            setsid().map_err(|e| failed("leave the session", &e.desc()))?;
            Ok(Side::Daemon)
        }
    }
}

/// What is there instead of the terminal.
///
/// # Errors
/// One line.
pub fn null() -> Result<File, String> {
    File::options().read(true).write(true).open("/dev/null").map_err(|e| failed("open /dev/null", &e))
}

/// Read and write nothing there any more, and say nothing.
pub fn leave_terminal() -> Result<(), String> {
    leave_terminal_for(null()?)
}

/// The same, for `null` that was opened before.
pub fn leave_terminal_for(null: File) -> Result<(), String> {
    let all = dup2_stdin(&null).and_then(|()| dup2_stdout(&null)).and_then(|()| dup2_stderr(&null));
    all.map_err(|e| failed("leave the terminal", &e.desc()))?;
    messages::be_quiet();
    Ok(())
}

/// Wait until the daemon serves.
///
/// # Errors
/// One line: it has ended instead.
pub fn await_child(mut began: std::io::PipeReader) -> Result<(), Vec<String>> {
    match began.read(&mut [0]) {
        Ok(1) => Ok(()),
        _ => Err(vec!["startup : the process in the background has ended while it started".to_owned()]),
    }
}

/// The pid file: opened before the jail is entered, written when the final process id is known.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Open the file that `-p` or `pidfile` names, if any.
    pub fn open(args: &Args, global: &GlobalConf) -> Result<Option<PidFile>, Vec<String>> {
        let Some(path) = args.pidfile.as_ref().or(global.process.pidfile.as_ref()) else { return Ok(None) };
        let path = PathBuf::from(path);
        // The old content stays until the new id is known: `-sf $(cat FILE)` may still read it.
        let file = File::options().write(true).create(true).truncate(false).mode(0o644).open(&path);
        match file {
            Ok(file) => Ok(Some(PidFile { path, file })),
            Err(error) => {
                let why = crate::proxy::check::error_words(&error);
                Err(vec![format!("startup : pid file {} cannot be created: {why}", path.display())])
            }
        }
    }

    /// Write a process id.
    pub fn write(&self, pid: i32) -> Result<(), Vec<String>> {
        let text = format!("{pid}\n");
        // In this order, so that no reader finds it empty.
        let written =
            self.file.write_all_at(text.as_bytes(), 0).and_then(|()| self.file.set_len(text.len() as u64));
        written
            .map_err(|e| vec![format!("startup : pid file {} cannot be written: {e}", self.path.display())])
    }
}

/// `-sf` and `-st`: tell the old processes, now that we serve.
pub fn signal_old(args: &Args) {
    let all = args.finish.iter().map(|p| (*p, Signal::SIGUSR1));
    for (pid, signal) in all.chain(args.terminate.iter().map(|p| (*p, Signal::SIGTERM))) {
        // One that is gone already is what we want.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
