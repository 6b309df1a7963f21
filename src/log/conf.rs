//! Logging as written in a section, and as resolved for a proxy.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::{CaptureDecl, CookieCapture, LogFormat, Target, builtin};
use crate::config::{Diagnostics, Loc, Section};

/// Lines are cut to this many bytes unless `len` says otherwise (RFC 3164 section 4.1).
pub const DEFAULT_LINE_LEN: usize = 1024;

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

/// Which line format was asked for last.
#[derive(Clone, Debug, Default)]
pub(super) enum LineFormat {
    /// None: `Connect from ...`.
    #[default]
    Default,
    /// `option httplog`, `option httpslog` and their kin, by that name.
    Option { name: &'static str, http: bool, format: Arc<LogFormat>, loc: Loc },
    /// `log-format`.
    Custom { format: Arc<LogFormat> },
}

/// What a section says about logging.
#[derive(Clone, Debug, Default)]
pub(super) struct LogConf {
    pub targets: Vec<Arc<Target>>,
    pub use_global: bool,
    pub line: LineFormat,
    pub format_sd: Option<Arc<LogFormat>>,
    pub error_format: Option<Arc<LogFormat>>,
    pub tag: Option<Vec<u8>>,
    pub hostname: Option<Vec<u8>>,
    pub unique_id: Option<Arc<LogFormat>>,
    pub unique_id_header: Option<String>,
    pub dont_log_null: bool,
    pub dont_log_normal: bool,
    pub log_asap: bool,
    pub separate_errors: bool,
    pub log_health_checks: bool,
    pub request_captures: Vec<CaptureDecl>,
    pub response_captures: Vec<CaptureDecl>,
    pub cookie_capture: Option<CookieCapture>,
}

/// Once the mode of a proxy is known (`http`): report formats that do not go with it. In TCP mode `option httplog`
/// and its kin, often inherited from `defaults`, become `option tcplog` with a warning.
pub fn check_mode(section: &mut Section, http: bool, diags: &mut Diagnostics) {
    if http || !section.kind.is_frontend() {
        return;
    }
    let Some(conf) = section.get::<LogConf>() else { return };
    let custom = match &conf.line {
        LineFormat::Custom { format } => Some(format),
        _ => None,
    };
    for f in [custom, conf.format_sd.as_ref(), conf.error_format.as_ref()].into_iter().flatten() {
        check_format(f, section, diags);
    }
    if let LineFormat::Option { name, http: true, loc, .. } = conf.line {
        let (kind, id) = (section.kind.keyword(), &section.name);
        diags
            .warning(
                loc,
                format!("'option {name}' needs 'mode http', and {kind} '{id}' is in TCP mode: 'option tcplog' is used"),
            )
            .help("add 'mode http', or write 'option tcplog'");
        let format = Arc::new(builtin::tcp());
        section.feature::<LogConf>().line = LineFormat::Option { name: "tcplog", http: false, format, loc };
    }
}

/// A line format that was asked for and goes nowhere.
pub fn check_targets(section: &Section, global: &Section, diags: &mut Diagnostics) {
    let Some(conf) = section.get::<LogConf>() else { return };
    let inherited = conf.use_global && global.get::<LogConf>().is_some_and(|g| !g.targets.is_empty());
    if matches!(conf.line, LineFormat::Default) || !conf.targets.is_empty() || inherited {
        return;
    }
    let (kind, id) = (section.kind.keyword(), &section.name);
    diags
        .warning(section.loc, format!("log format ignored for {kind} '{id}' since it has no log address."))
        .help("add 'log <address> <facility>', or 'log global' and an address in 'global'");
}

/// Logging of the proxy that `section` describes, after [`check_mode`].
pub fn resolve(section: &Section, global: &Section) -> ProxyLog {
    // Configurations are resolved before chroot(2) hides /etc/localtime.
    super::load_time_zone();
    let none = LogConf::default();
    let conf = section.get::<LogConf>().unwrap_or(&none);
    let global = global.get::<LogConf>().unwrap_or(&none);
    let mut targets = conf.targets.clone();
    if conf.use_global {
        targets.extend(global.targets.iter().cloned());
    }
    ProxyLog {
        targets,
        format: match &conf.line {
            LineFormat::Default => Arc::new(builtin::default_line()),
            LineFormat::Option { format, .. } | LineFormat::Custom { format } => format.clone(),
        },
        format_sd: conf.format_sd.clone(),
        error_format: conf.error_format.clone(),
        tag: tag(conf, global),
        hostname: global.hostname.clone(),
        unique_id: conf.unique_id.clone(),
        unique_id_header: conf.unique_id_header.clone(),
        dont_log_null: conf.dont_log_null,
        dont_log_normal: conf.dont_log_normal,
        log_asap: conf.log_asap,
        separate_errors: conf.separate_errors,
        log_health_checks: conf.log_health_checks,
        request_captures: conf.request_captures.clone(),
        response_captures: conf.response_captures.clone(),
        cookie_capture: conf.cookie_capture.clone(),
        counter: AtomicU32::new(0),
    }
}

/// Logging of the process itself (starts, stops): the targets of `global`.
pub fn resolve_global(global: &Section) -> ProxyLog {
    let none = LogConf::default();
    let conf = global.get::<LogConf>().unwrap_or(&none);
    ProxyLog {
        targets: conf.targets.clone(),
        tag: tag(conf, conf),
        hostname: conf.hostname.clone(),
        ..ProxyLog::default()
    }
}

fn tag(conf: &LogConf, global: &LogConf) -> Vec<u8> {
    conf.tag.clone().or_else(|| global.tag.clone()).unwrap_or_else(|| program_name().to_vec())
}

/// The name that the program was started under, without its path.
fn program_name() -> &'static [u8] {
    use std::os::unix::ffi::OsStrExt;
    static NAME: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    NAME.get_or_init(|| {
        let arg0 = std::env::args_os().next().unwrap_or_default();
        let path = std::path::Path::new(&arg0);
        path.file_name().map_or_else(|| b"haring".to_vec(), |n| n.as_bytes().to_vec())
    })
}

fn check_format(format: &LogFormat, section: &Section, diags: &mut Diagnostics) {
    let Some((name, loc)) = format.http_only() else { return };
    let (kind, id) = (section.kind.keyword(), &section.name);
    diags
        .error(loc, format!("format variable '%{name}' needs 'mode http', and {kind} '{id}' is in TCP mode"))
        .help("add 'mode http', or use another variable");
}
