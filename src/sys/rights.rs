//! Receiving messages with descriptors (recvmsg(2), cmsg(3)).

use std::io;
use std::mem::size_of;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Descriptors that one message can have (SCM_MAX_FD of the kernel).
const FDS_MAX: usize = 253;
/// Words for the header of a control message and so many descriptors.
const CONTROL_WORDS: usize = 8 + FDS_MAX * size_of::<RawFd>() / size_of::<u64>();

/// What has arrived.
#[derive(Debug)]
pub struct Received {
    /// Bytes of the message that fitted.
    pub len: usize,
    /// Descriptors; closed on execution of another program.
    pub fds: Vec<OwnedFd>,
    /// Bytes, or descriptors, have not fitted: the message is not whole. It is when this process has as many descriptors
    /// as it may have, too.
    pub cut: bool,
}

/// The next message, without waiting. Of a message that is not whole, the descriptors that did arrive are owned as well:
/// none is left open.
///
/// # Errors
/// The kernel's.
pub fn receive(socket: RawFd, bytes: &mut [u8]) -> io::Result<Received> {
    let mut control = [0u64; CONTROL_WORDS];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: plain integers and pointers; zero is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: the header, its vector and both buffers outlive the call, and have the lengths that are given.
    let len = unsafe { libc::recvmsg(socket, &raw mut header, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    let mut fds = Vec::new();
    // SAFETY: the kernel has written well-formed control messages and their total length; the macros stay within them.
    // Each number in a message of this kind is a new descriptor of this process that nobody else knows.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while let Some(head) = message.as_ref() {
            if (head.cmsg_level, head.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let data = libc::CMSG_DATA(message).cast::<RawFd>();
                let count = (head.cmsg_len - libc::CMSG_LEN(0) as usize) / size_of::<RawFd>();
                fds.extend((0..count).map(|n| OwnedFd::from_raw_fd(data.add(n).read_unaligned())));
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
    }
    let cut = header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
    Ok(Received { len, fds, cut })
}
