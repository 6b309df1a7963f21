//! The sentences that say what happened to a server. Their layout is HAProxy's: tools parse it.

use std::fmt::Write;
use std::time::Duration;

use super::{Change, Health, Outcome, Verdict};

/// Who the sentence is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Backend.
    pub backend: &'a str,
    /// Server.
    pub server: &'a str,
    /// It is a backup.
    pub backup: bool,
}

/// Why a server changed.
#[derive(Clone, Copy, Debug)]
pub enum Reason<'a> {
    /// A check; with its duration.
    Check(&'a Outcome, Duration),
    /// The same, and a line about the check itself stands right before this one (`log-health-checks`).
    Told,
    /// The traffic observer.
    Observed(&'a Outcome),
    /// The server that it follows: backend and name.
    Via(&'a str, &'a str),
    /// A command.
    Command,
}

/// What is left after the change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Left {
    /// Usable active servers of the backend.
    pub active: u32,
    /// Usable backup servers.
    pub backup: u32,
    /// Sessions on the server.
    pub sessions: u32,
    /// Requests that were sent back from the server's queue to choose again.
    pub requeued: u32,
    /// Requests that wait in the backend.
    pub queued: u32,
}

/// `reason: Layer7 wrong status, code: 503, info: "Nope"`, then the duration.
fn result(outcome: &Outcome, duration: Option<Duration>, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, ", reason: {}", outcome.status.words());
    if outcome.status.has_code() {
        let _ = write!(out, ", code: {}", outcome.code);
    }
    if !outcome.info.is_empty() {
        let _ = write!(out, ", info: \"{}\"", outcome.info);
    }
    if let Some(duration) = duration {
        let _ = write!(out, ", check duration: {}ms", duration.as_millis());
    }
}

/// `Health check for server be/s1 failed, reason: ..., check duration: 0ms, status: 2/3 UP.`
pub fn check_line(
    who: Subject<'_>,
    outcome: &Outcome,
    duration: Duration,
    health: &Health,
    weight: u32,
) -> String {
    let word = match outcome.verdict() {
        Verdict::Passed => "succeeded",
        Verdict::Conditional => "conditionally succeeded",
        Verdict::Failed => "failed",
    };
    let kind = if who.backup { "backup " } else { "" };
    let mut out = format!("Health check for {kind}server {}/{} {word}", who.backend, who.server);
    result(outcome, Some(duration), &mut out);
    let (now, of) = health.fraction();
    let state = match (health.is_up(), weight) {
        (false, _) => "DOWN",
        (true, 0) => "DRAIN",
        (true, _) => "UP",
    };
    let _ = write!(out, ", status: {now}/{of} {state}.");
    out
}

/// `Server be/s1 is DOWN, reason: .... 1 active and 0 backup servers left. 0 sessions active, ...`
pub fn change_line(who: Subject<'_>, change: Change, reason: Reason<'_>, left: Left) -> String {
    let mut out = start(who);
    out.push_str(match change {
        Change::Up | Change::Running => " is UP",
        Change::Down => " is DOWN",
        Change::Stopping => " is stopping",
    });
    match reason {
        Reason::Check(outcome, duration) => result(outcome, Some(duration), &mut out),
        Reason::Observed(outcome) => result(outcome, None, &mut out),
        Reason::Told => {}
        Reason::Via(backend, server) => drop(write!(out, " via {backend}/{server}")),
        Reason::Command => out.push_str(", changed from CLI"),
    }
    out.push('.');
    rest(change == Change::Down, left, &mut out);
    out
}

/// `Server be/s1 is going DOWN for maintenance.`, `Server be/s1 enters drain state.`, with what is left.
pub fn admin_line(who: Subject<'_>, drain: bool, via: Option<(&str, &str)>, left: Left) -> String {
    let mut out = start(who);
    out.push_str(if drain { " enters drain state" } else { " is going DOWN for maintenance" });
    if let Some((backend, server)) = via {
        let _ = write!(out, " via {backend}/{server}");
    }
    out.push('.');
    rest(!drain, left, &mut out);
    out
}

/// `Server be/s1 is UP/READY (leaving forced maintenance).`
pub fn leave_line(who: Subject<'_>, drain: bool, inherited: bool, up: bool) -> String {
    let state = match (up, drain) {
        (true, true) => "UP",
        (true, false) => "UP/READY",
        (false, true) => "DOWN",
        (false, false) => "DOWN/READY",
    };
    let what = match (drain, inherited) {
        (true, false) => "forced drain",
        (true, true) => "drain",
        (false, false) => "forced maintenance",
        (false, true) => "maintenance",
    };
    format!("{} is {state} (leaving {what}).", start(who))
}

fn start(who: Subject<'_>) -> String {
    let kind = if who.backup { "Backup Server" } else { "Server" };
    format!("{kind} {}/{}", who.backend, who.server)
}

fn rest(down: bool, left: Left, out: &mut String) {
    let Left { active, backup, sessions, requeued, queued } = left;
    let state = if down { "left" } else { "online" };
    let _ = write!(out, " {active} active and {backup} backup servers {state}.");
    if active == 0 && backup > 0 {
        out.push_str(" Running on backup.");
    }
    let _ = match down {
        true => write!(out, " {sessions} sessions active, {requeued} requeued, {queued} remaining in queue."),
        false => write!(out, " {requeued} sessions requeued, {queued} total in queue."),
    };
}

#[cfg(test)]
mod tests {
    use super::super::CheckStatus;
    use super::*;

    const WHO: Subject<'static> = Subject { backend: "be", server: "s1", backup: false };

    /// Lines as the reference binary (2.6) wrote them.
    #[test]
    fn lines_of_the_reference() {
        let refused = Outcome::new(CheckStatus::L4Conn, "Connection refused");
        let left = Left { active: 3, ..Left::default() };
        let backup = Subject { server: "s3", backup: true, ..WHO };
        assert_eq!(
            change_line(backup, Change::Down, Reason::Check(&refused, Duration::ZERO), left),
            "Backup Server be/s3 is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", check duration: 0ms. 3 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
        );
        let wrong = Outcome { status: CheckStatus::L7Status, code: 503, info: "Nope".into() };
        assert_eq!(
            change_line(
                WHO,
                Change::Down,
                Reason::Check(&wrong, Duration::from_micros(300)),
                Left { active: 1, ..left }
            ),
            "Server be/s1 is DOWN, reason: Layer7 wrong status, code: 503, info: \"Nope\", check duration: 0ms. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
        );
        let good = Outcome { status: CheckStatus::L7Ok, code: 200, info: String::new() };
        assert_eq!(
            change_line(WHO, Change::Up, Reason::Check(&good, Duration::ZERO), Left { active: 1, ..left }),
            "Server be/s1 is UP, reason: Layer7 check passed, code: 200, check duration: 0ms. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue."
        );
        assert_eq!(
            change_line(WHO, Change::Up, Reason::Via("be", "s4"), Left { active: 2, ..left }),
            "Server be/s1 is UP via be/s4. 2 active and 0 backup servers online. 0 sessions requeued, 0 total in queue."
        );
        let seen = Outcome::new(
            CheckStatus::Observed,
            "Detected 3 consecutive errors, last one was: Wrong http response",
        );
        assert_eq!(
            change_line(WHO, Change::Down, Reason::Observed(&seen), Left { sessions: 1, ..Left::default() }),
            "Server be/s1 is DOWN, reason: Health analyze, info: \"Detected 3 consecutive errors, last one was: Wrong http response\". 0 active and 0 backup servers left. 1 sessions active, 0 requeued, 0 remaining in queue."
        );
        assert_eq!(
            admin_line(WHO, false, None, Left { backup: 1, ..Left::default() }),
            "Server be/s1 is going DOWN for maintenance. 0 active and 1 backup servers left. Running on backup. 0 sessions active, 0 requeued, 0 remaining in queue."
        );
        assert_eq!(
            admin_line(WHO, true, Some(("b", "s")), Left { active: 1, backup: 1, ..Left::default() }),
            "Server be/s1 enters drain state via b/s. 1 active and 1 backup servers online. 0 sessions requeued, 0 total in queue."
        );
        assert_eq!(leave_line(WHO, true, false, true), "Server be/s1 is UP (leaving forced drain).");
        assert_eq!(leave_line(WHO, false, true, true), "Server be/s1 is UP/READY (leaving maintenance).");
    }

    #[test]
    fn check_lines_of_the_reference() {
        let mut health = Health::new(2, 3, true);
        health.apply(Verdict::Passed);
        let good = Outcome { status: CheckStatus::L7Ok, code: 200, info: String::new() };
        assert_eq!(
            check_line(WHO, &good, Duration::ZERO, &health, 1),
            "Health check for server be/s1 succeeded, reason: Layer7 check passed, code: 200, check duration: 0ms, status: 3/3 UP."
        );
        health.apply(Verdict::Failed);
        let late = Outcome::new(CheckStatus::L7Timeout, "");
        assert_eq!(
            check_line(Subject { backup: true, ..WHO }, &late, Duration::from_millis(300), &health, 1),
            "Health check for backup server be/s1 failed, reason: Layer7 timeout, check duration: 300ms, status: 2/3 UP."
        );
    }
}
