//! Commands about servers and limits.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::Context;
use super::commands::{Call, Next, find_server};
use crate::log::Level;
use crate::proxy::check::report::Reason;
use crate::proxy::check::{Change, CheckStatus, Outcome, Verdict};
use crate::proxy::live::{AdminFlags, ServerStatus};
use crate::proxy::{Proxy, Server};
use crate::runtime;

/// Set and clear administrative flags of a server.
fn change_admin(cx: &Context, srv: &Server, set: AdminFlags, clear: AdminFlags) {
    cx.watch.administer(srv.id, set, clear, None, runtime::now());
}

const NO_FLAGS: AdminFlags = AdminFlags(0);
/// What `ready` and `enable server` take away.
const COMMANDED: AdminFlags =
    AdminFlags(AdminFlags::FORCED_MAINT.0 | AdminFlags::CONFIG_MAINT.0 | AdminFlags::FORCED_DRAIN.0);

/// `disable server`.
pub fn disable(call: &mut Call<'_>) -> Next {
    let cx = call.cx;
    if let Some((_, srv)) = find_server(call, cx) {
        change_admin(cx, srv, AdminFlags::FORCED_MAINT, NO_FLAGS);
    }
    Next::Continue
}

/// `enable server`.
pub fn enable(call: &mut Call<'_>) -> Next {
    let cx = call.cx;
    if let Some((_, srv)) = find_server(call, cx) {
        let maint = AdminFlags(AdminFlags::FORCED_MAINT.0 | AdminFlags::CONFIG_MAINT.0);
        change_admin(cx, srv, NO_FLAGS, maint);
    }
    Next::Continue
}

/// `get weight`.
pub fn get_weight(call: &mut Call<'_>) -> Next {
    let cx = call.cx;
    if let Some((_, srv)) = find_server(call, cx) {
        let _ = writeln!(call.out, "{} (initial {})", cx.live.server(srv.id).weight(), srv.weight);
    }
    Next::Continue
}

/// `set weight`.
pub fn set_weight(call: &mut Call<'_>) -> Next {
    let value = call.args.get(1).cloned();
    weight(call, value.as_deref());
    Next::Continue
}

/// A weight from 0 to 256, or a percentage of the configured one.
fn weight(call: &mut Call<'_>, text: Option<&str>) {
    let cx = call.cx;
    let Some((px, srv)) = find_server(call, cx) else { return };
    let parsed = match text.map(|t| t.strip_suffix('%').map_or((t, false), |p| (p, true))) {
        Some((number, percent)) => number.parse::<u32>().ok().map(|n| (n, percent)),
        None => None,
    };
    let weight = match parsed {
        Some((n, true)) if n <= 100 => (srv.weight * n).div_ceil(100),
        Some((n, false)) if n <= crate::base::limits::MAX_WEIGHT => n,
        Some((_, true)) => return call.out.push_str("Relative weight must be positive and at most 100%.\n"),
        Some((_, false)) => {
            return call.out.push_str("Absolute weight can only be between 0 and 256 inclusive.\n");
        }
        None => return call.out.push_str("Require <weight> or <weight%>.\n"),
    };
    cx.live.set_weight(px, srv.index, weight, 100, runtime::now());
    cx.watch.queues.server_changed(px, srv.index);
}

/// `set server <b>/<s> state|weight|health|maxconn`.
pub fn set_server(call: &mut Call<'_>) -> Next {
    let cx = call.cx;
    let what = call.args.get(1).cloned().unwrap_or_default();
    let value = call.args.get(2).cloned().unwrap_or_default();
    if what == "weight" {
        weight(call, Some(&value));
        return Next::Continue;
    }
    let Some((px, srv)) = find_server(call, cx) else { return Next::Continue };
    match (what.as_str(), value.as_str()) {
        ("addr", _) => address(call, px, srv),
        ("state", "ready") => change_admin(cx, srv, NO_FLAGS, COMMANDED),
        ("state", "drain") => change_admin(cx, srv, AdminFlags::FORCED_DRAIN, AdminFlags::FORCED_MAINT),
        ("state", "maint") => change_admin(cx, srv, AdminFlags::FORCED_MAINT, NO_FLAGS),
        ("state", _) => call.out.push_str("'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n"),
        ("health", "up") => health(cx, srv, ServerStatus::Running),
        ("health", "stopping") => health(cx, srv, ServerStatus::Stopping),
        ("health", "down") => health(cx, srv, ServerStatus::Stopped),
        ("health", _) => {
            call.out.push_str("'set server <srv> health' expects 'up', 'stopping', or 'down'.\n")
        }
        _ => call.out.push_str("usage: set server <backend>/<server> addr|state|weight|health <value>\n"),
    }
    Next::Continue
}

/// `set server <b>/<s> addr <address> [port <port>]`.
fn address(call: &mut Call<'_>, px: &Proxy, srv: &Server) {
    let cx = call.cx;
    let Some(old) = cx.live.server_inet(srv).filter(|_| srv.port_offset.is_none()) else {
        return call
            .out
            .push_str("The address of this server cannot be changed: it is no plain IP address.\n");
    };
    let parsed = match &call.args[2..] {
        [ip] => ip.parse().ok().map(|ip: IpAddr| (ip, old.port())),
        [ip, word, port] if word == "port" => ip.parse().ok().zip(port.parse().ok()),
        _ => None,
    };
    let Some((ip, port)) = parsed else {
        return call
            .out
            .push_str("'set server <b>/<s> addr' expects an IP address and possibly 'port' and a number.\n");
    };
    if (ip, port) == (old.ip(), old.port()) {
        return call.out.push_str("no need to change the addr, nor the port\n");
    }
    let state = cx.live.server(srv.id);
    state.address.set((ip, port).into());
    let mut changes = Vec::new();
    if ip != old.ip() {
        changes.push(format!("IP changed from '{}' to '{ip}'", old.ip()));
    }
    if port != old.port() {
        changes.push(format!("port changed from '{}' to '{port}'", old.port()));
    }
    let text = format!("{} by 'stats socket command'", changes.join(", "));
    cx.watch.say(srv.id, Level::Notice, &format!("{}/{} {text}", px.name, srv.name));
    let _ = writeln!(call.out, "{text}");
}

fn health(cx: &Context, srv: &Server, status: ServerStatus) {
    let (rise, fall) = (srv.check.rise(), srv.check.fall());
    let count = if status == ServerStatus::Stopped { 0 } else { rise + fall - 1 };
    cx.live.server(srv.id).check_health.store(count, Relaxed);
    let change = match status {
        ServerStatus::Stopped => Change::Down,
        ServerStatus::Stopping => Change::Stopping,
        ServerStatus::Running | ServerStatus::Starting => Change::Up,
    };
    cx.watch.change(srv.id, change, false, Reason::Command, runtime::now());
}

fn number(call: &mut Call<'_>, at: usize) -> Option<u32> {
    let value = call.args.get(at).and_then(|a| a.parse().ok());
    if value.is_none() {
        call.out.push_str("Integer value expected.\n");
    }
    value
}

/// `set maxconn server`.
pub fn set_maxconn_server(call: &mut Call<'_>) -> Next {
    let cx = call.cx;
    if let Some((px, srv)) = find_server(call, cx)
        && let Some(value) = number(call, 1)
    {
        cx.live.server(srv.id).maxconn.store(value, SeqCst);
        cx.watch.queues.server_changed(px, srv.index);
    }
    Next::Continue
}

/// `set maxconn frontend`.
pub fn set_maxconn_frontend(call: &mut Call<'_>) -> Next {
    let cx = call.cx;
    let Some(px) = call.args.first().and_then(|name| cx.snapshot.frontend(name)) else {
        call.out.push_str("No such frontend.\n");
        return Next::Continue;
    };
    if let Some(value) = number(call, 1) {
        cx.live.frontend(px.id).maxconn.store(value, SeqCst);
    }
    Next::Continue
}

/// `show servers state`.
pub fn state(call: &mut Call<'_>) -> Next {
    let cx = call.cx;
    let only = call.args.first();
    if only.is_some_and(|name| cx.snapshot.backend(name).is_none()) {
        call.out.push_str("Can't find backend.\n");
        return Next::Continue;
    }
    call.out.push_str(
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
         srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
         srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port \
         srv_check_addr srv_agent_addr srv_agent_port\n",
    );
    let now = runtime::now();
    let wanted = |p: &&Proxy| p.backend.is_some() && only.is_none_or(|n| *n == p.name);
    for px in cx.snapshot.proxies.iter().filter(wanted) {
        for srv in &px.backend().servers {
            let s = cx.live.server(srv.id);
            let inet = cx.live.server_inet(srv);
            let addr = inet.map_or("-".to_owned(), |a| a.ip().to_string());
            let port = inet.map_or(0, |a| a.port());
            let maint = s.admin().has(AdminFlags::MAINT);
            let (check_state, agent_state) = check_states(srv, maint);
            let check = CheckStatus::from_u8(s.check_status.load(Relaxed) as u8);
            let _ = writeln!(
                call.out,
                "{} {} {} {} {addr} {} {} {} {} {} {} {} {} {check_state} {agent_state} 0 0 {} {port} - 0 {} {} {} {}",
                px.uuid,
                px.name,
                srv.uuid,
                srv.name,
                if maint { 0 } else { s.status() as u8 },
                s.admin().0,
                s.weight(),
                srv.weight,
                now.since(crate::base::time::Mono(s.changed_ns.load(Relaxed))).as_secs(),
                check as u8,
                result(check),
                s.check_health.load(Relaxed),
                srv.hostname.as_deref().unwrap_or("-"),
                srv.check.port.unwrap_or(0),
                srv.check.addr.map_or("-".to_owned(), |a| a.to_string()),
                srv.check.agent_addr.map_or("-".to_owned(), |a| a.to_string()),
                srv.check.agent_port.unwrap_or(0),
            );
        }
    }
    Next::Continue
}

/// `srv_check_state` and `srv_agent_state`: configured 2, enabled 4, paused 8, agent 16.
fn check_states(srv: &Server, maint: bool) -> (u8, u8) {
    let paused = if maint { 8 } else { 0 };
    let check = if srv.check.enabled == Some(true) { 6 | paused } else { 0 };
    let agent = if srv.check.agent == Some(true) { 16 | 6 } else { 0 };
    (check, agent)
}

/// `srv_check_result`: 0 none yet, 2 failed, 3 passed, 4 passed conditionally.
fn result(status: CheckStatus) -> u8 {
    match (status, Outcome::new(status, "").verdict()) {
        (CheckStatus::Unknown | CheckStatus::Initializing, _) => 0,
        (_, Verdict::Failed) => 2,
        (_, Verdict::Passed) => 3,
        (_, Verdict::Conditional) => 4,
    }
}
