//! `-dK`: what the tables hold, in the classes of the management manual.

use std::fmt::Write;

use super::{EntryInfo, SectionKind, Sections, Status, Tables};

/// A class of `-dK`: its name, what it lists, and how.
struct Class {
    name: &'static str,
    what: &'static str,
    title: &'static str,
    dump: fn(&[EntryInfo], &mut String),
}

const CLASSES: [Class; 9] = [
    Class {
        name: "acl",
        what: "ACL keywords",
        title: "List of registered ACL keywords",
        dump: |l, out| plain(l, &["ACL keyword", "acl-derivative"], out),
    },
    Class {
        name: "cfg",
        what: "configuration keywords",
        title: "List of registered configuration keywords",
        dump: configuration,
    },
    Class {
        name: "srv",
        what: "server options",
        title: "List of registered server options",
        dump: |l, out| prefixed(l, "server option", "server <name> <addr> ", out),
    },
    Class {
        name: "bind",
        what: "bind options",
        title: "List of registered bind options",
        dump: |l, out| prefixed(l, "bind option", "bind <addr> ", out),
    },
    Class {
        name: "cnv",
        what: "sample converter functions",
        title: "List of registered sample converter functions",
        dump: |l, out| plain(l, &["converter"], out),
    },
    Class {
        name: "cli",
        what: "CLI keywords",
        title: "List of registered CLI keywords",
        dump: |l, out| plain(l, &["cli"], out),
    },
    Class {
        name: "flt",
        what: "filter names",
        title: "List of registered filter names",
        dump: |l, out| plain(l, &["filter"], out),
    },
    Class {
        name: "smp",
        what: "sample fetch functions",
        title: "List of registered sample fetch functions",
        dump: |l, out| plain(l, &["sample fetch"], out),
    },
    Class {
        name: "svc",
        what: "service names",
        title: "List of registered service names",
        dump: |l, out| plain(l, &["service"], out),
    },
];

/// The text of `-dK<classes>`: `all`, `help`, or a comma-separated list.
pub fn dump_keywords(classes: &str, tables: &Tables) -> Result<String, String> {
    let mut out = String::new();
    let all = tables.listing();
    for class in classes.split(',').filter(|c| !c.is_empty()) {
        match class {
            "help" => help(&mut out),
            "all" => CLASSES.iter().for_each(|c| section(c, &all, &mut out)),
            name => match CLASSES.iter().find(|c| c.name == name) {
                Some(c) => section(c, &all, &mut out),
                None => return Err(format!("unknown keyword class '{name}', try -dKhelp")),
            },
        }
    }
    if out.is_empty() {
        help(&mut out);
    }
    Ok(out)
}

fn help(out: &mut String) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# List of supported keyword classes:\nall: list all keywords");
    for c in &CLASSES {
        let _ = writeln!(out, "{}: {}", c.name, c.what);
    }
}

fn section(class: &Class, all: &[EntryInfo], out: &mut String) {
    let _ = writeln!(out, "# {}:", class.title);
    (class.dump)(all, out);
}

/// What follows an entry's syntax: nothing for what works.
fn remark(status: Status) -> String {
    match status {
        Status::Full => String::new(),
        Status::Legacy { modern } => format!("  # old form of: {modern}"),
        Status::NoEffect { why } | Status::Fixed { why, .. } => format!("  # no effect: {why}"),
        Status::Inert { feature } => format!("  # for {feature}, which is not supported yet"),
        Status::Planned => "  # not supported yet".to_owned(),
    }
}

fn sorted<'a>(list: &'a [EntryInfo], kinds: &[&str]) -> Vec<&'a EntryInfo> {
    let mut found: Vec<_> = list.iter().filter(|e| kinds.contains(&e.kind)).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn plain(list: &[EntryInfo], kinds: &[&str], out: &mut String) {
    for e in sorted(list, kinds) {
        let _ = writeln!(out, "{}{}", e.syntax, remark(e.status));
    }
}

fn prefixed(list: &[EntryInfo], kind: &str, prefix: &str, out: &mut String) {
    for e in sorted(list, &[kind]) {
        let _ = writeln!(out, "{prefix}{}{}", e.syntax, remark(e.status));
    }
}

fn configuration(list: &[EntryInfo], out: &mut String) {
    let keywords = sorted(list, &["keyword"]);
    for kind in SectionKind::ALL {
        let here = |e: &&&EntryInfo| e.sections.is_some_and(|s: Sections| s.has(kind.mask()));
        let mut lines = keywords.iter().filter(here).peekable();
        if lines.peek().is_some() {
            let _ = writeln!(out, "{}", kind.keyword());
        }
        for e in lines {
            let _ = writeln!(out, "\t{}{}", e.syntax, remark(e.status));
        }
    }
    prefixed(list, "bind option", "\tbind <addr> ", out);
    prefixed(list, "server option", "\tserver <name> <addr> ", out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Keyword;

    static KEYWORDS: [Keyword; 2] = [
        Keyword {
            name: "nbproc",
            sections: Sections::GLOBAL,
            syntax: "nbproc <number>",
            doc: "d",
            status: Status::NoEffect { why: "reasons" },
            parse: Keyword::nothing,
        },
        Keyword {
            name: "bind",
            sections: Sections::FRONTEND,
            syntax: "bind <addr>",
            doc: "d",
            status: Status::Full,
            parse: Keyword::nothing,
        },
    ];

    #[test]
    fn classes() {
        let mut tables = Tables::default();
        tables.add(&KEYWORDS);
        tables.note("service", ["prometheus-exporter"]);
        assert_eq!(
            dump_keywords("cfg,svc", &tables).unwrap(),
            "# List of registered configuration keywords:\nglobal\n\tnbproc <number>  # no effect: reasons\n\
             frontend\n\tbind <addr>\nlisten\n\tbind <addr>\n\
             # List of registered service names:\nprometheus-exporter\n"
        );
        assert!(dump_keywords("help", &tables).unwrap().contains("\nsmp: sample fetch functions\n"));
        assert_eq!(dump_keywords("", &tables), dump_keywords("help", &tables));
        assert!(dump_keywords("all", &tables).unwrap().contains("registered sample converter"));
        assert!(dump_keywords("nope", &tables).is_err());
    }
}
