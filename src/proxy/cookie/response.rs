//! The response side: insert, rewrite, prefix or delete the cookie.

use crate::base::time::Wall;
use crate::http::cookie::{SetCookie, parse_set_cookie, push_prefixed};

use super::super::Proxy;
use super::{CookieConf, CookieMode, Done, Edit, Exchange, ResponseOutcome, date};

/// What makes a client forget a cookie: a date in the past.
const FORGET: &[u8] = b"; Expires=Thu, 01-Jan-1970 00:00:01 GMT";

/// Look at the response's `Set-Cookie` header values.
pub fn response(px: &Proxy, ex: &Exchange<'_>, set_cookies: &[&[u8]], now: Wall) -> ResponseOutcome {
    let mut out = ResponseOutcome::default();
    let Some(conf) = px.backend.as_ref().and_then(|b| b.cookie.as_ref()) else { return out };
    if conf.is_silent() {
        return out;
    }
    out.done = Done::None;
    if ex.ignore {
        return out;
    }
    // A redispatch ends the persistence: the client is told about its new server.
    let direct = ex.request.asked_for(ex.server);
    let id = px.backend().servers[ex.server].cookie.as_deref();
    for (at, value) in set_cookies.iter().enumerate() {
        let Some(c) = parse_set_cookie(value).filter(|c| value[c.name.clone()] == conf.name[..]) else {
            continue;
        };
        let (done, edit) = of_server(conf, id, direct, value, &c);
        out.done = done;
        if let Some(e) = edit {
            out.edits.push((at, e));
        }
    }
    let passed = out.done == Done::Passed;
    if conf.mode == CookieMode::Insert && !passed && (ex.post || !conf.postonly) {
        insert(conf, id, direct, ex, date::now(now), &mut out);
    }
    out
}

/// A cookie of that name which the server sets itself.
fn of_server(
    conf: &CookieConf,
    id: Option<&[u8]>,
    direct: bool,
    value: &[u8],
    c: &SetCookie,
) -> (Done, Option<Edit>) {
    let unwanted = conf.mode == CookieMode::Insert || (conf.indirect && direct);
    if unwanted {
        return if conf.preserve { (Done::Passed, None) } else { (Done::Deleted, Some(Edit::Remove)) };
    }
    let Some(id) = id else { return (Done::Passed, None) };
    let mut new = Vec::with_capacity(value.len() + id.len() + 1);
    new.extend_from_slice(&value[..c.value.start]);
    match conf.mode {
        CookieMode::Rewrite => new.extend_from_slice(id),
        CookieMode::Prefix => push_prefixed(&mut new, id, &value[c.value.clone()]),
        _ => return (Done::Passed, None),
    }
    new.extend_from_slice(&value[c.value.end..]);
    (Done::Rewritten, Some(Edit::Replace(new)))
}

fn insert(
    conf: &CookieConf,
    id: Option<&[u8]>,
    direct: bool,
    ex: &Exchange<'_>,
    now: u32,
    out: &mut ResponseOutcome,
) {
    let (last, first) = (ex.request.last_date, ex.request.first_date);
    // The client's cookie has a date that is not today's, lacks one, or has one that is no longer wanted.
    let stale =
        ((conf.maxidle.is_some() || last != 0) && last < now) || (conf.maxlife.is_some() != (first != 0));
    if direct && !stale {
        return;
    }
    let mut cookie = Vec::with_capacity(64);
    cookie.extend_from_slice(&conf.name);
    cookie.push(b'=');
    match id {
        None => cookie.extend_from_slice(FORGET),
        Some(id) => {
            cookie.extend_from_slice(id);
            if conf.maxidle.is_some() || conf.maxlife.is_some() {
                cookie.push(b'|');
                date::push(&mut cookie, now);
            }
            if conf.maxlife.is_some() {
                cookie.push(b'|');
                date::push(&mut cookie, if first != 0 { first } else { now });
            }
        }
    }
    cookie.extend_from_slice(b"; path=/");
    attributes(conf, &mut cookie);
    out.done = if direct { Done::Updated } else { Done::Inserted };
    out.cache_private = conf.nocache;
    out.add = Some(cookie);
}

fn attributes(conf: &CookieConf, cookie: &mut Vec<u8>) {
    for d in &conf.domains {
        cookie.extend_from_slice(b"; domain=");
        cookie.extend_from_slice(d);
    }
    if conf.httponly {
        cookie.extend_from_slice(b"; HttpOnly");
    }
    if conf.secure {
        cookie.extend_from_slice(b"; Secure");
    }
    for a in &conf.attrs {
        cookie.extend_from_slice(b"; ");
        cookie.extend_from_slice(a);
    }
}
