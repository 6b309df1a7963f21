//! One client from accept to log line: rules, server choice, connection, exchange, relay, counters, log.
//!
//! ```text
//! Shared   (Arc)  one per configuration: snapshot, live state, queues, what each proxy needs (rules, logs)
//! View     (Rc)   one per thread and configuration: balancer tables, pools of idle server connections
//! Worker   (Rc)   one per thread: the current view, recycled heads and exchanges
//! ```
//! [`serve_client`] is the whole life of a client connection. A connection keeps the view that it began with.

pub mod handover;
pub mod relay;
pub mod termination;

mod accept;
mod connect;
mod ctx;
mod header;
mod http;
mod list;
mod logging;
mod pool;
mod retry;
mod server_keys;
mod shut;
mod state;
mod stick;
mod switch;
mod tcp;
mod track;
mod wait;
mod worker;

pub use accept::{accept, room};
pub use list::{Shown, kill, running};
pub use worker::{Settings, Shared, View, Worker};

use std::future::Future;
use std::rc::Rc;

use crate::net::{SockAddr, Socket};
use crate::proxy::{ListenerId, Mode};
use crate::rules::{RuleSet, Verdict};

use state::{Session, Stream};

/// The whole life of a client connection. It counts as a connection of process, frontend and listener from
/// this call on, until the future is dropped.
pub fn serve_client(
    worker: Rc<Worker>,
    listener: ListenerId,
    socket: Socket,
    peer: SockAddr,
) -> impl Future<Output = ()> + 'static {
    let s = Session::new(worker, listener, socket, &peer);
    serve(s)
}

#[expect(clippy::manual_async_fn, reason = "an async fn keeps its argument twice, and a session is large")]
fn serve(mut s: Session) -> impl Future<Output = ()> + 'static {
    async move {
        if !connection_admitted(&mut s) {
            if s.client.send_pending() > 0 {
                Box::pin(http::keepalive::linger(&mut s)).await;
            }
            return;
        }
        if s.expects_header && !Box::pin(header::take(&mut s)).await {
            return;
        }
        if !session_admitted(&mut s) {
            return;
        }
        match s.view.proxy(s.frontend).mode {
            Mode::Http => http::keepalive::serve(&mut s).await,
            Mode::Tcp => Box::pin(tcp::serve(&mut s)).await,
            Mode::Health => tcp::health(&mut s).await,
        }
        if s.reset {
            s.client.abort();
        }
    }
}

/// `monitor-net` and `tcp-request connection`: before the first byte, never logged. They see the connection's own
/// addresses, and say whether others are to be expected in front of its data.
fn connection_admitted(s: &mut Session) -> bool {
    let view = s.view.clone();
    let fe = view.proxy(s.frontend);
    if let (Some(front), Some(src)) = (&fe.frontend, s.src)
        && front.is_monitor(src.ip())
    {
        if fe.mode == Mode::Http {
            s.client.send(&b"HTTP/1.0 200 OK\r\n\r\n"[..]);
        }
        return false;
    }
    let admitted = pass(s, &view.plan(s.frontend).rules.tcp_connection);
    if !admitted {
        let c = view.counters();
        c.frontends[s.frontend.index()].conn_denied.inc();
        c.listeners[s.listener.index()].conn_denied.inc();
    }
    admitted
}

/// `tcp-request session`: once the client's address is known. Never logged, either.
fn session_admitted(s: &mut Session) -> bool {
    let view = s.view.clone();
    if !pass(s, &view.plan(s.frontend).rules.tcp_session) {
        let c = view.counters();
        c.frontends[s.frontend.index()].sess_denied.inc();
        c.listeners[s.listener.index()].sess_denied.inc();
        return false;
    }
    track::session(s);
    true
}

/// False when the rules refuse the connection.
fn pass(s: &mut Session, rules: &RuleSet) -> bool {
    if rules.is_empty() {
        return true;
    }
    let mut st = Stream::begin(s);
    let verdict = rules.run(&mut 0, &mut st);
    let refused = matches!(verdict, Verdict::Reject | Verdict::SilentDrop | Verdict::Deny(_));
    st.end();
    s.exchanges = 0;
    !refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Mono;
    use crate::net::RecvBuf;

    fn size1<A, F>(_: impl FnOnce(A) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    fn size2<A, B, F>(_: impl FnOnce(A, B) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    #[test]
    fn an_idle_session_is_small() {
        let idle = size1(serve);
        let exchange = size2(|s: &'static mut Session, b: RecvBuf| http::exchange::run(s, b, Mono(0)));
        let tcp = size1(|s: &'static mut Session| tcp::serve(s));
        let state = std::mem::size_of::<state::Exchange>();
        println!("idle {idle} exchange {exchange} tcp {tcp} state {state} session {}", size_of::<Session>());
        assert!(idle <= 1024, "an idle keep-alive connection costs {idle} bytes");
        assert!(exchange <= 4096, "an exchange's future costs {exchange} bytes");
        assert!(tcp <= 4096, "a TCP session's future costs {tcp} bytes");
    }
}
