//! Sizes as the configuration writes them: an integer and one of `k m g`, in either case (manual section
//! "Size format").

/// What is wrong with a written size. The offset is bytes into the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No text at all.
    #[error("a size is missing")]
    Empty,
    /// Something else than a digit where the number starts.
    #[error("a size starts with digits")]
    NotANumber,
    /// A suffix that is no unit; the offset is where it starts.
    #[error("unknown size unit")]
    BadUnit(usize),
    /// Does not fit 64 bits.
    #[error("size too large")]
    Overflow,
}

impl SizeError {
    /// Where in the text the error is: start and length in bytes.
    pub fn span(self, text: &str) -> (usize, usize) {
        match self {
            SizeError::BadUnit(at) => (at, text.len() - at),
            _ => (0, text.len()),
        }
    }
}

/// Parse a size in bytes: `4096`, `16k`, `1M`, `2g`.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    if text.is_empty() {
        return Err(SizeError::Empty);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(SizeError::NotANumber);
    }
    let shift = match &text[digits..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(SizeError::BadUnit(digits)),
    };
    let number: u64 = text[..digits].parse().map_err(|_| SizeError::Overflow)?;
    number.checked_mul(1 << shift).ok_or(SizeError::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("16384"), Ok(16384));
        assert_eq!(parse("16k"), Ok(16384));
        assert_eq!(parse("5K"), Ok(5120));
        assert_eq!(parse("1m"), Ok(1 << 20));
        assert_eq!(parse("3G"), Ok(3 << 30));
    }

    #[test]
    fn errors() {
        assert_eq!(parse(""), Err(SizeError::Empty));
        assert_eq!(parse("k"), Err(SizeError::NotANumber));
        assert_eq!(parse("1.5m"), Err(SizeError::BadUnit(1)));
        assert_eq!(parse("10kb"), Err(SizeError::BadUnit(2)));
        assert_eq!(parse("99999999999g"), Err(SizeError::Overflow));
    }
}
