//! The `peers` section, and what `global` says about it. Manual: "Peers declaration".

use crate::base::addr::AddrRules;
use crate::config::{Keyword, ParseCx, ParseFn, SectionKind, Sections, Status, Word};
use crate::peers::TUNE_UPDATES_MAX;

use super::super::global::GlobalConf;
use super::super::raw::{At, RawBind, RawMember, RawPeers, ServerOptions};
use super::bind::parse_bind_options;
use super::report_status;
use super::server::{unknown_option, valid_name};
use super::server_option;

const fn kw(name: &'static str, syntax: &'static str, doc: &'static str, parse: ParseFn) -> Keyword {
    Keyword { name, sections: Sections::PEERS, syntax, doc, status: Status::Full, parse }
}

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    kw("peer", "peer <peername> [<address>]:port [param*]", "A member of the section.", peer),
    kw(
        "server",
        "server <peername> [<address>:<port>] [param*]",
        "A member of the section; the local one listens where 'bind' says.",
        server,
    ),
    kw("bind", "bind [<address>]:port [param*]", "Where the local member listens.", bind),
    kw("default-bind", "default-bind [param*]", "Options of the local member's listener.", |cx| {
        let mut options = std::mem::take(&mut raw(cx).bind_options);
        parse_bind_options(cx, &mut options);
        raw(cx).bind_options = options;
    }),
    kw("default-server", "default-server [param*]", "Options of the members that follow.", |cx| {
        let mut options = raw(cx).default_server.clone();
        parse_options(cx, &mut options, true);
        raw(cx).default_server = options;
    }),
    kw(
        "table",
        "table <name> type {ip | ipv6 | integer | string [len <length>] | binary [len <length>]} size <size> \
         [expire <expire>] [nopurge] [recv-only] [write-to <table>] [srvkey {name | addr}] \
         [brates-factor <bytes>] [store <data_type>]*",
        "A table of the section, <section>/<name> elsewhere.",
        crate::stick::keywords::peers_table,
    ),
    kw("shards", "shards <shards>", "Members among which the entries are dealt out.", |cx| {
        let loc = cx.peek().map_or(cx.dir.loc, |w| w.loc);
        if let Some(n) = cx.expect_int("a number of shards", 1..=i64::from(u32::MAX)) {
            raw(cx).shards = Some(At::new(n as u32, loc));
            cx.end();
        }
    }),
    kw("disabled", "disabled", "No listening and no synchronization.", |cx| {
        raw(cx).disabled = true;
        cx.end();
    }),
    kw("enabled", "enabled", "Undo 'disabled'.", |cx| {
        raw(cx).disabled = false;
        cx.end();
    }),
    Keyword {
        name: "localpeer",
        sections: Sections::GLOBAL,
        syntax: "localpeer <name>",
        doc: "name of this node in 'peers' sections; the host name by default",
        status: Status::Full,
        parse: localpeer,
    },
    Keyword {
        name: "tune.peers.max-updates-at-once",
        sections: Sections::GLOBAL,
        syntax: "tune.peers.max-updates-at-once <number>",
        doc: "stick-table updates that are sent before other work has its turn",
        status: Status::Full,
        parse: |cx| {
            let Some(n) = cx.expect_int("a number of updates", 1..=TUNE_UPDATES_MAX) else { return };
            cx.section.feature::<GlobalConf>().peers.max_updates = Some(n as u32);
            cx.end();
        },
    },
];

fn raw<'a>(cx: &'a mut ParseCx<'_>) -> &'a mut RawPeers {
    cx.section.feature::<RawPeers>()
}

/// The host's name: what the local member is called when nothing else is said.
pub fn host_name() -> String {
    nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default()
}

fn localpeer(cx: &mut ParseCx<'_>) {
    let Some(name) = cx.expect("a name") else { return };
    if !valid_name(cx, name) || !cx.end() {
        return;
    }
    let text = name.text().into_owned();
    // The command line's name is in the environment already, and stays.
    let env = &mut cx.state.env;
    if env.get(b"HAPROXY_LOCALPEER").is_none_or(|v| v == host_name().as_bytes()) {
        env.set("HAPROXY_LOCALPEER", text.clone());
    }
    cx.section.feature::<GlobalConf>().peers.local = Some(At::new(text, name.loc));
}

fn bind(cx: &mut ParseCx<'_>) {
    let loc = cx.dir.loc;
    let Some(w) = cx.expect("[<address>]:<port>, or the path of a unix socket") else { return };
    let rules = AddrRules { range: false, ..AddrRules::BIND };
    let addr = cx.addr(w, rules);
    let mut options = raw(cx).bind_options.clone();
    parse_bind_options(cx, &mut options);
    if options.accept_proxy {
        cx.error(loc, "'bind' : 'accept-proxy' is not implemented yet in a 'peers' section".to_owned());
    }
    let Some(addr) = addr else { return };
    match raw(cx).bind.as_ref().map(|b| b.loc.line) {
        Some(line) => {
            let message = format!("'bind' : the section has a 'bind' line already, in line {line}");
            cx.error(loc, message).help("a 'peers' section has one local member, which listens once");
        }
        None => raw(cx).bind = Some(RawBind { addrs: vec![addr], options, loc }),
    }
}

fn peer(cx: &mut ParseCx<'_>) {
    const WHAT: &str = "<peername> and [<address>]:<port> as arguments";
    let Some(name) = cx.expect(WHAT) else { return };
    let Some(addr) = cx.expect(WHAT) else { return };
    member(cx, name, Some(addr));
}

fn server(cx: &mut ParseCx<'_>) {
    let Some(name) = cx.expect("<peername> [<address>:<port>] as arguments") else { return };
    // The local member has no address; whatever is no option is one.
    let is_option = |w: &Word| server_option::find(cx, &w.text()).is_some();
    let addr = cx.peek().filter(|w| !is_option(w));
    cx.pos += usize::from(addr.is_some());
    member(cx, name, addr);
}

fn member(cx: &mut ParseCx<'_>, name: &Word, addr: Option<&Word>) {
    let loc = cx.dir.loc;
    if !valid_name(cx, name) {
        return;
    }
    let rules = AddrRules { port_required: true, offset: false, ..AddrRules::SERVER };
    let spec = addr.and_then(|a| cx.addr(a, rules).map(|spec| At::new(spec, a.loc)));
    let wrong_addr = addr.is_some() && spec.is_none();
    let mut options = raw(cx).default_server.clone();
    parse_options(cx, &mut options, false);
    if options.send_proxy.v1 || options.send_proxy.v2 {
        let message =
            format!("'{}' : 'send-proxy' is not implemented yet in a 'peers' section", cx.keyword());
        cx.error(loc, message);
    }
    let text = name.text().into_owned();
    if let Some(first) = raw(cx).members.iter().find(|m| m.name.value == text).map(|m| m.loc.line) {
        let message = format!("'{} {text}' : the section has a member of that name", cx.keyword());
        cx.error(name.loc, message).help(format!("in line {first}"));
        return;
    }
    let is_peer = cx.keyword() == "peer";
    let name = At::new(text, name.loc);
    raw(cx).members.push(RawMember { name, addr: spec, wrong_addr, is_peer, options, loc });
}

/// The options that are about the connection; the others mean nothing here.
const TRANSPORT: [&str; 4] = ["source", "tcp-ut", "tfo", "shard"];

fn parse_options(cx: &mut ParseCx<'_>, options: &mut ServerOptions, is_default: bool) {
    while let Some(w) = cx.next() {
        let text = w.text();
        let Some(opt) = server_option::find(cx, &text) else {
            return unknown_option(cx, w, is_default);
        };
        if opt.status == Status::Full && !TRANSPORT.contains(&opt.name) {
            let message = format!("'{}' : '{text}' has no effect in a 'peers' section", cx.keyword());
            cx.warning(w.loc, message).help("members are neither balanced nor checked");
        }
        report_status(cx, w, opt.status);
        (opt.parse)(cx, w, options);
    }
}

/// `shard` on a server of a backend.
pub(super) fn check_shard(cx: &mut ParseCx<'_>, options: &ServerOptions) {
    if let Some(shard) = options.shard.as_ref().filter(|_| cx.section.kind != SectionKind::Peers) {
        let loc = shard.loc;
        cx.warning(loc, format!("'{}' : 'shard' has an effect in 'peers' sections only", cx.keyword()));
    }
}
