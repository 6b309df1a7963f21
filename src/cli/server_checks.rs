//! Commands about health checks and agents: `enable|disable health|agent`, and what `set server` changes of them.

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;

use super::commands::{Call, Next, find_server};
use crate::proxy::Server;
use crate::proxy::check::Change;
use crate::proxy::check::report::Reason;
use crate::proxy::live::CheckControl;
use crate::runtime;

/// What a command is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Health checks.
    Health,
    /// The agent.
    Agent,
}

impl Which {
    /// The one that `agent-port`, `check-addr` and so on are about.
    fn of(word: &str) -> Which {
        if word.starts_with("agent") { Which::Agent } else { Which::Health }
    }

    fn is_configured(self, srv: &Server) -> bool {
        match self {
            Which::Health => srv.check.enabled == Some(true),
            Which::Agent => srv.check.agent == Some(true),
        }
    }

    fn control<'c>(self, call: &Call<'c>, srv: &Server) -> &'c CheckControl {
        let state = call.cx.live.server(srv.id);
        match self {
            Which::Health => &state.check_control,
            Which::Agent => &state.agent_control,
        }
    }

    /// The record of the checks, unless the server has none: then the answer says so.
    fn configured<'c>(self, call: &mut Call<'c>, srv: &Server) -> Option<&'c CheckControl> {
        if self.is_configured(srv) {
            return Some(self.control(call, srv));
        }
        call.out.push_str(match self {
            Which::Health => "health checks are not enabled on this server.\n",
            Which::Agent => "agent checks are not enabled on this server.\n",
        });
        None
    }
}

/// `disable health`, `disable agent`.
pub fn disable(call: &mut Call<'_>, which: Which) -> Next {
    let cx = call.cx;
    if let Some((_, srv)) = find_server(call, cx) {
        which.control(call, srv).set_off(true);
    }
    Next::Continue
}

/// `enable health`, `enable agent`.
pub fn enable(call: &mut Call<'_>, which: Which) -> Next {
    let cx = call.cx;
    let Some((_, srv)) = find_server(call, cx) else { return Next::Continue };
    if which.is_configured(srv) {
        which.control(call, srv).set_off(false);
    } else {
        call.out.push_str(match which {
            Which::Health => "Health check was not configured on this server, cannot enable.\n",
            Which::Agent => "Agent was not configured on this server, cannot enable.\n",
        });
    }
    Next::Continue
}

/// `set server <b>/<s> agent up|down`: as if the agent had said so.
pub fn set_agent(call: &mut Call<'_>, srv: &Server) {
    if Which::Agent.configured(call, srv).is_none() {
        return;
    }
    let up = match call.args.get(2).map(String::as_str) {
        Some("up") => true,
        Some("down") => false,
        _ => return call.out.push_str("'set server <srv> agent' expects 'up' or 'down'.\n"),
    };
    let cx = call.cx;
    cx.live.server(srv.id).agent_health.store(u32::from(up), Relaxed);
    let change = if up { Change::Up } else { Change::Down };
    cx.watch.change(srv.id, change, false, Reason::Command, runtime::now());
}

/// `set server <b>/<s> check-addr|agent-addr <ip> [port <port>]`.
pub fn set_address(call: &mut Call<'_>, srv: &Server, what: &str) {
    let Some(control) = Which::of(what).configured(call, srv) else { return };
    let (ip, port) = match &call.args[2..] {
        [ip] => (ip, None),
        [ip, word, port] if word == "port" => (ip, Some(port)),
        _ => {
            return call
                .out
                .push_str(&format!("'{what}' expects an IP address, and possibly 'port' and a number.\n"));
        }
    };
    let Ok(parsed) = ip.parse::<IpAddr>() else {
        return call.out.push_str(&format!("invalid addr '{ip}'\n"));
    };
    match port.map(|p| p.parse::<u16>()) {
        Some(Err(_)) => return call.out.push_str("provided port is not an integer\n"),
        Some(Ok(port)) => control.set_port(port),
        None => {}
    }
    control.set_ip(parsed);
}

/// `set server <b>/<s> check-port|agent-port <port>`.
pub fn set_port(call: &mut Call<'_>, srv: &Server, what: &str) {
    let Some(control) = Which::of(what).configured(call, srv) else { return };
    match call.args.get(2).map(|p| p.parse()) {
        Some(Ok(port)) => control.set_port(port),
        Some(Err(_)) => call.out.push_str("provided port is not an integer\n"),
        None => call.out.push_str(&format!("'{what}' expects a port.\n")),
    }
}

/// `set server <b>/<s> agent-send <text>`.
pub fn set_agent_send(call: &mut Call<'_>, srv: &Server) {
    if Which::Agent.configured(call, srv).is_some() {
        let text = call.args.get(2).map_or("", String::as_str);
        call.cx.watch.notes.set_agent_send(srv.id, text.as_bytes());
    }
}
