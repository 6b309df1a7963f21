//! `stick on`, `stick match`, `stick store-request`, `stick store-response`.

use std::sync::Arc;

use crate::acl::Condition;
use crate::config::{Keyword, ParseCx, Sections, Status};
use crate::sample::{Ctx, Expr, ExprCx, KeyBytes, NameRef, Place, RefKind, key_of};
use crate::stick::{KeyType, TableId};

/// One rule.
#[derive(Debug)]
pub struct StickRule {
    key: Expr,
    table: Option<Arc<NameRef>>,
    /// The server comes from the table.
    pub matches: bool,
    /// The server goes into the table.
    pub stores: bool,
    condition: Option<Condition>,
}

/// The rules of a backend: a section feature.
#[derive(Clone, Debug, Default)]
pub struct StickRules {
    /// On requests, in the order of the file.
    pub request: Vec<Arc<StickRule>>,
    /// On responses.
    pub response: Vec<Arc<StickRule>>,
}

impl StickRule {
    /// The table it uses; `own`: that of the proxy it stands in.
    pub fn table(&self, own: Option<TableId>) -> Option<TableId> {
        match &self.table {
            None => own,
            Some(name) => name.table(),
        }
    }

    /// True when it names no table: the section has one of its own then.
    pub fn uses_own_table(&self) -> bool {
        self.table.is_none()
    }

    /// The expression of its key.
    pub fn expr(&self) -> &Expr {
        &self.key
    }

    /// Where it stands.
    pub fn loc(&self) -> crate::config::Loc {
        self.key.loc()
    }

    /// The key for this message in a table of that type. `None` when the rule does not apply, or there is no key.
    pub fn key(&self, cx: &dyn Ctx, as_type: KeyType) -> Option<KeyBytes> {
        if self.condition.as_ref().is_some_and(|c| !c.eval(cx)) {
            return None;
        }
        key_of(self.key.eval(cx)?, as_type)
    }
}

const SYNTAX: &str = "<pattern> [table <table>] [{if | unless} <condition>]";

const fn keyword(name: &'static str, doc: &'static str, parse: fn(&mut ParseCx<'_>)) -> Keyword {
    Keyword { name, sections: Sections::BACKEND, syntax: SYNTAX, doc, status: Status::Full, parse }
}

/// The table.
pub static KEYWORDS: &[Keyword] = &[
    keyword("stick match", "goes to the server that the table has for the key", |cx| {
        rule(cx, true, false, false)
    }),
    keyword(
        "stick on",
        "goes to the server that the table has for the key, or remembers the chosen one",
        |cx| rule(cx, true, true, false),
    ),
    keyword("stick store-request", "remembers the chosen server for the request's key", |cx| {
        rule(cx, false, true, false)
    }),
    keyword("stick store-response", "remembers the server for the response's key", |cx| {
        rule(cx, false, true, true)
    }),
];

fn rule(cx: &mut ParseCx<'_>, matches: bool, stores: bool, response: bool) {
    if cx.peek().is_none() {
        cx.expect("an expression for the key");
        return;
    }
    if cx.section.kind == crate::config::SectionKind::Defaults {
        let (loc, keyword) = (cx.dir.words[0].loc, cx.keyword());
        cx.error(loc, format!("'{keyword}' is not allowed in 'defaults'"));
        return;
    }
    let place = if response { Place::STICK_RESPONSE } else { Place::STICK_REQUEST };
    let words = cx.rest();
    let keyword = cx.keyword();
    let mut ex = ExprCx::of(cx, place);
    let Some((key, mut used)) = Expr::parse_words(&mut ex, words) else { return };
    let mut table = None;
    if words.get(used).is_some_and(|w| w.is("table")) {
        let Some(name) = words.get(used + 1) else {
            ex.diags
                .error(words[used].loc, format!("'{keyword}' expects the name of a table behind 'table'"));
            return;
        };
        table = Some(ex.reference(RefKind::Table, &name.text(), name.loc));
        used += 2;
    }
    let Some(condition) = Condition::parse_optional(&mut ex, &words[used..]) else { return };
    let rule = Arc::new(StickRule { key, table, matches, stores, condition });
    let rules = cx.section.feature::<StickRules>();
    if response { rules.response.push(rule) } else { rules.request.push(rule) }
}
