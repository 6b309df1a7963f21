//! Keywords of proxy sections that configure checks. The check options of `server` lines are in the server
//! options' table.

use regex::bytes::{Regex, RegexBuilder};

use super::CheckStatus;
use super::raw::{CheckKind, HttpRule, HttpSend, ProxyCheck};
use super::rules::{Connect, Expect, HeaderMatch, Match, Payload, Send, Step, TextMatch};
use crate::base::addr::{AddrRules, Host};
use crate::config::{Keyword, ParseCx, Sections, Status, Word};

const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND);

const fn full(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    parse: fn(&mut ParseCx<'_>),
) -> Keyword {
    Keyword { name, sections: BACK, syntax, doc, status: Status::Full, parse }
}

const fn planned(name: &'static str, syntax: &'static str, doc: &'static str) -> Keyword {
    Keyword { name, sections: BACK, syntax, doc, status: Status::Planned, parse: Keyword::nothing }
}

/// The table.
pub static KEYWORDS: &[Keyword] = &[
    full(
        "option httpchk",
        "option httpchk [[<method>] <uri> [<version>]]",
        "check servers with an HTTP request",
        httpchk,
    ),
    full(
        "http-check connect",
        "http-check connect [port <port>] [addr <ip>] [options]*",
        "open a connection at this point of an HTTP check",
        http_connect,
    ),
    full(
        "http-check send",
        "http-check send [meth <method>] [uri <uri>] [ver <version>] [hdr <name> <fmt>]* [body <string>]",
        "request of an HTTP check",
        http_send,
    ),
    full(
        "http-check expect",
        "http-check expect [options]* [!] <match> <pattern>",
        "answer that an HTTP check wants",
        http_expect,
    ),
    full(
        "http-check disable-on-404",
        "http-check disable-on-404",
        "a 404 takes the server out of balancing and leaves its sessions",
        disable_on_404,
    ),
    full(
        "http-check send-state",
        "http-check send-state",
        "tell the server what we think of it, in X-Haproxy-Server-State",
        send_state,
    ),
    full("http-check comment", "http-check comment <string>", "shown when a later rule fails", check_comment),
    planned(
        "http-check set-var",
        "http-check set-var(<name>[,<cond>]*) <expr>",
        "set a variable during a check",
    ),
    planned(
        "http-check set-var-fmt",
        "http-check set-var-fmt(<name>[,<cond>]*) <fmt>",
        "set a variable during a check",
    ),
    planned("http-check unset-var", "http-check unset-var(<name>)", "unset a variable during a check"),
    full("option tcp-check", "option tcp-check", "check servers with tcp-check rules", tcp_check),
    full(
        "tcp-check connect",
        "tcp-check connect [port <port>] [addr <ip>] [options]*",
        "open a connection at this point of a TCP check",
        tcp_connect,
    ),
    full("tcp-check send", "tcp-check send <data> [comment <msg>]", "send a string in a TCP check", tcp_send),
    full(
        "tcp-check send-binary",
        "tcp-check send-binary <hexstring> [comment <msg>]",
        "send bytes in a TCP check",
        tcp_send_binary,
    ),
    planned(
        "tcp-check send-lf",
        "tcp-check send-lf <fmt> [comment <msg>]",
        "send a log-format string in a TCP check",
    ),
    planned(
        "tcp-check send-binary-lf",
        "tcp-check send-binary-lf <hexfmt> [comment <msg>]",
        "send a log-format string as bytes in a TCP check",
    ),
    full(
        "tcp-check expect",
        "tcp-check expect [options]* [!] <match> <pattern>",
        "answer that a TCP check wants",
        tcp_expect,
    ),
    full("tcp-check comment", "tcp-check comment <string>", "shown when a later rule fails", check_comment),
    planned(
        "tcp-check set-var",
        "tcp-check set-var(<name>[,<cond>]*) <expr>",
        "set a variable during a check",
    ),
    planned(
        "tcp-check set-var-fmt",
        "tcp-check set-var-fmt(<name>[,<cond>]*) <fmt>",
        "set a variable during a check",
    ),
    planned("tcp-check unset-var", "tcp-check unset-var(<name>)", "unset a variable during a check"),
    full("option smtpchk", "option smtpchk [<hello> <domain>]", "check servers with SMTP", smtpchk),
    full(
        "option mysql-check",
        "option mysql-check [user <name> [post-41|pre-41]]",
        "check servers with MySQL's handshake",
        mysql_check,
    ),
    full(
        "option pgsql-check",
        "option pgsql-check user <name>",
        "check servers with PostgreSQL's startup",
        pgsql_check,
    ),
    full("option redis-check", "option redis-check", "check servers with redis' PING", redis_check),
    full("option ldap-check", "option ldap-check", "check servers with an LDAPv3 bind", ldap_check),
    full("option ssl-hello-chk", "option ssl-hello-chk", "check servers with an SSLv3 hello", ssl_hello_chk),
    planned("option spop-check", "option spop-check", "check servers with SPOP"),
    planned("option external-check", "option external-check", "check servers with a program"),
    planned("external-check command", "external-check command <command>", "program of external checks"),
    planned("external-check path", "external-check path <path>", "PATH of the external check program"),
];

fn set_kind(cx: &mut ParseCx<'_>, kind: CheckKind) {
    if cx.end() {
        cx.section.feature::<ProxyCheck>().kind = kind;
    }
}

fn httpchk(cx: &mut ParseCx<'_>) {
    let args: Vec<&[u8]> = cx.rest().iter().map(|w| w.bytes.as_slice()).collect();
    let mut request = HttpSend::default();
    match args.as_slice() {
        [] => {}
        [uri] => request.uri = Some(uri.to_vec()),
        [method, uri, rest @ ..] => {
            request.method = Some(method.to_vec());
            request.uri = Some(uri.to_vec());
            if let [version] = rest {
                old_version_trick(cx, version, &mut request);
            } else if let Some(extra) = rest.get(1) {
                let text = String::from_utf8_lossy(extra).into_owned();
                let loc = cx.dir.words.get(cx.keyword_len + 3).map_or(cx.dir.loc, |w| w.loc);
                cx.error(loc, format!("'option httpchk' cannot handle unexpected argument '{text}'"))
                    .help("header fields belong in 'http-check send hdr <name> <value>'");
                return;
            }
        }
    }
    let check = cx.section.feature::<ProxyCheck>();
    check.kind = CheckKind::Http;
    check.http_request = request;
}

/// Before `http-check send` came, fields and a body were put behind the version: `HTTP/1.1\r\nHost:\ www`.
fn old_version_trick(cx: &mut ParseCx<'_>, text: &[u8], request: &mut HttpSend) {
    let Some(cut) = memchr::memmem::find(text, b"\r\n") else {
        request.version = Some(text.to_vec());
        return;
    };
    request.version = Some(text[..cut].to_vec());
    let mut rest = &text[cut + 2..];
    let loc = cx.dir.words.last().map_or(cx.dir.loc, |w| w.loc);
    cx.warning(
        loc,
        "'option httpchk' : hiding headers or body at the end of the version string is deprecated",
    )
    .help("use 'http-check send hdr <name> <value>'");
    loop {
        let end = memchr::memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 2..).unwrap_or(&[]);
        if line.is_empty() {
            break;
        }
        match line.iter().position(|b| *b == b':') {
            Some(colon) => {
                request
                    .fields
                    .push((line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii().to_vec()));
            }
            None => {
                cx.error(loc, "'option httpchk' : a header without a colon behind the version");
                return;
            }
        }
    }
    if !rest.is_empty() {
        request.body = Some(rest.to_vec());
    }
}

/// The rules of this section; those inherited from `defaults` go when the section writes its first own one.
fn http_rules<'c>(cx: &'c mut ParseCx<'_>) -> &'c mut Vec<HttpRule> {
    let owner = cx.section.loc;
    let check = cx.section.feature::<ProxyCheck>();
    if check.http_owner != Some(owner) {
        check.http_owner = Some(owner);
        check.http_rules.clear();
    }
    &mut check.http_rules
}

fn tcp_rules<'c>(cx: &'c mut ParseCx<'_>) -> &'c mut Vec<Step> {
    let owner = cx.section.loc;
    let check = cx.section.feature::<ProxyCheck>();
    if check.tcp_owner != Some(owner) {
        check.tcp_owner = Some(owner);
        check.tcp_rules.clear();
    }
    &mut check.tcp_rules
}

fn disable_on_404(cx: &mut ParseCx<'_>) {
    if cx.end() {
        cx.section.feature::<ProxyCheck>().disable_on_404 = true;
    }
}

fn send_state(cx: &mut ParseCx<'_>) {
    if cx.end() {
        cx.section.feature::<ProxyCheck>().send_state = true;
    }
}

fn check_comment(cx: &mut ParseCx<'_>) {
    let Some(text) = cx.expect_text("a comment") else { return };
    if cx.end() {
        cx.section.feature::<ProxyCheck>().comment = Some(text);
    }
}

fn tcp_check(cx: &mut ParseCx<'_>) {
    set_kind(cx, CheckKind::TcpRules);
}

fn redis_check(cx: &mut ParseCx<'_>) {
    set_kind(cx, CheckKind::Redis);
}

fn ldap_check(cx: &mut ParseCx<'_>) {
    set_kind(cx, CheckKind::Ldap);
}

fn ssl_hello_chk(cx: &mut ParseCx<'_>) {
    set_kind(cx, CheckKind::SslHello);
}

fn smtpchk(cx: &mut ParseCx<'_>) {
    let hello = match cx.next() {
        None => "HELO localhost".to_owned(),
        Some(verb) => {
            let domain = cx.next().map_or_else(|| "localhost".into(), Word::text);
            // Another verb than the two is replaced, as HAProxy does.
            let verb = if verb.is("EHLO") { "EHLO" } else { "HELO" };
            format!("{verb} {domain}")
        }
    };
    set_kind(cx, CheckKind::Smtp(hello));
}

fn mysql_check(cx: &mut ParseCx<'_>) {
    let (mut user, mut post_41) = (None, true);
    if cx.accept("user") {
        user = cx.expect_text("a user name");
        if user.is_none() {
            return;
        }
        if cx.accept("pre-41") {
            post_41 = false;
        } else {
            cx.accept("post-41");
        }
    }
    set_kind(cx, CheckKind::Mysql { user, post_41 });
}

fn pgsql_check(cx: &mut ParseCx<'_>) {
    if !cx.accept("user") {
        let loc = cx.peek().map_or_else(|| cx.end_loc(), |w| w.loc);
        cx.error(loc, "'option pgsql-check' expects 'user <name>'");
        return;
    }
    let Some(user) = cx.expect_text("a user name") else { return };
    set_kind(cx, CheckKind::Pgsql(user));
}

/// Options of `connect`. `None` after an error.
fn parse_connect(cx: &mut ParseCx<'_>) -> Option<Connect> {
    let mut connect =
        Connect { comment: cx.section.feature::<ProxyCheck>().comment.clone(), ..Connect::default() };
    while let Some(word) = cx.next() {
        match word.text().as_ref() {
            "default" => connect.default_options = true,
            "port" => connect.port = Some(cx.expect_int("a port number", 1..=65535)? as u16),
            "addr" => {
                let rules = AddrRules { names: false, port_allowed: true, ..AddrRules::default() };
                let spec = cx.expect_addr("an address", rules)?;
                let Host::Ip(ip) = spec.host else {
                    cx.error(word.loc, "'addr' expects an IP address");
                    return None;
                };
                connect.addr = Some(ip);
            }
            "send-proxy" => connect.send_proxy = true,
            "linger" => connect.linger = true,
            "comment" => connect.comment = Some(cx.expect_text("a comment")?),
            "ssl" | "sni" | "alpn" | "proto" | "via-socks4" => {
                let message =
                    format!("'{}' : '{}' is known and not implemented yet", cx.keyword(), word.text());
                cx.error(word.loc, message);
                return None;
            }
            other => {
                let message = format!("'{}' cannot handle unexpected argument '{other}'", cx.keyword());
                let names = ["default", "port", "addr", "send-proxy", "linger", "comment", "ssl"];
                let help = crate::config::suggest::closest(other, names.into_iter());
                let diag = cx.error(word.loc, message);
                if let Some(best) = help {
                    diag.help(format!("did you mean '{best}'?"));
                }
                return None;
            }
        }
    }
    Some(connect)
}

const FIRST_MUST_CONNECT: &str = "when there is a 'connect' rule, the first rule must be one too";

fn http_connect(cx: &mut ParseCx<'_>) {
    let Some(connect) = parse_connect(cx) else { return };
    let loc = cx.dir.loc;
    let rules = http_rules(cx);
    let starts_well = rules.is_empty() || matches!(rules[0], HttpRule::Connect(_));
    rules.push(HttpRule::Connect(connect));
    if !starts_well {
        cx.error(loc, format!("'http-check connect' : {FIRST_MUST_CONNECT}"));
    }
}

fn tcp_connect(cx: &mut ParseCx<'_>) {
    let Some(connect) = parse_connect(cx) else { return };
    let loc = cx.dir.loc;
    let rules = tcp_rules(cx);
    let starts_well = rules.is_empty() || matches!(rules[0], Step::Connect(_));
    rules.push(Step::Connect(connect));
    if !starts_well {
        cx.error(loc, format!("'tcp-check connect' : {FIRST_MUST_CONNECT}"));
    }
}

/// A value that HAProxy takes as a log-format string. Constant ones work; an error for the others.
fn constant_format(cx: &mut ParseCx<'_>, word: &Word) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(word.bytes.len());
    let mut bytes = word.bytes.iter().copied().peekable();
    while let Some(b) = bytes.next() {
        if b == b'%' && bytes.next_if_eq(&b'%').is_none() {
            let message =
                format!("'{}' : variables in '{}' are not implemented yet", cx.keyword(), word.text());
            cx.error(word.loc, message);
            return None;
        }
        out.push(b);
    }
    Some(out)
}

fn http_send(cx: &mut ParseCx<'_>) {
    let Some(send) = parse_http_send(cx) else { return };
    http_rules(cx).push(HttpRule::Send(send));
}

fn parse_http_send(cx: &mut ParseCx<'_>) -> Option<HttpSend> {
    let mut send =
        HttpSend { comment: cx.section.feature::<ProxyCheck>().comment.clone(), ..HttpSend::default() };
    while let Some(word) = cx.next() {
        match word.text().as_ref() {
            "meth" => send.method = Some(cx.expect("a method")?.bytes.clone()),
            "uri" => send.uri = Some(cx.expect("a URI")?.bytes.clone()),
            "uri-lf" => {
                let value = cx.expect("a URI")?;
                send.uri = Some(constant_format(cx, value)?);
            }
            "ver" | "vsn" => send.version = Some(cx.expect("a version")?.bytes.clone()),
            "hdr" => {
                let name = cx.expect("a header name")?.bytes.to_ascii_lowercase();
                let value = cx.expect("a header value")?;
                send.fields.push((name, constant_format(cx, value)?));
            }
            "body" => send.body = Some(cx.expect("a body")?.bytes.clone()),
            "body-lf" => {
                let value = cx.expect("a body")?;
                send.body = Some(constant_format(cx, value)?);
            }
            "comment" => send.comment = Some(cx.expect_text("a comment")?),
            other => {
                let message = format!("'http-check send' cannot handle unexpected argument '{other}'");
                cx.error(word.loc, message)
                    .help("it knows meth, uri, uri-lf, ver, hdr, body, body-lf and comment");
                return None;
            }
        }
    }
    Some(send)
}

fn tcp_send(cx: &mut ParseCx<'_>) {
    let Some(data) = cx.expect("a string to send").map(|w| w.bytes.clone()) else { return };
    push_tcp_send(cx, data);
}

fn tcp_send_binary(cx: &mut ParseCx<'_>) {
    let Some(word) = cx.expect("hexadecimal digits to send") else { return };
    let Some(data) = hex(cx, word) else { return };
    push_tcp_send(cx, data);
}

fn push_tcp_send(cx: &mut ParseCx<'_>, data: Vec<u8>) {
    let mut comment = cx.section.feature::<ProxyCheck>().comment.clone();
    if cx.accept("comment") {
        comment = cx.expect_text("a comment");
    }
    if cx.end() {
        tcp_rules(cx).push(Step::Send(Send { payload: Payload::Bytes(data), comment }));
    }
}

fn hex(cx: &mut ParseCx<'_>, word: &Word) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let pair = |p: &[u8]| match p {
        [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = word.bytes.chunks(2).map(pair).collect();
    if bytes.is_none() {
        let message =
            format!("'{}' : '{}' is not an even number of hexadecimal digits", cx.keyword(), word.text());
        cx.error(word.loc, message);
    }
    bytes
}

fn regex(cx: &mut ParseCx<'_>, word: &Word) -> Option<Regex> {
    match RegexBuilder::new(&word.text()).unicode(false).build() {
        Ok(regex) => Some(regex),
        Err(error) => {
            let why = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            let message = format!("'{}' : regular expression '{}' : {why}", cx.keyword(), word.text());
            cx.error(word.loc, message);
            None
        }
    }
}

fn http_expect(cx: &mut ParseCx<'_>) {
    let Some(expect) = parse_expect(cx, true) else { return };
    let rules = http_rules(cx);
    let connects = matches!(rules.first(), Some(HttpRule::Connect(_)));
    let sends = rules.iter().any(|r| matches!(r, HttpRule::Send(_)));
    rules.push(HttpRule::Expect(expect));
    if connects && !sends {
        let loc = cx.dir.loc;
        cx.error(loc, "'http-check expect' : a 'send' rule is missing between 'connect' and 'expect'");
    }
}

fn tcp_expect(cx: &mut ParseCx<'_>) {
    let Some(expect) = parse_expect(cx, false) else { return };
    tcp_rules(cx).push(Step::Expect(expect));
}

const OK_STATUS: [(&str, CheckStatus); 4] = [
    ("L7OK", CheckStatus::L7Ok),
    ("L7OKC", CheckStatus::L7OkCond),
    ("L6OK", CheckStatus::L6Ok),
    ("L4OK", CheckStatus::L4Ok),
];
const ERROR_STATUS: [(&str, CheckStatus); 5] = [
    ("L7OKC", CheckStatus::L7OkCond),
    ("L7RSP", CheckStatus::L7Response),
    ("L7STS", CheckStatus::L7Status),
    ("L6RSP", CheckStatus::L6Response),
    ("L4CON", CheckStatus::L4Conn),
];
const TIMEOUT_STATUS: [(&str, CheckStatus); 3] = [
    ("L7TOUT", CheckStatus::L7Timeout),
    ("L6TOUT", CheckStatus::L6Timeout),
    ("L4TOUT", CheckStatus::L4Timeout),
];

fn status_of(cx: &mut ParseCx<'_>, choices: &[(&str, CheckStatus)]) -> Option<CheckStatus> {
    let names: Vec<&str> = choices.iter().map(|c| c.0).collect();
    cx.expect_one_of("a status", &names).map(|i| choices[i].1)
}

fn text_format(cx: &mut ParseCx<'_>) -> Option<String> {
    let word = cx.expect("a message")?;
    constant_format(cx, word).map(|b| String::from_utf8_lossy(&b).into_owned())
}

fn parse_expect(cx: &mut ParseCx<'_>, http: bool) -> Option<Expect> {
    let mut expect = Expect::new(Match::Status(Vec::new()));
    expect.comment = cx.section.feature::<ProxyCheck>().comment.clone();
    loop {
        let word = cx.expect("a match and a pattern")?;
        match word.text().as_ref() {
            "min-recv" => {
                let n = cx.expect_int("a number of bytes", -1..=i64::from(i32::MAX))?;
                expect.min_recv = usize::try_from(n).ok();
            }
            "comment" => expect.comment = Some(cx.expect_text("a comment")?),
            "ok-status" => expect.ok_status = Some(status_of(cx, &OK_STATUS)?),
            "error-status" => expect.error_status = Some(status_of(cx, &ERROR_STATUS)?),
            "tout-status" => expect.timeout_status = Some(status_of(cx, &TIMEOUT_STATUS)?),
            "on-success" => expect.on_success = Some(text_format(cx)?),
            "on-error" => expect.on_error = Some(text_format(cx)?),
            "!" => expect.negated = true,
            text => {
                let (negated, name) = match text.strip_prefix('!') {
                    Some(name) => (true, name),
                    None => (expect.negated, text),
                };
                expect.negated = negated;
                expect.what = parse_match(cx, http, name, word)?;
                break;
            }
        }
    }
    if cx.accept("comment") {
        expect.comment = Some(cx.expect_text("a comment")?);
    }
    trailing_options(cx, &mut expect)?;
    cx.end().then_some(expect)
}

/// The same options may also stand behind the pattern.
fn trailing_options(cx: &mut ParseCx<'_>, expect: &mut Expect) -> Option<()> {
    loop {
        if cx.accept("on-success") {
            expect.on_success = Some(text_format(cx)?);
        } else if cx.accept("on-error") {
            expect.on_error = Some(text_format(cx)?);
        } else if cx.accept("ok-status") {
            expect.ok_status = Some(status_of(cx, &OK_STATUS)?);
        } else if cx.accept("error-status") {
            expect.error_status = Some(status_of(cx, &ERROR_STATUS)?);
        } else if cx.accept("tout-status") {
            expect.timeout_status = Some(status_of(cx, &TIMEOUT_STATUS)?);
        } else {
            return Some(());
        }
    }
}

fn parse_match(cx: &mut ParseCx<'_>, http: bool, name: &str, word: &Word) -> Option<Match> {
    match (name, http) {
        ("status", true) => {
            let codes = cx.expect("status codes")?;
            status_ranges(cx, codes).map(Match::Status)
        }
        ("rstatus", true) => {
            let pattern = cx.expect("a regular expression")?;
            regex(cx, pattern).map(Match::StatusRegex)
        }
        ("hdr" | "header" | "fhdr", true) => header_match(cx, name == "fhdr").map(Match::Header),
        ("string", _) => {
            let bytes = cx.expect("a string")?.bytes.clone();
            Some(if http { Match::Body(bytes) } else { Match::Str(bytes) })
        }
        ("string-lf", _) => {
            let pattern = cx.expect("a string")?;
            let bytes = constant_format(cx, pattern)?;
            Some(if http { Match::Body(bytes) } else { Match::Str(bytes) })
        }
        ("rstring", _) => {
            let pattern = cx.expect("a regular expression")?;
            let regex = regex(cx, pattern)?;
            Some(if http { Match::BodyRegex(regex) } else { Match::Regex(regex) })
        }
        ("binary", false) => {
            let pattern = cx.expect("hexadecimal digits")?;
            hex(cx, pattern).map(Match::Binary)
        }
        ("rbinary", false) => {
            let pattern = cx.expect("a regular expression")?;
            regex(cx, pattern).map(Match::BinaryRegex)
        }
        ("status-code" | "binary-lf", _) => {
            let message = format!("'{}' : '{name}' is known and not implemented yet", cx.keyword());
            cx.error(word.loc, message);
            None
        }
        _ => {
            let known: &[&str] = match http {
                true => &["status", "rstatus", "hdr", "fhdr", "string", "rstring", "string-lf"],
                false => &["string", "rstring", "binary", "rbinary", "string-lf"],
            };
            let message = format!("'{}' : unknown match '{name}'", cx.keyword());
            cx.error(word.loc, message).help(format!("one of: {}", known.join(", ")));
            None
        }
    }
}

/// `200,201,300-310`.
fn status_ranges(cx: &mut ParseCx<'_>, word: &Word) -> Option<Vec<(u16, u16)>> {
    let text = word.text();
    let code = |s: &str| s.parse::<u16>().ok().filter(|c| (100..=999).contains(c));
    let range = |s: &str| match s.split_once('-') {
        Some((low, high)) => Some((code(low)?, code(high)?)),
        None => code(s).map(|c| (c, c)),
    };
    let ranges: Option<Vec<_>> = text.split(',').map(|s| range(s.trim())).collect();
    if ranges.is_none() {
        let message =
            format!("'http-check expect status' : '{text}' is not a list of status codes and ranges");
        cx.error(word.loc, message).help("for example: 200,201,300-310");
    }
    ranges
}

fn header_match(cx: &mut ParseCx<'_>, full: bool) -> Option<HeaderMatch> {
    let name = match () {
        () if cx.accept("name") || cx.accept("name-lf") => text_match(cx)?,
        () => {
            let loc = cx.peek().map_or_else(|| cx.end_loc(), |w| w.loc);
            cx.error(loc, "'http-check expect hdr' expects 'name' and a pattern");
            return None;
        }
    };
    let value = match cx.accept("value") || cx.accept("value-lf") {
        true => Some(text_match(cx)?),
        false => None,
    };
    Some(HeaderMatch { name, value, full })
}

fn text_match(cx: &mut ParseCx<'_>) -> Option<TextMatch> {
    let mut method = 0;
    if cx.accept("-m") {
        method = cx.expect_one_of("a matching method", &["str", "beg", "end", "sub", "reg"])?;
    }
    let word = cx.expect("a pattern")?;
    let bytes = word.bytes.clone();
    Some(match method {
        1 => TextMatch::Prefix(bytes),
        2 => TextMatch::Suffix(bytes),
        3 => TextMatch::Contains(bytes),
        4 => TextMatch::Regex(regex(cx, word)?),
        _ => TextMatch::Exact(bytes),
    })
}
