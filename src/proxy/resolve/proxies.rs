//! One section into one [`Proxy`], everything but references to other sections.

use std::collections::HashSet;
use std::sync::Arc;

use crate::base::SockAddr;
use crate::base::addr::{AddrSpec, Ports};
use crate::config::{Loc, Section};

use super::super::cookie::CookieConf;
use super::super::raw::{At, RawBackend, RawError, RawFrontend, RawHttp, RawProxy};
use super::super::server::{SourceAddr, SourceSpec};
use super::super::{Backend, ErrorPages, Frontend, HttpOptions, Mode, Proxy, ProxyId, RetryOn, Snapshot};
use super::{Cx, kind_of, listeners, next_free, servers};

/// `retries` when nothing is said.
const RETRIES: u32 = 3;

pub(super) fn build(cx: &mut Cx<'_>, mut section: Section, snapshot: &mut Snapshot) {
    let raw = std::mem::take(section.feature::<RawProxy>());
    let id = ProxyId(snapshot.proxies.len() as u32);
    let mut px = Proxy {
        id,
        name: section.name.clone(),
        uuid: raw.id.as_ref().map_or(0, |i| i.value),
        id_loc: raw.id.as_ref().map(|i| i.loc),
        mode: raw.mode.unwrap_or_default(),
        disabled: raw.disabled,
        description: raw.description,
        guid: raw.guid,
        timeouts: raw.timeouts,
        conn: raw.conn,
        http: http(raw.http),
        errors: error_pages(cx, &raw.errors),
        frontend: None,
        backend: None,
        table: None,
        loc: section.loc,
        section,
    };
    crate::log::check_mode(&mut px.section, px.mode == Mode::Http, cx.diags);
    if px.section.kind.is_frontend() {
        px.frontend = Some(frontend(cx, &px, raw.front, snapshot));
    }
    if px.section.kind.is_backend() {
        px.backend = Some(backend(cx, &px, raw.back, snapshot));
    }
    snapshot.proxies.push(px);
}

fn http(raw: RawHttp) -> HttpOptions {
    HttpOptions {
        close: raw.close.unwrap_or_default(),
        pretend_keepalive: raw.pretend_keepalive,
        no_delay: raw.no_delay,
        ignore_probes: raw.ignore_probes,
        buffer_request: raw.buffer_request,
        forwardfor: raw.forwardfor,
        originalto: raw.originalto,
        accept_unsafe_request: raw.accept_unsafe_request,
        accept_unsafe_response: raw.accept_unsafe_response,
        abortonclose: raw.abortonclose,
        checkcache: raw.checkcache,
        restrict_names: raw.restrict_names,
        reuse: raw.reuse.unwrap_or_default(),
        send_name_header: raw.send_name_header,
    }
}

fn error_pages(cx: &mut Cx<'_>, raw: &[RawError]) -> ErrorPages {
    let mut pages = ErrorPages::default();
    for e in raw {
        match e {
            RawError::Page { status, page } => pages.set(*status, Arc::clone(page)),
            RawError::Section { name, codes } => {
                let Some(section) = cx.error_sections.get(&name.value) else {
                    let message = format!("errorfiles : unknown http-errors section '{}'", name.value);
                    let near = crate::config::suggest::closest(
                        &name.value,
                        cx.error_sections.keys().map(String::as_str),
                    );
                    let d = cx.diags.error(name.loc, message);
                    if let Some(best) = near {
                        d.help(format!("did you mean '{best}'?"));
                    }
                    continue;
                };
                for code in codes.iter().filter(|c| !section.pages.iter().any(|(s, _)| s == *c)) {
                    let message =
                        format!("status '{code}' is not declared in http-errors section '{}'", name.value);
                    cx.diags.warning(name.loc, message).help("it keeps the page that it had");
                }
                for (status, page) in &section.pages {
                    if codes.is_empty() || codes.contains(status) {
                        pages.set(*status, Arc::clone(page));
                    }
                }
            }
        }
    }
    pages
}

fn frontend(cx: &mut Cx<'_>, px: &Proxy, raw: RawFrontend, snapshot: &mut Snapshot) -> Frontend {
    let ids = listeners::build(cx, px, raw.binds, snapshot);
    Frontend {
        listeners: ids,
        maxconn: raw.maxconn.unwrap_or(0),
        backlog: raw.backlog,
        default_backend: None,
        default_backend_name: raw.default_backend,
        rate_limit: raw.rate_limit,
        monitor_uri: raw.monitor_uri,
        monitor_net: raw.monitor_net,
        monitor_fail: raw.monitor_fail,
        max_session_srv_conns: raw.max_session_srv_conns.unwrap_or(5),
    }
}

fn backend(cx: &mut Cx<'_>, px: &Proxy, raw: RawBackend, snapshot: &mut Snapshot) -> Backend {
    let source = raw.source.and_then(|s| source(cx, s, px.loc)).unwrap_or_default();
    let dynamic = raw.cookie.as_ref().is_some_and(|c| c.value.dynamic);
    let key = dynamic.then(|| raw.dynamic_cookie_key.clone()).flatten();
    let mut list = servers::build(cx, px, raw.servers, key.as_deref(), snapshot);
    let unused_dispatch = raw.dispatch.as_ref().filter(|_| !list.is_empty()).map(|d| d.loc);
    let original = || raw.transparent.then(|| servers::original_destination(px.loc));
    if list.is_empty()
        && let Some(target) = raw.dispatch.or_else(original)
    {
        list.push(servers::implicit(cx, px, target, snapshot));
    }
    Backend {
        balance: raw.balance_conf,
        balance_loc: raw.balance.map(|b| b.loc),
        cookie_loc: raw.cookie.as_ref().map(|c| c.loc),
        cookie: raw.cookie.map(|c| CookieConf { dynamic_key: key, ..c.value }),
        persist: raw.persist,
        persist_rules: raw.persist_rules,
        unpublished: raw.unpublished,
        retries: raw.retries.unwrap_or(RETRIES),
        retry_on: raw.retry_on.map_or(RetryOn::CONN_FAILURE, |r| r.value),
        redispatch: raw.redispatch.unwrap_or(0),
        fullconn: raw.fullconn.unwrap_or(0),
        allbackups: raw.allbackups,
        prefer_last_server: raw.prefer_last_server,
        max_keep_alive_queue: raw.max_keep_alive_queue,
        source,
        unused_dispatch,
        servers: list,
    }
}

/// One socket address, with the host name looked up.
pub(super) fn address(cx: &mut Cx<'_>, spec: &At<AddrSpec>) -> Option<SockAddr> {
    if let Some(list) = spec.value.sock_addrs() {
        return list.into_iter().next();
    }
    let crate::base::addr::Host::Name(name, family) = &spec.value.host else { return None };
    match cx.hosts.lookup(name, *family) {
        Some(ip) => spec.value.with_ip(ip).into_iter().next(),
        None => {
            cx.diags.error(spec.loc, format!("could not resolve address '{name}'"));
            None
        }
    }
}

pub(super) fn source(cx: &mut Cx<'_>, spec: SourceSpec, loc: Loc) -> Option<SourceAddr> {
    let mut out = SourceAddr { addr: None, ports: (0, 0), usesrc: spec.usesrc, interface: spec.interface };
    if let Some(addr) = spec.addr {
        out.ports = match addr.ports {
            Ports::One(p) => (p, p),
            Ports::Range(low, high) => (low, high),
            _ => (0, 0),
        };
        let any_port = AddrSpec { ports: Ports::None, ..addr };
        out.addr = Some(address(cx, &At::new(any_port, loc))?);
    }
    Some(out)
}

/// Give every proxy its number: the configured one, or the next free one by position.
pub(super) fn number(cx: &mut Cx<'_>, snapshot: &mut Snapshot) {
    let mut used: HashSet<u32> = HashSet::new();
    let mut owners: Vec<(u32, usize)> = Vec::new();
    for (i, px) in snapshot.proxies.iter().enumerate() {
        let Some(loc) = px.id_loc else { continue };
        if used.insert(px.uuid) {
            owners.push((px.uuid, i));
            continue;
        }
        let message = format!("{} '{}' has the id {} of another proxy", kind_of(px), px.name, px.uuid);
        let d = cx.diags.error(loc, message);
        if let Some((_, first)) = owners.iter().find(|(n, _)| *n == px.uuid) {
            let first = &snapshot.proxies[*first];
            d.help(format!("{} '{}' has it, line {}", kind_of(first), first.name, first.loc.line));
        }
    }
    // The admin socket's own frontend takes the first automatic number, unless a proxy asks for it.
    if snapshot.global_conf().is_some_and(|g| !g.stats.sockets.is_empty()) {
        used.insert(1);
    }
    let mut next = 1;
    for px in &mut snapshot.proxies {
        if px.uuid == 0 {
            next = next_free(&used, next);
            px.uuid = next;
            used.insert(next);
        }
        next += 1;
    }
    debug_assert!(snapshot.proxies.iter().all(|p| p.uuid > 0));
}

/// True when the proxy speaks HTTP.
pub(super) fn is_http(px: &Proxy) -> bool {
    px.mode == Mode::Http
}
