//! A naive stick table.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::super::*;
use crate::base::time::Mono;

#[derive(Default)]
struct Inner {
    entries: BTreeMap<Vec<u8>, (u64, Entry)>,
    position: u64,
}

pub struct MemoryTable {
    spec: TableSpec,
    inner: Mutex<Inner>,
}

impl MemoryTable {
    pub fn new(spec: TableSpec) -> MemoryTable {
        MemoryTable { spec, inner: Mutex::default() }
    }

    /// A local change.
    pub fn set(&self, key: &[u8], fields: Vec<Field>) {
        let mut inner = self.inner.lock().expect("no panic holds it");
        inner.position += 1;
        let entry = Entry { key: key.to_vec(), expire_ms: Some(1234), fields };
        let position = inner.position;
        inner.entries.insert(key.to_vec(), (position, entry));
    }

    pub fn get(&self, key: &[u8]) -> Option<Entry> {
        self.inner.lock().expect("no panic holds it").entries.get(key).map(|(_, e)| e.clone())
    }

    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.inner.lock().expect("no panic holds it").entries.keys().cloned().collect()
    }
}

impl TableView for MemoryTable {
    fn spec(&self) -> &TableSpec {
        &self.spec
    }

    fn position(&self) -> u64 {
        self.inner.lock().expect("no panic holds it").position
    }

    fn next_update(&self, after: u64, _: Mono, out: &mut Entry) -> Option<u64> {
        let inner = self.inner.lock().expect("no panic holds it");
        let (position, entry) = inner.entries.values().filter(|(p, _)| *p > after).min_by_key(|(p, _)| *p)?;
        out.clone_from(entry);
        Some(*position)
    }

    fn next_entry(&self, cursor: u64, _: Mono, out: &mut Entry) -> Option<u64> {
        let inner = self.inner.lock().expect("no panic holds it");
        let (_, entry) = inner.entries.values().nth(cursor as usize)?;
        out.clone_from(entry);
        Some(cursor + 1)
    }

    fn learn(&self, entry: &Entry, _: Mono) -> bool {
        let mut inner = self.inner.lock().expect("no panic holds it");
        inner.entries.insert(entry.key.clone(), (0, entry.clone()));
        true
    }
}
