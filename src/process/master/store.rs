//! The descriptors that a master holds for its workers, by key.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::resource::{Resource, getrlimit};

use super::notify::Notify;
use super::state::Record;
use super::worker;

/// Descriptors that are held at most; far more than any configuration needs.
const HELD_MAX: usize = 65_536;

/// Bytes of a key at most: systemd takes no more.
const KEY_MAX: usize = 255;

/// The store.
#[derive(Debug, Default)]
pub struct Store {
    held: BTreeMap<String, OwnedFd>,
}

impl Store {
    /// Take over what the service manager kept, or the image before this one.
    pub fn restore(&mut self, key: String, fd: OwnedFd) {
        self.held.insert(key, fd);
    }

    /// Hold this, in place of what has that key, here and at the service manager. False: there is too much already, or it
    /// is no key that a worker may use.
    pub fn keep(&mut self, key: String, fd: OwnedFd, notify: &Notify) -> bool {
        if !self.may_keep(&key, 0) {
            return false;
        }
        if let Some(old) = self.held.get(&key) {
            if is_same(old, &fd) {
                return true;
            }
            // The manager does not replace by name: it would hold both.
            notify.forget(&key);
        }
        notify.store(&key, fd.as_fd());
        self.held.insert(key, fd);
        true
    }

    /// Whether something may be held under that key, besides so `many` others that are about to be. A part of the
    /// descriptors that this process may have is left for its own needs, whatever workers want: without, it could not
    /// even start another worker.
    pub fn may_keep(&self, key: &str, many: usize) -> bool {
        let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        let most = usize::try_from(limit - limit / 4).map_or(HELD_MAX, |most| most.min(HELD_MAX));
        is_allowed(key) && (self.held.len() + many < most || (many == 0 && self.held.contains_key(key)))
    }

    /// Close what has that key.
    pub fn forget(&mut self, key: &str, notify: &Notify) {
        if self.held.remove(key).is_some() {
            notify.forget(key);
        }
    }

    /// Everything.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &OwnedFd)> {
        self.held.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.held.len()
    }

    /// For the next image.
    pub fn save(&self, records: &mut Vec<Record>) {
        let record = |(key, fd): (&String, &OwnedFd)| Record::new("store").with(fd.as_raw_fd()).with(key);
        records.extend(self.held.iter().map(record));
    }
}

/// Workers run without rights, and may have been taken over by a stranger: a key must not say more to the service manager
/// than a name (which is a line of a message there), and must not pretend to be a worker's channel.
fn is_allowed(key: &str) -> bool {
    let fits = (1..=KEY_MAX).contains(&key.len());
    fits && key.bytes().all(|b| b.is_ascii_graphic() && b != b':') && worker::of_key(key).is_none()
}

/// Two descriptors of one socket or memory file. Two sockets never have the same inode; two files that are mapped may
/// be opened twice, which makes no difference here.
fn is_same(a: &OwnedFd, b: &OwnedFd) -> bool {
    match (nix::sys::stat::fstat(a), nix::sys::stat::fstat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> OwnedFd {
        std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback").into()
    }

    #[test]
    fn keys_are_names_and_nothing_else() {
        for good in ["state", "listener/127.0.0.1%3A80/0", "table/a", "worker/x"] {
            assert!(is_allowed(good), "{good}");
        }
        let long = "x".repeat(256);
        for bad in ["", "a b", "a\nMAINPID=1", "a:b", "worker/12", "leaving/12", "é", &long] {
            assert!(!is_allowed(bad), "{bad}");
        }
        let (mut store, notify) = (Store::default(), Notify::default());
        assert!(!store.keep("worker/12".into(), socket(), &notify) && store.count() == 0);
    }

    #[test]
    fn the_last_one_of_a_key_is_held() {
        let (mut store, notify) = (Store::default(), Notify::default());
        let (a, b) = (socket(), socket());
        let number = a.as_raw_fd();
        let again = a.try_clone().expect("cloned");
        assert!(store.keep("x".into(), a, &notify) && store.keep("x".into(), again, &notify));
        assert_eq!(store.iter().next().expect("one").1.as_raw_fd(), number, "nothing changed");
        assert!(store.keep("x".into(), b, &notify));
        assert_ne!(store.iter().next().expect("one").1.as_raw_fd(), number);
        let mut records = Vec::new();
        store.save(&mut records);
        assert_eq!((records.len(), records[0].text(2)), (1, "x"));
        store.forget("y", &notify);
        assert_eq!(store.count(), 1);
        store.forget("x", &notify);
        assert_eq!(store.count(), 0);
    }
}
