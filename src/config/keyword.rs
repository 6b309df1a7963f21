//! The shape of a keyword: one table entry, owned by the feature that it configures.

use super::{Entry, ParseCx};

/// Sections in which a keyword may stand: a bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sections(pub u32);

#[allow(missing_docs)]
impl Sections {
    pub const GLOBAL: Sections = Sections(1);
    pub const DEFAULTS: Sections = Sections(2);
    pub const FRONTEND: Sections = Sections(4);
    pub const BACKEND: Sections = Sections(8);
    pub const USERLIST: Sections = Sections(0x10);
    pub const PEERS: Sections = Sections(0x20);
    pub const RESOLVERS: Sections = Sections(0x40);
    pub const MAILERS: Sections = Sections(0x80);
    pub const RING: Sections = Sections(0x100);
    pub const CACHE: Sections = Sections(0x200);
    pub const HTTP_ERRORS: Sections = Sections(0x400);
    pub const PROGRAM: Sections = Sections(0x800);
    pub const LOG_FORWARD: Sections = Sections(0x1000);
    pub const LOG_PROFILE: Sections = Sections(0x2000);
    pub const CRT_STORE: Sections = Sections(0x4000);
    pub const TRACES: Sections = Sections(0x8000);
    pub const FCGI_APP: Sections = Sections(0x10000);
    pub const HEALTHCHECK: Sections = Sections(0x20000);
    pub const ACME: Sections = Sections(0x40000);
    pub const PROXY_FRONT: Sections = Sections(2 | 4);
    pub const PROXY_BACK: Sections = Sections(2 | 8);
    /// `listen` is frontend and backend in one: keywords of either stand in it.
    pub const PROXY: Sections = Sections(2 | 4 | 8);
    pub const fn or(self, o: Sections) -> Sections {
        Sections(self.0 | o.0)
    }
    pub const fn has(self, o: Sections) -> bool {
        self.0 & o.0 != 0
    }
}

/// What the keyword does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Works as the manual says.
    Full,
    /// Works; an old spelling. Prints a warning that names the modern form.
    Legacy {
        /// What to write today.
        modern: &'static str,
    },
    /// Accepted, with a warning that says why it has no effect here.
    NoEffect {
        /// Why.
        why: &'static str,
    },
    /// What is done is fixed here: accepted in silence when just that is asked for, with a warning otherwise.
    Fixed {
        /// Arguments that ask for what is done anyway; "no" stands for the negated form, "" for no argument.
        ours: &'static [&'static str],
        /// Why it cannot be otherwise.
        why: &'static str,
    },
    /// Accepted in silence: it tunes a feature that is not supported yet, and that is an error wherever it is
    /// asked for.
    Inert {
        /// The feature.
        feature: &'static str,
    },
    /// Known, not implemented yet: an error with its location.
    Planned,
}

/// Parses one directive into the section. Errors go to `cx.diags`; the function returns nothing so that
/// every error of a file is reported in one run.
pub type ParseFn = fn(&mut ParseCx<'_>);

/// One keyword.
pub struct Keyword {
    /// First word, or the first two separated by one space (`timeout client`, `option httplog`).
    pub name: &'static str,
    /// Where it may stand.
    pub sections: Sections,
    /// Syntax as in the manual: with the keyword, or the arguments alone.
    pub syntax: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
    /// What it does here. `Legacy`, `NoEffect` and `Planned` are reported by the dispatcher, before `parse`.
    pub status: Status,
    /// The parse function. `Planned` and `NoEffect` entries use [`Keyword::nothing`].
    pub parse: ParseFn,
}

impl Keyword {
    /// Parse function of entries that only exist to be recognised.
    pub fn nothing(_cx: &mut ParseCx<'_>) {}
}

impl Entry for Keyword {
    const KIND: &'static str = "keyword";
    fn name(&self) -> &'static str {
        self.name
    }
    fn status(&self) -> Status {
        self.status
    }
    fn syntax(&self) -> String {
        // Keywords that share their arguments with others may give those alone.
        match self.syntax.starts_with(['<', '{']) {
            true => format!("{} {}", self.name, self.syntax),
            false => self.syntax.to_owned(),
        }
    }
    fn doc(&self) -> &'static str {
        self.doc
    }
    fn sections(&self) -> Option<Sections> {
        Some(self.sections)
    }
}
