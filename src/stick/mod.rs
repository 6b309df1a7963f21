//! Stick tables: keys (addresses, integers, strings, blobs) with counters, in memory that every thread and process
//! shares. Manual: `stick-table`.
//!
//! A table is one segment of 64-bit words that are only ever accessed atomically: a header, one block per *slab*, the
//! index, the records. Nothing in it is a pointer.
//!
//! - A **slab** belongs to one thread, which alone links, unlinks and frees the records of its free list and of its
//!   list of entries by age. Records come from a common pool, so that the `size` is shared however clients spread.
//! - The **index** is an array of buckets, each the head of a lock-free list (Michael 2002: counted links, a mark on
//!   the link of what is being removed, whoever passes by helps). New entries go in at the head by one CAS, which
//!   fails when another came first; so a key is never in it twice.
//! - A **record** begins with one word of version, owner, state and use count. A reader checks it again after it has
//!   read; whoever changes an entry holds a use of it ([`Entry`]), and what is in use is neither expired nor purged.
//! - Counters are single words, and a rate is two (see [`rate`]); no update can be half done.
//! - What a killed process leaves is found by [`Writer::adopt`]: it goes over the records of the dead slab, keeps
//!   those that are whole and reachable, and frees the others.
//!
//! Lookups and updates do not allocate. Time is handed in.

mod adopt;
mod atomics;
mod changes;
#[cfg(test)]
mod changes_tests;
mod copy;
mod current;
mod data;
mod dict;
mod gift;
mod index;
mod key;
pub mod keywords;
mod members;
mod rate;
mod remote;
mod schema;
mod slab;
mod table;
mod tables;
#[cfg(test)]
mod tests;

pub use changes::{Changes, use_ring};
pub use data::{DataClass, DataType, Slot};
pub use dict::Dict;
pub use key::{Key, KeyType};
pub use keywords::{PeersTables, TableConf, TableDecl};
pub use remote::RateParts;
pub use schema::{DataDef, Schema, SchemaError};
pub use table::{Entry, EntryId, OpenError, Table, Writer};
pub use tables::{
    Heritage, Origin, SrvKey, TableDef, TableId, TableOwner, Tables, Writers, set_writers, with_writers,
};
