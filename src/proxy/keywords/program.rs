//! The `program` section. Manual: "Programs".

use crate::config::{Keyword, ParseCx, ParseFn, Sections, Status};

use super::super::global::Account;
use super::super::global_keywords::{has_group, has_user};
use super::super::program::ProgramConf;

const fn kw(name: &'static str, syntax: &'static str, doc: &'static str, parse: ParseFn) -> Keyword {
    Keyword { name, sections: Sections::PROGRAM, syntax, doc, status: Status::Full, parse }
}

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    kw("command", "command <command> [arguments*]", "The program that the master starts.", command),
    kw("user", "user <user name>", "User that the program runs as.", |cx| {
        account(cx, "a user name", has_user, |conf| &mut conf.user);
    }),
    kw("group", "group <group name>", "Group that the program runs as.", |cx| {
        account(cx, "a group name", has_group, |conf| &mut conf.group);
    }),
    kw(
        "option start-on-reload",
        "[no] option start-on-reload",
        "A reload ends the program and starts it anew (the default).",
        |cx| {
            let stays = cx.dir.negated && !cx.dir.defaulted;
            if cx.end() {
                cx.section.feature::<ProgramConf>().stays = stays;
            }
        },
    ),
];

fn command(cx: &mut ParseCx<'_>) {
    let Some(program) = cx.expect_text("a program") else { return };
    let mut command = vec![program];
    command.extend(cx.rest().iter().map(|w| w.text().into_owned()));
    cx.section.feature::<ProgramConf>().command = command;
}

fn account(
    cx: &mut ParseCx<'_>,
    what: &str,
    exists: fn(&str) -> bool,
    slot: fn(&mut ProgramConf) -> &mut Option<Account>,
) {
    let Some(word) = cx.expect(what) else { return };
    let name = word.text().into_owned();
    if !exists(&name) {
        let message = format!("cannot find {} id for '{name}'", cx.keyword());
        cx.error(word.loc, message);
        return;
    }
    let account = Account::Name(name, word.loc);
    if cx.end() {
        *slot(cx.section.feature()) = Some(account);
    }
}
