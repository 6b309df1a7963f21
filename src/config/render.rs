//! Diagnostics as text: HAProxy's line, then the source line, a caret, a hint.
//!
//! ```text
//! [ALERT]    (4711) : config : parsing [a.cfg:12] : unknown keyword 'timeout cleint' in 'defaults' section
//!     12:5 |     timeout cleint 5s
//!          |     ^^^^^^^^^^^^^^
//!          = did you mean 'timeout client'?
//! ```

use std::fmt::Write;

use super::{Diagnostic, Diagnostics, Severity, Sources};

/// Longest part of a source line that is shown, in characters.
const SHOWN_MAX: usize = 160;

/// What `-c` prints with `-V` when all is well; `haproxy` prints the same.
pub const VALID: &str = "Configuration file is valid";
/// What is printed when there was any warning.
pub const WARNINGS_FOUND: &str = "Warnings were found.";

/// Which diagnostics are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct RenderOptions {
    /// `-q`: nothing but alerts.
    pub quiet: bool,
    /// The process's number.
    pub pid: u32,
}

/// The start of a message line: `[ALERT]    (4711) : `.
pub fn prefix(severity: Severity, pid: u32) -> String {
    let label = match severity {
        Severity::Notice => "[NOTICE]",
        Severity::Warning => "[WARNING]",
        Severity::Alert => "[ALERT]",
    };
    format!("{label:<10} ({pid}) : ")
}

/// Every diagnostic, in order.
pub fn render(diags: &Diagnostics, sources: &Sources, options: RenderOptions) -> String {
    let mut out = String::new();
    for d in &diags.list {
        if options.quiet && d.severity != Severity::Alert {
            continue;
        }
        render_one(d, sources, options.pid, &mut out);
    }
    out
}

/// The two lines that HAProxy ends with when the configuration is invalid.
pub fn fatal_summary(diags: &Diagnostics, sources: &Sources, pid: u32) -> String {
    let mut out = String::new();
    let alert = prefix(Severity::Alert, pid);
    for file in 0..sources.len() as u16 {
        let bad = |d: &&Diagnostic| d.severity == Severity::Alert && d.loc.line > 0 && d.loc.file == file;
        if diags.list.iter().any(|d| bad(&d)) {
            let name = sources.name(file).display();
            let _ = writeln!(out, "{alert}config : Error(s) found in configuration file : {name}");
        }
    }
    let _ = writeln!(out, "{alert}config : Fatal errors found in configuration.");
    out
}

fn render_one(d: &Diagnostic, sources: &Sources, pid: u32, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{}config : ", prefix(d.severity, pid));
    let loc = d.loc;
    if loc.line == 0 {
        let _ = writeln!(out, "{}", d.message);
        if let Some(help) = &d.help {
            let _ = writeln!(out, "   = {help}");
        }
        return;
    }
    let _ = writeln!(out, "parsing [{}:{}] : {}", sources.name(loc.file).display(), loc.line, d.message);
    let place = if loc.col > 0 { format!("{}:{}", loc.line, loc.col) } else { loc.line.to_string() };
    let margin = place.len().max(7);
    if let Some(line) = sources.line(loc.file, loc.line) {
        let (text, caret_at, caret_len) = excerpt(line, loc.col as usize, loc.len as usize);
        let _ = writeln!(out, " {place:>margin$} | {text}");
        if loc.col > 0 {
            let _ = writeln!(out, " {:margin$} | {}{}", "", " ".repeat(caret_at), "^".repeat(caret_len));
        }
    }
    if let Some(help) = &d.help {
        let _ = writeln!(out, " {:margin$} = {help}", "");
    }
}

/// The part of a line around the place in question: text, caret's column and length in characters. Tabs become
/// one space, and control bytes a dot, so that the caret stays under its word.
fn excerpt(line: &[u8], col: usize, len: usize) -> (String, usize, usize) {
    let start = col.saturating_sub(1).min(line.len());
    let end = (start + len.max(1)).min(line.len().max(start));
    let shown = |bytes: &[u8]| -> String {
        String::from_utf8_lossy(bytes)
            .trim_end_matches(['\r', '\n'])
            .chars()
            .map(|c| match c {
                '\t' => ' ',
                c if c.is_control() => '.',
                c => c,
            })
            .collect()
    };
    let before: Vec<char> = shown(&line[..start]).chars().collect();
    let marked: Vec<char> = shown(&line[start..end]).chars().collect();
    let after: Vec<char> = shown(&line[end..]).chars().collect();
    // A long line is cut so that the marked part is in sight.
    let skip = (before.len() + marked.len().min(SHOWN_MAX / 2)).saturating_sub(SHOWN_MAX).min(before.len());
    let mut text: String = if skip > 0 { "...".to_owned() } else { String::new() };
    text.extend(&before[skip..]);
    let caret_at = text.chars().count();
    let caret_len = marked.len().clamp(1, SHOWN_MAX);
    let room = (SHOWN_MAX + 3).saturating_sub(caret_at);
    text.extend(marked.iter().chain(&after).take(room.max(caret_len)));
    if marked.len() + after.len() > room.max(caret_len) {
        text.push_str("...");
    }
    (text, caret_at, caret_len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loc;

    fn shown(line: &str, col: u32, len: u32, help: Option<&str>) -> String {
        let mut sources = Sources::default();
        sources.add("a.cfg".into(), format!("first\n{line}\n").into_bytes());
        let mut diags = Diagnostics::default();
        let d = diags.error(Loc { file: 0, line: 2, col, len }, "bad thing");
        if let Some(h) = help {
            d.help(h);
        }
        render(&diags, &sources, RenderOptions { pid: 42, quiet: false })
    }

    #[test]
    fn caret_under_the_word() {
        assert_eq!(
            shown("\ttimeout cleint 5", 2, 14, Some("did you mean 'timeout client'?")),
            "[ALERT]    (42) : config : parsing [a.cfg:2] : bad thing\n\
             \x20    2:2 |  timeout cleint 5\n\
             \x20        |  ^^^^^^^^^^^^^^\n\
             \x20        = did you mean 'timeout client'?\n"
        );
    }

    #[test]
    fn caret_counts_characters_not_bytes() {
        let text = shown("é x", 4, 1, None);
        assert!(text.ends_with("| é x\n         |   ^\n"), "{text}");
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let line = format!("{} bad {}", "a".repeat(1000), "b".repeat(1000));
        let text = shown(&line, 1002, 3, None);
        let source = text.lines().nth(1).expect("source line");
        let caret = text.lines().nth(2).expect("caret line");
        assert!(source.len() < 200, "{source}");
        let at = caret.find("^^^").expect("caret");
        assert_eq!(&source[at..at + 3], "bad");
    }

    #[test]
    fn beyond_the_end_of_the_line() {
        let text = shown("bind", 5, 1, None);
        assert!(text.ends_with("| bind\n         |     ^\n"), "{text}");
    }

    #[test]
    fn quiet_shows_alerts_only() {
        let mut diags = Diagnostics::default();
        diags.warning(Loc::default(), "w");
        diags.error(Loc::default(), "e");
        let text = render(&diags, &Sources::default(), RenderOptions { quiet: true, pid: 1 });
        assert_eq!(text, "[ALERT]    (1) : config : e\n");
    }
}
