//! Opening listening sockets: bound first, listening when everything else has succeeded; or taken over from another
//! process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::{BindOpts, SockAddr};
use crate::sys::addr::UNIX_PATH_MAX;
use crate::sys::socket::{self, IntOpt};

/// A socket that is bound to its address. Connections come only after [`Opening::listen`]; when it is dropped before,
/// nobody has noticed it. Callable from any thread.
#[derive(Debug)]
pub struct Opening {
    fd: OwnedFd,
    backlog: i32,
    /// Connections come over it some other way.
    is_pair: bool,
    rename: Option<Rename>,
}

impl Opening {
    /// Binds a new socket. A Unix path is bound under a temporary name.
    ///
    /// # Errors
    /// The system's; an option that cannot be set is named in the error.
    pub fn bind(addr: &SockAddr, opts: &BindOpts) -> io::Result<Opening> {
        if let SockAddr::Unix(path) = addr {
            return bind_unix(path, opts);
        }
        let fd = match &opts.namespace {
            Some(name) => socket::in_namespace(name, || socket::open(addr, false))?,
            None => socket::open(addr, false)?,
        };
        if let SockAddr::Ip(ip) = addr {
            set_ip_options(&fd, ip.is_ipv6(), opts)?;
        }
        socket::bind(fd.as_raw_fd(), addr)?;
        Ok(Opening { fd, backlog: backlog(opts), is_pair: false, rename: None })
    }

    /// Takes a socket that another process has bound, and may be listening on, and sets what can be changed: the length
    /// of its queue, what accepted sockets inherit, mode and owner of a Unix socket's file. The caller knows that its
    /// address is the one that is wanted.
    ///
    /// # Errors
    /// The system's. A Unix socket whose path is gone or belongs to somebody else gives `NotFound`.
    pub fn adopt(fd: OwnedFd, addr: &SockAddr, opts: &BindOpts) -> io::Result<Opening> {
        match addr {
            SockAddr::Ip(ip) => reset_ip_options(&fd, ip.is_ipv6(), opts)?,
            SockAddr::Unix(path) => {
                let path = to_path(path);
                if !std::fs::symlink_metadata(&path).is_ok_and(|m| m.file_type().is_socket()) {
                    let why = format!("there is no socket at {} any more", path.display());
                    return Err(io::Error::new(io::ErrorKind::NotFound, why));
                }
                own_unix(&path, opts)?;
            }
            SockAddr::Abstract(_) => {}
        }
        socket::answer_again(fd.as_raw_fd())?;
        Ok(Opening { fd, backlog: backlog(opts), is_pair: false, rename: None })
    }

    /// A socket as it is.
    pub fn given(fd: OwnedFd, opts: &BindOpts) -> Opening {
        Opening { fd, backlog: backlog(opts), is_pair: false, rename: None }
    }

    /// A connected Unix socket over which somebody sends connections.
    pub fn pair(fd: OwnedFd) -> Opening {
        Opening { fd, backlog: 0, is_pair: true, rename: None }
    }

    /// Lets connections come. A Unix socket takes its path, in place of what is there.
    ///
    /// # Errors
    /// The system's: somebody else may listen on the address by now.
    pub fn listen(mut self) -> io::Result<OwnedFd> {
        if self.is_pair {
            return Ok(self.fd);
        }
        socket::listen(self.fd.as_raw_fd(), self.backlog)?;
        self.take_path()?;
        Ok(self.fd)
    }

    /// A new Unix socket listens, and takes its path, in place of what is there. Nothing happens with others.
    ///
    /// # Errors
    /// The system's.
    pub fn take_path(&mut self) -> io::Result<()> {
        let Some(rename) = self.rename.take() else { return Ok(()) };
        socket::listen(self.fd.as_raw_fd(), self.backlog)?;
        std::fs::rename(&rename.temporary, &rename.target)
    }
}

impl AsFd for Opening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A Unix socket's path until it listens, and then. The former is removed with the value.
#[derive(Debug)]
struct Rename {
    temporary: PathBuf,
    target: PathBuf,
}

impl Drop for Rename {
    fn drop(&mut self) {
        // After the renaming, nothing has that name.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// Several sockets may be bound to the address from now on, this one among them.
///
/// # Errors
/// The system's.
pub fn share_port(fd: impl AsFd) -> io::Result<()> {
    socket::set(fd.as_fd().as_raw_fd(), IntOpt::REUSE_PORT, 1)
}

fn backlog(opts: &BindOpts) -> i32 {
    // The kernel cuts it to net.core.somaxconn.
    opts.backlog.map_or(i32::MAX, |n| i32::try_from(n).unwrap_or(i32::MAX))
}

fn number(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// What a new socket needs before it is bound.
fn set_ip_options(fd: &OwnedFd, ipv6: bool, opts: &BindOpts) -> io::Result<()> {
    let raw = fd.as_raw_fd();
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
    set_all(fd, wanted)?;
    set_all(fd, changeable(opts).into_iter().filter_map(|(name, opt, value)| Some((name, opt, value?))))?;
    if let Some(device) = &opts.interface {
        socket::bind_to_device(raw, device).map_err(|e| named("SO_BINDTODEVICE", &e))?;
    }
    Ok(())
}

/// What may be changed while a socket listens; `None`: the system's default.
fn changeable(opts: &BindOpts) -> Vec<(&'static str, IntOpt, Option<i32>)> {
    let keep = opts.keepalive.as_ref();
    let keep_value = |value: Option<u32>| value.map(number);
    vec![
        ("TCP_DEFER_ACCEPT", IntOpt::DEFER_ACCEPT, opts.defer_accept_s.map(number)),
        ("TCP_MAXSEG", IntOpt::MAXSEG, opts.mss.map(number)),
        ("TCP_FASTOPEN", IntOpt::FASTOPEN, opts.tfo.map(number)),
        ("TCP_USER_TIMEOUT", IntOpt::USER_TIMEOUT, opts.user_timeout_ms.map(number)),
        ("TCP_NODELAY", IntOpt::NODELAY, opts.nodelay.then_some(1)),
        ("SO_SNDBUF", IntOpt::SEND_BUFFER, opts.send_buffer.map(number)),
        ("SO_RCVBUF", IntOpt::RECV_BUFFER, opts.recv_buffer.map(number)),
        ("SO_KEEPALIVE", IntOpt::KEEP_ALIVE, keep.map(|_| 1)),
        ("TCP_KEEPIDLE", IntOpt::KEEP_IDLE, keep.and_then(|k| keep_value(k.idle_s))),
        ("TCP_KEEPINTVL", IntOpt::KEEP_INTERVAL, keep.and_then(|k| keep_value(k.interval_s))),
        ("TCP_KEEPCNT", IntOpt::KEEP_COUNT, keep.and_then(|k| keep_value(k.count))),
    ]
}

/// The same for a socket with a past: what it had and is not wanted any more goes back to the default.
fn reset_ip_options(fd: &OwnedFd, ipv6: bool, opts: &BindOpts) -> io::Result<()> {
    let any =
        if ipv6 { std::net::Ipv6Addr::UNSPECIFIED.into() } else { std::net::Ipv4Addr::UNSPECIFIED.into() };
    let fresh = socket::open(&SockAddr::Ip(std::net::SocketAddr::new(any, 0)), false)?;
    let locked = socket::get(fd.as_raw_fd(), IntOpt::BUFFER_LOCK).unwrap_or(0);
    let mut wanted = Vec::new();
    for (name, opt, value) in changeable(opts) {
        // The kernel doubles what it is told about buffers, and adapts those that were never set by hand.
        let buffer = match name {
            "SO_SNDBUF" => BUFFER_LOCK_SEND,
            "SO_RCVBUF" => BUFFER_LOCK_RECEIVE,
            _ => 0,
        };
        match value {
            Some(value) => wanted.push((name, opt, value)),
            None if buffer != 0 && locked & buffer == 0 => {}
            None if buffer != 0 => wanted.push((name, opt, socket::get(fresh.as_raw_fd(), opt)? / 2)),
            // What is reported for it is a guess of the segment size, not what was set.
            None if name == "TCP_MAXSEG" => wanted.push((name, opt, 0)),
            None => wanted.push((name, opt, socket::get(fresh.as_raw_fd(), opt)?)),
        }
    }
    set_all(fd, wanted)?;
    let lock = |set: bool, bit: i32| if set { bit } else { 0 };
    let lock = lock(opts.send_buffer.is_some(), BUFFER_LOCK_SEND)
        | lock(opts.recv_buffer.is_some(), BUFFER_LOCK_RECEIVE);
    socket::set(fd.as_raw_fd(), IntOpt::BUFFER_LOCK, lock).map_err(|e| named("SO_BUF_LOCK", &e))
}

/// Bits of SO_BUF_LOCK.
const BUFFER_LOCK_SEND: i32 = 1;
const BUFFER_LOCK_RECEIVE: i32 = 2;

fn set_all<'a>(fd: &OwnedFd, all: impl IntoIterator<Item = (&'a str, IntOpt, i32)>) -> io::Result<()> {
    for (name, opt, value) in all {
        socket::set(fd.as_raw_fd(), opt, value).map_err(|e| named(name, &e))?;
    }
    Ok(())
}

fn named(what: &str, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("cannot set {what}: {e}"))
}

/// Binds under a temporary name, and sets mode and owner; `listen` renames it over whatever is there: at no time does a
/// client meet a missing socket or one with the wrong rights.
fn bind_unix(path: &[u8], opts: &BindOpts) -> io::Result<Opening> {
    /// Two lines may name the same path: the last one has it.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut temporary = path.to_vec();
    let process = std::process::id();
    let suffix = match NEXT.fetch_add(1, Relaxed) {
        0 => format!(".{process}.tmp"),
        n => format!(".{process}.{n}"),
    };
    temporary.extend_from_slice(suffix.as_bytes());
    if temporary.len() > UNIX_PATH_MAX {
        let message = format!("socket path is too long (at most {} bytes)", UNIX_PATH_MAX - 12);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let (target, temporary_path) = (to_path(path), to_path(&temporary));
    let _ = std::fs::remove_file(&temporary_path);
    let addr = SockAddr::Unix(temporary.into());
    let fd = socket::open(&addr, false)?;
    socket::bind(fd.as_raw_fd(), &addr)?;
    let rename = Rename { temporary: temporary_path, target };
    own_unix(&rename.temporary, opts)?;
    Ok(Opening { fd, backlog: backlog(opts), is_pair: false, rename: Some(rename) })
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
