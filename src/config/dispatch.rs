//! Finds the keyword of a directive and calls its parse function; says what is wrong when there is none.

use std::collections::{HashMap, HashSet};

use super::known::{self, Known};
use super::suggest::{closest, did_you_mean};
use super::{
    Diagnostics, Directive, Keyword, LoadState, Loc, ParseCx, Section, SectionKind, Sections, Status, Tables,
    Word,
};

/// Directives besides options that `no` may precede, as the manual lists them.
const NEGATABLE: [&str; 8] = [
    "log",
    "busy-polling",
    "set-dumpable",
    "strict-limits",
    "insecure-fork-wanted",
    "numa-cpu-mapping",
    "quick-exit",
    "debug.counters",
];

/// Options that `no` may not precede: they set more than a switch.
const OPTIONS_NOT_NEGATABLE: [&str; 16] = [
    "option external-check",
    "option forwardfor",
    "option httpchk",
    "option httplog",
    "option httpslog",
    "option ldap-check",
    "option mysql-check",
    "option originalto",
    "option pgsql-check",
    "option redis-check",
    "option smtpchk",
    "option spop-check",
    "option ssl-hello-chk",
    "option tcp-check",
    "option tcplog",
    "option lb-agent-chk",
];

/// What to write today instead of keywords that only 1.5 has, spelt for case-sensitive patterns.
const MODERN: [(&str, &str); 16] = [
    ("reqadd", "http-request add-header <name> <value>"),
    ("reqallow", "http-request allow if { ... }"),
    ("reqdel", "http-request del-header <name>"),
    ("reqdeny", "http-request deny if { ... }"),
    ("reqpass", "http-request allow if { ... }"),
    ("reqrep", "http-request replace-header, or http-request replace-path for the first line"),
    ("reqsetbe", "use_backend <name> if { ... }"),
    ("reqtarpit", "http-request tarpit if { ... }"),
    ("rspadd", "http-response add-header <name> <value>"),
    ("rspdel", "http-response del-header <name>"),
    ("rspdeny", "http-response deny if { ... }"),
    ("rsprep", "http-response replace-header <name> <regex> <value>"),
    ("block", "http-request deny if { ... }"),
    ("dispatch", "server <name> <address>:<port>"),
    ("timeout clitimeout", "timeout client <timeout>"),
    ("timeout srvtimeout", "timeout server <timeout>"),
];

/// The modern form of a 1.5 keyword; `reqirep` is `reqrep` without regard to case.
fn modern_form(name: &str) -> Option<&'static str> {
    let plain =
        match name.strip_prefix("reqi").map(|n| ("req", n)).or(name.strip_prefix("rspi").map(|n| ("rsp", n)))
        {
            Some((start, rest)) => format!("{start}{rest}"),
            None => name.to_owned(),
        };
    MODERN.iter().find(|(old, _)| *old == plain).map(|(_, new)| *new)
}

/// Keywords that a proxy without the capability refuses rather than ignores.
const NEVER_IGNORED: [&str; 3] = ["server", "server-template", "default-server"];

/// The keywords of every section, by first word.
pub(super) struct Dispatcher<'a> {
    by_name: HashMap<&'static str, Vec<&'static Keyword>>,
    /// First words of two-word keywords.
    first_words: HashSet<&'static str>,
    /// Union of the sections that some keyword stands in.
    sections: Sections,
    tables: &'a Tables,
    /// Scratch for "first second".
    pair: String,
}

impl<'a> Dispatcher<'a> {
    pub(super) fn new(tables: &'a Tables) -> Dispatcher<'a> {
        let mut by_name: HashMap<&str, Vec<&Keyword>> = HashMap::new();
        let mut first_words = HashSet::new();
        let mut sections = 0;
        for k in tables.all::<Keyword>() {
            by_name.entry(k.name).or_default().push(k);
            sections |= k.sections.0;
            if let Some((first, _)) = k.name.split_once(' ') {
                first_words.insert(first);
            }
        }
        Dispatcher { by_name, first_words, sections: Sections(sections), tables, pair: String::new() }
    }

    /// True when there is any keyword for sections of this kind. The proxies and `global` always exist.
    pub(super) fn supports(&self, kind: SectionKind) -> bool {
        matches!(
            kind,
            SectionKind::Global
                | SectionKind::Defaults
                | SectionKind::Frontend
                | SectionKind::Backend
                | SectionKind::Listen
        ) || self.sections.has(kind.mask())
    }

    pub(super) fn dispatch(
        &mut self,
        dir: &Directive,
        section: &mut Section,
        diags: &mut Diagnostics,
        tables: &Tables,
        state: &mut LoadState,
    ) {
        let first = dir.words[0].text();
        let Some((keyword, words)) = self.find(dir, section.kind.mask()) else {
            return self.unknown(dir, section, diags);
        };
        if (dir.negated || dir.defaulted) && !may_be_negated(keyword.name) {
            let prefix = if dir.negated { "no" } else { "default" };
            let message = format!("'{prefix}' is not supported for '{}'", keyword.name);
            diags.error(dir.loc, message);
            return;
        }
        debug_assert!(keyword.name.starts_with(first.as_ref()));
        let loc = keyword_loc(dir, words);
        match keyword.status {
            Status::Full => {}
            Status::Inert { .. } => return,
            Status::Legacy { modern } => {
                let message = format!("'{}' is an old form", keyword.name);
                diags.warning(loc, message).help(format!("today's form: {modern}"));
            }
            Status::NoEffect { why } => {
                diags.warning(loc, format!("'{}' has no effect: {why}", keyword.name));
                return;
            }
            Status::Fixed { ours, why } => {
                let asked = match dir.negated {
                    true => "no".to_owned(),
                    false => dir.words[words..].iter().map(Word::text).collect::<Vec<_>>().join(" "),
                };
                if !ours.contains(&asked.as_str()) {
                    diags.warning(loc, format!("'{}' has no effect: {why}", keyword.name));
                }
                return;
            }
            Status::Planned => {
                not_supported(keyword.name, loc, diags);
                return;
            }
        }
        let mut cx = ParseCx { dir, section, diags, tables, state, pos: words, keyword_len: words };
        (keyword.parse)(&mut cx);
    }

    /// The longest keyword that the directive starts with and that may stand in `mask`.
    fn find(&mut self, dir: &Directive, mask: Sections) -> Option<(&'static Keyword, usize)> {
        let first = std::str::from_utf8(&dir.words[0].bytes).ok()?;
        if self.first_words.contains(first)
            && let Some(second) = dir.words.get(1)
        {
            self.pair.clear();
            self.pair.push_str(first);
            self.pair.push(' ');
            self.pair.push_str(&second.text());
            if let Some(k) = pick(self.by_name.get(without_arguments(&self.pair)), mask) {
                return Some((k, 2));
            }
        }
        pick(self.by_name.get(first), mask).map(|k| (k, 1))
    }

    /// The spellings that this directive may stand for, longest first, with their number of words.
    fn spellings(dir: &Directive) -> Vec<(String, usize)> {
        let text: Vec<_> = dir.words.iter().take(3).map(Word::text).collect();
        let spelling = |n: usize| without_arguments(&text[..n].join(" ")).to_owned();
        (1..=text.len()).rev().map(|n| (spelling(n), n)).collect()
    }

    fn unknown(&self, dir: &Directive, section: &Section, diags: &mut Diagnostics) {
        let mask = section.kind.mask();
        let spellings = Dispatcher::spellings(dir);
        for (name, n) in &spellings {
            let loc = keyword_loc(dir, *n);
            // "stats soket": rather a mistyped second word than the manual's bare "stats".
            if *n == 1 && self.second_word_is_close(dir, mask) {
                break;
            }
            if known::section_keywords(name).any(|k| in_sections(k, mask)) && !self.by_name_in(name, mask) {
                return not_supported(name, loc, diags);
            }
            // "timeout" alone means something in another section; here it is the first word of others.
            if *n == 1 && self.names_in(mask).any(|k| k.split_once(' ').is_some_and(|(a, _)| a == name)) {
                break;
            }
            // In another section: registered there, or known there to the manuals.
            let mut elsewhere = self
                .by_name
                .get(name.as_str())
                .into_iter()
                .flatten()
                .map(|k| k.sections.0)
                .fold(0, |a, b| a | b);
            elsewhere |= known::section_keywords(name).filter_map(Known::sections).fold(0, |a, s| a | s.0);
            if elsewhere != 0 {
                return wrong_section(name, loc, Sections(elsewhere), section, diags);
            }
        }
        self.misspelt(dir, section, diags);
    }

    fn by_name_in(&self, name: &str, mask: Sections) -> bool {
        pick(self.by_name.get(name), mask).is_some()
    }

    /// Every keyword of these sections, registered or only known to the manuals.
    fn names_in(&self, mask: Sections) -> impl Iterator<Item = &'static str> {
        let registered =
            self.tables.all::<Keyword>().iter().filter(move |k| k.sections.has(mask)).map(|k| k.name);
        let listed = known::all().iter().filter(move |k| in_sections(k, mask)).map(|k| k.name);
        registered.chain(listed)
    }

    fn second_word_is_close(&self, dir: &Directive, mask: Sections) -> bool {
        let (first, Some(second)) = (dir.words[0].text(), dir.words.get(1)) else { return false };
        let seconds = self
            .names_in(mask)
            .filter_map(|n| n.split_once(' ').filter(|(a, _)| *a == first))
            .map(|(_, b)| b);
        closest(&second.text(), seconds).is_some()
    }

    fn misspelt(&self, dir: &Directive, section: &Section, diags: &mut Diagnostics) {
        let mask = section.kind.mask();
        let names = || self.names_in(mask);
        let first = dir.words[0].text();
        let second = dir.words.get(1).map(Word::text).unwrap_or_default();
        let of_first: Vec<&str> =
            names().filter_map(|n| n.split_once(' ').filter(|(a, _)| *a == first).map(|(_, b)| b)).collect();
        let (shown, loc) = if of_first.is_empty() || second.is_empty() {
            (first.to_string(), dir.words[0].loc)
        } else {
            (format!("{first} {second}"), dir.words[1].loc)
        };
        let what = if first == "option" && !second.is_empty() {
            format!("unknown option '{second}' in '{}' section", section.kind.keyword())
        } else if !of_first.is_empty() && second.is_empty() {
            format!("'{first}' expects a second word")
        } else {
            format!("unknown keyword '{shown}' in '{}' section", section.kind.keyword())
        };
        let d = diags.error(loc, what);
        if let Some(best) = closest(&second, of_first.iter().copied()) {
            d.help(did_you_mean(&format!("{first} {best}")));
        } else if !of_first.is_empty() && of_first.len() <= 40 {
            let mut list = of_first;
            list.sort_unstable();
            list.dedup();
            d.help(format!("'{first}' is followed by one of: {}", list.join(", ")));
        } else {
            let sections = SectionKind::ALL.iter().map(|k| k.keyword());
            let first_words = names().filter_map(|n| n.split(' ').next());
            if let Some(best) = closest(&shown, names().chain(first_words).chain(sections)) {
                d.help(did_you_mean(best));
            }
        }
    }
}

/// `http-check set-var(check.x)` is the keyword `http-check set-var`.
fn without_arguments(text: &str) -> &str {
    text.split('(').next().unwrap_or(text)
}

fn in_sections(k: &Known, mask: Sections) -> bool {
    k.sections().is_some_and(|s| s.has(mask))
}

fn pick(list: Option<&Vec<&'static Keyword>>, mask: Sections) -> Option<&'static Keyword> {
    list?.iter().find(|k| k.sections.has(mask)).copied()
}

fn may_be_negated(name: &str) -> bool {
    match name.starts_with("option ") {
        true => !OPTIONS_NOT_NEGATABLE.contains(&name),
        false => NEGATABLE.contains(&name),
    }
}

/// The place of the first `n` words.
fn keyword_loc(dir: &Directive, n: usize) -> Loc {
    let (first, last) = (dir.words[0].loc, dir.words[n.min(dir.words.len()) - 1].loc);
    Loc { len: (last.col + last.len).saturating_sub(first.col), ..first }
}

fn not_supported(name: &str, loc: Loc, diags: &mut Diagnostics) {
    let era = known::section_keywords(name).next().map_or("", Known::era);
    let of = if era.is_empty() { String::new() } else { format!(" (HAProxy {era})") };
    let d = diags.error(loc, format!("keyword '{name}' is known{of}, but not supported yet"));
    if let Some(modern) = modern_form(name) {
        d.help(format!("today's form: {modern}"));
    }
}

fn wrong_section(name: &str, loc: Loc, owners: Sections, section: &Section, diags: &mut Diagnostics) {
    let kind = section.kind.keyword();
    let proxies = Sections::FRONTEND.or(Sections::BACKEND);
    if section.kind.is_proxy() && owners.has(proxies) {
        let side = if section.kind == SectionKind::Frontend { "backend" } else { "frontend" };
        let why = format!("{kind} '{}' has no {side} capability", section.name);
        if NEVER_IGNORED.contains(&name) {
            diags.error(loc, format!("'{name}' not allowed because {why}"));
        } else {
            diags.warning(loc, format!("'{name}' ignored because {why}"));
        }
        return;
    }
    if section.kind == SectionKind::Defaults && owners.has(proxies) {
        diags.error(loc, format!("'{name}' not allowed in 'defaults' section"));
        return;
    }
    let d = diags.error(loc, format!("unknown keyword '{name}' in '{kind}' section"));
    let homes: Vec<_> = SectionKind::ALL
        .iter()
        .filter(|k| **k != SectionKind::Listen && owners.has(k.mask()))
        .map(|k| format!("'{}'", k.keyword()))
        .collect();
    d.help(format!("it belongs in {}", homes.join(", ")));
}

/// A directive before the first section.
pub(super) fn out_of_section(dir: &Directive, diags: &mut Diagnostics) {
    let first = dir.words[0].text();
    let d = diags.error(dir.words[0].loc, format!("unknown keyword '{first}' out of section"));
    let sections = SectionKind::ALL.iter().map(|k| k.keyword());
    if let Some(best) = closest(&first, sections) {
        d.help(did_you_mean(best));
    } else if known::section_keywords(&Dispatcher::spellings(dir).pop().expect("one word at least").0)
        .next()
        .is_some()
    {
        d.help("a file starts with a section, such as 'global', 'defaults' or 'frontend NAME'");
    }
}
