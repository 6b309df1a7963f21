//! Logging as written in a section, and as resolved for a proxy.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::{CaptureDecl, CookieCapture, LogFormat, Target};
use crate::config::Section;

/// Logging of one proxy, resolved: what its connections and its state changes are logged with.
#[derive(Debug, Default)]
pub struct ProxyLog {
    /// Where lines go; empty: nothing is logged.
    pub targets: Vec<Arc<Target>>,
    /// Format of traffic lines.
    pub format: Arc<LogFormat>,
    /// Structured data for RFC 5424 targets.
    pub format_sd: Option<Arc<LogFormat>>,
    /// Format of lines about failed handshakes; `None`: the legacy text.
    pub error_format: Option<Arc<LogFormat>>,
    /// `log-tag` of the proxy, else of `global`, else the program's name.
    pub tag: Vec<u8>,
    /// Host name in front of the tag, with `log-send-hostname`.
    pub hostname: Option<Vec<u8>>,
    /// `unique-id-format`.
    pub unique_id: Option<Arc<LogFormat>>,
    /// `unique-id-header`.
    pub unique_id_header: Option<String>,
    /// `option dontlognull`.
    pub dont_log_null: bool,
    /// `option dontlog-normal`.
    pub dont_log_normal: bool,
    /// `option logasap`.
    pub log_asap: bool,
    /// `option log-separate-errors`.
    pub separate_errors: bool,
    /// `option log-health-checks`.
    pub log_health_checks: bool,
    /// Slots filled from requests.
    pub request_captures: Vec<CaptureDecl>,
    /// Slots filled from responses.
    pub response_captures: Vec<CaptureDecl>,
    /// `capture cookie`.
    pub cookie_capture: Option<CookieCapture>,
    /// Lines logged (`%lc`).
    pub counter: AtomicU32,
}

/// Logging of the proxy that `section` describes. `global` is the section of that name.
pub fn resolve(section: &Section, global: &Section) -> ProxyLog {
    let _ = (section, global);
    todo!()
}

/// Logging of the process itself (starts, stops): the targets of `global`.
pub fn resolve_global(global: &Section) -> ProxyLog {
    let _ = global;
    todo!()
}
