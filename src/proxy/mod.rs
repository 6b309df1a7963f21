//! Frontends, backends, listeners and servers: what was configured ([`Snapshot`], immutable), what is going
//! on ([`Live`], atomics only), and the pure decisions between the two: balancing, queueing, cookies,
//! connection reuse.
//!
//! ```text
//! sections --resolve()--> Snapshot (Arc)      immutable, names resolved to ids
//!                         Live     (Arc)      fixed-size records of atomics, one per server, proxy, listener
//!                         Queues   (Arc)      who waits for a server
//!                         Balancer            one per thread: derived tables, rebuilt when an epoch changes
//! ```

pub mod balance;
pub mod check;
pub mod cookie;
pub mod live;
pub mod pool;
pub mod queue;

mod captures;
mod cpu_map;
pub mod global;
pub mod global_keywords;
mod ids;
pub mod keywords;
mod listener;
mod options;
pub mod program;
pub mod raw;
mod resolve;
mod server;
mod server_state;
mod snapshot;
#[cfg(test)]
mod testing;

pub use captures::{CAPTURE_MAX, Capture, Captures};
pub use cpu_map::CpuMap;
pub use global::GlobalConf;
pub use ids::{ListenerId, ProxyId, ServerId};
pub use listener::{ListenerAccess, ListenerConf, ListenerSocket, UnixOwner};
pub use live::Live;
pub use options::{
    ConnOptions, ErrorPage, ErrorPages, ForwardedFor, HttpClose, HttpOptions, HttpReuse, Mode, RestrictNames,
    RetryOn, Splice, TcpKeepAlive, Timeouts,
};
pub use resolve::resolve;
pub use server::{HeaderVersion, SendProxy, Server, SourceAddr, SourceSpec, UseSource};
pub use server_state::SavedStates;
pub use snapshot::{Backend, Frontend, PersistRule, Proxy, Snapshot};
