//! The request line and the status line: set and replace.

use crate::http::{RequestHead, token};
use crate::rules::MessageCx;
use crate::rules::action::{Action, ActionCx, Parsed, Sets, effect};
use crate::sample::{Regex, Scratch, expand};

const REQ: Sets = Sets::HTTP_REQ;

/// The table.
pub const ACTIONS: &[Action] = &[
    Action::new("set-method", REQ, "set-method <fmt>", |cx| set(cx, Part::Method)).doc("changes the method"),
    Action::new("set-path", REQ, "set-path <fmt>", |cx| set(cx, Part::Path))
        .doc("changes the path, keeps the query"),
    Action::new("set-pathq", REQ, "set-pathq <fmt>", |cx| set(cx, Part::PathQuery))
        .doc("changes path and query"),
    Action::new("set-query", REQ, "set-query <fmt>", |cx| set(cx, Part::Query)).doc("changes the query"),
    Action::new("set-uri", REQ, "set-uri <fmt>", |cx| set(cx, Part::Uri))
        .doc("changes the whole request target"),
    Action::new("replace-path", REQ, "replace-path <match-regex> <replace-fmt>", |cx| {
        replace(cx, Part::Path)
    })
    .doc("replaces the path if it matches"),
    Action::new("replace-pathq", REQ, "replace-pathq <match-regex> <replace-fmt>", |cx| {
        replace(cx, Part::PathQuery)
    })
    .doc("replaces path and query if they match"),
    Action::new("replace-uri", REQ, "replace-uri <match-regex> <replace-fmt>", |cx| replace(cx, Part::Uri))
        .doc("replaces the request target if it matches"),
    Action::new(
        "set-status",
        Sets::HTTP_RES.or(Sets::HTTP_AFTER),
        "set-status <status> [reason <str>]",
        set_status,
    )
    .doc("changes the status, and the reason phrase"),
];

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Part {
    Method,
    Path,
    PathQuery,
    Query,
    Uri,
}

/// Bytes that must not appear in a request target.
fn clean(v: &mut Scratch) {
    v.vec().retain(|c| *c > b' ' && *c != 0x7f);
}

/// Give the part of the request line a new value.
pub(super) fn put(r: &mut RequestHead, part: Part, value: &[u8]) {
    match part {
        Part::Method => {
            if !value.is_empty() && value.iter().all(|c| token::is_tchar(*c)) {
                r.set_method(value);
            }
        }
        Part::Path => r.set_path(value),
        Part::Query => r.set_query(value.strip_prefix(b"?").unwrap_or(value)),
        Part::Uri if !value.is_empty() => r.set_target(value),
        Part::PathQuery if !value.is_empty() => {
            let uri = r.uri();
            let (path, query) = (uri.path_range(), uri.query_range_with_mark());
            r.splice_target(path.start..query.end.max(path.end), value);
        }
        Part::Uri | Part::PathQuery => {}
    }
}

fn set(cx: &mut ActionCx<'_, '_>, part: Part) -> Parsed {
    let format = cx.format("a value")?;
    effect(move |cx| {
        let mut value = Scratch::new();
        cx.render(&format, value.vec());
        clean(&mut value);
        if let Some(r) = cx.request_mut() {
            put(r, part, &value);
        }
    })
}

fn replace(cx: &mut ActionCx<'_, '_>, part: Part) -> Parsed {
    let w = cx.arg("a regular expression")?;
    let regex = match Regex::new(&w.bytes, false) {
        Ok(r) => r,
        Err(e) => return cx.error(w.loc, e),
    };
    let format = cx.format("a replacement")?;
    effect(move |cx| {
        let mut template = Scratch::new();
        cx.render(&format, template.vec());
        let Some(r) = cx.request_mut() else { return };
        let old = match part {
            Part::Path => r.path(),
            Part::PathQuery => r.uri().path_and_query(),
            _ => Some(r.target()),
        };
        let Some(groups) = old.and_then(|t| regex.groups(t)) else { return };
        let mut value = Scratch::new();
        expand(&template, &groups, value.vec());
        clean(&mut value);
        put(r, part, &value);
    })
}

fn set_status(cx: &mut ActionCx<'_, '_>) -> Parsed {
    let status = cx.int("a status code", 100, 999)? as u16;
    let reason = if cx.accept("reason") { Some(cx.arg("a reason")?.bytes.clone()) } else { None };
    effect(move |cx: &mut dyn MessageCx| {
        if let Some(r) = cx.response_mut() {
            r.set_status(status, reason.as_deref());
        }
    })
}
