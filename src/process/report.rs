//! What is said about servers: in the backend's log, and on standard error as long as somebody may read it.

use std::sync::Arc;

use super::messages;
use crate::config::Severity;
use crate::log::{self, Level, ProxyLog};
use crate::proxy::check::{Change, Report};
use crate::proxy::{Proxy, ServerId};
use crate::runtime::{self, ThreadHandle};
use crate::stream::Shared;
use crate::stream::termination::Cause;

/// See [`Report`].
pub struct ProcessReport {
    shared: Arc<Shared>,
    threads: Vec<ThreadHandle>,
}

impl ProcessReport {
    /// Reports with the logs of this configuration.
    pub fn new(shared: Arc<Shared>, threads: Vec<ThreadHandle>) -> ProcessReport {
        ProcessReport { shared, threads }
    }

    fn log(&self, px: &Proxy) -> &ProxyLog {
        &self.shared.plans[px.id.index()].log
    }
}

impl Report for ProcessReport {
    fn say(&self, px: &Proxy, level: Level, text: &str, terminal: Option<&str>) {
        let severity = if level == Level::Emerg { Severity::Alert } else { Severity::Warning };
        messages::say(severity, terminal.unwrap_or(text));
        log::emit_system(self.log(px), level, text, runtime::wall());
    }

    fn shut_sessions(&self, server: ServerId, change: Change) {
        let cause = if change == Change::Up { Cause::Up } else { Cause::Down };
        for thread in &self.threads {
            thread.post(Box::new(move || super::worker::shut_sessions(server, cause)));
        }
    }

    fn limits_changed(&self) {
        for thread in &self.threads {
            thread.post(Box::new(super::worker::look_again));
        }
    }

    fn logs_results(&self, px: &Proxy) -> bool {
        self.log(px).log_health_checks
    }
}
