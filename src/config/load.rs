//! Files into sections: reads lines, follows `.if` blocks, opens sections, hands directives to `dispatch`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::blocks::{Blocks, Directive as BlockDirective};
use super::dispatch::{self, Dispatcher};
use super::words::{Place, split_line};
use super::{
    DefaultPath, Diagnostics, Directive, Env, LoadState, Loc, Section, SectionKind, Shared, Sources, Tables,
    Version, Word,
};

/// What the loader is told.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The environment at the start.
    pub env: Env,
    /// `-dD`: diagnostic warnings are wanted.
    pub diag_mode: bool,
}

/// A loaded configuration: what was written, nothing resolved.
pub struct Loaded {
    /// Every section, in order; several `global` sections are merged into the first.
    pub sections: Vec<Section>,
    /// Everything there is to say so far.
    pub diags: Diagnostics,
    /// The files.
    pub sources: Sources,
    /// The environment after `setenv` and its kin.
    pub env: Env,
    /// What features shared over all sections.
    pub shared: Shared,
}

/// Files of one run: more would not fit `Loc::file`.
const FILES_MAX: usize = 65_535;

/// Load files in order; a directory stands for its `*.cfg` files in the order of their names, hidden ones left
/// out.
pub fn load(paths: &[PathBuf], options: LoadOptions, tables: &Tables) -> Loaded {
    let mut loader = Loader::new(options, tables);
    for path in paths {
        loader.add_path(path);
    }
    loader.run()
}

/// Load one text that belongs to no file (tests, the built-in demo); `name` is shown in diagnostics.
pub fn load_str(name: &str, text: &str, options: LoadOptions, tables: &Tables) -> Loaded {
    let mut loader = Loader::new(options, tables);
    loader.sources.add(PathBuf::from(name), text.as_bytes().to_vec());
    loader.run()
}

struct Loader<'a> {
    tables: &'a Tables,
    dispatcher: Dispatcher<'a>,
    sources: Sources,
    diags: Diagnostics,
    state: LoadState,
    sections: Vec<Section>,
    current: Current,
    /// The `defaults` section that unnamed references mean: the last one.
    last_defaults: Option<usize>,
    /// `defaults` sections by name: the first, and the second if the name is ambiguous.
    named_defaults: HashMap<String, (usize, Option<usize>)>,
    /// Where each name of a frontend or a backend was declared.
    proxy_names: HashMap<(bool, String), (SectionKind, Loc)>,
    /// Where each name of another kind of section was declared.
    other_names: HashMap<(SectionKind, String), Loc>,
}

/// Where directives go.
enum Current {
    /// Before the first section.
    None,
    /// Index of the section.
    Section(usize),
    /// The header was wrong, or the section is not supported: that was said once, its lines are not looked at.
    Skipped,
}

impl<'a> Loader<'a> {
    fn new(options: LoadOptions, tables: &'a Tables) -> Loader<'a> {
        let mut env = options.env;
        env.set("HAPROXY_BRANCH", Version::LANGUAGE.branch());
        Loader {
            tables,
            dispatcher: Dispatcher::new(tables),
            sources: Sources::default(),
            diags: Diagnostics::default(),
            state: LoadState { env, diag_mode: options.diag_mode, ..LoadState::default() },
            sections: Vec::new(),
            current: Current::None,
            last_defaults: None,
            named_defaults: HashMap::new(),
            proxy_names: HashMap::new(),
            other_names: HashMap::new(),
        }
    }

    fn add_path(&mut self, path: &Path) {
        let cannot = |e: &dyn std::fmt::Display| {
            let e = e.to_string();
            let e = e.split(" (os error").next().unwrap_or(&e).to_owned();
            format!("Cannot open configuration file/directory {} : {e}", path.display())
        };
        if path.is_dir() {
            match directory_files(path) {
                Ok(files) => files.iter().for_each(|f| self.add_path(f)),
                Err(e) => {
                    self.diags.error(Loc::default(), cannot(&e));
                }
            }
            return;
        }
        match std::fs::read(path) {
            Ok(_) if self.sources.len() >= FILES_MAX => {
                self.diags.error(Loc::default(), format!("more than {FILES_MAX} configuration files"));
            }
            Ok(text) => {
                self.sources.add(path.to_path_buf(), text);
            }
            Err(e) => {
                self.diags.error(Loc::default(), cannot(&e));
            }
        }
    }

    fn run(mut self) -> Loaded {
        for file in 0..self.sources.len() as u16 {
            self.file(file);
        }
        Loaded {
            sections: self.sections,
            diags: self.diags,
            sources: self.sources,
            env: self.state.env,
            shared: self.state.shared,
        }
    }

    fn file(&mut self, file: u16) {
        // A section ends with its file.
        self.current = Current::None;
        let name = self.sources.name(file).to_path_buf();
        let file_name = name.display().to_string();
        self.state.enter_file(name);
        let mut blocks = Blocks::default();
        let mut words = Vec::new();
        for line in 1..=self.sources.line_count(file) {
            // The text is moved out and back, so that parsing may borrow everything else.
            let section = self.section_label();
            let place = Place { file, line, file_name: &file_name, section: &section };
            let text = self.sources.line(file, line).expect("the line is counted");
            if blocks.skipping() && !may_be_block_directive(text) {
                continue;
            }
            if let Err(e) = split_line(text, place, &self.state.env, &mut words) {
                let d = self.diags.error(e.loc(place), e.message);
                if let Some(help) = e.help {
                    d.help(help);
                }
                continue;
            }
            if words.is_empty() {
                continue;
            }
            match BlockDirective::of(&words[0]) {
                Some(b) => blocks.apply(b, &words, &self.state, &mut self.diags),
                None if blocks.skipping() => {}
                None => self.directive(std::mem::take(&mut words)),
            }
        }
        blocks.finish(&mut self.diags);
        self.check_final_lf(file);
    }

    fn check_final_lf(&mut self, file: u16) {
        if self.sources.lacks_final_lf(file) {
            let line = self.sources.line_count(file);
            let len = self.sources.line(file, line).map_or(0, <[u8]>::len) as u32;
            let loc = Loc { file, line, col: len + 1, len: 1 };
            self.diags
                .error(loc, "missing LF on last line, the file might have been truncated")
                .help("end the last line with a line feed");
        }
    }

    /// What the pseudo-variable `.SECTION` says.
    fn section_label(&self) -> String {
        match &self.current {
            Current::Section(i) => match &self.sections[*i] {
                s if s.name.is_empty() => s.kind.keyword().to_owned(),
                s => s.name.clone(),
            },
            Current::None | Current::Skipped => String::new(),
        }
    }

    fn directive(&mut self, words: Vec<Word>) {
        if let Some(kind) = SectionKind::ALL.into_iter().find(|k| words[0].is(k.keyword())) {
            self.current = self.open_section(kind, &words);
            return;
        }
        let dir = Directive::new(words);
        match self.current {
            Current::Section(i) => self.dispatcher.dispatch(
                &dir,
                &mut self.sections[i],
                &mut self.diags,
                self.tables,
                &mut self.state,
            ),
            Current::Skipped => {}
            Current::None => dispatch::out_of_section(&dir, &mut self.diags),
        }
    }

    fn open_section(&mut self, kind: SectionKind, words: &[Word]) -> Current {
        if !self.dispatcher.supports(kind) {
            let message = format!("section '{}' is known, but not supported yet", kind.keyword());
            self.diags.error(words[0].loc, message).help("its lines were not looked at");
            return Current::Skipped;
        }
        match kind {
            SectionKind::Global | SectionKind::Traces => self.open_unnamed(kind, words),
            SectionKind::Defaults => self.open_defaults(words),
            SectionKind::Frontend | SectionKind::Backend | SectionKind::Listen => {
                self.open_proxy(kind, words)
            }
            _ => self.open_named(kind, words),
        }
    }

    fn open_unnamed(&mut self, kind: SectionKind, words: &[Word]) -> Current {
        self.no_more(kind, &words[1..]);
        if let Some(i) = self.sections.iter().position(|s| s.kind == kind) {
            return Current::Section(i);
        }
        self.push(Section::new(kind, String::new(), words[0].loc))
    }

    fn open_named(&mut self, kind: SectionKind, words: &[Word]) -> Current {
        let Some(name) = words.get(1) else {
            // A certificate store may be anonymous.
            if kind == SectionKind::CrtStore {
                return self.push(Section::new(kind, String::new(), words[0].loc));
            }
            self.missing_name(kind, &words[0]);
            return Current::Skipped;
        };
        if !self.valid_name(kind, name) {
            return Current::Skipped;
        }
        let text = name.text().into_owned();
        if let Some(first) = self.other_names.insert((kind, text.clone()), name.loc) {
            let message =
                format!("section '{} {text}' was already declared at {}", kind.keyword(), self.at(first));
            self.diags.error(name.loc, message);
        }
        self.no_more(kind, &words[2..]);
        self.push(Section::new(kind, text, words[0].loc))
    }

    fn open_defaults(&mut self, words: &[Word]) -> Current {
        let mut rest = &words[1..];
        let mut name = String::new();
        if let Some(w) = rest.first().filter(|w| !w.is("from")) {
            if !self.valid_name(SectionKind::Defaults, w) {
                return Current::Skipped;
            }
            name = w.text().into_owned();
            rest = &rest[1..];
        }
        let Ok(from) = self.take_from(SectionKind::Defaults, &name, &mut rest) else {
            return Current::Skipped;
        };
        self.no_more(SectionKind::Defaults, rest);
        let section = self.start_from(SectionKind::Defaults, name.clone(), words[0].loc, from);
        let index = self.sections.len();
        self.last_defaults = Some(index);
        if !name.is_empty() {
            self.named_defaults
                .entry(name)
                .and_modify(|e| {
                    e.1.get_or_insert(index);
                })
                .or_insert((index, None));
        }
        self.push(section)
    }

    fn open_proxy(&mut self, kind: SectionKind, words: &[Word]) -> Current {
        let Some(name) = words.get(1) else {
            self.missing_name(kind, &words[0]);
            return Current::Skipped;
        };
        if !self.valid_name(kind, name) {
            return Current::Skipped;
        }
        let text = name.text().into_owned();
        self.check_proxy_name(kind, &text, name.loc);
        // `from NAME` may stand before or behind the addresses of the old form.
        let mut rest = words[2..].to_vec();
        let mut from_words = match rest.iter().position(|w| w.is("from")) {
            Some(i) => rest.drain(i..rest.len().min(i + 2)).collect(),
            None => Vec::new(),
        };
        let mut from_rest = from_words.as_slice();
        let Ok(from) = self.take_from(kind, &text, &mut from_rest) else { return Current::Skipped };
        from_words.clear();
        let from = from.or(self.last_defaults);
        let mut section = self.start_from(kind, text, words[0].loc, from);
        if kind.is_frontend() {
            section.header_args = rest;
        } else {
            self.no_more(kind, &rest);
        }
        self.push(section)
    }

    fn start_from(&self, kind: SectionKind, name: String, loc: Loc, from: Option<usize>) -> Section {
        match from {
            Some(i) => {
                let mut section = Section::from_defaults(kind, name, loc, &self.sections[i]);
                section.defaults = Some(i);
                section
            }
            None => Section::new(kind, name, loc),
        }
    }

    fn push(&mut self, section: Section) -> Current {
        self.sections.push(section);
        Current::Section(self.sections.len() - 1)
    }

    /// `from NAME` at the start of `rest`: the section it names. `Err` when that was reported.
    fn take_from(&mut self, kind: SectionKind, name: &str, rest: &mut &[Word]) -> Result<Option<usize>, ()> {
        let Some(from) = rest.first().filter(|w| w.is("from")) else { return Ok(None) };
        let Some(target) = rest.get(1) else {
            let loc = Loc { col: from.loc.col + from.loc.len, len: 1, ..from.loc };
            self.diags.error(loc, "'from' expects the name of a 'defaults' section");
            return Err(());
        };
        *rest = &rest[2..];
        let text = target.text();
        let label = format!("{} '{name}'", kind.keyword());
        match self.named_defaults.get(text.as_ref()) {
            Some((i, None)) => Ok(Some(*i)),
            Some((a, Some(b))) => {
                let (a, b) = (self.at(self.sections[*a].loc), self.at(self.sections[*b].loc));
                let message = format!(
                    "ambiguous defaults section name '{text}' referenced by {label} exists at least at {a} and {b}"
                );
                self.diags.error(target.loc, message);
                Err(())
            }
            None => {
                let known = self.named_defaults.keys().map(String::as_str);
                let help = super::suggest::closest(&text, known).map(super::suggest::did_you_mean);
                let message = format!("defaults section '{text}' not found for {label}");
                let d = self.diags.error(target.loc, message);
                d.help(help.unwrap_or_else(|| "it must be declared before it is used".to_owned()));
                Err(())
            }
        }
    }

    /// Frontends share one space of names, backends another; `listen` takes a name in both.
    fn check_proxy_name(&mut self, kind: SectionKind, name: &str, loc: Loc) {
        let sides = [(true, kind.is_frontend()), (false, kind.is_backend())];
        let mut clash = None;
        for (front, _) in sides.into_iter().filter(|s| s.1) {
            match self.proxy_names.entry((front, name.to_owned())) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    clash.get_or_insert(*first.get());
                }
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert((kind, loc));
                }
            }
        }
        if let Some((first_kind, first)) = clash {
            let message = format!(
                "{} '{name}' has the same name as {} '{name}' declared at {}",
                kind.keyword(),
                first_kind.keyword(),
                self.at(first)
            );
            self.diags.error(loc, message);
        }
    }

    fn valid_name(&mut self, kind: SectionKind, name: &Word) -> bool {
        let ok = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b':');
        let Some(at) = name.bytes.iter().position(|c| !ok(*c)) else {
            if name.bytes.is_empty() {
                self.diags.error(name.loc, format!("the name of '{}' is empty", kind.keyword()));
            }
            return !name.bytes.is_empty();
        };
        let c = char::from(name.bytes[at]);
        let message =
            format!("character '{c}' is not permitted in '{}' name '{}'", kind.keyword(), name.text());
        self.diags
            .error(name.sub(at, 1), message)
            .help("names are made of letters, digits, '-', '_', '.' and ':'");
        false
    }

    fn missing_name(&mut self, kind: SectionKind, keyword: &Word) {
        let loc = Loc { col: keyword.loc.col + keyword.loc.len, len: 1, ..keyword.loc };
        self.diags.error(loc, format!("'{}' expects a name", kind.keyword()));
    }

    fn no_more(&mut self, kind: SectionKind, rest: &[Word]) {
        if let Some(w) = rest.first() {
            let message = format!("'{}' cannot handle unexpected argument '{}'", kind.keyword(), w.text());
            self.diags.error(w.loc, message);
        }
    }

    fn at(&self, loc: Loc) -> String {
        format!("{}:{}", self.sources.name(loc.file).display(), loc.line)
    }
}

impl LoadState {
    /// A file begins: `default-path` follows it.
    fn enter_file(&mut self, name: PathBuf) {
        self.files.push(name);
        self.update_base_dir();
    }

    /// `default-path` was changed, or a file begins.
    pub fn update_base_dir(&mut self) {
        let dir = self.files.last().and_then(|f| f.parent()).map(Path::to_path_buf).unwrap_or_default();
        self.base_dir = match &self.default_path {
            DefaultPath::Current => None,
            DefaultPath::Config => Some(dir),
            DefaultPath::Parent => Some(dir.join("..")),
            DefaultPath::Origin(path) => Some(path.clone()),
        };
    }
}

/// In a block that is left out only block directives count; the rest need not even be well-formed.
fn may_be_block_directive(line: &[u8]) -> bool {
    line.iter().find(|c| !matches!(c, b' ' | b'\t')) == Some(&b'.')
}

fn directory_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    use std::os::unix::ffi::OsStrExt;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().map(|n| n.as_bytes().to_vec()).unwrap_or_default();
        if name.ends_with(b".cfg") && !name.starts_with(b".") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
