//! Tests of the resolver over whole configurations.

use crate::base::SockAddr;
use crate::config::Severity;

use super::super::balance::{Algorithm, HashMethod};
use super::super::testing::{good, load};
use super::super::{HttpClose, Mode};

/// `line: message` of everything that is at least a warning.
fn messages(text: &str) -> Vec<String> {
    let (_, diags) = load(text);
    let mark = |s| if s == Severity::Alert { "E" } else { "W" };
    diags.list.iter().map(|d| format!("{}{}: {}", mark(d.severity), d.loc.line, d.message)).collect()
}

const TIMEOUTS: &str = "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n";

fn with_timeouts(text: &str) -> String {
    format!("{TIMEOUTS}{text}")
}

#[test]
fn the_founding_example() {
    let s = good(
        "defaults\n mode http\n option redispatch\n timeout queue 3s\n timeout connect 1s\n timeout client 10s\n \
         timeout server 2s\nfrontend http_80_in\n bind 0.0.0.0:8080\n option httpclose\n option forwardfor\n \
         default_backend server_web\nbackend server_web\n balance roundrobin\n \
         cookie SERVERID insert indirect nocache\n \
         server web1 127.0.0.1:8081 cookie web1 check inter 1500 rise 3 fall 3 weight 1\n \
         server web2 127.0.0.1:8082 cookie web2 check inter 1500 rise 3 fall 3 weight 2\n\
         listen tcp_in 127.0.0.1:8090\n mode tcp\n balance leastconn\n server t1 127.0.0.1:8081 check\n",
    );
    assert_eq!(s.proxies.len(), 3);
    let fe = s.frontend("http_80_in").expect("declared");
    assert_eq!((fe.mode, fe.http.close, fe.uuid), (Mode::Http, HttpClose::Close, 1));
    assert_eq!(fe.frontend().default_backend, Some(s.backend("server_web").expect("declared").id));
    assert_eq!(fe.http.forwardfor.as_ref().map(|f| f.header.as_slice()), Some(&b"X-Forwarded-For"[..]));
    let be = s.backend("server_web").expect("declared");
    let web2 = be.backend().server("web2").expect("declared");
    assert_eq!((web2.weight, web2.uuid, web2.index), (2, 2, 1));
    assert_eq!(web2.cookie.as_deref(), Some(&b"web2"[..]));
    assert_eq!((web2.check.rise, web2.check.fall, web2.check.enabled), (Some(3), Some(3), Some(true)));
    assert_eq!(be.backend().redispatch, -1);
    let tcp = s.frontend("tcp_in").expect("a listen is a frontend too");
    assert_eq!(tcp.frontend().default_backend, Some(tcp.id));
    assert_eq!(tcp.backend().balance.algorithm, Algorithm::LeastConn);
    let listener = s.listener(tcp.frontend().listeners[0]);
    assert_eq!(listener.addr, SockAddr::Inet("127.0.0.1:8090".parse().unwrap()));
}

#[test]
fn port_ranges_and_lists_make_listeners() {
    let s = good(&with_timeouts(
        "frontend f\n bind 127.0.0.1:8000-8002,[::1]:9000 name x maxconn 7 id 4\n bind 127.0.0.1:8100\n",
    ));
    let f = s.frontend("f").expect("declared");
    let ids: Vec<u32> = f.frontend().listeners.iter().map(|l| s.listener(*l).uuid).collect();
    assert_eq!(ids, [4, 2, 3, 5, 6]);
    assert_eq!(s.listener(f.frontend().listeners[3]).addr.to_string(), "[::1]:9000");
    assert_eq!(s.listener(f.frontend().listeners[1]).maxconn, Some(7));
    assert_eq!(s.listener(f.frontend().listeners[4]).name, None);
}

#[test]
fn numbers_are_given_by_position() {
    let s = good(&with_timeouts(
        "backend b\n id 7\n server a 127.0.0.1:80 id 10\n server b 127.0.0.1:80\n server c 127.0.0.1:80 id 3\n \
         server d 127.0.0.1:80\nbackend c\n server-template t 3 127.0.0.1:80 weight 5\n",
    ));
    let ids = |n: &str| s.backend(n).unwrap().backend().servers.iter().map(|s| s.uuid).collect::<Vec<_>>();
    assert_eq!(ids("b"), [10, 2, 3, 4]);
    assert_eq!(ids("c"), [1, 2, 3]);
    assert_eq!(s.backend("c").unwrap().uuid, 2);
    let t3 = s.backend("c").unwrap().backend().server("t3").expect("made by the template");
    assert_eq!(t3.weight, 5);
}

#[test]
fn default_server_lies_below_later_servers() {
    let s = good(&with_timeouts(
        "backend b\n server a 127.0.0.1:80\n default-server weight 3 maxconn 9 check inter 1s\n \
         server b 127.0.0.1:80 weight 4\n server c 127.0.0.1:80 no-check minconn 20\n",
    ));
    let be = s.backend("b").unwrap().backend();
    let w: Vec<_> = be.servers.iter().map(|s| (s.weight, s.minconn, s.maxconn, s.check.enabled)).collect();
    assert_eq!(w, [(1, 0, 0, None), (4, 9, 9, Some(true)), (3, 9, 9, Some(false))]);
}

#[test]
fn backend_errors_have_lines() {
    let m = messages(&with_timeouts(
        "frontend f\n bind 127.0.0.1:1\n default_backend bb\nbackend bbc\n server s 127.0.0.1:80\n \
         server s 127.0.0.1:80\n server t 127.0.0.1:80 id 1\n server u 127.0.0.1:80 id 1\n",
    ));
    assert_eq!(
        m,
        [
            "E11: backend 'bbc' has another server named 's'; names must differ",
            "E13: 'server u' : 'id' : custom id 1 is used already",
            "E8: proxy 'f': unable to find required default_backend: 'bb'.",
        ]
    );
}

#[test]
fn modes_must_agree() {
    let m = messages(&with_timeouts(
        "frontend f\n bind 127.0.0.1:1\n default_backend b\nbackend b\n mode tcp\n server s 127.0.0.1:80\n",
    ));
    assert_eq!(
        m,
        ["E8: http frontend 'f' tries to use incompatible tcp backend 'b' as its default backend."]
    );
}

#[test]
fn missing_timeouts_and_listeners_are_warnings() {
    let m = messages("frontend f\nbackend b\n server s 127.0.0.1:80\nbackend empty\n");
    assert_eq!(
        m,
        [
            "W1: frontend 'f' has no 'bind' directive.",
            "W1: missing timeouts for frontend 'f': client.",
            "W2: missing timeouts for backend 'b': connect, server.",
        ]
    );
}

#[test]
fn http_features_in_tcp_mode() {
    let m = messages(&with_timeouts(
        "listen l\n bind 127.0.0.1:1\n mode tcp\n cookie X insert\n balance uri\n option forwardfor\n \
         monitor-uri /x\n server s 127.0.0.1:80 cookie s\n server t 127.0.0.1:80 redir /x\n",
    ));
    assert_eq!(
        m,
        [
            "W9: 'cookie' will be ignored for proxy 'l' (needs 'mode http').",
            "W10: 'balance uri' is not possible for proxy 'l' (needs 'mode http').",
            "W13: proxy 'l' : the cookie of server 's' needs 'mode http'.",
            "E14: proxy 'l' : the redirect prefix of server 't' needs 'mode http'.",
            "W6: 'monitor-uri' will be ignored for proxy 'l' (needs 'mode http').",
            "W6: 'option forwardfor' will be ignored for proxy 'l' (needs 'mode http').",
        ]
    );
}

#[test]
fn tracking() {
    let m = messages(&with_timeouts(
        "backend b\n server s 127.0.0.1:80 track t\n server t 127.0.0.1:80 track s\n \
         server u 127.0.0.1:80 track nope\n server v 127.0.0.1:80 track nope/nope\n \
         server w 127.0.0.1:80 track x\n server x 127.0.0.1:80\n server y 127.0.0.1:80 track x check\n",
    ));
    assert_eq!(
        m,
        [
            "E9: 'server b/u' : no server 'nope' to track",
            "E10: 'server b/v' : no backend 'nope' to track a server of",
            "E13: 'server b/y' : checks and tracking exclude each other",
            "E7: 'server b/s' : its tracking chain leads back to itself",
            "E8: 'server b/t' : its tracking chain leads back to itself",
            "E11: 'server b/w' : unable to track 'x', which has neither checks nor an agent",
        ]
    );
    let s = good(&with_timeouts(
        "backend b\n server s 127.0.0.1:80 track c/t\nbackend c\n server t 127.0.0.1:80 check\n",
    ));
    let tracked = s.backend("b").unwrap().backend().servers[0].track;
    assert_eq!(tracked, Some(s.backend("c").unwrap().backend().servers[0].id));
}

#[test]
fn wrong_options_are_reported_with_suggestions() {
    let (_, diags) = load(&with_timeouts(
        "backend b\n server s 127.0.0.1:80 wieght 3\n server t 127.0.0.1:80 ssl\n balance lestconn\n",
    ));
    let seen: Vec<_> = diags.list.iter().map(|d| (d.loc.line, d.help.clone().unwrap_or_default())).collect();
    assert_eq!(seen[0], (7, "did you mean 'weight'?".to_owned()));
    assert_eq!(seen[1].0, 8);
    assert_eq!(seen[2], (9, "did you mean 'leastconn'?".to_owned()));
}

#[test]
fn servers_without_address() {
    let s = good(&with_timeouts("backend b\n server s no-such-host.invalid:80 init-addr last,none\n"));
    let srv = &s.backend("b").unwrap().backend().servers[0];
    assert_eq!((srv.addr.clone(), srv.hostname.as_deref()), (None, Some("no-such-host.invalid")));
    let m = messages(&with_timeouts("backend b\n server s no-such-host.invalid:80\n"));
    assert_eq!(m, ["E7: 'server b/s' : could not resolve address 'no-such-host.invalid'."]);
}

#[test]
fn defaults_are_inherited_and_overridden() {
    let s = good(
        "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n balance source\n \
         hash-type consistent\n option httpclose\n option http-server-close\n maxconn 50\n\
         backend b\n server s 127.0.0.1:80\nbackend c\n balance first\n no option http-server-close\n \
         server s 127.0.0.1:80\nfrontend f\n bind 127.0.0.1:1\n no option httpclose\n",
    );
    let b = s.backend("b").unwrap();
    assert_eq!(b.backend().balance.method, HashMethod::Consistent);
    assert!(b.backend().balance.avalanche);
    assert_eq!(b.http.close, HttpClose::ServerClose);
    let c = s.backend("c").unwrap();
    assert_eq!(c.backend().balance.algorithm, Algorithm::First);
    assert_eq!(c.http.close, HttpClose::KeepAlive);
    let f = s.frontend("f").unwrap();
    assert_eq!((f.http.close, f.frontend().maxconn), (HttpClose::ServerClose, 50));
}

#[test]
fn fullconn_is_a_tenth_of_the_frontends() {
    let s = good(&with_timeouts(
        "frontend f\n bind 127.0.0.1:1\n maxconn 1000\n default_backend b\n\
         frontend g\n bind 127.0.0.1:2\n maxconn 500\n default_backend b\n\
         backend b\n server s 127.0.0.1:80 minconn 1 maxconn 10\nbackend c\n fullconn 7\n server s 127.0.0.1:80\n",
    ));
    assert_eq!(s.backend("b").unwrap().backend().fullconn, 150);
    assert_eq!(s.backend("c").unwrap().backend().fullconn, 7);
}

#[test]
fn names_in_rules_are_found_or_reported() {
    let s = good(&with_timeouts(
        "frontend f\n bind 127.0.0.1:1\n use_backend b if { nbsrv(b) gt 0 }\nbackend b\n \
         use-server s if TRUE\n server s 127.0.0.1:80\n",
    ));
    let refs = s.frontend("f").unwrap().section.get::<crate::sample::NameRefs>().expect("two names");
    let b = s.backend("b").unwrap().id.0;
    assert!(refs.list.iter().all(|r| r.proxy().map(|p| p.0) == Some(b)), "{refs:?}");
    let m = messages(&with_timeouts(
        "frontend f\n bind 127.0.0.1:1\n use_backend web1 if TRUE\n use_backend f if { nbsrv(nope) 1 }\n\
         backend web\n use-server x if TRUE\n server s 127.0.0.1:80\n",
    ));
    assert_eq!(
        m,
        [
            "E8: proxy 'f': unable to find required backend 'web1'.",
            "E9: proxy 'f': unable to find required backend 'f'.",
            "E9: proxy 'f': unable to find required backend 'nope'.",
            "E11: proxy 'web': unable to find required server 'x'.",
        ]
    );
}

#[test]
fn modes_of_backends_in_rules_must_agree() {
    let m = messages(&with_timeouts(
        "frontend f\n bind 127.0.0.1:1\n use_backend b if TRUE\nbackend b\n mode tcp\n server s 127.0.0.1:80\n",
    ));
    assert_eq!(
        m,
        ["E8: http frontend 'f' tries to use incompatible tcp backend 'b' in a 'use_backend' rule."]
    );
}

#[test]
fn persistence_rules_and_monitor_conditions_need_a_condition() {
    let m = messages(&with_timeouts(
        "backend b\n force-persist\n ignore-persist if TRUE\n server s 127.0.0.1:80\n\
         frontend f\n bind 127.0.0.1:1\n monitor fail\n monitor-uri /x\n",
    ));
    assert_eq!(
        m,
        [
            "E7: 'force-persist' expects 'if' or 'unless' followed by a condition",
            "E12: 'monitor fail' expects 'if' or 'unless' followed by a condition",
        ]
    );
}

#[test]
fn rules_in_defaults_go_to_one_side_only() {
    let rules = "defaults d\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n";
    let refused = |rule: &str, rest: &str| {
        let said = messages(&format!("{rules} {rule}\n{rest}"));
        said.iter().any(|m| m.starts_with('E') && m.contains("'defaults' section"))
    };
    let any = "http-request set-header X 1";
    assert!(!refused(any, "frontend f from d\n bind :1\n"));
    assert!(!refused(any, "backend b from d\n server s 127.0.0.1:1\n"));
    assert!(refused(any, "listen l from d\n bind :1\n server s 127.0.0.1:1\n"));
    assert!(refused(any, "frontend f from d\n bind :1\nbackend b from d\n server s 127.0.0.1:1\n"));
    assert!(refused(any, "defaults e from d\n mode http\n"));
    assert!(refused("tcp-request connection accept", "backend b from d\n server s 127.0.0.1:1\n"));
    assert!(refused("tcp-response content accept", "frontend f from d\n bind :1\n"));
    assert!(!messages("defaults\n http-request deny\n").is_empty());
}

#[test]
fn dispatch_and_transparent_are_servers_without_a_name() {
    let s = good(&with_timeouts(
        "backend d\n dispatch 127.0.0.1:99\nbackend t\n option transparent\nbackend none\n",
    ));
    let d = &s.backend("d").unwrap().backend().servers[0];
    assert_eq!((d.name.as_str(), d.implicit, d.port_offset), ("<NOSRV>", true, None));
    assert_eq!(d.addr.as_ref().map(ToString::to_string).as_deref(), Some("127.0.0.1:99"));
    let t = &s.backend("t").unwrap().backend().servers[0];
    assert_eq!(t.addr.as_ref().map(ToString::to_string).as_deref(), Some("0.0.0.0:0"));
    assert_eq!((t.port_offset, s.server(t.id).proxy), (Some(0), s.backend("t").unwrap().id));
    assert!(s.backend("none").unwrap().backend().servers.is_empty());
    let m = messages(&with_timeouts("backend d\n dispatch 127.0.0.1:99\n server s 127.0.0.1:80\n"));
    assert_eq!(m, ["W7: the dispatch address of backend 'd' will be ignored: there are servers."]);
}

#[test]
fn options_without_what_they_need_are_errors() {
    for line in [
        "http-send-name-header",
        "errorfile 503 /etc/passwd",
        "server t udp@127.0.0.1:80",
        "server t fd@3",
        "server t 127.0.0.1:81 agent-check",
    ] {
        let m = messages(&with_timeouts(&format!("backend b\n server s 127.0.0.1:80\n {line}\n")));
        assert!(m.len() == 1 && m[0].starts_with("E8:"), "{line}: {m:?}");
    }
    let m = messages(&with_timeouts("frontend f\n bind 127.0.0.1:1\n tcp-response content accept\n"));
    assert_eq!(m, ["W8: 'tcp-response content' ignored because frontend 'f' has no backend capability"]);
}

#[test]
fn stick_rules_need_a_table() {
    let server = "server s1 127.0.0.1:80\n";
    let text = |rules: &str| {
        with_timeouts(&format!("backend b\n {server}{rules}backend t\n stick-table type ip size 10\n"))
    };
    assert_eq!(messages(&text(" stick on src table t\n")), Vec::<String>::new());
    assert_eq!(
        messages(&text(" stick on src table x\n")),
        ["E8: proxy 'b': unable to find required stick-table 'x'."]
    );
    assert_eq!(
        messages(&text(" stick on src\n")),
        ["E8: proxy 'b': a 'stick' rule without 'table' needs a 'stick-table' here"]
    );
    let twice = messages(&text(" stick-table type ip size 10 store gpc0,gpc0\n"));
    assert_eq!(twice, ["W8: 'stick-table': 'gpc0' is stored already, ignored"]);
    assert_eq!(messages(&text(" stick-table type ip size 0\n")).len(), 1);
    assert_eq!(messages(&text(" stick-table type string len 0 size 1k\n")).len(), 1);
    assert_eq!(messages(&text(" stick-table size 1k\n")).len(), 1);
    assert_eq!(messages(&text(" stick-table type ip size 1k peers p\n")).len(), 1);
    assert_eq!(
        messages(&text(" stick store-response res.cook(S)\n stick-table type string size 9\n")),
        Vec::<String>::new()
    );
    assert_eq!(messages(&text(" stick on res.cook(S) table t\n")).len(), 1, "no response yet");
}

#[test]
fn tables_name_other_tables() {
    use crate::stick::{KeyType, SrvKey, TableId};

    let text = |args: &str| {
        with_timeouts(&format!(
            "backend a\n stick-table {args}\nbackend b\n stick-table type string len 8 size 9\n"
        ))
    };
    let s = good(&text("type string len 8 size 1k write-to b recv-only srvkey addr brates-factor 1024"));
    let (a, b) = (s.backend("a").expect("declared"), s.backend("b").expect("declared"));
    assert_eq!((a.table, b.table), (Some(TableId(0)), Some(TableId(1))));
    let def = s.table(TableId(0));
    assert_eq!((def.write_to, def.recv_only, def.srvkey), (b.table, true, SrvKey::Addr));
    assert_eq!((def.schema.key, def.brates_factor), (KeyType::String(8), 1024));
    for (args, message) in [
        ("type string len 8 size 1k write-to a", "table 'a': cannot write to 'a': it is this table itself"),
        (
            "type string len 7 size 1k write-to b",
            "table 'a': cannot write to 'b': its keys have another type or length",
        ),
        ("type string size 1k write-to c", "table 'a': unable to find the table 'c' of 'write-to'"),
        ("type ipv4 size 1k brates-factor 1025", "'stick-table': '1025' is out of range (1 to 1024)"),
        ("type ipv4 size 1k peers p", "table 'a': unable to find the peers section 'p'"),
    ] {
        assert_eq!(messages(&text(args)), [format!("E7: {message}")], "{args}");
    }
    let both = "frontend x\n bind 127.0.0.1:1\n stick-table type ip size 1\n\
                backend x\n stick-table type ip size 1\n";
    assert_eq!(
        messages(&with_timeouts(both)),
        ["E10: stick-table name 'x' conflicts with the table declared in line 8"]
    );
}

#[test]
fn keys_of_stick_rules_fit_the_table() {
    let text = |args: &str, expr: &str| {
        with_timeouts(&format!(
            "backend b\n server s 127.0.0.1:80\n stick-table {args} size 9\n stick on {expr}\n"
        ))
    };
    for (args, expr) in
        [("type ip", "hdr(x)"), ("type integer", "src"), ("type binary", "src"), ("type string", "src")]
    {
        assert_eq!(messages(&text(args, expr)), Vec::<String>::new(), "{args} {expr}");
    }
    for (args, expr) in [("type ip", "bool(true)"), ("type ip", "method"), ("type integer", "bin(1234)")] {
        let m = messages(&text(args, expr));
        assert!(m.len() == 1 && m[0].contains("cannot become a key of table 'b'"), "{args} {expr}: {m:?}");
    }
}
