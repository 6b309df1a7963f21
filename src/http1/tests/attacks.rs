//! One table for every attack on framing, syntax and routing that the parser has to refuse, with the verdict.
//! What unsafe mode lets pass is in a table of its own.

use super::*;
use crate::http::BodyLen;
use RequestErrorKind as K;

/// A request with `Host: a` and these further lines.
fn with(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n{fields}\r\n").into_bytes()
}

fn verdict(bytes: &[u8]) -> K {
    match request(bytes) {
        Err(e) => e.kind,
        Ok(parsed) => panic!("accepted: {} as {parsed:?}", bytes.escape_ascii()),
    }
}

#[test]
fn framing_fields() {
    let post = "POST / HTTP/1.1";
    let long_name = format!("{}: b\r\n", "x".repeat(270));
    let table: &[(&str, &str, K)] = &[
        // Transfer-Encoding
        (post, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding: chunked, chunked\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding: identity, chunked\r\n", K::UnsupportedCoding),
        (post, "Transfer-Encoding: gzip, chunked\r\n", K::UnsupportedCoding),
        (post, "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", K::UnsupportedCoding),
        (post, "Transfer-Encoding: identity\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding: chunked, identity\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding: ,chunked\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding: chunked,\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding:\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding: chunked;a=b\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding: \"chunked\"\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding: \x0bchunked\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding: chunked\x0b\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding: \u{a0}chunked\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding: xchunked\r\n", K::BadTransferEncoding),
        (post, "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", K::BothFramings),
        (post, "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", K::BothFramings),
        (post, "Content-Length: 3\r\nTransfer-Encoding: identity\r\n", K::BothFramings),
        ("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n", K::TransferEncodingIn10),
        ("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", K::BothFramings),
        // Content-Length
        (post, "Content-Length:\r\n", K::BadContentLength),
        (post, "Content-Length: 3\r\nContent-Length: 3\r\n", K::DuplicateContentLength),
        (post, "Content-Length: 3\r\nContent-Length: 4\r\n", K::DuplicateContentLength),
        (post, "Content-Length: 3, 3\r\n", K::BadContentLength),
        (post, "Content-Length: 3,4\r\n", K::BadContentLength),
        (post, "Content-Length: +5\r\n", K::BadContentLength),
        (post, "Content-Length: -5\r\n", K::BadContentLength),
        (post, "Content-Length: 0x5\r\n", K::BadContentLength),
        (post, "Content-Length: 1_0\r\n", K::BadContentLength),
        (post, "Content-Length: 1 0\r\n", K::BadContentLength),
        (post, "Content-Length: \x0b5\r\n", K::BadContentLength),
        (post, "Content-Length: 5\u{a0}\r\n", K::BadContentLength),
        (post, "Content-Length: 9223372036854775808\r\n", K::BadContentLength),
        (post, "Content-Length: 18446744073709551615\r\n", K::BadContentLength),
        (post, "Content-Length: 18446744073709551617\r\n", K::BadContentLength),
        (post, "Content-Length: 99999999999999999999999999999999999999\r\n", K::BadContentLength),
        ("GET / HTTP/1.0", "Content-Length: 3\r\n", K::UnexpectedPayload),
        ("HEAD / HTTP/1.0", "Content-Length: 3\r\n", K::UnexpectedPayload),
        ("DELETE / HTTP/1.0", "Content-Length: 3\r\n", K::UnexpectedPayload),
        // Connection
        (post, "Content-Length: 3\r\nConnection: content-length\r\n", K::ConnectionNamesFraming),
        (post, "Content-Length: 3\r\nConnection: close, Content-Length\r\n", K::ConnectionNamesFraming),
        (post, "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", K::ConnectionNamesFraming),
        (post, "Connection: keep-alive\r\nConnection: HOST\r\n", K::ConnectionNamesFraming),
        // Field names and lines
        ("GET / HTTP/1.1", ": x\r\n", K::BadFieldName),
        ("GET / HTTP/1.1", "X : x\r\n", K::BadFieldName),
        ("GET / HTTP/1.1", "X\t: x\r\n", K::BadFieldName),
        ("GET / HTTP/1.1", "X y: x\r\n", K::BadFieldName),
        ("GET / HTTP/1.1", "Xy\r\n", K::BadFieldName),
        ("GET / HTTP/1.1", "X(y): x\r\n", K::BadFieldName),
        ("GET / HTTP/1.1", "X\u{85}: x\r\n", K::BadFieldName),
        ("GET / HTTP/1.1", &long_name, K::FieldNameTooLong),
        ("GET / HTTP/1.1", "X\0: x\r\n", K::ControlByte),
        ("GET / HTTP/1.1", "X: a\0b\r\n", K::ControlByte),
        ("GET / HTTP/1.1", "X: a\rb\r\n", K::ControlByte),
        ("GET / HTTP/1.1", "X: a\r\r\n", K::ControlByte),
        ("GET / HTTP/1.1", "X: a\nY: b\r\n", K::ControlByte),
        ("GET / HTTP/1.1", "X\r: a\r\n", K::ControlByte),
        // Target
        ("GET /a#.png HTTP/1.1", "", K::FragmentInTarget),
        ("GET http://a/#x HTTP/1.1", "", K::FragmentInTarget),
        ("GET /a\u{80} HTTP/1.1", "", K::BadTarget),
        ("GET /a\x7f HTTP/1.1", "", K::BadTarget),
        ("GET /a\x01 HTTP/1.1", "", K::BadTarget),
        ("GET a HTTP/1.1", "", K::BadTarget),
        ("GET * HTTP/1.1", "", K::BadTarget),
        ("GET http:/a HTTP/1.1", "", K::BadTarget),
        ("GET http://b/ HTTP/1.1", "", K::HostMismatch),
        ("GET http://a:8080/ HTTP/1.1", "", K::HostMismatch),
        ("GET http://a:8x/ HTTP/1.1", "", K::BadAuthority),
        ("GET http://a b/ HTTP/1.1", "", K::BadVersion),
        ("CONNECT a HTTP/1.1", "", K::BadAuthority),
        ("CONNECT a: HTTP/1.1", "", K::BadAuthority),
        ("CONNECT / HTTP/1.1", "", K::BadAuthority),
        ("CONNECT :80 HTTP/1.1", "", K::BadAuthority),
        ("CONNECT u@a:80 HTTP/1.1", "", K::BadAuthority),
        ("CONNECT b:80 HTTP/1.1", "", K::HostMismatch),
        ("CONNECT a:8080 HTTP/1.1", "", K::HostMismatch),
        // Request line
        ("GET /", "", K::Http09),
        ("GET", "", K::BadTarget),
        ("GET ", "", K::BadRequestLine),
        (" GET / HTTP/1.1", "", K::BadMethod),
        ("G(T / HTTP/1.1", "", K::BadMethod),
        ("GET  / HTTP/1.1", "", K::BadRequestLine),
        ("GET /  HTTP/1.1", "", K::BadRequestLine),
        ("GET\t/ HTTP/1.1", "", K::BadRequestLine),
        ("GET / HTTP/1.1 ", "", K::BadVersion),
        ("GET / HTTP/1.", "", K::BadVersion),
        ("GET / HTTP/1.11", "", K::BadVersion),
        ("GET / HTTP/0.9", "", K::BadVersion),
        ("GET / HTTP/2.0", "", K::BadVersion),
        ("GET / http/1.1", "", K::BadVersion),
        ("GET / RTSP/1.0", "", K::BadVersion),
        ("GET /\rHTTP/1.1", "", K::ControlByte),
        ("GET / HTTP/1.1\0", "", K::ControlByte),
        // Host
        ("GET / HTTP/1.1", "Host: a\r\n", K::DuplicateHost),
        ("GET / HTTP/1.1", "host: b\r\n", K::DuplicateHost),
        // Protocol switch
        ("GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: websocket\r\n", K::MissingWebSocketKey),
    ];
    for (line, fields, kind) in table {
        let bytes = with(line, fields);
        assert_eq!(verdict(&bytes), *kind, "{}", bytes.escape_ascii());
    }
}

#[test]
fn host_is_one_valid_host() {
    for (host, kind) in [
        ("", K::MissingHost),
        ("Host: a:8x\r\n", K::BadHost),
        ("Host: a b\r\n", K::BadHost),
        ("Host: a/b\r\n", K::BadHost),
        ("Host: u@a\r\n", K::BadHost),
        ("Host: a,b:1,\r\n", K::BadHost),
        ("Host: [::1\r\n", K::BadHost),
        ("Host: a:99999\r\n", K::BadHost),
        ("Host: a\r\n\tb\r\n", K::BadHost),
    ] {
        let bytes = format!("GET / HTTP/1.1\r\n{host}\r\n").into_bytes();
        assert_eq!(verdict(&bytes), kind, "{host:?}");
    }
    for host in ["Host:\r\n", "Host: [::1]:80\r\n", "Host: a:\r\n", "Host: a_b.c\r\n"] {
        assert!(request(format!("GET / HTTP/1.1\r\n{host}\r\n").as_bytes()).is_ok(), "{host:?}");
    }
    assert!(request(b"GET / HTTP/1.0\r\n\r\n").is_ok());
}

#[test]
fn a_fold_needs_something_to_continue() {
    assert_eq!(verdict(b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n"), K::FoldOfNothing);
    // Not a way around the framing rules either: the fold is a space.
    let bytes = with("POST / HTTP/1.1", "Transfer-Encoding:\r\n chunked\r\n");
    assert_eq!(request(&bytes).unwrap().1.framing(), BodyLen::Chunked);
    let bytes = with("POST / HTTP/1.1", "Content-Length: 1\r\n 0\r\n");
    assert_eq!(verdict(&bytes), K::BadContentLength);
}

#[test]
fn sizes_are_bounded() {
    let limits = Limits::default();
    let many = with("GET / HTTP/1.1", &"X: y\r\n".repeat(100));
    assert_eq!(verdict(&many), K::TooManyFields);
    assert!(request(&with("GET / HTTP/1.1", &"X: y\r\n".repeat(99))).is_ok());
    assert_eq!(verdict(&with("GET / HTTP/1.1", &"X: y\r\n".repeat(100_000))), K::TooManyFields);
    let exact = |len: usize| with("GET / HTTP/1.1", &format!("X: {}\r\n", "y".repeat(len)));
    let spare = limits.head_bytes - exact(0).len();
    assert!(request(&exact(spare)).is_ok());
    assert_eq!(verdict(&exact(spare + 1)), K::HeadTooLarge);
    let uri = format!("GET /{} HTTP/1.1\r\n", "a".repeat(20_000)).into_bytes();
    assert_eq!(verdict(&uri), K::HeadTooLarge);
    // The end of the line is not needed to see that it is too long.
    assert_eq!(verdict(&uri[..limits.head_bytes]), K::HeadTooLarge);
    assert_eq!(verdict(&b"\r\n".repeat(10_000)), K::HeadTooLarge);
    let name = |n: usize| with("GET / HTTP/1.1", &format!("{}: y\r\n", "x".repeat(n)));
    assert!(request(&name(255)).is_ok());
    assert_eq!(verdict(&name(256)), K::FieldNameTooLong);
}

#[test]
fn control_bytes_are_seen_before_the_line_ends() {
    for partial in [&b"\x16\x03\x01\x02\x00\x01"[..], b"\x00", b"GET /\x00", b"GET / HTTP/1.1\r\nX: a\x00"] {
        assert_eq!(verdict(partial), K::ControlByte, "{}", partial.escape_ascii());
    }
}

#[test]
fn line_ends_are_of_one_kind() {
    // Typed by hand: all LF.
    let head = complete_request(b"GET / HTTP/1.1\nHost: a\nX: y\n\n");
    assert_eq!(head.fields.get(b"x"), Some(&b"y"[..]));
    for mixed in [
        &b"GET / HTTP/1.1\r\nHost: a\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\nHost: a\r\n\n",
        b"GET / HTTP/1.1\nHost: a\n\r\n",
    ] {
        assert_eq!(verdict(mixed), K::ControlByte, "{}", mixed.escape_ascii());
    }
}

#[test]
fn statuses() {
    for &kind in K::ALL {
        let status = RequestError { kind, at: 0 }.status();
        let expected = match kind {
            K::UnexpectedPayload => 413,
            K::UnsupportedCoding => 501,
            _ => 400,
        };
        assert_eq!(status, expected, "{kind:?}");
        assert!(pages::closes(status) && pages::STATUSES.contains(&status));
    }
}

/// What unsafe mode takes in requests, and what it does not.
#[test]
fn unsafe_mode_gives_way_only_where_documented() {
    let lax = |line: &str, fields: &str| request_as(&with(line, fields), Relax::Unsafe).map(|(_, head)| head);
    for (line, fields) in [
        ("GET /a#b HTTP/1.1", ""),
        ("GET /\u{e9} HTTP/1.1", ""),
        ("GET http://b/ HTTP/1.1", ""),
        ("CONNECT a HTTP/1.1", ""),
        ("CONNECT / HTTP/1.1", ""),
        ("GET / RTSP/1.0", ""),
        ("GET / HTTP/1.11", ""),
        ("GET / HTTP/1.1", "X: a\0b\r\n"),
        ("GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        ("GET / HTTP/1.1", "Host: b\r\n"),
    ] {
        assert!(lax(line, fields).is_ok(), "{line} {fields}: {:?}", lax(line, fields));
    }
    // A line with an invalid name is taken and dropped.
    for fields in ["X : a\r\n", "X\u{85}: a\r\n", "X\0: a\r\n"] {
        let head = lax("GET / HTTP/1.1", fields).unwrap();
        assert_eq!(head.fields.len(), 1, "{fields:?}");
    }
    let dropped = lax("POST / HTTP/1.1", "Content-Length : 3\r\n").unwrap();
    assert_eq!(dropped.framing(), BodyLen::None);
    let old = request_as(b"GET /x\r\n", Relax::Unsafe).unwrap();
    assert_eq!(old.0, Parsed::Complete { head_len: 8 });
    for (line, fields, kind) in [
        ("POST / HTTP/1.1", "Content-Length: +5\r\n", K::BadContentLength),
        ("POST / HTTP/1.1", "Content-Length: 3\r\nContent-Length: 3\r\n", K::DuplicateContentLength),
        ("POST / HTTP/1.1", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", K::BothFramings),
        ("POST / HTTP/1.1", "Transfer-Encoding: ,chunked\r\n", K::BadTransferEncoding),
        ("GET / HTTP/1.1", ": a\r\n", K::BadFieldName),
        ("GET / HTTP/1.1", "Xa\r\n", K::BadFieldName),
        ("GET / HTTP/1.1", "X: a\rb\r\n", K::ControlByte),
        ("GET /\x01 HTTP/1.1", "", K::BadTarget),
        ("GET /\x7f HTTP/1.1", "", K::BadTarget),
        ("POST /x", "", K::Http09),
        ("GET / http/1.1", "", K::BadVersion),
    ] {
        let error = lax(line, fields).unwrap_err();
        assert_eq!(error.kind, kind, "{line} {fields:?}");
    }
}

/// Found by the fuzzer: the place of the version was read behind the end of the line.
#[test]
fn a_request_line_that_ends_in_white_space() {
    for line in ["GET / ", "GET / \t", "GET /\t", "GET \t", "GET\t"] {
        let bytes = format!("{line}\r\nHost: a\r\n\r\n").into_bytes();
        for relax in [Relax::Strict, Relax::Unsafe] {
            assert!(request_as(&bytes, relax).is_err(), "{line:?}");
        }
    }
}

#[test]
fn responses() {
    use ResponseErrorKind as R;
    let table: &[(&[u8], R)] = &[
        (b"hello", R::BadVersion),
        (b"SSH-2.0-OpenSSH_9.2\r\n", R::BadVersion),
        (b"HTTP/2.0 200 OK\r\n\r\n", R::BadVersion),
        (b"HTTP/1.1 20 OK\r\n\r\n", R::BadStatus),
        (b"HTTP/1.1 2000 OK\r\n\r\n", R::BadStatus),
        (b"HTTP/1.1 099 OK\r\n\r\n", R::BadStatus),
        (b"HTTP/1.1  200 OK\r\n\r\n", R::BadStatus),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", R::BadStatus),
        (b"HTTP/1.1 200OK\r\n\r\n", R::BadStatus),
        (b"HTTP/1.1 200 O\0K\r\n\r\n", R::ControlByte),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", R::BadFieldName),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", R::DuplicateContentLength),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n", R::BadContentLength),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", R::BothFramings),
        (b"HTTP/1.1 204 OK\r\nContent-Length: x\r\n\r\n", R::BadContentLength),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", R::TransferEncodingIn10),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", R::BadTransferEncoding),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", R::BadTransferEncoding),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", R::BadTransferEncoding),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n", R::BadTransferEncoding),
    ];
    for (bytes, kind) in table {
        let got = response(bytes).map_err(|e| e.kind);
        assert_eq!(got.as_ref().err(), Some(kind), "{}: {got:?}", bytes.escape_ascii());
    }
    let lax =
        |bytes: &[u8]| response_to(bytes, Method::Get, Relax::Unsafe).map(|(_, h)| (h.status(), h.framing()));
    assert_eq!(lax(b"HTTP/1.1 2000 OK\r\n\r\n"), Ok((2000, BodyLen::UntilClose)));
    assert_eq!(
        lax(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
        Ok((200, BodyLen::Chunked))
    );
    assert_eq!(lax(b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n"), Ok((200, BodyLen::UntilClose)));
    assert!(lax(b"HTTP/1.1 70000 OK\r\n\r\n").is_err());
    assert!(lax(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n").is_err());
}

#[test]
fn chunked_bodies() {
    use ChunkError as C;
    let long_extension = format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(5000));
    let many_extensions = format!("1;{}\r\na\r\n", "a".repeat(1000)).repeat(20);
    let many_trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(101));
    let long_trailer = format!("0\r\nX: {}\r\n\r\n", "y".repeat(9000));
    let long_name = format!("0\r\n{}: y\r\n\r\n", "y".repeat(300));
    let table: &[(&str, C)] = &[
        ("0x5\r\n", C::BadSize),
        ("5zz\r\n", C::BadSize),
        ("+5\r\n", C::BadSize),
        ("-5\r\n", C::BadSize),
        ("_\r\n", C::BadSize),
        ("1_0\r\n", C::BadSize),
        (" 5\r\n", C::BadSize),
        ("\r\n", C::BadSize),
        (";a\r\n", C::BadSize),
        ("5 5\r\n", C::BadSize),
        ("5\nabcde", C::BadSize),
        ("5\x0b\r\n", C::BadSize),
        ("5\0\r\n", C::BadSize),
        ("5;a\nb\r\n", C::BadExtension),
        ("5;a\0b\r\n", C::BadExtension),
        ("5;a\rb\r\n", C::BadEnd),
        ("5\rx", C::BadEnd),
        ("5\r\r\n", C::BadEnd),
        ("3\r\nabcX", C::BadEnd),
        ("3\r\nabc\n", C::BadEnd),
        ("3\r\nabc\rX", C::BadEnd),
        ("3\r\nabcd\r\n", C::BadEnd),
        ("FFFFFFFFFFFFFFFF\r\n", C::SizeTooLarge),
        ("8000000000000000\r\n", C::SizeTooLarge),
        ("10000000000000003\r\n", C::SizeTooLarge),
        (&long_extension, C::ExtensionTooLong),
        (&many_extensions, C::ExtensionTooLong),
        ("0\r\nX y\r\n\r\n", C::BadTrailer),
        ("0\r\nX : y\r\n\r\n", C::BadTrailer),
        ("0\r\n: y\r\n\r\n", C::BadTrailer),
        ("0\r\n X: y\r\n\r\n", C::BadTrailer),
        ("0\r\nX: y\r\n z\r\n\r\n", C::BadTrailer),
        ("0\r\nX: y\n\r\n", C::BadTrailer),
        ("0\r\nX: y\rz\r\n\r\n", C::BadTrailer),
        ("0\r\nX: \0\r\n\r\n", C::BadTrailer),
        ("0\r\n\rX", C::BadTrailer),
        ("0\r\n\n", C::BadTrailer),
        ("0\r\nContent-Length: 3\r\n\r\n", C::ForbiddenTrailer),
        ("0\r\ntransfer-encoding: chunked\r\n\r\n", C::ForbiddenTrailer),
        ("0\r\nHOST: b\r\n\r\n", C::ForbiddenTrailer),
        ("0\r\nCookie: a=b\r\n\r\n", C::ForbiddenTrailer),
        (&many_trailers, C::TrailersTooLarge),
        (&long_trailer, C::TrailersTooLarge),
        (&long_name, C::TrailersTooLarge),
    ];
    for (body, error) in table {
        let mut whole = ChunkDecoder::new();
        assert_eq!(whole.validate(body.as_bytes()), Err(*error), "{:?}", &body[..body.len().min(40)]);
        let mut slow = ChunkDecoder::new();
        let result = body.bytes().find_map(|b| slow.validate(&[b]).err());
        assert_eq!(result, Some(*error), "one at a time: {:?}", &body[..body.len().min(40)]);
    }
}

#[test]
fn a_switch_needs_both_sides() {
    use connection::{SwitchError, check_switch};
    let ask = |fields: &str| complete_request(&with("GET / HTTP/1.1", fields));
    let grant = |fields: &str| {
        let bytes = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
        complete_response(bytes.as_bytes(), Method::Get)
    };
    let foo = "Connection: upgrade\r\nUpgrade: foo\r\n";
    assert_eq!(check_switch(&ask(foo), &grant(foo), Relax::Strict), Ok(()));
    assert_eq!(check_switch(&ask(""), &grant(foo), Relax::Strict), Err(SwitchError::NotAsked));
    let only_field = "Upgrade: foo\r\n";
    assert_eq!(check_switch(&ask(only_field), &grant(foo), Relax::Strict), Err(SwitchError::NotAsked));
    assert_eq!(check_switch(&ask(foo), &grant(only_field), Relax::Strict), Err(SwitchError::NotGranted));
    let with_body = "Connection: upgrade\r\nUpgrade: foo\r\nContent-Length: 10\r\n";
    assert_eq!(check_switch(&ask(with_body), &grant(foo), Relax::Strict), Err(SwitchError::NotAsked));
    let h2c = "Connection: upgrade\r\nUpgrade: h2c\r\n";
    assert_eq!(check_switch(&ask(h2c), &grant(h2c), Relax::Strict), Err(SwitchError::NotAsked));
    let ws = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    let key = format!("{ws}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    let good = format!("{ws}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    let wrong = format!("{ws}Sec-WebSocket-Accept: invalid\r\n");
    assert_eq!(check_switch(&ask(&key), &grant(&good), Relax::Strict), Ok(()));
    assert_eq!(check_switch(&ask(&key), &grant(&wrong), Relax::Strict), Err(SwitchError::BadAccept));
    assert_eq!(check_switch(&ask(&key), &grant(ws), Relax::Strict), Err(SwitchError::BadAccept));
    assert_eq!(check_switch(&ask(&key), &grant(&wrong), Relax::Unsafe), Ok(()));
}
