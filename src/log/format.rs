//! Log-format strings: compiled once, rendered without allocating.

use crate::config::{Loc, Word};
use crate::sample::{Expr, ExprCx, Needs, Place};

use super::var::{self, Var};

/// From which moment of an exchange on a format can be rendered completely. A line is written at the first
/// moment at which its format is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// As soon as the connection is accepted; in HTTP mode, when there is a request.
    #[default]
    Accept,
    /// The request's headers are there.
    Request,
    /// The server connection is established.
    Connect,
    /// The response's headers are there.
    Response,
    /// The exchange has ended.
    Close,
}

/// What a format is used for: decides on spaces, empty values and escaping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    /// `log-format`, `error-log-format`: runs of spaces are merged, what is missing is `-`.
    #[default]
    Log,
    /// `log-format-sd`.
    StructuredData,
    /// `unique-id-format`: spaces are merged, what is missing is left out.
    UniqueId,
    /// Header values, redirect targets, names of backends: spaces stay, what is missing is left out,
    /// control bytes become `%XX`.
    Http,
    /// Fields of binary protocols: like `Http`, but bytes stay what they are.
    Bytes,
}

impl Usage {
    fn merges_spaces(self) -> bool {
        !matches!(self, Usage::Http | Usage::Bytes)
    }

    /// True when a missing value is printed as `-`.
    pub(super) fn dash(self) -> bool {
        matches!(self, Usage::Log | Usage::StructuredData)
    }
}

/// Flags of an item: a bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(pub u8);

impl Flags {
    pub const QUOTE: Flags = Flags(1);
    pub const HEX: Flags = Flags(2);
    pub const ESC: Flags = Flags(4);
    pub const BIN: Flags = Flags(8);
    pub const JSON: Flags = Flags(0x10);
    pub const CBOR: Flags = Flags(0x20);

    pub fn has(self, f: Flags) -> bool {
        self.0 & f.0 != 0
    }

    fn parse(name: &[u8]) -> Option<Flags> {
        Some(match name {
            b"Q" => Flags::QUOTE,
            b"X" => Flags::HEX,
            b"E" => Flags::ESC,
            b"bin" => Flags::BIN,
            b"json" => Flags::JSON,
            b"cbor" => Flags::CBOR,
            _ => return None,
        })
    }
}

/// Forced type of a named item (`%(name:type)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemType {
    Str,
    Int,
    Bool,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Var(Var),
    Expr(Expr),
}

/// One part of a format.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// Text without spaces (with spaces where they are not merged).
    Text(Vec<u8>),
    /// One space, unless nothing was printed since the last one.
    Space,
    /// A value.
    Value { what: What, flags: Flags, name: Option<String>, ty: Option<ItemType> },
}

/// A compiled log-format string.
#[derive(Clone, Debug, Default)]
pub struct LogFormat {
    pub(super) items: Vec<Item>,
    pub(super) usage: Usage,
    /// Global `json` or `cbor`: the line is one object of the named items.
    pub(super) global: Flags,
    complete_at: Step,
    http_only: Option<(&'static str, Loc)>,
}

impl LogFormat {
    /// Compile `word`. `cx.place` says which fetches are allowed. `None` after errors were reported.
    pub fn parse(cx: &mut ExprCx<'_>, word: &Word, usage: Usage) -> Option<LogFormat> {
        let mut p = Parser::new(cx, word, usage);
        p.run().then_some(p.format)
    }

    /// A format that is text only.
    pub fn text(text: &[u8]) -> LogFormat {
        LogFormat { items: vec![Item::Text(text.to_vec())], usage: Usage::Http, ..LogFormat::default() }
    }

    /// A built-in format; `text` is known to be right.
    pub(super) fn built_in(parts: Vec<Item>, complete_at: Step) -> LogFormat {
        LogFormat { items: parts, usage: Usage::Log, complete_at, ..LogFormat::default() }
    }

    /// When the line can be written. In HTTP mode [`Step::Accept`] means "with the request".
    pub fn complete_at(&self) -> Step {
        self.complete_at
    }

    /// The whole value, when the format has no variable part: saves the rendering.
    pub fn constant(&self) -> Option<&[u8]> {
        match self.items.as_slice() {
            [] => Some(b""),
            [Item::Text(t)] => Some(t),
            _ => None,
        }
    }

    /// Whether the format shows our own address of the client connection, and of the server connection: each
    /// costs the stream a system call.
    pub fn wants_addresses(&self) -> (bool, bool) {
        let shows = |vars: [Var; 2]| {
            self.items.iter().any(|i| matches!(i, Item::Value { what: What::Var(v), .. } if vars.contains(v)))
        };
        (shows([Var::FrontendIp, Var::FrontendPort]), shows([Var::BackendIp, Var::BackendPort]))
    }

    /// The first variable that exists in HTTP mode only, and its place.
    pub fn http_only(&self) -> Option<(&'static str, Loc)> {
        self.http_only
    }

    /// The expressions inside, for checks of where they are used.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.items.iter().filter_map(|i| match i {
            Item::Value { what: What::Expr(e), .. } => Some(e),
            _ => None,
        })
    }
}

/// The moment from which on what `needs` names is final.
fn known_at(needs: Needs) -> Step {
    if needs.has(Needs::TXN_END.or(Needs::SESSION_END)) {
        Step::Close
    } else if needs.has(Needs::RES_PAYLOAD.or(Needs::RES_HEAD).or(Needs::RES_LINE).or(Needs::RES_BODY)) {
        Step::Response
    } else if needs.has(Needs::SERVER.or(Needs::SERVER_CONN).or(Needs::BACKEND)) {
        Step::Connect
    } else if needs.has(Needs::REQ_PAYLOAD.or(Needs::REQ_HEAD).or(Needs::REQ_LINE).or(Needs::REQ_BODY)) {
        Step::Request
    } else {
        Step::Accept
    }
}

struct Parser<'a, 'c> {
    cx: &'a mut ExprCx<'c>,
    word: &'a Word,
    at: usize,
    text: Vec<u8>,
    global: Flags,
    format: LogFormat,
    ok: bool,
}

impl<'a, 'c> Parser<'a, 'c> {
    fn new(cx: &'a mut ExprCx<'c>, word: &'a Word, usage: Usage) -> Self {
        let format = LogFormat { usage, ..LogFormat::default() };
        Parser { cx, word, at: 0, text: Vec::new(), global: Flags::default(), format, ok: true }
    }

    fn run(&mut self) -> bool {
        while let Some(&c) = self.word.bytes.get(self.at) {
            match c {
                b'%' => {
                    let start = self.at;
                    if self.item().is_none() {
                        self.ok = false;
                        self.at = self.at.max(start + 1);
                    }
                }
                b' ' if self.format.usage.merges_spaces() => {
                    self.flush_text();
                    if !matches!(self.format.items.last(), Some(Item::Space)) {
                        self.format.items.push(Item::Space);
                    }
                    self.at += 1;
                }
                c => {
                    self.text.push(c);
                    self.at += 1;
                }
            }
        }
        self.flush_text();
        self.format.global = self.global;
        self.ok
    }

    fn flush_text(&mut self) {
        if !self.text.is_empty() {
            self.format.items.push(Item::Text(std::mem::take(&mut self.text)));
        }
    }

    fn error(&mut self, at: usize, len: usize, message: String) -> &mut crate::config::Diagnostic {
        let message = format!("{}: {message}", self.cx.place.name);
        self.cx.diags.error(self.word.sub(at, len), message)
    }

    /// The item that starts at the `%` under the cursor. `None` after an error.
    fn item(&mut self) -> Option<()> {
        let start = self.at;
        self.at += 1;
        match self.word.bytes.get(self.at) {
            None => {
                self.error(start, 1, "nothing follows '%'".into()).help("write '%%' for a percent sign");
                return None;
            }
            Some(b'%') => {
                self.text.push(b'%');
                self.at += 1;
                return Some(());
            }
            Some(_) => {}
        }
        let (name, ty) = self.item_name()?;
        let flags = self.flags(start)?;
        match self.word.bytes.get(self.at) {
            Some(b'[') => self.expression(start, name, ty, flags),
            Some(c) if c.is_ascii_alphanumeric() => self.variable(start, name, ty, flags),
            _ if self.at == start + 1 => {
                // The reference drops such a '%' without a word. A format that was accepted there must not fail
                // here, but the author meant something.
                let c = char::from(self.word.bytes[self.at]);
                let loc = self.word.sub(start, 2);
                let place = self.cx.place.name;
                self.cx
                    .diags
                    .warning(loc, format!("{place}: '%' in front of '{c}' is dropped"))
                    .help("write '%%' for a percent sign");
                Some(())
            }
            _ => {
                let len = self.at - start;
                self.error(start, len, "flags without a variable or an expression behind them".into());
                None
            }
        }
    }

    /// `(name:type)`, if there is one.
    fn item_name(&mut self) -> Option<(Option<String>, Option<ItemType>)> {
        if self.word.bytes.get(self.at) != Some(&b'(') {
            return Some((None, None));
        }
        let start = self.at;
        let Some(end) = self.word.bytes[start..].iter().position(|c| *c == b')').map(|i| start + i) else {
            self.error(start, 1, "missing ')' after the name of the item".into());
            return None;
        };
        let inside = String::from_utf8_lossy(&self.word.bytes[start + 1..end]).into_owned();
        self.at = end + 1;
        let (name, ty) = match inside.split_once(':') {
            Some((n, t)) => (n.to_owned(), Some(t.to_owned())),
            None => (inside, None),
        };
        let ty = match ty.as_deref() {
            None => None,
            Some("str") => Some(ItemType::Str),
            Some("sint") => Some(ItemType::Int),
            Some("bool") => Some(ItemType::Bool),
            Some(other) => {
                let message = format!("unknown item type '{other}'");
                self.error(start, end - start + 1, message).help("one of: str, sint, bool");
                return None;
            }
        };
        Some(((!name.is_empty()).then_some(name), ty))
    }

    /// `{+Q,-E}`, if there is one: the flags of this item.
    fn flags(&mut self, item: usize) -> Option<Flags> {
        let mut flags = self.global;
        // Encoders set for the whole line do not encode each item again.
        if self.word.bytes.get(self.at) != Some(&b'{') {
            return Some(flags);
        }
        let open = self.at;
        let Some(end) = self.word.bytes[open..].iter().position(|c| *c == b'}').map(|i| open + i) else {
            let len = self.word.bytes.len() - item;
            self.error(item, len, "missing '}' after the flags".into());
            return None;
        };
        let mut at = open + 1;
        while at < end {
            let c = self.word.bytes[at];
            if !matches!(c, b'+' | b'-') {
                let len = self.word.bytes[at..end]
                    .iter()
                    .position(|c| matches!(c, b'+' | b'-' | b','))
                    .unwrap_or(end - at);
                let shown = String::from_utf8_lossy(&self.word.bytes[at..at + len]).into_owned();
                if !shown.trim().is_empty() {
                    let (place, loc) = (self.cx.place.name, self.word.sub(at, len));
                    let message = format!("{place}: flag '{shown}' has no effect without '+' or '-'");
                    self.cx.diags.warning(loc, message);
                }
                at += len.max(1);
                continue;
            }
            let stop = self.word.bytes[at + 1..end]
                .iter()
                .position(|c| matches!(c, b'+' | b'-' | b',' | b' '))
                .map_or(end, |i| at + 1 + i);
            match Flags::parse(&self.word.bytes[at + 1..stop]) {
                Some(f) if c == b'+' => flags.0 |= f.0,
                Some(f) => flags.0 &= !f.0,
                None => {
                    let shown = String::from_utf8_lossy(&self.word.bytes[at..stop]).into_owned();
                    let (place, loc) = (self.cx.place.name, self.word.sub(at, stop - at));
                    let message = format!("{place}: unknown flag '{shown}' has no effect");
                    self.cx.diags.warning(loc, message).help("flags are Q, X, E, bin, json, cbor");
                }
            }
            at = stop;
        }
        self.at = end + 1;
        Some(flags)
    }

    fn variable(
        &mut self,
        start: usize,
        name: Option<String>,
        ty: Option<ItemType>,
        flags: Flags,
    ) -> Option<()> {
        let from = self.at;
        let len = self.word.bytes[from..].iter().position(|c| !c.is_ascii_alphanumeric());
        let end = len.map_or(self.word.bytes.len(), |l| from + l);
        self.at = end;
        let written = String::from_utf8_lossy(&self.word.bytes[from..end]).into_owned();
        if written == "o" {
            self.global = flags;
            return Some(());
        }
        let mut entry = var::find(&written);
        if entry.is_none()
            && let Some((_, new)) = var::OLD_NAMES.iter().find(|(old, _)| *old == written)
        {
            let loc = self.word.sub(start, end - start);
            let place = self.cx.place.name;
            self.cx
                .diags
                .warning(loc, format!("{place}: variable '%{written}' is an old name"))
                .help(format!("write '%{new}'"));
            entry = var::find(new);
        }
        let Some(entry) = entry else {
            let near = var::near(&written).map(str::to_owned);
            let d = self.error(from, end - from, format!("no such format variable '{written}'"));
            d.help(match near {
                Some(n) => format!("did you mean '%{n}'? A percent sign is written '%%'"),
                None => "a percent sign is written '%%'".to_owned(),
            });
            return None;
        };
        if entry.http && self.format.http_only.is_none() {
            self.format.http_only = Some((entry.name, self.word.sub(start, end - start)));
        }
        self.push(What::Var(entry.var), entry.known, flags, name, ty);
        Some(())
    }

    fn expression(
        &mut self,
        start: usize,
        name: Option<String>,
        ty: Option<ItemType>,
        flags: Flags,
    ) -> Option<()> {
        let from = self.at + 1;
        let bytes = self.word.bytes.get(from..).unwrap_or_default();
        let close = || {
            self.word.bytes[from..]
                .iter()
                .position(|c| *c == b']')
                .map_or(self.word.bytes.len(), |i| from + i + 1)
        };
        let Some((expr, used)) = Expr::parse_prefix(self.cx, bytes, self.word.sub(from, bytes.len().max(1)))
        else {
            self.at = close();
            return None;
        };
        if self.word.bytes.get(from + used) != Some(&b']') {
            let message = format!("missing ']' after '{}'", expr.text());
            self.at = close();
            self.error(start, from + used - start, message);
            return None;
        }
        self.at = from + used + 1;
        let known = known_at(expr.fetch().needs);
        self.push(What::Expr(expr), known, flags, name, ty);
        Some(())
    }

    fn push(&mut self, what: What, known: Step, flags: Flags, name: Option<String>, ty: Option<ItemType>) {
        self.flush_text();
        self.format.complete_at = self.format.complete_at.max(known);
        self.format.items.push(Item::Value { what, flags, name, ty });
    }
}

/// The place of a format of this usage.
pub(super) fn place_of(usage: Usage) -> Place {
    match usage {
        Usage::UniqueId => Place::UNIQUE_ID,
        _ => Place::LOG,
    }
}
