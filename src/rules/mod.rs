//! Rule sets: `http-request`, `http-response`, `tcp-request`, `use_backend`, `redirect` and their kin.
//!
//! A rule is an action with a condition. Rules are compiled when the configuration is loaded;
//! [`RuleSet::run`] evaluates them against a [`MessageCx`] and gives a [`Verdict`]. Actions that only
//! change the message do it through the context; those that end or delay processing are verdicts, which
//! the stream carries out. [`action`] shows how to add an action.

pub mod action;
mod actions;
mod appsession;
mod cx;
mod global;
pub mod keywords;
mod legacy;
mod set;
mod stick;
mod switching;
#[cfg(test)]
mod tests;
mod verdict;

pub use crate::sample::TimeoutKind;
pub use action::{Act, Action, Sets, Step};
pub use actions::counters::TrackUses;
pub use appsession::{AppSession, AppSessions, SessionId, UrlMode};
pub use cx::MessageCx;
pub use global::{NewValue, set_process_var};
pub use set::{ProxyRules, Rank, Rule, RuleSet};
pub use stick::{StickRule, StickRules};
pub use switching::{BackendRule, ServerRule};
pub use verdict::{Answer, AnswerBody, PageRef, Redirect, Verdict};

/// Adds the keywords and actions of this module.
pub fn register(tables: &mut crate::config::Tables) {
    tables.add(keywords::KEYWORDS);
    tables.add(switching::KEYWORDS);
    tables.add(stick::KEYWORDS);
    tables.add(appsession::KEYWORDS);
    tables.add(legacy::KEYWORDS);
    tables.add(global::KEYWORDS);
    for t in actions::TABLES {
        tables.add(t);
    }
}
