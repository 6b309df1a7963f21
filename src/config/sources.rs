//! The text of every loaded file, for diagnostics.

use std::path::{Path, PathBuf};

struct File {
    name: PathBuf,
    text: Vec<u8>,
    /// Offset of the first byte of each line.
    starts: Vec<usize>,
}

/// Every loaded file, by `Loc::file`.
#[derive(Default)]
pub struct Sources {
    files: Vec<File>,
}

impl Sources {
    /// Add a file; its index.
    pub fn add(&mut self, name: PathBuf, text: Vec<u8>) -> u16 {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', &text).map(|i| i + 1)).collect();
        self.files.push(File { name, text, starts });
        u16::try_from(self.files.len() - 1).expect("the loader stops at 65535 files")
    }

    /// The number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// True when nothing was loaded.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The file's name as it was given.
    pub fn name(&self, file: u16) -> &Path {
        self.files.get(usize::from(file)).map_or(Path::new(""), |f| f.name.as_path())
    }

    /// The text of line `line` (from 1), without its end.
    pub fn line(&self, file: u16, line: u32) -> Option<&[u8]> {
        let file = self.files.get(usize::from(file))?;
        let index = (line as usize).checked_sub(1)?;
        let start = *file.starts.get(index)?;
        let end = file.starts.get(index + 1).map_or(file.text.len(), |e| e - 1);
        Some(&file.text[start..end])
    }

    /// The number of lines of `file`, a last one without an end included.
    pub(super) fn line_count(&self, file: u16) -> u32 {
        let f = &self.files[usize::from(file)];
        let last_is_empty = f.starts.last() == Some(&f.text.len());
        (f.starts.len() - usize::from(last_is_empty)) as u32
    }

    /// True when the last line has no line feed.
    pub(super) fn lacks_final_lf(&self, file: u16) -> bool {
        self.files[usize::from(file)].text.last().is_some_and(|c| *c != b'\n')
    }
}
