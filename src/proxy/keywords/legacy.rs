//! Directives of 1.x that later versions dropped. They work and name their modern form.

use crate::config::{Keyword, ParseCx, Sections, Status};

use super::raw;

const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND);
const ANY: Sections = Sections::PROXY;

fn redispatch(cx: &mut ParseCx<'_>) {
    raw(cx).back.redispatch = Some(-1);
    cx.end();
}

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "redispatch",
        sections: BACK,
        syntax: "redispatch",
        doc: "Old name.",
        status: Status::Legacy { modern: "option redispatch" },
        parse: redispatch,
    },
    Keyword {
        name: "redisp",
        sections: BACK,
        syntax: "redisp",
        doc: "Old name.",
        status: Status::Legacy { modern: "option redispatch" },
        parse: redispatch,
    },
    Keyword {
        name: "transparent",
        sections: BACK,
        syntax: "transparent",
        doc: "Old name.",
        status: Status::Legacy { modern: "option transparent" },
        parse: |cx| {
            raw(cx).back.transparent = true;
            cx.end();
        },
    },
    Keyword {
        name: "bind-process",
        sections: ANY,
        syntax: "bind-process [ all | odd | even | <number 1-64>[-<number 1-64>] ] ...",
        doc: "Processes that serve the proxy.",
        status: Status::NoEffect { why: "there is one process; 'thread' on 'bind' lines chooses threads" },
        parse: Keyword::nothing,
    },
    Keyword {
        name: "grace",
        sections: ANY,
        syntax: "grace <time>",
        doc: "Time to go on listening while stopping.",
        status: Status::NoEffect { why: "listeners are handed to the successor; see 'grace' in global" },
        parse: Keyword::nothing,
    },
];
