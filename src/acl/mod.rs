//! ACLs: patterns, maps, named tests per section, conditions. Manual section 7.
//!
//! A keyword that takes `if`/`unless` hands the words that are left to [`Condition::parse_tail`]; the
//! result is evaluated with [`Condition::eval`].

mod condition;

pub use condition::Condition;
