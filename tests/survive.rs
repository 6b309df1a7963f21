//! What a process leaves to the next one besides sockets: stick tables, server states, counters. This test plays the
//! master.

#![allow(clippy::disallowed_methods)] // These tests wait for real processes in real time.

#[path = "survive/master.rs"]
mod master;
#[path = "survive/state.rs"]
mod state;
#[allow(dead_code)] // Another test uses the rest.
#[path = "handover_listeners/support.rs"]
mod support;
#[path = "survive/tables.rs"]
mod tables;
