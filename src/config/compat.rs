//! docs/COMPAT.md: what of HAProxy's language works here, from the tables against the manuals' keyword lists.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use super::known::{self, Known};
use super::{EntryInfo, Status, Tables};

/// Kinds of the keyword lists that docs/COMPAT.md has a chapter for, with a title, and the table that answers
/// for them.
const CHAPTERS: [(&str, &str, &str); 26] = [
    ("global", "Global section", "keyword"),
    ("proxy", "Proxies: defaults, frontend, backend, listen", "keyword"),
    ("proxy-option", "Proxy options", "keyword"),
    ("bind", "Bind options", "bind option"),
    ("server", "Server options", "server option"),
    ("action", "Actions", "action"),
    ("fetch", "Sample fetches", "sample fetch"),
    ("converter", "Converters", "converter"),
    ("acl-match", "ACL match methods", "acl-match"),
    ("acl-flag", "ACL flags", "acl-flag"),
    ("acl-derivative", "ACL derivatives", "acl-derivative"),
    ("predefined-acl", "Predefined ACLs", "predefined-acl"),
    ("balance", "Balancing algorithms", "balance"),
    ("hash-type", "Hash types", "hash-type"),
    ("cookie-arg", "Arguments of cookie", "cookie-arg"),
    ("redirect-arg", "Arguments of redirect", "redirect-arg"),
    ("errorfile-code", "Status codes of error files", "errorfile-code"),
    ("logvar", "Log variables", "logvar"),
    ("log-facility", "Log facilities", "log-facility"),
    ("log-level", "Log levels", "log-level"),
    ("filter", "Filters", "filter"),
    ("compression-arg", "Arguments of compression", "compression-arg"),
    ("table-data", "Stick table data", "table-data"),
    ("cli", "Admin socket commands", "cli"),
    ("service", "Services", "service"),
    ("section", "Sections", "section"),
];

/// What a row's status is called, in the order of the summary.
const STATES: [&str; 5] = ["full", "legacy", "no effect", "inert", "not yet"];

fn state(status: Status) -> (usize, String) {
    match status {
        Status::Full => (0, String::new()),
        Status::Legacy { modern } => (1, format!("write `{modern}`")),
        Status::NoEffect { why } => (2, why.to_owned()),
        Status::Fixed { ours, why } => {
            let ours = ours.iter().map(|o| if o.is_empty() { "(alone)" } else { o }).collect::<Vec<_>>();
            (2, format!("always: {}; {why}", ours.join(", ")))
        }
        Status::Inert { feature } => (3, format!("for {feature}")),
        Status::Planned => (4, String::new()),
    }
}

/// Configurations that need `k` to work, for kinds that have no table of entries: any one that loads proves it.
fn proofs(k: &Known) -> Vec<String> {
    let name = k.name;
    let backend = |line: String| format!("backend b\n mode http\n {line}\n server s 127.0.0.1:80 cookie s\n");
    let frontend = |line: String| format!("frontend f\n mode http\n bind 127.0.0.1:80\n {line}\n");
    match k.kind {
        "balance" => {
            let algorithm = name.replace("<name>", "x").replace("<draws>", "2");
            ["", " x"].map(|arg| backend(format!("balance {algorithm}{arg}"))).to_vec()
        }
        "hash-type" => [name.to_owned(), format!("map-based {name}"), format!("consistent sdbm {name}")]
            .map(|t| backend(format!("hash-type {t}")))
            .to_vec(),
        "cookie-arg" => ["", " insert", " insert indirect"]
            .iter()
            .flat_map(|mode| ["", " 10s", " .x.org"].map(|arg| format!("cookie C{mode} {name}{arg}")))
            .map(backend)
            .collect(),
        "redirect-arg" => ["", " A=b"].map(|arg| frontend(format!("redirect prefix / {name}{arg}"))).to_vec(),
        "errorfile-code" => vec![frontend(format!("errorloc {name} /x"))],
        "logvar" => vec![frontend(format!("log-format \"{name}\""))],
        "log-facility" => vec![frontend(format!("log 127.0.0.1:514 {name}"))],
        "log-level" => vec![frontend(format!("log 127.0.0.1:514 local0 {name}"))],
        "acl-match" => {
            [("path", "x"), ("src", "127.0.0.1"), ("src_port", "1"), ("always_true", "true"), ("path", "")]
                .map(|(fetch, value)| frontend(format!("acl a {fetch} -m {name} {value}")))
                .to_vec()
        }
        "acl-flag" => ["/dev/null", "x", "str x", "7"]
            .iter()
            .flat_map(|arg| ["", " x"].map(|value| format!("acl a path {name} {arg}{value}")))
            .chain([format!("acl a path {name} -f /dev/null")])
            .map(frontend)
            .collect(),
        "acl-derivative" => ["", "(x)", "(1,2)"]
            .iter()
            .flat_map(|arg| ["x", "1", "127.0.0.1", "GET"].map(|value| format!("acl a {name}{arg} {value}")))
            .map(frontend)
            .collect(),
        "predefined-acl" => vec![frontend(format!("http-request deny if {name}"))],
        "section" => ["", " x"].map(|arg| format!("{name}{arg}\n")).to_vec(),
        _ => Vec::new(),
    }
}

/// The text of docs/COMPAT.md. `loads` says whether a configuration loads without an error.
pub fn generate(tables: &Tables, loads: &dyn Fn(&str) -> bool) -> String {
    let listing = tables.listing();
    let proven: Vec<EntryInfo> = known::all()
        .iter()
        .filter(|k| proofs(k).iter().any(|text| loads(text)))
        .map(|k| EntryInfo {
            kind: k.kind,
            name: k.name.into(),
            status: Status::Full,
            syntax: String::new(),
            doc: "",
            sections: None,
        })
        .collect();
    let mut by_name: HashMap<(&str, &str), Vec<&EntryInfo>> = HashMap::new();
    for e in listing.iter().chain(&proven) {
        by_name.entry((e.kind, e.name.as_ref())).or_default().push(e);
    }
    let mut summary = String::new();
    let mut body = String::new();
    for (kind, title, table) in CHAPTERS {
        let rows: Vec<&Known> = known::all().iter().filter(|k| k.kind == kind).collect();
        chapter(title, table, &rows, &by_name, &mut summary, &mut body);
    }
    let mut others: BTreeMap<&str, Vec<&Known>> = BTreeMap::new();
    for k in known::all().iter().filter(|k| k.kind.ends_with("-kw") && k.sections().is_some()) {
        others.entry(k.scope).or_default().push(k);
    }
    for (scope, rows) in others {
        chapter(&format!("Section {scope}"), "keyword", &rows, &by_name, &mut summary, &mut body);
    }
    let mut out = String::from(HEAD);
    out.push_str(&summary);
    out.push_str(&body);
    out
}

const HEAD: &str = "<!-- Generated from the keyword tables: `UPDATE_COMPAT=1 cargo test --test compat` -->\n\
# Compatibility with HAProxy's language\n\n\
One row for each keyword of the manual of HAProxy 1.5 and of the newest manual (docs/keywords). *full*: works as\n\
the manual says. *legacy*: works, with a warning that names the modern form. *no effect*: accepted, with a warning\n\
that says why it means nothing here. *inert*: accepted; tunes a feature that is not there yet. *not yet*: an error\n\
that says so, with its place in the file.\n\n\
| chapter | full | legacy | no effect | inert | not yet |\n|---|---:|---:|---:|---:|---:|\n";

fn chapter(
    title: &str,
    table: &str,
    rows: &[&Known],
    by_name: &HashMap<(&str, &str), Vec<&EntryInfo>>,
    summary: &mut String,
    body: &mut String,
) {
    if rows.is_empty() {
        return;
    }
    // Writing to a String cannot fail.
    let _ =
        writeln!(body, "\n## {title}\n\n| keyword | 1.5 | 3.x | status | remark |\n|---|---|---|---|---|");
    let mut counts = [0usize; STATES.len()];
    for k in rows {
        let entry = by_name.get(&(table, k.name)).and_then(|list| {
            let wanted = k.sections();
            list.iter().find(|e| match (e.sections, wanted) {
                (Some(have), Some(want)) => have.has(want),
                _ => true,
            })
        });
        let (n, remark) = entry.map_or((4, String::new()), |e| state(e.status));
        counts[n] += 1;
        let mark = |yes: bool| if yes { "x" } else { "" };
        let _ = writeln!(
            body,
            "| `{}` | {} | {} | {} | {} |",
            k.name.replace('|', "\\|"),
            mark(k.in_1_5),
            mark(k.in_3),
            STATES[n],
            remark.replace('|', "\\|")
        );
    }
    let counts = counts.map(|n| n.to_string()).join(" | ");
    let _ = writeln!(summary, "| {title} | {counts} |");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Keyword, Sections};

    static KEYWORDS: [Keyword; 1] = [Keyword {
        name: "maxconn",
        sections: Sections::GLOBAL,
        syntax: "maxconn <number>",
        doc: "d",
        status: Status::Full,
        parse: Keyword::nothing,
    }];

    #[test]
    fn a_keyword_counts_in_its_own_section_only() {
        let mut tables = Tables::default();
        tables.add(&KEYWORDS);
        let text = generate(&tables, &|text| text.contains("balance source"));
        let (global, proxies) = text.split_once("## Proxies").expect("both chapters");
        assert!(global.contains("| `maxconn` | x | x | full |  |"));
        assert!(proxies.contains("| `maxconn` | x | x | not yet |  |"));
        assert!(proxies.contains("| `appsession` | x |  | not yet |  |"));
        assert!(text.contains("## Section resolvers"));
        assert!(text.contains("| `source` | x | x | full |  |"));
        assert!(text.contains("| `roundrobin` | x | x | not yet |  |"));
    }
}
