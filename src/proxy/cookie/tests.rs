//! Every recorded case, and what a recording cannot show.

use super::*;
use crate::base::time::{Mono, Wall};
use crate::proxy::live::ServerStatus;
use crate::proxy::testing::backend;
use crate::proxy::{Live, Proxy, Snapshot};

const LAST_VISIT: u64 = 448_804_452;

fn at(units_later: u64) -> Wall {
    Wall((LAST_VISIT + units_later) * 4_000_000)
}

/// The backend of a recorded case: `cookie` line, further lines, and whether server B is down.
fn recorded_backend(name: &str) -> Option<(&'static str, &'static str, bool)> {
    Some(match name {
        "ins" => ("cookie S insert", "", false),
        "insi" => ("cookie S insert indirect nocache", "", false),
        "insp" => ("cookie S insert preserve", "", false),
        "insip" => ("cookie S insert indirect preserve", "", false),
        "inspo" => ("cookie S insert postonly", "", false),
        "insd" => (
            "cookie S insert indirect httponly secure domain .a.b.c domain .c.d.e attr SameSite=Lax attr \"X=y z\"",
            "",
            false,
        ),
        "idle" => ("cookie S insert indirect maxidle 1h", "", false),
        "life" => ("cookie S insert indirect maxlife 1h", "", false),
        "both" => ("cookie S insert indirect maxidle 30m maxlife 8h", "", false),
        "rew" => ("cookie S rewrite", "", false),
        "pre" => ("cookie S prefix", "", false),
        "prei" => ("cookie S prefix indirect", "", false),
        "pas" => ("cookie S", "", false),
        "pasi" => ("cookie S indirect", "", false),
        "ign" | "frc" => ("cookie S insert indirect", "", false),
        "down" => ("cookie S insert indirect", "", true),
        "downp" => ("cookie S insert indirect", "option persist", true),
        "downr" => ("cookie S insert indirect", "option redispatch", true),
        "downf" => ("cookie S insert indirect", "", true),
        "downpre" => ("cookie S prefix", "", true),
        "downrew" => ("cookie S rewrite", "", true),
        "downidle" => ("cookie S insert indirect maxidle 1h", "", true),
        _ => return None,
    })
}

fn px(s: &Snapshot) -> &Proxy {
    s.backend("b").expect("declared")
}

fn farm(cookie: &str, more: &str, down: bool) -> (Snapshot, Live) {
    let (snapshot, live) =
        backend(&[cookie, more, "server a 127.0.0.1:22001 cookie A", "server b 127.0.0.1:22002 cookie B"]);
    if down {
        live.set_status(px(&snapshot), 1, ServerStatus::Stopped, Mono(1));
    }
    (snapshot, live)
}

fn list(text: &str) -> Vec<&[u8]> {
    if text == "-" { Vec::new() } else { text.split('¦').map(str::as_bytes).collect() }
}

/// The header values after the edits.
fn edited(values: &[&[u8]], edits: &[(usize, Edit)]) -> Vec<String> {
    let mut out = Vec::new();
    for (i, v) in values.iter().enumerate() {
        match edits.iter().find(|(at, _)| *at == i) {
            None => out.push(String::from_utf8_lossy(v).into_owned()),
            Some((_, Edit::Replace(new))) => out.push(String::from_utf8_lossy(new).into_owned()),
            Some((_, Edit::Remove)) => {}
        }
    }
    out
}

fn joined(list: &[String], with: &str) -> String {
    if list.is_empty() { "-".to_owned() } else { list.join(with) }
}

fn recorded_case(line: &str) -> bool {
    let f: Vec<&str> = line.split('\t').collect();
    let [name, method, cookies, sets, server, flags, seen, sent] = f[..] else {
        panic!("{line}: eight fields")
    };
    let Some((conf, more, down)) = recorded_backend(name) else { return false };
    let (snapshot, live) = farm(conf, more, down);
    let px = px(&snapshot);
    let (force, ignore) = (name == "frc" || name == "downf", name == "ign");
    let cookies = list(cookies);
    let request = request(px, &live, &cookies, at(1), force, ignore);
    let at_server = edited(&cookies, &request.edits);
    assert_eq!(joined(&at_server, "|"), seen, "{line}: what the server sees");
    let index = usize::from(server == "B");
    if let Some(s) = request.server {
        assert_eq!(s, index, "{line}: server");
    }
    let sets = list(sets);
    let ex = Exchange { server: index, request: &request, post: method == "POST", ignore };
    let response = response(px, &ex, &sets, at(1));
    let log = [request.seen.log_char(), response.done.log_char()];
    assert_eq!(String::from_utf8_lossy(&log), flags, "{line}: log");
    let mut to_client = edited(&sets, &response.edits);
    to_client.extend(response.add.iter().map(|v| String::from_utf8_lossy(v).into_owned()));
    assert_eq!(joined(&to_client, "¦"), sent, "{line}: what the client gets");
    assert_eq!(response.cache_private, name == "insi" && response.add.is_some(), "{line}");
    true
}

#[test]
fn same_as_haproxy() {
    let lines = include_str!("recorded.txt").lines().filter(|l| !l.starts_with('#'));
    let cases = lines.filter(|l| recorded_case(l)).count();
    assert!(cases > 400, "{cases}");
}

#[test]
fn dynamic_values() {
    let value = dynamic_value(b"foo", &crate::base::SockAddr::Inet("127.0.0.1:22001".parse().unwrap()));
    assert_eq!(value.as_deref(), Some(&b"543e07047f6af678"[..]));
    let (s, _) = backend(&[
        "cookie S insert dynamic",
        "dynamic-cookie-key foo",
        "server a 127.0.0.1:22001",
        "server b 127.0.0.1:22002 cookie own",
    ]);
    let servers = &px(&s).backend().servers;
    assert_eq!(servers[0].cookie.as_deref(), Some(&b"543e07047f6af678"[..]));
    assert_eq!(servers[1].cookie.as_deref(), Some(&b"own"[..]));
}

#[test]
fn a_server_without_a_value_makes_the_client_forget() {
    let (s, live) = backend(&["cookie S insert", "server a 127.0.0.1:80"]);
    let r = request(px(&s), &live, &[b"S=A"], at(1), false, false);
    let ex = Exchange { server: 0, request: &r, post: false, ignore: false };
    let out = response(px(&s), &ex, &[], at(1));
    assert_eq!(out.add.as_deref(), Some(&b"S=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/"[..]));
    assert_eq!((r.seen, out.done), (Seen::Invalid, Done::Inserted));
}

#[test]
fn use_server_inserts_nothing() {
    let (s, live) = farm("cookie S insert indirect", "", false);
    let mut r = request(px(&s), &live, &[b"S=B"], at(1), false, false);
    r.overrule(0);
    assert_eq!(r.seen, Seen::Unused);
    let ex = Exchange { server: 0, request: &r, post: false, ignore: false };
    let out = response(px(&s), &ex, &[b"S=q"], at(1));
    assert_eq!((out.add, out.done, out.edits), (None, Done::Deleted, vec![(0, Edit::Remove)]));
}

#[test]
fn a_redispatch_inserts_the_new_server() {
    let (s, live) = farm("cookie S insert indirect nocache", "option redispatch", false);
    let r = request(px(&s), &live, &[b"S=B"], at(1), false, false);
    assert_eq!(r.server, Some(1));
    let ex = Exchange { server: 0, request: &r, post: false, ignore: false };
    let out = response(px(&s), &ex, &[], at(1));
    assert_eq!(out.add.as_deref(), Some(&b"S=A; path=/"[..]));
    assert!(out.cache_private);
    assert_eq!(out.done, Done::Inserted);
}

#[test]
fn no_cookie_line_no_word_in_the_log() {
    let (s, live) = backend(&["server a 127.0.0.1:80 cookie A"]);
    let r = request(px(&s), &live, &[b"S=A"], at(1), false, false);
    let ex = Exchange { server: 0, request: &r, post: false, ignore: false };
    let out = response(px(&s), &ex, &[b"S=A"], at(1));
    assert_eq!([r.seen.log_char(), out.done.log_char()], *b"--");
    assert_eq!((r.edits.len(), out.edits.len(), r.server), (0, 0, None));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    /// Whatever the client sends, the server never sees the cookie in insert indirect mode, and all other pairs
    /// arrive.
    #[test]
    fn hidden_from_the_server(text in "[ST=;, AB|~\"]{0,30}") {
        let (s, live) = farm("cookie S insert indirect", "", false);
        let value = text.as_bytes();
        let r = request(px(&s), &live, &[value], at(1), false, false);
        let after = edited(&[value], &r.edits).pop().unwrap_or_default();
        let pairs = |v: &[u8]| -> Vec<Vec<u8>> {
            crate::http::cookie::pairs(v)
                .filter(|p| v[p.name.clone()] != *b"S")
                .map(|p| [&v[p.name], b"=", &v[p.value]].concat())
                .collect()
        };
        proptest::prop_assert_eq!(pairs(value), pairs(after.as_bytes()));
        let mut left = crate::http::cookie::pairs(after.as_bytes());
        proptest::prop_assert!(left.all(|p| after.as_bytes()[p.name] != *b"S"));
    }
}
