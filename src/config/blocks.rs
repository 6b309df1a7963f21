//! `.if` blocks and the directives that only print.

use super::condition;
use super::{Diagnostics, LoadState, Loc, Word};
use crate::base::limits::CONFIG_IF_DEPTH_MAX;

/// A directive that acts on the lines around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Directive {
    If,
    Elif,
    Else,
    Endif,
    Diag,
    Notice,
    Warning,
    Alert,
    Unknown,
}

const NAMES: [(&str, Directive); 8] = [
    (".if", Directive::If),
    (".elif", Directive::Elif),
    (".else", Directive::Else),
    (".endif", Directive::Endif),
    (".diag", Directive::Diag),
    (".notice", Directive::Notice),
    (".warning", Directive::Warning),
    (".alert", Directive::Alert),
];

impl Directive {
    /// The directive that `word` names, if it starts with a dot.
    pub(super) fn of(word: &Word) -> Option<Directive> {
        if word.bytes.first() != Some(&b'.') {
            return None;
        }
        Some(NAMES.iter().find(|(n, _)| word.is(n)).map_or(Directive::Unknown, |(_, d)| *d))
    }
}

/// One open `.if`.
struct Level {
    /// The lines are read.
    active: bool,
    /// Some branch was read already, or none may be (the `.if` stands in lines that are left out).
    done: bool,
    /// `.else` was seen.
    in_else: bool,
    loc: Loc,
}

/// The open blocks of a file.
#[derive(Default)]
pub(super) struct Blocks {
    levels: Vec<Level>,
}

impl Blocks {
    /// True while lines are left out.
    pub(super) fn skipping(&self) -> bool {
        self.levels.last().is_some_and(|l| !l.active)
    }

    pub(super) fn apply(
        &mut self,
        directive: Directive,
        words: &[Word],
        state: &LoadState,
        diags: &mut Diagnostics,
    ) {
        match directive {
            Directive::If => self.open(words, state, diags),
            Directive::Elif | Directive::Else => self.next_branch(directive, words, state, diags),
            Directive::Endif => {
                no_argument(words, diags);
                if self.levels.pop().is_none() {
                    lone(words, diags);
                }
            }
            // In lines that are left out, words that only a later version knows are no error.
            _ if self.skipping() => {}
            Directive::Unknown => {
                let d = diags.error(words[0].loc, format!("unknown directive '{}'", words[0].text()));
                if let Some(best) = super::suggest::closest(&words[0].text(), NAMES.iter().map(|n| n.0)) {
                    d.help(super::suggest::did_you_mean(best));
                }
            }
            _ => message(directive, words, state, diags),
        }
    }

    /// The file ends.
    pub(super) fn finish(self, diags: &mut Diagnostics) {
        for level in self.levels {
            diags.error(level.loc, "non-terminated '.if' block").help("close it with '.endif'");
        }
    }

    fn open(&mut self, words: &[Word], state: &LoadState, diags: &mut Diagnostics) {
        if self.levels.len() == CONFIG_IF_DEPTH_MAX {
            diags.error(words[0].loc, format!("more than {CONFIG_IF_DEPTH_MAX} nested '.if' blocks"));
            return;
        }
        let inside_skipped = self.skipping();
        let active = !inside_skipped && evaluate(words, state, diags);
        self.levels.push(Level { active, done: active || inside_skipped, in_else: false, loc: words[0].loc });
    }

    fn next_branch(
        &mut self,
        directive: Directive,
        words: &[Word],
        state: &LoadState,
        diags: &mut Diagnostics,
    ) {
        let Some(level) = self.levels.last_mut() else { return lone(words, diags) };
        if level.in_else {
            let message = format!("'{}' after '.else' is not permitted", words[0].text());
            diags.error(words[0].loc, message);
            return;
        }
        level.active = match directive {
            Directive::Elif => !level.done && evaluate(words, state, diags),
            _ => {
                no_argument(words, diags);
                level.in_else = true;
                !level.done
            }
        };
        level.done |= level.active;
    }
}

fn lone(words: &[Word], diags: &mut Diagnostics) {
    diags.error(words[0].loc, format!("lone '{}' with no matching '.if'", words[0].text()));
}

fn no_argument(words: &[Word], diags: &mut Diagnostics) {
    if let Some(w) = words.get(1) {
        diags.error(w.loc, format!("unexpected argument '{}' for '{}'", w.text(), words[0].text()));
    }
}

/// The condition behind `.if` or `.elif`; an error counts as false.
fn evaluate(words: &[Word], state: &LoadState, diags: &mut Diagnostics) -> bool {
    // The words are put together again with one space between, and each knows where it began.
    let mut text = String::new();
    let mut starts = Vec::new();
    for w in &words[1..] {
        if !starts.is_empty() {
            text.push(' ');
        }
        starts.push((text.len(), w));
        text.push_str(&w.text());
    }
    match condition::eval(&text, &state.env) {
        Ok(value) => value,
        Err(e) => {
            let loc = match starts.iter().rev().find(|(start, _)| *start <= e.at) {
                Some((start, w)) => w.sub((e.at - start).min(w.bytes.len()), e.len.min(w.bytes.len())),
                None => words[0].loc,
            };
            let message = format!("{} in '{}'", e.message, words[0].text());
            let d = diags.error(loc, message);
            if let Some(help) = e.help {
                d.help(help);
            }
            false
        }
    }
}

fn message(directive: Directive, words: &[Word], state: &LoadState, diags: &mut Diagnostics) {
    if let Some(w) = words.get(2) {
        let message = format!("unexpected argument '{}' for '{}'", w.text(), words[0].text());
        diags.error(w.loc, message).help("put quotes around a message that holds spaces");
        return;
    }
    let text = format!("'{}'", words.get(1).map(Word::text).unwrap_or_default());
    // The message is the user's own: the line alone is enough to find it.
    let loc = Loc { col: 0, len: 0, ..words[0].loc };
    match directive {
        Directive::Diag if !state.diag_mode => {}
        Directive::Diag | Directive::Warning => {
            diags.warning(loc, text);
        }
        Directive::Alert => {
            diags.error(loc, text);
        }
        _ => {
            diags.notice(loc, text);
        }
    }
}
