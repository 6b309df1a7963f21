//! What a parse function gets: the directive with a cursor over its arguments, the section, the collector.
//!
//! Every `expect_*` method reports what is wrong, with a caret, and returns `None`; a parse function then
//! simply returns: `let Some(n) = cx.expect_int("a number of connections", 0..=i64::MAX) else { return };`

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Diagnostic, Diagnostics, Directive, Env, Loc, Section, Tables, Word};
use crate::base::addr::{AddrRules, AddrSpec};
use crate::base::duration::{self, Unit};
use crate::base::size;

/// State of the loader that directives may read and change while the files are read.
#[derive(Clone, Debug, Default)]
pub struct LoadState {
    /// The environment.
    pub env: Env,
    /// What relative paths of the current file are relative to (`default-path`); `None` for the working
    /// directory.
    pub base_dir: Option<PathBuf>,
    /// Names of the loaded files, by `Loc::file`.
    pub files: Vec<PathBuf>,
    /// How `base_dir` follows the current file.
    pub default_path: DefaultPath,
    /// `-dD`: diagnostic warnings are wanted.
    pub diag_mode: bool,
    /// What features share over all sections of this load (files read once, numbering).
    pub shared: Shared,
}

/// One value per type, made at first use; clones share the values.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl Shared {
    /// The value of type `T`.
    pub fn get<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut map = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let slot = map.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        slot.clone().downcast().expect("the map is keyed by the type of its value")
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// `default-path`: where relative paths start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DefaultPath {
    /// The working directory of the process.
    #[default]
    Current,
    /// The directory of the file being read.
    Config,
    /// The parent of that directory.
    Parent,
    /// A fixed directory.
    Origin(PathBuf),
}

/// What a parse function gets.
pub struct ParseCx<'a> {
    /// The directive.
    pub dir: &'a Directive,
    /// The section it stands in.
    pub section: &'a mut Section,
    /// The collector.
    pub diags: &'a mut Diagnostics,
    /// Tables of fetches, converters, actions, options: everything that features registered.
    pub tables: &'a Tables,
    /// The loader's state: environment, base of relative paths.
    pub state: &'a mut LoadState,
    /// Index in `dir.words` of the next argument; the dispatcher puts it behind the keyword.
    pub pos: usize,
    /// Number of words of the keyword (1 or 2).
    pub keyword_len: usize,
}

impl<'a> ParseCx<'a> {
    /// The keyword as the table spells it: its words with one space between.
    pub fn keyword(&self) -> String {
        let words = &self.dir.words[..self.keyword_len];
        words.iter().map(Word::text).collect::<Vec<_>>().join(" ")
    }

    /// The next argument, left in place.
    pub fn peek(&self) -> Option<&'a Word> {
        self.dir.words.get(self.pos)
    }

    /// The next argument.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<&'a Word> {
        let w = self.dir.words.get(self.pos)?;
        self.pos += 1;
        Some(w)
    }

    /// Every argument that is left, taken.
    pub fn rest(&mut self) -> &'a [Word] {
        let w = &self.dir.words[self.pos.min(self.dir.words.len())..];
        self.pos = self.dir.words.len();
        w
    }

    /// True and taken when the next argument is `word`.
    pub fn accept(&mut self, word: &str) -> bool {
        let yes = self.peek().is_some_and(|w| w.is(word));
        self.pos += usize::from(yes);
        yes
    }

    /// The place just behind the last word: where a missing argument should stand.
    pub fn end_loc(&self) -> Loc {
        match self.dir.words.last() {
            Some(w) => Loc { col: w.loc.col + w.loc.len, len: 1, ..w.loc },
            None => self.dir.loc,
        }
    }

    /// Report an error at `loc`.
    pub fn error(&mut self, loc: Loc, message: impl Into<String>) -> &mut Diagnostic {
        self.diags.error(loc, message)
    }

    /// Report a warning at `loc`.
    pub fn warning(&mut self, loc: Loc, message: impl Into<String>) -> &mut Diagnostic {
        self.diags.warning(loc, message)
    }

    /// The next argument; when there is none: "'KEYWORD' expects WHAT".
    pub fn expect(&mut self, what: &str) -> Option<&'a Word> {
        if let Some(w) = self.next() {
            return Some(w);
        }
        let message = format!("'{}' expects {what}", self.keyword());
        let loc = self.end_loc();
        self.diags.error(loc, message);
        None
    }

    /// The next argument as text.
    pub fn expect_text(&mut self, what: &str) -> Option<String> {
        self.expect(what).map(|w| w.text().into_owned())
    }

    /// The next argument as an integer in `range`.
    pub fn expect_int(&mut self, what: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let w = self.expect(what)?;
        let text = w.text();
        match text.parse::<i64>() {
            Ok(n) if range.contains(&n) => Some(n),
            Ok(_) => {
                let (low, high) = (range.start(), range.end());
                let message = match *high {
                    i64::MAX => format!("'{}': '{text}' is too small, minimum is {low}", self.keyword()),
                    _ => format!("'{}': '{text}' is out of range ({low} to {high})", self.keyword()),
                };
                self.diags.error(w.loc, message);
                None
            }
            Err(_) => {
                let message = format!("'{}' expects {what}, got '{text}'", self.keyword());
                self.diags.error(w.loc, message);
                None
            }
        }
    }

    /// The next argument as a timer; a number without a unit is in `unit`.
    pub fn expect_duration(&mut self, what: &str, unit: Unit) -> Option<Duration> {
        let w = self.expect(what)?;
        match duration::parse(&w.text(), unit) {
            Ok(d) => Some(d),
            Err(e) => {
                let (at, len) = e.span(&w.text());
                let message = format!("'{}' expects {what}: {e} in '{}'", self.keyword(), w.text());
                let help = "write a number and one of us, ms, s, m, h, d; a number alone is in ";
                self.diags.error(w.sub(at, len), message).help(format!("{help}{}", unit.suffix()));
                None
            }
        }
    }

    /// The next argument as a size in bytes.
    pub fn expect_size(&mut self, what: &str) -> Option<u64> {
        let w = self.expect(what)?;
        match size::parse(&w.text()) {
            Ok(n) => Some(n),
            Err(e) => {
                let (at, len) = e.span(&w.text());
                let message = format!("'{}' expects {what}: {e} in '{}'", self.keyword(), w.text());
                self.diags.error(w.sub(at, len), message).help("write a number and none or one of k, m, g");
                None
            }
        }
    }

    /// The next argument as an address.
    pub fn expect_addr(&mut self, what: &str, rules: AddrRules) -> Option<AddrSpec> {
        let w = self.expect(what)?;
        self.addr(w, rules)
    }

    /// A word as an address. Variables are expanded even outside quotes, as HAProxy does for addresses.
    pub fn addr(&mut self, w: &Word, rules: AddrRules) -> Option<AddrSpec> {
        let text = self.addr_text(w);
        match AddrSpec::parse(&text, rules) {
            Ok(a) => Some(a),
            Err(e) => {
                let loc = if text == w.text() { w.sub(e.span.0, e.span.1) } else { w.loc };
                let message = format!("'{}' : {}", self.keyword(), e.message);
                let d = self.diags.error(loc, message);
                if let Some(help) = e.help {
                    d.help(help);
                }
                None
            }
        }
    }

    /// A word as a comma-separated list of addresses (`bind :80,:81`).
    pub fn addr_list(&mut self, w: &Word, rules: AddrRules) -> Option<Vec<AddrSpec>> {
        let mut list = Vec::new();
        let mut at = 0;
        for part in w.bytes.split(|c| *c == b',') {
            let piece = Word { bytes: part.to_vec(), loc: w.sub(at, part.len()) };
            list.push(self.addr(&piece, rules)?);
            at += part.len() + 1;
        }
        Some(list)
    }

    fn addr_text(&self, w: &Word) -> String {
        let text = w.text().into_owned();
        if !text.contains('$') {
            return text;
        }
        super::words::expand_in_address(&text, &self.state.env)
    }

    /// The next argument must be one of `choices`; its index. The error lists them and guesses which was meant.
    pub fn expect_one_of(&mut self, what: &str, choices: &[&str]) -> Option<usize> {
        let w = self.expect(&format!("{what} ({})", choices.join(", ")))?;
        if let Some(i) = choices.iter().position(|c| w.is(c)) {
            return Some(i);
        }
        let message = format!("'{}' expects {what}, got '{}'", self.keyword(), w.text());
        let d = self.diags.error(w.loc, message);
        d.help(match super::suggest::closest(&w.text(), choices.iter().copied()) {
            Some(best) => format!("did you mean '{best}'?"),
            None => format!("one of: {}", choices.join(", ")),
        });
        None
    }

    /// Report every argument that is left: call it last. True when there was none.
    pub fn end(&mut self) -> bool {
        let Some(w) = self.next() else { return true };
        let message = format!("'{}' cannot handle unexpected argument '{}'", self.keyword(), w.text());
        let before = &self.dir.words[self.pos - 2];
        self.pos = self.dir.words.len();
        let d = self.diags.error(w.loc, message);
        // "5 s": the unit belongs to the number.
        let unit = ["us", "ms", "s", "m", "h", "d", "k", "g"].iter().any(|u| w.is(u));
        if unit && before.bytes.iter().all(u8::is_ascii_digit) {
            d.help(format!("write '{}{}' as one word", before.text(), w.text()));
        }
        false
    }

    /// A path as written, relative to the base that `default-path` sets.
    pub fn path(&self, w: &Word) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(&w.bytes));
        match &self.state.base_dir {
            Some(base) if path.is_relative() => base.join(path),
            _ => path.to_path_buf(),
        }
    }
}
