//! What a worker thread holds for its streams.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::limits;
use crate::config::Section;
use crate::http1::Limits;
use crate::log::{self, ProxyLog};
use crate::proxy::balance::Balancer;
use crate::proxy::queue::Queues;
use crate::proxy::{Live, Snapshot};
use crate::rules::ProxyRules;

/// Process-wide settings that streams read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bounds of a message head.
    pub head_limits: Limits,
    /// `tune.http.logurilen`: bytes of the request line in a log line.
    pub log_uri_len: usize,
    /// `tune.bufsize`: bytes of a body that rules may look at.
    pub bufsize: usize,
    /// Global `maxconn`; 0: no limit.
    pub maxconn: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            head_limits: Limits::default(),
            log_uri_len: limits::DEFAULT_LOG_URI_LEN,
            bufsize: limits::DEFAULT_BUFSIZE,
            maxconn: 0,
        }
    }
}

/// What the streams of all threads share for one configuration.
pub struct Shared {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// Live state and counters.
    pub live: Arc<Live>,
    /// Who waits for a server.
    pub queues: Arc<Queues>,
    /// Process-wide settings.
    pub settings: Settings,
    /// What each proxy's streams need, by `ProxyId`.
    pub plans: Vec<Plan>,
}

/// What the streams of one proxy need beyond [`crate::proxy::Proxy`]: looked up once, when it is loaded.
pub struct Plan {
    /// Logging.
    pub log: ProxyLog,
    /// Rules.
    pub rules: ProxyRules,
}

impl Shared {
    /// Prepares a configuration. `global` is its `global` section.
    pub fn new(
        snapshot: Arc<Snapshot>,
        live: Arc<Live>,
        queues: Arc<Queues>,
        settings: Settings,
        global: &Section,
    ) -> Arc<Shared> {
        let plans = snapshot
            .proxies
            .iter()
            .map(|px| Plan {
                log: log::resolve(&px.section, global),
                rules: px.section.get::<ProxyRules>().cloned().unwrap_or_default(),
            })
            .collect();
        Arc::new(Shared { snapshot, live, queues, settings, plans })
    }
}

/// One thread's view of a configuration.
pub struct View {
    /// The configuration and everything live.
    pub shared: Arc<Shared>,
    /// Balancing tables of this thread.
    pub balancer: RefCell<Balancer>,
}

/// What a thread's streams share.
pub struct Worker {
    index: usize,
    view: RefCell<Rc<View>>,
}

impl Worker {
    /// A worker for thread `index` (of those that `Live` has counters for).
    pub fn new(index: usize, shared: Arc<Shared>) -> Rc<Worker> {
        Rc::new(Worker { index, view: RefCell::new(View::new(shared)) })
    }

    /// The thread's index: where its counters are.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The current configuration.
    pub fn view(&self) -> Rc<View> {
        self.view.borrow().clone()
    }

    /// New connections use this configuration from now on; running ones keep theirs.
    pub fn swap(&self, shared: Arc<Shared>) {
        *self.view.borrow_mut() = View::new(shared);
    }
}

impl View {
    fn new(shared: Arc<Shared>) -> Rc<View> {
        Rc::new(View { shared, balancer: RefCell::new(Balancer::new()) })
    }
}
