//! Listening sockets.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use super::{BindOpts, Opening, SockAddr, Socket};
use crate::runtime::{self, ThreadHandle, Timer};
use crate::sys::socket;

/// Pause after an accept that failed for want of descriptors or memory. Until then connections wait in the
/// kernel's queue; without it, the next accept would fail at once, and the thread spin.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A listening socket of this thread. Accepts in the background once `accept` has been called.
pub struct Listener {
    slot: u32,
    epoch: u32,
    back_off: RefCell<Option<Timer>>,
}

impl Listener {
    /// Opens a listening socket's descriptor: callable from any thread, before the runtime runs. Unless `no_reuseport`,
    /// call it once per thread with the same address.
    ///
    /// # Errors
    /// As [`Opening::bind`] and [`Opening::listen`].
    pub fn open(addr: &SockAddr, opts: &BindOpts) -> io::Result<OwnedFd> {
        Opening::bind(addr, opts)?.listen()
    }

    /// Takes a listening descriptor into this thread's ring.
    ///
    /// # Errors
    /// `EINVAL` when it does not listen.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Listener> {
        if !socket::is_listening(fd.as_raw_fd()) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // io_uring reports EAGAIN on a non-blocking descriptor instead of waiting.
        socket::set_nonblock(fd.as_raw_fd(), false)?;
        let slot = runtime::with_io(|io| io.insert_acceptor(fd.into_raw_fd()));
        Ok(Listener::new(slot))
    }

    fn new(slot: u32) -> Listener {
        Listener { slot, epoch: runtime::epoch(), back_off: RefCell::new(None) }
    }

    /// `open` and `from_fd`; on a simulated runtime, a simulated listener.
    pub fn bind(addr: &SockAddr, opts: &BindOpts) -> io::Result<Listener> {
        if let Some(fd) = runtime::with_io(|io| io.driver.sim_listen(addr)) {
            let fd = fd?;
            return Ok(Listener::new(runtime::with_io(|io| io.insert_acceptor(fd))));
        }
        Listener::from_fd(Listener::open(addr, opts)?)
    }

    /// The next connection and its peer's address. A lack of descriptors or memory is waited out (100 ms steps), so
    /// errors mean that the listener itself is dead.
    pub async fn accept(&self) -> io::Result<(Socket, SockAddr)> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Poll form of `accept`. One task at a time.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, SockAddr)>> {
        loop {
            let fd = std::task::ready!(self.poll_fd(cx))?;
            // The peer may have reset the connection already: it is not worth mentioning.
            match runtime::with_io(|io| io.driver.peer_addr(fd)) {
                Ok(peer) => return Poll::Ready(Ok((Socket::from_raw(fd), peer))),
                Err(_) => runtime::with_io(|io| io.driver.close(fd)),
            }
        }
    }

    fn poll_fd(&self, cx: &mut Context<'_>) -> Poll<io::Result<i32>> {
        let mut back_off = self.back_off.borrow_mut();
        if let Some(timer) = back_off.as_mut() {
            std::task::ready!(timer.poll_expired(cx));
            *back_off = None;
        }
        loop {
            let task = runtime::current_task();
            let e = match std::task::ready!(runtime::with_io(|io| io.poll_accept(self.slot, task))) {
                Ok(fd) => return Poll::Ready(Ok(fd)),
                Err(e) => e,
            };
            match e.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    let timer = back_off.insert(Timer::at(runtime::now() + BACK_OFF));
                    std::task::ready!(timer.poll_expired(cx));
                }
                Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP) => {
                    return Poll::Ready(Err(e));
                }
                // Errors of the connection that was to be accepted (accept(2): "treat them like EAGAIN").
                _ => {}
            }
        }
    }

    /// Accepts on this thread and deals the connections out to `threads` in turn: `serve` runs there. For handed
    /// listeners that all threads share. Runs until the listener is dead or the future is dropped.
    pub async fn deal(
        &self,
        threads: Vec<ThreadHandle>,
        serve: impl Fn(Socket, SockAddr) + Send + Clone + 'static,
    ) -> io::Result<()> {
        let own = runtime::thread_index();
        let mut turn = threads.iter().cycle();
        loop {
            let (socket, peer) = self.accept().await?;
            let Some(thread) = turn.next().filter(|t| t.index() != own) else {
                serve(socket, peer);
                continue;
            };
            let Ok((fd, _)) = socket.into_fd() else {
                unreachable!("a socket that was just accepted has nothing in flight");
            };
            let serve = serve.clone();
            // When that thread has ended, the job is dropped and the descriptor closed with it.
            thread.post(Box::new(move || {
                if let Ok(socket) = Socket::from_fd(fd) {
                    serve(socket, peer);
                }
            }));
        }
    }

    /// Says how many more connections are wanted: with little room the kernel is not asked for more than that.
    pub fn set_room(&self, room: u32) {
        runtime::with_io(|io| io.accept_room(self.slot, room));
    }

    /// A connection that the kernel had accepted before a `pause`.
    pub fn take_accepted(&self) -> Option<(Socket, SockAddr)> {
        loop {
            let fd = runtime::with_io(|io| io.take_accepted(self.slot))?;
            match runtime::with_io(|io| io.driver.peer_addr(fd)) {
                Ok(peer) => return Some((Socket::from_raw(fd), peer)),
                Err(_) => runtime::with_io(|io| io.driver.close(fd)),
            }
        }
    }

    /// After a `pause`: the kernel accepts nothing for us any more.
    pub fn is_quiet(&self) -> bool {
        runtime::with_io(|io| io.accepts_nothing(self.slot))
    }

    /// Stops accepting; connections wait in the kernel's queue. What the kernel had accepted before waits in ours.
    pub fn pause(&self) {
        runtime::with_io(|io| io.pause_accept(self.slot, true));
    }

    /// Nobody else serves this socket, and it will be closed: clients that come from now on are not answered (TCP: they
    /// ask again) or refused (Unix). Those that are in the kernel's queue, or on their way there, may still be accepted:
    /// of a Unix socket only by `accept_now`.
    ///
    /// # Errors
    /// The system's; nothing has changed then.
    pub fn refuse_new(&self) -> io::Result<()> {
        let fd = runtime::with_io(|io| io.acceptors[self.slot as usize].fd);
        if matches!(self.local_addr()?, SockAddr::Ip(_)) {
            socket::answer_no_more(fd)
        } else {
            socket::shutdown_read(fd)
        }
    }

    /// A connection out of the kernel's queue, which nobody else serves. Only to be used while paused.
    pub fn accept_now(&self) -> Option<(Socket, SockAddr)> {
        let fd = runtime::with_io(|io| io.acceptors[self.slot as usize].fd);
        let accepted = socket::accept_now(fd).ok()?;
        match socket::peer_addr(accepted.as_raw_fd()) {
            Ok(peer) => Some((Socket::from_fd(accepted).ok()?, peer)),
            Err(_) => None,
        }
    }

    /// Whether connections wait in the kernel's queue. Never on a simulated runtime.
    pub fn has_waiting(&self) -> bool {
        runtime::with_io(|io| !io.driver.is_sim() && socket::has_waiting(io.acceptors[self.slot as usize].fd))
    }

    /// Nobody may come any more, by whatever descriptor, until somebody listens again. Who waits in the kernel's queue of a
    /// TCP socket is reset.
    pub fn shut(&self) {
        let fd = runtime::with_io(|io| io.acceptors[self.slot as usize].fd);
        if !runtime::with_io(|io| io.driver.is_sim()) {
            let _ = socket::shutdown_read(fd);
        }
    }

    /// Lets go of the port while the socket stays bound (`listen_again`). Connections in the kernel's queue are reset.
    /// False for sockets that have no port, and on a simulated runtime. To be called after a `pause` that is over.
    pub fn release(&self) -> bool {
        let fd = runtime::with_io(|io| io.acceptors[self.slot as usize].fd);
        matches!(self.local_addr(), Ok(SockAddr::Ip(_))) && socket::shutdown_read(fd).is_ok()
    }

    /// Takes the port again after `release`.
    ///
    /// # Errors
    /// `EADDRINUSE` when somebody else has it.
    pub fn listen_again(&self) -> io::Result<()> {
        socket::listen(runtime::with_io(|io| io.acceptors[self.slot as usize].fd), i32::MAX)
    }

    /// Accepts again.
    pub fn resume(&self) {
        let task = runtime::with_io(|io| io.pause_accept(self.slot, false));
        runtime::wake(task);
    }

    /// The bound address (with the port that the kernel chose).
    pub fn local_addr(&self) -> io::Result<SockAddr> {
        runtime::with_io(|io| {
            let fd = io.acceptors[self.slot as usize].fd;
            io.driver.local_addr(fd)
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        runtime::with_io_of(self.epoch, |io| io.remove_acceptor(self.slot));
    }
}
