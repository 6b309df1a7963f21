//! Lines compared with those that HAProxy 2.6 wrote for the same exchange (dates, ports and pid replaced).

use proptest::prelude::*;

use super::*;
use crate::base::SockAddr;
use crate::base::time::{Mono, Wall};
use crate::config::{Diagnostics, LoadState, Loc, Section, SectionKind, Tables, Word};
use crate::sample::{Args, Ctx, ExprCx, Fetch, Needs, Place, Sample as Value, Type};

struct TestCx;

impl Ctx for TestCx {
    fn now(&self) -> Mono {
        Mono(0)
    }
    fn wall(&self) -> Wall {
        Wall(0)
    }
}

fn word_arg<'a>(args: &'a Args, _: &'a dyn Ctx) -> Option<Value<'a>> {
    args.str(0).map(Value::str)
}
fn nothing<'a>(_: &'a Args, _: &'a dyn Ctx) -> Option<Value<'a>> {
    None
}
fn five<'a>(_: &'a Args, _: &'a dyn Ctx) -> Option<Value<'a>> {
    Some(Value::Int(5))
}
fn yes<'a>(_: &'a Args, _: &'a dyn Ctx) -> Option<Value<'a>> {
    Some(Value::Bool(true))
}

static FETCHES: &[Fetch] = &[
    Fetch::new("t_word", Type::Str, Needs::INTERNAL, word_arg).args(1, &[crate::sample::ArgType::Str]),
    Fetch::new("t_none", Type::Str, Needs::CLIENT, nothing),
    Fetch::new("t_int", Type::Int, Needs::INTERNAL, five),
    Fetch::new("t_bool", Type::Bool, Needs::INTERNAL, yes),
    Fetch::new("t_head", Type::Str, Needs::REQ_HEAD, nothing),
    Fetch::new("t_line", Type::Str, Needs::REQ_LINE, nothing),
    Fetch::new("t_status", Type::Int, Needs::RES_LINE, five),
];

fn compile(text: &str, usage: Usage) -> (Option<LogFormat>, Diagnostics) {
    let mut tables = Tables::default();
    tables.add(FETCHES);
    let mut diags = Diagnostics::default();
    let mut section = Section::new(SectionKind::Frontend, "fe".into(), Loc::default());
    let mut state = LoadState::default();
    let place = Place::LOG;
    let mut cx =
        ExprCx { tables: &tables, diags: &mut diags, section: &mut section, state: &mut state, place };
    let loc = Loc { file: 0, line: 1, col: 1, len: text.len() as u32 };
    let format = LogFormat::parse(&mut cx, &Word { bytes: text.as_bytes().to_vec(), loc }, usage);
    (format, diags)
}

fn render(format: &LogFormat, fields: &LogFields<'_>) -> String {
    let mut out = Vec::new();
    format.render(fields, &TestCx, &mut out);
    out.iter().map(|b| char::from(*b)).collect()
}

fn line(text: &str, fields: &LogFields<'_>) -> String {
    let (format, diags) = compile(text, Usage::Log);
    assert!(!diags.has_errors(), "{text}: {diags:?}");
    render(&format.expect("no errors"), fields)
}

fn ms(n: u64) -> Mono {
    Mono(5_000_000_000 + n * 1_000_000)
}

fn captured(values: &[Option<&[u8]>]) -> Captures {
    let mut c = Captures::default();
    c.reset(values.len());
    for (i, v) in values.iter().enumerate() {
        if let Some(v) = v {
            c.store(i, 100, v);
        }
    }
    c
}

struct Fixture {
    request: Captures,
    response: Captures,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture {
            request: captured(&[Some(b"ex{a}|\"\\]#\xe9.com"), Some(b"cur\"l/12")]),
            response: captured(&[Some(b"x"), None]),
        }
    }

    /// The exchange that the expected lines were recorded from.
    fn fields(&self) -> LogFields<'_> {
        let addr = |s: &str| LogAddr::Inet(s.parse().expect("an address"));
        LogFields {
            accept_wall: Wall(1_795_215_677_196_000),
            timeline: Timeline {
                accept: ms(0),
                handshake: ms(0),
                first_byte: Some(ms(0)),
                request: Some(ms(0)),
                queue: Some(ms(0)),
                connect: Some(ms(0)),
                response: Some(ms(0)),
                end: ms(0),
            },
            client: addr("127.0.0.1:54868"),
            frontend_addr: addr("127.0.0.1:44119"),
            backend_source: addr("127.0.0.1:55338"),
            server_addr: addr("127.0.0.1:55309"),
            frontend: "fe1",
            http: true,
            backend: "be",
            server: Some("s1"),
            status: Some(200),
            bytes_read: 94,
            bytes_uploaded: 111,
            actconn: 1,
            feconn: 1,
            request_line: Some(b"GET /a/b?x=\"y\"&z=[1]\\ HTTP/1.1"),
            request_cookie: Some(b"SID=zz\"x]"),
            response_cookie: Some(b"SID=abc\"d{e|f}#; path=/"),
            request_captures: Some(&self.request),
            response_captures: Some(&self.response),
            unique_id: Some(b"7F000001:D82A_7F000001:AC57_6B00D13D_0001:30E7"),
            request_counter: 1,
            ..LogFields::default()
        }
    }
}

const ALL: &str = "%B|%CC|%CS|%HM|%HP|%HPO|%HQ|%HU|%HV|%ID|%ST|%T|%Ta|%Tc|%Td|%Th|%Ti|%Tl|%TR|%Tr|%Tq|%Ts|%Tt|%Tu|%Tw|%U|%ac|%b|%bc|%bi|%bp|%bq|%ci|%cp|%f|%fc|%fi|%fp|%ft|%hr|%hrl|%hs|%hsl|%lc|%ms|%r|%rc|%rt|%s|%sc|%si|%sp|%sq|%sslc|%sslv|%t|%tr|%trg|%trl|%ts|%tsc";

#[test]
fn every_variable_prints_what_the_reference_prints() {
    let fx = Fixture::new();
    let f = fx.fields();
    assert_eq!(
        line(ALL, &f),
        "94|SID=zz\"x]|SID=abc\"d{e|f}#; path=/|GET|/a/b|/a/b|?x=#22y#22&z=[1]\\|/a/b?x=#22y#22&z=[1]\\|HTTP/1.1|7F000001:D82A_7F000001:AC57_6B00D13D_0001:30E7|200|20/Nov/2026:23:01:17 +0000|0|0|0|0|0|20/Nov/2026:23:01:17 +0000|0|0|0|1795215677|0|0|0|111|1|be|0|127.0.0.1|55338|0|127.0.0.1|54868|fe1|1|127.0.0.1|44119|fe1|{ex#7Ba#7D#7C#22\\]#23#E9.com|cur#22l/12}|ex#7Ba#7D#7C#22\\]#23#E9.com cur#22l/12|{x|}|x -|0|196|GET /a/b?x=#22y#22&z=[1]\\ HTTP/1.1|0|1|s1|0|127.0.0.1|55309|0|-|-|20/Nov/2026:23:01:17.196|20/Nov/2026:23:01:17.196|20/Nov/2026:23:01:17 +0000|20/Nov/2026:23:01:17 +0000|--|----"
    );
    assert_eq!(
        line(&format!("%{{+Q}}o {ALL}"), &f),
        "94|\"SID=zz\"x]\"|\"SID=abc\"d{e|f}#; path=/\"|\"GET\"|\"/a/b\"|\"/a/b\"|\"?x=#22y#22&z=[1]\\\"|\"/a/b?x=#22y#22&z=[1]\\\"|\"HTTP/1.1\"|\"7F000001:D82A_7F000001:AC57_6B00D13D_0001:30E7\"|200|20/Nov/2026:23:01:17 +0000|0|0|0|0|0|20/Nov/2026:23:01:17 +0000|0|0|0|1795215677|0|0|0|111|1|\"be\"|0|\"127.0.0.1\"|55338|0|\"127.0.0.1\"|54868|\"fe1\"|1|\"127.0.0.1\"|44119|\"fe1\"|\"{ex#7Ba#7D#7C#22\\]#23#E9.com|cur#22l/12}\"|\"ex#7Ba#7D#7C#22\\]#23#E9.com\" \"cur#22l/12\"|\"{x|}\"|\"x\" \"\"|0|196|\"GET /a/b?x=#22y#22&z=[1]\\ HTTP/1.1\"|0|1|\"s1\"|0|\"127.0.0.1\"|55309|0|\"\"|\"\"|20/Nov/2026:23:01:17.196|20/Nov/2026:23:01:17.196|20/Nov/2026:23:01:17 +0000|20/Nov/2026:23:01:17 +0000|--|----"
    );
}

#[test]
fn hexadecimal_is_for_addresses_ports_and_counters_only() {
    let fx = Fixture::new();
    let f = LogFields { unique_id: None, ..fx.fields() };
    assert_eq!(
        line("%{+X}o %ci:%cp_%fi:%fp_%Ts_%rt %lc %B %ms %ST %bi:%bp %si:%sp %s", &f),
        "7F000001:D654_7F000001:AC57_6B00D13D_0001 0000 94 196 200 7F000001:D82A 7F000001:D80D s1"
    );
    let v6 = LogAddr::Inet("[2001:db8::1]:80".parse().expect("an address"));
    let f = LogFields { client: v6, ..f };
    assert_eq!(line("%{+X}ci:%{+X}cp %ci:%cp", &f), "20010DB8000000000000000000000001:0050 2001:db8::1:80");
    assert_eq!(line("%{+X}pid", &f), format!("{:04X}", std::process::id()));
}

#[test]
fn flag_e_puts_backslashes() {
    let fx = Fixture::new();
    let f = fx.fields();
    assert_eq!(
        line("%{+E}o %CC|%CS|%HQ|%hr|%hrl|%hs|%hsl|%r|%s|%sslc|%tsc|%[t_word('a]\"\\\\b')]", &f),
        "SID=zz\\\"x\\]|SID=abc\\\"d{e|f}#; path=/|?x=#22y#22&z=[1\\]\\\\|{ex#7Ba#7D#7C#22\\\\\\]#23#E9.com|cur#22l/12}|ex#7Ba#7D#7C#22\\\\\\]#23#E9.com cur#22l/12|{x|}|x -|GET /a/b?x=#22y#22&z=[1\\]\\\\ HTTP/1.1|s1|-|----|a\\]\\\"\\\\\\\\b"
    );
    assert_eq!(
        line("%{+E,+Q}CC|%{+Q,+E}hr|%{+E,+Q}[t_none]", &f).split('|').next(),
        Some("\"SID=zz\\\"x\\]\"")
    );
}

#[test]
fn the_built_in_lines_are_those_of_the_reference() {
    let fx = Fixture::new();
    let mut f = fx.fields();
    f.timeline.end = ms(1);
    assert_eq!(
        line(builtin::HTTP, &f),
        "127.0.0.1:54868 [20/Nov/2026:23:01:17.196] fe1 be/s1 0/0/0/0/1 200 94 SID=zz\"x] SID=abc\"d{e|f}#; path=/ ---- 1/1/0/0/0 0/0 {ex#7Ba#7D#7C#22\\]#23#E9.com|cur#22l/12} {x|} \"GET /a/b?x=#22y#22&z=[1]\\ HTTP/1.1\""
    );
    assert_eq!(
        line(builtin::HTTP_CLF, &f),
        "127.0.0.1 - - [20/Nov/2026:23:01:17 +0000] \"GET /a/b?x=#22y#22&z=[1]\\ HTTP/1.1\" 200 94 \"\" \"\" 54868 196 \"fe1\" \"be\" \"s1\" 0 0 0 0 1 ---- 1 1 0 0 0 0 0 \"SID=zz\"x]\" \"SID=abc\"d{e|f}#; path=/\" \"ex#7Ba#7D#7C#22\\]#23#E9.com\" \"cur#22l/12\" \"x\" \"\""
    );
    let plain = LogFields {
        request_captures: None,
        response_captures: None,
        request_cookie: None,
        response_cookie: None,
        ..f.clone()
    };
    assert_eq!(
        line(builtin::HTTP, &plain),
        "127.0.0.1:54868 [20/Nov/2026:23:01:17.196] fe1 be/s1 0/0/0/0/1 200 94 - - ---- 1/1/0/0/0 0/0 \"GET /a/b?x=#22y#22&z=[1]\\ HTTP/1.1\""
    );
    let tcp = "127.0.0.1:54868 [20/Nov/2026:23:01:17.196] fe1 be/s1 0/0/1 94 -- 1/1/0/0/0 0/0";
    assert_eq!(line(builtin::TCP, &f), tcp);
    assert_eq!(render(&builtin::tcp(), &f), tcp);
    assert_eq!(
        render(&builtin::default_line(), &f),
        "Connect from 127.0.0.1:54868 to 127.0.0.1:44119 (fe1/HTTP)"
    );
    let tls = LogFields { frontend_tls: true, ..f };
    assert_eq!(line("%f %ft", &tls), "fe1 fe1~");
}

#[test]
fn a_request_that_never_came_has_no_timers() {
    // "option httplog" of a client that sent half a request line and was timed out.
    let f = LogFields {
        accept_wall: Wall(1_795_215_688_000_000),
        timeline: Timeline { accept: ms(0), handshake: ms(0), end: ms(702), ..Timeline::default() },
        client: LogAddr::Inet("127.0.0.1:1".parse().expect("an address")),
        frontend: "f",
        http: true,
        backend: "f",
        status: Some(408),
        termination: *b"cR--",
        feconn: 1,
        actconn: 1,
        ..LogFields::default()
    };
    assert_eq!(
        line(builtin::HTTP, &f),
        "127.0.0.1:1 [20/Nov/2026:23:01:28.000] f f/<NOSRV> -1/-1/-1/-1/702 408 0 - - cR-- 1/1/0/0/0 0/0 \"<BADREQ>\""
    );
    assert_eq!(
        line("%HM|%HP|%HPO|%HQ|%HU|%HV|%Ti|%Tq|%Td|%Tu|%bi:%bp %si:%sp", &f),
        "<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|0|-1|-1|702|-:- -:-"
    );
}

#[test]
fn timers_add_up_and_the_request_date_excludes_idle_time() {
    let f = LogFields {
        accept_wall: Wall(1_795_215_688_100_000),
        timeline: Timeline {
            accept: Mono(999_999),
            handshake: Mono(4_000_000),
            first_byte: Some(Mono(14_999_998)),
            request: Some(Mono(20_500_000)),
            queue: Some(Mono(31_000_000)),
            connect: Some(Mono(33_000_000)),
            response: Some(Mono(50_000_000)),
            end: Mono(61_999_999),
        },
        http: true,
        ..LogFields::default()
    };
    assert_eq!(
        line("%Th/%Ti/%TR/%Tw/%Tc/%Tr/%Td %Tq %Ta %Tt %Tu %tr", &f),
        "3/10/6/11/2/17/12 19 48 61 51 20/Nov/2026:23:01:28.113"
    );
    let queued = Timeline { connect: None, response: None, end: ms(0), ..f.timeline };
    assert_eq!(line("%TR/%Tw/%Tc/%Tr", &LogFields { timeline: queued, ..f }), "6/11/-1/-1");
}

#[test]
fn logasap_marks_what_is_not_final() {
    let f = LogFields { incomplete: true, bytes_read: 56, http: true, ..LogFields::default() };
    assert_eq!(line("%B %Ta %Tt %Tu %Td %Tc %U", &f), "+56 +0 +0 +0 -1 -1 0");
    let f = LogFields { redispatched: true, retries: 3, ..f };
    assert_eq!(line("%rc %(r){+json}rc", &f), "+3 3");
}

#[test]
fn statuses_and_modes() {
    let f = LogFields { http: true, frontend: "f", ..LogFields::default() };
    assert_eq!(line("%ST", &f), "-1");
    assert_eq!(line("%ST", &LogFields { http: false, ..f.clone() }), "0");
    let unix = LogFields { client: LogAddr::Unix { id: 3 }, ..f };
    assert_eq!(line("%ci:%cp", &unix), "unix:3");
}

#[test]
fn targets_of_odd_shapes_are_cut_as_the_reference_cuts_them() {
    let of = |l: &str| {
        let f = LogFields { request_line: Some(l.as_bytes()), http: true, ..LogFields::default() };
        line("%HM %HU %HP|%HPO|%HQ|%HV", &f)
    };
    assert_eq!(of("OPTIONS * HTTP/1.1"), "OPTIONS * *|||HTTP/1.1");
    assert_eq!(of("GET http://a HTTP/1.1"), "GET http://a http://a|||HTTP/1.1");
    assert_eq!(
        of("GET http://www.x.com/a/b?q=1?2 HTTP/1.1"),
        "GET http://www.x.com/a/b?q=1?2 http://www.x.com/a/b|/a/b|?q=1?2|HTTP/1.1"
    );
    assert_eq!(of("CONNECT a:443 HTTP/1.1"), "CONNECT a:443 a:443|||HTTP/1.1");
}

#[test]
fn spaces_are_merged_and_empty_items_leave_none() {
    let fx = Fixture::new();
    let f = fx.fields();
    assert_eq!(line("  lead  %ci   %cp  ", &f), "lead 127.0.0.1 54868 ");
    let none = LogFields { request_captures: None, response_captures: None, ..f.clone() };
    assert_eq!(line("a %hr %hs b", &none), "a b");
    assert_eq!(line("%{+Q}hr|%hr|%hrl|x", &none), "|||x");
    assert_eq!(line("%%%ci%%ci%%", &f), "%127.0.0.1%ci%");
    assert_eq!(line("%ci%{+Q}o%ci", &f), "127.0.0.1\"127.0.0.1\"");
    let (format, _) = compile("  a  %ci   b  ", Usage::Http);
    assert_eq!(render(&format.expect("valid"), &f), "  a  127.0.0.1   b  ");
}

#[test]
fn missing_values_are_a_dash_in_logs_and_nothing_in_headers() {
    let f = LogFields { http: true, ..LogFields::default() };
    let text = "%[t_none]|%{+Q}[t_none]|%CC|%[t_int]|%{+Q}[t_bool]|%[t_word(a\n\t)]";
    assert_eq!(line(text, &f), "-|\"\"|-|5|\"1\"|a#0A#09");
    let (format, _) = compile(text, Usage::Http);
    assert_eq!(render(&format.expect("valid"), &f), "|\"\"||5|\"1\"|a%0A\t");
}

#[test]
fn lines_are_written_as_soon_as_they_are_complete() {
    let at = |text: &str| compile(text, Usage::Log).0.expect("valid").complete_at();
    assert_eq!(at("%ci:%cp [%t] %f %[t_int]"), Step::Accept);
    assert_eq!(at("%ci %r"), Step::Request);
    assert_eq!(at("%[t_line]"), Step::Request);
    assert_eq!(at("%b/%s %r"), Step::Connect);
    assert_eq!(at("%ST %[t_status] %s"), Step::Response);
    assert_eq!(at(builtin::HTTP), Step::Close);
}

#[test]
fn json_and_cbor_hold_the_named_items() {
    let fx = Fixture::new();
    let f = fx.fields();
    assert_eq!(
        line("%{+json}o %(request)r %ci %(n)B %(ok)[t_bool] %(no)[t_none] %(s:str)B", &f),
        "{\"request\": \"GET /a/b?x=\\\"y\\\"&z=[1]\\\\ HTTP/1.1\", \"n\": 94, \"ok\": true, \"no\": null, \"s\": \"94\"}"
    );
    assert_eq!(line("%{+json}[t_word(x'\"'y)] %{+json}B", &f), "\"x\\\"y\" 94");
    // bf, key "n", 94, key "s", text "s1", break.
    assert_eq!(line("%{+cbor}o %(n)B %(s)s", &f), "BF616E185E6173627331FF");
    let (format, _) = compile("%{+cbor,+bin}o %(n)B", Usage::Log);
    let mut out = Vec::new();
    format.expect("valid").render(&f, &TestCx, &mut out);
    assert_eq!(out, [0xbf, 0x61, b'n', 0x18, 94, 0xff]);
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let check = |text: &str, col: u32, message: &str| {
        let (format, diags) = compile(text, Usage::Log);
        assert!(format.is_none(), "{text} is wrong");
        let d = &diags.list[0];
        assert!(d.message.contains(message), "{text}: {}", d.message);
        assert_eq!(d.loc.col, col, "{text}");
        d.help.clone().unwrap_or_default()
    };
    assert!(check("%ci %foo", 6, "no such format variable 'foo'").contains("'%%'"));
    assert!(check("%CI", 2, "no such format variable 'CI'").contains("'%ci'"));
    assert!(check("%citrus", 2, "'citrus'").contains("'%ci'"));
    assert!(check("%TRR", 2, "'TRR'").contains("'%TR'"));
    check("%r%", 3, "nothing follows '%'");
    check("%{+Q r", 1, "missing '}'");
    check("%{+Q}", 1, "flags without");
    check("%{+Q}%r", 1, "flags without");
    check("%[t_int", 1, "missing ']'");
    check("a %[nosuch]", 5, "nosuch");
    check("%[t_head]", 3, "HTTP request headers");
    check("%(name", 2, "missing ')'");
    check("%(n:what)r", 2, "unknown item type 'what'");
    let (_, diags) = compile("%foo %[nosuch] %bar", Usage::Log);
    assert_eq!(diags.list.len(), 3, "all mistakes are reported");
}

#[test]
fn what_the_reference_lets_pass_gives_a_warning() {
    let fx = Fixture::new();
    let f = fx.fields();
    for (text, want) in [
        ("%]a", "]a"),
        ("%-ci", "-ci"),
        ("%{Q}ci", "127.0.0.1"),
        ("%{+Z}ci", "127.0.0.1"),
        ("%{ +Q}ci", "\"127.0.0.1\""),
        ("%{+Q+E}CC", "\"SID=zz\\\"x\\]\""),
        ("%st", "200"),
    ] {
        let (format, diags) = compile(text, Usage::Log);
        assert!(!diags.has_errors(), "{text}: {diags:?}");
        assert_eq!(diags.has_warnings(), !matches!(text, "%{ +Q}ci" | "%{+Q+E}CC"), "{text}");
        assert_eq!(render(&format.expect("valid"), &f), want, "{text}");
    }
    assert_eq!(line("%(x)ci %ci] %ci-x %ci_x", &f), "127.0.0.1 127.0.0.1] 127.0.0.1-x 127.0.0.1_x");
}

#[test]
fn traffic_lines_follow_the_options() {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").expect("a loopback port");
    receiver.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("valid");
    let addr = SockAddr::Inet(receiver.local_addr().expect("bound"));
    let log = |change: &dyn Fn(&mut ProxyLog)| {
        let mut target = Target::new(addr.clone(), Facility(18));
        target.format = Some(SyslogFormat::Priority);
        let (format, _) = compile("%ST %ts %rc", Usage::Log);
        let mut log = ProxyLog {
            targets: vec![target.into()],
            format: format.expect("valid").into(),
            ..ProxyLog::default()
        };
        change(&mut log);
        log
    };
    let send = |log: &ProxyLog, over, change: &dyn Fn(&mut LogFields<'_>)| {
        let mut f = LogFields { http: true, status: Some(200), bytes_uploaded: 9, ..LogFields::default() };
        change(&mut f);
        exchange(log, over, &f, &TestCx, Wall(0));
        // A mark behind it: what comes first was the line.
        emit_system(log, Level::Debug, "mark", Wall(0));
        let mut got = Vec::new();
        loop {
            let mut buf = [0; 2000];
            let n = receiver.recv(&mut buf).expect("the mark comes");
            let text = String::from_utf8_lossy(&buf[..n]).into_owned();
            if text == "<151>mark\n" {
                return got.concat();
            }
            got.push(text);
        }
    };
    let plain = log(&|_| {});
    assert_eq!(send(&plain, None, &|_| {}), "<150>200 -- 0\n");
    assert_eq!(send(&plain, Some(LevelOverride::Silent), &|_| {}), "");
    assert_eq!(send(&plain, Some(LevelOverride::Level(Level::Warning)), &|_| {}), "<148>200 -- 0\n");
    let null = log(&|l| l.dont_log_null = true);
    assert_eq!(send(&null, None, &|f| f.bytes_uploaded = 0), "");
    assert_eq!(send(&null, None, &|_| {}), "<150>200 -- 0\n");
    let normal = log(&|l| l.dont_log_normal = true);
    assert_eq!(send(&normal, None, &|_| {}), "");
    assert_eq!(send(&normal, None, &|f| f.status = Some(500)), "<150>500 -- 0\n");
    assert_eq!(send(&normal, None, &|f| f.retries = 1), "<150>200 -- 1\n");
    assert_eq!(send(&normal, None, &|f| f.termination = *b"CD--"), "<150>200 CD 0\n");
    assert_eq!(send(&normal, None, &|f| f.termination = *b"LR--"), "");
    let errors = log(&|l| l.separate_errors = true);
    assert_eq!(send(&errors, None, &|f| f.status = Some(503)), "<147>503 -- 0\n");
    assert_eq!(send(&errors, None, &|_| {}), "<150>200 -- 0\n");
    assert_eq!(plain.counter.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn a_receiver_that_takes_nothing_costs_lines_and_never_time() {
    let (reader, writer) = std::io::pipe().expect("pipes can be made");
    let fd = std::os::fd::AsRawFd::as_raw_fd(&writer);
    let mut target = Target::new(SockAddr::Fd(fd), Facility(3));
    target.format = Some(SyslogFormat::Raw);
    let target = std::sync::Arc::new(target);
    let log = ProxyLog { targets: vec![target.clone()], ..ProxyLog::default() };
    let text = "x".repeat(999);
    for _ in 0..2000 {
        emit_system(&log, Level::Info, &text, Wall(0));
    }
    let dropped = target.dropped();
    assert!(dropped > 0 && dropped < 2000, "{dropped}");
    assert!(dropped_total() >= dropped);
    drop(writer);
    let mut all = String::new();
    std::io::Read::read_to_string(&mut { reader }, &mut all).expect("text");
    let lines: Vec<_> = all.lines().collect();
    assert!(lines.iter().all(|l| l.len() == 999), "no line is torn");
    assert_eq!(lines.len() as u64, 2000 - dropped);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_is_either_a_format_or_an_error(text in "[ -~]{0,40}") {
        let (format, diags) = compile(&text, Usage::Log);
        prop_assert_eq!(format.is_none(), diags.has_errors());
        if let Some(f) = format {
            let fx = Fixture::new();
            render(&f, &fx.fields());
        }
    }

    #[test]
    fn pieces_of_formats_never_upset_the_parser(
        parts in proptest::collection::vec(
            proptest::sample::select(vec!["%", "{", "}", "+Q", "-E", "+json", "[", "]", "(", ")", "t_int", "ci", "o", " ", ",", "%%", ":", "t_word(", "\""]), 0..12)
    ) {
        let text = parts.concat();
        for usage in [Usage::Log, Usage::Http, Usage::UniqueId, Usage::StructuredData] {
            let (format, diags) = compile(&text, usage);
            prop_assert_eq!(format.is_none(), diags.has_errors(), "{}", text);
        }
    }
}
