//! An expression: a fetch and the converters after it, compiled.

use std::sync::Arc;

use crate::config::known;
use crate::config::{Diagnostics, Entry, LoadState, Loc, ParseCx, Section, Tables, Word, suggest};

use super::fetch::payload;
use super::{
    ArgType, Args, Converter, Ctx, Fetch, NameRef, NameRefs, Place, RefKind, Sample, Type, argparse, cast,
};

/// What parsing an expression needs, and where its findings go.
pub struct ExprCx<'a> {
    /// Fetches and converters.
    pub tables: &'a Tables,
    /// Errors.
    pub diags: &'a mut Diagnostics,
    /// The section: names that have to be resolved later are recorded there ([`NameRefs`]).
    pub section: &'a mut Section,
    /// The loader's state: base of relative paths, what is shared by the whole load.
    pub state: &'a mut LoadState,
    /// Where the expression is used.
    pub place: Place,
}

impl<'a> ExprCx<'a> {
    /// From what a keyword's parse function gets.
    pub fn of(cx: &'a mut ParseCx<'_>, place: Place) -> ExprCx<'a> {
        ExprCx { tables: cx.tables, diags: cx.diags, section: cx.section, state: cx.state, place }
    }

    /// Record a name for later resolution.
    pub fn reference(&mut self, kind: RefKind, name: &str, loc: Loc) -> Arc<NameRef> {
        self.section.feature::<NameRefs>().add(kind, name, loc)
    }

    /// The same with another place.
    pub fn at(&mut self, place: Place) -> ExprCx<'_> {
        ExprCx { tables: self.tables, diags: self.diags, section: self.section, state: self.state, place }
    }
}

/// `did you mean 'x'?`, when a known name is near.
pub fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    suggest::closest(name, known).map(|k| format!("did you mean '{k}'?"))
}

/// One converter of an expression.
#[derive(Clone, Debug)]
struct Step {
    converter: &'static Converter,
    args: Args,
}

impl std::fmt::Debug for Converter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A compiled expression. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Expr(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fetch: &'static Fetch,
    args: Args,
    steps: Box<[Step]>,
    text: String,
    loc: Loc,
}

/// The place of `len` bytes at `offset` of a text that stands at `loc`. Exact when it was written without
/// quotes and escapes; the whole text otherwise.
pub(crate) fn loc_at(text: &[u8], loc: Loc, offset: usize, len: usize) -> Loc {
    if loc.len as usize != text.len() || offset > text.len() {
        return loc;
    }
    Loc { col: loc.col + offset as u32, len: len.min(text.len() - offset).max(1) as u32, ..loc }
}

fn is_name_byte(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.' | b'+')
}

fn name_end(text: &[u8], from: usize) -> usize {
    from + text[from..].iter().position(|c| !is_name_byte(*c)).unwrap_or(text.len() - from)
}

impl Expr {
    /// Parse a whole word: `src,ipmask(24)`. `None` after an error was reported.
    pub fn parse(cx: &mut ExprCx<'_>, word: &Word) -> Option<Expr> {
        let (e, used) = Expr::parse_prefix(cx, &word.bytes, word.loc)?;
        if used < word.bytes.len() {
            let rest = String::from_utf8_lossy(&word.bytes[used..]);
            let loc = loc_at(&word.bytes, word.loc, used, word.bytes.len() - used);
            cx.diags.error(loc, format!("unexpected '{rest}' after expression '{}'", e.text()));
            return None;
        }
        Some(e)
    }

    /// Parse the words of an expression whose converters may also follow as words of their own
    /// (`stick on src ipmask(24) table t`). Gives the number of words used; stops at the first word that
    /// is no converter.
    pub fn parse_words(cx: &mut ExprCx<'_>, words: &[Word]) -> Option<(Expr, usize)> {
        let first = words.first()?;
        let mut e = Expr::parse(cx, first)?;
        let mut used = 1;
        while let Some(w) = words.get(used) {
            let name = String::from_utf8_lossy(&w.bytes[..name_end(&w.bytes, 0)]).into_owned();
            if cx.tables.find::<Converter>(&name).is_none() {
                break;
            }
            let (steps, end) = parse_steps(cx, &w.bytes, 0, w.loc, e.out())?;
            if end < w.bytes.len() {
                let loc = loc_at(&w.bytes, w.loc, end, w.bytes.len() - end);
                cx.diags.error(loc, format!("unexpected text after converter '{name}'"));
                return None;
            }
            let text = format!("{},{}", e.text(), w.text());
            let all = e.0.steps.iter().cloned().chain(steps).collect();
            e = Expr(Arc::new(Inner {
                fetch: e.0.fetch,
                args: e.0.args.clone(),
                steps: all,
                text,
                loc: e.0.loc,
            }));
            used += 1;
        }
        Some((e, used))
    }

    /// Parse an expression at the start of `text` and give the number of bytes used: for places where
    /// something else follows (`%[...]` in log formats).
    pub fn parse_prefix(cx: &mut ExprCx<'_>, text: &[u8], loc: Loc) -> Option<(Expr, usize)> {
        let end = name_end(text, 0);
        let name = String::from_utf8_lossy(&text[..end]).into_owned();
        if name.is_empty() {
            cx.diags.error(loc, "a sample fetch is expected here");
            return None;
        }
        let Some(fetch) = cx.tables.find::<Fetch>(&name) else {
            let here = loc_at(text, loc, 0, end);
            if let Some(message) = known::unsupported("fetch", "sample fetch", &name) {
                cx.diags.error(here, message);
                return None;
            }
            let near = did_you_mean(&name, cx.tables.all::<Fetch>().iter().map(|f| f.name));
            let d = cx.diags.error(here, format!("unknown sample fetch '{name}'"));
            if let Some(h) = near {
                d.help(h);
            }
            return None;
        };
        let (e, used) = Expr::with_fetch(cx, fetch, text, end, loc)?;
        if !cx.place.has.has(fetch.needs) {
            cx.diags
                .error(
                    loc_at(text, loc, 0, end),
                    format!(
                        "sample fetch '{}' may not be used in {} because it needs {}, which is not available there",
                        e.text(),
                        cx.place.name,
                        fetch.needs.names()
                    ),
                )
                .help("capture it earlier, for instance with 'http-request set-var(txn.x)', and use 'var(txn.x)' here");
            return None;
        }
        Some((e, used))
    }

    /// Parse arguments and converters of a fetch whose name ends at `at`, without the check of the place
    /// (ACL criteria find their fetch under another name and only warn).
    pub fn with_fetch(
        cx: &mut ExprCx<'_>,
        fetch: &'static Fetch,
        text: &[u8],
        at: usize,
        loc: Loc,
    ) -> Option<(Expr, usize)> {
        let (args, at) = parse_args(cx, Owner::Fetch(fetch), text, at, loc)?;
        let (steps, at) = if text.get(at) == Some(&b',') {
            parse_steps(cx, text, at + 1, loc, fetch.out)?
        } else {
            (Vec::new(), at)
        };
        let shown = String::from_utf8_lossy(&text[..at]).into_owned();
        let loc = loc_at(text, loc, 0, at);
        Some((Expr(Arc::new(Inner { fetch, args, steps: steps.into(), text: shown, loc })), at))
    }

    /// The expression as written.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Where it is written.
    pub fn loc(&self) -> Loc {
        self.0.loc
    }

    /// The fetch.
    pub fn fetch(&self) -> &'static Fetch {
        self.0.fetch
    }

    /// True when converters follow the fetch.
    pub fn has_converters(&self) -> bool {
        !self.0.steps.is_empty()
    }

    /// Type of the result.
    pub fn out(&self) -> Type {
        self.0
            .steps
            .iter()
            .fold(self.0.fetch.out, |t, s| if s.converter.out == Type::Same { t } else { s.converter.out })
    }

    /// Evaluate: the only value, or the last.
    pub fn eval<'a>(&'a self, cx: &'a dyn Ctx) -> Option<Sample<'a>> {
        let s = (self.0.fetch.eval)(&self.0.args, cx)?;
        self.convert(s, cx)
    }

    /// Evaluate and cast.
    pub fn eval_as<'a>(&'a self, cx: &'a dyn Ctx, to: Type) -> Option<Sample<'a>> {
        cast::cast(self.eval(cx)?, to)
    }

    /// Call `f` with each value (a header may stand several times) until it returns true. True when it did.
    pub fn any<'a>(&'a self, cx: &'a dyn Ctx, f: &mut dyn FnMut(Sample<'a>) -> bool) -> bool {
        let Some(each) = self.0.fetch.each else {
            return self.eval(cx).is_some_and(f);
        };
        let mut hit = false;
        each(&self.0.args, cx, &mut |s| {
            hit = self.convert(s, cx).is_some_and(&mut *f);
            hit
        });
        hit
    }

    /// True when the result may still change as more input arrives.
    pub fn may_change(&self, cx: &dyn Ctx) -> bool {
        const VOLATILE: super::Needs = super::Needs::REQ_PAYLOAD.or(super::Needs::RES_PAYLOAD);
        const HTTP: super::Needs =
            super::Needs::REQ_HEAD.or(super::Needs::REQ_LINE).or(super::Needs::REQ_BODY);
        let needs = self.0.fetch.needs;
        if cx.input_final() {
            return false;
        }
        if needs.has(VOLATILE) {
            return !self.0.fetch.settled.is_some_and(|settled| settled(&self.0.args, cx));
        }
        // A TCP client may still turn out to speak HTTP.
        needs.has(HTTP) && cx.request().is_none() && !cx.request_payload().is_some_and(payload::is_no_http)
    }

    fn convert<'a>(&'a self, mut s: Sample<'a>, cx: &'a dyn Ctx) -> Option<Sample<'a>> {
        for step in &self.0.steps {
            s = cast::cast(s, step.converter.input)?;
            s = (step.converter.eval)(&step.args, s, cx)?;
        }
        Some(s)
    }
}

/// Whose arguments are parsed.
#[derive(Clone, Copy)]
enum Owner {
    Fetch(&'static Fetch),
    Converter(&'static Converter),
}

impl Owner {
    fn kind(self) -> &'static str {
        match self {
            Owner::Fetch(_) => Fetch::KIND,
            Owner::Converter(_) => Converter::KIND,
        }
    }
    fn name(self) -> &'static str {
        match self {
            Owner::Fetch(f) => f.name,
            Owner::Converter(c) => c.name,
        }
    }
    fn types(self) -> (&'static [ArgType], usize) {
        match self {
            Owner::Fetch(f) => (f.args, f.min_args),
            Owner::Converter(c) => (c.args, c.min_args),
        }
    }
    fn prepare(self) -> Option<super::PrepareFn> {
        match self {
            Owner::Fetch(f) => f.prepare,
            Owner::Converter(c) => c.prepare,
        }
    }
}

/// Converters from `at` on, separated by commas. `input` is the type before the first.
fn parse_steps(
    cx: &mut ExprCx<'_>,
    text: &[u8],
    mut at: usize,
    loc: Loc,
    mut input: Type,
) -> Option<(Vec<Step>, usize)> {
    let mut steps = Vec::new();
    loop {
        let end = name_end(text, at);
        let name = String::from_utf8_lossy(&text[at..end]).into_owned();
        let here = loc_at(text, loc, at, end - at);
        let Some(converter) = cx.tables.find::<Converter>(&name) else {
            if let Some(message) = known::unsupported("converter", "converter", &name) {
                cx.diags.error(here, message);
                return None;
            }
            let near = did_you_mean(&name, cx.tables.all::<Converter>().iter().map(|c| c.name));
            let what = if name.is_empty() {
                "a converter is expected after ','".to_owned()
            } else {
                format!("unknown converter '{name}'")
            };
            let d = cx.diags.error(here, what);
            if let Some(h) = near {
                d.help(h);
            }
            return None;
        };
        if !input.casts_to(converter.input) {
            let (from, to) = (input.name(), converter.input.name());
            cx.diags.error(
                here,
                format!(
                    "converter '{name}' cannot be applied: its input is of type {from} and it needs {to}"
                ),
            );
            return None;
        }
        let (args, next) = parse_args(cx, Owner::Converter(converter), text, end, loc)?;
        if converter.out != Type::Same {
            input = converter.out;
        }
        steps.push(Step { converter, args });
        if text.get(next) != Some(&b',') {
            return Some((steps, next));
        }
        at = next + 1;
    }
}

/// The argument list at `at`, if there is one, and the checks on it.
fn parse_args(cx: &mut ExprCx<'_>, owner: Owner, text: &[u8], at: usize, loc: Loc) -> Option<(Args, usize)> {
    let (types, min) = owner.types();
    let (kind, name) = (owner.kind(), owner.name());
    let (mut raw, next) = match argparse::split(text, at) {
        Ok(x) => x,
        Err((offset, message)) => {
            cx.diags.error(
                loc_at(text, loc, offset, 1),
                format!("{message} in the arguments of {kind} '{name}'"),
            );
            return None;
        }
    };
    if raw.is_empty() && next > at && min > 0 && types[0] == ArgType::Str {
        // `str()`: an empty string is a string.
        raw.push(argparse::RawArg { bytes: Vec::new(), offset: at + 1 });
    }
    if raw.len() < min {
        let expected = types[raw.len()].name();
        let here = loc_at(text, loc, at, next - at);
        cx.diags.error(
            here,
            format!("missing argument {} of {kind} '{name}' (expected: {expected})", raw.len() + 1),
        );
        return None;
    }
    if raw.len() > types.len() {
        let here = loc_at(text, loc, raw[types.len()].offset, raw[types.len()].bytes.len());
        let message = match types.len() {
            0 => format!("{kind} '{name}' takes no argument"),
            1 => format!("{kind} '{name}' takes one argument only"),
            n => format!("{kind} '{name}' takes at most {n} arguments"),
        };
        cx.diags.error(here, message);
        return None;
    }
    let mut list = Vec::with_capacity(raw.len());
    for (i, a) in raw.iter().enumerate() {
        let here = loc_at(text, loc, a.offset, a.bytes.len());
        match argparse::check(cx, types[i], &a.bytes, here, i < min) {
            Ok(arg) => list.push(arg),
            Err(message) => {
                cx.diags.error(here, format!("invalid argument {} of {kind} '{name}': {message}", i + 1));
                return None;
            }
        }
    }
    let mut args = Args::new(list);
    if let Some(prepare) = owner.prepare()
        && let Err((i, message)) = prepare(cx, &mut args)
    {
        let (offset, len) = raw.get(i).map_or((at, next - at), |a| (a.offset, a.bytes.len()));
        let here = loc_at(text, loc, offset, len);
        cx.diags.error(here, format!("invalid argument {} of {kind} '{name}': {message}", i + 1));
        return None;
    }
    Some((args, next))
}
