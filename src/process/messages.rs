//! Messages on standard error, in HAProxy's form: `[ALERT]    (pid) : text`.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::config::{Severity, prefix};

static QUIET: AtomicBool = AtomicBool::new(false);

/// Say nothing any more: `-q`, and daemons.
pub fn be_quiet() {
    QUIET.store(true, Relaxed);
}

/// Whether [`be_quiet`] was called.
pub fn is_quiet() -> bool {
    QUIET.load(Relaxed)
}

/// One line to standard error. Nothing happens when that is closed or full of errors.
pub fn say(severity: Severity, text: &str) {
    if is_quiet() {
        return;
    }
    let line = format!("{}{text}\n", prefix(severity, std::process::id()));
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// Shorthand for [`say`] with the highest severity.
pub fn alert(text: &str) {
    say(Severity::Alert, text);
}

/// Shorthand for [`say`] with a warning.
pub fn warning(text: &str) {
    say(Severity::Warning, text);
}

/// Shorthand for [`say`] with a notice.
pub fn notice(text: &str) {
    say(Severity::Notice, text);
}
