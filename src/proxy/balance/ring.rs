//! The consistent hash ring: 16 points per unit of weight for each server, placed by a hash of its number. The
//! points, and so the choices, are HAProxy's (observed, see the tests): two farms with the same server numbers
//! send a key to the same server.

use crate::base::hash::avalanche;

/// Numbers reserved for the points of one server: the most a server can have (256 * 16).
const POINTS_PER_SERVER: u32 = 4096;

/// Points in order, each with the server that it belongs to.
#[derive(Debug, Default)]
pub struct Ring {
    points: Vec<(u32, u32)>,
}

/// A server on the ring.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// What choices name: position in the backend.
    pub server: u32,
    /// Its number (`id`), which places it.
    pub uuid: u32,
    /// Points: effective weight in sixteenths.
    pub points: u32,
}

impl Ring {
    /// Place these servers.
    pub fn new(members: impl Iterator<Item = Member>) -> Ring {
        let mut points = Vec::new();
        for m in members {
            let base = m.uuid.wrapping_mul(POINTS_PER_SERVER);
            points.extend(
                (0..m.points.min(POINTS_PER_SERVER)).map(|n| (avalanche(base.wrapping_add(n)), m.server)),
            );
        }
        points.sort_unstable();
        Ring { points }
    }

    /// Where the point nearest to `key` is.
    pub fn nearest(&self, key: u32) -> Option<usize> {
        let n = self.points.len();
        if n == 0 {
            return None;
        }
        let after = self.points.partition_point(|p| p.0 < key) % n;
        let before = (after + n - 1) % n;
        let back = key.wrapping_sub(self.points[before].0);
        let ahead = self.points[after].0.wrapping_sub(key);
        Some(if back <= ahead { before } else { after })
    }

    /// The servers of the ring from position `at` on, once around.
    pub fn from(&self, at: usize) -> impl Iterator<Item = u32> + '_ {
        self.points[at..].iter().chain(&self.points[..at]).map(|p| p.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ring(weights: &[u32]) -> Ring {
        Ring::new(weights.iter().enumerate().map(|(i, w)| Member {
            server: i as u32,
            uuid: i as u32 + 1,
            points: w * 16,
        }))
    }

    fn owner(r: &Ring, key: u32) -> u32 {
        r.nearest(key).and_then(|at| r.from(at).next()).expect("the ring has points")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Removing a server moves only the keys that were its own.
        #[test]
        fn only_the_keys_of_a_lost_server_move(keys in prop::collection::vec(any::<u32>(), 50), gone in 0usize..5) {
            let full = ring(&[1, 2, 3, 4, 5]);
            let mut weights = [1, 2, 3, 4, 5];
            weights[gone] = 0;
            let less = ring(&weights);
            for key in keys {
                let (before, after) = (owner(&full, key), owner(&less, key));
                prop_assert!(after != gone as u32);
                if before != gone as u32 {
                    prop_assert_eq!(before, after);
                }
            }
        }

        #[test]
        fn nearest_is_what_a_scan_finds(keys in prop::collection::vec(any::<u32>(), 20)) {
            let r = ring(&[1, 1]);
            for key in keys {
                let by_scan = r.points.iter().map(|p| p.0.wrapping_sub(key).min(key.wrapping_sub(p.0))).min();
                let at = r.nearest(key).expect("the ring has points");
                let d = r.points[at].0.wrapping_sub(key).min(key.wrapping_sub(r.points[at].0));
                prop_assert_eq!(Some(d), by_scan);
            }
        }
    }

    #[test]
    fn empty() {
        assert_eq!(ring(&[0, 0]).nearest(7), None);
    }
}
