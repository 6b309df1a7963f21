//! Command lines: `cmd1 args; cmd2 args`, blanks escaped with a backslash.

/// Cut a line into commands of words. Empty commands are left out.
pub fn commands(line: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                // A backslash at the very end stands for itself.
                word.get_or_insert_default().push(chars.next().unwrap_or('\\'));
            }
            ' ' | '\t' | '\r' => words.extend(word.take()),
            ';' => {
                words.extend(word.take());
                if !words.is_empty() {
                    all.push(std::mem::take(&mut words));
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if !words.is_empty() {
        all.push(words);
    }
    all
}

/// Which process a command is for.
#[derive(Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// This one: no prefix, or `@1`.
    Here(&'a [String]),
    /// `@<n>`, `@!<pid>`: the number behind the sign, or what stands there instead.
    Process(&'a str),
}

/// Read the prefix of a command (`@1 show info`), which tools for the master's socket put before every command.
pub fn target(words: &[String]) -> Target<'_> {
    match words.first().and_then(|w| w.strip_prefix('@')) {
        None => Target::Here(words),
        Some("1") => Target::Here(&words[1..]),
        Some(name) => Target::Process(name.strip_prefix('!').unwrap_or(name)),
    }
}

/// Longest pattern that ends a payload.
const MARK_MAX: usize = 64;

/// The pattern that ends a payload when the line announces one (`<<` or `<<PATTERN` as its last word), and the line
/// without it.
pub fn payload_mark(line: &str) -> Option<(&str, &str)> {
    let at = line.rfind("<<")?;
    let mark = line[at + 2..].trim_end();
    let stands_alone = at == 0 || line[..at].ends_with([' ', '\t']);
    let fits = mark.len() <= MARK_MAX;
    (stands_alone && fits && !mark.contains([' ', '\t', ';'])).then(|| (&line[..at], mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn separators_and_escapes() {
        assert_eq!(commands("show info; show stat"), [vec!["show", "info"], vec!["show", "stat"]]);
        assert_eq!(commands("  a\\ b c\\;d  ;; "), [vec!["a b", "c;d"]]);
        assert_eq!(commands("x\\"), [vec!["x\\"]]);
        assert!(commands(" ; \t;").is_empty());
    }

    #[test]
    fn payloads() {
        assert_eq!(payload_mark("set map #1 <<"), Some(("set map #1 ", "")));
        assert_eq!(payload_mark("set map #1 <<%END"), Some(("set map #1 ", "%END")));
        assert_eq!(payload_mark("echo a<<b"), None);
        assert_eq!(payload_mark("show info"), None);
    }

    #[test]
    fn prefixes_choose_the_process() {
        let words = |text: &str| commands(text).remove(0);
        assert_eq!(target(&words("show info")), Target::Here(&words("show info")));
        assert_eq!(target(&words("@1 show info")), Target::Here(&words("show info")));
        assert_eq!(target(&words("@1")), Target::Here(&[]));
        assert_eq!(target(&words("@!123 x")), Target::Process("123"));
        assert_eq!(target(&words("@ x")), Target::Process(""));
    }

    #[test]
    fn long_marks_are_none() {
        let mark = "x".repeat(64);
        assert_eq!(payload_mark(&format!("a <<{mark}")), Some(("a ", mark.as_str())));
        assert_eq!(payload_mark(&format!("a <<{mark}x")), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn words_survive_escaping(words in proptest::collection::vec("[ -~]{1,8}", 1..5)) {
            let escaped: Vec<String> =
                words.iter().map(|w| w.chars().map(|c| format!("\\{c}")).collect::<String>()).collect();
            prop_assert_eq!(commands(&escaped.join(" ")), [words]);
        }
    }
}
