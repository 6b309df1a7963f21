//! Listening sockets.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::time::Duration;

use super::{BindOpts, SockAddr, Socket};
use crate::runtime::{self, ThreadHandle, Timer};
use crate::sys::addr::UNIX_PATH_MAX;
use crate::sys::socket::{self, IntOpt};

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
    /// Opens a listening socket's descriptor: callable from any thread, before the runtime runs (privileges). Unless
    /// `no_reuseport`, call it once per thread with the same address. A Unix path is bound under a temporary name and
    /// renamed over a stale socket.
    ///
    /// # Errors
    /// The system's for bind and listen; an option that cannot be set is named in the error.
    pub fn open(addr: &SockAddr, opts: &BindOpts) -> io::Result<OwnedFd> {
        if let SockAddr::Unix(path) = addr {
            return open_unix(path, opts);
        }
        let fd = match &opts.namespace {
            Some(name) => socket::in_namespace(name, || socket::open(addr, false))?,
            None => socket::open(addr, false)?,
        };
        if let SockAddr::Ip(ip) = addr {
            set_ip_options(&fd, ip.is_ipv6(), opts)?;
        }
        socket::bind(fd.as_raw_fd(), addr)?;
        socket::listen(fd.as_raw_fd(), backlog(opts))?;
        Ok(fd)
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

    /// Stops accepting; connections wait in the kernel's queue. What the kernel had accepted before waits in ours.
    pub fn pause(&self) {
        runtime::with_io(|io| io.pause_accept(self.slot, true));
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

fn backlog(opts: &BindOpts) -> i32 {
    // The kernel cuts it to net.core.somaxconn.
    opts.backlog.map_or(i32::MAX, |n| i32::try_from(n).unwrap_or(i32::MAX))
}

fn set_ip_options(fd: &OwnedFd, ipv6: bool, opts: &BindOpts) -> io::Result<()> {
    let fd = fd.as_raw_fd();
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let mut wanted: Vec<(&str, IntOpt, i32)> = vec![("SO_REUSEADDR", IntOpt::REUSE_ADDR, 1)];
    let mut add = |name, opt, value: Option<i32>| wanted.extend(value.map(|v| (name, opt, v)));
    let on = |set: bool| set.then_some(1);
    add("SO_REUSEPORT", IntOpt::REUSE_PORT, on(!opts.no_reuseport));
    if ipv6 {
        add("IPV6_V6ONLY", IntOpt::V6ONLY, if opts.v4v6 { Some(0) } else { on(opts.v6only) });
        add("IPV6_TRANSPARENT", IntOpt::TRANSPARENT6, on(opts.transparent));
    } else {
        add("IP_TRANSPARENT", IntOpt::TRANSPARENT, on(opts.transparent));
    }
    add("IP_FREEBIND", IntOpt::FREEBIND, on(opts.freebind));
    add("TCP_DEFER_ACCEPT", IntOpt::DEFER_ACCEPT, opts.defer_accept_s.map(number));
    add("TCP_MAXSEG", IntOpt::MAXSEG, opts.mss.map(number));
    add("TCP_FASTOPEN", IntOpt::FASTOPEN, opts.tfo.map(number));
    add("TCP_USER_TIMEOUT", IntOpt::USER_TIMEOUT, opts.user_timeout_ms.map(number));
    add("TCP_NODELAY", IntOpt::NODELAY, on(opts.nodelay));
    add("SO_SNDBUF", IntOpt::SEND_BUFFER, opts.send_buffer.map(number));
    add("SO_RCVBUF", IntOpt::RECV_BUFFER, opts.recv_buffer.map(number));
    if let Some(keepalive) = &opts.keepalive {
        wanted.extend(keepalive.options().map(|(opt, value)| ("keep-alive", opt, value)));
    }
    for (name, opt, value) in wanted {
        socket::set(fd, opt, value).map_err(|e| named(name, &e))?;
    }
    if let Some(device) = &opts.interface {
        socket::bind_to_device(fd, device).map_err(|e| named("SO_BINDTODEVICE", &e))?;
    }
    Ok(())
}

fn named(what: &str, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("cannot set {what}: {e}"))
}

/// Binds under a temporary name, sets mode and owner, listens, and renames over whatever is there: at no time does a client
/// meet a missing socket or one with the wrong rights.
fn open_unix(path: &[u8], opts: &BindOpts) -> io::Result<OwnedFd> {
    let mut temporary = path.to_vec();
    temporary.extend_from_slice(format!(".{}.tmp", std::process::id()).as_bytes());
    if temporary.len() > UNIX_PATH_MAX {
        let message = format!("socket path is too long (at most {} bytes)", UNIX_PATH_MAX - 12);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let (target, temporary_path) = (to_path(path), to_path(&temporary));
    let _ = std::fs::remove_file(&temporary_path);
    let addr = SockAddr::Unix(temporary.into());
    let fd = socket::open(&addr, false)?;
    socket::bind(fd.as_raw_fd(), &addr)?;
    let placed = own_unix(&temporary_path, opts)
        .and_then(|()| socket::listen(fd.as_raw_fd(), backlog(opts)))
        .and_then(|()| std::fs::rename(&temporary_path, &target));
    if placed.is_err() {
        let _ = std::fs::remove_file(&temporary_path);
    }
    placed.map(|()| fd)
}

fn own_unix(path: &Path, opts: &BindOpts) -> io::Result<()> {
    if opts.unix.uid.is_some() || opts.unix.gid.is_some() {
        std::os::unix::fs::chown(path, opts.unix.uid, opts.unix.gid)?;
    }
    if let Some(mode) = opts.unix.mode {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    }
    Ok(())
}

fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}
