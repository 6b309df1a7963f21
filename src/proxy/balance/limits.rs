//! How many sessions a server may take now.

use std::sync::atomic::Ordering::Relaxed;

use super::super::{Live, Proxy, Server};
use crate::proxy::live::ServerState;

/// The server's limit now; 0: none. Between `minconn` and `maxconn` it follows the backend's load relative to
/// `fullconn`; in a slow start it climbs with the weight.
pub fn dynamic_limit(px: &Proxy, srv: &Server, live: &Live) -> u32 {
    let state = live.server(srv.id);
    let max = state.maxconn.load(Relaxed);
    if max == 0 {
        return 0;
    }
    let min = srv.minconn.min(max);
    let mut limit = max;
    if min > 0 && min < max {
        let full = px.backend().fullconn;
        let load = live.backend(px.id).sessions.get();
        if load < full {
            limit = (u64::from(load) * u64::from(max) / u64::from(full)) as u32;
            limit = limit.max(min);
        }
    }
    let (weight, effective) = (state.weight() * ServerState::WEIGHT_SCALE, state.eweight());
    if effective < weight {
        limit = (u64::from(limit) * u64::from(effective) / u64::from(weight)) as u32;
    }
    limit.max(1)
}

/// True when a new request could not start on the server at once.
pub fn is_full(px: &Proxy, srv: &Server, live: &Live) -> bool {
    let limit = dynamic_limit(px, srv, live);
    let state = live.server(srv.id);
    limit > 0 && (state.queued.get() > 0 || state.sessions.get() >= limit)
}
