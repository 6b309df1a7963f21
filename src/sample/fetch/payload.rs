//! Raw buffered bytes: TCP content inspection. Manual section 7.3.5.

use crate::http::Method;
use crate::http::token::is_token;
use crate::sample::cast::parse_int;
use crate::sample::{ArgType, Args, Ctx, ExprCx, Fetch, Needs, Sample, Type};

use super::tls_hello;

const REQ: Needs = Needs::REQ_PAYLOAD;
const RES: Needs = Needs::RES_PAYLOAD;
const RANGE: &[ArgType] = &[ArgType::Int, ArgType::Int];
const LV: &[ArgType] = &[ArgType::Int, ArgType::Int, ArgType::Str];

/// The table.
pub const FETCHES: &[Fetch] = &[
    Fetch::new("wait_end", Type::Bool, Needs::INTERNAL.or(REQ).or(RES), |_, c| {
        Some(Sample::Bool(c.input_final()))
    })
    .doc("true at the end of the inspection delay"),
    Fetch::new("req.len", Type::Int, REQ, |_, c| length(c.request_payload(), request_head(c)))
        .doc("bytes in the request buffer; with HTTP, the head and the buffered body"),
    Fetch::new("req_len", Type::Int, REQ, |_, c| length(c.request_payload(), request_head(c)))
        .doc("old name of req.len"),
    Fetch::new("res.len", Type::Int, RES, |_, c| length(c.response_payload(), 0))
        .doc("bytes in the response buffer"),
    Fetch::new("req.payload", Type::Bin, REQ, |a, c| range(a, c.request_payload()))
        .args(2, RANGE)
        .prepare(positive)
        .settled(|a, c| has_range(a, c.request_payload()))
        .doc("<length> bytes at <offset> of the request buffer"),
    Fetch::new("payload", Type::Bin, REQ.or(RES), |a, c| {
        range(a, c.response_payload().or(c.request_payload()))
    })
    .args(2, RANGE)
    .prepare(positive)
    .settled(|a, c| has_range(a, c.response_payload().or(c.request_payload())))
    .doc("old name of req.payload and res.payload"),
    Fetch::new("res.payload", Type::Bin, RES, |a, c| range(a, c.response_payload()))
        .args(2, RANGE)
        .prepare(positive)
        .settled(|a, c| has_range(a, c.response_payload()))
        .doc("<length> bytes at <offset> of the response buffer"),
    Fetch::new("req.payload_lv", Type::Bin, REQ, |a, c| counted(a, c.request_payload()))
        .args(2, LV)
        .prepare(counted_args)
        .settled(|a, c| counted(a, c.request_payload()).is_some())
        .doc("bytes whose length stands at an offset of the request buffer"),
    Fetch::new("payload_lv", Type::Bin, REQ.or(RES), |a, c| {
        counted(a, c.response_payload().or(c.request_payload()))
    })
    .args(2, LV)
    .prepare(counted_args)
    .settled(|a, c| counted(a, c.response_payload().or(c.request_payload())).is_some())
    .doc("old name of req.payload_lv and res.payload_lv"),
    Fetch::new("res.payload_lv", Type::Bin, RES, |a, c| counted(a, c.response_payload()))
        .args(2, LV)
        .prepare(counted_args)
        .settled(|a, c| counted(a, c.response_payload()).is_some())
        .doc("bytes whose length stands at an offset of the response buffer"),
    Fetch::new("req.proto_http", Type::Bool, Needs::REQ_LINE.or(REQ), proto_http)
        .settled(knows_http)
        .doc("whether the request is HTTP"),
    Fetch::new("req_proto_http", Type::Bool, Needs::REQ_LINE.or(REQ), proto_http)
        .settled(knows_http)
        .doc("old name of req.proto_http"),
    Fetch::new("req.rdp_cookie", Type::Str, REQ, |a, c| rdp_cookie(a, c).map(Sample::str))
        .args(0, &[ArgType::Str])
        .doc("cookie of a Remote Desktop request"),
    Fetch::new("rdp_cookie", Type::Str, REQ, |a, c| rdp_cookie(a, c).map(Sample::str))
        .args(0, &[ArgType::Str])
        .doc("old name of req.rdp_cookie"),
    Fetch::new("req.rdp_cookie_cnt", Type::Int, REQ, rdp_cookie_cnt)
        .args(0, &[ArgType::Str])
        .doc("1 when the Remote Desktop request has the cookie"),
    Fetch::new("rdp_cookie_cnt", Type::Int, REQ, rdp_cookie_cnt)
        .args(0, &[ArgType::Str])
        .doc("old name of req.rdp_cookie_cnt"),
    Fetch::new("req.ssl_hello_type", Type::Int, REQ, |_, c| {
        tls_hello::hello_type(c.request_payload()?).map(Sample::Int)
    })
    .settled(|_, c| knows_type(c.request_payload()))
    .doc("type of a TLS handshake message: 1 for a client hello"),
    Fetch::new("req_ssl_hello_type", Type::Int, REQ, |_, c| {
        tls_hello::hello_type(c.request_payload()?).map(Sample::Int)
    })
    .settled(|_, c| knows_type(c.request_payload()))
    .doc("old name of req.ssl_hello_type"),
    Fetch::new("res.ssl_hello_type", Type::Int, RES, |_, c| {
        tls_hello::hello_type(c.response_payload()?).map(Sample::Int)
    })
    .settled(|_, c| knows_type(c.response_payload()))
    .doc("type of a TLS handshake message: 2 for a server hello"),
    Fetch::new("rep_ssl_hello_type", Type::Int, RES, |_, c| {
        tls_hello::hello_type(c.response_payload()?).map(Sample::Int)
    })
    .settled(|_, c| knows_type(c.response_payload()))
    .doc("old name of res.ssl_hello_type"),
    Fetch::new("req.ssl_ver", Type::Int, REQ, |_, c| {
        tls_hello::version(c.request_payload()?).map(Sample::Int)
    })
    .settled(knows_hello)
    .doc("TLS version of a client hello, major and minor as 3.1"),
    Fetch::new("req_ssl_ver", Type::Int, REQ, |_, c| {
        tls_hello::version(c.request_payload()?).map(Sample::Int)
    })
    .settled(knows_hello)
    .doc("old name of req.ssl_ver"),
    Fetch::new("req.ssl_sni", Type::Str, REQ, |_, c| {
        tls_hello::server_name(c.request_payload()?).map(Sample::str)
    })
    .settled(knows_hello)
    .doc("server name in a TLS client hello"),
    Fetch::new("req_ssl_sni", Type::Str, REQ, |_, c| {
        tls_hello::server_name(c.request_payload()?).map(Sample::str)
    })
    .settled(knows_hello)
    .doc("old name of req.ssl_sni"),
    Fetch::new("req.ssl_alpn", Type::Str, REQ, |_, c| tls_hello::alpn(c.request_payload()?).map(Sample::Str))
        .settled(knows_hello)
        .doc("protocols offered in a TLS client hello, joined by commas"),
];

fn length(b: Option<&[u8]>, head: usize) -> Option<Sample<'_>> {
    Some(Sample::Int((b?.len() + head) as i64))
}

/// Bytes of the request's head: the payload of a [`Ctx`] is without it.
fn request_head(c: &dyn Ctx) -> usize {
    c.request().map_or(0, crate::http::RequestHead::received_len)
}

fn positive(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    match (0..2).find(|i| a.int_or(*i, 0) < 0) {
        Some(i) => Err((i, "must not be negative".to_owned())),
        None => Ok(()),
    }
}

/// `offset, length`; length 0 takes what is there. Nothing until enough bytes arrived.
fn range<'a>(a: &'a Args, b: Option<&'a [u8]>) -> Option<Sample<'a>> {
    let (offset, len) = (usize::try_from(a.int(0)?).ok()?, usize::try_from(a.int(1)?).ok()?);
    let rest = b?.get(offset..)?;
    let part = if len == 0 { rest } else { rest.get(..len)? };
    (!part.is_empty()).then(|| Sample::Bin(part.into()))
}

/// All bytes of the range are there; one without a length grows with the buffer.
fn has_range(a: &Args, b: Option<&[u8]>) -> bool {
    a.int_or(1, 0) > 0 && range(a, b).is_some()
}

fn knows_http(_: &Args, c: &dyn Ctx) -> bool {
    c.request().is_some() || c.request_payload().is_some_and(|b| first_line(b).is_ok() || is_no_http(b))
}

/// The first line that is not empty, or what is there of it.
fn first_line(b: &[u8]) -> Result<&[u8], &[u8]> {
    let b = &b[b.iter().take_while(|c| matches!(c, b'\r' | b'\n')).count()..];
    let Some(end) = memchr::memchr(b'\n', b) else { return Err(b) };
    Ok(b[..end].strip_suffix(b"\r").unwrap_or(&b[..end]))
}

/// Whatever follows, this is no HTTP/1 request.
pub(in crate::sample) fn is_no_http(b: &[u8]) -> bool {
    match first_line(b) {
        Ok(line) => !looks_like_http(line),
        Err(part) => {
            let method = part.split(|c| matches!(c, b' ' | b'\r')).next().unwrap_or_default();
            !part.is_empty() && !is_token(method)
        }
    }
}

fn knows_type(b: Option<&[u8]>) -> bool {
    b.is_some_and(|b| tls_hello::hello_type(b).is_some() || tls_hello::is_none(b))
}

fn knows_hello(_: &Args, c: &dyn Ctx) -> bool {
    c.request_payload().is_some_and(|b| tls_hello::is_whole(b) || tls_hello::is_none(b))
}

/// `+n` and `-n` are relative to the end of the length field; that is noted by a sign in the argument's text.
fn counted_args(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    if a.int_or(0, 0) < 0 {
        return Err((0, "must not be negative".to_owned()));
    }
    if !(1..=8).contains(&a.int_or(1, 0)) {
        return Err((1, "the size of the length field must be 1 to 8 bytes".to_owned()));
    }
    match a.str(2) {
        Some(t)
            if !t.is_empty() && std::str::from_utf8(t).ok().and_then(|t| t.parse::<i32>().ok()).is_none() =>
        {
            Err((
                2,
                "an offset is expected: a number, or +number or -number relative to the length field"
                    .to_owned(),
            ))
        }
        _ => Ok(()),
    }
}

fn counted<'a>(a: &'a Args, b: Option<&'a [u8]>) -> Option<Sample<'a>> {
    let b = b?;
    let (at, size) = (usize::try_from(a.int(0)?).ok()?, usize::try_from(a.int(1)?).ok()?);
    let field = b.get(at..at.checked_add(size)?)?;
    let len = usize::try_from(field.iter().fold(0u64, |v, c| (v << 8) | u64::from(*c))).ok()?;
    let start = match a.str(2) {
        None | Some(b"") => at + size,
        Some(t) => {
            let n = parse_int(t)?;
            let base = if matches!(t[0], b'+' | b'-') { (at + size) as i64 } else { 0 };
            usize::try_from(base + n).ok()?
        }
    };
    let part = b.get(start..start.checked_add(len)?)?;
    (!part.is_empty()).then(|| Sample::Bin(part.into()))
}

/// True for a parsed request, and in TCP mode for bytes that begin like an HTTP/1 request line.
fn proto_http<'a>(_: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    if c.request().is_some() {
        return Some(Sample::Bool(true));
    }
    let line = first_line(c.request_payload()?).ok()?;
    Some(Sample::Bool(looks_like_http(line)))
}

/// Whether that is a request line of HTTP/1.
fn looks_like_http(line: &[u8]) -> bool {
    let mut words = line.split(|c| *c == b' ');
    let method = words.next().unwrap_or_default();
    let (target, version) = (words.next(), words.next());
    let known = Method::from_token(method) != Method::Other
        || (!method.is_empty() && method.iter().all(|c| c.is_ascii_uppercase() || matches!(c, b'-' | b'_')));
    known
        && target.is_some_and(|t| !t.is_empty())
        && version.is_none_or(|v| v.starts_with(b"HTTP/"))
        && words.next().is_none()
}

/// `Cookie: name=value` in the X.224 connection request of RDP ([MS-RDPBCGR] 2.2.1.1).
fn rdp_cookie<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<&'a [u8]> {
    const HEADERS: usize = 11;
    let b = c.request_payload()?;
    // TPKT version 3, then its length; X.224 connection request.
    if b.len() <= HEADERS || b[0] != 3 || b[5] & 0xf0 != 0xe0 {
        return None;
    }
    let rest = b[HEADERS..].strip_prefix(b"Cookie:")?.trim_ascii_start();
    let line = &rest[..memchr::memchr(b'\r', rest)?];
    let eq = memchr::memchr(b'=', line)?;
    match a.str(0) {
        None | Some(b"") => {}
        Some(name) if name.eq_ignore_ascii_case(&line[..eq]) => {}
        Some(_) => return None,
    }
    Some(&line[eq + 1..])
}

fn rdp_cookie_cnt<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    c.request_payload()?;
    Some(Sample::Int(i64::from(rdp_cookie(a, c).is_some())))
}
