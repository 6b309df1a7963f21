//! Stick tables: the list of all, what refers to them, and what they have to store.

use std::collections::{BTreeSet, HashMap};

use crate::config::suggest::closest;
use crate::config::{Loc, SectionKind};
use crate::rules::{AppSession, AppSessions, StickRules, TrackUses};
use crate::sample::{Expr, OwnTableUses, Type, can_be_key};
use crate::stick::{DataDef, DataType, PeersTables, TableConf, TableDecl, TableDef, TableId, TableOwner};

use super::super::Snapshot;
use super::super::global::GlobalConf;
use super::Cx;

/// Makes the list of tables: those of proxies, then those of peers sections.
pub(super) fn gather(cx: &mut Cx<'_>, snapshot: &mut Snapshot) {
    let mut all: Vec<(TableDef, TableDecl)> = Vec::new();
    for px in &mut snapshot.proxies {
        let Some(decl) = px.section.get::<TableConf>().and_then(|c| c.table.clone()) else { continue };
        px.table = Some(TableId(all.len() as u32));
        all.push((def(px.name.clone(), TableOwner::Proxy(px.id.0), &decl), decl));
    }
    for px in &mut snapshot.proxies {
        let Some(decl) = px.section.get::<AppSessions>().and_then(AppSessions::table) else { continue };
        if let Some(sessions) = &mut px.section.feature::<AppSessions>().0 {
            sessions.table = Some(TableId(all.len() as u32));
        }
        all.push((def(AppSession::table_name(&px.name), TableOwner::Proxy(px.id.0), &decl), decl));
    }
    for section in snapshot.sections.iter().filter(|s| s.kind == SectionKind::Peers) {
        for (name, decl) in section.get::<PeersTables>().iter().flat_map(|t| &t.tables) {
            let name = format!("{}/{name}", section.name);
            let mut def = def(name, TableOwner::Peers(section.name.clone()), decl);
            def.peers.get_or_insert_with(|| (section.name.clone(), decl.loc));
            all.push((def, decl.clone()));
        }
    }
    let mut lines: HashMap<&str, u32> = HashMap::new();
    for (def, _) in &all {
        if let Some(line) = lines.insert(&def.name, def.loc.line) {
            let message =
                format!("stick-table name '{}' conflicts with the table declared in line {line}", def.name);
            cx.diags.error(def.loc, message).help("move one of them into a section of another name");
        }
    }
    for (def, _) in &all {
        check_peers(cx, snapshot, def);
    }
    snapshot.tables = all.iter().map(|(def, _)| def.clone()).collect();
    for (i, (def, decl)) in all.iter().enumerate() {
        snapshot.tables[i].write_to = write_to(cx, snapshot, def, decl);
    }
}

/// The peers section that a table names exists.
fn check_peers(cx: &mut Cx<'_>, snapshot: &Snapshot, def: &TableDef) {
    let Some((name, loc)) = &def.peers else { return };
    let sections = || snapshot.sections.iter().filter(|s| s.kind == SectionKind::Peers);
    if !sections().any(|s| s.name == *name) {
        let message = format!("table '{}': unable to find the peers section '{name}'", def.name);
        let near = closest(name, sections().map(|s| s.name.as_str()));
        let d = cx.diags.error(*loc, message);
        if let Some(best) = near {
            d.help(format!("did you mean '{best}'?"));
        }
    }
}

fn def(name: String, owner: TableOwner, decl: &TableDecl) -> TableDef {
    let mut schema = decl.schema.clone();
    schema.brates_factor = decl.brates_factor;
    TableDef {
        name,
        schema,
        owner,
        peers: decl.peers.clone(),
        write_to: None,
        recv_only: decl.recv_only,
        srvkey: decl.srvkey,
        brates_factor: decl.brates_factor,
        loc: decl.loc,
    }
}

/// The table behind `write-to`: another one with the same keys.
fn write_to(cx: &mut Cx<'_>, snapshot: &Snapshot, def: &TableDef, decl: &TableDecl) -> Option<TableId> {
    let (name, loc) = decl.write_to.as_ref()?;
    let Some(id) = find(snapshot, name) else {
        cx.diags
            .error(*loc, format!("table '{}': unable to find the table '{name}' of 'write-to'", def.name));
        return None;
    };
    let other = snapshot.table(id);
    let problem = if other.name == def.name {
        "it is this table itself"
    } else if other.schema.key != def.schema.key {
        "its keys have another type or length"
    } else {
        return Some(id);
    };
    cx.diags.error(*loc, format!("table '{}': cannot write to '{name}': {problem}", def.name));
    None
}

/// Checks that every rule has a table, and makes tables of `stick` rules store servers.
pub(super) fn resolve(cx: &mut Cx<'_>, snapshot: &mut Snapshot) {
    let mut with_servers = BTreeSet::new();
    for px in &snapshot.proxies {
        let Some(rules) = px.section.get::<StickRules>() else { continue };
        for rule in rules.request.iter().chain(&rules.response) {
            // A name that names nothing was reported with the other references.
            match rule.table(px.table) {
                Some(id) => {
                    check_type(cx, rule.expr(), snapshot.table(id));
                    with_servers.insert(id);
                }
                None if rule.uses_own_table() => {
                    let message = format!(
                        "proxy '{}': a 'stick' rule without 'table' needs a 'stick-table' here",
                        px.name
                    );
                    cx.diags.error(rule.loc(), message);
                }
                None => (),
            }
        }
    }
    for id in with_servers {
        let schema = &mut snapshot.tables[id.index()].schema;
        // By name above all, so that numbers may change; by number for what only has that.
        for data in [DataType::ServerId, DataType::ServerKey] {
            if !schema.has(data) {
                // Cannot fail: it has no arguments, excludes nothing, and is not there.
                let _ = schema.store(DataDef::plain(data));
            }
        }
    }
}

/// Stick counters of a stream unless `tune.stick-counters` says otherwise.
const COUNTERS: u32 = 3;

/// Checks rules with stick counters, and expressions that need a table of their own section.
pub(super) fn check_counters(cx: &mut Cx<'_>, snapshot: &Snapshot) {
    let conf = snapshot.global.get::<GlobalConf>();
    let counters = conf.and_then(|g| g.tune.stick_counters).unwrap_or(COUNTERS);
    for px in &snapshot.proxies {
        for rule in px.section.get::<TrackUses>().iter().flat_map(|u| &u.list) {
            if rule.sc >= counters as usize {
                let message =
                    format!("there is no stick counter {}: 'tune.stick-counters' is {counters}", rule.sc);
                let help = format!("say 'tune.stick-counters {}' in 'global'", rule.sc + 1);
                cx.diags.error(rule.loc, message).help(help);
            }
            let Some((out, text, name)) = &rule.key else { continue };
            match name.as_ref().map_or(px.table, |n| n.table()) {
                Some(id) => check_key(cx, (*out, text, rule.loc), snapshot.table(id)),
                None if name.is_none() => {
                    let message = format!(
                        "proxy '{}': a 'track-sc' rule without 'table' needs a 'stick-table' here",
                        px.name
                    );
                    cx.diags.error(rule.loc, message);
                }
                // A name that names nothing was reported with the other references.
                None => {}
            }
        }
        if px.table.is_none()
            && let Some((what, _)) = px.section.get::<OwnTableUses>().and_then(|u| u.0.first())
        {
            let message = format!("proxy '{}': '{what}' without a table needs a 'stick-table' here", px.name);
            let help = "name a table in its arguments, or declare one in this section";
            cx.diags.error(px.section.loc, message).help(help);
        }
    }
}

/// What an expression gives can become a key of the table.
fn check_type(cx: &mut Cx<'_>, key: &Expr, table: &TableDef) {
    check_key(cx, (key.out(), key.text(), key.loc()), table);
}

fn check_key(cx: &mut Cx<'_>, (out, text, loc): (Type, &str, Loc), table: &TableDef) {
    let wanted = table.schema.key;
    if !can_be_key(out, wanted) {
        let message = format!(
            "'{}' gives type '{}', which cannot become a key of table '{}' of type '{}'",
            text,
            out.name(),
            table.name,
            wanted.name()
        );
        cx.diags.error(loc, message);
    }
}

/// The table of that name.
pub(super) fn find(snapshot: &Snapshot, name: &str) -> Option<TableId> {
    snapshot.tables.iter().position(|t| t.name == name).map(|i| TableId(i as u32))
}
