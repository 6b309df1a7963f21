//! Keywords of proxy sections that configure checks. The check options of `server` lines are in the server
//! options' table.

use std::sync::Arc;

use super::computed::{Text, VarStep, VarValue};
use super::expect::{http_expect, tcp_expect};
use super::raw::{CheckKind, HttpRule, HttpSend, ProxyCheck};
use super::rules::{Connect, Payload, Send, Step, unhex};
use crate::base::addr::{AddrRules, Host};
use crate::config::{Keyword, ParseCx, Sections, Status, Word};
use crate::log::{LogFormat, Usage};
use crate::sample::{Expr, ExprCx, Place, Scope, SetConditions, VarName};

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
    full(
        "http-check set-var",
        "http-check set-var(<name>[,<cond>]*) <expr>",
        "set a variable during a check",
        set_var,
    ),
    full(
        "http-check set-var-fmt",
        "http-check set-var-fmt(<name>[,<cond>]*) <fmt>",
        "set a variable during a check",
        set_var_fmt,
    ),
    full(
        "http-check unset-var",
        "http-check unset-var(<name>)",
        "unset a variable during a check",
        unset_var,
    ),
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
    full(
        "tcp-check send-lf",
        "tcp-check send-lf <fmt> [comment <msg>]",
        "send a log-format string in a TCP check",
        tcp_send_lf,
    ),
    full(
        "tcp-check send-binary-lf",
        "tcp-check send-binary-lf <hexfmt> [comment <msg>]",
        "send a log-format string as bytes in a TCP check",
        tcp_send_binary_lf,
    ),
    full(
        "tcp-check expect",
        "tcp-check expect [options]* [!] <match> <pattern>",
        "answer that a TCP check wants",
        tcp_expect,
    ),
    full("tcp-check comment", "tcp-check comment <string>", "shown when a later rule fails", check_comment),
    full(
        "tcp-check set-var",
        "tcp-check set-var(<name>[,<cond>]*) <expr>",
        "set a variable during a check",
        set_var,
    ),
    full(
        "tcp-check set-var-fmt",
        "tcp-check set-var-fmt(<name>[,<cond>]*) <fmt>",
        "set a variable during a check",
        set_var_fmt,
    ),
    full("tcp-check unset-var", "tcp-check unset-var(<name>)", "unset a variable during a check", unset_var),
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
        [uri] => request.uri = Some(Text::Fixed(uri.to_vec())),
        [method, uri, rest @ ..] => {
            request.method = Some(method.to_vec());
            request.uri = Some(Text::Fixed(uri.to_vec()));
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
                request.fields.push((
                    line[..colon].to_ascii_lowercase(),
                    Text::Fixed(line[colon + 1..].trim_ascii().to_vec()),
                ));
            }
            None => {
                cx.error(loc, "'option httpchk' : a header without a colon behind the version");
                return;
            }
        }
    }
    if !rest.is_empty() {
        request.body = Some(Text::Fixed(rest.to_vec()));
    }
}

/// The rules of this section; those inherited from `defaults` go when the section writes its first own one.
pub(super) fn http_rules<'c>(cx: &'c mut ParseCx<'_>) -> &'c mut Vec<HttpRule> {
    let owner = cx.section.loc;
    let check = cx.section.feature::<ProxyCheck>();
    if check.http_owner != Some(owner) {
        check.http_owner = Some(owner);
        check.http_rules.clear();
    }
    &mut check.http_rules
}

pub(super) fn tcp_rules<'c>(cx: &'c mut ParseCx<'_>) -> &'c mut Vec<Step> {
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
    let first = rules.iter().find(|r| !matches!(r, HttpRule::Var(_)));
    let starts_well = matches!(first, None | Some(HttpRule::Connect(_)));
    rules.push(HttpRule::Connect(connect));
    if !starts_well {
        cx.error(loc, format!("'http-check connect' : {FIRST_MUST_CONNECT}"));
    }
}

fn tcp_connect(cx: &mut ParseCx<'_>) {
    let Some(connect) = parse_connect(cx) else { return };
    let loc = cx.dir.loc;
    let rules = tcp_rules(cx);
    let first = rules.iter().find(|r| !matches!(r, Step::Var(_)));
    let starts_well = matches!(first, None | Some(Step::Connect(_)));
    rules.push(Step::Connect(connect));
    if !starts_well {
        cx.error(loc, format!("'tcp-check connect' : {FIRST_MUST_CONNECT}"));
    }
}

/// A value that HAProxy takes as a log-format string. Constant ones work; an error for the others.
pub(super) fn constant_format(cx: &mut ParseCx<'_>, word: &Word) -> Option<Vec<u8>> {
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
            "uri" => send.uri = Some(Text::Fixed(cx.expect("a URI")?.bytes.clone())),
            "uri-lf" => {
                let value = cx.expect("a URI")?;
                send.uri = Some(text(cx, value, Place::CHECK)?);
            }
            "ver" | "vsn" => send.version = Some(cx.expect("a version")?.bytes.clone()),
            "hdr" => {
                let name = cx.expect("a header name")?.bytes.to_ascii_lowercase();
                let value = cx.expect("a header value")?;
                send.fields.push((name, text(cx, value, Place::CHECK)?));
            }
            "body" => send.body = Some(Text::Fixed(cx.expect("a body")?.bytes.clone())),
            "body-lf" => {
                let value = cx.expect("a body")?;
                send.body = Some(text(cx, value, Place::CHECK)?);
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

/// A log-format string, kept as plain text when nothing in it is computed.
pub(super) fn text(cx: &mut ParseCx<'_>, word: &Word, place: Place) -> Option<Text> {
    let format = LogFormat::parse(&mut ExprCx::of(cx, place), word, Usage::Http)?;
    Some(match format.constant() {
        Some(bytes) => Text::Fixed(bytes.to_vec()),
        None => Text::Format(Arc::new(format)),
    })
}

fn is_http(cx: &ParseCx<'_>) -> bool {
    cx.dir.words.first().is_some_and(|w| w.is("http-check"))
}

/// What stands in the parentheses of `set-var(...)`.
fn variable(cx: &mut ParseCx<'_>) -> Option<(VarName, SetConditions)> {
    let word = cx.dir.words.get(cx.keyword_len - 1)?;
    let inner = word.bytes.iter().position(|b| *b == b'(').map_or(&[][..], |at| &word.bytes[at + 1..]);
    let Some(inner) = inner.strip_suffix(b")") else {
        cx.error(word.loc, "the name of a variable is expected in parentheses, without blanks");
        return None;
    };
    let mut parts = inner.split(|c| *c == b',').map(<[u8]>::trim_ascii);
    let mut conditions = SetConditions::default();
    let parsed = VarName::parse(parts.next().unwrap_or_default());
    let parsed = parsed.and_then(|n| parts.try_for_each(|c| conditions.add(c)).map(|()| n));
    match parsed {
        Ok(name) if matches!(name.scope, Scope::Check | Scope::Proc) => Some((name, conditions)),
        Ok(_) => {
            cx.error(word.loc, "a check has variables of the scopes 'check' and 'proc' only");
            None
        }
        Err(e) => {
            cx.error(word.loc, e);
            None
        }
    }
}

fn push_var(cx: &mut ParseCx<'_>, (name, conditions): (VarName, SetConditions), value: VarValue) {
    let step = VarStep { name, conditions, value };
    match is_http(cx) {
        true => http_rules(cx).push(HttpRule::Var(step)),
        false => tcp_rules(cx).push(Step::Var(step)),
    }
}

fn set_var(cx: &mut ParseCx<'_>) {
    let Some(target) = variable(cx) else { return };
    if cx.peek().is_none() {
        cx.expect("an expression");
        return;
    }
    let words = cx.rest();
    let Some((e, used)) = Expr::parse_words(&mut ExprCx::of(cx, Place::CHECK_EXPECT), words) else { return };
    if let Some(w) = words.get(used) {
        cx.error(w.loc, format!("unexpected '{}' behind the expression", w.text()));
        return;
    }
    push_var(cx, target, VarValue::Expr(e));
}

fn set_var_fmt(cx: &mut ParseCx<'_>) {
    let Some(target) = variable(cx) else { return };
    let Some(word) = cx.expect("a log-format string") else { return };
    let Some(format) = LogFormat::parse(&mut ExprCx::of(cx, Place::CHECK_EXPECT), word, Usage::Http) else {
        return;
    };
    if cx.end() {
        push_var(cx, target, VarValue::Format(Arc::new(format)));
    }
}

fn unset_var(cx: &mut ParseCx<'_>) {
    let Some(target) = variable(cx) else { return };
    if cx.end() {
        push_var(cx, target, VarValue::Unset);
    }
}

fn tcp_send_lf(cx: &mut ParseCx<'_>) {
    push_computed_send(cx, false);
}

fn tcp_send_binary_lf(cx: &mut ParseCx<'_>) {
    push_computed_send(cx, true);
}

fn push_computed_send(cx: &mut ParseCx<'_>, hex: bool) {
    let Some(word) = cx.expect("a log-format string to send") else { return };
    if let Some(text) = text(cx, word, Place::CHECK) {
        push_send(cx, Payload::Text { text, hex });
    }
}

fn tcp_send(cx: &mut ParseCx<'_>) {
    let Some(data) = cx.expect("a string to send").map(|w| w.bytes.clone()) else { return };
    push_send(cx, Payload::Bytes(data));
}

fn tcp_send_binary(cx: &mut ParseCx<'_>) {
    let Some(word) = cx.expect("hexadecimal digits to send") else { return };
    let Some(data) = hex(cx, word) else { return };
    push_send(cx, Payload::Bytes(data));
}

fn push_send(cx: &mut ParseCx<'_>, payload: Payload) {
    let mut comment = cx.section.feature::<ProxyCheck>().comment.clone();
    if cx.accept("comment") {
        comment = cx.expect_text("a comment");
    }
    if cx.end() {
        tcp_rules(cx).push(Step::Send(Send { payload, comment }));
    }
}

pub(super) fn hex(cx: &mut ParseCx<'_>, word: &Word) -> Option<Vec<u8>> {
    let bytes = unhex(&word.bytes);
    if bytes.is_none() {
        let message =
            format!("'{}' : '{}' is not an even number of hexadecimal digits", cx.keyword(), word.text());
        cx.error(word.loc, message);
    }
    bytes
}
