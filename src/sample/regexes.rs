//! Regular expressions: linear time, on bytes, with a clear word about what only PCRE can do.

use regex::bytes::{Regex, RegexBuilder};

/// Largest compiled regex. In bytes.
const SIZE_LIMIT: usize = 16 << 20;

/// Compile a regex as HAProxy's users write them. The error is a sentence with help.
pub fn compile_regex(pattern: &[u8], ignore_case: bool) -> Result<Regex, String> {
    let text = std::str::from_utf8(pattern).map_err(|_| "the regex is not valid UTF-8".to_owned())?;
    let build = |t: &str| builder(t, ignore_case).build();
    build(text)
        .or_else(|e| match translate(text) {
            Some(t) => build(&t).map_err(|_| e),
            None => Err(e),
        })
        .map_err(|e| explain(text, &e))
}

fn builder(text: &str, ignore_case: bool) -> RegexBuilder {
    let mut b = RegexBuilder::new(text);
    b.case_insensitive(ignore_case).unicode(false).dot_matches_new_line(false).size_limit(SIZE_LIMIT);
    b
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

fn explain(text: &str, e: &regex::Error) -> String {
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
    match e {
        regex::Error::CompiledTooBig(_) => {
            format!("'{text}' is too large when compiled; lower its repetition counts")
        }
        other => {
            let last = other.to_string();
            let last = last.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("'{text}' is not a valid regular expression: {last}")
        }
    }
}

/// Append `template` to `out` with `\0`..`\9` replaced by the groups of a match, as in `reqrep` and
/// `replace-header`. A group that took no part is empty. `\\` is a backslash.
pub fn expand(template: &[u8], caps: &regex::bytes::Captures<'_>, out: &mut Vec<u8>) {
    let mut i = 0;
    while let Some(&c) = template.get(i) {
        if c == b'\\' {
            match template.get(i + 1) {
                Some(d @ b'0'..=b'9') => {
                    if let Some(m) = caps.get(usize::from(d - b'0')) {
                        out.extend_from_slice(m.as_bytes());
                    }
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
        assert!(compile_regex(br"^/a\/b\_c{x}$", false).is_ok_and(|r| r.is_match(b"/a/b_c{x}")));
        assert!(
            compile_regex(br"^(www.example.org|ww1.example.org)$", true)
                .is_ok_and(|r| r.is_match(b"WWW.example.org"))
        );
    }

    #[test]
    fn pcre_only_syntax_is_named() {
        let e = compile_regex(br"^(?!foo)", false).map(|_| ()).expect_err("look-ahead is refused");
        assert!(e.contains("negative look-ahead"), "{e}");
        let e = compile_regex(br"(a)\1", false).map(|_| ()).expect_err("back references are refused");
        assert!(e.contains("back reference"), "{e}");
    }

    #[test]
    fn groups_expand() {
        let r = compile_regex(br"^([a-z]+) (/\S*)", false).expect("valid");
        let caps = r.captures(b"get /x rest").expect("matches");
        let mut out = Vec::new();
        expand(br"\2-\1\ \9\x41\\", &caps, &mut out);
        assert_eq!(out, b"/x-get A\\");
    }
}
