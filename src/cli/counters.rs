//! `clear counters`.

use std::sync::Arc;

use super::Context;
use super::commands::{Call, Next, find_server};
use super::gather::gather;
use crate::proxy::live::ThreadCounters;
use crate::proxy::{Live, Proxy, Server};
use crate::runtime;

/// Do something with the counters of every thread, on that thread: nobody else may write them. The answer ends when all
/// have done it.
fn on_each_thread(cx: &Arc<Context>, act: impl Fn(&ThreadCounters) + Send + Clone + 'static) -> Next {
    let cx = cx.clone();
    Next::Job(Box::new(move |_| {
        Box::pin(async move {
            let live = cx.live.clone();
            act(&live.past);
            gather(&cx.threads, move || act(live.thread(runtime::thread_index()))).await;
            (cx.on_change)();
            Ok(())
        })
    }))
}

/// `clear counters`: forget the maxima.
pub fn clear(call: &mut Call<'_>) -> Next {
    if let Some(word) = call.args.first() {
        call.out.push_str(&format!("'clear counters' does not know '{word}': all, server\n"));
        return Next::Continue;
    }
    call.cx.snapshot.proxies.iter().for_each(|px| reset_maxima(&call.cx.live, px));
    Next::Continue
}

fn reset_maxima(live: &Live, px: &Proxy) {
    let (fe, be) = (live.frontend(px.id), live.backend(px.id));
    fe.sessions.reset_max();
    be.sessions.reset_max();
    be.queued.reset_max();
    for rate in [&fe.connection_rate, &fe.session_rate, &fe.request_rate, &be.session_rate, &be.request_rate]
    {
        rate.reset_max();
    }
    px.backend.iter().flat_map(|b| &b.servers).for_each(|srv| reset_server_maxima(live, srv));
}

fn reset_server_maxima(live: &Live, srv: &Server) {
    let state = live.server(srv.id);
    state.sessions.reset_max();
    state.queued.reset_max();
    state.session_rate.reset_max();
}

/// `clear counters all`.
pub fn clear_all(call: &mut Call<'_>) -> Next {
    call.cx.snapshot.proxies.iter().for_each(|px| reset_maxima(&call.cx.live, px));
    on_each_thread(call.cx, |counters| {
        counters.servers.iter().for_each(|c| c.clear());
        counters.backends.iter().for_each(|c| c.clear());
        counters.frontends.iter().for_each(|c| c.clear());
        counters.listeners.iter().for_each(|c| c.clear());
    })
}

/// `clear counters server`.
pub fn clear_server(call: &mut Call<'_>) -> Next {
    let cx = call.cx;
    if let Some((_, srv)) = find_server(call, cx) {
        let id = srv.id;
        reset_server_maxima(&cx.live, srv);
        call.out.push_str("Server counters cleared.\n");
        return on_each_thread(cx, move |counters| counters.servers[id.index()].clear());
    }
    Next::Continue
}
