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
        let _ = value;
        todo!()
    }

    /// The cookie of a `Set-Cookie` header's value if it matches, cut to the allowed length.
    pub fn in_response<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        let _ = value;
        todo!()
    }
}
