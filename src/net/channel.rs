//! Messages with descriptors between processes of one machine: `AF_UNIX`, `SOCK_SEQPACKET`, `SCM_RIGHTS` (unix(7)).
//!
//! A message arrives whole or not at all, with its descriptors, in order. Master and workers talk over such channels, and
//! a worker hands its connections to its successor.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair,
};

use crate::sys::rights;

/// Bytes of a message at most.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// Descriptors of a message at most (the kernel takes 253).
pub const FDS_MAX: usize = 64;

/// One end of a channel. Neither sending nor receiving blocks; both ends may be used by several threads.
#[derive(Debug)]
pub struct Channel {
    fd: OwnedFd,
}

/// A message.
#[derive(Debug, Default)]
pub struct Packet {
    /// Its bytes: at least one.
    pub bytes: Vec<u8>,
    /// The descriptors that came with it; closed on execution of another program.
    pub fds: Vec<OwnedFd>,
}

impl Channel {
    /// Two ends.
    pub fn pair() -> io::Result<(Channel, Channel)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Channel { fd: a }, Channel { fd: b }))
    }

    /// An end that another process made.
    pub fn from_fd(fd: OwnedFd) -> Channel {
        Channel { fd }
    }

    /// To hand this end to another process.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Send a message.
    ///
    /// # Errors
    /// `WouldBlock` when the other side is behind; `InvalidInput` when the message is empty, too long, or has too many
    /// descriptors; `EPIPE` when the other side is gone.
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        send_over(self.fd.as_fd(), bytes, fds)
    }

    /// Send a message, and wait for room for it. For threads that may block.
    ///
    /// # Errors
    /// As [`Channel::send`]; `TimedOut` when there was no room for so long.
    pub fn send_within(&self, bytes: &[u8], fds: &[BorrowedFd<'_>], limit: Duration) -> io::Result<()> {
        const STEP: Duration = Duration::from_millis(10);
        let steps = limit.as_millis() / STEP.as_millis() + 1;
        for _ in 0..steps {
            match self.send(bytes, fds) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            // Writable does not mean that there is room for this one: so never a busy loop, and never long.
            let _ = poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLERR)], poll_time(STEP));
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// The next message. `Ok(None)`: the other side is gone, and everything that it sent was received.
    ///
    /// # Errors
    /// `WouldBlock` when there is none yet; `InvalidData` when it was longer, or had more descriptors, than is allowed,
    /// or than this process may have (it is lost then; the next one is not).
    pub fn receive(&self) -> io::Result<Option<Packet>> {
        let mut bytes = vec![0; MESSAGE_MAX];
        let (len, fds, cut) = loop {
            match rights::receive(self.fd.as_raw_fd(), &mut bytes) {
                Ok(message) => break (message.len, message.fds, message.cut),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        if cut || fds.len() > FDS_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if len == 0 {
            return Ok(None);
        }
        bytes.truncate(len);
        bytes.shrink_to_fit();
        Ok(Some(Packet { bytes, fds }))
    }

    /// Wait until there is something to receive, or the other side is gone. For threads that may block.
    pub fn wait(&self, limit: Duration) {
        let _ = poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], poll_time(limit));
    }

    /// Whether the next message begins so. It stays.
    pub fn is_next(&self, beginning: &[u8]) -> bool {
        let mut bytes = vec![0; beginning.len()];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
        matches!(recv(self.fd.as_raw_fd(), &mut bytes, flags), Ok(len) if bytes[..len] == *beginning)
    }

    /// The next message, if one comes within `limit`. For threads that may block.
    ///
    /// # Errors
    /// As [`Channel::receive`]; `TimedOut` instead of `WouldBlock`.
    pub fn receive_within(&self, limit: Duration) -> io::Result<Option<Packet>> {
        self.wait(limit);
        match self.receive() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
            other => other,
        }
    }
}

/// Send a few bytes, and descriptors, over any Unix socket. (Of a stream, its buffer may take only a part of many bytes.)
///
/// # Errors
/// As [`Channel::send`].
pub fn send_over(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.is_empty() || bytes.len() > MESSAGE_MAX || fds.len() > FDS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            // Too many descriptors on their way, of all channels of this user: they become fewer.
            Err(Errno::ETOOMANYREFS) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn poll_time(limit: Duration) -> PollTimeout {
    PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_whole_with_their_descriptors() {
        let (a, b) = Channel::pair().expect("a pair");
        let (r, w) = nix::unistd::pipe().expect("a pipe");
        a.send(b"one", &[r.as_fd(), w.as_fd()]).expect("sent");
        a.send(b"two", &[]).expect("sent");
        drop((r, w));
        assert!(b.is_next(b"on") && b.is_next(b"one") && !b.is_next(b"one more") && !b.is_next(b"two"));
        let one = b.receive().expect("received").expect("a message");
        assert_eq!((one.bytes.as_slice(), one.fds.len()), (&b"one"[..], 2));
        nix::unistd::write(&one.fds[1], b"x").expect("it is the pipe");
        assert_eq!(nix::unistd::read(&one.fds[0], &mut [0; 9]), Ok(1));
        let two = b.receive_within(Duration::ZERO).expect("received").expect("a message");
        assert_eq!((two.bytes.as_slice(), two.fds.len()), (&b"two"[..], 0));
        assert_eq!(b.receive().expect_err("nothing more").kind(), io::ErrorKind::WouldBlock);
        drop(a);
        assert!(b.receive().expect("the end").is_none());
        assert_eq!(b.send(b"x", &[]).expect_err("gone").raw_os_error(), Some(libc::EPIPE));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_a_full_channel_does_not_block() {
        let (a, b) = Channel::pair().expect("a pair");
        let long = vec![b'x'; MESSAGE_MAX];
        for bad in [&b""[..], &[&long[..], b"x"].concat()] {
            assert_eq!(a.send(bad, &[]).expect_err("refused").kind(), io::ErrorKind::InvalidInput);
        }
        let mut sent = 0;
        while a.send(&long, &[]).is_ok() {
            sent += 1;
        }
        let wait = Duration::from_millis(20);
        assert_eq!(a.send_within(b"x", &[], wait).expect_err("full").kind(), io::ErrorKind::TimedOut);
        for _ in 0..sent {
            assert_eq!(b.receive().expect("received").expect("a message").bytes, long);
        }
        a.send_within(b"x", &[], wait).expect("there is room again");
        assert_eq!(b.receive_within(wait).expect("received").expect("a message").bytes, b"x");
        assert_eq!(b.receive_within(wait).expect_err("no more").kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn too_many_descriptors_are_closed_and_the_next_message_is_heard() {
        let (a, b) = Channel::pair().expect("a pair");
        let (alive, probe) = nix::unistd::pipe().expect("a pipe");
        for count in [FDS_MAX + 1, 253] {
            let raw = vec![probe.as_raw_fd(); count];
            let rights = [ControlMessage::ScmRights(&raw)];
            sendmsg::<()>(a.as_fd().as_raw_fd(), &[IoSlice::new(b"x")], &rights, MsgFlags::empty(), None)
                .expect("sent");
            a.send(b"next", &[]).expect("sent");
            assert_eq!(b.receive().expect_err("refused").kind(), io::ErrorKind::InvalidData);
            assert_eq!(b.receive().expect("received").expect("a message").bytes, b"next");
        }
        drop(probe);
        assert_eq!(nix::unistd::read(&alive, &mut [0; 1]), Ok(0), "one of them was left open");
    }

    #[test]
    fn what_comes_without_room_for_its_descriptors_is_lost_alone() {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        // The limit is the whole process's: other tests must not meet it.
        const ALONE: &str = "HARING_TEST_ALONE";
        if std::env::var_os(ALONE).is_none() {
            let test = std::thread::current().name().expect("a test has a name").to_owned();
            let own = std::env::current_exe().expect("it runs");
            let mut command = std::process::Command::new(own);
            let done = command.args(["--exact", &test, "--test-threads=1"]).env(ALONE, "1").output();
            let done = done.expect("it runs");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
            return;
        }
        let (a, b) = Channel::pair().expect("a pair");
        let null = std::fs::File::open("/dev/null").expect("it exists");
        let next = null.try_clone().expect("a descriptor").as_raw_fd() as u64;
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is one");
        for room in 0..3u64 {
            a.send(b"three", &[null.as_fd(); 3]).expect("sent");
            a.send(b"next", &[]).expect("sent");
            setrlimit(Resource::RLIMIT_NOFILE, next + room, hard).expect("lowered");
            assert_eq!(b.receive().expect_err("no room").kind(), io::ErrorKind::InvalidData);
            setrlimit(Resource::RLIMIT_NOFILE, hard.min(1024), hard).expect("raised");
            assert_eq!(
                null.try_clone().expect("a descriptor").as_raw_fd() as u64,
                next,
                "nothing was left open"
            );
            assert_eq!(b.receive().expect("received").expect("a message").bytes, b"next");
        }
    }
}
