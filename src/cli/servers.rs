//! Commands about servers and limits.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::Context;
use super::commands::{Call, Next, find_server};
use super::server_checks;
use crate::log::Level;
use crate::proxy::check::Change;
use crate::proxy::check::report::Reason;
use crate::proxy::live::{AdminFlags, ServerStatus};
use crate::proxy::{Proxy, Server};
use crate::runtime;

/// Set and clear administrative flags of a server.
fn change_admin(cx: &Context, srv: &Server, set: AdminFlags, clear: AdminFlags) {
    cx.watch.administer(srv.id, set, clear, None, runtime::now());
}

const NO_FLAGS: AdminFlags = AdminFlags(0);
/// What `ready` takes away.
const COMMANDED: AdminFlags = AdminFlags(AdminFlags::FORCED_MAINT.0 | AdminFlags::FORCED_DRAIN.0);

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
        change_admin(cx, srv, NO_FLAGS, AdminFlags::FORCED_MAINT);
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
        // As much as fits: the manual caps the result.
        Some((n, true)) => {
            let share = (u64::from(srv.weight) * u64::from(n)).div_ceil(100);
            share.min(u64::from(crate::base::limits::MAX_WEIGHT)) as u32
        }
        Some((n, false)) if n <= crate::base::limits::MAX_WEIGHT => n,
        Some((_, false)) => {
            return call.out.push_str("Absolute weight can only be between 0 and 256 inclusive.\n");
        }
        None => return call.out.push_str("Require <weight> or <weight%>.\n"),
    };
    cx.live.set_weight(px, srv.index, weight, 100, runtime::now());
    cx.watch.queues.server_changed(px, srv.index);
}

/// `set server <b>/<s> <what> <value>`.
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
        ("agent", _) => server_checks::set_agent(call, srv),
        ("agent-addr" | "check-addr", _) => server_checks::set_address(call, srv, &what),
        ("agent-port" | "check-port", _) => server_checks::set_port(call, srv, &what),
        ("agent-send", _) => server_checks::set_agent_send(call, srv),
        ("fqdn", "") => call.out.push_str("'set server <b>/<s> fqdn' expects a name.\n"),
        ("fqdn", _) => call.out.push_str(
            "set server <b>/<s> fqdn failed because no resolution is configured.\n",
        ),
        ("ssl", _) => call.out.push_str("'set server <srv> ssl' cannot be set: this server has no TLS.\n"),
        ("state", "ready") => change_admin(cx, srv, NO_FLAGS, COMMANDED),
        ("state", "drain") => change_admin(cx, srv, AdminFlags::FORCED_DRAIN, AdminFlags::FORCED_MAINT),
        ("state", "maint") => change_admin(cx, srv, AdminFlags::FORCED_MAINT, NO_FLAGS),
        ("state", _) => call.out.push_str("'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n"),
        ("health", _) if srv.track.is_some() => {
            call.out.push_str("The health of a server that tracks another one cannot be changed.\n");
        }
        ("health", "up") => health(cx, srv, ServerStatus::Running),
        ("health", "stopping") => health(cx, srv, ServerStatus::Stopping),
        ("health", "down") => health(cx, srv, ServerStatus::Stopped),
        ("health", _) => {
            call.out.push_str("'set server <srv> health' expects 'up', 'stopping', or 'down'.\n")
        }
        _ => call.out.push_str(
            "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr | \
             check-port | fqdn | health | ssl | state | weight\n",
        ),
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
    let ip_changed = ip != old.ip();
    let port_changed = port != old.port();
    let port_asked = call.args.len() > 3;
    let mut text = match ip_changed {
        true => format!("IP changed from '{}' to '{ip}'", old.ip()),
        false => "no need to change the addr".to_owned(),
    };
    match port_changed {
        true => _ = write!(text, ", port changed from '{}' to '{port}'", old.port()),
        false if port_asked => text.push_str(", no need to change the port"),
        false => {}
    }
    text.push_str(" by 'stats socket command'");
    if ip_changed || port_changed {
        cx.live.server(srv.id).address.set((ip, port).into());
        cx.watch.say(srv.id, Level::Notice, &format!("{}/{} {text}", px.name, srv.name));
    }
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
    if call.args.len() <= at {
        call.out.push_str("Require <maxconn>.\n");
    } else if value.is_none() {
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
