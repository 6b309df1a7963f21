//! What the socket table asks of the kernel: by io_uring, or of the simulation. An enum, not a trait
//! object: the branch is always predicted.

use std::io;
use std::time::Duration;

use super::sim::SimDriver;
use crate::base::time::{Mono, Wall};
use crate::sys::addr::SockAddr;
use crate::sys::clock;
use crate::sys::pipe::PipePair;
use crate::sys::ring::{ACCEPT, Completion, OpKey, Parts, QUIET, Ring, Wait};
use crate::sys::socket::{self, IntOpt};

/// What completed. The order is arbitrary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Recv,
    Send,
    Connect,
    Accept,
    Readable,
    Writable,
    Hangup,
    /// Our mailbox's eventfd.
    Wake,
    /// A message to another ring was delivered or failed; the slot is the mailbox's key.
    Message,
    /// A failed cancel or close, or a message from another ring (which only wakes): nothing to do.
    Ignore,
}

const KINDS: [Kind; 10] = [
    Kind::Recv,
    Kind::Send,
    Kind::Connect,
    Kind::Accept,
    Kind::Readable,
    Kind::Writable,
    Kind::Hangup,
    Kind::Wake,
    Kind::Message,
    Kind::Ignore,
];

/// The number that identifies an operation: what it is and whose.
pub(crate) fn token(kind: Kind, slot: u32) -> u64 {
    let flags = match kind {
        Kind::Accept => ACCEPT,
        Kind::Message | Kind::Ignore => QUIET,
        _ => 0,
    };
    flags | u64::from(kind as u8) << 32 | u64::from(slot)
}

/// The reverse of `token`.
pub(crate) fn parse(token: u64) -> (Kind, u32) {
    (KINDS[(token >> 32) as usize & 0xf], token as u32)
}

/// A pipe between two sockets.
#[derive(Debug)]
pub(crate) enum RawPipe {
    Kernel(PipePair),
    Sim(std::collections::VecDeque<u8>),
}

/// The two drivers.
pub(crate) enum Driver {
    Ring(Box<Ring>),
    Sim(Box<SimDriver>),
}

macro_rules! forward {
    ($self:ident, $d:ident => $e:expr) => {
        match $self {
            Driver::Ring($d) => $e,
            Driver::Sim($d) => $e,
        }
    };
}

impl Driver {
    pub(crate) fn mono(&mut self) -> Mono {
        match self {
            Driver::Ring(_) => clock::mono(),
            Driver::Sim(sim) => sim.now(),
        }
    }

    pub(crate) fn wall(&mut self) -> Wall {
        match self {
            Driver::Ring(_) => clock::wall(),
            Driver::Sim(sim) => sim.wall(),
        }
    }

    /// Submits, sleeps, takes completions over.
    pub(crate) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        forward!(self, d => d.enter(wait))
    }

    pub(crate) fn next(&mut self) -> Option<Completion> {
        forward!(self, d => d.next())
    }

    pub(crate) fn recv(&mut self, fd: i32, token: u64, window: u32) {
        forward!(self, d => d.recv(fd, token, window));
    }

    pub(crate) fn send(&mut self, fd: i32, token: u64, parts: &mut Parts) -> OpKey {
        forward!(self, d => d.send(fd, token, parts))
    }

    /// The last bytes before the close that follows at once.
    pub(crate) fn send_last(&mut self, fd: i32, token: u64, parts: &mut Parts) -> OpKey {
        match self {
            Driver::Ring(ring) => ring.send_last(fd, token, parts),
            Driver::Sim(sim) => sim.send(fd, token, parts),
        }
    }

    pub(crate) fn connect(&mut self, fd: i32, token: u64, addr: &SockAddr) -> OpKey {
        forward!(self, d => d.connect(fd, token, addr))
    }

    pub(crate) fn accept(&mut self, fd: i32, token: u64, multishot: bool) {
        forward!(self, d => d.accept(fd, token, multishot));
    }

    pub(crate) fn poll(&mut self, fd: i32, token: u64, events: i16) {
        forward!(self, d => d.poll(fd, token, events as u32, false));
    }

    pub(crate) fn cancel(&mut self, key: OpKey) {
        forward!(self, d => d.cancel(key, token(Kind::Ignore, 0)));
    }

    pub(crate) fn cancel_each(&mut self, key: OpKey) {
        forward!(self, d => d.cancel_each(key, token(Kind::Ignore, 0)));
    }

    pub(crate) fn close(&mut self, fd: i32) {
        forward!(self, d => d.close(fd, token(Kind::Ignore, 0)));
    }

    /// Opens a socket for `addr`'s family.
    pub(crate) fn open(&mut self, addr: &SockAddr) -> io::Result<i32> {
        match self {
            Driver::Ring(_) => Ok(std::os::fd::IntoRawFd::into_raw_fd(socket::open(addr, false)?)),
            Driver::Sim(sim) => Ok(sim.open(addr)),
        }
    }

    /// A simulated listener; `None` when the sockets are real.
    pub(crate) fn sim_listen(&mut self, addr: &SockAddr) -> Option<io::Result<i32>> {
        match self {
            Driver::Ring(_) => None,
            Driver::Sim(sim) => Some(sim.listen(addr)),
        }
    }

    /// Sets an option; the simulation accepts all.
    pub(crate) fn set(&mut self, fd: i32, opt: IntOpt, value: i32) -> io::Result<()> {
        match self {
            Driver::Ring(_) => socket::set(fd, opt, value),
            Driver::Sim(_) => Ok(()),
        }
    }

    pub(crate) fn reset_on_close(&mut self, fd: i32) {
        match self {
            // It can only fail on a socket that is not TCP, where there is no reset.
            Driver::Ring(_) => drop(socket::reset_on_close(fd)),
            Driver::Sim(sim) => sim.reset_on_close(fd),
        }
    }

    pub(crate) fn shutdown_write(&mut self, fd: i32) -> io::Result<()> {
        match self {
            Driver::Ring(_) => socket::shutdown_write(fd),
            Driver::Sim(sim) => sim.shutdown_write(fd),
        }
    }

    pub(crate) fn local_addr(&mut self, fd: i32) -> io::Result<SockAddr> {
        match self {
            Driver::Ring(_) => socket::local_addr(fd),
            Driver::Sim(sim) => sim.local_addr(fd),
        }
    }

    pub(crate) fn peer_addr(&mut self, fd: i32) -> io::Result<SockAddr> {
        match self {
            Driver::Ring(_) => socket::peer_addr(fd),
            Driver::Sim(sim) => sim.peer_addr(fd),
        }
    }

    pub(crate) fn rtt(&mut self, fd: i32) -> io::Result<(Duration, Duration)> {
        match self {
            Driver::Ring(_) => socket::rtt(fd),
            Driver::Sim(_) => Ok((Duration::from_micros(100), Duration::from_micros(10))),
        }
    }

    /// Whether there is data (true) or the end of the stream (false); `WouldBlock` when neither.
    pub(crate) fn peek(&mut self, fd: i32) -> io::Result<bool> {
        match self {
            Driver::Ring(_) => socket::peek(fd),
            // The simulation's splice never blocks.
            Driver::Sim(_) => Ok(true),
        }
    }

    pub(crate) fn pipe(&mut self) -> io::Result<RawPipe> {
        match self {
            Driver::Ring(_) => PipePair::new().map(RawPipe::Kernel),
            Driver::Sim(_) => Ok(RawPipe::Sim(std::collections::VecDeque::new())),
        }
    }

    pub(crate) fn splice_in(&mut self, fd: i32, pipe: &mut RawPipe, max: usize) -> io::Result<usize> {
        match (self, pipe) {
            (Driver::Ring(_), RawPipe::Kernel(pipe)) => pipe.fill(fd, max),
            (Driver::Sim(sim), RawPipe::Sim(pipe)) => sim.splice_in(fd, pipe, max),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub(crate) fn splice_out(
        &mut self,
        fd: i32,
        pipe: &mut RawPipe,
        max: usize,
        more: bool,
    ) -> io::Result<usize> {
        match (self, pipe) {
            (Driver::Ring(_), RawPipe::Kernel(pipe)) => pipe.drain(fd, max, more),
            (Driver::Sim(sim), RawPipe::Sim(pipe)) => sim.splice_out(fd, pipe, max),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub(crate) fn is_sim(&self) -> bool {
        matches!(self, Driver::Sim(_))
    }
}
