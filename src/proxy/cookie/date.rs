//! Dates in cookies: five characters of six bits each, counting units of four seconds since the epoch.

use crate::base::time::Wall;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Characters of a date.
const LEN: usize = 5;

/// Dates further ahead than this are not believed, in seconds.
const FUTURE_MAX: u64 = 86_400;

/// The date of this moment.
pub(super) fn now(wall: Wall) -> u32 {
    ((wall.0 / 4_000_000) & 0x3fff_ffff) as u32
}

/// Appends the five characters.
pub(super) fn push(out: &mut Vec<u8>, date: u32) {
    out.extend([24, 18, 12, 6, 0].map(|shift| DIGITS[(date >> shift) as usize & 63]));
}

/// The date that `text` starts with; 0 when it is none.
pub(super) fn parse(text: &[u8]) -> u32 {
    let Some(digits) = text.get(..LEN) else { return 0 };
    let mut date = 0;
    for d in digits {
        let Some(v) = DIGITS.iter().position(|c| c == d) else { return 0 };
        date = date << 6 | v as u32;
    }
    date
}

/// True when `date` is more than `max` ago, or unbelievably far in the future.
pub(super) fn is_over(date: u32, now: u32, max: std::time::Duration) -> bool {
    let seconds = |a: u32, b: u32| u64::from(a.saturating_sub(b)) * 4;
    seconds(now, date) > max.as_secs() || seconds(date, now) > FUTURE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_haproxy_writes_it() {
        let mut out = Vec::new();
        push(&mut out, 448_804_452);
        assert_eq!(out, b"awDZk");
        assert_eq!(parse(b"awDZk"), 448_804_452);
        assert_eq!(parse(b"awDZkxx"), 448_804_452);
        assert_eq!(now(Wall(1_795_217_808_000_000)), 448_804_452);
        for bad in [&b""[..], b"abc", b"!!!!!", b"awDZ"] {
            assert_eq!(parse(bad), 0);
        }
    }
}
