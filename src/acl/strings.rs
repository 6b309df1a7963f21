//! Strings: exact, prefix, suffix, substring, and parts between delimiters.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use aho_corasick::{AhoCorasick, MatchKind};

use crate::sample::Scratch;

/// Sets up to this size are compared one by one.
const SMALL: usize = 4;

/// XXH3 over the bytes: the keys come from the configuration, so an attacker cannot choose colliding ones.
#[derive(Default)]
pub struct BytesHasher(u64);

impl Hasher for BytesHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, self.0);
    }
    fn write_usize(&mut self, n: usize) {
        self.0 ^= n as u64;
    }
}

type Map = HashMap<Box<[u8]>, u32, BuildHasherDefault<BytesHasher>>;

/// Keys with their index; small sets are searched linearly, large ones by hash.
#[derive(Debug)]
enum Keys {
    Few(Vec<(Box<[u8]>, u32)>),
    Many(Map),
}

impl Keys {
    fn build(list: Vec<(Box<[u8]>, u32)>) -> Keys {
        if list.len() <= SMALL {
            return Keys::Few(list);
        }
        let mut map = Map::default();
        for (k, i) in list {
            map.entry(k).or_insert(i);
        }
        Keys::Many(map)
    }
    fn get(&self, key: &[u8]) -> Option<u32> {
        match self {
            Keys::Few(l) => l.iter().find(|(k, _)| **k == *key).map(|(_, i)| *i),
            Keys::Many(m) => m.get(key).copied(),
        }
    }
}

/// Where a key may stand in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// It is the whole text.
    Exact,
    /// The text begins with it.
    Prefix,
    /// The text ends with it.
    Suffix,
    /// Anywhere.
    Inside,
    /// Between two slashes or the ends.
    Dir,
    /// Between two of `/ ? . :` or the ends.
    Domain,
}

fn is_delimiter(p: Position, c: u8) -> bool {
    match p {
        Position::Dir => c == b'/',
        _ => matches!(c, b'/' | b'?' | b'.' | b':'),
    }
}

/// A set of strings.
#[derive(Debug)]
pub struct StrSet {
    position: Position,
    ignore_case: bool,
    keys: Keys,
    /// Distinct lengths of the keys, longest first.
    lengths: Vec<usize>,
    inside: Option<AhoCorasick>,
}

impl StrSet {
    /// From patterns in order. Fails only when a substring set is too large to be compiled.
    pub fn build<'p>(
        position: Position,
        ignore_case: bool,
        patterns: impl IntoIterator<Item = (&'p [u8], u32)>,
    ) -> Result<StrSet, String> {
        let list: Vec<(Box<[u8]>, u32)> = patterns
            .into_iter()
            .map(|(p, i)| {
                let p = match position {
                    Position::Dir | Position::Domain => trim(position, p),
                    _ => p,
                };
                (if ignore_case { p.to_ascii_lowercase().into() } else { p.into() }, i)
            })
            .collect();
        let mut lengths: Vec<usize> = list.iter().map(|(k, _)| k.len()).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        let inside = if position == Position::Inside && list.len() > 1 {
            let built = AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(ignore_case)
                .build(list.iter().map(|(k, _)| k));
            Some(built.map_err(|e| format!("too many substrings: {e}"))?)
        } else {
            None
        };
        Ok(StrSet { position, ignore_case, keys: Keys::build(list), lengths, inside })
    }

    /// Whether any pattern matches; for substrings cheaper than finding out which.
    pub fn is_match(&self, text: &[u8]) -> bool {
        match &self.inside {
            Some(ac) => ac.is_match(text),
            None => self.find(text).is_some(),
        }
    }

    /// The pattern that matches: the longest for prefixes, else the first in order.
    pub fn find(&self, text: &[u8]) -> Option<u32> {
        if let Some(ac) = &self.inside {
            return self.find_inside(ac, text);
        }
        if self.ignore_case && text.iter().any(u8::is_ascii_uppercase) {
            let mut lower = Scratch::of(text);
            lower.vec().make_ascii_lowercase();
            return self.find_folded(&lower);
        }
        self.find_folded(text)
    }

    fn find_folded(&self, text: &[u8]) -> Option<u32> {
        match self.position {
            Position::Exact => self.keys.get(text),
            Position::Prefix => self.lengths.iter().find_map(|n| self.keys.get(text.get(..*n)?)),
            Position::Suffix => self.first(|n| self.keys.get(&text[text.len().checked_sub(n)?..])),
            Position::Inside => match &self.keys {
                Keys::Few(l) => {
                    l.iter().filter(|(k, _)| memchr::memmem::find(text, k).is_some()).map(|(_, i)| *i).min()
                }
                Keys::Many(_) => None,
            },
            Position::Dir | Position::Domain => self.find_part(text),
        }
    }

    /// The smallest index over all key lengths.
    fn first(&self, at: impl Fn(usize) -> Option<u32>) -> Option<u32> {
        self.lengths.iter().filter_map(|n| at(*n)).min()
    }

    fn find_inside(&self, ac: &AhoCorasick, text: &[u8]) -> Option<u32> {
        // The index of a pattern in the automaton is its position among the keys, which are in order.
        let mut best: Option<u32> = None;
        for m in ac.find_overlapping_iter(text) {
            let i = m.pattern().as_u32();
            if best.is_none_or(|b| i < b) {
                best = Some(i);
                if i == 0 {
                    break;
                }
            }
        }
        best
    }

    fn find_part(&self, text: &[u8]) -> Option<u32> {
        let text = trim(self.position, text);
        let edge = |i: usize| i == text.len() || is_delimiter(self.position, text[i]);
        let mut best: Option<u32> = None;
        let mut start = 0;
        loop {
            let here = self.first(|n| {
                let end = start + n;
                (end <= text.len() && edge(end)).then(|| self.keys.get(&text[start..end])).flatten()
            });
            best = match (best, here) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            match text[start..].iter().position(|c| is_delimiter(self.position, *c)) {
                Some(d) => start += d + 1,
                None => return best,
            }
        }
    }
}

fn trim(p: Position, mut t: &[u8]) -> &[u8] {
    while let Some((c, rest)) = t.split_first() {
        if !is_delimiter(p, *c) {
            break;
        }
        t = rest;
    }
    while let Some((c, rest)) = t.split_last() {
        if !is_delimiter(p, *c) {
            break;
        }
        t = rest;
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(position: Position, ignore_case: bool, list: &[&str]) -> StrSet {
        StrSet::build(position, ignore_case, list.iter().enumerate().map(|(i, t)| (t.as_bytes(), i as u32)))
            .expect("small sets compile")
    }

    #[test]
    fn directories_as_in_the_manual() {
        for p in ["/images", "/images/png", "images/png", "/png/logo", "logo/32x32.png", "32x32.png"] {
            assert_eq!(set(Position::Dir, false, &[p]).find(b"/images/png/logo/32x32.png"), Some(0), "{p}");
        }
        for p in ["pn", "32x32", "image"] {
            assert_eq!(set(Position::Dir, false, &[p]).find(b"/images/png/logo/32x32.png"), None, "{p}");
        }
    }

    #[test]
    fn domains_as_in_the_manual() {
        let url = b"http://www1.dc-eu.example.com:80/blah";
        for p in [
            "http",
            "www1",
            ".www1",
            "dc-eu",
            "example",
            "com",
            "80",
            "dc-eu.example",
            "blah",
            ":www1:",
            "com:80",
        ] {
            assert_eq!(set(Position::Domain, false, &[p]).find(url), Some(0), "{p}");
        }
        assert_eq!(set(Position::Domain, false, &["eu"]).find(url), None);
    }

    #[test]
    fn case_is_ignored_when_asked() {
        assert_eq!(set(Position::Exact, true, &["WWW.Example.org"]).find(b"www.EXAMPLE.org"), Some(0));
        assert_eq!(set(Position::Exact, false, &["a"]).find(b"A"), None);
        assert_eq!(set(Position::Inside, true, &["script", "IFRAME"]).find(b"<IfRaMe>"), Some(1));
    }

    #[test]
    fn empty_patterns() {
        assert_eq!(set(Position::Exact, false, &[""]).find(b""), Some(0));
        assert_eq!(set(Position::Prefix, false, &[""]).find(b"x"), Some(0));
        assert_eq!(set(Position::Prefix, false, &[]).find(b"x"), None);
    }

    fn naive(position: Position, patterns: &[String], text: &str) -> Option<u32> {
        let hit = |p: &str| match position {
            Position::Exact => text == p,
            Position::Prefix => text.starts_with(p),
            Position::Suffix => text.ends_with(p),
            _ => text.contains(p),
        };
        let hits = patterns.iter().enumerate().filter(|(_, p)| hit(p));
        let best = match position {
            Position::Prefix => hits.max_by_key(|(i, p)| (p.len(), usize::MAX - i)),
            _ => hits.min_by_key(|(i, _)| *i),
        };
        best.map(|(i, _)| i as u32)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn agrees_with_a_naive_search(patterns in prop::collection::vec("[ab]{0,4}", 0..12), text in "[ab]{0,8}") {
            for position in [Position::Exact, Position::Prefix, Position::Suffix, Position::Inside] {
                let s = StrSet::build(position, false, patterns.iter().enumerate().map(|(i, p)| (p.as_bytes(), i as u32)))
                    .expect("small sets compile");
                let want = naive(position, &patterns, &text);
                prop_assert_eq!(s.find(text.as_bytes()), want, "{:?}", position);
                prop_assert_eq!(s.is_match(text.as_bytes()), want.is_some(), "{:?}", position);
            }
        }
        #[test]
        fn parts_agree_with_a_naive_search(patterns in prop::collection::vec("[ab]{1,2}(/[ab]{1,2})?", 1..8), text in "[ab/]{0,10}") {
            let s = StrSet::build(Position::Dir, false, patterns.iter().enumerate().map(|(i, p)| (p.as_bytes(), i as u32)))
                .expect("small sets compile");
            let framed = format!("/{text}/");
            let want = patterns.iter().position(|p| framed.contains(&format!("/{p}/"))).map(|i| i as u32);
            prop_assert_eq!(s.find(text.as_bytes()), want);
        }
    }
}
