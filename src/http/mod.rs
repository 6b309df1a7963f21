//! Contract of `http`: see docs/ARCHITECTURE.md.
