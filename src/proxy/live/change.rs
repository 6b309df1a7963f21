//! Changes of a server's state and weight: each one moves the backend's epoch, so that every thread rebuilds
//! its balancing tables before the next decision.

use std::sync::atomic::Ordering::SeqCst;

use crate::base::time::Mono;

use super::super::Proxy;
use super::{AdminFlags, Live, ServerState, ServerStatus};

/// What a change did to a server's availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// It was up before.
    pub was_up: bool,
    /// It is up now.
    pub is_up: bool,
    /// The backend has usable servers now.
    pub backend_up: bool,
}

impl Live {
    /// Set what the checks say about server `index` of `px`. The caller then calls
    /// [`Queues::server_changed`](crate::proxy::queue::Queues::server_changed).
    pub fn set_status(&self, px: &Proxy, index: usize, status: ServerStatus, now: Mono) -> Changed {
        self.change(px, index, now, |s| s.store_status(status))
    }

    /// Replace the administrative flags of server `index` of `px`.
    pub fn set_admin(&self, px: &Proxy, index: usize, admin: AdminFlags, now: Mono) -> Changed {
        self.change(px, index, now, |s| s.store_admin(admin))
    }

    /// Set the user's weight (0 to 256) of server `index` of `px`, with a slow-start ramp of `percent`
    /// (100 outside a slow start).
    pub fn set_weight(&self, px: &Proxy, index: usize, weight: u32, percent: u32, now: Mono) -> Changed {
        let scaled = (weight * ServerState::WEIGHT_SCALE * percent.min(100)).div_ceil(100);
        // The first step of a slow start is small, not none.
        let scaled = scaled.max(weight.min(1));
        self.change(px, index, now, |s| s.store_weight(weight, scaled))
    }

    fn change(&self, px: &Proxy, index: usize, now: Mono, apply: impl FnOnce(&ServerState)) -> Changed {
        let be = px.backend();
        let srv = self.server(be.servers[index].id);
        let backend_was_up = self.has_usable(px);
        let was_up = srv.is_up();
        apply(srv);
        let is_up = srv.is_up();
        if was_up != is_up {
            let since = srv.changed_ns.swap(now.0, SeqCst);
            if is_up {
                srv.down_ns.fetch_add(now.0.saturating_sub(since), SeqCst);
            } else {
                srv.downs.fetch_add(1, SeqCst);
            }
        }
        let backend_up = self.has_usable(px);
        let state = self.backend(px.id);
        if backend_was_up != backend_up {
            let since = state.changed_ns.swap(now.0, SeqCst);
            if backend_up {
                state.down_ns.fetch_add(now.0.saturating_sub(since), SeqCst);
            } else {
                state.downs.fetch_add(1, SeqCst);
            }
        }
        state.epoch.fetch_add(1, SeqCst);
        Changed { was_up, is_up, backend_up }
    }

    /// True when some server of `px` can take requests.
    pub fn has_usable(&self, px: &Proxy) -> bool {
        px.backend.iter().flat_map(|b| &b.servers).any(|s| self.server(s.id).is_usable())
    }

    /// Usable active and backup servers of `px` (`act` and `bck` of the statistics, `nbsrv` counts those in use).
    pub fn usable_counts(&self, px: &Proxy) -> (u32, u32) {
        let mut counts = (0, 0);
        for s in px.backend.iter().flat_map(|b| &b.servers) {
            if self.server(s.id).is_usable() {
                *(if s.backup { &mut counts.1 } else { &mut counts.0 }) += 1;
            }
        }
        counts
    }
}
