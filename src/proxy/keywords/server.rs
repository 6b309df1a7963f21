//! `server`, `default-server`, `server-template`.

use crate::base::addr::{AddrRules, AddrSpec, Family, Host, Ports};
use crate::config::{Keyword, Loc, ParseCx, Sections, Status, Word};

use super::super::raw::{At, RawServer, ServerOptions};
use super::server_option::{self, ServerOption};
use super::{raw, report_status, send_proxy};

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "server",
        sections: Sections::BACKEND,
        syntax: "server <name> <address>[:[port]] [param*]",
        doc: "A server.",
        status: Status::Full,
        parse: server,
    },
    Keyword {
        name: "default-server",
        sections: Sections::DEFAULTS.or(Sections::BACKEND),
        syntax: "default-server [param*]",
        doc: "Options of the servers that follow.",
        status: Status::Full,
        parse: |cx| {
            let mut options = raw(cx).back.default_server.clone();
            parse_options(cx, &mut options, true);
            raw(cx).back.default_server = options;
        },
    },
    Keyword {
        name: "server-template",
        sections: Sections::BACKEND,
        syntax: "server-template <prefix> <num | range> <fqdn>[:<port>] [params*]",
        doc: "Several servers with numbered names.",
        status: Status::Full,
        parse: template,
    },
];

fn server(cx: &mut ParseCx<'_>) {
    const WHAT: &str = "<name> and <addr>[:<port>] as arguments.";
    let Some(name) = cx.expect(WHAT) else { return };
    let Some(addr) = cx.expect(WHAT) else { return };
    add(cx, name, addr, None);
}

fn template(cx: &mut ParseCx<'_>) {
    const WHAT: &str = "<prefix> <nb | range> <addr>[:<port>] as arguments.";
    let Some(prefix) = cx.expect(WHAT) else { return };
    let Some(numbers) = cx.expect(WHAT) else { return };
    let Some(addr) = cx.expect(WHAT) else { return };
    let Some(range) = number_range(&numbers.text()) else {
        let message = format!("'server-template' : invalid number or range '{}'", numbers.text());
        cx.error(numbers.loc, message).help("write a number of servers (3) or a range (1-3)");
        return;
    };
    add(cx, prefix, addr, Some(range));
}

/// `3` is 1 to 3.
fn number_range(text: &str) -> Option<(u32, u32)> {
    let (low, high) = match text.split_once('-') {
        None => (1, text.parse().ok()?),
        Some((l, h)) => (l.parse().ok()?, h.parse().ok()?),
    };
    (1 <= low && low <= high && high <= 1_000_000).then_some((low, high))
}

fn add(cx: &mut ParseCx<'_>, name: &Word, addr: &Word, template: Option<(u32, u32)>) {
    let loc = cx.dir.loc;
    if !valid_name(cx, name) {
        return;
    }
    // A server with a mistake is remembered all the same, so that what refers to it is not reported as well.
    let nowhere = AddrSpec { host: Host::Any(Family::Any), ports: Ports::None, transport: None };
    let spec = cx.addr(addr, AddrRules::SERVER).unwrap_or(nowhere);
    let mut options = raw(cx).back.default_server.clone();
    parse_options(cx, &mut options, false);
    super::peers::check_shard(cx, &options);
    send_proxy::check(cx, &options);
    let server = RawServer {
        name: At::new(name.text().into_owned(), name.loc),
        addr: At::new(spec, addr.loc),
        template,
        options,
        loc,
    };
    raw(cx).back.servers.push(server);
}

pub(super) fn valid_name(cx: &mut ParseCx<'_>, name: &Word) -> bool {
    let text = name.text();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let Some((at, bad)) = text.char_indices().find(|(_, c)| !allowed(*c)) else { return true };
    let message = format!("character '{bad}' is not permitted in server name '{text}'.");
    cx.error(name.sub(at, bad.len_utf8()), message).help("letters, digits, '-', '_', '.' and ':' are");
    false
}

fn parse_options(cx: &mut ParseCx<'_>, options: &mut ServerOptions, is_default: bool) {
    while let Some(w) = cx.next() {
        let text = w.text();
        let Some(opt) = server_option::find(cx, &text) else {
            return unknown_option(cx, w, is_default);
        };
        if is_default && opt.server_only {
            let message = format!("'{}' option is not accepted in default-server sections.", opt.name);
            cx.error(w.loc, message);
        }
        report_status(cx, w, opt.status);
        (opt.parse)(cx, w, options);
    }
}

pub(super) fn unknown_option(cx: &mut ParseCx<'_>, w: &Word, is_default: bool) {
    let text = w.text();
    let names = cx.tables.all::<ServerOption>().iter().map(|o| o.name);
    let best = crate::config::suggest::closest(&text, names);
    let bare = text.split('(').next().unwrap_or(&text);
    let message = match crate::config::known::unsupported("server", "option", bare) {
        Some(message) => format!("'{}' : {message}", cx.keyword()),
        None => format!("'{}' : unknown keyword '{text}'.", cx.keyword()),
    };
    let looks_like_addr = text.contains(':') || text.contains('.');
    let loc: Loc = w.loc;
    let d = cx.diags.error(loc, message);
    if let Some(best) = best {
        d.help(format!("did you mean '{best}'?"));
    } else if is_default && looks_like_addr {
        d.help("default-server takes no name and no address, only options");
    }
}

#[cfg(test)]
mod tests {
    use super::number_range;

    #[test]
    fn templates() {
        assert_eq!(number_range("3"), Some((1, 3)));
        assert_eq!(number_range("2-5"), Some((2, 5)));
        assert_eq!(number_range("5-2"), None);
        assert_eq!(number_range("0"), None);
        assert_eq!(number_range("x"), None);
    }
}
