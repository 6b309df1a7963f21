//! `stick-table`.

use crate::base::duration::{self, Unit};
use crate::config::{Keyword, Loc, ParseCx, SectionKind, Sections, Status, Word};

use super::{DataClass, DataDef, DataType, KeyType, Schema, SrvKey};

/// One table, as written.
#[derive(Clone, Debug)]
pub struct TableDecl {
    /// Its definition.
    pub schema: Schema,
    /// `peers`.
    pub peers: Option<(String, Loc)>,
    /// `write-to`.
    pub write_to: Option<(String, Loc)>,
    /// `recv-only`.
    pub recv_only: bool,
    /// `srvkey`.
    pub srvkey: SrvKey,
    /// `brates-factor`.
    pub brates_factor: u32,
    /// Where it stands.
    pub loc: Loc,
}

impl TableDecl {
    /// A table with nothing else said about it.
    pub fn plain(schema: Schema, loc: Loc) -> TableDecl {
        TableDecl {
            schema,
            peers: None,
            write_to: None,
            recv_only: false,
            srvkey: SrvKey::Name,
            brates_factor: 1,
            loc,
        }
    }
}

/// The table of a proxy, as written: a section feature.
#[derive(Clone, Debug, Default)]
pub struct TableConf {
    /// The table.
    pub table: Option<TableDecl>,
}

/// The tables of a peers section, as written: a section feature.
#[derive(Clone, Debug, Default)]
pub struct PeersTables {
    /// Name and table, in the order of the file.
    pub tables: Vec<(String, TableDecl)>,
}

/// Bytes of a string or binary key unless `len` says otherwise; of a string's, one is its end. (Peers compare it.)
const KEY_LEN: u32 = 32;
const KEY_LEN_MAX: i64 = 4096;
const BRATES_FACTOR_MAX: i64 = 1024;

/// Names of what `store` takes, for listings.
pub fn data_names() -> impl Iterator<Item = &'static str> {
    DataType::ALL.iter().map(|r| r.name)
}

/// The keyword.
pub static KEYWORDS: &[Keyword] = &[Keyword {
    name: "stick-table",
    sections: Sections(Sections::FRONTEND.0 | Sections::BACKEND.0),
    syntax: "stick-table type {ip | ipv4 | ipv6 | integer | string [len <length>] | binary [len <length>]} size <size> \
             [expire <expire>] [nopurge] [recv-only] [write-to <table>] [peers <peers>] [srvkey {name | addr}] \
             [brates-factor <bytes>] [store <data_type>]*",
    doc: "the section's table of clients: keys with a server and counters",
    status: Status::Full,
    parse: stick_table,
}];

fn stick_table(cx: &mut ParseCx<'_>) {
    let Some(decl) = parse(cx) else { return };
    let loc = decl.loc;
    let conf = cx.section.feature::<TableConf>();
    let first = conf.table.as_ref().map(|d| d.loc.line);
    match first {
        Some(line) => {
            cx.error(loc, format!("'stick-table': the section has a table already, in line {line}"));
        }
        None => conf.table = Some(decl),
    }
}

/// `table <name> type ...` of a `peers` section; the directive is at the name.
pub fn peers_table(cx: &mut ParseCx<'_>) {
    let Some(name) = cx.expect("a name for the table") else { return };
    let (text, at) = (name.text().into_owned(), name.loc);
    let Some(decl) = parse(cx) else { return };
    let conf = cx.section.feature::<PeersTables>();
    let first = conf.tables.iter().find(|(n, _)| *n == text).map(|(_, d)| d.loc.line);
    match first {
        Some(line) => {
            cx.error(at, format!("'table': the section has a table '{text}' already, in line {line}"));
        }
        None => conf.tables.push((text, decl)),
    }
}

/// The arguments so far.
struct Args {
    key: Option<KeyType>,
    size: Option<u32>,
    data: Vec<(DataDef, Loc)>,
    decl: TableDecl,
}

/// What follows `stick-table`, or `table <name>` in a `peers` section.
fn parse(cx: &mut ParseCx<'_>) -> Option<TableDecl> {
    let decl = TableDecl::plain(Schema::new(KeyType::Integer, 1), cx.dir.words[0].loc);
    let mut args = Args { key: None, size: None, data: Vec::new(), decl };
    while let Some(w) = cx.next() {
        argument(cx, w, &mut args)?;
    }
    let Args { key, size, data, mut decl } = args;
    let keyword = cx.keyword();
    let (Some(key), Some(size)) = (key, size) else {
        let what = if key.is_none() { "type" } else { "size" };
        let at = cx.end_loc();
        cx.error(at, format!("'{keyword}' expects a '{what}'"));
        return None;
    };
    decl.schema =
        Schema { expire_ms: decl.schema.expire_ms, nopurge: decl.schema.nopurge, ..Schema::new(key, size) };
    for (def, at) in data {
        let name = def.data.info().name;
        if decl.schema.has(def.data) {
            cx.warning(at, format!("'{keyword}': '{name}' is stored already, ignored"));
            continue;
        }
        if let Err(e) = decl.schema.store(def) {
            cx.error(at, format!("'{keyword}': {e}"));
            return None;
        }
    }
    Some(decl)
}

fn argument(cx: &mut ParseCx<'_>, w: &Word, args: &mut Args) -> Option<()> {
    let decl = &mut args.decl;
    match &*w.text() {
        "type" => args.key = Some(key_type(cx)?),
        "size" => args.size = Some(table_size(cx)?),
        "expire" => {
            let d = cx.expect_duration("a duration", Unit::Ms)?;
            let ms = u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
            decl.schema.expire_ms = Some(ms).filter(|ms| *ms > 0);
        }
        "nopurge" => decl.schema.nopurge = true,
        "store" => {
            let w = cx.expect("data types to store")?;
            store(cx, w, &mut args.data)?;
        }
        "peers" if cx.section.kind != SectionKind::Peers => {
            decl.peers = Some(name(cx, "the name of a peers section")?)
        }
        "write-to" => decl.write_to = Some(name(cx, "the name of a table")?),
        "recv-only" => decl.recv_only = true,
        "srvkey" => {
            let which = cx.expect_one_of("what names a server", &["name", "addr"])?;
            decl.srvkey = if which == 1 { SrvKey::Addr } else { SrvKey::Name };
        }
        "brates-factor" => {
            let n = cx.expect_int("a number of bytes", 1..=BRATES_FACTOR_MAX)?;
            decl.brates_factor = n as u32;
        }
        other => {
            let message = format!("'{}' cannot handle unexpected argument '{other}'", cx.keyword());
            cx.error(w.loc, message);
            return None;
        }
    }
    Some(())
}

fn name(cx: &mut ParseCx<'_>, what: &str) -> Option<(String, Loc)> {
    let w = cx.expect(what)?;
    Some((w.text().into_owned(), w.loc))
}

fn key_type(cx: &mut ParseCx<'_>) -> Option<KeyType> {
    let names = ["ip", "ipv6", "integer", "string", "binary", "ipv4"];
    let which = cx.expect_one_of("a type of keys", &names)?;
    let mut len = if which == 3 { KEY_LEN - 1 } else { KEY_LEN };
    if matches!(which, 3 | 4) && cx.accept("len") {
        len = cx.expect_int("the length of keys in bytes", 1..=KEY_LEN_MAX)? as u32;
    }
    Some(match which {
        0 | 5 => KeyType::Ip,
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
        for bad in ["nope", "gpc0(1)", "gpc", "conn_rate", "conn_rate(x)", "gpt(3", "server_id(1)"] {
            assert!(data_def(bad).is_err(), "{bad}");
        }
    }
}
