//! Properties: how the bytes arrive does not matter, what is written reads back the same, and the fast chunk
//! decoder agrees with a naive one.

use super::*;
use proptest::prelude::*;

/// What a parse came to, in a form that can be compared.
fn summary(result: Result<Parsed, RequestError>, head: &RequestHead) -> String {
    match result {
        Err(e) => format!("error {:?}", e.kind),
        Ok(Parsed::Partial) => "partial".to_string(),
        Ok(Parsed::Complete { head_len }) => {
            let mut out = Vec::new();
            write_request(head, &mut out);
            format!("{head_len} {:?} {:?} {}", head.framing(), head.connection(), out.escape_ascii())
        }
    }
}

fn in_pieces(bytes: &[u8], cuts: &[usize], relax: Relax) -> String {
    let mut head = RequestHead::new();
    let limits = Limits { head_bytes: 300, max_fields: 8, ..Limits::default() };
    for &cut in cuts {
        match parse_request(&bytes[..cut.min(bytes.len())], &limits, relax, &mut head) {
            Ok(Parsed::Partial) => {}
            done => return summary(done, &head),
        }
    }
    summary(parse_request(bytes, &limits, relax, &mut head), &head)
}

/// Pieces of requests, good and bad, so that random strings get past the first byte.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("GET / HTTP/1.1\r\n".to_string()),
        Just("POST http://a:80/b?c HTTP/1.1\r\n".to_string()),
        Just("CONNECT a:443 HTTP/1.1\r\n".to_string()),
        Just("Host: a\r\n".to_string()),
        Just("Host: a:80\r\n".to_string()),
        Just("Content-Length: 12\r\n".to_string()),
        Just("Transfer-Encoding: chunked\r\n".to_string()),
        Just("Connection: keep-alive, Upgrade\r\nUpgrade: foo\r\n".to_string()),
        Just("X: y\r\n z\r\n".to_string()),
        Just("\r\n".to_string()),
        Just("\n".to_string()),
        "[A-Za-z]{1,5}: [a-z ,;=]{0,8}\r\n",
        "[ -~\r\n\t\0]{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn split_points_do_not_matter(
        pieces in proptest::collection::vec(piece(), 0..8),
        cuts in proptest::collection::vec(0usize..200, 0..6),
        lax in any::<bool>(),
    ) {
        let text = pieces.concat();
        let relax = if lax { Relax::Unsafe } else { Relax::Strict };
        let whole = in_pieces(text.as_bytes(), &[], relax);
        let mut cuts = cuts;
        cuts.sort_unstable();
        prop_assert_eq!(&in_pieces(text.as_bytes(), &cuts, relax), &whole);
        let every: Vec<usize> = (0..text.len()).collect();
        prop_assert_eq!(&in_pieces(text.as_bytes(), &every, relax), &whole);
    }

    #[test]
    fn what_is_written_reads_back_the_same(
        pieces in proptest::collection::vec(piece(), 0..6),
    ) {
        let text = format!("GET /x HTTP/1.1\r\nHost: a\r\n{}\r\n", pieces.concat());
        if let Ok((Parsed::Complete { .. }, head)) = request(text.as_bytes()) {
            let mut once = Vec::new();
            write_request(&head, &mut once);
            let again = complete_request(&once);
            prop_assert_eq!(again.framing(), head.framing());
            prop_assert_eq!(again.connection(), head.connection());
            let mut twice = Vec::new();
            write_request(&again, &mut twice);
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn responses_do_not_mind_split_points(
        fields in "((Content-Length: [0-9]{1,2}|[A-Z]: [a-z]{0,3}|Connection: close)\r\n){0,4}",
        start in prop_oneof![Just("HTTP/1.1 200 OK"), Just("HTTP/1.0 404"), Just("HTTP/1.1 100 x"), Just("HTP/1.1 2")],
        end in prop_oneof![Just("\r\n"), Just(""), Just("\n")],
    ) {
        let text = format!("{start}\r\n{fields}{end}");
        let whole = response(text.as_bytes()).map(|(p, h)| (p, h.framing(), h.fields.len())).map_err(|e| e.kind);
        let mut head = ResponseHead::new();
        let mut slow = Ok(Parsed::Partial);
        for n in 0..=text.len() {
            slow = parse_response(&text.as_bytes()[..n], &Limits::default(), Relax::Strict, Method::Get, &mut head);
            if slow != Ok(Parsed::Partial) {
                break;
            }
        }
        let slow = slow.map(|p| (p, head.framing(), head.fields.len())).map_err(|e| e.kind);
        prop_assert_eq!(slow, whole);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for relax in [Relax::Strict, Relax::Unsafe] {
            let _ = request_as(&bytes, relax);
            let _ = response_to(&bytes, Method::Get, relax);
        }
        let _ = ChunkDecoder::new().validate(&bytes);
    }

    #[test]
    fn chunks_decode_as_the_naive_decoder_says(
        data in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
        extension in "(;[a-z]{1,4}(=[a-z]{1,4})?)?",
        trailer in "(X-[a-z]{1,4}: [a-z]{0,5}\r\n)?",
        broken_at in proptest::option::of(0usize..200),
        step in 1usize..50,
    ) {
        let mut coded = Vec::new();
        for d in &data {
            coded.extend_from_slice(format!("{:X}{extension}\r\n", d.len()).as_bytes());
            coded.extend_from_slice(d);
            coded.extend_from_slice(b"\r\n");
        }
        coded.extend_from_slice(format!("0\r\n{trailer}\r\nREST").as_bytes());
        if let Some(at) = broken_at && at < coded.len() {
            coded[at] ^= 0x15;
        }
        let naive = naive_decode(&coded);
        let mut decoder = ChunkDecoder::new();
        let mut body = Vec::new();
        let mut at = 0;
        let fast = loop {
            if at == coded.len() {
                break None;
            }
            let piece = &coded[at..(at + step).min(coded.len())];
            match decoder.decode(piece) {
                Err(_) => break None,
                Ok(ChunkStep::More { consumed }) => at += consumed,
                Ok(ChunkStep::Data { data, consumed }) => {
                    body.extend_from_slice(&piece[data]);
                    at += consumed;
                }
                Ok(ChunkStep::End { consumed }) => break Some((body.clone(), at + consumed)),
            }
        };
        prop_assert_eq!(fast, naive);
    }
}

/// A chunk decoder that is too simple to be wrong and too slow to be used: whole body in, body and length out.
fn naive_decode(coded: &[u8]) -> Option<(Vec<u8>, usize)> {
    let line = |from: usize| {
        let end = from + coded[from..].windows(2).position(|w| w == b"\r\n")?;
        Some((String::from_utf8(coded[from..end].to_vec()).ok()?, end + 2))
    };
    let clean = |s: &str| s.bytes().all(|b| b == b'\t' || (b >= 32 && b != 127));
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let (size, next) = line(at)?;
        at = next;
        let (digits, extension) = size.split_once(';').unwrap_or((&size, ""));
        let digits = digits.trim_end_matches([' ', '\t']);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) || !clean(extension) {
            return None;
        }
        let len = usize::try_from(u64::from_str_radix(digits, 16).ok()?).ok()?;
        if len == 0 {
            break;
        }
        body.extend_from_slice(coded.get(at..at.checked_add(len)?)?);
        at += len;
        if coded.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    loop {
        let (trailer, next) = line(at)?;
        at = next;
        if trailer.is_empty() {
            return Some((body, at));
        }
        let (name, value) = trailer.split_once(':')?;
        if !crate::http::token::is_token(name.as_bytes()) || value.contains(['\0', '\n', '\r']) {
            return None;
        }
    }
}

/// One byte at a time costs one look at each byte: counted in scan positions, not in time.
#[test]
fn slow_delivery_is_not_quadratic() {
    let mut text = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    for i in 0..90 {
        text.extend_from_slice(format!("X-{i}: {}\r\n", "v".repeat(100)).as_bytes());
    }
    let mut head = RequestHead::new();
    for n in 0..text.len() {
        let parsed = parse_request(&text[..n], &Limits::default(), Relax::Strict, &mut head);
        assert_eq!(parsed, Ok(Parsed::Partial));
        // At most the end of the current line is looked at again.
        assert!(n - head.scan.pos.min(n) <= 2, "{n}: {:?}", head.scan);
    }
}
