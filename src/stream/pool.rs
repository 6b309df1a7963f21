//! Idle server connections of one thread: a LIFO stack per server, so that few connections stay hot and
//! the others can be closed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::base::time::Mono;
use crate::net::Socket;
use crate::proxy::{Live, Server, ServerId, Snapshot};
use crate::runtime;

use super::worker::View;

/// How often a thread looks for connections that servers closed or nobody needs, or oftener when a server's
/// `pool-purge-delay` is shorter...
const SWEEP: Duration = Duration::from_secs(1);
/// ... but not oftener than this.
const SWEEP_MIN: Duration = Duration::from_millis(10);

/// A connection to a server.
pub(super) struct ServerConn {
    pub socket: Socket,
    pub server: ServerId,
    /// The version of the server's address that it leads to.
    pub version: u32,
    /// Requests it has carried.
    pub uses: u32,
    /// It came from the pool for the current request.
    pub reused: bool,
    /// It belongs to one client (authentication on the connection, a client's source address).
    pub private: bool,
    /// The header of the PROXY protocol that it began with: it serves requests of just that client.
    pub header: Option<Box<[u8]>>,
}

impl ServerConn {
    /// False when the server has got another address since.
    pub fn is_current(&self, live: &Live) -> bool {
        live.server(self.server).address.version() == self.version
    }
}

#[derive(Default)]
struct Stack {
    /// The most recently used one is at the back.
    idle: VecDeque<ServerConn>,
    /// The fewest that lay idle since the last purge: so many were not needed.
    spare: usize,
    next_purge: Mono,
}

/// The idle connections of one thread to all servers of a configuration.
pub(super) struct Pools {
    stacks: RefCell<Vec<Stack>>,
    sweeping: Cell<bool>,
}

impl Pools {
    /// Empty pools for so many servers.
    pub fn new(servers: usize) -> Pools {
        Pools {
            stacks: RefCell::new(std::iter::repeat_with(Stack::default).take(servers).collect()),
            sweeping: Cell::new(false),
        }
    }

    /// The most recently used idle connection that still works and began with that header; `proven`: only one that
    /// was reused before.
    pub fn take(
        &self,
        live: &Live,
        server: ServerId,
        proven: bool,
        header: Option<&[u8]>,
    ) -> Option<ServerConn> {
        let mut stacks = self.stacks.borrow_mut();
        let stack = &mut stacks[server.index()];
        loop {
            let fits = |c: &ServerConn| (!proven || c.uses > 1) && c.header.as_deref() == header;
            let at = stack.idle.iter().rposition(fits)?;
            let mut conn = stack.idle.remove(at)?;
            live.server(server).idle.dec();
            stack.spare = stack.spare.min(stack.idle.len());
            if conn.is_current(live) && conn.socket.is_idle_alive() {
                conn.reused = true;
                return Some(conn);
            }
        }
    }

    /// Keeps a connection for later, unless the server's limits say no.
    pub fn put(&self, view: &Rc<View>, srv: &Server, mut conn: ServerConn) {
        let idle = &view.shared.live.server(conn.server).idle;
        let spent = srv.max_reuse.is_some_and(|max| conn.uses > max);
        let dead = !conn.is_current(&view.shared.live) || !conn.socket.is_idle_alive();
        if spent || srv.pool_purge_delay.is_zero() || dead {
            return;
        }
        match srv.pool_max_conn {
            Some(0) => return,
            Some(max) if !idle.inc_below(max) => return,
            Some(_) => {}
            None => {
                idle.inc();
            }
        }
        conn.reused = false;
        let mut stacks = self.stacks.borrow_mut();
        let stack = &mut stacks[conn.server.index()];
        if stack.idle.is_empty() {
            stack.spare = 0;
            stack.next_purge = runtime::now() + srv.pool_purge_delay;
        }
        stack.idle.push_back(conn);
        drop(stacks);
        if !self.sweeping.replace(true) {
            runtime::spawn(sweep(Rc::downgrade(view), srv.pool_purge_delay.clamp(SWEEP_MIN, SWEEP)));
        }
    }

    /// Closes what servers have closed and half of what was not needed for a purge delay. Returns when to
    /// look again, if anything is left.
    fn sweep(&self, snapshot: &Snapshot, live: &Live, now: Mono) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        for (i, stack) in self.stacks.borrow_mut().iter_mut().enumerate() {
            if stack.idle.is_empty() {
                continue;
            }
            let id = ServerId(i as u32);
            let gauge = &live.server(id).idle;
            let up = live.server(id).is_up();
            stack.idle.retain(|c| {
                let keep = up && c.is_current(live) && c.socket.is_idle_alive();
                if !keep {
                    gauge.dec();
                }
                keep
            });
            if now >= stack.next_purge {
                for _ in 0..stack.spare.min(stack.idle.len()).div_ceil(2) {
                    stack.idle.pop_front();
                    gauge.dec();
                }
                stack.spare = stack.idle.len();
                stack.next_purge = now + snapshot.server(id).pool_purge_delay;
            }
            stack.spare = stack.spare.min(stack.idle.len());
            if !stack.idle.is_empty() {
                let delay = snapshot.server(id).pool_purge_delay.clamp(SWEEP_MIN, SWEEP);
                next = Some(next.map_or(delay, |n| n.min(delay)));
            }
        }
        next
    }
}

async fn sweep(view: Weak<View>, mut after: Duration) {
    loop {
        runtime::sleep(after).await;
        let Some(view) = view.upgrade() else { return };
        let shared = &view.shared;
        match view.pools.sweep(&shared.snapshot, &shared.live, runtime::now()) {
            Some(next) => after = next,
            None => return view.pools.sweeping.set(false),
        }
    }
}
