//! The version-neutral HTTP message: method, target, status and an ordered field list that keeps the
//! original bytes and takes edits as an overlay. No sockets, no clock, no wire syntax (that is `http1/`).
//!
//! A head owns one recycled byte buffer; everything else is a span into it. Edits append to the buffer and
//! point the field at the new bytes, so the bytes that came from the peer stay where they were until
//! [`RequestHead::clear`].

pub mod cookie;
pub mod date;
mod field_id;
mod fields;
mod head;
mod method;
pub mod status;
pub mod token;
pub mod uri;

pub use field_id::FieldId;
pub use fields::{CommaValues, Field, Fields, Span};
pub use head::{BodyLen, ConnectionFlags, RequestHead, ResponseHead, ScanState};
pub use method::{Method, Version};
