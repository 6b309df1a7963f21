//! Client connections that move from a process to its successor.

#![allow(clippy::disallowed_methods)] // These tests wait for real processes in real time.

#[path = "handover_clients/chain.rs"]
mod chain;
#[path = "handover_clients/idle.rs"]
mod idle;
#[path = "handover_clients/late.rs"]
mod late;
#[path = "handover_clients/pair.rs"]
mod pair;
#[path = "handover_clients/refused.rs"]
mod refused;
#[expect(dead_code, reason = "shared with the tests of listeners")]
#[path = "handover_listeners/support.rs"]
mod support;
#[path = "handover_clients/tunnels.rs"]
mod tunnels;
