//! Response heads. The first byte chooses mode, request method and where the input is cut in two.
//!
//! Checked: no panic; the cut does not change the verdict; what is written reads back with the same framing.
#![no_main]

use haring::http::{Method, ResponseHead, Version, cookie};
use haring::http1::{Limits, Parsed, Persistence, Relax, connection, parse_response, write_response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let relax = if choice & 1 == 1 { Relax::Unsafe } else { Relax::Strict };
    let method = [Method::Get, Method::Head, Method::Connect, Method::Post][usize::from(choice >> 1 & 3)];
    let limits = Limits { head_bytes: 1024, max_fields: 20, ..Limits::default() };
    let mut whole = ResponseHead::new();
    let verdict = parse_response(bytes, &limits, relax, method, &mut whole);

    let mut cut = ResponseHead::new();
    let at = bytes.len() * usize::from(choice >> 3) / 32;
    let first = parse_response(&bytes[..at], &limits, relax, method, &mut cut);
    let second = match first {
        Ok(Parsed::Partial) => parse_response(bytes, &limits, relax, method, &mut cut),
        done => done,
    };
    assert_eq!(second.is_ok(), verdict.is_ok());

    let Ok(Parsed::Complete { .. }) = verdict else { return };
    assert_eq!(second, verdict);
    let _ = cookie::set_cookie_value(&whole.fields, b"S");
    if relax == Relax::Strict {
        let mut once = Vec::new();
        write_response(&whole, &mut once);
        let mut again = ResponseHead::new();
        let parsed = parse_response(&once, &Limits::default(), relax, method, &mut again);
        assert_eq!(parsed, Ok(Parsed::Complete { head_len: once.len() }));
        assert_eq!(again.framing(), whole.framing());
    }
    connection::rewrite_response(&mut whole, Version::HTTP_10, Persistence::KeepAlive);
});
