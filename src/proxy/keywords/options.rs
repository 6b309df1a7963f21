//! `option ...`: switches of connections and of HTTP.

use std::net::IpAddr;

use crate::config::{Keyword, ParseCx, Sections, Status};

use super::super::options::{ForwardedFor, HttpClose, RestrictNames};
use super::{is_on, raw};

const FRONT: Sections = Sections::DEFAULTS.or(Sections::FRONTEND);
const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND);
const ANY: Sections = Sections::PROXY;

macro_rules! switch {
    ($name:literal, $sections:expr, $doc:literal, $($field:ident).+) => {
        switch!($name, $sections, $doc, $($field).+, Status::Full)
    };
    ($name:literal, $sections:expr, $doc:literal, $($field:ident).+, $status:expr) => {
        Keyword {
            name: concat!("option ", $name),
            sections: $sections,
            syntax: concat!("[no] option ", $name),
            doc: $doc,
            status: $status,
            parse: |cx| {
                let on = is_on(cx);
                raw(cx).$($field).+ = on;
                cx.end();
            },
        }
    };
}

macro_rules! inert {
    ($name:literal, $sections:expr, $doc:literal, $status:expr) => {
        Keyword {
            name: concat!("option ", $name),
            sections: $sections,
            syntax: concat!("[no] option ", $name),
            doc: $doc,
            status: $status,
            parse: Keyword::nothing,
        }
    };
}

macro_rules! close {
    ($name:literal, $doc:literal, $mode:ident) => {
        close!($name, $doc, $mode, Status::Full)
    };
    ($name:literal, $doc:literal, $mode:ident, $status:expr) => {
        Keyword {
            name: concat!("option ", $name),
            sections: ANY,
            syntax: concat!("[no] option ", $name),
            doc: $doc,
            status: $status,
            parse: |cx| close(cx, HttpClose::$mode),
        }
    };
}

/// The last of the connection modes wins; `no` of a mode only undoes that mode.
fn close(cx: &mut ParseCx<'_>, mode: HttpClose) {
    let on = is_on(cx);
    let slot = &mut raw(cx).http.close;
    if on {
        *slot = Some(mode);
    } else if *slot == Some(mode) {
        *slot = None;
    }
    cx.end();
}

const fn legacy(modern: &'static str) -> Status {
    Status::Legacy { modern }
}

const fn no_effect(why: &'static str) -> Status {
    Status::NoEffect { why }
}

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    close!("http-keep-alive", "Keep both sides open between requests (the default).", KeepAlive),
    close!("http-server-close", "Close the server side after each response.", ServerClose),
    close!("httpclose", "Close both sides after each response.", Close),
    close!("forceclose", "Close both sides after each response.", Close, legacy("option httpclose")),
    close!(
        "http-tunnel",
        "Look at the first request and response only.",
        Tunnel,
        legacy("option http-keep-alive, or nothing: it is the default")
    ),
    switch!(
        "http-pretend-keepalive",
        ANY,
        "Announce keep-alive to the server, then close.",
        http.pretend_keepalive
    ),
    switch!("http-no-delay", ANY, "Send each piece at once.", http.no_delay),
    switch!(
        "http-ignore-probes",
        FRONT,
        "No answer and no log for connections without a request.",
        http.ignore_probes
    ),
    switch!(
        "http-buffer-request",
        ANY,
        "Wait for the body, or a full buffer, before the rules.",
        http.buffer_request
    ),
    inert!(
        "http-use-proxy-header",
        FRONT,
        "Use Proxy-Connection instead of Connection for proxy requests.",
        Status::Planned
    ),
    switch!(
        "accept-invalid-http-request",
        FRONT,
        "Relax some checks of requests.",
        http.accept_unsafe_request
    ),
    switch!(
        "accept-unsafe-violations-in-http-request",
        FRONT,
        "Relax some checks of requests.",
        http.accept_unsafe_request
    ),
    switch!(
        "accept-invalid-http-response",
        BACK,
        "Relax some checks of responses.",
        http.accept_unsafe_response
    ),
    switch!(
        "accept-unsafe-violations-in-http-response",
        BACK,
        "Relax some checks of responses.",
        http.accept_unsafe_response
    ),
    switch!("abortonclose", ANY, "Drop queued requests of clients that went away.", http.abortonclose),
    switch!("checkcache", BACK, "Block cacheable responses that set a cookie.", http.checkcache),
    inert!("http_proxy", ANY, "Plain HTTP proxy towards the address in the request.", Status::Planned),
    inert!("forwarded", BACK, "Add a Forwarded header (RFC 7239).", Status::Planned),
    inert!("disable-h2-upgrade", FRONT, "No upgrade from HTTP/1 to HTTP/2.", Status::Planned),
    inert!("h1-case-adjust-bogus-client", FRONT, "Adjust header case for clients.", Status::Planned),
    inert!("h1-case-adjust-bogus-server", BACK, "Adjust header case for servers.", Status::Planned),
    inert!("http-drop-request-trailers", BACK, "Drop trailers of requests.", Status::Planned),
    inert!("http-drop-response-trailers", FRONT, "Drop trailers of responses.", Status::Planned),
    inert!(
        "use-small-buffers",
        BACK,
        "Small buffers for waiting requests.",
        no_effect("idle and waiting connections own no buffer here")
    ),
    Keyword {
        name: "option http-restrict-req-hdr-names",
        sections: ANY,
        syntax: "option http-restrict-req-hdr-names { preserve | delete | reject }",
        doc: "What to do about header names with other than letters, digits and hyphens.",
        status: Status::Full,
        parse: |cx| {
            let choices = ["preserve", "delete", "reject"];
            let Some(i) = cx.expect_one_of("what to do with such headers", &choices) else { return };
            let all = [RestrictNames::Preserve, RestrictNames::Delete, RestrictNames::Reject];
            raw(cx).http.restrict_names = all[i];
            cx.end();
        },
    },
    Keyword {
        name: "option forwardfor",
        sections: ANY,
        syntax: "option forwardfor [ except <network> ] [ header <name> ] [ if-none ]",
        doc: "Add the client's address as X-Forwarded-For.",
        status: Status::Full,
        parse: |cx| {
            let value = is_on(cx).then(|| address_header(cx, "X-Forwarded-For", true));
            raw(cx).http.forwardfor = value.flatten();
        },
    },
    Keyword {
        name: "option originalto",
        sections: ANY,
        syntax: "option originalto [ except <network> ] [ header <name> ]",
        doc: "Add the address the client connected to as X-Original-To.",
        status: Status::Full,
        parse: |cx| {
            let value = is_on(cx).then(|| address_header(cx, "X-Original-To", false));
            raw(cx).http.originalto = value.flatten();
        },
    },
    Keyword {
        name: "option tcpka",
        sections: ANY,
        syntax: "[no] option tcpka",
        doc: "TCP keep-alive probes on both sides.",
        status: Status::Full,
        parse: |cx| {
            let on = is_on(cx);
            let conn = &mut raw(cx).conn;
            conn.client_keep_alive.enabled = on;
            conn.server_keep_alive.enabled = on;
            cx.end();
        },
    },
    switch!("clitcpka", FRONT, "TCP keep-alive probes to clients.", conn.client_keep_alive.enabled),
    switch!("srvtcpka", BACK, "TCP keep-alive probes to servers.", conn.server_keep_alive.enabled),
    switch!("splice-auto", ANY, "Splice when it pays (always on here).", conn.splice.auto),
    switch!("splice-request", ANY, "Splice requests (decided by itself here).", conn.splice.request),
    switch!("splice-response", ANY, "Splice responses (decided by itself here).", conn.splice.response),
    switch!("nolinger", ANY, "Close with a reset.", conn.nolinger),
    switch!(
        "independent-streams",
        ANY,
        "Writing does not refresh the read timeout.",
        conn.independent_streams
    ),
    switch!(
        "independant-streams",
        ANY,
        "Old spelling.",
        conn.independent_streams,
        legacy("option independent-streams")
    ),
    inert!(
        "idle-close-on-response",
        FRONT,
        "Close idle client connections with a last response while stopping.",
        Status::Planned
    ),
    inert!(
        "socket-stats",
        FRONT,
        "Counters for each listener.",
        no_effect("listeners have counters of their own already; statistics do not list them yet")
    ),
    switch!("contstats", FRONT, "Counters move during transfers (always so here).", conn.contstats),
    inert!(
        "tcp-smart-accept",
        FRONT,
        "Save the acknowledgement of the request.",
        no_effect("data is received before the first acknowledgement is due, whatever this says")
    ),
    inert!(
        "tcp-smart-connect",
        BACK,
        "Save the acknowledgement of the connection.",
        no_effect("the request follows the handshake at once, whatever this says")
    ),
    switch!("allbackups", BACK, "Use all backup servers, not only the first.", back.allbackups),
    switch!("persist", BACK, "Follow the cookie to a server that is down.", back.persist),
    switch!(
        "prefer-last-server",
        BACK,
        "Stay with the server of the previous request.",
        back.prefer_last_server
    ),
    switch!("transparent", BACK, "Connect to the address the client asked for.", back.transparent),
    Keyword {
        name: "option redispatch",
        sections: BACK,
        syntax: "[no] option redispatch [<interval>]",
        doc: "Try another server when the chosen one fails.",
        status: Status::Full,
        parse: redispatch,
    },
];

fn redispatch(cx: &mut ParseCx<'_>) {
    if !is_on(cx) {
        raw(cx).back.redispatch = Some(0);
        cx.end();
        return;
    }
    // Without a number: on the last retry only.
    let mut every = -1;
    if cx.peek().is_some() {
        let Some(n) = cx.expect_int("an integer", i64::from(i32::MIN)..=i64::from(i32::MAX)) else { return };
        every = n as i32;
    }
    raw(cx).back.redispatch = Some(every);
    cx.end();
}

fn address_header(cx: &mut ParseCx<'_>, default: &str, if_none_allowed: bool) -> Option<ForwardedFor> {
    let mut ff = ForwardedFor { header: default.as_bytes().to_vec(), except: None, if_none: false };
    while let Some(w) = cx.next() {
        match w.text().as_ref() {
            "except" => {
                let net = cx.expect("an address with an optional mask for 'except'")?;
                ff.except = Some(network(cx, net)?);
            }
            "header" => {
                let name = cx.expect("a header name for 'header'")?;
                ff.header = name.bytes.clone();
            }
            "if-none" if if_none_allowed => ff.if_none = true,
            other => {
                let allowed =
                    if if_none_allowed { "'except', 'header' or 'if-none'" } else { "'except' or 'header'" };
                let message = format!("'{}' only supports {allowed}, not '{other}'", cx.keyword());
                cx.error(w.loc, message);
                return None;
            }
        }
    }
    Some(ff)
}

/// `address[/bits]` or `address/netmask`.
pub(super) fn network(cx: &mut ParseCx<'_>, w: &crate::config::Word) -> Option<(IpAddr, u8)> {
    let parsed = parse_network(&w.text());
    if parsed.is_none() {
        let message = format!("'{}' : invalid network '{}'", cx.keyword(), w.text());
        cx.error(w.loc, message).help("write an address, or an address and a mask: 10.0.0.0/8");
    }
    parsed
}

fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (addr, mask) = match text.split_once('/') {
        Some((a, m)) => (a, Some(m)),
        None => (text, None),
    };
    let addr: IpAddr = addr.parse().ok()?;
    let width = if addr.is_ipv4() { 32 } else { 128 };
    let bits = match mask {
        None => width,
        Some(m) => match m.parse::<u8>() {
            Ok(n) if n <= width => n,
            Ok(_) => return None,
            Err(_) => dotted_mask(m)?,
        },
    };
    Some((addr, bits))
}

fn dotted_mask(text: &str) -> Option<u8> {
    let bits = text.parse::<std::net::Ipv4Addr>().ok()?.to_bits();
    (bits.leading_ones() + bits.trailing_zeros() >= 32).then_some(bits.leading_ones() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let net = |s: &str| parse_network(s);
        assert_eq!(net("127.0.0.1"), Some(("127.0.0.1".parse().unwrap(), 32)));
        assert_eq!(net("10.0.0.0/8"), Some(("10.0.0.0".parse().unwrap(), 8)));
        assert_eq!(net("10.0.0.0/255.255.0.0"), Some(("10.0.0.0".parse().unwrap(), 16)));
        assert_eq!(net("::1/64"), Some(("::1".parse().unwrap(), 64)));
        assert_eq!(net("10.0.0.0/33"), None);
        assert_eq!(net("10.0.0.0/255.0.255.0"), None);
        assert_eq!(net("x"), None);
    }
}
