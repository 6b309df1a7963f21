//! Variables in the middle of an expression.

use crate::sample::{ArgType, Args, Converter, ExprCx, SetConditions, Type, vars};

/// The table.
pub const CONVERTERS: &[Converter] = &[
    Converter::new("set-var", Type::Any, Type::Same, |a, s, c| {
        let name = a.var(0)?;
        if a.extra::<SetConditions>().is_none_or(|k| k.hold(name, &s, c)) {
            vars::write(name, &s, c);
        }
        Some(s)
    })
    .args(1, &[ArgType::Var, ArgType::Str, ArgType::Str, ArgType::Str, ArgType::Str])
    .prepare(conditions)
    .doc("sets a variable and passes the value on"),
    Converter::new("unset-var", Type::Any, Type::Same, |a, s, c| {
        vars::clear(a.var(0)?, c);
        Some(s)
    })
    .args(1, &[ArgType::Var])
    .doc("unsets a variable and passes the value on"),
];

fn conditions(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    let mut all = SetConditions::default();
    for i in 1..a.len() {
        all.add(a.str(i).unwrap_or_default()).map_err(|e| (i, e))?;
    }
    a.set_extra(all);
    Ok(())
}
