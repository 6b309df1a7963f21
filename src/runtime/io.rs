//! The socket table: every socket's state between the tasks and the driver.
//!
//! Receiving is multishot into shared buffers: the kernel posts what arrives, it is queued here and a task that
//! waits is woken. The queue is bounded by a window: a receive is armed for what is left of it, and again when half
//! of it has been taken. Bytes are packed densely into buffers, so the window bounds the buffers, too.
//!
//! Sending is an ordered queue of parts: what tasks queue during a turn is submitted at its end, in one operation. One
//! operation per socket is in flight at a time: order is kept, errors are exact.
//!
//! A slot stays until the last completion of its operations; the descriptor is closed at once.

mod accept;

use std::collections::VecDeque;
use std::io;
use std::task::Poll;

use slab::Slab;

use super::driver::{Driver, Kind, RawPipe, token};
use super::exec::{Exec, TaskId};
use crate::sys::buf::{RecvBuf, SendBuf};
use crate::sys::ring::{Completion, Data, OpKey, Parts};

/// Parts up to this size are copied behind a preceding vector instead of being sent as a part of their own:
/// a copy of 1 KiB is cheaper than a gathering send.
const COPY_BYTES: usize = 1024;
/// Events that a hang-up poll waits for.
const HANGUP: i16 = libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR;

/// `Sock::flags`.
pub(crate) mod flag {
    /// A multishot receive is in flight.
    pub(crate) const RECV: u16 = 1;
    /// Its cancel was submitted.
    pub(crate) const RECV_CANCEL: u16 = 1 << 1;
    /// Receiving is paused.
    pub(crate) const PAUSED: u16 = 1 << 2;
    /// The end of the stream was received.
    pub(crate) const EOF: u16 = 1 << 3;
    /// A send is in flight.
    pub(crate) const SEND: u16 = 1 << 4;
    /// In the list of sockets to submit sends for.
    pub(crate) const DIRTY: u16 = 1 << 5;
    /// A connect is in flight.
    pub(crate) const CONNECT: u16 = 1 << 6;
    /// A poll for reading is in flight.
    pub(crate) const POLL_IN: u16 = 1 << 7;
    /// It has reported: a read would not block.
    pub(crate) const READABLE: u16 = 1 << 8;
    /// A poll for writing is in flight.
    pub(crate) const POLL_OUT: u16 = 1 << 9;
    /// It has reported.
    pub(crate) const WRITABLE: u16 = 1 << 10;
    /// A poll for hang-up is in flight.
    pub(crate) const POLL_HUP: u16 = 1 << 11;
    /// It has reported.
    pub(crate) const HUP: u16 = 1 << 12;
    /// Waits for receive buffers.
    pub(crate) const STARVED: u16 = 1 << 13;
    /// Dropped by its owner; goes with the last completion.
    pub(crate) const CLOSED: u16 = 1 << 14;
    /// Everything was cancelled: whoever waits is told when nothing is in flight any more.
    pub(crate) const QUIET: u16 = 1 << 15;
}

/// One socket. `size_of` is what an idle connection costs here.
pub(crate) struct Sock {
    pub(crate) fd: i32,
    pub(crate) flags: u16,
    /// Operations whose last completion is still to come.
    inflight: u16,
    /// errno of the receiving side, 0 when there is none.
    recv_error: i32,
    /// errno of the sending side (or of the connect).
    send_error: i32,
    /// Received, not yet taken: the first buffer apart, because mostly there is just one.
    first: Option<RecvBuf>,
    /// Boxed: idle sockets have none, and 24 bytes less.
    #[expect(clippy::box_collection)]
    rest: Option<Box<VecDeque<RecvBuf>>>,
    recv_bytes: usize,
    /// Parts queued, without those in flight.
    send_queue: Parts,
    send_bytes: usize,
    send_key: OpKey,
    low_water: usize,
    recv_task: TaskId,
    send_task: TaskId,
    hup_task: TaskId,
}
const _: () = assert!(size_of::<Sock>() <= 256, "an idle socket's state");

impl Sock {
    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    fn pop(&mut self) -> Option<RecvBuf> {
        let buf = self.first.take()?;
        self.recv_bytes -= buf.len();
        if let Some(rest) = &mut self.rest {
            self.first = rest.pop_front();
            if self.first.is_none() {
                self.rest = None;
            }
        }
        Some(buf)
    }

    fn push(&mut self, buf: RecvBuf) {
        self.recv_bytes += buf.len();
        let Some(first) = &mut self.first else {
            self.first = Some(buf);
            return;
        };
        let last = self.rest.as_mut().and_then(|r| r.back_mut()).unwrap_or(first);
        // Small segments share a buffer, else each would hold one of 16 KiB.
        if buf.len() <= 4096 && last.try_append(&buf) {
            return;
        }
        self.rest.get_or_insert_default().push_back(buf);
    }

    fn push_front(&mut self, buf: RecvBuf) {
        self.recv_bytes += buf.len();
        if let Some(second) = self.first.replace(buf) {
            self.rest.get_or_insert_default().push_front(second);
        }
    }
}

/// A listening socket.
pub(crate) struct Acceptor {
    pub(crate) fd: i32,
    /// Accepts in flight: a multishot one, or several that take one connection each.
    armed: u32,
    multishot: bool,
    cancelling: bool,
    /// Connections that are wanted.
    room: u32,
    paused: bool,
    closed: bool,
    error: i32,
    queue: VecDeque<i32>,
    task: TaskId,
}

/// Accepted connections that may wait for their task.
const ACCEPT_QUEUE: usize = 512;
/// A multishot accept cannot be bounded: it takes all that the kernel has queued (`net.core.somaxconn`), and their
/// descriptors, before a cancel comes through. With less room than that, connections are accepted one by one.
const ACCEPT_BURST: u32 = 4096;
/// So many at a time.
const ACCEPTS: u32 = 16;

/// All sockets of one thread.
pub(crate) struct Io {
    pub(crate) driver: Driver,
    pub(crate) socks: Slab<Sock>,
    pub(crate) acceptors: Slab<Acceptor>,
    /// Sockets with sends to submit.
    dirty: Vec<u32>,
    /// Sockets whose receive ended for want of buffers.
    starved: Vec<u32>,
    window: usize,
}

fn errno(e: i32) -> io::Error {
    io::Error::from_raw_os_error(e)
}

impl Io {
    pub(crate) fn new(driver: Driver, window: usize) -> Io {
        Io {
            driver,
            socks: Slab::new(),
            acceptors: Slab::new(),
            dirty: Vec::new(),
            starved: Vec::new(),
            window,
        }
    }

    fn sock(&mut self, slot: u32) -> &mut Sock {
        &mut self.socks[slot as usize]
    }

    /// Takes a descriptor in.
    pub(crate) fn insert(&mut self, fd: i32) -> u32 {
        self.socks.insert(Sock {
            fd,
            flags: 0,
            inflight: 0,
            recv_error: 0,
            send_error: 0,
            first: None,
            rest: None,
            recv_bytes: 0,
            send_queue: Parts::new(),
            send_bytes: 0,
            send_key: OpKey::token(0),
            low_water: 0,
            recv_task: TaskId::NONE,
            send_task: TaskId::NONE,
            hup_task: TaskId::NONE,
        }) as u32
    }

    // ---- receiving

    /// Arms the receive for what is left of the window.
    pub(crate) fn arm(&mut self, slot: u32) {
        let sock = &mut self.socks[slot as usize];
        let blocked = flag::RECV | flag::PAUSED | flag::EOF | flag::STARVED | flag::CLOSED;
        if sock.has(blocked) || sock.recv_error != 0 || sock.recv_bytes > self.window / 2 {
            return;
        }
        sock.flags |= flag::RECV;
        sock.inflight += 1;
        let window = (self.window - sock.recv_bytes) as u32;
        self.driver.recv(sock.fd, token(Kind::Recv, slot), window);
    }

    pub(crate) fn try_recv(&mut self, slot: u32) -> Option<io::Result<RecvBuf>> {
        let sock = &mut self.socks[slot as usize];
        if let Some(buf) = sock.pop() {
            if sock.flags & (flag::RECV | flag::EOF) == 0 {
                self.arm(slot);
            }
            return Some(Ok(buf));
        }
        if sock.recv_error != 0 {
            return Some(Err(errno(sock.recv_error)));
        }
        sock.has(flag::EOF).then(|| Ok(RecvBuf::empty()))
    }

    pub(crate) fn poll_recv(&mut self, slot: u32, task: TaskId) -> Poll<io::Result<RecvBuf>> {
        if let Some(done) = self.try_recv(slot) {
            return Poll::Ready(done);
        }
        self.arm(slot);
        self.sock(slot).recv_task = task;
        Poll::Pending
    }

    pub(crate) fn unrecv(&mut self, slot: u32, buf: RecvBuf) {
        if !buf.is_empty() {
            self.sock(slot).push_front(buf);
        }
    }

    pub(crate) fn recv_queued(&mut self, slot: u32) -> usize {
        self.sock(slot).recv_bytes
    }

    pub(crate) fn poll_hup(&mut self, slot: u32, task: TaskId) -> Poll<()> {
        let sock = self.sock(slot);
        if sock.has(flag::EOF | flag::HUP) || sock.recv_error != 0 || sock.send_error != 0 {
            return Poll::Ready(());
        }
        sock.hup_task = task;
        self.arm(slot);
        let sock = self.sock(slot);
        if !sock.has(flag::RECV | flag::POLL_HUP) {
            // The window is full, or receiving is paused: ask for the hang-up alone.
            sock.flags |= flag::POLL_HUP;
            sock.inflight += 1;
            let fd = sock.fd;
            self.driver.poll(fd, token(Kind::Hangup, slot), HANGUP);
        }
        Poll::Pending
    }

    pub(crate) fn is_idle_alive(&mut self, slot: u32) -> bool {
        let sock = self.sock(slot);
        let alive = !sock.has(flag::EOF | flag::HUP)
            && sock.recv_error == 0
            && sock.send_error == 0
            && sock.recv_bytes == 0;
        if alive {
            self.arm(slot);
        }
        alive
    }

    pub(crate) fn poll_pause(&mut self, slot: u32, task: TaskId) -> Poll<()> {
        let sock = self.sock(slot);
        sock.flags |= flag::PAUSED;
        if !sock.has(flag::RECV) {
            return Poll::Ready(());
        }
        sock.recv_task = task;
        self.cancel_recv(slot);
        Poll::Pending
    }

    fn cancel_recv(&mut self, slot: u32) {
        let sock = self.sock(slot);
        if sock.flags & (flag::RECV | flag::RECV_CANCEL) == flag::RECV {
            sock.flags |= flag::RECV_CANCEL;
            self.driver.cancel(OpKey::token(token(Kind::Recv, slot)));
        }
    }

    pub(crate) fn resume(&mut self, slot: u32) {
        self.sock(slot).flags &= !(flag::PAUSED | flag::READABLE | flag::QUIET);
    }

    /// Pauses receiving, cancels the polls, lets the sends go out: ready when the kernel has nothing of ours.
    pub(crate) fn poll_quiet(&mut self, slot: u32, task: TaskId) -> Poll<()> {
        let sock = self.sock(slot);
        let asked = sock.has(flag::QUIET);
        sock.flags |= flag::PAUSED | flag::QUIET;
        if sock.inflight == 0 && sock.send_bytes == 0 {
            return Poll::Ready(());
        }
        (sock.recv_task, sock.send_task, sock.hup_task) = (task, task, TaskId::NONE);
        sock.low_water = 0;
        if !asked {
            self.cancel_recv(slot);
            self.cancel_polls(slot);
        }
        Poll::Pending
    }

    // ---- readiness and splice

    pub(crate) fn poll_ready(&mut self, slot: u32, write: bool, task: TaskId) -> Poll<()> {
        let (ready, armed, kind, events) = if write {
            (flag::WRITABLE, flag::POLL_OUT, Kind::Writable, libc::POLLOUT)
        } else {
            (flag::READABLE, flag::POLL_IN, Kind::Readable, libc::POLLIN | libc::POLLRDHUP)
        };
        let sock = self.sock(slot);
        debug_assert!(
            write || sock.flags & (flag::PAUSED | flag::RECV) == flag::PAUSED,
            "receiving is not paused"
        );
        if sock.has(ready) {
            if write {
                sock.flags &= !ready;
            }
            return Poll::Ready(());
        }
        if write {
            sock.send_task = task;
        } else {
            sock.recv_task = task;
        }
        if !sock.has(armed) {
            sock.flags |= armed;
            sock.inflight += 1;
            let fd = sock.fd;
            self.driver.poll(fd, token(kind, slot), events);
        }
        Poll::Pending
    }

    pub(crate) fn splice_in(&mut self, slot: u32, pipe: &mut RawPipe, max: usize) -> io::Result<usize> {
        let sock = &mut self.socks[slot as usize];
        debug_assert!(!sock.has(flag::RECV) && sock.first.is_none(), "pause, then take what is queued");
        // The socket is blocking (io_uring wants that) and splice(2) heeds only the pipe's side of
        // SPLICE_F_NONBLOCK for TCP: never read without knowing that there is something.
        let known = sock.has(flag::READABLE);
        sock.flags &= !flag::READABLE;
        if !known && !self.driver.peek(sock.fd)? {
            return Ok(0);
        }
        self.driver.splice_in(sock.fd, pipe, max)
    }

    pub(crate) fn splice_out(
        &mut self,
        slot: u32,
        pipe: &mut RawPipe,
        max: usize,
        more: bool,
    ) -> io::Result<usize> {
        let sock = &mut self.socks[slot as usize];
        debug_assert_eq!(sock.send_bytes, 0, "flush before splicing");
        self.driver.splice_out(sock.fd, pipe, max, more)
    }

    // ---- sending

    pub(crate) fn send(&mut self, slot: u32, part: SendBuf) {
        let sock = &mut self.socks[slot as usize];
        let len = part.len();
        if len == 0 || sock.send_error != 0 {
            part.recycle();
            return;
        }
        sock.send_bytes += len;
        if len <= COPY_BYTES
            && let Some(SendBuf::Vec(last)) = sock.send_queue.last_mut()
            && last.capacity() - last.len() >= len
        {
            last.extend_from_slice(part.as_slice());
            part.recycle();
        } else {
            sock.send_queue.push(part);
        }
        if !sock.has(flag::SEND | flag::DIRTY) {
            sock.flags |= flag::DIRTY;
            self.dirty.push(slot);
        }
    }

    pub(crate) fn send_pending(&mut self, slot: u32) -> usize {
        self.sock(slot).send_bytes
    }

    pub(crate) fn send_is_fresh(&mut self, slot: u32) -> bool {
        !self.sock(slot).has(flag::SEND)
    }

    pub(crate) fn poll_sent(&mut self, slot: u32, low_water: usize, task: TaskId) -> Poll<io::Result<()>> {
        let sock = self.sock(slot);
        if sock.send_error != 0 {
            return Poll::Ready(Err(errno(sock.send_error)));
        }
        if sock.send_bytes <= low_water {
            return Poll::Ready(Ok(()));
        }
        sock.low_water = low_water;
        sock.send_task = task;
        Poll::Pending
    }

    fn submit_send(&mut self, slot: u32) {
        let sock = &mut self.socks[slot as usize];
        sock.flags &= !flag::DIRTY;
        if sock.send_queue.is_empty() || sock.has(flag::SEND) {
            return;
        }
        sock.flags |= flag::SEND;
        sock.inflight += 1;
        sock.send_key = self.driver.send(sock.fd, token(Kind::Send, slot), &mut sock.send_queue);
    }

    fn submit_last(&mut self, slot: u32) {
        let sock = &mut self.socks[slot as usize];
        if sock.send_queue.is_empty() || sock.has(flag::SEND) {
            return;
        }
        sock.flags |= flag::SEND;
        sock.inflight += 1;
        sock.send_key = self.driver.send_last(sock.fd, token(Kind::Send, slot), &mut sock.send_queue);
    }

    /// End of a turn: submits what was queued, and feeds starved receivers.
    pub(crate) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            // A socket dropped meanwhile has left nothing, or its slot belongs to another by now.
            if self.socks.get(slot as usize).is_some_and(|s| s.has(flag::DIRTY)) {
                self.submit_send(slot);
            }
        }
        self.dirty = dirty;
        if let Driver::Ring(ring) = &self.driver {
            // Buffers that senders still hold come back later than the next receives: one that found none means
            // that there are too few, however many are free at this moment.
            ring.pool().grow_if_low(!self.starved.is_empty());
        }
        if !self.starved.is_empty() {
            self.feed();
        }
    }

    #[cold]
    fn feed(&mut self) {
        let room = match &self.driver {
            Driver::Ring(ring) => ring.pool().available() as usize,
            Driver::Sim(_) => usize::MAX,
        };
        for _ in 0..room.min(self.starved.len()) {
            let Some(slot) = self.starved.pop() else { return };
            if let Some(sock) = self.socks.get_mut(slot as usize)
                && sock.has(flag::STARVED)
            {
                sock.flags &= !flag::STARVED;
                self.arm(slot);
            }
        }
    }

    // ---- connect

    pub(crate) fn connect(&mut self, slot: u32, addr: &crate::sys::addr::SockAddr) {
        let sock = &mut self.socks[slot as usize];
        sock.flags |= flag::CONNECT;
        sock.inflight += 1;
        sock.send_key = self.driver.connect(sock.fd, token(Kind::Connect, slot), addr);
    }

    pub(crate) fn poll_connected(&mut self, slot: u32, task: TaskId) -> Poll<io::Result<()>> {
        let sock = self.sock(slot);
        if sock.has(flag::CONNECT) {
            sock.send_task = task;
            return Poll::Pending;
        }
        if sock.send_error != 0 {
            return Poll::Ready(Err(errno(sock.send_error)));
        }
        Poll::Ready(Ok(()))
    }

    // ---- closing

    /// The owner lets go. What is queued is offered to the kernel once (it mostly takes a small answer at once), then
    /// everything is cancelled; with `reset` it is dropped.
    pub(crate) fn close(&mut self, slot: u32, reset: bool) {
        if reset {
            let fd = self.sock(slot).fd;
            self.driver.reset_on_close(fd);
        } else if self.sock(slot).send_error == 0 {
            self.submit_last(slot);
        }
        self.cancel_all(slot);
        let sock = &mut self.socks[slot as usize];
        sock.flags &= !(flag::DIRTY | flag::STARVED);
        sock.flags |= flag::CLOSED;
        (sock.first, sock.rest) = (None, None);
        sock.recv_bytes = 0;
        sock.send_queue = Parts::new();
        self.driver.close(sock.fd);
        if sock.inflight == 0 {
            self.socks.remove(slot as usize);
        }
    }

    /// Cancels what is in flight. By operation, not by descriptor: the kernel walks its whole table of polls for the latter.
    fn cancel_all(&mut self, slot: u32) {
        let sock = &self.socks[slot as usize];
        if sock.inflight == 0 {
            return;
        }
        let flags = sock.flags;
        if flags & (flag::SEND | flag::CONNECT) != 0 {
            self.driver.cancel(sock.send_key);
        }
        self.cancel_recv(slot);
        self.cancel_polls(slot);
    }

    fn cancel_polls(&mut self, slot: u32) {
        let flags = self.socks[slot as usize].flags;
        for (armed, kind) in [
            (flag::POLL_IN, Kind::Readable),
            (flag::POLL_OUT, Kind::Writable),
            (flag::POLL_HUP, Kind::Hangup),
        ] {
            if flags & armed != 0 {
                self.driver.cancel(OpKey::token(token(kind, slot)));
            }
        }
    }

    /// Gives the descriptor up when nothing is in flight or queued for sending.
    pub(crate) fn detach(&mut self, slot: u32) -> Option<(i32, Vec<RecvBuf>)> {
        let sock = self.sock(slot);
        if sock.inflight > 0 || sock.send_bytes > 0 {
            return None;
        }
        let mut queued = Vec::new();
        while let Some(buf) = sock.pop() {
            queued.push(buf);
        }
        Some((self.socks.remove(slot as usize).fd, queued))
    }

    /// The end of the runtime: closes what its owners have kept.
    pub(crate) fn close_all(&mut self) {
        for (_, sock) in &self.socks {
            if !sock.has(flag::CLOSED) {
                self.driver.close(sock.fd);
            }
        }
        for (_, acceptor) in &self.acceptors {
            if !acceptor.closed {
                self.driver.close(acceptor.fd);
            }
            for &fd in &acceptor.queue {
                self.driver.close(fd);
            }
        }
    }

    /// Books one completion and wakes who waits for it.
    pub(super) fn complete(&mut self, kind: Kind, slot: u32, c: Completion, exec: &mut Exec) {
        if kind == Kind::Accept {
            return self.accepted(slot, &c, exec);
        }
        let more = c.more;
        match kind {
            Kind::Recv => self.received(slot, c, exec),
            Kind::Send => self.sent(slot, c, exec),
            _ => {
                let sock = &mut self.socks[slot as usize];
                let (armed, done, task) = match kind {
                    Kind::Readable => (flag::POLL_IN, flag::READABLE, &mut sock.recv_task),
                    Kind::Writable => (flag::POLL_OUT, flag::WRITABLE, &mut sock.send_task),
                    Kind::Hangup => (flag::POLL_HUP, flag::HUP, &mut sock.hup_task),
                    _ => {
                        sock.send_error = -c.res.min(0);
                        (flag::CONNECT, 0, &mut sock.send_task)
                    }
                };
                exec.wake(std::mem::replace(task, TaskId::NONE));
                sock.flags &= !armed;
                // `splice_in` relies on READABLE: it holds only while nothing else reads.
                let paused = sock.flags & (flag::PAUSED | flag::RECV) == flag::PAUSED;
                if c.res != -libc::ECANCELED && (kind != Kind::Readable || paused) {
                    sock.flags |= done;
                }
            }
        }
        if more {
            return;
        }
        let sock = &mut self.socks[slot as usize];
        sock.inflight -= 1;
        if sock.inflight == 0 && sock.has(flag::CLOSED | flag::QUIET) {
            if sock.has(flag::CLOSED) {
                self.socks.remove(slot as usize);
            } else {
                exec.wake(std::mem::replace(&mut sock.recv_task, TaskId::NONE));
            }
        }
    }

    fn received(&mut self, slot: u32, c: Completion, exec: &mut Exec) {
        let sock = &mut self.socks[slot as usize];
        if !c.more {
            sock.flags &= !(flag::RECV | flag::RECV_CANCEL);
        }
        if sock.has(flag::CLOSED) {
            return;
        }
        match c.res {
            0 => sock.flags |= flag::EOF,
            n if n > 0 => {
                if let Data::Buf(buf) = c.data {
                    sock.push(scarce(&self.driver, buf));
                }
                if !c.more {
                    self.arm(slot);
                }
            }
            // Not errors of the connection: whoever wants data arms again.
            n if matches!(-n, libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {}
            n if -n == libc::ENOBUFS => {
                sock.flags |= flag::STARVED;
                self.starved.push(slot);
                if sock.has(flag::PAUSED) {
                    // Whoever paused waits for the end of the receive, not for data.
                    exec.wake(std::mem::replace(&mut sock.recv_task, TaskId::NONE));
                }
                return;
            }
            n => sock.recv_error = -n,
        }
        let sock = &mut self.socks[slot as usize];
        if sock.has(flag::EOF) || sock.recv_error != 0 || (!c.more && sock.hup_task != TaskId::NONE) {
            exec.wake(std::mem::replace(&mut sock.hup_task, TaskId::NONE));
        }
        exec.wake(std::mem::replace(&mut sock.recv_task, TaskId::NONE));
    }

    fn sent(&mut self, slot: u32, c: Completion, exec: &mut Exec) {
        let sock = &mut self.socks[slot as usize];
        sock.flags &= !flag::SEND;
        if sock.has(flag::CLOSED) {
            return;
        }
        let unsent = match c.data {
            Data::Unsent(parts) => Some(parts),
            _ => None,
        };
        match c.res {
            n if n > 0 => sock.send_bytes -= n as usize,
            n if matches!(-n, libc::EINTR | libc::EAGAIN | libc::ECANCELED) => {}
            // Nothing taken of something, without an error, does not happen; do not loop over it.
            n => sock.send_error = if n == 0 { libc::EIO } else { -n },
        }
        if sock.send_error != 0 {
            sock.send_queue = Parts::new();
            sock.send_bytes = 0;
            exec.wake(std::mem::replace(&mut sock.hup_task, TaskId::NONE));
            exec.wake(std::mem::replace(&mut sock.send_task, TaskId::NONE));
            return;
        }
        if let Some(mut parts) = unsent {
            parts.append(&mut sock.send_queue);
            sock.send_queue = *parts;
        }
        if sock.send_bytes <= sock.low_water {
            exec.wake(std::mem::replace(&mut sock.send_task, TaskId::NONE));
        }
        self.submit_send(slot);
    }
}

/// When nearly all buffers are held by slow consumers, data moves to the heap, in its true size: nobody can starve the others
/// of buffers.
fn scarce(driver: &Driver, buf: RecvBuf) -> RecvBuf {
    match driver {
        Driver::Ring(ring) if ring.pool().scarce() => RecvBuf::from_vec(buf.to_vec()),
        _ => buf,
    }
}
