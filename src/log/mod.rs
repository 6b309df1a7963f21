//! Contract of `log`: see docs/ARCHITECTURE.md.
