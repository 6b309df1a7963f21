//! From sections as written to the [`Snapshot`]: names become ids, everything that needs two sections is
//! checked here.

use crate::config::{Diagnostics, Section};

use super::Snapshot;

/// Builds the snapshot. `None` when an error was reported.
pub fn resolve(_sections: Vec<Section>, _diags: &mut Diagnostics) -> Option<Snapshot> {
    todo!()
}
