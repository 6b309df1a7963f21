//! Stick tables and the streams: the server that a table knows, and what it learns.

use crate::base::time::Mono;
use crate::proxy::{ProxyId, Server};
use crate::rules::{KeyBytes, StickRule, StickRules};
use crate::runtime::now;
use crate::stick::{DataType, Slot, SrvKey, TableId, Writer, Writers};

use super::state::Stream;
use super::worker::View;

/// Servers that one exchange makes tables learn, at most.
const STORES_MAX: usize = 8;
/// Entries that a thread frees at once.
const EXPIRE_BUDGET: usize = 256;

/// A table as one thread uses it.
struct OwnTable<'v> {
    writer: &'v Writer,
    server: Option<Slot>,
    name: Option<Slot>,
    srvkey: SrvKey,
}

/// Frees what expired and hands records to threads that ask for some.
pub(super) fn maintain(tables: &Writers, now: Mono) {
    for (_, writer) in tables.iter() {
        writer.maintain(now, EXPIRE_BUDGET);
    }
}

/// Something that a table learns once the server has answered.
pub(super) type Store = (TableId, KeyBytes);

fn rules(view: &View, backend: ProxyId) -> Option<&StickRules> {
    view.proxy(backend).section.get::<StickRules>()
}

fn table<'v>(view: &'v View, rule: &StickRule, backend: ProxyId) -> Option<(TableId, OwnTable<'v>)> {
    let id = rule.table(view.proxy(backend).table)?;
    Some((id, own(view, id)?))
}

fn own(view: &View, id: TableId) -> Option<OwnTable<'_>> {
    let writer = view.tables.get(id)?;
    let slot = |data| writer.table().schema().slot(data, 0);
    let srvkey = view.shared.snapshot.table(id).srvkey;
    Some(OwnTable { server: slot(DataType::ServerId), name: slot(DataType::ServerKey), srvkey, writer })
}

fn remember(stores: &mut Vec<Store>, id: TableId, key: KeyBytes) {
    if stores.len() < STORES_MAX && !stores.iter().any(|(i, k)| *i == id && *k == key) {
        stores.push((id, key));
    }
}

/// Goes through the rules on the request, once for each exchange: the server that a table has for it, if it may be
/// used. What is to be stored is kept until [`store`].
pub(super) fn preferred(view: &View, st: &mut Stream<'_>) -> Option<usize> {
    let backend = st.x.backend;
    let rules = rules(view, backend)?;
    let mut found = None;
    let mut stores = std::mem::take(&mut st.x.stick_stores);
    for rule in &rules.request {
        if !rule.stores && (found.is_some() || st.x.ignore_persist) {
            continue;
        }
        let Some((id, own)) = table(view, rule, backend) else { continue };
        let Some(key) = rule.key(st, own.writer.table().schema().key) else { continue };
        if rule.matches && found.is_none() && !st.x.ignore_persist {
            found = lookup(view, st, &own, &key);
        }
        if rule.stores {
            remember(&mut stores, id, key);
        }
    }
    st.x.stick_stores = stores;
    found
}

/// The server of an entry. Looking it up is a use of the entry, whether or not the server is up.
fn lookup(view: &View, st: &Stream<'_>, own: &OwnTable<'_>, key: &KeyBytes) -> Option<usize> {
    let table = own.writer.table();
    let now = now();
    let entry = table.get(table.schema().key.key(key), now)?;
    entry.touch(now);
    let (uuid, name) = (entry.get(own.server?, now), entry.get(own.name?, now));
    let be = st.be(view).backend();
    let index = find(view, &be.servers, uuid, name, own.srvkey)?;
    let usable = view.shared.live.server(be.servers[index].id).is_usable();
    (usable || be.persist || st.x.force_persist).then_some(index)
}

/// The server of that key; else the one with that number. Nearly always they are the same.
fn find(view: &View, servers: &[Server], uuid: u64, key: u64, by: SrvKey) -> Option<usize> {
    let keyed = |s: &Server| view.key_of(s, by) == key;
    // Numbers count from 1, unless the configuration says otherwise.
    let is = |s: &Server| u64::from(s.uuid) == uuid;
    let first = usize::try_from(uuid).ok().and_then(|n| n.checked_sub(1));
    let numbered = first
        .filter(|&i| servers.get(i).is_some_and(is))
        .or_else(|| servers.iter().position(is).filter(|_| uuid != 0));
    match numbered {
        Some(i) if key == 0 || keyed(&servers[i]) => Some(i),
        _ if key == 0 => None,
        _ => servers.iter().position(keyed).or(numbered),
    }
}

/// The server has answered: makes the tables learn it, for the request's keys and, when there is a response, for its.
pub(super) fn store(view: &View, st: &mut Stream<'_>) {
    let backend = st.x.backend;
    let Some(rules) = rules(view, backend) else { return };
    let mut stores = std::mem::take(&mut st.x.stick_stores);
    for rule in rules.response.iter().filter(|_| st.x.has_response) {
        if let Some((id, own)) = table(view, rule, backend)
            && let Some(key) = rule.key(st, own.writer.table().schema().key)
        {
            remember(&mut stores, id, key);
        }
    }
    if let Some(srv) = st.srv(view).filter(|s| !s.non_stick) {
        let now = now();
        for (id, key) in &stores {
            let Some(own) = own(view, *id) else { continue };
            let key = own.writer.table().schema().key.key(key);
            // A table that is full does not learn.
            let Some(entry) = own.writer.get_or_insert(key, now) else { continue };
            entry.touch(now);
            let values = [(own.server, u64::from(srv.uuid)), (own.name, view.key_of(srv, own.srvkey))];
            for (slot, value) in values {
                // Written only when it changes: the line is shared.
                if let Some(slot) = slot
                    && entry.get(slot, now) != value
                {
                    entry.set(slot, value, now);
                }
            }
        }
    }
    stores.clear();
    st.x.stick_stores = stores;
}
