//! The lexer: one line of text into words (manual sections "Quoting and escaping" and "Environment
//! variables").
//!
//! - outside quotes: `\` before space, tab, `\`, `#`, `"`, `'` gives that byte; before any other byte it
//!   stays, so that regular expressions need no doubling;
//! - `\n \r \t \xHH` give a control byte outside quotes and in double quotes;
//! - double quotes: `\$` gives a dollar, `$VAR` and `${VAR}` are expanded;
//! - single quotes: nothing is interpreted.

use std::borrow::Cow;

use super::{Env, Loc, Word};
use crate::base::limits::{CONFIG_LINE_MAX, CONFIG_WORDS_MAX};

/// Where a line stands; also what the pseudo-variables `.FILE`, `.LINE`, `.SECTION` say.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Index of the file.
    pub file: u16,
    /// Line number from 1.
    pub line: u32,
    /// Name of the file as given.
    pub file_name: &'a str,
    /// Name of the section, its keyword if it has no name, empty before the first one.
    pub section: &'a str,
}

/// What is wrong with a line: the first thing only, since what follows cannot be cut with certainty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LexError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<&'static str>,
    /// First byte of the part in question, from 0.
    pub at: usize,
    /// Its length in bytes.
    pub len: usize,
}

impl LexError {
    fn new(message: impl Into<String>, at: usize, len: usize) -> LexError {
        LexError { message: message.into(), help: None, at, len }
    }

    fn help(self, help: &'static str) -> LexError {
        LexError { help: Some(help), ..self }
    }

    /// Its location on the line at `place`.
    pub fn loc(&self, place: Place<'_>) -> Loc {
        Loc { file: place.file, line: place.line, col: self.at as u32 + 1, len: self.len.max(1) as u32 }
    }
}

/// Cut a line into words; `out` is cleared first. The line may end in LF or CR LF.
pub fn split_line(line: &[u8], place: Place<'_>, env: &Env, out: &mut Vec<Word>) -> Result<(), LexError> {
    out.clear();
    if line.len() > CONFIG_LINE_MAX {
        let message = format!("line too long: {} bytes where {CONFIG_LINE_MAX} are allowed", line.len());
        return Err(LexError::new(message, CONFIG_LINE_MAX, 1));
    }
    Lexer { line, place, env, at: 0, start: None, bytes: Vec::new(), out }.run()
}

struct Lexer<'a> {
    line: &'a [u8],
    place: Place<'a>,
    env: &'a Env,
    /// The next byte to look at.
    at: usize,
    /// Where the word being read starts; `None` between words.
    start: Option<usize>,
    /// Its value so far.
    bytes: Vec<u8>,
    out: &'a mut Vec<Word>,
}

fn is_blank(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | 0x0b | 0x0c)
}

impl Lexer<'_> {
    fn run(mut self) -> Result<(), LexError> {
        while let Some(&c) = self.line.get(self.at) {
            match c {
                b'\n' | b'\r' | b'#' => break,
                0 => return Err(LexError::new("a NUL byte is not permitted", self.at, 1)),
                c if is_blank(c) => {
                    self.finish_word()?;
                    self.at += 1;
                    // Indentation and alignment come in runs.
                    while self.line.get(self.at).is_some_and(|c| is_blank(*c)) {
                        self.at += 1;
                    }
                    continue;
                }
                _ => {}
            }
            self.start.get_or_insert(self.at);
            match c {
                b'\'' => self.single_quoted()?,
                b'"' => self.double_quoted()?,
                b'\\' => self.escape(false)?,
                _ => self.plain(),
            }
        }
        self.finish_word()
    }

    /// Bytes with no meaning of their own.
    fn plain(&mut self) {
        let rest = &self.line[self.at..];
        let n = rest
            .iter()
            .position(|c| is_blank(*c) || matches!(c, b'\n' | b'\r' | 0 | b'#' | b'\'' | b'"' | b'\\'))
            .unwrap_or(rest.len());
        self.bytes.extend_from_slice(&rest[..n]);
        self.at += n;
    }

    fn finish_word(&mut self) -> Result<(), LexError> {
        let Some(start) = self.start.take() else { return Ok(()) };
        if self.out.len() == CONFIG_WORDS_MAX {
            let message = format!("too many words: {CONFIG_WORDS_MAX} are allowed on one line");
            return Err(LexError::new(message, start, self.at - start).help(
                "split the line: most lists may be spread over several directives, or read from a file",
            ));
        }
        let bytes = std::mem::take(&mut self.bytes);
        let written = &self.line[start..self.at];
        // A word in quotes with nothing to resolve inside: its place is what stands between them, so that a part of the
        // value (`Word::sub`) is found.
        let quoted = written.len() == bytes.len() + 2
            && matches!(written[0], b'"' | b'\'')
            && written[1..=bytes.len()] == bytes[..]
            && !bytes.is_empty();
        let loc = Loc {
            file: self.place.file,
            line: self.place.line,
            col: (start + usize::from(quoted)) as u32 + 1,
            len: (written.len() - 2 * usize::from(quoted)) as u32,
        };
        self.out.push(Word { bytes, loc });
        Ok(())
    }

    fn single_quoted(&mut self) -> Result<(), LexError> {
        let open = self.at;
        let rest = &self.line[open + 1..];
        match rest.iter().position(|c| matches!(c, b'\'' | b'\n' | b'\r' | 0)) {
            Some(n) if rest[n] == b'\'' => {
                self.bytes.extend_from_slice(&rest[..n]);
                self.at = open + 1 + n + 1;
                Ok(())
            }
            Some(n) if rest[n] == 0 => Err(LexError::new("a NUL byte is not permitted", open + 1 + n, 1)),
            _ => Err(unmatched_quote(open)),
        }
    }

    fn double_quoted(&mut self) -> Result<(), LexError> {
        let open = self.at;
        self.at += 1;
        loop {
            match self.line.get(self.at) {
                None | Some(b'\n' | b'\r') => return Err(unmatched_quote(open)),
                Some(0) => return Err(LexError::new("a NUL byte is not permitted", self.at, 1)),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape(true)?,
                Some(b'$') => self.variable()?,
                Some(c) => {
                    self.bytes.push(*c);
                    self.at += 1;
                }
            }
        }
    }

    /// A backslash at `self.at`.
    fn escape(&mut self, in_double_quotes: bool) -> Result<(), LexError> {
        let value = match self.line.get(self.at + 1) {
            Some(c @ (b' ' | b'\t' | b'\\' | b'#' | b'"' | b'\'')) => *c,
            Some(b'$') if in_double_quotes => b'$',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'x') => {
                let digit = |i: usize| self.line.get(i).and_then(|c| char::from(*c).to_digit(16));
                let (Some(high), Some(low)) = (digit(self.at + 2), digit(self.at + 3)) else {
                    let len = 4.min(self.line.len() - self.at);
                    return Err(LexError::new("truncated or invalid hexadecimal sequence", self.at, len)
                        .help("write \\x and two hexadecimal digits, or \\\\x for a backslash and an x"));
                };
                self.bytes.push((high * 16 + low) as u8);
                self.at += 4;
                return Ok(());
            }
            // Not an escape: the backslash is an ordinary byte, and the next one is looked at for itself.
            _ => {
                self.bytes.push(b'\\');
                self.at += 1;
                return Ok(());
            }
        };
        self.bytes.push(value);
        self.at += 2;
        Ok(())
    }

    /// A dollar at `self.at`, in double quotes.
    fn variable(&mut self) -> Result<(), LexError> {
        let var = scan_variable(self.line, self.at)?;
        self.at = var.end;
        let value = match var.name.strip_prefix(b".") {
            Some(name) => match self.pseudo_variable(name) {
                Some(value) => Some(value),
                None => {
                    let message = format!("unknown pseudo-variable '{}'", String::from_utf8_lossy(var.name));
                    return Err(LexError::new(message, var.name_at, var.name.len())
                        .help("the pseudo-variables are .FILE, .LINE and .SECTION"));
                }
            },
            None => self.env.get(var.name).map(Cow::Borrowed),
        };
        let value = value.or(var.default.map(Cow::Borrowed));
        match value {
            Some(value) if var.split => self.push_split(&value),
            Some(value) => {
                self.bytes.extend_from_slice(&value);
                if self.bytes.len() > CONFIG_LINE_MAX {
                    let message = format!("the value is longer than {CONFIG_LINE_MAX} bytes");
                    return Err(LexError::new(message, var.name_at, var.name.len()));
                }
                Ok(())
            }
            // `"${UNSET[*]}"` with nothing around it is no word at all, rather than an empty one.
            None if var.split => self.push_split(b""),
            None => Ok(()),
        }
    }

    fn pseudo_variable(&self, name: &[u8]) -> Option<Cow<'static, [u8]>> {
        Some(Cow::Owned(match name {
            b"FILE" => self.place.file_name.as_bytes().to_vec(),
            b"LINE" => self.place.line.to_string().into_bytes(),
            b"SECTION" => self.place.section.as_bytes().to_vec(),
            _ => return None,
        }))
    }

    /// `${VAR[*]}`: each part of the value becomes a word; the first joins what stands before it, the last
    /// joins what follows.
    fn push_split(&mut self, value: &[u8]) -> Result<(), LexError> {
        let open = self.start.unwrap_or(self.at);
        let mut first = true;
        for part in value.split(|c| is_blank(*c)).filter(|p| !p.is_empty()) {
            if !first || (value.first().is_some_and(|c| is_blank(*c)) && !self.bytes.is_empty()) {
                self.start = Some(open);
                self.finish_word()?;
                self.start = Some(open);
            }
            first = false;
            self.bytes.extend_from_slice(part);
        }
        // Nothing came of it and nothing else is in the quotes: no word.
        let closes = self.line.get(self.at) == Some(&b'"')
            && self.line.get(self.at + 1).is_none_or(|c| is_blank(*c) || matches!(c, b'\n' | b'\r' | b'#'));
        if first && closes && self.bytes.is_empty() {
            self.start = None;
        }
        Ok(())
    }
}

fn unmatched_quote(at: usize) -> LexError {
    LexError::new("unmatched quote", at, 1).help(
        "close the quotes on the same line, or write a backslash before a quote that is meant as itself",
    )
}

struct Variable<'a> {
    name: &'a [u8],
    name_at: usize,
    default: Option<&'a [u8]>,
    /// `[*]` was written.
    split: bool,
    /// First byte behind it.
    end: usize,
}

/// Read `$NAME` or `${NAME...}` whose dollar is at `at`.
fn scan_variable(line: &[u8], at: usize) -> Result<Variable<'_>, LexError> {
    let braces = line.get(at + 1) == Some(&b'{');
    let name_at = at + 1 + usize::from(braces);
    let dot = usize::from(line.get(name_at) == Some(&b'.'));
    let first = line.get(name_at + dot).copied();
    if !first.is_some_and(|c| c.is_ascii_alphabetic() || c == b'_') {
        return Err(LexError::new("forbidden first character in environment variable name", name_at, 1)
            .help("a name starts with a letter or '_'; write \\$ for a dollar inside double quotes"));
    }
    let tail = &line[name_at + dot..];
    let len = tail.iter().position(|c| !c.is_ascii_alphanumeric() && *c != b'_').unwrap_or(tail.len());
    let mut end = name_at + dot + len;
    let name = &line[name_at..end];
    let mut var = Variable { name, name_at, default: None, split: false, end };
    if !braces {
        return Ok(var);
    }
    let name_end = end;
    let unmatched = || {
        LexError::new("unmatched brace in environment variable name", at, name_end - at)
            .help("write ${NAME}, ${NAME-default} or ${NAME[*]}")
    };
    if line[end..].starts_with(b"[") {
        if !line[end..].starts_with(b"[*]") {
            return Err(LexError::new("truncated or invalid word expansion sequence", end, 1)
                .help("only [*] may follow the name: the value as several words"));
        }
        var.split = true;
        end += 3;
    }
    if line.get(end) == Some(&b'-') {
        let from = end + 1;
        let len = line[from..]
            .iter()
            .position(|c| matches!(c, b'}' | b'"' | b'\n' | b'\r' | 0))
            .ok_or_else(unmatched)?;
        let value = &line[from..from + len];
        var.default = Some(match value.strip_suffix(b"[*]") {
            Some(value) => {
                var.split = true;
                value
            }
            None => value,
        });
        end = from + len;
    }
    if line.get(end) != Some(&b'}') {
        return Err(unmatched());
    }
    var.end = end + 1;
    Ok(var)
}

/// Expand `$VAR` and `${VAR-default}` in an address, where HAProxy expands them even outside quotes. What is
/// not a variable stays as it is.
pub fn expand_in_address(text: &str, env: &Env) -> String {
    let line = text.as_bytes();
    let mut out = Vec::with_capacity(line.len());
    let mut at = 0;
    while let Some(&c) = line.get(at) {
        if c == b'$'
            && let Ok(var) = scan_variable(line, at)
        {
            out.extend_from_slice(env.get(var.name).or(var.default).unwrap_or_default());
            at = var.end;
        } else {
            out.push(c);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Entry point for fuzzing: `data` as a line of words, and as a whole file. Must never panic.
pub fn fuzz_words(data: &[u8]) {
    let place = Place { file: 0, line: 1, file_name: "fuzz", section: "" };
    let mut env = Env::empty();
    env.set("A", " a b ");
    let mut out = Vec::new();
    if split_line(data, place, &env, &mut out).is_ok() {
        let line = out.iter().map(|w| quote(&w.bytes)).collect::<Vec<_>>().join(&b' ');
        let mut back = Vec::new();
        split_line(&line, place, &Env::empty(), &mut back).expect("quoted words lex");
        assert!(out.iter().map(|w| &w.bytes).eq(back.iter().map(|w| &w.bytes)), "words come back");
    }
    let text = String::from_utf8_lossy(data);
    let loaded = super::load_str("fuzz", &text, super::LoadOptions::default(), &super::Tables::default());
    super::render(&loaded.diags, &loaded.sources, super::RenderOptions::default());
    let _ = super::condition::eval(&text, &env);
}

/// Write `value` so that [`split_line`] gives it back as one word.
pub fn quote(value: &[u8]) -> Vec<u8> {
    let plain = |c: &u8| c.is_ascii_alphanumeric() || b"-_.:/@%+=,*!?(){}[]<>|&^~;".contains(c);
    if !value.is_empty() && value.iter().all(plain) {
        return value.to_vec();
    }
    let mut out = vec![b'"'];
    for c in value {
        match c {
            b'"' | b'\\' | b'$' => out.extend_from_slice(&[b'\\', *c]),
            0x20..=0x7e => out.push(*c),
            _ => out.extend_from_slice(format!("\\x{c:02x}").as_bytes()),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn env() -> Env {
        let mut env = Env::empty();
        env.set("HOME", "/root");
        env.set("LST", " one  two three ");
        env.set("EMPTY", "");
        env
    }

    const PLACE: Place<'_> = Place { file: 0, line: 7, file_name: "a.cfg", section: "web" };

    fn words(line: &str) -> Result<Vec<String>, LexError> {
        let mut out = Vec::new();
        split_line(line.as_bytes(), PLACE, &env(), &mut out)?;
        Ok(out.iter().map(|w| w.text().into_owned()).collect())
    }

    fn one(line: &str) -> String {
        let w = words(line).unwrap_or_else(|e| panic!("{line}: {e:?}"));
        assert_eq!(w.len(), 1, "{line}: {w:?}");
        w[0].clone()
    }

    #[test]
    fn escapes_and_quotes() {
        for (line, value) in [
            (r"a\.b", r"a\.b"),
            (r#""a\.b""#, r"a\.b"),
            (r"'a\.b'", r"a\.b"),
            (r#""x\ny\$z""#, "x\ny$z"),
            (r"a\$b", r"a\$b"),
            (r#"a"b c"d"#, "ab cd"),
            ("e'f g'h", "ef gh"),
            (r"i\ j", "i j"),
            (r#""\q\w""#, r"\q\w"),
            (r#""it's""#, "it's"),
            (r#"'say "x"'"#, r#"say "x""#),
            (r"\x41", "A"),
            (r#""\x42""#, "B"),
            (r"'\x43'", r"\x43"),
            ("\"a#b\"", "a#b"),
            ("a#b", "a"),
            (r"a\#b", "a#b"),
            (r#""\#""#, "#"),
            (r#""\'.""#, "'."),
            (r#"\""#, "\""),
            (r"\t|", "\t|"),
            (r#""\t|""#, "\t|"),
            ("\"\"", ""),
            ("''", ""),
            (r"a\\b", r"a\b"),
            (r#""a"b"c""#, "abc"),
            (r"a\", r"a\"),
            ("é", "é"),
            ("a\rb", "a"),
            ("a\r\n", "a"),
        ] {
            assert_eq!(one(line), value, "{line}");
        }
        assert_eq!(words("  a\tb \x0b c # d").unwrap(), ["a", "b", "c"]);
        assert_eq!(words(" \t ").unwrap(), [""; 0]);
        assert_eq!(words("# only").unwrap(), [""; 0]);
    }

    #[test]
    fn variables() {
        for (line, value) in [
            ("$HOME", "$HOME"),
            ("${HOME}", "${HOME}"),
            ("\"$HOME\"", "/root"),
            ("\"${HOME}x\"", "/rootx"),
            ("\"$HOME-x\"", "/root-x"),
            ("\"$HOME[*]\"", "/root[*]"),
            ("\"<${UNSET}>\"", "<>"),
            ("\"${UNSET-a:b/c.d}\"", "a:b/c.d"),
            ("\"${UNSET-a_b-c}\"", "a_b-c"),
            ("\"${UNSET-}\"", ""),
            ("\"${HOME-dflt}\"", "/root"),
            ("\"${EMPTY-d}\"", ""),
            ("\"${UNSET-a}b}\"", "ab}"),
            ("\"\\$HOME\"", "$HOME"),
            ("'$HOME'", "$HOME"),
            ("\"$LST\"", " one  two three "),
            ("\"${.FILE}:${.LINE}:$.SECTION\"", "a.cfg:7:web"),
        ] {
            assert_eq!(one(line), value, "{line}");
        }
    }

    #[test]
    fn several_words_of_one_variable() {
        assert_eq!(words("\"${LST[*]}\"").unwrap(), ["one", "two", "three"]);
        assert_eq!(words("\"<${LST[*]}>\"").unwrap(), ["<", "one", "two", "three>"]);
        assert_eq!(words("a \"${UNSET[*]}\" b").unwrap(), ["a", "b"]);
        assert_eq!(words("a \"${EMPTY[*]}\"").unwrap(), ["a"]);
        assert_eq!(words("a \"${UNSET-x y[*]}\"").unwrap(), ["a", "x", "y"]);
    }

    #[test]
    fn errors_point_at_their_cause() {
        for (line, message, at) in [
            ("foo \"abc", "unmatched quote", 4),
            ("foo 'abc", "unmatched quote", 4),
            ("foo \"a\\\"", "unmatched quote", 4),
            (r"foo a\xZZ", "truncated or invalid hexadecimal sequence", 5),
            (r"foo a\x4", "truncated or invalid hexadecimal sequence", 5),
            ("foo \"${A\"", "unmatched brace in environment variable name", 5),
            ("foo \"${A%B}\"", "unmatched brace in environment variable name", 5),
            ("foo \"${A-b", "unmatched brace in environment variable name", 5),
            ("foo \"$\"", "forbidden first character in environment variable name", 6),
            ("foo \"${1A}\"", "forbidden first character in environment variable name", 7),
            ("foo \"${A[1]}\"", "truncated or invalid word expansion sequence", 8),
            ("foo \"${.FOO}\"", "unknown pseudo-variable '.FOO'", 7),
            ("foo a\0b", "a NUL byte is not permitted", 5),
        ] {
            let e = words(line).expect_err(line);
            assert_eq!((e.message.as_str(), e.at), (message, at), "{line}");
        }
        assert!(words(&"a ".repeat(CONFIG_WORDS_MAX)).is_ok());
        assert!(words(&"a ".repeat(CONFIG_WORDS_MAX + 1)).is_err());
        assert!(words(&"a".repeat(CONFIG_LINE_MAX + 1)).is_err());
        // Variables made of variables double with each line.
        let mut env = env();
        env.set("BIG", "x".repeat(CONFIG_LINE_MAX / 2 + 1));
        assert!(split_line(b"setenv BIG \"${BIG}${BIG}\"", PLACE, &env, &mut Vec::new()).is_err());
    }

    #[test]
    fn locations_cover_the_written_word() {
        let mut out = Vec::new();
        split_line(b"  bind \"a b\":80", PLACE, &env(), &mut out).unwrap();
        assert_eq!((out[0].loc.col, out[0].loc.len), (3, 4));
        assert_eq!((out[1].loc.col, out[1].loc.len), (8, 8));
        assert_eq!(out[0].sub(1, 2).col, 4);
        assert_eq!(out[1].sub(1, 2), out[1].loc, "a quoted word has no exact inner places");
    }

    #[test]
    fn addresses_expand_without_quotes() {
        let mut e = env();
        e.set("cli", "5");
        assert_eq!(expand_in_address("fd@${cli}", &e), "fd@5");
        assert_eq!(expand_in_address("${NO-127.0.0.1}:80", &e), "127.0.0.1:80");
        assert_eq!(expand_in_address("a$", &e), "a$");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn never_panics(line in proptest::collection::vec(
            prop_oneof![Just(b'"'), Just(b'\''), Just(b'\\'), Just(b'$'), Just(b'{'), Just(b'}'), Just(b' '),
                Just(b'['), Just(b'*'), Just(b']'), Just(b'-'), Just(b'x'), any::<u8>()], 0..60)) {
            let mut out = Vec::new();
            match split_line(&line, PLACE, &env(), &mut out) {
                Ok(()) => for w in &out {
                    prop_assert!(w.loc.col as usize + w.loc.len as usize <= line.len() + 1);
                },
                Err(e) => prop_assert!(e.at <= line.len()),
            }
        }

        #[test]
        fn a_whole_file_never_panics(text in "([ a-z.\"'$\\\\{}\n]|\\.if |\\.else\n|global\n|listen |from ){0,40}") {
            fuzz_words(text.as_bytes());
        }

        #[test]
        fn quoted_words_come_back(values in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..12), 1..6)) {
            let line = values.iter().map(|v| quote(v)).collect::<Vec<_>>().join(&b' ');
            let mut out = Vec::new();
            split_line(&line, PLACE, &Env::empty(), &mut out).expect("quoted words lex");
            let back: Vec<_> = out.into_iter().map(|w| w.bytes).collect();
            prop_assert_eq!(back, values);
        }
    }
}
