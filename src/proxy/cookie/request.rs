//! The request side: follow the cookie, and hide it from the server.

use crate::base::time::Wall;
use crate::http::cookie::{Pair, pairs};

use super::super::{Live, Proxy};
use super::{CookieConf, CookieMode, Edit, RequestOutcome, Seen, date};

/// Look at the request's `Cookie` header values. `force` is the verdict of `force-persist`, `ignore` that of
/// `ignore-persist`.
pub fn request(
    px: &Proxy,
    live: &Live,
    values: &[&[u8]],
    now: Wall,
    force: bool,
    ignore: bool,
) -> RequestOutcome {
    let mut out = RequestOutcome::default();
    let Some(conf) = px.backend.as_ref().and_then(|b| b.cookie.as_ref()) else { return out };
    out.seen = Seen::None;
    let now = date::now(now);
    for (at, value) in values.iter().enumerate() {
        let mut found = false;
        for pair in pairs(value).filter(|p| value[p.name.clone()] == conf.name[..]) {
            found = true;
            if ignore {
                out.seen = Seen::Unused;
            } else if out.server.is_none() {
                follow(px, live, conf, &value[pair.value], now, force, &mut out);
            }
        }
        if found && let Some(edit) = edit(conf, value) {
            out.edits.push((at, edit));
        }
    }
    if conf.is_silent() {
        out.seen = Seen::NotLooked;
    }
    out
}

/// One cookie: which server it names, and whether that one may be used.
fn follow(
    px: &Proxy,
    live: &Live,
    conf: &CookieConf,
    value: &[u8],
    now: u32,
    force: bool,
    out: &mut RequestOutcome,
) {
    let (id, last, first) = parts(conf, value);
    if last != 0 && conf.maxidle.is_some_and(|max| date::is_over(last, now, max)) {
        out.seen = Seen::Expired;
        return;
    }
    if first != 0 && conf.maxlife.is_some_and(|max| date::is_over(first, now, max)) {
        out.seen = Seen::Old;
        return;
    }
    let be = px.backend();
    let Some(srv) = be.servers.iter().find(|s| s.cookie.as_deref() == Some(id)) else {
        out.seen = Seen::Invalid;
        return;
    };
    let up = live.server(srv.id).is_up();
    out.seen = if up { Seen::Valid } else { Seen::Down };
    if up || be.persist || force {
        out.server = Some(srv.index);
        out.last_date = last;
        out.first_date = first;
    }
}

/// The server's identifier, the date of the last visit and that of the first one.
fn parts<'a>(conf: &CookieConf, value: &'a [u8]) -> (&'a [u8], u32, u32) {
    if conf.mode == CookieMode::Prefix {
        let end = memchr::memchr(b'~', value).unwrap_or(value.len());
        return (&value[..end], 0, 0);
    }
    let mut fields = value.splitn(3, |c| *c == b'|');
    let id = fields.next().unwrap_or(value);
    let mut next = || fields.next().map_or(0, date::parse);
    let last = next();
    (id, last, next())
}

/// What the server gets instead of this header, which holds the cookie.
fn edit(conf: &CookieConf, value: &[u8]) -> Option<Edit> {
    if conf.hides_from_server() {
        return Some(without(&conf.name, value));
    }
    if conf.mode != CookieMode::Prefix {
        return None;
    }
    let mut out = Vec::with_capacity(value.len());
    let mut copied = 0;
    for p in pairs(value).filter(|p| value[p.name.clone()] == conf.name[..]) {
        if let Some(at) = memchr::memchr(b'~', &value[p.value.clone()]) {
            out.extend_from_slice(&value[copied..p.value.start]);
            copied = p.value.start + at + 1;
        }
    }
    (copied > 0).then(|| {
        out.extend_from_slice(&value[copied..]);
        Edit::Replace(out)
    })
}

/// The header without any pair of that name; the others keep their bytes.
fn without(name: &[u8], value: &[u8]) -> Edit {
    let mine = |p: &Pair| value[p.name.clone()] == *name;
    let keep: Vec<Pair> = pairs(value).filter(|p| !mine(p)).collect();
    let (Some(first), Some(last)) = (keep.first(), keep.last()) else { return Edit::Remove };
    // From the first pair that stays to the last one, each cut one with the delimiter before it.
    let start = first.segment.start + value[first.segment.clone()].iter().take_while(is_blank).count();
    let mut out = Vec::with_capacity(value.len());
    let mut copied = start;
    for p in pairs(value).filter(|p| mine(p) && p.segment.start > start) {
        out.extend_from_slice(&value[copied..p.segment.start - 1]);
        copied = p.segment.end;
    }
    if copied < last.segment.end {
        out.extend_from_slice(&value[copied..last.segment.end]);
    }
    Edit::Replace(out)
}

fn is_blank(c: &&u8) -> bool {
    matches!(**c, b' ' | b'\t')
}
