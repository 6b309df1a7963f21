//! Contract of `acl`: see docs/ARCHITECTURE.md.
