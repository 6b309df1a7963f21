//! What commands act on.

use std::sync::Arc;
use std::time::Duration;

use super::Level;
use crate::acl::PatternLists;
use crate::base::time::{Mono, Wall};
use crate::config::{Env, Tables};
use crate::net::Channel;
use crate::proxy::check::Watch;
use crate::proxy::global::ProcessLimits;
use crate::proxy::{Captures, Live, Snapshot};
use crate::runtime::ThreadHandle;

/// Everything that commands can reach.
pub struct Context {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// Live state.
    pub live: Arc<Live>,
    /// The stick tables.
    pub stick: Arc<crate::stick::Tables>,
    /// Invalid messages.
    pub captures: Arc<Captures>,
    /// Changes of servers.
    pub watch: Arc<Watch>,
    /// Called after each command that may have changed what a successor has to know.
    pub on_change: Box<dyn Fn() + Send + Sync>,
    /// The worker threads: each one's counters are written by itself only.
    pub threads: Vec<ThreadHandle>,
    /// The pattern lists of ACLs and maps.
    pub lists: Arc<PatternLists>,
    /// Fetches and converters, for expressions in commands.
    pub tables: Arc<Tables>,
    /// What does not change.
    pub facts: ProcessFacts,
    /// `stats timeout`.
    pub timeout: Duration,
    /// `stats maxconn`.
    pub maxconn: usize,
    /// To the control thread: channels to processes that want to take over.
    pub heirs: Option<Channel>,
}

/// What is known about the process when it starts.
pub struct ProcessFacts {
    /// Version number.
    pub version: String,
    /// The version's date.
    pub release_date: &'static str,
    /// Process id.
    pub pid: u32,
    /// Worker threads.
    pub threads: usize,
    /// Connections, pipes, descriptors.
    pub limits: ProcessLimits,
    /// When it started.
    pub started: Mono,
    /// When the first one of the processes started that handed over to each other.
    pub since: Mono,
    /// The same.
    pub since_wall: Wall,
    /// `node`, or the host's name.
    pub node: String,
    /// `description`.
    pub description: Option<String>,
    /// `maxconnrate`, 0: none.
    pub maxconnrate: u32,
    /// `maxsessrate`, 0: none.
    pub maxsessrate: u32,
    /// `-m`, 0: none.
    pub memory_max_mb: u64,
    /// The environment after the configuration's changes.
    pub env: Env,
    /// The admin sockets: address and level.
    pub sockets: Vec<(String, Level)>,
    /// Listening sockets, those of every thread counted.
    pub listeners: usize,
}
