//! `normalize-uri`. RFC 3986 section 6.2.

use crate::rules::action::{Act, Action, ActionCx, Parsed, Sets, Step};
use crate::rules::{Answer, MessageCx, Verdict};
use crate::sample::Scratch;

use super::request_line::{Part, put};

/// The table.
pub const ACTIONS: &[Action] = &[Action::new(
    "normalize-uri",
    Sets::HTTP_REQ,
    "normalize-uri { fragment-encode | fragment-strip | path-merge-slashes | path-strip-dot | \
     path-strip-dotdot [ full ] | percent-decode-unreserved [ strict ] | percent-to-uppercase [ strict ] | \
     query-sort-by-name }",
    parse,
)
.doc("brings the request target into a normal form")];

/// Gives the new text, or `None` for a target that is refused.
type Normalize = fn(&[u8], &mut Vec<u8>) -> Option<()>;

struct Normalizer {
    part: Part,
    run: Normalize,
    refusal: Answer,
}

fn parse(cx: &mut ActionCx<'_, '_>) -> Parsed {
    let w = cx.arg("a normalizer")?;
    let (part, run): (Part, Normalize) = match w.bytes.as_slice() {
        b"fragment-encode" => (Part::Uri, fragment_encode),
        b"fragment-strip" => (Part::Uri, fragment_strip),
        b"path-merge-slashes" => (Part::Path, merge_slashes),
        b"path-strip-dot" => (Part::Path, strip_dot),
        b"path-strip-dotdot" if cx.accept("full") => (Part::Path, strip_dotdot_full),
        b"path-strip-dotdot" => (Part::Path, strip_dotdot),
        b"percent-decode-unreserved" if cx.accept("strict") => (Part::Uri, |i, o| percent(i, o, true, true)),
        b"percent-decode-unreserved" => (Part::Uri, |i, o| percent(i, o, true, false)),
        b"percent-to-uppercase" if cx.accept("strict") => (Part::Uri, |i, o| percent(i, o, false, true)),
        b"percent-to-uppercase" => (Part::Uri, |i, o| percent(i, o, false, false)),
        b"query-sort-by-name" => (Part::Query, sort_query),
        _ => return cx.error(w.loc, format_args!("'{}' is no normalizer", w.text())),
    };
    Some(Box::new(Normalizer { part, run, refusal: Answer::page(400) }))
}

impl Act for Normalizer {
    fn run<'r>(&'r self, cx: &mut dyn MessageCx) -> Step<'r> {
        let Some(r) = cx.request_mut() else { return Step::Next };
        let old = match self.part {
            Part::Path => r.path(),
            Part::Query => r.query(),
            _ => Some(r.target()),
        };
        let Some(old) = old else { return Step::Next };
        let mut new = Scratch::new();
        if (self.run)(old, new.vec()).is_none() {
            return Step::End(Verdict::Deny(&self.refusal));
        }
        if *new != *old {
            put(r, self.part, &new);
        }
        Step::Next
    }
}

fn fragment_encode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    for c in text {
        match c {
            b'#' => out.extend_from_slice(b"%23"),
            c => out.push(*c),
        }
    }
    Some(())
}

fn fragment_strip(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(text.split(|c| *c == b'#').next().unwrap_or_default());
    Some(())
}

fn merge_slashes(path: &[u8], out: &mut Vec<u8>) -> Option<()> {
    for c in path {
        if *c != b'/' || out.last() != Some(&b'/') {
            out.push(*c);
        }
    }
    Some(())
}

/// Drops segments that are a single dot.
fn strip_dot(path: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = path;
    while let Some(slash) = memchr::memchr(b'/', rest) {
        let segment = &rest[..slash];
        if segment != b"." {
            out.extend_from_slice(&rest[..=slash]);
        }
        rest = &rest[slash + 1..];
    }
    if rest != b"." {
        out.extend_from_slice(rest);
    }
    Some(())
}

fn strip_dotdot(path: &[u8], out: &mut Vec<u8>) -> Option<()> {
    dotdot(path, out, false)
}

fn strip_dotdot_full(path: &[u8], out: &mut Vec<u8>) -> Option<()> {
    dotdot(path, out, true)
}

/// Lets `..` take the segment before it away; with `full`, also where there is none.
fn dotdot(path: &[u8], out: &mut Vec<u8>, full: bool) -> Option<()> {
    let (absolute, mut rest) = match path.strip_prefix(b"/") {
        Some(r) => (true, r),
        None => (false, path),
    };
    if absolute {
        out.push(b'/');
    }
    // Bytes of `out` that no `..` may take away: the leading slash and kept `../`.
    let mut floor = out.len();
    loop {
        let slash = memchr::memchr(b'/', rest);
        let (segment, tail) = match slash {
            Some(i) => (&rest[..i], Some(&rest[i + 1..])),
            None => (rest, None),
        };
        if segment != b".." {
            out.extend_from_slice(segment);
            if slash.is_some() {
                out.push(b'/');
            }
        } else if out.len() > floor {
            out.pop();
            let keep = memchr::memrchr(b'/', &out[floor..]).map_or(floor, |i| floor + i + 1);
            out.truncate(keep);
        } else if !full {
            out.extend_from_slice(if slash.is_some() { b"../" } else { b".." });
            floor = out.len();
        }
        match tail {
            Some(t) => rest = t,
            None => return Some(()),
        }
    }
}

/// Walks over `%XX`: decodes unreserved characters, or puts the digits in upper case. With `strict`, a percent sign
/// without two digits is refused.
fn percent(text: &[u8], out: &mut Vec<u8>, decode: bool, strict: bool) -> Option<()> {
    let mut i = 0;
    while let Some(&c) = text.get(i) {
        i += 1;
        if c != b'%' {
            out.push(c);
            continue;
        }
        let digit = |i: usize| text.get(i).and_then(|c| (*c as char).to_digit(16));
        match (digit(i), digit(i + 1)) {
            (Some(h), Some(l)) => {
                let v = (h * 16 + l) as u8;
                if decode && (v.is_ascii_alphanumeric() || matches!(v, b'-' | b'.' | b'_' | b'~')) {
                    out.push(v);
                } else if decode {
                    out.extend_from_slice(&[b'%', text[i], text[i + 1]]);
                } else {
                    out.extend_from_slice(&[
                        b'%',
                        text[i].to_ascii_uppercase(),
                        text[i + 1].to_ascii_uppercase(),
                    ]);
                }
                i += 2;
            }
            _ if strict => return None,
            _ => out.push(b'%'),
        }
    }
    Some(())
}

/// Insertion by name into the output, stable, without a list of the parameters.
fn sort_query(query: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let name = |p: &[u8]| p.iter().position(|c| *c == b'=').unwrap_or(p.len());
    let mut parts: smallvec::SmallVec<[&[u8]; 16]> = query.split(|c| *c == b'&').collect();
    parts.sort_by(|a, b| a[..name(a)].cmp(&b[..name(b)]));
    for (i, p) in parts.iter().enumerate() {
        if i > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(p);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(f: Normalize, t: &str) -> String {
        let mut out = Vec::new();
        match f(t.as_bytes(), &mut out) {
            Some(()) => String::from_utf8_lossy(&out).into_owned(),
            None => "refused".into(),
        }
    }

    #[test]
    fn examples_of_the_manual() {
        assert_eq!(text(fragment_encode, "/#foo"), "/%23foo");
        assert_eq!(text(fragment_strip, "/#foo"), "/");
        for (t, w) in
            [("/.", "/"), ("/./bar/", "/bar/"), ("/a/./a", "/a/a"), ("/.well-known/", "/.well-known/")]
        {
            assert_eq!(text(strip_dot, t), w, "{t}");
        }
        for (t, w, full) in [
            ("/foo/../", "/", "/"),
            ("/foo/../bar/", "/bar/", "/bar/"),
            ("/foo/bar/../", "/foo/", "/foo/"),
            ("/../bar/", "/../bar/", "/bar/"),
            ("/bar/../../", "/../", "/"),
            ("/foo//../", "/foo/", "/foo/"),
            ("/foo/%2E%2E/", "/foo/%2E%2E/", "/foo/%2E%2E/"),
            ("/foo/..", "/", "/"),
        ] {
            assert_eq!(text(strip_dotdot, t), w, "{t}");
            assert_eq!(text(strip_dotdot_full, t), full, "{t}");
        }
        assert_eq!(text(merge_slashes, "//"), "/");
        assert_eq!(text(merge_slashes, "/foo//bar"), "/foo/bar");
        let decode: Normalize = |i, o| percent(i, o, true, false);
        let strict: Normalize = |i, o| percent(i, o, true, true);
        for (t, w, s) in [
            ("/%61dmin", "/admin", "/admin"),
            ("/foo%3Fbar=baz", "/foo%3Fbar=baz", "/foo%3Fbar=baz"),
            ("/%%36%36", "/%66", "refused"),
            ("/%ZZ", "/%ZZ", "refused"),
        ] {
            assert_eq!(text(decode, t), w, "{t}");
            assert_eq!(text(strict, t), s, "{t}");
        }
        let upper: Normalize = |i, o| percent(i, o, false, false);
        assert_eq!((text(upper, "/%6f"), text(upper, "/%zz")), ("/%6F".into(), "/%zz".into()));
        assert_eq!(text(sort_query, "c=3&a=1&b=2"), "a=1&b=2&c=3");
        assert_eq!(text(sort_query, "aaa=3&a=1&aa=2"), "a=1&aa=2&aaa=3");
        assert_eq!(text(sort_query, "a=3&b=4&a=1&b=5&a=2"), "a=3&a=1&a=2&b=4&b=5");
    }
}
