//! From sections as written to the [`Snapshot`]: names become ids, everything that needs two sections is
//! checked here.

use crate::config::{Diagnostics, Section};

use super::Snapshot;

/// Builds the snapshot. `None` when an error was reported.
pub fn resolve(_sections: Vec<Section>, _diags: &mut Diagnostics) -> Option<Snapshot> {
    todo!()
}

/// The first address of a host name, from the C library's resolver.
pub(super) fn host(_name: &str, _family: crate::base::addr::Family) -> Option<std::net::IpAddr> {
    None
}
