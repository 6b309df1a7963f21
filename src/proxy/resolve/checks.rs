//! Checks over whole proxies and between them.

use std::collections::HashMap;

use crate::config::{Loc, Section, SectionKind};
use crate::log;
use crate::rules::{AppSessions, ProxyRules};

use super::super::balance::Algorithm;
use super::super::check::{CheckKind, ProxyCheck};
use super::super::{Backend, Frontend, Mode, Proxy, Snapshot};
use super::proxies::is_http;
use super::{Cx, kind_of};

pub(super) fn check(cx: &mut Cx<'_>, snapshot: &Snapshot) {
    inherited_rules(cx, snapshot);
    for px in snapshot.proxies.iter().filter(|p| !p.disabled) {
        if let Some(fe) = &px.frontend {
            frontend(cx, snapshot, px, fe);
        }
        if let Some(be) = &px.backend {
            backend(cx, px, be);
        }
        if !is_http(px) {
            http_in_tcp(cx, px);
        }
        timeouts(cx, px);
    }
}

fn frontend(cx: &mut Cx<'_>, snapshot: &Snapshot, px: &Proxy, fe: &Frontend) {
    if fe.listeners.is_empty() {
        let message = format!("{} '{}' has no 'bind' directive.", kind_of(px), px.name);
        cx.diags.warning(px.loc, message).help("add one, or declare it as a backend if that was meant");
    }
    if let Some(target) = fe.default_backend {
        let loc = fe.default_backend_name.as_ref().map_or(px.loc, |n| n.loc);
        modes(cx, px, snapshot.proxy(target), loc, "as its default backend");
    }
    log::check_targets(&px.section, &snapshot.global, cx.diags);
    let rules = px.section.get::<ProxyRules>();
    for r in rules.iter().flat_map(|r| &r.use_backend).filter_map(|r| r.target()) {
        if let Some(target) = r.proxy() {
            modes(cx, px, &snapshot.proxies[target.0 as usize], r.loc, "in a 'use_backend' rule");
        }
    }
}

/// A frontend and a backend that it uses must speak the same protocol; but TCP may turn out to be HTTP (manual
/// section 4).
fn modes(cx: &mut Cx<'_>, fe: &Proxy, be: &Proxy, loc: crate::config::Loc, how: &str) {
    let upgrade = fe.mode == Mode::Tcp && be.mode == Mode::Http;
    if fe.mode == be.mode || fe.id == be.id || upgrade {
        return;
    }
    let name = |m| match m {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
        Mode::Health => "health",
    };
    let message = format!(
        "{} {} '{}' tries to use incompatible {} backend '{}' {how}.",
        name(fe.mode),
        kind_of(fe),
        fe.name,
        name(be.mode),
        be.name
    );
    let help = format!("give both the same 'mode'; the backend is in line {}", be.loc.line);
    cx.diags.error(loc, message).help(help);
}

fn backend(cx: &mut Cx<'_>, px: &Proxy, be: &Backend) {
    let dynamic = be.cookie.as_ref().is_some_and(|c| c.dynamic && c.dynamic_key.is_none());
    if dynamic {
        let message = format!("proxy '{}' : dynamic cookies need 'dynamic-cookie-key'.", px.name);
        cx.diags.warning(be.cookie_loc.unwrap_or(px.loc), message).help("without one no cookie is made");
    }
    if let Some(loc) = be.unused_dispatch {
        let message = format!(
            "the dispatch address of {} '{}' will be ignored: there are servers.",
            kind_of(px),
            px.name
        );
        cx.diags.warning(loc, message).help("remove one of the two");
    }
    for s in be.servers.iter().filter(|s| s.check.enabled == Some(true)) {
        let no_port = s.port_offset.is_some() && s.check.port.is_none() && s.check.addr_port.is_none();
        if no_port {
            let message = format!(
                "proxy '{}': server '{}' has neither a port of its own nor one for its checks.",
                px.name, s.name
            );
            cx.diags.error(s.loc, message).help("add 'port <port>'");
        }
    }
    for s in be.servers.iter().filter(|s| s.check.agent == Some(true) && s.check.agent_port.is_none()) {
        let message = format!("proxy '{}': server '{}' has 'agent-check' without a port.", px.name, s.name);
        cx.diags.error(s.loc, message).help("add 'agent-port <port>'");
    }
    unused_check_rules(cx, px);
}

/// `http-check` and `tcp-check` rules do nothing without their option. Those from `defaults` may serve others.
fn unused_check_rules(cx: &mut Cx<'_>, px: &Proxy) {
    let Some(check) = px.section.get::<ProxyCheck>() else { return };
    let (http, tcp) = (matches!(check.kind, CheckKind::Http), matches!(check.kind, CheckKind::TcpRules));
    let own = |owner: Option<Loc>| owner == Some(px.loc);
    for (used, owner, rules, option) in
        [(http, check.http_owner, "http-check", "httpchk"), (tcp, check.tcp_owner, "tcp-check", "tcp-check")]
    {
        if !used && own(owner) {
            let message = format!(
                "{} '{}' uses {rules} rules without 'option {option}', so the rules are ignored.",
                kind_of(px),
                px.name
            );
            cx.diags.warning(px.loc, message).help(format!("add 'option {option}', or remove the rules"));
        }
    }
}

/// HTTP features of a TCP proxy are ignored with a warning, except those of servers.
fn http_in_tcp(cx: &mut Cx<'_>, px: &Proxy) {
    let needs = |cx: &mut Cx<'_>, loc: crate::config::Loc, what: &str| {
        let message =
            format!("{what} will be ignored for {} '{}' (needs 'mode http').", kind_of(px), px.name);
        cx.diags.warning(loc, message).help("add 'mode http'");
    };
    if let Some(be) = &px.backend {
        if let Some(loc) = be.cookie_loc {
            needs(cx, loc, "'cookie'");
        }
        if let Some(sessions) = px.section.get::<AppSessions>().and_then(|s| s.0.as_ref()) {
            needs(cx, sessions.loc, "'appsession'");
        }
        let layer7 = match be.balance.algorithm {
            Algorithm::Uri { .. } => Some("balance uri"),
            Algorithm::UrlParam { .. } => Some("balance url_param"),
            Algorithm::Header { .. } => Some("balance hdr"),
            _ => None,
        };
        if let Some(name) = layer7 {
            let message =
                format!("'{name}' is not possible for {} '{}' (needs 'mode http').", kind_of(px), px.name);
            cx.diags.warning(be.balance_loc.unwrap_or(px.loc), message).help("falling back to round robin");
        }
        for s in &be.servers {
            let message = |what: &str| {
                format!("{} '{}' : {what} of server '{}' needs 'mode http'.", kind_of(px), px.name, s.name)
            };
            if s.redir.is_some() {
                cx.diags.error(s.loc, message("the redirect prefix"));
            }
            if s.cookie.is_some() {
                cx.diags.warning(s.loc, message("the cookie")).help("it is ignored");
            }
        }
    }
    if px.frontend.as_ref().is_some_and(|f| f.monitor_uri.is_some()) {
        needs(cx, px.loc, "'monitor-uri'");
    }
    if px.http.forwardfor.is_some() {
        needs(cx, px.loc, "'option forwardfor'");
    }
    if px.http.originalto.is_some() {
        needs(cx, px.loc, "'option originalto'");
    }
    if px.http.buffer_request {
        needs(cx, px.loc, "'option http-buffer-request'");
    }
    if let Some(rules) = px.section.get::<ProxyRules>() {
        if !rules.http_request.is_empty() {
            needs(cx, px.loc, "'http-request' rules");
        }
        if !rules.http_response.is_empty() {
            needs(cx, px.loc, "'http-response' rules");
        }
        if !rules.redirect.is_empty() {
            needs(cx, px.loc, "'redirect' rules");
        }
    }
}

fn timeouts(cx: &mut Cx<'_>, px: &Proxy) {
    let t = &px.timeouts;
    let mut missing = Vec::new();
    if px.frontend.is_some() && t.client.is_none() {
        missing.push("client");
    }
    if px.backend.as_ref().is_some_and(|b| !b.servers.is_empty()) {
        if t.connect.is_none() {
            missing.push("connect");
        }
        if t.server.is_none() {
            missing.push("server");
        }
    }
    if missing.is_empty() || px.mode == Mode::Health {
        return;
    }
    let message = format!("missing timeouts for {} '{}': {}.", kind_of(px), px.name, missing.join(", "));
    let lines: Vec<String> = missing.iter().map(|m| format!("'timeout {m} 30s'")).collect();
    let help = format!(
        "connections that fall silent stay for ever; add {} here or to a 'defaults' section",
        lines.join(", ")
    );
    cx.diags.warning(px.loc, message).help(help);
}

/// Rules in a `defaults` section can be shared by frontends, or by backends, but not by both, nor by what is both:
/// their order would not be the one that the file shows (manual, section 4).
fn inherited_rules(cx: &mut Cx<'_>, snapshot: &Snapshot) {
    let rules_of =
        |s: &Section| s.get::<ProxyRules>().and_then(|r| r.inherited(s.loc).map(|from| (r.clone(), from)));
    for section in snapshot.sections.iter().filter(|s| s.kind == SectionKind::Defaults) {
        if rules_of(section).is_some() {
            cx.diags
                .error(
                    section.loc,
                    format!(
                        "'defaults {}' cannot start from a 'defaults' section that has rules",
                        section.name
                    ),
                )
                .help("move the rules into the sections that need them");
        }
    }
    let mut sides: HashMap<(u16, u32), (bool, bool)> = HashMap::new();
    for px in &snapshot.proxies {
        let Some((rules, from)) = rules_of(&px.section) else { continue };
        let (fe, be) = (px.frontend.is_some(), px.backend.is_some());
        let side = sides.entry((from.file, from.line)).or_default();
        side.0 |= fe;
        side.1 |= be;
        let early = rules.tcp_connection.inherited(px.loc).or(rules.tcp_session.inherited(px.loc));
        let why = match side {
            (true, true) if fe && be => "a 'listen' section",
            (true, true) => "a frontend and a backend at the same time",
            _ if be && early.is_some() => "a backend: it has 'tcp-request connection' or 'session' rules",
            _ if fe && rules.tcp_response.inherited(px.loc).is_some() => {
                "a frontend: it has 'tcp-response' rules"
            }
            _ => continue,
        };
        cx.diags
            .error(
                px.loc,
                format!("proxy '{}': a 'defaults' section with rules cannot be used for {why}", px.name),
            )
            .help("use two 'defaults' sections, or move the rules into the sections that need them");
    }
}
