//! What `-v` and `-vv` print.

use std::fmt::Write;

use crate::config::{Version, condition};

/// The program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The date of the version, as HAProxy writes dates of versions.
pub const RELEASE_DATE: &str = "2026/11/20";

/// First line of every version text. Tools take its third word.
pub fn first_line() -> String {
    format!(
        "Haring version {VERSION} - runs HAProxy's configuration language of {}",
        Version::LANGUAGE.branch()
    )
}

/// `-vv`.
pub fn build_info() -> String {
    let mut out = first_line();
    // Writing to a String cannot fail.
    let _ = writeln!(out);
    if let Ok(os) = nix::sys::utsname::uname() {
        let word = |s: &std::ffi::OsStr| s.to_string_lossy().into_owned();
        let _ = writeln!(
            out,
            "Running on: {} {} {} {}",
            word(os.sysname()),
            word(os.release()),
            word(os.version()),
            word(os.machine())
        );
    }
    out.push_str("Build options :\n  TARGET  = linux-glibc\n");
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let _ = writeln!(out, "  PROFILE = {profile}");
    let features: Vec<String> =
        condition::FEATURES.iter().map(|(n, on)| format!("{}{n}", if *on { '+' } else { '-' })).collect();
    let _ = writeln!(out, "\nFeature list : {}", features.join(" "));
    let _ = writeln!(
        out,
        "\nDefault settings :\n  bufsize = {}, maxrewrite = {}",
        crate::base::limits::DEFAULT_BUFSIZE,
        crate::base::limits::DEFAULT_MAXREWRITE
    );
    let _ = writeln!(out, "\nOne pinned thread per CPU (at most {}).", crate::base::limits::MAX_THREADS);
    out.push_str("\nAvailable polling systems :\n");
    match crate::runtime::probe() {
        Ok(()) => out.push_str("   io_uring : test result OK\nTotal: 1 (1 usable), will use io_uring.\n"),
        Err(why) => {
            let _ = writeln!(out, "   io_uring : test result FAILED: {why}\nTotal: 1 (0 usable).");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn third_word_is_the_version() {
        assert_eq!(super::first_line().split(' ').nth(2), Some(super::VERSION));
    }
}
