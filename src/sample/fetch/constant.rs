//! Constants.

use crate::sample::{Arg, ArgType, Args, ExprCx, Fetch, Needs, Sample, Type};

const ANY: Needs = Needs::INTERNAL;

/// The table.
pub const FETCHES: &[Fetch] = &[
    Fetch::new("always_true", Type::Bool, ANY, |_, _| Some(Sample::Bool(true))).doc("true"),
    Fetch::new("always_false", Type::Bool, ANY, |_, _| Some(Sample::Bool(false))).doc("false"),
    Fetch::new("str", Type::Str, ANY, |a, _| Some(Sample::str(a.str(0)?)))
        .args(1, &[ArgType::Str])
        .doc("the string"),
    Fetch::new("int", Type::Int, ANY, |a, _| a.int(0).map(Sample::Int))
        .args(1, &[ArgType::Int])
        .doc("the integer"),
    Fetch::new("bool", Type::Bool, ANY, |a, _| Some(Sample::Bool(a.int(0)? != 0)))
        .args(1, &[ArgType::Str])
        .prepare(boolean)
        .doc("true, 1, false or 0"),
    Fetch::new("ipv4", Type::Ipv4, ANY, |a, _| a.ip(0).map(Sample::Ip))
        .args(1, &[ArgType::Ip4])
        .doc("the address"),
    Fetch::new("ipv6", Type::Ipv6, ANY, |a, _| a.ip(0).map(Sample::Ip))
        .args(1, &[ArgType::Ip6])
        .doc("the address"),
    Fetch::new("bin", Type::Bin, ANY, |a, _| Some(Sample::Bin(a.str(0)?.into())))
        .args(1, &[ArgType::Str])
        .prepare(binary)
        .doc("the bytes given in hexadecimal"),
    Fetch::new("meth", Type::Meth, ANY, |a, _| Some(Sample::Meth(a.str(0)?.into())))
        .args(1, &[ArgType::Str])
        .doc("the method"),
];

fn boolean(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    let v = match a.str(0).unwrap_or_default().to_ascii_lowercase().as_slice() {
        b"true" | b"1" => 1,
        b"false" | b"0" => 0,
        _ => return Err((0, "true, false, 1 or 0 is expected".to_owned())),
    };
    a.set(0, Arg::Int(v));
    Ok(())
}

/// Hexadecimal digits, an even number of them, into bytes.
pub(crate) fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |c: u8| (c as char).to_digit(16);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks_exact(2).map(|p| Some((digit(p[0])? * 16 + digit(p[1])?) as u8)).collect()
}

fn binary(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    let bytes = unhex(a.str(0).unwrap_or_default())
        .ok_or_else(|| (0, "an even number of hexadecimal digits is expected".to_owned()))?;
    a.set(0, Arg::Str(bytes.into()));
    Ok(())
}
