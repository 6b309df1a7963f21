//! Health checks: what is written about them, the pure parts (codecs, rule sets, the verdict machine) and the
//! tasks that run them.
//!
//! A check is `bytes to send` and `bytes received -> verdict`; verdicts go through [`health::Health`], which
//! says when a server changes state. Sockets and the clock appear in `run` only.

pub mod agent;
mod agent_run;
pub mod computed;
mod dialogue;
mod expect;
pub mod health;
mod http_answer;
pub mod keywords;
mod notes;
mod observe;
pub mod protocols;
pub mod raw;
pub mod report;
pub mod rules;
mod run;
mod server;
pub mod status;
mod watch;

pub use dialogue::{ANSWER_BYTES_MAX, Dialogue, Todo, error_words};
pub use health::{Change, Health, Verdict};
pub use notes::Notes;
pub use observe::{Observed, observed};
pub use raw::{CheckKind, HttpRule, HttpSend, ProxyCheck};
pub use rules::Outcome;
pub use run::{prepare, start};
pub use server::{Observe, OnError, ServerCheck};
pub use status::CheckStatus;
pub use watch::{Report, Watch};
