//! Commands about pattern lists: `show`, `get`, `add`, `set`, `del`, `clear`, `prepare` and `commit`, each for ACLs and
//! for maps.
//!
//! A list is one file, or the patterns of one ACL. A file that a map and an ACL share is one list, and both see
//! its changes.

use std::fmt::Write;
use std::sync::Arc;

use super::commands::{Call, Next};
use crate::acl::{ListEntry, ListError, Method, PatternList, Use, VersionError, parse_file};
use crate::sample::Sample;

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Patterns.
    Acl,
    /// Patterns with values.
    Map,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Acl => "ACL",
            Kind::Map => "map",
        }
    }

    /// A list that nothing uses yet (`virt@`, changed by rules only) may be either.
    fn fits(self, list: &PatternList) -> bool {
        let uses = list.uses();
        uses.is_empty() || uses.iter().any(|u| u.values.is_some() == (self == Kind::Map))
    }
}

/// `@<ver>` as the first argument: taken off the arguments. `Err`: it is no number, and the answer says so.
fn version(call: &mut Call<'_>) -> Result<Option<u32>, Refused> {
    let args = call.args;
    let Some((text, rest)) = args.split_first().and_then(|(a, rest)| Some((a.strip_prefix('@')?, rest)))
    else {
        return Ok(None);
    };
    call.args = rest;
    // `@` alone is the version in use.
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        call.out.push_str("Version number out of range.\n");
        Refused
    })
}

/// The answer says why.
struct Refused;

fn report_version(call: &mut Call<'_>, kind: Kind, result: Result<(), VersionError>) {
    match result {
        Ok(()) => {}
        Err(VersionError::Entry(error)) => report(call, Err(error)),
        Err(VersionError::Unknown) => {
            let word = kind.name().to_ascii_lowercase();
            let _ = writeln!(call.out, "No such version: 'prepare {word}' makes one.");
        }
    }
}

/// `prepare acl`, `prepare map`.
pub fn prepare(call: &mut Call<'_>, kind: Kind) -> Next {
    if let Some(list) = find(call, kind) {
        let _ = writeln!(call.out, "New version created: {}", list.prepare());
    }
    Next::Continue
}

/// `commit acl`, `commit map`.
pub fn commit(call: &mut Call<'_>, kind: Kind) -> Next {
    let Ok(version) = version(call) else { return Next::Continue };
    let Some(version) = version else {
        call.out.push_str("Missing version number.\n");
        return Next::Continue;
    };
    let Some(list) = find(call, kind) else { return Next::Continue };
    match list.commit(version) {
        Err(VersionError::Unknown) => call.out.push_str("Version number out of range.\n"),
        result => report_version(call, kind, result),
    }
    Next::Continue
}

/// The list of this kind that `#<id>` or a file's name names.
fn find(call: &mut Call<'_>, kind: Kind) -> Option<Arc<PatternList>> {
    let found = find_any(call, kind)?;
    if kind.fits(&found) {
        return Some(found);
    }
    unknown(call, kind);
    None
}

fn unknown(call: &mut Call<'_>, kind: Kind) {
    let _ = writeln!(call.out, "Unknown {} identifier. Please use #<id> or <file>.", kind.name());
}

/// The list that `#<id>` or a file's name names.
fn find_any(call: &mut Call<'_>, kind: Kind) -> Option<Arc<PatternList>> {
    let Some(name) = call.args.first() else {
        let _ = writeln!(call.out, "Missing {} identifier: '#<id>' or a file's name.", kind.name());
        return None;
    };
    let lists = &call.cx.lists;
    let found = match name.strip_prefix('#') {
        Some(id) => id.parse().ok().and_then(|id| lists.by_id(id)),
        None => lists.by_name(name),
    };
    if found.is_none() {
        unknown(call, kind);
    }
    found
}

/// The entry's reference, as `show` gives it.
fn reference(entry: &ListEntry) -> String {
    format!("0x{:012x}", entry.id)
}

/// Whether `text` is `#<reference>` of the entry, or its pattern.
fn is_meant(entry: &ListEntry, text: &str) -> bool {
    match text.strip_prefix("#0x").and_then(|hex| u64::from_str_radix(hex, 16).ok()) {
        Some(id) => entry.id == id,
        None => *entry.pattern.text == *text.as_bytes(),
    }
}

fn report(call: &mut Call<'_>, result: Result<(), ListError>) {
    if let Err(e) = result {
        let _ = writeln!(call.out, "Nothing was changed: {}.", e.message);
    }
}

/// `show acl`, `show map`.
pub fn show(call: &mut Call<'_>, kind: Kind) -> Next {
    if call.args.is_empty() {
        call.out.push_str("# id (file) description\n");
        for list in call.cx.lists.all().iter().filter(|l| kind.fits(l)) {
            let (current, last) = list.version_numbers();
            let (id, file, about) = (list.id, list.name.as_deref().unwrap_or_default(), &list.display);
            let _ = writeln!(
                call.out,
                "{id} ({file}) {about}. curr_ver={current} next_ver={last} entry_cnt={}",
                list.count()
            );
        }
        return Next::Continue;
    }
    let Ok(version) = version(call) else { return Next::Continue };
    let Some(list) = find(call, kind) else { return Next::Continue };
    // Page by page, as fast as the reader takes it: a map may be larger than the memory should be for one answer.
    Next::Job(Box::new(move |sink| {
        Box::pin(async move {
            let (mut text, mut last) = (String::new(), 0);
            loop {
                let page = list.page(version, last, PAGE);
                let Some(end) = page.last() else { return Ok(()) };
                last = end.id;
                page.iter().for_each(|entry| line(entry, &mut text));
                sink.put(&mut text).await?;
            }
        })
    }))
}

/// Entries that are shown before others have their turn.
const PAGE: usize = 500;

/// A line of `show acl` or `show map`.
fn line(entry: &ListEntry, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{} {}", reference(entry), String::from_utf8_lossy(&entry.pattern.text));
    if let Some(value) = &entry.value {
        let _ = write!(out, " {}", String::from_utf8_lossy(value));
    }
    out.push('\n');
}

/// `get acl`, `get map`: one line for each way in which the list is used.
pub fn get(call: &mut Call<'_>, kind: Kind) -> Next {
    let Some(list) = find(call, kind) else { return Next::Continue };
    let Some(value) = call.args.get(1) else {
        call.out.push_str("Missing the value to look up.\n");
        return Next::Continue;
    };
    let wanted = |u: &&Use| u.values.is_some() == (kind == Kind::Map);
    for used_as in list.uses().iter().filter(wanted).copied() {
        let case = if used_as.ignore_case { "insensitive" } else { "sensitive" };
        let _ = write!(call.out, "type={}, case={case}", used_as.method.name());
        match list.find(used_as, &Sample::str(value.as_bytes())) {
            None => call.out.push_str(if kind == Kind::Map { ", found=no" } else { ", match=no" }),
            Some(entry) => {
                let tree = matches!(used_as.method, Method::Str | Method::Ip | Method::Beg);
                let pattern = String::from_utf8_lossy(&entry.pattern.text);
                let idx = if tree { "tree" } else { "list" };
                match (kind, used_as.values) {
                    (Kind::Map, Some(ty)) => {
                        let value = String::from_utf8_lossy(entry.value.as_deref().unwrap_or_default());
                        let _ = write!(
                            call.out,
                            ", found=yes, idx={idx}, key=\"{pattern}\", value=\"{value}\", type=\"{}\"",
                            ty.name()
                        );
                    }
                    _ => _ = write!(call.out, ", match=yes, idx={idx}, pattern=\"{pattern}\""),
                }
            }
        }
        call.out.push('\n');
    }
    Next::Continue
}

/// `add acl`, `add map`: one entry, or those of the payload.
pub fn add(call: &mut Call<'_>, kind: Kind) -> Next {
    let Ok(version) = version(call) else { return Next::Continue };
    let Some(list) = find_any(call, kind) else { return Next::Continue };
    if kind == Kind::Acl && list.uses().iter().any(|u| u.values.is_some()) {
        call.out.push_str("This list is shared with a map. Please use 'add map', which gives a value too.\n");
        return Next::Continue;
    }
    if !kind.fits(&list) {
        unknown(call, kind);
        return Next::Continue;
    }
    let new = match (call.payload, kind, &call.args[1..]) {
        (Some(text), _, []) => parse_file(text.as_bytes(), kind == Kind::Map),
        (None, Kind::Acl, [pattern]) => vec![ListEntry::new(pattern.as_bytes(), None)],
        (None, Kind::Map, [key, value]) => {
            vec![ListEntry::new(key.as_bytes(), Some(value.as_bytes()))]
        }
        (_, Kind::Acl, _) => {
            call.out.push_str("'add acl' expects an ACL and a pattern.\n");
            return Next::Continue;
        }
        (_, Kind::Map, _) => {
            call.out.push_str("'add map' expects a map, a key and a value, or a map and a payload.\n");
            return Next::Continue;
        }
    };
    if let Some(bare) = new.iter().find(|e| e.value.as_ref().is_some_and(|v| v.is_empty())) {
        let key = String::from_utf8_lossy(&bare.pattern.text);
        let _ = writeln!(call.out, "Missing value for key '{key}'.");
        return Next::Continue;
    }
    let new = new.into_iter().map(|e| ListEntry { line: 0, ..e }).collect();
    report_version(call, kind, list.add_to(version, new));
    Next::Continue
}

/// `del acl`, `del map`.
pub fn del(call: &mut Call<'_>, kind: Kind) -> Next {
    let Some(list) = find(call, kind) else { return Next::Continue };
    let Some(key) = call.args.get(1).cloned() else {
        call.out.push_str("Missing the key or #<ref> to delete.\n");
        return Next::Continue;
    };
    let mut found = false;
    let result = list.change(|entries| {
        let before = entries.len();
        entries.retain(|e| !is_meant(e, &key));
        found = entries.len() != before;
    });
    report(call, result);
    if !found {
        call.out.push_str("Key not found.\n");
    }
    Next::Continue
}

/// `set map`.
pub fn set(call: &mut Call<'_>) -> Next {
    let Some(list) = find(call, Kind::Map) else { return Next::Continue };
    let [_, key, value] = call.args else {
        call.out.push_str("'set map' expects a map, a key or #<ref>, and a value.\n");
        return Next::Continue;
    };
    let mut found = false;
    let result = list.change(|entries| {
        for e in entries.iter_mut().filter(|e| is_meant(e, key)) {
            e.value = Some(value.as_bytes().into());
            found = true;
        }
    });
    report(call, result);
    if !found {
        call.out.push_str("entry not found.\n");
    }
    Next::Continue
}

/// `clear acl`, `clear map`.
pub fn clear(call: &mut Call<'_>, kind: Kind) -> Next {
    let Ok(version) = version(call) else { return Next::Continue };
    if let Some(list) = find(call, kind) {
        list.clear(version);
    }
    Next::Continue
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::PatternLists;

    #[test]
    fn entries_are_meant_by_key_or_reference() {
        let lists = PatternLists::default();
        let list = lists.add(None, String::new(), parse_file(b"a 1\na 2\n", true));
        let entries = list.entries().0;
        let second = format!("#{}", reference(&entries[1]));
        let meant = |text: &str| entries.iter().map(|e| is_meant(e, text)).collect::<Vec<_>>();
        assert_eq!(meant("a"), [true, true]);
        assert_eq!(meant(&second), [false, true]);
        assert_eq!(meant("#0x"), [false, false]);
        // A reference is never given to another entry.
        list.change(|e| e.truncate(1)).expect("taking away is always possible");
        list.add(b"a", Some(b"3")).expect("a string is always valid");
        assert!(!is_meant(&list.entries().0[1], &second));
    }
}
