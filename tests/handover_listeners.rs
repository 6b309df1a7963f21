//! Processes that take listening sockets over from each other, with a master (this test plays it) and without.

#![allow(clippy::disallowed_methods)] // These tests wait for real processes in real time.

#[path = "handover_listeners/load.rs"]
mod load;
#[path = "handover_listeners/master.rs"]
mod master;
#[path = "handover_listeners/scripts.rs"]
mod scripts;
#[path = "handover_listeners/stop.rs"]
mod stop;
#[path = "handover_listeners/support.rs"]
mod support;
#[path = "handover_listeners/take_over.rs"]
mod take_over;
