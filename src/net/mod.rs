//! Contract of `net`: see docs/ARCHITECTURE.md.
