//! Files with the states of servers.

use crate::config::{Keyword, ParseCx, Sections, Status};

use super::super::server_state::{StateDir, StateFile, StateFrom};

const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND);

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "server-state-base",
        sections: Sections::GLOBAL,
        syntax: "server-state-base <directory>",
        doc: "Where state files are whose names begin with no '/'.",
        status: Status::Full,
        parse: |cx| {
            if let Some(dir) = cx.expect_text("a directory") {
                cx.section.feature::<StateDir>().base = Some(dir.into());
            }
        },
    },
    Keyword {
        name: "server-state-file",
        sections: Sections::GLOBAL,
        syntax: "server-state-file <file>",
        doc: "The states of all servers, as 'show servers state' gave them.",
        status: Status::Full,
        parse: |cx| {
            if let Some(file) = cx.expect_text("a file name") {
                cx.section.feature::<StateDir>().file = Some(file.into());
            }
        },
    },
    Keyword {
        name: "load-server-state-from-file",
        sections: BACK,
        syntax: "load-server-state-from-file { global | local | none }",
        doc: "Start with the states of a file: that of 'server-state-file', or the backend's own.",
        status: Status::Full,
        parse: load,
    },
    Keyword {
        name: "server-state-file-name",
        sections: BACK,
        syntax: "server-state-file-name [ { use-backend-name | <file> } ]",
        doc: "The backend's own file; called as the backend when not written.",
        status: Status::Full,
        parse: |cx| {
            let name = cx.next().map(|w| w.text().into_owned());
            cx.section.feature::<StateFile>().name = name.filter(|name| name != "use-backend-name");
        },
    },
];

fn load(cx: &mut ParseCx<'_>) {
    const EXPECTED: &str = "'global', 'local' or 'none'";
    let Some(word) = cx.next() else {
        cx.expect(EXPECTED);
        return;
    };
    let from = match word.text().as_ref() {
        "global" => StateFrom::Global,
        "local" => StateFrom::Local,
        "none" => StateFrom::Nowhere,
        other => {
            let message = format!("'{}' expects {EXPECTED}, not '{other}'", cx.keyword());
            cx.error(word.loc, message);
            return;
        }
    };
    cx.section.feature::<StateFile>().from = from;
}
