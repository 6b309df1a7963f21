//! `show servers state` and `show servers conn`.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use super::commands::{Call, Next};
use crate::proxy::check::{CheckStatus, Outcome, Verdict};
use crate::proxy::live::{AdminFlags, CheckControl, ServerState};
use crate::proxy::{Proxy, Server};
use crate::runtime;

/// `show servers state`.
pub fn state(call: &mut Call<'_>) -> Next {
    let cx = call.cx;
    let Some(backends) = chosen(call) else { return Next::Continue };
    call.out.push_str(
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
         srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
         srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port \
         srv_check_addr srv_agent_addr srv_agent_port\n",
    );
    let now = runtime::now();
    for px in backends {
        for srv in px.backend().servers.iter().filter(|s| !s.implicit) {
            let s = cx.live.server(srv.id);
            let inet = cx.live.server_inet(srv);
            let addr = inet.map_or("-".to_owned(), |a| a.ip().to_string());
            let port = inet.map_or(0, |a| a.port());
            let maint = s.admin().has(AdminFlags::MAINT);
            let (check_state, agent_state) = check_states(srv, s, maint);
            let (checked, asked) = (&s.check_control, &s.agent_control);
            let check = CheckStatus::from_u8(s.check_status.load(Relaxed) as u8);
            let _ = writeln!(
                call.out,
                "{} {} {} {} {addr} {} {} {} {} {} {} {} {} {check_state} {agent_state} {} {} {} {port} - 0 {} {} {} {}",
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
                u8::from(px.id_written()),
                u8::from(srv.id_written),
                srv.hostname.as_deref().unwrap_or("-"),
                checked.port().or(srv.check.port).or(srv.check.addr_port).unwrap_or(0),
                shown(checked.ip().or(srv.check.addr)),
                shown(asked.ip().or(srv.check.agent_addr)),
                asked.port().or(srv.check.agent_port).unwrap_or(0),
            );
        }
    }
    Next::Continue
}

fn shown(ip: Option<std::net::IpAddr>) -> String {
    ip.map_or("-".to_owned(), |ip| ip.to_string())
}

/// `srv_check_state` and `srv_agent_state`: configured 2, enabled 4, paused 8, agent 16.
fn check_states(srv: &Server, state: &ServerState, maint: bool) -> (u8, u8) {
    let bits = |configured: bool, control: &CheckControl| match configured {
        true if control.is_off() => 2,
        true => 6,
        false => 0,
    };
    let paused = |bits: u8| if maint && bits != 0 { bits | 8 } else { bits };
    let check = match bits(srv.check.enabled == Some(true) && srv.track.is_none(), &state.check_control) {
        // A server that the configuration disabled keeps the bit, checks or no checks.
        0 if srv.disabled => 8,
        bits => paused(bits),
    };
    let agent = match bits(srv.check.agent == Some(true), &state.agent_control) {
        0 => 0,
        // Agents are asked during maintenance, too: they may end it.
        bits => 16 | bits,
    };
    (check, agent)
}

/// The backends of `show servers ... [<backend>]`.
fn chosen<'c>(call: &mut Call<'c>) -> Option<Vec<&'c Proxy>> {
    let snapshot = &call.cx.snapshot;
    match call.args.first() {
        None => Some(snapshot.proxies.iter().filter(|p| p.backend.is_some()).collect()),
        Some(name) => {
            let found = snapshot.backend(name);
            if found.is_none() {
                call.out.push_str("Can't find backend.\n");
            }
            Some(vec![found?])
        }
    }
}

/// `show servers conn`: idle connections are all safe to share here, and kept by thread without a count of each.
pub fn connections(call: &mut Call<'_>) -> Next {
    let cx = call.cx;
    let Some(backends) = chosen(call) else { return Next::Continue };
    call.out.push_str(
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim \
         idle_cur idle_per_thr[1]\n",
    );
    for px in backends {
        for srv in px.backend().servers.iter().filter(|s| !s.implicit) {
            let s = cx.live.server(srv.id);
            let inet = cx.live.server_inet(srv);
            let idle = s.idle.get();
            let _ = writeln!(
                call.out,
                "{}/{} {}/{} {} {} - {} {} {} {} 0 {idle} {} {idle} {idle}",
                px.name,
                srv.name,
                px.uuid,
                srv.uuid,
                inet.map_or("-".to_owned(), |a| a.ip().to_string()),
                inet.map_or(0, |a| a.port()),
                srv.pool_purge_delay.as_millis(),
                s.sessions.get(),
                s.sessions.max(),
                s.sessions.max(),
                srv.pool_max_conn.map_or(-1, i64::from),
            );
        }
    }
    Next::Continue
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
