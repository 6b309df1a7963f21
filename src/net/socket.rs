//! One connected stream socket.

use std::cell::Cell;
use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use super::{ConnectOpts, Keepalive, Pipe, RecvBuf, SendBuf, SockAddr, Source};
use crate::runtime::{self, current_task, with_io};
use crate::sys::socket::{self as system, IntOpt};

/// A connected stream socket (TCP or Unix), owned by the thread's ring. All methods take `&self`; at most one
/// task may wait for receiving, one for sending and one for hang-up at a time (it may be the same task).
///
/// Dropping closes the descriptor and cancels what is in flight: queued sends are offered to the kernel once, what
/// it does not take at once is lost. Await `flushed` first when the bytes matter.
pub struct Socket {
    slot: u32,
    epoch: u32,
}

impl Socket {
    /// Opens and connects. Errors are the system's (`ECONNREFUSED`, `EADDRNOTAVAIL`, ...); there is no
    /// timeout here: drop the future to give up.
    pub async fn connect(addr: &SockAddr, opts: &ConnectOpts) -> io::Result<Socket> {
        let open = || with_io(|io| io.driver.open(addr));
        let socket = Socket::from_raw(match &opts.namespace {
            Some(name) => system::in_namespace(name, open)?,
            None => open()?,
        });
        if addr.is_unix() && !with_io(|io| io.driver.is_sim()) {
            // A Unix connect succeeds or fails at once, except that it would block on a full backlog: EAGAIN then.
            let fd = socket.fd();
            system::set_nonblock(fd, true)?;
            system::connect(fd, addr)?;
            system::set_nonblock(fd, false)?;
            return Ok(socket);
        }
        if let SockAddr::Ip(ip) = addr
            && !with_io(|io| io.driver.is_sim())
        {
            prepare(socket.fd(), ip.is_ipv6(), opts)?;
        }
        with_io(|io| io.connect(socket.slot, addr));
        std::future::poll_fn(|_| with_io(|io| io.poll_connected(socket.slot, current_task()))).await?;
        Ok(socket)
    }

    /// Takes over a connected descriptor (accepted elsewhere, or inherited). Clears `O_NONBLOCK`: io_uring reports
    /// EAGAIN on such descriptors instead of waiting.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Socket> {
        if !with_io(|io| io.driver.is_sim()) {
            system::set_nonblock(fd.as_raw_fd(), false)?;
        }
        Ok(Socket::from_raw(fd.into_raw_fd()))
    }

    /// Takes over a number of the driver's.
    pub(super) fn from_raw(fd: i32) -> Socket {
        Socket { slot: with_io(|io| io.insert(fd)), epoch: runtime::epoch() }
    }

    /// Gives the descriptor up, for another thread or process; received data that is still queued comes with it.
    /// Fails with the socket when anything is in flight: pause receiving and flush first.
    pub fn into_fd(self) -> Result<(OwnedFd, Vec<RecvBuf>), Socket> {
        match with_io(|io| io.detach(self.slot)) {
            Some((fd, queued)) => {
                let _ = ManuallyDrop::new(self);
                Ok((system::own(fd), queued))
            }
            None => Err(self),
        }
    }

    /// Stops receiving, cancels what waits for readiness, and waits for what is being sent: ready when the kernel has
    /// nothing of ours in flight on the connection. What was received until then is queued: take it with `try_recv`.
    /// `resume_recv` ends it.
    pub fn poll_quiet(&self, _cx: &mut Context<'_>) -> Poll<()> {
        with_io(|io| io.poll_quiet(self.slot, current_task()))
    }

    /// Shows the descriptor, to hand the connection to another process while it is quiet (`poll_quiet`). The connection
    /// lives on there when this socket is dropped.
    pub fn lend<R>(&self, f: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        system::lend(self.fd(), f)
    }

    fn fd(&self) -> i32 {
        with_io(|io| io.socks[self.slot as usize].fd)
    }

    /// Received bytes in order; an empty buffer is the end of the stream (and stays so). Receiving starts with the
    /// first call. When `Config::recv_window` bytes are queued the kernel is no longer asked until half are taken.
    pub fn poll_recv(&self, _cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        with_io(|io| io.poll_recv(self.slot, current_task()))
    }

    /// Like `poll_recv`, as a future.
    pub async fn recv(&self) -> io::Result<RecvBuf> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// What is queued now, without waiting and without registering the task.
    pub fn try_recv(&self) -> Option<io::Result<RecvBuf>> {
        with_io(|io| io.try_recv(self.slot))
    }

    /// Puts bytes back in front of the receive queue.
    pub fn unrecv(&self, buf: RecvBuf) {
        with_io(|io| io.unrecv(self.slot, buf));
    }

    /// Bytes received and not yet taken.
    pub fn recv_queued(&self) -> usize {
        with_io(|io| io.recv_queued(self.slot))
    }

    /// Starts receiving without waiting (a request was sent: the answer will come).
    pub fn arm_recv(&self) {
        with_io(|io| io.arm(self.slot));
    }

    /// Ready when the peer has closed its side or the connection is broken, even while received data is still
    /// queued. `recv` tells which, after the data.
    pub fn poll_hup(&self, _cx: &mut Context<'_>) -> Poll<()> {
        with_io(|io| io.poll_hup(self.slot, current_task()))
    }

    /// For pooled connections: still open, nothing received, no error. Costs no system call: receiving stays armed.
    pub fn is_idle_alive(&self) -> bool {
        with_io(|io| io.is_idle_alive(self.slot))
    }

    /// Queues bytes for sending and returns at once. Parts queued in the same turn go out in one system call. After
    /// a send error the bytes are discarded; `poll_sent` reports it.
    pub fn send(&self, buf: impl Into<SendBuf>) {
        let buf = buf.into();
        with_io(|io| io.send(self.slot, buf));
    }

    /// Bytes that the kernel has not taken yet.
    pub fn send_pending(&self) -> usize {
        with_io(|io| io.send_pending(self.slot))
    }

    /// Nothing is on its way to the kernel: what is pending was queued in this turn.
    pub fn send_is_fresh(&self) -> bool {
        with_io(|io| io.send_is_fresh(self.slot))
    }

    /// Ready when at most `low_water` bytes are pending, or with the send error (which stays).
    pub fn poll_sent(&self, _cx: &mut Context<'_>, low_water: usize) -> Poll<io::Result<()>> {
        with_io(|io| io.poll_sent(self.slot, low_water, current_task()))
    }

    /// Waits until the kernel has taken everything.
    pub async fn flushed(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_sent(cx, 0)).await
    }

    /// Stops receiving, before splice or a handover: ready when the kernel will touch no more data. Bytes received
    /// until then are queued: take them with `try_recv` first.
    pub fn poll_pause_recv(&self, _cx: &mut Context<'_>) -> Poll<()> {
        with_io(|io| io.poll_pause(self.slot, current_task()))
    }

    /// Like `poll_pause_recv`, as a future.
    pub async fn pause_recv(&self) {
        std::future::poll_fn(|cx| self.poll_pause_recv(cx)).await
    }

    /// Ends `pause_recv`; the next `poll_recv` receives again.
    pub fn resume_recv(&self) {
        with_io(|io| io.resume(self.slot));
    }

    /// Ready when a read would not block: data, end or error. Only between `pause_recv` and `resume_recv`.
    pub fn poll_readable(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_io(|io| io.poll_ready(self.slot, false, current_task())).map(Ok)
    }

    /// Ready when a write would not block, or would fail.
    pub fn poll_writable(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_io(|io| io.poll_ready(self.slot, true, current_task())).map(Ok)
    }

    /// Moves up to `max` bytes from the socket into the pipe: `Ok(0)` is the end of the stream, `WouldBlock` means
    /// wait with `poll_readable` (or the pipe is full: drain it). Receiving must be paused and its queue empty.
    pub fn splice_in(&self, pipe: &mut Pipe, max: usize) -> io::Result<usize> {
        let n = with_io(|io| io.splice_in(self.slot, pipe.raw(), max))?;
        pipe.filled(n);
        Ok(n)
    }

    /// Moves up to `max` bytes from the pipe to the socket. `WouldBlock`: wait with `poll_writable`. Nothing may be
    /// pending in the send queue. `more`: further data follows at once (`MSG_MORE`).
    pub fn splice_out(&self, pipe: &mut Pipe, max: usize, more: bool) -> io::Result<usize> {
        let max = max.min(pipe.held());
        if max == 0 {
            return Ok(0);
        }
        let n = with_io(|io| io.splice_out(self.slot, pipe.raw(), max, more))?;
        pipe.drained(n);
        Ok(n)
    }

    /// Ends our sending direction. Await `flushed` first. A system call: in the ring it would start a worker
    /// thread.
    pub fn shutdown_write(&self) -> io::Result<()> {
        with_io(|io| {
            let fd = io.socks[self.slot as usize].fd;
            io.driver.shutdown_write(fd)
        })
    }

    /// Closes with a reset (`SO_LINGER` 0).
    pub fn abort(self) {
        let socket = ManuallyDrop::new(self);
        runtime::with_io_of(socket.epoch, |io| io.close(socket.slot, true));
    }

    /// Our address.
    pub fn local_addr(&self) -> io::Result<SockAddr> {
        with_io(|io| {
            let fd = io.socks[self.slot as usize].fd;
            io.driver.local_addr(fd)
        })
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> io::Result<SockAddr> {
        with_io(|io| {
            let fd = io.socks[self.slot as usize].fd;
            io.driver.peer_addr(fd)
        })
    }

    /// The address the client wanted before a NAT or TPROXY rule (`SO_ORIGINAL_DST`), else `local_addr`.
    pub fn original_dst(&self) -> io::Result<SockAddr> {
        let local = self.local_addr()?;
        let Some(ip) = local.ip().filter(|_| !with_io(|io| io.driver.is_sim())) else { return Ok(local) };
        Ok(system::original_dst(self.fd(), ip.is_ipv6()).unwrap_or(local))
    }

    fn set(&self, opt: IntOpt, value: i32) -> io::Result<()> {
        with_io(|io| {
            let fd = io.socks[self.slot as usize].fd;
            io.driver.set(fd, opt, value)
        })
    }

    /// `TCP_NODELAY`; no effect on Unix sockets.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        unless_unix(self.set(IntOpt::NODELAY, i32::from(on)))
    }

    /// `TCP_QUICKACK`: off delays the bare ACK so that the answer carries it.
    pub fn set_quickack(&self, on: bool) -> io::Result<()> {
        unless_unix(self.set(IntOpt::QUICKACK, i32::from(on)))
    }

    /// Keep-alive probes.
    pub fn set_keepalive(&self, keepalive: &Keepalive) -> io::Result<()> {
        for (opt, value) in keepalive.options() {
            unless_unix(self.set(opt, value))?;
        }
        Ok(())
    }

    /// `SO_MARK`.
    pub fn set_mark(&self, mark: u32) -> io::Result<()> {
        self.set(IntOpt::MARK, mark as i32)
    }

    /// IP type of service / traffic class.
    pub fn set_tos(&self, tos: u8) -> io::Result<()> {
        match self.local_addr()?.ip() {
            Some(SocketAddr::V6(_)) => self.set(IntOpt::TCLASS, i32::from(tos)),
            Some(SocketAddr::V4(_)) => {
                // An IPv4 client of an IPv6 listener has both.
                let v6 = self.set(IntOpt::TCLASS, i32::from(tos));
                self.set(IntOpt::TOS, i32::from(tos)).or(v6)
            }
            None => Ok(()),
        }
    }

    /// Smoothed round-trip time and its variance (`TCP_INFO`).
    pub fn rtt(&self) -> io::Result<(Duration, Duration)> {
        with_io(|io| {
            let fd = io.socks[self.slot as usize].fd;
            io.driver.rtt(fd)
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        runtime::with_io_of(self.epoch, |io| io.close(self.slot, false));
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Socket({})", self.slot)
    }
}

/// TCP options on other sockets are refused with one of these.
fn unless_unix(r: io::Result<()>) -> io::Result<()> {
    match r {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOPROTOOPT)) => Ok(()),
        r => r,
    }
}

/// Sets the options of an outgoing connection and binds its local side.
fn prepare(fd: i32, ipv6: bool, opts: &ConnectOpts) -> io::Result<()> {
    let set = |opt, value: Option<u32>| match value {
        Some(v) => system::set(fd, opt, i32::try_from(v).unwrap_or(i32::MAX)),
        None => Ok(()),
    };
    let on = |on: bool| on.then_some(1);
    set(IntOpt::NODELAY, on(opts.nodelay))?;
    if let Some(mark) = opts.mark {
        system::set(fd, IntOpt::MARK, mark as i32)?;
    }
    set(IntOpt::MAXSEG, opts.mss)?;
    set(IntOpt::FASTOPEN_CONNECT, on(opts.tfo))?;
    set(IntOpt::USER_TIMEOUT, opts.user_timeout_ms)?;
    set(IntOpt::SEND_BUFFER, opts.send_buffer)?;
    set(IntOpt::RECV_BUFFER, opts.recv_buffer)?;
    if let Some(keepalive) = &opts.keepalive {
        for (opt, value) in keepalive.options() {
            system::set(fd, opt, value)?;
        }
    }
    if let Some(device) = &opts.interface {
        system::bind_to_device(fd, device)?;
    }
    match &opts.source {
        Some(source) => bind_source(fd, ipv6, source),
        None => Ok(()),
    }
}

thread_local! {
    /// Where in a port range the next connection starts to look.
    static NEXT_PORT: Cell<u16> = const { Cell::new(0) };
}

fn bind_source(fd: i32, ipv6: bool, source: &Source) -> io::Result<()> {
    if source.transparent {
        system::set(fd, if ipv6 { IntOpt::TRANSPARENT6 } else { IntOpt::TRANSPARENT }, 1)?;
    }
    let Some(ports) = &source.ports else {
        // Without it bind would choose the port now, from one range for all destinations.
        system::set(fd, IntOpt::BIND_ADDRESS_NO_PORT, 1)?;
        return system::bind(fd, &SockAddr::Ip(SocketAddr::new(source.ip, 0)));
    };
    system::set(fd, IntOpt::REUSE_ADDR, 1)?;
    let (first, count) = (u32::from(*ports.start()), ports.len() as u32);
    let start = NEXT_PORT.replace(NEXT_PORT.get().wrapping_add(1));
    let mut refused = io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
    for i in 0..count {
        let port = (first + (u32::from(start) + i) % count) as u16;
        match system::bind(fd, &SockAddr::Ip(SocketAddr::new(source.ip, port))) {
            Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => refused = e,
            other => return other,
        }
    }
    Err(refused)
}
