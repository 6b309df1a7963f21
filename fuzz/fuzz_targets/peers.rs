//! A peers session after its handshake. The first byte is the size of the pieces the rest arrives in.
//!
//! Checked: no panic; pieces do not change what is learned, what is answered or how it ends.
#![no_main]

use std::sync::{Arc, Mutex};

use haring::base::time::Mono;
use haring::peers::{DataSpec, DataType, Entry, Event, KeyType, Kind, Session, TableSpec, TableView};
use libfuzzer_sys::fuzz_target;

struct Table {
    spec: TableSpec,
    learned: Mutex<Vec<Entry>>,
}

impl TableView for Table {
    fn spec(&self) -> &TableSpec {
        &self.spec
    }

    fn position(&self) -> u64 {
        0
    }

    fn next_update(&self, _: u64, _: Mono, _: &mut Entry) -> Option<u64> {
        None
    }

    fn next_entry(&self, _: u64, _: Mono, _: &mut Entry) -> Option<u64> {
        None
    }

    fn learn(&self, entry: &Entry, _: Mono) -> bool {
        self.learned.lock().expect("one thread").push(entry.clone());
        true
    }
}

/// What a session made of its input.
type Outcome = (Vec<Entry>, Vec<u8>, Vec<Event>);

fn run(bytes: &[u8], step: usize) -> Outcome {
    let data = DataType::ALL.iter().map(|d| DataSpec {
        data: *d,
        elements: if d.is_array() { 3 } else { 1 },
        period_ms: if d.kind() == Kind::Rate { 10_000 } else { 0 },
    });
    let spec = TableSpec::new("t", KeyType::String, 33, 0, data.collect());
    let table = Arc::new(Table { spec, learned: Mutex::default() });
    let tables = [table.clone() as Arc<dyn TableView>];
    let mut session = Session::client("a", "b", 1, 1, &tables, &[], Mono(1));
    session.handle_input(b"200\n", &tables, Mono(1));
    for piece in bytes.chunks(step) {
        session.handle_input(piece, &tables, Mono(1));
    }
    let mut out = Vec::new();
    while session.poll_output(&tables, Mono(1), &mut out, usize::MAX) {}
    let events = std::iter::from_fn(|| session.poll_event()).collect();
    let learned = std::mem::take(&mut *table.learned.lock().expect("one thread"));
    (learned, out, events)
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, bytes)) = data.split_first() else { return };
    assert_eq!(run(bytes, usize::from(step) + 1), run(bytes, usize::MAX));
});
