//! The tasks that ask agents.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use super::agent::{self, AgentAdmin, AgentHealth, Answer};
use super::report::Reason;
use super::rules::Outcome;
use super::run::{close, come_up_or_go, connect_opts, target};
use super::watch::Watch;
use super::{Change, CheckStatus, error_words};
use crate::net::Socket;
use crate::proxy::ServerId;
use crate::proxy::live::AdminFlags;
use crate::runtime;

/// Ask the agent of one server for ever.
pub(super) async fn run(watch: Arc<Watch>, id: ServerId, delay: Duration) {
    runtime::sleep(delay).await;
    let inter = {
        let check = &watch.snapshot.server(id).check;
        check.agent_inter.unwrap_or(check.inter())
    };
    loop {
        let started = runtime::now();
        let state = watch.live.server(id);
        if state.agent_control.is_off() {
            runtime::sleep_until(started + inter).await;
            continue;
        }
        let result = runtime::timeout_at(started + inter, ask(&watch, id)).await;
        let result = result.unwrap_or_else(|| Err(Outcome::new(CheckStatus::L7Timeout, "")));
        note(&watch, id, &result, runtime::now().since(started));
        // An agent that cannot be asked changes nothing (manual, "agent-check").
        if let Ok(answer) = result {
            apply(&watch, id, &answer, runtime::now().since(started));
        }
        runtime::sleep_until(started + inter).await;
    }
}

async fn ask(watch: &Watch, id: ServerId) -> Result<Answer, Outcome> {
    let srv = watch.snapshot.server(id);
    let px = watch.snapshot.proxy(srv.proxy);
    let refused = |e: std::io::Error| Outcome::new(CheckStatus::L4Conn, error_words(&e));
    let changed = &watch.live.server(id).agent_control;
    let ip = changed.ip().or(srv.check.agent_addr).or(srv.check.addr);
    let port = changed.port().or(srv.check.agent_port);
    let addr = target(&watch.live, srv, ip, port).map_err(refused)?;
    let socket = Socket::connect(&addr, &connect_opts(px, srv)).await.map_err(refused)?;
    if let Some(text) = watch.notes.agent_send(id).or_else(|| srv.check.agent_send.clone()) {
        socket.send(text);
    }
    let mut received = Vec::new();
    while received.len() < agent::ANSWER_MAX && !received.contains(&b'\n') {
        match socket.recv().await {
            Ok(buf) if buf.is_empty() => break,
            Ok(buf) => received.extend_from_slice(&buf),
            Err(error) if received.is_empty() => {
                return Err(Outcome::new(CheckStatus::SocketError, error_words(&error)));
            }
            Err(_) => break,
        }
    }
    close(Some(socket), false);
    agent::parse(&received).map_err(|word| Outcome::new(CheckStatus::L7Response, word))
}

fn note(watch: &Watch, id: ServerId, result: &Result<Answer, Outcome>, took: Duration) {
    let state = watch.live.server(id);
    let status = match result {
        Ok(answer) if is_down(answer) => CheckStatus::L7Status,
        Ok(_) => CheckStatus::L7Ok,
        Err(outcome) => outcome.status,
    };
    state.agent_status.store(status as u32, Relaxed);
    state.agent_duration_ns.store(took.as_nanos() as u64, Relaxed);
    let words = match result {
        Ok(answer) => &answer.words,
        Err(outcome) => &outcome.info,
    };
    watch.notes.set_agent(id, words);
}

fn is_down(answer: &Answer) -> bool {
    matches!(answer.health, Some(AgentHealth::Down | AgentHealth::Failed | AgentHealth::Stopped))
}

fn apply(watch: &Arc<Watch>, id: ServerId, answer: &Answer, took: Duration) {
    let srv = watch.snapshot.server(id);
    let px = watch.snapshot.proxy(srv.proxy);
    let state = watch.live.server(id);
    let now = runtime::now();
    if let Some(percent) = answer.weight_percent {
        let weight = (srv.weight * percent).div_ceil(100).min(crate::base::limits::MAX_WEIGHT);
        if weight != state.weight() {
            watch.live.set_weight(px, srv.index, weight, 100, now);
            watch.queues.server_changed(px, srv.index);
        }
    }
    if let Some(maxconn) = answer.maxconn
        && state.maxconn.swap(maxconn, SeqCst) != maxconn
    {
        watch.queues.server_changed(px, srv.index);
    }
    let none = AdminFlags(0);
    match answer.admin {
        Some(AgentAdmin::Ready) => {
            let both = AdminFlags(AdminFlags::FORCED_MAINT.0 | AdminFlags::FORCED_DRAIN.0);
            watch.administer(id, none, both, None, now);
        }
        Some(AgentAdmin::Drain) => {
            watch.administer(id, AdminFlags::FORCED_DRAIN, AdminFlags::FORCED_MAINT, None, now);
        }
        Some(AgentAdmin::Maint) => watch.administer(id, AdminFlags::FORCED_MAINT, none, None, now),
        None => {}
    }
    let Some(health) = answer.health else { return };
    let up = health == AgentHealth::Up;
    let was_up = state.agent_health.swap(u32::from(up), Relaxed) != 0;
    let check_says_up =
        srv.check.enabled != Some(true) || state.check_health.load(Relaxed) >= srv.check.rise();
    if up == was_up || (up && !check_says_up) {
        return;
    }
    let status = if up { CheckStatus::L7Ok } else { CheckStatus::L7Status };
    let outcome = Outcome { status, code: 0, info: answer.words.clone() };
    come_up_or_go(watch, id, if up { Change::Up } else { Change::Down }, Reason::Check(&outcome, took));
}
