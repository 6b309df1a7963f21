//! Keywords that say what a proxy is.

use crate::config::{Keyword, ParseCx, Sections, Status};

use super::super::options::Mode;
use super::super::raw::At;
use super::raw;

const ANY: Sections = Sections::PROXY;
const SIDES: Sections = Sections::FRONTEND.or(Sections::BACKEND);

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "mode",
        sections: ANY,
        syntax: "mode { tcp|http|health }",
        doc: "Protocol of the proxy.",
        status: Status::Full,
        parse: mode,
    },
    Keyword {
        name: "disabled",
        sections: ANY,
        syntax: "disabled",
        doc: "The proxy is ignored.",
        status: Status::Full,
        parse: |cx| {
            raw(cx).disabled = true;
            cx.end();
        },
    },
    Keyword {
        name: "enabled",
        sections: ANY,
        syntax: "enabled",
        doc: "The proxy works although its defaults say 'disabled'.",
        status: Status::Full,
        parse: |cx| {
            raw(cx).disabled = false;
            cx.end();
        },
    },
    Keyword {
        name: "id",
        sections: SIDES,
        syntax: "id <value>",
        doc: "Number of the proxy in statistics and on the command line.",
        status: Status::Full,
        parse: |cx| {
            let loc = cx.peek().map_or(cx.dir.loc, |w| w.loc);
            let Some(n) = cx.expect_int("an integer", 1..=i64::from(i32::MAX)) else { return };
            raw(cx).id = Some(At::new(n as u32, loc));
            cx.end();
        },
    },
    Keyword {
        name: "guid",
        sections: SIDES,
        syntax: "guid <string>",
        doc: "Globally unique identifier of the proxy.",
        status: Status::Full,
        parse: |cx| {
            let Some(s) = cx.expect_text("a string") else { return };
            raw(cx).guid = Some(s);
            cx.end();
        },
    },
    Keyword {
        name: "description",
        sections: SIDES,
        syntax: "description <string>",
        doc: "Description shown on the statistics page.",
        status: Status::Full,
        parse: |cx| {
            if cx.peek().is_none() {
                cx.expect("a string");
                return;
            }
            let text: Vec<String> = cx.rest().iter().map(|w| w.text().into_owned()).collect();
            raw(cx).description = Some(text.join(" "));
        },
    },
];

fn mode(cx: &mut ParseCx<'_>) {
    let Some(w) = cx.expect("'tcp' or 'http'") else { return };
    let mode = match w.text().as_ref() {
        "tcp" => Mode::Tcp,
        "http" => Mode::Http,
        "health" => Mode::Health,
        other @ ("log" | "spop") => {
            cx.error(w.loc, format!("'mode {other}' is not implemented yet"));
            return;
        }
        other => {
            let message = format!("unknown proxy mode '{other}'.");
            cx.error(w.loc, message).help("one of: tcp, http, health");
            return;
        }
    };
    if mode == Mode::Health {
        let loc = w.loc;
        cx.warning(loc, "'mode health' is a form of 1.x")
            .help("use 'mode http' with 'monitor-uri' or 'http-request return status 200'");
    }
    raw(cx).mode = Some(mode);
    cx.end();
}
