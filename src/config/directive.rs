//! One line of configuration, cut into words.

use std::borrow::Cow;

use super::Loc;

/// A word after quotes, escapes and variables were resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The bytes; not necessarily UTF-8 (`\xHH` escapes).
    pub bytes: Vec<u8>,
    /// Where the word stands in the source line.
    pub loc: Loc,
}

impl Word {
    /// The word as text, lossily: for keywords, names and messages. Opaque values use `bytes`.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// True when the word is exactly `s`.
    pub fn is(&self, s: &str) -> bool {
        self.bytes == s.as_bytes()
    }
}

/// A directive: keyword and arguments.
#[derive(Clone, Debug)]
pub struct Directive {
    /// The words; never empty. `words[0]` is the keyword (with its first word, for `timeout client`).
    pub words: Vec<Word>,
    /// `no` or `default` in front was cut off and is noted here.
    pub negated: bool,
    /// See `negated`.
    pub defaulted: bool,
    /// The whole line's location.
    pub loc: Loc,
}
