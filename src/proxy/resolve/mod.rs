//! From sections as written to the [`Snapshot`]: names become ids, and everything that takes two sections to be
//! checked is checked here, with HAProxy's severity.

use std::collections::HashMap;

use crate::config::{Diagnostics, Loc, Section, SectionKind};

use super::program::ProgramConf;
use super::raw::RawErrorSection;
use super::{Proxy, ProxyId, ServerId, Snapshot};

mod checks;
mod fullconn;
mod listeners;
mod names;
mod peers;
mod proxies;
mod references;
mod servers;
mod stick;
mod tracking;

pub(super) use names::host;

/// Builds the snapshot. Everything is looked at even after an error, so that all are reported in one run;
/// `None` when there was any.
pub fn resolve(sections: Vec<Section>, diags: &mut Diagnostics) -> Option<Snapshot> {
    let errors_before = error_count(diags);
    let mut cx = Cx { diags, hosts: names::Hosts::default(), error_sections: HashMap::new() };
    let mut global = None;
    let mut sources = Vec::new();
    let mut others = Vec::new();
    for section in sections {
        match section.kind {
            SectionKind::Global if global.is_none() => global = Some(section),
            SectionKind::Frontend | SectionKind::Backend | SectionKind::Listen => sources.push(section),
            SectionKind::HttpErrors => cx.add_error_section(section),
            _ => others.push(section),
        }
    }
    let mut snapshot = Snapshot {
        proxies: Vec::with_capacity(sources.len()),
        listeners: Vec::new(),
        servers: Vec::new(),
        global: global.unwrap_or_else(|| Section::new(SectionKind::Global, String::new(), Loc::default())),
        sections: others,
        peers: Vec::new(),
        tables: Vec::new(),
        frontends: HashMap::new(),
        backends: HashMap::new(),
    };
    for section in sources {
        proxies::build(&mut cx, section, &mut snapshot);
    }
    proxies::number(&mut cx, &mut snapshot);
    snapshot.frontends = by_name(&snapshot, |p| p.frontend.is_some());
    snapshot.backends = by_name(&snapshot, |p| p.backend.is_some());
    stick::gather(&mut cx, &mut snapshot);
    references::resolve(&mut cx, &mut snapshot);
    stick::resolve(&mut cx, &mut snapshot);
    stick::check_counters(&mut cx, &snapshot);
    peers::resolve(&mut cx, &mut snapshot);
    tracking::resolve(&mut cx, &mut snapshot);
    fullconn::compute(&mut snapshot);
    checks::check(&mut cx, &snapshot);
    check_programs(&mut cx, &snapshot);
    (error_count(diags) == errors_before).then_some(snapshot)
}

/// A `program` section says what to start.
fn check_programs(cx: &mut Cx<'_>, snapshot: &Snapshot) {
    for section in snapshot.sections.iter().filter(|s| s.kind == SectionKind::Program) {
        if section.get::<ProgramConf>().is_none_or(|conf| conf.command.is_empty()) {
            let message = format!("program '{}' has no 'command'", section.name);
            cx.diags.error(section.loc, message).help("command <command> [arguments*]");
        }
    }
}

fn error_count(diags: &Diagnostics) -> usize {
    diags.list.iter().filter(|d| d.severity == crate::config::Severity::Alert).count()
}

fn by_name(snapshot: &Snapshot, side: impl Fn(&Proxy) -> bool) -> HashMap<String, ProxyId> {
    // The first one of a name wins; the loader has reported the others.
    let mut map = HashMap::with_capacity(snapshot.proxies.len());
    for px in snapshot.proxies.iter().filter(|p| side(p)) {
        map.entry(px.name.clone()).or_insert(px.id);
    }
    map
}

/// What the steps share.
struct Cx<'a> {
    diags: &'a mut Diagnostics,
    hosts: names::Hosts,
    error_sections: HashMap<String, RawErrorSection>,
}

impl Cx<'_> {
    fn add_error_section(&mut self, mut section: Section) {
        let pages = std::mem::take(section.feature::<RawErrorSection>());
        if self.error_sections.contains_key(&section.name) {
            let message = format!("http-errors section '{}' was already defined", section.name);
            self.diags.error(section.loc, message);
            return;
        }
        self.error_sections.insert(section.name, pages);
    }
}

/// `frontend`, `backend` or `proxy`, as messages call it.
fn kind_of(px: &Proxy) -> &'static str {
    match px.section.kind {
        SectionKind::Frontend => "frontend",
        SectionKind::Backend => "backend",
        _ => "proxy",
    }
}

/// The next number from `from` on that is not used.
fn next_free(used: &std::collections::HashSet<u32>, from: u32) -> u32 {
    (from..).find(|n| !used.contains(n)).unwrap_or(from)
}

fn next_server_id(snapshot: &Snapshot) -> ServerId {
    ServerId(snapshot.servers.len() as u32)
}

#[cfg(test)]
mod tests;
