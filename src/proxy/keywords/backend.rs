//! Keywords of the server side that belong to no other topic.

use crate::base::addr::AddrRules;
use crate::base::duration::Unit;
use crate::config::{Keyword, ParseCx, Sections, Status};

use super::super::options::{HttpReuse, RetryOn};
use super::super::raw::At;
use super::raw;

const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND);
const ONLY_BACK: Sections = Sections::BACKEND;

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "be-unpublished",
        sections: Sections::BACKEND,
        syntax: "be-unpublished",
        doc: "Other proxies' routing rules pass the backend over until 'publish backend' on the admin socket.",
        status: Status::Full,
        parse: |cx| {
            raw(cx).back.unpublished = true;
            cx.end();
        },
    },
    Keyword {
        name: "retries",
        sections: BACK,
        syntax: "retries <value>",
        doc: "How often a failed connection is tried again.",
        status: Status::Full,
        parse: |cx| {
            let Some(n) = cx.expect_int("an integer argument (dispatch counts for one)", 0..=1_000_000)
            else {
                return;
            };
            raw(cx).back.retries = Some(n as u32);
            cx.end();
        },
    },
    Keyword {
        name: "retry-on",
        sections: BACK,
        syntax: "retry-on [space-delimited list of keywords]",
        doc: "Which failures may be tried again.",
        status: Status::Full,
        parse: retry_on,
    },
    Keyword {
        name: "fullconn",
        sections: BACK,
        syntax: "fullconn <conns>",
        doc: "Load at which servers with a minconn reach their maxconn.",
        status: Status::Full,
        parse: |cx| {
            let Some(n) = cx.expect_int("an integer", 0..=i64::from(i32::MAX)) else { return };
            raw(cx).back.fullconn = Some(n as u32);
            cx.end();
        },
    },
    Keyword {
        name: "max-keep-alive-queue",
        sections: BACK,
        syntax: "max-keep-alive-queue <value>",
        doc: "Longest queue in which a keep-alive client still waits for its last server.",
        status: Status::Full,
        parse: |cx| {
            let Some(n) = cx.expect_int("an integer", -1..=i64::from(i32::MAX)) else { return };
            raw(cx).back.max_keep_alive_queue = u32::try_from(n).ok();
            cx.end();
        },
    },
    Keyword {
        name: "http-reuse",
        sections: BACK,
        syntax: "http-reuse { never | safe | aggressive | always }",
        doc: "When requests of different clients share server connections.",
        status: Status::Full,
        parse: |cx| {
            const CHOICES: [&str; 4] = ["never", "safe", "aggressive", "always"];
            const MODES: [HttpReuse; 4] =
                [HttpReuse::Never, HttpReuse::Safe, HttpReuse::Aggressive, HttpReuse::Always];
            let Some(i) = cx.expect_one_of("a mode", &CHOICES) else { return };
            raw(cx).http.reuse = Some(MODES[i]);
            cx.end();
        },
    },
    Keyword {
        name: "http-send-name-header",
        sections: BACK,
        syntax: "http-send-name-header <header>",
        doc: "Tell the server its name in this header.",
        status: Status::Full,
        parse: |cx| {
            let Some(name) = cx.expect("a header name").map(|w| w.bytes.clone()) else { return };
            raw(cx).http.send_name_header = Some(name);
            cx.end();
        },
    },
    Keyword {
        name: "dispatch",
        sections: ONLY_BACK,
        syntax: "dispatch <address>:<port>",
        doc: "Where everything goes when there is no server.",
        status: Status::Full,
        parse: |cx| {
            let loc = cx.peek().map_or(cx.dir.loc, |w| w.loc);
            let rules = AddrRules { port_required: true, offset: false, ..AddrRules::SERVER };
            let Some(addr) = cx.expect_addr("an address", rules) else { return };
            raw(cx).back.dispatch = Some(At::new(addr, loc));
            cx.end();
        },
    },
    Keyword {
        name: "srvtcpka-cnt",
        sections: BACK,
        syntax: "srvtcpka-cnt <count>",
        doc: "Unanswered keep-alive probes before the server counts as gone.",
        status: Status::Full,
        parse: |cx| {
            let Some(n) = cx.expect_int("an integer", 1..=127) else { return };
            raw(cx).conn.server_keep_alive.count = Some(n as u32);
            cx.end();
        },
    },
    Keyword {
        name: "srvtcpka-idle",
        sections: BACK,
        syntax: "srvtcpka-idle <timeout>",
        doc: "Silence before the first keep-alive probe to a server.",
        status: Status::Full,
        parse: |cx| {
            let d = cx.expect_duration("a delay", Unit::S);
            raw(cx).conn.server_keep_alive.idle = d;
            cx.end();
        },
    },
    Keyword {
        name: "srvtcpka-intvl",
        sections: BACK,
        syntax: "srvtcpka-intvl <timeout>",
        doc: "Time between keep-alive probes to a server.",
        status: Status::Full,
        parse: |cx| {
            let d = cx.expect_duration("a delay", Unit::S);
            raw(cx).conn.server_keep_alive.interval = d;
            cx.end();
        },
    },
];

fn retry_on(cx: &mut ParseCx<'_>) {
    let loc = cx.dir.loc;
    let mut set = RetryOn::NONE;
    if cx.peek().is_none() {
        cx.expect("a list of errors or status codes to retry on");
        return;
    }
    while let Some(w) = cx.next() {
        let text = w.text();
        set = match text.as_ref() {
            "none" => {
                set = RetryOn::NONE;
                break;
            }
            "conn-failure" => set.or(RetryOn::CONN_FAILURE),
            "empty-response" => set.or(RetryOn::EMPTY_RESPONSE),
            "junk-response" => set.or(RetryOn::JUNK_RESPONSE),
            "response-timeout" => set.or(RetryOn::RESPONSE_TIMEOUT),
            "0rtt-rejected" => set.or(RetryOn::EARLY_DATA),
            "all-retryable-errors" => set
                .or(RetryOn::CONN_FAILURE)
                .or(RetryOn::EMPTY_RESPONSE)
                .or(RetryOn::JUNK_RESPONSE)
                .or(RetryOn::RESPONSE_TIMEOUT)
                .or(RetryOn::EARLY_DATA)
                .or(RetryOn::S500)
                .or(RetryOn::S502)
                .or(RetryOn::S503)
                .or(RetryOn::S504),
            code => match code.parse::<u16>().map(RetryOn::of_status) {
                Ok(bit) if bit != RetryOn::NONE => set.or(bit),
                _ => {
                    let message = format!("'retry-on': unknown keyword '{code}'");
                    let d = cx.diags.error(w.loc, message);
                    d.help(
                        "see the list at 'retry-on' in the manual: conn-failure, empty-response, \
                            response-timeout, 503, ...",
                    );
                    return;
                }
            },
        };
    }
    raw(cx).back.retry_on = Some(At::new(set, loc));
    cx.end();
}
