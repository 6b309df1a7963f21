//! Files into sections.

use std::path::{Path, PathBuf};

use super::{Diagnostics, Env, Section, Tables};

/// What the loader is told.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The environment at the start.
    pub env: Env,
    /// `-dD`: diagnostic warnings are wanted.
    pub diag_mode: bool,
}

/// The text of every loaded file, for diagnostics.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Name as given and content, by `Loc::file`.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

impl Sources {
    /// The file's name as it was given.
    pub fn name(&self, file: u16) -> &Path {
        self.files.get(usize::from(file)).map_or(Path::new(""), |f| f.0.as_path())
    }

    /// The text of line `line` (from 1), without its end.
    pub fn line(&self, file: u16, line: u32) -> Option<&[u8]> {
        let text = &self.files.get(usize::from(file))?.1;
        text.split(|c| *c == b'\n').nth((line as usize).checked_sub(1)?)
    }
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
}

/// Load files in order; a directory stands for its `*.cfg` files in the order of their names.
pub fn load(paths: &[PathBuf], options: LoadOptions, tables: &Tables) -> Loaded {
    let _ = (paths, options, tables);
    todo!()
}

/// Load one text that belongs to no file (tests, the built-in demo); `name` is shown in diagnostics.
pub fn load_str(name: &str, text: &str, options: LoadOptions, tables: &Tables) -> Loaded {
    let _ = (name, text, options, tables);
    todo!()
}
