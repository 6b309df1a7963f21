//! Contract of `http1`: see docs/ARCHITECTURE.md.
