//! The simulated driver: in-memory sockets, virtual clock, seeded faults. Whole-proxy tests run on it.
//!
//! Everything that happens on the "network" is an event at a virtual time, drawn from the seed. The clock jumps to the
//! next event or timer when all tasks wait, so hours pass in milliseconds, and the same seed gives the same run.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use slab::Slab;

use super::io::Io;
use super::mailbox::Mailbox;
use super::turn::run_on;
use crate::base::time::{Mono, Wall};
use crate::sys::addr::SockAddr;
use crate::sys::buf::RecvBuf;
use crate::sys::ring::{Completion, Data, OpKey, Parts, Wait};

/// How often the simulated network misbehaves; all rates are per mille of operations.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Receive fewer bytes than there are.
    pub short_recv: u16,
    /// Take fewer bytes than offered.
    pub short_send: u16,
    /// Deliver late: up to 200 ms instead of up to 50 us.
    pub delay: u16,
    /// Reset the connection.
    pub reset: u16,
    /// Fail a connect: refused, or no answer at all.
    pub connect_fail: u16,
    /// Report no buffers to a receive.
    pub enobufs: u16,
    /// Fail an accept for want of descriptors.
    pub emfile: u16,
}

/// Runs `root` on a simulated runtime of this thread, with virtual time, until it is done. The same seed gives the
/// same run.
///
/// # Panics
/// When all tasks wait and nothing will ever happen: a deadlock. When a task panics.
pub fn run<F: Future>(seed: u64, faults: Faults, root: F) -> F::Output {
    let io = Io::new(super::driver::Driver::Sim(Box::new(SimDriver::new(seed, faults))), 65536);
    run_on(io, &Mailbox::new(0), false, root).expect("the simulated driver does not fail")
}

/// Another owner for a simulated descriptor that was lent: what `SCM_RIGHTS` does. Nothing but a socket of this thread
/// may have it.
pub fn share(fd: &impl AsRawFd) -> OwnedFd {
    let fd = fd.as_raw_fd();
    super::with_io(|io| match &mut io.driver {
        super::driver::Driver::Sim(sim) => sim.share(fd),
        super::driver::Driver::Ring(_) => panic!("a descriptor of the kernel's"),
    });
    crate::sys::socket::own(fd)
}

/// Virtual time starts here: an arbitrary Tuesday.
const EPOCH_US: u64 = 1_700_000_000_000_000;
/// Bytes of one simulated receive buffer.
const CHUNK: usize = 16384;
/// What a kernel's send buffer takes at least (the middle value of `net.ipv4.tcp_wmem`).
const SEND_BUFFER: isize = 16384;
/// Connections that wait to be accepted, at most.
const BACKLOG: usize = 1024;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    /// Something may move at this end.
    Step(i32),
    /// A SYN arrives.
    Connect(u64),
}

/// An operation in flight; at most one of a kind per end.
struct Send {
    key: u64,
    token: u64,
    parts: Parts,
    sent: i32,
}

struct Stream {
    local: SockAddr,
    remote: SockAddr,
    peer: Option<i32>,
    /// Received by the kernel, not yet taken.
    rx: VecDeque<u8>,
    rx_capacity: usize,
    /// The peer has ended its direction.
    fin: bool,
    reset: bool,
    write_shut: bool,
    reset_on_close: bool,
    /// Token and what is left of the window.
    recv: Option<(u64, usize)>,
    send: Option<Send>,
    polls: Vec<(u64, u32)>,
    /// Descriptors besides the first one.
    other_owners: u32,
}

enum End {
    Fresh,
    Listener { addr: SockAddr, backlog: VecDeque<i32>, accept: Option<(u64, bool)> },
    Stream(Box<Stream>),
}

struct Connect {
    fd: i32,
    token: u64,
    addr: SockAddr,
}

pub(crate) struct SimDriver {
    now: Mono,
    rng: u64,
    faults: Faults,
    ends: Slab<End>,
    events: BinaryHeap<Reverse<(Mono, u64, Event)>>,
    sequence: u64,
    done: VecDeque<Completion>,
    connects: HashMap<u64, Connect>,
    /// Operation key to descriptor, for those that can be cancelled.
    ops: HashMap<u64, i32>,
    next_key: u64,
    next_port: u16,
}

/// Keys of sends and connects; tokens serve as keys of the others.
const KEYED: u64 = 1 << 63;

impl SimDriver {
    fn new(seed: u64, faults: Faults) -> SimDriver {
        SimDriver {
            now: Mono(1_000_000_000_000),
            rng: seed,
            faults,
            ends: Slab::new(),
            events: BinaryHeap::new(),
            sequence: 0,
            done: VecDeque::new(),
            connects: HashMap::new(),
            ops: HashMap::new(),
            next_key: KEYED,
            next_port: 40000,
        }
    }

    pub(crate) fn now(&self) -> Mono {
        self.now
    }

    pub(crate) fn wall(&self) -> Wall {
        Wall(EPOCH_US + self.now.0 / 1000)
    }

    pub(crate) fn inflight(&self) -> usize {
        self.ops.len()
    }

    /// splitmix64.
    fn random(&mut self) -> u64 {
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.rng ^ (self.rng >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.random() % n.max(1) as u64) as usize
    }

    fn fault(&mut self, per_mille: u16) -> bool {
        per_mille > 0 && self.below(1000) < usize::from(per_mille)
    }

    fn at_some_time(&mut self, event: Event) {
        let us = if self.fault(self.faults.delay) { self.below(200_000) } else { self.below(50) };
        let at = self.now + Duration::from_micros(us as u64);
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn kick(&mut self, fd: i32) {
        self.at_some_time(Event::Step(fd));
    }

    fn finish(&mut self, token: u64, res: i32, more: bool, data: Data) {
        self.done.push_back(Completion { token, res, more, data });
    }

    fn stream(&mut self, fd: i32) -> Option<&mut Stream> {
        match self.ends.get_mut(fd as usize) {
            Some(End::Stream(s)) => Some(s),
            _ => None,
        }
    }

    // ---- the driver's face

    pub(crate) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        // A turn takes a little time, so that tasks that spin on the clock get ahead.
        self.now = self.now + Duration::from_micros(1);
        let until = match wait {
            Wait::No => self.now,
            Wait::For(d) => self.now + d,
            Wait::Forever => Mono::NEVER,
        };
        loop {
            let due = self.events.peek().map_or(Mono::NEVER, |Reverse((at, ..))| *at);
            let next = due.min(until);
            if next > self.now {
                if !self.done.is_empty() {
                    return Ok(());
                }
                assert!(next != Mono::NEVER, "deadlock: all tasks wait, no event and no timer is left");
                self.now = next;
            }
            if due > self.now {
                return Ok(());
            }
            match self.events.pop() {
                Some(Reverse((_, _, Event::Step(fd)))) => self.step(fd),
                Some(Reverse((_, _, Event::Connect(key)))) => self.arrive(key),
                None => return Ok(()),
            }
        }
    }

    pub(crate) fn next(&mut self) -> Option<Completion> {
        self.done.pop_front()
    }

    pub(crate) fn open(&mut self, _addr: &SockAddr) -> i32 {
        self.ends.insert(End::Fresh) as i32
    }

    /// A listener; the port 0 is replaced.
    pub(crate) fn listen(&mut self, addr: &SockAddr) -> io::Result<i32> {
        let mut addr = addr.clone();
        if let SockAddr::Ip(a) = &mut addr
            && a.port() == 0
        {
            a.set_port(self.port());
        }
        let taken = self.ends.iter().any(|(_, e)| matches!(e, End::Listener { addr: a, .. } if *a == addr));
        if taken {
            return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
        }
        Ok(self.ends.insert(End::Listener { addr, backlog: VecDeque::new(), accept: None }) as i32)
    }

    fn port(&mut self) -> u16 {
        self.next_port = if self.next_port >= 65000 { 40000 } else { self.next_port + 1 };
        self.next_port
    }

    pub(crate) fn recv(&mut self, fd: i32, token: u64, window: u32) {
        self.ops.insert(token, fd);
        if let Some(s) = self.stream(fd) {
            s.recv = Some((token, window as usize));
        }
        self.kick(fd);
    }

    pub(crate) fn send(&mut self, fd: i32, token: u64, parts: &mut Parts) -> OpKey {
        self.next_key += 1;
        let key = self.next_key;
        self.ops.insert(key, fd);
        let parts = std::mem::take(parts);
        if let Some(s) = self.stream(fd) {
            s.send = Some(Send { key, token, parts, sent: 0 });
        }
        self.kick(fd);
        OpKey::raw(key)
    }

    pub(crate) fn connect(&mut self, fd: i32, token: u64, addr: &SockAddr) -> OpKey {
        self.next_key += 1;
        let key = self.next_key;
        self.ops.insert(key, fd);
        self.connects.insert(key, Connect { fd, token, addr: addr.clone() });
        self.at_some_time(Event::Connect(key));
        OpKey::raw(key)
    }

    pub(crate) fn accept(&mut self, fd: i32, token: u64, multishot: bool) {
        self.ops.insert(token, fd);
        if let Some(End::Listener { accept, .. }) = self.ends.get_mut(fd as usize) {
            *accept = Some((token, multishot));
        }
        self.kick(fd);
    }

    pub(crate) fn poll(&mut self, fd: i32, token: u64, events: u32, _multi: bool) {
        self.ops.insert(token, fd);
        if let Some(s) = self.stream(fd) {
            s.polls.push((token, events));
        }
        self.kick(fd);
    }

    /// No two operations share a key here.
    pub(crate) fn cancel_each(&mut self, key: OpKey, token: u64) {
        self.cancel(key, token);
    }

    pub(crate) fn cancel(&mut self, key: OpKey, _token: u64) {
        let key = key.bits();
        // As in the ring, where a send is tried when it is submitted, before a cancellation can reach it.
        if let Some(&fd) = self.ops.get(&key)
            && self.stream(fd).is_some_and(|s| s.send.as_ref().is_some_and(|s| s.key == key))
        {
            self.offer(fd);
        }
        let Some(fd) = self.ops.remove(&key) else { return };
        if let Some(connect) = self.connects.remove(&key) {
            self.finish(connect.token, -libc::ECANCELED, false, Data::None);
            return;
        }
        let (mut token, mut res, mut data) = (key, -libc::ECANCELED, Data::None);
        match self.ends.get_mut(fd as usize) {
            Some(End::Listener { accept, .. }) => *accept = None,
            Some(End::Stream(s)) => {
                if s.recv.is_some_and(|(t, _)| t == key) {
                    s.recv = None;
                } else if s.send.as_ref().is_some_and(|s| s.key == key) {
                    let send = s.send.take().expect("just seen");
                    (token, data) = (send.token, Data::Unsent(Box::new(send.parts)));
                    if send.sent > 0 {
                        res = send.sent;
                    }
                } else {
                    s.polls.retain(|(t, _)| *t != key);
                }
            }
            _ => {}
        }
        self.finish(token, res, false, data);
    }

    fn share(&mut self, fd: i32) {
        if let Some(s) = self.stream(fd) {
            s.other_owners += 1;
        }
    }

    pub(crate) fn close(&mut self, fd: i32, _token: u64) {
        if let Some(s) = self.stream(fd)
            && s.other_owners > 0
        {
            s.other_owners -= 1;
            return;
        }
        let Some(end) = self.ends.try_remove(fd as usize) else { return };
        match end {
            End::Fresh => {}
            End::Listener { backlog, accept, .. } => {
                if let Some((token, _)) = accept {
                    self.ops.remove(&token);
                    self.finish(token, -libc::ECANCELED, false, Data::None);
                }
                for fd in backlog {
                    self.reset_on_close(fd);
                    self.close(fd, 0);
                }
            }
            End::Stream(s) => {
                let reset = s.reset_on_close || !s.rx.is_empty();
                if let Some(peer) = s.peer {
                    if let Some(p) = self.stream(peer) {
                        p.peer = None;
                        p.reset |= reset;
                        p.fin = true;
                    }
                    self.kick(peer);
                }
            }
        }
    }

    pub(crate) fn reset_on_close(&mut self, fd: i32) {
        if let Some(s) = self.stream(fd) {
            s.reset_on_close = true;
        }
    }

    pub(crate) fn shutdown_write(&mut self, fd: i32) -> io::Result<()> {
        let Some(s) = self.stream(fd) else { return Err(io::Error::from_raw_os_error(libc::ENOTCONN)) };
        if s.reset {
            return Err(io::Error::from_raw_os_error(libc::ENOTCONN));
        }
        s.write_shut = true;
        if let Some(peer) = s.peer {
            if let Some(p) = self.stream(peer) {
                p.fin = true;
            }
            self.kick(peer);
        }
        Ok(())
    }

    pub(crate) fn local_addr(&mut self, fd: i32) -> io::Result<SockAddr> {
        match self.ends.get(fd as usize) {
            Some(End::Listener { addr, .. }) => Ok(addr.clone()),
            Some(End::Stream(s)) => Ok(s.local.clone()),
            _ => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    pub(crate) fn peer_addr(&mut self, fd: i32) -> io::Result<SockAddr> {
        match self.stream(fd) {
            Some(s) if !s.reset => Ok(s.remote.clone()),
            _ => Err(io::Error::from_raw_os_error(libc::ENOTCONN)),
        }
    }

    pub(crate) fn splice_in(&mut self, fd: i32, pipe: &mut VecDeque<u8>, max: usize) -> io::Result<usize> {
        let Some(s) = self.stream(fd) else { return Err(io::Error::from_raw_os_error(libc::EBADF)) };
        let n = s.rx.len().min(max).min((1 << 20) - pipe.len().min(1 << 20));
        if n == 0 {
            return match (s.rx.is_empty(), s.reset, s.fin) {
                (true, true, _) => Err(io::Error::from_raw_os_error(libc::ECONNRESET)),
                (true, _, true) => Ok(0),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        pipe.extend(s.rx.drain(..n));
        if let Some(peer) = s.peer {
            self.kick(peer);
        }
        Ok(n)
    }

    pub(crate) fn splice_out(&mut self, fd: i32, pipe: &mut VecDeque<u8>, max: usize) -> io::Result<usize> {
        let peer = match self.stream(fd) {
            Some(s) if !s.reset && !s.write_shut => s.peer,
            _ => return Err(io::Error::from_raw_os_error(libc::EPIPE)),
        };
        let Some(peer) = peer.filter(|p| self.ends.contains(*p as usize)) else {
            if let Some(s) = self.stream(fd) {
                s.reset = true;
            }
            return Err(io::Error::from_raw_os_error(libc::EPIPE));
        };
        let Some(p) = self.stream(peer) else { return Err(io::Error::from_raw_os_error(libc::EPIPE)) };
        let n = pipe.len().min(max).min(p.rx_capacity - p.rx.len().min(p.rx_capacity));
        if n == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        p.rx.extend(pipe.drain(..n));
        self.kick(peer);
        Ok(n)
    }

    // ---- what happens on the network

    /// A SYN arrives: refuse it, lose it, or make a pair of connected ends.
    fn arrive(&mut self, key: u64) {
        let Some(connect) = self.connects.remove(&key) else { return };
        let addr = connect.addr.clone();
        let matches = |bound: &SockAddr| match (bound, &addr) {
            (SockAddr::Ip(b), SockAddr::Ip(a)) => {
                b.port() == a.port() && (b.ip() == a.ip() || b.ip().is_unspecified())
            }
            (b, a) => b == a,
        };
        let listener = self.ends.iter().find_map(|(fd, e)| match e {
            End::Listener { addr, backlog, .. } if matches(addr) => Some((fd as i32, backlog.len())),
            _ => None,
        });
        if self.fault(self.faults.connect_fail) && self.below(2) == 0
            || listener.is_some_and(|l| l.1 >= BACKLOG)
        {
            // No answer: the connect stays in flight until it is cancelled.
            self.connects.insert(key, connect);
            return;
        }
        self.ops.remove(&key);
        let refused = self.fault(self.faults.connect_fail);
        let Some((listener, _)) = listener.filter(|_| !refused) else {
            self.finish(connect.token, -libc::ECONNREFUSED, false, Data::None);
            return;
        };
        let client = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port());
        let near = if addr.is_unix() { SockAddr::unix("") } else { SockAddr::Ip(client) };
        let capacity = 1024 << self.below(8);
        let server = Stream::new(addr.clone(), near.clone(), connect.fd, capacity);
        let server = self.ends.insert(End::Stream(Box::new(server))) as i32;
        let capacity = 1024 << self.below(8);
        self.ends[connect.fd as usize] = End::Stream(Box::new(Stream::new(near, addr, server, capacity)));
        if let End::Listener { backlog, .. } = &mut self.ends[listener as usize] {
            backlog.push_back(server);
        }
        self.kick(listener);
        self.finish(connect.token, 0, false, Data::None);
    }

    /// Moves what can move at one end.
    fn step(&mut self, fd: i32) {
        match self.ends.get_mut(fd as usize) {
            Some(End::Listener { backlog, accept: Some(armed), .. }) if !backlog.is_empty() => {
                let (token, multishot) = *armed;
                if self.fault(self.faults.emfile) {
                    if let Some(End::Listener { accept, .. }) = self.ends.get_mut(fd as usize) {
                        *accept = None;
                    }
                    self.ops.remove(&token);
                    self.finish(token, -libc::EMFILE, false, Data::None);
                    return;
                }
                let Some(End::Listener { backlog, accept, .. }) = self.ends.get_mut(fd as usize) else {
                    return;
                };
                if !multishot {
                    *accept = None;
                    let new = backlog.pop_front().expect("not empty, as the guard says");
                    self.ops.remove(&token);
                    return self.finish(token, new, false, Data::None);
                }
                let accepted: Vec<i32> = backlog.drain(..).collect();
                for new in accepted {
                    self.finish(token, new, true, Data::None);
                }
            }
            Some(End::Stream(_)) => {
                if self.fault(self.faults.reset) {
                    self.reset(fd);
                }
                self.step_send(fd);
                self.step_recv(fd);
                self.step_polls(fd);
            }
            _ => {}
        }
    }

    fn reset(&mut self, fd: i32) {
        let peer = self.stream(fd).and_then(|s| {
            s.reset = true;
            s.rx.clear();
            s.peer.take()
        });
        if let Some(peer) = peer {
            if let Some(p) = self.stream(peer) {
                p.reset = true;
                p.rx.clear();
                p.peer = None;
            }
            self.kick(peer);
        }
    }

    fn step_send(&mut self, fd: i32) {
        let short = self.fault(self.faults.short_send);
        let random = self.random();
        let Some(s) = self.stream(fd) else { return };
        let Some(mut send) = s.send.take() else { return };
        let total: usize = send.parts.iter().map(|p| p.len()).sum();
        let error = if s.reset {
            libc::ECONNRESET
        } else if s.write_shut {
            libc::EPIPE
        } else {
            0
        };
        if error != 0 {
            let res = if send.sent > 0 { send.sent } else { -error };
            return self.finish_send(send, res);
        }
        let Some(peer) = s.peer else {
            // The first send after the peer's close is taken and answered with a reset.
            s.reset = true;
            send.parts.clear();
            let res = send.sent + total as i32;
            self.kick(fd);
            return self.finish_send(send, res);
        };
        let Some(p) = self.stream(peer) else { return };
        let room = p.rx_capacity.saturating_sub(p.rx.len());
        let mut n = total.min(room);
        if short && n > 1 {
            n = 1 + (random % (n as u64 - 1)) as usize;
        }
        let mut left = n;
        while left > 0 {
            let part = &mut send.parts[0];
            let take = left.min(part.len());
            p.rx.extend(&part.as_slice()[..take]);
            part.advance(take);
            left -= take;
            if part.is_empty() {
                send.parts.remove(0).recycle();
            }
        }
        send.sent += n as i32;
        if n > 0 {
            self.kick(peer);
        }
        if n == total || short {
            let res = send.sent;
            if res > 0 {
                return self.finish_send(send, res);
            }
        }
        // Room comes with a kick from the peer.
        if let Some(s) = self.stream(fd) {
            s.send = Some(send);
        }
    }

    /// Tries a send with room for what a kernel's send buffer takes, whether the peer reads or not.
    fn offer(&mut self, fd: i32) {
        let widen = |sim: &mut SimDriver, by: isize| {
            let peer = sim.stream(fd).and_then(|s| s.peer);
            if let Some(p) = peer.and_then(|p| sim.stream(p)) {
                p.rx_capacity = p.rx_capacity.saturating_add_signed(by);
            }
        };
        widen(self, SEND_BUFFER);
        self.step_send(fd);
        widen(self, -SEND_BUFFER);
    }

    fn finish_send(&mut self, send: Send, res: i32) {
        self.ops.remove(&send.key);
        let data = if send.parts.is_empty() { Data::None } else { Data::Unsent(Box::new(send.parts)) };
        self.finish(send.token, res, false, data);
    }

    fn step_recv(&mut self, fd: i32) {
        loop {
            let (enobufs, short) = (self.fault(self.faults.enobufs), self.fault(self.faults.short_recv));
            let random = self.random();
            let Some(s) = self.stream(fd) else { return };
            let Some((token, window)) = s.recv else { return };
            let last = |sim: &mut SimDriver, res| {
                if let Some(s) = sim.stream(fd) {
                    s.recv = None;
                }
                sim.ops.remove(&token);
                sim.finish(token, res, false, Data::None);
            };
            if s.rx.is_empty() {
                if s.reset {
                    last(self, -libc::ECONNRESET);
                } else if s.fin {
                    last(self, 0);
                }
                return;
            }
            if enobufs {
                return last(self, -libc::ENOBUFS);
            }
            let mut n = s.rx.len().min(CHUNK).min(window);
            if short && n > 1 {
                n = 1 + (random % (n as u64 - 1)) as usize;
            }
            let bytes: Vec<u8> = s.rx.drain(..n).collect();
            let more = window > n;
            s.recv = more.then_some((token, window - n));
            let peer = s.peer;
            if !more {
                self.ops.remove(&token);
            }
            self.finish(token, n as i32, more, Data::Buf(RecvBuf::from_vec(bytes)));
            if let Some(peer) = peer {
                self.kick(peer);
            }
        }
    }

    fn step_polls(&mut self, fd: i32) {
        let Some(s) = self.stream(fd) else { return };
        if s.polls.is_empty() {
            return;
        }
        let mut ready = 0;
        if !s.rx.is_empty() || s.fin || s.reset {
            ready |= libc::POLLIN;
        }
        if s.fin || s.reset {
            ready |= libc::POLLRDHUP;
        }
        if s.reset {
            ready |= libc::POLLHUP | libc::POLLERR;
        }
        let peer = s.peer;
        let room = match peer.and_then(|p| self.stream(p)) {
            Some(p) => p.rx.len() < p.rx_capacity,
            None => true,
        };
        if room {
            ready |= libc::POLLOUT;
        }
        let Some(s) = self.stream(fd) else { return };
        let polls = std::mem::take(&mut s.polls);
        let (done, waiting): (Vec<_>, Vec<_>) = polls.into_iter().partition(|(_, m)| m & ready as u32 != 0);
        s.polls = waiting;
        for (token, events) in done {
            self.ops.remove(&token);
            self.finish(token, (events & ready as u32) as i32, false, Data::None);
        }
    }
}

impl Stream {
    fn new(local: SockAddr, remote: SockAddr, peer: i32, rx_capacity: usize) -> Stream {
        Stream {
            local,
            remote,
            peer: Some(peer),
            rx: VecDeque::new(),
            rx_capacity,
            fin: false,
            reset: false,
            write_shut: false,
            reset_on_close: false,
            recv: None,
            send: None,
            polls: Vec::new(),
            other_owners: 0,
        }
    }
}
