//! `deny`, `tarpit`, `return`, `auth`: actions that answer. Manual: "http-request return".

use std::sync::Arc;

use crate::config::Word;
use crate::http1::pages::{STATUSES, StoredResponse};
use crate::log::{LogFormat, Usage};
use crate::rules::action::{Act, Action, ActionCx, Parsed, Sets, Step};
use crate::rules::{Answer, AnswerBody, MessageCx, PageRef, ProxyRules, Verdict};

const BOTH: Sets = Sets::HTTP_REQ.or(Sets::HTTP_RES);
const SYNTAX: &str = "[status <code>] [content-type <type>] [default-errorfiles | errorfile <file> | \
     errorfiles <name> | file <file> | lf-file <file> | string <str> | lf-string <fmt>] [hdr <name> <fmt>]*";

/// The table.
pub const ACTIONS: &[Action] = &[
    Action::new("deny", BOTH, SYNTAX, deny).doc("ends the rules and refuses: 403, 502 for responses"),
    Action::new("tarpit", Sets::HTTP_REQ, SYNTAX, |cx| {
        answering(cx, 500, AnswerBody::ErrorPage, Kind::Tarpit)
    })
    .doc("refuses after 'timeout tarpit'"),
    Action::new("return", BOTH, SYNTAX, |cx| answering(cx, 200, AnswerBody::Empty, Kind::Return))
        .doc("ends the rules and answers"),
    Action::new("auth", Sets::HTTP_REQ, "auth [realm <realm>]", auth).doc("asks for credentials"),
];

#[derive(Clone, Copy)]
enum Kind {
    Deny,
    Tarpit,
    Return,
}

struct Answering {
    kind: Kind,
    answer: Answer,
}

impl Act for Answering {
    fn run<'r>(&'r self, _: &mut dyn MessageCx) -> Step<'r> {
        Step::End(match self.kind {
            Kind::Deny => Verdict::Deny(&self.answer),
            Kind::Tarpit => Verdict::Tarpit(&self.answer),
            Kind::Return => Verdict::Return(&self.answer),
        })
    }
}

/// `deny` without anything else, for `block` and the 1.x rules.
pub(in crate::rules) fn denial(status: u16, tarpit: bool) -> Box<dyn Act> {
    let kind = if tarpit { Kind::Tarpit } else { Kind::Deny };
    Box::new(Answering { kind, answer: Answer::page(status) })
}

fn deny(cx: &mut ActionCx<'_, '_>) -> Parsed {
    let status = if cx.set == Sets::HTTP_RES { 502 } else { 403 };
    answering(cx, status, AnswerBody::ErrorPage, Kind::Deny)
}

fn answering(cx: &mut ActionCx<'_, '_>, status: u16, body: AnswerBody, kind: Kind) -> Parsed {
    let answer = parse_answer(cx, status, body)?;
    Some(Box::new(Answering { kind, answer }))
}

/// The description of an answer; `status` and `body` are what it is without one.
pub(in crate::rules) fn parse_answer(
    cx: &mut ActionCx<'_, '_>,
    status: u16,
    body: AnswerBody,
) -> Option<Answer> {
    let mut answer = Answer { body, ..Answer::page(status) };
    let mut has_body = false;
    while let Some(w) = cx.peek() {
        cx.pos += 1;
        match w.bytes.as_slice() {
            b"status" | b"deny_status" => answer.status = status_code(cx, w)?,
            b"content-type" => answer.content_type = Some(cx.arg("a content type")?.bytes.clone()),
            b"hdr" => {
                let name = cx.arg("a header name")?.bytes.clone();
                answer.headers.push((name, cx.format("a header value")?));
            }
            _ => {
                if std::mem::replace(&mut has_body, true) {
                    return cx.error(w.loc, "the answer's content was already given");
                }
                answer.body = self::body(cx, w)?;
            }
        }
    }
    check(cx, &answer)?;
    if let AnswerBody::Section(page) = &answer.body {
        // The status may follow the name.
        let page = PageRef::new(page.section.clone(), answer.status, page.loc);
        cx.ex.section.feature::<ProxyRules>().pages.push(page.clone());
        answer.body = AnswerBody::Section(page);
    }
    Some(answer)
}

fn status_code(cx: &mut ActionCx<'_, '_>, at: &Word) -> Option<u16> {
    let what = at.text().into_owned();
    cx.int(&format!("'{what}': a status code"), 200, 599).and_then(|s| u16::try_from(s).ok())
}

fn body(cx: &mut ActionCx<'_, '_>, keyword: &Word) -> Option<AnswerBody> {
    Some(match keyword.bytes.as_slice() {
        b"default-errorfiles" => AnswerBody::ErrorPage,
        b"errorfiles" => {
            let name = cx.arg("the name of an http-errors section")?;
            AnswerBody::Section(PageRef::new(name.text().into_owned(), 0, name.loc))
        }
        b"errorfile" => {
            let file = cx.arg("a file name")?;
            let bytes = read(cx, file)?;
            if bytes.is_empty() {
                return Some(AnswerBody::Silence);
            }
            match StoredResponse::from_file(&bytes, usize::MAX, 0) {
                Ok(page) => AnswerBody::Stored(Arc::new(page)),
                Err(e) => return cx.error(file.loc, format_args!("'{}': {e}", file.text())),
            }
        }
        b"file" => {
            let file = cx.arg("a file name")?;
            AnswerBody::Bytes(read(cx, file)?)
        }
        b"lf-file" => {
            let file = cx.arg("a file name")?;
            let bytes = read(cx, file)?;
            let word = Word { bytes, loc: file.loc };
            AnswerBody::Format(LogFormat::parse(cx.ex, &word, Usage::Http)?)
        }
        b"string" => AnswerBody::Bytes(cx.arg("a string")?.bytes.clone()),
        b"lf-string" => AnswerBody::Format(cx.format("a log-format string")?),
        _ => {
            let (loc, text) = (keyword.loc, keyword.text());
            cx.ex
                .diags
                .error(loc, format!("'{}' does not know '{text}'", cx.what))
                .help("known are status, content-type, default-errorfiles, errorfile, errorfiles, file, lf-file, string, lf-string, hdr");
            return None;
        }
    })
}

fn read(cx: &mut ActionCx<'_, '_>, file: &Word) -> Option<Vec<u8>> {
    let name = file.text();
    let path = match &cx.ex.state.base_dir {
        Some(base) => base.join(name.as_ref()),
        None => name.as_ref().into(),
    };
    match std::fs::read(&path) {
        Ok(b) => Some(b),
        Err(e) => cx.error(file.loc, format_args!("cannot read '{name}': {e}")),
    }
}

fn check(cx: &mut ActionCx<'_, '_>, a: &Answer) -> Option<()> {
    let loc = cx.loc;
    match &a.body {
        AnswerBody::ErrorPage | AnswerBody::Stored(_) | AnswerBody::Section(_) | AnswerBody::Silence => {
            if !STATUSES.contains(&a.status) {
                let list = STATUSES.map(|s| s.to_string()).join(", ");
                return cx.error(
                    loc,
                    format_args!("there is no error page for status {}; there is for {list}", a.status),
                );
            }
        }
        AnswerBody::Bytes(b) if b.is_empty() => {}
        AnswerBody::Bytes(_) | AnswerBody::Format(_) => {
            if a.content_type.is_none() {
                return cx.error(loc, "a body needs its 'content-type'");
            }
        }
        AnswerBody::Empty => {}
    }
    let carries = matches!(&a.body, AnswerBody::Bytes(_) | AnswerBody::Format(_));
    if a.content_type.is_some() && !carries {
        cx.ex.diags.warning(loc, "'content-type' has no effect: the answer has no content of its own");
    }
    Some(())
}

struct Auth(Vec<u8>);

impl Act for Auth {
    fn run<'r>(&'r self, _: &mut dyn MessageCx) -> Step<'r> {
        Step::End(Verdict::Auth { realm: &self.0 })
    }
}

fn auth(cx: &mut ActionCx<'_, '_>) -> Parsed {
    let realm = if cx.accept("realm") {
        cx.arg("a realm")?.bytes.clone()
    } else {
        // HAProxy's default: the proxy's name.
        cx.ex.section.name.clone().into_bytes()
    };
    // Quotes would end the value in the header.
    let realm = realm.into_iter().filter(|c| !matches!(c, b'"' | b'\\')).collect();
    Some(Box::new(Auth(realm)))
}
