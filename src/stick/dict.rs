//! The dictionary of servers' keys: what a table stores of a server's name or address is a number, and this gives the
//! text back.
//!
//! The number is a hash of the text ([`DataType::name_value`]), the same in every process and after every restart: a
//! table in shared memory needs no dictionary beside it, and nobody has to agree on numbers. A process finds its own
//! servers by hashing their names. The texts themselves are only needed to show an entry and to send it to a peer; they
//! are kept here, per process: those of the configuration for good, others (taught by a peer, or an address that a
//! server got at run time) as long as they are among the ones used lately.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::DataType;

/// Texts in a generation. There are two of them.
const GENERATION: usize = 16_384;
/// Bytes of a text that somebody else chose.
const TEXT_MAX: usize = 1024;

/// Texts by their number. Any number of threads use it; none does so on the way of a request.
#[derive(Debug, Default)]
pub struct Dict {
    texts: RwLock<Texts>,
}

#[derive(Debug, Default)]
struct Texts {
    /// Of the configuration.
    own: HashMap<u64, Arc<str>>,
    /// Used since the last change of generations ...
    young: HashMap<u64, Arc<str>>,
    /// ... and before it.
    old: HashMap<u64, Arc<str>>,
}

impl Texts {
    fn find(&self, value: u64) -> Option<&Arc<str>> {
        self.own.get(&value).or_else(|| self.young.get(&value))
    }

    fn add(&mut self, value: u64, text: Arc<str>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(value, text);
    }
}

impl Dict {
    /// Keep a name or an address of the configuration. Gives the number to store.
    pub fn keep(&self, text: &str) -> u64 {
        let value = DataType::name_value(text);
        let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
        texts.own.entry(value).or_insert_with(|| text.into());
        value
    }

    /// Learn a text that came at run time. Gives the number to store, also when the text is too long to keep.
    pub fn learn(&self, text: &str) -> u64 {
        let value = DataType::name_value(text);
        if text.len() <= TEXT_MAX && self.text(value).is_none() {
            let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
            texts.add(value, text.into());
        }
        value
    }

    /// The text for a stored number. `None` for 0, and for what this process never heard or forgot.
    pub fn text(&self, value: u64) -> Option<Arc<str>> {
        let texts = self.texts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = texts.find(value) {
            return Some(text.clone());
        }
        let text = texts.old.get(&value)?.clone();
        drop(texts);
        // Somebody else may have changed generations meanwhile: then it is young again all the same.
        let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
        texts.old.remove(&value);
        texts.add(value, text.clone());
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        let d = Dict::default();
        let (own, learnt) = (d.keep("app1"), d.learn("10.0.0.1:80"));
        assert_eq!(d.text(own).as_deref(), Some("app1"));
        assert_eq!(d.text(learnt).as_deref(), Some("10.0.0.1:80"));
        assert_eq!((d.learn("app1"), d.keep("10.0.0.1:80")), (own, learnt));
        assert_eq!((d.text(0), d.text(own ^ 1)), (None, None));
        assert_ne!(d.keep(""), 0);
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let d = Dict::default();
        let (own, used, unused) = (d.keep("own"), d.learn("used"), d.learn("unused"));
        for i in 0..GENERATION * 3 {
            d.learn(&format!("s{i}"));
            if i % 1000 == 0 {
                assert_eq!(d.text(used).as_deref(), Some("used"), "{i}");
            }
        }
        assert_eq!(d.text(own).as_deref(), Some("own"));
        assert_eq!(d.text(unused), None);
        let texts = d.texts.read().expect("nobody panics with it");
        assert!(texts.young.len() + texts.old.len() <= 2 * GENERATION);
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let d = Dict::default();
        let long = "x".repeat(TEXT_MAX + 1);
        let value = d.learn(&long);
        assert_eq!((value, d.text(value)), (DataType::name_value(&long), None));
        let own = d.keep(&long);
        assert_eq!(d.text(own).as_deref(), Some(long.as_str()));
    }
}
