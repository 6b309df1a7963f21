//! Contract of `sample`: see docs/ARCHITECTURE.md.
