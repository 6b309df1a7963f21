//! Internal states: proxies, servers, counts, process, clock. Manual section 7.3.2.

use std::sync::OnceLock;

use crate::sample::{
    Arg, ArgType, Args, Buf, Ctx, ExprCx, Fetch, Needs, ProxyCount, ProxyIdx, Sample, Scratch, ServerCount,
    ServerIdx, TimeoutKind, Type,
};

const ANY: Needs = Needs::INTERNAL;

/// The table.
pub const FETCHES: &[Fetch] = &[
    Fetch::new("nbsrv", Type::Int, ANY, |a, c| count(backend(a, c), c, ProxyCount::UsableServers))
        .args(0, &[ArgType::Backend])
        .doc("usable servers of the backend"),
    Fetch::new("connslots", Type::Int, ANY, |a, c| count(backend(a, c), c, ProxyCount::FreeSlots))
        .args(0, &[ArgType::Backend])
        .doc("free connection and queue slots of the backend's servers, -1 when unlimited"),
    Fetch::new("be_conn", Type::Int, ANY, |a, c| count(backend(a, c), c, ProxyCount::BeConn))
        .args(0, &[ArgType::Backend])
        .doc("current connections of the backend"),
    Fetch::new("be_conn_free", Type::Int, ANY, |a, c| count(backend(a, c), c, ProxyCount::BeConnFree))
        .args(0, &[ArgType::Backend])
        .doc("free connections of the backend's servers, -1 when unlimited"),
    Fetch::new("be_sess_rate", Type::Int, ANY, |a, c| count(backend(a, c), c, ProxyCount::BeSessRate))
        .args(0, &[ArgType::Backend])
        .doc("sessions per second of the backend"),
    Fetch::new("queue", Type::Int, ANY, |a, c| count(backend(a, c), c, ProxyCount::Queue))
        .args(0, &[ArgType::Backend])
        .doc("queued requests of the backend and its servers"),
    Fetch::new("avg_queue", Type::Int, ANY, avg_queue)
        .args(0, &[ArgType::Backend])
        .doc("queued requests per usable server"),
    Fetch::new("fe_conn", Type::Int, ANY, |a, c| count(frontend(a, c), c, ProxyCount::FeConn))
        .args(0, &[ArgType::Frontend])
        .doc("current connections of the frontend"),
    Fetch::new("fe_sess_rate", Type::Int, ANY, |a, c| count(frontend(a, c), c, ProxyCount::FeSessRate))
        .args(0, &[ArgType::Frontend])
        .doc("sessions per second of the frontend"),
    Fetch::new("fe_req_rate", Type::Int, ANY, |a, c| count(frontend(a, c), c, ProxyCount::FeReqRate))
        .args(0, &[ArgType::Frontend])
        .doc("HTTP requests per second of the frontend"),
    Fetch::new("srv_conn", Type::Int, ANY, |a, c| srv(a, c, ServerCount::Conn))
        .args(1, &[ArgType::Server])
        .doc("current connections of the server"),
    Fetch::new("srv_conn_free", Type::Int, ANY, |a, c| srv(a, c, ServerCount::ConnFree))
        .args(1, &[ArgType::Server])
        .doc("free connections of the server, -1 when unlimited"),
    Fetch::new("srv_is_up", Type::Bool, ANY, |a, c| {
        Some(Sample::Bool(c.live()?.server_count(server(a)?, ServerCount::IsUp) != 0))
    })
    .args(1, &[ArgType::Server])
    .doc("whether the server takes traffic"),
    Fetch::new("srv_queue", Type::Int, ANY, |a, c| srv(a, c, ServerCount::Queue))
        .args(1, &[ArgType::Server])
        .doc("requests in the server's queue"),
    Fetch::new("srv_sess_rate", Type::Int, ANY, |a, c| srv(a, c, ServerCount::SessRate))
        .args(1, &[ArgType::Server])
        .doc("sessions per second of the server"),
    Fetch::new("srv_weight", Type::Int, ANY, |a, c| srv(a, c, ServerCount::Weight))
        .args(1, &[ArgType::Server])
        .doc("effective weight of the server"),
    Fetch::new("srv_iweight", Type::Int, ANY, |a, c| srv(a, c, ServerCount::InitialWeight))
        .args(1, &[ArgType::Server])
        .doc("initial weight of the server"),
    Fetch::new("srv_uweight", Type::Int, ANY, |a, c| srv(a, c, ServerCount::UserWeight))
        .args(1, &[ArgType::Server])
        .doc("user's weight of the server"),
    Fetch::new("fe_id", Type::Int, Needs::FRONTEND, |_, c| {
        Some(Sample::Int(c.live()?.proxy_id(c.frontend()?)))
    })
    .doc("numeric id of the frontend"),
    Fetch::new("fe_name", Type::Str, Needs::FRONTEND, |_, c| proxy_name(c.frontend(), c))
        .doc("name of the frontend"),
    Fetch::new("be_id", Type::Int, Needs::BACKEND, |_, c| {
        Some(Sample::Int(c.live()?.proxy_id(c.backend()?)))
    })
    .doc("numeric id of the backend"),
    Fetch::new("be_name", Type::Str, Needs::BACKEND, |_, c| proxy_name(c.backend(), c))
        .doc("name of the backend"),
    Fetch::new("srv_id", Type::Int, Needs::SERVER, |_, c| {
        Some(Sample::Int(c.live()?.server_id(c.server()?)))
    })
    .doc("numeric id of the server"),
    Fetch::new("srv_name", Type::Str, Needs::SERVER, |_, c| {
        Some(Sample::str(c.live()?.server_name(c.server()?).as_bytes()))
    })
    .doc("name of the server"),
    Fetch::new("rand", Type::Int, ANY, rand)
        .args(0, &[ArgType::Int])
        .doc("random integer below <range> (2^32)"),
    Fetch::new("uuid", Type::Str, ANY, uuid)
        .args(0, &[ArgType::Int])
        .prepare(uuid_version)
        .doc("a random UUID, version 4"),
    Fetch::new("date", Type::Int, ANY, date)
        .args(0, &[ArgType::Int, ArgType::Str])
        .prepare(|_, a| check_unit(a, 1))
        .doc("seconds since 1970 plus an offset; unit s, ms or us"),
    Fetch::new("date_us", Type::Int, ANY, |_, c| Some(Sample::Int((c.wall().0 % 1_000_000) as i64)))
        .doc("microseconds of the current second"),
    Fetch::new("env", Type::Str, ANY, |a, _| Some(Sample::str(a.str(0)?)))
        .args(1, &[ArgType::Str])
        .prepare(env)
        .doc("an environment variable as it was at the start"),
    Fetch::new("hostname", Type::Str, ANY, |_, _| Some(Sample::str(host_name())))
        .doc("the system's host name"),
    Fetch::new("nbproc", Type::Int, ANY, |_, _| Some(Sample::Int(1))).doc("always 1"),
    Fetch::new("proc", Type::Int, ANY, |_, _| Some(Sample::Int(1))).doc("always 1"),
    Fetch::new("nbthread", Type::Int, ANY, |_, c| Some(Sample::Int(c.live()?.threads())))
        .doc("number of worker threads"),
    Fetch::new("thread", Type::Int, ANY, |_, c| Some(Sample::Int(c.thread())))
        .doc("index of this worker thread, from 0"),
    Fetch::new("act_conn", Type::Int, ANY, |_, c| Some(Sample::Int(c.live()?.act_conn())))
        .doc("current connections of the process"),
    Fetch::new("stopping", Type::Bool, ANY, |_, c| Some(Sample::Bool(c.live()?.stopping())))
        .doc("whether the process is finishing"),
    Fetch::new("var", Type::Any, ANY, var)
        .args(1, &[ArgType::Var, ArgType::Str])
        .doc("a variable, or a default string when it is not set"),
    Fetch::new("unique-id", Type::Str, Needs::REQ_LINE.or(Needs::CLIENT), |_, c| {
        c.unique_id().map(Sample::Str)
    })
    .doc("the request's unique id"),
    Fetch::new("last_rule_file", Type::Str, ANY, |_, c| Some(Sample::str(c.last_rule()?.file.as_bytes())))
        .doc("file of the last rule that ended a rule set"),
    Fetch::new("last_rule_line", Type::Int, ANY, |_, c| Some(Sample::Int(i64::from(c.last_rule()?.line))))
        .doc("line of the last rule that ended a rule set"),
    Fetch::new("fe_client_timeout", Type::Int, ANY, |_, c| timeout(c, TimeoutKind::Client, false))
        .doc("'timeout client' of the frontend, in milliseconds"),
    Fetch::new("be_connect_timeout", Type::Int, ANY, |_, c| timeout(c, TimeoutKind::Connect, false))
        .doc("'timeout connect' of the backend, in milliseconds"),
    Fetch::new("be_queue_timeout", Type::Int, ANY, |_, c| timeout(c, TimeoutKind::Queue, false))
        .doc("'timeout queue' of the backend, in milliseconds"),
    Fetch::new("be_server_timeout", Type::Int, ANY, |_, c| timeout(c, TimeoutKind::Server, false))
        .doc("'timeout server' of the backend, in milliseconds"),
    Fetch::new("be_tarpit_timeout", Type::Int, ANY, |_, c| timeout(c, TimeoutKind::Tarpit, false))
        .doc("'timeout tarpit' of the backend, in milliseconds"),
    Fetch::new("be_tunnel_timeout", Type::Int, ANY, |_, c| timeout(c, TimeoutKind::Tunnel, false))
        .doc("'timeout tunnel' of the backend, in milliseconds"),
    Fetch::new("cur_client_timeout", Type::Int, ANY, |_, c| timeout(c, TimeoutKind::Client, true))
        .doc("'timeout client' in force, in milliseconds"),
    Fetch::new("cur_connect_timeout", Type::Int, ANY, |_, c| timeout(c, TimeoutKind::Connect, true))
        .doc("'timeout connect' in force, in milliseconds"),
    Fetch::new("cur_queue_timeout", Type::Int, ANY, |_, c| timeout(c, TimeoutKind::Queue, true))
        .doc("'timeout queue' in force, in milliseconds"),
    Fetch::new("cur_server_timeout", Type::Int, ANY, |_, c| timeout(c, TimeoutKind::Server, true))
        .doc("'timeout server' in force, in milliseconds"),
    Fetch::new("cur_tarpit_timeout", Type::Int, ANY, |_, c| timeout(c, TimeoutKind::Tarpit, true))
        .doc("'timeout tarpit' in force, in milliseconds"),
    Fetch::new("cur_tunnel_timeout", Type::Int, ANY, |_, c| timeout(c, TimeoutKind::Tunnel, true))
        .doc("'timeout tunnel' in force, in milliseconds"),
    Fetch::new("be_max_retries", Type::Int, Needs::BACKEND, |_, c| retries(c, false))
        .doc("'retries' of the backend"),
    Fetch::new("cur_max_retries", Type::Int, Needs::BACKEND, |_, c| retries(c, true))
        .doc("connection retries in force, after 'set-retries'"),
];

fn backend(a: &Args, c: &dyn Ctx) -> Option<ProxyIdx> {
    a.name(0).map_or_else(|| c.backend(), |n| n.proxy())
}

fn frontend(a: &Args, c: &dyn Ctx) -> Option<ProxyIdx> {
    a.name(0).map_or_else(|| c.frontend(), |n| n.proxy())
}

fn server(a: &Args) -> Option<ServerIdx> {
    a.name(0)?.server()
}

fn count<'a>(p: Option<ProxyIdx>, c: &'a dyn Ctx, what: ProxyCount) -> Option<Sample<'a>> {
    Some(Sample::Int(c.live()?.proxy_count(p?, what)))
}

fn srv<'a>(a: &'a Args, c: &'a dyn Ctx, what: ServerCount) -> Option<Sample<'a>> {
    Some(Sample::Int(c.live()?.server_count(server(a)?, what)))
}

fn timeout(c: &dyn Ctx, kind: TimeoutKind, current: bool) -> Option<Sample<'_>> {
    Some(Sample::Int(i64::try_from(c.timeout(kind, current)?.as_millis()).ok()?))
}

fn retries(c: &dyn Ctx, current: bool) -> Option<Sample<'_>> {
    Some(Sample::Int(i64::from(c.retries(current)?)))
}

fn proxy_name<'a>(p: Option<ProxyIdx>, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    Some(Sample::str(c.live()?.proxy_name(p?).as_bytes()))
}

/// Without a usable server, twice the queue: one server is expected back soon (manual, `avg_queue`).
fn avg_queue<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let (live, p) = (c.live()?, backend(a, c)?);
    let queued = live.proxy_count(p, ProxyCount::Queue);
    Some(Sample::Int(match live.proxy_count(p, ProxyCount::UsableServers) {
        n if n > 0 => (queued + n - 1) / n,
        _ => queued * 2,
    }))
}

fn rand<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let range = a.int(0).filter(|r| *r > 0).unwrap_or(1 << 32);
    // The high bits scaled into the range: no modulo bias worth speaking of.
    Some(Sample::Int(((u128::from(c.random()) * range as u128) >> 64) as i64))
}

fn uuid_version(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    match a.int_or(0, 4) {
        4 | 7 => Ok(()),
        v => Err((0, format!("UUID version {v} is not supported; 4 and 7 are"))),
    }
}

fn uuid<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    use std::io::Write;
    let (mut hi, lo) = (c.random(), c.random());
    let version = a.int_or(0, 4) as u64;
    if version == 7 {
        hi = ((c.wall().0 / 1000) << 16) | (hi & 0xffff);
    }
    let hi = (hi & !0xf000) | (version << 12);
    let lo = (lo & !(0b11 << 62)) | (0b10 << 62);
    let mut out = Scratch::new();
    write!(
        out,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        hi >> 32,
        (hi >> 16) & 0xffff,
        hi & 0xffff,
        lo >> 48,
        lo & 0xffff_ffff_ffff
    )
    .ok()?;
    Some(Sample::Str(Buf::Owned(out)))
}

/// The unit argument of `date` and `http_date`: its factor to microseconds is kept as an integer.
pub(crate) fn check_unit(a: &mut Args, i: usize) -> Result<(), (usize, String)> {
    let factor = match a.str(i) {
        None | Some(b"" | b"s") => 1_000_000,
        Some(b"ms") => 1000,
        Some(b"us") => 1,
        Some(other) => {
            return Err((i, format!("'{}' is no unit; s, ms and us are", String::from_utf8_lossy(other))));
        }
    };
    a.set(i, Arg::Int(factor));
    Ok(())
}

fn date<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let now = c.wall().0 as i64 / a.int_or(1, 1_000_000);
    Some(Sample::Int(now.saturating_add(a.int_or(0, 0))))
}

fn env(cx: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    let name = a.str(0).unwrap_or_default().to_vec();
    let value = cx.state.env.get(&name).map_or(Arg::None, |v| Arg::Str(v.into()));
    a.set(0, value);
    Ok(())
}

fn host_name() -> &'static [u8] {
    static NAME: OnceLock<Vec<u8>> = OnceLock::new();
    NAME.get_or_init(|| {
        use std::os::unix::ffi::OsStringExt;
        nix::unistd::gethostname().map(OsStringExt::into_vec).unwrap_or_default()
    })
}

fn var<'a>(a: &'a Args, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    super::super::vars::read(a.var(0)?, c).or_else(|| a.str(1).map(Sample::str))
}
