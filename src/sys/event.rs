//! eventfd: wakes a ring from threads that have none.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An eventfd. The counter is never read: the ring polls it edge-triggered, so each write is one event.
#[derive(Debug)]
pub struct Event(OwnedFd);

impl Event {
    /// A new one, with the count 0.
    pub fn new() -> io::Result<Event> {
        // SAFETY: no pointers; the result is checked and owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(Event(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes one event.
    pub fn signal(&self) {
        let one = 1u64;
        // SAFETY: writes the 8 bytes of `one`. The only failure, a counter at its maximum, has already signalled.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// The descriptor to poll.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
