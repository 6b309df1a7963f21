//! The protocol's variable-length integers: four payload bits in the first byte, seven in each further one.

use super::error::DecodeError;

/// Most bytes that one encoded `u64` takes.
pub const VARINT_MAX_BYTES: usize = 10;

/// Append the encoding of `value`.
pub fn put(out: &mut Vec<u8>, value: u64) {
    if value < 0xf0 {
        out.push(value as u8);
        return;
    }
    out.push(value as u8 | 0xf0);
    let mut rest = (value - 0xf0) >> 4;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest = (rest - 0x80) >> 7;
    }
    out.push(rest as u8);
}

/// Read one integer from the front of `input`, which moves past it. `Ok(None)` means that the bytes end inside the
/// integer; `input` then stays where it was.
pub fn peek(input: &mut &[u8]) -> Result<Option<u64>, DecodeError> {
    let Some((&first, mut rest)) = input.split_first() else { return Ok(None) };
    let mut value = u64::from(first);
    if first >= 0xf0 {
        let mut shift = 4;
        loop {
            let Some((&byte, after)) = rest.split_first() else { return Ok(None) };
            rest = after;
            if shift >= u64::BITS || u64::from(byte) > u64::MAX >> shift {
                return Err(DecodeError::IntegerTooLong);
            }
            value = value.checked_add(u64::from(byte) << shift).ok_or(DecodeError::IntegerTooLong)?;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
    }
    *input = rest;
    Ok(Some(value))
}

/// Like [`peek`], where all bytes are known to be there: an end inside the integer is an error.
pub fn get(input: &mut &[u8]) -> Result<u64, DecodeError> {
    peek(input)?.ok_or(DecodeError::Truncated)
}

/// A length-prefixed run of bytes.
pub fn get_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let len = get(input)?;
    take(input, usize::try_from(len).map_err(|_| DecodeError::Truncated)?)
}

/// The next `n` bytes.
pub fn take<'a>(input: &mut &'a [u8], n: usize) -> Result<&'a [u8], DecodeError> {
    let (head, rest) = input.split_at_checked(n).ok_or(DecodeError::Truncated)?;
    *input = rest;
    Ok(head)
}

/// A 32-bit integer in network order.
pub fn get_u32(input: &mut &[u8]) -> Result<u32, DecodeError> {
    let (head, rest) = input.split_first_chunk::<4>().ok_or(DecodeError::Truncated)?;
    *input = rest;
    Ok(u32::from_be_bytes(*head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, value);
        out
    }

    #[test]
    fn known_encodings() {
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(239), [0xef]);
        assert_eq!(encoded(240), [0xf0, 0]);
        assert_eq!(encoded(2287), [0xff, 0x7f]);
        assert_eq!(encoded(2288), [0xf0, 0x80, 0]);
        assert_eq!(encoded(0x1234), [0xf4, 0x94, 0x01]);
        assert_eq!(encoded(264_431).len(), 3);
        assert_eq!(encoded(264_432).len(), 4);
        assert_eq!(encoded(u64::MAX).len(), VARINT_MAX_BYTES);
        assert_eq!(get(&mut &encoded(u64::MAX)[..]), Ok(u64::MAX));
    }

    #[test]
    fn ends_and_overflows() {
        assert_eq!(peek(&mut &[][..]), Ok(None));
        assert_eq!(peek(&mut &[0xf0, 0x80][..]), Ok(None));
        assert_eq!(get(&mut &[0xf0, 0x80][..]), Err(DecodeError::Truncated));
        assert_eq!(get(&mut &[0xff; 12][..]), Err(DecodeError::IntegerTooLong));
        let mut more = [0xf0, 0, 7].as_slice();
        assert_eq!(get(&mut more), Ok(240));
        assert_eq!(more, [7]);
        assert_eq!(get_bytes(&mut &[3, 1, 2][..]), Err(DecodeError::Truncated));
        assert_eq!(get_u32(&mut &[0, 1, 2][..]), Err(DecodeError::Truncated));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn round_trip(value: u64, small in 0u64..300_000, tail: [u8; 2]) {
            for v in [value, small] {
                let mut bytes = encoded(v);
                prop_assert!(bytes.len() <= VARINT_MAX_BYTES);
                bytes.extend(tail);
                let mut input = bytes.as_slice();
                prop_assert_eq!(get(&mut input), Ok(v));
                prop_assert_eq!(input, &tail[..]);
            }
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            let mut input = bytes.as_slice();
            let _ = get(&mut input);
        }
    }
}
