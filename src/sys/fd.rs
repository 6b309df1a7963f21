//! Writing to a descriptor that we were given by number (`stdout`, `fd@N`) without ever waiting for it.

use std::io;
use std::os::fd::RawFd;

/// Write what the descriptor takes right now. `WouldBlock` when it takes nothing; the caller keeps `bytes` within
/// PIPE_BUF, which poll(2) promises to fit when a pipe is writable. O_NONBLOCK is not used: it belongs to the open
/// file that we share with whoever gave us the descriptor (a shell, for instance). A regular file always takes
/// everything, and may wait for the disk.
pub fn try_write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let mut p = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: `p` is one valid pollfd that outlives the call.
    let ready = unsafe { libc::poll(&mut p, 1, 0) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    if p.revents & libc::POLLOUT == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // A socket may be writable for fewer bytes than we have: only MSG_DONTWAIT never waits.
    // SAFETY: `bytes` is valid for reads of its length; the kernel checks the descriptor.
    let sent = unsafe {
        libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    if sent >= 0 {
        return Ok(sent.unsigned_abs());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::ENOTSOCK) {
        return Err(error);
    }
    // SAFETY: as above.
    let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    if written < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(written.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_full_pipe_refuses_instead_of_waiting() {
        let (mut reader, writer) = io::pipe().expect("pipes can be made");
        let block = [b'x'; 4096];
        let mut taken = 0;
        let refused = loop {
            match try_write(writer.as_raw_fd(), &block) {
                Ok(n) => taken += n,
                Err(e) => break e,
            }
            assert!(taken < 64 << 20, "the pipe never fills");
        };
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        let mut first = [0; 4096];
        reader.read_exact(&mut first).expect("it holds that much");
        assert_eq!(try_write(writer.as_raw_fd(), &block).expect("there is room again"), 4096);
    }

    #[test]
    fn sockets_and_bad_descriptors() {
        let (mut a, b) = std::os::unix::net::UnixStream::pair().expect("socket pair");
        assert_eq!(try_write(b.as_raw_fd(), b"hello").expect("writable"), 5);
        let mut got = [0; 5];
        a.read_exact(&mut got).expect("sent above");
        assert_eq!(&got, b"hello");
        drop(a);
        assert!(try_write(b.as_raw_fd(), b"x").is_err());
        assert!(try_write(9999, b"x").is_err());
    }
}
