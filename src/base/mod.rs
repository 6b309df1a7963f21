//! Values that every layer shares: time, addresses, sizes, hashes, limits, counters. No I/O, no clock.

pub mod addr;
pub mod duration;
pub mod freq;
pub mod hash;
pub mod limits;
pub mod size;
pub mod time;

pub use addr::SockAddr;
