//! Stick tables and the streams: the server that a table knows, and what it learns.

use crate::base::time::Mono;
use crate::proxy::{ProxyId, Server};
use crate::rules::{AppSession, AppSessions, StickRules};
use crate::runtime::now;
use crate::sample::KeyBytes;
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
#[derive(Debug)]
pub(super) struct Store {
    table: TableId,
    key: KeyBytes,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// A rule on the request.
    Request,
    /// A rule on the response.
    Response,
    /// The request's application session, if the response does not begin another one.
    Session,
}

/// A table learns one key from a request and one from its response: the first that there is.
fn is_taken(stores: &[Store], table: TableId, why: Why) -> bool {
    stores.iter().any(|s| s.table == table && s.why == why)
}

fn remember(stores: &mut Vec<Store>, table: TableId, key: KeyBytes, why: Why) {
    if stores.iter().filter(|s| s.why != Why::Session).count() < STORES_MAX {
        stores.push(Store { table, key, why });
    }
}

fn rules(view: &View, backend: ProxyId) -> Option<&StickRules> {
    view.proxy(backend).section.get::<StickRules>()
}

fn sessions(view: &View, backend: ProxyId) -> Option<(&AppSession, TableId)> {
    let conf = view.proxy(backend).section.get::<AppSessions>()?.0.as_ref()?;
    Some((conf, conf.table?))
}

fn own(view: &View, id: TableId) -> Option<OwnTable<'_>> {
    let writer = view.tables.get(id)?;
    let slot = |data| writer.table().schema().slot(data, 0);
    let srvkey = view.shared.snapshot.table(id).srvkey;
    Some(OwnTable { server: slot(DataType::ServerId), name: slot(DataType::ServerKey), srvkey, writer })
}

/// Goes through the rules on the request, once for each exchange: the server that a table has for it, if it may be
/// used. What is to be stored is kept until [`store`].
pub(super) fn preferred(view: &View, st: &mut Stream<'_>) -> Option<usize> {
    let backend = st.x.backend;
    let mut stores = std::mem::take(&mut st.x.stick_stores);
    let session = session(view, st, &mut stores);
    let ruled = rules(view, backend).and_then(|rules| by_rules(view, st, rules, &mut stores));
    st.x.stick_stores = stores;
    session.or(ruled)
}

fn by_rules(view: &View, st: &Stream<'_>, rules: &StickRules, stores: &mut Vec<Store>) -> Option<usize> {
    let own_table = view.proxy(st.x.backend).table;
    let mut found = None;
    for rule in &rules.request {
        let Some(id) = rule.table(own_table) else { continue };
        // Also its match is not looked at then.
        if rule.stores && is_taken(stores, id, Why::Request) {
            continue;
        }
        let Some(own) = own(view, id) else { continue };
        let Some(key) = rule.key(st, own.writer.table().schema().key) else { continue };
        if rule.matches {
            let server = lookup(view, st, &own, &key);
            found = found.or(server);
        }
        if rule.stores {
            remember(stores, id, key, Why::Request);
        }
    }
    found
}

/// `appsession`: the cookie first, then the URL.
fn session(view: &View, st: &Stream<'_>, stores: &mut Vec<Store>) -> Option<usize> {
    let (conf, table) = sessions(view, st.x.backend)?;
    if !st.x.has_request || st.x.ignore_persist {
        return None;
    }
    let own = own(view, table)?;
    let find = |key: &Option<KeyBytes>| lookup(view, st, &own, key.as_ref()?);
    let cookie = conf.id.in_cookies(&st.x.request.fields);
    let by_cookie = find(&cookie);
    let url = if by_cookie.is_none() { conf.id.in_url(&st.x.request) } else { None };
    let found = by_cookie.or_else(|| find(&url));
    if conf.request_learn
        && let Some(key) = cookie.or(url)
    {
        stores.push(Store { table, key, why: Why::Session });
    }
    found
}

/// The server of an entry, if it is up, or may be tried all the same. Looking it up is a use of the entry, whether or
/// not the server is up.
fn lookup(view: &View, st: &Stream<'_>, own: &OwnTable<'_>, key: &KeyBytes) -> Option<usize> {
    let table = own.writer.table();
    let now = now();
    let entry = table.get(table.schema().key.key(key), now)?;
    entry.touch(now);
    let (uuid, name) = (entry.get(own.server?, now), entry.get(own.name?, now));
    let be = st.be(view).backend();
    let index = find(view, &be.servers, uuid, name, own.srvkey)?;
    // One that drains keeps its clients.
    let up = view.shared.live.server(be.servers[index].id).is_up();
    (up || be.persist || st.x.force_persist).then_some(index)
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
    let mut stores = std::mem::take(&mut st.x.stick_stores);
    gather_response(view, st, &mut stores);
    if let Some(srv) = st.srv(view).filter(|s| !s.non_stick) {
        let now = now();
        for s in &stores {
            if let Some(own) = own(view, s.table) {
                learn(view, &own, &s.key, srv, now);
            }
        }
    }
    stores.clear();
    st.x.stick_stores = stores;
}

/// What the response has for the tables.
fn gather_response(view: &View, st: &Stream<'_>, stores: &mut Vec<Store>) {
    if st.x.has_response
        && let Some((conf, table)) = sessions(view, st.x.backend)
        && let Some(key) = conf.id.in_response(&st.x.response.fields)
    {
        stores.retain(|s| s.why != Why::Session);
        stores.push(Store { table, key, why: Why::Session });
    }
    let Some(rules) = rules(view, st.x.backend) else { return };
    let own_table = view.proxy(st.x.backend).table;
    for rule in &rules.response {
        let Some(id) = rule.table(own_table).filter(|&id| !is_taken(stores, id, Why::Response)) else {
            continue;
        };
        let Some(own) = own(view, id) else { continue };
        if let Some(key) = rule.key(st, own.writer.table().schema().key) {
            remember(stores, id, key, Why::Response);
        }
    }
}

fn learn(view: &View, own: &OwnTable<'_>, key: &KeyBytes, srv: &Server, now: Mono) {
    let key = own.writer.table().schema().key.key(key);
    // A table that is full does not learn.
    let Some(entry) = own.writer.get_or_insert(key, now) else { return };
    let values = [(own.server, u64::from(srv.uuid)), (own.name, view.key_of(srv, own.srvkey))];
    for (slot, value) in values {
        // Written only when it changes: the line is shared. A server without an address keeps the last one's key.
        if let Some(slot) = slot
            && value != 0
            && entry.get(slot, now) != value
        {
            entry.set(slot, value, now);
        }
    }
    entry.touch(now);
}
