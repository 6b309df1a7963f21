//! Processes that want to serve instead of this one, and come to its admin socket (`-x`).
//!
//! ```text
//! new -> old   hand over           a command of the admin socket
//! old -> new   a channel           over which the old one says what a master would: inherit…, predecessor, go
//! new -> old   listeners KEY…      on the predecessor channel, when it serves
//! ```
//! Then both serve, until the old one is asked to finish (`-sf`).

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use super::control::mono;
use super::inherit::{Held, Inherited, serving};
use super::link::ToWorker;
use super::messages;
use crate::cli;
use crate::net::Channel;

/// How long the old process may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long the new one may take to read everything.
const EQUIP_MAX: Duration = Duration::from_secs(30);
/// Processes that may be about to take over at a time.
const WAITING_MAX: usize = 8;

/// Processes that have asked.
pub struct Heirs {
    /// The admin socket's sessions tell of them here.
    asked: Channel,
    /// Channels to those that were given everything, the last one at the end.
    waiting: Vec<Channel>,
}

impl Heirs {
    /// For the control thread; and the other end, for the sessions.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn new() -> io::Result<(Heirs, Channel)> {
        let (asked, sessions) = Channel::pair()?;
        Ok((Heirs { asked, waiting: Vec::new() }, sessions))
    }

    /// Gives everything to a process that has asked.
    pub fn look(&mut self, held: &Held) {
        let Ok(Some(packet)) = self.asked.receive() else { return };
        let Some(channel) = packet.fds.into_iter().next().map(Channel::from_fd) else { return };
        // What stops serving has nothing to give.
        if held.is_empty() {
            return;
        }
        match equip(channel, held) {
            Ok(predecessor) => {
                if self.waiting.len() == WAITING_MAX {
                    self.waiting.remove(0);
                }
                self.waiting.push(predecessor);
            }
            Err(error) => messages::warning(&format!("nothing can be handed over: {error}")),
        }
    }

    /// The channel to the last one that serves by now.
    pub fn serving(&mut self) -> Option<Channel> {
        self.waiting.drain(..).rev().find(serving::is_told)
    }
}

impl AsFd for Heirs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.asked.as_fd()
    }
}

/// Gives our end of the channel to it. Returns at once.
fn equip(channel: Channel, held: &Held) -> io::Result<Channel> {
    let (ours, theirs) = Channel::pair()?;
    let clone = |(key, fd): (&String, &OwnedFd)| Ok(ToWorker::Inherit(key.clone(), fd.try_clone()?));
    let mut messages = held.iter().map(clone).collect::<io::Result<Vec<ToWorker>>>()?;
    messages.push(ToWorker::Predecessor(nix::unistd::getpid().as_raw(), theirs.into_fd()));
    messages.push(ToWorker::Go);
    let until = mono() + EQUIP_MAX;
    let send = move || {
        for message in messages {
            // One that has gone, or does not read, was not serious.
            if mono() > until || message.send(&channel).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("haring/heir".to_owned()).spawn(send)?;
    Ok(ours)
}

/// `-x`: everything that the process with that admin socket has.
///
/// # Errors
/// One line.
pub fn inherit(path: &str) -> Result<Inherited, String> {
    let failed =
        |why: String| format!("startup : nothing can be taken over from the process at {path}: {why}");
    let mut stream = UnixStream::connect(path).map_err(|e| failed(crate::proxy::check::error_words(&e)))?;
    stream.write_all(b"hand over\n").map_err(|e| failed(e.to_string()))?;
    let stream = Channel::from_fd(stream.into());
    let answer = match stream.receive_within(ANSWER_MAX) {
        Ok(Some(answer)) => answer,
        Ok(None) => return Err(failed("it has closed the connection".to_owned())),
        Err(error) => return Err(failed(error.to_string())),
    };
    if answer.bytes != cli::HANDED.as_bytes() {
        let said = String::from_utf8_lossy(&answer.bytes);
        return Err(failed(format!("it says: {}", said.lines().next().unwrap_or_default())));
    }
    let channel = answer.fds.into_iter().next().map(Channel::from_fd);
    let channel = channel.ok_or_else(|| failed("it has sent nothing".to_owned()))?;
    Inherited::receive(&channel).map_err(failed)
}
