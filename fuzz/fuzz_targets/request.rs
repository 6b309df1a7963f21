//! Request heads. The first byte chooses the mode and where the input is cut in two.
//!
//! Checked: no panic; the cut does not change the verdict; a head that is accepted in strict mode is written in a
//! form that is accepted again, with the same framing and the same bytes.
#![no_main]

use haring::http::{RequestHead, uri};
use haring::http1::{Limits, Parsed, Persistence, Relax, connection, parse_request, write_request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let relax = if choice & 1 == 1 { Relax::Unsafe } else { Relax::Strict };
    let limits = Limits { head_bytes: 1024, max_fields: 20, ..Limits::default() };
    let mut whole = RequestHead::new();
    let verdict = parse_request(bytes, &limits, relax, &mut whole);

    let mut cut = RequestHead::new();
    let at = bytes.len() * usize::from(choice >> 1) / 128;
    let first = parse_request(&bytes[..at], &limits, relax, &mut cut);
    let second = match first {
        Ok(Parsed::Partial) => parse_request(bytes, &limits, relax, &mut cut),
        done => done,
    };
    assert_eq!(second, verdict);

    let Ok(Parsed::Complete { head_len }) = verdict else { return };
    assert!(head_len <= bytes.len() && head_len <= limits.head_bytes);
    let mut once = Vec::new();
    write_request(&whole, &mut once);
    let parts = whole.uri();
    let _ = (parts.path_and_query(), parts.authority.and_then(uri::split_authority));
    for (_, value) in whole.fields.iter() {
        assert!(!value.contains(&b'\n') && !value.contains(&b'\r'));
    }
    if relax == Relax::Strict {
        let mut again = RequestHead::new();
        let generous = Limits::default();
        let parsed = parse_request(&once, &generous, relax, &mut again);
        assert_eq!(parsed, Ok(Parsed::Complete { head_len: once.len() }));
        assert_eq!(again.framing(), whole.framing());
        let mut twice = Vec::new();
        write_request(&again, &mut twice);
        assert_eq!(once, twice);
    }
    connection::rewrite_request(&mut whole, Persistence::Close);
    whole.set_path(b"/x");
    whole.set_query(b"y");
});
