//! One direction of a relay.

use std::io;
use std::task::{Context, Poll, ready};

use crate::http::BodyLen;
use crate::http1::{ChunkDecoder, ChunkStep};
use crate::net::{Pipe, RecvBuf, Socket};
use crate::runtime;

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
            Body::Chunked(decoder) | Body::Dechunk(decoder) => decoder.data_left(),
            Body::UntilClose => u64::MAX,
        }
    }

    fn skip(&mut self, n: usize) {
        debug_assert!(n as u64 <= self.opaque());
        match self {
            Body::Length(rest) => *rest -= n as u64,
            Body::Chunked(decoder) | Body::Dechunk(decoder) => decoder.skip_data(n as u64),
            Body::UntilClose => {}
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
        /// The destination took less than it was offered: it is asked again once it is writable.
        full: bool,
    },
}

/// One direction.
pub struct Flow {
    pub(super) body: Body,
    /// Bytes handed to the destination.
    pub bytes: u64,
    /// Waits for the destination, not for the source.
    pub(super) blocked: bool,
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
pub(super) struct Moved {
    pub source: bool,
    pub destination: bool,
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

    /// `nosplice`: never through a pipe.
    pub fn no_splice(&mut self) {
        self.no_pipe = true;
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

    /// Passes on what was received already, if that is all that is left and not much: most answers need no relay.
    pub fn pass_received(&mut self, from: &Socket, to: &Socket) -> bool {
        let Body::Length(left) = self.body else { return false };
        if left > LOW_WATER as u64 || left > from.recv_queued() as u64 || to.send_pending() > HIGH_WATER {
            return left == 0;
        }
        while !self.body.is_complete() {
            match from.try_recv() {
                Some(Ok(buf)) if !buf.is_empty() => self.pass(buf, from, to),
                _ => return false,
            };
        }
        true
    }

    /// Moves what can be moved now.
    pub fn poll(&mut self, cx: &mut Context<'_>, from: &Socket, to: &Socket) -> Poll<FlowEnd> {
        self.poll_moved(cx, from, to, &mut Moved::default())
    }

    pub(super) fn poll_moved(
        &mut self,
        cx: &mut Context<'_>,
        from: &Socket,
        to: &Socket,
        moved: &mut Moved,
    ) -> Poll<FlowEnd> {
        let mut budget = TURN_BYTES;
        let was_blocked = self.blocked;
        let step = self.poll_steps(cx, from, to, moved, &mut budget);
        // The source was not asked for anything in the meantime: its time begins now.
        moved.source |= was_blocked && !self.blocked;
        step
    }

    fn poll_steps(
        &mut self,
        cx: &mut Context<'_>,
        from: &Socket,
        to: &Socket,
        moved: &mut Moved,
        budget: &mut usize,
    ) -> Poll<FlowEnd> {
        loop {
            self.blocked = false;
            let step = match self.via {
                Via::Copy => self.poll_copy(cx, from, to, moved),
                Via::Pausing(_) => self.poll_pausing(cx, from, to, moved),
                Via::Splice { .. } => self.poll_splice(cx, from, to, moved, budget),
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
        // Many slow readers of large responses must not hold that much each.
        let generous = self.no_pipe && !runtime::buffers_are_scarce();
        let high = if generous { HIGH_WATER_NO_PIPE } else { HIGH_WATER };
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
                    self.via = Via::Splice { pipe, trickles: 0, full: false };
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
        let Via::Splice { pipe, trickles, full } = &mut self.via else { return Poll::Ready(Step::Again) };
        while pipe.held() > 0 {
            if *full {
                match to.poll_writable(cx) {
                    Poll::Pending => {
                        self.blocked = true;
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(())) => *full = false,
                    Poll::Ready(Err(e)) => return Step::end(FlowEnd::WriteError(e)),
                }
            }
            let held = pipe.held();
            match to.splice_out(pipe, held, false) {
                Ok(n) => {
                    self.bytes += n as u64;
                    moved.destination = true;
                    *budget = budget.saturating_sub(n);
                    *full = n < held;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => *full = true,
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
        if *trickles >= TRICKLE_LIMIT || self.body.opaque() == 0 {
            self.leave_splice(from);
            return Poll::Ready(Step::Again);
        }
        match from.poll_readable(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(e)) => return Step::end(FlowEnd::ReadError(e)),
            Poll::Ready(Ok(())) => {}
        }
        let max = usize::try_from(self.body.opaque()).unwrap_or(usize::MAX).min(pipe.capacity());
        match from.splice_in(pipe, max) {
            Ok(0) => return Step::end(self.at_eof()),
            Ok(n) => {
                moved.source = true;
                *trickles = if n < TRICKLE_BYTES { *trickles + 1 } else { 0 };
                self.body.skip(n);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Step::end(FlowEnd::ReadError(e)),
        }
        Poll::Ready(Step::Again)
    }

    /// Empties what is between the two sockets, and gives up splicing: ready when nothing is. Receiving stays paused
    /// where it is.
    pub(super) fn poll_empty(&mut self, cx: &mut Context<'_>, to: &Socket) -> Poll<io::Result<()>> {
        if let Via::Splice { pipe, full, .. } = &mut self.via {
            while pipe.held() > 0 {
                if *full {
                    ready!(to.poll_writable(cx))?;
                    *full = false;
                }
                let held = pipe.held();
                match to.splice_out(pipe, held, false) {
                    Ok(n) => {
                        self.bytes += n as u64;
                        *full = n < held;
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => *full = true,
                    Err(e) => return Poll::Ready(Err(e)),
                }
            }
        }
        self.via = Via::Copy;
        Poll::Ready(Ok(()))
    }

    /// Passes on what was received, without receiving more. `Some`: the direction ends with it.
    pub(super) fn pass_queued(&mut self, from: &Socket, to: &Socket) -> (bool, Option<FlowEnd>) {
        let mut passed = false;
        while let Some(received) = from.try_recv() {
            let end = match received {
                Err(e) => Some(FlowEnd::ReadError(e)),
                Ok(buf) => {
                    passed |= !buf.is_empty();
                    self.pass(buf, from, to)
                }
            };
            if end.is_some() {
                return (passed, end);
            }
        }
        (passed, None)
    }

    /// It goes through a pipe, and its source must stay paused.
    pub(super) fn is_splicing(&self) -> bool {
        !matches!(self.via, Via::Copy)
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
        let mut chunked = Body::new(BodyLen::Chunked, false);
        assert_eq!(chunked.opaque(), 0);
        assert_eq!(chunked.take(b"10\r\nabc"), Some(Taken { len: 7, done: false }));
        assert_eq!(chunked.opaque(), 13);
        chunked.skip(13);
        assert_eq!(chunked.opaque(), 0);
        assert_eq!(chunked.take(b"\r\n0\r\n\r\n"), Some(Taken { len: 7, done: true }));
        assert_eq!(Body::new(BodyLen::Length(7), false).opaque(), 7);
        assert_eq!(Body::new(BodyLen::UntilClose, false).opaque(), u64::MAX);
    }
}
