//! A tunnel comes to rest, so that another process may carry it on: both sockets quiet, nothing received that was not
//! passed on, nothing in a pipe.
//!
//! Reading stops for a short time only: a receiver that does not drain keeps the tunnel here, and it is tried again
//! later.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use super::flow::FlowEnd;
use super::{DirState, Relay};
use crate::base::time::Mono;
use crate::proxy::{ListenerId, ServerId};
use crate::runtime::{Notified, now};
use crate::stream::worker::Worker;

/// How long both directions may stand still for one attempt.
const PATIENCE: Duration = Duration::from_millis(100);
/// Between attempts at first, and at most: each one that fails doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Watches for the moment when another process may take a tunnel.
pub(in crate::stream) struct Leaving<'a> {
    worker: &'a Worker,
    listener: ListenerId,
    server: ServerId,
    stop: Notified<'a>,
}

impl<'a> Leaving<'a> {
    pub fn new(worker: &'a Worker, listener: ListenerId, server: ServerId) -> Leaving<'a> {
        Leaving { worker, listener, server, stop: worker.stop.notified() }
    }

    /// True when it may leave.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if self.worker.hands_over_tunnel(self.listener, self.server) {
                return true;
            }
            match Pin::new(&mut self.stop).poll(cx) {
                Poll::Ready(()) => self.stop = self.worker.stop.notified(),
                Poll::Pending => return false,
            }
        }
    }
}

/// Where a relay is on its way to rest.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rest {
    Running,
    /// Nothing more is read until then.
    Seeking {
        until: Mono,
        pause: Duration,
    },
    /// It is tried again then.
    Paused {
        until: Mono,
        pause: Duration,
    },
}

/// What another process has to know of a relay at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stream) struct RelayState {
    /// The client has closed its side, and the server knows.
    pub up_closed: bool,
    /// The server has closed its side, and the client knows.
    pub down_closed: bool,
    /// When the sides were active last.
    pub client_active: Mono,
    pub server_active: Mono,
}

impl Relay<'_> {
    pub(super) fn seek_rest(&mut self) {
        let pause = match self.rest {
            Rest::Running => PAUSE_MIN,
            Rest::Paused { until, pause } if until <= now() => (pause * 2).min(PAUSE_MAX),
            Rest::Seeking { .. } | Rest::Paused { .. } => return,
        };
        self.rest = Rest::Seeking { until: now() + PATIENCE, pause };
    }

    pub(super) fn is_resting(&self) -> bool {
        matches!(self.rest, Rest::Seeking { .. })
    }

    pub(super) fn rest_deadline(&self) -> Mono {
        match self.rest {
            Rest::Running => Mono::NEVER,
            Rest::Seeking { until, .. } | Rest::Paused { until, .. } => until,
        }
    }

    /// The time for this attempt is over: both directions go on.
    pub(super) fn rest_expired(&mut self) {
        if let Rest::Seeking { until, .. } = self.rest
            && until <= now()
        {
            self.stay();
        }
    }

    /// The relay goes on here, for a while at least.
    pub(in crate::stream) fn stay(&mut self) {
        let Rest::Seeking { pause, .. } = self.rest else { return };
        self.rest = Rest::Paused { until: now() + pause, pause };
        self.outcome.at_rest = false;
        let mut cx = Context::from_waker(Waker::noop());
        for (source, flow) in [(self.client, &self.up), (self.server, &self.down)] {
            source.resume_recv();
            if flow.is_splicing() {
                // Nothing is being received: ready at once.
                let _ = source.poll_pause_recv(&mut cx);
            }
        }
    }

    /// Nobody is there any more who would take it.
    pub(super) fn no_rest(&mut self) {
        self.stay();
        if let Rest::Paused { .. } = self.rest {
            self.rest = Rest::Running;
        }
    }

    /// Ready when nothing is under way. A direction that ends meanwhile ends as ever.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.up_state == DirState::Open
                && let Err(e) = ready!(self.up.poll_empty(cx, self.server))
            {
                self.end_up(FlowEnd::WriteError(e));
            }
            if self.down_state == DirState::Open
                && let Err(e) = ready!(self.down.poll_empty(cx, self.client))
            {
                self.end_down(FlowEnd::WriteError(e));
            }
            let quiet = self.client.poll_quiet(cx).is_ready() & self.server.poll_quiet(cx).is_ready();
            let passed = self.pass_queued(cx);
            self.drain_up(cx);
            self.drain_down(cx);
            if self.is_over() || !quiet {
                return Poll::Pending;
            }
            if !passed {
                return Poll::Ready(());
            }
        }
    }

    /// Passes on what was received before receiving was paused. True when there was something.
    fn pass_queued(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        if self.up_state == DirState::Open {
            let (passed, mut end) = self.up.pass_queued(self.client, self.server);
            if let Poll::Ready(Err(e)) = self.server.poll_sent(cx, usize::MAX) {
                end = Some(FlowEnd::WriteError(e));
            }
            if let Some(end) = end {
                self.end_up(end);
            }
            any |= passed;
        }
        if self.down_state == DirState::Open {
            let (passed, mut end) = self.down.pass_queued(self.server, self.client);
            if let Poll::Ready(Err(e)) = self.client.poll_sent(cx, usize::MAX) {
                end = Some(FlowEnd::WriteError(e));
            }
            if let Some(end) = end {
                self.end_down(end);
            }
            any |= passed;
        }
        if any {
            self.touch(true, true);
        }
        any
    }

    /// What another process has to know.
    pub(in crate::stream) fn state(&self) -> RelayState {
        RelayState {
            up_closed: self.up_state == DirState::Closed,
            down_closed: self.down_state == DirState::Closed,
            client_active: self.client_side.active,
            server_active: self.server_side.active,
        }
    }

    /// Goes on where another process has left off.
    pub(in crate::stream) fn resume(&mut self, state: RelayState) {
        if state.up_closed {
            self.up_state = DirState::Closed;
            self.outcome.up_complete = true;
        }
        if state.down_closed {
            self.down_state = DirState::Closed;
            self.outcome.down_complete = true;
        }
        self.client_side.active = state.client_active.min(now());
        self.server_side.active = state.server_active.min(now());
    }
}
