//! What commands changed about a server's health checks, or about its agent.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::LiveAddr;

/// Changes of the checks of one kind; all empty: as configured.
#[repr(C)]
#[derive(Debug, Default)]
pub struct CheckControl {
    off: AtomicU32,
    port: AtomicU32,
    address: LiveAddr,
}

impl CheckControl {
    /// `disable health`, `disable agent`: no checks until they are enabled again.
    pub fn is_off(&self) -> bool {
        self.off.load(Relaxed) != 0
    }

    /// Stop the checks, or let them go on.
    pub fn set_off(&self, off: bool) {
        self.off.store(u32::from(off), Relaxed);
    }

    /// The address that took the place of the configured one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.get().map(|a| a.ip())
    }

    /// Check this address from now on.
    pub fn set_ip(&self, ip: IpAddr) {
        self.address.set((ip, 0).into());
    }

    /// The port that took the place of the configured one.
    pub fn port(&self) -> Option<u16> {
        match self.port.load(Relaxed) {
            0 => None,
            port => u16::try_from(port).ok(),
        }
    }

    /// Check this port from now on; 0: the configured one again.
    pub fn set_port(&self, port: u16) {
        self.port.store(u32::from(port), Relaxed);
    }
}
