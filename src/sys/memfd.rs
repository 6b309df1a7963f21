//! Shared memory segments: memfds, mapped as atomic words. Descriptors can be handed to another process, which maps the
//! same memory.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::sys::memfd::{MFdFlags, memfd_create};

/// A mapped segment. All access is by atomic words, because other threads and processes share it.
#[derive(Debug)]
pub struct Segment {
    fd: OwnedFd,
    base: NonNull<AtomicU64>,
    words: usize,
}

impl Segment {
    /// A new segment of `words` zeroed 64-bit words; `name` shows up in /proc/PID/maps.
    pub fn new(name: &str, words: usize) -> io::Result<Segment> {
        if cfg!(miri) {
            return Segment::on_heap(words);
        }
        // Sealed against shrinking: a shorter file would make every access behind its end a SIGBUS.
        let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        nix::unistd::ftruncate(&fd, (words * 8) as i64)?;
        let seals = nix::fcntl::SealFlag::F_SEAL_SHRINK | nix::fcntl::SealFlag::F_SEAL_SEAL;
        nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_ADD_SEALS(seals))?;
        Segment::map(fd)
    }

    /// For miri, which maps no files: memory of this process alone.
    fn on_heap(words: usize) -> io::Result<Segment> {
        let fd = std::fs::File::open("/dev/null")?.into();
        let memory: Box<[AtomicU64]> = (0..words).map(|_| AtomicU64::new(0)).collect();
        let base = NonNull::from(Box::leak(memory)).cast();
        Ok(Segment { fd, base, words })
    }

    /// Maps a segment that another process made.
    ///
    /// # Errors
    /// `InvalidData` when it is empty, or not sealed against shrinking (so not one of ours).
    pub fn map(fd: OwnedFd) -> io::Result<Segment> {
        let seals = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_GET_SEALS)?;
        let sealed = seals & nix::fcntl::SealFlag::F_SEAL_SHRINK.bits() != 0;
        let words = usize::try_from(nix::sys::stat::fstat(&fd)?.st_size).unwrap_or(0) / 8;
        if !sealed || words == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: a fresh shared mapping; the file cannot get shorter than it (sealed).
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                words * 8,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).expect("mmap never maps page 0");
        Ok(Segment { fd, base, words })
    }

    /// The memory.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping lives as long as self, is page-aligned and `words` long; any bit pattern is a valid u64, and
        // everybody accesses it as atomics.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.words) }
    }

    /// The descriptor, to hand over.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

// SAFETY: the pointer is to a mapping that belongs to the whole process, and all access to it is atomic.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Drop for Segment {
    fn drop(&mut self) {
        if cfg!(miri) {
            let memory = std::ptr::slice_from_raw_parts_mut(self.base.as_ptr(), self.words);
            // SAFETY: `on_heap` made it of such a box; no reference into it outlives self.
            drop(unsafe { Box::from_raw(memory) });
            return;
        }
        // SAFETY: our own mapping; no reference into it outlives self.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.words * 8) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[test]
    fn two_mappings_share_the_memory() {
        let a = Segment::new("haring-test", 1000).unwrap();
        assert!(a.words().iter().all(|w| w.load(Relaxed) == 0));
        let b = Segment::map(a.fd().try_clone_to_owned().unwrap()).unwrap();
        a.words()[999].store(7, Relaxed);
        drop(a);
        assert_eq!((b.words().len(), b.words()[999].load(Relaxed)), (1000, 7));
    }

    #[test]
    fn what_could_shrink_is_refused() {
        let fd = memfd_create("haring-test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        nix::unistd::ftruncate(&fd, 4096).unwrap();
        assert_eq!(Segment::map(fd).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
