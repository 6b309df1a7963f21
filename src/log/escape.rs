//! Making outside bytes harmless in a line, and numbers without the formatting machinery.

/// How text is made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// Control bytes only, as `#XX`: values that the reference prints raw (samples, cookies). It prints control
    /// bytes too, and lets a client forge lines with `url_dec`; that we do not copy.
    Control,
    /// Everything outside 32..=126, `"` and `#`, as `#XX` (manual section 8.6).
    Log,
    /// As `Log`, and `{`, `|`, `}`: captured headers.
    Header,
    /// Bytes that a header field may not hold, as `%XX`.
    Http,
    /// Names from the configuration: as they are.
    None,
}

impl Escape {
    fn hits(self, c: u8) -> bool {
        match self {
            Escape::None => false,
            Escape::Control => c < 32 || c == 127,
            Escape::Log => !(32..=126).contains(&c) || c == b'"' || c == b'#',
            Escape::Header => Escape::Log.hits(c) || matches!(c, b'{' | b'|' | b'}'),
            Escape::Http => (c < 32 && c != b'\t') || c == 127,
        }
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Append `text`, with `backslash` also putting `\` in front of `"`, `\` and `]` (flag `E`).
pub(super) fn push(out: &mut Vec<u8>, text: &[u8], how: Escape, backslash: bool) {
    let mut from = 0;
    for (i, &c) in text.iter().enumerate() {
        let hit = how.hits(c);
        let slash = backslash && matches!(c, b'"' | b'\\' | b']');
        if !hit && !slash {
            continue;
        }
        out.extend_from_slice(&text[from..i]);
        if hit {
            let mark = if how == Escape::Http { b'%' } else { b'#' };
            out.extend_from_slice(&[mark, HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]]);
        } else {
            out.extend_from_slice(&[b'\\', c]);
        }
        from = i + 1;
    }
    out.extend_from_slice(&text[from..]);
}

/// Append a decimal number.
pub(super) fn push_int(out: &mut Vec<u8>, n: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut left = n.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if n < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// The last three digits of a number.
pub(super) fn three_digits(n: u64) -> [u8; 3] {
    let d = |n: u64| b'0' + (n % 10) as u8;
    [d(n / 100), d(n / 10), d(n)]
}

/// Append hexadecimal digits, upper case, at least `width` of them.
pub(super) fn push_hex(out: &mut Vec<u8>, n: u64, width: usize) {
    let digits = (16 - n.leading_zeros() as usize / 4).max(width).max(1);
    for i in (0..digits).rev() {
        out.push(HEX[(n >> (i * 4)) as usize & 15]);
    }
}

/// Append a JSON string. Bytes that are not UTF-8 become U+FFFD: JSON has no other way.
pub(super) fn push_json(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if (c as u32) < 32 || c as u32 == 127 => {
                out.extend_from_slice(b"\\u");
                push_hex(out, u64::from(c as u32), 4);
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// Append a CBOR data item head (RFC 8949 section 3): major type and argument.
pub(super) fn push_cbor_head(out: &mut Vec<u8>, major: u8, n: u64) {
    let m = major << 5;
    match n {
        0..=23 => out.push(m | n as u8),
        24..=0xff => out.extend_from_slice(&[m | 24, n as u8]),
        0x100..=0xffff => {
            out.push(m | 25);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(m | 26);
            out.extend_from_slice(&(n as u32).to_be_bytes());
        }
        _ => {
            out.push(m | 27);
            out.extend_from_slice(&n.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &[u8], how: Escape, backslash: bool) -> String {
        let mut v = Vec::new();
        push(&mut v, text, how, backslash);
        String::from_utf8_lossy(&v).into_owned()
    }

    #[test]
    fn the_reference_escapes_these_so() {
        assert_eq!(escaped(b"/a/b?x=\"y\"&z=[1]\\", Escape::Log, false), "/a/b?x=#22y#22&z=[1]\\");
        assert_eq!(escaped(b"/a/b?x=\"y\"&z=[1]\\", Escape::Log, true), "/a/b?x=#22y#22&z=[1\\]\\\\");
        assert_eq!(escaped(b"ex{a}|\"\\]#\xe9.com", Escape::Header, false), "ex#7Ba#7D#7C#22\\]#23#E9.com");
        assert_eq!(escaped(b"SID=zz\"x]", Escape::Control, false), "SID=zz\"x]");
        assert_eq!(escaped(b"SID=zz\"x]", Escape::Control, true), "SID=zz\\\"x\\]");
        assert_eq!(escaped(b"a\nb", Escape::Control, false), "a#0Ab");
        assert_eq!(escaped(b"a\n\tb", Escape::Http, false), "a%0A\tb");
    }

    #[test]
    fn numbers() {
        let text = |f: &dyn Fn(&mut Vec<u8>)| {
            let mut v = Vec::new();
            f(&mut v);
            String::from_utf8(v).expect("ASCII")
        };
        for n in [0, 7, -1, 10, i64::MAX, i64::MIN, -42] {
            assert_eq!(text(&|v| push_int(v, n)), n.to_string());
        }
        assert_eq!(text(&|v| push_hex(v, 3, 4)), "0003");
        assert_eq!(text(&|v| push_hex(v, 0x6B00_D13D, 4)), "6B00D13D");
        assert_eq!(text(&|v| push_hex(v, 0, 0)), "0");
        assert_eq!(text(&|v| push_hex(v, u64::MAX, 1)), "FFFFFFFFFFFFFFFF");
        assert_eq!((three_digits(7), three_digits(1234)), (*b"007", *b"234"));
        assert_eq!(text(&|v| push_json(v, b"a\"\\\n\x01\xff")), "\"a\\\"\\\\\\n\\u0001\u{fffd}\"");
        let mut v = Vec::new();
        for n in [0, 23, 24, 255, 256, 65_535, 65_536, u64::MAX] {
            push_cbor_head(&mut v, 3, n);
        }
        assert_eq!(v.len(), 1 + 1 + 2 + 2 + 3 + 3 + 5 + 9);
    }

    proptest! {
        #[test]
        fn escaped_text_is_printable_and_can_be_read_back(text: Vec<u8>) {
            for how in [Escape::Log, Escape::Header] {
                let mut v = Vec::new();
                push(&mut v, &text, how, false);
                prop_assert!(v.iter().all(|c| (32..127).contains(c) && *c != b'"'));
                let mut back = Vec::new();
                let mut i = 0;
                while i < v.len() {
                    if v[i] == b'#' {
                        let hex = std::str::from_utf8(&v[i + 1..i + 3]).expect("ASCII");
                        back.push(u8::from_str_radix(hex, 16).expect("two digits"));
                        i += 3;
                    } else {
                        back.push(v[i]);
                        i += 1;
                    }
                }
                prop_assert_eq!(&back, &text);
            }
        }
    }
}
