//! The options of `server` and `default-server` lines, except those about checks.

use std::net::IpAddr;

use crate::base::duration::Unit;
use crate::config::{Entry, ParseCx, Status, Word};

use super::super::raw::{At, InitAddr, ServerOptions};
use super::source::{source_addr, usesrc};
use super::{option_arg, option_duration, option_int, option_text};

/// An option of a `server` line.
pub struct ServerOption {
    /// Its name.
    pub name: &'static str,
    /// Syntax as in the manual.
    pub syntax: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
    /// What it does here.
    pub status: Status,
    /// Not in `default-server`.
    pub server_only: bool,
    /// Parses what follows the name.
    pub parse: fn(&mut ParseCx<'_>, &Word, &mut ServerOptions),
}

impl Entry for ServerOption {
    const KIND: &'static str = "server option";
    fn name(&self) -> &'static str {
        self.name
    }
    fn status(&self) -> Status {
        self.status
    }
    fn syntax(&self) -> String {
        self.syntax.to_owned()
    }
    fn doc(&self) -> &'static str {
        self.doc
    }
}

/// Every table of server options.
pub static TABLES: &[&[ServerOption]] =
    &[OPTIONS, super::server_check::OPTIONS, super::send_proxy::OPTIONS, PLANNED];

/// The table's entry of a word: an option's name, with or without what stands in parentheses behind it.
pub(super) fn find(cx: &ParseCx<'_>, word: &str) -> Option<&'static ServerOption> {
    let (name, takes_more) = word.split_once('(').map_or((word, false), |(name, _)| (name, true));
    let found = cx.tables.find::<ServerOption>(name)?;
    (!takes_more || found.syntax[name.len()..].starts_with('(')).then_some(found)
}

macro_rules! works {
    ($status:expr => $name:literal, $syntax:literal, $doc:literal, $parse:expr) => {
        ServerOption {
            name: $name,
            syntax: $syntax,
            doc: $doc,
            status: $status,
            server_only: false,
            parse: $parse,
        }
    };
    ($name:literal, $syntax:literal, $doc:literal, $parse:expr) => {
        ServerOption {
            name: $name,
            syntax: $syntax,
            doc: $doc,
            status: Status::Full,
            server_only: false,
            parse: $parse,
        }
    };
    (server $name:literal, $syntax:literal, $doc:literal, $parse:expr) => {
        ServerOption {
            name: $name,
            syntax: $syntax,
            doc: $doc,
            status: Status::Full,
            server_only: true,
            parse: $parse,
        }
    };
}

const MAX: i64 = i32::MAX as i64;

static OPTIONS: &[ServerOption] = &[
    works!("weight", "weight <weight>", "Share of the load, 0 to 256.", |cx, w, o| {
        o.weight = option_int(cx, w, 0, 256).map(|n| n as u32);
    }),
    works!("maxconn", "maxconn <maxconn>", "Most sessions at once.", |cx, w, o| {
        o.maxconn = option_int(cx, w, 0, MAX).map(|n| n as u32);
    }),
    works!("minconn", "minconn <minconn>", "Sessions at low load.", |cx, w, o| {
        o.minconn = option_int(cx, w, 0, MAX).map(|n| n as u32);
    }),
    works!("maxqueue", "maxqueue <maxqueue>", "Most waiters.", |cx, w, o| {
        o.maxqueue = option_int(cx, w, 0, MAX).map(|n| n as u32);
    }),
    works!("backup", "backup", "Only when all others are down.", |_, _, o| o.backup = true),
    works!("no-backup", "no-backup", "Undo backup.", |_, _, o| o.backup = false),
    works!("disabled", "disabled", "Start in maintenance.", |_, _, o| o.disabled = true),
    works!("enabled", "enabled", "Undo disabled.", |_, _, o| o.disabled = false),
    works!("non-stick", "non-stick", "Never stored in stick tables.", |_, _, o| o.non_stick = true),
    works!("stick", "stick", "Undo non-stick.", |_, _, o| o.non_stick = false),
    works!(server "cookie", "cookie <value>", "Its value in the persistence cookie.", |cx, w, o| {
        let Some(a) = option_arg(cx, w, "<value> as argument") else { return };
        o.cookie = Some(At::new(a.bytes.clone(), a.loc));
    }),
    works!("redir", "redir <prefix>", "Redirect GET and HEAD to this prefix.", |cx, w, o| {
        o.redir = option_arg(cx, w, "<prefix> as argument").map(|a| a.bytes.clone());
    }),
    works!(server "id", "id <value>", "Number of the server.", |cx, w, o| {
        let loc = cx.peek().map_or(w.loc, |a| a.loc);
        o.id = option_int(cx, w, 1, MAX).map(|n| At::new(n as u32, loc));
    }),
    works!(server "guid", "guid <string>", "Globally unique identifier.", |cx, w, o| {
        o.guid = option_text(cx, w, "a string");
    }),
    works!(
        "slowstart",
        "slowstart <start_time_in_ms>",
        "How long the weight climbs after the start.",
        |cx, w, o| {
            o.slowstart = option_duration(cx, w, Unit::Ms).filter(|d| !d.is_zero());
        }
    ),
    works!(
        "source",
        "source <addr>[:<pl>[-<ph>]] [usesrc { <addr2>[:<port2>] | client | clientip }] [interface <name>]",
        "Local address of its connections.",
        source
    ),
    works!("pool-max-conn", "pool-max-conn <max>", "Most idle connections.", |cx, w, o| {
        o.pool_max_conn = option_int(cx, w, -1, MAX).map(|n| u32::try_from(n).ok());
    }),
    works!(
        Status::NoEffect { why: "threads do not take idle connections from each other" } =>
        "pool-low-conn",
        "pool-low-conn <max>",
        "Idle connections that a thread keeps to itself.",
        |cx, w, o| {
            o.pool_low_conn = option_int(cx, w, 0, MAX).map(|n| n as u32);
        }
    ),
    works!(
        "pool-purge-delay",
        "pool-purge-delay <delay>",
        "When idle connections are closed.",
        |cx, w, o| {
            o.pool_purge_delay = option_duration(cx, w, Unit::Ms);
        }
    ),
    works!("max-reuse", "max-reuse <count>", "Most requests on a connection.", |cx, w, o| {
        o.max_reuse = option_int(cx, w, -1, MAX).and_then(|n| u32::try_from(n).ok());
    }),
    works!("tcp-ut", "tcp-ut <delay>", "TCP user timeout.", |cx, w, o| {
        o.tcp_user_timeout = option_duration(cx, w, Unit::Ms);
    }),
    works!("shard", "shard <shard>", "Share of the entries that this member of 'peers' gets.", |cx, w, o| {
        o.shard = option_int(cx, w, 0, MAX).map(|n| At::new(n as u32, w.loc));
    }),
    works!("tfo", "tfo", "TCP fast open.", |_, _, o| o.tfo = true),
    works!("no-tfo", "no-tfo", "Undo tfo.", |_, _, o| o.tfo = false),
    works!(
        "init-addr",
        "init-addr {last | libc | none | <ip>},[...]*",
        "How its name is resolved.",
        init_addr
    ),
    works!("no-ssl", "no-ssl", "Undo ssl.", |_, _, _| {}),
    works!("no-check-ssl", "no-check-ssl", "Undo check-ssl.", |_, _, _| {}),
];

fn source(cx: &mut ParseCx<'_>, w: &Word, o: &mut ServerOptions) {
    let Some(a) = option_arg(cx, w, "<addr>[:<port>[-<port>]], and optionally '[usesrc <addr>]'") else {
        return;
    };
    let Some(mut spec) = source_addr(cx, a, true) else { return };
    loop {
        match cx.peek().map(|w| w.text().into_owned()).as_deref() {
            Some("usesrc") => {
                let Some(opt) = cx.next() else { return };
                let Some(u) = usesrc(cx, opt) else { return };
                spec.usesrc = Some(u);
            }
            Some("interface") => {
                let Some(opt) = cx.next() else { return };
                let Some(name) = option_text(cx, opt, "an interface name") else { return };
                spec.interface = Some(name);
            }
            _ => break,
        }
    }
    o.source = Some(spec);
}

fn init_addr(cx: &mut ParseCx<'_>, w: &Word, o: &mut ServerOptions) {
    let Some(a) = option_arg(cx, w, "a list of 'last', 'libc', 'none' and addresses") else { return };
    let text = a.text();
    let mut list = Vec::new();
    for method in text.split(',') {
        list.push(match method {
            "last" => InitAddr::Last,
            "libc" => InitAddr::Libc,
            "none" => InitAddr::None,
            ip => match ip.parse::<IpAddr>() {
                Ok(ip) => InitAddr::Ip(ip),
                Err(_) => {
                    let message = format!(
                        "'{}' : 'init-addr' : unknown init-addr method '{ip}', supported methods are 'libc', \
                         'last', 'none' and addresses",
                        cx.keyword()
                    );
                    cx.error(a.loc, message);
                    return;
                }
            },
        });
    }
    o.init_addr = Some(list);
}

fn skip0(_cx: &mut ParseCx<'_>, _w: &Word, _o: &mut ServerOptions) {}

fn skip1(cx: &mut ParseCx<'_>, w: &Word, _o: &mut ServerOptions) {
    option_arg(cx, w, "an argument");
}

macro_rules! planned {
    ($name:literal, $syntax:literal, $doc:literal, $skip:ident) => {
        ServerOption {
            name: $name,
            syntax: $syntax,
            doc: $doc,
            status: Status::Planned,
            server_only: false,
            parse: $skip,
        }
    };
}

static PLANNED: &[ServerOption] = &[
    planned!("allow-0rtt", "allow-0rtt", "TLS early data.", skip0),
    planned!("alpn", "alpn <protocols>", "TLS application protocols.", skip1),
    planned!("ca-file", "ca-file <cafile>", "CA of its certificate.", skip1),
    planned!("cc", "cc <algo>", "TCP congestion control.", skip1),
    planned!("ciphers", "ciphers <ciphers>", "TLS ciphers.", skip1),
    planned!("ciphersuites", "ciphersuites <ciphersuites>", "TLS 1.3 cipher suites.", skip1),
    planned!(
        "client-sigalgs",
        "client-sigalgs <sigalgs>",
        "Signature algorithms for client certificates.",
        skip1
    ),
    planned!("crl-file", "crl-file <crlfile>", "Revoked certificates.", skip1),
    planned!("crt", "crt <cert>", "Client certificate.", skip1),
    planned!("curves", "curves <curves>", "TLS curves.", skip1),
    planned!("force-sslv3", "force-sslv3", "Only this version.", skip0),
    planned!("force-tlsv10", "force-tlsv10", "Only this version.", skip0),
    planned!("force-tlsv11", "force-tlsv11", "Only this version.", skip0),
    planned!("force-tlsv12", "force-tlsv12", "Only this version.", skip0),
    planned!("force-tlsv13", "force-tlsv13", "Only this version.", skip0),
    planned!("hash-key", "hash-key <key>", "What places it on the hash ring.", skip1),
    planned!("idle-ping", "idle-ping <delay>", "HTTP/2 pings.", skip1),
    planned!(
        "init-state",
        "init-state { fully-up | up | down | fully-down | none }",
        "State at start.",
        skip1
    ),
    planned!("ktls", "ktls <on|off>", "TLS in the kernel.", skip1),
    planned!("log-bufsize", "log-bufsize <bufsize>", "Buffer of a log server.", skip1),
    planned!("log-proto", "log-proto <logproto>", "Framing of a log server.", skip1),
    planned!("namespace", "namespace <name>", "Network namespace.", skip1),
    planned!("no-renegotiate", "no-renegotiate", "No TLS renegotiation.", skip0),
    planned!("no-sni-auto", "no-sni-auto", "Undo sni-auto.", skip0),
    planned!("no-ssl-reuse", "no-ssl-reuse", "No TLS session reuse.", skip0),
    planned!("no-sslv3", "no-sslv3", "Not this version.", skip0),
    planned!("no-tls-tickets", "no-tls-tickets", "No session tickets.", skip0),
    planned!("no-tlsv10", "no-tlsv10", "Not this version.", skip0),
    planned!("no-tlsv11", "no-tlsv11", "Not this version.", skip0),
    planned!("no-tlsv12", "no-tlsv12", "Not this version.", skip0),
    planned!("no-tlsv13", "no-tlsv13", "Not this version.", skip0),
    planned!("no-verifyhost", "no-verifyhost", "Undo verifyhost.", skip0),
    planned!("npn", "npn <protocols>", "TLS application protocols.", skip1),
    planned!("pool-conn-name", "pool-conn-name <expr>", "Name of pooled connections.", skip1),
    planned!("proto", "proto <name>", "Force a protocol.", skip1),
    planned!("quic-cc-algo", "quic-cc-algo <algo>", "QUIC congestion control.", skip1),
    planned!("renegotiate", "renegotiate", "TLS renegotiation.", skip0),
    planned!("resolve-net", "resolve-net <network>[,<network[,...]]", "Preferred networks.", skip1),
    planned!("resolve-opts", "resolve-opts <option>,<option>,...", "Resolver options.", skip1),
    planned!("resolve-prefer", "resolve-prefer <family>", "Preferred family.", skip1),
    planned!("resolvers", "resolvers <id>", "Resolve at run time.", skip1),
    planned!("sigalgs", "sigalgs <sigalgs>", "Signature algorithms.", skip1),
    planned!("sni", "sni <expression>", "TLS server name.", skip1),
    planned!("sni-auto", "sni-auto", "TLS server name from the Host header.", skip0),
    planned!("socks4", "socks4 <addr>:<port>", "Through a SOCKS4 proxy.", skip1),
    planned!("ssl", "ssl", "TLS.", skip0),
    planned!("ssl-max-ver", "ssl-max-ver <version>", "Highest TLS version.", skip1),
    planned!("ssl-min-ver", "ssl-min-ver <version>", "Lowest TLS version.", skip1),
    planned!("ssl-reuse", "ssl-reuse", "TLS session reuse.", skip0),
    planned!("strict-maxconn", "strict-maxconn", "Count connections instead of requests.", skip0),
    planned!("tcp-md5sig", "tcp-md5sig <password>", "TCP MD5 signatures.", skip1),
    planned!("tls-tickets", "tls-tickets", "Session tickets.", skip0),
    planned!("verify", "verify [none|required]", "Check its certificate.", skip1),
    planned!("verifyhost", "verifyhost <hostname>", "Name in its certificate.", skip1),
    planned!("ws", "ws { auto | h1 | h2 }", "WebSocket protocol.", skip1),
];
