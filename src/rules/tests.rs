//! Rules over real requests, loaded from configuration text.

use std::net::SocketAddr;

use crate::acl::tests::Fake;
use crate::base::time::{Mono, Wall};
use crate::config::{LoadOptions, Loaded, Tables, load_str};
use crate::http::{RequestHead, ResponseHead, Version};
use crate::http1::write_request;
use crate::log::LevelOverride;
use crate::sample::{
    Ctx, LastRule, Live, ProxyCount, ProxyIdx, Scope, ServerCount, ServerIdx, Target, VarStore,
};

use super::{AnswerBody, MessageCx, ProxyRules, RuleSet, Verdict};

#[derive(Default)]
struct Names;

impl Live for Names {
    fn proxy_name(&self, _: ProxyIdx) -> &str {
        "p"
    }
    fn proxy_id(&self, _: ProxyIdx) -> i64 {
        1
    }
    fn server_name(&self, _: ServerIdx) -> &str {
        "s"
    }
    fn server_id(&self, _: ServerIdx) -> i64 {
        1
    }
    fn proxy_count(&self, _: ProxyIdx, _: ProxyCount) -> i64 {
        0
    }
    fn server_count(&self, s: ServerIdx, _: ServerCount) -> i64 {
        i64::from(s.0 != 0)
    }
    fn find_backend(&self, name: &str) -> Option<ProxyIdx> {
        (name == "www.example.org").then_some(ProxyIdx(7))
    }
}

struct Msg {
    base: Fake,
    names: Names,
    level: Option<LevelOverride>,
    hints: Vec<String>,
    last: Option<LastRule>,
}

impl Msg {
    fn new(raw: &str) -> Msg {
        Msg { base: Fake::new(raw), names: Names, level: None, hints: Vec::new(), last: None }
    }
}

impl Ctx for Msg {
    fn now(&self) -> Mono {
        self.base.now()
    }
    fn wall(&self) -> Wall {
        self.base.wall()
    }
    fn src(&self) -> Option<SocketAddr> {
        self.base.src()
    }
    fn request(&self) -> Option<&RequestHead> {
        self.base.request()
    }
    fn response(&self) -> Option<&ResponseHead> {
        self.base.response()
    }
    fn request_payload(&self) -> Option<&[u8]> {
        self.base.request_payload()
    }
    fn input_final(&self) -> bool {
        self.base.input_final()
    }
    fn vars(&self, s: Scope) -> Option<&VarStore> {
        self.base.vars(s)
    }
    fn live(&self) -> Option<&dyn Live> {
        Some(&self.names)
    }
}

impl MessageCx for Msg {
    fn ctx(&self) -> &dyn Ctx {
        self
    }
    fn request_mut(&mut self) -> Option<&mut RequestHead> {
        Some(&mut self.base.request)
    }
    fn response_mut(&mut self) -> Option<&mut ResponseHead> {
        self.base.response.as_mut()
    }
    fn set_src(&mut self, a: SocketAddr) {
        self.base.src = a;
    }
    fn set_log_level(&mut self, l: LevelOverride) {
        self.level = Some(l);
    }
    fn set_last_rule(&mut self, rule: LastRule) {
        self.last = Some(rule);
    }
    fn early_hint(&mut self, name: &[u8], value: &[u8], last: bool) {
        self.hints.push(format!(
            "{}={} {last}",
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value)
        ));
    }
}

fn load(lines: &str) -> Loaded {
    let mut tables = Tables::default();
    crate::sample::register(&mut tables);
    crate::acl::register(&mut tables);
    super::register(&mut tables);
    let text: String = std::iter::once("frontend f\n".to_owned())
        .chain(lines.lines().map(|l| format!("    {l}\n")))
        .collect();
    load_str("t.cfg", &text, LoadOptions::default(), &tables)
}

fn rules(lines: &str) -> ProxyRules {
    let l = load(lines);
    let said: Vec<_> = l.diags.list.iter().map(|d| d.message.clone()).collect();
    assert!(!l.diags.has_errors(), "{lines}: {said:?}");
    l.sections.iter().find_map(|s| s.get::<ProxyRules>()).cloned().unwrap_or_default()
}

const GET: &str = "GET /img/logo.png?a=1&b=2 HTTP/1.1\r\nHost: www.example.org\r\nX-F: 10.0.0.1, 192.168.3.4\r\nCookie: foo=bar; T=5\r\n\r\n";

/// The request after `http-request` rules, and the verdict.
fn after(lines: &str) -> (String, String) {
    let r = rules(lines);
    let mut m = Msg::new(GET);
    let verdict = show(r.http_request.run(&mut 0, &mut m));
    let mut out = Vec::new();
    write_request(&m.base.request, &mut out);
    (String::from_utf8_lossy(&out).replace("\r\n", "\n"), verdict)
}

fn show(v: Verdict<'_>) -> String {
    match v {
        Verdict::Deny(a) => format!("deny {}", a.status),
        Verdict::Tarpit(a) => format!("tarpit {}", a.status),
        Verdict::Return(a) => format!("return {}", a.status),
        Verdict::Redirect(r) => format!(
            "{} {} {}",
            r.status,
            String::from_utf8_lossy(&r.location),
            String::from_utf8_lossy(r.set_cookie.unwrap_or_default())
        ),
        Verdict::WaitForBody { time, at_least } => format!("body {} {at_least}", time.as_millis()),
        other => format!("{other:?}"),
    }
}

#[test]
fn header_actions() {
    let line = |lines: &str, start: &str| {
        let (req, v) = after(lines);
        assert_eq!(v, "Continue");
        req.lines().filter(|l| l.to_ascii_lowercase().starts_with(start)).collect::<Vec<_>>().join("|")
    };
    assert_eq!(line("http-request set-header X-F %[src]:%[src_port]", "x-f"), "X-F: 127.0.0.1:4000");
    assert_eq!(line("http-request add-header X-F b", "x-f"), "X-F: 10.0.0.1, 192.168.3.4|X-F: b");
    assert_eq!(line("http-request del-header x-f", "x-f"), "");
    assert_eq!(line("http-request del-header x- -m beg", "x-f"), "");
    assert_eq!(line("http-request del-header ^x -m reg", "x-f"), "");
    assert_eq!(
        line("http-request replace-header Cookie foo=([^;]*);(.*) foo=\\\\1;ip=%[src];\\\\2", "cookie"),
        "Cookie: foo=bar;ip=127.0.0.1; T=5"
    );
    assert_eq!(
        line("http-request replace-value X-F ^192\\\\.168\\\\.(.*)$ 172.16.\\\\1", "x-f"),
        "X-F: 10.0.0.1, 172.16.3.4"
    );
    assert_eq!(line("http-request set-header X-F a if { path /nope }", "x-f"), "X-F: 10.0.0.1, 192.168.3.4");
    assert_eq!(line("http-request set-header X-N %[hdr(host),upper]", "x-n"), "X-N: WWW.EXAMPLE.ORG");
    let both = "http-request set-var(txn.a) hdr(host),field(2,.)\nhttp-request set-header X-N %[var(txn.a)]";
    assert_eq!(line(both, "x-n"), "X-N: example");
    let fmt = "http-request set-var-fmt(txn.a,ifnotexists) %[src]-%[method]\nhttp-request set-header X-N %[var(txn.a)]";
    assert_eq!(line(fmt, "x-n"), "X-N: 127.0.0.1-GET");
    assert_eq!(
        line("http-request set-src hdr(x-f,1)\nhttp-request set-header X-N %[src]:%[src_port]", "x-n"),
        "X-N: 10.0.0.1:4000"
    );
}

#[test]
fn request_line_actions() {
    let line = |rule: &str| after(rule).0.lines().next().unwrap_or_default().to_owned();
    assert_eq!(line("http-request set-method POST"), "POST /img/logo.png?a=1&b=2 HTTP/1.1");
    assert_eq!(
        line("http-request set-path /%[hdr(host)]%[path]"),
        "GET /www.example.org/img/logo.png?a=1&b=2 HTTP/1.1"
    );
    assert_eq!(line("http-request set-pathq /x?y=1"), "GET /x?y=1 HTTP/1.1");
    assert_eq!(line("http-request set-query %[query,regsub(=,:,g)]"), "GET /img/logo.png?a:1&b:2 HTTP/1.1");
    assert_eq!(line("http-request set-uri http://h/x"), "GET http://h/x HTTP/1.1");
    assert_eq!(line("http-request replace-path /img/(.*) /i/\\\\1"), "GET /i/logo.png?a=1&b=2 HTTP/1.1");
    assert_eq!(
        line("http-request replace-pathq ([^?]*)(\\\\?(.*))? \\\\1/foo\\\\2"),
        "GET /img/logo.png/foo?a=1&b=2 HTTP/1.1"
    );
    assert_eq!(
        line("http-request replace-uri ^/(.*) http://h/\\\\1"),
        "GET http://h/img/logo.png?a=1&b=2 HTTP/1.1"
    );
    assert_eq!(line("http-request normalize-uri query-sort-by-name"), "GET /img/logo.png?a=1&b=2 HTTP/1.1");
    assert_eq!(line("http-request set-path %[str(\"/a b\")]"), "GET /ab?a=1&b=2 HTTP/1.1");
}

#[test]
fn verdicts() {
    let v = |lines: &str| after(lines).1;
    assert_eq!(v("http-request deny"), "deny 403");
    assert_eq!(v("http-request deny deny_status 429 if { path_beg /img }"), "deny 429");
    assert_eq!(v("http-request deny if { path /x }\nhttp-request allow\nhttp-request deny"), "Allow");
    assert_eq!(v("http-request tarpit status 403"), "tarpit 403");
    assert_eq!(v("http-request return status 204"), "return 204");
    assert_eq!(v("http-request reject"), "Reject");
    assert_eq!(v("http-request wait-for-body time 1s at-least 1k"), "body 1000 1024");
    assert_eq!(v("http-request redirect location /x code 301"), "301 /x ");
    assert_eq!(v("http-request redirect prefix https://h"), "302 https://h/img/logo.png?a=1&b=2 ");
    assert_eq!(v("http-request redirect prefix / drop-query append-slash"), "302 /img/logo.png/ ");
    assert_eq!(
        v("http-request redirect scheme https code 308"),
        "308 https://www.example.org/img/logo.png?a=1&b=2 "
    );
    assert_eq!(v("http-request redirect location %[hdr(nope)] ignore-empty"), "Continue");
    assert_eq!(v("http-request redirect location / set-cookie A=1"), "302 / A=1; path=/;");
    assert_eq!(v("http-request redirect location / clear-cookie A="), "302 / A=; path=/; Max-Age=0;");
    assert_eq!(
        v("http-request redirect location http://www.%[hdr(host)]%[path]"),
        "302 http://www.www.example.org/img/logo.png "
    );
}

#[test]
fn the_plain_redirect_takes_its_target_as_it_is() {
    let r = rules("redirect location /%[path] if { path_beg /img }");
    assert_eq!(show(r.redirect.run(&mut 0, &mut Msg::new(GET))), "302 /%[path] ");
}

#[test]
fn ranks_and_allow() {
    // block comes first, req* last and whatever http-request allows.
    let r = rules("http-request allow\nreqadd X-L:\\ 1\nblock if { path /nope }");
    let mut m = Msg::new(GET);
    assert_eq!(show(r.http_request.run(&mut 0, &mut m)), "Continue");
    assert_eq!(m.base.request.fields.get(b"x-l"), Some(&b"1"[..]));
    assert_eq!(m.last.map(|l| l.line), Some(2));
    let r = rules("http-request allow\nblock if { path_beg /img }");
    assert_eq!(show(r.http_request.run(&mut 0, &mut Msg::new(GET))), "deny 403");
}

#[test]
fn old_rules_work_on_lines() {
    let req = |l: &str| after(l).0;
    assert!(
        req("reqrep ^([^\\ ]*)\\ /img/(.*) \\\\1\\ /\\\\2").starts_with("GET /logo.png?a=1&b=2 HTTP/1.1\n")
    );
    assert!(req("reqirep ^host:\\ .* Host:\\ other").contains("Host: other\n"));
    assert!(!req("reqidel ^x-f:").contains("X-F"));
    assert!(req("reqdel ^x-f:").contains("X-F"));
    assert_eq!(after("reqdeny ^GET\\ /img").1, "deny 403");
    assert_eq!(after("reqitarpit ^x-f:.*192").1, "tarpit 500");
    assert_eq!(after("reqallow ^Host:\nreqdeny .").1, "Allow");
    let l = load("reqadd X:\\ 1");
    assert!(
        l.diags.list.iter().any(|d| d.help.as_deref().is_some_and(|h| h.contains("http-request add-header")))
    );
}

#[test]
fn response_rules() {
    let r = rules(
        "http-response set-status 404 reason \"Not here\"\nhttp-response set-header X-R %[status]\nrspidel ^server:\nrsprep ^HTTP/1.1\\ 404\\ (.*) HTTP/1.1\\ 410\\ \\\\1\nhttp-response deny if { res.hdr(x-bad) -m found }",
    );
    let mut m = Msg::new(GET);
    let mut res = ResponseHead::build(200, Version::HTTP_11);
    res.fields.add(b"Server", b"x");
    m.base.response = Some(res);
    assert_eq!(show(r.http_response.run(&mut 0, &mut m)), "Continue");
    let res = m.base.response.expect("set above");
    assert_eq!((res.status(), res.reason()), (410, &b"Not here"[..]));
    assert_eq!((res.fields.get(b"x-r"), res.fields.get(b"server")), (Some(&b"404"[..]), None));
}

#[test]
fn content_rules_wait_for_input() {
    let r = rules(
        "tcp-request inspect-delay 5s\ntcp-request content accept if { req.len ge 5 }\ntcp-request content reject if WAIT_END",
    );
    assert_eq!(r.request_delay.map(|d| d.as_secs()), Some(5));
    let mut m = Msg::new(GET);
    m.base.payload = Some(b"abc".to_vec());
    m.base.is_final = false;
    let mut at = 0;
    assert!(matches!(r.tcp_content.run(&mut at, &mut m), Verdict::Wait));
    m.base.payload = Some(b"abcdef".to_vec());
    assert!(matches!(r.tcp_content.run(&mut at, &mut m), Verdict::Allow));
    m.base.payload = Some(b"abc".to_vec());
    m.base.is_final = true;
    assert!(matches!(r.tcp_content.run(&mut 0, &mut m), Verdict::Reject));
}

#[test]
fn early_hints_go_out_together() {
    let r = rules(
        "http-request early-hint Link </a>\nhttp-request early-hint Link </b>\nhttp-request early-hint Link </c> if FALSE\nhttp-request set-log-level silent",
    );
    let mut m = Msg::new(GET);
    r.http_request.run(&mut 0, &mut m);
    assert_eq!(m.hints, ["Link=</a> false", "Link=</b> true"]);
    assert_eq!(m.level, Some(LevelOverride::Silent));
}

#[test]
fn backends_are_chosen_in_order() {
    let l = load(
        "acl site hdr_reg(host) -i ^(www.example.org|ww1.example.org)$\nuse_backend one if { path /x }\nuse_backend two if site\nuse_backend three",
    );
    assert!(!l.diags.has_errors());
    let section = l.sections.iter().find(|s| s.get::<ProxyRules>().is_some()).expect("loaded");
    for (i, n) in section.get::<crate::sample::NameRefs>().expect("recorded").list.iter().enumerate() {
        n.resolve(Target::Proxy(ProxyIdx(i as u32)));
    }
    let r = section.get::<ProxyRules>().expect("found above");
    assert_eq!(r.choose_backend(&Msg::new(GET)), Some(ProxyIdx(1)));
    let r = rules("use_backend %[req.hdr(host),lower]");
    assert_eq!(r.choose_backend(&Msg::new(GET)), Some(ProxyIdx(7)));
    assert_eq!(r.choose_backend(&Msg::new("GET / HTTP/1.1\r\nHost: unknown\r\n\r\n")), None);
}

#[test]
fn answers_with_bodies() {
    let r = rules(
        "http-request return status 403 content-type text/plain lf-string \"no %[src]\" hdr X-A %[method]",
    );
    let mut m = Msg::new(GET);
    let Verdict::Return(a) = r.http_request.run(&mut 0, &mut m) else { panic!("return expected") };
    let AnswerBody::Format(f) = &a.body else { panic!("format expected") };
    let mut out = Vec::new();
    m.render(f, &mut out);
    assert_eq!((out.as_slice(), a.headers.len()), (&b"no 127.0.0.1"[..], 1));
}

#[test]
fn errors_say_what_and_where() {
    let said = |lines: &str| {
        let l = load(lines);
        let d = l.diags.list.iter().find(|d| d.severity == crate::config::Severity::Alert);
        d.map(|d| format!("{} [{}]", d.message, d.help.as_deref().unwrap_or(""))).unwrap_or_default()
    };
    assert_eq!(
        said("http-request set-hedaer X y"),
        "'http-request' does not know the action 'set-hedaer' [did you mean 'set-header'?]"
    );
    assert_eq!(said("http-request set-status 200"), "'set-status' is no action of 'http-request' []");
    assert_eq!(said("http-request set-header X"), "'http-request set-header' expects a value []");
    assert_eq!(said("http-request cache-use c"), "'http-request cache-use' is not implemented yet []");
    assert!(
        said("http-request sc-inc-gpc(1) if TRUE").contains("an index and the number of a stick counter")
    );
    assert!(said("http-request sc-inc-gpc(100,0)").contains("between 0 and 99"));
    assert!(said("http-request sc-inc-gpc0").contains("in parentheses"));
    assert!(said("http-request sc-set-gpt0(0) -1").contains("between 0 and 4294967295"));
    assert!(said("http-request track-sc0").contains("expects a key"));
    assert!(said("http-request track-sc0 src table").contains("expects the name of a table"));
    assert_eq!(said("http-request track-sc7 src table t"), "");
    assert!(said("http-request deny foo").contains("does not know 'foo'"));
    assert!(said("http-request deny if nope").contains("no such ACL: 'nope'"));
    assert!(said("http-request set-header X y when TRUE").contains("unexpected 'when'"));
    assert!(said("http-request redirect code 301").contains("is missing"));
    assert!(said("http-request redirect location / code 200").contains("no code of a redirection"));
    assert!(
        said("http-request return content-type text/plain string x status 600")
            .contains("between 200 and 599")
    );
    assert!(said("http-request return string x").contains("needs its 'content-type'"));
    assert!(said("http-request deny status 302").contains("no error page"));
    assert!(said("http-request set-var txn.a src").contains("in parentheses"));
    assert!(said("http-request set-var(foo) src").contains("start with its scope"));
    assert!(said("http-request replace-header X ( y").contains("not a valid regular expression"));
    assert!(said("http-request set-header X %[status]").contains("may not be used in"));
    assert!(said("block").contains("expects 'if' or 'unless'"));
    assert!(said("reqadd foo").contains("no header line"));
    assert!(said("tcp-request content set-dst path,foo").contains("unknown converter"));
}

#[test]
fn an_order_that_misleads_is_a_warning() {
    let l = load("use_backend x\nhttp-request deny if FALSE");
    assert!(l.diags.list.iter().any(|d| d.message.contains("is still evaluated before it")));
    let l = load("http-request deny if FALSE\nuse_backend x");
    assert!(!l.diags.has_warnings());
    let l = load("http-request deny\nhttp-response deny\nhttp-request set-nice 1\nhttp-request set-nice 2");
    let noop: Vec<u32> = l
        .diags
        .list
        .iter()
        .filter(|d| d.message.contains("further entries are NOOP"))
        .map(|d| d.loc.line)
        .collect();
    assert_eq!(noop, [4]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(150))]
    #[test]
    fn parsing_never_panics(words in proptest::collection::vec("(deny|return|redirect|location|set-header|set-var\\(txn.a\\)|set-var\\(|status|hdr|string|/x|%\\[src\\]|%\\[|403|if|TRUE|\\{|\\}|code|301|replace-path|\\(a\\)|early-hint|capture|len|src|set-timeout|1s|-m|beg)", 0..7)) {
        for keyword in ["http-request", "http-response", "tcp-request content", "redirect", "block", "reqrep", "use_backend"] {
            load(&format!("{keyword} {}", words.join(" ")));
        }
    }
}

/// A set leaves no trace in itself.
#[test]
fn running_rules_twice_gives_the_same() {
    let r: RuleSet =
        rules("http-request set-header X-A %[hdr(host),lower]\nhttp-request set-var(txn.a) path")
            .http_request;
    let mut m = Msg::new(GET);
    for _ in 0..3 {
        assert_eq!(show(r.run(&mut 0, &mut m)), "Continue");
        assert_eq!(m.base.request.fields.count(b"x-a"), 1);
    }
}

#[test]
fn http_error_replaces_the_page_of_a_status() {
    let r = rules(
        "http-error status 503 content-type text/plain string \"busy\"\nhttp-error status 503 content-type text/plain string \"later\"\nhttp-error status 404 errorfile /dev/null",
    );
    let body = |s: u16| r.error_answer(s).map(|a| a.body.clone());
    assert!(matches!(body(503), Some(AnswerBody::Bytes(b)) if b == b"later"));
    assert!(matches!(body(404), Some(AnswerBody::Silence)));
    assert!(body(500).is_none());
    assert!(load("http-error 503").diags.has_errors());
    assert!(load("http-error status 503 if TRUE").diags.has_errors());
}
