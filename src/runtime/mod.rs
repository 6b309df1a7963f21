//! Contract of `runtime`: see docs/ARCHITECTURE.md.
