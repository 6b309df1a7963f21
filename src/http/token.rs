//! Character classes and list syntax of RFC 9110 5.6: tokens, optional whitespace, comma lists.

/// One bit per class for each byte.
const TCHAR: u8 = 1;
const VALUE: u8 = 2;
const TARGET: u8 = 4;

const CLASS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            class |= TCHAR;
        }
        if b == b'\t' || (b >= 0x20 && b != 0x7f) {
            class |= VALUE;
        }
        if b > 0x20 && b < 0x7f {
            class |= TARGET;
        }
        table[i] = class;
        i += 1;
    }
    table
};

/// A byte of a token: method names, field names (RFC 9110 5.6.2).
#[inline]
pub fn is_tchar(b: u8) -> bool {
    CLASS[b as usize] & TCHAR != 0
}

/// A byte of a field value: tab, space, visible ASCII and 0x80-0xFF (RFC 9110 5.5); no control byte.
#[inline]
pub fn is_value_byte(b: u8) -> bool {
    CLASS[b as usize] & VALUE != 0
}

/// A byte that may stand in a request target: visible ASCII.
#[inline]
pub fn is_target_byte(b: u8) -> bool {
    CLASS[b as usize] & TARGET != 0
}

/// Whether `bytes` is a token of at least one byte.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_tchar(b))
}

/// `bytes` without spaces and tabs at both ends (OWS; nothing else counts as white space in HTTP).
#[inline]
pub fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma list, trimmed; commas inside quoted strings do not cut. Empty elements are given
/// too (HAProxy counts them; RFC 9110 5.6.1 says to skip them: callers that want that filter).
pub fn split_commas(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let all = rest?;
        let end = comma_end(all);
        rest = all.get(end + 1..);
        Some(trim_ows(&all[..end]))
    })
}

/// The length of the first element of a comma list: the position of the first comma outside a quoted
/// string, or the whole length.
pub fn comma_end(value: &[u8]) -> usize {
    let mut quoted = false;
    let mut i = 0;
    while i < value.len() {
        match value[i] {
            b'"' => quoted = !quoted,
            b'\\' if quoted => i += 1,
            b',' if !quoted => return i,
            _ => {}
        }
        i += 1;
    }
    value.len()
}

/// Whether a comma list contains `token`, in any case.
pub fn list_contains(value: &[u8], token: &[u8]) -> bool {
    split_commas(value).any(|t| t.eq_ignore_ascii_case(token))
}

/// A decimal number of digits only: no sign, no blank, no separator. `None` on anything else and beyond
/// `u64::MAX`.
pub fn parse_u64(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, &b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 { None } else { n.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

/// Appends `n` in decimal.
pub fn push_u64(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comma_lists_respect_quoted_strings() {
        let parts: Vec<&[u8]> = split_commas(b" a , \"b,\\\"c\" ,, d").collect();
        assert_eq!(parts, [&b"a"[..], b"\"b,\\\"c\"", b"", b"d"]);
        assert_eq!(split_commas(b"").count(), 1);
        assert_eq!(split_commas(b"\"open, a").count(), 1);
        assert!(list_contains(b"keep-alive, Upgrade", b"upgrade"));
        assert!(!list_contains(b"keep-alive, Upgraded", b"upgrade"));
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"18446744073709551616", b"+5", b"-1", b"0x5", b"1_0", b"1 0", b" 5"] {
            assert_eq!(parse_u64(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn numbers_print_as_std_does() {
        for n in [0, 7, 10, 999, 1_000_000, u64::MAX] {
            let mut out = Vec::new();
            push_u64(&mut out, n);
            assert_eq!(out, n.to_string().into_bytes());
        }
    }

    #[test]
    fn only_space_and_tab_are_white() {
        assert_eq!(trim_ows(b" \tx\t "), b"x");
        assert_eq!(trim_ows(b"\x0bx"), b"\x0bx");
        assert_eq!(trim_ows(b"  "), b"");
    }
}
