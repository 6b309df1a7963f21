//! The master's admin socket (`-S`; management manual, 9.4).
//!
//! ```text
//! client  lines of commands ->  Session  -> a command of the master: answered here (commands, show)
//!                                        -> a command for a worker: `ToWorker::Cli` with one end of a socket pair;
//!                                           what comes back is passed on (relay)
//!                                        -> reload: the session waits for `Master::loaded`
//! ```
//! It all happens in the master's one thread: nothing here may wait. A session reads nothing while it has something to
//! write, so that what it holds is bounded by one line, one payload and one answer. The listening socket and all sessions
//! survive the execution of the next image ([`Cli::save`]); the listening socket survives the end of the master as well
//! when the service manager keeps descriptors.

mod commands;
mod input;
mod relay;
mod session;
mod show;
mod spec;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{SockFlag, accept4};

use self::session::{Session, Turn};
use self::spec::{Source, Spec};
use super::Ns;
use super::notify::Notify;
use super::state::{self, Record};
use super::supervisor::Master;
use crate::process::control::mono;
use crate::process::keys;
use crate::process::messages;
use crate::sys::process::adopt_fd;

/// Sessions at a time at most.
const SESSIONS_MAX: usize = 64;
/// When there are so many, one that has been quiet for so long makes place for a new one.
const QUIET_MAX: Duration = Duration::from_secs(5);
/// After a connection could not be accepted, the next attempt waits so long.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// What all sessions take at most when they are handed to the next image.
const SAVED_MAX: usize = 16 << 20;

/// The admin socket.
#[derive(Debug, Default)]
pub struct Cli {
    spec: Option<Spec>,
    source: Option<Source>,
    sessions: Vec<Session>,
    /// Listening sockets of an image or a process before this one, by key.
    kept: BTreeMap<String, OwnedFd>,
    /// A session could go on at once.
    busy: bool,
    /// No connection could be accepted: nothing is tried before that time.
    accept_ns: Ns,
}

/// The name of a listening socket of this kind, here and at the service manager.
fn key_of(spec: &Spec) -> String {
    keys::key(&["master-cli", &spec.written])
}

/// A descriptor of that name is ours.
pub fn is_key(name: &str) -> bool {
    name.starts_with("master-cli/")
}

/// The value of `-S` is right, as far as it can be known without opening anything.
///
/// # Errors
/// One line: what is wrong, and what to write instead.
pub fn check(text: &str) -> Result<(), String> {
    Spec::parse(text).map(drop)
}

impl Cli {
    /// What was kept under that key.
    pub fn take_back(&mut self, key: String, fd: OwnedFd) {
        self.kept.insert(key, fd);
    }

    /// Listen as `-S` says, with what was kept if it is the same.
    fn open(&mut self, text: &str, notify: &Notify) -> Result<(), String> {
        let spec = Spec::parse(text)?;
        let key = key_of(&spec);
        let source = match self.kept.remove(&key).filter(|_| spec.is_reachable()) {
            Some(fd) => spec.go_on(fd).map_err(|e| e.to_string())?,
            None => {
                // The manager does not replace by name: it would hold both.
                notify.forget(&key);
                spec.open()?
            }
        };
        if let Source::Listener(fd) = &source {
            notify.store(&key, fd.as_fd());
        }
        (self.spec, self.source) = (Some(spec), Some(source));
        Ok(())
    }

    /// What to wait for.
    pub fn interests(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let mut all = Vec::new();
        let now = mono().0;
        let has_place = self.sessions.len() < SESSIONS_MAX || self.quietest(now).is_some();
        let may_accept = has_place && now >= self.accept_ns;
        match self.source.as_ref().filter(|_| may_accept) {
            Some(Source::Listener(fd)) => all.push((fd.as_fd(), PollFlags::POLLIN)),
            Some(Source::Pair(channel)) => all.push((channel.as_fd(), PollFlags::POLLIN)),
            None => {}
        }
        self.sessions.iter().for_each(|session| session.interests(&mut all));
        all
    }

    /// When to look again, whatever happens.
    pub fn timer(&self) -> Option<Ns> {
        if self.busy {
            return Some(0);
        }
        let full = self.sessions.len() >= SESSIONS_MAX;
        let quiet = self.sessions.iter().filter(|_| full).map(|s| s.quiet_since + QUIET_MAX.as_nanos() as Ns);
        let now = mono().0;
        // Whoever is to make place already does so when somebody comes.
        let lingers = self.sessions.iter().filter_map(|s| s.linger_ns);
        quiet.chain([self.accept_ns]).filter(|at| *at > now).chain(lingers).min()
    }

    /// The session that has been quiet longest, if it has been for long.
    fn quietest(&self, now: Ns) -> Option<usize> {
        let all = self.sessions.iter().enumerate().filter(|(_, s)| !s.waits_for_reload());
        let (at, session) = all.min_by_key(|(_, s)| s.quiet_since)?;
        (now >= session.quiet_since + QUIET_MAX.as_nanos() as Ns).then_some(at)
    }

    /// Take new connections.
    fn accept(&mut self, now: Ns) {
        let Some(level) = self.spec.as_ref().map(|spec| spec.level).filter(|_| now >= self.accept_ns) else {
            return;
        };
        for _ in 0..SESSIONS_MAX {
            if self.sessions.len() >= SESSIONS_MAX {
                match self.quietest(now) {
                    Some(at) => drop(self.sessions.remove(at)),
                    None => return,
                }
            }
            match self.next_connection() {
                Ok(Some(fd)) => self.sessions.push(Session::new(fd, level, now)),
                Ok(None) => {}
                Err(Errno::EAGAIN) => return,
                // Out of descriptors: what waits stays where it is.
                Err(_) => {
                    self.accept_ns = now + ACCEPT_AGAIN.as_nanos() as Ns;
                    return;
                }
            }
        }
    }

    /// The next connection; `None` for one that is gone already.
    fn next_connection(&mut self) -> nix::Result<Option<OwnedFd>> {
        match &self.source {
            Some(Source::Listener(fd)) => {
                match accept4(fd.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
                    Ok(fd) => Ok(adopt_fd(fd).ok()),
                    Err(Errno::ECONNABORTED | Errno::EINTR | Errno::EPROTO) => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Some(Source::Pair(channel)) => match channel.receive() {
                Ok(Some(packet)) => Ok(packet.fds.into_iter().next()),
                Ok(None) => {
                    messages::warning("the other end of the master's admin socket is closed");
                    self.source = None;
                    Ok(None)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Errno::EAGAIN),
                // It is lost.
                Err(_) => Ok(None),
            },
            None => Err(Errno::EAGAIN),
        }
    }

    /// Make what has to be saved small enough: sessions that hold most end.
    pub fn fit(&mut self) {
        let mut room = SAVED_MAX;
        self.sessions.retain(|session| {
            let bytes = state::write(&[session.save()]).len();
            let fits = bytes <= room;
            room -= if fits { bytes } else { 0 };
            fits
        });
    }

    /// A reload has ended: tell those that wait for it.
    pub fn loaded(&mut self, master: &Master, ok: bool, log: &str) {
        self.sessions.iter_mut().for_each(|session| session.loaded(master, ok, log));
    }

    /// The reload begins that was put off.
    pub fn reload_begins(&mut self) {
        self.sessions.iter_mut().for_each(Session::reload_begins);
    }

    /// For the next image.
    pub fn save(&self, records: &mut Vec<Record>) {
        if let (Some(spec), Some(source)) = (&self.spec, &self.source) {
            let (kind, fd) = match source {
                Source::Listener(fd) => ("cli-listener", fd.as_fd()),
                Source::Pair(channel) => ("cli-pair", channel.as_fd()),
            };
            records.push(Record::new(kind).with(fd.as_raw_fd()).with(key_of(spec)));
        }
        records.extend(self.sessions.iter().map(Session::save));
    }

    /// Every descriptor that [`Cli::save`] names.
    pub fn saved_fds<'a>(&'a self, all: &mut Vec<BorrowedFd<'a>>) {
        match &self.source {
            Some(Source::Listener(fd)) => all.push(fd.as_fd()),
            Some(Source::Pair(channel)) => all.push(channel.as_fd()),
            None => {}
        }
        self.sessions.iter().for_each(|session| session.saved_fds(all));
    }

    /// What [`Cli::save`] has written.
    pub fn restore(&mut self, record: &Record) {
        match record.kind() {
            "cli-listener" | "cli-pair" => {
                if let Some(fd) = record.fd(1) {
                    self.kept.insert(record.text(2).to_owned(), fd);
                }
            }
            "cli-session" => self.sessions.extend(Session::restore(record, mono().0)),
            _ => {}
        }
    }

    /// The address and the level, for those who ask.
    fn shown(&self) -> Option<(&str, crate::cli::Level)> {
        self.spec.as_ref().map(|spec| (spec.written.as_str(), spec.level))
    }
}

impl Master {
    /// Open the admin socket, if there is to be one.
    ///
    /// # Errors
    /// One line.
    pub fn open_cli(&mut self) -> Result<(), String> {
        let opened = match &self.args.master_cli {
            Some(text) => self.cli.open(text, &self.notify),
            None => Ok(()),
        };
        // What is not asked for any more.
        for key in std::mem::take(&mut self.cli.kept).into_keys() {
            self.notify.forget(&key);
        }
        opened
    }

    /// Let every session go on as far as it can.
    pub fn serve_cli(&mut self) {
        let now = mono().0;
        let mut cli = std::mem::take(&mut self.cli);
        // Commands look at it.
        self.cli.spec = cli.spec.clone();
        cli.accept(now);
        cli.busy = false;
        let mut reloads = Vec::new();
        cli.sessions.retain_mut(|session| match session.turn(self, now) {
            Turn::Wait => true,
            Turn::Busy => {
                cli.busy = true;
                true
            }
            Turn::Reload { hard } => {
                reloads.push(hard);
                true
            }
            Turn::Over => false,
        });
        self.cli = cli;
        if let Some(hard) = reloads.into_iter().reduce(|a, b| a | b) {
            self.reload_as(hard);
        }
    }
}
