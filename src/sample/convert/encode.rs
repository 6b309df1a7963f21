//! Encodings: hexadecimal, base64, URL, JSON strings.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::sample::{Arg, ArgType, Args, Converter, Ctx, ExprCx, Sample, Scratch, Type};

const CHUNKS: &[ArgType] = &[ArgType::Str, ArgType::Int, ArgType::Int];

/// The table.
pub const CONVERTERS: &[Converter] = &[
    Converter::new("hex", Type::Bin, Type::Str, |_, s, _| {
        let mut out = Scratch::new();
        push_hex(s.bytes()?, out.vec());
        Some(Sample::Str(out.into()))
    })
    .doc("hexadecimal digits, upper case"),
    Converter::new("hex2i", Type::Bin, Type::Int, |_, s, _| {
        let b = s.bytes()?;
        b.iter()
            .try_fold(0i64, |v, c| Some(v.wrapping_shl(4) | i64::from((*c as char).to_digit(16)?)))
            .filter(|_| !b.is_empty())
            .map(Sample::Int)
    })
    .doc("hexadecimal digits to an integer"),
    Converter::new("base64", Type::Bin, Type::Str, |_, s, _| encode(s, false)).doc("base64"),
    Converter::new("b64dec", Type::Str, Type::Bin, |_, s, _| decode(s, false)).doc("decodes base64"),
    Converter::new("ub64enc", Type::Bin, Type::Str, |_, s, _| encode(s, true)).doc("base64url"),
    Converter::new("ub64dec", Type::Str, Type::Bin, |_, s, _| decode(s, true)).doc("decodes base64url"),
    Converter::new("url_dec", Type::Str, Type::Str, url_dec)
        .args(0, &[ArgType::Int])
        .doc("decodes %XX; '+' behind a '?', or everywhere when the argument is not 0"),
    Converter::new("url_enc", Type::Str, Type::Str, url_enc)
        .args(0, &[ArgType::Str])
        .prepare(|_, a| match a.str(0) {
            None | Some(b"" | b"query") => Ok(()),
            Some(_) => Err((0, "the only kind is 'query'".to_owned())),
        })
        .doc("encodes everything but unreserved characters as %XX"),
    Converter::new("be2dec", Type::Bin, Type::Str, be2dec)
        .args(1, CHUNKS)
        .prepare(|_, a| match a.int_or(1, 0) {
            1..=8 => Ok(()),
            _ => Err((1, "the chunk size must be 1 to 8".to_owned())),
        })
        .doc("big-endian integers of <size> bytes in decimal"),
    Converter::new("be2hex", Type::Bin, Type::Str, be2hex)
        .args(0, CHUNKS)
        .prepare(|_, a| {
            if a.int_or(1, 1) <= 0 && a.str(0).is_some_and(|s| !s.is_empty()) {
                return Err((1, "the chunk size must be positive".to_owned()));
            }
            Ok(())
        })
        .doc("hexadecimal digits with a separator between chunks"),
    Converter::new("htonl", Type::Int, Type::Bin, |_, s, _| {
        let Sample::Int(i) = s else { return None };
        Some(Sample::Bin(Scratch::of(&(i as u32).to_be_bytes()).into()))
    })
    .doc("32-bit integer in network byte order"),
    Converter::new("json", Type::Str, Type::Str, json)
        .args(0, &[ArgType::Str])
        .prepare(json_args)
        .doc("escapes for a JSON string; ascii, utf8, utf8s, utf8p, utf8ps"),
];

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn push_hex(b: &[u8], out: &mut Vec<u8>) {
    for c in b {
        out.extend_from_slice(&[HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]]);
    }
}

fn encode(s: Sample<'_>, url: bool) -> Option<Sample<'_>> {
    let b = s.bytes()?;
    let mut out = Scratch::new();
    let v = out.vec();
    v.resize(b.len().div_ceil(3) * 4, 0);
    let n = if url { URL_SAFE_NO_PAD.encode_slice(b, v) } else { STANDARD.encode_slice(b, v) }.ok()?;
    v.truncate(n);
    Some(Sample::Str(out.into()))
}

/// Decode base64 (or base64url without padding) into `out`, which is cleared.
pub(crate) fn base64_decode(b: &[u8], url: bool, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    out.resize(b.len().div_ceil(4) * 3, 0);
    let n = if url { URL_SAFE_NO_PAD.decode_slice(b, out) } else { STANDARD.decode_slice(b, out) }.ok()?;
    out.truncate(n);
    Some(())
}

fn decode(s: Sample<'_>, url: bool) -> Option<Sample<'_>> {
    let mut out = Scratch::new();
    let b = s.bytes()?;
    let b = if url { b.strip_suffix(b"==").or(b.strip_suffix(b"=")).unwrap_or(b) } else { b };
    base64_decode(b, url, out.vec())?;
    Some(Sample::Bin(out.into()))
}

fn url_dec<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let b = s.bytes()?;
    let mut in_query = a.int_or(0, 0) != 0;
    if memchr::memchr3(b'%', b'+', b'?', b).is_none() {
        return Some(s);
    }
    let mut out = Scratch::new();
    let mut i = 0;
    while let Some(&c) = b.get(i) {
        match c {
            b'%' => {
                let digit = |i: usize| b.get(i).and_then(|c| (*c as char).to_digit(16));
                out.vec().push((digit(i + 1)? * 16 + digit(i + 2)?) as u8);
                i += 2;
            }
            b'+' if in_query => out.vec().push(b' '),
            _ => {
                in_query |= c == b'?';
                out.vec().push(c);
            }
        }
        i += 1;
    }
    Some(Sample::Str(out.into()))
}

fn url_enc<'a>(_: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let mut out = Scratch::new();
    let v = out.vec();
    for &c in s.bytes()? {
        if c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'~') {
            v.push(c);
        } else {
            v.push(b'%');
            push_hex(&[c], v);
        }
    }
    Some(Sample::Str(out.into()))
}

fn be2dec<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    use std::io::Write;
    let (sep, size, cut) =
        (a.str(0).unwrap_or_default(), usize::try_from(a.int(1)?).ok()?, a.int_or(2, 0) != 0);
    let mut out = Scratch::new();
    for (i, chunk) in s.bytes()?.chunks(size).enumerate() {
        if cut && chunk.len() < size {
            break;
        }
        if i > 0 {
            out.vec().extend_from_slice(sep);
        }
        write!(out, "{}", chunk.iter().fold(0u64, |v, c| (v << 8) | u64::from(*c))).ok()?;
    }
    Some(Sample::Str(out.into()))
}

fn be2hex<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let sep = a.str(0).unwrap_or_default();
    let size = usize::try_from(a.int_or(1, 1)).ok()?.max(1);
    let cut = a.int_or(2, 0) != 0;
    let mut out = Scratch::new();
    for (i, chunk) in s.bytes()?.chunks(size).enumerate() {
        if cut && chunk.len() < size {
            break;
        }
        if i > 0 {
            out.vec().extend_from_slice(sep);
        }
        push_hex(chunk, out.vec());
    }
    Some(Sample::Str(out.into()))
}

const UTF8: i64 = 1;
const PERMISSIVE: i64 = 2;
const SILENT: i64 = 4;

fn json_args(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    let mode = match a.str(0).unwrap_or_default() {
        b"" | b"ascii" => 0,
        b"utf8" => UTF8,
        b"utf8s" => UTF8 | SILENT,
        b"utf8p" => UTF8 | PERMISSIVE,
        b"utf8ps" => UTF8 | PERMISSIVE | SILENT,
        other => {
            let t = String::from_utf8_lossy(other);
            return Err((0, format!("'{t}' is no input code; ascii, utf8, utf8s, utf8p and utf8ps are")));
        }
    };
    a.set(0, Arg::Int(mode));
    Ok(())
}

/// One decoded character, how many bytes it took, and whether it was encoded too long.
enum Decoded {
    Char(u32, usize, bool),
    Bad(usize),
}

fn decode_utf8(b: &[u8]) -> Decoded {
    let first = b[0];
    let (len, bits) = match first {
        0..=0x7f => return Decoded::Char(u32::from(first), 1, false),
        0xc0..=0xdf => (2, first & 0x1f),
        0xe0..=0xef => (3, first & 0x0f),
        0xf0..=0xf7 => (4, first & 0x07),
        _ => return Decoded::Bad(1),
    };
    let mut v = u32::from(bits);
    for i in 1..len {
        match b.get(i) {
            Some(c @ 0x80..=0xbf) => v = (v << 6) | u32::from(c & 0x3f),
            _ => return Decoded::Bad(i),
        }
    }
    let overlong = v < [0, 0, 0x80, 0x800, 0x1_0000][len];
    if (0xd800..=0xdfff).contains(&v) || v > 0x10_ffff {
        return Decoded::Bad(len);
    }
    Decoded::Char(v, len, overlong)
}

fn json<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let mode = a.int_or(0, 0);
    let has = |flag: i64| mode & flag != 0;
    let mut out = Scratch::new();
    let mut rest = s.bytes()?;
    while !rest.is_empty() {
        let decoded = if has(UTF8) { decode_utf8(rest) } else { Decoded::Char(u32::from(rest[0]), 1, false) };
        let (c, used) = match decoded {
            // JSON's \u takes four digits only.
            Decoded::Char(c, used, overlong) if c <= 0xffff && (!overlong || has(PERMISSIVE)) => {
                (Some(c), used)
            }
            Decoded::Char(_, used, _) | Decoded::Bad(used) => (None, used),
        };
        match c {
            Some(c) => push_json(c, out.vec()),
            None if has(SILENT) => {}
            None => return None,
        }
        rest = &rest[used..];
    }
    Some(Sample::Str(out.into()))
}

fn push_json(c: u32, out: &mut Vec<u8>) {
    let escaped: &[u8] = match c {
        0x22 => b"\\\"",
        0x5c => b"\\\\",
        0x2f => b"\\/",
        0x08 => b"\\b",
        0x0c => b"\\f",
        0x0a => b"\\n",
        0x0d => b"\\r",
        0x09 => b"\\t",
        0x20..=0x7e => {
            out.push(c as u8);
            return;
        }
        _ => {
            let lower = |n: u32| b"0123456789abcdef"[(n & 15) as usize];
            out.extend_from_slice(&[b'\\', b'u', lower(c >> 12), lower(c >> 8), lower(c >> 4), lower(c)]);
            return;
        }
    };
    out.extend_from_slice(escaped);
}
