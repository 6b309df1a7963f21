//! Sockets, readiness, processors: thin wrappers over nix.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage};
use nix::unistd::Pid;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Whatever went wrong, for a person to read.
pub type Failure = Box<dyn std::error::Error>;

/// Raises the limit of open files to the hard limit; what it is then.
pub fn raise_nofile() -> u64 {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    hard
}

/// Binds the calling thread, and what it starts from now on, to one processor.
pub fn pin(cpu: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).map_err(|e| format!("processor {cpu}: {e}"))?;
    Ok(())
}

/// Starts to connect; writable when it is done.
pub fn connect(addr: &SocketAddr) -> io::Result<TcpStream> {
    let family = if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket::socket(family, SockType::Stream, flags, None)?;
    match socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(*addr)) {
        Ok(()) | Err(nix::Error::EINPROGRESS) => {}
        Err(e) => return Err(e.into()),
    }
    let stream = TcpStream::from(fd);
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Receives and throws away, without a copy to user space, at most `buf.len()` bytes.
pub fn discard(stream: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    Ok(socket::recv(stream.as_raw_fd(), buf, socket::MsgFlags::MSG_TRUNC)?)
}

/// An epoll set whose members are told apart by a number.
pub struct Poller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

/// What happened to a member.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The member's number.
    pub token: u64,
    /// There is an error, or the peer has closed both directions.
    pub broken: bool,
}

impl Poller {
    /// An empty set.
    pub fn new() -> Result<Poller, Failure> {
        Ok(Poller {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); 512],
        })
    }

    /// Adds a socket, edge-triggered for both directions: one system call in its whole life.
    pub fn add_edge(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        Ok(self.epoll.add(socket, EpollEvent::new(flags, token))?)
    }

    /// Adds a socket, level-triggered for reading.
    pub fn add_level(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        Ok(self.epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Waits for events, at most `limit`; appends them to `out`.
    pub fn wait(&mut self, limit: Option<Duration>, out: &mut Vec<Ready>) -> Result<(), Failure> {
        let timeout = match limit {
            None => EpollTimeout::NONE,
            Some(limit) => EpollTimeout::try_from(limit.as_millis().min(60_000) as i32)?,
        };
        let n = match self.epoll.wait(&mut self.events, timeout) {
            Ok(n) => n,
            Err(nix::Error::EINTR) => 0,
            Err(e) => return Err(e.into()),
        };
        let broken = EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
        out.extend(
            self.events[..n].iter().map(|e| Ready { token: e.data(), broken: e.events().intersects(broken) }),
        );
        Ok(())
    }
}

/// A target: where to connect and what to ask for.
#[derive(Clone, Debug)]
pub struct Url {
    /// Host and port as written.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// The address.
    pub addr: SocketAddr,
}

impl Url {
    /// Reads `http://host[:port][/path]`, or `host:port`.
    pub fn parse(text: &str) -> Result<Url, Failure> {
        if text.starts_with("https://") {
            return Err("https is not supported".into());
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/"),
        };
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let with_port = if has_port { authority.to_string() } else { format!("{authority}:80") };
        let addr = with_port
            .to_socket_addrs()
            .map_err(|e| format!("{authority}: {e}"))?
            .next()
            .ok_or_else(|| format!("{authority}: no address"))?;
        Ok(Url { authority: authority.to_string(), path: path.to_string(), addr })
    }
}
