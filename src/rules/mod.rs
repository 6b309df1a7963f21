//! Rule sets: `http-request`, `http-response`, `tcp-request`, `use_backend`, `redirect` and their kin.
//!
//! A rule is an action with a condition. Rules are compiled when the configuration is loaded;
//! [`RuleSet::run`] evaluates them against a [`MessageCx`] and gives a [`Verdict`]. Actions that only
//! change the message do it through the context; those that end or delay processing are verdicts, which
//! the stream carries out.

mod cx;
mod set;
mod verdict;

pub use cx::{MessageCx, TimeoutKind};
pub use set::{ProxyRules, RuleSet};
pub use verdict::{Answer, AnswerBody, Redirect, Verdict};
