//! Bytes that either borrow from the message or own scratch memory from a per-thread pool, so that
//! evaluating an expression calls no allocator in the steady state.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;

/// Scratch buffers a thread keeps; more are freed on return.
const POOL_BUFFERS: usize = 32;
/// A returned buffer larger than this is freed, so that one huge value does not stay for ever. In bytes.
const POOL_BUFFER_MAX: usize = 64 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Scratch memory from this thread's pool; goes back on drop.
#[derive(Default, Debug)]
pub struct Scratch(Vec<u8>);

impl Scratch {
    /// An empty buffer.
    pub fn new() -> Scratch {
        Scratch(POOL.try_with(|p| p.borrow_mut().pop()).ok().flatten().unwrap_or_default())
    }

    /// A buffer with a copy of `bytes`.
    pub fn of(bytes: &[u8]) -> Scratch {
        let mut s = Scratch::new();
        s.0.extend_from_slice(bytes);
        s
    }

    /// The vector, for everything that writes.
    pub fn vec(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut v = std::mem::take(&mut self.0);
        if v.capacity() == 0 || v.capacity() > POOL_BUFFER_MAX {
            return;
        }
        v.clear();
        // The pool is gone while the thread ends: the buffer is freed then.
        let _ = POOL.try_with(|p| {
            let mut p = p.borrow_mut();
            if p.len() < POOL_BUFFERS {
                p.push(v);
            }
        });
    }
}

impl Deref for Scratch {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::io::Write for Scratch {
    fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(b);
        Ok(b.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Borrowed or pooled bytes.
pub enum Buf<'a> {
    /// Part of a message, a configuration value, a name.
    Borrowed(&'a [u8]),
    /// The value was computed.
    Owned(Scratch),
}

impl<'a> Buf<'a> {
    /// The same bytes cut to `range`, without copying when they are borrowed.
    pub fn slice(self, start: usize, end: usize) -> Buf<'a> {
        match self {
            Buf::Borrowed(b) => Buf::Borrowed(&b[start..end]),
            Buf::Owned(mut s) => {
                s.0.truncate(end);
                s.0.drain(..start);
                Buf::Owned(s)
            }
        }
    }

    /// The bytes for changing in place; copied first when they are borrowed.
    pub fn make_mut(&mut self) -> &mut Vec<u8> {
        if let Buf::Borrowed(b) = self {
            *self = Buf::Owned(Scratch::of(b));
        }
        match self {
            Buf::Owned(s) => s.vec(),
            Buf::Borrowed(_) => unreachable!("replaced by an owned buffer above"),
        }
    }
}

impl Deref for Buf<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Buf::Borrowed(b) => b,
            Buf::Owned(s) => s,
        }
    }
}

impl<'a> From<&'a [u8]> for Buf<'a> {
    fn from(b: &'a [u8]) -> Buf<'a> {
        Buf::Borrowed(b)
    }
}

impl From<Scratch> for Buf<'_> {
    fn from(s: Scratch) -> Self {
        Buf::Owned(s)
    }
}

impl fmt::Debug for Buf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_is_recycled() {
        let p = {
            let s = Scratch::of(b"hello");
            s.as_ptr()
        };
        let t = Scratch::of(b"again");
        assert_eq!(p, t.as_ptr());
        assert_eq!(&*t, b"again");
    }

    #[test]
    fn slices_cut_both_kinds() {
        assert_eq!(&*Buf::from(&b"abcdef"[..]).slice(1, 3), b"bc");
        assert_eq!(&*Buf::from(Scratch::of(b"abcdef")).slice(2, 6), b"cdef");
        let mut b = Buf::from(&b"x"[..]);
        b.make_mut().push(b'y');
        assert_eq!(&*b, b"xy");
    }
}
