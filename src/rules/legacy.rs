//! The 1.x ways: `block`, `redirect`, and the `req*`/`rsp*` family, which works on whole header lines.

use smallvec::SmallVec;

use crate::acl::Condition;
use crate::config::{Keyword, ParseCx, Sections, Status};
use crate::http::{Fields, token};
use crate::sample::{ExprCx, Place, Regex, Scratch, expand};

use super::action::{Act, ActionCx, Sets, Step};
use super::actions::redirect;
use super::keywords::{check_order, origin};
use super::set::{Rank, Rule};
use super::{MessageCx, ProxyRules, Verdict};

/// A keyword of the family.
const fn old(
    name: &'static str,
    syntax: &'static str,
    modern: &'static str,
    parse: fn(&mut ParseCx<'_>),
) -> Keyword {
    Keyword {
        name,
        sections: Sections::FRONTEND.or(Sections::BACKEND),
        syntax,
        doc: "works on whole header lines",
        status: Status::Legacy { modern },
        parse,
    }
}

const REQ_SEARCH: &str = "<search> [{if | unless} <cond>]";
const REQ_REPLACE: &str = "<search> <string> [{if | unless} <cond>]";

/// The table.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "block",
        sections: Sections::FRONTEND.or(Sections::BACKEND),
        syntax: "block { if | unless } <condition>",
        doc: "refuses requests with 403, before all other rules",
        status: Status::Legacy { modern: "http-request deny { if | unless } <condition>" },
        parse: block,
    },
    Keyword {
        name: "redirect",
        sections: Sections::FRONTEND.or(Sections::BACKEND),
        syntax: "redirect { location <loc> | prefix <pfx> | scheme <sch> } [code <code>] <option>... [{if | unless} <condition>]",
        doc: "answers with a redirection, after all other request rules",
        status: Status::Full,
        parse: parse_redirect,
    },
    old("reqadd", "<string> [{if | unless} <cond>]", "http-request add-header <name> <value>", |cx| {
        add(cx, false)
    }),
    old("rspadd", "<string> [{if | unless} <cond>]", "http-response add-header <name> <value>", |cx| {
        add(cx, true)
    }),
    old("reqdel", REQ_SEARCH, "http-request del-header <name>", |cx| search(cx, false, false, Do::Delete)),
    old("reqidel", REQ_SEARCH, "http-request del-header <name>", |cx| search(cx, false, true, Do::Delete)),
    old("rspdel", REQ_SEARCH, "http-response del-header <name>", |cx| search(cx, true, false, Do::Delete)),
    old("rspidel", REQ_SEARCH, "http-response del-header <name>", |cx| search(cx, true, true, Do::Delete)),
    old("reqrep", REQ_REPLACE, "http-request replace-path or replace-header", |cx| replace(cx, false, false)),
    old("reqirep", REQ_REPLACE, "http-request replace-path or replace-header", |cx| replace(cx, false, true)),
    old("rsprep", REQ_REPLACE, "http-response replace-header", |cx| replace(cx, true, false)),
    old("rspirep", REQ_REPLACE, "http-response replace-header", |cx| replace(cx, true, true)),
    old("reqdeny", REQ_SEARCH, "http-request deny if ...", |cx| search(cx, false, false, Do::Deny)),
    old("reqideny", REQ_SEARCH, "http-request deny if ...", |cx| search(cx, false, true, Do::Deny)),
    old("rspdeny", REQ_SEARCH, "http-response deny if ...", |cx| search(cx, true, false, Do::Deny)),
    old("rspideny", REQ_SEARCH, "http-response deny if ...", |cx| search(cx, true, true, Do::Deny)),
    old("reqallow", REQ_SEARCH, "http-request allow if ...", |cx| search(cx, false, false, Do::Allow)),
    old("reqiallow", REQ_SEARCH, "http-request allow if ...", |cx| search(cx, false, true, Do::Allow)),
    old("reqpass", REQ_SEARCH, "http-request allow if ...", |cx| search(cx, false, false, Do::Allow)),
    old("reqipass", REQ_SEARCH, "http-request allow if ...", |cx| search(cx, false, true, Do::Allow)),
    old("reqtarpit", REQ_SEARCH, "http-request tarpit if ...", |cx| search(cx, false, false, Do::Tarpit)),
    old("reqitarpit", REQ_SEARCH, "http-request tarpit if ...", |cx| search(cx, false, true, Do::Tarpit)),
];

fn push(cx: &mut ParseCx<'_>, response: bool, rank: Rank, act: Box<dyn Act>, condition: Option<Condition>) {
    let (origin, owner) = (origin(cx), cx.section.loc);
    let rules = cx.section.feature::<ProxyRules>();
    let set = if response { &mut rules.http_response } else { &mut rules.http_request };
    set.push(Rule { act, condition, origin, owner, rank });
}

fn place(response: bool) -> Place {
    if response { Place::HTTP_RESPONSE } else { Place::HTTP_REQUEST }
}

fn block(cx: &mut ParseCx<'_>) {
    let condition = Condition::parse_tail(cx, Place::HTTP_REQUEST);
    check_order(cx, 4, "block");
    match condition {
        Some(Some(c)) => push(cx, false, Rank::Block, super::actions::denial(403, false), Some(c)),
        Some(None) => {
            let loc = cx.end_loc();
            cx.error(loc, "'block' expects 'if' or 'unless' and a condition");
        }
        None => {}
    }
}

fn parse_redirect(cx: &mut ParseCx<'_>) {
    check_order(cx, 7, "redirect");
    let (words, loc) = (cx.rest(), cx.dir.loc);
    let mut ex = ExprCx::of(cx, Place::HTTP_REQUEST);
    let mut action = ActionCx {
        ex: &mut ex,
        set: Sets::HTTP_REQ,
        what: "redirect".to_owned(),
        paren: None,
        words,
        pos: 0,
        loc,
    };
    let Some(act) = redirect::parse(&mut action, false) else { return };
    let pos = action.pos;
    if let Some(condition) = Condition::parse_optional(&mut ex, &words[pos..]) {
        let (origin, owner) = (origin(cx), cx.section.loc);
        let rules = cx.section.feature::<ProxyRules>();
        rules.redirect.push(Rule { act, condition, origin, owner, rank: Rank::Normal });
    }
}

/// What a search does with a line that matches.
#[derive(Clone, Copy, PartialEq)]
enum Do {
    Delete,
    Deny,
    Tarpit,
    Allow,
}

fn regex(cx: &mut ParseCx<'_>, ignore_case: bool) -> Option<Regex> {
    let w = cx.expect("a regular expression")?;
    match Regex::new(&w.bytes, ignore_case) {
        Ok(r) => Some(r),
        Err(e) => {
            cx.error(w.loc, e);
            None
        }
    }
}

fn search(cx: &mut ParseCx<'_>, response: bool, ignore_case: bool, act: Do) {
    let Some(regex) = regex(cx, ignore_case) else { return };
    let Some(condition) = Condition::parse_tail(cx, place(response)) else { return };
    check_order(cx, if response { 0 } else { 6 }, "req* rule");
    let status = if response { 502 } else { 403 };
    let then = match act {
        Do::Deny => Some(super::actions::denial(status, false)),
        Do::Tarpit => Some(super::actions::denial(500, true)),
        Do::Delete | Do::Allow => None,
    };
    push(cx, response, Rank::Legacy, Box::new(Search { regex, response, act, then }), condition);
}

fn replace(cx: &mut ParseCx<'_>, response: bool, ignore_case: bool) {
    let Some(regex) = regex(cx, ignore_case) else { return };
    let Some(template) = cx.expect("a replacement") else { return };
    let template = template.bytes.clone();
    let Some(condition) = Condition::parse_tail(cx, place(response)) else { return };
    check_order(cx, if response { 0 } else { 6 }, "req* rule");
    push(cx, response, Rank::Legacy, Box::new(Replace { regex, response, template }), condition);
}

fn add(cx: &mut ParseCx<'_>, response: bool) {
    let Some(w) = cx.expect("a header line") else { return };
    let Some((name, value)) = field_of(&w.bytes) else {
        let message = format!("'{}' is no header line: '<name>: <value>' is expected", w.text());
        cx.error(w.loc, message).help("put a backslash in front of spaces, or quotes around the line");
        return;
    };
    let act = Add { response, name: name.to_vec(), value: value.to_vec() };
    let Some(condition) = Condition::parse_tail(cx, place(response)) else { return };
    check_order(cx, if response { 0 } else { 6 }, "req* rule");
    push(cx, response, Rank::Legacy, Box::new(act), condition);
}

/// Name and value of a header line.
fn field_of(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    (token::is_token(name) && !value.iter().any(|c| matches!(c, b'\r' | b'\n' | 0))).then_some((name, value))
}

fn is_framing(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
}

fn fields(cx: &mut dyn MessageCx, response: bool) -> Option<&mut Fields> {
    if response { cx.response_mut().map(|r| &mut r.fields) } else { cx.request_mut().map(|r| &mut r.fields) }
}

/// The request line or status line as it stands now.
fn start_line(cx: &dyn MessageCx, response: bool, out: &mut Vec<u8>) -> Option<()> {
    use std::io::Write;
    if response {
        let r = cx.ctx().response()?;
        let (v, reason) = (r.version(), r.reason());
        write!(out, "HTTP/{}.{} {} ", v.major, v.minor, r.status()).ok()?;
        out.extend_from_slice(reason);
    } else {
        let r = cx.ctx().request()?;
        let v = r.version();
        for part in [r.method_token(), b" ", r.target()] {
            out.extend_from_slice(part);
        }
        write!(out, " HTTP/{}.{}", v.major, v.minor).ok()?;
    }
    Some(())
}

/// `name: value` of each field, with its index; stops when `f` returns true, and says whether it did.
fn any_line(fields: &Fields, mut f: impl FnMut(usize, &[u8]) -> bool) -> bool {
    let mut line = Scratch::new();
    fields.entries().any(|x| {
        let v = line.vec();
        v.clear();
        for part in [x.name, b": ", x.value] {
            v.extend_from_slice(part);
        }
        f(x.index, &line)
    })
}

struct Search {
    regex: Regex,
    response: bool,
    act: Do,
    then: Option<Box<dyn Act>>,
}

impl Act for Search {
    fn run<'r>(&'r self, cx: &mut dyn MessageCx) -> Step<'r> {
        if self.act == Do::Delete {
            self.delete(cx);
            return Step::Next;
        }
        let mut start = Scratch::new();
        let hit = start_line(cx, self.response, start.vec()).is_some() && self.regex.is_match(&start);
        let hit = hit
            || fields(cx, self.response).is_some_and(|f| any_line(f, |_, line| self.regex.is_match(line)));
        match (&self.then, hit) {
            (_, false) => Step::Next,
            (Some(act), true) => act.run(cx),
            (None, true) => Step::End(Verdict::Allow),
        }
    }
}

impl Search {
    fn delete(&self, cx: &mut dyn MessageCx) {
        let Some(f) = fields(cx, self.response) else { return };
        let mut line = Scratch::new();
        f.remove_if(|x| {
            let v = line.vec();
            v.clear();
            for part in [x.name, b": ", x.value] {
                v.extend_from_slice(part);
            }
            !is_framing(x.name) && self.regex.is_match(&line)
        });
    }
}

struct Add {
    response: bool,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Act for Add {
    fn run<'r>(&'r self, cx: &mut dyn MessageCx) -> Step<'r> {
        if let Some(f) = fields(cx, self.response).filter(|_| !is_framing(&self.name)) {
            f.add(&self.name, &self.value);
        }
        Step::Next
    }
}

struct Replace {
    regex: Regex,
    response: bool,
    template: Vec<u8>,
}

impl Act for Replace {
    fn run<'r>(&'r self, cx: &mut dyn MessageCx) -> Step<'r> {
        self.start(cx);
        let Some(f) = fields(cx, self.response) else { return Step::Next };
        let mut changes: SmallVec<[(usize, Scratch); 4]> = SmallVec::new();
        any_line(f, |index, line| {
            if let Some(groups) = self.regex.groups(line) {
                let mut out = Scratch::new();
                // Only the matching part is replaced; the rest of the line stays.
                let whole = groups.range(0);
                out.vec().extend_from_slice(&line[..whole.start]);
                expand(&self.template, &groups, out.vec());
                out.vec().extend_from_slice(&line[whole.end..]);
                changes.push((index, out));
            }
            false
        });
        for (index, line) in &changes {
            let Some((name, value)) = field_of(line).filter(|(n, _)| !is_framing(n)) else { continue };
            let same = f.entries().any(|x| x.index == *index && x.name.eq_ignore_ascii_case(name));
            if same {
                f.set_value_at(*index, value);
            } else {
                f.remove_at(*index);
                f.add(name, value);
            }
        }
        Step::Next
    }
}

impl Replace {
    /// The start line: its method, target or status may change, its version not.
    fn start(&self, cx: &mut dyn MessageCx) {
        let mut old = Scratch::new();
        if start_line(cx, self.response, old.vec()).is_none() {
            return;
        }
        let mut new = Scratch::new();
        if !self.regex.replace(&old, &self.template, false, usize::MAX, new.vec()) {
            return;
        }
        let mut words = new.splitn(3, |c| *c == b' ');
        let (Some(first), Some(second)) = (words.next(), words.next()) else { return };
        if self.response {
            let status = std::str::from_utf8(second)
                .ok()
                .and_then(|s| s.parse().ok())
                .filter(|s| (100..1000).contains(s));
            if let (Some(r), Some(status)) = (cx.response_mut(), status) {
                r.set_status(status, words.next());
            }
            return;
        }
        let good =
            token::is_token(first) && !second.is_empty() && second.iter().all(|c| token::is_target_byte(*c));
        if let Some(r) = cx.request_mut().filter(|_| good) {
            r.set_method(first);
            r.set_target(second);
        }
    }
}
