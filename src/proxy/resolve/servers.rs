//! `server` lines into servers.

use std::collections::{HashMap, HashSet};

use crate::base::SockAddr;
use crate::base::addr::{AddrSpec, Family, Host, Ports};
use crate::config::Loc;

use super::super::cookie;
use super::super::raw::{At, InitAddr, RawServer, SendProxyOptions, ServerOptions};
use super::super::{HeaderVersion, Proxy, SendProxy, Server, Snapshot};
use super::{Cx, kind_of, next_free, next_server_id, proxies};

/// `pool-purge-delay` when nothing is said.
const PURGE_DELAY: std::time::Duration = std::time::Duration::from_secs(5);

/// The servers of `px`. `dynamic_key`: servers without a `cookie` get one made of address and key.
pub(super) fn build(
    cx: &mut Cx<'_>,
    px: &Proxy,
    raw: Vec<RawServer>,
    dynamic_key: Option<&[u8]>,
    snapshot: &mut Snapshot,
) -> Vec<Server> {
    let mut list: Vec<Server> = Vec::with_capacity(raw.len());
    let mut names: HashMap<String, Loc> = HashMap::with_capacity(raw.len());
    let mut used: HashMap<u32, Loc> = HashMap::new();
    for r in &raw {
        for number in r.template.map_or(0..=0, |(low, high)| low..=high) {
            let name = match r.template {
                None => r.name.value.clone(),
                Some(_) => format!("{}{number}", r.name.value),
            };
            if let Some(first) = names.insert(name.clone(), r.name.loc) {
                let message = format!(
                    "{} '{}' has another server named '{name}'; names must differ",
                    kind_of(px),
                    px.name
                );
                cx.diags.error(r.name.loc, message).help(format!("the first one is in line {}", first.line));
            }
            let mut server = one(cx, px, r, name);
            claim_id(cx, r, &mut server, number == r.template.map_or(0, |t| t.0), &mut used);
            server.id = next_server_id(snapshot);
            server.index = list.len();
            if let Some(key) = dynamic_key
                && server.cookie.is_none()
            {
                server.cookie = server.addr.as_ref().and_then(|a| cookie::dynamic_value(key, a));
            }
            snapshot.servers.push((px.id, list.len()));
            list.push(server);
        }
    }
    let mut taken: HashSet<u32> = used.into_keys().collect();
    let mut next = 1;
    for s in &mut list {
        if s.uuid == 0 {
            next = next_free(&taken, next);
            s.uuid = next;
            taken.insert(next);
        }
        next += 1;
    }
    list
}

fn claim_id(cx: &mut Cx<'_>, r: &RawServer, s: &mut Server, first: bool, used: &mut HashMap<u32, Loc>) {
    let Some(id) = r.options.id.as_ref().filter(|_| first) else { return };
    s.uuid = id.value;
    s.id_written = true;
    if let Some(line) = used.insert(id.value, r.loc) {
        let message = format!("'server {}' : 'id' : custom id {} is used already", s.name, id.value);
        cx.diags.error(id.loc, message).help(format!("by the server of line {}", line.line));
    }
}

fn one(cx: &mut Cx<'_>, px: &Proxy, r: &RawServer, name: String) -> Server {
    let o = &r.options;
    let (addr, hostname) = connect_to(cx, px, r, &name);
    let port_offset = match (&r.addr.value.host, r.addr.value.ports) {
        (Host::Other(_), _) => None,
        (_, Ports::None) => Some(0),
        (_, Ports::Offset(n)) => Some(n),
        _ => None,
    };
    let (minconn, maxconn) = limits(o);
    let source = o.source.clone().and_then(|s| proxies::source(cx, s, r.loc));
    Server {
        id: super::ServerId(0),
        proxy: px.id,
        index: 0,
        name,
        uuid: 0,
        id_written: false,
        hostname,
        addr,
        port_offset,
        weight: o.weight.unwrap_or(1),
        maxconn,
        minconn,
        maxqueue: o.maxqueue.unwrap_or(0),
        backup: o.backup,
        disabled: o.disabled,
        non_stick: o.non_stick,
        cookie: o.cookie.as_ref().map(|c| c.value.clone()),
        redir: o.redir.clone(),
        source,
        slowstart: o.slowstart,
        check: o.check.clone(),
        track: None,
        send_proxy: send_proxy(&o.send_proxy),
        pool_max_conn: o.pool_max_conn.unwrap_or(None),
        pool_low_conn: o.pool_low_conn.unwrap_or(0),
        pool_purge_delay: o.pool_purge_delay.unwrap_or(PURGE_DELAY),
        max_reuse: o.max_reuse,
        tcp_user_timeout: o.tcp_user_timeout,
        tfo: o.tfo,
        implicit: false,
        loc: r.loc,
    }
}

/// What its connections begin with. Version 2 when both are asked for.
fn send_proxy(o: &SendProxyOptions) -> Option<Box<SendProxy>> {
    let version = match (o.v1, o.v2) {
        (_, true) => HeaderVersion::V2,
        (true, false) => HeaderVersion::V1,
        (false, false) => return None,
    };
    let (checksum, unique_id, ssl, tlvs) = (o.checksum, o.unique_id, o.ssl, o.tlvs.clone());
    Some(Box::new(SendProxy { version, checksum, unique_id, ssl, tlvs }))
}

/// The one server of a backend that has none and yet a target: `dispatch` or `option transparent`.
pub(super) fn implicit(cx: &mut Cx<'_>, px: &Proxy, target: At<AddrSpec>, snapshot: &mut Snapshot) -> Server {
    let raw = RawServer {
        name: At::new("<NOSRV>".to_owned(), target.loc),
        loc: target.loc,
        addr: target,
        template: None,
        options: ServerOptions::default(),
    };
    let server =
        Server { id: next_server_id(snapshot), implicit: true, ..one(cx, px, &raw, raw.name.value.clone()) };
    snapshot.servers.push((px.id, 0));
    server
}

/// The address that stands for the one the client asked for.
pub(super) fn original_destination(loc: Loc) -> At<AddrSpec> {
    At::new(AddrSpec { host: Host::Any(Family::V4), ports: Ports::None, transport: None }, loc)
}

/// `minconn` without `maxconn` is a limit all the same; a greater one than `maxconn` is `maxconn`.
fn limits(o: &ServerOptions) -> (u32, u32) {
    let (min, max) = (o.minconn.unwrap_or(0), o.maxconn.unwrap_or(0));
    match (min, max) {
        (0, max) => (max, max),
        (min, 0) => (min, min),
        (min, max) => (min.min(max), max),
    }
}

/// The address to connect to, and the host name when it was one.
fn connect_to(cx: &mut Cx<'_>, px: &Proxy, r: &RawServer, name: &str) -> (Option<SockAddr>, Option<String>) {
    if let Some(list) = r.addr.value.sock_addrs() {
        return (list.into_iter().next(), None);
    }
    let Host::Name(host, family) = &r.addr.value.host else { return (None, None) };
    let default = [InitAddr::Last, InitAddr::Libc];
    let methods = r.options.init_addr.as_deref().unwrap_or(&default);
    for method in methods {
        let ip = match method {
            InitAddr::Last => None,
            InitAddr::Libc => cx.hosts.lookup(host, *family),
            InitAddr::Ip(ip) => Some(*ip),
            InitAddr::None => return (None, Some(host.clone())),
        };
        if let Some(ip) = ip {
            return (r.addr.value.with_ip(ip).into_iter().next(), Some(host.clone()));
        }
    }
    let message = format!("'server {}/{name}' : could not resolve address '{host}'.", px.name);
    let help = "mend the name, or let the server start without an address: init-addr last,libc,none";
    cx.diags.error(r.addr.loc, message).help(help);
    (None, Some(host.clone()))
}
