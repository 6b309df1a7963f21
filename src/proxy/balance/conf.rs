//! `balance`, `hash-type` and `hash-balance-factor` as configured.

use crate::base::hash::HashFn;
use crate::sample::Expr;

/// The expression of `balance hash`; equal to another one when it is written the same way.
#[derive(Clone, Debug)]
pub struct HashExpr(pub Expr);

impl PartialEq for HashExpr {
    fn eq(&self, other: &HashExpr) -> bool {
        self.0.text() == other.0.text()
    }
}

impl Eq for HashExpr {}

/// `balance`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// Dynamic weighted round robin.
    #[default]
    RoundRobin,
    /// Round robin over a static map.
    StaticRr,
    /// The fewest sessions per weight.
    LeastConn,
    /// The first server (by id) with a free slot.
    First,
    /// Hash of the client's address.
    Source,
    /// Hash of the URI.
    Uri {
        /// `whole`: the query too.
        whole: bool,
        /// `path-only`: without scheme and authority.
        path_only: bool,
        /// `len`: at most that many bytes; 0: all.
        len: usize,
        /// `depth`: at most that many directories; 0: all.
        depth: usize,
    },
    /// Hash of a parameter of the query.
    UrlParam {
        /// Its name.
        name: Vec<u8>,
        /// `check_post`: look into the body of a POST too.
        check_post: bool,
    },
    /// Hash of a request header.
    Header {
        /// Its name.
        name: Vec<u8>,
        /// `use_domain_only`: only the main part of a host name.
        domain_only: bool,
    },
    /// Hash of a sample expression.
    Hash(HashExpr),
    /// Hash of a cookie of the RDP protocol.
    RdpCookie(HashExpr),
    /// Random, the least loaded of several draws.
    Random {
        /// How many servers are drawn.
        draws: u32,
    },
    /// Stay with the current server as long as it works (3.x `sticky`).
    Sticky,
}

impl Algorithm {
    /// True when the server follows from a key in the request.
    pub fn is_hash(&self) -> bool {
        matches!(
            self,
            Algorithm::Source
                | Algorithm::Uri { .. }
                | Algorithm::UrlParam { .. }
                | Algorithm::Header { .. }
                | Algorithm::Hash(_)
                | Algorithm::RdpCookie(_)
        )
    }

    /// True when the key is something of HTTP.
    pub fn needs_http(&self) -> bool {
        matches!(self, Algorithm::Uri { .. } | Algorithm::UrlParam { .. } | Algorithm::Header { .. })
    }
}

/// `hash-type`: what the key is mapped with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HashMethod {
    /// An array of all usable servers.
    #[default]
    MapBased,
    /// A ring with many points per server.
    Consistent,
}

/// `hash-preserve-affinity`: when hashing passes a busy server over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Affinity {
    /// Never.
    #[default]
    Always,
    /// When it has no session left.
    MaxConn,
    /// When it has no place left in its queue either.
    MaxQueue,
}

/// Everything about balancing.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct BalanceConf {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Key to server.
    pub method: HashMethod,
    /// Bytes to key.
    pub function: HashFn,
    /// `avalanche`: mix the key once more.
    pub avalanche: bool,
    /// `hash-preserve-affinity`.
    pub affinity: Affinity,
    /// `hash-balance-factor`, percent of the mean load that a server may carry; 0: off.
    pub balance_factor: u32,
}

impl BalanceConf {
    /// True when the key may stand in the body of a POST, which must be there before a server is chosen.
    pub fn looks_into_posts(&self) -> bool {
        matches!(self.algorithm, Algorithm::UrlParam { check_post: true, .. })
    }
}
