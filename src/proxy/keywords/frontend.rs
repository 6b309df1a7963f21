//! Keywords of the client side.

use crate::config::{Keyword, ParseCx, Sections, Status};

use super::super::raw::At;
use super::options::network;
use super::raw;

const FRONT: Sections = Sections::DEFAULTS.or(Sections::FRONTEND);

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "maxconn",
        sections: FRONT,
        syntax: "maxconn <conns>",
        doc: "Most connections that the frontend serves at once.",
        status: Status::Full,
        parse: |cx| {
            let Some(n) = cx.expect_int("an integer", 0..=i64::from(i32::MAX)) else { return };
            raw(cx).front.maxconn = Some(n as u32);
            cx.end();
        },
    },
    Keyword {
        name: "backlog",
        sections: FRONT,
        syntax: "backlog <conns>",
        doc: "Length of the kernel's queue of new connections.",
        status: Status::Full,
        parse: |cx| {
            let Some(n) = cx.expect_int("an integer", 0..=i64::from(i32::MAX)) else { return };
            raw(cx).front.backlog = Some(n as u32);
            cx.end();
        },
    },
    Keyword {
        name: "default_backend",
        sections: FRONT,
        syntax: "default_backend <backend>",
        doc: "Backend of requests that no use_backend rule takes.",
        status: Status::Full,
        parse: |cx| {
            let Some(w) = cx.expect("a backend name") else { return };
            raw(cx).front.default_backend = Some(At::new(w.text().into_owned(), w.loc));
            cx.end();
        },
    },
    Keyword {
        name: "rate-limit sessions",
        sections: FRONT,
        syntax: "rate-limit sessions <rate>",
        doc: "Most new sessions per second.",
        status: Status::Full,
        parse: |cx| {
            let Some(n) = cx.expect_int("an integer", 0..=i64::from(i32::MAX)) else { return };
            raw(cx).front.rate_limit = (n > 0).then_some(n as u32);
            cx.end();
        },
    },
    Keyword {
        name: "monitor-uri",
        sections: FRONT,
        syntax: "monitor-uri <uri>",
        doc: "Answer this URI with 200 by ourselves, without a log line.",
        status: Status::Full,
        parse: |cx| {
            let Some(w) = cx.expect("a URI") else { return };
            raw(cx).front.monitor_uri = Some(w.bytes.clone());
            cx.end();
        },
    },
    Keyword {
        name: "monitor-net",
        sections: FRONT,
        syntax: "monitor-net <source>",
        doc: "Answer 200 to connections from this network, without a log line (1.x).",
        status: Status::Legacy { modern: "http-request return status 200 if { src <source> }" },
        parse: monitor_net,
    },
    Keyword {
        name: "max-session-srv-conns",
        sections: FRONT,
        syntax: "max-session-srv-conns <nb>",
        doc: "Most idle server connections kept for one client.",
        status: Status::NoEffect {
            why: "a client keeps one connection of its own at most; the others are shared",
        },
        parse: |cx| {
            let Some(n) = cx.expect_int("an integer", 0..=i64::from(i32::MAX)) else { return };
            raw(cx).front.max_session_srv_conns = Some(n as u32);
            cx.end();
        },
    },
    Keyword {
        name: "clitcpka-cnt",
        sections: FRONT,
        syntax: "clitcpka-cnt <count>",
        doc: "Unanswered keep-alive probes before the client counts as gone.",
        status: Status::Full,
        parse: |cx| {
            let Some(n) = cx.expect_int("an integer", 1..=127) else { return };
            raw(cx).conn.client_keep_alive.count = Some(n as u32);
            cx.end();
        },
    },
    Keyword {
        name: "clitcpka-idle",
        sections: FRONT,
        syntax: "clitcpka-idle <timeout>",
        doc: "Silence before the first keep-alive probe to a client.",
        status: Status::Full,
        parse: |cx| {
            let d = cx.expect_duration("a delay", crate::base::duration::Unit::S);
            raw(cx).conn.client_keep_alive.idle = d;
            cx.end();
        },
    },
    Keyword {
        name: "clitcpka-intvl",
        sections: FRONT,
        syntax: "clitcpka-intvl <timeout>",
        doc: "Time between keep-alive probes to a client.",
        status: Status::Full,
        parse: |cx| {
            let d = cx.expect_duration("a delay", crate::base::duration::Unit::S);
            raw(cx).conn.client_keep_alive.interval = d;
            cx.end();
        },
    },
];

fn monitor_net(cx: &mut ParseCx<'_>) {
    if cx.dir.negated {
        raw(cx).front.monitor_net = None;
        return;
    }
    let Some(w) = cx.expect("an address with an optional mask") else { return };
    let Some(net) = network(cx, w) else { return };
    raw(cx).front.monitor_net = Some(net);
    cx.end();
}
