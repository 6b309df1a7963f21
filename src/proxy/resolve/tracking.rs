//! `track`: names into ids, chains without loops that end at a server with checks.

use super::super::{Server, ServerId, Snapshot};
use super::Cx;

pub(super) fn resolve(cx: &mut Cx<'_>, snapshot: &mut Snapshot) {
    for id in 0..snapshot.servers.len() {
        if let Some(target) = find(cx, snapshot, ServerId(id as u32)) {
            let (px, index) = snapshot.servers[id];
            if let Some(be) = &mut snapshot.proxies[px.index()].backend {
                be.servers[index].track = Some(target);
            }
        }
    }
    for id in 0..snapshot.servers.len() {
        follow(cx, snapshot, ServerId(id as u32));
    }
}

fn find(cx: &mut Cx<'_>, snapshot: &Snapshot, id: ServerId) -> Option<ServerId> {
    let srv = snapshot.server(id);
    let (name, loc) = srv.check.track.as_ref()?;
    let own = snapshot.proxy(srv.proxy);
    let who = format!("'server {}/{}'", own.name, srv.name);
    if srv.check.enabled == Some(true) || srv.check.agent == Some(true) {
        cx.diags
            .error(*loc, format!("{who} : checks and tracking exclude each other"))
            .help("remove 'check'");
        return None;
    }
    let (px, name) = match name.split_once('/') {
        None => (own, name.as_str()),
        Some((proxy, name)) => match snapshot.backend(proxy) {
            Some(px) => (px, name),
            None => {
                cx.diags.error(*loc, format!("{who} : no backend '{proxy}' to track a server of"));
                return None;
            }
        },
    };
    let found = px.backend.as_ref().and_then(|b| b.server(name));
    if found.is_none() {
        let names = px.backend.iter().flat_map(|b| &b.servers).map(|s| s.name.as_str());
        let near = crate::config::suggest::closest(name, names);
        let d = cx.diags.error(*loc, format!("{who} : no server '{name}' to track"));
        if let Some(best) = near {
            d.help(format!("did you mean '{best}'?"));
        }
    }
    found.map(|s| s.id)
}

/// Walk the chain from `id`: it must end, and where it ends there must be checks.
fn follow(cx: &mut Cx<'_>, snapshot: &Snapshot, id: ServerId) {
    let start = snapshot.server(id);
    let Some(loc) = start.check.track.as_ref().map(|t| t.1) else { return };
    let mut at = start;
    // A chain without a loop visits each server once at most.
    for _ in 0..snapshot.servers.len() {
        let Some(next) = at.track else {
            if at.id != id && !is_checked(at) {
                let message = format!(
                    "'server {}/{}' : unable to track '{}', which has neither checks nor an agent",
                    snapshot.proxy(start.proxy).name,
                    start.name,
                    at.name
                );
                cx.diags.error(loc, message).help("add 'check' to the tracked server");
            }
            return;
        };
        if next == id {
            let message = format!(
                "'server {}/{}' : its tracking chain leads back to itself",
                snapshot.proxy(start.proxy).name,
                start.name
            );
            cx.diags.error(loc, message);
            return;
        }
        at = snapshot.server(next);
    }
}

fn is_checked(s: &Server) -> bool {
    s.check.enabled == Some(true) || s.check.agent == Some(true)
}
