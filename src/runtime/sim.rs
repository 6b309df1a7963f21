//! The simulated driver: in-memory sockets, virtual clock, seeded faults.

use std::future::Future;

/// How often the simulated network misbehaves; all rates are per mille of operations.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Receive fewer bytes than there are.
    pub short_recv: u16,
    /// Deliver late.
    pub delay: u16,
    /// Reset the connection.
    pub reset: u16,
    /// Fail a connect.
    pub connect_fail: u16,
    /// Report no buffers to a receive.
    pub enobufs: u16,
}

/// Runs `root` on a simulated runtime of this thread, with virtual time, until it is done. The same seed gives the
/// same run.
///
/// # Panics
/// When all tasks wait for nothing: a deadlock.
pub fn run<F: Future>(_seed: u64, _faults: Faults, _root: F) -> F::Output {
    todo!()
}
