//! Load balancing: which server gets the next request. Pure decisions over configuration, live state and a key.

use std::net::IpAddr;

use crate::sample::Ctx;

use super::Proxy;

mod conf;
mod key;
mod limits;
mod pick;
mod ring;
mod wrr;

pub use conf::{Affinity, Algorithm, BalanceConf, HashExpr, HashMethod};
pub use limits::{dynamic_limit, is_full};
pub use pick::Balancer;

/// Where the hashing algorithms find their key. Implemented by whoever holds the request.
pub trait KeySource {
    /// The client's address (`balance source`).
    fn source(&self) -> Option<IpAddr>;
    /// The request target as received (`balance uri`, `balance url_param`).
    fn uri(&self) -> Option<&[u8]>;
    /// The first value of that request header (`balance hdr(name)`).
    fn header(&self, name: &[u8]) -> Option<&[u8]>;
    /// The buffered body of a POST (`balance url_param name check_post`).
    fn body(&self) -> Option<&[u8]>;
    /// What expressions are evaluated against (`balance hash`).
    fn context(&self) -> Option<&dyn Ctx> {
        None
    }
}

/// What [`Balancer::pick`] needs to know about the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// The hashed key, from [`key`]; `None` falls back to round robin.
    pub key: Option<u32>,
    /// A server to avoid when there is another choice (redispatch): position in `Backend::servers`.
    pub avoid: Option<usize>,
    /// The server this client used last (`option prefer-last-server`).
    pub last: Option<usize>,
    /// A random number (`balance random`).
    pub random: u64,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// That server: position in `Backend::servers`. It may still be full: see `queue`.
    Server(usize),
    /// There are usable servers, all of them full: wait in the backend's queue.
    Full,
    /// No server can take requests.
    None,
}

/// The key of this request for the backend's algorithm. `None` when it needs none, or the request has none.
pub fn key(px: &Proxy, from: &dyn KeySource) -> Option<u32> {
    key::of(&px.backend().balance, from)
}

#[cfg(test)]
mod tests;
