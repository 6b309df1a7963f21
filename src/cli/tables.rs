//! `show table`, `set table`, `clear table` (management manual, 9.3).

use std::cmp::Ordering;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;

use super::Context;
use super::commands::{Call, Next};
use super::sink::{Gone, PIECE, Sink};
use crate::base::time::Mono;
use crate::runtime;
use crate::stick::{self, DataClass, DataType, Entry, KeyType, Schema, Slot, Table, TableId};

/// Filters that one command may have.
const FILTERS_MAX: usize = 16;
/// Records that are looked at before others have their turn.
const LOOK: u32 = 2048;

/// `data.<type> <op> <value>`.
#[derive(Debug)]
struct Filter {
    slot: Slot,
    op: Operator,
    value: i64,
}

impl Filter {
    fn passes(&self, entry: &Entry<'_>, now: Mono) -> bool {
        let have = i128::from(entry.get(self.slot, now));
        (self.op)(have.cmp(&i128::from(self.value)))
    }
}

/// Which entries a command is about.
enum Which {
    All(Vec<Filter>),
    Key(Vec<u8>),
    Record(Option<u32>),
}

type Operator = fn(Ordering) -> bool;

const OPERATORS: [(&str, Operator); 6] = [
    ("eq", Ordering::is_eq),
    ("ne", Ordering::is_ne),
    ("le", Ordering::is_le),
    ("ge", Ordering::is_ge),
    ("lt", Ordering::is_lt),
    ("gt", Ordering::is_gt),
];

/// The value called `name`: a type, or an element of an array as `show table` prints it (`gpc3`, `gpc3_rate`).
fn slot(schema: &Schema, name: &str) -> Result<(DataType, Slot), &'static str> {
    const ABSENT: &str = "Data type not stored in this table";
    if let Some(data) = DataType::by_name(name) {
        return schema.slot(data, 0).map(|s| (data, s)).ok_or(ABSENT);
    }
    let (stem, rate) = name.strip_suffix("_rate").map_or((name, false), |s| (s, true));
    let array = match (stem.get(..3), rate) {
        (Some("gpt"), false) => DataType::Gpt,
        (Some("gpc"), false) => DataType::Gpc,
        (Some("gpc"), true) => DataType::GpcRate,
        _ => return Err("Unknown data type"),
    };
    let element = stem[3..].parse().map_err(|_| "Unknown data type")?;
    schema.slot(array, element).map(|s| (array, s)).ok_or(ABSENT)
}

fn filter(schema: &Schema, words: &[String]) -> Result<Filter, String> {
    let name = words[0].strip_prefix("data.").unwrap_or_default();
    let (_, slot) = slot(schema, name)?;
    let op = words.get(1).map_or("", String::as_str);
    let op = OPERATORS.iter().find(|(o, _)| *o == op).map(|(_, f)| *f);
    let op = op.ok_or(r#"Require and operator among "eq", "ne", "le", "ge", "lt", "gt""#)?;
    let value = words.get(2).and_then(|v| v.parse().ok());
    Ok(Filter { slot, op, value: value.ok_or("Require a valid integer value to compare against")? })
}

/// The bytes of a key that was written as text.
fn key_bytes(of: KeyType, text: &str) -> Option<Vec<u8>> {
    Some(match of {
        KeyType::Ip => match text.parse().ok()? {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.to_ipv4_mapped()?.octets().to_vec(),
        },
        KeyType::Ipv6 => match text.parse().ok()? {
            IpAddr::V4(a) => a.to_ipv6_mapped().octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        },
        // As samples are converted: the low 32 bits.
        KeyType::Integer => (text.parse::<i64>().ok()? as u32).to_be_bytes().to_vec(),
        KeyType::String(_) => Some(text).filter(|t| !t.is_empty())?.as_bytes().to_vec(),
        KeyType::Binary(_) => hex(text)?,
    })
}

/// As `show table` prints binary keys.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|d| !d.is_empty() && d.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect())
}

/// The table that the first word names. Says what is wrong otherwise.
fn find(call: &mut Call<'_>, required: &str) -> Option<(TableId, Arc<Table>)> {
    let Some(name) = call.args.first() else {
        let _ = writeln!(call.out, "{required}");
        return None;
    };
    let tables = &call.cx.stick;
    let found = tables.find(name).and_then(|id| Some((id, tables.get(id)?.clone())));
    if found.is_none() {
        call.out.push_str("No such table\n");
    }
    found
}

/// What follows the table's name.
fn which(table: &Table, words: &[String], otherwise: &str) -> Result<Which, String> {
    let schema = table.schema();
    let Some(first) = words.first() else { return Ok(Which::All(Vec::new())) };
    match first.as_str() {
        "key" => {
            let text = words.get(1).ok_or("Key value expected")?;
            Ok(Which::Key(key_bytes(schema.key, text).ok_or("Invalid key")?))
        }
        "ptr" => {
            let text = words.get(1).ok_or("Pointer value expected")?;
            let number = text.strip_prefix("0x").and_then(|h| u32::from_str_radix(h, 16).ok());
            Ok(Which::Record(number.ok_or("Invalid ptr")?.checked_sub(1)))
        }
        word if word.starts_with("data.") => {
            let mut filters = Vec::new();
            for (i, words) in words.chunks(3).enumerate() {
                let at = |e: String| format!("Filter entry #{}: {e}", i + 1);
                if i == FILTERS_MAX {
                    return Err(format!("At most {FILTERS_MAX} filters"));
                }
                if !words[0].starts_with("data.") {
                    return Err(at(r#""data.<type>" expected"#.into()));
                }
                filters.push(filter(schema, words).map_err(at)?);
            }
            Ok(Which::All(filters))
        }
        _ => Err(otherwise.to_owned()),
    }
}

/// The entry's data in the order of their numbers, as `show table` has always had it.
fn columns(schema: &Schema) -> Vec<(String, Slot)> {
    let mut defs: Vec<_> = schema.data().to_vec();
    defs.sort_by_key(|d| d.data);
    let mut all = Vec::new();
    for d in defs {
        for i in 0..d.elems {
            let info = d.data.info();
            let Some(slot) = schema.slot(d.data, i) else { continue };
            let name = match (info.array, info.name.strip_suffix("_rate")) {
                (false, _) => info.name.to_owned(),
                (true, Some(stem)) => format!("{stem}{i}_rate"),
                (true, None) => format!("{}{i}", info.name),
            };
            let period =
                if info.class == DataClass::Rate { format!("({})", d.period_ms) } else { String::new() };
            all.push((format!("{name}{period}"), slot));
        }
    }
    all
}

/// Text with what would end a word or a line escaped.
fn escaped(text: &[u8], out: &mut String) {
    for &b in text {
        match b {
            b' ' | b'=' | b'\\' => out.extend(['\\', char::from(b)]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x1b => out.push_str("\\e"),
            0x21..=0x7e => out.push(char::from(b)),
            _ => {
                let _ = write!(out, "\\x{b:02X}");
            }
        }
    }
}

fn put_key(of: KeyType, bytes: &[u8], out: &mut String) {
    let v4 = <[u8; 4]>::try_from(bytes);
    // Writing to a String cannot fail.
    let _ = match (of, v4) {
        (KeyType::Ip, Ok(b)) => write!(out, "{}", std::net::Ipv4Addr::from(b)),
        (KeyType::Integer, Ok(b)) => write!(out, "{}", u32::from_be_bytes(b)),
        (KeyType::Ipv6, _) => {
            write!(out, "{}", Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap_or_default()))
        }
        (KeyType::String(_), _) => {
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            escaped(&bytes[..end], out);
            Ok(())
        }
        _ => bytes.iter().try_for_each(|b| write!(out, "{b:02X}")),
    };
}

fn put_entry(cx: &Context, entry: &Entry<'_>, of: KeyType, columns: &[(String, Slot)], out: &mut String) {
    let now = runtime::now();
    let _ = write!(out, "0x{:08x}: key=", entry.record() + 1);
    put_key(of, &entry.key(), out);
    let _ = write!(out, " use={} exp={} shard=0", entry.uses(), entry.expires_in_ms(now).unwrap_or(0));
    for (name, slot) in columns {
        let value = entry.get(*slot, now);
        let _ = match slot.class {
            DataClass::Name => {
                let text = cx.stick.dict().text(value);
                write!(out, " {name}={}", text.as_deref().unwrap_or("-"))
            }
            _ => write!(out, " {name}={value}"),
        };
    }
    out.push('\n');
}

fn header(name: &str, table: &Table, used: u32, out: &mut String) {
    let schema = table.schema();
    let _ = writeln!(out, "# table: {name}, type: {}, size:{}, used:{used}", schema.key.name(), schema.size);
}

/// Tables of up to so many entries are counted.
const COUNTED: u32 = 1024;

/// Bytes that are shown in one go at most.
const WHOLE_MAX: usize = 256 * 1024;

/// How many entries there are. The table's own number includes what expired and was not collected yet: next to a list
/// of all entries, a reader would see that it is too high.
fn used(table: &Table, now: Mono) -> u32 {
    let used = table.used();
    if used == 0 || table.records() > COUNTED {
        return used;
    }
    let mut live = 0;
    table.each(now, |_| {
        live += 1;
        true
    });
    live
}

/// `show table`
pub fn show(call: &mut Call<'_>) -> Next {
    if call.args.is_empty() {
        for (_, name, table) in call.cx.stick.iter() {
            header(name, table, used(table, runtime::now()), call.out);
        }
        return Next::Continue;
    }
    let Some((_, table)) = find(call, "") else { return Next::Continue };
    let otherwise = "Optional argument only supports \"data.<store_data_type>\" <operator> <value> \
                     or key <key> or ptr <ptr>";
    let which = match which(&table, &call.args[1..], otherwise) {
        Ok(which) => which,
        Err(e) => {
            let _ = writeln!(call.out, "{e}");
            return Next::Continue;
        }
    };
    let columns = columns(table.schema());
    let name = call.args[0].clone();
    let (of, now) = (table.schema().key, runtime::now());
    let one = match which {
        Which::All(filters) => {
            if whole(call, &name, &table, &filters, &columns) {
                return Next::Continue;
            }
            header(&name, &table, used(&table, now), call.out);
            let cx = call.cx.clone();
            return each(table, filters, move |entry, out| put_entry(&cx, &entry, of, &columns, out));
        }
        Which::Key(key) => table.get(of.key(&key), now),
        Which::Record(rec) => {
            let entry = rec.and_then(|r| table.at_record(r, now));
            if entry.is_none() {
                call.out.push_str("No entry can be found matching ptr.\n");
            }
            entry
        }
    };
    if let Some(entry) = one {
        header(&name, &table, used(&table, now), call.out);
        put_entry(call.cx, &entry, of, &columns, call.out);
    }
    Next::Continue
}

/// Shows a small table in one go: its head counts what is listed, whatever other threads do. False: it is too large.
fn whole(
    call: &mut Call<'_>,
    name: &str,
    table: &Table,
    filters: &[Filter],
    columns: &[(String, Slot)],
) -> bool {
    if table.records() > COUNTED {
        return false;
    }
    let (of, now) = (table.schema().key, runtime::now());
    let (mut live, mut list) = (0, String::new());
    for entry in (0..table.records()).filter_map(|rec| table.at_record(rec, now)) {
        live += 1;
        if filters.iter().all(|filter| filter.passes(&entry, now)) {
            put_entry(call.cx, &entry, of, columns, &mut list);
        }
        if list.len() > WHOLE_MAX {
            return false;
        }
    }
    header(name, table, live, call.out);
    call.out.push_str(&list);
    true
}

/// Does something with every entry that passes the filters, some at a time.
fn each(
    table: Arc<Table>,
    filters: Vec<Filter>,
    mut f: impl FnMut(Entry<'_>, &mut String) + 'static,
) -> Next {
    let asked = runtime::now();
    let walk = async move |sink: Sink| -> Result<(), Gone> {
        let mut text = String::new();
        // The first piece shows the table at the time of the header.
        let mut now = asked;
        for rec in 0..table.records() {
            if let Some(entry) = table.at_record(rec, now)
                && filters.iter().all(|filter| filter.passes(&entry, now))
            {
                f(entry, &mut text);
            }
            if text.len() >= PIECE || rec % LOOK == LOOK - 1 {
                sink.put(&mut text).await?;
                now = runtime::now();
            }
        }
        sink.put(&mut text).await
    };
    Next::Job(Box::new(move |sink| {
        let mut walk = walk;
        Box::pin(async move { walk(sink).await }) as Pin<Box<dyn Future<Output = Result<(), Gone>>>>
    }))
}

/// `clear table`
pub fn clear(call: &mut Call<'_>) -> Next {
    const REQUIRED: &str = "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> \
                            or <table> key <key> or <table> ptr <ptr>";
    let Some((_, table)) = find(call, REQUIRED) else { return Next::Continue };
    let which = match which(&table, &call.args[1..], REQUIRED) {
        Ok(which) => which,
        Err(e) => {
            let _ = writeln!(call.out, "{e}");
            return Next::Continue;
        }
    };
    let (of, now) = (table.schema().key, runtime::now());
    let one = match which {
        Which::All(filters) => {
            let own = table.clone();
            return each(table, filters, move |entry, _| {
                let key = entry.key();
                // Removed only when nobody uses it, this walk included.
                drop(entry);
                own.remove(of.key(&key));
            });
        }
        Which::Key(key) => Some(key),
        Which::Record(rec) => rec.and_then(|r| Some(table.at_record(r, now)?.key().to_vec())),
    };
    match one {
        None => call.out.push_str("No entry can be found matching ptr.\n"),
        Some(key) => {
            let key = of.key(&key);
            if !table.remove(key) && table.get(key, now).is_some() {
                call.out.push_str("Entry currently in use, cannot remove\n");
            }
        }
    }
    Next::Continue
}

/// What `set table` writes.
enum Value {
    Number(u64),
    Name(String),
}

fn values(schema: &Schema, words: &[String]) -> Result<Vec<(Slot, Value)>, String> {
    let mut all = Vec::new();
    for pair in words.chunks(2) {
        let name = pair[0].strip_prefix("data.").ok_or(r#""data.<type>" followed by a value expected"#)?;
        let (data, slot) = slot(schema, name)?;
        let text = pair.get(1).map_or("", String::as_str);
        let value = match slot.class {
            DataClass::Name => Some(Value::Name(text.to_owned())).filter(|_| !text.is_empty()),
            DataClass::Count64 => text.parse().ok().map(Value::Number),
            _ => text.parse::<u32>().ok().map(|n| Value::Number(n.into())),
        };
        let value = value.ok_or_else(|| match (text.parse::<i128>(), data.info().class) {
            (Ok(_), DataClass::Count64) => format!("'{text}' is not between 0 and {}", u64::MAX),
            (Ok(_), _) => format!("'{text}' is not between 0 and {}", u32::MAX),
            (Err(_), _) => "Require a valid integer value to store".to_owned(),
        })?;
        all.push((slot, value));
    }
    Ok(all)
}

/// `set table`
pub fn set(call: &mut Call<'_>) -> Next {
    const REQUIRED: &str = "Required arguments: <table> key <key> [data.<store_data_type> <value>]* \
                            or <table> ptr <ptr> [data.<store_data_type> <value>]*";
    let Some((id, table)) = find(call, REQUIRED) else { return Next::Continue };
    let done = match call.args.get(1).map(String::as_str) {
        Some("key" | "ptr") => change(call, id, &table),
        _ => Err(REQUIRED.to_owned()),
    };
    if let Err(e) = done {
        let _ = writeln!(call.out, "{e}");
    }
    Next::Continue
}

fn change(call: &Call<'_>, id: TableId, table: &Table) -> Result<(), String> {
    let schema = table.schema();
    let which = which(table, &call.args[1..], "")?;
    let values = values(schema, call.args.get(3..).unwrap_or(&[]))?;
    let now = runtime::now();
    let write = |entry: Entry<'_>| {
        for (slot, value) in &values {
            let value = match value {
                Value::Number(n) => *n,
                Value::Name(text) => call.cx.stick.dict().learn(text),
            };
            entry.set(*slot, value, now);
        }
        entry.touch(now);
    };
    match which {
        Which::Record(rec) => {
            let entry = rec.and_then(|r| table.at_record(r, now));
            write(entry.ok_or("No entry can be found matching ptr.")?);
            Ok(())
        }
        Which::Key(key) => stick::with_writers(|writers| {
            let entry = writers.get(id).and_then(|w| w.get_or_insert(schema.key.key(&key), now));
            write(entry.ok_or("Unable to allocate a new entry")?);
            Ok(())
        }),
        Which::All(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stick::DataDef;

    fn schema() -> Schema {
        let mut s = Schema::new(KeyType::String(8), 10);
        for def in [
            DataDef { data: DataType::GpcRate, elems: 2, period_ms: 1000 },
            DataDef { data: DataType::Gpc, elems: 3, period_ms: 0 },
            DataDef::plain(DataType::ServerId),
            DataDef::plain(DataType::BytesInCnt),
        ] {
            s.store(def).unwrap();
        }
        s
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    #[test]
    fn columns_come_in_the_order_of_their_numbers() {
        let names: Vec<_> = columns(&schema()).into_iter().map(|c| c.0).collect();
        let expected =
            ["server_id", "bytes_in_cnt", "gpc0", "gpc1", "gpc2", "gpc0_rate(1000)", "gpc1_rate(1000)"];
        assert_eq!(names, expected);
    }

    #[test]
    fn keys_as_text() {
        let round = |of, text: &str| {
            let mut out = String::new();
            put_key(of, &key_bytes(of, text)?, &mut out);
            Some(out)
        };
        for (of, text, shown) in [
            (KeyType::Ip, "10.0.0.1", Some("10.0.0.1")),
            (KeyType::Ip, "::ffff:10.0.0.1", Some("10.0.0.1")),
            (KeyType::Ip, "::1", None),
            (KeyType::Ip, "10.0.0.1/8", None),
            (KeyType::Ipv6, "10.0.0.1", Some("::ffff:10.0.0.1")),
            (KeyType::Integer, "-1", Some("4294967295")),
            (KeyType::Integer, "x", None),
            (KeyType::String(32), "a b=\\\u{e9}\n", Some("a\\ b\\=\\\\\\xC3\\xA9\\n")),
            (KeyType::String(32), "", None),
            (KeyType::Binary(4), "01fF", Some("01FF")),
            (KeyType::Binary(4), "01f", None),
            (KeyType::Binary(4), "zz", None),
        ] {
            assert_eq!(round(of, text).as_deref(), shown, "{of:?} {text}");
        }
    }

    #[test]
    fn mistakes_in_filters_and_values_are_named() {
        let table = Table::create("t", schema(), 1).unwrap();
        let error = |text: &str| which(&table, &words(text), "?").err();
        assert_eq!(error("data.gpc2 ge 3 data.server_id eq 1"), None);
        for (text, part) in [
            ("data.gpc3 ge 3", "#1: Data type not stored"),
            ("data.gpcx ge 3", "#1: Unknown data type"),
            ("data.gpc ge 3 data.no eq 1", "#2: Unknown data type"),
            ("data.gpc xx 3", "operator"),
            ("data.gpc ge 3x", "integer"),
            ("data.gpc", "operator"),
            ("data.gpc ge 1 key x", "#2: \"data.<type>\" expected"),
            ("key", "Key value expected"),
            ("ptr zz", "Invalid ptr"),
            ("what", "?"),
        ] {
            let e = error(text).unwrap_or_default();
            assert!(e.contains(part), "{text}: {e}");
        }
        let bad = |text: &str| values(&schema(), &words(text)).err().unwrap_or_default();
        assert_eq!(bad("data.gpc1_rate 3 data.bytes_in_cnt 99999999999"), "");
        assert!(bad("data.gpc0 -1").contains("between 0 and 4294967295"));
        assert!(bad("data.gpc0 99999999999").contains("between 0"));
        assert!(bad("data.gpc0 x").contains("valid integer"));
        assert!(bad("data.gpc0").contains("valid integer"));
        assert!(bad("gpc0 1").contains("followed by a value"));
    }
}
