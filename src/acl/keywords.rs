//! The `acl` keyword.

use crate::config::{Keyword, ParseCx, SectionKind, Sections, Status};
use crate::sample::{ExprCx, Place};

use super::condition::declare;
use super::test::Test;

/// The table.
pub static KEYWORDS: &[Keyword] = &[Keyword {
    name: "acl",
    sections: Sections::PROXY,
    syntax: "acl <name> <criterion> [flags] [operator] [<value>]...",
    doc: "declares a test, or adds an alternative to one of the same name",
    status: Status::Full,
    parse: acl,
}];

fn acl(cx: &mut ParseCx<'_>) {
    if cx.section.kind == SectionKind::Defaults && cx.section.name.is_empty() {
        let loc = cx.dir.words[0].loc;
        cx.error(loc, "'acl' is not allowed in an anonymous 'defaults' section")
            .help("give the section a name, and start proxies from it with 'from <name>'");
        return;
    }
    let Some(name) = cx.expect("a name and a criterion") else { return };
    let text = name.text().into_owned();
    let is_good = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b':');
    if let Some(at) = name.bytes.iter().position(|c| !is_good(c)) {
        let c = name.bytes[at].escape_ascii().to_string();
        cx.error(name.sub(at, 1), format!("character '{c}' is not permitted in the ACL name '{text}'"))
            .help("letters, digits, '-', '_', '.' and ':' are");
        return;
    }
    if matches!(text.as_str(), "or" | "if" | "unless") {
        cx.error(
            name.loc,
            format!("an ACL called '{text}' cannot be used in a condition: the word has a meaning there"),
        );
        return;
    }
    if cx.peek().is_none() {
        cx.expect("a criterion behind the name");
        return;
    }
    let words = cx.rest();
    let mut ex = ExprCx::of(cx, Place::ACL);
    if let Some(test) = Test::parse(&mut ex, &format!("ACL '{text}'"), words) {
        declare(&mut ex, &text, test);
    }
}
