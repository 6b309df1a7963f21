//! The one relay: moves bytes between a client and a server, whatever they are (a body with a length, chunks,
//! everything until a close, a tunnel, plain TCP).
//!
//! A [`Flow`] is one direction. Received buffers are sent on without a copy; a direction that keeps filling
//! buffers is promoted to splice(2) through a pipe, and demoted when it trickles. [`Relay`] runs two flows
//! with the timeouts of both sides on one timer and says who ended it.

mod flow;
mod rest;

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::base::time::Mono;
use crate::net::Socket;
use crate::runtime::now;

use super::list::Alarm;
use super::shut::ShutWatch;
use super::termination::Cause;

use flow::Moved;
pub use flow::{Body, Flow, FlowEnd, Taken};
use rest::Rest;
pub(super) use rest::{Leaving, RelayState};

/// The inactivity limits of both sides; `None` never strikes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Client side.
    pub client: Option<Duration>,
    /// Server side.
    pub server: Option<Duration>,
    /// Client side, once we have closed our sending direction to it.
    pub client_fin: Option<Duration>,
    /// Server side, once we have closed our sending direction to it.
    pub server_fin: Option<Duration>,
    /// Sending to a side does not count as its activity (`option independent-streams`).
    pub independent: bool,
}

/// What a relay carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One HTTP message each way: both ends are known from the framing.
    Message,
    /// A tunnel: an end of data on one side is passed on to the other.
    Tunnel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DirState {
    /// Carrying.
    Open,
    /// Ended; the end is passed on once everything is sent.
    Draining,
    /// Over.
    Closed,
    /// The destination takes nothing any more.
    Broken,
}

struct Side {
    active: Mono,
    pending_seen: usize,
}

/// How a relay ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Who ended it.
    pub cause: Cause,
    /// The client's message was passed on completely.
    pub up_complete: bool,
    /// The server's message was passed on completely.
    pub down_complete: bool,
    /// It has not ended: nothing is under way, and another process may carry on.
    pub at_rest: bool,
}

/// Two flows between a client and a server.
pub struct Relay<'a> {
    client: &'a Socket,
    server: &'a Socket,
    /// From client to server.
    pub up: Flow,
    /// From server to client.
    pub down: Flow,
    up_state: DirState,
    down_state: DirState,
    kind: Kind,
    limits: Limits,
    client_side: Side,
    server_side: Side,
    outcome: Outcome,
    metered: (u64, u64),
    reported: (u64, u64),
    taken: (u64, u64),
    rest: Rest,
}

/// A response is over when no more than this is left to send: the kernel takes so much at once from a client
/// that reads at all, and waiting for the rest would cost each small response a wakeup.
const SETTLED: usize = 16 * 1024;

/// Bytes after which a running transfer is reported to the counters.
const REPORT_BYTES: u64 = 1024 * 1024;

impl<'a> Relay<'a> {
    /// A relay of two directions. A direction that is complete already is not touched.
    pub fn new(
        client: &'a Socket,
        server: &'a Socket,
        up: Flow,
        down: Flow,
        kind: Kind,
        limits: Limits,
    ) -> Relay<'a> {
        let state = |f: &Flow| if f.is_complete() { DirState::Closed } else { DirState::Open };
        let t = now();
        Relay {
            up_state: state(&up),
            down_state: state(&down),
            outcome: Outcome {
                up_complete: up.is_complete(),
                down_complete: down.is_complete(),
                ..Outcome::default()
            },
            metered: (up.bytes, down.bytes),
            reported: (0, 0),
            taken: (up.bytes, down.bytes),
            rest: Rest::Running,
            client,
            server,
            up,
            down,
            kind,
            limits,
            client_side: Side { active: t, pending_seen: 0 },
            server_side: Side { active: t, pending_seen: 0 },
        }
    }

    /// The server takes nothing more from the client (its sending direction failed before).
    pub fn up_is_broken(&mut self) {
        if self.up_state == DirState::Open {
            self.up_state = DirState::Broken;
        }
    }

    /// Carries until both directions have ended, one failed, or a timeout struck. `meter` is told now and then
    /// how many more bytes went up and down during a long transfer. `shut` may end it, `leaving` interrupt it.
    pub(super) async fn run(
        &mut self,
        timer: &mut Alarm,
        meter: &mut dyn FnMut(u64, u64),
        shut: &mut Option<ShutWatch<'_>>,
        mut leaving: Option<Leaving<'_>>,
    ) -> Outcome {
        poll_fn(|cx| {
            if let Some(cause) = shut.as_mut().and_then(|s| s.poll(cx)) {
                self.outcome.cause = cause;
                return Poll::Ready(self.outcome);
            }
            if let Some(leaving) = &mut leaving {
                // What has begun to end ends here.
                let may_leave = leaving.poll(cx) && self.outcome.cause == Cause::Normal;
                if may_leave { self.seek_rest() } else { self.no_rest() }
            }
            let done = self.poll(cx, timer);
            let (up, down) = (self.up.bytes - self.metered.0, self.down.bytes - self.metered.1);
            if up + down >= REPORT_BYTES {
                meter(up, down);
                self.metered = (self.up.bytes, self.down.bytes);
                self.reported.0 += up;
                self.reported.1 += down;
            }
            done
        })
        .await
    }

    /// The bytes up and down since the last call: all, and those that `meter` was told about. It will not hear of the
    /// others.
    pub fn take_bytes(&mut self) -> ((u64, u64), (u64, u64)) {
        let all = (self.up.bytes - self.taken.0, self.down.bytes - self.taken.1);
        self.taken = (self.up.bytes, self.down.bytes);
        self.metered = self.taken;
        (all, std::mem::take(&mut self.reported))
    }

    /// Gives the client's direction back.
    pub fn into_up(self) -> Flow {
        self.up
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Alarm) -> Poll<Outcome> {
        loop {
            if self.is_resting() {
                if self.poll_rest(cx).is_ready() {
                    self.outcome.at_rest = true;
                    return Poll::Ready(self.outcome);
                }
            } else {
                self.poll_up(cx);
                self.poll_down(cx);
            }
            if self.is_over() {
                return Poll::Ready(self.outcome);
            }
            self.client_side.look(self.client.send_pending());
            self.server_side.look(self.server.send_pending());
            timer.set(self.deadline().min(self.rest_deadline()));
            if timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
            if timer.is_killed() {
                self.outcome.cause = Cause::Killed;
                return Poll::Ready(self.outcome);
            }
            self.expire(now());
            self.rest_expired();
            if self.is_over() {
                return Poll::Ready(self.outcome);
            }
        }
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) {
        if self.up_state == DirState::Open {
            let mut moved = Moved::default();
            let step = self.up.poll_moved(cx, self.client, self.server, &mut moved);
            self.touch(moved.source, moved.destination);
            if let Poll::Ready(end) = step {
                self.end_up(end);
            }
        }
        self.drain_up(cx);
    }

    fn end_up(&mut self, end: FlowEnd) {
        self.up_state = self.after(end, Cause::Client, Cause::Server);
        self.outcome.up_complete = matches!(self.up_state, DirState::Closed | DirState::Draining);
    }

    fn drain_up(&mut self, cx: &mut Context<'_>) {
        if self.up_state == DirState::Draining {
            match self.server.poll_sent(cx, 0) {
                Poll::Pending => {}
                Poll::Ready(sent) => {
                    let shut = sent.and_then(|()| self.server.shutdown_write());
                    self.touch(false, self.limits.server_fin.is_some());
                    self.up_state = if shut.is_ok() { DirState::Closed } else { DirState::Broken };
                }
            }
        }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) {
        if self.down_state == DirState::Open {
            let mut moved = Moved::default();
            let step = self.down.poll_moved(cx, self.server, self.client, &mut moved);
            self.touch(moved.destination, moved.source);
            if let Poll::Ready(end) = step {
                self.end_down(end);
            }
        }
        self.drain_down(cx);
    }

    fn end_down(&mut self, end: FlowEnd) {
        self.down_state = self.after(end, Cause::Server, Cause::Client);
        self.outcome.down_complete = matches!(self.down_state, DirState::Closed | DirState::Draining);
    }

    fn drain_down(&mut self, cx: &mut Context<'_>) {
        if self.down_state == DirState::Draining {
            let tunnel = self.kind == Kind::Tunnel;
            match self.client.poll_sent(cx, if tunnel { 0 } else { SETTLED }) {
                Poll::Pending => {}
                Poll::Ready(sent) => {
                    self.touch(!tunnel || self.limits.client_fin.is_some(), false);
                    let done = sent.and_then(|()| if tunnel { self.client.shutdown_write() } else { Ok(()) });
                    self.down_state = if done.is_ok() { DirState::Closed } else { DirState::Broken };
                    if done.is_err() && !tunnel {
                        self.fail(Cause::Client);
                    }
                }
            }
        }
    }

    fn touch(&mut self, client: bool, server: bool) {
        if client {
            self.client_side.active = now();
        }
        if server {
            self.server_side.active = now();
        }
    }

    /// What becomes of a direction whose flow ended.
    fn after(&mut self, end: FlowEnd, source: Cause, destination: Cause) -> DirState {
        match (end, self.kind) {
            (FlowEnd::Complete | FlowEnd::Eof, Kind::Message) if source == Cause::Client => DirState::Closed,
            (FlowEnd::Complete | FlowEnd::Eof, _) => DirState::Draining,
            (FlowEnd::WriteError(_), Kind::Message) if destination == Cause::Server => DirState::Broken,
            (FlowEnd::WriteError(_), _) => {
                self.fail(destination);
                DirState::Broken
            }
            (FlowEnd::BadFraming, _) => {
                self.fail(Cause::Proxy);
                DirState::Broken
            }
            (FlowEnd::Truncated | FlowEnd::ReadError(_), _) => {
                self.fail(source);
                DirState::Broken
            }
        }
    }

    fn fail(&mut self, cause: Cause) {
        if self.outcome.cause == Cause::Normal {
            self.outcome.cause = cause;
        }
    }

    fn is_over(&self) -> bool {
        let ended = |s: DirState| matches!(s, DirState::Closed | DirState::Broken);
        match self.kind {
            Kind::Message => {
                self.outcome.cause != Cause::Normal
                    || (ended(self.down_state)
                        && (ended(self.up_state) || matches!(self.down.body, Body::UntilClose)))
            }
            Kind::Tunnel => {
                let broken = self.up_state == DirState::Broken || self.down_state == DirState::Broken;
                broken || (ended(self.up_state) && ended(self.down_state))
            }
        }
    }

    /// The limit of each side, `None` where nothing is awaited from it.
    fn client_limit(&self) -> Option<Duration> {
        let reads = self.up_state == DirState::Open && !self.up.blocked;
        let writes = self.client.send_pending() > 0 || self.down.blocked;
        let shut = self.kind == Kind::Tunnel && self.down_state == DirState::Closed;
        let limit = if shut { self.limits.client_fin.or(self.limits.client) } else { self.limits.client };
        limit.filter(|_| reads || writes)
    }

    fn server_limit(&self) -> Option<Duration> {
        let reads = self.down_state == DirState::Open && !self.down.blocked;
        let writes = self.server.send_pending() > 0 || self.up.blocked;
        let shut = self.kind == Kind::Tunnel && self.up_state == DirState::Closed;
        let limit = if shut { self.limits.server_fin.or(self.limits.server) } else { self.limits.server };
        limit.filter(|_| reads || writes)
    }

    fn deadline(&self) -> Mono {
        let client = self.client_limit().map_or(Mono::NEVER, |d| self.client_side.active + d);
        let server = self.server_limit().map_or(Mono::NEVER, |d| self.server_side.active + d);
        client.min(server)
    }

    /// The timer struck: find the side that was silent for too long, if any.
    fn expire(&mut self, t: Mono) {
        let client = self.client_limit().is_some_and(|d| self.client_side.active + d <= t);
        let server = self.server_limit().is_some_and(|d| self.server_side.active + d <= t);
        if client && !self.client_side.progressed(self.client.send_pending(), t) {
            self.fail(Cause::ClientTimeout);
            let stalled = self.client.send_pending() > 0 || self.down.blocked;
            self.read_timeout(true, stalled);
        }
        if server && !self.server_side.progressed(self.server.send_pending(), t) {
            self.fail(Cause::ServerTimeout);
            let stalled = self.server.send_pending() > 0 || self.up.blocked;
            self.read_timeout(false, stalled);
        }
    }

    /// In a tunnel a side that says nothing is treated as if it had closed: the other side is told and may
    /// finish. A side that takes nothing ends the relay.
    fn read_timeout(&mut self, client: bool, stalled: bool) {
        let state = if client { &mut self.up_state } else { &mut self.down_state };
        *state = match *state {
            DirState::Open if !stalled => DirState::Draining,
            _ => DirState::Broken,
        };
        let side = if client { &mut self.client_side } else { &mut self.server_side };
        side.active = now();
    }
}

impl Side {
    /// Notes what is left to send. A large queue that shrank is activity; a small one was taken at once.
    fn look(&mut self, pending: usize) {
        if pending < self.pending_seen && (pending > 0 || self.pending_seen > SETTLED) {
            self.active = now();
        }
        self.pending_seen = pending;
    }

    /// Whether the kernel took something since the last look; then the silence starts anew.
    fn progressed(&mut self, pending: usize, t: Mono) -> bool {
        let before = std::mem::replace(&mut self.pending_seen, pending);
        let moved = pending < before;
        if moved {
            self.active = t;
        }
        moved
    }
}
