//! Contract of `rules`: see docs/ARCHITECTURE.md.
