//! A session of a worker's admin socket, of which a session of the master's is the client.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, recv, send, shutdown, socketpair,
};

use super::input::{bytes_to_word, word_to_bytes};
use crate::process::link::ToWorker;
use crate::process::master::worker::Worker;

/// Bytes that are read at a time.
const PIECE: usize = 16 << 10;

/// What reading or writing without waiting gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// So many bytes.
    Done(usize),
    /// Not now.
    Later,
    /// The other side writes no more.
    End,
    /// The other side is gone.
    Gone,
}

/// Read without waiting.
pub fn read(fd: BorrowedFd<'_>, out: &mut Vec<u8>) -> Io {
    let mut piece = [0; PIECE];
    match recv(fd.as_raw_fd(), &mut piece, MsgFlags::MSG_DONTWAIT) {
        Ok(0) => Io::End,
        Ok(n) => {
            out.extend_from_slice(&piece[..n]);
            Io::Done(n)
        }
        Err(Errno::EAGAIN | Errno::EINTR) => Io::Later,
        Err(_) => Io::Gone,
    }
}

/// Write without waiting.
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> Io {
    match send(fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
        Ok(n) => Io::Done(n),
        Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) => Io::Later,
        Err(_) => Io::Gone,
    }
}

/// Bytes on their way somewhere.
#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: VecDeque<u8>,
}

impl Outgoing {
    /// More of them.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All were written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forget them.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Write what can be written.
    pub fn flush(&mut self, fd: BorrowedFd<'_>) -> Io {
        let mut total = 0;
        while !self.bytes.is_empty() {
            match write(fd, self.bytes.as_slices().0) {
                Io::Done(n) => {
                    self.bytes.drain(..n);
                    total += n;
                }
                Io::Later => break,
                other => return other,
            }
        }
        self.bytes.shrink_to(PIECE);
        if total > 0 || self.bytes.is_empty() { Io::Done(total) } else { Io::Later }
    }

    /// For the next image.
    pub fn save(&self) -> String {
        let (a, b) = self.bytes.as_slices();
        bytes_to_word(a) + &bytes_to_word(b)
    }

    /// What [`Outgoing::save`] has written.
    pub fn restore(word: &str) -> Outgoing {
        Outgoing { bytes: word_to_bytes(word).into() }
    }
}

/// A command that a worker runs.
#[derive(Debug)]
pub struct Relay {
    /// The worker.
    pub pid: i32,
    fd: OwnedFd,
    to_worker: Outgoing,
    /// All that the client sends goes there as well.
    pub both: bool,
    /// The client sends no more, and the worker was told so.
    shut: bool,
    /// Something has come back.
    pub answered: bool,
}

impl Relay {
    /// Give a worker one end of a new connection, which is served as `access` says, and send it a text.
    ///
    /// # Errors
    /// Out of descriptors, or the worker does not read; it was told nothing then.
    pub fn open(worker: &Worker, access: &str, text: &str, both: bool) -> io::Result<Relay> {
        let link = worker.link.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let (fd, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
        ToWorker::Cli(access.to_owned(), theirs).send_now(link)?;
        let mut to_worker = Outgoing::default();
        to_worker.push(text.as_bytes());
        Ok(Relay { pid: worker.pid, fd, to_worker, both, shut: false, answered: false })
    }

    /// There is room for more from the client.
    pub fn wants_input(&self) -> bool {
        self.both && !self.shut && self.to_worker.len() < PIECE
    }

    /// From the client to the worker.
    pub fn push(&mut self, bytes: &[u8]) {
        self.to_worker.push(bytes);
    }

    /// Write what can be written; `eof`: the client sends no more.
    pub fn flush(&mut self, eof: bool) -> Io {
        let done = if self.to_worker.is_empty() { Io::Later } else { self.to_worker.flush(self.fd.as_fd()) };
        if done == Io::Gone {
            // What it has answered before is still to be read.
            self.to_worker.clear();
            self.shut = true;
        } else if (eof || !self.both) && !self.shut && self.to_worker.is_empty() {
            // A command that begins a session (`prompt`) must not wait for lines that never come.
            self.shut = true;
            let _ = shutdown(self.fd.as_raw_fd(), Shutdown::Write);
        }
        done
    }

    /// Read the answer.
    pub fn read(&mut self, out: &mut Outgoing) -> Io {
        let mut piece = Vec::new();
        let done = read(self.fd.as_fd(), &mut piece);
        self.answered |= !piece.is_empty();
        out.push(&piece);
        done
    }

    /// What to wait for; `room`: its answer can be passed on.
    pub fn interest(&self, room: bool) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, room);
        flags.set(PollFlags::POLLOUT, !self.to_worker.is_empty());
        (!flags.is_empty()).then(|| (self.fd.as_fd(), flags))
    }

    /// Its descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// For the next image: as words, besides the descriptor.
    pub fn save(&self) -> [String; 3] {
        let flags = [(self.both, 'b'), (self.shut, 's'), (self.answered, 'a')];
        let flags = flags.into_iter().filter(|(on, _)| *on).map(|(_, c)| c).collect();
        [self.pid.to_string(), flags, self.to_worker.save()]
    }

    /// What [`Relay::save`] has written.
    pub fn restore(fd: OwnedFd, words: [&str; 3]) -> Relay {
        let [pid, flags, rest] = words;
        let has = |c| flags.contains(c);
        Relay {
            pid: pid.parse().unwrap_or(0),
            fd,
            to_worker: Outgoing::restore(rest),
            both: has('b'),
            shut: has('s'),
            answered: has('a'),
        }
    }
}
