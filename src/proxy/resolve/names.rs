//! Host names, by the C library's resolver. Only while the configuration is loaded: it blocks.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};

use crate::base::addr::Family;

/// The first address of a host name.
pub(in crate::proxy) fn host(name: &str, family: Family) -> Option<IpAddr> {
    let wanted = |ip: &IpAddr| match family {
        Family::Any => true,
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    (name, 0).to_socket_addrs().ok()?.map(|a| a.ip()).find(wanted)
}

/// Remembers answers, so that a name on a thousand lines is asked for once.
#[derive(Default)]
pub(super) struct Hosts {
    known: HashMap<(String, u8), Option<IpAddr>>,
}

impl Hosts {
    pub(super) fn lookup(&mut self, name: &str, family: Family) -> Option<IpAddr> {
        *self.known.entry((name.to_owned(), family as u8)).or_insert_with(|| host(name, family))
    }
}
