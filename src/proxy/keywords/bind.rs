//! `bind` and its options. `stats socket` lines take the same options: [`parse_bind_options`].

use crate::base::addr::AddrRules;
use crate::base::duration::Unit;
use crate::config::{Entry, Keyword, ParseCx, Sections, Status, Word};

use super::super::ListenerAccess;
use super::super::raw::{At, BindOptions, RawBind};
use super::{option_arg, option_choice, option_duration, option_int, option_text, raw};

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[Keyword {
    name: "bind",
    sections: Sections::FRONTEND,
    syntax: "bind [<address>]:<port_range> [, ...] [param*]",
    doc: "Listen on these addresses.",
    status: Status::Full,
    parse: bind,
}];

/// An option of a `bind` line.
pub struct BindOption {
    /// Its name.
    pub name: &'static str,
    /// Syntax as in the manual.
    pub syntax: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
    /// What it does here.
    pub status: Status,
    /// Parses what follows the name. For options that do nothing: skips their arguments.
    pub parse: fn(&mut ParseCx<'_>, &Word, &mut BindOptions),
}

impl Entry for BindOption {
    const KIND: &'static str = "bind option";
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

fn bind(cx: &mut ParseCx<'_>) {
    let loc = cx.dir.loc;
    let Some(w) = cx.expect("{<path>|addr1:port1[,addr2:port2...]} as arguments") else { return };
    let addrs = cx.addr_list(w, AddrRules::BIND);
    let mut options = BindOptions::default();
    parse_bind_options(cx, &mut options);
    let Some(addrs) = addrs else { return };
    raw(cx).front.binds.push(RawBind { addrs, options, loc });
}

/// Parse every option that is left on the line.
pub fn parse_bind_options(cx: &mut ParseCx<'_>, options: &mut BindOptions) {
    while let Some(w) = cx.next() {
        let text = w.text();
        let Some(opt) = cx.tables.find::<BindOption>(&text) else {
            let bare = text.split('(').next().unwrap_or(&text);
            let message = match crate::config::known::unsupported("bind", "option", bare) {
                Some(message) => format!("'{}' : {message}", cx.keyword()),
                None => format!("'{}' : unknown keyword '{text}'.", cx.keyword()),
            };
            let names = cx.tables.all::<BindOption>().iter().map(|o| o.name);
            let best = crate::config::suggest::closest(&text, names);
            let d = cx.diags.error(w.loc, message);
            if let Some(best) = best {
                d.help(format!("did you mean '{best}'?"));
            }
            return;
        };
        super::report_status(cx, w, opt.status);
        (opt.parse)(cx, w, options);
    }
}

fn skip0(_cx: &mut ParseCx<'_>, _w: &Word, _o: &mut BindOptions) {}

fn skip1(cx: &mut ParseCx<'_>, w: &Word, _o: &mut BindOptions) {
    option_arg(cx, w, "an argument");
}

macro_rules! planned {
    ($name:literal, $syntax:literal, $doc:literal, $skip:ident) => {
        BindOption { name: $name, syntax: $syntax, doc: $doc, status: Status::Planned, parse: $skip }
    };
}

macro_rules! works {
    ($name:literal, $syntax:literal, $doc:literal, $parse:expr) => {
        BindOption { name: $name, syntax: $syntax, doc: $doc, status: Status::Full, parse: $parse }
    };
}

macro_rules! inert {
    ($name:literal, $syntax:literal, $doc:literal, $skip:ident, $why:literal) => {
        BindOption {
            name: $name,
            syntax: $syntax,
            doc: $doc,
            status: Status::NoEffect { why: $why },
            parse: $skip,
        }
    };
}

/// Every `bind` option of both manuals.
pub static BIND_OPTIONS: &[BindOption] = &[
    works!("backlog", "backlog <backlog>", "Length of the kernel's queue.", |cx, w, o| {
        o.socket.backlog = option_int(cx, w, 0, i64::from(i32::MAX)).map(|n| n as u32);
    }),
    works!("maxconn", "maxconn <maxconn>", "Most connections of this listener.", |cx, w, o| {
        o.maxconn = option_int(cx, w, 0, i64::from(i32::MAX)).map(|n| n as u32);
    }),
    works!("name", "name <name>", "Name in statistics.", |cx, w, o| {
        o.name = option_text(cx, w, "a name");
    }),
    works!("id", "id <id>", "Number of the listener.", |cx, w, o| {
        let loc = cx.peek().map_or(w.loc, |a| a.loc);
        o.id = option_int(cx, w, 1, i64::from(i32::MAX)).map(|n| At::new(n as u32, loc));
    }),
    works!("interface", "interface <interface>", "Only through this interface.", |cx, w, o| {
        o.socket.interface = option_text(cx, w, "an interface name");
    }),
    works!("mss", "mss <maxseg>", "TCP maximum segment size.", |cx, w, o| {
        o.socket.mss = option_int(cx, w, -65535, 65535).map(|n| n as i32);
    }),
    works!("defer-accept", "defer-accept", "Accept once data has arrived.", |_, _, o| {
        o.socket.defer_accept = true;
    }),
    works!("tfo", "tfo", "TCP fast open.", |_, _, o| o.socket.tfo = true),
    works!("accept-proxy", "accept-proxy", "Expect a PROXY protocol header.", |_, _, o| o.accept_proxy =
        true),
    works!("transparent", "transparent", "Bind to foreign addresses.", |_, _, o| o.socket.transparent = true),
    works!("v4v6", "v4v6", "IPv4 and IPv6 on one socket.", |_, _, o| o.socket.v4v6 = true),
    works!("v6only", "v6only", "IPv6 only.", |_, _, o| o.socket.v6only = true),
    works!("tcp-ut", "tcp-ut <delay>", "TCP user timeout.", |cx, w, o| {
        o.socket.tcp_user_timeout = option_duration(cx, w, Unit::Ms);
    }),
    works!("mode", "mode <mode>", "Permissions of the unix socket.", |cx, w, o| {
        let Some(a) = option_arg(cx, w, "an octal mode") else { return };
        o.socket.unix.mode = octal(cx, w, a);
    }),
    works!("uid", "uid <uid>", "Owner of the unix socket.", |cx, w, o| {
        o.socket.unix.uid = option_int(cx, w, 0, i64::from(u32::MAX)).map(|n| n as u32);
    }),
    works!("gid", "gid <gid>", "Group of the unix socket.", |cx, w, o| {
        o.socket.unix.gid = option_int(cx, w, 0, i64::from(u32::MAX)).map(|n| n as u32);
    }),
    works!("user", "user <user>", "Owner of the unix socket.", |cx, w, o| {
        let Some(a) = option_arg(cx, w, "a user name") else { return };
        match nix::unistd::User::from_name(&a.text()) {
            Ok(Some(u)) => o.socket.unix.uid = Some(u.uid.as_raw()),
            _ => unknown_name(cx, w, a, "user"),
        }
    }),
    works!("group", "group <group>", "Group of the unix socket.", |cx, w, o| {
        let Some(a) = option_arg(cx, w, "a group name") else { return };
        match nix::unistd::Group::from_name(&a.text()) {
            Ok(Some(g)) => o.socket.unix.gid = Some(g.gid.as_raw()),
            _ => unknown_name(cx, w, a, "group"),
        }
    }),
    works!("level", "level <level>", "Rights of command-line connections.", |cx, w, o| {
        let levels = [
            ("user", ListenerAccess::User),
            ("operator", ListenerAccess::Operator),
            ("admin", ListenerAccess::Admin),
        ];
        o.access = option_choice(cx, w, &levels);
    }),
    works!("severity-output", "severity-output <format>", "Severity of command-line answers.", |cx, w, _| {
        option_choice(cx, w, &[("none", ()), ("number", ()), ("string", ())]);
    }),
    works!("expose-fd", "expose-fd listeners", "Hand listeners over on the command line.", |cx, w, o| {
        o.expose_fd = option_choice(cx, w, &[("listeners", ())]).is_some();
    }),
    works!("thread", "thread [<thread-group>/]<thread-set>[,...]", "Threads that serve it.", |cx, w, o| {
        let Some(a) = option_arg(cx, w, "a set of threads") else { return };
        match thread_set(&a.text()) {
            Some(set) => o.threads |= set,
            None => {
                let message = format!("'{}' : 'thread' : invalid thread set '{}'", cx.keyword(), a.text());
                cx.error(a.loc, message).help("all, odd, even, a number from 1, or a range 1-4");
            }
        }
    }),
    inert!(
        "process",
        "process [ all | odd | even | <number 1-64>[-<number 1-64>] ]",
        "Processes that serve it (1.x).",
        skip1,
        "there is one process; 'thread' chooses threads"
    ),
    inert!(
        "nice",
        "nice <nice>",
        "Priority of its connections.",
        skip1,
        "a turn gives every connection its share"
    ),
    inert!(
        "shards",
        "shards { <number> | by-thread | by-group }",
        "Sockets per address.",
        skip1,
        "each thread has its own socket already"
    ),
    planned!(
        "accept-netscaler-cip",
        "accept-netscaler-cip <magic number>",
        "Expect a NetScaler header.",
        skip1
    ),
    planned!("allow-0rtt", "allow-0rtt", "TLS early data.", skip0),
    planned!("alpn", "alpn <protocols>", "TLS application protocols.", skip1),
    planned!("ca-file", "ca-file <cafile>", "CA of client certificates.", skip1),
    planned!("ca-ignore-err", "ca-ignore-err [all|<errorID>,...]", "Certificate errors to ignore.", skip1),
    planned!("ca-sign-file", "ca-sign-file <cafile>", "CA of generated certificates.", skip1),
    planned!("ca-sign-pass", "ca-sign-pass <passphrase>", "Its passphrase.", skip1),
    planned!("ca-verify-file", "ca-verify-file <cafile>", "CA of client certificates, not announced.", skip1),
    planned!("cc", "cc <algo>", "TCP congestion control.", skip1),
    planned!("ciphers", "ciphers <ciphers>", "TLS ciphers.", skip1),
    planned!("ciphersuites", "ciphersuites <ciphersuites>", "TLS 1.3 cipher suites.", skip1),
    planned!("client-sigalgs", "client-sigalgs <sigalgs>", "Signature algorithms of clients.", skip1),
    planned!("crl-file", "crl-file <crlfile>", "Revoked certificates.", skip1),
    planned!("crt", "crt <cert>", "Certificate.", skip1),
    planned!("crt-ignore-err", "crt-ignore-err <errors>", "Certificate errors to ignore.", skip1),
    planned!("crt-list", "crt-list <file>", "List of certificates.", skip1),
    planned!("curves", "curves <curves>", "TLS curves.", skip1),
    planned!("default-crt", "default-crt <cert>", "Certificate without SNI.", skip1),
    planned!("ecdhe", "ecdhe <named curve>", "TLS curve.", skip1),
    planned!("ech", "ech <dir>", "Encrypted client hello.", skip1),
    planned!("force-sslv3", "force-sslv3", "Only this version.", skip0),
    planned!("force-tlsv10", "force-tlsv10", "Only this version.", skip0),
    planned!("force-tlsv11", "force-tlsv11", "Only this version.", skip0),
    planned!("force-tlsv12", "force-tlsv12", "Only this version.", skip0),
    planned!("force-tlsv13", "force-tlsv13", "Only this version.", skip0),
    planned!("generate-certificates", "generate-certificates", "Certificates made from the SNI.", skip0),
    planned!("guid-prefix", "guid-prefix <string>", "Prefix of identifiers.", skip1),
    planned!("idle-ping", "idle-ping <delay>", "HTTP/2 pings.", skip1),
    planned!("ktls", "ktls <on|off>", "TLS in the kernel.", skip1),
    planned!("label", "label <label>", "Label.", skip1),
    planned!("namespace", "namespace <name>", "Network namespace.", skip1),
    planned!("nbconn", "nbconn <nbconn>", "Reverse HTTP connections.", skip1),
    planned!("no-alpn", "no-alpn", "No application protocols.", skip0),
    planned!("no-ca-names", "no-ca-names", "Do not announce CA names.", skip0),
    planned!("no-sslv3", "no-sslv3", "Not this version.", skip0),
    planned!("no-strict-sni", "no-strict-sni", "Undo strict-sni.", skip0),
    planned!("no-tls-tickets", "no-tls-tickets", "No session tickets.", skip0),
    planned!("no-tlsv10", "no-tlsv10", "Not this version.", skip0),
    planned!("no-tlsv11", "no-tlsv11", "Not this version.", skip0),
    planned!("no-tlsv12", "no-tlsv12", "Not this version.", skip0),
    planned!("no-tlsv13", "no-tlsv13", "Not this version.", skip0),
    planned!("npn", "npn <protocols>", "TLS application protocols.", skip1),
    planned!("prefer-client-ciphers", "prefer-client-ciphers", "The client's order of ciphers.", skip0),
    planned!("proto", "proto <name>", "Force a protocol.", skip1),
    planned!("quic-cc-algo", "quic-cc-algo <algo>", "QUIC congestion control.", skip1),
    planned!("quic-force-retry", "quic-force-retry", "QUIC retry.", skip0),
    planned!("quic-socket", "quic-socket [ connection | listener ]", "QUIC sockets.", skip1),
    planned!("sigalgs", "sigalgs <sigalgs>", "Signature algorithms.", skip1),
    planned!("ssl", "ssl", "TLS.", skip0),
    planned!("ssl-max-ver", "ssl-max-ver <version>", "Highest TLS version.", skip1),
    planned!("ssl-min-ver", "ssl-min-ver <version>", "Lowest TLS version.", skip1),
    planned!("strict-sni", "strict-sni", "Refuse unknown names.", skip0),
    planned!("tcp-md5sig", "tcp-md5sig <password>", "TCP MD5 signatures.", skip1),
    planned!("tcp-ss", "tcp-ss <mode>", "Save the SYN.", skip1),
    planned!("tls-ticket-keys", "tls-ticket-keys <keyfile>", "Keys of session tickets.", skip1),
    planned!("tls-tickets", "tls-tickets", "Session tickets.", skip0),
    planned!("verify", "verify [none|optional|required]", "Client certificates.", skip1),
];

fn unknown_name(cx: &mut ParseCx<'_>, opt: &Word, arg: &Word, kind: &str) {
    let message = format!("'{}' : '{}' : unknown {kind} '{}'.", cx.keyword(), opt.text(), arg.text());
    cx.error(arg.loc, message);
}

fn octal(cx: &mut ParseCx<'_>, opt: &Word, arg: &Word) -> Option<u32> {
    let parsed = u32::from_str_radix(&arg.text(), 8).ok().filter(|m| *m <= 0o7777);
    if parsed.is_none() {
        let message = format!("'{}' : '{}' : invalid octal mode '{}'", cx.keyword(), opt.text(), arg.text());
        cx.error(arg.loc, message);
    }
    parsed
}

/// `all`, `odd`, `even`, `N`, `N-M`, several by commas; a group in front (`1/`) is group 1. Bit 0 is thread 1.
fn thread_set(text: &str) -> Option<u64> {
    let mut set = 0;
    for part in text.split(',') {
        let part = part.strip_prefix("1/").unwrap_or(part);
        set |= match part {
            "all" => u64::MAX,
            "odd" => 0x5555_5555_5555_5555,
            "even" => 0xaaaa_aaaa_aaaa_aaaa,
            range => {
                let (low, high) = range.split_once('-').unwrap_or((range, range));
                let low: u32 = low.parse().ok().filter(|n| (1..=64).contains(n))?;
                let high: u32 = high.parse().ok().filter(|n| (low..=64).contains(n))?;
                (u64::MAX >> (64 - high)) & (u64::MAX << (low - 1))
            }
        };
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::thread_set;

    #[test]
    fn thread_sets() {
        assert_eq!(thread_set("1"), Some(1));
        assert_eq!(thread_set("1/2-3"), Some(0b110));
        assert_eq!(thread_set("1,4"), Some(0b1001));
        assert_eq!(thread_set("all"), Some(u64::MAX));
        assert_eq!(thread_set("64"), Some(1 << 63));
        assert_eq!(thread_set("0"), None);
        assert_eq!(thread_set("3-2"), None);
        assert_eq!(thread_set("65"), None);
        assert_eq!(thread_set(""), None);
    }
}
