//! A stick table as its section's sessions see it: what changed here, in one order for all of them, and what others
//! teach.
//!
//! Each changed entry has one place in the order, that of its newest change. The list of places keeps old ones until it
//! is twice as long as it has to be; a place is old when the entry has a newer one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use super::entry::{Entry, Field, Value};
use super::types::{DataSpec, DataType, KeyType, Kind, TableSpec};
use super::view::TableView;
use crate::base::time::Mono;
use crate::stick::{self, Changes, RateParts, Slot, Table, TableDef, TableId, TableOwner, with_writers};

/// What a list of places may hold beyond what it has to.
const SLACK: usize = 1024;
/// Learned entries that wait for room, at most: another thread's records come over within a moment.
const WAITING_MAX: usize = 4096;

/// Where one value of an entry is.
#[derive(Clone, Copy, Debug)]
struct Place {
    data: DataType,
    index: u8,
    slot: Slot,
}

/// One replicated table.
pub struct Feed {
    spec: TableSpec,
    id: TableId,
    table: Arc<Table>,
    places: Vec<Place>,
    /// The table that also gets what is learned, and where what it takes is.
    write_to: Option<(TableId, Vec<Place>)>,
    tables: Arc<stick::Tables>,
    order: Mutex<Order>,
    /// What was learned while the table had no room on this thread, by key.
    waiting: Mutex<HashMap<Vec<u8>, Entry>>,
}

/// The order of changes.
#[derive(Debug, Default)]
struct Order {
    /// Place of the newest change.
    newest: u64,
    /// Places and records, ascending.
    list: VecDeque<(u64, u32)>,
    /// The newest place of each record, 0 without.
    of_record: Vec<u64>,
    /// Records that have a place.
    live: usize,
}

impl Order {
    fn changed(&mut self, record: u32) {
        let at = record as usize;
        if self.of_record.len() <= at {
            self.of_record.resize(at + 1, 0);
        }
        self.newest += 1;
        self.live += usize::from(self.of_record[at] == 0);
        self.of_record[at] = self.newest;
        self.list.push_back((self.newest, record));
        if self.list.len() > 2 * self.live + SLACK {
            let of_record = &self.of_record;
            self.list.retain(|(place, record)| of_record[*record as usize] == *place);
        }
        debug_assert!(self.live <= self.list.len());
    }

    /// The record is empty now.
    fn gone(&mut self, record: u32, place: u64) {
        if let Some(of) = self.of_record.get_mut(record as usize).filter(|p| **p == place) {
            *of = 0;
            self.live -= 1;
        }
    }

    /// The first place behind `after` that is not old, from position `from` of the list on.
    fn next(&self, after: u64) -> Option<(u64, u32)> {
        let from = self.list.partition_point(|(place, _)| *place <= after);
        self.list.range(from..).copied().find(|(place, record)| self.of_record[*record as usize] == *place)
    }
}

impl Feed {
    /// The view of a table; it notes its changes from now on.
    pub fn new(id: TableId, defs: &[TableDef], tables: &Arc<stick::Tables>, threads: usize) -> Option<Feed> {
        let def = defs.get(id.index())?;
        let table = tables.get(id)?.clone();
        // What nobody writes here is not watched.
        if !def.recv_only {
            table.replicate(Arc::new(Changes::new(table.schema().size, threads)));
        }
        let write_to = def.write_to.and_then(|to| {
            let other = tables.get(to)?;
            let same = |p: &&Place| {
                matches!(p.data, DataType::ServerId | DataType::ServerKey | DataType::Gpt0 | DataType::Gpt)
            };
            let all = places(table.schema());
            let slot = |p: &Place| other.schema().slot(stick_type(p.data), u16::from(p.index));
            let places =
                all.iter().filter(same).filter_map(|p| Some(Place { slot: slot(p)?, ..*p })).collect();
            Some((to, places))
        });
        let places = places(table.schema());
        let spec = spec(def, table.schema());
        Some(Feed {
            spec,
            id,
            table,
            places,
            write_to,
            tables: tables.clone(),
            order: Mutex::default(),
            waiting: Mutex::default(),
        })
    }

    /// The table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Its name among peers.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Changes so far.
    pub fn newest(&self) -> u64 {
        self.order().newest
    }

    /// Give what changed its place in the order. True when anything did.
    pub fn collect(&self) -> bool {
        let Some(changes) = self.table.changes() else { return false };
        let mut order = self.order();
        let before = order.newest;
        changes.drain(|record| order.changed(record));
        order.newest != before
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Entry>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything that was learned waits for room.
    pub fn has_waiting(&self) -> bool {
        !self.waiting().is_empty()
    }

    /// Try again to store what waits for room.
    pub fn store_waiting(&self, now: Mono) {
        self.waiting().retain(|_, entry| !self.store(self.id, &self.places, entry, now));
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        // Whatever panicked while it held it left a list that is sorted still.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, entry: &stick::Entry<'_>, now: Mono, out: &mut Entry) {
        let key = entry.key();
        let len = match self.spec.key {
            KeyType::String => memchr::memchr(0, &key).unwrap_or(key.len()),
            _ => key.len(),
        };
        out.key.extend_from_slice(&key[..len]);
        let left = entry.expires_in_ms(now);
        out.expire_ms = left.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX));
        out.fields.extend(self.places.iter().map(|p| {
            let value = match p.data.kind() {
                Kind::Rate => {
                    let RateParts { elapsed_ms, current, previous } = entry.rate_parts(p.slot, now);
                    Value::Rate { elapsed_ms, current, previous }
                }
                Kind::Name => Value::Name(self.tables.dict().text(entry.get(p.slot, now))),
                Kind::U32 | Kind::U64 => Value::Int(entry.get(p.slot, now)),
            };
            Field { data: p.data, index: p.index, value }
        }));
    }

    /// Put what a peer says into a table; false when that has no room.
    fn store(&self, id: TableId, places: &[Place], entry: &Entry, now: Mono) -> bool {
        with_writers(|writers| {
            let Some(writer) = writers.get(id) else { return false };
            let table = writer.table();
            let key = table.schema().key.key(&entry.key);
            let Some(own) = writer.get_or_insert(key, now) else { return false };
            let mut fields = entry.fields.iter().peekable();
            for p in places {
                while fields.peek().is_some_and(|f| (f.data, f.index) < (p.data, p.index)) {
                    fields.next();
                }
                let Some(field) = fields.next_if(|f| (f.data, f.index) == (p.data, p.index)) else {
                    continue;
                };
                match &field.value {
                    Value::Int(n) => own.set(p.slot, *n, now),
                    Value::Rate { elapsed_ms, current, previous } => {
                        let (elapsed_ms, current, previous) = (*elapsed_ms, *current, *previous);
                        own.learn_rate(p.slot, RateParts { elapsed_ms, current, previous }, now);
                    }
                    Value::Name(Some(name)) => own.set(p.slot, self.tables.dict().learn(name), now),
                    Value::Name(None) => own.set(p.slot, 0, now),
                }
            }
            match entry.expire_ms {
                Some(ms) => own.expire_in_ms(u64::from(ms), now),
                None => own.refresh(now),
            }
            true
        })
    }
}

impl TableView for Feed {
    fn spec(&self) -> &TableSpec {
        &self.spec
    }

    fn position(&self) -> u64 {
        self.order().newest
    }

    fn next_update(&self, after: u64, now: Mono, out: &mut Entry) -> Option<u64> {
        let mut order = self.order();
        let mut after = after;
        loop {
            let (place, record) = order.next(after)?;
            if let Some(entry) = self.table.at_record(record, now) {
                self.read(&entry, now, out);
                return Some(place);
            }
            order.gone(record, place);
            after = place;
        }
    }

    fn next_entry(&self, cursor: u64, now: Mono, out: &mut Entry) -> Option<u64> {
        let (record, entry) = self.table.from_record(u32::try_from(cursor).ok()?, now)?;
        self.read(&entry, now, out);
        Some(u64::from(record) + 1)
    }

    fn learn(&self, entry: &Entry, now: Mono) -> bool {
        if let Some((id, places)) = &self.write_to {
            self.store(*id, places, entry, now);
        }
        let mut waiting = self.waiting();
        let stored = self.store(self.id, &self.places, entry, now);
        if stored {
            if !waiting.is_empty() {
                waiting.remove(&entry.key);
            }
            return true;
        }
        // A table that refuses what is new when it is full does so to peers as well.
        let wait =
            !self.table.schema().nopurge && (waiting.len() < WAITING_MAX || waiting.contains_key(&entry.key));
        if wait {
            waiting.insert(entry.key.clone(), entry.clone());
        }
        wait
    }
}

/// The same data in the table's own words.
fn stick_type(data: DataType) -> stick::DataType {
    stick::DataType::ALL[usize::from(data.number())].data
}

/// Where a table has what, in the order of the wire.
fn places(schema: &stick::Schema) -> Vec<Place> {
    let mut all = Vec::new();
    for &data in DataType::ALL {
        let own = stick_type(data);
        let Some(def) = schema.data().iter().find(|d| d.data == own) else { continue };
        for index in 0..def.elems {
            if let (Some(slot), Ok(index)) = (schema.slot(own, index), u8::try_from(index)) {
                all.push(Place { data, index, slot });
            }
        }
    }
    all
}

/// What the definition message says. Tables of peers sections have a `/` in front of their name (manual, "table").
fn spec(def: &TableDef, schema: &stick::Schema) -> TableSpec {
    let name = match &def.owner {
        TableOwner::Peers(section) => def.name.strip_prefix(section.as_str()).unwrap_or(&def.name),
        TableOwner::Proxy(_) => &def.name,
    };
    let (key, len) = match schema.key {
        stick::KeyType::Ip => (KeyType::Ipv4, 4),
        stick::KeyType::Ipv6 => (KeyType::Ipv6, 16),
        stick::KeyType::Integer => (KeyType::Integer, 4),
        stick::KeyType::String(n) => (KeyType::String, n + 1),
        stick::KeyType::Binary(n) => (KeyType::Binary, n),
    };
    let data: SmallVec<[DataSpec; 8]> = schema
        .data()
        .iter()
        .filter_map(|d| {
            let data = *DataType::ALL.get(d.data as usize)?;
            let elements = u8::try_from(d.elems).unwrap_or(u8::MAX);
            Some(DataSpec { data, elements, period_ms: d.period_ms })
        })
        .collect();
    let mut spec = TableSpec::new(name, key, len, schema.expire_ms.unwrap_or(0), data.to_vec());
    // A table that only receives is there to look at what others have.
    spec.learns_all = def.recv_only;
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_same_numbers_on_the_wire() {
        for &data in DataType::ALL {
            let own = stick_type(data).info();
            assert_eq!((own.name, own.array), (data.name(), data.is_array()));
        }
    }

    fn feed(schema: stick::Schema) -> (Feed, Arc<stick::Tables>) {
        let def = TableDef {
            name: "section/t".to_owned(),
            schema,
            owner: TableOwner::Peers("section".to_owned()),
            peers: None,
            write_to: None,
            recv_only: false,
            srvkey: stick::SrvKey::Name,
            brates_factor: 1,
            loc: crate::config::Loc::default(),
        };
        let defs = [def];
        let tables = Arc::new(stick::Tables::new(&defs, 1).expect("memory"));
        stick::set_writers(std::rc::Rc::new(stick::Writers::claim(&tables, 0)));
        stick::use_ring(0);
        (Feed::new(TableId(0), &defs, &tables, 1).expect("there is one"), tables)
    }

    #[test]
    fn local_changes_are_seen_and_learned_ones_are_not() {
        let key = stick::KeyType::String(8);
        let mut schema = stick::Schema::new(key, 10);
        schema.expire_ms = Some(1000);
        for data in [stick::DataType::ServerId, stick::DataType::ServerKey] {
            schema.store(stick::DataDef::plain(data)).expect("it fits");
        }
        schema.store(stick::DataDef::rate(stick::DataType::ConnRate, 10_000)).expect("it fits");
        let (feed, tables) = feed(schema);
        assert_eq!((feed.name(), feed.spec().key_len), ("/t", 9));
        let at = |ms: u64| Mono(1_000_000_000_000 + ms * 1_000_000);
        let set = |name: &[u8], server: u64, now: Mono| {
            with_writers(|w| {
                let entry =
                    w.get(TableId(0)).expect("claimed").get_or_insert(key.key(name), now).expect("room");
                let slot = entry_slot(&feed, DataType::ServerId);
                entry.set(slot, server, now);
                entry.touch(now);
            });
        };
        set(b"a", 1, at(0));
        set(b"b", 2, at(0));
        set(b"a", 3, at(1));
        assert!(feed.collect() && !feed.collect());
        assert_eq!(feed.position(), 2, "two entries changed");
        let mut out = Entry::default();
        let first = feed.next_update(0, at(2), &mut out).expect("the first");
        assert_eq!((out.key.as_slice(), &out.fields[0].value), (b"a".as_slice(), &Value::Int(3)));
        set(b"a", 4, at(2));
        feed.collect();
        out.clear();
        let second = feed.next_update(first, at(2), &mut out).expect("the second");
        assert_eq!(out.key, b"b");
        // Learned: all of it is there, and nothing is told to others.
        let name: Arc<str> = "app1".into();
        let learned = Entry {
            key: b"c".to_vec(),
            expire_ms: Some(400),
            fields: vec![
                Field { data: DataType::ServerId, index: 0, value: Value::Int(9) },
                Field {
                    data: DataType::ConnRate,
                    index: 0,
                    value: Value::Rate { elapsed_ms: 5000, current: 10, previous: 20 },
                },
                Field { data: DataType::ServerKey, index: 0, value: Value::Name(Some(name.clone())) },
            ],
        };
        assert!(feed.learn(&learned, at(3)));
        assert!(!feed.collect());
        assert_eq!(tables.dict().text(stick::DataType::name_value("app1")), Some(name));
        let mut walked = Vec::new();
        let mut cursor = 0;
        loop {
            out.clear();
            let Some(next) = feed.next_entry(cursor, at(3), &mut out) else { break };
            cursor = next;
            walked.push(out.clone());
        }
        let back = walked.iter().find(|e| e.key == b"c").expect("in the walk");
        assert_eq!((walked.len(), back.expire_ms), (3, Some(400)));
        assert_eq!(back.fields[0], learned.fields[0]);
        assert_eq!(back.fields[2], learned.fields[2]);
        let Value::Rate { elapsed_ms, current, previous } = back.fields[1].value else { panic!("a rate") };
        let events = u64::from(current) + u64::from(previous) * (10_000 - u64::from(elapsed_ms)) / 10_000;
        assert!((19..=21).contains(&events), "{:?}", back.fields[1]);
        // What is gone is passed over, and forgotten.
        out.clear();
        assert_eq!(feed.next_update(second, at(2000), &mut out), None);
        assert_eq!(feed.next_update(0, at(2000), &mut out), None);
        assert_eq!(feed.order().live, 0);
    }

    #[test]
    fn what_finds_no_room_waits() {
        let (feed, tables) = feed(stick::Schema::new(stick::KeyType::Integer, 8));
        let now = Mono(1_000_000_000);
        // All room is in use.
        let writer = stick::with_writers(|w| w.get(TableId(0)).map(|w| w.table().clone())).expect("claimed");
        let held: Vec<_> = with_writers(|w| {
            let w = w.get(TableId(0)).expect("claimed");
            (0..8u32).map(|k| w.get_or_insert(k.into(), now).expect("room").keep()).collect()
        });
        let learned =
            |key: u32| Entry { key: key.to_be_bytes().to_vec(), expire_ms: None, fields: Vec::new() };
        for key in [100, 101, 101] {
            assert!(feed.learn(&learned(key), now));
        }
        assert!(feed.has_waiting());
        feed.store_waiting(now);
        assert_eq!(feed.waiting().len(), 2);
        held.into_iter().for_each(|id| drop(writer.resume(id)));
        feed.store_waiting(now);
        assert!(!feed.has_waiting());
        for key in [100u32, 101] {
            assert!(tables.get(TableId(0)).expect("made").get(key.into(), now).is_some());
        }
    }

    fn entry_slot(feed: &Feed, data: DataType) -> Slot {
        feed.places.iter().find(|p| p.data == data).expect("stored").slot
    }

    #[test]
    fn an_entry_has_its_newest_place_only() {
        let mut o = Order::default();
        for r in [5, 6, 5, 7, 5] {
            o.changed(r);
        }
        let walk = |o: &Order| {
            let mut at = 0;
            std::iter::from_fn(|| {
                let (place, record) = o.next(at)?;
                at = place;
                Some((place, record))
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(walk(&o), [(2, 6), (4, 7), (5, 5)]);
        assert_eq!(o.next(4), Some((5, 5)));
        o.gone(7, 3);
        o.gone(6, 2);
        assert_eq!(walk(&o), [(4, 7), (5, 5)]);
        for _ in 0..100_000 {
            o.changed(5);
        }
        assert!(o.list.len() <= 2 * 2 + SLACK + 1, "{}", o.list.len());
        assert_eq!(walk(&o), [(4, 7), (100_005, 5)]);
    }
}
