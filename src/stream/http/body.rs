//! Buffering the start of a body, for rules, `balance url_param ... check_post` and
//! `option http-buffer-request`.

use std::collections::VecDeque;

use crate::base::time::Mono;
use crate::http::{BodyLen, FieldId, RequestHead, Version};
use crate::http1::{ChunkDecoder, ChunkStep};
use crate::net::{RecvBuf, Socket};
use crate::runtime::now;

use super::super::list::Alarm;
use super::super::state::{Stream, after};
use super::super::switch;
use super::super::termination::{Cause, Phase};
use super::super::wait::until;
use super::super::worker::View;
use super::{Next, answers};

/// Received parts up to this size are copied behind the one before.
const JOINED_BYTES: usize = 4096;

/// Waits for the whole body or a full buffer, as long as `timeout http-request` allows.
pub(in crate::stream) async fn buffer_all(view: &View, st: &mut Stream<'_>) -> Option<Next> {
    let limit = st.fe(view).timeouts.http_request;
    let deadline = match limit {
        Some(d) => st.x.times.first_byte.unwrap_or(st.x.times.accept) + d,
        None => after(st.client_timeout(view)),
    };
    let refused = buffer(view, st, deadline, 0).await;
    if refused.is_none() {
        // The time that the client took for its body is the request's, not the queue's.
        st.x.times.request = Some(now());
    }
    refused
}

/// Collects the request's body in `st.x.payload` until it is complete or holds `at_least` bytes (0: a full buffer).
/// The received bytes go back to the socket: the relay forwards them later. Some: `deadline` came first, the client
/// left, or its framing is invalid.
pub(in crate::stream) async fn buffer(
    view: &View,
    st: &mut Stream<'_>,
    deadline: Mono,
    at_least: u64,
) -> Option<Next> {
    let framing = match st.x.request.framing() {
        // A request body always says where it ends.
        BodyLen::UntilClose => BodyLen::None,
        framing => framing,
    };
    let wanted = Wanted::new(view, framing, at_least, deadline);
    let (client, timer, x) = (&st.s.client, &mut st.s.timer, &mut *st.x);
    let (request, payload) = (&mut x.request, &mut x.payload);
    let collected = collect(client, timer, &wanted, payload, || invite(client, request)).await;
    st.x.payload_complete = collected == Collected::Complete;
    match collected {
        Collected::Complete | Collected::Enough => None,
        Collected::Late => {
            // As the reference: the whole request counts as not received.
            st.x.times.request = None;
            st.note(Cause::ClientTimeout, Phase::Request);
            st.x.keep_client = false;
            Some(answers::error(view, st, 408))
        }
        Collected::Left => Some(client_left(view, st)),
        Collected::Invalid => Some(invalid(view, st)),
    }
}

/// The same for the response's body, in `st.x.res_payload`. False: `deadline` came first. A server that breaks off is
/// found out by the relay, after what it sent has gone to the client.
pub(in crate::stream) async fn buffer_response(
    view: &View,
    st: &mut Stream<'_>,
    server: &Socket,
    deadline: Mono,
    at_least: u64,
) -> bool {
    let wanted = Wanted::new(view, st.x.response.framing(), at_least, deadline);
    let payload = &mut st.x.res_payload;
    let collected = collect(server, &mut st.s.timer, &wanted, payload, || {}).await;
    st.x.res_payload_complete = collected == Collected::Complete;
    collected != Collected::Late
}

/// How much of a body is waited for.
struct Wanted {
    framing: BodyLen,
    /// Bytes that are kept at most.
    room: usize,
    /// Bytes that are enough.
    enough: usize,
    deadline: Mono,
}

impl Wanted {
    fn new(view: &View, framing: BodyLen, at_least: u64, deadline: Mono) -> Wanted {
        let room = view.shared.settings.bufsize;
        let enough = if at_least == 0 { room } else { room.min(usize::try_from(at_least).unwrap_or(room)) };
        Wanted { framing, room, enough, deadline }
    }
}

/// How collecting a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Collected {
    /// The body is complete.
    Complete,
    /// There is as much as was wanted.
    Enough,
    /// The deadline came first.
    Late,
    /// The peer left in the middle.
    Left,
    /// The framing is invalid.
    Invalid,
}

/// Copies the start of a body to `out` and leaves everything with the socket. `idle` is called once, before the first
/// wait for more.
async fn collect(
    socket: &Socket,
    timer: &mut Alarm,
    wanted: &Wanted,
    out: &mut Vec<u8>,
    idle: impl FnOnce(),
) -> Collected {
    let mut rest = match wanted.framing {
        BodyLen::Length(n) => Rest::Length(n),
        BodyLen::Chunked => Rest::Chunked(ChunkDecoder::new()),
        BodyLen::UntilClose => Rest::UntilClose,
        BodyLen::None | BodyLen::Tunnel => Rest::Length(0),
    };
    out.clear();
    let mut kept: VecDeque<RecvBuf> = VecDeque::new();
    let mut idle = Some(idle);
    let mut state = if rest.is_done() { Collected::Complete } else { Collected::Enough };
    while state == Collected::Enough && out.len() < wanted.enough {
        if socket.recv_queued() == 0
            && let Some(idle) = idle.take()
        {
            idle();
        }
        let buf = match until(timer, wanted.deadline, |cx| socket.poll_recv(cx)).await {
            None => {
                state = Collected::Late;
                break;
            }
            Some(Ok(buf)) if !buf.is_empty() => buf,
            Some(end) => {
                let whole = end.is_ok() && matches!(rest, Rest::UntilClose);
                state = if whole { Collected::Complete } else { Collected::Left };
                break;
            }
        };
        state = match rest.collect(&buf, out) {
            Some(true) => Collected::Complete,
            Some(false) => Collected::Enough,
            None => Collected::Invalid,
        };
        // A body that comes byte by byte must not hold a whole buffer for each.
        let joined = buf.len() <= JOINED_BYTES && kept.back_mut().is_some_and(|last| last.try_append(&buf));
        if !joined {
            kept.push_back(buf);
        }
    }
    while let Some(buf) = kept.pop_back() {
        socket.unrecv(buf);
    }
    out.truncate(wanted.room);
    state
}

/// The client waits for a 100 before it sends the body: it is we who want the body now.
fn invite(client: &Socket, request: &mut RequestHead) {
    if request.expects_continue() && request.version() >= Version::HTTP_11 {
        client.send(&b"HTTP/1.1 100 Continue\r\n\r\n"[..]);
        request.fields.remove_id(FieldId::Expect);
    }
}

/// The log names the backend that the request would have gone to.
fn client_left(view: &View, st: &mut Stream<'_>) -> Next {
    if st.x.in_backend.is_none()
        && let Some(id) = switch::choose_backend(view, st)
    {
        st.enter_backend(view, id);
    }
    st.note(Cause::Client, Phase::Request);
    st.x.keep_client = false;
    st.x.body_taken = true;
    answers::error(view, st, 400)
}

fn invalid(view: &View, st: &mut Stream<'_>) -> Next {
    st.note(Cause::Proxy, Phase::Request);
    st.x.keep_client = false;
    st.x.body_taken = true;
    answers::error(view, st, 400)
}

enum Rest {
    Length(u64),
    Chunked(ChunkDecoder),
    UntilClose,
}

impl Rest {
    fn is_done(&self) -> bool {
        matches!(self, Rest::Length(0))
    }

    /// Appends the data in `bytes` to `out`. True when the body is complete, `None` when it is invalid.
    fn collect(&mut self, bytes: &RecvBuf, out: &mut Vec<u8>) -> Option<bool> {
        match self {
            Rest::Length(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                out.extend_from_slice(&bytes[..n]);
                *left -= n as u64;
                Some(*left == 0)
            }
            Rest::UntilClose => {
                out.extend_from_slice(bytes);
                Some(false)
            }
            Rest::Chunked(decoder) => {
                let mut at = 0;
                while at < bytes.len() {
                    match decoder.decode(&bytes[at..]).ok()? {
                        ChunkStep::More { consumed } => at += consumed,
                        ChunkStep::Data { data, consumed } => {
                            out.extend_from_slice(&bytes[at + data.start..at + data.end]);
                            at += consumed;
                        }
                        ChunkStep::End { .. } => return Some(true),
                    }
                }
                Some(false)
            }
        }
    }
}
