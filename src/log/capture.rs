//! Captures: what a frontend wants to remember of each message for its log lines.

/// One capture slot as declared (`capture request header`, `declare capture`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureDecl {
    /// Header to capture; `None` for `declare capture`, which only rules fill.
    pub header: Option<String>,
    /// Bytes kept at most.
    pub len: usize,
}

/// The captured values of one direction. Reused from exchange to exchange without giving memory back.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    set: bool,
    value: Vec<u8>,
}

impl Captures {
    /// Forget all values and make room for `n` slots.
    pub fn reset(&mut self, n: usize) {
        self.slots.resize_with(n, Slot::default);
        for s in &mut self.slots {
            s.set = false;
            s.value.clear();
        }
    }

    /// Keep the first `len` bytes of `value` in slot `i`. A slot that does not exist takes nothing.
    pub fn store(&mut self, i: usize, len: usize, value: &[u8]) {
        if let Some(s) = self.slots.get_mut(i) {
            s.set = true;
            s.value.clear();
            s.value.extend_from_slice(&value[..value.len().min(len)]);
        }
    }

    /// The value in slot `i`, if something was captured.
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        self.slots.get(i).filter(|s| s.set).map(|s| s.value.as_slice())
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True when the frontend declares no capture.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The slots in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.slots.iter().map(|s| s.set.then_some(s.value.as_slice()))
    }
}

/// `capture cookie NAME len N`: the first cookie whose name begins with NAME; the exact name when NAME ends
/// in `=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieCapture {
    /// What the `name=value` text must begin with.
    pub prefix: String,
    /// Bytes kept at most, name included.
    pub len: usize,
}

impl CookieCapture {
    /// The first matching cookie in the value of a `Cookie` header, cut to the allowed length.
    pub fn in_request<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        pairs(value).map(trim).find(|pair| pair.starts_with(self.prefix.as_bytes())).map(|p| self.cut(p))
    }

    /// The cookie of a `Set-Cookie` header's value if it matches, without its attributes, cut to the allowed length.
    pub fn in_response<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        let pair = trim(pairs(value).next()?);
        pair.starts_with(self.prefix.as_bytes()).then(|| self.cut(pair))
    }

    fn cut<'v>(&self, text: &'v [u8]) -> &'v [u8] {
        &text[..text.len().min(self.len)]
    }
}

/// The pairs of a `Cookie` value: separated by semicolons, except inside quotes.
fn pairs(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let mut quoted = false;
        let end = text.iter().position(|c| {
            quoted ^= *c == b'"';
            *c == b';' && !quoted
        });
        let Some(end) = end else { return Some(text) };
        rest = Some(&text[end + 1..]);
        Some(&text[..end])
    })
}

fn trim(s: &[u8]) -> &[u8] {
    s.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_what_fits_and_forget_on_reset() {
        let mut c = Captures::default();
        assert!(c.is_empty());
        c.reset(2);
        c.store(0, 4, b"abcdef");
        c.store(7, 4, b"nowhere");
        assert_eq!((c.get(0), c.get(1), c.get(7), c.len()), (Some(&b"abcd"[..]), None, None, 2));
        c.store(1, 4, b"");
        assert_eq!(c.iter().collect::<Vec<_>>(), [Some(&b"abcd"[..]), Some(b"")]);
        c.reset(2);
        assert_eq!(c.get(0), None);
    }

    #[test]
    fn cookies_are_found_by_prefix_or_exactly() {
        let by = |prefix: &str, len| CookieCapture { prefix: prefix.into(), len };
        let value = b"a=1; ASPSESSIONX=abc; ASPSESSION=def";
        assert_eq!(by("ASPSESSION", 63).in_request(value), Some(&b"ASPSESSIONX=abc"[..]));
        assert_eq!(by("ASPSESSION=", 63).in_request(value), Some(&b"ASPSESSION=def"[..]));
        assert_eq!(by("ASPSESSION", 13).in_request(value), Some(&b"ASPSESSIONX=a"[..]));
        assert_eq!(by("B", 63).in_request(value), None);
        assert_eq!(by("b=", 63).in_request(b"a=\"x; b=1\"; b=2"), Some(&b"b=2"[..]));
        assert_eq!(by("S", 63).in_response(b" SID=1; path=/"), Some(&b"SID=1"[..]));
        assert_eq!(by("S", 63).in_response(b"SID=\"a;b"), Some(&b"SID=\"a;b"[..]));
        assert_eq!(by("S=", 63).in_response(b"SID=1"), None);
    }
}
