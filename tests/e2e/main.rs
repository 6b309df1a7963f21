//! The binary among its real neighbours: nginx behind it, wrk and ten thousand clients in front, halog over its log,
//! and attackers.
#![allow(clippy::disallowed_methods)] // A test may ask for the time, and wait.

mod admin_limits;
mod admin_tools;
mod attacks;
mod job;
mod load;
mod log_targets;
mod messages;
mod slow_and_large;
mod startup;
mod stick;
mod stick_cases;
mod stick_tls;
mod support;
