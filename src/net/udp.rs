//! Datagram senders (logs).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::SockAddr;
use crate::sys::addr::RawAddr;
use crate::sys::socket;

/// A UDP or Unix datagram socket that only sends, and never blocks. Needs no runtime.
#[derive(Debug)]
pub struct Datagram {
    fd: OwnedFd,
    addr: RawAddr,
}

impl Datagram {
    /// A sender to `addr`. Nothing is connected: a receiver may come and go.
    pub fn new(addr: &SockAddr) -> io::Result<Datagram> {
        Ok(Datagram { fd: socket::open(addr, true)?, addr: RawAddr::new(addr) })
    }

    /// Sends the messages in as few system calls as possible; returns how many the kernel took. The rest is lost (full
    /// buffer, no receiver, too long): count it.
    pub fn send_batch(&self, messages: &[&[u8]]) -> usize {
        let mut taken = 0;
        let mut rest = messages;
        while !rest.is_empty() {
            match socket::send_datagrams(self.fd.as_raw_fd(), &self.addr, rest) {
                Ok(n) => {
                    taken += n;
                    rest = &rest[n.max(1)..];
                }
                // This message is too long; the others may pass. A pending error of an earlier one is
                // reported once.
                Err(e) if matches!(e.raw_os_error(), Some(libc::EMSGSIZE | libc::EINTR)) => rest = &rest[1..],
                Err(_) => break,
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn batches_arrive_in_order() {
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = Datagram::new(&SockAddr::Ip(to.local_addr().unwrap())).unwrap();
        let messages: Vec<String> = (0..150).map(|i| format!("message {i}")).collect();
        let slices: Vec<&[u8]> = messages.iter().map(String::as_bytes).collect();
        assert_eq!(from.send_batch(&slices), 150);
        let mut buf = [0; 64];
        for message in &messages {
            let n = to.recv(&mut buf).unwrap();
            assert_eq!(&buf[..n], message.as_bytes());
        }
    }

    #[test]
    fn what_is_too_long_does_not_stop_the_others() {
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = Datagram::new(&SockAddr::Ip(to.local_addr().unwrap())).unwrap();
        let long = vec![0; 70_000];
        assert_eq!(from.send_batch(&[b"a", &long, b"b"]), 2);
    }

    #[test]
    fn a_missing_receiver_takes_nothing() {
        let dir = std::env::temp_dir().join(format!("haring-udp-{}", std::process::id()));
        let from = Datagram::new(&SockAddr::unix(dir.to_str().unwrap())).unwrap();
        assert_eq!(from.send_batch(&[b"a", b"b"]), 0);
    }
}
