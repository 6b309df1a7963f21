//! Health checks: what is written about them, the pure parts (codecs, rule sets, the verdict machine) and the
//! tasks that run them.
//!
//! A check is `bytes to send` and `bytes received -> verdict`; verdicts go through [`health::Health`], which
//! says when a server changes state. Sockets and the clock appear in `run` only.

pub mod health;
pub mod raw;
pub mod status;

pub use health::{Change, Health, Verdict};
pub use raw::{CheckKind, Observe, OnError, ProxyCheck, ServerCheck};
pub use status::CheckStatus;
