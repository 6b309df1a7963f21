//! Versions of a pattern list: a replacement is gathered aside (`prepare`, `add ... @<ver>`) and takes the place of
//! the entries in use at once (`commit`).

use std::collections::BTreeMap;

use super::set::{ListEntry, ListError, PatternList, compile, number};

/// The versions of one list.
#[derive(Debug, Default)]
pub(super) struct Versions {
    /// The one in use.
    current: u32,
    /// The last one that was prepared.
    last: u32,
    /// Entries of versions that are not in use yet.
    aside: BTreeMap<u32, Vec<ListEntry>>,
}

/// Why a command about a version was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionError {
    /// It was not prepared.
    Unknown,
    /// An entry is not valid.
    Entry(ListError),
}

impl From<ListError> for VersionError {
    fn from(error: ListError) -> VersionError {
        VersionError::Entry(error)
    }
}

impl PatternList {
    /// `prepare acl`, `prepare map`: the number of a new, empty version.
    pub fn prepare(&self) -> u32 {
        let mut inner = self.lock();
        inner.versions.last = inner.versions.last.wrapping_add(1);
        inner.versions.last
    }

    /// The version in use, and the last one that was prepared.
    pub fn version_numbers(&self) -> (u32, u32) {
        let inner = self.lock();
        (inner.versions.current, inner.versions.last)
    }

    /// How many entries all versions have.
    pub fn count(&self) -> usize {
        let inner = self.lock();
        inner.entries.len() + inner.versions.aside.values().map(Vec::len).sum::<usize>()
    }

    /// The entries of a version (`None`: of the one in use) behind the one with the number `after`, `most` at a time: a list
    /// may be long. Their numbers grow.
    pub fn page(&self, version: Option<u32>, after: u64, most: usize) -> Vec<ListEntry> {
        let inner = self.lock();
        let entries = match version {
            Some(v) if v != inner.versions.current => inner.versions.aside.get(&v).map_or(&[][..], |e| e),
            _ => &inner.entries[..],
        };
        let from = entries.partition_point(|e| e.id <= after);
        entries[from..].iter().take(most).cloned().collect()
    }

    /// Add entries to a version; `None`: to the one in use.
    pub fn add_to(&self, version: Option<u32>, mut new: Vec<ListEntry>) -> Result<(), VersionError> {
        let mut inner = self.lock();
        let Some(version) = version.filter(|v| *v != inner.versions.current) else {
            drop(inner);
            return Ok(self.change(|entries| entries.extend(new))?);
        };
        if version > inner.versions.last || version < inner.versions.current {
            return Err(VersionError::Unknown);
        }
        // A mistake is told at once, not when the version is committed.
        for set in &inner.sets {
            compile(set.used_as, &new)?;
        }
        let mut last_id = inner.last_id;
        number(&mut new, &mut last_id);
        inner.last_id = last_id;
        inner.versions.aside.entry(version).or_default().extend(new);
        Ok(())
    }

    /// `clear acl @<ver>`, `clear map @<ver>`.
    pub fn clear(&self, version: Option<u32>) {
        let mut inner = self.lock();
        if let Some(v) = version.filter(|v| *v != inner.versions.current) {
            inner.versions.aside.remove(&v);
            return;
        }
        drop(inner);
        // An empty list is always valid.
        let _ = self.change(Vec::clear);
    }

    /// `commit acl`, `commit map`: the version comes into use; what is older is gone.
    pub fn commit(&self, version: u32) -> Result<(), VersionError> {
        let new = {
            let inner = self.lock();
            let versions = &inner.versions;
            if version <= versions.current || version > versions.last {
                return Err(VersionError::Unknown);
            }
            versions.aside.get(&version).cloned().unwrap_or_default()
        };
        self.change(|entries| *entries = new)?;
        let mut inner = self.lock();
        inner.versions.current = version;
        inner.versions.aside = inner.versions.aside.split_off(&(version + 1));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::set::{PatternLists, Use, ValueType};
    use super::super::{Method, parse_file};
    use super::*;
    use crate::sample::{Sample, Value};
    use proptest::prelude::*;

    fn texts(entries: &[ListEntry]) -> Vec<String> {
        entries.iter().map(|e| String::from_utf8_lossy(&e.pattern.text).into_owned()).collect()
    }

    fn entry(text: &str, value: &str) -> Vec<ListEntry> {
        vec![ListEntry::new(text.as_bytes(), Some(value.as_bytes()))]
    }

    #[test]
    fn a_version_takes_the_place_of_the_list_at_once() {
        let lists = PatternLists::default();
        let list = lists.add(Some("x"), String::new(), parse_file(b"a 1\nb 2\n", true));
        let used_as = Use { method: Method::Str, ignore_case: false, values: Some(ValueType::Int) };
        let set = list.set(used_as).expect("valid");
        let get = |k: &str| set.lookup(&Sample::str(k.as_bytes()), Value::clone);
        assert_eq!((list.prepare(), list.prepare()), (1, 2));
        assert_eq!(list.add_to(Some(3), entry("n", "1")), Err(VersionError::Unknown));
        assert!(matches!(list.add_to(Some(1), entry("n", "no number")), Err(VersionError::Entry(_))));
        list.add_to(Some(1), entry("old", "1")).expect("prepared");
        list.add_to(Some(2), entry("c", "3")).expect("prepared");
        assert_eq!((get("c"), get("a"), list.count()), (None, Some(Value::Int(1)), 4));
        assert_eq!(texts(&list.page(Some(2), 0, usize::MAX)), ["c"]);
        assert_eq!(texts(&list.page(Some(0), 0, usize::MAX)), ["a", "b"]);
        list.commit(2).expect("prepared");
        assert_eq!((get("c"), get("a"), list.count()), (Some(Value::Int(3)), None, 1));
        assert_eq!((list.version_numbers(), texts(&list.page(Some(1), 0, usize::MAX))), ((2, 2), vec![]));
        assert_eq!(
            (list.commit(1), list.commit(2)),
            (Err(VersionError::Unknown), Err(VersionError::Unknown))
        );
        assert_eq!(list.add_to(Some(1), entry("late", "1")), Err(VersionError::Unknown));
        list.clear(Some(2));
        assert_eq!((get("c"), list.count()), (None, 0));
    }

    /// Every version as a list of its own.
    #[derive(Default)]
    struct Oracle {
        current: u32,
        last: u32,
        all: BTreeMap<u32, Vec<String>>,
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn agrees_with_one_list_per_version(steps in proptest::collection::vec((0u8..5, 0u32..6), 0..40)) {
            let lists = PatternLists::default();
            let list = lists.add(None, String::new(), Vec::new());
            let mut o = Oracle::default();
            for (n, (step, version)) in steps.into_iter().enumerate() {
                let known = (o.current..=o.last).contains(&version);
                match step {
                    0 => { o.last += 1; prop_assert_eq!(list.prepare(), o.last); }
                    1 | 2 => {
                        let done = list.add_to(Some(version), entry(&format!("k{n}"), "1"));
                        prop_assert_eq!(done.is_ok(), known);
                        if known { o.all.entry(version).or_default().push(format!("k{n}")); }
                    }
                    3 => { list.clear(Some(version)); o.all.remove(&version); }
                    _ => {
                        let ahead = known && version > o.current;
                        prop_assert_eq!(list.commit(version).is_ok(), ahead);
                        if ahead { o.current = version; o.all = o.all.split_off(&version); }
                    }
                }
                prop_assert_eq!(list.version_numbers(), (o.current, o.last));
                prop_assert_eq!(list.count(), o.all.values().map(Vec::len).sum::<usize>());
                for v in 0..=o.last {
                    prop_assert_eq!(texts(&list.page(Some(v), 0, usize::MAX)), o.all.get(&v).cloned().unwrap_or_default());
                }
                prop_assert_eq!(list.page(None, 0, usize::MAX), list.page(Some(o.current), 0, usize::MAX));
            }
        }
    }
}
