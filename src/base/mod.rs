//! Values that every layer shares: time, addresses, sizes, hashes, limits, counters. No I/O, no clock.

pub mod time;
