//! Regular expressions: linear time, on bytes, with a clear word about what only PCRE can do.
//!
//! `regex-automata`'s meta engine instead of `regex` itself: it writes groups into memory of ours, so that
//! replacing allocates nothing.

use std::ops::Range;

use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, meta};

/// Largest compiled regex. In bytes.
const SIZE_LIMIT: usize = 16 << 20;
/// Groups that a replacement can name: `\\0` to `\\9`.
const GROUPS: usize = 10;

/// A compiled regular expression, or several that are searched at once.
#[derive(Clone, Debug)]
pub struct Regex {
    re: meta::Regex,
}

/// What a match captured.
#[derive(Clone, Debug)]
pub struct Groups<'t> {
    text: &'t [u8],
    slots: [Option<NonMaxUsize>; 2 * GROUPS],
}

impl Regex {
    /// Compile a regex as HAProxy's users write them. The error is a sentence with help.
    pub fn new(pattern: &[u8], ignore_case: bool) -> Result<Regex, String> {
        let text = std::str::from_utf8(pattern).map_err(|_| "the regex is not valid UTF-8".to_owned())?;
        let first = build(&[text], ignore_case);
        let done = match (first, translate(text)) {
            (Err(e), Some(t)) => build(&[&t], ignore_case).map_err(|_| e),
            (other, _) => other,
        };
        done.map(|re| Regex { re }).map_err(|e| explain(text, &e))
    }

    /// Compile several into one that says whether any matches. `None` when that would be too large or when one
    /// of them does not compile; compile them one by one then.
    pub fn any_of(patterns: &[&[u8]], ignore_case: bool) -> Option<Regex> {
        let texts: Vec<String> = patterns
            .iter()
            .map(|p| {
                let t = std::str::from_utf8(p).ok()?;
                if build(&[t], ignore_case).is_ok() { Some(t.to_owned()) } else { translate(t) }
            })
            .collect::<Option<_>>()?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        build(&texts, ignore_case).ok().map(|re| Regex { re })
    }

    /// Whether it matches anywhere.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.re.is_match(text)
    }

    /// The groups of the first match at or behind `from`.
    pub fn groups_at<'t>(&self, text: &'t [u8], from: usize) -> Option<Groups<'t>> {
        let mut slots = [None; 2 * GROUPS];
        let input = Input::new(text).range(from..).anchored(Anchored::No);
        self.re.search_slots(&input, &mut slots)?;
        Some(Groups { text, slots })
    }

    /// The groups of the first match.
    pub fn groups<'t>(&self, text: &'t [u8]) -> Option<Groups<'t>> {
        self.groups_at(text, 0)
    }

    /// Append `text` to `out` with the first match (or with `all`, every match) replaced by `template`, see
    /// [`expand`]. False when nothing matched; `out` is unchanged then. Stops replacing once `out` exceeds
    /// `limit` bytes.
    pub fn replace(&self, text: &[u8], template: &[u8], all: bool, limit: usize, out: &mut Vec<u8>) -> bool {
        let (mut copied, mut at) = (0, 0);
        let mut hit = false;
        while at <= text.len() && out.len() <= limit {
            let Some(groups) = self.groups_at(text, at) else { break };
            let whole = groups.range(0);
            hit = true;
            out.extend_from_slice(&text[copied..whole.start]);
            expand(template, &groups, out);
            copied = whole.end;
            if !all {
                break;
            }
            if whole.is_empty() {
                // Step over one byte behind an empty match, which the copy above still brings along.
                if let Some(c) = text.get(whole.end) {
                    out.push(*c);
                }
                copied = (whole.end + 1).min(text.len());
                at = whole.end + 1;
            } else {
                at = whole.end;
            }
        }
        if hit {
            out.extend_from_slice(&text[copied..]);
        }
        hit
    }
}

impl<'t> Groups<'t> {
    /// Where the whole match (0) or a group stands; empty at 0 for a group that took no part.
    pub fn range(&self, i: usize) -> Range<usize> {
        match (self.slots.get(2 * i).copied().flatten(), self.slots.get(2 * i + 1).copied().flatten()) {
            (Some(a), Some(b)) => a.get()..b.get(),
            _ => 0..0,
        }
    }

    /// The text of a group; empty when it took no part.
    pub fn get(&self, i: usize) -> &'t [u8] {
        &self.text[self.range(i)]
    }
}

fn build(texts: &[&str], ignore_case: bool) -> Result<meta::Regex, Box<meta::BuildError>> {
    let syntax = syntax::Config::new().unicode(false).utf8(false).case_insensitive(ignore_case);
    let config = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(SIZE_LIMIT));
    meta::Builder::new().configure(config).syntax(syntax).build_many(texts).map_err(Box::new)
}

/// PCRE accepts a few spellings that the `regex` crate refuses although it has the feature: escaped
/// ordinary characters (`\/`, `\_`, `\:`), and literal braces.
fn translate(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\\' {
            match chars.next() {
                Some(n @ ('_' | '<' | '>')) => {
                    changed = true;
                    out.push(n);
                }
                Some('h') => {
                    changed = true;
                    out.push_str("[ \\t]");
                }
                Some('Z') => {
                    changed = true;
                    out.push_str("\\n?\\z");
                }
                Some('e') => {
                    changed = true;
                    out.push_str("\\x1b");
                }
                Some(n) => out.extend(['\\', n]),
                None => out.push('\\'),
            }
        } else if c == '{' && !quantifier_follows(chars.clone()) {
            changed = true;
            out.push_str("\\{");
        } else {
            out.push(c);
        }
    }
    changed.then_some(out)
}

/// True when what follows a brace is `n}`, `n,}` or `n,m}`.
fn quantifier_follows(rest: std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let mut digits = 0;
    let mut commas = 0;
    for c in rest {
        match c {
            '0'..='9' => digits += 1,
            ',' if digits > 0 && commas == 0 => commas += 1,
            '}' => return digits > 0,
            _ => return false,
        }
    }
    false
}

fn explain(text: &str, e: &meta::BuildError) -> String {
    let only_pcre = [
        ("(?=", "look-ahead"),
        ("(?!", "negative look-ahead"),
        ("(?<=", "look-behind"),
        ("(?<!", "negative look-behind"),
        ("(?>", "atomic groups"),
        ("*+", "possessive quantifiers"),
        ("++", "possessive quantifiers"),
        ("(?R", "recursion"),
        ("\\K", "\\K"),
    ];
    if let Some((_, what)) = only_pcre.iter().find(|(s, _)| text.contains(s)) {
        return format!(
            "'{text}' uses {what}, which only PCRE has; regexes here run in linear time. Write it as two \
             conditions (one of them negated with '!'), or match the plain part and exclude the rest"
        );
    }
    if (1..=9).any(|n| text.contains(&format!("\\{n}"))) {
        return format!(
            "'{text}' uses a back reference inside the pattern, which only PCRE has; regexes here run in linear time"
        );
    }
    if e.size_limit().is_some() {
        return format!("'{text}' is too large when compiled; lower its repetition counts");
    }
    match e.syntax_error() {
        Some(inner) => {
            let all = inner.to_string();
            let last = all.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("'{text}' is not a valid regular expression: {last}")
        }
        None => format!("'{text}' is not a valid regular expression: {e}"),
    }
}

/// Append `template` to `out` with `\0`..`\9` replaced by the groups of a match, as in `reqrep` and
/// `replace-header`. A group that took no part is empty. `\\` is a backslash.
pub fn expand(template: &[u8], groups: &Groups<'_>, out: &mut Vec<u8>) {
    let mut i = 0;
    while let Some(&c) = template.get(i) {
        if c == b'\\' {
            match template.get(i + 1) {
                Some(d @ b'0'..=b'9') => {
                    out.extend_from_slice(groups.get(usize::from(d - b'0')));
                    i += 2;
                    continue;
                }
                Some(b'x') if template.len() >= i + 4 => {
                    let hex = |c: u8| (c as char).to_digit(16);
                    if let (Some(h), Some(l)) = (hex(template[i + 2]), hex(template[i + 3])) {
                        out.push((h * 16 + l) as u8);
                        i += 4;
                        continue;
                    }
                    out.push(c);
                    i += 1;
                    continue;
                }
                Some(n) => {
                    out.push(*n);
                    i += 2;
                    continue;
                }
                None => {}
            }
        }
        out.push(c);
        i += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcre_spellings_that_are_harmless_work() {
        assert!(Regex::new(br"^/a\/b\_c{x}$", false).is_ok_and(|r| r.is_match(b"/a/b_c{x}")));
        assert!(
            Regex::new(br"^(www.example.org|ww1.example.org)$", true)
                .is_ok_and(|r| r.is_match(b"WWW.example.org"))
        );
    }

    #[test]
    fn pcre_only_syntax_is_named() {
        let e = Regex::new(br"^(?!foo)", false).map(|_| ()).expect_err("look-ahead is refused");
        assert!(e.contains("negative look-ahead"), "{e}");
        let e = Regex::new(br"(a)\1", false).map(|_| ()).expect_err("back references are refused");
        assert!(e.contains("back reference"), "{e}");
    }

    #[test]
    fn replacing() {
        let sub = |re: &str, with: &str, all: bool, text: &str| {
            let mut out = Vec::new();
            let r = Regex::new(re.as_bytes(), false).expect("valid");
            r.replace(text.as_bytes(), with.as_bytes(), all, 1000, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(sub("b", r"[\0]", false, "abcb"), "a[b]cb");
        assert_eq!(sub("x*", "-", true, "abc"), "-a-b-c-");
        assert_eq!(sub("/+", "/", true, "/////a///b/c/xzxyz/"), "/a/b/c/xzxyz/");
        assert_eq!(sub("(foo|bar)([0-9]+)?", r"\2\1", false, "xbar12y"), "x12bary");
        assert_eq!(sub("q", "", true, "abc"), "");
    }

    #[test]
    fn several_at_once() {
        let r = Regex::any_of(&[b"^/a", br"\.png$"], true).expect("valid");
        assert!(r.is_match(b"/A/b") && r.is_match(b"x.PNG") && !r.is_match(b"/b"));
        assert!(Regex::any_of(&[b"("], false).is_none());
    }

    #[test]
    fn groups_expand() {
        let r = Regex::new(br"^([a-z]+) (/\S*)", false).expect("valid");
        let caps = r.groups(b"get /x rest").expect("matches");
        let mut out = Vec::new();
        expand(br"\2-\1\ \9\x41\\", &caps, &mut out);
        assert_eq!(out, b"/x-get A\\");
    }
}
