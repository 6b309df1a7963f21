//! The shape of an action: one table entry and a function.
//!
//! # Adding an action
//!
//! An action that changes the message or the stream and lets the evaluation go on:
//!
//! ```text
//! fn set_method(cx: &mut ActionCx<'_, '_>) -> Parsed {
//!     let method = cx.format("a method")?;                    // a log-format string
//!     effect(move |cx| {
//!         let mut out = Scratch::new();
//!         cx.render(&method, out.vec());
//!         if let Some(r) = cx.request_mut() {
//!             r.set_method(&out);
//!         }
//!     })
//! }
//! // in the ACTIONS table of its file:
//! Action::new("set-method", Sets::HTTP_REQ, "set-method <fmt>", set_method).doc("changes the method")
//! ```
//! One that ends or delays the evaluation implements [`Act`] and returns [`Step::End`] with a verdict.

use crate::config::{Entry, Loc, Status, Word};
use crate::log::{LogFormat, Usage};
use crate::sample::{Expr, ExprCx, Place};

use super::{MessageCx, Verdict};

/// Rule sets: a bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sets(pub u32);

#[allow(missing_docs)]
impl Sets {
    pub const TCP_CONN: Sets = Sets(1);
    pub const TCP_SESS: Sets = Sets(2);
    pub const TCP_REQ: Sets = Sets(4);
    pub const TCP_RES: Sets = Sets(8);
    pub const HTTP_REQ: Sets = Sets(0x10);
    pub const HTTP_RES: Sets = Sets(0x20);
    pub const HTTP_AFTER: Sets = Sets(0x40);
    pub const ANY: Sets = Sets(0x7f);
    pub const HTTP: Sets = Sets(0x70);
    pub const TCP: Sets = Sets(0x0f);
    /// Wherever the request is at hand.
    pub const CONTENT: Sets = Sets(4 | 8 | 0x70);

    pub const fn or(self, o: Sets) -> Sets {
        Sets(self.0 | o.0)
    }
    pub const fn has(self, o: Sets) -> bool {
        self.0 & o.0 != 0
    }
    /// The keyword of one set.
    pub fn keyword(self) -> &'static str {
        match self {
            Sets::TCP_CONN => "tcp-request connection",
            Sets::TCP_SESS => "tcp-request session",
            Sets::TCP_REQ => "tcp-request content",
            Sets::TCP_RES => "tcp-response content",
            Sets::HTTP_REQ => "http-request",
            Sets::HTTP_RES => "http-response",
            _ => "http-after-response",
        }
    }
    /// What is available to its rules.
    pub fn place(self) -> Place {
        match self {
            Sets::TCP_CONN => Place::TCP_CONNECTION,
            Sets::TCP_SESS => Place::TCP_SESSION,
            Sets::TCP_REQ => Place::TCP_CONTENT,
            Sets::TCP_RES => Place::TCP_RESPONSE,
            Sets::HTTP_REQ => Place::HTTP_REQUEST,
            Sets::HTTP_RES => Place::HTTP_RESPONSE,
            _ => Place::HTTP_AFTER_RESPONSE,
        }
    }
    /// Whether its rules work on the response.
    pub fn is_response(self) -> bool {
        Sets::TCP_RES.or(Sets::HTTP_RES).or(Sets::HTTP_AFTER).has(self)
    }
}

/// What an action wants next.
#[derive(Debug)]
pub enum Step<'r> {
    /// The next rule.
    Next,
    /// The end of this evaluation, or a break in it.
    End(Verdict<'r>),
}

/// A compiled action.
pub trait Act: Send + Sync {
    /// Carry it out.
    fn run<'r>(&'r self, cx: &mut dyn MessageCx) -> Step<'r>;
    /// The field of an `early-hint`: neighbours go out in one response.
    fn hint(&self) -> Option<(&[u8], &LogFormat)> {
        None
    }
}

struct Effect<F>(F);

impl<F: Fn(&mut dyn MessageCx) + Send + Sync> Act for Effect<F> {
    fn run<'r>(&'r self, cx: &mut dyn MessageCx) -> Step<'r> {
        (self.0)(cx);
        Step::Next
    }
}

/// What a parse function gives; `None` after it reported an error.
pub type Parsed = Option<Box<dyn Act>>;

/// An action that lets the evaluation go on.
pub fn effect(f: impl Fn(&mut dyn MessageCx) + Send + Sync + 'static) -> Parsed {
    Some(Box::new(Effect(f)))
}

/// Parses what stands behind the action's name.
pub type ParseAction = fn(&mut ActionCx<'_, '_>) -> Parsed;

/// An action.
pub struct Action {
    /// Name without what stands in parentheses.
    pub name: &'static str,
    /// Where it may stand.
    pub sets: Sets,
    /// Syntax as in the manual.
    pub syntax: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
    /// What it does here.
    pub status: Status,
    /// The parse function.
    pub parse: ParseAction,
}

impl Action {
    /// An action that works.
    pub const fn new(name: &'static str, sets: Sets, syntax: &'static str, parse: ParseAction) -> Action {
        Action { name, sets, syntax, doc: "", status: Status::Full, parse }
    }
    /// An action that is known only.
    pub const fn planned(name: &'static str, sets: Sets, syntax: &'static str) -> Action {
        Action { name, sets, syntax, doc: "not implemented yet", status: Status::Planned, parse: |_| None }
    }
    /// Set the documentation line.
    pub const fn doc(mut self, doc: &'static str) -> Action {
        self.doc = doc;
        self
    }
    /// Accepted, but without effect.
    pub const fn no_effect(mut self, why: &'static str) -> Action {
        self.status = Status::NoEffect { why };
        self
    }
}

impl Entry for Action {
    const KIND: &'static str = "action";
    fn name(&self) -> &'static str {
        self.name
    }
    fn status(&self) -> Status {
        self.status
    }
    fn syntax(&self) -> String {
        self.syntax.to_owned()
    }
    fn doc(&self) -> &'static str {
        self.doc
    }
}

/// What an action's parse function gets: a cursor over the words behind its name.
pub struct ActionCx<'c, 'a> {
    /// For expressions and formats.
    pub ex: &'c mut ExprCx<'a>,
    /// The one set it is parsed for.
    pub set: Sets,
    /// `http-request set-header`, for messages.
    pub what: String,
    /// What stands in parentheses behind the name.
    pub paren: Option<Word>,
    pub(super) words: &'c [Word],
    pub(super) pos: usize,
    pub(super) loc: Loc,
}

impl<'c> ActionCx<'c, '_> {
    /// The next word, unless it begins the condition.
    pub fn peek(&self) -> Option<&'c Word> {
        self.words.get(self.pos).filter(|w| !w.is("if") && !w.is("unless"))
    }

    /// Take the next word if it is `word`.
    pub fn accept(&mut self, word: &str) -> bool {
        let yes = self.peek().is_some_and(|w| w.is(word));
        self.pos += usize::from(yes);
        yes
    }

    /// The next word whatever it is; an error when there is none.
    pub fn arg(&mut self, what: &str) -> Option<&'c Word> {
        match self.words.get(self.pos) {
            Some(w) => {
                self.pos += 1;
                Some(w)
            }
            None => {
                let loc = self.end();
                let message = format!("'{}' expects {what}", self.what);
                self.ex.diags.error(loc, message);
                None
            }
        }
    }

    /// Report an error at a word.
    pub fn error<T>(&mut self, loc: Loc, message: impl std::fmt::Display) -> Option<T> {
        let message = format!("'{}': {message}", self.what);
        self.ex.diags.error(loc, message);
        None
    }

    /// Just behind the last word.
    pub fn end(&self) -> Loc {
        match self.words.last() {
            Some(w) => Loc { col: w.loc.col + w.loc.len, len: 1, ..w.loc },
            None => self.loc,
        }
    }

    /// The next word as a log-format string.
    pub fn format(&mut self, what: &str) -> Option<LogFormat> {
        let w = self.arg(what)?;
        LogFormat::parse(self.ex, w, Usage::Http)
    }

    /// The next words as an expression.
    pub fn expr(&mut self, what: &str) -> Option<Expr> {
        if self.pos >= self.words.len() {
            self.arg(what)?;
        }
        let (e, used) = Expr::parse_words(self.ex, &self.words[self.pos..])?;
        self.pos += used;
        Some(e)
    }

    /// The next word as an integer within bounds.
    pub fn int(&mut self, what: &str, low: i64, high: i64) -> Option<i64> {
        let w = self.arg(what)?;
        match w.text().parse::<i64>() {
            Ok(i) if (low..=high).contains(&i) => Some(i),
            _ => self.error(
                w.loc,
                format_args!("{what} between {low} and {high} is expected, not '{}'", w.text()),
            ),
        }
    }

    /// What stands in parentheses; an error when nothing does.
    pub fn paren(&mut self, what: &str) -> Option<Word> {
        match self.paren.clone() {
            Some(w) if !w.bytes.is_empty() => Some(w),
            _ => {
                let loc = self.loc;
                self.error(loc, format_args!("{what} is expected in parentheses behind the name"))
            }
        }
    }
}
