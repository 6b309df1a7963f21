//! Answers that the proxy gives itself: error pages, redirects, `http-request return`, the monitor.

use crate::http::{BodyLen, Method, ResponseHead, Version, token};
use crate::http1::connection::{Persistence, rewrite_response};
use crate::http1::pages::{self, StoredResponse};
use crate::http1::write_response;
use crate::proxy::ErrorPage;
use crate::rules::{Answer, AnswerBody, MessageCx, Redirect};
use crate::runtime;
use crate::sample::Scratch;

use super::super::relay::Body;
use super::super::state::Stream;
use super::super::termination::{Cause, Phase};
use super::super::worker::View;
use super::Next;

/// Answers with the page of the backend, of the frontend, or the built-in one.
pub(in crate::stream) fn error(view: &View, st: &mut Stream<'_>, status: u16) -> Next {
    let (be, fe) = (&view.plan(st.x.backend).rules, &view.plan(st.s.frontend).rules);
    let own = be.error_answer(status).or_else(|| fe.error_answer(status));
    if let Some(a) = own.filter(|a| !matches!(a.body, AnswerBody::ErrorPage)) {
        st.x.keep_client &= !pages::closes(status);
        let next = answer(view, st, a);
        st.x.status = Some(status);
        return next;
    }
    page(view, st, status)
}

/// The error page: `errorfile` and its kin, or the built-in one.
fn page(view: &View, st: &mut Stream<'_>, status: u16) -> Next {
    let configured = st.be(view).errors.get(status).or_else(|| st.fe(view).errors.get(status));
    let next = match configured.map(|p| &**p) {
        Some(ErrorPage::Raw(bytes)) if bytes.is_empty() => Next::Close,
        Some(ErrorPage::Raw(bytes)) => {
            match StoredResponse::from_file(bytes, usize::MAX, 0) {
                Ok(page) => stored(view, st, &page),
                // Checked when it was loaded; sent as it is if it is no response all the same.
                Err(_) => raw(st, bytes),
            }
        }
        Some(ErrorPage::Location { status: code, url }) => {
            st.x.response = ResponseHead::build(*code, Version::HTTP_11);
            st.x.response.fields.add(b"Cache-Control", b"no-cache");
            st.x.response.fields.add(b"Content-Length", b"0");
            st.x.response.fields.add(b"Location", url);
            send(view, st, b"")
        }
        None => {
            st.x.keep_client &= !pages::closes(status);
            stored(view, st, pages::stored(status))
        }
    };
    // The log shows what happened, whatever the page says.
    st.x.status = Some(status);
    next
}

fn stored(view: &View, st: &mut Stream<'_>, page: &StoredResponse) -> Next {
    page.fill(&mut st.x.response);
    send(view, st, page.body())
}

fn raw(st: &mut Stream<'_>, bytes: &[u8]) -> Next {
    st.x.bytes_out += bytes.len() as u64;
    st.s.client.send(bytes.to_vec());
    Next::Linger
}

/// Sends the head in `st.x.response` and `body`.
fn send(view: &View, st: &mut Stream<'_>, body: &[u8]) -> Next {
    st.x.has_response = true;
    let drained = discard_body(st);
    st.x.keep_client &= drained;
    if st.x.has_request {
        // Who sent no request gets an answer to none: the reference's parser gives it.
        after_response_rules(view, st);
    }
    let x = &mut st.x;
    let persistence = if x.keep_client { Persistence::KeepAlive } else { Persistence::Close };
    let version = if x.has_request { x.request.version() } else { Version::HTTP_11 };
    rewrite_response(&mut x.response, version, persistence);
    let mut out = runtime::take_vec();
    write_response(&x.response, &mut out);
    if !(x.has_request && x.request.method() == Method::Head) {
        out.extend_from_slice(body);
    }
    x.status = Some(x.response.status());
    x.bytes_out += out.len() as u64;
    st.s.client.send(out);
    if st.x.keep_client { Next::KeepAlive } else { Next::Linger }
}

/// `http-after-response`, on every response that a client gets.
pub(in crate::stream) fn after_response_rules(view: &View, st: &mut Stream<'_>) {
    let (fe, be) = (st.s.frontend, st.x.backend);
    for id in [Some(be), (fe != be).then_some(fe)].into_iter().flatten() {
        let rules = &view.plan(id).rules.http_after_response;
        st.x.ruling = id;
        if !rules.is_empty() {
            // Only changes of the message are possible here; there is nothing left to decide.
            let _ = rules.run(&mut 0, st);
        }
    }
}

/// Throws away the request body as far as it was received. True when that is all of it: then the connection
/// can carry another request.
pub(in crate::stream) fn discard_body(st: &mut Stream<'_>) -> bool {
    if !st.x.has_request {
        return false;
    }
    if st.x.body_taken {
        return st.x.body_done;
    }
    st.x.body_taken = true;
    let mut body = Body::new(st.x.request.framing(), false);
    if let BodyLen::Tunnel | BodyLen::UntilClose = st.x.request.framing() {
        return false;
    }
    while !body.is_complete() {
        let Some(Ok(mut buf)) = st.s.client.try_recv() else { return false };
        if buf.is_empty() {
            st.s.client.unrecv(buf);
            return false;
        }
        let Some(taken) = body.take(&buf) else { return false };
        st.x.bytes_in += taken.len as u64;
        buf.advance(taken.len);
        if !buf.is_empty() {
            st.s.client.unrecv(buf);
        }
        if taken.done {
            break;
        }
    }
    st.x.body_done = true;
    true
}

/// `http-request deny`, `return` and their kin.
pub(in crate::stream) fn answer(view: &View, st: &mut Stream<'_>, a: &Answer) -> Next {
    let content_type = a.content_type.as_deref();
    match &a.body {
        AnswerBody::ErrorPage => error(view, st, a.status),
        AnswerBody::Stored(page) => stored(view, st, page),
        AnswerBody::Section(section) => match section.page() {
            Some([]) => silence(st, a.status),
            Some(bytes) => match StoredResponse::from_file(bytes, usize::MAX, 0) {
                Ok(answer) => stored(view, st, &answer),
                Err(_) => page(view, st, a.status),
            },
            None => page(view, st, a.status),
        },
        AnswerBody::Silence => silence(st, a.status),
        AnswerBody::Empty => built(view, st, a, None, b""),
        AnswerBody::Bytes(bytes) => built(view, st, a, content_type, bytes),
        AnswerBody::Format(format) => {
            let mut body = Scratch::new();
            st.render(format, body.vec());
            built(view, st, a, content_type, &body)
        }
    }
}

/// Closes without a word.
fn silence(st: &mut Stream<'_>, status: u16) -> Next {
    st.x.status = Some(status);
    Next::Close
}

fn built(view: &View, st: &mut Stream<'_>, a: &Answer, content_type: Option<&[u8]>, body: &[u8]) -> Next {
    let mut n = Vec::new();
    token::push_u64(&mut n, body.len() as u64);
    let mut head = ResponseHead::build(a.status, Version::HTTP_11);
    head.fields.add(b"Content-Length", &n);
    if let Some(t) = content_type.filter(|_| !body.is_empty()) {
        head.fields.add(b"Content-Type", t);
    }
    for (name, format) in &a.headers {
        let mut value = Scratch::new();
        st.render(format, value.vec());
        value.vec().retain(|c| !matches!(c, b'\r' | b'\n' | 0));
        // A field without a value is left out, as in HAProxy.
        if !value.is_empty() {
            head.fields.add(name, &value);
        }
    }
    st.x.response = head;
    send(view, st, body)
}

/// `redirect`.
pub(in crate::stream) fn redirect(view: &View, st: &mut Stream<'_>, r: &Redirect<'_>) -> Next {
    st.note(Cause::Local, Phase::Request);
    st.x.response = ResponseHead::build(r.status, Version::HTTP_11);
    let fields = &mut st.x.response.fields;
    fields.add(b"Content-Length", b"0");
    fields.add(b"Location", &r.location);
    if let Some(cookie) = r.set_cookie {
        fields.add(b"Set-Cookie", cookie);
    }
    if matches!(r.status, 302 | 303 | 307) {
        fields.add(b"Cache-Control", b"no-cache");
    }
    send(view, st, b"")
}

/// `server ... redir`: the client is sent to the server itself.
pub(in crate::stream) fn server_redirect(view: &View, st: &mut Stream<'_>, prefix: &[u8]) -> Next {
    st.note(Cause::Local, Phase::Request);
    let mut location = prefix.to_vec();
    location.extend_from_slice(st.x.request.uri().path_and_query().unwrap_or(b"/"));
    st.x.response = ResponseHead::build(302, Version::HTTP_11);
    let fields = &mut st.x.response.fields;
    fields.add(b"Cache-Control", b"no-cache");
    fields.add(b"Content-Length", b"0");
    fields.add(b"Location", &location);
    send(view, st, b"")
}

/// `auth`: ask for credentials.
pub(in crate::stream) fn ask_credentials(view: &View, st: &mut Stream<'_>, realm: &[u8]) -> Next {
    st.note(Cause::Local, Phase::Request);
    let proxy = st.x.request.uri().authority.is_some();
    let (status, name): (u16, &[u8]) =
        if proxy { (407, b"Proxy-Authenticate") } else { (401, b"WWW-Authenticate") };
    let mut value = b"Basic realm=\"".to_vec();
    value.extend_from_slice(realm);
    value.push(b'"');
    let page = pages::stored(status);
    page.fill(&mut st.x.response);
    st.x.response.fields.set(name, &value);
    send(view, st, page.body())
}

/// `monitor-uri`: never logged, never passed on.
pub(in crate::stream) fn monitor(view: &View, st: &mut Stream<'_>, fail: bool) -> Next {
    st.x.logged = true;
    st.note(Cause::Local, Phase::Request);
    view.counters().frontends[st.s.frontend.index()].intercepted.inc();
    error(view, st, if fail { 503 } else { 200 })
}
