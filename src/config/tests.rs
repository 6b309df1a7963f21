//! Tests of the loader with a handful of keywords of their own.

use super::*;
use std::time::Duration;

#[derive(Clone, Default, Debug)]
struct Seen {
    lines: Vec<String>,
    client: Option<Duration>,
}

fn note(cx: &mut ParseCx<'_>) {
    let mut line = cx.keyword();
    if cx.dir.negated {
        line.insert_str(0, "no ");
    }
    for w in cx.rest() {
        line.push(' ');
        line.push_str(&w.text());
    }
    cx.section.feature::<Seen>().lines.push(line);
}

fn client(cx: &mut ParseCx<'_>) {
    let Some(d) = cx.expect_duration("a timeout", crate::base::duration::Unit::Ms) else { return };
    if cx.end() {
        cx.section.feature::<Seen>().client = Some(d);
    }
}

fn setenv(cx: &mut ParseCx<'_>) {
    let (Some(name), Some(value)) = (cx.expect("a name"), cx.expect("a value")) else { return };
    cx.state.env.set(name.bytes.clone(), value.bytes.clone());
}

const fn kw(name: &'static str, sections: Sections, status: Status, parse: ParseFn) -> Keyword {
    Keyword { name, sections, syntax: name, doc: "For tests.", status, parse }
}

static KEYWORDS: [Keyword; 10] = [
    kw("shards", Sections::GLOBAL, Status::Fixed { ours: &["off", "no"], why: "reasons" }, Keyword::nothing),
    kw("setenv", Sections::GLOBAL, Status::Full, setenv),
    kw("daemon", Sections::GLOBAL, Status::Full, note),
    kw("mode", Sections::PROXY, Status::Full, note),
    kw("bind", Sections::FRONTEND, Status::Full, note),
    kw("server", Sections::BACKEND, Status::Full, note),
    kw("balance", Sections::PROXY_BACK, Status::Full, note),
    kw("timeout client", Sections::PROXY_FRONT, Status::Full, client),
    kw("option redispatch", Sections::PROXY_BACK, Status::Full, note),
    kw("clitimeout", Sections::PROXY_FRONT, Status::Legacy { modern: "timeout client" }, client),
];

fn load_text(text: &str) -> Loaded {
    let mut tables = Tables::default();
    tables.add(&KEYWORDS);
    let mut env = Env::empty();
    env.set("A", "1");
    load_str("t.cfg", text, LoadOptions { env, diag_mode: false }, &tables)
}

fn messages(loaded: &Loaded) -> Vec<String> {
    let line = |d: &Diagnostic| format!("{:?} {}:{} {}", d.severity, d.loc.line, d.loc.col, d.message);
    loaded.diags.list.iter().map(line).collect()
}

fn clean(text: &str) -> Loaded {
    let loaded = load_text(text);
    assert_eq!(messages(&loaded), Vec::<String>::new());
    loaded
}

fn lines(s: &Section) -> Vec<&str> {
    s.get::<Seen>().map(|s| s.lines.iter().map(String::as_str).collect()).unwrap_or_default()
}

#[test]
fn sections_start_from_the_last_defaults_or_the_named_one() {
    let l = clean(
        "defaults one\n mode http\nfrontend f\n bind :80\ndefaults two\n mode tcp\nbackend b\nbackend c from one\n\
         defaults three from one\n balance first\nlisten l from three\n no option redispatch\n",
    );
    let by_name = |n: &str| l.sections.iter().find(|s| s.name == n).expect("section");
    assert_eq!(lines(by_name("f")), ["mode http", "bind :80"]);
    assert_eq!(lines(by_name("b")), ["mode tcp"]);
    assert_eq!(lines(by_name("c")), ["mode http"]);
    assert_eq!(lines(by_name("l")), ["mode http", "balance first", "no option redispatch"]);
    assert_eq!(by_name("c").defaults, Some(0));
}

#[test]
fn global_sections_are_one() {
    let l = clean("global\n daemon\ndefaults\nglobal\n setenv X 1\n");
    assert_eq!(l.sections.iter().filter(|s| s.kind == SectionKind::Global).count(), 1);
    assert_eq!(l.env.get(b"X"), Some(&b"1"[..]));
}

#[test]
fn variables_set_while_reading() {
    let l = clean(
        "global\n setenv PORT 8080\nfrontend f\n bind \":${PORT}\"\n.if defined(PORT)\n mode http\n.endif\n",
    );
    assert_eq!(lines(&l.sections[1]), ["bind :8080", "mode http"]);
}

#[test]
fn blocks() {
    let l = clean(
        "frontend f\n.if 0\n bad \"quote\n.if 1\n bind :1\n.else\n bind :2\n.endif\n.elif defined(A)\n bind :3\n\
         .elif 1\n bind :4\n.else\n bind :5\n.endif\n.if streq(\"$A\",2)\n bind :6\n.else\n bind :7\n.endif\n",
    );
    assert_eq!(lines(&l.sections[0]), ["bind :3", "bind :7"]);
}

#[test]
fn block_mistakes() {
    for (text, message) in [
        (".if 1\n", "Alert 1:1 non-terminated '.if' block"),
        (".else\n", "Alert 1:1 lone '.else' with no matching '.if'"),
        (".endif\n", "Alert 1:1 lone '.endif' with no matching '.if'"),
        (".elif 1\n", "Alert 1:1 lone '.elif' with no matching '.if'"),
        (".if 1\n.else\n.elif 1\n.endif\n", "Alert 3:1 '.elif' after '.else' is not permitted"),
        (".if 1\n.else\n.else\n.endif\n", "Alert 3:1 '.else' after '.else' is not permitted"),
        (".if 1  foo\n.endif\n", "Alert 1:8 unexpected character 'f' after the condition in '.if'"),
        (".if 1\n.endif x\n", "Alert 2:8 unexpected argument 'x' for '.endif'"),
        (".notcie x\n", "Alert 1:1 unknown directive '.notcie'"),
        (".alert \"a b\"\n", "Alert 1:0 'a b'"),
        (".warning x\n", "Warning 1:0 'x'"),
        (".notice\n", "Notice 1:0 ''"),
        (".notice a b\n", "Alert 1:11 unexpected argument 'b' for '.notice'"),
    ] {
        assert_eq!(messages(&load_text(text)), [message], "{text}");
    }
    assert_eq!(messages(&load_text(".diag x\n")), Vec::<String>::new());
}

#[test]
fn unknown_keywords_say_what_they_may_be() {
    for (line, message, help) in [
        (" demon", "unknown keyword 'demon' in 'global' section", "did you mean 'daemon'?"),
        (" nbthread 4", "keyword 'nbthread' is known (HAProxy 3.x), but not supported yet", ""),
        (
            " bind :80",
            "unknown keyword 'bind' in 'global' section",
            "it belongs in 'frontend', 'peers', 'log-forward'",
        ),
        (" zzzzzz 4", "unknown keyword 'zzzzzz' in 'global' section", ""),
    ] {
        let l = load_text(&format!("global\n{line}\n"));
        let d = &l.diags.list[0];
        assert_eq!((d.message.as_str(), d.help.as_deref().unwrap_or("")), (message, help), "{line}");
    }
    for (line, message, help) in [
        (
            "timeout cleint 5",
            "unknown keyword 'timeout cleint' in 'frontend' section",
            "did you mean 'timeout client'?",
        ),
        ("option httplg", "unknown option 'httplg' in 'frontend' section", "did you mean 'option httplog'?"),
        (
            "http-check set-var(check.x) str(a)",
            "'http-check set-var' ignored because frontend 'f' has no backend capability",
            "",
        ),
        (
            "reqirep ^Host host",
            "keyword 'reqirep' is known (HAProxy 1.5), but not supported yet",
            "today's form: http-request replace-header, or http-request replace-path for the first line",
        ),
        ("option", "'option' expects a second word", ""),
        ("timeout server 5", "'timeout server' ignored because frontend 'f' has no backend capability", ""),
        ("balance first", "'balance' ignored because frontend 'f' has no backend capability", ""),
        ("server a :80", "'server' not allowed because frontend 'f' has no backend capability", ""),
        (
            "option httplog",
            "keyword 'option httplog' is known (HAProxy 1.5 to 3.x), but not supported yet",
            "",
        ),
        ("no bind :80", "'no' is not supported for 'bind'", ""),
        (
            "timeout client 5x",
            "'timeout client' expects a timeout: unknown time unit in '5x'",
            "write a number and one of us, ms, s, m, h, d; a number alone is in ms",
        ),
        ("timeout client 5s 6s", "'timeout client' cannot handle unexpected argument '6s'", ""),
        ("timeout client", "'timeout client' expects a timeout", ""),
        ("clitimeout 5s", "'clitimeout' is an old form", "today's form: timeout client"),
    ] {
        let l = load_text(&format!("frontend f\n{line}\n"));
        let d = &l.diags.list[0];
        assert_eq!(d.message, message, "{line}");
        if !help.is_empty() {
            assert_eq!(d.help.as_deref(), Some(help), "{line}");
        }
    }
}

#[test]
fn what_is_done_anyway_needs_no_warning() {
    clean("global\n shards off\n");
    let l = load_text("global\n shards on\n shards\n");
    let wanted =
        ["Warning 2:2 'shards' has no effect: reasons", "Warning 3:2 'shards' has no effect: reasons"];
    assert_eq!(messages(&l), wanted);
}

#[test]
fn section_headers() {
    for (text, message) in [
        ("frontend\n", "Alert 1:9 'frontend' expects a name"),
        ("backend b!x\n", "Alert 1:10 character '!' is not permitted in 'backend' name 'b!x'"),
        ("backend b x\n", "Alert 1:11 'backend' cannot handle unexpected argument 'x'"),
        ("global x\n", "Alert 1:8 'global' cannot handle unexpected argument 'x'"),
        ("defaults a\nbackend b from x\n", "Alert 2:16 defaults section 'x' not found for backend 'b'"),
        ("defaults a from\n", "Alert 1:16 'from' expects the name of a 'defaults' section"),
        ("cache c\n foo bar\n", "Alert 1:1 section 'cache' is known, but not supported yet"),
        ("foo\n", "Alert 1:1 unknown keyword 'foo' out of section"),
        ("global", "Alert 1:7 missing LF on last line, the file might have been truncated"),
        (
            "frontend a\nbackend a\nlisten a\n",
            "Alert 3:8 listen 'a' has the same name as frontend 'a' declared at t.cfg:1",
        ),
        (
            "defaults a\ndefaults a\nbackend b from a\n",
            "Alert 3:16 ambiguous defaults section name 'a' referenced by backend 'b' exists at least at t.cfg:1 \
             and t.cfg:2",
        ),
    ] {
        assert_eq!(messages(&load_text(text)), [message], "{text}");
    }
    let l = load_text("defaults d\nlisten l :80,:81 from d\n");
    assert_eq!(l.sections[1].header_args.len(), 1);
    assert_eq!(l.sections[1].defaults, Some(0));
}

#[test]
fn every_error_in_one_run() {
    let l = load_text(
        "foo\nglobal\n bar\nfrontend\n inside\nfrontend f\n timeout client x\n bind \"x\n mode http\n",
    );
    let found: Vec<_> = l.diags.list.iter().map(|d| d.loc.line).collect();
    assert_eq!(found, [1, 3, 4, 7, 8]);
    assert_eq!(lines(&l.sections[1]), ["mode http"]);
}

#[test]
fn files_and_directories() {
    let dir = std::env::temp_dir().join(format!("haring-config-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("d")).expect("a temporary directory");
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("a temporary file");
    write("z.cfg", "global\n setenv W z\n");
    write("d/b.cfg", "frontend \"f$W\"\n bind :1\n");
    write("d/a.cfg", "defaults\n mode http\n");
    write("d/.hidden.cfg", "nonsense\n");
    write("d/other.txt", "nonsense\n");
    write("y.cfg", "bind :2\n");
    let mut tables = Tables::default();
    tables.add(&KEYWORDS);
    let paths = ["z.cfg", "d", "y.cfg", "none.cfg"].map(|n| dir.join(n));
    let l = load(&paths, LoadOptions::default(), &tables);
    std::fs::remove_dir_all(&dir).expect("the temporary directory goes");
    assert_eq!(lines(&l.sections[2]), ["mode http", "bind :1"]);
    assert_eq!(l.sections[2].name, "fz");
    assert_eq!(l.sources.len(), 4);
    let m = messages(&l);
    assert!(
        m[0].contains("Cannot open configuration file/directory")
            && m[0].ends_with(": No such file or directory")
    );
    assert_eq!(m[1], "Alert 1:1 unknown keyword 'bind' out of section");
    assert_eq!(m.len(), 2);
}
