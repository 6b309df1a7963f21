//! Variables.

use crate::log::LogFormat;
use crate::rules::action::{Action, ActionCx, Sets, effect};
use crate::sample::{Expr, Sample, Scratch, SetConditions, VarName, vars};

/// The table.
pub const ACTIONS: &[Action] = &[
    Action::new("set-var", Sets::ANY, "set-var(<var-name>[,<cond>...]) <expr>", |cx| {
        let (name, conditions) = target(cx)?;
        let e: Expr = cx.expr("an expression")?;
        effect(move |cx| {
            let c = cx.ctx();
            match e.eval(c) {
                Some(s) if conditions.hold(name, &s, c) => vars::write(name, &s, c),
                // An expression without a value leaves what the variable held.
                Some(_) | None => {}
            }
        })
    })
    .doc("sets a variable to the value of an expression"),
    Action::new("set-var-fmt", Sets::ANY, "set-var-fmt(<var-name>[,<cond>...]) <fmt>", |cx| {
        let (name, conditions) = target(cx)?;
        let f: LogFormat = cx.format("a log-format string")?;
        effect(move |cx| {
            let mut text = Scratch::new();
            cx.render(&f, text.vec());
            let s = Sample::str(&text);
            if conditions.hold(name, &s, cx.ctx()) {
                vars::write(name, &s, cx.ctx());
            }
        })
    })
    .doc("sets a variable to a rendered string"),
    Action::new("unset-var", Sets::ANY, "unset-var(<var-name>)", |cx| {
        let (name, _) = target(cx)?;
        effect(move |cx| vars::clear(name, cx.ctx()))
    })
    .doc("unsets a variable"),
];

fn target(cx: &mut ActionCx<'_, '_>) -> Option<(VarName, SetConditions)> {
    let w = cx.paren("the name of a variable")?;
    let mut parts = w.bytes.split(|c| *c == b',').map(<[u8]>::trim_ascii);
    let name = match VarName::parse(parts.next().unwrap_or_default()) {
        Ok(n) => n,
        Err(e) => return cx.error(w.loc, e),
    };
    let mut conditions = SetConditions::default();
    for c in parts {
        if let Err(e) = conditions.add(c) {
            return cx.error(w.loc, e);
        }
    }
    Some((name, conditions))
}
