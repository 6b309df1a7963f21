//! Options of `server` lines about health checks: stored for `check/`.

use std::net::IpAddr;

use crate::base::duration::Unit;
use crate::config::{ParseCx, Status, Word};

use super::super::check::{Observe, OnError, ServerCheck};
use super::super::raw::ServerOptions;
use super::server_option::ServerOption;
use super::{option_arg, option_choice, option_duration, option_int, option_text};

macro_rules! check {
    ($name:literal, $syntax:literal, $doc:literal, $parse:expr) => {
        ServerOption {
            name: $name,
            syntax: $syntax,
            doc: $doc,
            status: Status::Full,
            server_only: false,
            parse: |cx, w, o| {
                let parse: fn(&mut ParseCx<'_>, &Word, &mut ServerCheck) = $parse;
                parse(cx, w, &mut o.check)
            },
        }
    };
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

const MAX: i64 = i32::MAX as i64;

/// A delay that may not be zero.
fn delay(cx: &mut ParseCx<'_>, w: &Word) -> Option<std::time::Duration> {
    let loc = cx.peek().map_or(w.loc, |a| a.loc);
    let d = option_duration(cx, w, Unit::Ms)?;
    if d.is_zero() {
        let message = format!("'{}' : '{}' : the delay must not be zero", cx.keyword(), w.text());
        cx.error(loc, message);
        return None;
    }
    Some(d)
}

/// Options of this file.
pub static OPTIONS: &[ServerOption] = &[
    check!("check", "check", "Check the server's health.", |_, _, c| c.enabled = Some(true)),
    check!("no-check", "no-check", "Undo check.", |_, _, c| c.enabled = Some(false)),
    check!("inter", "inter <delay>", "Time between two checks.", |cx, w, c| c.inter = delay(cx, w)),
    check!("fastinter", "fastinter <delay>", "Time between checks while the state changes.", |cx, w, c| {
        c.fastinter = delay(cx, w);
    }),
    check!("downinter", "downinter <delay>", "Time between checks of a server that is down.", |cx, w, c| {
        c.downinter = delay(cx, w);
    }),
    check!("rise", "rise <count>", "Good checks that bring it up.", |cx, w, c| {
        c.rise = option_int(cx, w, 1, MAX).map(|n| n as u32);
    }),
    check!("fall", "fall <count>", "Bad checks that take it down.", |cx, w, c| {
        c.fall = option_int(cx, w, 1, MAX).map(|n| n as u32);
    }),
    check!("port", "port <port>", "Port of the checks.", |cx, w, c| {
        c.port = option_int(cx, w, 0, 65535).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
    }),
    check!("addr", "addr <ipv4|ipv6>", "Address of the checks.", addr),
    check!("observe", "observe <mode>", "Traffic that counts as checks.", |cx, w, c| {
        let modes = [("none", None), ("layer4", Some(Observe::Layer4)), ("layer7", Some(Observe::Layer7))];
        c.observe = option_choice(cx, w, &modes).flatten();
    }),
    check!("error-limit", "error-limit <count>", "Errors in a row before on-error strikes.", |cx, w, c| {
        c.error_limit = option_int(cx, w, 1, MAX).map(|n| n as u32);
    }),
    check!("on-error", "on-error <mode>", "What observed errors do.", |cx, w, c| {
        let modes = [
            ("fastinter", OnError::Fastinter),
            ("fail-check", OnError::FailCheck),
            ("sudden-death", OnError::SuddenDeath),
            ("mark-down", OnError::MarkDown),
        ];
        c.on_error = option_choice(cx, w, &modes);
    }),
    check!(
        "on-marked-down",
        "on-marked-down <action>",
        "What happens to sessions when it goes down.",
        |cx, w, c| {
            c.shutdown_on_down = option_choice(cx, w, &[("shutdown-sessions", true)]);
        }
    ),
    check!(
        "on-marked-up",
        "on-marked-up <action>",
        "What happens to sessions when it comes up.",
        |cx, w, c| {
            c.shutdown_backup_on_up = option_choice(cx, w, &[("shutdown-backup-sessions", true)]);
        }
    ),
    check!("track", "track [<backend>/]<server>", "Follow that server's state.", |cx, w, c| {
        let Some(a) = option_arg(cx, w, "[<proxy>/]<server> as argument") else { return };
        c.track = Some((a.text().into_owned(), a.loc));
    }),
    check!("check-send-proxy", "check-send-proxy", "Checks send a PROXY header.", |_, _, c| {
        c.send_proxy = Some(true);
    }),
    check!("no-check-send-proxy", "no-check-send-proxy", "Undo check-send-proxy.", |_, _, c| {
        c.send_proxy = Some(false);
    }),
    check!("agent-check", "agent-check", "Ask an agent for the server's state.", |_, _, c| c.agent =
        Some(true)),
    check!("no-agent-check", "no-agent-check", "Undo agent-check.", |_, _, c| c.agent = Some(false)),
    check!("agent-port", "agent-port <port>", "Port of the agent.", |cx, w, c| {
        c.agent_port = option_int(cx, w, 1, 65535).and_then(|n| u16::try_from(n).ok());
    }),
    check!("agent-addr", "agent-addr <addr>", "Address of the agent.", |cx, w, c| {
        c.agent_addr = ip(cx, w).map(|(ip, _)| ip);
    }),
    check!("agent-inter", "agent-inter <delay>", "Time between two questions to the agent.", |cx, w, c| {
        c.agent_inter = delay(cx, w);
    }),
    check!("agent-send", "agent-send <string>", "What the agent is sent.", |cx, w, c| {
        c.agent_send = option_text(cx, w, "a string").map(String::into_bytes);
    }),
    planned!("check-alpn", "check-alpn <protocols>", "TLS application protocols of checks.", skip1),
    planned!("check-pool-conn-name", "check-pool-conn-name <name>", "Pooled connections for checks.", skip1),
    planned!("check-proto", "check-proto <name>", "Protocol of checks.", skip1),
    planned!("check-reuse-pool", "check-reuse-pool", "Checks use pooled connections.", skip0),
    planned!("no-check-reuse-pool", "no-check-reuse-pool", "Undo check-reuse-pool.", skip0),
    planned!("check-sni", "check-sni <sni>", "TLS server name of checks.", skip1),
    planned!("check-sni-auto", "check-sni-auto", "TLS server name of checks from the rules.", skip0),
    planned!("no-check-sni-auto", "no-check-sni-auto", "Undo check-sni-auto.", skip0),
    planned!("check-ssl", "check-ssl", "Checks over TLS.", skip0),
    planned!("check-via-socks4", "check-via-socks4", "Checks through the SOCKS4 proxy.", skip0),
    planned!("healthcheck", "healthcheck <name>", "Checks as another section says.", skip1),
];

fn addr(cx: &mut ParseCx<'_>, w: &Word, c: &mut ServerCheck) {
    if let Some((ip, port)) = ip(cx, w) {
        c.addr = Some(ip);
        c.addr_port = port;
    }
}

fn skip0(_cx: &mut ParseCx<'_>, _w: &Word, _o: &mut ServerOptions) {}

fn skip1(cx: &mut ParseCx<'_>, w: &Word, _o: &mut ServerOptions) {
    option_arg(cx, w, "an argument");
}

/// A literal address, perhaps with a port.
fn ip(cx: &mut ParseCx<'_>, opt: &Word) -> Option<(IpAddr, Option<u16>)> {
    use crate::base::addr::{AddrRules, Host, Ports};
    let a = option_arg(cx, opt, "an address")?;
    let rules = AddrRules { port_allowed: true, names: true, ..AddrRules::default() };
    let spec = cx.addr(a, rules)?;
    let port = match spec.ports {
        Ports::One(p) => Some(p),
        _ => None,
    };
    let found = match &spec.host {
        Host::Ip(ip) => Some(*ip),
        Host::Name(name, family) => super::super::resolve::host(name, *family),
        _ => None,
    };
    if found.is_none() {
        let message = format!("'{}' : '{}' : invalid address '{}'", cx.keyword(), opt.text(), a.text());
        cx.error(a.loc, message);
    }
    found.map(|ip| (ip, port))
}
