//! How stick tables name servers (`srvkey`): numbers for names and for addresses.

use std::cell::RefCell;

use crate::proxy::{Live, Server, Snapshot};
use crate::stick::{DataType, Dict, SrvKey, Tables};

/// The keys of all servers as one thread knows them, so that no request has to hash a name or to take a lock.
#[derive(Default)]
pub(super) struct ServerKeys {
    /// By `ServerId`.
    names: Vec<u64>,
    /// By `ServerId`: the key of the address, and which version of the address that was.
    addrs: RefCell<Vec<Option<(u32, u64)>>>,
}

impl ServerKeys {
    /// For the servers of that configuration; nothing when no table wants any.
    pub fn new(snapshot: &Snapshot, tables: &Tables) -> ServerKeys {
        if tables.is_empty() {
            return ServerKeys::default();
        }
        let mut names = vec![0; snapshot.servers.len()];
        for srv in servers(snapshot) {
            names[srv.id.index()] = DataType::name_value(&srv.name);
        }
        ServerKeys { addrs: RefCell::new(vec![None; names.len()]), names }
    }

    /// The key of a server; 0: it has none (no address yet).
    pub fn get(&self, live: &Live, dict: &Dict, srv: &Server, by: SrvKey) -> u64 {
        if by == SrvKey::Name {
            return self.names.get(srv.id.index()).copied().unwrap_or(0);
        }
        let version = live.server(srv.id).address.version();
        let mut addrs = self.addrs.borrow_mut();
        let Some(known) = addrs.get_mut(srv.id.index()) else { return 0 };
        match *known {
            Some((v, key)) if v == version => key,
            _ => {
                let key = address(live, srv).map_or(0, |text| dict.learn(&text));
                *known = Some((version, key));
                key
            }
        }
    }
}

/// Tells the dictionary the names of all servers, and their addresses where a table uses them.
pub(super) fn keep_in(dict: &Dict, snapshot: &Snapshot, live: &Live) {
    let with_addrs = snapshot.tables.iter().any(|t| t.srvkey == SrvKey::Addr);
    for srv in servers(snapshot) {
        dict.keep(&srv.name);
        if with_addrs && let Some(text) = address(live, srv) {
            dict.keep(&text);
        }
    }
}

fn servers(snapshot: &Snapshot) -> impl Iterator<Item = &Server> {
    snapshot.proxies.iter().filter_map(|px| px.backend.as_ref()).flat_map(|b| &b.servers)
}

/// Address and port as peers write them: without brackets; a port that depends on the client's keeps its sign.
fn address(live: &Live, srv: &Server) -> Option<String> {
    match (live.server_inet(srv), srv.port_offset) {
        (Some(a), None) => Some(format!("{}:{}", a.ip(), a.port())),
        (Some(a), Some(offset)) => Some(format!("{}:{offset:+}", a.ip())),
        (None, _) => srv.addr.as_ref().map(ToString::to_string),
    }
}
