//! Arithmetic and bits on signed 64-bit integers. Overflow gives the nearest value instead of wrapping.

use crate::sample::{Arg, ArgType, Args, Converter, Ctx, Sample, Type, to_int, vars};

const NUM: &[ArgType] = &[ArgType::VarOrInt];

const fn binary(name: &'static str, f: crate::sample::ConvertFn) -> Converter {
    Converter::new(name, Type::Int, Type::Int, f).args(1, NUM)
}

/// The table.
pub const CONVERTERS: &[Converter] = &[
    binary("add", |a, s, c| two(a, s, c, i64::saturating_add)).doc("adds a value"),
    binary("sub", |a, s, c| two(a, s, c, i64::saturating_sub)).doc("subtracts a value"),
    binary("mul", |a, s, c| two(a, s, c, i64::saturating_mul)).doc("multiplies by a value"),
    binary("div", |a, s, c| two(a, s, c, |x, y| if y == 0 { i64::MAX } else { x.saturating_div(y) }))
        .doc("divides by a value; the largest integer when it is 0"),
    binary("mod", |a, s, c| two(a, s, c, |x, y| if y == 0 { 0 } else { x.wrapping_rem(y) }))
        .doc("remainder of a division; 0 when the value is 0"),
    binary("and", |a, s, c| two(a, s, c, |x, y| x & y)).doc("bitwise and"),
    binary("or", |a, s, c| two(a, s, c, |x, y| x | y)).doc("bitwise or"),
    binary("xor", |a, s, c| two(a, s, c, |x, y| x ^ y)).doc("bitwise exclusive or"),
    Converter::new("cpl", Type::Int, Type::Int, |_, s, _| one(s, |x| !x)).doc("flips all bits"),
    Converter::new("neg", Type::Int, Type::Int, |_, s, _| one(s, i64::saturating_neg)).doc("the opposite"),
    Converter::new("not", Type::Int, Type::Bool, |_, s, _| test(s, |x| x == 0)).doc("true for 0"),
    Converter::new("bool", Type::Int, Type::Bool, |_, s, _| test(s, |x| x != 0)).doc("true unless 0"),
    Converter::new("odd", Type::Int, Type::Bool, |_, s, _| test(s, |x| x & 1 != 0))
        .doc("true for odd numbers"),
    Converter::new("even", Type::Int, Type::Bool, |_, s, _| test(s, |x| x & 1 == 0))
        .doc("true for even numbers"),
];

/// A numeric argument: constant, or the variable's value as an integer.
pub(super) fn number(a: &Args, i: usize, c: &dyn Ctx) -> Option<i64> {
    match a.get(i) {
        Arg::Int(v) => Some(*v),
        Arg::Var(name) => to_int(&vars::read(*name, c)?),
        _ => None,
    }
}

fn int(s: &Sample<'_>) -> Option<i64> {
    match s {
        Sample::Int(i) => Some(*i),
        _ => None,
    }
}

fn two<'a>(a: &'a Args, s: Sample<'a>, c: &dyn Ctx, f: fn(i64, i64) -> i64) -> Option<Sample<'a>> {
    Some(Sample::Int(f(int(&s)?, number(a, 0, c)?)))
}

fn one(s: Sample<'_>, f: fn(i64) -> i64) -> Option<Sample<'_>> {
    Some(Sample::Int(f(int(&s)?)))
}

fn test(s: Sample<'_>, f: fn(i64) -> bool) -> Option<Sample<'_>> {
    Some(Sample::Bool(f(int(&s)?)))
}
