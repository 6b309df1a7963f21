//! What a master hands to itself when it executes itself anew: records of words, in a memory file.
//!
//! One record a line, its words separated by spaces and written with `%XX` for everything else. The reader may be of
//! another version than the writer: it passes over records that it does not know, and over words at their ends.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::sys::process::{adopt_fd, close_on_exec};

/// `<process id>:<descriptor>`. The number shows that it is meant for this very process, not for one that has
/// inherited the environment.
pub const ENV: &str = "HARING_MASTER";

/// Bytes that are read at most.
const STATE_MAX: u64 = 64 << 20;

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    words: Vec<String>,
}

impl Record {
    /// A record of that kind.
    pub fn new(kind: &str) -> Record {
        Record { words: vec![kind.to_owned()] }
    }

    /// With one word more.
    pub fn with(mut self, word: impl ToString) -> Record {
        self.words.push(word.to_string());
        self
    }

    /// What it tells about.
    pub fn kind(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The word at a position; the first after the kind is 1.
    pub fn text(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// The words from a position on.
    pub fn texts(&self, from: usize) -> &[String] {
        self.words.get(from..).unwrap_or_default()
    }

    /// The number at a position.
    pub fn number<T: std::str::FromStr>(&self, at: usize) -> Option<T> {
        self.words.get(at)?.parse().ok()
    }

    /// The descriptor at a position; to be taken once only.
    pub fn fd(&self, at: usize) -> Option<OwnedFd> {
        let fd = adopt_fd(self.number::<RawFd>(at).filter(|fd| *fd > 2)?).ok()?;
        close_on_exec(&fd, true).ok()?;
        Some(fd)
    }
}

/// All records as text.
pub fn write(records: &[Record]) -> String {
    let mut out = String::new();
    for record in records {
        for (i, word) in record.words.iter().enumerate() {
            if i > 0 {
                out.push(' ');
            }
            escape(word, &mut out);
        }
        out.push('\n');
    }
    out
}

fn escape(word: &str, out: &mut String) {
    for byte in word.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn unescape(word: &str) -> Option<String> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
            out.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &tail[2..];
        } else {
            out.push(*first);
        }
    }
    String::from_utf8(out).ok()
}

/// The records of a text; lines that are none are left out.
pub fn parse(text: &str) -> Vec<Record> {
    let record = |line: &str| {
        let words: Option<Vec<String>> = line.split(' ').map(unescape).collect();
        words.map(|words| Record { words }).filter(|r| !r.kind().is_empty())
    };
    text.lines().filter_map(record).collect()
}

/// The descriptor that is meant for this very process.
fn meant_for_us() -> Option<RawFd> {
    let value = std::env::var(ENV).ok()?;
    let (pid, fd) = value.split_once(':')?;
    if pid.parse() != Ok(std::process::id()) { None } else { fd.parse().ok() }
}

/// Whether an image before this one has left something to it.
pub fn is_inherited() -> bool {
    meant_for_us().is_some()
}

/// What the image before this one has left to it; `None` when this is a new process. To be called once.
pub fn inherited() -> Option<Vec<Record>> {
    let mut file = File::from(adopt_fd(meant_for_us()?).ok()?);
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(STATE_MAX).read_to_string(&mut text).ok()?;
    Some(parse(&text))
}

/// Execute that program in place of this one, with the records and these descriptors. Signals that are blocked stay so:
/// what comes meanwhile waits.
///
/// Returns only when it could not.
pub fn execute(
    program: &Path,
    words: &[std::ffi::OsString],
    records: &[Record],
    fds: &[BorrowedFd<'_>],
) -> io::Error {
    match try_execute(program, words, records, fds) {
        Ok(never) => match never {},
        Err(error) => {
            for fd in fds {
                let _ = close_on_exec(fd, true);
            }
            error
        }
    }
}

fn try_execute(
    program: &Path,
    words: &[std::ffi::OsString],
    records: &[Record],
    fds: &[BorrowedFd<'_>],
) -> io::Result<std::convert::Infallible> {
    let memory = memfd_create("haring-master", MFdFlags::empty())?;
    let mut file = File::from(memory);
    file.write_all(write(records).as_bytes())?;
    let c = |bytes: &[u8]| CString::new(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let path = c(program.as_os_str().as_bytes())?;
    let mut argv = vec![path.clone()];
    for word in words {
        argv.push(c(word.as_bytes())?);
    }
    let mut envp = Vec::new();
    // The sockets that were passed to the first image are known by now.
    let stale = |name: &OsStr| name == ENV || name.as_bytes().starts_with(b"LISTEN_");
    for (name, value) in std::env::vars_os().filter(|(name, _)| !stale(name)) {
        let mut pair = name.into_vec();
        pair.push(b'=');
        pair.extend(value.into_vec());
        envp.push(c(&pair)?);
    }
    envp.push(c(format!("{ENV}={}:{}", std::process::id(), file.as_raw_fd()).as_bytes())?);
    for fd in fds {
        close_on_exec(fd, false)?;
    }
    Ok(nix::unistd::execve(&path, &argv, &envp)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(words in proptest::collection::vec("\\PC*|[ %\n\t]{0,4}", 1..6)) {
            let mut record = Record::new("kind");
            for word in &words {
                record = record.with(word);
            }
            let text = write(&[Record::new("first"), record.clone()]);
            prop_assert!(text.is_ascii());
            prop_assert_eq!(parse(&text), vec![Record::new("first"), record]);
        }

        #[test]
        fn any_text_is_read_without_harm(text in "[a-z %0-9A-F\n\\PC]{0,80}") {
            for record in parse(&text) {
                prop_assert!(!record.kind().is_empty());
            }
        }
    }

    #[test]
    fn words_that_are_missing_or_no_numbers() {
        let records = parse("worker 12 x%20y\n\n%zz 1\n%4");
        assert_eq!(records.len(), 1);
        let worker = &records[0];
        assert_eq!((worker.kind(), worker.number::<i32>(1), worker.text(2)), ("worker", Some(12), "x y"));
        assert_eq!((worker.number::<i32>(2), worker.number::<i32>(9), worker.text(9)), (None, None, ""));
        assert!(worker.fd(2).is_none() && Record::new("x").with(-1).fd(1).is_none());
        assert!(Record::new("x").with(99_999).fd(1).is_none());
    }
}
