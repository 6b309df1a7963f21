//! All unsafe code: system calls, ring mapping, pipes, memfd, affinity. Everything here has a safe face.
#![allow(unsafe_code)]

pub mod addr;
pub mod buf;
pub mod fd;
pub mod process;
