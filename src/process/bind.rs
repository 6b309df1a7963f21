//! Every listening socket of every thread: bound, or taken over from the process before this one, before any right is
//! given up, so that all errors are said in one run and before anything is served. They listen when everything else
//! has succeeded: clients never come to a process that fails to start.
//!
//! The sockets of a `bind` line share their port, one for each thread. A process with more threads than the one before
//! it adds some. One with fewer takes all there are: whoever waits in the queue of a closed socket would be lost.
//! Each thread has the same number of sockets then; the connections of those that are left over are dealt out.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::inherit::Inherited;
use super::pool::{Fate, Named, Pool};
use super::privileges::{group_id, user_id};
use crate::base::SockAddr;
use crate::cli;
use crate::config::{Loc, Sources};
use crate::net::{BindOpts, Keepalive, UnixOwner};
use crate::proxy::global::{GlobalConf, TuneConf};
use crate::proxy::{ListenerConf, ListenerId, Proxy, Snapshot};

/// A listening socket of one thread.
pub struct Bound {
    /// Which listener it is.
    pub id: ListenerId,
    /// The socket.
    pub fd: OwnedFd,
    /// It does not listen: somebody sends connections over it (`sockpair@`).
    pub is_pair: bool,
    /// The thread that accepts deals the connections out, among these threads. Otherwise they are its own.
    pub dealt: Option<Arc<[usize]>>,
    /// What becomes of it when this process stops.
    pub fate: Arc<Fate>,
}

/// A listening admin socket.
pub struct AdminBound {
    /// What was written.
    pub conf: cli::SocketConf,
    /// The socket.
    pub fd: OwnedFd,
    /// What becomes of it when this process stops.
    pub fate: Arc<Fate>,
}

/// Every listening socket of the process, by who serves it.
pub struct Opened {
    /// By thread.
    pub threads: Vec<Vec<Bound>>,
    /// The admin sockets, all served by the first thread.
    pub admin: Vec<AdminBound>,
    /// The listeners of peers sections, by the section's position, all served by the first thread.
    pub peers: Vec<(usize, OwnedFd)>,
    /// What becomes of each.
    pub fates: Vec<Arc<Fate>>,
}

/// A `bind` line and its sockets.
struct Line {
    id: ListenerId,
    addr: SockAddr,
    opts: BindOpts,
    threads: Vec<usize>,
    sockets: Vec<Named>,
}

impl Line {
    /// Whether the connections of its `n`th socket are dealt out: those of the others belong to one thread each, and
    /// each thread has as many of them.
    fn is_dealt(&self, n: usize) -> bool {
        let threads = self.threads.len();
        threads > 1 && n >= self.sockets.len() / threads * threads
    }
}

/// Every socket, bound. Those that are new do not listen yet.
pub struct Sockets {
    threads: usize,
    lines: Vec<Line>,
    admin: Vec<(cli::SocketConf, Named)>,
    peers: Vec<(usize, SockAddr, Named)>,
}

impl Sockets {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.admin.len() + self.peers.len() + self.lines.iter().map(|l| l.sockets.len()).sum::<usize>()
    }

    /// Of how many the connections are dealt out by the thread that accepts.
    pub fn dealers(&self) -> usize {
        self.lines.iter().map(|l| (0..l.sockets.len()).filter(|n| l.is_dealt(*n)).count()).sum()
    }

    /// The admin sockets.
    pub fn admin(&self) -> impl ExactSizeIterator<Item = &cli::SocketConf> {
        self.admin.iter().map(|(conf, _)| conf)
    }

    /// New Unix sockets take their paths: as long as this process sees these, and has the right to.
    ///
    /// # Errors
    /// One line for the first that cannot.
    pub fn take_paths(&mut self) -> Result<(), String> {
        let lines = self.lines.iter_mut().flat_map(|l| l.sockets.iter_mut().map(|s| (&l.addr, s)));
        let admin = self.admin.iter_mut().map(|(conf, s)| (&conf.addr, s));
        let peers = self.peers.iter_mut().map(|(_, addr, s)| (&*addr, s));
        for (addr, socket) in lines.chain(admin).chain(peers) {
            socket.opening.take_path().map_err(|e| cannot_listen(addr, &e))?;
        }
        Ok(())
    }

    /// Lets connections come to all, and keeps them for successors.
    ///
    /// # Errors
    /// One line for the first that cannot.
    pub fn listen(self, inherited: &mut Inherited) -> Result<Opened, String> {
        let threads = (0..self.threads).map(|_| Vec::new()).collect();
        let mut out = Opened { threads, admin: Vec::new(), peers: Vec::new(), fates: Vec::new() };
        let mut listen = |addr: &SockAddr, socket: Named| {
            let (fd, fate) = socket.listen(inherited).map_err(|e| cannot_listen(addr, &e))?;
            out.fates.push(fate.clone());
            Ok::<_, String>((fd, fate))
        };
        for mut line in self.lines {
            let count = line.sockets.len();
            let dealt: Vec<bool> = (0..count).map(|n| line.is_dealt(n)).collect();
            let among: Arc<[usize]> = line.threads.as_slice().into();
            for (n, socket) in line.sockets.drain(..).enumerate() {
                let (fd, fate) = listen(&line.addr, socket)?;
                let thread = line.threads[n % line.threads.len()];
                let dealt = dealt[n].then(|| among.clone());
                let is_pair = matches!(line.addr, SockAddr::SockPair(_));
                out.threads[thread].push(Bound { id: line.id, fd, is_pair, dealt, fate });
            }
        }
        for (conf, socket) in self.admin {
            let (fd, fate) = listen(&conf.addr, socket)?;
            out.admin.push(AdminBound { conf, fd, fate });
        }
        for (at, addr, socket) in self.peers {
            out.peers.push((at, listen(&addr, socket)?.0));
        }
        Ok(out)
    }
}

fn cannot_listen(addr: &SockAddr, error: &io::Error) -> String {
    format!("startup : cannot listen on socket ({}) for [{}]", words(error), shown(addr))
}

/// Bind them all, or take them over. `Err`: one line for each that failed.
pub fn all(
    snapshot: &Snapshot,
    admin: &[cli::SocketConf],
    (threads, reuseport): (usize, bool),
    sources: &Sources,
    inherited: &mut Inherited,
) -> Result<Sockets, Vec<String>> {
    let global = snapshot.global.get::<GlobalConf>().cloned().unwrap_or_default();
    let reuseport = reuseport && !global.process.no_reuseport;
    let mut pool = Pool::of(inherited);
    let mut errors = Vec::new();
    let mut sockets = Sockets { threads, lines: Vec::new(), admin: Vec::new(), peers: Vec::new() };
    let mut failed = |loc: Loc, what: &str, addr: &SockAddr, error: &io::Error| {
        let (place, words, shown) = (place(loc, sources), words(error), shown(addr));
        errors.push(format!("Binding {place} for {what}: cannot bind socket ({words}) for [{shown}]"));
    };
    for conf in &snapshot.listeners {
        let px = snapshot.proxy(conf.proxy);
        if px.disabled {
            continue;
        }
        let (threads, addr) = (threads_of(conf, threads), conf.addr.clone());
        let single = !reuseport || !matches!(addr, SockAddr::Inet(_));
        let opts = bind_opts(conf, px, single, &global.tune);
        match pool.open(&addr, &opts, if single { 1 } else { threads.len() }) {
            Ok(opened) => sockets.lines.push(Line { id: conf.id, addr, opts, threads, sockets: opened }),
            Err(error) => {
                let what = if px.backend.is_some() { "proxy" } else { "frontend" };
                failed(conf.loc, &format!("{what} {}", px.name), &addr, &error);
            }
        }
    }
    for (at, section) in snapshot.peers.iter().enumerate().filter(|(_, s)| s.is_active()) {
        let Some(listen) = &section.listen else { continue };
        let opts = BindOpts { no_reuseport: !reuseport, ..listen.opts.clone() };
        match pool.open_one(&listen.addr, &opts) {
            Ok(socket) => sockets.peers.push((at, listen.addr.clone(), socket)),
            Err(e) => failed(listen.loc, &format!("peers section {}", section.name), &listen.addr, &e),
        }
    }
    for conf in admin {
        match admin_opts(conf, reuseport).and_then(|opts| pool.open_one(&conf.addr, &opts)) {
            Ok(socket) => sockets.admin.push((conf.clone(), socket)),
            Err(error) => failed(conf.loc, "the admin socket", &conf.addr, &error),
        }
    }
    for line in &mut sockets.lines {
        line.sockets.extend(pool.rest(&line.addr, &line.opts));
    }
    pool.warn_of_idle();
    pool.leave(inherited);
    if errors.is_empty() { Ok(sockets) } else { Err(errors) }
}

fn place(loc: Loc, sources: &Sources) -> String {
    format!("[{}:{}]", sources.name(loc.file).display(), loc.line)
}

fn words(error: &io::Error) -> String {
    crate::proxy::check::error_words(error)
}

fn shown(addr: &SockAddr) -> String {
    match addr {
        SockAddr::Unix(path) => String::from_utf8_lossy(path).into_owned(),
        other => other.to_string(),
    }
}

/// Which threads a listener is for.
fn threads_of(conf: &ListenerConf, count: usize) -> Vec<usize> {
    let chosen: Vec<usize> =
        (0..count).filter(|t| conf.threads == 0 || (*t < 64 && conf.threads & (1 << t) != 0)).collect();
    // A set that names only threads that do not exist would leave the listener without any.
    if chosen.is_empty() { (0..count).collect() } else { chosen }
}

/// Length of the accept queue when nothing is configured: HAProxy takes the frontend's maxconn; the kernel cuts it
/// at `net.core.somaxconn`.
fn backlog(conf: &ListenerConf, px: &Proxy) -> Option<u32> {
    let maxconn = px.frontend.as_ref().map_or(0, |f| f.maxconn);
    conf.socket.backlog.or(px.frontend.as_ref().and_then(|f| f.backlog)).or((maxconn > 0).then_some(maxconn))
}

fn bind_opts(conf: &ListenerConf, px: &Proxy, single: bool, tune: &TuneConf) -> BindOpts {
    let socket = &conf.socket;
    let keep = &px.conn.client_keep_alive;
    let seconds = |d: Duration| u32::try_from(d.as_secs().max(1)).unwrap_or(u32::MAX);
    BindOpts {
        backlog: backlog(conf, px),
        v6only: socket.v6only,
        v4v6: socket.v4v6,
        // Wait for data for at most one second: clients that say nothing are still seen.
        defer_accept_s: socket.defer_accept.then_some(1),
        mss: socket.mss.and_then(|m| u32::try_from(m).ok()),
        interface: socket.interface.clone(),
        transparent: socket.transparent,
        freebind: socket.transparent,
        tfo: socket.tfo.then(|| backlog(conf, px).unwrap_or(1024)),
        user_timeout_ms: socket.tcp_user_timeout.map(|d| u32::try_from(d.as_millis()).unwrap_or(u32::MAX)),
        keepalive: keep.enabled.then(|| Keepalive {
            idle_s: keep.idle.map(seconds),
            interval_s: keep.interval.map(seconds),
            count: keep.count,
        }),
        nodelay: true,
        no_reuseport: single,
        send_buffer: tune.sndbuf_client.and_then(|n| u32::try_from(n).ok()),
        recv_buffer: tune.rcvbuf_client.and_then(|n| u32::try_from(n).ok()),
        unix: UnixOwner { mode: socket.unix.mode, uid: socket.unix.uid, gid: socket.unix.gid },
        namespace: None,
    }
}

fn admin_opts(conf: &cli::SocketConf, reuseport: bool) -> io::Result<BindOpts> {
    let owner = UnixOwner {
        mode: conf.mode,
        uid: conf.user.as_ref().map(user_id).transpose().map_err(io::Error::other)?,
        gid: conf.group.as_ref().map(group_id).transpose().map_err(io::Error::other)?,
    };
    // Shared with the process that this one replaces, until that one stops.
    Ok(BindOpts { no_reuseport: !reuseport, unix: owner, nodelay: true, ..BindOpts::default() })
}
