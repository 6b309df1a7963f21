//! Pattern lists and the compiled sets made from them.
//!
//! A [`PatternList`] is what the socket commands show and change: the entries of one file, or those written in
//! one ACL. Each use of it (a match method, with or without case, with values of a type) is a [`PatternSet`]:
//! compiled, immutable, behind one atomic pointer, so that a change swaps in a new one while requests go on
//! reading the old. Evaluating costs one pointer load and no lock.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwap;

use crate::sample::{Sample, Value, parse_ip};

use super::Method;
use super::ints::Op;
use super::matcher::{Matcher, Pattern};
use super::versions::Versions;

/// Type of a map's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// Text.
    Str,
    /// Integer.
    Int,
    /// Address.
    Ip,
}

impl ValueType {
    /// The name in answers of the socket.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::Str => "str",
            ValueType::Int => "sint",
            ValueType::Ip => "ip",
        }
    }

    /// A value from its text.
    pub fn parse(self, text: &[u8]) -> Option<Value> {
        Some(match self {
            ValueType::Str => Value::Str(text.to_vec()),
            ValueType::Int => Value::Int(std::str::from_utf8(text).ok()?.parse().ok()?),
            ValueType::Ip => Value::Ip(parse_ip(text)?),
        })
    }
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// What the socket's commands call it (`#0x...`): given by the list, never twice; 0 before that.
    pub id: u64,
    /// The pattern.
    pub pattern: Pattern,
    /// The value, in maps.
    pub value: Option<Box<[u8]>>,
    /// Line in its file, from 1; 0 for entries that were added at run time.
    pub line: u32,
}

impl ListEntry {
    /// An entry that is not in a list yet.
    pub fn new(pattern: &[u8], value: Option<&[u8]>) -> ListEntry {
        ListEntry { id: 0, pattern: Pattern::new(pattern), value: value.map(Into::into), line: 0 }
    }
}

/// Gives every new entry an id.
pub(super) fn number(entries: &mut [ListEntry], last: &mut u64) {
    for e in entries.iter_mut().filter(|e| e.id == 0) {
        *last += 1;
        e.id = *last;
    }
}

/// How a compiled set was made from its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Use {
    /// Match method.
    pub method: Method,
    /// `-i`.
    pub ignore_case: bool,
    /// Type of the values; `None` when they are not looked at.
    pub values: Option<ValueType>,
}

/// A compiled list.
#[derive(Debug)]
pub struct Compiled {
    matcher: Matcher,
    values: Vec<Value>,
    /// Texts of the patterns, where values are looked at.
    keys: Vec<Box<[u8]>>,
}

/// One use of a list.
#[derive(Debug)]
pub struct PatternSet {
    /// How it is used.
    pub used_as: Use,
    current: ArcSwap<Compiled>,
}

/// What the user can change at run time: entries with an identity.
#[derive(Debug)]
pub struct PatternList {
    /// Number for the socket (`#3`).
    pub id: u32,
    /// File name, or the name given with `-u`.
    pub name: Option<String>,
    /// What it belongs to, for `show acl`.
    pub display: String,
    inner: Mutex<ListInner>,
}

#[derive(Debug, Default)]
pub(super) struct ListInner {
    pub(super) entries: Vec<ListEntry>,
    pub(super) sets: Vec<Arc<PatternSet>>,
    version: u64,
    pub(super) last_id: u64,
    pub(super) versions: Versions,
}

/// Why a list could not be made or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError {
    /// Index of the offending entry.
    pub entry: usize,
    /// A sentence about it.
    pub message: String,
}

pub(super) fn compile(used_as: Use, entries: &[ListEntry]) -> Result<Compiled, ListError> {
    let patterns: Vec<Pattern> = entries.iter().map(|e| e.pattern.clone()).collect();
    let matcher = Matcher::build(used_as.method, used_as.ignore_case, &patterns)
        .map_err(|(entry, message)| ListError { entry, message })?;
    let values = match used_as.values {
        None => Vec::new(),
        Some(ty) => entries
            .iter()
            .enumerate()
            .map(|(entry, e)| {
                let text = e.value.as_deref().unwrap_or_default();
                ty.parse(text).ok_or_else(|| {
                    let (t, key) = (String::from_utf8_lossy(text), String::from_utf8_lossy(&e.pattern.text));
                    let what = if ty == ValueType::Int { "integer" } else { "address" };
                    ListError { entry, message: format!("the value '{t}' of '{key}' is not a valid {what}") }
                })
            })
            .collect::<Result<_, _>>()?,
    };
    let keys = match used_as.values {
        None => Vec::new(),
        Some(_) => entries.iter().map(|e| e.pattern.text.clone()).collect(),
    };
    Ok(Compiled { matcher, values, keys })
}

impl PatternSet {
    /// Whether the sample matches.
    pub fn is_match(&self, s: &Sample<'_>) -> bool {
        self.current.load().matcher.is_match(s)
    }

    /// Look the sample up and hand the value of the entry to `f`.
    pub fn lookup<R>(&self, s: &Sample<'_>, f: impl FnOnce(&Value) -> R) -> Option<R> {
        let c = self.current.load();
        c.values.get(c.matcher.find(s)? as usize).map(f)
    }

    /// Look the sample up and hand the text of the entry that matched to `f`.
    pub fn lookup_key<R>(&self, s: &Sample<'_>, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let c = self.current.load();
        c.keys.get(c.matcher.find(s)? as usize).map(|k| f(k))
    }

    /// The same for regexes, with the groups of the match.
    pub fn lookup_groups<R>(
        &self,
        text: &[u8],
        f: impl FnOnce(&Value, &crate::sample::Groups<'_>) -> R,
    ) -> Option<R> {
        let c = self.current.load();
        let (i, groups) = c.matcher.groups(text)?;
        c.values.get(i as usize).map(|v| f(v, &groups))
    }
}

impl PatternList {
    pub(super) fn lock(&self) -> MutexGuard<'_, ListInner> {
        // A panic while the lock is held leaves whole entries behind.
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A set for this use; the same one for the same use.
    pub fn set(&self, used_as: Use) -> Result<Arc<PatternSet>, ListError> {
        let mut inner = self.lock();
        if let Some(s) = inner.sets.iter().find(|s| s.used_as == used_as) {
            return Ok(s.clone());
        }
        let compiled = compile(used_as, &inner.entries)?;
        let set = Arc::new(PatternSet { used_as, current: ArcSwap::from_pointee(compiled) });
        inner.sets.push(set.clone());
        Ok(set)
    }

    /// A copy of the entries, and the list's version: it grows with every change.
    pub fn entries(&self) -> (Vec<ListEntry>, u64) {
        let inner = self.lock();
        (inner.entries.clone(), inner.version)
    }

    /// Change the entries; every set is compiled anew and swapped in, or nothing changes.
    pub fn change(&self, f: impl FnOnce(&mut Vec<ListEntry>)) -> Result<(), ListError> {
        let mut inner = self.lock();
        let mut entries = inner.entries.clone();
        f(&mut entries);
        let mut last_id = inner.last_id;
        number(&mut entries, &mut last_id);
        let compiled =
            inner.sets.iter().map(|s| compile(s.used_as, &entries)).collect::<Result<Vec<_>, _>>()?;
        for (set, c) in inner.sets.iter().zip(compiled) {
            set.current.store(Arc::new(c));
        }
        inner.entries = entries;
        inner.last_id = last_id;
        inner.version += 1;
        Ok(())
    }

    /// `add acl`, `add map`.
    pub fn add(&self, pattern: &[u8], value: Option<&[u8]>) -> Result<(), ListError> {
        self.change(|e| {
            e.push(ListEntry::new(pattern, value));
        })
    }

    /// `del acl`, `del map`: all entries with that text. How many there were.
    pub fn remove(&self, pattern: &[u8]) -> usize {
        let mut n = 0;
        // Taking entries away cannot make a pattern invalid.
        let _ = self.change(|e| {
            let before = e.len();
            e.retain(|x| *x.pattern.text != *pattern);
            n = before - e.len();
        });
        n
    }

    /// `set map`: the value of all entries with that text. False when there is none.
    pub fn set_value(&self, pattern: &[u8], value: &[u8]) -> Result<bool, ListError> {
        let mut hit = false;
        self.change(|e| {
            for x in e.iter_mut().filter(|x| *x.pattern.text == *pattern) {
                x.value = Some(value.into());
                hit = true;
            }
        })?;
        Ok(hit)
    }

    /// The text of the entry that a lookup with `method` finds, and its value: `get acl`, `get map`.
    pub fn find(&self, used_as: Use, s: &Sample<'_>) -> Option<ListEntry> {
        let inner = self.lock();
        let set = inner.sets.iter().find(|x| x.used_as == used_as)?;
        let i = set.current.load().matcher.find(s)?;
        inner.entries.get(i as usize).cloned()
    }

    /// The uses of this list.
    pub fn uses(&self) -> Vec<Use> {
        self.lock().sets.iter().map(|s| s.used_as).collect()
    }
}

/// All lists of one configuration: the loader's shared state while it loads
/// (`cx.state.shared.get::<PatternLists>()`), the socket's registry afterwards.
#[derive(Debug, Default)]
pub struct PatternLists {
    inner: Mutex<ListsInner>,
}

#[derive(Debug, Default)]
struct ListsInner {
    list: Vec<Arc<PatternList>>,
    by_name: HashMap<String, usize>,
}

impl PatternLists {
    fn lock(&self) -> MutexGuard<'_, ListsInner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Every list, by id.
    pub fn all(&self) -> Vec<Arc<PatternList>> {
        self.lock().list.clone()
    }

    /// The list called `name` (a file's name as written).
    pub fn by_name(&self, name: &str) -> Option<Arc<PatternList>> {
        let inner = self.lock();
        inner.by_name.get(name).map(|i| inner.list[*i].clone())
    }

    /// The list with that number.
    pub fn by_id(&self, id: u32) -> Option<Arc<PatternList>> {
        self.lock().list.get(id as usize).cloned()
    }

    /// A new list. A name makes it findable; the first of a name stays.
    pub fn add(&self, name: Option<&str>, display: String, mut entries: Vec<ListEntry>) -> Arc<PatternList> {
        let mut last_id = 0;
        number(&mut entries, &mut last_id);
        let mut inner = self.lock();
        let id = inner.list.len();
        let list = Arc::new(PatternList {
            id: id as u32,
            name: name.map(str::to_owned),
            display,
            inner: Mutex::new(ListInner { entries, last_id, ..ListInner::default() }),
        });
        inner.list.push(list.clone());
        if let Some(n) = name {
            inner.by_name.entry(n.to_owned()).or_insert(id);
        }
        list
    }

    /// The list of a file, read once per load. `two_columns` is for maps: key, then value to the end of the
    /// line. `virt@name` is a list without a file, `opt@name` one whose file may be missing. The error is a
    /// sentence.
    pub fn file(
        &self,
        name: &str,
        path: impl FnOnce(&str) -> PathBuf,
        two_columns: bool,
        display: String,
    ) -> Result<Arc<PatternList>, String> {
        if let Some(l) = self.by_name(name) {
            return Ok(l);
        }
        let text = if name.starts_with("virt@") {
            Vec::new()
        } else {
            let optional = name.strip_prefix("opt@");
            let file = optional.or(name.strip_prefix("file@")).unwrap_or(name);
            match std::fs::read(path(file)) {
                Ok(t) => t,
                Err(e) if optional.is_some() && e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(e) => return Err(format!("cannot read the pattern file '{file}': {e}")),
            }
        };
        Ok(self.add(Some(name), display, parse_file(&text, two_columns)))
    }
}

/// The entries of a pattern file or map file. Manual section 7.1 (`-f`) and the `map` converter.
pub fn parse_file(text: &[u8], two_columns: bool) -> Vec<ListEntry> {
    let blank = |c: &u8| matches!(c, b' ' | b'\t');
    let mut entries = Vec::new();
    for (i, line) in text.split(|c| *c == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A sharp behind white space is a pattern.
        if line.first() == Some(&b'#') {
            continue;
        }
        let Some(start) = line.iter().position(|c| !blank(c)) else { continue };
        let line = &line[start..];
        let (key, value) = if two_columns {
            let end = line.iter().position(blank).unwrap_or(line.len());
            let rest = &line[end..];
            let from = rest.iter().position(|c| !blank(c)).unwrap_or(rest.len());
            let to = rest.iter().rposition(|c| !blank(c)).map_or(from, |e| e + 1);
            (&line[..end], Some(rest[from..to.max(from)].into()))
        } else {
            (line, None)
        };
        entries.push(ListEntry {
            id: 0,
            pattern: Pattern { text: key.into(), op: Op::Eq },
            value,
            line: u32::try_from(i + 1).unwrap_or(0),
        });
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_the_manual_says() {
        let t = b"# comment\n\n \t\n   2.22.246.0/23    United Kingdom      \n #notacomment x\r\nlast";
        let e = parse_file(t, true);
        let got: Vec<(String, String, u32)> = e
            .iter()
            .map(|e| {
                let v = e.value.as_deref().unwrap_or_default();
                (String::from_utf8_lossy(&e.pattern.text).into(), String::from_utf8_lossy(v).into(), e.line)
            })
            .collect();
        let want = [("2.22.246.0/23", "United Kingdom", 4), ("#notacomment", "x", 5), ("last", "", 6)];
        assert_eq!(got, want.map(|(a, b, c)| (a.into(), b.into(), c)));
        assert_eq!(&*parse_file(b"  a b \n", false)[0].pattern.text, b"a b ");
    }

    #[test]
    fn changes_swap_in_new_sets() {
        let lists = PatternLists::default();
        let l = lists.add(Some("x"), String::new(), parse_file(b"a 1\nb 2\n", true));
        let set = l
            .set(Use { method: Method::Str, ignore_case: false, values: Some(ValueType::Int) })
            .expect("valid");
        let get = |k: &str| set.lookup(&Sample::str(k.as_bytes()), Value::clone);
        assert_eq!(get("b"), Some(Value::Int(2)));
        assert_eq!(get("c"), None);
        l.add(b"c", Some(b"3")).expect("valid");
        assert_eq!(get("c"), Some(Value::Int(3)));
        assert!(l.add(b"d", Some(b"x")).is_err());
        assert_eq!((get("d"), l.entries().0.len()), (None, 3));
        assert_eq!(l.set_value(b"c", b"4"), Ok(true));
        assert_eq!(l.remove(b"a"), 1);
        assert_eq!((get("a"), get("c")), (None, Some(Value::Int(4))));
        assert!(lists.by_name("x").is_some_and(|x| x.id == l.id));
    }
}
