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

    /// The place of `len` bytes at `at` inside the word's value. Exact when the word was written without quotes,
    /// escapes and variables; the whole word otherwise.
    pub fn sub(&self, at: usize, len: usize) -> Loc {
        if self.loc.len as usize == self.bytes.len() && at + len <= self.bytes.len() {
            Loc { col: self.loc.col + at as u32, len: len.max(1) as u32, ..self.loc }
        } else {
            self.loc
        }
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

impl Directive {
    /// A directive of `words` (one at least); `no` or `default` in front of another word is cut off.
    pub fn new(mut words: Vec<Word>) -> Directive {
        let first = words[0].loc;
        let last = words[words.len() - 1].loc;
        let loc = Loc { len: (last.col + last.len).saturating_sub(first.col), ..first };
        let negated = words.len() > 1 && words[0].is("no");
        let defaulted = words.len() > 1 && words[0].is("default");
        if negated || defaulted {
            words.remove(0);
        }
        Directive { words, negated, defaulted, loc }
    }
}
