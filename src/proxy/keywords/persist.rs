//! `force-persist`, `ignore-persist`, `monitor fail`: conditions.

use crate::acl::Condition;
use crate::config::{Keyword, ParseCx, Sections, Status};
use crate::sample::Place;

use super::super::snapshot::PersistRule;
use super::raw;

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "force-persist",
        sections: Sections::BACKEND,
        syntax: "force-persist { if | unless } <condition>",
        doc: "Follow the cookie even to a server that is down.",
        status: Status::Full,
        parse: |cx| persist(cx, true),
    },
    Keyword {
        name: "ignore-persist",
        sections: Sections::BACKEND,
        syntax: "ignore-persist { if | unless } <condition>",
        doc: "Do not look at the cookie.",
        status: Status::Full,
        parse: |cx| persist(cx, false),
    },
    Keyword {
        name: "monitor fail",
        sections: Sections::FRONTEND,
        syntax: "monitor fail { if | unless } <condition>",
        doc: "Answer the monitor-uri with 503.",
        status: Status::Full,
        parse: |cx| {
            if let Some(c) = condition(cx, Place::MONITOR) {
                raw(cx).front.monitor_fail.push(c);
            }
        },
    },
];

fn persist(cx: &mut ParseCx<'_>, force: bool) {
    if let Some(condition) = condition(cx, Place::HTTP_REQUEST) {
        raw(cx).back.persist_rules.push(PersistRule { force, condition });
    }
}

/// A condition that must be there.
fn condition(cx: &mut ParseCx<'_>, place: Place) -> Option<Condition> {
    if cx.peek().is_none() {
        cx.expect("'if' or 'unless' followed by a condition");
        return None;
    }
    Condition::parse_tail(cx, place)?
}
