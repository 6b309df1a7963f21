//! The response: status, version, cookies, body. Manual section 7.3.6.

use crate::http::{FieldId, cookie};
use crate::sample::{ArgType, Args, Ctx, Fetch, Needs, Sample, Scratch, Type};

use super::request::{http_version, number, version};

const HEAD: Needs = Needs::RES_HEAD;
const LINE: Needs = Needs::RES_LINE.or(Needs::RES_HEAD);
const BODY: Needs = Needs::RES_BODY;
const NAME: &[ArgType] = &[ArgType::Str];

/// The table.
pub const FETCHES: &[Fetch] = &[
    Fetch::new("status", Type::Int, LINE, |_, c| Some(Sample::Int(i64::from(c.response()?.status()))))
        .doc("status code"),
    Fetch::new("res.ver", Type::Str, HEAD, |_, c| version(c.response()?.version())).doc("version, as 1.1"),
    Fetch::new("resp_ver", Type::Str, HEAD, |_, c| version(c.response()?.version()))
        .doc("old name of res.ver"),
    Fetch::new("capture.res.ver", Type::Str, LINE, |_, c| {
        Some(Sample::str(http_version(c.response()?.version())))
    })
    .doc("HTTP/1.0 or HTTP/1.1"),
    Fetch::new("res.cook", Type::Str, HEAD, cook)
        .args(0, NAME)
        .each(cook_each)
        .doc("cookie that the response sets"),
    Fetch::new("scook", Type::Str, HEAD, cook).args(0, NAME).each(cook_each).doc("old name of res.cook"),
    Fetch::new("set-cookie", Type::Str, HEAD, cook).args(0, NAME).each(cook_each).doc("old name of res.cook"),
    Fetch::new("res.cook_cnt", Type::Int, HEAD, cook_cnt)
        .args(0, NAME)
        .doc("how often the response sets the cookie"),
    Fetch::new("scook_cnt", Type::Int, HEAD, cook_cnt).args(0, NAME).doc("old name of res.cook_cnt"),
    Fetch::new("res.cook_val", Type::Int, HEAD, |a, c| number(cook(a, c)))
        .args(0, NAME)
        .doc("cookie as an integer"),
    Fetch::new("scook_val", Type::Int, HEAD, |a, c| number(cook(a, c)))
        .args(0, NAME)
        .doc("old name of res.cook_val"),
    Fetch::new("res.cook_names", Type::Str, HEAD, cook_names)
        .args(0, NAME)
        .doc("names of the cookies, joined"),
    Fetch::new("res.body", Type::Bin, BODY, |_, c| Some(Sample::Bin(c.response_body()?.bytes.into())))
        .doc("buffered body"),
    Fetch::new("res.body_len", Type::Int, BODY, |_, c| {
        Some(Sample::Int(c.response_body()?.bytes.len() as i64))
    })
    .doc("length of the buffered body"),
    Fetch::new("res.body_size", Type::Int, BODY, |_, c| {
        let b = c.response_body()?;
        Some(Sample::Int(b.advertised.unwrap_or(b.bytes.len() as u64) as i64))
    })
    .doc("advertised length of the body"),
];

fn cookies<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<impl Iterator<Item = &'a [u8]>> {
    let fields = &c.response()?.fields;
    Some(
        fields
            .with_id(FieldId::SetCookie)
            .filter_map(|f| cookie::parse_set_cookie(f.value).map(|p| (&f.value[p.name], &f.value[p.value])))
            .filter(|(n, _)| match a.str(0) {
                None | Some(b"") => true,
                Some(name) => name == *n,
            })
            .map(|(_, v)| v),
    )
}

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
    for f in c.response()?.fields.with_id(FieldId::SetCookie) {
        let Some(p) = cookie::parse_set_cookie(f.value) else { continue };
        if !out.is_empty() {
            out.vec().push(delim);
        }
        out.vec().extend_from_slice(&f.value[p.name]);
    }
    Some(Sample::Str(out.into()))
}
