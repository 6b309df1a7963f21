//! Tables that features register: keywords, bind and server options, fetches, converters, actions. This
//! module knows none of their types.

use std::any::{Any, TypeId};
use std::collections::HashMap;

/// An entry of a table: found by name.
pub trait Entry: Sync + 'static {
    /// What one entry is called in messages ("keyword", "sample fetch", "converter", ...).
    const KIND: &'static str;
    /// Its name as written.
    fn name(&self) -> &'static str;
}

struct Index<T: 'static> {
    by_name: HashMap<&'static str, Vec<&'static T>>,
    in_order: Vec<&'static T>,
}

/// Every table, by the type of its entries.
#[derive(Default)]
pub struct Tables {
    map: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl Tables {
    /// Add one feature's slice.
    pub fn add<T: Entry + Send>(&mut self, slice: &'static [T]) {
        let slot = self
            .map
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Box::new(Index::<T> { by_name: HashMap::new(), in_order: Vec::new() }));
        let index: &mut Index<T> = slot.downcast_mut().expect("the map is keyed by the type of its value");
        for e in slice {
            index.by_name.entry(e.name()).or_default().push(e);
            index.in_order.push(e);
        }
    }

    /// The entry called `name`, if there is exactly one meaning; the first registered one otherwise.
    pub fn find<T: Entry>(&self, name: &str) -> Option<&'static T> {
        self.find_all::<T>(name).first().copied()
    }

    /// Every entry called `name` (a keyword may differ from section to section).
    pub fn find_all<T: Entry>(&self, name: &str) -> &[&'static T] {
        self.index::<T>().and_then(|i| i.by_name.get(name)).map_or(&[], Vec::as_slice)
    }

    /// Every entry, in the order of registration.
    pub fn all<T: Entry>(&self) -> &[&'static T] {
        self.index::<T>().map_or(&[], |i| i.in_order.as_slice())
    }

    fn index<T: Entry>(&self) -> Option<&Index<T>> {
        self.map.get(&TypeId::of::<T>()).and_then(|b| b.downcast_ref())
    }
}
