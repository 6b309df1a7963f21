//! Contract of `proxy`: see docs/ARCHITECTURE.md.
