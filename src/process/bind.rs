//! Every listening socket of every thread, opened before any right is given up, so that all errors are said in
//! one run and before anything is served.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::privileges::{group_id, user_id};
use crate::base::SockAddr;
use crate::cli;
use crate::config::{Loc, Sources};
use crate::net::{self, BindOpts, Keepalive, Listener, UnixOwner};
use crate::peers::ListenConf;
use crate::proxy::global::{GlobalConf, TuneConf};
use crate::proxy::{ListenerConf, ListenerId, Proxy, Snapshot};
use crate::sys::process::duplicate_fd;

/// A listening socket of one thread.
pub struct Bound {
    /// Which listener it is.
    pub id: ListenerId,
    /// The socket.
    pub fd: OwnedFd,
    /// It is the only one for all threads: the thread that accepts deals the connections out.
    pub dealt: bool,
}

/// A listening admin socket.
pub struct AdminBound {
    /// What was written.
    pub conf: cli::SocketConf,
    /// The socket.
    pub fd: OwnedFd,
}

/// Every socket.
pub struct Sockets {
    /// By thread.
    pub threads: Vec<Vec<Bound>>,
    /// The admin sockets, all served by the first thread.
    pub admin: Vec<AdminBound>,
    /// The listeners of peers sections, by the section's position, all served by the first thread.
    pub peers: Vec<(usize, OwnedFd)>,
}

impl Sockets {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.admin.len() + self.peers.len() + self.threads.iter().map(Vec::len).sum::<usize>()
    }
}

/// Open them all. `Err`: one line for each that failed.
pub fn all(
    snapshot: &Snapshot,
    admin: &[cli::SocketConf],
    threads: usize,
    reuseport: bool,
    sources: &Sources,
) -> Result<Sockets, Vec<String>> {
    let global = snapshot.global.get::<GlobalConf>().cloned().unwrap_or_default();
    let reuseport = reuseport && !global.process.no_reuseport;
    let mut errors = Vec::new();
    let no_sockets = (0..threads).map(|_| Vec::new()).collect();
    let mut sockets = Sockets { threads: no_sockets, admin: Vec::new(), peers: Vec::new() };
    for conf in &snapshot.listeners {
        let px = snapshot.proxy(conf.proxy);
        if px.disabled {
            continue;
        }
        if let Err(error) = listener(conf, px, (reuseport, &global.tune), &mut sockets.threads) {
            let what = if px.backend.is_some() { "proxy" } else { "frontend" };
            let place = place(conf.loc, sources);
            errors.push(format!(
                "Binding {place} for {what} {}: cannot bind socket ({}) for [{}]",
                px.name,
                words(&error),
                shown(&conf.addr)
            ));
        }
    }
    for (at, section) in snapshot.peers.iter().enumerate().filter(|(_, s)| s.is_active()) {
        let Some(listen) = &section.listen else { continue };
        match peers_listener(listen, reuseport) {
            Ok(fd) => sockets.peers.push((at, fd)),
            Err(error) => errors.push(format!(
                "Binding {} for peers section {}: cannot bind socket ({}) for [{}]",
                place(listen.loc, sources),
                section.name,
                words(&error),
                shown(&listen.addr)
            )),
        }
    }
    for conf in admin {
        match admin_socket(conf) {
            Ok(fd) => sockets.admin.push(AdminBound { conf: conf.clone(), fd }),
            Err(error) => errors.push(format!(
                "Binding {} for the admin socket: cannot bind socket ({}) for [{}]",
                place(conf.loc, sources),
                words(&error),
                shown(&conf.addr)
            )),
        }
    }
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

fn listener(
    conf: &ListenerConf,
    px: &Proxy,
    (reuseport, tune): (bool, &TuneConf),
    out: &mut [Vec<Bound>],
) -> io::Result<()> {
    let threads = threads_of(conf, out.len());
    let (first, rest) = threads.split_first().expect("a listener has at least one thread");
    if let SockAddr::Fd(fd) = conf.addr {
        let dealt = !rest.is_empty();
        out[*first].push(Bound { id: conf.id, fd: duplicate_fd(fd)?, dealt });
        return Ok(());
    }
    let Some(addr) = net::SockAddr::configured(&conf.addr) else {
        return Err(io::Error::other("this kind of address cannot be listened on"));
    };
    let single = !reuseport || !matches!(addr, net::SockAddr::Ip(_));
    let opts = bind_opts(conf, px, single, tune);
    out[*first].push(Bound {
        id: conf.id,
        fd: Listener::open(&addr, &opts)?,
        dealt: single && !rest.is_empty(),
    });
    if !single {
        for thread in rest {
            out[*thread].push(Bound { id: conf.id, fd: Listener::open(&addr, &opts)?, dealt: false });
        }
    }
    Ok(())
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

fn peers_listener(conf: &ListenConf, reuseport: bool) -> io::Result<OwnedFd> {
    if let SockAddr::Fd(fd) = conf.addr {
        return duplicate_fd(fd);
    }
    let Some(addr) = net::SockAddr::configured(&conf.addr) else {
        return Err(io::Error::other("this kind of address cannot be listened on"));
    };
    Listener::open(&addr, &BindOpts { no_reuseport: !reuseport, ..conf.opts.clone() })
}

fn admin_socket(conf: &cli::SocketConf) -> io::Result<OwnedFd> {
    if let SockAddr::Fd(fd) = conf.addr {
        return duplicate_fd(fd);
    }
    let Some(addr) = net::SockAddr::configured(&conf.addr) else {
        return Err(io::Error::other("this kind of address cannot be listened on"));
    };
    let owner = UnixOwner {
        mode: conf.mode,
        uid: conf.user.as_ref().map(user_id).transpose().map_err(io::Error::other)?,
        gid: conf.group.as_ref().map(group_id).transpose().map_err(io::Error::other)?,
    };
    let opts = BindOpts { no_reuseport: true, unix: owner, nodelay: true, ..BindOpts::default() };
    Listener::open(&addr, &opts)
}
