//! `stick-table`.

use crate::base::duration::{self, Unit};
use crate::config::{Keyword, Loc, ParseCx, Sections, Status, Word};

use super::{DataClass, DataDef, DataType, KeyType, Schema};

/// The table of a section, as written: a section feature.
#[derive(Clone, Debug, Default)]
pub struct TableConf {
    /// Its definition, and where it stands.
    pub table: Option<(Schema, Loc)>,
}

/// Bytes of a string or binary key unless `len` says otherwise.
const KEY_LEN: u32 = 32;
const KEY_LEN_MAX: i64 = 4096;

/// Names of what `store` takes, for listings.
pub fn data_names() -> impl Iterator<Item = &'static str> {
    DataType::ALL.iter().filter(|r| r.class != DataClass::Name).map(|r| r.name)
}

/// The keyword.
pub static KEYWORDS: &[Keyword] = &[Keyword {
    name: "stick-table",
    sections: Sections(Sections::FRONTEND.0 | Sections::BACKEND.0),
    syntax: "stick-table type {ip | ipv6 | integer | string [len <length>] | binary [len <length>]} size <size> \
             [expire <expire>] [nopurge] [store <data_type>]*",
    doc: "the section's table of clients: keys with a server and counters",
    status: Status::Full,
    parse: stick_table,
}];

fn stick_table(cx: &mut ParseCx<'_>) {
    let loc = cx.dir.words[0].loc;
    let (mut key, mut size, mut expire, mut nopurge) = (None, None, None, false);
    let mut data = Vec::new();
    while let Some(w) = cx.next() {
        let parsed = match &*w.text() {
            "type" => key_type(cx).map(|k| key = Some(k)),
            "size" => table_size(cx).map(|n| size = Some(n)),
            "expire" => cx.expect_duration("a duration", Unit::Ms).map(|d| expire = Some(d)),
            "nopurge" => {
                nopurge = true;
                Some(())
            }
            "store" => cx.expect("data types to store").and_then(|w| store(cx, w, &mut data)),
            name @ ("peers" | "srvkey" | "write-to" | "recv-only" | "brates-factor") => {
                let message = format!("'stick-table': '{name}' is not implemented yet");
                cx.error(w.loc, message);
                None
            }
            other => {
                let message = format!("'stick-table' cannot handle unexpected argument '{other}'");
                cx.error(w.loc, message);
                None
            }
        };
        if parsed.is_none() {
            return;
        }
    }
    let (Some(key), Some(size)) = (key, size) else {
        let what = if key.is_none() { "type" } else { "size" };
        let at = cx.end_loc();
        cx.error(at, format!("'stick-table' expects a '{what}'"));
        return;
    };
    let mut schema = Schema::new(key, size);
    schema.nopurge = nopurge;
    schema.expire_ms = expire.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)).filter(|ms| *ms > 0);
    for (def, at) in data {
        if let Err(e) = schema.store(def) {
            cx.error(at, format!("'stick-table': {e}"));
            return;
        }
    }
    let conf = cx.section.feature::<TableConf>();
    let first = conf.table.as_ref().map(|(_, at)| at.line);
    match first {
        Some(line) => {
            cx.error(loc, format!("'stick-table': the section has a table already, in line {line}"));
        }
        None => conf.table = Some((schema, loc)),
    }
}

fn key_type(cx: &mut ParseCx<'_>) -> Option<KeyType> {
    let names = ["ip", "ipv6", "integer", "string", "binary"];
    let which = cx.expect_one_of("a type of keys", &names)?;
    let mut len = KEY_LEN;
    if which >= 3 && cx.accept("len") {
        len = cx.expect_int("the length of keys in bytes", 1..=KEY_LEN_MAX)? as u32;
    }
    Some(match which {
        0 => KeyType::Ip,
        1 => KeyType::Ipv6,
        2 => KeyType::Integer,
        3 => KeyType::String(len),
        _ => KeyType::Binary(len),
    })
}

fn table_size(cx: &mut ParseCx<'_>) -> Option<u32> {
    let w = cx.peek().cloned();
    let n = cx.expect_size("a number of entries")?;
    match u32::try_from(n) {
        Ok(n) if n > 0 => Some(n),
        _ => {
            let at = w.map_or(cx.end_loc(), |w| w.loc);
            cx.error(at, "'stick-table': the size is between 1 and 4294967295 entries");
            None
        }
    }
}

/// `gpc0,conn_rate(30s)`: commas inside parentheses belong to the arguments.
fn store(cx: &mut ParseCx<'_>, w: &Word, data: &mut Vec<(DataDef, Loc)>) -> Option<()> {
    let text = w.text().into_owned();
    let mut depth = 0;
    let items = text.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    for item in items {
        match data_def(item) {
            Ok(def) => data.push((def, w.loc)),
            Err(message) => {
                cx.error(w.loc, format!("'stick-table': {message}"));
                return None;
            }
        }
    }
    Some(())
}

fn data_def(item: &str) -> Result<DataDef, String> {
    let (name, args) = match item.split_once('(') {
        None => (item, Vec::new()),
        Some((name, rest)) => {
            let inner = rest.strip_suffix(')').ok_or(format!("')' is missing behind '{item}'"))?;
            (name, inner.split(',').map(str::trim).collect())
        }
    };
    let data = DataType::by_name(name).ok_or(format!("unknown data type '{name}'"))?;
    let info = data.info();
    if info.class == DataClass::Name {
        return Err(format!("'{name}' cannot be stored by name"));
    }
    let mut args = args.into_iter();
    let mut def = DataDef::plain(data);
    if info.array {
        let n = args.next().unwrap_or("");
        def.elems = n.parse().map_err(|_| format!("'{name}' expects a number of elements, not '{n}'"))?;
    }
    if info.class == DataClass::Rate {
        let period = args.next().unwrap_or("");
        let d = duration::parse(period, Unit::Ms)
            .map_err(|e| format!("'{name}' expects a period: {e} in '{period}'"))?;
        def.period_ms = u32::try_from(d.as_millis()).map_err(|_| format!("'{period}' is too long"))?;
    }
    match args.next() {
        Some(more) => Err(format!("'{name}': unexpected argument '{more}'")),
        None => Ok(def),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_types_with_arguments() {
        assert_eq!(data_def("gpc0"), Ok(DataDef::plain(DataType::Gpc0)));
        assert_eq!(data_def("conn_rate(30s)"), Ok(DataDef::rate(DataType::ConnRate, 30_000)));
        let rates = DataDef { data: DataType::GpcRate, elems: 4, period_ms: 1000 };
        assert_eq!(data_def("gpc_rate(4,1s)"), Ok(rates));
        for bad in ["nope", "gpc0(1)", "gpc", "conn_rate", "conn_rate(x)", "gpt(3", "server_key"] {
            assert!(data_def(bad).is_err(), "{bad}");
        }
    }
}
