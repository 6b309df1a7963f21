//! Logs: log-format strings, the lines built from them, and the way to syslog receivers.
//!
//! Every line is a compiled [`LogFormat`] rendered over [`LogFields`] (what the stream knows) and the
//! stream's sample context: `option httplog`, `tcplog`, `httpslog`, `httplog clf` and the default line are
//! formats like any other. Sending never blocks: what a receiver does not take is dropped and counted.

pub mod builtin;
mod capture;
mod conf;
mod date;
mod escape;
mod fields;
mod format;
pub mod keywords;
mod level;
mod logger;
mod render;
mod target;
#[cfg(test)]
mod tests;
mod var;

pub use capture::{CaptureDecl, Captures, CookieCapture};
pub use conf::{DEFAULT_LINE_LEN, ProxyLog, check_mode, check_targets, resolve, resolve_global};
pub use date::{load_time_zone, local_date};
pub use fields::{LogAddr, LogFields, Origin, Timeline};
pub use format::{LogFormat, Step, Usage};
pub use level::{FACILITIES, Facility, LEVELS, Level, LevelOverride};
pub use logger::{batch_on_this_thread, connection_error, dropped_total, emit_system, exchange, flush};
pub use target::{FORMATS, Sample, SyslogFormat, Target};
