//! Haring: a TCP and HTTP load balancer for Linux that runs HAProxy's configuration language on one
//! pinned io_uring thread per core.
//!
//! Modules are layered: a module uses only rows above its own, and row-mates do not import each other
//! (`tests/tidy.rs` enforces it; docs/ARCHITECTURE.md explains it).

// A
pub mod base;
// B
pub mod config;
pub mod http;
pub mod sys;
// C
pub mod http1;
pub mod proxy_protocol;
pub mod runtime;
pub mod stick;
// D
pub mod net;
pub mod sample;
// E
pub mod acl;
pub mod log;
// F
pub mod peers;
pub mod rules;
// G
pub mod proxy;
// H
pub mod stream;
// I
pub mod stats;
// J
pub mod cli;
// K
pub mod registry;
// L
pub mod process;
