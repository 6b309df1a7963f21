//! The keywords of the manuals: of version 1.5 and of the newest one. They tell "not supported yet" from
//! "unknown", and docs/COMPAT.md is generated against them.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::Sections;

/// Keywords of the 1.5 manual: kind, keyword, sections, status, syntax.
pub const MANUAL_1_5: &str = include_str!("../../docs/keywords/keywords-1.5.tsv");
/// Keywords of the newest manual, in the same columns.
pub const MANUAL_3: &str = include_str!("../../docs/keywords/keywords-3.tsv");

/// One keyword of one manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// "global", "proxy", "bind", "fetch", ...
    pub kind: &'static str,
    /// As the manual spells it.
    pub name: &'static str,
    /// The manual's list of sections, or other scope.
    pub scope: &'static str,
    /// "deprecated", "undocumented-in-manual", "unlisted", or nothing.
    pub status: &'static str,
    /// Syntax.
    pub syntax: &'static str,
    /// In the 1.5 manual.
    pub in_1_5: bool,
    /// In the newest manual.
    pub in_3: bool,
}

impl Known {
    /// The sections in which it may stand; `None` when it is no keyword of a section.
    pub fn sections(&self) -> Option<Sections> {
        match self.kind {
            "global" => return Some(Sections::GLOBAL),
            "proxy" | "proxy-option" if self.scope.is_empty() => return Some(Sections::PROXY),
            "proxy" | "proxy-option" => {}
            k if k.ends_with("-kw") => {}
            _ => return None,
        }
        let names = self.scope.split(',').map(|n| n.split('(').next().unwrap_or(n).trim());
        // `listen` takes the keywords of frontends and of backends: it says nothing about which this is.
        let mask = names.filter(|n| *n != "listen").fold(0, |m, n| m | section_mask(n).map_or(0, |s| s.0));
        (mask != 0).then_some(Sections(mask))
    }

    /// Which manuals have it, for messages.
    pub fn era(&self) -> &'static str {
        match (self.in_1_5, self.in_3) {
            (true, false) => "1.5",
            (false, _) => "3.x",
            (true, true) => "1.5 to 3.x",
        }
    }
}

fn section_mask(name: &str) -> Option<Sections> {
    super::SectionKind::ALL.iter().find(|k| k.keyword() == name).map(|k| k.mask())
}

/// Every keyword of either manual, once for each kind and spelling, in the order of the manuals.
pub fn all() -> &'static [Known] {
    static ALL: OnceLock<Vec<Known>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut list: Vec<Known> = Vec::new();
        let mut index: HashMap<(&str, &str, &str), usize> = HashMap::new();
        for (table, is_3) in [(MANUAL_3, true), (MANUAL_1_5, false)] {
            for line in table.lines().skip(1) {
                let mut columns = line.split('\t');
                let mut column = || columns.next().unwrap_or("").trim();
                let (kind, name, scope, status, syntax) = (column(), column(), column(), column(), column());
                let name = name.split(" [").next().unwrap_or(name);
                // The option, filter and section tables list the same spelling once; others may repeat a name.
                let scope_key = if kind.ends_with("-kw") { scope } else { "" };
                let at = *index.entry((kind, name, scope_key)).or_insert_with(|| {
                    list.push(Known { kind, name, scope, status, syntax, in_1_5: false, in_3: false });
                    list.len() - 1
                });
                list[at].in_3 |= is_3;
                list[at].in_1_5 |= !is_3;
            }
        }
        list
    })
}

/// What the manuals know under `name` as a keyword of some section.
pub fn section_keywords(name: &str) -> impl Iterator<Item = &'static Known> {
    static INDEX: OnceLock<HashMap<&'static str, Vec<&'static Known>>> = OnceLock::new();
    let index = INDEX.get_or_init(|| {
        let mut index: HashMap<&str, Vec<&Known>> = HashMap::new();
        for k in all().iter().filter(|k| k.sections().is_some()) {
            index.entry(k.name).or_default().push(k);
        }
        index
    });
    index.get(name).into_iter().flatten().copied()
}

/// What to say about `name`, a word of the kind `kind` that no table has, if a manual knows it: that it is
/// supported not yet, rather than unknown. `what` is the kind in words.
pub fn unsupported(kind: &str, what: &str, name: &str) -> Option<String> {
    let known = all().iter().find(|k| k.kind == kind && k.name == name)?;
    Some(format!("{what} '{name}' is known (HAProxy {}), but not supported yet", known.era()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_manuals_are_read() {
        let find = |kind: &str, name: &str| {
            *all()
                .iter()
                .find(|k| k.kind == kind && k.name == name)
                .unwrap_or_else(|| panic!("{kind} {name}"))
        };
        let k = find("proxy", "appsession");
        assert_eq!((k.in_1_5, k.in_3), (true, false));
        let k = find("proxy", "balance");
        assert_eq!((k.in_1_5, k.in_3), (true, true));
        assert_eq!(k.sections(), Some(Sections::PROXY_BACK));
        assert_eq!(k.era(), "1.5 to 3.x");
        assert_eq!(find("global", "cpu-policy").sections(), Some(Sections::GLOBAL));
        assert_eq!(find("fetch", "src").sections(), None);
        assert_eq!(
            unsupported("fetch", "sample fetch", "fc_err_str").as_deref(),
            Some("sample fetch 'fc_err_str' is known (HAProxy 3.x), but not supported yet")
        );
        assert_eq!(unsupported("fetch", "sample fetch", "nothing_like_it"), None);
        assert!(section_keywords("option httplog").count() > 0);
        assert!(section_keywords("nameserver").any(|k| k.sections() == Some(Sections::RESOLVERS)));
    }
}
