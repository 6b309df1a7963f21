//! Contract of `proxy`: see docs/ARCHITECTURE.md.

pub mod check;
