//! Messages on standard error, in HAProxy's form: `[ALERT]    (pid) : text`.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::link::ToMaster;
use crate::config::{Severity, prefix};
use crate::net::Channel;

static QUIET: AtomicBool = AtomicBool::new(false);
/// Who else gets what is said, while the process starts.
static LOG: Mutex<Option<Arc<Channel>>> = Mutex::new(None);

/// Say everything to the master as well, as `log` messages: it remembers why a start has failed. `None`: no more.
pub fn log_to(master: Option<Arc<Channel>>) {
    *LOG.lock().unwrap_or_else(PoisonError::into_inner) = master;
}

/// Whole lines to standard error, as they are. Nothing happens when that is closed or full of errors.
pub fn text(lines: &str) {
    if lines.is_empty() {
        return;
    }
    let _ = std::io::stderr().lock().write_all(lines.as_bytes());
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(master) = log.as_deref() {
        // A master that does not read does not want to know.
        let _ = ToMaster::Log(lines.to_owned()).send(master);
    }
}

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
    self::text(&format!("{}{text}\n", prefix(severity, std::process::id())));
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
