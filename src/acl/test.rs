//! One ACL test: an expression, a match method, patterns.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::config::known;
use crate::config::{Loc, Word, suggest};
use crate::sample::{Ctx, Expr, ExprCx, Sample, Type};

use super::ints::Op;
use super::matcher::Pattern;
use super::method::METHODS;
use super::set::{ListEntry, ListError, PatternLists, PatternSet, Use};
use super::{Method, derived};

/// What a test or condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It matches.
    Pass,
    /// It does not.
    Fail,
    /// It does not, but input that is still to come may change that.
    Later,
}

/// One test.
#[derive(Debug)]
pub struct Test {
    /// What is looked at.
    pub expr: Expr,
    /// The criterion as written, for messages.
    pub criterion: String,
    method: Method,
    sets: Vec<Arc<PatternSet>>,
    next: OnceLock<Arc<Test>>,
}

/// Tests that are read while more may be written: those written later belong to conditions written earlier, too.
#[derive(Debug)]
pub struct Tests {
    first: Arc<Test>,
    /// Where the next one goes, so that a list of thousands is not walked for each.
    last: Mutex<Arc<Test>>,
}

impl Tests {
    /// A list of one.
    pub fn new(test: Test) -> Tests {
        let first = Arc::new(test);
        Tests { last: Mutex::new(first.clone()), first }
    }

    /// In the order written.
    pub fn iter(&self) -> impl Iterator<Item = &Test> {
        std::iter::successors(Some(&*self.first), |t| t.next.get().map(|n| &**n))
    }

    /// Add one behind the others.
    pub fn push(&self, test: Test) {
        let test = Arc::new(test);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the last one has no next, and its lock is held.
        let _ = last.next.set(test.clone());
        *last = test;
    }
}

impl Drop for Test {
    /// One after the other: left to themselves they would nest as deep as the list is long.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut test) = next.and_then(Arc::into_inner) {
            next = test.next.take();
        }
    }
}

impl Test {
    /// Evaluate this test alone.
    pub fn eval(&self, cx: &dyn Ctx) -> Outcome {
        let hit = self.expr.any(cx, &mut |s: Sample<'_>| match self.method {
            Method::Found => true,
            Method::Bool => crate::sample::to_int(&s).is_some_and(|i| i != 0),
            _ => self.sets.iter().any(|set| set.is_match(&s)),
        });
        if hit {
            Outcome::Pass
        } else if self.expr.may_change(cx) {
            Outcome::Later
        } else {
            Outcome::Fail
        }
    }

    /// Parse a criterion, flags and patterns. `what` names the ACL in messages. `None` after an error was
    /// reported.
    pub fn parse(cx: &mut ExprCx<'_>, what: &str, words: &[Word]) -> Option<Test> {
        let first = words.first()?;
        let (expr, implied) = parse_criterion(cx, first)?;
        let mut p = Patterns {
            implied: if expr.has_converters() { None } else { implied },
            explicit: None,
            ignore_case: false,
            no_dns: false,
            as_map: false,
            op: Op::Eq,
            unique_id: None,
            inline: Vec::new(),
            files: Vec::new(),
        };
        let patterns = p.flags(cx, &expr, &words[1..])?;
        let method = p.method(cx, &expr, first.loc)?;
        p.inline(cx, method, patterns)?;
        if !method.takes_patterns() && !p.inline.is_empty() {
            // HAProxy ignores them in silence.
            cx.diags.warning(
                patterns.first().map_or(first.loc, |w| w.loc),
                format!("match method '{}' compares with no pattern: these are ignored", method.name()),
            );
        }
        let sets = p.sets(cx, what, method)?;
        if method.takes_patterns() && sets.is_empty() {
            cx.diags
                .warning(
                    first.loc,
                    format!("'{}' has no pattern to compare with, so it never matches", expr.text()),
                )
                .help("use '-m found' to test whether the sample exists");
        }
        Some(Test { criterion: expr.text().to_owned(), expr, method, sets, next: OnceLock::new() })
    }
}

/// The expression of a criterion, which may be a derived word, and the method it implies.
fn parse_criterion(cx: &mut ExprCx<'_>, word: &Word) -> Option<(Expr, Option<Method>)> {
    let text = &word.bytes;
    let end = text.iter().position(|c| matches!(c, b'(' | b',')).unwrap_or(text.len());
    let name = String::from_utf8_lossy(&text[..end]).into_owned();
    let Some((fetch, method)) = derived::find(cx.tables, &name) else {
        let manual = known::unsupported("fetch", "sample fetch", &name)
            .or_else(|| known::unsupported("acl-derivative", "ACL criterion", &name));
        if let Some(message) = manual {
            cx.diags.error(word.sub(0, end), message);
            return None;
        }
        let hint = derived::split_hint(cx.tables, &name).or_else(|| {
            let fetches = cx.tables.all::<crate::sample::Fetch>();
            let derived: Vec<String> = derived::names().collect();
            let all = fetches.iter().map(|f| f.name).chain(derived.iter().map(String::as_str));
            suggest::closest(&name, all).map(|n| format!("did you mean '{n}'?"))
        });
        let d = cx.diags.error(word.sub(0, end), format!("unknown sample fetch or ACL criterion '{name}'"));
        if let Some(h) = hint {
            d.help(h);
        }
        return None;
    };
    let (expr, used) = Expr::with_fetch(cx, fetch, text, end, word.loc)?;
    if used < text.len() {
        let rest = String::from_utf8_lossy(&text[used..]).into_owned();
        cx.diags.error(
            word.sub(used, text.len() - used),
            format!("unexpected '{rest}' after ACL criterion '{}'", expr.text()),
        );
        return None;
    }
    Some((expr, method))
}

/// The part behind the criterion, while it is read.
struct Patterns {
    implied: Option<Method>,
    explicit: Option<Method>,
    ignore_case: bool,
    no_dns: bool,
    as_map: bool,
    op: Op,
    unique_id: Option<String>,
    inline: Vec<(ListEntry, bool, Loc)>,
    files: Vec<(Word, bool)>,
}

impl Patterns {
    /// Read the flags; the words that are left are patterns.
    fn flags<'w>(&mut self, cx: &mut ExprCx<'_>, expr: &Expr, words: &'w [Word]) -> Option<&'w [Word]> {
        let mut i = 0;
        while let Some(w) = words.get(i) {
            i += 1;
            match w.bytes.as_slice() {
                b"-i" => self.ignore_case = true,
                b"-n" => self.no_dns = true,
                b"-M" => self.as_map = true,
                b"--" => return Some(&words[i..]),
                flag @ (b"-f" | b"-m" | b"-u") => {
                    let Some(value) = words.get(i) else {
                        let flag = String::from_utf8_lossy(flag).into_owned();
                        cx.diags.error(w.loc, format!("'{flag}' needs a value"));
                        return None;
                    };
                    i += 1;
                    match flag {
                        b"-f" => self.files.push((value.clone(), self.ignore_case)),
                        b"-u" => self.set_id(cx, value)?,
                        _ => self.set_method(cx, expr, w, value)?,
                    }
                }
                [b'-', c, ..] if c.is_ascii_alphabetic() => {
                    let flag = w.text().into_owned();
                    cx.diags.error(w.loc, format!("'{flag}' is no flag of ACLs")).help(
                        "-i, -n, -f, -m, -M and -u are; '--' goes before a pattern that begins with '-'",
                    );
                    return None;
                }
                _ => return Some(&words[i - 1..]),
            }
        }
        Some(&[])
    }

    fn set_id(&mut self, cx: &mut ExprCx<'_>, value: &Word) -> Option<()> {
        let text = value.text();
        if text.parse::<u32>().is_err() {
            cx.diags.error(value.loc, format!("'-u' needs a number, not '{text}'"));
            return None;
        }
        if cx.state.shared.get::<PatternLists>().by_name(&text).is_some() {
            cx.diags.error(value.loc, format!("'-u' : the id {text} is already used"));
            return None;
        }
        self.unique_id = Some(text.into_owned());
        Some(())
    }

    fn set_method(&mut self, cx: &mut ExprCx<'_>, expr: &Expr, flag: &Word, value: &Word) -> Option<()> {
        if !self.files.is_empty() {
            cx.diags.error(flag.loc, "'-m' must stand in front of patterns and files");
            return None;
        }
        let name = value.text();
        let Some(m) = Method::parse(&name) else {
            let d = cx.diags.error(value.loc, format!("unknown match method '{name}'"));
            let near = suggest::closest(&name, METHODS.iter().map(|(n, _)| *n));
            d.help(near.map_or_else(
                || format!("one of: {}", METHODS.map(|(n, _)| n).join(", ")),
                |n| format!("did you mean '{n}'?"),
            ));
            return None;
        };
        if !expr.out().casts_to(m.wants()) {
            let (m, ty) = (m.name(), expr.out().name());
            cx.diags.error(
                value.loc,
                format!("match method '{m}' cannot be used with '{}', which is of type {ty}", expr.text()),
            );
            return None;
        }
        self.explicit = Some(m);
        Some(())
    }

    fn method(&self, cx: &mut ExprCx<'_>, expr: &Expr, loc: Loc) -> Option<Method> {
        if let Some(m) = self.explicit {
            return Some(m);
        }
        if let Some(m) = self.implied.or_else(|| Method::default_for(expr.out())) {
            return Some(m);
        }
        let ty = if expr.out() == Type::Bin { "binary" } else { "not known before it is evaluated" };
        cx.diags
            .error(loc, format!("'{}' needs a match method: its type is {ty}", expr.text()))
            .help("write '-m str', '-m found' or another method in front of the patterns");
        None
    }

    /// The words that are left: patterns, with operators and late `-i`.
    fn inline(&mut self, cx: &mut ExprCx<'_>, method: Method, words: &[Word]) -> Option<()> {
        for w in words {
            if matches!(method, Method::Int | Method::Version | Method::Len)
                && let Some(op) = Op::parse(&w.bytes)
            {
                self.op = op;
                continue;
            }
            let text = match method {
                Method::Ip => self.resolve(cx, w)?,
                _ => vec![w.bytes.clone()],
            };
            for t in text {
                let pattern = Pattern { text: t.into(), op: self.op };
                let entry = ListEntry { id: 0, pattern, value: None, line: w.loc.line };
                self.inline.push((entry, self.ignore_case, w.loc));
            }
        }
        Some(())
    }

    /// A host name among address patterns is looked up while the configuration is loaded, unless `-n`.
    fn resolve(&self, cx: &mut ExprCx<'_>, w: &Word) -> Option<Vec<Vec<u8>>> {
        use std::net::ToSocketAddrs;
        let t = w.text();
        let may_be_name = t.bytes().any(|c| c.is_ascii_alphabetic())
            && t.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'));
        if self.no_dns || !may_be_name || super::ip::parse(&w.bytes).is_some() {
            return Some(vec![w.bytes.clone()]);
        }
        match (t.as_ref(), 0u16).to_socket_addrs() {
            Ok(all) => Some(all.map(|a| a.ip().to_string().into_bytes()).collect()),
            Err(_) => {
                cx.diags
                    .error(w.loc, format!("'{t}' is neither an address nor a host name that can be resolved"))
                    .help(
                        "write the address; names are looked up only once, when the configuration is loaded",
                    );
                None
            }
        }
    }

    fn sets(&mut self, cx: &mut ExprCx<'_>, what: &str, method: Method) -> Option<Vec<Arc<PatternSet>>> {
        let lists = cx.state.shared.get::<PatternLists>();
        let mut sets = Vec::new();
        for (file, ignore_case) in &self.files {
            let base = cx.state.base_dir.clone();
            let path = move |f: &str| match base {
                Some(b) => b.join(f),
                None => f.into(),
            };
            let display = format!("pattern loaded from file '{}' used by {what}", file.text());
            let list = match lists.file(&file.text(), path, self.as_map, display) {
                Ok(l) => l,
                Err(e) => {
                    cx.diags.error(file.loc, e);
                    return None;
                }
            };
            let used_as = Use { method, ignore_case: *ignore_case, values: None };
            match list.set(used_as) {
                Ok(s) => sets.push(s),
                Err(ListError { entry, message }) => {
                    let line = list.entries().0.get(entry).map_or(0, |e| e.line);
                    cx.diags.error(file.loc, format!("line {line} of '{}': {message}", file.text()));
                    return None;
                }
            }
        }
        for ignore_case in [false, true] {
            let part: Vec<_> = self.inline.iter().filter(|x| x.1 == ignore_case).cloned().collect();
            if part.is_empty() || !method.takes_patterns() {
                continue;
            }
            let entries = part.iter().map(|x| x.0.clone()).collect();
            let list = lists.add(self.unique_id.as_deref(), what.to_owned(), entries);
            match list.set(Use { method, ignore_case, values: None }) {
                Ok(s) => sets.push(s),
                Err(e) => {
                    let loc = part.get(e.entry).map_or(Loc::default(), |x| x.2);
                    cx.diags.error(loc, e.message);
                    return None;
                }
            }
        }
        Some(sets)
    }
}
