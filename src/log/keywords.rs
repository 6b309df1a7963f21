//! The keywords of logging.

use std::net::ToSocketAddrs;
use std::sync::Arc;

use crate::base::addr::{AddrRules, AddrSpec, Host, Ports, SockAddr, Transport};
use crate::config::{Keyword, ParseCx, Section, SectionKind, Sections, Status, Word};
use crate::sample::ExprCx;

use super::conf::{LineFormat, LogConf};
use super::format::place_of;
use super::{
    CaptureDecl, CookieCapture, FACILITIES, FORMATS, Facility, LEVELS, Level, LogFormat, Sample, Target,
    Usage, builtin,
};

/// Port of a receiver that names none.
const SYSLOG_PORT: u16 = 514;

const FRONT: Sections = Sections::DEFAULTS.or(Sections::FRONTEND).or(Sections::BACKEND);
const CAPTURE: Sections = Sections::FRONTEND.or(Sections::BACKEND);
const EVERYWHERE: Sections = Sections::GLOBAL.or(Sections::PROXY);

const fn kw(
    name: &'static str,
    sections: Sections,
    syntax: &'static str,
    doc: &'static str,
    parse: crate::config::ParseFn,
) -> Keyword {
    Keyword { name, sections, syntax, doc, status: Status::Full, parse }
}

/// Every keyword of this feature.
pub static KEYWORDS: &[Keyword] = &[
    kw(
        "log",
        EVERYWHERE.or(Sections::PEERS),
        "[no] log { global | <target> [len <length>] [format <format>] [sample <ranges>:<size>] <facility> [<level> [<minlevel>]] }",
        "where log lines go",
        parse_log,
    ),
    kw("log-tag", EVERYWHERE, "log-tag <string>", "program name in the syslog header", parse_log_tag),
    kw(
        "log-send-hostname",
        Sections::GLOBAL,
        "log-send-hostname [<string>]",
        "host name in the syslog header",
        parse_send_hostname,
    ),
    kw("log-format", FRONT, "log-format <fmt>", "format of traffic lines", parse_log_format),
    kw(
        "log-format-sd",
        FRONT,
        "log-format-sd <fmt>",
        "structured data of lines in RFC 5424 format",
        parse_log_format_sd,
    ),
    kw(
        "error-log-format",
        FRONT,
        "error-log-format <fmt>",
        "format of lines about failed handshakes",
        parse_error_log_format,
    ),
    kw(
        "unique-id-format",
        Sections::PROXY,
        "unique-id-format <fmt>",
        "how the unique id of each request is built",
        parse_unique_id_format,
    ),
    kw(
        "unique-id-header",
        FRONT,
        "unique-id-header <name>",
        "header that carries the unique id to the server",
        parse_unique_id_header,
    ),
    Keyword {
        name: "log-steps",
        sections: Sections::DEFAULTS.or(Sections::FRONTEND),
        syntax: "log-steps <steps>",
        doc: "at which steps of an exchange a line is written",
        status: Status::Planned,
        parse: Keyword::nothing,
    },
    kw("option httplog", FRONT, "option httplog [clf]", "HTTP log line", parse_httplog),
    kw("option httpslog", FRONT, "option httpslog", "HTTP log line with TLS fields", parse_httpslog),
    kw("option tcplog", FRONT, "option tcplog [clf]", "TCP log line", parse_tcplog),
    kw(
        "option dontlognull",
        FRONT,
        "[no] option dontlognull",
        "no line for connections that sent nothing",
        parse_flag,
    ),
    kw(
        "option dontlog-normal",
        FRONT,
        "[no] option dontlog-normal",
        "lines for what went wrong only",
        parse_flag,
    ),
    kw(
        "option logasap",
        FRONT,
        "[no] option logasap",
        "write the line before the data is transferred",
        parse_flag,
    ),
    kw(
        "option log-separate-errors",
        FRONT,
        "[no] option log-separate-errors",
        "level err for what went wrong",
        parse_flag,
    ),
    kw(
        "option log-health-checks",
        Sections::PROXY,
        "[no] option log-health-checks",
        "log every health check whose result changes",
        parse_flag,
    ),
    kw(
        "capture cookie",
        CAPTURE,
        "capture cookie <name> len <length>",
        "log a cookie of requests and responses",
        parse_capture_cookie,
    ),
    kw(
        "capture request",
        CAPTURE,
        "capture request header <name> len <length>",
        "log a header of requests",
        parse_capture_request,
    ),
    kw(
        "capture response",
        CAPTURE,
        "capture response header <name> len <length>",
        "log a header of responses",
        parse_capture_response,
    ),
    kw(
        "declare capture",
        CAPTURE,
        "declare capture { request | response } len <length>",
        "a capture slot that rules fill",
        parse_declare_capture,
    ),
];

/// False, after a warning, in a section without a client side.
fn has_frontend(cx: &mut ParseCx<'_>) -> bool {
    if cx.section.kind != SectionKind::Backend {
        return true;
    }
    let (loc, keyword, name) = (cx.dir.words[0].loc, cx.keyword(), cx.section.name.clone());
    cx.warning(loc, format!("'{keyword}' has no effect: backend '{name}' has no frontend capability"))
        .help("the frontend decides what is logged of a connection: put it there");
    cx.rest();
    false
}

/// False, after an error, when `no` stands in front of a keyword that has no negation.
fn not_negated(cx: &mut ParseCx<'_>) -> bool {
    if cx.dir.negated {
        let (loc, keyword) = (cx.dir.words[0].loc, cx.keyword());
        cx.error(loc, format!("'no' is not allowed in front of '{keyword}'"));
        cx.rest();
    }
    !cx.dir.negated
}

fn parse_log(cx: &mut ParseCx<'_>) {
    if cx.dir.negated {
        if cx.end() {
            let conf = cx.section.feature::<LogConf>();
            conf.targets.clear();
            conf.use_global = false;
        }
        return;
    }
    if cx.accept("global") {
        if cx.section.kind == SectionKind::Global {
            let loc = cx.dir.words[1].loc;
            cx.error(loc, "'log global' stands in proxies: it refers to the 'log' lines of this section");
            cx.rest();
        } else if cx.end() {
            cx.section.feature::<LogConf>().use_global = true;
        }
        return;
    }
    if let Some(target) = parse_target(cx) {
        cx.section.feature::<LogConf>().targets.push(Arc::new(target));
    }
}

/// `<target> [len ...] ... <facility> [<level> [<minlevel>]]`: for every section that has log lines.
pub fn parse_target(cx: &mut ParseCx<'_>) -> Option<Target> {
    let addr = parse_target_addr(cx)?;
    let mut t = Target::new(addr, Facility(0));
    loop {
        if cx.accept("len") {
            t.max_len = cx.expect_int("a line length in bytes", 80..=65535)? as usize;
        } else if cx.accept("format") {
            let names: Vec<&str> = FORMATS.iter().map(|f| f.0).collect();
            t.format = Some(FORMATS[cx.expect_one_of("a log format", &names)?].1);
        } else if cx.accept("sample") {
            t.sample = Some(parse_sample(cx)?);
        } else if cx.peek().is_some_and(|w| w.is("profile")) {
            let loc = cx.next()?.loc;
            cx.error(loc, "'profile' is not implemented yet");
            return None;
        } else {
            break;
        }
    }
    t.facility = Facility(cx.expect_one_of("a facility", &FACILITIES)? as u8);
    if cx.peek().is_some() {
        t.level = parse_level(cx)?;
    }
    if cx.peek().is_some() {
        t.min_level = parse_level(cx)?;
    }
    cx.end().then_some(t)
}

fn parse_level(cx: &mut ParseCx<'_>) -> Option<Level> {
    let names: Vec<&str> = LEVELS.iter().map(|l| l.1).collect();
    Some(LEVELS[cx.expect_one_of("a level", &names)?].0)
}

fn parse_target_addr(cx: &mut ParseCx<'_>) -> Option<SockAddr> {
    let w = cx.expect("a log target (an address, a unix socket, stdout, stderr, fd@N) or 'global'")?;
    match w.bytes.as_slice() {
        b"stdout" => return Some(SockAddr::Fd(1)),
        b"stderr" => return Some(SockAddr::Fd(2)),
        b if b.starts_with(b"backend@") => {
            cx.error(w.loc, "log backends ('backend@') are not implemented yet");
            return None;
        }
        _ => {}
    }
    let spec = cx.addr(w, AddrRules::TARGET)?;
    resolve_target(cx, w, &spec)
}

fn resolve_target(cx: &mut ParseCx<'_>, w: &Word, spec: &AddrSpec) -> Option<SockAddr> {
    if spec.transport == Some(Transport::Stream) {
        cx.error(w.loc, "log targets over TCP are not implemented yet")
            .help("use a UDP or unix datagram receiver");
        return None;
    }
    let port = match spec.ports {
        Ports::One(p) => p,
        _ => SYSLOG_PORT,
    };
    let spec = AddrSpec { ports: Ports::One(port), ..spec.clone() };
    match &spec.host {
        Host::Ring(name) => {
            cx.error(w.loc, format!("log targets in rings ('ring@{name}') are not implemented yet"));
            None
        }
        Host::Name(name, _) => {
            match (name.as_str(), port).to_socket_addrs().ok().and_then(|mut a| a.next()) {
                Some(a) => Some(SockAddr::Inet(a)),
                None => {
                    cx.error(w.loc, format!("'log': could not resolve address '{name}'"));
                    None
                }
            }
        }
        _ => spec.sock_addrs()?.into_iter().next(),
    }
}

/// `1,3-4:5`.
fn parse_sample(cx: &mut ParseCx<'_>) -> Option<Sample> {
    let w = cx.expect("ranges and a size, as '1,3-4:5'")?;
    match sample_of(&w.text()) {
        Ok(s) => Some(s),
        Err(message) => {
            cx.error(w.loc, format!("'sample' {message}")).help("as '1:2' or '1,3-4:5'");
            None
        }
    }
}

fn sample_of(text: &str) -> Result<Sample, String> {
    let (ranges, size) = text.split_once(':').ok_or("expects ranges and a size separated by ':'")?;
    let number = |s: &str| match s.parse::<u64>() {
        Ok(n) if n > 0 => Ok(n),
        Ok(_) => Err("takes numbers from 1 on".to_owned()),
        Err(_) => Err(format!("expects a number, got '{s}'")),
    };
    let period = number(size)?;
    let mut list = Vec::new();
    for r in ranges.split(',') {
        let (low, high) = match r.split_once('-') {
            Some((low, high)) => (number(low)?, number(high)?),
            None => (number(r)?, number(r)?),
        };
        if low > high {
            return Err(format!("has a range that ends before it begins: '{r}'"));
        }
        if high > period {
            return Err(format!("has a range beyond its size {period}: '{r}'"));
        }
        if list.iter().any(|(l, h)| low <= *h && high >= *l) {
            return Err(format!("has overlapping ranges: '{r}'"));
        }
        list.push((low, high));
    }
    Ok(Sample { ranges: list, period })
}

fn parse_log_tag(cx: &mut ParseCx<'_>) {
    let Some(w) = cx.expect("a tag") else { return };
    if cx.end() {
        cx.section.feature::<LogConf>().tag = Some(w.bytes.clone());
    }
}

fn parse_send_hostname(cx: &mut ParseCx<'_>) {
    let name = cx.next().map_or_else(|| super::render::hostname().to_vec(), |w| w.bytes.clone());
    if cx.end() {
        cx.section.feature::<LogConf>().hostname = Some(name);
    }
}

/// The only argument, compiled.
fn parse_format(cx: &mut ParseCx<'_>, usage: Usage) -> Option<Arc<LogFormat>> {
    let w = cx.expect("a log format string")?;
    if let Some(extra) = cx.peek() {
        let (loc, keyword) = (extra.loc, cx.keyword());
        cx.error(loc, format!("'{keyword}' expects only one argument"))
            .help("put the format in double quotes");
        cx.rest();
        return None;
    }
    LogFormat::parse(&mut ExprCx::of(cx, place_of(usage)), w, usage).map(Arc::new)
}

fn parse_log_format(cx: &mut ParseCx<'_>) {
    if !has_frontend(cx) {
        return;
    }
    let Some(format) = parse_format(cx, Usage::Log) else { return };
    // Nothing but flags: the reference then writes the default line.
    let line = match format.constant() {
        Some(b"") => LineFormat::Default,
        _ => LineFormat::Custom { format },
    };
    cx.section.feature::<LogConf>().line = line;
}

fn parse_log_format_sd(cx: &mut ParseCx<'_>) {
    if has_frontend(cx)
        && let Some(f) = parse_format(cx, Usage::StructuredData)
    {
        cx.section.feature::<LogConf>().format_sd = Some(f);
    }
}

fn parse_error_log_format(cx: &mut ParseCx<'_>) {
    if has_frontend(cx)
        && let Some(f) = parse_format(cx, Usage::Log)
    {
        cx.section.feature::<LogConf>().error_format = Some(f);
    }
}

fn parse_unique_id_format(cx: &mut ParseCx<'_>) {
    if let Some(f) = parse_format(cx, Usage::UniqueId) {
        cx.section.feature::<LogConf>().unique_id = Some(f);
    }
}

fn parse_unique_id_header(cx: &mut ParseCx<'_>) {
    if !has_frontend(cx) {
        return;
    }
    let Some(w) = cx.expect("a header name") else { return };
    if !crate::http::token::is_token(&w.bytes) {
        cx.error(w.loc, format!("'{}' is no valid header name", w.text()));
        return;
    }
    if cx.end() {
        cx.section.feature::<LogConf>().unique_id_header = Some(w.text().into_owned());
    }
}

/// Make a built-in format the one of this section.
fn use_built_in(cx: &mut ParseCx<'_>, name: &'static str, http: bool, text: &'static str) {
    let loc = cx.dir.words[0].loc;
    let place = place_of(Usage::Log);
    if let Some(format) = builtin::compile(&mut ExprCx::of(cx, place), text, loc) {
        cx.section.feature::<LogConf>().line = LineFormat::Option { name, http, format, loc };
    }
}

fn parse_httplog(cx: &mut ParseCx<'_>) {
    let clf = cx.accept("clf");
    if has_frontend(cx) && not_negated(cx) && cx.end() {
        use_built_in(cx, "httplog", true, if clf { builtin::HTTP_CLF } else { builtin::HTTP });
    }
}

fn parse_httpslog(cx: &mut ParseCx<'_>) {
    if has_frontend(cx) && not_negated(cx) && cx.end() {
        use_built_in(cx, "httpslog", true, builtin::HTTPS);
    }
}

fn parse_tcplog(cx: &mut ParseCx<'_>) {
    let clf = cx.accept("clf");
    if has_frontend(cx) && not_negated(cx) && cx.end() {
        use_built_in(cx, "tcplog", false, if clf { builtin::TCP_CLF } else { builtin::TCP });
    }
}

fn parse_flag(cx: &mut ParseCx<'_>) {
    let keyword = cx.keyword();
    if keyword != "option log-health-checks" && !has_frontend(cx) {
        return;
    }
    if !cx.end() {
        return;
    }
    let on = !cx.dir.negated && !cx.dir.defaulted;
    let conf = cx.section.feature::<LogConf>();
    let flag = match keyword.as_str() {
        "option dontlognull" => &mut conf.dont_log_null,
        "option dontlog-normal" => &mut conf.dont_log_normal,
        "option logasap" => &mut conf.log_asap,
        "option log-separate-errors" => &mut conf.separate_errors,
        _ => &mut conf.log_health_checks,
    };
    *flag = on;
}

/// `len N`, the last argument.
fn parse_len(cx: &mut ParseCx<'_>) -> Option<usize> {
    let w = cx.expect("'len' and a length")?;
    if !w.is("len") {
        let (keyword, text) = (cx.keyword(), w.text().into_owned());
        cx.error(w.loc, format!("'{keyword}' expects 'len' and a length, got '{text}'"));
        return None;
    }
    let n = cx.expect_int("a length in bytes", 1..=65535)?;
    cx.end().then_some(n as usize)
}

fn parse_capture_cookie(cx: &mut ParseCx<'_>) {
    if !has_frontend(cx) {
        return;
    }
    let Some(w) = cx.expect("a cookie name") else { return };
    let Some(len) = parse_len(cx) else { return };
    let conf = cx.section.feature::<LogConf>();
    if conf.cookie_capture.is_some() {
        cx.error(cx.dir.loc, "only one 'capture cookie' is allowed in a frontend");
        return;
    }
    conf.cookie_capture = Some(CookieCapture { prefix: w.text().into_owned(), len });
}

fn parse_capture_header(cx: &mut ParseCx<'_>) -> Option<CaptureDecl> {
    if !has_frontend(cx) {
        return None;
    }
    cx.expect_one_of("what to capture", &["header"])?;
    let name = cx.expect_text("a header name")?;
    let len = parse_len(cx)?;
    Some(CaptureDecl { header: Some(name), len })
}

fn parse_capture_request(cx: &mut ParseCx<'_>) {
    if let Some(c) = parse_capture_header(cx) {
        cx.section.feature::<LogConf>().request_captures.push(c);
    }
}

fn parse_capture_response(cx: &mut ParseCx<'_>) {
    if let Some(c) = parse_capture_header(cx) {
        cx.section.feature::<LogConf>().response_captures.push(c);
    }
}

fn parse_declare_capture(cx: &mut ParseCx<'_>) {
    if !has_frontend(cx) {
        return;
    }
    let Some(side) = cx.expect_one_of("a direction", &["request", "response"]) else { return };
    let Some(len) = parse_len(cx) else { return };
    let conf = cx.section.feature::<LogConf>();
    let list = if side == 0 { &mut conf.request_captures } else { &mut conf.response_captures };
    list.push(CaptureDecl { header: None, len });
}

/// The number of capture slots that a section declares so far: request, response. For rules that name a slot.
pub fn declared_captures(section: &Section) -> (usize, usize) {
    section.get::<LogConf>().map_or((0, 0), |c| (c.request_captures.len(), c.response_captures.len()))
}

/// Declare one more request (or response) slot of `len` bytes and give its number: `http-request capture ... len N`.
pub fn declare_capture(section: &mut Section, response: bool, len: usize) -> usize {
    let conf = section.feature::<LogConf>();
    let list = if response { &mut conf.response_captures } else { &mut conf.request_captures };
    list.push(CaptureDecl { header: None, len });
    list.len() - 1
}
