//! Each thread's logger: lines are collected and leave together, without ever blocking the thread.

use super::{Level, LevelOverride, LogFields, ProxyLog};
use crate::base::time::Wall;

/// Log one exchange, as the options of the frontend say. Cheap when nothing is to be written.
pub fn exchange(log: &ProxyLog, level: Option<LevelOverride>, fields: &LogFields<'_>, now: Wall) {
    let _ = (log, level, fields, now);
    todo!()
}

/// Log a message about a proxy or a server ("Server be/s1 is DOWN, ..."). Works on any thread.
pub fn emit_system(log: &ProxyLog, level: Level, message: &str, now: Wall) {
    let _ = (log, level, message, now);
    todo!()
}

/// Send what this thread has collected. Called once at the end of each turn.
pub fn flush() {
    todo!()
}

/// Lines lost by the whole process so far (`DroppedLogs` of `show info`).
pub fn dropped_total() -> u64 {
    todo!()
}
