//! All unsafe code: system calls, ring mapping, pipes, memfd, affinity. Everything here has a safe face.
#![allow(unsafe_code)]

pub mod addr;
#[cfg(test)]
pub mod alloc;
pub mod barrier;
pub mod buf;
pub mod clock;
pub mod event;
pub mod fd;
pub mod memfd;
pub mod pipe;
pub mod process;
pub mod rights;
pub mod ring;
pub mod socket;
pub mod thread;
pub mod waker;
