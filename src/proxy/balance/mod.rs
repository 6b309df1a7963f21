//! Load balancing: which server gets the next request. Pure decisions over configuration, live state and a key.

use std::net::IpAddr;

use super::{Live, Proxy};

mod conf;

pub use conf::{Algorithm, BalanceConf, HashMethod};

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
pub fn key(_px: &Proxy, _from: &dyn KeySource) -> Option<u32> {
    todo!()
}

/// A thread's view of all backends: tables derived from weights and states, rebuilt when a backend's epoch
/// changes. The order of round robin comes from a cursor in [`Live`] that all threads share.
#[derive(Default)]
pub struct Balancer {}

impl Balancer {
    /// Nothing is built until it is needed.
    pub fn new() -> Balancer {
        Balancer::default()
    }

    /// Choose a server of backend `px`.
    pub fn pick(&mut self, _px: &Proxy, _live: &Live, _req: &Request) -> Pick {
        todo!()
    }
}
