//! Conditions of `.if`, `.elif` and `-cc` (manual section "Conditional blocks"): one evaluator for all three.

use super::version::Version;
use super::words::{Place, split_line};
use super::{Env, Word};

/// What is wrong with a condition. `at` and `len` are bytes of its text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CondError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// First byte.
    pub at: usize,
    /// Length.
    pub len: usize,
}

/// What `feature(NAME)` answers, and what the list of features in `-vv` shows: true only for what works.
pub const FEATURES: [(&str, bool); 34] = [
    ("51DEGREES", false),
    ("ACCEPT4", true),
    ("CPU_AFFINITY", true),
    ("DEVICEATLAS", false),
    ("DL", false),
    ("ENGINE", false),
    ("EPOLL", false),
    ("EVPORTS", false),
    ("GETADDRINFO", true),
    ("KQUEUE", false),
    ("LIBCRYPT", false),
    ("LINUX_SPLICE", true),
    ("LINUX_TPROXY", false),
    ("LUA", false),
    ("NETFILTER", false),
    ("NS", false),
    ("OPENSSL", false),
    ("OPENSSL_AWSLC", false),
    ("OPENSSL_WOLFSSL", false),
    ("OT", false),
    ("PCRE", false),
    ("PCRE2", false),
    ("POLL", false),
    ("PRCTL", true),
    ("PROMEX", false),
    ("QUIC", false),
    ("QUIC_OPENSSL_COMPAT", false),
    ("SLZ", false),
    ("SYSTEMD", false),
    ("TFO", false),
    ("THREAD", true),
    ("TPROXY", false),
    ("WURFL", false),
    ("ZLIB", false),
];

/// What `enabled(OPTION)` answers.
pub const ENABLED: [(&str, bool); 9] = [
    ("EPOLL", false),
    ("EVPORTS", false),
    ("FAST-FORWARD", false),
    ("GETADDRINFO", true),
    ("KQUEUE", false),
    ("POLL", false),
    ("REUSEPORT", true),
    ("SERVER-SSL-VERIFY-NONE", false),
    ("SPLICE", true),
];

/// A predicate: its name, how many arguments it takes, and what it answers.
struct Predicate {
    name: &'static str,
    args: usize,
    eval: fn(&[String], &Env) -> Result<bool, String>,
}

const PREDICATES: [Predicate; 14] = [
    // There is no TLS library yet, hence none of any version.
    Predicate { name: "awslc_api_atleast", args: 1, eval: |_, _| Ok(false) },
    Predicate { name: "awslc_api_before", args: 1, eval: |_, _| Ok(false) },
    Predicate { name: "defined", args: 1, eval: |a, env| Ok(env.get(a[0].as_bytes()).is_some()) },
    Predicate { name: "enabled", args: 1, eval: enabled },
    Predicate { name: "feature", args: 1, eval: |a, _| Ok(lookup(&FEATURES, &a[0]).unwrap_or(false)) },
    Predicate { name: "fips_mode", args: 0, eval: |_, _| Ok(false) },
    Predicate { name: "openssl_version_atleast", args: 1, eval: |_, _| Ok(false) },
    Predicate { name: "openssl_version_before", args: 1, eval: |_, _| Ok(false) },
    Predicate { name: "ssllib_name_startswith", args: 1, eval: |_, _| Ok(false) },
    Predicate { name: "streq", args: 2, eval: |a, _| Ok(a[0] == a[1]) },
    Predicate { name: "strneq", args: 2, eval: |a, _| Ok(a[0] != a[1]) },
    Predicate { name: "strstr", args: 2, eval: |a, _| Ok(a[0].contains(&a[1])) },
    Predicate {
        name: "version_atleast",
        args: 1,
        eval: |a, _| Version::parse(&a[0]).map(|v| Version::LANGUAGE >= v).ok_or_else(|| bad_version(&a[0])),
    },
    Predicate {
        name: "version_before",
        args: 1,
        eval: |a, _| Version::parse(&a[0]).map(|v| Version::LANGUAGE < v).ok_or_else(|| bad_version(&a[0])),
    },
];

fn bad_version(text: &str) -> String {
    format!("'{text}' is not a version such as 2.6, 2.6.12 or 3.0-dev4")
}

fn lookup(table: &[(&str, bool)], name: &str) -> Option<bool> {
    table.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
}

fn enabled(args: &[String], _: &Env) -> Result<bool, String> {
    lookup(&ENABLED, &args[0]).ok_or_else(|| {
        let known: Vec<_> = ENABLED.iter().map(|(n, _)| *n).collect();
        format!("unknown option '{}', expected one of {}", args[0], known.join(", "))
    })
}

/// Evaluate a condition. An empty one is false.
pub fn eval(text: &str, env: &Env) -> Result<bool, CondError> {
    if text.trim().is_empty() {
        return Ok(false);
    }
    let mut p = Parser { text, at: 0, depth: 0, env };
    let value = p.or()?;
    p.skip_blanks();
    match p.peek() {
        None => Ok(value),
        Some(c) => {
            Err(p.error(format!("unexpected character '{c}' after the condition"), p.at, c.len_utf8()))
        }
    }
}

/// Evaluate a condition as it is written on a line (`-cc`): quotes, escapes and variables are resolved first. The
/// place of an error is in the text with that done, which is the first value.
pub fn eval_line(line: &str, env: &Env) -> (String, Result<bool, CondError>) {
    let place = Place { file: 0, line: 1, file_name: "", section: "" };
    let mut words = Vec::new();
    if let Err(e) = split_line(line.as_bytes(), place, env, &mut words) {
        let help = e.help.map(str::to_owned);
        return (line.to_owned(), Err(CondError { message: e.message, help, at: e.at, len: e.len }));
    }
    let text = words.iter().map(Word::text).collect::<Vec<_>>().join(" ");
    let value = eval(&text, env);
    (text, value)
}

/// Nesting of parentheses and of `!`: more is an error, so that no text can exhaust the stack.
const DEPTH_MAX: usize = 64;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    env: &'a Env,
}

impl Parser<'_> {
    fn error(&self, message: impl Into<String>, at: usize, len: usize) -> CondError {
        CondError { message: message.into(), help: None, at, len }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.at += 1;
        }
    }

    fn accept(&mut self, token: &str) -> bool {
        self.skip_blanks();
        let yes = self.text[self.at..].starts_with(token);
        self.at += if yes { token.len() } else { 0 };
        yes
    }

    // Both sides are always parsed, so that an error on the right is seen whatever the left says.
    fn or(&mut self) -> Result<bool, CondError> {
        let mut value = self.and()?;
        while self.accept("||") {
            value |= self.and()?;
        }
        Ok(value)
    }

    fn and(&mut self) -> Result<bool, CondError> {
        let mut value = self.term()?;
        while self.accept("&&") {
            value &= self.term()?;
        }
        Ok(value)
    }

    fn term(&mut self) -> Result<bool, CondError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("condition nested too deeply", self.at, 1));
        }
        let value = self.term_at_depth();
        self.depth -= 1;
        value
    }

    fn term_at_depth(&mut self) -> Result<bool, CondError> {
        if self.accept("!") {
            return Ok(!self.term()?);
        }
        self.skip_blanks();
        let start = self.at;
        if self.accept("(") {
            let value = self.or()?;
            if !self.accept(")") {
                return Err(self.error("this parenthesis is not closed", start, 1));
            }
            return Ok(value);
        }
        let rest = &self.text[start..];
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+');
        let len = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let name = &rest[..len];
        if name.is_empty() {
            return Err(self.error("a condition is missing here", start, 1));
        }
        self.at += len;
        if let Ok(n) = name.parse::<i64>() {
            return Ok(n != 0);
        }
        self.predicate(name, start)
    }

    fn predicate(&mut self, name: &str, start: usize) -> Result<bool, CondError> {
        let Some(predicate) = PREDICATES.iter().find(|p| p.name == name) else {
            let mut e = self.error(format!("unknown predicate '{name}'"), start, name.len());
            e.help = super::suggest::closest(name, PREDICATES.iter().map(|p| p.name))
                .map(super::suggest::did_you_mean);
            return Err(e);
        };
        let mut args = if self.text[self.at..].starts_with('(') { self.arguments()? } else { Vec::new() };
        let len = self.at - start;
        // `defined()` has one argument, and it is empty; `fips_mode()` has none.
        match predicate.args {
            0 if args == [""] => args.clear(),
            1 if args.is_empty() => args.push(String::new()),
            _ => {}
        }
        if args.len() != predicate.args {
            let message =
                format!("predicate '{name}' takes {} argument(s), got {}", predicate.args, args.len());
            return Err(self.error(message, start, len));
        }
        (predicate.eval)(&args, self.env).map_err(|m| self.error(m, start, len))
    }

    /// `(a,b)`: quotes and backslashes protect commas and parentheses.
    fn arguments(&mut self) -> Result<Vec<String>, CondError> {
        let open = self.at;
        self.at += 1;
        let mut args = vec![String::new()];
        let mut quote = None;
        let mut chars = self.text[self.at..].char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            let arg = args.last_mut().expect("starts with one argument and only grows");
            match (quote, c) {
                (None, ')') => {
                    self.at += i + 1;
                    return Ok(args);
                }
                (None, ',') => args.push(String::new()),
                (None, '"' | '\'') => quote = Some(c),
                (Some(q), c) if q == c => quote = None,
                (None | Some('"'), '\\') => match chars.peek() {
                    Some((_, n @ ('\\' | '"' | '\'' | ' ' | ',' | ')' | '('))) => {
                        arg.push(*n);
                        chars.next();
                    }
                    _ => arg.push('\\'),
                },
                _ => arg.push(c),
            }
        }
        Err(self.error("this parenthesis is not closed", open, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(text: &str) -> Result<bool, CondError> {
        let mut env = Env::empty();
        env.set("HOME", "/root");
        eval(text, &env)
    }

    #[test]
    fn answers_of_the_reference_binary() {
        for text in [
            "1",
            "-1",
            "defined(HOME)",
            "streq(a,a)",
            "version_atleast(2.6)",
            "version_atleast(2.4-dev19)",
            "1||0",
            "(1)",
            "!!1",
            "(!(1||0)&&1)||1",
            "streq(\"a b\",a b)",
            "streq(a,\"a\")",
            "feature(THREAD)",
            "strstr(hello,ell)",
            "strneq(a,b)",
            "enabled(SPLICE)",
            "version_before(99.0)",
            "!fips_mode()",
            "0 && 0 || 1 && 1",
        ] {
            assert_eq!(run(text), Ok(true), "{text}");
        }
        for text in [
            "",
            "  ",
            "0",
            "00",
            "defined( HOME )",
            "feature(X)",
            "streq(a,b)",
            "! 1",
            "1 && 0",
            "defined",
            "defined()",
            "streq(0, 0)",
            "strstr(ell,hello)",
            "feature(OPENSSL) && 1",
            "openssl_version_atleast(1.1.1)",
            "version_atleast(99)",
        ] {
            assert_eq!(run(text), Ok(false), "{text}");
        }
    }

    #[test]
    fn errors_point_at_their_cause() {
        for (text, at) in [
            ("5x", 0),
            ("streq(a)", 0),
            ("1 || streq(a,b,c)", 5),
            ("(1", 0),
            ("1)", 1),
            ("1 1", 2),
            ("1 &&", 4),
            ("&& 1", 0),
            ("0 && foo", 5),
            ("strstr(a", 6),
            ("enabled(foo)", 0),
            ("version_atleast(abc)", 0),
        ] {
            assert_eq!(run(text).expect_err(text).at, at, "{text}");
        }
        let e = run("feautre(THREAD)").unwrap_err();
        assert_eq!(e.help.as_deref(), Some("did you mean 'feature'?"));
        assert!(run(&"(".repeat(100_000)).is_err());
        assert!(run(&"!".repeat(100_000)).is_err());
    }

    #[test]
    fn lines_are_lexed_first() {
        let mut env = Env::empty();
        env.set("A", "1");
        assert_eq!(eval_line("streq(\"$A\",1)", &env).1, Ok(true));
        assert_eq!(eval_line("streq(\"$A\",     1)", &env), ("streq(1, 1)".to_owned(), Ok(false)));
        assert!(eval_line("streq(a,\"a)", &env).1.is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn never_panics(text in "[01()!&| ,\"'\\\\a-fé]{0,40}") {
            if let Err(e) = run(&text) {
                prop_assert!(e.at <= text.len());
            }
        }
    }
}
