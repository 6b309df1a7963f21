//! What a master and its workers say to each other, over a [`Channel`].
//!
//! ```text
//! master -> worker   inherit KEY +fd  …  predecessor PID +fd  go            before the worker opens anything
//!                    successor PID +fd      another one serves now: hand over, finish, end
//!                    gone PID               the predecessor has ended
//!                    cli LEVEL MODE… +fd    serve this connection as one of the admin socket
//! worker -> master   keep KEY +fd           hold this for my successors, in place of what had that key
//!                    forget KEY             no successor of mine wants that
//!                    log TEXT               what is said while the configuration is loaded and started
//!                    ready                  accepting
//!                    status TEXT            one line for the operator
//! ```
//! A key names what a descriptor is (see [`super::keys`] for what they look like). The worker finds its end by the
//! environment variable [`ENV`]; when the other end is closed everywhere, nobody can succeed it any more: it stops as by
//! SIGTERM.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::net::{Channel, MESSAGE_MAX};

/// `<process id of the master>:<descriptor>`. The number shows that it is meant for a child of that master, not for
/// something that has inherited the environment.
pub const ENV: &str = "HARING_LINK";

/// Set for the workers of a service (`-Ws`): they do not run as root by mistake.
pub const SERVICE: &str = "HARING_SERVICE";

/// How long a sender waits for the other side to read.
const SEND_MAX: Duration = Duration::from_secs(5);

/// From a master to a worker.
#[derive(Debug)]
pub enum ToWorker {
    /// Something that the master holds.
    Inherit(String, OwnedFd),
    /// The process that serves until now (its id, 0 when unknown), and the channel to it.
    Predecessor(i32, OwnedFd),
    /// That was all: start.
    Go,
    /// Another process serves now (its id), and the channel to it.
    Successor(i32, OwnedFd),
    /// The predecessor with that process id has ended.
    Gone(i32),
    /// A connection to the admin socket, with that level (`user`, `operator`, `admin`) and modes (`cli::Access`).
    Cli(String, OwnedFd),
}

/// From a worker to its master.
#[derive(Debug)]
pub enum ToMaster {
    /// Hold this under that key.
    Keep(String, OwnedFd),
    /// Close what has that key.
    Forget(String),
    /// Text of the start, whole lines.
    Log(String),
    /// Accepting now.
    Ready,
    /// One line for the operator.
    Status(String),
}

fn split(bytes: Vec<u8>, mut fds: Vec<OwnedFd>) -> Option<(String, String, Option<OwnedFd>)> {
    let text = String::from_utf8(bytes).ok()?;
    let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
    if fds.len() > 1 {
        return None;
    }
    Some((word.to_owned(), rest.to_owned(), fds.pop()))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a message that is not understood: {what}"))
}

fn send(channel: &Channel, word: &str, rest: &str, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut text = format!("{word} {rest}");
    if text.len() > MESSAGE_MAX {
        let cut = (0..=MESSAGE_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
    }
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    channel.send_within(text.as_bytes(), &fds, SEND_MAX)
}

impl ToWorker {
    /// Send it. Waits up to five seconds for room.
    ///
    /// # Errors
    /// As [`Channel::send_within`].
    pub fn send(&self, channel: &Channel) -> io::Result<()> {
        match self {
            ToWorker::Inherit(key, fd) => send(channel, "inherit", key, Some(fd.as_fd())),
            ToWorker::Predecessor(pid, fd) => {
                send(channel, "predecessor", &pid.to_string(), Some(fd.as_fd()))
            }
            ToWorker::Go => send(channel, "go", "", None),
            ToWorker::Successor(pid, fd) => send(channel, "successor", &pid.to_string(), Some(fd.as_fd())),
            ToWorker::Gone(pid) => send(channel, "gone", &pid.to_string(), None),
            ToWorker::Cli(level, fd) => send(channel, "cli", level, Some(fd.as_fd())),
        }
    }

    /// Send it if there is room now.
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub fn send_now(&self, channel: &Channel) -> io::Result<()> {
        match self {
            ToWorker::Cli(access, fd) => channel.send(format!("cli {access}").as_bytes(), &[fd.as_fd()]),
            _ => self.send(channel),
        }
    }

    /// The next one; `None` when the master is gone.
    ///
    /// # Errors
    /// As [`Channel::receive`]; `InvalidData` for a message that is none of these: it may be passed over.
    pub fn receive(channel: &Channel) -> io::Result<Option<ToWorker>> {
        let Some(packet) = channel.receive()? else { return Ok(None) };
        let (word, rest, fd) = split(packet.bytes, packet.fds).ok_or_else(|| bad("form"))?;
        let pid = || rest.parse::<i32>().map_err(|_| bad(&rest));
        Ok(Some(match (word.as_str(), fd) {
            ("inherit", Some(fd)) => ToWorker::Inherit(rest, fd),
            ("predecessor", Some(fd)) => ToWorker::Predecessor(pid()?, fd),
            ("go", None) => ToWorker::Go,
            ("successor", Some(fd)) => ToWorker::Successor(pid()?, fd),
            ("gone", None) => ToWorker::Gone(pid()?),
            ("cli", Some(fd)) => ToWorker::Cli(rest, fd),
            _ => return Err(bad(&word)),
        }))
    }
}

impl ToMaster {
    /// Send it. Waits up to five seconds for room.
    ///
    /// # Errors
    /// As [`Channel::send_within`].
    pub fn send(&self, channel: &Channel) -> io::Result<()> {
        match self {
            ToMaster::Keep(key, fd) => send(channel, "keep", key, Some(fd.as_fd())),
            ToMaster::Forget(key) => send(channel, "forget", key, None),
            ToMaster::Log(text) => send(channel, "log", text, None),
            ToMaster::Ready => send(channel, "ready", "", None),
            ToMaster::Status(text) => send(channel, "status", text, None),
        }
    }

    /// The next one; `None` when the worker is gone.
    ///
    /// # Errors
    /// As [`Channel::receive`]; `InvalidData` for a message that is none of these: it may be passed over.
    pub fn receive(channel: &Channel) -> io::Result<Option<ToMaster>> {
        let Some(packet) = channel.receive()? else { return Ok(None) };
        let (word, rest, fd) = split(packet.bytes, packet.fds).ok_or_else(|| bad("form"))?;
        Ok(Some(match (word.as_str(), fd) {
            ("keep", Some(fd)) => ToMaster::Keep(rest, fd),
            ("forget", None) => ToMaster::Forget(rest),
            ("log", None) => ToMaster::Log(rest),
            ("ready", None) => ToMaster::Ready,
            ("status", None) => ToMaster::Status(rest),
            _ => return Err(bad(&word)),
        }))
    }
}

/// The worker's end, when this process was started by a master.
pub fn of_environment(value: Option<&str>, parent: i32) -> Option<Channel> {
    let (pid, fd) = value?.split_once(':')?;
    if pid.parse() != Ok(parent) {
        return None;
    }
    let fd = crate::sys::process::adopt_fd(fd.parse().ok()?).ok()?;
    crate::sys::process::close_on_exec(&fd, true).ok()?;
    Some(Channel::from_fd(fd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let (master, worker) = Channel::pair().expect("a pair");
        let fd = || OwnedFd::from(std::fs::File::open("/dev/null").expect("it exists"));
        ToWorker::Inherit("listener/1 2".into(), fd()).send(&master).expect("sent");
        ToWorker::Successor(7, fd()).send(&master).expect("sent");
        ToWorker::Go.send(&master).expect("sent");
        let next = || ToWorker::receive(&worker).expect("understood").expect("a message");
        assert!(matches!(next(), ToWorker::Inherit(key, _) if key == "listener/1 2"));
        assert!(matches!(next(), ToWorker::Successor(7, _)));
        assert!(matches!(next(), ToWorker::Go));
        ToMaster::Log("x".repeat(2 * MESSAGE_MAX)).send(&worker).expect("sent");
        ToMaster::Ready.send(&worker).expect("sent");
        let next = || ToMaster::receive(&master).expect("understood").expect("a message");
        assert!(matches!(next(), ToMaster::Log(text) if text.len() == MESSAGE_MAX - 4));
        assert!(matches!(next(), ToMaster::Ready));
        for nonsense in [&b"go away"[..], b"inherit x", b"gone x", b"\xff", b"later"] {
            master.send(nonsense, &[]).expect("sent");
            assert!(ToWorker::receive(&worker).is_err() || nonsense == b"go away", "{nonsense:?}");
        }
        drop(master);
        assert!(ToWorker::receive(&worker).expect("the end").is_none());
    }

    #[test]
    fn a_link_is_for_a_child_of_its_master_only() {
        let (_, worker) = Channel::pair().expect("a pair");
        let fd = std::os::fd::IntoRawFd::into_raw_fd(worker.into_fd());
        assert!(of_environment(None, 7).is_none());
        assert!(of_environment(Some(&format!("8:{fd}")), 7).is_none());
        assert!(of_environment(Some("7:x"), 7).is_none());
        assert!(of_environment(Some(&format!("7:{fd}")), 7).is_some());
    }
}
