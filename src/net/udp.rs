//! Datagram senders (logs).

use std::io;

use super::SockAddr;

/// A UDP or Unix datagram socket that only sends, and never blocks. Needs no runtime.
pub struct Datagram {}

impl Datagram {
    /// A sender to `addr`. Nothing is connected: a receiver may come and go.
    pub fn new(_addr: &SockAddr) -> io::Result<Datagram> {
        todo!()
    }

    /// Sends the messages in as few system calls as possible; returns how many the kernel took. The rest is lost (full buffer,
    /// no receiver): count it.
    pub fn send_batch(&self, _messages: &[&[u8]]) -> usize {
        todo!()
    }
}
