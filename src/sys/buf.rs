//! Receive buffers: slices of a ring's provided buffers, reference counted, and what can be sent.
//!
//! The pool grows by chunks when the kernel runs low on buffers, because slow peers may hold many, and
//! shrinks when they come back. Buffers are carved with a stride that is not a power of two: with 16 KiB steps
//! the first lines of all buffers, which is all that a small request touches, would fall into a handful of
//! cache sets.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use io_uring::types::BufRingEntry;

/// Buffers per chunk: 64 x 16 KiB = 1 MiB.
const CHUNK: u32 = 64;
/// Heap memory that a slice is appended to grows up to this.
const HEAP_BYTES: usize = 16384;
/// Distance between two buffers beyond their size, see the module's comment.
const STAGGER: usize = 256;

/// One mapping of `CHUNK` buffers.
struct Chunk {
    base: NonNull<u8>,
    len: usize,
    /// Buffers of this chunk that are neither in the ring nor in use: withheld because the chunk is leaving.
    withheld: u32,
    /// Being emptied: its buffers are not given back to the kernel any more.
    leaving: bool,
}

/// The provided buffers of one ring, and the slices of them that are in use.
pub struct Pool {
    ring: NonNull<BufRingEntry>,
    entries: u32,
    buf_size: usize,
    max: u32,
    /// False once the ring is gone: buffers are no longer given back.
    open: Cell<bool>,
    tail: Cell<u16>,
    /// Slices of each buffer, by buffer id.
    refs: Box<[Cell<u32>]>,
    base: Box<[Cell<*mut u8>]>,
    chunks: RefCell<Vec<Option<Chunk>>>,
    /// Buffers that the kernel may fill.
    in_ring: Cell<u32>,
    /// Buffers that exist (withheld ones excluded).
    total: Cell<u32>,
    /// Fewest buffers in the ring since the last `tend`.
    fewest: Cell<u32>,
    /// Chunks being emptied.
    leaving: Cell<u32>,
}

impl Pool {
    /// Maps the ring for at most `max` buffers (rounded up to a power of two of at least one chunk) and
    /// `initial` buffers. The caller registers it.
    pub(super) fn new(buf_size: usize, initial: u32, max: u32) -> io::Result<Rc<Pool>> {
        let entries = max.clamp(CHUNK, 32768).next_power_of_two();
        let ring = map(entries as usize * size_of::<BufRingEntry>())?;
        let n = entries as usize;
        let pool = Rc::new(Pool {
            ring: ring.cast(),
            entries,
            buf_size,
            max: entries,
            open: Cell::new(true),
            tail: Cell::new(0),
            refs: vec![Cell::new(0); n].into_boxed_slice(),
            base: vec![Cell::new(std::ptr::null_mut()); n].into_boxed_slice(),
            chunks: RefCell::new((0..entries / CHUNK).map(|_| None).collect()),
            in_ring: Cell::new(0),
            total: Cell::new(0),
            fewest: Cell::new(u32::MAX),
            leaving: Cell::new(0),
        });
        while pool.total.get() < initial.min(entries) {
            pool.grow()?;
        }
        Ok(pool)
    }

    /// Address and number of entries of the ring, for registering.
    pub(super) fn ring(&self) -> (u64, u16) {
        (self.ring.as_ptr() as u64, self.entries as u16)
    }

    /// Buffers that the kernel may fill now.
    pub fn available(&self) -> u32 {
        self.in_ring.get()
    }

    /// Buffers that exist.
    pub fn total(&self) -> u32 {
        self.total.get()
    }

    /// Buffers that may exist at most.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// Size of one buffer in bytes.
    pub fn buf_size(&self) -> usize {
        self.buf_size
    }

    /// Buffers held by slices.
    pub fn in_use(&self) -> u32 {
        self.total.get() - self.in_ring.get()
    }

    /// True when nearly everything is held by slices: what is received now should be copied out.
    pub fn scarce(&self) -> bool {
        self.max - self.in_use() < self.max / 8
    }

    /// Adds a chunk of buffers when few are left, or a receive found none (`starved`); false when the limit is
    /// reached or no memory is to be had.
    pub fn grow_if_low(&self, starved: bool) -> bool {
        (!starved && self.in_ring.get() >= CHUNK / 4) || self.grow().is_ok()
    }

    fn grow(&self) -> io::Result<()> {
        let mut chunks = self.chunks.borrow_mut();
        // A chunk on its way out is called back first.
        if let Some(i) = chunks.iter().position(|c| c.as_ref().is_some_and(|c| c.leaving)) {
            let chunk = chunks[i].as_mut().expect("found above");
            chunk.leaving = false;
            self.leaving.set(self.leaving.get() - 1);
            let withheld = std::mem::take(&mut chunk.withheld);
            self.total.set(self.total.get() + withheld);
            drop(chunks);
            let first = i as u32 * CHUNK;
            for bid in first..first + CHUNK {
                if self.refs[bid as usize].get() == WITHHELD {
                    self.give(bid);
                }
            }
            return Ok(());
        }
        let Some(i) = chunks.iter().position(Option::is_none) else {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        };
        let stride = self.buf_size + STAGGER;
        let len = stride * CHUNK as usize;
        let base = map(len)?;
        chunks[i] = Some(Chunk { base, len, withheld: 0, leaving: false });
        drop(chunks);
        let first = i as u32 * CHUNK;
        for n in 0..CHUNK {
            // SAFETY: n * stride stays inside the mapping of CHUNK * stride bytes.
            let at = unsafe { base.as_ptr().add(n as usize * stride) };
            self.base[(first + n) as usize].set(at);
            self.give(first + n);
        }
        self.total.set(self.total.get() + CHUNK);
        Ok(())
    }

    /// Hands a buffer to the kernel.
    fn give(&self, bid: u32) {
        self.refs[bid as usize].set(0);
        let tail = self.tail.get();
        let at = u32::from(tail) & (self.entries - 1);
        // SAFETY: `at` is inside the ring's mapping; the kernel reads an entry only after the tail moved past
        // it, and there are never more buffers than entries, so this entry is not in the kernel's hands.
        // Fields are set one by one because entry 0's `resv` is the ring's tail.
        unsafe {
            let entry = &mut *self.ring.as_ptr().add(at as usize);
            entry.set_addr(self.base[bid as usize].get() as u64);
            entry.set_len(self.buf_size as u32);
            entry.set_bid(bid as u16);
        }
        let tail = tail.wrapping_add(1);
        self.tail.set(tail);
        // SAFETY: `BufRingEntry::tail` points at the tail inside the mapping; both sides access it as an
        // atomic 16-bit value, the release store publishes the entry above.
        unsafe {
            let p = BufRingEntry::tail(self.ring.as_ptr()).cast_mut().cast::<std::sync::atomic::AtomicU16>();
            (*p).store(tail, std::sync::atomic::Ordering::Release);
        }
        self.in_ring.set(self.in_ring.get() + 1);
    }

    /// The kernel has filled `len` bytes of buffer `bid`.
    pub(super) fn taken(self: &Rc<Pool>, bid: u16, len: usize) -> RecvBuf {
        let bid = u32::from(bid);
        debug_assert_eq!(self.refs[bid as usize].get(), 0);
        debug_assert!(len <= self.buf_size);
        self.refs[bid as usize].set(1);
        let left = self.in_ring.get() - 1;
        self.in_ring.set(left);
        self.fewest.set(self.fewest.get().min(left));
        let ptr = NonNull::new(self.base[bid as usize].get()).expect("a mapped buffer");
        RecvBuf { ptr, len: len as u32, bid, owner: Owner::Ring(self.clone()) }
    }

    fn put(&self, bid: u32) {
        if !self.open.get() {
            return;
        }
        if self.leaving.get() > 0 && self.withhold(bid) {
            return;
        }
        self.give(bid);
    }

    /// Keeps a returned buffer back when its chunk is leaving; unmaps the chunk with its last one.
    #[cold]
    fn withhold(&self, bid: u32) -> bool {
        let mut chunks = self.chunks.borrow_mut();
        let slot = &mut chunks[(bid / CHUNK) as usize];
        let Some(chunk) = slot.as_mut().filter(|c| c.leaving) else { return false };
        self.refs[bid as usize].set(WITHHELD);
        self.total.set(self.total.get() - 1);
        chunk.withheld += 1;
        if chunk.withheld == CHUNK {
            unmap(chunk.base, chunk.len);
            *slot = None;
            self.leaving.set(self.leaving.get() - 1);
        }
        true
    }

    /// Housekeeping, about once per second: lets chunks go that the last period never needed. Memory of a leaving
    /// chunk is given back at once when the kernel has all of its buffers; the addresses stay valid, so a
    /// buffer that it still fills is simply backed again.
    ///
    /// Only to be called when every completion that the kernel has posted has been taken: else a filled buffer
    /// would still look like an empty one.
    pub(super) fn tend(&self) {
        let fewest = self.fewest.replace(self.in_ring.get());
        if self.total.get() <= 2 * CHUNK || fewest < 2 * CHUNK || fewest == u32::MAX {
            return;
        }
        let mut surplus = (fewest / CHUNK).div_ceil(4);
        let mut chunks = self.chunks.borrow_mut();
        for (i, slot) in chunks.iter_mut().enumerate().rev() {
            let Some(chunk) = slot.as_mut().filter(|c| !c.leaving) else { continue };
            if surplus == 0 || i == 0 {
                break;
            }
            surplus -= 1;
            chunk.leaving = true;
            self.leaving.set(self.leaving.get() + 1);
            let first = i * CHUNK as usize;
            if self.refs[first..first + CHUNK as usize].iter().all(|r| r.get() == 0) {
                // SAFETY: the range is one whole mapping of ours; no slice points into it (all refs are 0) and the
                // kernel holds no data in it that we have not seen (the caller's promise).
                unsafe { libc::madvise(chunk.base.as_ptr().cast(), chunk.len, libc::MADV_DONTNEED) };
            }
        }
    }

    /// The ring is gone (or the kernel has no operation left that could fill a buffer).
    pub(super) fn close(&self) {
        self.open.set(false);
    }
}

/// `refs` value of a buffer that was not given back to the kernel.
const WITHHELD: u32 = u32::MAX;

impl Drop for Pool {
    fn drop(&mut self) {
        for chunk in self.chunks.get_mut().iter().flatten() {
            unmap(chunk.base, chunk.len);
        }
        unmap(self.ring.cast(), self.entries as usize * size_of::<BufRingEntry>());
    }
}

fn map(len: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a fresh anonymous private mapping has no requirements and aliases nothing.
    let p = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if p == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(NonNull::new(p.cast()).expect("mmap never maps page 0"))
}

fn unmap(base: NonNull<u8>, len: usize) {
    // SAFETY: base and len come from `map`; callers own the mapping and no slice of it is left (a slice keeps
    // the pool alive, and a chunk is unmapped only when all its buffers are withheld).
    unsafe { libc::munmap(base.as_ptr().cast(), len) };
}

#[derive(Clone)]
enum Owner {
    None,
    Ring(Rc<Pool>),
    Heap(Rc<Vec<u8>>),
}

/// A slice of received bytes. Cloning and splitting share the memory; a provided buffer goes back to its
/// ring when the last slice of it is dropped. Not `Send`: a buffer belongs to its thread.
pub struct RecvBuf {
    ptr: NonNull<u8>,
    len: u32,
    bid: u32,
    owner: Owner,
}

impl RecvBuf {
    /// An empty slice, without memory behind it.
    pub fn empty() -> RecvBuf {
        RecvBuf { ptr: NonNull::dangling(), len: 0, bid: 0, owner: Owner::None }
    }

    /// Takes over heap memory (below 4 GiB) as if it had been received.
    pub fn from_vec(mut bytes: Vec<u8>) -> RecvBuf {
        let len = u32::try_from(bytes.len()).expect("received buffers are below 4 GiB");
        let ptr = NonNull::new(bytes.as_mut_ptr()).expect("a vector's pointer is never null");
        // Moving the vector into the Rc leaves its heap memory, and so `ptr`, where it is.
        RecvBuf { ptr, len, bid: 0, owner: Owner::Heap(Rc::new(bytes)) }
    }

    /// Cuts off and returns the first `n` bytes; both halves share the memory.
    ///
    /// # Panics
    /// When `n > self.len()`.
    pub fn split_to(&mut self, n: usize) -> RecvBuf {
        assert!(n <= self.len as usize);
        if n == self.len as usize {
            return std::mem::replace(self, RecvBuf::empty());
        }
        let mut front = self.clone();
        front.len = n as u32;
        self.advance(n);
        front
    }

    /// Drops the first `n` bytes.
    ///
    /// # Panics
    /// When `n > self.len()`.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len as usize);
        // SAFETY: n is within the slice, so the pointer stays inside (or one past) its memory.
        self.ptr = unsafe { self.ptr.add(n) };
        self.len -= n as u32;
    }

    /// Keeps the first `n` bytes only; no effect when there are fewer.
    pub fn truncate(&mut self, n: usize) {
        self.len = self.len.min(u32::try_from(n).unwrap_or(u32::MAX));
    }

    /// Copies `bytes` behind this slice when the memory there belongs to nobody else; false when it does not fit
    /// or another slice shares the buffer. Keeps a queue of tiny segments from holding a buffer each.
    pub fn try_append(&mut self, bytes: &[u8]) -> bool {
        match &mut self.owner {
            Owner::None => false,
            Owner::Ring(pool) => {
                if pool.refs[self.bid as usize].get() != 1 {
                    return false;
                }
                let base = pool.base[self.bid as usize].get();
                let end = self.ptr.as_ptr() as usize - base as usize + self.len as usize;
                if end + bytes.len() > pool.buf_size {
                    return false;
                }
                // SAFETY: the target range lies inside this buffer, behind our slice; we hold the only slice of it
                // (refs == 1) and the kernel does not, so nobody else reads or writes it. `bytes` cannot overlap: it
                // borrows other memory, as the only slice of this buffer is `self`, which is borrowed mutably.
                unsafe {
                    let to = self.ptr.as_ptr().add(self.len as usize);
                    std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
                }
                self.len += bytes.len() as u32;
                true
            }
            Owner::Heap(rc) => {
                let Some(vec) = Rc::get_mut(rc) else { return false };
                let start = self.ptr.as_ptr() as usize - vec.as_ptr() as usize;
                let end = start + self.len as usize;
                if end + bytes.len() > HEAP_BYTES {
                    return false;
                }
                vec.truncate(end);
                vec.extend_from_slice(bytes);
                // SAFETY: `start` is within the vector, which has only grown behind `end`.
                self.ptr = unsafe { NonNull::new_unchecked(vec.as_mut_ptr().add(start)) };
                self.len += bytes.len() as u32;
                true
            }
        }
    }
}

impl Clone for RecvBuf {
    fn clone(&self) -> RecvBuf {
        if let Owner::Ring(pool) = &self.owner {
            let refs = &pool.refs[self.bid as usize];
            refs.set(refs.get() + 1);
        }
        RecvBuf { ptr: self.ptr, len: self.len, bid: self.bid, owner: self.owner.clone() }
    }
}

impl Drop for RecvBuf {
    fn drop(&mut self) {
        if let Owner::Ring(pool) = &self.owner {
            let refs = &pool.refs[self.bid as usize];
            let left = refs.get() - 1;
            refs.set(left);
            if left == 0 {
                pool.put(self.bid);
            }
        }
    }
}

impl Deref for RecvBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: ptr..ptr+len lies in memory that `owner` keeps alive (or is empty and dangling); it was
        // initialised by the kernel's receive (the mapping is zeroed anyway) or is a vector's content. It is not
        // written while shared: the kernel got no right to it before the last slice is gone, and `try_append` writes
        // only behind a sole slice.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len as usize) }
    }
}

impl fmt::Debug for RecvBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecvBuf({} bytes)", self.len)
    }
}

impl From<Vec<u8>> for RecvBuf {
    fn from(v: Vec<u8>) -> RecvBuf {
        RecvBuf::from_vec(v)
    }
}

/// Bytes handed to a socket for sending. The socket owns them until the kernel has taken them.
#[derive(Debug)]
pub enum SendBuf {
    /// Owned bytes. The vector goes back to the thread's pool when sent, see `runtime::take_vec`.
    Vec(Vec<u8>),
    /// Received bytes passed on without a copy.
    Recv(RecvBuf),
    /// Constant bytes (internal answers).
    Static(&'static [u8]),
    /// Bytes shared between connections and threads (error files).
    Shared(Arc<[u8]>),
}

impl SendBuf {
    /// The bytes to send.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            SendBuf::Vec(v) => v,
            SendBuf::Recv(r) => r,
            SendBuf::Static(s) => s,
            SendBuf::Shared(s) => s,
        }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops the first `n` bytes (they were sent).
    pub fn advance(&mut self, n: usize) {
        if n == 0 {
            return;
        }
        match self {
            SendBuf::Recv(r) => r.advance(n),
            SendBuf::Static(s) => *s = &s[n..],
            // What is left becomes a slice with a start of its own: moving the bytes down each time would make a large
            // answer to a slow client quadratic.
            SendBuf::Vec(v) => {
                let mut rest = RecvBuf::from_vec(std::mem::take(v));
                rest.advance(n);
                *self = SendBuf::Recv(rest);
            }
            SendBuf::Shared(s) => *self = SendBuf::Recv(RecvBuf::from_vec(s[n..].to_vec())),
        }
    }

    /// Gives the memory back where it came from.
    pub fn recycle(self) {
        if let SendBuf::Vec(v) = self {
            put_vec(v);
        }
    }
}

impl From<Vec<u8>> for SendBuf {
    fn from(v: Vec<u8>) -> Self {
        SendBuf::Vec(v)
    }
}
impl From<RecvBuf> for SendBuf {
    fn from(r: RecvBuf) -> Self {
        SendBuf::Recv(r)
    }
}
impl From<&'static [u8]> for SendBuf {
    fn from(s: &'static [u8]) -> Self {
        SendBuf::Static(s)
    }
}
impl From<Arc<[u8]>> for SendBuf {
    fn from(s: Arc<[u8]>) -> Self {
        SendBuf::Shared(s)
    }
}

/// Vectors kept per thread, and the largest one worth keeping.
const POOLED_VECS: usize = 256;
const POOLED_BYTES: usize = 32 << 10;

thread_local! {
    static VECS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A cleared vector from the thread's pool.
pub fn take_vec() -> Vec<u8> {
    VECS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives a vector back to the thread's pool (huge and unallocated ones are dropped).
pub fn put_vec(mut v: Vec<u8>) {
    if v.capacity() == 0 || v.capacity() > POOLED_BYTES {
        return;
    }
    v.clear();
    // A vector dropped while the thread ends is simply freed.
    let _ = VECS.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < POOLED_VECS {
            pool.push(v);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_share_and_split() {
        let mut a = RecvBuf::from_vec(b"hello world".to_vec());
        let b = a.clone();
        let hello = a.split_to(5);
        a.advance(1);
        assert_eq!((&*hello, &*a, &*b), (&b"hello"[..], &b"world"[..], &b"hello world"[..]));
        assert!(!a.try_append(b"!"), "shared");
        drop((b, hello));
        assert!(a.try_append(b"!"));
        assert_eq!(&*a, b"world!");
        a.truncate(3);
        assert!(a.try_append(&[b'x'; 100]), "the vector is moved");
        assert_eq!(a.len(), 103);
        assert!(a.starts_with(b"worx"));
        assert!(!a.try_append(&[0; HEAP_BYTES]));
        assert!(a.split_to(103).len() == 103 && a.is_empty());
        assert!(!RecvBuf::empty().try_append(b"x"));
    }

    #[test]
    fn a_part_can_be_sent_piecemeal() {
        let parts = [
            SendBuf::Vec(b"0123456789".to_vec()),
            SendBuf::Recv(RecvBuf::from_vec(b"0123456789".to_vec())),
            SendBuf::Static(b"0123456789"),
            SendBuf::Shared(Arc::from(&b"0123456789"[..])),
        ];
        for mut part in parts {
            part.advance(0);
            part.advance(3);
            part.advance(4);
            assert_eq!(part.as_slice(), b"789");
            part.recycle();
        }
    }

    /// The pool by itself, without a kernel: what comes back is given again, chunks come and go.
    #[test]
    fn the_pool_grows_and_shrinks() {
        let pool = Pool::new(4096, 64, 1024).unwrap();
        assert_eq!((pool.total(), pool.available()), (64, 64));
        let mut bid = 0u16;
        let mut held = Vec::new();
        // The kernel takes buffers in the order of the ring; here each new one in turn.
        while pool.total() < 1024 {
            while pool.available() > 0 {
                let mut buf = pool.taken(bid, 10);
                assert!(buf.try_append(b"more"));
                held.push(buf);
                bid += 1;
            }
            assert!(pool.grow_if_low(false));
        }
        while pool.available() > 0 {
            held.push(pool.taken(bid, 10));
            bid += 1;
        }
        assert!(pool.scarce() && !pool.grow_if_low(false));
        held.clear();
        assert_eq!((pool.available(), pool.in_use()), (1024, 0));
        for _ in 0..20 {
            pool.tend();
        }
        // Buffers of a leaving chunk that come back are withheld, until the chunk is unmapped.
        for bid in (0..1024u16).rev() {
            drop(pool.taken(bid, 1));
        }
        assert!(pool.total() < 300, "{} buffers", pool.total());
        assert_eq!(pool.in_use(), 0);
    }
}
