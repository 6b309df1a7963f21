//! Stick counters: `track-sc*` and what changes tracked entries. Manual: 4.2 and 7.3.3.

use std::sync::Arc;

use crate::config::Loc;
use crate::rules::action::{Act, Action, ActionCx, Parsed, Sets, Step, effect};
use crate::rules::{MessageCx, Verdict};
use crate::sample::{Expr, NameRef, RefKind, Type, to_int};
use crate::stick::DataType;

const TRACK: Sets = Sets::TCP_CONN.or(Sets::TCP_SESS).or(Sets::TCP_REQ).or(Sets::HTTP_REQ).or(Sets::HTTP_RES);
const TRACK_DOC: &str = "counts for the key's entry in a stick table, as stick counter";
/// Elements of an array at most.
const ELEMENT_MAX: u16 = 99;

/// The table. Other numbers than 0 to 2 are written the same way: see [`tracker`].
pub const ACTIONS: &[Action] = &[
    Action::new("track-sc0", TRACK, "track-sc0 <key> [table <table>]", track).doc(TRACK_DOC),
    Action::new("track-sc1", TRACK, "track-sc1 <key> [table <table>]", track).doc(TRACK_DOC),
    Action::new("track-sc2", TRACK, "track-sc2 <key> [table <table>]", track).doc(TRACK_DOC),
    Action::new("sc-inc-gpc0", Sets::ANY, "sc-inc-gpc0(<sc-id>)", |cx| {
        let sc = counter(cx)?;
        effect(move |cx| increase(cx, sc, (DataType::Gpc0, DataType::Gpc0Rate), 0, 1))
    })
    .doc("increments gpc0 of a tracked entry"),
    Action::new("sc-inc-gpc1", Sets::ANY, "sc-inc-gpc1(<sc-id>)", |cx| {
        let sc = counter(cx)?;
        effect(move |cx| increase(cx, sc, (DataType::Gpc1, DataType::Gpc1Rate), 0, 1))
    })
    .doc("increments gpc1 of a tracked entry"),
    Action::new("sc-inc-gpc", Sets::ANY, "sc-inc-gpc(<idx>,<sc-id>)", |cx| {
        let (index, sc) = element(cx)?;
        effect(move |cx| increase(cx, sc, (DataType::Gpc, DataType::GpcRate), index, 1))
    })
    .doc("increments an element of gpc of a tracked entry"),
    Action::new("sc-add-gpc", Sets::ANY, "sc-add-gpc(<idx>,<sc-id>) { <int> | <expr> }", |cx| {
        let (index, sc) = element(cx)?;
        amount(cx, move |cx, n| increase(cx, sc, (DataType::Gpc, DataType::GpcRate), index, n))
    })
    .doc("adds to an element of gpc of a tracked entry"),
    Action::new("sc-set-gpt0", Sets::ANY, "sc-set-gpt0(<sc-id>) { <int> | <expr> }", |cx| {
        let sc = counter(cx)?;
        amount(cx, move |cx, n| set(cx, sc, DataType::Gpt0, 0, n))
    })
    .doc("sets gpt0 of a tracked entry"),
    Action::new("sc-set-gpt", Sets::ANY, "sc-set-gpt(<idx>,<sc-id>) { <int> | <expr> }", |cx| {
        let (index, sc) = element(cx)?;
        amount(cx, move |cx, n| set(cx, sc, DataType::Gpt, index, n))
    })
    .doc("sets an element of gpt of a tracked entry"),
];

/// What rules track, to be checked when all tables are known: a section feature.
#[derive(Clone, Debug, Default)]
pub struct TrackUses {
    /// The rules.
    pub list: Vec<TrackUse>,
}

/// One use of a stick counter.
#[derive(Clone, Debug)]
pub struct TrackUse {
    /// The number of the counter.
    pub sc: usize,
    /// Where.
    pub loc: Loc,
    /// Type and text of the key, and the table if one is named; `None` for rules that only use what is tracked.
    pub key: Option<(Type, String, Option<Arc<NameRef>>)>,
}

/// The entry for `track-sc<N>` with a number that has none of its own.
pub(in crate::rules) fn tracker(name: &str) -> Option<&'static str> {
    let number = name.strip_prefix("track-sc")?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some("track-sc0")
}

struct Track {
    sc: usize,
    key: Expr,
    table: Option<Arc<NameRef>>,
    /// It lasts as long as the connection.
    session: bool,
}

impl Act for Track {
    fn run<'r>(&'r self, cx: &mut dyn MessageCx) -> Step<'r> {
        let table = match &self.table {
            Some(name) => name.table(),
            None => cx.own_table(),
        };
        let Some(table) = table else { return Step::Next };
        if cx.is_tracking(self.sc, self.session) {
            return Step::Next;
        }
        let Some(of) = cx.writer(table).map(|w| w.table().schema().key) else { return Step::Next };
        let key = self.key.eval(cx.ctx()).and_then(|sample| crate::sample::key_of(sample, of));
        match key {
            Some(key) => cx.track(self.sc, table, &key, self.session),
            // The key may still come.
            None if !cx.input_final() => return Step::End(Verdict::Wait),
            None => {}
        }
        Step::Next
    }
}

fn track(cx: &mut ActionCx<'_, '_>) -> Parsed {
    let loc = cx.loc;
    let number = cx.what.rsplit_once("track-sc").map_or("", |(_, n)| n);
    let Ok(sc) = number.parse::<usize>() else {
        return cx.error(loc, "a stick counter's number is expected behind 'track-sc'");
    };
    let key = cx.expr("a key")?;
    let table = match cx.accept("table") {
        false => None,
        true => {
            let name = cx.arg("the name of a table")?;
            Some(cx.ex.reference(RefKind::Table, &name.text(), name.loc))
        }
    };
    note(cx, sc, Some((key.out(), key.text().to_owned(), table.clone())));
    let session = cx.set == Sets::TCP_CONN || cx.set == Sets::TCP_SESS;
    Some(Box::new(Track { sc, key, table, session }))
}

fn note(cx: &mut ActionCx<'_, '_>, sc: usize, key: Option<(Type, String, Option<Arc<NameRef>>)>) {
    let loc = cx.loc;
    cx.ex.section.feature::<TrackUses>().list.push(TrackUse { sc, loc, key });
}

/// `(<sc-id>)`
fn counter(cx: &mut ActionCx<'_, '_>) -> Option<usize> {
    let word = cx.paren("the number of a stick counter")?;
    match word.text().trim().parse() {
        Ok(sc) => {
            note(cx, sc, None);
            Some(sc)
        }
        Err(_) => cx.error(word.loc, format_args!("'{}' is not the number of a stick counter", word.text())),
    }
}

/// `(<idx>,<sc-id>)`
fn element(cx: &mut ActionCx<'_, '_>) -> Option<(u16, usize)> {
    let word = cx.paren("an index and the number of a stick counter")?;
    let text = word.text();
    let parts = text.split_once(',').map(|(i, s)| (i.trim().parse::<u16>(), s.trim().parse::<usize>()));
    match parts {
        Some((Ok(index), Ok(sc))) if index <= ELEMENT_MAX => {
            note(cx, sc, None);
            Some((index, sc))
        }
        Some((Ok(_), Ok(_))) => cx.error(word.loc, format_args!("an index is between 0 and {ELEMENT_MAX}")),
        _ => cx.error(
            word.loc,
            format_args!("'{text}' is not an index and the number of a stick counter, like '0,1'"),
        ),
    }
}

/// A constant or an expression.
fn amount(cx: &mut ActionCx<'_, '_>, f: impl Fn(&mut dyn MessageCx, u32) + Send + Sync + 'static) -> Parsed {
    if let Some(w) = cx.peek()
        && let Ok(n) = w.text().parse::<i64>()
    {
        cx.pos += 1;
        let Ok(n) = u32::try_from(n) else {
            return cx.error(w.loc, format_args!("{n} is not between 0 and {}", u32::MAX));
        };
        return effect(move |cx| f(cx, n));
    }
    let e = cx.expr("an integer or an expression")?;
    effect(move |cx| {
        let n = e.eval_as(cx.ctx(), Type::Int).and_then(|s| to_int(&s)).and_then(|n| u32::try_from(n).ok());
        if let Some(n) = n {
            f(cx, n);
        }
    })
}

/// Adds to a count and its rate, whichever are stored.
fn increase(cx: &mut dyn MessageCx, sc: usize, (count, rate): (DataType, DataType), index: u16, n: u32) {
    let cx = cx.ctx();
    let Some(t) = cx.tracked(sc) else { return };
    let Some(writer) = cx.writer(t.table) else { return };
    let (schema, now) = (writer.table().schema(), cx.now());
    for data in [rate, count] {
        if let Some(slot) = schema.slot(data, index) {
            t.entry.add(slot, n.into(), now);
        }
    }
    t.entry.touch(now);
}

fn set(cx: &mut dyn MessageCx, sc: usize, data: DataType, index: u16, n: u32) {
    let cx = cx.ctx();
    let Some(t) = cx.tracked(sc) else { return };
    let Some(writer) = cx.writer(t.table) else { return };
    if let Some(slot) = writer.table().schema().slot(data, index) {
        t.entry.set(slot, n.into(), cx.now());
        t.entry.touch(cx.now());
    }
}
