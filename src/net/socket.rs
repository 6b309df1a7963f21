//! One connected stream socket.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{ConnectOpts, Keepalive, Pipe, RecvBuf, SendBuf, SockAddr};

/// A connected stream socket (TCP or Unix), owned by the thread's ring. All methods take `&self`; at most one
/// task may wait for receiving, one for sending and one for hang-up at a time (it may be the same task).
///
/// Dropping cancels what is in flight, queued sends included, and closes the descriptor: await `flushed`
/// first when the bytes matter.
pub struct Socket {
    slot: u32,
}

impl Socket {
    /// Opens and connects. Errors are the system's (`ECONNREFUSED`, `EADDRNOTAVAIL`, ...); there is no
    /// timeout here: drop the future to give up.
    pub async fn connect(_addr: &SockAddr, _opts: &ConnectOpts) -> io::Result<Socket> {
        todo!()
    }

    /// Takes over a connected descriptor (accepted elsewhere, or inherited). Clears `O_NONBLOCK`.
    pub fn from_fd(_fd: OwnedFd) -> io::Result<Socket> {
        todo!()
    }

    /// Gives the descriptor up, for another thread or process; received data that is still queued comes with it.
    /// Fails with the socket when sends are pending. Stop receiving first: see `pause_recv`.
    pub fn into_fd(self) -> Result<(OwnedFd, Vec<RecvBuf>), Socket> {
        todo!()
    }

    /// Received bytes in order; an empty buffer is the end of the stream (and stays so). Receiving starts with the first
    /// call. When `Config::recv_window` bytes are queued the kernel is no longer asked until half are taken.
    pub fn poll_recv(&self, _cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        let _ = self.slot;
        todo!()
    }

    /// Like `poll_recv`, as a future.
    pub async fn recv(&self) -> io::Result<RecvBuf> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// What is queued now, without waiting and without registering the task.
    pub fn try_recv(&self) -> Option<io::Result<RecvBuf>> {
        todo!()
    }

    /// Puts bytes back in front of the receive queue.
    pub fn unrecv(&self, _buf: RecvBuf) {
        todo!()
    }

    /// Bytes received and not yet taken.
    pub fn recv_queued(&self) -> usize {
        todo!()
    }

    /// Starts receiving without waiting (a request was sent: the answer will come).
    pub fn arm_recv(&self) {
        todo!()
    }

    /// Ready when the peer has closed its side or the connection is broken, even while received data is still
    /// queued. `recv` tells which, after the data.
    pub fn poll_hup(&self, _cx: &mut Context<'_>) -> Poll<()> {
        todo!()
    }

    /// For pooled connections: still open, nothing received, no error. Costs no system call as long as receiving
    /// is armed.
    pub fn is_idle_alive(&self) -> bool {
        todo!()
    }

    /// Queues bytes for sending and returns at once. Parts queued in the same turn go out in one system call. After
    /// a send error the bytes are discarded; `poll_sent` reports it.
    pub fn send(&self, _buf: impl Into<SendBuf>) {
        todo!()
    }

    /// Bytes that the kernel has not taken yet.
    pub fn send_pending(&self) -> usize {
        todo!()
    }

    /// Ready when at most `low_water` bytes are pending, or with the send error (which stays).
    pub fn poll_sent(&self, _cx: &mut Context<'_>, _low_water: usize) -> Poll<io::Result<()>> {
        todo!()
    }

    /// Waits until the kernel has taken everything.
    pub async fn flushed(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_sent(cx, 0)).await
    }

    /// Stops receiving, before splice or a handover: ready when the kernel will touch no more data. Bytes received
    /// until then are queued: take them with `try_recv` first.
    pub fn poll_pause_recv(&self, _cx: &mut Context<'_>) -> Poll<()> {
        todo!()
    }

    /// Like `poll_pause_recv`, as a future.
    pub async fn pause_recv(&self) {
        std::future::poll_fn(|cx| self.poll_pause_recv(cx)).await
    }

    /// Ends `pause_recv`; the next `poll_recv` receives again.
    pub fn resume_recv(&self) {
        todo!()
    }

    /// Ready when a read would not block: data, end or error. For use between `pause_recv` and `resume_recv`.
    pub fn poll_readable(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        todo!()
    }

    /// Ready when a write would not block, or would fail.
    pub fn poll_writable(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        todo!()
    }

    /// Moves up to `max` bytes from the socket into the pipe: `Ok(0)` is the end of the stream, `WouldBlock` means
    /// wait with `poll_readable` (or the pipe is full). Receiving must be paused.
    pub fn splice_in(&self, _pipe: &mut Pipe, _max: usize) -> io::Result<usize> {
        todo!()
    }

    /// Moves up to `max` bytes from the pipe to the socket. `WouldBlock`: wait with `poll_writable`. Nothing may be
    /// pending in the send queue. `more`: further data follows at once (`MSG_MORE`).
    pub fn splice_out(&self, _pipe: &mut Pipe, _max: usize, _more: bool) -> io::Result<usize> {
        todo!()
    }

    /// Ends our sending direction. Await `flushed` first.
    pub fn shutdown_write(&self) -> io::Result<()> {
        todo!()
    }

    /// Closes with a reset (`SO_LINGER` 0).
    pub fn abort(self) {
        todo!()
    }

    /// Our address.
    pub fn local_addr(&self) -> io::Result<SockAddr> {
        todo!()
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> io::Result<SockAddr> {
        todo!()
    }

    /// The address the client wanted before a NAT or TPROXY rule (`SO_ORIGINAL_DST`), else `local_addr`.
    pub fn original_dst(&self) -> io::Result<SockAddr> {
        todo!()
    }

    /// `TCP_NODELAY`; no effect on Unix sockets.
    pub fn set_nodelay(&self, _on: bool) -> io::Result<()> {
        todo!()
    }

    /// `TCP_QUICKACK`: off delays the bare ACK so that the answer carries it.
    pub fn set_quickack(&self, _on: bool) -> io::Result<()> {
        todo!()
    }

    /// Keep-alive probes.
    pub fn set_keepalive(&self, _k: &Keepalive) -> io::Result<()> {
        todo!()
    }

    /// `SO_MARK`.
    pub fn set_mark(&self, _mark: u32) -> io::Result<()> {
        todo!()
    }

    /// IP type of service / traffic class.
    pub fn set_tos(&self, _tos: u8) -> io::Result<()> {
        todo!()
    }

    /// Smoothed round-trip time and its variance (`TCP_INFO`).
    pub fn rtt(&self) -> io::Result<(Duration, Duration)> {
        todo!()
    }
}
