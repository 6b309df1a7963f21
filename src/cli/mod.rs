//! Contract of `cli`: see docs/ARCHITECTURE.md.
