//! Live state by a computed name.

use crate::sample::{Converter, Ctx, ProxyCount, Sample, ServerCount, Type};

/// The table.
pub const CONVERTERS: &[Converter] = &[
    Converter::new("nbsrv", Type::Str, Type::Int, |_, s, c| {
        let live = c.live()?;
        let p = live.find_backend(std::str::from_utf8(s.bytes()?).ok()?)?;
        Some(Sample::Int(live.proxy_count(p, ProxyCount::UsableServers)))
    })
    .doc("usable servers of the backend of that name"),
    Converter::new("srv_queue", Type::Str, Type::Int, |_, s, c| server(s, c, ServerCount::Queue))
        .doc("requests in the queue of the server of that name"),
    Converter::new("srv_is_up", Type::Str, Type::Bool, |_, s, c| match server(s, c, ServerCount::IsUp)? {
        Sample::Int(i) => Some(Sample::Bool(i != 0)),
        _ => None,
    })
    .doc("whether the server of that name takes traffic"),
];

/// `server` of the current backend, or `backend/server`.
fn server<'a>(s: Sample<'a>, c: &'a dyn Ctx, what: ServerCount) -> Option<Sample<'a>> {
    let live = c.live()?;
    let text = std::str::from_utf8(s.bytes()?).ok()?;
    let (backend, name) = match text.split_once('/') {
        Some((b, n)) => (live.find_backend(b)?, n),
        None => (c.backend()?, text),
    };
    Some(Sample::Int(live.server_count(live.find_server(backend, name)?, what)))
}
