//! The listening sockets that a process has inherited, by what they are.
//!
//! A *group* is all sockets that are alike in what cannot be changed while they listen: address, interface, IPv6 with or
//! without IPv4, transparent or not. Whether sockets share their port (`SO_REUSEPORT`) is no part of that: a group may
//! have grown from one socket. What a socket is, the socket says; its key is believed only where it cannot (the path of
//! a Unix socket, which was bound under another name).

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use super::inherit::Inherited;
use super::{keys, messages};
use crate::base::SockAddr as Configured;
use crate::net::{BindOpts, Opening, SockAddr, share_port};
use crate::sys::process::duplicate_fd;
use crate::sys::socket::{self, IntOpt};

/// First part of the keys of listening sockets that processes of ours keep for each other. Those that systemd has bound
/// (socket activation) have any other name.
const LISTENER: &str = "listener";

/// Whether a listening socket with that key was bound by a process of ours (or was given to it by number).
fn is_ours(key: &str) -> bool {
    key.split_once('/').is_some_and(|(first, _)| first == LISTENER)
}

/// What cannot be changed while a socket listens.
#[derive(Debug, PartialEq, Eq)]
struct Identity<'a> {
    addr: &'a SockAddr,
    interface: Option<&'a str>,
    v6only: bool,
    transparent: bool,
    namespace: Option<&'a str>,
}

impl Identity<'_> {
    /// A name for it.
    fn group(&self) -> String {
        let addr = match self.addr {
            // The padding of HAProxy's abstract names would fill the key.
            SockAddr::Abstract(name) => {
                let end = name.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
                format!("abns{}@{}", name.len(), as_text(&name[..end]))
            }
            SockAddr::Unix(path) => format!("unix@{}", as_text(path)),
            SockAddr::Ip(_) => self.addr.to_string(),
        };
        let interface = self.interface.map(|name| format!("dev={name}"));
        let namespace = self.namespace.map(|name| format!("netns={name}"));
        let mut parts = vec![LISTENER, &addr];
        parts.extend(interface.as_deref());
        parts.extend(self.v6only.then_some("v6only"));
        parts.extend(self.transparent.then_some("transparent"));
        parts.extend(namespace.as_deref());
        let mut group = keys::key(&parts);
        if group.len() > GROUP_MAX {
            let hash = xxhash_rust::xxh3::xxh3_64(group.as_bytes());
            group.truncate(GROUP_MAX - 17);
            group.push_str(&format!("~{hash:016x}"));
        }
        group
    }
}

/// Bytes of a group's name at most: a number comes after it in a key.
const GROUP_MAX: usize = 240;

/// A path or name as text, whatever its bytes.
fn as_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| format!("%{byte:02x}")).collect(),
    }
}

/// Whether it matters that an IPv6 socket takes IPv4 as well.
fn takes_all(addr: &SockAddr) -> bool {
    matches!(addr, SockAddr::Ip(SocketAddr::V6(a)) if a.ip().is_unspecified())
}

/// The name of the group that a socket with this address and these options belongs to. `None`: each one is on its own
/// (the kernel chooses the port).
fn group_of(addr: &SockAddr, opts: &BindOpts) -> Option<String> {
    (addr.ip().is_none_or(|ip| ip.port() != 0)).then(|| group(addr, opts))
}

fn group(addr: &SockAddr, opts: &BindOpts) -> String {
    let v6only = takes_all(addr) && !opts.v4v6 && (opts.v6only || v6only_by_default(addr));
    let identity = Identity {
        addr,
        interface: opts.interface.as_deref(),
        v6only,
        transparent: opts.transparent,
        namespace: opts.namespace.as_deref(),
    };
    identity.group()
}

/// Whether that is the group of what was given by number: only its key says what it is.
fn is_numbered(group: &str) -> bool {
    ["fd@", "sockpair@"].iter().any(|kind| group.starts_with(&keys::key(&[LISTENER, kind])))
}

fn v6only_by_default(addr: &SockAddr) -> bool {
    socket::open(addr, false)
        .and_then(|fd| socket::get(fd.as_raw_fd(), IntOpt::V6ONLY))
        .is_ok_and(|on| on != 0)
}

/// The group of an inherited socket, whose key is this.
fn actual_group(key: &str, fd: &OwnedFd) -> io::Result<String> {
    let named = key.rsplit_once('/').filter(|_| is_ours(key));
    if let Some((group, _)) = named.filter(|(group, _)| is_numbered(group)) {
        return Ok(group.to_owned());
    }
    let fd = fd.as_raw_fd();
    if !socket::is_stream(fd) {
        return Err(io::Error::other("it is no stream socket"));
    }
    if socket::peer_addr(fd).is_ok() {
        return Err(io::Error::other("it is connected"));
    }
    let addr = socket::local_addr(fd)?;
    match (&addr, named) {
        (SockAddr::Unix(path), _) if path.is_empty() => return Err(io::Error::other("it has no address")),
        (SockAddr::Unix(_), Some((group, _))) => return Ok(group.to_owned()),
        (SockAddr::Unix(_) | SockAddr::Abstract(_), _) if !socket::is_listening(fd) => {
            return Err(io::Error::other("it does not listen"));
        }
        _ => {}
    }
    let is = |opt| socket::get(fd, opt).is_ok_and(|on| on != 0);
    let transparent = match addr.ip().map(|ip| ip.ip()) {
        None => false,
        Some(IpAddr::V4(_)) => is(IntOpt::TRANSPARENT),
        Some(IpAddr::V6(_)) => is(IntOpt::TRANSPARENT6),
    };
    let interface = addr.ip().and_then(|_| socket::bound_device(fd));
    let group = Identity {
        addr: &addr,
        interface: interface.as_deref(),
        v6only: takes_all(&addr) && is(IntOpt::V6ONLY),
        transparent,
        namespace: None,
    }
    .group();
    // The network namespace is what a socket does not tell.
    Ok(match named.and_then(|(named, _)| Some((named, named.split_once("/netns%3D")?))) {
        Some((named, (rest, _))) if rest == group => named.to_owned(),
        _ => group,
    })
}

/// A socket that is bound, and its name for other processes.
#[derive(Debug)]
pub struct Named {
    /// The socket.
    pub opening: Opening,
    key: String,
    /// It was inherited under that key.
    old: bool,
    /// Somebody else has passed it to us, and may serve it without us.
    given: bool,
}

impl Named {
    /// Lets connections come, and keeps the socket for successors.
    ///
    /// # Errors
    /// The system's.
    pub fn listen(self, inherited: &mut Inherited) -> io::Result<(OwnedFd, Arc<Fate>)> {
        let fd = self.opening.listen()?;
        if self.old {
            inherited.hold(&self.key, &fd)?;
        } else {
            inherited.keep(&self.key, &fd)?;
        }
        Ok((fd, Arc::new(Fate { key: self.key, given: self.given, alone: AtomicBool::new(false) })))
    }
}

/// What becomes of a listening socket when this process stops.
#[derive(Debug)]
pub struct Fate {
    /// The socket's name for other processes.
    pub key: String,
    given: bool,
    alone: AtomicBool,
}

impl Fate {
    /// Nobody else will serve who waits in its queue.
    pub fn leave_to_us(&self) {
        self.alone.store(!self.given, Relaxed);
    }

    /// Whether this process has to serve all that wait in the queue before it closes the socket.
    pub fn is_alone(&self) -> bool {
        self.alone.load(Relaxed)
    }
}

/// An inherited socket.
#[derive(Debug)]
struct Old {
    key: String,
    fd: OwnedFd,
}

/// Inherited listening sockets, and the names of all that are used.
#[derive(Debug, Default)]
pub struct Pool {
    /// By group, in the order of their numbers.
    groups: HashMap<String, VecDeque<Old>>,
    /// Keys that are not to be used for others.
    keys: HashSet<String>,
    /// What is of no use.
    broken: Vec<String>,
    /// Inodes of what was taken by its number.
    numbered: HashSet<u64>,
}

/// What tells one socket from another.
fn inode(fd: impl AsFd) -> Option<u64> {
    nix::sys::stat::fstat(fd).ok().map(|stat| stat.st_ino)
}

impl Pool {
    /// Take all listening sockets out of what was inherited.
    pub fn of(inherited: &mut Inherited) -> Pool {
        let mut pool = Pool::default();
        let mut all: Vec<(usize, String, String, OwnedFd)> = Vec::new();
        let wanted = |(key, fd): (&String, &OwnedFd)| is_ours(key) || socket::is_listening(fd.as_raw_fd());
        let keys = inherited.fds.iter().filter(|i| wanted(*i)).map(|(key, _)| key.clone());
        for key in keys.collect::<Vec<_>>() {
            let Some(fd) = inherited.fds.remove(&key) else { continue };
            match actual_group(&key, &fd) {
                Ok(group) => {
                    let number = key.rsplit_once('/').and_then(|(_, n)| n.parse().ok());
                    all.push((number.unwrap_or(usize::MAX), key, group, fd));
                }
                Err(error) => {
                    messages::warning(&format!("startup : the inherited socket {key} is of no use: {error}"));
                    pool.broken.push(key);
                }
            }
        }
        all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        for (_, key, group, fd) in all {
            pool.keys.insert(key.clone());
            pool.groups.entry(group).or_default().push_back(Old { key, fd });
        }
        pool
    }

    /// The sockets of a `bind` line: inherited ones first, new ones up to `count`. There may be fewer (at least one),
    /// when they have to be shared by several threads.
    ///
    /// # Errors
    /// The system's.
    pub fn open(&mut self, addr: &Configured, opts: &BindOpts, count: usize) -> io::Result<Vec<Named>> {
        if let Configured::Fd(fd) = addr {
            return self.by_number(*fd, "fd@", |fd| Ok(Opening::given(fd, opts))).map(|socket| vec![socket]);
        }
        if let Configured::SockPair(fd) = addr {
            return self.by_number(*fd, "sockpair@", pair).map(|socket| vec![socket]);
        }
        let Some(addr) = SockAddr::configured(addr) else {
            return Err(io::Error::other("this kind of address cannot be listened on"));
        };
        let group = group_of(&addr, opts);
        let mut out = Vec::with_capacity(count);
        while out.len() < count
            && let Some(socket) = self.take(group.as_deref(), &addr, opts)?
        {
            out.push(socket);
        }
        // What systemd passes is all that it holds for us while we are away.
        if out.iter().any(|socket| socket.given) {
            return Ok(out);
        }
        let inherited = out.len();
        if (1..count).contains(&inherited) {
            for socket in &out {
                share_port(&socket.opening)?;
            }
        }
        while out.len() < count {
            match self.bind(&addr, opts) {
                Ok(opening) => out.push(self.name(opening, &addr, opts)),
                // Bound by another user, or with rights that this process does not have any more.
                Err(e) if inherited > 0 && is_refused(&e) => return Ok(out),
                Err(e) => return Err(e),
            }
        }
        Ok(out)
    }

    /// A single socket.
    ///
    /// # Errors
    /// The system's.
    pub fn open_one(&mut self, addr: &Configured, opts: &BindOpts) -> io::Result<Named> {
        if matches!(addr, Configured::SockPair(_)) {
            return Err(io::Error::other("connections cannot be sent to this one"));
        }
        Ok(self.open(addr, opts, 1)?.remove(0))
    }

    /// The inherited sockets of a `bind` line that nobody has taken. Those that cannot be used are left out.
    pub fn rest(&mut self, addr: &Configured, opts: &BindOpts) -> Vec<Named> {
        let Some(addr) = SockAddr::configured(addr) else { return Vec::new() };
        let group = group_of(&addr, opts);
        std::iter::from_fn(|| self.take(group.as_deref(), &addr, opts).ok().flatten()).collect()
    }

    /// Nobody wants what is left.
    pub fn leave(self, inherited: &mut Inherited) {
        let left = self.groups.into_values().flatten().map(|old| old.key);
        // What somebody else has passed is not ours to dispose of.
        left.filter(|key| is_ours(key)).chain(self.broken).for_each(|key| inherited.unwanted(key));
    }

    /// A warning for each socket that systemd has passed (socket activation) and no line takes: its clients would wait
    /// for ever.
    pub fn warn_of_idle(&self) {
        let all = self.groups.values().flatten().filter(|old| !is_ours(&old.key));
        for old in all.filter(|old| !inode(&old.fd).is_some_and(|id| self.numbered.contains(&id))) {
            let addr =
                socket::local_addr(old.fd.as_raw_fd()).map_or_else(|_| old.key.clone(), |a| a.to_string());
            messages::warning(&format!(
                "startup : nobody serves the socket [{addr}] that was passed to this service: no 'bind' line has its \
                 address"
            ));
        }
    }

    /// The next inherited one of a group.
    fn take(&mut self, group: Option<&str>, addr: &SockAddr, opts: &BindOpts) -> io::Result<Option<Named>> {
        let Some(olds) = group.and_then(|group| self.groups.get_mut(group)) else { return Ok(None) };
        while let Some(Old { key, fd }) = olds.pop_front() {
            match Opening::adopt(fd, addr, opts) {
                Ok(opening) => {
                    let given = !is_ours(&key);
                    return Ok(Some(Named { opening, key, old: true, given }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.broken.push(key),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// A socket that the one who has started this process, or the process before it, has opened under that number.
    fn by_number(
        &mut self,
        number: RawFd,
        kind: &str,
        open: impl Fn(OwnedFd) -> io::Result<Opening>,
    ) -> io::Result<Named> {
        let group = keys::key(&[LISTENER, &format!("{kind}{number}")]);
        if let Some(Old { key, fd }) = self.groups.get_mut(&group).and_then(VecDeque::pop_front) {
            let opening = open(fd)?;
            self.numbered.extend(inode(opening.as_fd()));
            return Ok(Named { opening, key, old: true, given: true });
        }
        let opening = open(duplicate_fd(number)?)?;
        self.numbered.extend(inode(opening.as_fd()));
        Ok(Named { opening, key: self.free_key(&group), old: false, given: true })
    }

    /// A new socket, perhaps beside one of the process before this one that has the same port and another option which
    /// cannot be changed: that one is in use until this process serves.
    fn bind(&self, addr: &SockAddr, opts: &BindOpts) -> io::Result<Opening> {
        let refused = match Opening::bind(addr, opts) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => error,
            done => return done,
        };
        let port = |addr: &SockAddr| addr.ip().map(|ip| ip.port());
        let has_port = |old: &&Old| {
            socket::local_addr(old.fd.as_raw_fd()).is_ok_and(|a| port(&a).is_some() && port(&a) == port(addr))
        };
        let beside: Vec<&Old> = self.groups.values().flatten().filter(has_port).collect();
        if beside.is_empty() {
            return Err(refused);
        }
        for old in beside {
            share_port(&old.fd)?;
        }
        Opening::bind(addr, &BindOpts { no_reuseport: false, ..opts.clone() })
    }

    fn name(&mut self, opening: Opening, addr: &SockAddr, opts: &BindOpts) -> Named {
        let bound = || socket::local_addr(opening.as_fd().as_raw_fd()).unwrap_or_else(|_| addr.clone());
        let group = group_of(addr, opts).unwrap_or_else(|| group(&bound(), opts));
        Named { key: self.free_key(&group), opening, old: false, given: false }
    }

    /// A key that no socket has.
    fn free_key(&mut self, group: &str) -> String {
        let key = (0..).map(|n| format!("{group}/{n}")).find(|key| !self.keys.contains(key));
        let key = key.expect("fewer sockets than numbers");
        self.keys.insert(key.clone());
        key
    }
}

/// The socket of `sockpair@`.
fn pair(fd: OwnedFd) -> io::Result<Opening> {
    let peer = socket::peer_addr(fd.as_raw_fd())?;
    if matches!(peer, SockAddr::Ip(_)) {
        return Err(io::Error::other("it is no Unix socket"));
    }
    Ok(Opening::pair(fd))
}

fn is_refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EADDRINUSE | libc::EACCES | libc::EPERM))
}

#[cfg(test)]
mod tests;
