//! Replication of stick tables between load balancers: HAProxy's peers protocol, version 2.1 (and 2.0), as HAProxy's
//! `doc/peers.txt` describes it. No sockets and no clock: bytes and times are handed in, bytes and events come out.
//!
//! - [`Session`] is one connection: handshake in either role, lessons, live updates, acknowledgements, heartbeats.
//! - [`Group`] is all peers of one section: whom to call when, which of two sessions with a peer stays, whom to ask
//!   for a full resync.
//! - [`TableView`] is what a stick table implements.
//!
//! What a peer sends is bounded before it is stored: one message of at most [`MESSAGE_MAX_BYTES`], one definition
//! for each of our own tables, [`dict::CACHE_ENTRIES`] names. What it may not send ends the session with a
//! [`DecodeError`].

mod conf;
pub mod dict;
mod entry;
mod error;
mod exchange;
mod feed;
mod group;
pub mod handshake;
mod link;
mod section;
mod session;
#[cfg(test)]
mod tests;
mod types;
pub mod varint;
mod view;
pub mod wire;

pub use conf::{ListenConf, MemberConf, SectionConf, TUNE_UPDATES, TUNE_UPDATES_MAX};
pub use entry::{Entry, Field, Value};
pub use error::{CloseReason, DecodeError, Status};
pub use exchange::{Budget, LaneState};
pub use feed::Feed;
pub use group::{Action, Group, SessionId};
pub use handshake::Members;
pub use link::Link;
pub use section::{MemberState, Prepared, Section, forget, is_over, prepare, start, stop, with_sections};
pub use session::{Counters, Event, HANDSHAKE_MAX, HEARTBEAT, SILENCE_MAX, Session};
pub use types::{DataSpec, DataType, ELEMENTS_MAX, KeyType, Kind, TableSpec};
pub use view::{TableView, Tables};
pub use wire::MESSAGE_MAX_BYTES;
