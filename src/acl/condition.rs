//! `if a !b or { src 10.0.0.0/8 }`, and the named ACLs of a section. Manual section 7.2.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Loc, ParseCx, Word, suggest};
use crate::sample::{Ctx, ExprCx, Place};

use super::predefined;
use super::test::{Outcome, Test, Tests};

/// A named ACL: tests, of which one must match.
#[derive(Debug)]
pub struct Acl {
    /// Its name.
    pub name: String,
    /// Header of the section that declares it: what comes from `defaults` is not extended elsewhere.
    owner: Loc,
    tests: Tests,
}

impl Acl {
    /// Whether one of its tests matches.
    pub fn eval(&self, cx: &dyn Ctx) -> Outcome {
        let mut out = Outcome::Fail;
        for t in self.tests.iter() {
            match t.eval(cx) {
                Outcome::Pass => return Outcome::Pass,
                Outcome::Later => out = Outcome::Later,
                Outcome::Fail => {}
            }
        }
        out
    }
}

/// The ACLs of a section: a section feature.
#[derive(Clone, Debug, Default)]
pub struct Acls {
    list: Vec<Arc<Acl>>,
    by_name: HashMap<String, usize>,
}

impl Acls {
    /// The ACL of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Acl>> {
        self.by_name.get(name).map(|i| &self.list[*i])
    }

    fn put(&mut self, acl: Arc<Acl>) {
        match self.by_name.get(&acl.name) {
            Some(i) => self.list[*i] = acl,
            None => {
                self.by_name.insert(acl.name.clone(), self.list.len());
                self.list.push(acl);
            }
        }
    }
}

/// Add a test to the ACL `name` of the section, or make it.
pub(super) fn declare(cx: &mut ExprCx<'_>, name: &str, test: Test) {
    let owner = cx.section.loc;
    let acls = cx.section.feature::<Acls>();
    match acls.get(name) {
        Some(a) if a.owner == owner => a.tests.push(test),
        _ => acls.put(Arc::new(Acl { name: name.to_owned(), owner, tests: Tests::new(test) })),
    }
}

/// The ACL of that name; a predefined one is made in the section at its first use.
pub(super) fn find(cx: &mut ExprCx<'_>, name: &str) -> Option<Arc<Acl>> {
    if let Some(a) = cx.section.get::<Acls>().and_then(|a| a.get(name)) {
        return Some(a.clone());
    }
    let test = predefined::test(cx, name)?;
    let acl = Arc::new(Acl { name: name.to_owned(), owner: cx.section.loc, tests: Tests::new(test) });
    cx.section.feature::<Acls>().put(acl.clone());
    Some(acl)
}

/// One term: an ACL, perhaps negated.
#[derive(Clone, Debug)]
struct Term {
    negated: bool,
    acl: Arc<Acl>,
}

/// A compiled condition. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Condition {
    unless: bool,
    /// Alternatives, each a conjunction.
    any: Arc<[Vec<Term>]>,
}

impl Condition {
    /// Parse the words from `if` or `unless` on, to the end. `None` after an error was reported.
    pub fn parse(cx: &mut ExprCx<'_>, words: &[Word]) -> Option<Condition> {
        let first = words.first()?;
        let unless = first.is("unless");
        if !unless && !first.is("if") {
            let t = first.text();
            cx.diags
                .error(first.loc, format!("'if' or 'unless' with a condition is expected here, not '{t}'"));
            return None;
        }
        let mut p = Parser { cx, any: vec![Vec::new()], negated: false };
        p.run(first, &words[1..])?;
        Some(Condition { unless, any: p.any.into() })
    }

    /// Parse what is left of a directive: nothing (`Some(None)`), or a condition. `None` after an error
    /// was reported.
    pub fn parse_tail(cx: &mut ParseCx<'_>, place: Place) -> Option<Option<Condition>> {
        let words = cx.rest();
        Condition::parse_optional(&mut ExprCx::of(cx, place), words)
    }

    /// Like [`Condition::parse`]; no word at all is no condition.
    pub fn parse_optional(cx: &mut ExprCx<'_>, words: &[Word]) -> Option<Option<Condition>> {
        if words.is_empty() { Some(None) } else { Condition::parse(cx, words).map(Some) }
    }

    /// Whether the directive applies (`unless` already turned round).
    pub fn eval(&self, cx: &dyn Ctx) -> bool {
        self.eval_partial(cx).unwrap_or(false)
    }

    /// Like [`Condition::eval`], but `None` when input that is still to come may decide otherwise
    /// (content rules before the inspect delay is over).
    pub fn eval_partial(&self, cx: &dyn Ctx) -> Option<bool> {
        let mut out = Outcome::Fail;
        'any: for all in self.any.iter() {
            let mut suite = Outcome::Pass;
            for term in all {
                match (term.acl.eval(cx), term.negated) {
                    (Outcome::Pass, false) | (Outcome::Fail, true) => {}
                    (Outcome::Later, _) => suite = Outcome::Later,
                    (Outcome::Fail, false) | (Outcome::Pass, true) => continue 'any,
                }
            }
            if suite == Outcome::Pass {
                return Some(!self.unless);
            }
            out = suite;
        }
        match out {
            Outcome::Later => None,
            _ => Some(self.unless),
        }
    }
}

struct Parser<'p, 'a> {
    cx: &'p mut ExprCx<'a>,
    any: Vec<Vec<Term>>,
    negated: bool,
}

impl Parser<'_, '_> {
    fn run(&mut self, start: &Word, words: &[Word]) -> Option<()> {
        let mut i = 0;
        while let Some(w) = words.get(i) {
            i += 1;
            let bangs = w.bytes.iter().take_while(|c| **c == b'!').count();
            self.negated ^= bangs % 2 == 1;
            let rest = &w.bytes[bangs..];
            match rest {
                b"" if bangs > 0 => {
                    if i == words.len() {
                        self.cx.diags.error(w.loc, "'!' at the end of a condition negates nothing");
                        return None;
                    }
                }
                b"or" | b"||" if bangs == 0 => {
                    self.end_of_alternative(w)?;
                    self.any.push(Vec::new());
                }
                b"{" => {
                    let Some(n) = words[i..].iter().position(|w| w.is("}")) else {
                        self.cx
                            .diags
                            .error(w.loc, "missing closing '}' in the condition")
                            .help("braces are words of their own: put spaces around them");
                        return None;
                    };
                    self.anonymous(w, &words[i..i + n])?;
                    i += n + 1;
                }
                name => {
                    let text = String::from_utf8_lossy(name).into_owned();
                    self.named(w, bangs, &text)?;
                }
            }
        }
        let last = words.last().unwrap_or(start);
        self.end_of_alternative(last)
    }

    fn end_of_alternative(&mut self, at: &Word) -> Option<()> {
        if self.any.last().is_none_or(Vec::is_empty) {
            self.cx
                .diags
                .error(at.loc, "a condition is missing here")
                .help("name an ACL, or write '{ ... }'");
            return None;
        }
        Some(())
    }

    fn push(&mut self, acl: Arc<Acl>) {
        let negated = std::mem::take(&mut self.negated);
        if let Some(all) = self.any.last_mut() {
            all.push(Term { negated, acl });
        }
    }

    fn anonymous(&mut self, open: &Word, words: &[Word]) -> Option<()> {
        if words.is_empty() {
            self.cx.diags.error(open.loc, "empty '{ }' in the condition");
            return None;
        }
        let place = self.cx.place.name;
        let test = Test::parse(self.cx, &format!("anonymous ACL in {place}"), words)?;
        let acl = Acl { name: String::new(), owner: self.cx.section.loc, tests: Tests::new(test) };
        self.check(&acl, words[0].loc);
        self.push(Arc::new(acl));
        Some(())
    }

    fn named(&mut self, w: &Word, bangs: usize, name: &str) -> Option<()> {
        let acl = match find(self.cx, name) {
            Some(a) => a,
            None => {
                self.unknown(w, bangs, name);
                return None;
            }
        };
        self.check(&acl, w.loc);
        self.push(acl);
        Some(())
    }

    fn unknown(&mut self, w: &Word, bangs: usize, name: &str) {
        let own = self.cx.section.get::<Acls>().map_or(&[][..], |a| a.list.as_slice());
        let mut known: Vec<&str> = own.iter().map(|a| a.name.as_str()).collect();
        for n in predefined::names() {
            known.push(n);
        }
        let help = match suggest::closest(name, known.into_iter()) {
            Some(n) => format!("did you mean '{n}'?"),
            None if name == "and" || name == "&&" => {
                "terms are joined by 'and' without writing it".to_owned()
            }
            None if name.contains(['(', ',']) => {
                "put a test that is no named ACL between '{' and '}'".to_owned()
            }
            None => "declare it with 'acl' above this line".to_owned(),
        };
        let loc = w.sub(bangs, w.bytes.len() - bangs);
        self.cx.diags.error(loc, format!("no such ACL: '{name}'")).help(help);
    }

    /// Warn about tests that can never match where the condition is used.
    fn check(&mut self, acl: &Acl, loc: Loc) {
        let place = self.cx.place;
        for t in acl.tests.iter() {
            let needs = t.expr.fetch().needs;
            if place.has.has(needs) {
                continue;
            }
            let who =
                if acl.name.is_empty() { "this test".to_owned() } else { format!("ACL '{}'", acl.name) };
            self.cx.diags.warning(
                loc,
                format!(
                    "{who} will never match: '{}' needs {}, which is not available in {}",
                    t.criterion,
                    needs.names(),
                    place.name
                ),
            );
        }
    }
}
