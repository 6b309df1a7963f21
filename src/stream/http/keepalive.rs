//! The life of an HTTP client connection: waiting for requests, one exchange after the other, the close.
//!
//! Waiting costs this small future and the session: the exchange is boxed, and gone between requests.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use crate::base::time::Mono;
use crate::net::RecvBuf;
use crate::runtime::{self, now, wall};

use super::super::handover::{self, Left, RECEIVED_MAX};
use super::super::state::{Session, after};
use super::super::wait::until;
use super::{Next, exchange};

/// Bytes of a refused request that are read before its connection is closed all the same.
const LINGER_BYTES: usize = 1024 * 1024;
/// Time a client has to read our answer and close, at most.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Answers that may wait for a client that pipelines requests before its next one is looked at.
const PIPELINED_BYTES: usize = 64 * 1024;
/// Exchanges of one client in a row before the other tasks get their turn, pipelined or not.
const EXCHANGES_PER_TURN: u32 = 32;

/// The kernel takes this much on any connection, whether the client reads or not: an eighth of the middle value of
/// `net.ipv4.tcp_wmem`, so that it holds with the overhead of segments as small as 536 bytes.
const AT_ONCE: u64 = 2 * 1024;

/// Why no request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stream) enum Silence {
    /// The client closed.
    Closed,
    /// The connection broke.
    Broken,
    /// The timeout struck.
    TimedOut,
    /// The process stops, and another one takes the client.
    Leaving,
}

/// Serves a client connection to its end.
pub(in crate::stream) async fn serve(s: &mut Session) {
    loop {
        let first = s.exchanges == 0;
        let silence = match wait_for_request(s).await {
            Ok(buf) => match after_exchange(s, buf, now()).await {
                Then::Again => continue,
                Then::Over => return,
                Then::Silent(silence) => silence,
            },
            Err(Silence::Leaving) => match Box::pin(handover::leave(s, None)).await {
                Left::Moved => return,
                Left::Stays => continue,
                Left::Silent(silence) => silence,
            },
            Err(silence) => silence,
        };
        if first && Box::pin(exchange::silent(s, silence)).await == Next::Linger {
            linger(s).await;
        }
        return;
    }
}

/// Serves a client that another process has begun to serve. `first_byte`: when the request began that is received in
/// part.
pub(in crate::stream) async fn go_on(s: &mut Session, first_byte: Option<Mono>) {
    if let (Some(at), Some(Ok(buf))) = (first_byte, s.client.try_recv())
        && !buf.is_empty()
        && !matches!(after_exchange(s, buf, at).await, Then::Again)
    {
        return;
    }
    serve(s).await;
}

/// What follows an exchange.
enum Then {
    /// Another one.
    Again,
    /// The connection is done with.
    Over,
    /// There was none: the request was not complete when the process stopped, and never will be.
    Silent(Silence),
}

/// One exchange, and the close when it was the last one. `at`: when its first byte was received.
async fn after_exchange(s: &mut Session, buf: RecvBuf, at: Mono) -> Then {
    match Box::pin(exchange::run(s, buf, at)).await {
        Next::KeepAlive => return Then::Again,
        Next::Close => close(s).await,
        Next::Linger => linger(s).await,
        Next::Abort => s.reset = true,
        Next::Moved => {}
        Next::Leave(at) => match Box::pin(handover::leave(s, Some(at))).await {
            Left::Moved => {}
            Left::Stays => return Then::Again,
            Left::Silent(silence) => return Then::Silent(silence),
        },
    }
    Then::Over
}

/// Waits for the first byte of a request.
async fn wait_for_request(s: &mut Session) -> Result<RecvBuf, Silence> {
    if s.moves() && s.client.recv_queued() <= RECEIVED_MAX {
        return Err(Silence::Leaving);
    }
    if s.client.send_pending() > PIPELINED_BYTES {
        // It sends requests and does not read the answers, which would pile up here.
        flush(s, PIPELINED_BYTES / 4).await;
        if s.client.send_pending() > PIPELINED_BYTES / 4 {
            return Err(Silence::TimedOut);
        }
    }
    if s.exchanges % EXCHANGES_PER_TURN == EXCHANGES_PER_TURN - 1 {
        runtime::yield_now().await;
    }
    loop {
        match first_bytes(s).await {
            Some(result) => return result,
            None if s.client.send_pending() == 0 => return Err(Silence::TimedOut),
            // The client still reads the answer: it is not idle yet.
            None => flush(s, 0).await,
        }
        if s.client.send_pending() > 0 {
            return Err(Silence::TimedOut);
        }
        s.start = now();
        s.start_wall = wall();
    }
}

/// Empty lines before a request are skipped and do not count.
async fn first_bytes(s: &mut Session) -> Option<Result<RecvBuf, Silence>> {
    // Only between requests: a new connection is still served when the process stops.
    let between = s.exchanges > 0;
    loop {
        let closes = if between { s.closing_time() } else { Mono::NEVER };
        match first_bytes_until(s, closes).await {
            Some(Heard::Stop) => {}
            Some(Heard::Client(result)) => return Some(result),
            None => return None,
        }
    }
}

/// What a session that waits is woken by.
enum Heard {
    Client(Result<RecvBuf, Silence>),
    /// The process stops.
    Stop,
}

/// The same until that time, or until the process stops.
async fn first_bytes_until(s: &mut Session, closes: Mono) -> Option<Heard> {
    let deadline = idle_deadline(s).min(closes);
    let client = &s.client;
    let (worker, listener, stays) = (&*s.worker, s.listener, s.stays);
    let silent = |why| Poll::Ready(Heard::Client(Err(why)));
    let mut stop = std::pin::pin!(worker.stop.notified());
    until(&mut s.timer, deadline, |cx| {
        loop {
            match client.poll_recv(cx) {
                Poll::Pending if !stays && worker.hands_over(listener) => return silent(Silence::Leaving),
                Poll::Pending if now() >= closes => return silent(Silence::Closed),
                Poll::Pending => return stop.as_mut().poll(cx).map(|()| Heard::Stop),
                Poll::Ready(Err(_)) => return silent(Silence::Broken),
                Poll::Ready(Ok(buf)) if buf.is_empty() => return silent(Silence::Closed),
                Poll::Ready(Ok(mut buf)) => {
                    let blank = buf.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                    buf.advance(blank);
                    if !buf.is_empty() {
                        return Poll::Ready(Heard::Client(Ok(buf)));
                    }
                }
            }
        }
    })
    .await
}

fn idle_deadline(s: &Session) -> Mono {
    let t = s.request_timeouts(&s.view);
    let limit = if s.exchanges == 0 { t.http_request() } else { t.http_keep_alive() };
    let deadline = limit.map_or(Mono::NEVER, |d| s.ready() + d);
    deadline.min(after(t.client))
}

/// Closes once everything is sent.
pub(in crate::stream) async fn close(s: &mut Session) {
    let pending = s.client.send_pending();
    if s.sent <= AT_ONCE && pending > 0 && s.client.send_is_fresh() && s.client.recv_queued() == 0 {
        // So little was sent on this connection that the kernel takes the rest without waiting: the answer and the
        // close go out in one submission (see `Socket`, dropping).
        return;
    }
    flush(s, 0).await;
    if s.client.recv_queued() > 0 {
        linger(s).await;
    }
}

/// Waits until everything is sent, or the client takes nothing for too long: false then.
pub(in crate::stream) async fn settle(s: &mut Session) -> bool {
    flush(s, 0).await;
    s.client.send_pending() == 0
}

/// Waits until no more than `left_over` bytes are to be sent, as long as the client takes something within `timeout
/// client`.
async fn flush(s: &mut Session, left_over: usize) {
    let mut pending = s.client.send_pending();
    while pending > left_over {
        let deadline = after(s.view.proxy(s.frontend).timeouts.client);
        let client = &s.client;
        if until(&mut s.timer, deadline, |cx| client.poll_sent(cx, left_over)).await.is_some() {
            return;
        }
        let left = s.client.send_pending();
        if left >= pending {
            return;
        }
        pending = left;
    }
}

/// Closes so that the client can read what was sent although it is still sending itself: a close with unread
/// data would make the kernel send a reset, which may destroy the answer on its way (RFC 9112 9.6).
pub(in crate::stream) async fn linger(s: &mut Session) {
    flush(s, 0).await;
    if s.client.send_pending() > 0 || s.client.shutdown_write().is_err() {
        return;
    }
    let limit = s.view.proxy(s.frontend).timeouts.client.unwrap_or(LINGER_TIME).min(LINGER_TIME);
    let deadline = now() + limit;
    let client = &s.client;
    let mut left = LINGER_BYTES;
    let _ = until(&mut s.timer, deadline, |cx| {
        loop {
            match client.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(buf)) if !buf.is_empty() && left > buf.len() => left -= buf.len(),
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}
