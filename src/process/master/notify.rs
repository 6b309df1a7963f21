//! What a service manager is told, and what it keeps for us: sd_notify(3), sd_pid_notify_with_fds(3), sd_listen_fds(3).
//!
//! A sender of our own: a datagram, sometimes with one descriptor. It never blocks for long, and nothing fails because
//! nobody listens.

use std::cell::Cell;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use super::{cli, worker};
use crate::sys::process::{adopt_fd, duplicate_fd};
use crate::sys::socket;

/// How long a message may wait for room.
const SEND_MAX: Duration = Duration::from_secs(2);
/// How long the manager may take to have read everything, before we end.
const BARRIER_MAX: Duration = Duration::from_secs(2);
/// The first descriptor that is passed (sd_listen_fds(3)).
const LISTEN_FDS_START: i32 = 3;
/// Passed descriptors at most.
const LISTEN_FDS_MAX: i32 = 65_536;

/// Variables of the environment that are for this process alone.
pub const OWN_VARIABLES: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "FDSTORE",
];

/// The way to the service manager.
#[derive(Debug, Default)]
pub struct Notify {
    socket: Option<(UnixDatagram, UnixAddr)>,
    /// It manages services, and keeps descriptors for them.
    keeps: bool,
    /// It did not read the last message in time: the next ones do not wait.
    is_slow: Cell<bool>,
}

impl Notify {
    /// As the environment says.
    pub fn of_environment() -> Notify {
        let path = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
        let store = std::env::var("FDSTORE").ok().and_then(|n| n.parse::<u32>().ok());
        let socket = address(&path).and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_write_timeout(Some(SEND_MAX)).ok()?;
            Some((socket, address))
        });
        let keeps = socket.is_some() && store.map_or_else(is_started_by_init, |most| most > 0);
        Notify { socket, keeps, is_slow: Cell::new(false) }
    }

    /// Somebody listens.
    pub fn is_on(&self) -> bool {
        self.socket.is_some()
    }

    /// Somebody listens, and it is the machine's own manager of services, not a tool that waits for READY only.
    pub fn is_service(&self) -> bool {
        self.keeps || (self.is_on() && is_started_by_init())
    }

    /// The manager may keep descriptors for us. systemd says how many since version 254; before, nobody knows: what is
    /// not kept after all is closed, and a worker whose channel nobody holds any more ends.
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// One message of assignments, a line each.
    pub fn send(&self, text: &str) {
        self.send_fd(text, None);
    }

    /// Keep this descriptor under that name.
    pub fn store(&self, name: &str, fd: BorrowedFd<'_>) {
        if self.keeps() {
            self.send_fd(&format!("FDSTORE=1\nFDNAME={name}"), Some(fd));
        }
    }

    /// Keep what has that name no longer.
    pub fn forget(&self, name: &str) {
        if self.keeps() {
            self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
        }
    }

    /// Wait until everything that was sent has been read: what comes from a process that is gone is not understood.
    pub fn barrier(&self) {
        let (true, Ok((ours, theirs))) = (self.is_on(), std::io::pipe()) else { return };
        self.send_fd("BARRIER=1", Some(theirs.as_fd()));
        drop(theirs);
        let limit = PollTimeout::try_from(BARRIER_MAX).unwrap_or(PollTimeout::ZERO);
        let _ = poll(&mut [PollFd::new(ours.as_fd(), PollFlags::POLLIN)], limit);
    }

    fn send_fd(&self, text: &str, fd: Option<BorrowedFd<'_>>) {
        let Some((socket, address)) = &self.socket else { return };
        let raw: Vec<i32> = fd.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
        let wait = if self.is_slow.get() { MsgFlags::MSG_DONTWAIT } else { MsgFlags::empty() };
        let flags = MsgFlags::MSG_NOSIGNAL | wait;
        let parts = [IoSlice::new(text.as_bytes())];
        let sent = sendmsg(socket.as_raw_fd(), &parts, control, flags, Some(address));
        // A manager that does not read is not our concern, and must not hold us up time and again.
        self.is_slow.set(sent == Err(nix::errno::Errno::EAGAIN));
    }
}

fn is_started_by_init() -> bool {
    nix::unistd::getppid().as_raw() == 1
}

/// A path, or `@name` of the abstract namespace.
fn address(text: &str) -> Option<UnixAddr> {
    match text.as_bytes() {
        [b'@', name @ ..] if !name.is_empty() => UnixAddr::new_abstract(name).ok(),
        [b'/', ..] => UnixAddr::new(text).ok(),
        _ => None,
    }
}

/// How often the manager wants to hear of us: half of what it gives us.
pub fn watchdog() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id())) {
        return None;
    }
    number("WATCHDOG_USEC").filter(|us| *us > 0).map(|us| Duration::from_micros(us / 2))
}

/// Where a descriptor comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A process of ours has had it kept.
    Store,
    /// The manager has opened it (socket activation).
    Activation,
}

/// Where a descriptor of that name comes from: sockets are the manager's, unless their name is one of ours.
pub fn origin(name: &str, fd: &OwnedFd) -> Origin {
    let socket = nix::sys::stat::fstat(fd).is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFSOCK);
    let ours = name.starts_with("listener/") || cli::is_key(name) || worker::of_key(name).is_some();
    if socket && !ours { Origin::Activation } else { Origin::Store }
}

/// The descriptors that the manager has passed, with their names. What is from activation keeps its number as well, for
/// `bind fd@3`, in this process and in those that it starts.
pub fn passed() -> Vec<(String, OwnedFd)> {
    let text = |name: &str| std::env::var(name).unwrap_or_default();
    names(&text("LISTEN_PID"), &text("LISTEN_FDS"), &text("LISTEN_FDNAMES"))
        .into_iter()
        .filter_map(|(number, name)| {
            let fd = duplicate_fd(number).ok()?;
            // What was passed has survived an execution: anything else is this process's own, whatever the variables say.
            let flags = socket::lend(number, |fd| fcntl(fd, FcntlArg::F_GETFD)).ok()?;
            if FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC) {
                return None;
            }
            if origin(&name, &fd) == Origin::Store {
                // The number is of no use to anybody.
                drop(adopt_fd(number));
            }
            Some((name, fd))
        })
        .collect()
}

fn names(pid: &str, count: &str, names: &str) -> Vec<(i32, String)> {
    if pid.parse() != Ok(std::process::id()) {
        return Vec::new();
    }
    let count = count.parse::<i32>().unwrap_or(0).clamp(0, LISTEN_FDS_MAX);
    let mut names = names.split(':');
    (LISTEN_FDS_START..LISTEN_FDS_START + count)
        .map(|fd| (fd, names.next().unwrap_or_default().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_passed_to_one_process_only() {
        let own = std::process::id().to_string();
        assert_eq!(names("1", "2", "a:b"), []);
        assert_eq!(names(&own, "", "a:b"), []);
        assert_eq!(names(&own, "-3", ""), []);
        let three = [(3, "a".to_owned()), (4, "table/x".to_owned()), (5, String::new())];
        assert_eq!(names(&own, "3", "a:table/x"), three);
    }

    #[test]
    fn addresses() {
        assert!(address("").is_none() && address("@").is_none() && address("relative").is_none());
        assert!(address("/run/systemd/notify").is_some());
        let name = address("@haring").expect("abstract");
        assert_eq!(name.as_abstract(), Some(&b"haring"[..]));
        assert!(address(&format!("/{}", "x".repeat(200))).is_none());
    }

    #[test]
    fn nobody_listens() {
        let notify = Notify::default();
        notify.send("READY=1");
        notify.barrier();
        assert!(!notify.is_on() && !notify.keeps());
    }
}
