//! `get var`, `set var`, `experimental-mode`: variables of the process.

use std::fmt::Write;

use super::commands::{Call, Next};
use crate::rules::{NewValue, set_process_var};
use crate::sample::{Sample, Scope, VarName, to_str, vars};

/// `expert-mode [on|off]`. What it allows elsewhere does not exist here.
pub fn expert_mode(call: &mut Call<'_>) -> Next {
    match call.args.first().map(String::as_str) {
        Some("on") => call.state.expert = true,
        Some("off") => call.state.expert = false,
        None if call.state.expert => call.out.push_str("expert-mode is ON\n"),
        None => call.out.push_str("expert-mode is OFF\n"),
        Some(_) => call.out.push_str("'expert-mode' expects 'on' or 'off'.\n"),
    }
    Next::Continue
}

/// `experimental-mode [on|off]`.
pub fn experimental_mode(call: &mut Call<'_>) -> Next {
    match call.args.first().map(String::as_str) {
        Some("on") => call.state.experimental = true,
        Some("off") => call.state.experimental = false,
        None if call.state.experimental => call.out.push_str("experimental-mode is ON\n"),
        None => call.out.push_str("experimental-mode is OFF\n"),
        Some(_) => call.out.push_str("'experimental-mode' expects 'on' or 'off'.\n"),
    }
    Next::Continue
}

/// The variable's type as the manual names it.
fn type_name(s: &Sample<'_>) -> &'static str {
    match s {
        Sample::Bool(_) => "bool",
        Sample::Int(_) => "sint",
        Sample::Ip(ip) if ip.is_ipv4() => "ipv4",
        Sample::Ip(_) => "ipv6",
        Sample::Str(_) => "str",
        Sample::Bin(_) => "bin",
        Sample::Meth(_) => "meth",
    }
}

/// `get var <name>`.
pub fn get(call: &mut Call<'_>) -> Next {
    let Some(name) = call.args.first() else {
        call.out.push_str("'get var' expects the name of a variable.\n");
        return Next::Continue;
    };
    let found = match VarName::parse(name.as_bytes()) {
        Ok(n) if n.scope == Scope::Proc => vars::process_vars().get(n),
        _ => None,
    };
    match found {
        None => call.out.push_str("Variable not found.\n"),
        Some(s) => {
            let kind = type_name(&s);
            let text = match s {
                Sample::Bin(b) => b.iter().map(|b| format!("{b:02X}")).collect(),
                s => to_str(s).map_or(String::new(), |b| String::from_utf8_lossy(&b).into_owned()),
            };
            let _ = writeln!(call.out, "{name}: type={kind} value=<{text}>");
        }
    }
    Next::Continue
}

/// `set var <name> [expr] <expression>`, `set var <name> fmt <format>`.
pub fn set(call: &mut Call<'_>) -> Next {
    if !call.state.experimental {
        call.out.push_str("This command needs 'experimental-mode on' on the same connection.\n");
        return Next::Continue;
    }
    let (name, value) = match call.args {
        [name, kind, text] if kind == "fmt" => (name, NewValue::Format(text)),
        [name, kind, rest @ ..] if kind == "expr" && !rest.is_empty() => (name, NewValue::Expr(rest)),
        [name, rest @ ..] if !rest.is_empty() => (name, NewValue::Expr(rest)),
        _ => {
            call.out.push_str("'set var' expects a name and an expression, or 'fmt' and a format.\n");
            return Next::Continue;
        }
    };
    if let Err(why) = set_process_var(&call.cx.tables, name, value) {
        let _ = writeln!(call.out, "{why}.");
    }
    Next::Continue
}
