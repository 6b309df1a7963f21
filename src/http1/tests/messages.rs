//! Ordinary messages: framing, persistence, normalisation, edits, writing.

use super::*;
use crate::http::{BodyLen, FieldId, Version};
use connection::*;

#[test]
fn a_request_in_all_its_parts() {
    let bytes = b"POST /a/b?x=1 HTTP/1.1\r\nHost: www.example.org\r\nX-One:  1 \r\nx-two:2\r\nContent-Length: 3\r\n\r\nabc";
    let (parsed, head) = request(bytes).unwrap();
    assert_eq!(parsed, Parsed::Complete { head_len: bytes.len() - 3 });
    assert_eq!((head.method(), head.method_token()), (Method::Post, &b"POST"[..]));
    assert_eq!((head.path(), head.query()), (Some(&b"/a/b"[..]), Some(&b"x=1"[..])));
    assert_eq!(head.host(), Some(&b"www.example.org"[..]));
    assert_eq!(head.framing(), BodyLen::Length(3));
    assert_eq!(head.request_line(), b"POST /a/b?x=1 HTTP/1.1");
    assert_eq!(head.received(), &bytes[..bytes.len() - 3]);
    let names: Vec<String> = head.fields.iter().map(|(n, v)| format!("{}={}", text(n), text(v))).collect();
    assert_eq!(names, ["Host=www.example.org", "X-One=1", "x-two=2", "Content-Length=3"]);
    assert!(head.fields.has_id(FieldId::ContentLength) && !head.fields.has_id(FieldId::Cookie));
}

#[test]
fn methods_versions_and_leading_lines() {
    let head = complete_request(b"\r\n\r\nPROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.method(), head.method_token()), (Method::Other, &b"PROPFIND"[..]));
    assert_eq!(
        complete_request(b"GET / HTTP/1.7\r\nHost: a\r\n\r\n").version(),
        Version { major: 1, minor: 7 }
    );
    assert_eq!(complete_request(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").target(), b"*");
    assert_eq!(complete_request(b"get / HTTP/1.1\r\nHost: a\r\n\r\n").method(), Method::Other);
    let mut out = Vec::new();
    write_request(&complete_request(b"GET / HTTP/1.7\r\nHost: a\r\n\r\n"), &mut out);
    assert!(out.starts_with(b"GET / HTTP/1.1\r\n"));
    let (_, rtsp) = request_as(b"OPTIONS rtsp://a/ RTSP/1.0\r\n\r\n", Relax::Unsafe).unwrap();
    out.clear();
    write_request(&rtsp, &mut out);
    assert_eq!(text(&out), "OPTIONS rtsp://a/ RTSP/1.0\r\n\r\n");
}

#[test]
fn obsolete_folds_become_spaces() {
    let head = complete_request(b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\tc\r\nY:\r\n z\r\n\r\n");
    assert_eq!(head.fields.get(b"x"), Some(&b"a   b  \tc"[..]));
    assert_eq!(head.fields.get(b"y"), Some(&b"z"[..]));
    let mut out = Vec::new();
    write_request(&head, &mut out);
    assert_eq!(out.iter().filter(|&&b| b == b'\n').count(), 5, "{}", out.escape_ascii());
}

/// Target, Host, and what both are afterwards.
#[test]
fn absolute_targets_are_normalised() {
    for (target, host, target_after, host_after) in [
        ("http://u:p@h:80/c", "h:80", "http://u:p@h/c", "h"),
        ("http://h:8080/c", "h:8080", "http://h:8080/c", "h:8080"),
        ("https://h:443/c", "h:443", "https://h/c", "h"),
        ("https://h:80/c", "h:80", "https://h:80/c", "h:80"),
        ("http://h:80/c", "h", "http://h/c", "h"),
        ("http://h/c", "h:80", "http://h/c", "h:80"),
        ("http://h:/c", "h", "http://h/c", "h"),
        ("http://h/c", "h:", "http://h/c", "h:"),
        ("http://h:80/c", "h:", "http://h/c", "h"),
        ("http://h:/c", "h:80", "http://h/c", "h"),
        ("http://:", ":80", "http:///", ""),
        ("http://h", "h", "http://h/", "h"),
        ("http://h:81", "h:81", "http://h:81/", "h:81"),
        ("http://h?a=b", "h", "http://h?a=b", "h"),
        ("http://h:80?c=d", "h:80", "http://h?c=d", "h"),
        ("HTTP://H/x", "h", "HTTP://H/x", "h"),
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let head = complete_request(bytes.as_bytes());
        assert_eq!(text(head.target()), target_after, "{target} {host}");
        assert_eq!(head.host().map(text).as_deref(), Some(host_after), "{target} {host}");
        assert_eq!(text(head.request_line()), format!("GET {target_after} HTTP/1.1"));
    }
    for (target, host, host_after) in [
        ("h:80", "h:80", "h"),
        ("h:80", "h", "h"),
        ("h:443", "h:443", "h"),
        ("h:443", "h:", "h:"),
        ("h:8443", "h:8443", "h:8443"),
    ] {
        let bytes = format!("CONNECT {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let head = complete_request(bytes.as_bytes());
        assert_eq!(
            (text(head.target()), head.host().map(text)),
            (target.to_string(), Some(host_after.to_string()))
        );
    }
}

#[test]
fn response_bodies() {
    use Method::{Connect, Get, Head};
    for (bytes, method, body) in [
        (&b"HTTP/1.1 200 OK\r\n\r\n"[..], Get, BodyLen::UntilClose),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Get, BodyLen::Length(5)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", Get, BodyLen::Length(5)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Get, BodyLen::Chunked),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Head, BodyLen::None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Head, BodyLen::None),
        (b"HTTP/1.1 304 OK\r\nContent-Length: 5\r\n\r\n", Get, BodyLen::None),
        (b"HTTP/1.1 204 OK\r\nContent-Length: 5\r\n\r\n", Get, BodyLen::None),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Get, BodyLen::None),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", Get, BodyLen::None),
        (b"HTTP/1.1 101 Switching\r\n\r\n", Get, BodyLen::Tunnel),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Connect, BodyLen::Tunnel),
        (b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n", Connect, BodyLen::Length(5)),
        (b"HTTP/1.0 200\r\n\r\n", Get, BodyLen::UntilClose),
        (b"HTTP/1.1 999 \xff\r\nContent-Length: 0\r\n\r\n", Get, BodyLen::Length(0)),
    ] {
        let head = complete_response(bytes, method);
        assert_eq!(head.framing(), body, "{} to {method:?}", bytes.escape_ascii());
    }
    let head = complete_response(b"HTTP/1.1 200\r\n\r\n", Get);
    assert_eq!((head.status(), head.reason()), (200, &b""[..]));
    let mut out = Vec::new();
    write_response(&head, &mut out);
    assert_eq!(out, b"HTTP/1.1 200 \r\n\r\n");
    assert!(complete_response(b"HTTP/1.1 100 C\r\n\r\n", Get).is_interim());
    assert!(!complete_response(b"HTTP/1.1 101 S\r\n\r\n", Get).is_interim());
}

#[test]
fn persistence() {
    for (version, fields, keeps) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
        ("1.0", "Connection: close, keep-alive\r\n", false),
    ] {
        let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(client_keeps_alive(&complete_request(bytes.as_bytes())), keeps, "{version} {fields:?}");
        let bytes = format!("HTTP/{version} 200 OK\r\nContent-Length: 0\r\n{fields}\r\n");
        assert_eq!(server_keeps_alive(&complete_response(bytes.as_bytes(), Method::Get)), keeps);
        let bytes = format!("HTTP/{version} 200 OK\r\n{fields}\r\n");
        assert!(!server_keeps_alive(&complete_response(bytes.as_bytes(), Method::Get)));
    }
}

fn rewritten(version: &str, fields: &str, persistence: Persistence) -> String {
    let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
    let mut head = complete_request(bytes.as_bytes());
    rewrite_request(&mut head, persistence);
    let mut out = Vec::new();
    write_request(&head, &mut out);
    text(&out).split_once("Host: a\r\n").unwrap().1.trim_end().to_string()
}

#[test]
fn the_server_is_told_what_we_want() {
    use Persistence::{Close, KeepAlive, Untouched};
    for (version, fields, persistence, after) in [
        ("1.1", "", KeepAlive, ""),
        ("1.1", "", Close, "Connection: close"),
        ("1.0", "", KeepAlive, "Connection: keep-alive"),
        ("1.0", "Connection: keep-alive\r\n", Close, ""),
        ("1.1", "Connection: close\r\n", KeepAlive, ""),
        (
            "1.1",
            "Connection: keep-alive, x-forwarded-for\r\nKeep-Alive: 3\r\nX-Forwarded-For: b\r\n",
            KeepAlive,
            "X-Forwarded-For: b",
        ),
        ("1.1", "Proxy-Connection: keep-alive\r\n", KeepAlive, ""),
        ("1.1", "Connection: Upgrade\r\nUpgrade: foo\r\n", KeepAlive, "Upgrade: foo\r\nConnection: upgrade"),
        ("1.1", "Connection: Upgrade\r\nUpgrade: foo\r\n", Close, "Upgrade: foo\r\nConnection: upgrade"),
        ("1.1", "Connection: Upgrade\r\nUpgrade: foo\r\n", Untouched, "Connection: Upgrade\r\nUpgrade: foo"),
        ("1.1", "Upgrade: foo\r\n", KeepAlive, ""),
        (
            "1.1",
            "Connection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 3\r\n",
            KeepAlive,
            "Content-Length: 3",
        ),
        (
            "1.1",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n",
            KeepAlive,
            "",
        ),
        ("1.1", "Connection: TE\r\nTE: deflate, trailers\r\n", KeepAlive, "TE: trailers\r\nConnection: TE"),
        ("1.1", "TE: trailers\r\n", KeepAlive, ""),
        ("1.1", "Connection: TE\r\nTE: gzip\r\n", Close, "Connection: close"),
    ] {
        assert_eq!(rewritten(version, fields, persistence), after, "{version} {fields:?} {persistence:?}");
    }
}

fn answered(bytes: &str, client: Version, persistence: Persistence) -> (String, BodyForm) {
    let mut head = complete_response(bytes.as_bytes(), Method::Get);
    let form = rewrite_response(&mut head, client, persistence);
    let mut out = Vec::new();
    write_response(&head, &mut out);
    (text(&out).split_once("\r\n").unwrap().1.trim_end().to_string(), form)
}

#[test]
fn the_client_is_told_what_happens() {
    use Persistence::{Close, KeepAlive};
    let (v10, v11) = (Version::HTTP_10, Version::HTTP_11);
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(answered(ok, v11, KeepAlive).0, "Content-Length: 2");
    assert_eq!(answered(ok, v11, Close).0, "Content-Length: 2\r\nConnection: close");
    assert_eq!(answered(ok, v10, KeepAlive).0, "Content-Length: 2\r\nConnection: keep-alive");
    let old = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(answered(old, v11, KeepAlive).0, "Content-Length: 2\r\nConnection: keep-alive");
    let hops = "HTTP/1.1 200 OK\r\nConnection: close\r\nKeep-Alive: x\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(answered(hops, v11, KeepAlive).0, "Content-Length: 2");
    assert_eq!(answered("HTTP/1.1 200 OK\r\n\r\n", v11, KeepAlive).0, "Connection: close");
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(answered(twice, v11, KeepAlive).0, "Content-Length: 2\r\nX: y");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(answered(chunked, v11, KeepAlive), ("Transfer-Encoding: chunked".to_string(), BodyForm::AsIs));
    assert_eq!(answered(chunked, v10, KeepAlive), ("Connection: close".to_string(), BodyForm::Dechunked));
    assert_eq!(answered("HTTP/1.1 204 OK\r\nContent-Length: 2\r\n\r\n", v11, KeepAlive).0, "");
    assert_eq!(
        answered("HTTP/1.1 304 OK\r\nContent-Length: 2\r\n\r\n", v11, KeepAlive).0,
        "Content-Length: 2"
    );
    assert_eq!(answered("HTTP/1.1 100 C\r\nX: y\r\n\r\n", v11, Close).0, "X: y");
    let switch = "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n";
    assert_eq!(answered(switch, v11, Close).0, "Connection: upgrade\r\nUpgrade: foo");
}

#[test]
fn edits_are_an_overlay() {
    let bytes = b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\nx: 3, 4\r\n\r\n";
    let mut head = complete_request(bytes);
    assert_eq!(head.fields.get_nth(b"x", 2), Some(&b"3, 4"[..]));
    assert_eq!(head.fields.last(b"X"), Some(&b"3, 4"[..]));
    assert_eq!(head.fields.get_nth(b"x", -2), Some(&b"1"[..]));
    assert_eq!((head.fields.get_nth(b"x", 3), head.fields.get_nth(b"x", i64::MIN)), (None, None));
    assert_eq!(head.fields.values(b"x").collect::<Vec<_>>(), [&b"1"[..], b"3", b"4"]);
    assert_eq!(head.fields.value_nth(b"x", -1), Some(&b"4"[..]));
    assert_eq!(head.fields.value_nth(b"x", 2), Some(&b"3"[..]));
    assert_eq!((head.fields.value_nth(b"x", 9), head.fields.value_nth(b"x", -9)), (None, None));
    assert_eq!((head.fields.count(b"x"), head.fields.count_values(b"x")), (2, 3));
    head.fields.replace(b"X", b"9");
    head.fields.set(b"y", b"8");
    head.fields.add(b"Z", b"7");
    head.set_path(b"/new/path");
    head.set_query(b"q");
    let mut out = Vec::new();
    write_request(&head, &mut out);
    assert_eq!(text(&out), "GET /new/path?q HTTP/1.1\r\nHost: a\r\nX: 9\r\nx: 3, 4\r\ny: 8\r\nZ: 7\r\n\r\n");
    assert_eq!(head.received(), bytes);
    assert_eq!(head.request_line(), b"GET /a?b=c HTTP/1.1");
    head.set_query(b"");
    assert_eq!(head.target(), b"/new/path");
    head.set_method(b"PURGE");
    assert_eq!((head.method(), head.method_token()), (Method::Other, &b"PURGE"[..]));
    assert_eq!(head.fields.remove(b"host"), 1);
    assert!(!head.fields.has_id(FieldId::Host) && head.host().is_none());
    head.clear();
    assert!(head.fields.is_empty() && head.target().is_empty());
}

#[test]
fn expectation() {
    let expects = |v: &str| {
        complete_request(format!("PUT / HTTP/1.1\r\nHost: a\r\nExpect: {v}\r\n\r\n").as_bytes())
            .expects_continue()
    };
    assert!(expects("100-continue") && expects("100-Continue") && !expects("200-ok"));
}

#[test]
fn chunk_heads() {
    for len in [1u64, 9, 15, 16, 255, 256, 0xdead_beef, u64::MAX >> 1] {
        let mut out = Vec::new();
        chunk::push_chunk_head(&mut out, len);
        assert_eq!(text(&out), format!("{len:x}\r\n"));
    }
    let mut decoder = ChunkDecoder::new();
    assert_eq!(decoder.decode(b"a\r\nab"), Ok(ChunkStep::Data { data: 3..5, consumed: 5 }));
    assert_eq!(decoder.data_left(), 8);
    decoder.skip_data(8);
    assert_eq!(decoder.data_left(), 0);
    assert_eq!(decoder.validate(b"\r\n0\r\n\r\nGET"), Ok((7, true)));
    assert!(decoder.is_done());
}
