//! The image of live state in a memory file: written each second, so that it outlives the process however that ends.
//!
//! The file has two places for an image. Each new one goes where the older one was, so that whoever is killed while it
//! writes leaves the one before. A place begins with [`HEAD`] bytes: magic, version, number of the image, its length,
//! the writer's process id and whether it was its last one, and a hash of all that and of the image.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::inherit::Inherited;
use super::segments::is_gone;
use super::{keys, messages};
use crate::proxy::check::{Notes, Watch};
use crate::proxy::live::image::{self, Index, Kind};
use crate::proxy::live::{Configured, Since};
use crate::proxy::{Live, Snapshot};

const MAGIC: u64 = u64::from_le_bytes(*b"HaringIM");
/// Changes with every change of the head, or of how an image is written.
const VERSION: u64 = 1;
const HEAD: usize = 48;
/// Bytes of a file that are read at most.
const FILE_MAX: u64 = 1 << 30;

/// A file that this process writes.
#[derive(Debug)]
struct Store {
    file: File,
    place: u64,
    count: u64,
}

/// What was read.
struct Stored {
    kinds: Vec<Kind>,
    pid: u32,
    last: bool,
}

impl Store {
    /// Room for images that are up to `most` bytes long.
    fn new(most: usize) -> io::Result<Store> {
        let file = File::from(memfd_create("state", MFdFlags::MFD_CLOEXEC)?);
        let place = (HEAD + most) as u64;
        file.set_len(2 * place)?;
        Ok(Store { file, place, count: 0 })
    }

    fn write(&mut self, image: &[u8], last: bool) -> io::Result<()> {
        if (HEAD + image.len()) as u64 > self.place {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.count += 1;
        let writer = u64::from(std::process::id()) << 1 | u64::from(last);
        let words = [MAGIC, VERSION, self.count, image.len() as u64, writer];
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes.extend_from_slice(&hash(&bytes, image).to_le_bytes());
        bytes.extend_from_slice(image);
        self.file.write_all_at(&bytes, self.count % 2 * self.place)
    }
}

fn hash(head: &[u8], image: &[u8]) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    hash.update(head);
    hash.update(image);
    hash.digest()
}

/// The newest whole image in a file, whoever made it.
fn read(file: &File) -> Result<Stored, String> {
    let size = file.metadata().map_err(|e| e.to_string())?.len().min(FILE_MAX);
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, 0).map_err(|e| e.to_string())?;
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let places = [first, second].map(place);
    let newest = places.into_iter().flatten().max_by_key(|(count, ..)| *count);
    let (_, writer, image) = newest.ok_or("it holds no whole image that this version understands")?;
    let kinds = image::decode(image).map_err(|e| e.to_string())?;
    Ok(Stored { kinds, pid: (writer >> 1) as u32, last: writer & 1 != 0 })
}

/// Number, writer, and bytes of the image in a place.
fn place(bytes: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let word = |n: usize| u64::from_le_bytes(head[n * 8..][..8].try_into().expect("eight bytes"));
    let image = rest.get(..usize::try_from(word(3)).ok()?)?;
    let whole = word(0) == MAGIC && word(1) == VERSION && word(5) == hash(&head[..HEAD - 8], image);
    whole.then_some((word(2), word(4), image))
}

/// A process before this one that may count on: its file, and what was taken over from it.
struct Before {
    file: File,
    pid: u32,
    taken: Index,
}

/// Live state across processes.
pub struct Keeper {
    live: Arc<Live>,
    snapshot: Arc<Snapshot>,
    watch: Arc<Watch>,
    conf: Configured,
    since: Since,
    before: Option<Before>,
    store: Option<Store>,
    changed: Arc<EventFd>,
}

/// The key of the file.
fn key() -> String {
    keys::key(&["state"])
}

/// What the process before this one left, if it did.
pub struct Legacy(Option<(File, Stored)>);

impl Legacy {
    /// Read it.
    pub fn of(inherited: &mut Inherited) -> Legacy {
        let Some(fd) = inherited.take(&key()).ok().flatten() else { return Legacy(None) };
        let file = File::from(fd);
        match read(&file) {
            Ok(stored) => Legacy(Some((file, stored))),
            Err(why) => {
                messages::warning(&format!(
                    "startup : server states and counters of the process before this one cannot be taken over: {why}."
                ));
                Legacy(None)
            }
        }
    }

    /// Into the live state of this process, before its threads begin. Gives when the first process started, and what is
    /// to be kept.
    pub fn restore(
        self,
        live: &Live,
        snapshot: &Snapshot,
        notes: &Notes,
        conf: Configured,
        now: Since,
    ) -> Restored {
        let Some((file, Stored { kinds, pid, last })) = self.0 else {
            return Restored { since: now, before: None };
        };
        let taken = Index::new(kinds);
        let since = live.restore(&taken, snapshot, notes, conf, now.mono).unwrap_or(now);
        Restored { since, before: (!last).then_some(Before { file, pid, taken }) }
    }
}

/// What [`Legacy::restore`] gives.
pub struct Restored {
    /// When the first process started.
    pub since: Since,
    before: Option<Before>,
}

/// Tells the control thread that something was changed that a successor has to know.
pub fn notice() -> io::Result<Arc<EventFd>> {
    Ok(Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?))
}

impl Keeper {
    /// Keep it. Without memory for that, everything works but the next process begins anew.
    pub fn new(
        live: Arc<Live>,
        watch: Arc<Watch>,
        conf: Configured,
        restored: Restored,
        changed: Arc<EventFd>,
        inherited: &mut Inherited,
    ) -> Keeper {
        let snapshot = watch.snapshot.clone();
        let Restored { since, before } = restored;
        let mut keeper = Keeper { live, snapshot, watch, conf, since, before, store: None, changed };
        if let Err(error) = keeper.begin(inherited) {
            messages::warning(&format!(
                "startup : server states and counters are not kept for successors: {error}"
            ));
        }
        keeper
    }

    fn begin(&mut self, inherited: &mut Inherited) -> io::Result<()> {
        let image = self.image();
        // Only texts get longer.
        let room = self.snapshot.servers.len() * 3 * image::TEXT_MAX;
        let mut store = Store::new(image.len() + room)?;
        store.write(&image, false)?;
        inherited.keep(&key(), store.file.as_fd())?;
        self.store = Some(store);
        Ok(())
    }

    fn image(&self) -> Vec<u8> {
        image::encode(&self.live.image(&self.snapshot, &self.watch.notes, self.since, self.conf))
    }

    /// Readable when something was changed.
    pub fn changed(&self) -> BorrowedFd<'_> {
        self.changed.as_fd()
    }

    /// Write what is now; and look whether the process before this one has ended.
    pub fn save(&mut self) {
        // Nothing to read is as good.
        let _ = self.changed.read();
        self.hear_before(false);
        self.write(false);
    }

    /// The same when something was changed since.
    pub fn save_changes(&mut self) {
        if self.changed.read().is_ok() {
            self.write(false);
        }
    }

    /// The last one of this process, whose threads have ended.
    pub fn save_last(&mut self) {
        self.hear_before(true);
        self.write(true);
    }

    fn write(&mut self, last: bool) {
        let image = self.image();
        if let Some(store) = &mut self.store {
            // There is room, and the memory was there for those before: it is the newest that is missing.
            let _ = store.write(&image, last);
        }
    }

    /// Add what the process before this one counted since, when it will count no more, or nobody would hear of it.
    fn hear_before(&mut self, at_once: bool) {
        let Some(before) = &self.before else { return };
        let gone = is_gone(before.pid);
        let stored = read(&before.file);
        let last = stored.as_ref().map_or(gone, |s| s.last);
        if !(gone || last || at_once) {
            return;
        }
        if let Ok(stored) = stored {
            self.live.add_past(&Index::new(stored.kinds), Some(&before.taken), &self.snapshot);
        }
        self.before = None;
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    fn kinds(n: u64) -> Vec<Kind> {
        let record = image::Record { name: "x".into(), values: vec![n], texts: Vec::new() };
        vec![Kind { name: "k".into(), fields: vec!["n".into()], texts: Vec::new(), records: vec![record] }]
    }

    fn newest(file: &File) -> Option<u64> {
        let stored = read(file).ok()?;
        assert_eq!(stored.pid, std::process::id());
        Some(stored.kinds[0].records[0].values[0])
    }

    #[test]
    fn who_is_killed_while_it_writes_leaves_the_image_before() {
        let mut store = Store::new(100).expect("memory");
        assert!(newest(&store.file).is_none(), "nothing was written yet");
        for n in 1..20 {
            store.write(&image::encode(&kinds(n)), false).expect("room");
            assert_eq!(newest(&store.file), Some(n));
            let at = (n + 1) % 2 * store.place;
            let mut old = vec![0; store.place as usize];
            store.file.read_exact_at(&mut old, at).expect("there");
            for torn in [1, 9, 40, HEAD, HEAD + 3] {
                store.file.write_all_at(&vec![0x5a; torn], at).expect("there");
                assert_eq!(newest(&store.file), Some(n), "{torn} bytes of the next one");
            }
            store.file.write_all_at(&old, at).expect("there");
        }
        let long = image::encode(&[Kind { name: "k".repeat(200), ..Kind::default() }]);
        assert!(store.write(&long, false).is_err());
        assert_eq!(newest(&store.file), Some(19));
    }

    #[test]
    fn what_is_no_state_is_refused() {
        let mut store = Store::new(100).expect("memory");
        store.write(&image::encode(&kinds(1)), true).expect("room");
        assert!(read(&store.file).expect("an image").last);
        for size in [0, 1, HEAD as u64, store.place, 2 * store.place - 1] {
            let mut store = Store::new(100).expect("memory");
            store.write(&image::encode(&kinds(1)), true).expect("room");
            store.file.set_len(size).expect("shorter");
            assert!(read(&store.file).is_err(), "{size}");
        }
        // A length that no file has.
        store.file.write_all_at(&u64::MAX.to_le_bytes(), store.place + 24).expect("there");
        assert!(read(&store.file).is_err());
        assert!(read(&File::open("/dev/null").expect("it exists")).is_err());
        let fd: OwnedFd = File::open("/proc/self/stat").expect("it exists").into();
        assert!(read(&fd.into()).is_err());
    }
}
