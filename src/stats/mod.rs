//! Contract of `stats`: see docs/ARCHITECTURE.md.
