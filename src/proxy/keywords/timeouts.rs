//! Every `timeout`, and the three of 1.x.

use crate::base::duration::Unit;
use crate::config::{Keyword, ParseCx, Sections, Status};

use super::super::options::Timeouts;
use super::raw;

const FRONT: Sections = Sections::DEFAULTS.or(Sections::FRONTEND);
const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND);
const ANY: Sections = Sections::PROXY;

type Field = fn(&mut Timeouts) -> &mut Option<std::time::Duration>;

fn parse(cx: &mut ParseCx<'_>, field: Field) {
    if cx.dir.negated || cx.dir.defaulted {
        *field(&mut raw(cx).timeouts) = None;
        return;
    }
    let Some(d) = cx.expect_duration("an integer value (in milliseconds)", Unit::Ms) else { return };
    // A timeout of zero never strikes.
    *field(&mut raw(cx).timeouts) = (!d.is_zero()).then_some(d);
    cx.end();
}

macro_rules! timeout {
    ($name:literal, $sections:expr, $doc:literal, $field:ident) => {
        timeout!($name, $sections, $doc, $field, Status::Full)
    };
    ($name:literal, $sections:expr, $doc:literal, $field:ident, $status:expr) => {
        Keyword {
            name: $name,
            sections: $sections,
            syntax: concat!($name, " <timeout>"),
            doc: $doc,
            status: $status,
            parse: |cx| parse(cx, |t| &mut t.$field),
        }
    };
}

const fn modern(modern: &'static str) -> Status {
    Status::Legacy { modern }
}

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    timeout!("timeout client", FRONT, "Longest silence of a client.", client),
    timeout!("timeout server", BACK, "Longest silence of a server.", server),
    timeout!("timeout connect", BACK, "Longest wait for a connection to a server.", connect),
    timeout!("timeout queue", BACK, "Longest wait in a queue.", queue),
    timeout!("timeout check", BACK, "Longest wait for a check's answer once connected.", check),
    timeout!("timeout http-request", ANY, "Longest wait for a whole request head.", http_request),
    timeout!("timeout http-keep-alive", ANY, "Longest wait for the next request.", http_keep_alive),
    timeout!("timeout tunnel", BACK, "Longest silence of a tunnel.", tunnel),
    timeout!("timeout client-fin", FRONT, "Longest silence of a half-closed client.", client_fin),
    timeout!("timeout server-fin", BACK, "Longest silence of a half-closed server.", server_fin),
    timeout!("timeout tarpit", ANY, "How long tarpitted requests are held.", tarpit),
    timeout!("timeout client-hs", FRONT, "Longest wait for the PROXY protocol's header.", client_hs),
    timeout!("timeout clitimeout", FRONT, "Old name.", client, modern("timeout client")),
    timeout!("timeout srvtimeout", BACK, "Old name.", server, modern("timeout server")),
    timeout!("timeout contimeout", BACK, "Old name.", connect, modern("timeout connect")),
    timeout!("clitimeout", FRONT, "Old name.", client, modern("timeout client")),
    timeout!("srvtimeout", BACK, "Old name.", server, modern("timeout server")),
    timeout!("contimeout", BACK, "Old name.", connect, modern("timeout connect")),
];
