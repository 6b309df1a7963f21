//! Names of proxies and servers in expressions, rules and `default_backend`.

use crate::config::suggest::closest;
use crate::rules::{PageRef, ProxyRules};
use crate::sample::{NameRef, NameRefs, ProxyIdx, RefKind, ServerIdx, Target};

use super::super::{ErrorPage, Proxy, ProxyId, Snapshot};
use super::Cx;

pub(super) fn resolve(cx: &mut Cx<'_>, snapshot: &mut Snapshot) {
    for i in 0..snapshot.proxies.len() {
        default_backend(cx, snapshot, i);
        let px = &snapshot.proxies[i];
        if let Some(rules) = px.section.get::<ProxyRules>() {
            for page in &rules.pages {
                error_page(cx, page);
            }
        }
        let Some(refs) = px.section.get::<NameRefs>() else { continue };
        for r in &refs.list {
            reference(cx, snapshot, px, r);
        }
    }
}

/// The page of an `http-errors` section that a rule answers with.
fn error_page(cx: &mut Cx<'_>, page: &PageRef) {
    let Some(section) = cx.error_sections.get(&page.section) else {
        let message = format!("errorfiles : unknown http-errors section '{}'", page.section);
        let near = closest(&page.section, cx.error_sections.keys().map(String::as_str));
        let d = cx.diags.error(page.loc, message);
        if let Some(best) = near {
            d.help(format!("did you mean '{best}'?"));
        }
        return;
    };
    // Without a page of that status the proxy's own is shown.
    let found = section.pages.iter().find(|(status, _)| *status == page.status);
    if let Some(ErrorPage::Raw(bytes)) = found.map(|(_, p)| &**p) {
        page.resolve(bytes.clone());
    }
}

fn default_backend(cx: &mut Cx<'_>, snapshot: &mut Snapshot, index: usize) {
    let px = &snapshot.proxies[index];
    let Some(fe) = &px.frontend else { return };
    let target = match &fe.default_backend_name {
        // A listen without one is its own backend.
        None => px.backend.is_some().then_some(px.id),
        Some(name) => match snapshot.backends.get(&name.value) {
            Some(id) => Some(*id),
            None => {
                let message = format!(
                    "proxy '{}': unable to find required default_backend: '{}'.",
                    px.name, name.value
                );
                let help = suggestion(&name.value, snapshot.backends.keys(), snapshot, "backend");
                let d = cx.diags.error(name.loc, message);
                if let Some(h) = help {
                    d.help(h);
                }
                None
            }
        },
    };
    if let Some(fe) = &mut snapshot.proxies[index].frontend {
        fe.default_backend = target;
    }
}

fn reference(cx: &mut Cx<'_>, snapshot: &Snapshot, px: &Proxy, r: &NameRef) {
    let found = match r.kind {
        RefKind::Frontend => snapshot.frontends.get(&r.name).map(|id| Target::Proxy(ProxyIdx(id.0))),
        RefKind::Backend => snapshot.backends.get(&r.name).map(|id| Target::Proxy(ProxyIdx(id.0))),
        RefKind::Server => server(snapshot, px, &r.name).map(Target::Server),
        // Those belong to other features, which resolve them.
        RefKind::Table => super::stick::find(snapshot, &r.name).map(|id| Target::Index(id.0)),
        RefKind::Userlist | RefKind::Resolvers => return,
    };
    if let Some(t) = found {
        r.resolve(t);
        return;
    }
    let (what, help) = match r.kind {
        RefKind::Frontend => {
            ("frontend", suggestion(&r.name, snapshot.frontends.keys(), snapshot, "frontend"))
        }
        RefKind::Table => (
            "stick-table",
            closest(&r.name, snapshot.tables.iter().map(|t| t.name.as_str()))
                .map(|best| format!("did you mean '{best}'?")),
        ),
        RefKind::Server => ("server", server_suggestion(snapshot, px, &r.name)),
        _ => ("backend", suggestion(&r.name, snapshot.backends.keys(), snapshot, "backend")),
    };
    let message = format!("proxy '{}': unable to find required {what} '{}'.", px.name, r.name);
    let d = cx.diags.error(r.loc, message);
    if let Some(h) = help {
        d.help(h);
    }
}

/// `server` of this proxy, or `backend/server`.
fn server(snapshot: &Snapshot, px: &Proxy, name: &str) -> Option<ServerIdx> {
    let (px, name) = match name.split_once('/') {
        None => (px, name),
        Some((be, name)) => (snapshot.backend(be)?, name),
    };
    let s = px.backend.as_ref()?.server(name)?;
    Some(ServerIdx(s.id.0))
}

fn server_suggestion(snapshot: &Snapshot, px: &Proxy, name: &str) -> Option<String> {
    let (px, name) = match name.split_once('/') {
        None => (px, name),
        Some((be, name)) => match snapshot.backend(be) {
            Some(px) => (px, name),
            None => return suggestion(be, snapshot.backends.keys(), snapshot, "backend"),
        },
    };
    let names = px.backend.iter().flat_map(|b| &b.servers).map(|s| s.name.as_str());
    closest(name, names).map(|best| format!("did you mean '{best}'?"))
}

fn suggestion<'a>(
    name: &str,
    known: impl Iterator<Item = &'a String>,
    snapshot: &Snapshot,
    kind: &str,
) -> Option<String> {
    let other = match kind {
        "backend" => snapshot.frontends.get(name),
        _ => snapshot.backends.get(name),
    };
    if let Some(id) = other {
        return Some(format!(
            "'{name}' is not a {kind}: it is defined as another section in line {}",
            line(snapshot, *id)
        ));
    }
    closest(name, known.map(String::as_str)).map(|best| format!("did you mean '{best}'?"))
}

fn line(snapshot: &Snapshot, id: ProxyId) -> u32 {
    snapshot.proxy(id).loc.line
}
