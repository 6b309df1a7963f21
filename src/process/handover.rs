//! Connections change processes: what goes over the channel between a process and its successor.
//!
//! ```text
//! old -> new   hello VERSION        first; nothing else before the answer
//! new -> old   names NAME…          as often as needed: what connections may depend on there
//!              accept               hand over what the names cover
//!              refuse               another version: the old process ends as without a successor
//! old -> new   (connections, see stream::handover), each with its descriptors
//!              older +fd            the channel to a process that is older still, and not done with its connections
//! ```
//! The old process's worker threads send, and keep what is not taken. In the new process a thread for each channel
//! receives until the channel ends, and gives the connections to the least loaded threads. When the new process gets a
//! successor itself, that one goes on receiving: it says its names to the older process, as after a hello.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};

use super::control::mono;
use super::messages;
use super::worker::{self, Arrivals};
use crate::net::{Channel, MESSAGE_MAX, Packet};
use crate::runtime::ThreadHandle;
use crate::stream::Shared;
use crate::stream::handover::{Estate, Successor, VERSION};

const HELLO: u8 = b'H';
const NAMES: u8 = b'N';
const ACCEPT: u8 = b'A';
const REFUSE: u8 = b'R';
const OLDER: u8 = b'O';

/// How long the other side may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How often a full process looks whether it may take another connection.
const FULL: Duration = Duration::from_millis(20);
/// Names at most: more than any configuration has, less than would do harm.
const NAMES_MAX: usize = 4 * 1024 * 1024;

/// Stops the worker threads, and lets them hand their connections to the successor at the other end of the channel, if it
/// understands us. Returns at once.
pub fn give(
    channel: Channel,
    shared: Arc<Shared>,
    threads: Vec<ThreadHandle>,
    receivers: Option<Arc<Receivers>>,
) {
    let handles = threads.clone();
    let elders = receivers.clone();
    let started = thread::Builder::new().name("haring/give".to_owned()).spawn(move || {
        let channel = Arc::new(channel);
        let hello = [&[HELLO][..], &VERSION.to_le_bytes()].concat();
        let asked = channel.send_within(&hello, &[], ANSWER_MAX).map_err(silent);
        let mut names = match asked.and_then(|()| answer(&channel, Some(ANSWER_MAX))) {
            Ok(names) => names,
            Err(why) => {
                messages::warning(&format!("connections stay until they end: {why}"));
                return stop_alone(&threads, elders.as_deref());
            }
        };
        if let Some(elders) = &elders {
            elders.pass_to(&channel);
        }
        drop(elders);
        // The names come again when the successor has a successor.
        loop {
            let known = names.iter().map(String::as_str);
            let successor = Arc::new(Successor::new(channel.clone(), &shared.snapshot, known));
            for thread in &threads {
                let heir = successor.clone();
                thread.post(Box::new(move || worker::stop_for(heir)));
            }
            let Ok(again) = answer(&channel, None) else { return successor.lose() };
            names = again;
        }
    });
    if started.is_err() {
        stop_alone(&handles, receivers.as_deref());
    }
}

/// Stops the worker threads; what they serve ends here.
pub fn stop_alone(threads: &[ThreadHandle], receivers: Option<&Receivers>) {
    if let Some(receivers) = receivers {
        receivers.close();
    }
    for thread in threads {
        thread.post(Box::new(worker::stop));
    }
}

fn silent(error: io::Error) -> String {
    format!("the successor does not answer: {error}")
}

/// What the successor knows. `limit`: for each message.
fn answer(channel: &Channel, limit: Option<Duration>) -> Result<Vec<String>, String> {
    let until = limit.map(|limit| mono() + limit);
    let mut names: Vec<String> = Vec::new();
    let mut bytes = 0;
    loop {
        let left = until.map(|until| until.since(mono()));
        let packet = match left {
            Some(left) => channel.receive_within(left).map_err(silent)?,
            None => next(channel, None).map_err(silent)?,
        };
        let packet = packet.ok_or("the successor is gone")?;
        match packet.bytes.split_first() {
            Some((&NAMES, rest)) => {
                bytes += rest.len();
                names.extend(split_names(rest).ok_or("the successor's names make no sense")?);
                if bytes > NAMES_MAX {
                    return Err("the successor's names are too many".to_owned());
                }
            }
            Some((&ACCEPT, _)) => return Ok(names),
            _ => return Err("the successor is of a version that takes no connections of this one".to_owned()),
        }
    }
}

/// The next message; `None` when the other side is gone, or there is something to read from `stop`.
fn next(channel: &Channel, stop: Option<&OwnedFd>) -> io::Result<Option<Packet>> {
    loop {
        match channel.receive() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            received => return received,
        }
        if stop.is_some_and(|stop| wait(Some(channel), stop, None)) {
            return Ok(None);
        }
        if stop.is_none() {
            let _ = poll(&mut [PollFd::new(channel.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
        }
    }
}

/// Waits for a message. True: rather, it is time to stop.
fn wait(channel: Option<&Channel>, stop: &OwnedFd, limit: Option<Duration>) -> bool {
    let limit = limit.map_or(PollTimeout::NONE, |l| PollTimeout::try_from(l).unwrap_or(PollTimeout::MAX));
    let fds = std::iter::once(stop.as_fd()).chain(channel.map(AsFd::as_fd));
    let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let _ = poll(&mut fds, limit);
    fds[0].revents().is_some_and(|events| !events.is_empty())
}

/// Takes the connections of predecessors. The worker threads do not end before it does.
pub struct Receivers {
    estate: Estate,
    arrivals: Arrivals,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    open: Vec<Arc<Line>>,
    /// This process stops: nothing is taken any more.
    closed: bool,
}

/// A channel to a predecessor.
struct Line {
    channel: Channel,
    /// Closing it stops the thread that receives.
    stop: Mutex<Option<OwnedFd>>,
    /// Then somebody else goes on receiving.
    passed: AtomicBool,
}

impl Line {
    fn stop(&self) {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Receivers {
    /// Takes what comes over a channel until it ends, and what comes over those that come over it. Returns at once.
    ///
    /// # Errors
    /// When there is no thread or descriptor to be had.
    pub fn take_all(
        channel: Channel,
        shared: &Arc<Shared>,
        arrivals: Arrivals,
    ) -> io::Result<Arc<Receivers>> {
        let estate = Estate::new(shared.clone());
        let receivers = Arc::new(Receivers { estate, arrivals, lines: Mutex::default() });
        receivers.start(channel, false)?;
        Ok(receivers)
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: &Arc<Receivers>, channel: Channel, introduces: bool) -> io::Result<()> {
        let (stopped, stop) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let line = Line { channel, stop: Mutex::new(Some(stop)), passed: AtomicBool::new(false) };
        let line = Arc::new(line);
        {
            let mut lines = self.lines();
            if lines.closed {
                return Ok(());
            }
            lines.open.push(line.clone());
        }
        let all = self.clone();
        let run = move || {
            if introduces {
                // One that has gone hears nothing; what it sent before is ours all the same.
                let _ = all.introduce(&line.channel);
            }
            all.receive(&line, &stopped);
            all.lines().open.retain(|other| !Arc::ptr_eq(other, &line));
        };
        thread::Builder::new().name("haring/take".to_owned()).spawn(run).map(|_| ())
    }

    /// This process stops, and nobody succeeds it: what was sent is still taken, what was not stays with its sender.
    pub fn close(&self) {
        let mut lines = self.lines();
        lines.closed = true;
        lines.open.drain(..).for_each(|line| line.stop());
    }

    /// This process stops: what is still to come goes to its successor.
    fn pass_to(&self, successor: &Channel) {
        let mut lines = self.lines();
        lines.closed = true;
        for line in lines.open.drain(..) {
            let passed = successor.send_within(&[OLDER], &[line.channel.as_fd()], ANSWER_MAX);
            line.passed.store(passed.is_ok(), SeqCst);
            line.stop();
        }
    }

    fn receive(self: &Arc<Receivers>, line: &Line, stopped: &OwnedFd) {
        let mut lost = 0;
        let mut stops = false;
        loop {
            let mut told = false;
            while !stops && !told && self.arrivals.are_full() {
                told = wait(None, stopped, Some(FULL));
            }
            let received = if told { Ok(None) } else { next(&line.channel, (!stops).then_some(stopped)) };
            let packet = match received {
                Ok(Some(packet)) => packet,
                Ok(None) if line.passed.load(SeqCst) => break,
                Ok(None) if !stops => {
                    // The end of the channel, or of this process: both end here when all that was sent is received.
                    stops = true;
                    let _ = shutdown(line.channel.as_fd().as_raw_fd(), Shutdown::Read);
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    lost += 1;
                    continue;
                }
                Ok(None) | Err(_) => break,
            };
            match packet.bytes.split_first() {
                Some((&HELLO, version)) => {
                    let answered = if version == VERSION.to_le_bytes() {
                        self.introduce(&line.channel)
                    } else {
                        line.channel.send_within(&[REFUSE], &[], ANSWER_MAX)
                    };
                    if answered.is_err() {
                        break;
                    }
                }
                Some((&OLDER, [])) => {
                    for fd in packet.fds {
                        // Without a thread for it, the older process ends as without a successor.
                        let _ = self.start(Channel::from_fd(fd), true);
                    }
                }
                _ => match self.estate.read(packet) {
                    Ok(arrival) => self.arrivals.post(arrival),
                    Err(_) => lost += 1,
                },
            }
        }
        if lost > 0 {
            messages::warning(&format!(
                "{lost} connections of the predecessor were closed: they mean nothing here"
            ));
        }
    }

    /// Says what connections may depend on here.
    fn introduce(&self, channel: &Channel) -> io::Result<()> {
        for message in join_names(self.estate.names()) {
            channel.send_within(&message, &[], ANSWER_MAX)?;
        }
        channel.send_within(&[ACCEPT], &[], ANSWER_MAX)
    }
}

/// Messages with names, each behind its length. A name that does not fit is left out: then what depends on it stays.
fn join_names(names: impl Iterator<Item = String>) -> Vec<Vec<u8>> {
    let mut messages = vec![vec![NAMES]];
    for name in names {
        let Ok(len) = u16::try_from(name.len()) else { continue };
        let full = messages.last().is_none_or(|m| m.len() + 2 + name.len() > MESSAGE_MAX);
        if full {
            messages.push(vec![NAMES]);
        }
        if let Some(message) = messages.last_mut().filter(|m| m.len() + 2 + name.len() <= MESSAGE_MAX) {
            message.extend_from_slice(&len.to_le_bytes());
            message.extend_from_slice(name.as_bytes());
        }
    }
    messages
}

fn split_names(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        names.push(String::from_utf8(name.to_vec()).ok()?);
        bytes = rest;
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn names_come_back(names in proptest::collection::vec("[a-z/é ]{0,900}", 0..200)) {
            let messages = join_names(names.iter().cloned());
            prop_assert!(messages.iter().all(|m| m.len() <= MESSAGE_MAX && m[0] == NAMES));
            let back: Vec<String> =
                messages.iter().flat_map(|m| split_names(&m[1..]).expect("ours")).collect();
            prop_assert_eq!(back, names);
        }

        #[test]
        fn garbage_is_no_names(bytes: Vec<u8>) {
            let _ = split_names(&bytes);
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_left_out() {
        let names = ["a".to_owned(), "x".repeat(70_000), "y".repeat(65_535), "b".to_owned()];
        let messages = join_names(names.into_iter());
        let back: Vec<String> = messages.iter().flat_map(|m| split_names(&m[1..]).expect("ours")).collect();
        assert_eq!(back, ["a", "b"]);
    }

    #[test]
    fn a_closed_reading_side_still_gets_what_was_sent() {
        let (old, new) = Channel::pair().expect("a pair");
        old.send(b"one", &[]).expect("sent");
        shutdown(new.as_fd().as_raw_fd(), Shutdown::Read).expect("shut down");
        assert_eq!(old.send(b"two", &[]).expect_err("refused").raw_os_error(), Some(libc::EPIPE));
        assert_eq!(new.receive().expect("received").expect("a message").bytes, b"one");
        assert!(new.receive().expect("the end").is_none());
    }
}
