//! The map family of converters: look a sample up in a file of keys and values.

use std::sync::Arc;

use crate::sample::{ArgType, Args, Converter, Ctx, ExprCx, Sample, Scratch, Type, Value, expand};

use super::Method;
use super::set::{ListError, PatternLists, PatternSet, Use, ValueType};

/// What a lookup gives.
#[derive(Clone, Copy, PartialEq)]
enum Gives {
    /// The value.
    Value,
    /// The value with the groups of the match put in (`map_regm`).
    Groups,
    /// The key that matched.
    Key,
}

struct Map {
    set: Arc<PatternSet>,
    default: Option<Value>,
    gives: Gives,
}

const ARGS: &[ArgType] = &[ArgType::Str, ArgType::Str];

/// Name, match method, type of the input, type of the values, type of the output, what it gives.
macro_rules! map {
    ($name:literal, $method:ident, $input:ident, $value:ident, $out:ident, $gives:ident) => {
        Converter::new($name, Type::$input, Type::$out, convert)
            .args(1, ARGS)
            .prepare(|cx, args| prepare(cx, args, Method::$method, ValueType::$value, Gives::$gives))
            .doc("the value of the input in a map file, or a default")
    };
}

/// The table.
pub const CONVERTERS: &[Converter] = &[
    map!("map", Str, Str, Str, Str, Value),
    map!("map_str", Str, Str, Str, Str, Value),
    map!("map_str_str", Str, Str, Str, Str, Value),
    map!("map_str_int", Str, Str, Int, Int, Value),
    map!("map_str_ip", Str, Str, Ip, Addr, Value),
    map!("map_beg", Beg, Str, Str, Str, Value),
    map!("map_beg_str", Beg, Str, Str, Str, Value),
    map!("map_beg_int", Beg, Str, Int, Int, Value),
    map!("map_beg_ip", Beg, Str, Ip, Addr, Value),
    map!("map_sub", Sub, Str, Str, Str, Value),
    map!("map_sub_str", Sub, Str, Str, Str, Value),
    map!("map_sub_int", Sub, Str, Int, Int, Value),
    map!("map_sub_ip", Sub, Str, Ip, Addr, Value),
    map!("map_dir", Dir, Str, Str, Str, Value),
    map!("map_dir_str", Dir, Str, Str, Str, Value),
    map!("map_dir_int", Dir, Str, Int, Int, Value),
    map!("map_dir_ip", Dir, Str, Ip, Addr, Value),
    map!("map_dom", Dom, Str, Str, Str, Value),
    map!("map_dom_str", Dom, Str, Str, Str, Value),
    map!("map_dom_int", Dom, Str, Int, Int, Value),
    map!("map_dom_ip", Dom, Str, Ip, Addr, Value),
    map!("map_end", End, Str, Str, Str, Value),
    map!("map_end_str", End, Str, Str, Str, Value),
    map!("map_end_int", End, Str, Int, Int, Value),
    map!("map_end_ip", End, Str, Ip, Addr, Value),
    map!("map_reg", Reg, Str, Str, Str, Value),
    map!("map_reg_str", Reg, Str, Str, Str, Value),
    map!("map_reg_int", Reg, Str, Int, Int, Value),
    map!("map_reg_ip", Reg, Str, Ip, Addr, Value),
    map!("map_int", Int, Int, Str, Str, Value),
    map!("map_int_str", Int, Int, Str, Str, Value),
    map!("map_int_int", Int, Int, Int, Int, Value),
    map!("map_int_ip", Int, Int, Ip, Addr, Value),
    map!("map_ip", Ip, Addr, Str, Str, Value),
    map!("map_ip_str", Ip, Addr, Str, Str, Value),
    map!("map_ip_int", Ip, Addr, Int, Int, Value),
    map!("map_ip_ip", Ip, Addr, Ip, Addr, Value),
    map!("map_bin", Bin, Bin, Str, Str, Value),
    map!("map_bin_str", Bin, Bin, Str, Str, Value),
    map!("map_bin_int", Bin, Bin, Int, Int, Value),
    map!("map_bin_ip", Bin, Bin, Ip, Addr, Value),
    map!("map_regm", Reg, Str, Str, Str, Groups),
    map!("map_regm_str", Reg, Str, Str, Str, Groups),
    map!("map_str_key", Str, Str, Str, Str, Key),
    map!("map_beg_key", Beg, Str, Str, Str, Key),
    map!("map_sub_key", Sub, Str, Str, Str, Key),
    map!("map_dir_key", Dir, Str, Str, Str, Key),
    map!("map_dom_key", Dom, Str, Str, Str, Key),
    map!("map_end_key", End, Str, Str, Str, Key),
    map!("map_reg_key", Reg, Str, Str, Str, Key),
    map!("map_int_key", Int, Int, Str, Str, Key),
    map!("map_ip_key", Ip, Addr, Str, Str, Key),
];

fn prepare(
    cx: &mut ExprCx<'_>,
    args: &mut Args,
    method: Method,
    values: ValueType,
    gives: Gives,
) -> Result<(), (usize, String)> {
    let name = String::from_utf8_lossy(args.str(0).unwrap_or_default()).into_owned();
    let default = match args.str(1) {
        None => None,
        Some(text) => Some(
            values
                .parse(text)
                .ok_or_else(|| (1, format!("'{}' is no valid default", String::from_utf8_lossy(text))))?,
        ),
    };
    let base = cx.state.base_dir.clone();
    let path = move |f: &str| match base {
        Some(b) => b.join(f),
        None => f.into(),
    };
    let display = format!("pattern loaded from file '{name}' used by map in {}", cx.place.name);
    let list = cx.state.shared.get::<PatternLists>().file(&name, path, true, display).map_err(|e| (0, e))?;
    let set = list.set(Use { method, ignore_case: false, values: Some(values) }).map_err(
        |ListError { entry, message }| {
            let line = list.entries().0.get(entry).map_or(0, |e| e.line);
            (0, format!("line {line} of '{name}': {message}"))
        },
    )?;
    args.set_extra(Map { set, default, gives });
    Ok(())
}

fn convert<'a>(args: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let map: &Map = args.extra()?;
    let found = if map.gives == Gives::Groups {
        map.set.lookup_groups(s.bytes()?, |value, groups| match value {
            Value::Str(template) => {
                let mut out = Scratch::new();
                expand(template, groups, out.vec());
                Sample::Str(out.into())
            }
            other => other.to_sample(),
        })
    } else if map.gives == Gives::Key {
        map.set.lookup_key(&s, |key| Sample::Str(Scratch::of(key).into()))
    } else {
        map.set.lookup(&s, Value::to_sample)
    };
    found.or_else(|| map.default.as_ref().map(Value::as_sample))
}
