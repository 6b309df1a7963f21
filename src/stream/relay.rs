//! The one relay: moves bytes between a client and a server, whatever they are (a body with a length, chunks,
//! everything until a close, a tunnel, plain TCP).
//!
//! A [`Flow`] is one direction. Received buffers are sent on without a copy; a direction that keeps filling
//! buffers is promoted to splice(2) through a pipe, and demoted when it trickles. [`Relay`] runs two flows
//! with the timeouts of both sides on one timer and says who ended it.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::base::time::Mono;
use crate::http::BodyLen;
use crate::http1::{ChunkDecoder, ChunkStep};
use crate::net::{Pipe, RecvBuf, Socket};
use crate::runtime::{Timer, now};

use super::termination::Cause;

/// Bytes that may wait in a socket's send queue before its source is no longer read.
const HIGH_WATER: usize = 64 * 1024;
/// The source is read again below this.
const LOW_WATER: usize = 16 * 1024;
/// The same without a pipe to splice through: the larger a send, the cheaper a byte.
const HIGH_WATER_NO_PIPE: usize = 512 * 1024;
/// Bytes taken in one go that make a direction a candidate for splicing.
const BULK_BURST: usize = 40 * 1024;
/// What must still be to come for a promotion to pay.
const BULK_REMAINING: u64 = 128 * 1024;
/// Bytes that one direction may splice before the other tasks get their turn.
const TURN_BYTES: usize = 2 * 1024 * 1024;
/// A splice of less than this counts as a trickle ...
const TRICKLE_BYTES: usize = 4096;
/// ... and so many of them in a row end the splicing.
const TRICKLE_LIMIT: u8 = 8;

const _: () = assert!(LOW_WATER < HIGH_WATER && HIGH_WATER < HIGH_WATER_NO_PIPE);

/// Where a message body ends.
#[derive(Clone, Debug)]
pub enum Body {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks, passed on as they are.
    Chunked(ChunkDecoder),
    /// Chunks, passed on without their framing (HTTP/1.0 clients).
    Dechunk(ChunkDecoder),
    /// Everything until the peer closes.
    UntilClose,
}

/// What [`Body::take`] says about received bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// Bytes that belong to the message.
    pub len: usize,
    /// The message ends with them.
    pub done: bool,
}

impl Body {
    /// The framing of a message. `dechunk`: the receiver does not know chunks.
    pub fn new(len: BodyLen, dechunk: bool) -> Body {
        match len {
            BodyLen::None => Body::Length(0),
            BodyLen::Length(n) => Body::Length(n),
            BodyLen::Chunked if dechunk => Body::Dechunk(ChunkDecoder::new()),
            BodyLen::Chunked => Body::Chunked(ChunkDecoder::new()),
            BodyLen::UntilClose | BodyLen::Tunnel => Body::UntilClose,
        }
    }

    /// How many of `bytes` belong to the message. `None`: invalid chunk framing. Not for `Dechunk`.
    pub fn take(&mut self, bytes: &[u8]) -> Option<Taken> {
        match self {
            Body::Length(rest) => {
                let len = usize::try_from(*rest).unwrap_or(usize::MAX).min(bytes.len());
                *rest -= len as u64;
                Some(Taken { len, done: *rest == 0 })
            }
            Body::Chunked(decoder) | Body::Dechunk(decoder) => {
                let (len, done) = decoder.validate(bytes).ok()?;
                Some(Taken { len, done })
            }
            Body::UntilClose => Some(Taken { len: bytes.len(), done: false }),
        }
    }

    /// Bytes that may be spliced from here on without looking at them.
    fn opaque(&self) -> u64 {
        match self {
            Body::Length(rest) => *rest,
            Body::Chunked(_) | Body::Dechunk(_) => 0,
            Body::UntilClose => u64::MAX,
        }
    }

    fn skip(&mut self, n: usize) {
        if let Body::Length(rest) = self {
            debug_assert!(n as u64 <= *rest);
            *rest -= n as u64;
        }
    }

    /// True when nothing is to come.
    pub fn is_complete(&self) -> bool {
        matches!(self, Body::Length(0))
    }
}

/// How a direction ended.
#[derive(Debug)]
pub enum FlowEnd {
    /// The message is complete.
    Complete,
    /// The source closed where a close is the end of the data.
    Eof,
    /// The source closed in the middle of the message.
    Truncated,
    /// The chunk framing is invalid.
    BadFraming,
    /// The source failed.
    ReadError(io::Error),
    /// The destination failed.
    WriteError(io::Error),
}

enum Via {
    /// Received buffers are sent on.
    Copy,
    /// On the way to splicing: reception stops, what was received goes out first.
    Pausing(Pipe),
    /// Spliced.
    Splice {
        pipe: Pipe,
        /// Trickles in a row.
        trickles: u8,
        /// A read is likely to find data, without asking for readiness first.
        eager: bool,
    },
}

/// One direction.
pub struct Flow {
    body: Body,
    /// Bytes handed to the destination.
    pub bytes: u64,
    /// Waits for the destination, not for the source.
    blocked: bool,
    /// There is no pipe to be had.
    no_pipe: bool,
    via: Via,
    kept: Kept,
}

/// What was sent, for a replay.
enum Kept {
    /// Nothing is kept: once a byte has gone there is no replay.
    Nothing,
    /// Everything so far, and how much more may be kept.
    Parts(Vec<RecvBuf>, usize),
}

/// Which ends of a flow moved.
#[derive(Clone, Copy, Default, Debug)]
struct Moved {
    source: bool,
    destination: bool,
}

impl Flow {
    /// A direction that carries `body`.
    pub fn new(body: Body) -> Flow {
        Flow { body, bytes: 0, blocked: false, no_pipe: false, via: Via::Copy, kept: Kept::Nothing }
    }

    /// A direction with nothing to carry.
    pub fn done() -> Flow {
        Flow::new(Body::Length(0))
    }

    /// Keeps what is sent, up to `limit` bytes, so that it can be sent once more.
    pub fn keep(&mut self, limit: usize) {
        self.kept = Kept::Parts(Vec::new(), limit);
    }

    /// What was sent so far, if that was kept.
    pub fn kept(&self) -> impl Iterator<Item = RecvBuf> {
        let parts: &[RecvBuf] = match &self.kept {
            Kept::Parts(parts, _) => parts,
            Kept::Nothing => &[],
        };
        parts.iter().cloned()
    }

    /// True when everything that was sent can be sent once more.
    pub fn can_replay(&self) -> bool {
        self.bytes == 0 || matches!(self.kept, Kept::Parts(..))
    }

    /// Cuts off the front of `buf` what belongs to the message, without sending it. `None`: invalid framing.
    pub fn take_away(&mut self, buf: &mut RecvBuf) -> Option<Taken> {
        let taken = self.body.take(buf)?;
        buf.advance(taken.len);
        Some(taken)
    }

    fn keep_part(&mut self, buf: &RecvBuf) {
        if let Kept::Parts(parts, room) = &mut self.kept {
            match room.checked_sub(buf.len()) {
                Some(left) => {
                    *room = left;
                    parts.push(buf.clone());
                }
                None => self.kept = Kept::Nothing,
            }
        }
    }

    /// True when there is nothing to carry.
    pub fn is_complete(&self) -> bool {
        self.body.is_complete()
    }

    /// Moves what can be moved now.
    pub fn poll(&mut self, cx: &mut Context<'_>, from: &Socket, to: &Socket) -> Poll<FlowEnd> {
        self.poll_moved(cx, from, to, &mut Moved::default())
    }

    fn poll_moved(
        &mut self,
        cx: &mut Context<'_>,
        from: &Socket,
        to: &Socket,
        moved: &mut Moved,
    ) -> Poll<FlowEnd> {
        let mut budget = TURN_BYTES;
        loop {
            self.blocked = false;
            let step = match self.via {
                Via::Copy => self.poll_copy(cx, from, to, moved),
                Via::Pausing(_) => self.poll_pausing(cx, from, to, moved),
                Via::Splice { .. } => self.poll_splice(cx, from, to, moved, &mut budget),
            };
            match step {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Step::Again) => {}
                Poll::Ready(Step::End(end)) => {
                    self.leave_splice(from);
                    return Poll::Ready(end);
                }
            }
        }
    }

    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &Socket,
        to: &Socket,
        moved: &mut Moved,
    ) -> Poll<Step> {
        let high = if self.no_pipe { HIGH_WATER_NO_PIPE } else { HIGH_WATER };
        let mut burst = 0;
        if let Poll::Ready(Err(e)) = to.poll_sent(cx, usize::MAX) {
            return Step::end(FlowEnd::WriteError(e));
        }
        loop {
            if to.send_pending() > high {
                if self.promote(burst.max(BULK_BURST)) {
                    return Poll::Ready(Step::Again);
                }
                match to.poll_sent(cx, LOW_WATER) {
                    Poll::Pending => {
                        self.blocked = true;
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(e)) => return Step::end(FlowEnd::WriteError(e)),
                    Poll::Ready(Ok(())) => moved.destination = true,
                }
            }
            match from.poll_recv(cx) {
                Poll::Pending if self.promote(burst) => return Poll::Ready(Step::Again),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(e)) => return Step::end(FlowEnd::ReadError(e)),
                Poll::Ready(Ok(buf)) => {
                    burst += buf.len();
                    *moved = Moved { source: true, destination: true };
                    if let Some(end) = self.pass(buf, from, to) {
                        return Step::end(end);
                    }
                }
            }
        }
    }

    /// Sends what was received on; an empty buffer is the source's end.
    fn pass(&mut self, mut buf: RecvBuf, from: &Socket, to: &Socket) -> Option<FlowEnd> {
        if buf.is_empty() {
            return Some(self.at_eof());
        }
        if matches!(self.body, Body::Dechunk(_)) {
            return self.pass_dechunked(buf, from, to);
        }
        let Some(taken) = self.body.take(&buf) else { return Some(FlowEnd::BadFraming) };
        self.bytes += taken.len as u64;
        if taken.len < buf.len() {
            let message = buf.split_to(taken.len);
            from.unrecv(buf);
            buf = message;
        }
        if !buf.is_empty() {
            self.keep_part(&buf);
            to.send(buf);
        }
        taken.done.then_some(FlowEnd::Complete)
    }

    fn pass_dechunked(&mut self, mut buf: RecvBuf, from: &Socket, to: &Socket) -> Option<FlowEnd> {
        let Body::Dechunk(decoder) = &mut self.body else { return Some(FlowEnd::BadFraming) };
        while !buf.is_empty() {
            match decoder.decode(&buf) {
                Err(_) => return Some(FlowEnd::BadFraming),
                Ok(ChunkStep::More { consumed }) => buf.advance(consumed),
                Ok(ChunkStep::Data { data, consumed }) => {
                    let mut part = buf.split_to(consumed);
                    part.truncate(data.end);
                    part.advance(data.start);
                    self.bytes += part.len() as u64;
                    to.send(part);
                }
                Ok(ChunkStep::End { consumed }) => {
                    buf.advance(consumed);
                    if !buf.is_empty() {
                        from.unrecv(buf);
                    }
                    return Some(FlowEnd::Complete);
                }
            }
        }
        None
    }

    fn at_eof(&self) -> FlowEnd {
        match self.body {
            Body::UntilClose => FlowEnd::Eof,
            _ => FlowEnd::Truncated,
        }
    }

    /// Starts the way to splicing when the direction moved `burst` bytes in one go and enough is to come.
    fn promote(&mut self, burst: usize) -> bool {
        if burst < BULK_BURST
            || self.no_pipe
            || matches!(self.kept, Kept::Parts(..))
            || self.body.opaque() < BULK_REMAINING
        {
            return false;
        }
        match Pipe::take() {
            Some(pipe) => {
                self.via = Via::Pausing(pipe);
                true
            }
            None => {
                self.no_pipe = true;
                false
            }
        }
    }

    fn poll_pausing(
        &mut self,
        cx: &mut Context<'_>,
        from: &Socket,
        to: &Socket,
        moved: &mut Moved,
    ) -> Poll<Step> {
        if from.poll_pause_recv(cx).is_pending() {
            return Poll::Pending;
        }
        while let Some(received) = from.try_recv() {
            match received {
                Err(e) => return Step::end(FlowEnd::ReadError(e)),
                Ok(buf) => {
                    *moved = Moved { source: true, destination: true };
                    if let Some(end) = self.pass(buf, from, to) {
                        return Step::end(end);
                    }
                }
            }
        }
        match to.poll_sent(cx, 0) {
            Poll::Pending => {
                self.blocked = true;
                Poll::Pending
            }
            Poll::Ready(Err(e)) => Step::end(FlowEnd::WriteError(e)),
            Poll::Ready(Ok(())) => {
                moved.destination = true;
                if let Via::Pausing(pipe) = std::mem::replace(&mut self.via, Via::Copy) {
                    self.via = Via::Splice { pipe, trickles: 0, eager: true };
                }
                Poll::Ready(Step::Again)
            }
        }
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &Socket,
        to: &Socket,
        moved: &mut Moved,
        budget: &mut usize,
    ) -> Poll<Step> {
        let Via::Splice { pipe, trickles, eager } = &mut self.via else { return Poll::Ready(Step::Again) };
        while pipe.held() > 0 {
            let held = pipe.held();
            match to.splice_out(pipe, held, false) {
                Ok(n) => {
                    self.bytes += n as u64;
                    moved.destination = true;
                    *budget = budget.saturating_sub(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => match to.poll_writable(cx) {
                    Poll::Pending => {
                        self.blocked = true;
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(e)) => return Step::end(FlowEnd::WriteError(e)),
                },
                Err(e) => return Step::end(FlowEnd::WriteError(e)),
            }
        }
        if self.body.is_complete() {
            return Step::end(FlowEnd::Complete);
        }
        if *budget == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if *trickles >= TRICKLE_LIMIT {
            self.leave_splice(from);
            return Poll::Ready(Step::Again);
        }
        if !*eager {
            match from.poll_readable(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(e)) => return Step::end(FlowEnd::ReadError(e)),
                Poll::Ready(Ok(())) => {}
            }
        }
        let max = usize::try_from(self.body.opaque()).unwrap_or(usize::MAX).min(pipe.capacity());
        match from.splice_in(pipe, max) {
            Ok(0) => return Step::end(self.at_eof()),
            Ok(n) => {
                moved.source = true;
                *eager = n == max;
                *trickles = if n < TRICKLE_BYTES { *trickles + 1 } else { 0 };
                self.body.skip(n);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => *eager = false,
            Err(e) => return Step::end(FlowEnd::ReadError(e)),
        }
        Poll::Ready(Step::Again)
    }

    /// Back to receiving through buffers.
    fn leave_splice(&mut self, from: &Socket) {
        if !matches!(self.via, Via::Copy) {
            self.via = Via::Copy;
            from.resume_recv();
        }
    }
}

enum Step {
    Again,
    End(FlowEnd),
}

impl Step {
    fn end(end: FlowEnd) -> Poll<Step> {
        Poll::Ready(Step::End(end))
    }
}

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
}

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
    /// how many more bytes went up and down during a long transfer.
    pub async fn run(&mut self, timer: &mut Timer, meter: &mut dyn FnMut(u64, u64)) -> Outcome {
        poll_fn(|cx| {
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

    /// The bytes that `meter` was told about.
    pub fn counted(&self) -> (u64, u64) {
        self.reported
    }

    /// Gives the client's direction back.
    pub fn into_up(self) -> Flow {
        self.up
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<Outcome> {
        loop {
            self.poll_up(cx);
            self.poll_down(cx);
            if self.is_over() {
                return Poll::Ready(self.outcome);
            }
            timer.set(self.deadline());
            if timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
            self.expire(now());
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
                self.up_state = self.after(end, Cause::Client, Cause::Server);
                self.outcome.up_complete = matches!(self.up_state, DirState::Closed | DirState::Draining);
            }
        }
        if self.up_state == DirState::Draining {
            match self.server.poll_sent(cx, 0) {
                Poll::Pending => {}
                Poll::Ready(sent) => {
                    let shut = sent.and_then(|()| self.server.shutdown_write());
                    self.touch(false, true);
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
                self.down_state = self.after(end, Cause::Server, Cause::Client);
                self.outcome.down_complete = matches!(self.down_state, DirState::Closed | DirState::Draining);
            }
        }
        if self.down_state == DirState::Draining {
            match self.client.poll_sent(cx, 0) {
                Poll::Pending => {}
                Poll::Ready(sent) => {
                    let shut = sent.and_then(|()| self.client.shutdown_write());
                    self.touch(true, false);
                    self.down_state = if shut.is_ok() { DirState::Closed } else { DirState::Broken };
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
            (FlowEnd::Complete, Kind::Message) | (FlowEnd::Eof, Kind::Message) => DirState::Closed,
            (FlowEnd::Complete | FlowEnd::Eof, Kind::Tunnel) => DirState::Draining,
            (FlowEnd::WriteError(_), Kind::Message) if destination == Cause::Server => DirState::Broken,
            (FlowEnd::WriteError(_), _) => {
                self.fail(destination);
                DirState::Broken
            }
            (FlowEnd::BadFraming, _) => {
                self.fail(if source == Cause::Client { Cause::Proxy } else { Cause::Server });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_no_more_than_its_bytes() {
        let mut b = Body::new(BodyLen::Length(5), false);
        assert_eq!(b.take(b"abc"), Some(Taken { len: 3, done: false }));
        assert_eq!(b.take(b"defgh"), Some(Taken { len: 2, done: true }));
        assert!(b.is_complete());
    }

    #[test]
    fn no_body_is_complete_from_the_start() {
        assert!(Flow::new(Body::new(BodyLen::None, false)).is_complete());
        assert!(!Flow::new(Body::new(BodyLen::Chunked, false)).is_complete());
        assert!(!Flow::new(Body::new(BodyLen::Tunnel, false)).is_complete());
    }

    #[test]
    fn only_opaque_bytes_may_be_spliced() {
        assert_eq!(Body::new(BodyLen::Chunked, false).opaque(), 0);
        assert_eq!(Body::new(BodyLen::Length(7), false).opaque(), 7);
        assert_eq!(Body::new(BodyLen::UntilClose, false).opaque(), u64::MAX);
    }
}
