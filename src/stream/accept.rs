//! Accepting connections as long as the limits of process, frontend and listener allow.

use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::net::Listener;
use crate::proxy::ListenerId;
use crate::runtime::{self, now};

use super::serve_client;
use super::worker::{View, Worker};

/// How long a full thread waits for another thread's connections to end before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Accepts and serves the clients of one listener until the listener fails. What arrives while a limit is
/// reached waits in the kernel's queue.
pub async fn accept(worker: Rc<Worker>, id: ListenerId, listener: Listener) -> io::Result<()> {
    loop {
        if room(&worker.view(), id) == 0 {
            listener.pause();
            while room(&worker.view(), id) == 0 {
                runtime::timeout_at(now() + LOOK_AGAIN, worker.room.notified()).await;
            }
            listener.set_room(room(&worker.view(), id));
            listener.resume();
        }
        listener.set_room(room(&worker.view(), id));
        let (socket, peer) = listener.accept().await?;
        runtime::spawn(serve_client(worker.clone(), id, socket, peer));
    }
}

/// How many more connections of the listener may come in.
pub fn room(view: &View, id: ListenerId) -> u32 {
    let shared = &view.shared;
    let live = &shared.live;
    let conf = shared.snapshot.listener(id);
    let below = |current: u32, limit: u32| if limit == 0 { u32::MAX } else { limit.saturating_sub(current) };
    let maxconn_of_process =
        live.process.maxconn.get(u32::try_from(shared.settings.maxconn).unwrap_or(u32::MAX));
    let front = shared.snapshot.proxy(conf.proxy).frontend();
    let state = live.frontend(conf.proxy);
    let maxconn = match state.maxconn.load(Relaxed) {
        0 => front.maxconn,
        changed => changed,
    };
    let in_time = front.rate_limit.map_or(u32::MAX, |limit| {
        let total = live.frontend_totals(conf.proxy).sessions;
        limit.saturating_sub(state.session_rate.get(total, now().0))
    });
    in_time
        .min(process_rates_allow(view))
        .min(below(live.process.connections.get(), maxconn_of_process))
        .min(below(state.sessions.get(), maxconn))
        .min(below(live.listener(id).sessions.get(), conf.maxconn.unwrap_or(0)))
}

/// `maxconnrate` and `maxsessrate`, as configured or as changed since.
fn process_rates_allow(view: &View) -> u32 {
    let (settings, live) = (&view.shared.settings, &view.shared.live);
    let state = &live.process;
    let connections = state.max_connection_rate.get(settings.max_conn_rate.unwrap_or(0));
    let sessions = state.max_session_rate.get(settings.max_sess_rate.unwrap_or(0));
    if connections == 0 && sessions == 0 {
        return u32::MAX;
    }
    let (totals, now_ns) = (live.process_totals(), now().0);
    let left = |rate: u32, limit: u32| if limit == 0 { u32::MAX } else { limit.saturating_sub(rate) };
    left(state.connection_rate.get(totals.connections, now_ns), connections)
        .min(left(state.session_rate.get(totals.sessions, now_ns), sessions))
}
