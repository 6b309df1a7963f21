//! The resolved configuration. Immutable; shared by all threads.

use std::collections::HashMap;
use std::sync::Arc;

use crate::acl::Condition;
use crate::config::{Loc, Section};
use crate::peers::SectionConf;
use crate::sample::Ctx;
use crate::stick::{TableDef, TableId};

use super::balance::BalanceConf;
use super::cookie::CookieConf;
use super::raw::At;
use super::{
    ConnOptions, ErrorPages, GlobalConf, HttpOptions, ListenerConf, ListenerId, Mode, ProxyId, RetryOn,
    Server, ServerId, SourceAddr, Timeouts,
};

/// Everything that was configured.
pub struct Snapshot {
    /// The proxies in the order of the files; indexed by [`ProxyId`].
    pub proxies: Vec<Proxy>,
    /// The listeners, in the order of their proxies; indexed by [`ListenerId`].
    pub listeners: Vec<ListenerConf>,
    /// Where each server is: proxy and position in its backend; indexed by [`ServerId`].
    pub servers: Vec<(ProxyId, usize)>,
    /// The `global` section, as written (empty when there was none).
    pub global: Section,
    /// Sections that are neither proxies nor `global`: peers, userlists, defaults, ...
    pub sections: Vec<Section>,
    /// The peers sections.
    pub peers: Vec<Arc<SectionConf>>,
    /// The stick tables; indexed by [`TableId`].
    pub tables: Vec<TableDef>,
    pub(super) frontends: HashMap<String, ProxyId>,
    pub(super) backends: HashMap<String, ProxyId>,
}

/// A frontend, a backend, or both (`listen`).
pub struct Proxy {
    /// Position in the snapshot.
    pub id: ProxyId,
    /// Name.
    pub name: String,
    /// `id`, or the automatic number.
    pub uuid: u32,
    pub(super) id_loc: Option<Loc>,
    /// `mode`.
    pub mode: Mode,
    /// `disabled`.
    pub disabled: bool,
    /// `description`.
    pub description: Option<String>,
    /// `guid`.
    pub guid: Option<String>,
    /// Every timeout.
    pub timeouts: Timeouts,
    /// Connection options.
    pub conn: ConnOptions,
    /// HTTP options.
    pub http: HttpOptions,
    /// Error pages.
    pub errors: ErrorPages,
    /// The client side, in a `frontend` or a `listen`.
    pub frontend: Option<Frontend>,
    /// The server side, in a `backend` or a `listen`.
    pub backend: Option<Backend>,
    /// Its stick table.
    pub table: Option<TableId>,
    /// What the other features (rules, logs, captures, checks, statistics) stored for this proxy.
    pub section: Section,
    /// The section's header line.
    pub loc: Loc,
}

/// The client side of a proxy.
#[derive(Default)]
pub struct Frontend {
    /// Its listeners.
    pub listeners: Vec<ListenerId>,
    /// `maxconn`; 0 follows the process's limit.
    pub maxconn: u32,
    /// `backlog`.
    pub backlog: Option<u32>,
    /// `default_backend`; a `listen` without one is its own.
    pub default_backend: Option<ProxyId>,
    pub(super) default_backend_name: Option<At<String>>,
    /// `rate-limit sessions`, per second.
    pub rate_limit: Option<u32>,
    /// `monitor-uri`.
    pub monitor_uri: Option<Vec<u8>>,
    /// `monitor-net`: network and prefix length in bits.
    pub monitor_net: Option<(std::net::IpAddr, u8)>,
    /// `monitor fail`: when one of these holds, the `monitor-uri` is answered with 503.
    pub monitor_fail: Vec<Condition>,
    /// `max-session-srv-conns`: idle server connections one client connection may own.
    pub max_session_srv_conns: u32,
}

/// The server side of a proxy.
pub struct Backend {
    /// Its servers in the order of the file.
    pub servers: Vec<Server>,
    /// `balance`, `hash-type`, `hash-balance-factor`.
    pub balance: BalanceConf,
    pub(super) balance_loc: Option<Loc>,
    /// `cookie`.
    pub cookie: Option<CookieConf>,
    pub(super) cookie_loc: Option<Loc>,
    /// `option persist`: follow the cookie to a server that is down.
    pub persist: bool,
    /// `force-persist` and `ignore-persist`, in order: see [`Backend::persistence`].
    pub persist_rules: Vec<PersistRule>,
    /// `be-unpublished`: other proxies do not route to it until it is published.
    pub unpublished: bool,
    /// `retries`.
    pub retries: u32,
    /// `retry-on`.
    pub retry_on: RetryOn,
    /// `option redispatch`: 0: off; n: a new server every n retries; negative: from the n-th last retry on.
    pub redispatch: i32,
    /// `fullconn`, computed when not configured.
    pub fullconn: u32,
    /// `option allbackups`.
    pub allbackups: bool,
    /// `option prefer-last-server`.
    pub prefer_last_server: bool,
    /// `max-keep-alive-queue`; `None`: no limit.
    pub max_keep_alive_queue: Option<u32>,
    /// `source`.
    pub source: SourceAddr,
    pub(super) unused_dispatch: Option<Loc>,
}

impl Snapshot {
    /// What the `global` section says, when there is one.
    pub fn global_conf(&self) -> Option<&GlobalConf> {
        self.global.get()
    }

    /// A proxy.
    pub fn proxy(&self, id: ProxyId) -> &Proxy {
        &self.proxies[id.index()]
    }

    /// A stick table.
    pub fn table(&self, id: TableId) -> &TableDef {
        &self.tables[id.index()]
    }

    /// A listener.
    pub fn listener(&self, id: ListenerId) -> &ListenerConf {
        &self.listeners[id.index()]
    }

    /// A server.
    pub fn server(&self, id: ServerId) -> &Server {
        let (proxy, index) = self.servers[id.index()];
        &self.proxies[proxy.index()].backend().servers[index]
    }

    /// The frontend (or `listen`) of that name.
    pub fn frontend(&self, name: &str) -> Option<&Proxy> {
        self.frontends.get(name).map(|id| self.proxy(*id))
    }

    /// The backend (or `listen`) of that name.
    pub fn backend(&self, name: &str) -> Option<&Proxy> {
        self.backends.get(name).map(|id| self.proxy(*id))
    }
}

impl Proxy {
    /// The number was written (`id`).
    pub fn id_written(&self) -> bool {
        self.id_loc.is_some()
    }

    /// The server side. Only for proxies that were found as a backend.
    ///
    /// # Panics
    /// When the proxy is a pure frontend: the resolver lets no backend id point at one.
    pub fn backend(&self) -> &Backend {
        self.backend.as_ref().expect("a backend id names a proxy with a server side")
    }

    /// The client side. Only for proxies that a listener feeds.
    ///
    /// # Panics
    /// When the proxy is a pure backend: the resolver gives listeners to frontends only.
    pub fn frontend(&self) -> &Frontend {
        self.frontend.as_ref().expect("a listener names a proxy with a client side")
    }
}

impl Frontend {
    /// True when `addr` lies in `monitor-net`.
    pub fn is_monitor(&self, addr: std::net::IpAddr) -> bool {
        let except = self.monitor_net;
        super::ForwardedFor { header: Vec::new(), except, if_none: false }.is_excepted(addr)
    }
}

/// `force-persist` or `ignore-persist`.
#[derive(Clone, Debug)]
pub struct PersistRule {
    /// True: follow the cookie to a server that is down; false: do not look at the cookie.
    pub force: bool,
    /// When.
    pub condition: Condition,
}

impl Frontend {
    /// True when the `monitor-uri` must be answered with 503.
    pub fn monitor_fails(&self, cx: &dyn Ctx) -> bool {
        self.monitor_fail.iter().any(|c| c.eval(cx))
    }
}

impl Backend {
    /// What the first matching rule says about persistence: (forced, ignored).
    pub fn persistence(&self, cx: &dyn Ctx) -> (bool, bool) {
        match self.persist_rules.iter().find(|r| r.condition.eval(cx)) {
            None => (false, false),
            Some(r) => (r.force, !r.force),
        }
    }

    /// The server of that name and its position.
    pub fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|s| s.name == name)
    }
}
