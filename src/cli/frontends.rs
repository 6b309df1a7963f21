//! Frontends and the limits of the process: `disable`, `enable` and `shutdown frontend`, `set maxconn global`, `set
//! rate-limit` (management manual, 9.3).

use std::fmt::Write;
use std::time::Duration;

use super::commands::{Call, Next};
use super::gather::gather;
use crate::proxy::ProxyId;
use crate::proxy::live::FrontendMode;
use crate::runtime;

/// What a thread takes to serve what the kernel had accepted, and to close.
const CLOSING: Duration = Duration::from_millis(15);

/// The frontend that the first word names. Says what is wrong otherwise.
fn find(call: &mut Call<'_>) -> Option<ProxyId> {
    let Some(name) = call.args.first() else {
        call.out.push_str("A frontend name is expected.\n");
        return None;
    };
    match call.cx.snapshot.frontend(name) {
        Some(px) if !px.disabled => Some(px.id),
        Some(_) => {
            call.out.push_str("Frontend is disabled in the configuration.\n");
            None
        }
        None => {
            call.out.push_str("No such frontend.\n");
            None
        }
    }
}

/// `disable frontend`, `enable frontend`, `shutdown frontend`.
pub fn change(call: &mut Call<'_>, to: FrontendMode) -> Next {
    let Some(id) = find(call) else { return Next::Continue };
    let state = call.cx.live.frontend(id);
    let refusal = match (state.mode(), to) {
        (FrontendMode::Shut, FrontendMode::Open) => "Frontend was previously shut down, cannot enable.",
        (FrontendMode::Shut, FrontendMode::Paused) => "Frontend was previously shut down, cannot disable.",
        (FrontendMode::Shut, FrontendMode::Shut) => "Frontend was already shut down.",
        (FrontendMode::Open, FrontendMode::Open) => "All sockets are already enabled.",
        (FrontendMode::Paused, FrontendMode::Paused) => "All sockets are already disabled.",
        _ => {
            state.set_mode(to);
            call.cx.watch.limits_changed();
            let cx = call.cx.clone();
            // The answer comes when it is done.
            return Next::Job(Box::new(move |sink| {
                Box::pin(async move {
                    if to != FrontendMode::Open {
                        runtime::sleep(CLOSING).await;
                    }
                    for _ in 0..2 {
                        gather(&cx.threads, || ()).await;
                    }
                    sink.put(&mut String::new()).await
                })
            }));
        }
    };
    let _ = writeln!(call.out, "{refusal}");
    Next::Continue
}

/// The number in that word. Says what is wrong otherwise.
fn number(call: &mut Call<'_>, word: usize) -> Option<u32> {
    let text = call.args.get(word).map_or("", String::as_str);
    match text.parse::<i64>() {
        Ok(n) if u32::try_from(n).is_ok() => return u32::try_from(n).ok(),
        Ok(_) => call.out.push_str("Value out of range.\n"),
        Err(_) => call.out.push_str("Expects an integer value.\n"),
    }
    None
}

/// `set maxconn global <maxconn>`: up to what the process was started for; 0 restores that.
pub fn maxconn(call: &mut Call<'_>) -> Next {
    let Some(n) = number(call, 0) else { return Next::Continue };
    let most = u32::try_from(call.cx.facts.limits.maxconn).unwrap_or(u32::MAX);
    if n > most {
        let _ = writeln!(call.out, "Value out of range: the process was started for {most} connections.");
        return Next::Continue;
    }
    call.cx.live.process.maxconn.set(if n == 0 { most } else { n });
    call.cx.watch.limits_changed();
    Next::Continue
}

/// `set rate-limit {connections | sessions} global <per second>`; 0 for no limit.
pub fn rate_limit(call: &mut Call<'_>) -> Next {
    let words: Vec<&str> = call.args.iter().map(String::as_str).collect();
    let state = &call.cx.live.process;
    let limit = match words[..] {
        ["connections", "global", ..] => &state.max_connection_rate,
        ["sessions", "global", ..] => &state.max_session_rate,
        ["ssl-sessions" | "http-compression", "global", ..] => {
            let _ = writeln!(call.out, "'{}' has no rate to limit in this build.", words[0]);
            return Next::Continue;
        }
        _ => {
            call.out.push_str(
                "'set rate-limit' only supports:\n   - 'connections global': connections per second of the \
                 process\n   - 'sessions global': sessions per second of the process\n",
            );
            return Next::Continue;
        }
    };
    if let Some(n) = number(call, 2) {
        limit.set(n);
        call.cx.watch.limits_changed();
    }
    Next::Continue
}
