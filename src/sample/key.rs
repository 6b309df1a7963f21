//! Samples as keys of stick tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use super::{Sample, Type, parse_ip, to_bin, to_int, to_ip, to_str, to_v4, to_v6};
use crate::stick::KeyType;

/// The bytes of a key.
pub type KeyBytes = SmallVec<[u8; 64]>;

/// Whether what an expression gives can become a key of that type; a single sample of it may still not.
pub fn can_be_key(out: Type, as_type: KeyType) -> bool {
    out.casts_to(match as_type {
        KeyType::Ip => Type::Ipv4,
        KeyType::Ipv6 => Type::Ipv6,
        KeyType::Integer => Type::Int,
        KeyType::String(_) => Type::Str,
        KeyType::Binary(_) => Type::Bin,
    })
}

/// A sample as a key of that type, not longer than its keys are. An empty text is a key like others: who sends an empty
/// header is counted, too.
pub fn key_of(sample: Sample<'_>, as_type: KeyType) -> Option<KeyBytes> {
    let cut = |b: &[u8]| KeyBytes::from_slice(&b[..b.len().min(as_type.len())]);
    Some(match as_type {
        // Text has to be an address of that family itself.
        KeyType::Ip => match &sample {
            Sample::Str(b) => KeyBytes::from_slice(&parse_v4(b)?.octets()),
            _ => KeyBytes::from_slice(&to_v4(to_ip(&sample)?)?.octets()),
        },
        KeyType::Ipv6 => match &sample {
            Sample::Str(b) => KeyBytes::from_slice(&parse_v6(b)?.octets()),
            _ => KeyBytes::from_slice(&to_v6(to_ip(&sample)?).octets()),
        },
        // The low 32 bits.
        KeyType::Integer => KeyBytes::from_slice(&(to_int(&sample)? as u32).to_be_bytes()),
        KeyType::String(_) => {
            let text = to_str(sample)?;
            cut(&text[..memchr::memchr(0, &text).unwrap_or(text.len())])
        }
        KeyType::Binary(_) => cut(&to_bin(sample)?),
    })
}

fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    match parse_ip(text)? {
        IpAddr::V4(a) => Some(a),
        IpAddr::V6(_) => None,
    }
}

fn parse_v6(text: &[u8]) -> Option<Ipv6Addr> {
    match parse_ip(text)? {
        IpAddr::V4(_) => None,
        IpAddr::V6(a) => Some(a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(s: &'static str) -> Sample<'static> {
        Sample::Str(s.as_bytes().into())
    }

    #[test]
    fn samples_become_keys() {
        let of = |s, t| key_of(s, t).map(|k| k.to_vec());
        assert_eq!(of(text("12345678"), KeyType::String(8)).as_deref(), Some(b"12345678".as_slice()));
        assert_eq!(of(text("123456789"), KeyType::String(8)).as_deref(), Some(b"12345678".as_slice()));
        assert_eq!(of(text("ab\0cd"), KeyType::String(8)).as_deref(), Some(b"ab".as_slice()));
        assert_eq!(of(text("ab\0cd"), KeyType::Binary(4)).as_deref(), Some(b"ab\0c".as_slice()));
        for empty in [text(""), text("\0ab")] {
            assert_eq!(of(empty, KeyType::String(8)).as_deref(), Some(b"".as_slice()));
        }
        assert_eq!(of(text(""), KeyType::Binary(4)).as_deref(), Some(b"".as_slice()));
        assert_eq!(of(text("1.2.3.4"), KeyType::Ip).as_deref(), Some([1, 2, 3, 4].as_slice()));
        assert_eq!(of(text("::ffff:1.2.3.4"), KeyType::Ip), None);
        let mapped = Sample::Ip("::ffff:1.2.3.4".parse().expect("an address"));
        assert_eq!(of(mapped, KeyType::Ip).as_deref(), Some([1, 2, 3, 4].as_slice()));
        for none in ["", "nonsense", "1.2.3.4"] {
            assert_eq!(of(text(none), KeyType::Ipv6), None, "{none}");
        }
        assert_eq!(of(text(""), KeyType::Ip), None);
        assert_eq!(of(Sample::Int(-1), KeyType::Integer).as_deref(), Some([255; 4].as_slice()));
    }

    proptest! {
        /// Whatever a client sends, a key is never longer than the table's.
        #[test]
        fn keys_fit(bytes in proptest::collection::vec(any::<u8>(), 0..200), len in 1_u32..64, which in 0_u8..5) {
            let as_type = match which {
                0 => KeyType::Ip,
                1 => KeyType::Ipv6,
                2 => KeyType::Integer,
                3 => KeyType::String(len),
                _ => KeyType::Binary(len),
            };
            for sample in [Sample::Str(bytes.as_slice().into()), Sample::Bin(bytes.as_slice().into())] {
                if let Some(key) = key_of(sample, as_type) {
                    prop_assert!(key.len() <= as_type.len());
                    prop_assert!(which != 3 || bytes.starts_with(&key));
                }
            }
        }
    }
}
