//! `source`, in the backend and on server lines.

use crate::base::addr::{AddrRules, Host};
use crate::config::{Keyword, ParseCx, Sections, Status, Word};

use super::super::server::{SourceSpec, UseSource};
use super::{option_arg, option_text, raw};

const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND);

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[Keyword {
    name: "source",
    sections: BACK,
    syntax: "source <addr>[:<port>] [usesrc { <addr2>[:<port2>] | client | clientip | hdr_ip(<hdr>[,<occ>]) } ] \
             [interface <name>]",
    doc: "Local address of connections to servers.",
    status: Status::Full,
    parse: |cx| {
        let Some(w) = cx.expect("<addr>[:<port>], and optionally '[usesrc <addr>]' or '[interface <name>]'")
        else {
            return;
        };
        let Some(mut spec) = source_addr(cx, w, false) else { return };
        while let Some(w) = cx.next() {
            match w.text().as_ref() {
                "usesrc" => {
                    let Some(u) = usesrc(cx, w) else { return };
                    spec.usesrc = Some(u);
                }
                "interface" => {
                    let Some(name) = option_text(cx, w, "an interface name") else { return };
                    spec.interface = Some(name);
                }
                other => {
                    let message = format!(
                        "'source' only supports optional keywords 'interface' and 'usesrc', not '{other}'."
                    );
                    cx.error(w.loc, message);
                    return;
                }
            }
        }
        raw(cx).back.source = Some(spec);
    },
}];

/// The address of a `source`; only servers may have port ranges.
pub(super) fn source_addr(cx: &mut ParseCx<'_>, w: &Word, range: bool) -> Option<SourceSpec> {
    let rules = AddrRules { range, ..AddrRules::SOURCE };
    let addr = cx.addr(w, rules)?;
    Some(SourceSpec { addr: Some(addr), usesrc: None, interface: None })
}

/// The argument of `usesrc`.
pub(super) fn usesrc(cx: &mut ParseCx<'_>, opt: &Word) -> Option<UseSource> {
    let w = option_arg(cx, opt, "<addr>[:<port>], 'client', 'clientip', or 'hdr_ip(name,#)'")?;
    let text = w.text();
    match text.as_ref() {
        "client" => return Some(UseSource::Client),
        "clientip" => return Some(UseSource::ClientIp),
        _ => {}
    }
    if let Some(args) = text.strip_prefix("hdr_ip(").and_then(|t| t.strip_suffix(')')) {
        return header_ip(cx, w, args);
    }
    let spec = cx.addr(w, AddrRules { range: false, names: false, ..AddrRules::SOURCE })?;
    let addr = spec.sock_addrs().and_then(|mut a| a.pop());
    debug_assert!(!matches!(spec.host, Host::Name(..)), "names are not allowed by the rules above");
    addr.map(UseSource::Address)
}

fn header_ip(cx: &mut ParseCx<'_>, w: &Word, args: &str) -> Option<UseSource> {
    let (name, occ) = args.split_once(',').map_or((args, "-1"), |(n, o)| (n, o.trim()));
    match occ.parse::<i32>() {
        Ok(occurrence) if !name.trim().is_empty() => {
            Some(UseSource::HeaderIp { name: name.trim().as_bytes().to_vec(), occurrence })
        }
        _ => {
            cx.error(w.loc, "usesrc hdr_ip(name,num) requires a header name and an occurrence.");
            None
        }
    }
}
