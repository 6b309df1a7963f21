//! What local traffic changed, for the peers.

/// The changed entries of one table.
#[derive(Debug, Default)]
pub struct Changes {}

impl Changes {
    /// The record was changed by this thread.
    pub(super) fn mark(&self, _record: u32) {}
}
