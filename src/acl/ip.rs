//! Addresses and networks: the longest prefix wins.
//!
//! Networks nest or are disjoint, so a set of them cuts the address space into ranges with one winner each. The
//! ranges are kept sorted: one binary search over a flat array answers a look-up, with less memory than a trie
//! of pointers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::sample::{to_v4, to_v6};

/// A pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// IPv4 network; the mask may have holes (`255.0.255.0`).
    V4(u32, u32),
    /// IPv6 network and prefix length in bits.
    V6(u128, u8),
}

/// Parse an address or network: `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `10.12` (10.0.0.12), `2001:db8::/32`.
pub fn parse(text: &[u8]) -> Option<Net> {
    let t = std::str::from_utf8(text).ok()?;
    let (addr, mask) = match t.split_once('/') {
        Some((a, m)) => (a, Some(m)),
        None => (t, None),
    };
    if addr.contains(':') {
        let a: Ipv6Addr = addr.parse().ok()?;
        let bits = mask.map_or(Some(128), |m| m.parse().ok().filter(|b| *b <= 128))?;
        return Some(Net::V6(u128::from(a) & mask6(bits), bits));
    }
    let mask = match mask {
        None => u32::MAX,
        Some(m) => match m.parse::<u8>() {
            Ok(bits @ 0..=32) => mask4(bits),
            Ok(_) => return None,
            Err(_) => u32::from(m.parse::<Ipv4Addr>().ok()?),
        },
    };
    Some(Net::V4(short_v4(addr)? & mask, mask))
}

/// Dotted IPv4 with zero octets left out before the last: `127.1`.
fn short_v4(t: &str) -> Option<u32> {
    let mut parts = [0u8; 4];
    let mut n = 0;
    for p in t.split('.') {
        if p.is_empty() || p.len() > 3 || !p.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        *parts.get_mut(n)? = p.parse().ok()?;
        n += 1;
    }
    if n < 4 {
        parts[3] = parts[n - 1];
        if n > 1 {
            parts[n - 1] = 0;
        } else {
            parts[0] = 0;
        }
    }
    Some(u32::from_be_bytes(parts))
}

fn mask4(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)
}

fn mask6(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

/// Disjoint ranges with their winners, sorted. `T` is `u32` or `u128`.
#[derive(Debug)]
struct Ranges<T> {
    /// Start of each range, its end, the pattern's index.
    list: Vec<(T, T, u32)>,
}

/// One network: first address, last address, length in bits, index.
type Span<T> = (T, T, u8, u32);

trait Address: Copy + Ord {
    fn before(self) -> Self;
    fn after(self) -> Option<Self>;
}
impl Address for u32 {
    fn before(self) -> u32 {
        self - 1
    }
    fn after(self) -> Option<u32> {
        self.checked_add(1)
    }
}
impl Address for u128 {
    fn before(self) -> u128 {
        self - 1
    }
    fn after(self) -> Option<u128> {
        self.checked_add(1)
    }
}

impl<T: Address> Ranges<T> {
    fn build(mut spans: Vec<Span<T>>) -> Ranges<T> {
        // Outer networks before inner ones; of equal networks the first written wins.
        spans.sort_by_key(|s| (s.0, s.2, s.3));
        spans.dedup_by_key(|s| (s.0, s.2));
        let mut list: Vec<(T, T, u32)> = Vec::with_capacity(spans.len() * 2);
        let mut open: Vec<Span<T>> = Vec::new();
        // `from`: first address of the innermost open network that is not in `list` yet.
        let mut from: Option<T> = None;
        let close_until =
            |limit: Option<T>, open: &mut Vec<Span<T>>, from: &mut Option<T>, list: &mut Vec<(T, T, u32)>| {
                while let Some(top) = open.last().copied() {
                    if limit.is_some_and(|l| top.1 >= l) {
                        break;
                    }
                    if let Some(f) = *from
                        && f <= top.1
                    {
                        list.push((f, top.1, top.3));
                    }
                    *from = top.1.after();
                    open.pop();
                }
            };
        for s in spans {
            close_until(Some(s.0), &mut open, &mut from, &mut list);
            if let (Some(top), Some(f)) = (open.last(), from)
                && f < s.0
            {
                list.push((f, s.0.before(), top.3));
            }
            from = Some(s.0);
            open.push(s);
        }
        close_until(None, &mut open, &mut from, &mut list);
        Ranges { list }
    }

    fn find(&self, a: T) -> Option<u32> {
        let i = self.list.partition_point(|r| r.0 <= a);
        let r = self.list.get(i.checked_sub(1)?)?;
        (a <= r.1).then_some(r.2)
    }
}

/// A set of networks.
#[derive(Debug)]
pub struct IpSet {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
    /// Masks with holes: address, mask, index.
    odd: Vec<(u32, u32, u32)>,
}

impl IpSet {
    /// From patterns in order.
    pub fn build(nets: impl IntoIterator<Item = (Net, u32)>) -> IpSet {
        let (mut v4, mut v6, mut odd) = (Vec::new(), Vec::new(), Vec::new());
        for (net, i) in nets {
            match net {
                Net::V4(a, m) if m.leading_ones() + m.trailing_zeros() >= 32 => {
                    v4.push((a, a | !m, m.leading_ones() as u8, i));
                }
                Net::V4(a, m) => odd.push((a, m, i)),
                Net::V6(a, bits) => v6.push((a, a | !mask6(bits), bits, i)),
            }
        }
        IpSet { v4: Ranges::build(v4), v6: Ranges::build(v6), odd }
    }

    /// The network with the longest prefix that holds `a`. IPv4 and IPv6 patterns match each other's addresses
    /// as manual section 7.1.6 says.
    pub fn find(&self, a: IpAddr) -> Option<u32> {
        match a {
            IpAddr::V4(v4) => self.find4(v4).or_else(|| match self.v6.list.is_empty() {
                true => None,
                false => self.v6.find(u128::from(to_v6(a))),
            }),
            IpAddr::V6(v6) => self.v6.find(u128::from(v6)).or_else(|| self.find4(to_v4(a)?)),
        }
    }

    fn find4(&self, a: Ipv4Addr) -> Option<u32> {
        let a = u32::from(a);
        self.v4.find(a).or_else(|| self.odd.iter().find(|(n, m, _)| a & m == *n).map(|o| o.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(list: &[&str]) -> IpSet {
        IpSet::build(list.iter().enumerate().map(|(i, t)| (parse(t.as_bytes()).expect("valid"), i as u32)))
    }

    fn find(s: &IpSet, a: &str) -> Option<u32> {
        s.find(a.parse().expect("valid"))
    }

    #[test]
    fn spellings_of_the_manual() {
        let same = |a: &str, b: &str| assert_eq!(parse(a.as_bytes()), parse(b.as_bytes()), "{a}");
        same("192.168.1", "192.168.0.1");
        same("10.12", "10.0.0.12");
        same("127.1/8", "127.0.0.0/8");
        same("192.168.1/22", "192.168.0.0/22");
        same("10.0.0.0/255.0.0.0", "10.0.0.0/8");
        for bad in ["", "1.2.3.4.5", "1.2.3.256", "1.2.3.4/33", "::1/129", "x", "1..2", "1.2.3.4-5"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn longest_prefix_wins_across_families() {
        let s = set(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3",
            "::ffff:192.168.0.0/112",
            "2001:db8::/32",
            "1.0.3.0/255.0.255.0",
        ]);
        assert_eq!(find(&s, "10.2.0.1"), Some(0));
        assert_eq!(find(&s, "10.1.9.9"), Some(1));
        assert_eq!(find(&s, "10.1.2.3"), Some(2));
        assert_eq!(find(&s, "192.168.3.4"), Some(3));
        assert_eq!(find(&s, "2001:db8:1::5"), Some(4));
        assert_eq!(find(&s, "::ffff:10.1.2.3"), Some(2));
        assert_eq!(find(&s, "2002:a01:203::"), Some(2));
        assert_eq!(find(&s, "1.77.3.9"), Some(5));
        assert_eq!(find(&s, "11.0.0.0"), None);
        assert_eq!(find(&set(&["0.0.0.0/0"]), "255.255.255.255"), Some(0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_a_naive_search(
            nets in prop::collection::vec((any::<u32>(), 0u8..=32), 0..24),
            probes in prop::collection::vec(any::<u32>(), 16),
        ) {
            let nets: Vec<(u32, u8)> = nets.into_iter().map(|(a, b)| ((a & 0x0303_0303) & mask4(b), b)).collect();
            let s = IpSet::build(nets.iter().enumerate().map(|(i, (a, b))| (Net::V4(*a, mask4(*b)), i as u32)));
            for p in probes.iter().map(|p| p & 0x0303_0303).chain(nets.iter().map(|n| n.0)) {
                let naive = nets
                    .iter()
                    .enumerate()
                    .filter(|(_, (a, b))| p & mask4(*b) == *a)
                    .max_by_key(|(i, (_, b))| (*b, usize::MAX - i))
                    .map(|(i, _)| i as u32);
                prop_assert_eq!(s.find(IpAddr::V4(p.into())), naive);
            }
        }
        #[test]
        fn any_text_is_harmless(t in "[0-9a-f.:/x]{0,24}") {
            parse(t.as_bytes());
        }
    }
}
