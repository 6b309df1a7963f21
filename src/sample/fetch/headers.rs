//! Header fetches, the same for requests, responses and "whichever is being processed".

use std::io::Write;
use std::net::IpAddr;

use crate::http::Fields;
use crate::sample::cast::parse_ip;
use crate::sample::{ArgType, Args, Ctx, Fetch, Needs, Sample, Scratch, Type};

use super::request::number;

/// Whose fields a fetch reads.
trait Side {
    fn fields(c: &dyn Ctx) -> Option<&Fields>;
}

struct Req;
struct Res;
/// `hdr()` in a rule: of the response once there is one, of the request before.
struct Either;

impl Side for Req {
    fn fields(c: &dyn Ctx) -> Option<&Fields> {
        Some(&c.request()?.fields)
    }
}

impl Side for Res {
    fn fields(c: &dyn Ctx) -> Option<&Fields> {
        Some(&c.response()?.fields)
    }
}

impl Side for Either {
    fn fields(c: &dyn Ctx) -> Option<&Fields> {
        Res::fields(c).or_else(|| Req::fields(c))
    }
}

const HDR: &[ArgType] = &[ArgType::Str, ArgType::Int];
const NAME: &[ArgType] = &[ArgType::Str];
const REQ: Needs = Needs::REQ_HEAD;
const RES: Needs = Needs::RES_HEAD;
const BOTH: Needs = REQ.or(RES);

const fn text<S: Side>(name: &'static str, needs: Needs) -> Fetch {
    Fetch::new(name, Type::Str, needs, hdr::<S>)
        .args(0, HDR)
        .each(hdr_each::<S>)
        .doc("comma-separated value of a header: the last, the <occ>-th, or from the end when negative")
}

const fn count<S: Side>(name: &'static str, needs: Needs) -> Fetch {
    Fetch::new(name, Type::Int, needs, hdr_cnt::<S>)
        .args(0, NAME)
        .doc("number of comma-separated values of a header")
}

const fn address<S: Side>(name: &'static str, needs: Needs) -> Fetch {
    Fetch::new(name, Type::Addr, needs, |a, c| hdr_address(hdr::<S>(a, c)?))
        .args(0, HDR)
        .each(|a, c, f| hdr_each::<S>(a, c, &mut |s| hdr_address(s).is_some_and(&mut *f)))
        .doc("value of a header as an address; a port is dropped")
}

const fn integer<S: Side>(name: &'static str, needs: Needs) -> Fetch {
    Fetch::new(name, Type::Int, needs, |a, c| number(hdr::<S>(a, c)))
        .args(0, HDR)
        .each(|a, c, f| hdr_each::<S>(a, c, &mut |s| number(Some(s)).is_some_and(&mut *f)))
        .doc("value of a header as an integer")
}

const fn full<S: Side>(name: &'static str, needs: Needs) -> Fetch {
    Fetch::new(name, Type::Str, needs, fhdr::<S>)
        .args(0, HDR)
        .each(fhdr_each::<S>)
        .doc("whole value of a header, commas and all")
}

const fn full_count<S: Side>(name: &'static str, needs: Needs) -> Fetch {
    Fetch::new(name, Type::Int, needs, fhdr_cnt::<S>).args(0, NAME).doc("number of header lines of that name")
}

const fn names<S: Side>(name: &'static str, needs: Needs) -> Fetch {
    Fetch::new(name, Type::Str, needs, hdr_names::<S>).args(0, NAME).doc("names of all headers, joined")
}

const fn block<S: Side>(name: &'static str, needs: Needs) -> Fetch {
    Fetch::new(name, Type::Str, needs, hdrs::<S>).doc("all headers as text, with the empty line behind them")
}

/// The table.
pub const FETCHES: &[Fetch] = &[
    text::<Either>("hdr", BOTH),
    text::<Req>("req.hdr", REQ),
    text::<Res>("res.hdr", RES),
    text::<Res>("shdr", RES),
    full::<Either>("fhdr", BOTH),
    full::<Req>("req.fhdr", REQ),
    full::<Res>("res.fhdr", RES),
    count::<Either>("hdr_cnt", BOTH),
    count::<Req>("req.hdr_cnt", REQ),
    count::<Res>("res.hdr_cnt", RES),
    count::<Res>("shdr_cnt", RES),
    full_count::<Either>("fhdr_cnt", BOTH),
    full_count::<Req>("req.fhdr_cnt", REQ),
    full_count::<Res>("res.fhdr_cnt", RES),
    address::<Either>("hdr_ip", BOTH),
    address::<Req>("req.hdr_ip", REQ),
    address::<Res>("res.hdr_ip", RES),
    address::<Res>("shdr_ip", RES),
    integer::<Either>("hdr_val", BOTH),
    integer::<Req>("req.hdr_val", REQ),
    integer::<Res>("res.hdr_val", RES),
    integer::<Res>("shdr_val", RES),
    names::<Req>("req.hdr_names", REQ),
    names::<Res>("res.hdr_names", RES),
    block::<Req>("req.hdrs", REQ),
    block::<Res>("res.hdrs", RES),
];

fn name_of(a: &Args) -> Option<&[u8]> {
    a.str(0).filter(|n| !n.is_empty())
}

/// Every comma-separated value of every field.
fn all_values(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    fields.iter().flat_map(|(_, v)| v.split(|c| *c == b',')).map(<[u8]>::trim_ascii)
}

fn hdr<'a, S: Side>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let fields = S::fields(c)?;
    match name_of(a) {
        Some(name) => fields.value_nth(name, a.int_or(1, 0)),
        None => all_values(fields).last(),
    }
    .map(Sample::str)
}

fn hdr_each<'a, S: Side>(a: &'a Args, c: &'a dyn Ctx, f: &mut dyn FnMut(Sample<'a>) -> bool) {
    let Some(fields) = S::fields(c) else { return };
    match name_of(a) {
        Some(name) if a.int_or(1, 0) != 0 => {
            if let Some(v) = fields.value_nth(name, a.int_or(1, 0)) {
                f(Sample::str(v));
            }
        }
        Some(name) => {
            let _ = fields.values(name).any(|v| f(Sample::str(v)));
        }
        None => {
            let _ = all_values(fields).any(|v| f(Sample::str(v)));
        }
    }
}

fn hdr_cnt<'a, S: Side>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let fields = S::fields(c)?;
    let n = name_of(a).map_or_else(|| all_values(fields).count(), |n| fields.count_values(n));
    Some(Sample::Int(n as i64))
}

fn fhdr<'a, S: Side>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let fields = S::fields(c)?;
    match name_of(a) {
        Some(name) => fields.get_nth(name, a.int_or(1, 0)),
        None => fields.iter().next_back().map(|(_, v)| v),
    }
    .map(Sample::str)
}

fn fhdr_each<'a, S: Side>(a: &'a Args, c: &'a dyn Ctx, f: &mut dyn FnMut(Sample<'a>) -> bool) {
    let Some(fields) = S::fields(c) else { return };
    match name_of(a) {
        Some(name) if a.int_or(1, 0) != 0 => {
            if let Some(v) = fields.get_nth(name, a.int_or(1, 0)) {
                f(Sample::str(v));
            }
        }
        Some(name) => {
            let _ = fields.named(name).any(|x| f(Sample::str(x.value)));
        }
        None => {
            let _ = fields.iter().any(|(_, v)| f(Sample::str(v)));
        }
    }
}

fn fhdr_cnt<'a, S: Side>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let fields = S::fields(c)?;
    Some(Sample::Int(name_of(a).map_or_else(|| fields.len(), |n| fields.count(n)) as i64))
}

/// An address as RFC 7239 section 6 writes it, or bare: `1.2.3.4`, `1.2.3.4:80`, `"[2001:db8::1]:80"`.
fn hdr_address(s: Sample<'_>) -> Option<Sample<'_>> {
    let b = s.bytes()?.trim_ascii();
    let b = b.strip_prefix(b"\"").and_then(|b| b.strip_suffix(b"\"")).unwrap_or(b);
    let is_port = |p: &[u8]| std::str::from_utf8(p).is_ok_and(|p| p.parse::<u16>().is_ok());
    if let Some(rest) = b.strip_prefix(b"[") {
        let end = memchr::memchr(b']', rest)?;
        let good = match rest[end + 1..].split_first() {
            None => true,
            Some((b':', port)) => is_port(port),
            Some(_) => false,
        };
        return match parse_ip(&rest[..end])? {
            ip @ IpAddr::V6(_) if good => Some(Sample::Ip(ip)),
            _ => None,
        };
    }
    if let Some(ip) = parse_ip(b) {
        return Some(Sample::Ip(ip));
    }
    let colon = memchr::memchr(b':', b)?;
    match parse_ip(&b[..colon])? {
        ip @ IpAddr::V4(_) if is_port(&b[colon + 1..]) => Some(Sample::Ip(ip)),
        _ => None,
    }
}

fn hdr_names<'a, S: Side>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let delim = a.str(0).and_then(|d| d.first().copied()).unwrap_or(b',');
    let mut out = Scratch::new();
    for (i, (name, _)) in S::fields(c)?.iter().enumerate() {
        if i > 0 {
            out.vec().push(delim);
        }
        out.vec().extend_from_slice(name);
    }
    Some(Sample::Str(out.into()))
}

fn hdrs<'a, S: Side>(_: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let mut out = Scratch::new();
    for (name, value) in S::fields(c)?.iter() {
        for part in [name, b": ", value, b"\r\n"] {
            out.write_all(part).ok()?;
        }
    }
    out.write_all(b"\r\n").ok()?;
    Some(Sample::Str(out.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_ports() {
        let ok = |t: &str| match hdr_address(Sample::str(t.as_bytes())) {
            Some(Sample::Ip(ip)) => ip.to_string(),
            _ => "none".into(),
        };
        assert_eq!(ok("1.2.3.4"), "1.2.3.4");
        assert_eq!(ok("1.2.3.4:80"), "1.2.3.4");
        assert_eq!(ok("1.2.3.4:99999"), "none");
        assert_eq!(ok("2001:db8::1"), "2001:db8::1");
        assert_eq!(ok("\"[2001:db8::1]:80\""), "2001:db8::1");
        assert_eq!(ok("[1.2.3.4]"), "none");
        assert_eq!(ok("unknown"), "none");
    }
}
