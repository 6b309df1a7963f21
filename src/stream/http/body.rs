//! Buffering the start of a request body, for rules, `balance url_param ... check_post` and
//! `option http-buffer-request`.

use std::collections::VecDeque;

use crate::base::time::Mono;
use crate::http::{BodyLen, FieldId, Version};
use crate::http1::{ChunkDecoder, ChunkStep};
use crate::net::RecvBuf;

use super::super::state::{Stream, after};
use super::super::switch;
use super::super::termination::{Cause, Phase};
use super::super::wait::until;
use super::super::worker::View;
use super::{Next, answers};

/// Waits for the whole body or a full buffer, as long as `timeout http-request` allows.
pub(in crate::stream) async fn buffer_all(view: &View, st: &mut Stream<'_>) -> Option<Next> {
    let limit = st.fe(view).timeouts.http_request;
    let deadline = match limit {
        Some(d) => st.x.times.first_byte.unwrap_or(st.x.times.accept) + d,
        None => after(st.client_timeout(view)),
    };
    let done = buffer(view, st, deadline, 0).await;
    if done.is_none() && !st.x.payload_complete && st.x.payload.len() < view.shared.settings.bufsize {
        // As the reference: the whole request counts as not received.
        st.x.times.request = None;
        st.note(Cause::ClientTimeout, Phase::Request);
        st.x.keep_client = false;
        return Some(answers::error(view, st, 408));
    }
    done
}

/// Collects the body's data in `st.x.payload` until it is complete, holds `at_least` bytes (0: a full
/// buffer), or `deadline` comes. The received bytes go back to the socket: the relay forwards them later.
/// Some: the client left, or its framing is invalid.
pub(in crate::stream) async fn buffer(
    view: &View,
    st: &mut Stream<'_>,
    deadline: Mono,
    at_least: u64,
) -> Option<Next> {
    let mut rest = match st.x.request.framing() {
        BodyLen::Length(n) => Rest::Length(n),
        BodyLen::Chunked => Rest::Chunked(ChunkDecoder::new()),
        _ => Rest::Length(0),
    };
    st.x.payload.clear();
    st.x.payload_complete = rest.is_done();
    let room = view.shared.settings.bufsize;
    let enough = if at_least == 0 { room } else { room.min(usize::try_from(at_least).unwrap_or(room)) };
    let mut kept = VecDeque::new();
    let mut ended = None;
    let mut invited = false;
    while !st.x.payload_complete && st.x.payload.len() < enough {
        if !invited && st.s.client.recv_queued() == 0 {
            invited = true;
            invite(st);
        }
        let client = &st.s.client;
        let buf = match until(&mut st.s.timer, deadline, |cx| client.poll_recv(cx)).await {
            None => break,
            Some(Ok(buf)) if !buf.is_empty() => buf,
            Some(_) => {
                ended = Some(client_left(view, st));
                break;
            }
        };
        let valid = rest.collect(&buf, &mut st.x.payload);
        kept.push_back(buf);
        match valid {
            Some(done) => st.x.payload_complete = done,
            None => {
                ended = Some(invalid(view, st));
                break;
            }
        }
    }
    while let Some(buf) = kept.pop_back() {
        st.s.client.unrecv(buf);
    }
    st.x.payload.truncate(room);
    ended
}

/// The client waits for a 100 before it sends the body: it is we who want the body now.
fn invite(st: &mut Stream<'_>) {
    if st.x.request.expects_continue() && st.x.request.version() >= Version::HTTP_11 {
        st.s.client.send(&b"HTTP/1.1 100 Continue\r\n\r\n"[..]);
        st.x.request.fields.remove_id(FieldId::Expect);
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
