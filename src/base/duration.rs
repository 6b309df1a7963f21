//! Durations as the configuration writes them: an integer and one of `us ms s m h d` (manual section
//! "Time format").

use std::time::Duration;

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Unit {
    Us,
    Ms,
    S,
    M,
    H,
    D,
}

impl Unit {
    /// Microseconds in one unit.
    pub const fn micros(self) -> u64 {
        match self {
            Unit::Us => 1,
            Unit::Ms => 1_000,
            Unit::S => 1_000_000,
            Unit::M => 60_000_000,
            Unit::H => 3_600_000_000,
            Unit::D => 86_400_000_000,
        }
    }

    /// The suffix that names it.
    pub const fn suffix(self) -> &'static str {
        match self {
            Unit::Us => "us",
            Unit::Ms => "ms",
            Unit::S => "s",
            Unit::M => "m",
            Unit::H => "h",
            Unit::D => "d",
        }
    }
}

/// The longest timer: HAProxy keeps timers in 32-bit signed milliseconds, about 24.8 days.
pub const MAX_TIMER_MS: u64 = i32::MAX as u64;

/// What is wrong with a written duration. Offsets are bytes into the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No text at all.
    #[error("a duration is missing")]
    Empty,
    /// Something else than a digit where the number starts.
    #[error("a duration starts with digits")]
    NotANumber,
    /// A suffix that is no unit; the offset is where it starts.
    #[error("unknown time unit")]
    BadUnit(usize),
    /// Beyond what a timer can hold.
    #[error("duration too long (maximum is 2147483647 ms or ~24.8 days)")]
    Overflow,
    /// More than nothing, but less than the smallest step (1 ms).
    #[error("duration too short (minimum is 1 ms)")]
    Underflow,
}

impl DurationError {
    /// Where in the text the error is: start and length in bytes.
    pub fn span(self, text: &str) -> (usize, usize) {
        match self {
            DurationError::BadUnit(at) => (at, text.len() - at),
            _ => (0, text.len()),
        }
    }
}

/// Parse `text` in microseconds; a number without a suffix is in `default`.
///
/// The number may be any that fits 64 bits of microseconds; use [`parse`] for timers.
pub fn parse_micros(text: &str, default: Unit) -> Result<u64, DurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if digits == 0 {
        return Err(DurationError::NotANumber);
    }
    let unit = match &text[digits..] {
        "" => default,
        "us" => Unit::Us,
        "ms" => Unit::Ms,
        "s" => Unit::S,
        "m" => Unit::M,
        "h" => Unit::H,
        "d" => Unit::D,
        _ => return Err(DurationError::BadUnit(digits)),
    };
    let number: u64 = text[..digits].parse().map_err(|_| DurationError::Overflow)?;
    number.checked_mul(unit.micros()).ok_or(DurationError::Overflow)
}

/// Parse a timer: at most [`MAX_TIMER_MS`], and not between zero and one millisecond.
pub fn parse(text: &str, default: Unit) -> Result<Duration, DurationError> {
    let us = parse_micros(text, default)?;
    if us > MAX_TIMER_MS * 1000 {
        return Err(DurationError::Overflow);
    }
    if us > 0 && us < 1000 {
        return Err(DurationError::Underflow);
    }
    Ok(Duration::from_micros(us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(parse("5", Unit::Ms), Ok(Duration::from_millis(5)));
        assert_eq!(parse("5", Unit::S), Ok(Duration::from_secs(5)));
        assert_eq!(parse("1500us", Unit::S), Ok(Duration::from_micros(1500)));
        assert_eq!(parse("2m", Unit::Ms), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1h", Unit::Ms), Ok(Duration::from_secs(3600)));
        assert_eq!(parse("1d", Unit::Ms), Ok(Duration::from_secs(86400)));
        assert_eq!(parse("0", Unit::Ms), Ok(Duration::ZERO));
    }

    #[test]
    fn errors_name_their_place() {
        assert_eq!(parse("", Unit::Ms), Err(DurationError::Empty));
        assert_eq!(parse("-1", Unit::Ms), Err(DurationError::NotANumber));
        let e = parse("10 s", Unit::Ms).unwrap_err();
        assert_eq!(e, DurationError::BadUnit(2));
        assert_eq!(e.span("10 s"), (2, 2));
        assert_eq!(parse("25d", Unit::Ms), Err(DurationError::Overflow));
        assert_eq!(parse("99999999999999999999", Unit::Us), Err(DurationError::Overflow));
        assert_eq!(parse("999us", Unit::Ms), Err(DurationError::Underflow));
        assert!(parse("2147483647", Unit::Ms).is_ok());
        assert_eq!(parse("2147483648", Unit::Ms), Err(DurationError::Overflow));
    }
}
