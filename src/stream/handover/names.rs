//! Names of what connections depend on, and what two configurations have in common.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use super::super::worker::Shared;
use super::Fds;
use super::codec::Malformed;
use super::state::Message;
use crate::net::Packet;
use crate::proxy::{ListenerId, Mode, Proxy, ProxyId, ServerId, Snapshot};

/// `listener <mode> <frontend> <address>`, with a number when the frontend binds the address several times. The
/// mode is a part of it: an HTTP client is nothing for a TCP frontend.
fn listener_names(snapshot: &Snapshot) -> Vec<String> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let name = |l: &crate::proxy::ListenerConf| {
        let fe = snapshot.proxy(l.proxy);
        let mut name = format!("listener {} {} {}", mode(fe.mode), fe.name, l.addr);
        let times = seen.entry(name.clone()).or_insert(0);
        *times += 1;
        if *times > 1 {
            let _ = write!(name, " {times}");
        }
        name
    };
    snapshot.listeners.iter().map(name).collect()
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
        Mode::Health => "health",
    }
}

/// `proxy http <name>`, with the mode of the proxy.
fn proxy_name(px: &Proxy) -> String {
    format!("proxy {} {}", mode(px.mode), px.name)
}

/// `server <backend>/<server>`
fn server_name(snapshot: &Snapshot, &(proxy, index): &(ProxyId, usize)) -> String {
    let px = snapshot.proxy(proxy);
    format!("server {}/{}", px.name, px.backend().servers[index].name)
}

/// What of this configuration the successor knows.
pub struct Known {
    /// By `ListenerId`: the name, if it is known there.
    listeners: Vec<Option<String>>,
    /// By `ServerId`.
    servers: Vec<bool>,
    /// By `ProxyId`.
    proxies: Vec<bool>,
}

impl Known {
    /// `names`: what the successor said.
    pub(super) fn new<'n>(snapshot: &Snapshot, names: impl IntoIterator<Item = &'n str>) -> Known {
        let names: HashSet<&str> = names.into_iter().collect();
        let proxies = snapshot.proxies.iter().map(|px| names.contains(&*proxy_name(px))).collect();
        let known = |name: String| names.contains(name.as_str()).then_some(name);
        Known {
            listeners: listener_names(snapshot).into_iter().map(known).collect(),
            proxies,
            servers: snapshot.servers.iter().map(|s| names.contains(&*server_name(snapshot, s))).collect(),
        }
    }

    pub(super) fn listener(&self, id: ListenerId) -> Option<&str> {
        self.listeners.get(id.index())?.as_deref()
    }

    /// Whether it knows the proxy, in the same mode.
    pub(super) fn proxy(&self, id: ProxyId) -> bool {
        self.proxies.get(id.index()).copied().unwrap_or(false)
    }

    /// Whether it knows the server.
    pub(super) fn server(&self, id: ServerId) -> bool {
        self.servers.get(id.index()).copied().unwrap_or(false)
    }
}

/// What this process can take over.
pub struct Estate {
    shared: Arc<Shared>,
    listeners: HashMap<String, ListenerId>,
}

/// A connection on its way to a thread.
pub struct Arrival {
    pub(super) message: Message,
    pub(super) listener: ListenerId,
    pub(super) fds: Fds,
}

impl Estate {
    /// Of a configuration.
    pub fn new(shared: Arc<Shared>) -> Estate {
        let names = listener_names(&shared.snapshot);
        let listeners = shared.snapshot.listeners.iter().zip(names).map(|(l, name)| (name, l.id)).collect();
        Estate { shared, listeners }
    }

    /// The names of everything that connections may depend on.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let snapshot = &self.shared.snapshot;
        let proxies = snapshot.proxies.iter().map(proxy_name);
        self.listeners
            .keys()
            .cloned()
            .chain(proxies)
            .chain(snapshot.servers.iter().map(|s| server_name(snapshot, s)))
    }

    /// A connection out of its message.
    ///
    /// # Errors
    /// When the message makes no sense here: its connections are closed.
    pub fn read(&self, packet: Packet) -> Result<Arrival, Malformed> {
        let message = Message::read(&packet.bytes)?;
        let listener = *self.listeners.get(&message.client().listener).ok_or(Malformed)?;
        if packet.fds.len() != message.fds() {
            return Err(Malformed);
        }
        Ok(Arrival { message, listener, fds: packet.fds })
    }
}
