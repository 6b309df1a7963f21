//! The fetches, by what they read.

mod auth;
mod conn;
mod constant;
mod headers;
mod internal;
pub(super) mod payload;
mod request;
mod response;
mod tls;
mod tls_hello;
pub(crate) mod url;

use super::Fetch;

pub use conn::WantsServerRtt;
pub(crate) use constant::unhex;
pub(crate) use internal::check_unit;

/// The tables of this folder.
pub const TABLES: &[&[Fetch]] = &[
    internal::FETCHES,
    constant::FETCHES,
    conn::FETCHES,
    tls::FETCHES,
    payload::FETCHES,
    request::FETCHES,
    response::FETCHES,
    headers::FETCHES,
    auth::FETCHES,
    super::counter::SCALARS,
    super::counter::ELEMENTS,
    super::counter::OTHERS,
];
