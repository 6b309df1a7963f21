//! `observe`: traffic as a check. Streams report what they saw; the server's check task acts on it.

use std::sync::atomic::Ordering::Relaxed;

use super::Observe;
use crate::proxy::{Live, Server};

/// What a stream saw of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// A connection was established.
    Connected,
    /// A connection could not be established.
    ConnectFailed,
    /// A response with this status came.
    Response(u16),
    /// No response, a broken one, or one that came too late.
    NoResponse,
}

impl Observed {
    /// Whether it is good; `None`: it says nothing at this layer.
    fn is_good(self, layer: Observe) -> Option<bool> {
        match (layer, self) {
            (_, Observed::ConnectFailed) => Some(false),
            (Observe::Layer4, Observed::Connected) => Some(true),
            (Observe::Layer4, _) | (Observe::Layer7, Observed::Connected) => None,
            (Observe::Layer7, Observed::NoResponse) => Some(false),
            // The statuses that the manual calls valid ("observe").
            (Observe::Layer7, Observed::Response(status)) => Some(matches!(status, 100..=499 | 501 | 505)),
        }
    }
}

/// Report what was seen. Costs one comparison for servers that are not observed.
pub fn observed(live: &Live, srv: &Server, seen: Observed) {
    let Some(good) = srv.check.observe.and_then(|layer| seen.is_good(layer)) else { return };
    let state = live.server(srv.id);
    if good {
        if state.consecutive_errors.load(Relaxed) != 0 {
            state.consecutive_errors.store(0, Relaxed);
        }
        return;
    }
    let errors = state.consecutive_errors.fetch_add(1, Relaxed) + 1;
    if errors >= srv.check.error_limit() {
        state.consecutive_errors.store(0, Relaxed);
        state.events.store(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_at_which_layer() {
        for (seen, layer4, layer7) in [
            (Observed::Connected, Some(true), None),
            (Observed::ConnectFailed, Some(false), Some(false)),
            (Observed::Response(200), None, Some(true)),
            (Observed::Response(404), None, Some(true)),
            (Observed::Response(500), None, Some(false)),
            (Observed::Response(501), None, Some(true)),
            (Observed::NoResponse, None, Some(false)),
        ] {
            assert_eq!(seen.is_good(Observe::Layer4), layer4, "{seen:?}");
            assert_eq!(seen.is_good(Observe::Layer7), layer7, "{seen:?}");
        }
    }
}
