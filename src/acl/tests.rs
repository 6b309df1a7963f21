//! Conditions over real requests.

use std::net::SocketAddr;

use crate::base::time::{Mono, Wall};
use crate::config::{Diagnostics, LoadState, Loc, Section, SectionKind, Tables, Word};
use crate::http::{RequestHead, ResponseHead};
use crate::http1::{self, Limits, Parsed, Relax};
use crate::sample::{Ctx, Expr, ExprCx, Place, Scope, VarStore, to_str};

use super::Condition;
use super::condition::declare;
use super::test::Test;

/// A context with a request, perhaps a response.
pub(crate) struct Fake {
    pub request: RequestHead,
    pub response: Option<ResponseHead>,
    pub src: SocketAddr,
    pub vars: VarStore,
    pub payload: Option<Vec<u8>>,
    pub is_final: bool,
}

impl Fake {
    pub fn new(raw: &str) -> Fake {
        let mut request = RequestHead::new();
        let parsed = http1::parse_request(raw.as_bytes(), &Limits::default(), Relax::default(), &mut request);
        assert!(matches!(parsed, Ok(Parsed::Complete { .. })), "{parsed:?}");
        Fake {
            request,
            response: None,
            src: "127.0.0.1:4000".parse().expect("valid"),
            vars: VarStore::new(),
            payload: None,
            is_final: true,
        }
    }
}

impl Ctx for Fake {
    fn now(&self) -> Mono {
        Mono(0)
    }
    fn wall(&self) -> Wall {
        Wall(784_111_777_000_000)
    }
    fn src(&self) -> Option<SocketAddr> {
        Some(self.src)
    }
    fn request(&self) -> Option<&RequestHead> {
        self.payload.is_none().then_some(&self.request)
    }
    fn response(&self) -> Option<&ResponseHead> {
        self.response.as_ref()
    }
    fn request_payload(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }
    fn input_final(&self) -> bool {
        self.is_final
    }
    fn vars(&self, _: Scope) -> Option<&VarStore> {
        Some(&self.vars)
    }
}

/// Everything that parsing needs.
pub(crate) struct Bench {
    pub tables: Tables,
    pub diags: Diagnostics,
    pub section: Section,
    pub state: LoadState,
}

impl Bench {
    pub fn new() -> Bench {
        let mut tables = Tables::default();
        crate::sample::register(&mut tables);
        super::register(&mut tables);
        let section = Section::new(SectionKind::Frontend, "f".into(), Loc::default());
        Bench { tables, diags: Diagnostics::default(), section, state: LoadState::default() }
    }
    pub fn cx(&mut self, place: Place) -> ExprCx<'_> {
        ExprCx {
            tables: &self.tables,
            diags: &mut self.diags,
            section: &mut self.section,
            state: &mut self.state,
            place,
        }
    }
    pub fn acl(&mut self, name: &str, words: &str) {
        let words = words_of(words);
        let mut cx = self.cx(Place::ACL);
        let test = Test::parse(&mut cx, "ACL", &words).expect("valid ACL");
        declare(&mut cx, name, test);
    }
    pub fn condition(&mut self, words: &str) -> Option<Condition> {
        Condition::parse(&mut self.cx(Place::HTTP_REQUEST), &words_of(words))
    }
    pub fn expr(&mut self, word: &str) -> Option<Expr> {
        Expr::parse(&mut self.cx(Place::HTTP_REQUEST), &words_of(word)[0])
    }
    pub fn said(&self) -> String {
        self.diags
            .list
            .iter()
            .map(|d| format!("{} [{}]\n", d.message, d.help.as_deref().unwrap_or("")))
            .collect()
    }
}

/// Words separated by single spaces; `_` stands for a space inside one.
pub(crate) fn words_of(line: &str) -> Vec<Word> {
    let mut col = 1;
    line.split(' ')
        .map(|w| {
            let len = w.len() as u32;
            let loc = Loc { file: 0, line: 1, col, len };
            col += len + 1;
            Word { bytes: w.replace('~', " ").into_bytes(), loc }
        })
        .collect()
}

const GET: &str = "GET /img/logo.png?a=1&b=2 HTTP/1.1\r\nHost: WWW.Example.org\r\nX-F: 10.0.0.1, 192.168.3.4\r\nCookie: SID=abc; T=5\r\n\r\n";

fn holds(condition: &str) -> bool {
    let mut b = Bench::new();
    b.acl("site", "hdr_reg(host) -i ^(www.example.org|ww1.example.org)$");
    b.acl("static", "path_beg /static /img");
    b.acl("static", "path_end .gif");
    b.acl("local", "src 127.0.0.0/8");
    let c = b.condition(condition);
    let said = b.said();
    c.unwrap_or_else(|| panic!("{condition}: {said}")).eval(&Fake::new(GET))
}

#[test]
fn conditions_combine_acls() {
    for yes in [
        "if site",
        "if static local",
        "if !local or static",
        "unless !static",
        "if { path_end .png } { hdr_cnt(x-f) eq 2 }",
        "if ! { path /x } || FALSE",
        "if !{ path /x }",
        "if METH_GET HTTP_1.1 LOCALHOST TRUE",
        "if HTTP_URL_SLASH !HTTP_URL_ABS !HTTP_URL_STAR !HTTP_CONTENT",
        "if { hdr_ip(x-f) 192.168.0.0/16 }",
        "if { hdr(x-f,1) 10.0.0.1 }",
        "if { hdr_dom(host) -i example }",
        "if { req.cook(SID) -m len 3 } { cook_val(T) gt 4 }",
        "if { urlp(b) 2 } { query -m found }",
        "if { req.hdr(nope) -m found } or { hdr(host),lower www.example.org }",
        "if { path,length gt 5 } { method GET POST } { method -i get }",
        "if { path_sub logo } { base_dir img } { url_len 21 }",
        "if { str(5) -m int 1:9 } { src -m found }",
    ] {
        assert!(holds(yes), "{yes}");
    }
    for no in [
        "if !site",
        "if static FALSE",
        "unless TRUE",
        "if { path_beg /IMG }",
        "if { hdr(host) www.example.org }",
        "if { req.fhdr(x-f) 10.0.0.1 }",
        "if { path -m str /img }",
        "if METH_POST",
        "if { method get }",
    ] {
        assert!(!holds(no), "{no}");
    }
}

#[test]
fn errors_name_the_word_and_what_was_meant() {
    let said = |c: &str| {
        let mut b = Bench::new();
        b.acl("host_static", "path_beg /s");
        assert!(b.condition(c).is_none(), "{c}");
        let d = &b.diags.list[0];
        format!("{}: {} [{}]", d.loc.col, d.message, d.help.as_deref().unwrap_or(""))
    };
    assert_eq!(said("if host_statc"), "4: no such ACL: 'host_statc' [did you mean 'host_static'?]");
    assert_eq!(
        said("if { pth_beg /x }"),
        "6: unknown sample fetch or ACL criterion 'pth_beg' [did you mean 'path_beg'?]"
    );
    assert_eq!(
        said("if { query_beg /x }"),
        "6: unknown sample fetch or ACL criterion 'query_beg' [write 'query -m beg']"
    );
    assert!(said("if TRUE or").contains("a condition is missing here"));
    assert!(said("if { path /x").contains("missing closing '}'"));
    assert!(said("when TRUE").contains("'if' or 'unless'"));
    assert!(said("if { path -m foo x }").contains("unknown match method 'foo'"));
    assert!(said("if { path -x foo }").contains("'-x' is no flag of ACLs"));
    assert!(said("if { always_true -m ip 1.1.1.1 }").contains("cannot be used with"));
    assert!(said("if { var(txn.x) foo }").contains("needs a match method"));
    assert!(said("if { src 1.2.3.4.5 }").starts_with("10: '1.2.3.4.5' is not a valid IPv4"));
    assert!(said("if { path_reg ( }").contains("is not a valid regular expression"));
    assert!(said("if { path -f /does/not/exist }").contains("cannot read the pattern file"));
    assert!(said("if { hdr_cnt(x) gt a }").contains("neither a number nor an operator"));
    assert!(said("if { src,lower,foo x }").contains("unknown converter 'foo'"));
}

#[test]
fn a_test_that_cannot_match_is_a_warning() {
    let mut b = Bench::new();
    assert!(b.condition("if { status 200 }").is_some());
    assert!(!b.diags.has_errors() && b.diags.has_warnings());
    assert!(b.said().contains("will never match"), "{}", b.said());
    assert!(b.expr("status").is_none());
    assert!(b.said().contains("may not be used in 'http-request' rule"), "{}", b.said());
}

#[test]
fn tests_that_follow_belong_to_conditions_that_precede() {
    let mut b = Bench::new();
    b.acl("a", "path /nope");
    let c = b.condition("if a").expect("valid");
    assert!(!c.eval(&Fake::new(GET)));
    b.acl("a", "path_beg /img");
    assert!(c.eval(&Fake::new(GET)));
}

#[test]
fn input_that_is_to_come_may_decide() {
    let mut b = Bench::new();
    let place = Place::TCP_CONTENT;
    let c = Condition::parse(&mut b.cx(place), &words_of("if { req.len ge 5 }")).expect("valid");
    let end = Condition::parse(&mut b.cx(place), &words_of("if WAIT_END")).expect("valid");
    let mut f = Fake::new(GET);
    f.payload = Some(b"abc".to_vec());
    f.is_final = false;
    assert_eq!((c.eval_partial(&f), end.eval_partial(&f)), (None, None));
    f.payload = Some(b"abcdef".to_vec());
    assert_eq!(c.eval_partial(&f), Some(true));
    f.payload = Some(b"abc".to_vec());
    f.is_final = true;
    assert_eq!((c.eval_partial(&f), end.eval_partial(&f)), (Some(false), Some(true)));
}

fn value(e: &str) -> String {
    let mut b = Bench::new();
    let Some(x) = b.expr(e) else { return format!("error: {}", b.said()) };
    let f = Fake::new(GET);
    f.vars.set(crate::sample::VarName::parse(b"txn.v").expect("valid"), &crate::sample::Sample::Int(3));
    match x.eval(&f).and_then(to_str) {
        Some(v) => String::from_utf8_lossy(&v).into_owned(),
        None => "none".into(),
    }
}

#[test]
fn expressions_as_the_reference_evaluates_them() {
    for (e, want) in [
        ("path", "/img/logo.png"),
        ("pathq", "/img/logo.png?a=1&b=2"),
        ("query", "a=1&b=2"),
        ("url", "/img/logo.png?a=1&b=2"),
        ("base", "WWW.Example.org/img/logo.png"),
        ("method", "GET"),
        ("req.ver", "1.1"),
        ("hdr(host),lower", "www.example.org"),
        ("req.hdr(x-f)", "192.168.3.4"),
        ("req.hdr(x-f,1)", "10.0.0.1"),
        ("req.hdr(x-f,-2)", "10.0.0.1"),
        ("req.fhdr(x-f)", "10.0.0.1, 192.168.3.4"),
        ("req.hdr_cnt(x-f)", "2"),
        ("req.fhdr_cnt(x-f)", "1"),
        ("req.hdr_names", "Host,X-F,Cookie"),
        ("req.cook(SID)", "abc"),
        ("req.cook", "abc"),
        ("req.cook_cnt", "2"),
        ("urlp(b)", "2"),
        ("urlp(c)", "none"),
        ("urlp_val(a),add(41)", "42"),
        ("src,ipmask(16)", "127.0.0.0"),
        ("src_port", "4000"),
        ("bin(414243)", "ABC"),
        ("bin(410043),lower", "a"),
        ("str(42x),add(1)", "43"),
        ("str(abc),add(1)", "1"),
        ("str(),add(1)", "none"),
        ("int(5),hex", "0000000000000005"),
        ("src,hex", "7F000001"),
        ("bool(true),add(2)", "3"),
        ("int(-7),mod(3)", "-1"),
        ("int(-7),div(2)", "-3"),
        ("int(5),div(0)", "9223372036854775807"),
        ("int(5),add(txn.v)", "8"),
        ("str(abc),bytes(5)", "none"),
        ("str(abc),bytes(1,9)", "bc"),
        ("str(aGVsbG8=),b64dec", "hello"),
        ("str(aGVsbG8),b64dec", "none"),
        ("str(aGVsbG8),ub64dec", "hello"),
        ("str(foo=bar+42~42~),url_enc", "foo%3Dbar%2B42%2042%20"),
        ("str(a%20b+c?d+e),url_dec", "a b+c?d e"),
        ("str(a+b),url_dec(1)", "a b"),
        ("str(%zz),url_dec", "none"),
        ("str(ff),hex2i", "255"),
        ("str(abc),regsub(b,\"[\\0]\")", "a[b]c"),
        ("str(abc),concat(x,txn.no,y)", "abcxy"),
        ("str(),add_item(\",\",,b)", "b"),
        ("str(a),add_item(\",\",txn.v)", "a,3"),
        ("str(HOST:80),host_only", "host"),
        ("str([::1]:80),port_only", "80"),
        ("str(foo),crc32", "2356372769"),
        ("str(foo),xxh64", "3728699739546630719"),
        ("str(foo),sdbm(1)", "2735148936"),
        ("int(784111777),http_date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("date,utime(%Y-%m-%d)", "1994-11-06"),
        ("str(foo~1/2),json", "foo 1\\/2"),
        ("bin(2de02d),json(utf8s)", "--"),
        ("bin(e0),json(utf8)", "none"),
        ("str(\"fr,en-GB;q=0.8,da;q=0.9\"),language(en;da)", "da"),
        ("str(fr),language(en;da)", "none"),
        ("str(MaIl.EXAMPLE.com),reverse_dom", "com.EXAMPLE.MaIl"),
        ("str(foo..bar),reverse_dom", "none"),
        ("str(a),set-var(txn.q),concat(-,txn.q)", "a-a"),
        ("var(txn.v),mul(7)", "21"),
        ("var(txn.none,dflt)", "dflt"),
        ("bin(01020304050607),be2dec(:,2)", "258:772:1286:7"),
        ("bin(01020304050607),be2hex(--,2,1)", "0102--0304--0506"),
        ("str(x),iif(a,b)", "b"),
        ("str(,a,b),field(3,\",\")", "error"),
    ] {
        let got = value(e);
        if want == "error" {
            assert!(got.starts_with("error"), "{e}: {got}");
        } else {
            assert_eq!(got, want, "{e}");
        }
    }
}

#[test]
fn argument_errors_point_at_the_argument() {
    let said = |e: &str| {
        let mut b = Bench::new();
        assert!(b.expr(e).is_none(), "{e}");
        let d = &b.diags.list[0];
        format!("{}+{}: {}", d.loc.col, d.loc.len, d.message)
    };
    assert_eq!(
        said("src,ipmask(99)"),
        "12+2: invalid argument 1 of converter 'ipmask': '99' is not a valid IPv4 mask"
    );
    assert_eq!(said("src,ipmask"), "11+1: missing argument 1 of converter 'ipmask' (expected: IPv4 mask)");
    assert_eq!(said("src(a)"), "5+1: sample fetch 'src' takes no argument");
    assert_eq!(said("src,lowr"), "5+4: unknown converter 'lowr'");
    assert_eq!(said("hdr(a"), "4+1: missing closing parenthesis in the arguments of sample fetch 'hdr'");
    assert!(said("bin(41),ipmask(8)").contains("cannot be applied"));
    assert!(said("var(foo)").contains("it must start with its scope"));
    assert!(said("str(a),field(0,x)").contains("must not be 0"));
}

#[test]
fn named_acls_are_samples() {
    let mut b = Bench::new();
    b.acl("A", "always_true");
    b.acl("B", "acl(A)");
    b.acl("C", "acl(!B)");
    b.acl("D", "acl(B,!C)");
    let f = Fake::new(GET);
    let text =
        |b: &mut Bench, e: &str| b.expr(e).and_then(|x| x.eval(&f).and_then(to_str).map(|v| v.to_vec()));
    for (e, want) in
        [("acl(A)", b"1"), ("acl(B)", b"1"), ("acl(C)", b"0"), ("acl(D)", b"1"), ("acl(TRUE)", b"1")]
    {
        assert_eq!(text(&mut b, e).as_deref(), Some(&want[..]), "{e}");
    }
    assert!(b.expr("acl(nope)").is_none());
}

#[test]
fn maps_give_values_keys_and_groups() {
    let dir = std::env::temp_dir().join(format!("haring-map-{}", std::process::id()));
    std::fs::write(&dir, "/img images\n/img/logo logo\n^/(i.*)/(l.*)\\.png \\2-\\1\n10.0.0.0/8 5\n")
        .expect("writable");
    let file = dir.to_string_lossy().into_owned();
    let value = |e: &str| {
        let mut b = Bench::new();
        let x = b.expr(&e.replace('@', &file));
        let said = b.said();
        let x = x.unwrap_or_else(|| panic!("{e}: {said}"));
        x.eval(&Fake::new(GET))
            .and_then(to_str)
            .map_or("none".into(), |v| String::from_utf8_lossy(&v).into_owned())
    };
    assert_eq!(value("path,map_beg(@)"), "logo");
    assert_eq!(value("path,map_beg_key(@)"), "/img/logo");
    assert_eq!(value("path,map_dir(@)"), "images");
    assert_eq!(value("path,map(@,none)"), "none");
    assert_eq!(value("path,map(@)"), "none");
    assert_eq!(value("path,regsub(img,inn),map_regm(@)"), "logo-inn");
    let mut b = Bench::new();
    assert!(b.expr(&format!("path,map_str_int({file},7)")).is_none());
    assert!(b.said().contains("line 1 of"), "{}", b.said());
    std::fs::remove_file(&dir).expect("written above");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
    #[test]
    fn parsing_never_panics(e in "(src|hdr|path|str|urlp|var|int)[(),a-z0-9.'\"\\\\ -]{0,24}", c in "(if|unless)( (!|\\{|\\}|or|a|TRUE|path|-m|-i|-f|str|x|!\\{)){0,8}") {
        let mut b = Bench::new();
        b.acl("a", "path /");
        let words = [Word { bytes: e.clone().into_bytes(), loc: Loc { file: 0, line: 1, col: 1, len: e.len() as u32 } }];
        if let Some(x) = Expr::parse(&mut b.cx(Place::HTTP_REQUEST), &words[0]) {
            x.eval(&Fake::new(GET));
        }
        if let Some(x) = b.condition(&c) {
            x.eval(&Fake::new(GET));
        }
    }
}

#[test]
fn thousands_of_lines_of_one_name_are_one_acl() {
    let mut b = Bench::new();
    for i in 0..30_000 {
        b.acl("banned", &format!("src 10.0.{}.{}", i / 250, i % 250));
    }
    let banned = b.condition("if banned").expect("valid");
    assert!(!banned.eval(&Fake::new(GET)));
    b.acl("banned", "src 127.0.0.1");
    assert!(banned.eval(&Fake::new(GET)), "a line below the condition counts");
    // Dropping them must not nest as deep as the list is long: the stack would not do.
}

#[test]
fn what_looks_like_a_flag_is_one() {
    let said = |words: &str| {
        let mut b = Bench::new();
        let parsed = Test::parse(&mut b.cx(Place::ACL), "ACL", &words_of(words)).is_some();
        assert_eq!(parsed, b.diags.list.is_empty(), "{words}");
        b.said()
    };
    assert!(said("hdr(host) -q x").contains("'-q' is no flag"));
    assert_eq!(said("hdr_val(x) -- -5"), "");
    assert_eq!(said("hdr_val(x) lt -5"), "");
    assert!(said("hdr(host) -u x y").contains("'-u' needs a number"));
    let mut b = Bench::new();
    b.acl("a", "hdr(host) -u 7 x");
    assert!(Test::parse(&mut b.cx(Place::ACL), "ACL", &words_of("hdr(host) -u 7 y")).is_none());
    assert!(b.said().contains("the id 7 is already used"));
}
