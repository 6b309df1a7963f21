//! The request line, its parts, cookies and body. Manual section 7.3.6.

use std::io::Write;
use std::net::IpAddr;

use crate::base::hash;
use crate::http::uri::split_authority;
use crate::http::{RequestHead, Version, cookie};
use crate::sample::cast::{parse_int, parse_ip};
use crate::sample::{ArgType, Args, Buf, CaptureSide, Ctx, ExprCx, Fetch, Needs, Sample, Scratch, Type};

use super::url::Params;

const HEAD: Needs = Needs::REQ_HEAD;
const LINE: Needs = Needs::REQ_LINE.or(Needs::REQ_HEAD);
const BODY: Needs = Needs::REQ_BODY;
const NAME: &[ArgType] = &[ArgType::Str];
const URLP: &[ArgType] = &[ArgType::Str, ArgType::Str, ArgType::Str];

/// The table.
pub const FETCHES: &[Fetch] = &[
    Fetch::new("method", Type::Meth, LINE, |_, c| Some(Sample::Meth(c.request()?.method_token().into())))
        .doc("method"),
    Fetch::new("path", Type::Str, HEAD, |_, c| Some(Sample::str(c.request()?.path()?)))
        .doc("path without the query"),
    Fetch::new("pathq", Type::Str, HEAD, |_, c| Some(Sample::str(c.request()?.uri().path_and_query()?)))
        .doc("path with the query"),
    Fetch::new("query", Type::Str, HEAD, |_, c| Some(Sample::str(c.request()?.query()?)))
        .doc("what follows the question mark"),
    Fetch::new("url", Type::Str, HEAD, |_, c| Some(Sample::str(c.request()?.target())))
        .doc("the request target"),
    Fetch::new("url_ip", Type::Ipv4, HEAD, url_ip).doc("address in the host part of an absolute URL"),
    Fetch::new("url_port", Type::Int, HEAD, url_port)
        .doc("port in the host part of an absolute URL, 80 by default"),
    Fetch::new("base", Type::Str, HEAD, |_, c| base(c, false).map(Sample::Str)).doc("Host header and path"),
    Fetch::new("baseq", Type::Str, HEAD, |_, c| base(c, true).map(Sample::Str))
        .doc("Host header, path and query"),
    Fetch::new("base32", Type::Int, HEAD, |_, c| hashed(base(c, false)?).map(|h| Sample::Int(i64::from(h))))
        .doc("32-bit hash of 'base'"),
    Fetch::new("base32+src", Type::Bin, HEAD, |_, c| with_src(hashed(base(c, false)?)?, c))
        .doc("'base32' and the client's address"),
    Fetch::new("url32", Type::Int, HEAD, |_, c| hashed(host_and_url(c)?).map(|h| Sample::Int(i64::from(h))))
        .doc("32-bit hash of Host header and URL"),
    Fetch::new("url32+src", Type::Bin, HEAD, |_, c| with_src(hashed(host_and_url(c)?)?, c))
        .doc("'url32' and the client's address"),
    Fetch::new("req.ver", Type::Str, HEAD, |_, c| version(c.request()?.version())).doc("version, as 1.1"),
    Fetch::new("req_ver", Type::Str, HEAD, |_, c| version(c.request()?.version())).doc("old name of req.ver"),
    Fetch::new("http_first_req", Type::Bool, LINE, |_, c| c.first_request().map(Sample::Bool))
        .doc("whether this is the first request of its connection"),
    Fetch::new("urlp", Type::Str, HEAD, urlp)
        .args(0, URLP)
        .each(urlp_each)
        .prepare(urlp_args)
        .doc("URL parameter"),
    Fetch::new("url_param", Type::Str, HEAD, urlp)
        .args(0, URLP)
        .each(urlp_each)
        .prepare(urlp_args)
        .doc("URL parameter"),
    Fetch::new("urlp_val", Type::Int, HEAD, |a, c| number(urlp(a, c)))
        .args(0, URLP)
        .each(|a, c, f| urlp_each(a, c, &mut |s| number(Some(s)).is_some_and(&mut *f)))
        .prepare(urlp_args)
        .doc("URL parameter as an integer"),
    Fetch::new("req.cook", Type::Str, HEAD, cook).args(0, NAME).each(cook_each).doc("cookie of the request"),
    Fetch::new("cook", Type::Str, HEAD, cook).args(0, NAME).each(cook_each).doc("old name of req.cook"),
    Fetch::new("cookie", Type::Str, HEAD, cook).args(0, NAME).each(cook_each).doc("old name of req.cook"),
    Fetch::new("req.cook_cnt", Type::Int, HEAD, cook_cnt).args(0, NAME).doc("how often the cookie is there"),
    Fetch::new("cook_cnt", Type::Int, HEAD, cook_cnt).args(0, NAME).doc("old name of req.cook_cnt"),
    Fetch::new("req.cook_val", Type::Int, HEAD, |a, c| number(cook(a, c)))
        .args(0, NAME)
        .each(|a, c, f| cook_each(a, c, &mut |s| number(Some(s)).is_some_and(&mut *f)))
        .doc("cookie as an integer"),
    Fetch::new("cook_val", Type::Int, HEAD, |a, c| number(cook(a, c)))
        .args(0, NAME)
        .each(|a, c, f| cook_each(a, c, &mut |s| number(Some(s)).is_some_and(&mut *f)))
        .doc("old name of req.cook_val"),
    Fetch::new("req.cook_names", Type::Str, HEAD, cook_names)
        .args(0, NAME)
        .doc("names of the cookies, joined"),
    Fetch::new("req.body", Type::Bin, BODY, |_, c| Some(Sample::Bin(c.request_body()?.bytes.into())))
        .doc("buffered body"),
    Fetch::new("req.body_len", Type::Int, BODY, |_, c| {
        Some(Sample::Int(c.request_body()?.bytes.len() as i64))
    })
    .doc("length of the buffered body"),
    Fetch::new("req.body_size", Type::Int, BODY, |_, c| {
        let b = c.request_body()?;
        Some(Sample::Int(b.advertised.unwrap_or(b.bytes.len() as u64) as i64))
    })
    .doc("advertised length of the body"),
    Fetch::new("req.body_param", Type::Str, BODY, |a, c| {
        Params::of_form(c.request_body()?.bytes).find(|(n, _)| wanted(a, n)).map(|(_, v)| Sample::str(v))
    })
    .args(0, &[ArgType::Str, ArgType::Str])
    .each(|a, c, f| {
        if let Some(b) = c.request_body() {
            let _ = Params::of_form(b.bytes).filter(|(n, _)| wanted(a, n)).any(|(_, v)| f(Sample::str(v)));
        }
    })
    .doc("parameter of a form body"),
    Fetch::new("capture.req.hdr", Type::Str, LINE, |a, c| {
        c.capture(CaptureSide::Request, usize::try_from(a.int(0)?).ok()?).map(Sample::Str)
    })
    .args(1, &[ArgType::Int])
    .doc("captured request header by its slot"),
    Fetch::new("capture.res.hdr", Type::Str, Needs::RES_LINE.or(Needs::RES_HEAD), |a, c| {
        c.capture(CaptureSide::Response, usize::try_from(a.int(0)?).ok()?).map(Sample::Str)
    })
    .args(1, &[ArgType::Int])
    .doc("captured response header by its slot"),
    Fetch::new("capture.req.method", Type::Str, LINE, |_, c| {
        c.captured_method().or_else(|| c.request().map(RequestHead::method_token)).map(Sample::str)
    })
    .doc("method as received"),
    Fetch::new("capture.req.uri", Type::Str, LINE, |_, c| {
        c.captured_uri().or_else(|| c.request().map(RequestHead::target)).map(Sample::str)
    })
    .doc("request target as received"),
    Fetch::new("capture.req.ver", Type::Str, LINE, |_, c| {
        Some(Sample::str(http_version(c.request()?.version())))
    })
    .doc("HTTP/1.0 or HTTP/1.1"),
];

/// `HTTP/x.y`.
pub(super) fn http_version(v: Version) -> &'static [u8] {
    match (v.major, v.minor) {
        (1, 0) => b"HTTP/1.0",
        (1, _) => b"HTTP/1.1",
        (2, _) => b"HTTP/2.0",
        (3, _) => b"HTTP/3.0",
        _ => b"HTTP/0.9",
    }
}

/// `x.y`.
pub(super) fn version(v: Version) -> Option<Sample<'static>> {
    Some(Sample::str(&http_version(v)[5..]))
}

/// A string sample as an integer.
pub(super) fn number(s: Option<Sample<'_>>) -> Option<Sample<'_>> {
    parse_int(s?.bytes()?).map(Sample::Int)
}

fn url_ip<'a>(_: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let a = split_authority(c.request()?.uri().authority?)?;
    match parse_ip(a.host)? {
        ip @ IpAddr::V4(_) => Some(Sample::Ip(ip)),
        IpAddr::V6(_) => None,
    }
}

fn url_port<'a>(_: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let port = c.request()?.uri().authority.and_then(split_authority).and_then(|a| a.port);
    Some(Sample::Int(port.and_then(parse_int).unwrap_or(80)))
}

/// Host header and path; `None` for `*` and for CONNECT.
fn base<'a>(c: &'a dyn Ctx, with_query: bool) -> Option<Buf<'a>> {
    let r = c.request()?;
    let path = if with_query { r.uri().path_and_query()? } else { r.path()? };
    let mut out = Scratch::of(r.host().unwrap_or_default());
    out.vec().extend_from_slice(path);
    Some(out.into())
}

fn host_and_url<'a>(c: &'a dyn Ctx) -> Option<Buf<'a>> {
    let r = c.request()?;
    let mut out = Scratch::of(r.host().unwrap_or_default());
    out.vec().extend_from_slice(r.target());
    Some(out.into())
}

fn hashed(b: Buf<'_>) -> Option<u32> {
    Some(hash::avalanche(hash::sdbm(&b)))
}

fn with_src<'a>(h: u32, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let mut out = Scratch::of(&h.to_be_bytes());
    match c.src()?.ip().to_canonical() {
        IpAddr::V4(a) => out.vec().extend_from_slice(&a.octets()),
        IpAddr::V6(a) => out.vec().extend_from_slice(&a.octets()),
    }
    Some(Sample::Bin(out.into()))
}

/// True when the parameter is the one asked for, or any was.
fn wanted(a: &Args, name: &[u8]) -> bool {
    match a.str(0) {
        None | Some(b"") => true,
        Some(n) if a.str(2) == Some(b"i") || a.str(1) == Some(b"i") => n.eq_ignore_ascii_case(name),
        Some(n) => n == name,
    }
}

fn urlp_args(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    if a.str(1).is_some_and(|d| d.len() > 1) {
        return Err((1, "the delimiter must be one character".to_owned()));
    }
    match a.str(2) {
        None | Some(b"" | b"i") => Ok(()),
        Some(_) => Err((2, "only 'i' (ignore case) is known here".to_owned())),
    }
}

fn url_params<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<impl Iterator<Item = &'a [u8]>> {
    let delim = a.str(1).and_then(|d| d.first().copied()).unwrap_or(b'?');
    let all = Params::of_target(c.request()?.target(), delim);
    Some(all.filter(|(n, _)| wanted(a, n)).map(|(_, v)| v))
}

fn urlp<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    url_params(a, c)?.next().map(Sample::str)
}

fn urlp_each<'a>(a: &'a Args, c: &'a dyn Ctx, f: &mut dyn FnMut(Sample<'a>) -> bool) {
    if let Some(mut all) = url_params(a, c) {
        let _ = all.any(|v| f(Sample::str(v)));
    }
}

/// The values of the named cookie, or of all.
fn cookies<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<impl Iterator<Item = &'a [u8]>> {
    let fields = &c.request()?.fields;
    Some(
        fields
            .with_id(crate::http::FieldId::Cookie)
            .flat_map(|f| cookie::pairs(f.value).map(move |p| (&f.value[p.name], &f.value[p.value])))
            .filter(|(n, _)| match a.str(0) {
                None | Some(b"") => true,
                Some(name) => name == *n,
            })
            .map(|(_, v)| v),
    )
}

/// The last cookie of that name; without a name the first cookie.
fn cook<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let mut all = cookies(a, c)?;
    if a.str(0).is_none_or(<[u8]>::is_empty) { all.next() } else { all.last() }.map(Sample::str)
}

fn cook_each<'a>(a: &'a Args, c: &'a dyn Ctx, f: &mut dyn FnMut(Sample<'a>) -> bool) {
    if let Some(mut all) = cookies(a, c) {
        let _ = all.any(|v| f(Sample::str(v)));
    }
}

fn cook_cnt<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    Some(Sample::Int(cookies(a, c)?.count() as i64))
}

fn cook_names<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let delim = a.str(0).and_then(|d| d.first().copied()).unwrap_or(b',');
    let mut out = Scratch::new();
    for f in c.request()?.fields.with_id(crate::http::FieldId::Cookie) {
        for p in cookie::pairs(f.value) {
            if !out.is_empty() {
                out.vec().push(delim);
            }
            out.write_all(&f.value[p.name]).ok()?;
        }
    }
    Some(Sample::Str(out.into()))
}
