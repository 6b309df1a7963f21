//! `bind` lines into listeners: one for each address and port.

use std::collections::HashMap;

use crate::base::SockAddr;
use crate::base::addr::{AddrRules, AddrSpec, Host};
use crate::config::Loc;

use super::super::raw::{BindOptions, RawBind};
use super::super::{ListenerConf, ListenerId, Proxy, Snapshot};
use super::{Cx, next_free};

/// Append the listeners of `px`; their ids.
pub(super) fn build(
    cx: &mut Cx<'_>,
    px: &Proxy,
    mut binds: Vec<RawBind>,
    snapshot: &mut Snapshot,
) -> Vec<ListenerId> {
    if let Some(bind) = from_header(cx, px) {
        binds.insert(0, bind);
    }
    let first = snapshot.listeners.len();
    let mut used: HashMap<u32, Loc> = HashMap::new();
    for bind in &binds {
        let mut wanted = bind.options.id.as_ref();
        let mut all = Vec::new();
        for spec in &bind.addrs {
            all.extend(addresses(cx, spec, bind.loc));
        }
        for addr in all {
            let id = ListenerId(snapshot.listeners.len() as u32);
            // The number is the first address's only.
            let uuid = wanted.take().map_or(0, |i| i.value);
            if uuid != 0
                && let Some(first) = used.insert(uuid, bind.loc)
            {
                let loc = bind.options.id.as_ref().map_or(bind.loc, |i| i.loc);
                let message = format!("'bind' : 'id' : custom id {uuid} is used already");
                cx.diags.error(loc, message).help(format!("by the 'bind' of line {}", first.line));
            }
            snapshot.listeners.push(listener(id, px, uuid, addr, bind));
        }
    }
    let mut taken: std::collections::HashSet<u32> = used.into_keys().collect();
    let mut next = 1;
    for l in &mut snapshot.listeners[first..] {
        if l.uuid == 0 {
            next = next_free(&taken, next);
            l.uuid = next;
            taken.insert(next);
        }
        next += 1;
    }
    (first..snapshot.listeners.len()).map(|i| ListenerId(i as u32)).collect()
}

fn listener(id: ListenerId, px: &Proxy, uuid: u32, addr: SockAddr, bind: &RawBind) -> ListenerConf {
    let o = &bind.options;
    ListenerConf {
        id,
        proxy: px.id,
        name: o.name.clone(),
        uuid,
        addr,
        socket: o.socket.clone(),
        maxconn: o.maxconn.filter(|n| *n > 0),
        access: o.access.unwrap_or_default(),
        accept_proxy: o.accept_proxy,
        threads: o.threads,
        loc: bind.loc,
    }
}

fn addresses(cx: &mut Cx<'_>, spec: &AddrSpec, loc: Loc) -> Vec<SockAddr> {
    if let Some(list) = spec.sock_addrs() {
        return list;
    }
    let Host::Name(name, family) = &spec.host else { return Vec::new() };
    match cx.hosts.lookup(name, *family) {
        Some(ip) => spec.with_ip(ip),
        None => {
            cx.diags.error(loc, format!("'bind' : invalid address: '{name}' does not resolve"));
            Vec::new()
        }
    }
}

/// `listen NAME ADDR:PORT[,...]`: the form of 1.4.
fn from_header(cx: &mut Cx<'_>, px: &Proxy) -> Option<RawBind> {
    let words = &px.section.header_args;
    let word = words.first()?;
    for extra in &words[1..] {
        let message = format!("unexpected argument '{}' after the address", extra.text());
        cx.diags.error(extra.loc, message);
    }
    let text = word.text();
    let help = format!("write 'bind {text}' in the section");
    cx.diags.warning(word.loc, "an address on the section's line is an old form").help(help);
    let mut addrs = Vec::new();
    let mut at = 0;
    for part in text.split(',') {
        match AddrSpec::parse(part, AddrRules::BIND) {
            Ok(a) => addrs.push(a),
            Err(e) => {
                let loc = word.sub(at + e.span.0, e.span.1);
                cx.diags.error(loc, e.message);
                return None;
            }
        }
        at += part.len() + 1;
    }
    Some(RawBind { addrs, options: BindOptions::default(), loc: word.loc })
}
