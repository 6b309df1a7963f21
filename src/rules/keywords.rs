//! `http-request` and its kin: the keywords that take an action.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::acl::Condition;
use crate::base::duration::Unit;
use crate::config::{Keyword, Loc, ParseCx, SectionKind, Sections, Status, Word, known, suggest};
use crate::sample::{ExprCx, LastRule, Place};

use super::action::{Action, ActionCx, Sets};
use super::actions::counters::tracker;
use super::actions::parse_answer;
use super::set::{Rank, Rule, RuleSet};
use super::{AnswerBody, ProxyRules};

const BACK: Sections = Sections(Sections::DEFAULTS.0 | Sections::BACKEND.0);
const FRONT: Sections = Sections(Sections::DEFAULTS.0 | Sections::FRONTEND.0);
const ACTION: &str = "<action> [options...] [ { if | unless } <condition> ]";

const fn rules(
    name: &'static str,
    sections: Sections,
    doc: &'static str,
    parse: fn(&mut ParseCx<'_>),
) -> Keyword {
    Keyword { name, sections, syntax: ACTION, doc, status: Status::Full, parse }
}

/// The table.
pub static KEYWORDS: &[Keyword] = &[
    rules("http-request", Sections::PROXY, "rules on requests", |cx| rule(cx, Sets::HTTP_REQ)),
    rules("http-response", Sections::PROXY, "rules on responses of servers", |cx| rule(cx, Sets::HTTP_RES)),
    rules("http-after-response", Sections::PROXY, "rules on all responses, our own too", |cx| {
        rule(cx, Sets::HTTP_AFTER)
    }),
    rules("tcp-request connection", FRONT, "rules on new connections", |cx| rule(cx, Sets::TCP_CONN)),
    rules("tcp-request session", FRONT, "rules on sessions, after handshakes", |cx| rule(cx, Sets::TCP_SESS)),
    rules("tcp-request content", Sections::PROXY, "rules on the first bytes of a client", |cx| {
        rule(cx, Sets::TCP_REQ)
    }),
    rules("tcp-response content", BACK, "rules on the first bytes of a server", |cx| rule(cx, Sets::TCP_RES)),
    Keyword {
        name: "http-error",
        sections: Sections::PROXY,
        syntax: "http-error status <code> [content-type <type>] [default-errorfiles | errorfile <file> | \
                 errorfiles <name> | file <file> | lf-file <file> | string <str> | lf-string <fmt>] [hdr <name> <fmt>]*",
        doc: "what is answered in the place of an error page",
        status: Status::Full,
        parse: http_error,
    },
    Keyword {
        name: "tcp-request inspect-delay",
        sections: Sections::PROXY,
        syntax: "tcp-request inspect-delay <timeout>",
        doc: "how long content rules may wait for bytes of the client",
        status: Status::Full,
        parse: |cx| delay(cx, |r| &mut r.request_delay),
    },
    Keyword {
        name: "tcp-response inspect-delay",
        sections: BACK,
        syntax: "tcp-response inspect-delay <timeout>",
        doc: "how long content rules may wait for bytes of the server",
        status: Status::Full,
        parse: |cx| delay(cx, |r| &mut r.response_delay),
    },
];

/// `http-error`: the answer in the place of an error page.
fn http_error(cx: &mut ParseCx<'_>) {
    let (words, loc) = (cx.rest(), cx.dir.loc);
    if words.first().is_none_or(|w| !w.is("status")) {
        cx.error(words.first().map_or(loc, |w| w.loc), "'http-error' expects 'status' and a status code");
        return;
    }
    let mut ex = ExprCx::of(cx, Place::HTTP_REQUEST);
    let what = "http-error".to_owned();
    let mut acx = ActionCx { ex: &mut ex, set: Sets::HTTP_REQ, what, paren: None, words, pos: 0, loc };
    let Some(answer) = parse_answer(&mut acx, 500, AnswerBody::Empty) else { return };
    if let Some(w) = words.get(acx.pos) {
        let message = format!("'http-error' takes no condition: unexpected '{}'", w.text());
        cx.error(w.loc, message);
        return;
    }
    cx.section.feature::<ProxyRules>().errors.push(Arc::new(answer));
}

fn set_of(rules: &mut ProxyRules, set: Sets) -> &mut RuleSet {
    match set {
        Sets::TCP_CONN => &mut rules.tcp_connection,
        Sets::TCP_SESS => &mut rules.tcp_session,
        Sets::TCP_REQ => &mut rules.tcp_content,
        Sets::TCP_RES => &mut rules.tcp_response,
        Sets::HTTP_REQ => &mut rules.http_request,
        Sets::HTTP_RES => &mut rules.http_response,
        _ => &mut rules.http_after_response,
    }
}

/// Warn about a rule that stands behind one that is evaluated after it. `order` 0 is not checked.
pub(super) fn check_order(cx: &mut ParseCx<'_>, order: u8, name: &'static str) {
    if order == 0 {
        return;
    }
    let rules = cx.section.feature::<ProxyRules>();
    match rules.latest {
        Some((latest, other)) if latest > order => {
            let message = format!("a '{name}' rule behind a '{other}' rule is still evaluated before it");
            let loc = cx.dir.words[0].loc;
            cx.warning(loc, message)
                .help(format!("put it in front of the '{other}' rules, so that the file shows the order"));
        }
        _ => rules.latest = Some((order, name)),
    }
}

fn order_of(set: Sets) -> u8 {
    match set {
        Sets::TCP_CONN => 1,
        Sets::TCP_SESS => 2,
        Sets::TCP_REQ => 3,
        Sets::HTTP_REQ => 5,
        _ => 0,
    }
}

/// Names of the files, leaked once each: rules name theirs while they run, and a process loads once.
#[derive(Default)]
struct FileNames(Mutex<HashMap<u16, &'static str>>);

/// Where the directive stands, for `last_rule_file` and `last_rule_line`.
pub(super) fn origin(cx: &ParseCx<'_>) -> LastRule {
    let loc = cx.dir.loc;
    let names = cx.state.shared.get::<FileNames>();
    let mut names = names.0.lock().unwrap_or_else(|e| e.into_inner());
    let file = names.entry(loc.file).or_insert_with(|| {
        let path = cx.state.files.get(usize::from(loc.file));
        path.map_or("", |p| Box::leak(p.to_string_lossy().into_owned().into_boxed_str()))
    });
    LastRule { file, line: loc.line }
}

/// Rules in an unnamed `defaults` section would apply to every proxy behind it: that is refused.
fn is_anonymous_defaults(cx: &mut ParseCx<'_>) -> bool {
    let refused = cx.section.kind == SectionKind::Defaults && cx.section.name.is_empty();
    if refused {
        let message = format!("'{}' is not allowed in an anonymous 'defaults' section", cx.keyword());
        let loc = cx.dir.words[0].loc;
        cx.error(loc, message).help("give the section a name, and start proxies from it with 'from <name>'");
    }
    refused
}

fn delay(cx: &mut ParseCx<'_>, slot: fn(&mut ProxyRules) -> &mut Option<Duration>) {
    if is_anonymous_defaults(cx) {
        return;
    }
    if let Some(d) = cx.expect_duration("a time", Unit::Ms) {
        cx.end();
        *slot(cx.section.feature::<ProxyRules>()) = Some(d);
    }
}

fn rule(cx: &mut ParseCx<'_>, set: Sets) {
    if is_anonymous_defaults(cx) {
        return;
    }
    check_order(cx, order_of(set), set.keyword());
    let Some(word) = cx.expect("an action") else { return };
    let words = cx.rest();
    let Some((action, paren)) = find(cx, set, word) else { return };
    match action.status {
        Status::Planned => {
            let message = format!("'{} {}' is not implemented yet", set.keyword(), action.name);
            cx.error(word.loc, message);
            return;
        }
        Status::NoEffect { why } => {
            let message = format!("'{} {}' has no effect: {why}", set.keyword(), action.name);
            cx.warning(word.loc, message);
        }
        _ => {}
    }
    let mut ex = ExprCx::of(cx, set.place());
    let open = memchr::memchr(b'(', &word.bytes).unwrap_or(word.bytes.len());
    let what = format!("{} {}", set.keyword(), String::from_utf8_lossy(&word.bytes[..open]));
    let mut acx = ActionCx { ex: &mut ex, set, what, paren, words, pos: 0, loc: word.loc };
    let Some(act) = (action.parse)(&mut acx) else { return };
    let rest = &words[acx.pos..];
    if let Some(w) = rest.first().filter(|w| !w.is("if") && !w.is("unless")) {
        let message = format!("'{}': unexpected '{}'", acx.what, w.text());
        ex.diags.error(w.loc, message).help("a condition begins with 'if' or 'unless'");
        return;
    }
    let Some(condition) = Condition::parse_optional(&mut ex, rest) else { return };
    let (origin, owner) = (origin(cx), cx.section.loc);
    let last = condition.is_none() && is_final(action.name, words);
    warn_of_noop(cx, set, word.loc, last);
    set_of(cx.section.feature::<ProxyRules>(), set).push(Rule {
        act,
        condition,
        origin,
        owner,
        rank: Rank::Normal,
    });
}

/// Nothing of the set is evaluated behind this action.
fn is_final(action: &str, words: &[Word]) -> bool {
    const FINAL: &[&str] =
        &["accept", "allow", "auth", "deny", "redirect", "reject", "return", "silent-drop", "tarpit"];
    FINAL.contains(&action) && !words.iter().any(|w| w.is("ignore-empty"))
}

/// A rule behind one that always ends the set is never reached: said once.
fn warn_of_noop(cx: &mut ParseCx<'_>, set: Sets, loc: Loc, last: bool) {
    let key = (set.0, cx.section.loc);
    let ended = &mut cx.section.feature::<ProxyRules>().ended;
    let at = ended.iter().position(|k| *k == key);
    if let Some(at) = at {
        ended.swap_remove(at);
    }
    if last {
        ended.push(key);
    }
    if at.is_some() {
        let keyword = set.keyword();
        let message = format!(
            "previous '{keyword}' action is final and has no condition attached, further entries are NOOP"
        );
        cx.warning(loc, message).help("give the rule before it a condition, or move it behind the others");
    }
}

/// The action that a word names, and what stands in its parentheses.
fn find(cx: &mut ParseCx<'_>, set: Sets, word: &Word) -> Option<(&'static Action, Option<Word>)> {
    let open = memchr::memchr(b'(', &word.bytes);
    let name = String::from_utf8_lossy(&word.bytes[..open.unwrap_or(word.bytes.len())]).into_owned();
    let entry = tracker(&name).unwrap_or(&name);
    let Some(action) = cx.tables.find_all::<Action>(entry).iter().find(|a| a.sets.has(set)).copied() else {
        let known = cx.tables.all::<Action>().iter().filter(|a| a.sets.has(set)).map(|a| a.name);
        let near = suggest::closest(&name, known);
        let elsewhere = cx.tables.find::<Action>(&name).is_some();
        let message = if elsewhere {
            format!("'{name}' is no action of '{}'", set.keyword())
        } else {
            known::unsupported("action", "action", &name)
                .unwrap_or_else(|| format!("'{}' does not know the action '{name}'", set.keyword()))
        };
        let d = cx.diags.error(word.loc, message);
        if let Some(n) = near {
            d.help(format!("did you mean '{n}'?"));
        }
        return None;
    };
    let paren = match open {
        None => None,
        Some(open) => {
            let Some(inner) = word.bytes[open + 1..].strip_suffix(b")") else {
                cx.error(word.loc, format!("missing closing parenthesis behind '{name}'"));
                return None;
            };
            Some(Word { bytes: inner.to_vec(), loc: word.sub(open + 1, inner.len()) })
        }
    };
    Some((action, paren))
}
