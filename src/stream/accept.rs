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
        if !has_room(&worker.view(), id) {
            listener.pause();
            while !has_room(&worker.view(), id) {
                runtime::timeout_at(now() + LOOK_AGAIN, worker.room.notified()).await;
            }
            listener.resume();
        }
        let (socket, peer) = listener.accept().await?;
        runtime::spawn(serve_client(worker.clone(), id, socket, peer));
    }
}

/// Whether one more connection of the listener may come in.
pub fn has_room(view: &View, id: ListenerId) -> bool {
    let shared = &view.shared;
    let live = &shared.live;
    let conf = shared.snapshot.listener(id);
    let below = |current: u32, limit: u32| limit == 0 || current < limit;
    let maxconn_of_process = u32::try_from(shared.settings.maxconn).unwrap_or(u32::MAX);
    let front = shared.snapshot.proxy(conf.proxy).frontend();
    let state = live.frontend(conf.proxy);
    let maxconn = match state.maxconn.load(Relaxed) {
        0 => front.maxconn,
        changed => changed,
    };
    let in_time = front.rate_limit.is_none_or(|limit| {
        let total = live.frontend_totals(conf.proxy).sessions;
        state.session_rate.get(total, now().0) < limit
    });
    in_time
        && process_rates_allow(view)
        && below(live.process.connections.get(), maxconn_of_process)
        && below(state.sessions.get(), maxconn)
        && below(live.listener(id).sessions.get(), conf.maxconn.unwrap_or(0))
}

/// `maxconnrate` and `maxsessrate`.
fn process_rates_allow(view: &View) -> bool {
    let (settings, live) = (&view.shared.settings, &view.shared.live);
    if settings.max_conn_rate.is_none() && settings.max_sess_rate.is_none() {
        return true;
    }
    let (totals, state, now_ns) = (live.process_totals(), &live.process, now().0);
    let below = |rate: u32, limit: Option<u32>| limit.is_none_or(|limit| rate < limit);
    below(state.connection_rate.get(totals.connections, now_ns), settings.max_conn_rate)
        && below(state.session_rate.get(totals.sessions, now_ns), settings.max_sess_rate)
}
