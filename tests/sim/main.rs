//! The whole proxy on the simulated network: virtual time, in-memory sockets, seeded faults.
//!
//! Clients and origins here are written against the same socket interface as the proxy. The same seed gives
//! the same run, so a failing seed is a regression test.

mod handover;
mod http;
mod routing;
mod switching;
mod tcp;
mod timeouts;
mod world;
