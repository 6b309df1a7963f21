//! The configuration language, without any feature: words, `.if` blocks, sections of directives,
//! diagnostics, and the shape of a keyword.
//!
//! `text -> words -> .if blocks -> directives -> feature structs (as written)`. A feature (a module of a
//! higher row) owns its [`Keyword`] table; the parse function of a keyword stores what was written in the
//! feature's own struct inside the [`Section`]. Names are resolved later, by `proxy`.

mod blocks;
pub mod compat;
pub mod condition;
mod diag;
mod directive;
mod dispatch;
mod env;
mod keyword;
pub mod known;
pub mod listing;
mod load;
mod parse_cx;
mod render;
mod section;
mod sources;
pub mod suggest;
mod tables;
#[cfg(test)]
mod tests;
mod version;
pub mod words;

pub use diag::{Diagnostic, Diagnostics, Loc, Severity};
pub use directive::{Directive, Word};
pub use env::Env;
pub use keyword::{Keyword, ParseFn, Sections, Status};
pub use load::{LoadOptions, Loaded, load, load_str};
pub use parse_cx::{DefaultPath, LoadState, ParseCx, Shared};
pub use render::{RenderOptions, VALID, WARNINGS_FOUND, fatal_summary, prefix, render};
pub use section::{Feature, Section, SectionKind};
pub use sources::Sources;
pub use tables::{Entry, EntryInfo, Tables};
pub use version::Version;
