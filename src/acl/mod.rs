//! ACLs: patterns, maps, named tests per section, conditions. Manual section 7.
//!
//! A keyword that takes `if`/`unless` hands the words that are left to [`Condition::parse_tail`]; the
//! result is evaluated with [`Condition::eval`].
//!
//! Patterns live in [`PatternList`]s with an identity, which the socket shows and changes; what evaluation reads
//! are compiled [`PatternSet`]s behind an atomic pointer.

mod condition;
mod derived;
mod fetch;
mod ints;
mod ip;
pub mod keywords;
mod map;
mod matcher;
mod method;
mod predefined;
mod set;
mod strings;
mod test;
#[cfg(test)]
pub(crate) mod tests;
mod versions;

pub use condition::{Acl, Acls, Condition};
pub use ints::Op;
pub use ip::{IpSet, Net};
pub use matcher::{Matcher, Pattern};
pub use method::Method;
pub use set::{ListEntry, ListError, PatternList, PatternLists, PatternSet, Use, ValueType, parse_file};
pub use strings::{Position, StrSet};
pub use test::{Outcome, Test};
pub use versions::VersionError;

/// Adds the keywords and converters of this module.
pub fn register(tables: &mut crate::config::Tables) {
    tables.add(keywords::KEYWORDS);
    tables.add(map::CONVERTERS);
    tables.note("acl-derivative", derived::names());
    tables.add(fetch::FETCHES);
}
