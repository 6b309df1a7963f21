//! `set-var` and `set-var-fmt` in the global section: variables of the process, set while it starts.

use crate::base::time::{Mono, Wall};
use crate::config::{Keyword, ParseCx, Sections, Status};
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
    let mut ex = ExprCx::of(cx, Place::GLOBAL);
    let Some((e, used)) = Expr::parse_words(&mut ex, words) else { return };
    if let Some(w) = words.get(used) {
        cx.error(w.loc, format!("unexpected '{}' behind the expression", w.text()));
        return;
    }
    let start = start();
    if let Some(s) = e.eval(&start) {
        vars::write(name, &s, &start);
    }
}

fn set_var_fmt(cx: &mut ParseCx<'_>) {
    let Some(name) = name(cx) else { return };
    let Some(w) = cx.expect("a log-format string") else { return };
    cx.end();
    let Some(f) = LogFormat::parse(&mut ExprCx::of(cx, Place::GLOBAL), w, Usage::Http) else { return };
    let start = start();
    let mut text = Scratch::new();
    f.render(&LogFields::default(), &start, text.vec());
    vars::write(name, &Sample::str(&text), &start);
}
