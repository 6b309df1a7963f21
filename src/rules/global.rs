//! `set-var` and `set-var-fmt` in the global section: variables of the process, set while it starts.

use crate::base::time::{Mono, Wall};
use crate::config::{
    Diagnostics, Keyword, LoadState, Loc, ParseCx, Section, SectionKind, Sections, Severity, Status, Tables,
    Word,
};
use crate::log::{LogFields, LogFormat, Usage};
use crate::sample::{Ctx, Expr, ExprCx, Place, Sample, Scope, Scratch, VarName, vars};

/// The table.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "set-var",
        sections: Sections::GLOBAL,
        syntax: "set-var <var-name> <expr>",
        doc: "sets a variable of the process to the value of an expression",
        status: Status::Full,
        parse: set_var,
    },
    Keyword {
        name: "set-var-fmt",
        sections: Sections::GLOBAL,
        syntax: "set-var-fmt <var-name> <fmt>",
        doc: "sets a variable of the process to a rendered string",
        status: Status::Full,
        parse: set_var_fmt,
    },
];

/// The start of the process: nothing but clocks and constants.
struct Start(Wall);

impl Ctx for Start {
    fn now(&self) -> Mono {
        Mono::default()
    }
    fn wall(&self) -> Wall {
        self.0
    }
}

fn start() -> Start {
    Start(crate::sys::clock::wall())
}

fn name(cx: &mut ParseCx<'_>) -> Option<VarName> {
    let w = cx.expect("the name of a variable")?;
    match VarName::parse(&w.bytes) {
        Ok(n) if n.scope == Scope::Proc => Some(n),
        Ok(_) => {
            cx.error(w.loc, format!("'{}': only variables of scope 'proc' exist here", w.text()));
            None
        }
        Err(e) => {
            cx.error(w.loc, e);
            None
        }
    }
}

fn set_var(cx: &mut ParseCx<'_>) {
    let Some(name) = name(cx) else { return };
    if cx.peek().is_none() {
        cx.expect("an expression");
        return;
    }
    let words = cx.rest();
    store_value(&mut ExprCx::of(cx, Place::GLOBAL), name, words);
}

fn set_var_fmt(cx: &mut ParseCx<'_>) {
    let Some(name) = name(cx) else { return };
    let Some(w) = cx.expect("a log-format string") else { return };
    cx.end();
    store_text(&mut ExprCx::of(cx, Place::GLOBAL), name, w);
}

fn store_value(ex: &mut ExprCx<'_>, name: VarName, words: &[Word]) {
    let Some((e, used)) = Expr::parse_words(ex, words) else { return };
    if let Some(w) = words.get(used) {
        ex.diags.error(w.loc, format!("unexpected '{}' behind the expression", w.text()));
        return;
    }
    let start = start();
    if let Some(s) = e.eval(&start) {
        vars::write(name, &s, &start);
    }
}

fn store_text(ex: &mut ExprCx<'_>, name: VarName, word: &Word) {
    let Some(f) = LogFormat::parse(ex, word, Usage::Http) else { return };
    let start = start();
    let mut text = Scratch::new();
    f.render(&LogFields::default(), &start, text.vec());
    vars::write(name, &Sample::str(&text), &start);
}

/// A new value for a variable of the process, as the admin socket gets it.
#[derive(Clone, Copy, Debug)]
pub enum NewValue<'a> {
    /// An expression, whose converters may be words of their own.
    Expr(&'a [String]),
    /// A log-format string.
    Format(&'a str),
}

/// Sets a variable of the process while it runs. The error is a sentence for the user.
pub fn set_process_var(tables: &Tables, name: &str, value: NewValue<'_>) -> Result<(), String> {
    let name = match VarName::parse(name.as_bytes())? {
        n if n.scope == Scope::Proc => n,
        _ => return Err(format!("'{name}': only variables of scope 'proc' can be set here")),
    };
    let mut diags = Diagnostics::default();
    let mut section = Section::new(SectionKind::Global, String::new(), Loc::default());
    let mut state = LoadState::default();
    let (diags_mut, section, state) = (&mut diags, &mut section, &mut state);
    let mut ex = ExprCx { tables, diags: diags_mut, section, state, place: Place::GLOBAL };
    let word = |text: &str| Word { bytes: text.as_bytes().to_vec(), loc: Loc::default() };
    match value {
        NewValue::Expr(words) => {
            let words: Vec<Word> = words.iter().map(|w| word(w)).collect();
            store_value(&mut ex, name, &words);
        }
        NewValue::Format(text) => store_text(&mut ex, name, &word(text)),
    }
    match diags.list.into_iter().find(|d| d.severity == Severity::Alert) {
        None => Ok(()),
        Some(d) => Err(d.message),
    }
}
