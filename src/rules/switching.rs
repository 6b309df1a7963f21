//! `use_backend` and `use-server`.

use std::sync::Arc;

use crate::acl::Condition;
use crate::config::{Keyword, ParseCx, Sections, Status, Word};
use crate::log::{LogFormat, Usage};
use crate::sample::{ExprCx, NameRef, Place, ProxyIdx, RefKind, Scratch, ServerIdx};

use super::keywords::check_order;
use super::{MessageCx, ProxyRules};

/// A name that is written, or computed for each request.
#[derive(Debug)]
enum Name {
    Static(Arc<NameRef>),
    Dynamic(LogFormat),
}

/// `use_backend`.
#[derive(Debug)]
pub struct BackendRule {
    name: Name,
    condition: Option<Condition>,
}

/// `use-server`.
#[derive(Debug)]
pub struct ServerRule {
    name: Name,
    condition: Option<Condition>,
}

impl BackendRule {
    /// The backend's name, when it is written and not computed.
    pub fn target(&self) -> Option<&NameRef> {
        match &self.name {
            Name::Static(r) => Some(r),
            Name::Dynamic(_) => None,
        }
    }
}

fn applies(c: Option<&Condition>, cx: &dyn MessageCx) -> bool {
    c.is_none_or(|c| c.eval(cx.ctx()))
}

impl ProxyRules {
    /// The backend of the first `use_backend` rule that applies and whose backend takes routes. `None`: the default
    /// backend, also when a computed name names nothing.
    pub fn choose_backend(&self, cx: &dyn MessageCx) -> Option<ProxyIdx> {
        for rule in self.use_backend.iter().filter(|r| applies(r.condition.as_ref(), cx)) {
            let found = match &rule.name {
                Name::Static(r) => r.proxy()?,
                Name::Dynamic(f) => {
                    let mut name = Scratch::new();
                    cx.render(f, name.vec());
                    cx.ctx().live()?.find_backend(std::str::from_utf8(&name).ok()?)?
                }
            };
            if self.may_route_to(found, cx) {
                return Some(found);
            }
        }
        None
    }

    /// False when the backend is disabled or unpublished and no `force-be-switch` overrules that.
    pub fn may_route_to(&self, backend: ProxyIdx, cx: &dyn MessageCx) -> bool {
        cx.ctx().live().is_none_or(|l| l.takes_routes(backend))
            || self.force_be_switch.iter().any(|c| c.eval(cx.ctx()))
    }

    /// The server of the first `use-server` rule that applies and whose server takes traffic.
    pub fn choose_server(&self, backend: ProxyIdx, cx: &dyn MessageCx) -> Option<ServerIdx> {
        use crate::sample::ServerCount;
        for rule in self.use_server.iter().filter(|r| applies(r.condition.as_ref(), cx)) {
            let live = cx.ctx().live()?;
            let found = match &rule.name {
                Name::Static(r) => r.server(),
                Name::Dynamic(f) => {
                    let mut name = Scratch::new();
                    cx.render(f, name.vec());
                    std::str::from_utf8(&name).ok().and_then(|n| live.find_server(backend, n))
                }
            };
            // A server that is down is skipped: the next rule may name another.
            if let Some(s) = found
                && live.server_count(s, ServerCount::IsUp) != 0
            {
                return Some(s);
            }
        }
        None
    }
}

/// The table.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "use_backend",
        sections: Sections::FRONTEND,
        syntax: "use_backend <backend> [{if | unless} <condition>]",
        doc: "goes to a backend; the first rule that applies wins; the name may be a log-format string",
        status: Status::Full,
        parse: use_backend,
    },
    Keyword {
        name: "force-be-switch",
        sections: Sections::FRONTEND,
        syntax: "force-be-switch { if | unless } <condition>",
        doc: "routes to a backend although it is disabled or unpublished",
        status: Status::Full,
        parse: force_be_switch,
    },
    Keyword {
        name: "use-server",
        sections: Sections::BACKEND,
        syntax: "use-server <server> {if | unless} <condition>",
        doc: "goes to a server of the backend, unless it is down; the name may be a log-format string",
        status: Status::Full,
        parse: use_server,
    },
];

fn name(cx: &mut ParseCx<'_>, word: &Word, place: Place, kind: RefKind) -> Option<Name> {
    let mut ex = ExprCx::of(cx, place);
    if !word.bytes.contains(&b'%') {
        return Some(Name::Static(ex.reference(kind, &word.text(), word.loc)));
    }
    let f = LogFormat::parse(&mut ex, word, Usage::Http)?;
    Some(match f.constant() {
        Some(text) => Name::Static(ex.reference(kind, &String::from_utf8_lossy(text), word.loc)),
        None => Name::Dynamic(f),
    })
}

fn use_backend(cx: &mut ParseCx<'_>) {
    let Some(word) = cx.expect("the name of a backend") else { return };
    let name = name(cx, word, Place::USE_BACKEND, RefKind::Backend);
    let condition = Condition::parse_tail(cx, Place::USE_BACKEND);
    check_order(cx, 8, "use_backend");
    if let (Some(name), Some(condition)) = (name, condition) {
        cx.section.feature::<ProxyRules>().use_backend.push(Arc::new(BackendRule { name, condition }));
    }
}

fn force_be_switch(cx: &mut ParseCx<'_>) {
    if cx.peek().is_none() {
        cx.expect("'if' or 'unless' followed by a condition");
        return;
    }
    if let Some(Some(condition)) = Condition::parse_tail(cx, Place::USE_BACKEND) {
        cx.section.feature::<ProxyRules>().force_be_switch.push(condition);
    }
}

fn use_server(cx: &mut ParseCx<'_>) {
    let Some(word) = cx.expect("the name of a server") else { return };
    let name = name(cx, word, Place::USE_SERVER, RefKind::Server);
    let condition = Condition::parse_tail(cx, Place::USE_SERVER);
    check_order(cx, 9, "use-server");
    if let (Some(name), Some(condition)) = (name, condition) {
        if condition.is_none() {
            let loc = cx.end_loc();
            cx.error(loc, "'use-server' expects 'if' or 'unless' and a condition");
            return;
        }
        cx.section.feature::<ProxyRules>().use_server.push(Arc::new(ServerRule { name, condition }));
    }
}
