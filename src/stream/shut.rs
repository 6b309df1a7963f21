//! Ending the sessions of a server: `on-marked-down shutdown-sessions`, `on-marked-up shutdown-backup-sessions`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::proxy::{Proxy, Server, ServerId};
use crate::runtime::{Notified, Notify};

use super::termination::Cause;

/// What a thread knows about ended servers.
#[derive(Default)]
pub(super) struct Shuts {
    /// How often each server's sessions were ended, and why the last time.
    times: RefCell<HashMap<ServerId, (u32, Cause)>>,
    news: Notify,
}

impl Shuts {
    /// End this thread's sessions on a server.
    pub fn shut(&self, server: ServerId, cause: Cause) {
        let mut times = self.times.borrow_mut();
        let entry = times.entry(server).or_insert((0, cause));
        *entry = (entry.0.wrapping_add(1), cause);
        drop(times);
        self.news.notify_all();
    }

    fn of(&self, server: ServerId) -> (u32, Cause) {
        self.times.borrow().get(&server).copied().unwrap_or((0, Cause::Normal))
    }

    /// Watch over a session on `srv`, if anything may end it.
    pub fn watch(&self, be: &Proxy, srv: Option<&Server>) -> Option<ShutWatch<'_>> {
        let srv = srv?;
        let by_active = || be.backend().servers.iter().any(|s| s.check.shutdown_backup_on_up == Some(true));
        let wanted = srv.check.shutdown_on_down == Some(true) || (srv.backup && by_active());
        wanted.then(|| ShutWatch {
            shuts: self,
            server: srv.id,
            seen: self.of(srv.id).0,
            news: self.news.notified(),
        })
    }
}

/// Watches over one session.
pub(super) struct ShutWatch<'a> {
    shuts: &'a Shuts,
    server: ServerId,
    seen: u32,
    news: Notified<'a>,
}

impl ShutWatch<'_> {
    /// Why the session must end, if it must.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Option<Cause> {
        loop {
            let (times, cause) = self.shuts.of(self.server);
            if times != self.seen {
                return Some(cause);
            }
            match Pin::new(&mut self.news).poll(cx) {
                Poll::Ready(()) => self.news = self.shuts.news.notified(),
                Poll::Pending => return None,
            }
        }
    }
}
