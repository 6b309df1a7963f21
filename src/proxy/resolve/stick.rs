//! Stick tables: which proxy has the one that a rule names, and what they have to store.

use std::collections::BTreeSet;

use crate::rules::StickRules;
use crate::sample::ProxyIdx;
use crate::stick::{DataDef, DataType, TableConf};

use super::super::{ProxyId, Snapshot};
use super::Cx;

/// Checks that every rule has a table, and makes tables of `stick` rules store servers.
pub(super) fn resolve(cx: &mut Cx<'_>, snapshot: &mut Snapshot) {
    let mut with_servers = BTreeSet::new();
    for px in &snapshot.proxies {
        let Some(rules) = px.section.get::<StickRules>() else { continue };
        for rule in rules.request.iter().chain(&rules.response) {
            // A name that names nothing was reported with the other references.
            let Some(id) = rule.table(ProxyIdx(px.id.0)) else { continue };
            if rule.uses_own_table() && !has_table(snapshot, id) {
                let message =
                    format!("proxy '{}': a 'stick' rule without 'table' needs a 'stick-table' here", px.name);
                cx.diags.error(rule.loc(), message);
                continue;
            }
            with_servers.insert(id.0);
        }
    }
    for id in with_servers {
        let conf = snapshot.proxies[ProxyId(id).index()].section.feature::<TableConf>();
        let Some((schema, _)) = &mut conf.table else { continue };
        // By name above all, so that numbers may change; by number for what only has that.
        for data in [DataType::ServerId, DataType::ServerKey] {
            if !schema.has(data) {
                // Cannot fail: it has no arguments, excludes nothing, and is not there.
                let _ = schema.store(DataDef::plain(data));
            }
        }
    }
}

/// The proxy of that name that has a table: a backend or a frontend.
pub(super) fn find(snapshot: &Snapshot, name: &str) -> Option<ProxyIdx> {
    let found = [snapshot.backends.get(name), snapshot.frontends.get(name)];
    found.into_iter().flatten().map(|id| ProxyIdx(id.0)).find(|id| has_table(snapshot, *id))
}

fn has_table(snapshot: &Snapshot, id: ProxyIdx) -> bool {
    let px = &snapshot.proxies[ProxyId(id.0).index()];
    px.section.get::<TableConf>().is_some_and(|c| c.table.is_some())
}
