//! Tables that features register: keywords, bind and server options, fetches, converters, actions. This
//! module knows none of their types.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::collections::HashMap;

use super::{Sections, Status};

/// An entry of a table: found by name.
pub trait Entry: Sync + 'static {
    /// What one entry is called in messages ("keyword", "sample fetch", "converter", ...).
    const KIND: &'static str;
    /// Its name as written.
    fn name(&self) -> &'static str;
    /// What it does here.
    fn status(&self) -> Status {
        Status::Full
    }
    /// How it is written; the name alone unless it takes something.
    fn syntax(&self) -> String {
        self.name().to_owned()
    }
    /// One line of documentation.
    fn doc(&self) -> &'static str {
        ""
    }
    /// The sections in which it may stand, if that is what it is about.
    fn sections(&self) -> Option<Sections> {
        None
    }
}

/// What [`Tables`] remembers of an entry whose type it does not know, for listings.
#[derive(Clone, Debug)]
pub struct EntryInfo {
    /// [`Entry::KIND`].
    pub kind: &'static str,
    /// [`Entry::name`].
    pub name: Cow<'static, str>,
    /// [`Entry::status`].
    pub status: Status,
    /// [`Entry::syntax`].
    pub syntax: String,
    /// [`Entry::doc`].
    pub doc: &'static str,
    /// [`Entry::sections`].
    pub sections: Option<Sections>,
}

impl EntryInfo {
    fn of<T: Entry>(e: &T) -> EntryInfo {
        EntryInfo {
            kind: T::KIND,
            name: Cow::Borrowed(e.name()),
            status: e.status(),
            syntax: e.syntax(),
            doc: e.doc(),
            sections: e.sections(),
        }
    }
}

struct Index<T: 'static> {
    by_name: HashMap<&'static str, Vec<&'static T>>,
    in_order: Vec<&'static T>,
}

/// Every table, by the type of its entries.
#[derive(Default)]
pub struct Tables {
    map: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    /// How to list each table.
    listings: Vec<fn(&Tables) -> Vec<EntryInfo>>,
    noted: Vec<EntryInfo>,
}

fn list<T: Entry>(tables: &Tables) -> Vec<EntryInfo> {
    tables.all::<T>().iter().map(|e| EntryInfo::of(*e)).collect()
}

impl Tables {
    /// Add one feature's slice.
    pub fn add<T: Entry + Send>(&mut self, slice: &'static [T]) {
        if !self.map.contains_key(&TypeId::of::<T>()) {
            self.listings.push(list::<T>);
        }
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

    /// Note words of the language that are no table entries (algorithms, log variables, match methods), under the
    /// kind that the keyword lists in docs/keywords use, so that listings know that they work.
    pub fn note<N: Into<Cow<'static, str>>>(
        &mut self,
        kind: &'static str,
        names: impl IntoIterator<Item = N>,
    ) {
        self.noted.extend(names.into_iter().map(Into::into).map(|name: Cow<'static, str>| EntryInfo {
            kind,
            status: Status::Full,
            syntax: name.to_string(),
            name,
            doc: "",
            sections: None,
        }));
    }

    /// Everything there is, table by table, in the order of registration.
    pub fn listing(&self) -> Vec<EntryInfo> {
        self.listings.iter().flat_map(|list| list(self)).chain(self.noted.iter().cloned()).collect()
    }

    fn index<T: Entry>(&self) -> Option<&Index<T>> {
        self.map.get(&TypeId::of::<T>()).and_then(|b| b.downcast_ref())
    }
}
