//! Contract of `stream`: see docs/ARCHITECTURE.md.
