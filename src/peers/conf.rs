//! A `peers` section, resolved.

use crate::base;
use crate::config::Loc;
use crate::log::ProxyLog;
use crate::net::{BindOpts, ConnectOpts, SockAddr};
use crate::stick::TableId;

use super::Members;

/// `tune.peers.max-updates-at-once` by default.
pub const TUNE_UPDATES: u32 = 200;
/// Its highest value.
pub const TUNE_UPDATES_MAX: i64 = 1_000_000;

/// A `peers` section.
#[derive(Debug)]
pub struct SectionConf {
    /// Name.
    pub name: String,
    /// The section's line.
    pub loc: Loc,
    /// `disabled`, or nobody is called like this node: no listening, no calls.
    pub disabled: bool,
    /// The members, in the order of the file.
    pub members: Vec<MemberConf>,
    /// Which of them this node is.
    pub local: usize,
    /// Where this node listens.
    pub listen: Option<ListenConf>,
    /// `shards`: entries are dealt out to that many groups of members; 0: everybody gets everything.
    pub shards: u32,
    /// The tables that are replicated.
    pub tables: Vec<TableId>,
    /// Where changes of state are told.
    pub log: ProxyLog,
    /// Updates that are sent before other work has its turn.
    pub max_updates: u32,
    /// An older process of ours may teach us.
    pub predecessor: bool,
}

/// A member of a section.
#[derive(Clone, Debug)]
pub struct MemberConf {
    /// Name.
    pub name: String,
    /// Where to call it; of this node, where an older process calls the newer one.
    pub addr: Option<SockAddr>,
    /// How to connect.
    pub connect: ConnectOpts,
    /// Its group among `shards`; 0: it gets everything.
    pub shard: u32,
}

/// The listener of this node.
#[derive(Clone, Debug)]
pub struct ListenConf {
    /// Address, or an inherited descriptor.
    pub addr: base::SockAddr,
    /// Options.
    pub opts: BindOpts,
    /// The line that says so.
    pub loc: Loc,
}

impl SectionConf {
    /// The names, as the handshake needs them.
    pub fn names(&self) -> Members {
        Members {
            local: self.members.get(self.local).map(|m| m.name.clone()).unwrap_or_default(),
            all: self.members.iter().map(|m| m.name.clone()).collect(),
        }
    }

    /// Whether there is anything to do.
    pub fn is_active(&self) -> bool {
        !self.disabled && !self.tables.is_empty()
    }
}
