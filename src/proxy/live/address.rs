//! An internet address that changes while others read it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};

/// The place of an address in shared memory, empty at first. Readers never wait for each other; a reader that meets a
/// change reads again.
#[repr(C)]
#[derive(Debug, Default)]
pub struct LiveAddr {
    /// Odd while it is written; 0: never set.
    version: AtomicU32,
    /// The port, and 1 << 16 for IPv6.
    port: AtomicU32,
    high: AtomicU64,
    low: AtomicU64,
}

const V6: u32 = 1 << 16;

impl LiveAddr {
    /// Replace the address.
    pub fn set(&self, addr: SocketAddr) {
        let mut version = self.version.load(Relaxed);
        loop {
            // Another writer is at it while the version is odd.
            let even = version & !1;
            match self.version.compare_exchange_weak(even, even | 1, AcqRel, Relaxed) {
                Ok(_) => break,
                Err(now) => version = now,
            }
            std::hint::spin_loop();
        }
        fence(Release);
        let (bits, v6) = match addr.ip() {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()), 0),
            IpAddr::V6(ip) => (ip.to_bits(), V6),
        };
        self.high.store((bits >> 64) as u64, Relaxed);
        self.low.store(bits as u64, Relaxed);
        self.port.store(u32::from(addr.port()) | v6, Relaxed);
        self.version.fetch_add(1, Release);
    }

    /// The address, if one was set.
    pub fn get(&self) -> Option<SocketAddr> {
        loop {
            let version = self.version.load(Acquire);
            if version == 0 {
                return None;
            }
            let (high, low) = (self.high.load(Relaxed), self.low.load(Relaxed));
            let port = self.port.load(Relaxed);
            fence(Acquire);
            if version & 1 == 0 && self.version.load(Relaxed) == version {
                let bits = u128::from(high) << 64 | u128::from(low);
                let ip: IpAddr = match port & V6 {
                    0 => Ipv4Addr::from_bits(low as u32).into(),
                    _ => Ipv6Addr::from_bits(bits).into(),
                };
                return Some((ip, port as u16).into());
            }
            std::hint::spin_loop();
        }
    }

    /// Grows with every change: a connection that was made under another number goes to another address.
    pub fn version(&self) -> u32 {
        self.version.load(Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were_set() {
        let place = LiveAddr::default();
        assert_eq!((place.get(), place.version()), (None, 0));
        for text in ["127.0.0.2:80", "[2001:db8::1]:65535", "0.0.0.0:0", "[::]:1"] {
            let addr: SocketAddr = text.parse().expect("an address");
            let before = place.version();
            place.set(addr);
            assert_eq!(place.get(), Some(addr));
            assert!(place.version() > before);
        }
    }

    #[test]
    fn readers_never_see_a_mixture() {
        let place = LiveAddr::default();
        let addrs: [SocketAddr; 2] =
            ["1.1.1.1:1".parse().expect("an address"), "[ff:ff::ff:ff]:9".parse().expect("an address")];
        place.set(addrs[0]);
        std::thread::scope(|s| {
            for first in 0..2 {
                let (place, addrs) = (&place, &addrs);
                s.spawn(move || (0..2000).for_each(|i| place.set(addrs[(first + i) % 2])));
            }
            for _ in 0..2000 {
                let got = place.get().expect("it was set");
                assert!(addrs.contains(&got), "{got}");
            }
        });
    }
}
