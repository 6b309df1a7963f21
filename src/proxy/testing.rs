//! Helpers of this feature's tests: a snapshot from a text.

use crate::config::{Diagnostics, LoadOptions, Tables, load_str};

use super::{Live, Snapshot, resolve};

/// Load and resolve with this feature's keywords only.
pub fn load(text: &str) -> (Option<Snapshot>, Diagnostics) {
    let mut tables = Tables::default();
    crate::sample::register(&mut tables);
    crate::acl::register(&mut tables);
    crate::rules::register(&mut tables);
    tables.add(crate::stick::keywords::KEYWORDS);
    super::keywords::register(&mut tables);
    let mut loaded = load_str("t.cfg", text, LoadOptions::default(), &tables);
    let snapshot = resolve(loaded.sections, &mut loaded.diags);
    (snapshot, loaded.diags)
}

/// The snapshot of a configuration without errors.
pub fn good(text: &str) -> Snapshot {
    let (snapshot, diags) = load(text);
    assert!(!diags.has_errors(), "{:#?}", diags.list);
    snapshot.expect("no error was reported")
}

/// A snapshot with one HTTP backend `b`, made of these lines, and its live records.
pub fn backend(lines: &[&str]) -> (Snapshot, Live) {
    let snapshot = good(&format!(
        "defaults\n mode http\n timeout connect 1s\n timeout server 1s\nbackend b\n {}\n",
        lines.join("\n ")
    ));
    let live = Live::new(&snapshot, 2);
    (snapshot, live)
}
