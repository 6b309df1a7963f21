//! Pipes for splice(2).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Both ends of a kernel pipe.
#[derive(Debug)]
pub struct PipePair {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
}

/// The size that we ask for; the kernel's limit for unprivileged users by default.
const WANTED: libc::c_int = 1 << 20;

impl PipePair {
    /// A non-blocking pipe of up to 1 MiB. Fails when not even 64 KiB are to be had: beyond `pipe-user-pages-soft`
    /// an unprivileged user's new pipes have one or two pages, and copying through buffers is faster then.
    pub fn new() -> io::Result<PipePair> {
        let mut fds = [0; 2];
        // SAFETY: `fds` has room for the two descriptors.
        if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: two fresh descriptors that nobody else owns.
        let (read, write) = unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) };
        // SAFETY: plain integer arguments on a descriptor that we own.
        let mut capacity = unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, WANTED) };
        if capacity < 0 {
            // SAFETY: as above.
            capacity = unsafe { libc::fcntl(write.as_raw_fd(), libc::F_GETPIPE_SZ) };
        }
        let capacity = usize::try_from(capacity).unwrap_or(0);
        if capacity < 64 << 10 {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        Ok(PipePair { read, write, capacity })
    }

    /// Bytes that fit at most (fewer when the pages are partly filled).
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Moves up to `max` bytes from `fd` into the pipe.
    pub fn fill(&self, fd: RawFd, max: usize) -> io::Result<usize> {
        splice(fd, self.write.as_raw_fd(), max, libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK)
    }

    /// Moves up to `max` bytes from the pipe to `fd`.
    pub fn drain(&self, fd: RawFd, max: usize, more: bool) -> io::Result<usize> {
        let more = if more { libc::SPLICE_F_MORE } else { 0 };
        let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK | more;
        // A splice to a socket heeds the socket's O_NONBLOCK alone (seen up to 6.18), and otherwise that flag must be
        // off, or io_uring would report EAGAIN instead of waiting. Two cheap calls for up to 1 MiB.
        super::socket::set_nonblock(fd, true)?;
        let n = splice(self.read.as_raw_fd(), fd, max, flags);
        super::socket::set_nonblock(fd, false)?;
        n
    }
}

fn splice(from: RawFd, to: RawFd, len: usize, flags: libc::c_uint) -> io::Result<usize> {
    loop {
        // SAFETY: null offsets, no memory of ours is touched.
        let n = unsafe { libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), len, flags) };
        if n >= 0 {
            return Ok(n as usize);
        }
        let e = io::Error::last_os_error();
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(e);
        }
    }
}
