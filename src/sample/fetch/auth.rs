//! Credentials in the Authorization header. Nothing is verified here.

use crate::http::FieldId;
use crate::sample::convert::encode::base64_decode;
use crate::sample::{ArgType, Args, Ctx, Fetch, Needs, Sample, Scratch, Type};

const HEAD: Needs = Needs::REQ_HEAD;

/// The table.
pub const FETCHES: &[Fetch] = &[
    Fetch::new("http_auth_type", Type::Str, HEAD, |_, c| {
        Some(Sample::str(match scheme(c)?.0 {
            s if s.eq_ignore_ascii_case(b"basic") => b"Basic",
            s if s.eq_ignore_ascii_case(b"bearer") => b"Bearer",
            _ => return None,
        }))
    })
    .doc("authentication scheme, Basic or Bearer"),
    Fetch::new("http_auth_user", Type::Str, HEAD, |_, c| basic(c, true))
        .doc("user name of Basic credentials"),
    Fetch::new("http_auth_pass", Type::Str, HEAD, |_, c| basic(c, false))
        .doc("password of Basic credentials"),
    Fetch::new("http_auth_bearer", Type::Str, HEAD, bearer).args(0, &[ArgType::Str]).doc("bearer token"),
];

fn cut(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr::memchr(b' ', value)?;
    Some((&value[..space], value[space + 1..].trim_ascii()))
}

fn scheme(c: &dyn Ctx) -> Option<(&[u8], &[u8])> {
    cut(c.request()?.fields.get_id(FieldId::Authorization)?)
}

fn basic<'a>(c: &'a dyn Ctx, user: bool) -> Option<Sample<'a>> {
    let (kind, token) = scheme(c)?;
    if !kind.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let mut out = Scratch::new();
    base64_decode(token, false, out.vec())?;
    let colon = memchr::memchr(b':', &out)?;
    if user {
        out.vec().truncate(colon);
    } else {
        out.vec().drain(..=colon);
    }
    Some(Sample::Str(out.into()))
}

fn bearer<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let (kind, token) = match a.str(0) {
        None | Some(b"") => scheme(c)?,
        Some(name) => {
            let value = c.request()?.fields.get(name)?;
            // Another header may carry the token alone.
            match cut(value) {
                Some(x) => x,
                None => return Some(Sample::str(value)),
            }
        }
    };
    kind.eq_ignore_ascii_case(b"bearer").then(|| Sample::str(token))
}
