//! The master process: `haring -W`, `haring -Ws`, `haring-systemd-wrapper`.
//!
//! It starts workers and replaces them; it parses no HTTP and touches no byte of a client. What it owns are descriptors
//! by key (listening sockets, memory), which it hands to each new worker and does not understand ([`store`]), and the
//! channels to its workers ([`super::link`]).
//!
//! ```text
//! start    worker: inherit…, go -> (loads) -> keep…, ready
//! reload   SIGUSR2: the master executes itself anew ([`state`]), so that an upgraded file takes over; then
//!          new worker: inherit…, predecessor, go -> ready;  old worker: successor -> (hands over, finishes) -> ends
//!          new worker ends before `ready`: the old one was told nothing and goes on
//! crash    a worker that dies is replaced at once, with everything that it had kept ([`backoff`] bounds that)
//! restart  under systemd, with a descriptor store: the master ends alone, the worker serves on; its channel and all
//!          descriptors wait in the store ([`notify`]), and the next master replaces it like at a reload
//! ```
//!
//! The admin socket (`-S`) is [`cli`]: it looks at the workers, programs and [`supervisor::Loads`], gives connections to
//! workers, and asks for reloads, whose answer it learns from [`supervisor::Master::loaded`].

pub mod backoff;
pub mod cli;
pub mod conf;
mod endings;
mod loading;
pub mod notify;
pub mod program;
pub mod state;
pub mod store;
mod supervisor;
pub mod worker;

use std::ffi::OsString;
use std::io::{PipeWriter, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::Duration;

use conf::Conf;
use nix::poll::{PollTimeout, poll};
use program::Program;
use supervisor::Master;

use super::args::Args;
use super::control::mono;
use super::daemon::{self, PidFile, Side};
use super::messages;

/// Monotonic time in nanoseconds.
pub type Ns = u64;

/// How long a program may take to show that it runs. The master does nothing else meanwhile.
const SHOW_MAX: Duration = Duration::from_secs(5);

/// The second attempt to start what has failed waits so long.
pub const FIRST_WAIT: Duration = Duration::from_millis(100);

/// What it was called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `haring -W`, or `master-worker` in the configuration.
    Plain,
    /// `haring -Ws`: a service manager listens.
    Service,
    /// `haring-systemd-wrapper`: `haring` is beside it, and the pid file has the worker's number.
    Wrapper,
}

/// Whether this is a master that has just executed itself anew.
pub fn is_restored() -> bool {
    state::is_inherited()
}

/// Run a master until its end.
pub fn main(args: &Args, kind: Kind) -> ExitCode {
    match prepare(args, kind) {
        Ok(Prepared::Parent(code)) => ExitCode::from(code),
        Ok(Prepared::Run(master)) => ExitCode::from(master.run()),
        Err(lines) => {
            lines.iter().for_each(|line| messages::alert(line));
            ExitCode::FAILURE
        }
    }
}

/// What can be known of `-S` without opening anything.
///
/// # Errors
/// One line.
pub fn check(args: &Args) -> Result<(), String> {
    args.master_cli.as_deref().map_or(Ok(()), cli::check)
}

enum Prepared {
    /// This process was started to start another one; its exit code.
    Parent(u8),
    Run(Box<Master>),
}

fn prepare(args: &Args, kind: Kind) -> Result<Prepared, Vec<String>> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let own = conf::own_file();
    let program = if kind == Kind::Wrapper { own.with_file_name("haring") } else { own.clone() };
    let conf = Conf::read(args);
    let restored = state::inherited();
    let mut parent = None;
    if restored.is_none() && goes_to_background(args, kind, &conf) {
        match to_background()? {
            Background::Parent(code) => return Ok(Prepared::Parent(code)),
            Background::Daemon(pipe) => parent = Some(pipe),
        }
    }
    let pidfile = match (PidFile::open(args, &conf.global), &restored) {
        (Ok(file), _) => file,
        (Err(lines), None) => return Err(lines),
        // A service that runs does not end because of that.
        (Err(lines), Some(_)) => {
            lines.iter().for_each(|line| messages::warning(line));
            None
        }
    };
    let places = Places { own, program, words };
    let mut master = Master::new(args.clone(), kind, places, conf)?;
    master.pidfile = pidfile;
    master.parent = parent;
    master.begin(restored)?;
    Ok(Prepared::Run(Box::new(master)))
}

/// Where the programs are, and with which options they were called.
#[derive(Debug)]
pub struct Places {
    /// The file of this program.
    pub own: PathBuf,
    /// The file of the workers' program.
    pub program: PathBuf,
    /// The command line without the program's name.
    pub words: Vec<OsString>,
}

impl Places {
    /// The programs as they are on disk now can be executed, and know these options. One that was half copied, or that
    /// lacks a library, must not take the place of this one.
    ///
    /// # Errors
    /// One line: which one, and why not.
    pub fn check(&self) -> Result<(), String> {
        for file in [&self.own, &self.program] {
            let mut command = Command::new(file);
            command.arg("-vq").args(&self.words).env_remove(state::ENV);
            let null = std::process::Stdio::null;
            let child = command.stdin(null()).stdout(null()).stderr(null()).spawn();
            match child.and_then(end_of) {
                Ok(Some(status)) if status.success() => {}
                Ok(Some(status)) => return Err(format!("{} does not run: {status}", file.display())),
                Ok(None) => return Err(format!("{} does not run: it does not end", file.display())),
                Err(error) => return Err(format!("cannot execute {}: {error}", file.display())),
            }
        }
        Ok(())
    }
}

/// How a program that only has to show itself has ended; `None`: it had to be killed.
fn end_of(mut child: Child) -> std::io::Result<Option<ExitStatus>> {
    let until = mono() + SHOW_MAX;
    while mono() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let _ = poll(&mut [], PollTimeout::from(5u8));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn goes_to_background(args: &Args, kind: Kind, conf: &Conf) -> bool {
    let process = &conf.global.process;
    let asked = args.daemon || process.daemon;
    asked && kind == Kind::Plain && !(args.debug || args.foreground || process.debug)
}

enum Background {
    Parent(u8),
    Daemon(PipeWriter),
}

/// The parent waits until the first worker serves, so that its exit code tells how the start went.
fn to_background() -> Result<Background, Vec<String>> {
    let (mut reader, writer) =
        std::io::pipe().map_err(|e| vec![format!("startup : cannot make a pipe: {e}")])?;
    match daemon::fork().map_err(|why| vec![why])? {
        Side::Daemon => Ok(Background::Daemon(writer)),
        Side::Parent(_) => {
            drop(writer);
            let mut code = [1];
            // A master that dies says nothing: then it is 1.
            let _ = reader.read(&mut code);
            Ok(Background::Parent(code[0]))
        }
    }
}
