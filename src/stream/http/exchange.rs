//! One request and its response.

use crate::base::time::Mono;
use crate::net::RecvBuf;
use crate::runtime::{now, wall};

use super::super::logging;
use super::super::state::{Session, Stream};
use super::super::tcp;
use super::super::termination::{Cause, Phase};
use super::super::worker::View;
use super::keepalive::Silence;
use super::{Next, answers, request, talk};

/// Serves the request that begins with `first`, received at `at`, logs it, and says what becomes of the connection.
pub(in crate::stream) async fn run(s: &mut Session, first: RecvBuf, at: Mono) -> Next {
    let view = s.view.clone();
    let mut st = Stream::begin(s);
    st.x.times.first_byte = Some(at);
    let next = drive(&view, &mut st, first).await;
    if matches!(next, Next::Leave(_)) {
        // It begins anew in another process.
        st.end();
        s.exchanges -= 1;
        return next;
    }
    if next == Next::Moved {
        tcp::moved(st);
        return next;
    }
    logging::finish(&view, &mut st);
    st.end();
    s.start = now();
    s.start_wall = wall();
    next
}

async fn drive(view: &View, st: &mut Stream<'_>, first: RecvBuf) -> Next {
    if let Err(next) = request::read_head(view, st, first).await {
        return next;
    }
    process(view, st).await
}

/// Everything that follows a complete request head.
pub(in crate::stream) async fn process(view: &View, st: &mut Stream<'_>) -> Next {
    request::begin(view, st);
    if let Some(next) = request::frontend(view, st).await {
        return next;
    }
    if let Some(next) = request::backend(view, st).await {
        return next;
    }
    talk::talk(view, st).await
}

/// The first request of a connection never came.
pub(in crate::stream) async fn silent(s: &mut Session, why: Silence) -> Next {
    let view = s.view.clone();
    let mut st = Stream::begin(s);
    let next = no_request(&view, &mut st, why);
    logging::finish(&view, &mut st);
    st.end();
    next
}

/// The client closed, broke off or fell silent before its request was complete.
pub(in crate::stream) fn no_request(view: &View, st: &mut Stream<'_>, why: Silence) -> Next {
    let nothing_came = st.x.bytes_in == 0;
    if nothing_came && st.fe(view).http.ignore_probes {
        st.x.logged = true;
        return Next::Close;
    }
    view.counters().frontends[st.s.frontend.index()].req_errors.inc();
    view.counters().listeners[st.s.listener.index()].req_errors.inc();
    st.count_http_request();
    if why != Silence::TimedOut {
        st.count_http_error();
    }
    let (cause, status) = match why {
        Silence::TimedOut => (Cause::ClientTimeout, 408),
        Silence::Closed | Silence::Broken | Silence::Leaving => (Cause::Client, 400),
    };
    st.note(cause, Phase::Request);
    if why == Silence::Broken {
        st.x.status = Some(status);
        return Next::Close;
    }
    answers::error(view, st, status)
}
