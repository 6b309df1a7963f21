//! Counters of stick tables as expressions see them: those that the stream tracks (`sc_*`), those of the client's
//! address (`src_*`), those of any key (`table_*`). Manual, 7.3.3.
//!
//! One row for each value gives all the fetches and converters that read or change it.

use std::mem::ManuallyDrop;
use std::net::IpAddr;

use crate::config::Loc;
use crate::stick::{DataType, Entry, KeyType, TableId, Writer};

use super::{ArgType, Args, Converter, Ctx, ExprCx, Fetch, KeyBytes, Needs, Sample, Scratch, Type, key_of};

/// What stick counters may be called: `sc0` to this.
pub(super) const COUNTER_MAX: i64 = 255;

/// An entry that a stream tracks.
pub struct TrackedEntry<'a> {
    /// Its table.
    pub table: TableId,
    /// The entry; the use is the stream's.
    pub entry: ManuallyDrop<Entry<'a>>,
}

/// Places that need a stick table of the section they are used in: a section feature.
#[derive(Clone, Debug, Default)]
pub struct OwnTableUses(pub Vec<(&'static str, Option<Loc>)>);

/// What is done with a value.
#[derive(Clone, Copy)]
enum Op {
    Get(DataType),
    /// In units of 1024.
    Kib(DataType),
    /// A count and its rate, whichever are stored.
    Inc(DataType, DataType),
    Clear(DataType),
}

impl Op {
    fn creates(self) -> bool {
        matches!(self, Op::Inc(..) | Op::Clear(_))
    }

    /// `None` when the table does not store it.
    fn apply(self, entry: &Entry<'_>, writer: &Writer, index: u16, cx: &dyn Ctx) -> Option<i64> {
        let (schema, now) = (writer.table().schema(), cx.now());
        let value = match self {
            Op::Get(data) => entry.get(schema.slot(data, index)?, now),
            Op::Kib(data) => entry.get(schema.slot(data, index)?, now) >> 10,
            Op::Inc(count, rate) => {
                let slots = (schema.slot(count, index), schema.slot(rate, index));
                if slots == (None, None) {
                    return None;
                }
                let rate = slots.1.map(|s| entry.add(s, 1, now));
                let count = slots.0.map(|s| entry.add(s, 1, now));
                entry.touch(now);
                count.or(rate)?
            }
            Op::Clear(data) => {
                let slot = schema.slot(data, index)?;
                let old = entry.get(slot, now);
                entry.set(slot, 0, now);
                entry.touch(now);
                old
            }
        };
        Some(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

/// The array element that the first argument names.
fn index(args: &Args, indexed: bool) -> Option<u16> {
    if indexed { u16::try_from(args.int(0)?).ok() } else { Some(0) }
}

/// The table that argument `at` names, or the rule's own.
fn table<'a>(args: &Args, at: usize, cx: &'a dyn Ctx) -> Option<&'a Writer> {
    let id = match args.name(at) {
        Some(name) => name.table()?,
        None => cx.own_table()?,
    };
    cx.writer(id)
}

/// `sc_*`: `fixed` is the counter that the name says, otherwise an argument does.
fn tracked<'a>(
    args: &'a Args,
    cx: &'a dyn Ctx,
    fixed: Option<usize>,
    indexed: bool,
    op: Op,
) -> Option<Sample<'a>> {
    let element = index(args, indexed)?;
    let mut at = usize::from(indexed);
    let sc = match fixed {
        Some(n) => n,
        None => {
            at += 1;
            usize::try_from(args.int(at - 1)?).ok()?
        }
    };
    let t = cx.tracked(sc)?;
    let value = match args.name(at) {
        None => op.apply(&t.entry, cx.writer(t.table)?, element, cx)?,
        Some(name) if name.table() == Some(t.table) => {
            op.apply(&t.entry, cx.writer(t.table)?, element, cx)?
        }
        // The same key in another table.
        Some(name) => {
            let other = cx.writer(name.table()?)?;
            let key = t.entry.key();
            match other.table().get(other.table().schema().key.key(&key), cx.now()) {
                Some(entry) => op.apply(&entry, other, element, cx)?,
                None => 0,
            }
        }
    };
    Some(Sample::Int(value))
}

fn address_key(of: KeyType, ip: IpAddr) -> Option<KeyBytes> {
    matches!(of, KeyType::Ip | KeyType::Ipv6).then(|| key_of(Sample::Ip(ip), of))?
}

/// Does something with the entry of a key; a value of 0 for a key that is not there.
fn keyed(key: &[u8], writer: &Writer, element: u16, op: Op, cx: &dyn Ctx) -> Option<i64> {
    let key = writer.table().schema().key.key(key);
    let entry = match op.creates() {
        true => writer.get_or_insert(key, cx.now()),
        false => writer.table().get(key, cx.now()),
    };
    match entry {
        Some(entry) => op.apply(&entry, writer, element, cx),
        None => Some(0),
    }
}

/// `src_*`
fn source<'a>(args: &'a Args, cx: &'a dyn Ctx, indexed: bool, op: Op) -> Option<Sample<'a>> {
    let writer = table(args, usize::from(indexed), cx)?;
    let key = address_key(writer.table().schema().key, cx.src()?.ip())?;
    keyed(&key, writer, index(args, indexed)?, op, cx).map(Sample::Int)
}

/// `table_*`
fn converted<'a>(
    args: &'a Args,
    sample: Sample<'a>,
    cx: &'a dyn Ctx,
    indexed: bool,
    op: Op,
) -> Option<Sample<'a>> {
    let writer = table(args, usize::from(indexed), cx)?;
    let key = key_of(sample, writer.table().schema().key)?;
    keyed(&key, writer, index(args, indexed)?, op, cx).map(Sample::Int)
}

/// Notes that argument `at` was left out: the section must have a table then.
fn needs_table(
    cx: &mut ExprCx<'_>,
    args: &Args,
    at: usize,
    what: &'static str,
) -> Result<(), (usize, String)> {
    if args.name(at).is_none() {
        cx.section.feature::<OwnTableUses>().0.push((what, None));
    }
    Ok(())
}

fn bounded(args: &Args, at: usize, max: i64, what: &str) -> Result<(), (usize, String)> {
    match args.int(at) {
        Some(n) if !(0..=max).contains(&n) => Err((at, format!("{what} is between 0 and {max}"))),
        _ => Ok(()),
    }
}

const ELEMENT_MAX: i64 = 99;
const CLIENT: Needs = Needs::CLIENT;
const ANY: Needs = Needs::INTERNAL;
const CTR: &[ArgType] = &[ArgType::Int, ArgType::Table];
const TABLE: &[ArgType] = &[ArgType::Table];
const ELEMENT: &[ArgType] = &[ArgType::Int, ArgType::Table];
const ELEMENT_CTR: &[ArgType] = &[ArgType::Int, ArgType::Int, ArgType::Table];

macro_rules! scalars {
    ($($name:literal $conv:literal $op:expr, $doc:literal;)*) => {
        /// Fetches of single values.
        pub(super) const SCALARS: &[Fetch] = &[$(
            Fetch::new(concat!("sc_", $name), Type::Int, ANY, |a, c| tracked(a, c, None, false, $op))
                .args(1, CTR)
                .prepare(|_, a| bounded(a, 0, COUNTER_MAX, "a stick counter"))
                .doc(concat!("of a tracked entry: ", $doc)),
            Fetch::new(concat!("sc0_", $name), Type::Int, ANY, |a, c| tracked(a, c, Some(0), false, $op))
                .args(0, TABLE)
                .doc(concat!("of the entry that sc0 tracks: ", $doc)),
            Fetch::new(concat!("sc1_", $name), Type::Int, ANY, |a, c| tracked(a, c, Some(1), false, $op))
                .args(0, TABLE)
                .doc(concat!("of the entry that sc1 tracks: ", $doc)),
            Fetch::new(concat!("sc2_", $name), Type::Int, ANY, |a, c| tracked(a, c, Some(2), false, $op))
                .args(0, TABLE)
                .doc(concat!("of the entry that sc2 tracks: ", $doc)),
            Fetch::new(concat!("src_", $name), Type::Int, CLIENT, |a, c| source(a, c, false, $op))
                .args(0, TABLE)
                .prepare(|cx, a| needs_table(cx, a, 0, concat!("src_", $name)))
                .doc(concat!("of the client's address: ", $doc)),
        )*];

        /// Converters of single values.
        pub(super) const SCALAR_CONVERTERS: &[Converter] = &[$(
            Converter::new(concat!("table_", $conv), Type::Any, Type::Int, |a, s, c| converted(a, s, c, false, $op))
                .args(0, TABLE)
                .prepare(|cx, a| needs_table(cx, a, 0, concat!("table_", $conv)))
                .doc(concat!("of the input as a key: ", $doc)),
        )*];
    };
}

macro_rules! elements {
    ($($name:literal $conv:literal $op:expr, $doc:literal;)*) => {
        /// Fetches of elements of arrays.
        pub(super) const ELEMENTS: &[Fetch] = &[$(
            Fetch::new(concat!("sc_", $name), Type::Int, ANY, |a, c| tracked(a, c, None, true, $op))
                .args(2, ELEMENT_CTR)
                .prepare(|_, a| {
                    bounded(a, 0, ELEMENT_MAX, "an index")?;
                    bounded(a, 1, COUNTER_MAX, "a stick counter")
                })
                .doc(concat!("of a tracked entry: ", $doc)),
            Fetch::new(concat!("src_", $name), Type::Int, CLIENT, |a, c| source(a, c, true, $op))
                .args(1, ELEMENT)
                .prepare(|cx, a| {
                    bounded(a, 0, ELEMENT_MAX, "an index")?;
                    needs_table(cx, a, 1, concat!("src_", $name))
                })
                .doc(concat!("of the client's address: ", $doc)),
        )*];

        /// Converters of elements of arrays.
        pub(super) const ELEMENT_CONVERTERS: &[Converter] = &[$(
            Converter::new(concat!("table_", $conv), Type::Any, Type::Int, |a, s, c| converted(a, s, c, true, $op))
                .args(1, ELEMENT)
                .prepare(|cx, a| {
                    bounded(a, 0, ELEMENT_MAX, "an index")?;
                    needs_table(cx, a, 1, concat!("table_", $conv))
                })
                .doc(concat!("of the input as a key: ", $doc)),
        )*];
    };
}

scalars! {
    "bytes_in_rate" "bytes_in_rate" Op::Get(DataType::BytesInRate), "bytes from clients over the period";
    "bytes_out_rate" "bytes_out_rate" Op::Get(DataType::BytesOutRate), "bytes to clients over the period";
    "conn_cnt" "conn_cnt" Op::Get(DataType::ConnCnt), "connections so far";
    "conn_cur" "conn_cur" Op::Get(DataType::ConnCur), "connections now";
    "conn_rate" "conn_rate" Op::Get(DataType::ConnRate), "connections over the period";
    "get_gpc0" "gpc0" Op::Get(DataType::Gpc0), "gpc0";
    "get_gpc1" "gpc1" Op::Get(DataType::Gpc1), "gpc1";
    "get_gpt0" "gpt0" Op::Get(DataType::Gpt0), "gpt0";
    "glitch_cnt" "glitch_cnt" Op::Get(DataType::GlitchCnt), "protocol glitches so far";
    "glitch_rate" "glitch_rate" Op::Get(DataType::GlitchRate), "protocol glitches over the period";
    "gpc0_rate" "gpc0_rate" Op::Get(DataType::Gpc0Rate), "increments of gpc0 over the period";
    "gpc1_rate" "gpc1_rate" Op::Get(DataType::Gpc1Rate), "increments of gpc1 over the period";
    "http_err_cnt" "http_err_cnt" Op::Get(DataType::HttpErrCnt), "errors of clients (4xx) so far";
    "http_err_rate" "http_err_rate" Op::Get(DataType::HttpErrRate), "errors of clients (4xx) over the period";
    "http_fail_cnt" "http_fail_cnt" Op::Get(DataType::HttpFailCnt), "failures of servers (5xx) so far";
    "http_fail_rate" "http_fail_rate" Op::Get(DataType::HttpFailRate), "failures of servers (5xx) over the period";
    "http_req_cnt" "http_req_cnt" Op::Get(DataType::HttpReqCnt), "HTTP requests so far";
    "http_req_rate" "http_req_rate" Op::Get(DataType::HttpReqRate), "HTTP requests over the period";
    "kbytes_in" "kbytes_in" Op::Kib(DataType::BytesInCnt), "KiB from clients so far";
    "kbytes_out" "kbytes_out" Op::Kib(DataType::BytesOutCnt), "KiB to clients so far";
    "sess_cnt" "sess_cnt" Op::Get(DataType::SessCnt), "sessions so far";
    "sess_rate" "sess_rate" Op::Get(DataType::SessRate), "sessions over the period";
    "inc_gpc0" "inc_gpc0" Op::Inc(DataType::Gpc0, DataType::Gpc0Rate), "increments gpc0, gives the new value";
    "inc_gpc1" "inc_gpc1" Op::Inc(DataType::Gpc1, DataType::Gpc1Rate), "increments gpc1, gives the new value";
    "clr_gpc0" "clr_gpc0" Op::Clear(DataType::Gpc0), "clears gpc0, gives the old value";
    "clr_gpc1" "clr_gpc1" Op::Clear(DataType::Gpc1), "clears gpc1, gives the old value";
}

elements! {
    "get_gpc" "gpc" Op::Get(DataType::Gpc), "an element of gpc";
    "get_gpt" "gpt" Op::Get(DataType::Gpt), "an element of gpt";
    "gpc_rate" "gpc_rate" Op::Get(DataType::GpcRate), "increments of an element of gpc over the period";
    "inc_gpc" "inc_gpc" Op::Inc(DataType::Gpc, DataType::GpcRate), "increments an element of gpc, gives the new value";
    "clr_gpc" "clr_gpc" Op::Clear(DataType::Gpc), "clears an element of gpc, gives the old value";
}

/// The counter's number: fixed by the name, or the first argument; and where the table's name is.
fn counter(args: &Args, fixed: Option<usize>) -> Option<(usize, usize)> {
    match fixed {
        Some(n) => Some((n, 0)),
        None => Some((usize::try_from(args.int(0)?).ok()?, 1)),
    }
}

fn is_tracked<'a>(args: &'a Args, cx: &'a dyn Ctx, fixed: Option<usize>) -> Option<Sample<'a>> {
    let (sc, at) = counter(args, fixed)?;
    let yes = cx.tracked(sc).is_some_and(|t| args.name(at).is_none_or(|n| n.table() == Some(t.table)));
    Some(Sample::Bool(yes))
}

fn trackers<'a>(args: &'a Args, cx: &'a dyn Ctx, fixed: Option<usize>) -> Option<Sample<'a>> {
    let (sc, at) = counter(args, fixed)?;
    let t = cx.tracked(sc)?;
    let uses = match args.name(at) {
        // Its own use is one.
        None => t.entry.uses() + 1,
        Some(name) => {
            let table = cx.writer(name.table()?)?.table();
            let key = t.entry.key();
            table.get(table.schema().key.key(&key), cx.now()).map_or(0, |e| e.uses())
        }
    };
    Some(Sample::Int(uses.into()))
}

fn key_sample<'a>(args: &'a Args, cx: &'a dyn Ctx, fixed: Option<usize>) -> Option<Sample<'a>> {
    let (sc, _) = counter(args, fixed)?;
    let t = cx.tracked(sc)?;
    let of = cx.writer(t.table)?.table().schema().key;
    let bytes = t.entry.key();
    let text = || bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    Some(match of {
        KeyType::Ip => Sample::Ip(IpAddr::from(<[u8; 4]>::try_from(&bytes[..]).ok()?)),
        KeyType::Ipv6 => Sample::Ip(IpAddr::from(<[u8; 16]>::try_from(&bytes[..]).ok()?)),
        KeyType::Integer => Sample::Int(u32::from_be_bytes(bytes[..].try_into().ok()?).into()),
        KeyType::String(_) => Sample::Str(super::Buf::Owned(Scratch::of(&bytes[..text()]))),
        KeyType::Binary(_) => Sample::Bin(super::Buf::Owned(Scratch::of(&bytes))),
    })
}

fn count_source<'a>(args: &'a Args, cx: &'a dyn Ctx) -> Option<Sample<'a>> {
    let writer = table(args, 0, cx)?;
    let key = address_key(writer.table().schema().key, cx.src()?.ip())?;
    let slot = writer.table().schema().slot(DataType::ConnCnt, 0)?;
    let entry = writer.get_or_insert(writer.table().schema().key.key(&key), cx.now())?;
    let count = entry.add(slot, 1, cx.now());
    entry.touch(cx.now());
    Some(Sample::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

macro_rules! tracking {
    ($(($name:literal, $f:ident, $out:expr, $doc:literal)),*) => {
        /// Fetches about the tracking itself.
        pub(super) const OTHERS: &[Fetch] = &[
            $(
                Fetch::new(concat!("sc_", $name), $out, ANY, |a, c| $f(a, c, None))
                    .args(1, CTR)
                    .prepare(|_, a| bounded(a, 0, COUNTER_MAX, "a stick counter"))
                    .doc($doc),
                Fetch::new(concat!("sc0_", $name), $out, ANY, |a, c| $f(a, c, Some(0))).args(0, TABLE).doc($doc),
                Fetch::new(concat!("sc1_", $name), $out, ANY, |a, c| $f(a, c, Some(1))).args(0, TABLE).doc($doc),
                Fetch::new(concat!("sc2_", $name), $out, ANY, |a, c| $f(a, c, Some(2))).args(0, TABLE).doc($doc),
            )*
            Fetch::new("sc0_key", Type::Any, ANY, |a, c| key_sample(a, c, Some(0))).doc("the key of the tracked entry"),
            Fetch::new("sc1_key", Type::Any, ANY, |a, c| key_sample(a, c, Some(1))).doc("the key of the tracked entry"),
            Fetch::new("sc2_key", Type::Any, ANY, |a, c| key_sample(a, c, Some(2))).doc("the key of the tracked entry"),
            Fetch::new("sc_key", Type::Any, ANY, |a, c| key_sample(a, c, None))
                .args(1, &[ArgType::Int])
                .prepare(|_, a| bounded(a, 0, COUNTER_MAX, "a stick counter"))
                .doc("the key of the tracked entry"),
            Fetch::new("src_updt_conn_cnt", Type::Int, CLIENT, count_source)
                .args(0, TABLE)
                .prepare(|cx, a| needs_table(cx, a, 0, "src_updt_conn_cnt"))
                .doc("counts a connection for the client's address, gives the new count"),
            Fetch::new("table_cnt", Type::Int, ANY, |a, c| {
                Some(Sample::Int(table(a, 0, c)?.table().used().into()))
            })
            .args(0, TABLE)
            .prepare(|cx, a| needs_table(cx, a, 0, "table_cnt"))
            .doc("entries in the table"),
            Fetch::new("table_avl", Type::Int, ANY, |a, c| {
                let t = table(a, 0, c)?.table();
                Some(Sample::Int(t.schema().size.saturating_sub(t.used()).into()))
            })
            .args(0, TABLE)
            .prepare(|cx, a| needs_table(cx, a, 0, "table_avl"))
            .doc("entries that the table has room for"),
        ];
    };
}

tracking! {
    ("tracked", is_tracked, Type::Bool, "whether the counter tracks an entry (of that table)"),
    ("trackers", trackers, Type::Int, "how many streams track the entry")
}

/// The entry that the input names as a key.
fn entry_of<'a>(args: &Args, sample: Sample<'a>, cx: &'a dyn Ctx) -> Option<(Option<Entry<'a>>, &'a Writer)> {
    let writer = table(args, 0, cx)?;
    let key = key_of(sample, writer.table().schema().key)?;
    Some((writer.table().get(writer.table().schema().key.key(&key), cx.now()), writer))
}

/// Converters that read no counter.
pub(super) const OTHER_CONVERTERS: &[Converter] = &[
    Converter::new("in_table", Type::Any, Type::Bool, |a, s, c| {
        let (entry, _) = entry_of(a, s, c)?;
        Some(Sample::Bool(entry.is_some()))
    })
    .args(0, TABLE)
    .prepare(|cx, a| needs_table(cx, a, 0, "in_table"))
    .doc("whether the input is a key of the table"),
    Converter::new("table_trackers", Type::Any, Type::Int, |a, s, c| {
        let (entry, _) = entry_of(a, s, c)?;
        Some(Sample::Int(entry.map_or(0, |e| e.uses()).into()))
    })
    .args(0, TABLE)
    .prepare(|cx, a| needs_table(cx, a, 0, "table_trackers"))
    .doc("of the input as a key: how many streams track the entry"),
    Converter::new("table_server_id", Type::Any, Type::Int, |a, s, c| {
        converted(a, s, c, false, Op::Get(DataType::ServerId))
    })
    .args(0, TABLE)
    .prepare(|cx, a| needs_table(cx, a, 0, "table_server_id"))
    .doc("of the input as a key: number of the server, 0 without one"),
    Converter::new("table_expire", Type::Any, Type::Int, |a, s, c| {
        let (entry, _) = entry_of(a, s, c)?;
        let ms = entry.map(|e| i64::try_from(e.expires_in_ms(c.now()).unwrap_or(0)).unwrap_or(i64::MAX));
        ms.or(a.int(1)).map(Sample::Int)
    })
    .args(0, ELEMENT_OF_TABLE)
    .prepare(|cx, a| needs_table(cx, a, 0, "table_expire"))
    .doc("of the input as a key: milliseconds until it expires, or a default"),
    Converter::new("table_idle", Type::Any, Type::Int, |a, s, c| {
        let (entry, writer) = entry_of(a, s, c)?;
        let all = writer.table().schema().expire_ms.unwrap_or(0);
        let idle = |e: Entry<'_>| e.expires_in_ms(c.now()).map_or(0, |left| all.saturating_sub(left));
        entry.map(|e| i64::try_from(idle(e)).unwrap_or(i64::MAX)).or(a.int(1)).map(Sample::Int)
    })
    .args(0, ELEMENT_OF_TABLE)
    .prepare(|cx, a| needs_table(cx, a, 0, "table_idle"))
    .doc("of the input as a key: milliseconds since its last use, or a default"),
];

const ELEMENT_OF_TABLE: &[ArgType] = &[ArgType::Table, ArgType::Int];
