//! `http-check expect` and `tcp-check expect`: what an answer must look like.

use regex::bytes::{Regex, RegexBuilder};

use super::CheckStatus;
use super::keywords::{constant_format, hex, http_rules, tcp_rules, text};
use super::raw::{HttpRule, ProxyCheck};
use super::rules::{Expect, FormatKind, HeaderMatch, Match, Step, TextMatch};
use crate::config::{ParseCx, Word};
use crate::sample::Place;

fn regex(cx: &mut ParseCx<'_>, word: &Word) -> Option<Regex> {
    regex_of(cx, word, false)
}

/// `fold`: without regard to ASCII case.
fn regex_of(cx: &mut ParseCx<'_>, word: &Word, fold: bool) -> Option<Regex> {
    match RegexBuilder::new(&word.text()).unicode(false).case_insensitive(fold).build() {
        Ok(regex) => Some(regex),
        Err(error) => {
            let why = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            let message = format!("'{}' : regular expression '{}' : {why}", cx.keyword(), word.text());
            cx.error(word.loc, message);
            None
        }
    }
}

/// `http-check expect`.
pub fn http_expect(cx: &mut ParseCx<'_>) {
    let Some(expect) = parse_expect(cx, true) else { return };
    let rules = http_rules(cx);
    let connects = matches!(rules.first(), Some(HttpRule::Connect(_)));
    let sends = rules.iter().any(|r| matches!(r, HttpRule::Send(_)));
    rules.push(HttpRule::Expect(expect));
    if connects && !sends {
        let loc = cx.dir.loc;
        cx.error(loc, "'http-check expect' : a 'send' rule is missing between 'connect' and 'expect'");
    }
}

/// `tcp-check expect`.
pub fn tcp_expect(cx: &mut ParseCx<'_>) {
    let Some(expect) = parse_expect(cx, false) else { return };
    tcp_rules(cx).push(Step::Expect(expect));
}

const OK_STATUS: [(&str, CheckStatus); 4] = [
    ("L7OK", CheckStatus::L7Ok),
    ("L7OKC", CheckStatus::L7OkCond),
    ("L6OK", CheckStatus::L6Ok),
    ("L4OK", CheckStatus::L4Ok),
];
const ERROR_STATUS: [(&str, CheckStatus); 5] = [
    ("L7OKC", CheckStatus::L7OkCond),
    ("L7RSP", CheckStatus::L7Response),
    ("L7STS", CheckStatus::L7Status),
    ("L6RSP", CheckStatus::L6Response),
    ("L4CON", CheckStatus::L4Conn),
];
const TIMEOUT_STATUS: [(&str, CheckStatus); 3] = [
    ("L7TOUT", CheckStatus::L7Timeout),
    ("L6TOUT", CheckStatus::L6Timeout),
    ("L4TOUT", CheckStatus::L4Timeout),
];

fn status_of(cx: &mut ParseCx<'_>, choices: &[(&str, CheckStatus)]) -> Option<CheckStatus> {
    let names: Vec<&str> = choices.iter().map(|c| c.0).collect();
    cx.expect_one_of("a status", &names).map(|i| choices[i].1)
}

fn text_format(cx: &mut ParseCx<'_>) -> Option<String> {
    let word = cx.expect("a message")?;
    constant_format(cx, word).map(|b| String::from_utf8_lossy(&b).into_owned())
}

fn parse_expect(cx: &mut ParseCx<'_>, http: bool) -> Option<Expect> {
    let mut expect = Expect::new(Match::Status(Vec::new()));
    expect.comment = cx.section.feature::<ProxyCheck>().comment.clone();
    loop {
        let word = cx.expect("a match and a pattern")?;
        match word.text().as_ref() {
            "min-recv" => {
                let n = cx.expect_int("a number of bytes", -1..=i64::from(i32::MAX))?;
                expect.min_recv = usize::try_from(n).ok();
            }
            "comment" => expect.comment = Some(cx.expect_text("a comment")?),
            "ok-status" => expect.ok_status = Some(status_of(cx, &OK_STATUS)?),
            "error-status" => expect.error_status = Some(status_of(cx, &ERROR_STATUS)?),
            "tout-status" => expect.timeout_status = Some(status_of(cx, &TIMEOUT_STATUS)?),
            "on-success" => expect.on_success = Some(text_format(cx)?),
            "on-error" => expect.on_error = Some(text_format(cx)?),
            "!" => expect.negated = true,
            text => {
                let (negated, name) = match text.strip_prefix('!') {
                    Some(name) => (true, name),
                    None => (expect.negated, text),
                };
                expect.negated = negated;
                expect.what = parse_match(cx, http, name, word)?;
                break;
            }
        }
    }
    if cx.accept("comment") {
        expect.comment = Some(cx.expect_text("a comment")?);
    }
    trailing_options(cx, &mut expect)?;
    cx.end().then_some(expect)
}

/// The same options may also stand behind the pattern.
fn trailing_options(cx: &mut ParseCx<'_>, expect: &mut Expect) -> Option<()> {
    loop {
        if cx.accept("on-success") {
            expect.on_success = Some(text_format(cx)?);
        } else if cx.accept("on-error") {
            expect.on_error = Some(text_format(cx)?);
        } else if cx.accept("ok-status") {
            expect.ok_status = Some(status_of(cx, &OK_STATUS)?);
        } else if cx.accept("error-status") {
            expect.error_status = Some(status_of(cx, &ERROR_STATUS)?);
        } else if cx.accept("tout-status") {
            expect.timeout_status = Some(status_of(cx, &TIMEOUT_STATUS)?);
        } else {
            return Some(());
        }
    }
}

fn parse_match(cx: &mut ParseCx<'_>, http: bool, name: &str, word: &Word) -> Option<Match> {
    match (name, http) {
        ("status", true) => {
            let codes = cx.expect("status codes")?;
            status_ranges(cx, codes).map(Match::Status)
        }
        ("rstatus", true) => {
            let pattern = cx.expect("a regular expression")?;
            regex(cx, pattern).map(Match::StatusRegex)
        }
        ("hdr" | "header" | "fhdr", true) => header_match(cx, name == "fhdr").map(Match::Header),
        ("string", _) => {
            let bytes = cx.expect("a string")?.bytes.clone();
            Some(if http { Match::Body(bytes) } else { Match::Str(bytes) })
        }
        ("string-lf", _) => {
            let pattern = cx.expect("a string")?;
            let kind = if http { FormatKind::Body } else { FormatKind::Str };
            text(cx, pattern, Place::CHECK_EXPECT).map(|t| Match::Format(kind, t))
        }
        ("rstring", _) => {
            let pattern = cx.expect("a regular expression")?;
            let regex = regex(cx, pattern)?;
            Some(if http { Match::BodyRegex(regex) } else { Match::Regex(regex) })
        }
        ("binary", false) => {
            let pattern = cx.expect("hexadecimal digits")?;
            hex(cx, pattern).map(Match::Binary)
        }
        ("binary-lf", false) => {
            let pattern = cx.expect("hexadecimal digits")?;
            text(cx, pattern, Place::CHECK_EXPECT).map(|t| Match::Format(FormatKind::Binary, t))
        }
        ("rbinary", false) => {
            let pattern = cx.expect("a regular expression")?;
            regex(cx, pattern).map(Match::BinaryRegex)
        }
        ("status-code", _) => {
            let message = format!("'{}' : '{name}' is known and not implemented yet", cx.keyword());
            cx.error(word.loc, message);
            None
        }
        _ => {
            let known: &[&str] = match http {
                true => &["status", "rstatus", "hdr", "fhdr", "string", "rstring", "string-lf"],
                false => &["string", "rstring", "binary", "rbinary", "string-lf"],
            };
            let message = format!("'{}' : unknown match '{name}'", cx.keyword());
            cx.error(word.loc, message).help(format!("one of: {}", known.join(", ")));
            None
        }
    }
}

/// `200,201,300-310`.
fn status_ranges(cx: &mut ParseCx<'_>, word: &Word) -> Option<Vec<(u16, u16)>> {
    let text = word.text();
    let code = |s: &str| s.parse::<u16>().ok().filter(|c| (100..=999).contains(c));
    let range = |s: &str| match s.split_once('-') {
        Some((low, high)) => Some((code(low)?, code(high)?)),
        None => code(s).map(|c| (c, c)),
    };
    let ranges: Option<Vec<_>> = text.split(',').map(|s| range(s.trim())).collect();
    if ranges.is_none() {
        let message =
            format!("'http-check expect status' : '{text}' is not a list of status codes and ranges");
        cx.error(word.loc, message).help("for example: 200,201,300-310");
    }
    ranges
}

fn header_match(cx: &mut ParseCx<'_>, full: bool) -> Option<HeaderMatch> {
    let Some(name) = named_text(cx, "name", "name-lf", true)? else {
        let loc = cx.peek().map_or_else(|| cx.end_loc(), |w| w.loc);
        cx.error(loc, "'http-check expect hdr' expects 'name' and a pattern");
        return None;
    };
    let value = named_text(cx, "value", "value-lf", false)?;
    Some(HeaderMatch { name, value, full })
}

/// `name [-m <method>] <pattern>`, or with a log-format string as the pattern. `fold`: a regex disregards case, as the
/// other methods do for names. Some(None): neither word stands here.
fn named_text(cx: &mut ParseCx<'_>, plain: &str, computed: &str, fold: bool) -> Option<Option<TextMatch>> {
    if cx.accept(plain) {
        return text_match(cx, fold).map(Some);
    }
    if !cx.accept(computed) {
        return Some(None);
    }
    let make: fn(Vec<u8>) -> Option<TextMatch> = match text_method(cx)? {
        1 => |b| Some(TextMatch::Prefix(b)),
        2 => |b| Some(TextMatch::Suffix(b)),
        3 => |b| Some(TextMatch::Contains(b)),
        4 if fold => |b| computed_regex(&b, true),
        4 => |b| computed_regex(&b, false),
        _ => |b| Some(TextMatch::Exact(b)),
    };
    let word = cx.expect("a pattern")?;
    Some(Some(TextMatch::Computed(make, text(cx, word, Place::CHECK_EXPECT)?)))
}

fn computed_regex(pattern: &[u8], fold: bool) -> Option<TextMatch> {
    let pattern = String::from_utf8_lossy(pattern);
    let regex = RegexBuilder::new(&pattern).unicode(false).case_insensitive(fold).build();
    regex.ok().map(TextMatch::Regex)
}

fn text_method(cx: &mut ParseCx<'_>) -> Option<usize> {
    match cx.accept("-m") {
        true => cx.expect_one_of("a matching method", &["str", "beg", "end", "sub", "reg"]),
        false => Some(0),
    }
}

fn text_match(cx: &mut ParseCx<'_>, fold: bool) -> Option<TextMatch> {
    let method = text_method(cx)?;
    let word = cx.expect("a pattern")?;
    let bytes = word.bytes.clone();
    Some(match method {
        1 => TextMatch::Prefix(bytes),
        2 => TextMatch::Suffix(bytes),
        3 => TextMatch::Contains(bytes),
        4 => TextMatch::Regex(regex_of(cx, word, fold)?),
        _ => TextMatch::Exact(bytes),
    })
}
