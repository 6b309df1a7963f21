//! What a process has from the one before it, and what it leaves to those after it: the worker's side of [`link`].
//!
//! A master (or, without one, the process that serves until now) sends descriptors by key before anything is opened.
//! Whoever opens something asks [`Inherited::take`] first, and hands what it opened instead to [`Inherited::keep`].
//! [`Inherited::ready`] then tells the master what to hold from now on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::link::{self, ToMaster, ToWorker};
use super::messages;
use crate::net::Channel;

/// How long the other side may take for its next message before the start is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Descriptors that are taken over at most; far more than any configuration needs.
const INHERITED_MAX: usize = 65_536;

/// What was received, and what is to be kept.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Descriptors by key that nobody has taken yet.
    pub fds: HashMap<String, OwnedFd>,
    /// The process that serves until now (its id, 0 when unknown), and the channel to it.
    pub predecessor: Option<(i32, Channel)>,
    /// The channel to the master, or to the process that hands over without one.
    pub link: Option<Arc<Channel>>,
    /// Whether others may ask this process for what it has (`expose-fd listeners`). To be set before anything is taken.
    pub exposes: bool,
    /// The master, if there is one, does not have it yet.
    foreign: bool,
    /// What is used, for successors.
    held: Held,
    /// Keys of what was put there by this process.
    new: BTreeSet<String>,
    /// Keys of what was inherited and is of no use.
    unwanted: Vec<String>,
}

/// What successors get: descriptors by key.
pub type Held = BTreeMap<String, OwnedFd>;

impl Inherited {
    /// Everything that this process's master hands to it; nothing without a master.
    ///
    /// # Errors
    /// One line: the master has gone, or stays silent.
    pub fn of_master() -> Result<Inherited, String> {
        let value = std::env::var(link::ENV).ok();
        let parent = nix::unistd::getppid().as_raw();
        match link::of_environment(value.as_deref(), parent) {
            None => Ok(Inherited::default()),
            Some(channel) => {
                let mut inherited = Inherited::receive(&channel)?;
                let channel = Arc::new(channel);
                messages::log_to(Some(channel.clone()));
                inherited.link = Some(channel);
                Ok(inherited)
            }
        }
    }

    /// Everything up to `go`.
    ///
    /// # Errors
    /// One line: the other side has gone, or stays silent.
    pub fn receive(channel: &Channel) -> Result<Inherited, String> {
        let mut inherited = Inherited::default();
        loop {
            channel.wait(SILENCE_MAX);
            match ToWorker::receive(channel) {
                Ok(Some(ToWorker::Inherit(key, fd))) => {
                    if inherited.fds.len() >= INHERITED_MAX {
                        return Err("startup : the process before this one hands over too much".to_owned());
                    }
                    inherited.fds.insert(key, fd);
                }
                Ok(Some(ToWorker::Predecessor(pid, fd))) => {
                    inherited.predecessor = Some((pid, Channel::from_fd(fd)));
                }
                Ok(Some(ToWorker::Go)) => return Ok(inherited),
                Ok(Some(other)) => {
                    messages::warning(&format!("startup : not expected from the master yet: {other:?}"));
                }
                Ok(None) => {
                    return Err("startup : the process that hands over to this one is gone".to_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    messages::warning(&format!("startup : {error}"));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err("startup : the process that hands over to this one stays silent".to_owned());
                }
                Err(error) => return Err(format!("startup : nothing can be taken over: {error}")),
            }
        }
    }

    /// What has that key. It stays with the master unless something else is kept under the same key.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn take(&mut self, key: &str) -> io::Result<Option<OwnedFd>> {
        let Some(fd) = self.fds.remove(key) else { return Ok(None) };
        self.hold(key, &fd)?;
        Ok(Some(fd))
    }

    /// Keep this for successors under that key, in place of what has had it.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn keep(&mut self, key: &str, fd: impl AsFd) -> io::Result<()> {
        if self.link.is_some() || self.exposes {
            self.held.insert(key.to_owned(), fd.as_fd().try_clone_to_owned()?);
            self.new.insert(key.to_owned());
        }
        Ok(())
    }

    /// What was inherited under that key is used.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn hold(&mut self, key: &str, fd: impl AsFd) -> io::Result<()> {
        if self.foreign {
            return self.keep(key, fd);
        }
        if self.exposes {
            self.held.insert(key.to_owned(), fd.as_fd().try_clone_to_owned()?);
        }
        Ok(())
    }

    /// Everything from another process than the master's last one as well.
    pub fn add(&mut self, other: Inherited) {
        self.foreign = true;
        self.fds.extend(other.fds);
        self.predecessor = other.predecessor.or(self.predecessor.take());
    }

    /// What was inherited under that key is of no use.
    pub fn unwanted(&mut self, key: String) {
        self.unwanted.push(key);
    }

    /// Another end of the channel to the predecessor.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn predecessor_again(&self) -> io::Result<Option<Channel>> {
        let again = self.predecessor.as_ref().map(|(_, channel)| channel.as_fd().try_clone_to_owned());
        Ok(again.transpose()?.map(Channel::from_fd))
    }

    /// Everything runs: tell the process before this one which listening sockets (their keys) are served here too, and
    /// the master what to hold, that this process serves now, and what nobody has taken. What others may ask for is
    /// given back.
    ///
    /// # Errors
    /// The master is gone, or does not read.
    pub fn ready(&mut self, predecessor: Option<&Channel>, listeners: &[&str]) -> io::Result<Held> {
        if let Some(predecessor) = predecessor {
            // One that is gone has no sockets to close.
            let _ = serving::tell(predecessor, listeners);
        }
        let mut held = std::mem::take(&mut self.held);
        let new = std::mem::take(&mut self.new);
        let mut unwanted = std::mem::take(&mut self.unwanted);
        unwanted.extend(self.fds.drain().map(|(key, _)| key));
        if let Some(link) = &self.link {
            for key in &new {
                if let Some(fd) = held.get(key) {
                    ToMaster::Keep(key.clone(), fd.try_clone()?).send(link)?;
                }
            }
            ToMaster::Ready.send(link)?;
            messages::log_to(None);
            for key in unwanted.into_iter().filter(|key| !new.contains(key)) {
                ToMaster::Forget(key).send(link)?;
            }
        }
        if !self.exposes {
            held.clear();
        }
        Ok(held)
    }
}

/// What a process tells the one before it, as the first thing on the channel between them: the listening sockets that
/// it serves too. The old one leaves those alone; of its others, it serves whoever waits in their queues, and closes
/// them.
pub mod serving {
    use std::collections::HashSet;
    use std::io;
    use std::time::Duration;

    use crate::net::Channel;

    /// Bytes of keys in one message.
    const PART: usize = 16 << 10;
    /// How long each message may take: all of them were sent before the other end was handed to us.
    const WAIT: Duration = Duration::from_millis(200);
    /// Messages at most.
    const PARTS_MAX: usize = 1024;
    /// First word of each. A message with nothing else is the last one.
    const WORD: &str = "listeners";

    /// Tell the predecessor.
    ///
    /// # Errors
    /// As [`Channel::send_within`].
    pub fn tell(predecessor: &Channel, keys: &[&str]) -> io::Result<()> {
        let mut text = WORD.to_owned();
        for key in keys {
            if text.len() + key.len() > PART {
                predecessor.send_within(text.as_bytes(), &[], WAIT)?;
                text.truncate(WORD.len());
            }
            text.push(' ');
            text.push_str(key);
        }
        if text.len() > WORD.len() {
            predecessor.send_within(text.as_bytes(), &[], WAIT)?;
        }
        predecessor.send_within(WORD.as_bytes(), &[], WAIT)
    }

    /// Whether the successor has told that it serves.
    pub fn is_told(successor: &Channel) -> bool {
        successor.is_next(WORD.as_bytes())
    }

    /// What the successor has told. `None`: not, or not all. Anything else that it says is left for others to hear.
    pub fn hear(successor: &Channel) -> Option<HashSet<String>> {
        let mut keys = HashSet::new();
        for _ in 0..PARTS_MAX {
            successor.wait(WAIT);
            if !is_told(successor) {
                return None;
            }
            let packet = successor.receive().ok()??;
            let text = String::from_utf8(packet.bytes).ok()?;
            let rest = text.strip_prefix(WORD)?;
            if rest.is_empty() {
                return Some(keys);
            }
            keys.extend(rest.split_ascii_whitespace().map(str::to_owned));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn null() -> OwnedFd {
        File::open("/dev/null").expect("it exists").into()
    }

    fn receive_from(send: impl FnOnce(&Channel)) -> Result<Inherited, String> {
        let (master, worker) = Channel::pair().expect("a pair");
        send(&master);
        drop(master);
        Inherited::receive(&worker)
    }

    #[test]
    fn all_is_taken_over_up_to_go() {
        let inherited = receive_from(|master| {
            ToWorker::Inherit("listener/a/0".into(), null()).send(master).expect("sent");
            master.send(b"nonsense", &[]).expect("sent");
            ToWorker::Gone(3).send(master).expect("sent");
            ToWorker::Inherit("state".into(), null()).send(master).expect("sent");
            let (_, end) = Channel::pair().expect("a pair");
            ToWorker::Predecessor(7, end.into_fd()).send(master).expect("sent");
            ToWorker::Go.send(master).expect("sent");
            ToWorker::Inherit("later".into(), null()).send(master).expect("sent");
        });
        let mut inherited = inherited.expect("understood");
        let mut take = || inherited.take("state").expect("a descriptor");
        assert!(take().is_some() && take().is_none());
        assert_eq!(inherited.fds.keys().collect::<Vec<_>>(), ["listener/a/0"]);
        assert_eq!(inherited.predecessor.as_ref().map(|p| p.0), Some(7));
    }

    #[test]
    fn a_master_that_dies_before_go_ends_the_start() {
        let none = receive_from(|master| {
            ToWorker::Inherit("state".into(), null()).send(master).expect("sent");
        });
        assert!(none.expect_err("refused").contains("is gone"));
    }

    #[test]
    fn the_master_is_told_what_to_hold_before_ready_and_what_to_let_go_of_after() {
        let (master, worker) = Channel::pair().expect("a pair");
        let mut inherited = Inherited { link: Some(Arc::new(worker)), ..Inherited::default() };
        for key in ["used", "replaced", "unwanted"] {
            inherited.fds.insert(key.into(), null());
        }
        inherited.unwanted("broken".into());
        inherited.take("used").expect("a descriptor").expect("it was inherited");
        inherited.keep("replaced", null()).expect("a descriptor");
        inherited.keep("new", null()).expect("a descriptor");
        assert!(inherited.ready(None, &[]).expect("the master reads").is_empty(), "nobody may ask for it");
        let mut said = Vec::new();
        drop(inherited);
        while let Some(message) = ToMaster::receive(&master).expect("understood") {
            said.push(match message {
                ToMaster::Keep(key, _) => format!("keep {key}"),
                ToMaster::Forget(key) => format!("forget {key}"),
                other => format!("{other:?}"),
            });
        }
        assert_eq!(said, ["keep new", "keep replaced", "Ready", "forget broken", "forget unwanted"]);
    }

    #[test]
    fn without_a_master_nothing_is_said_or_kept_unless_others_may_ask_for_it() {
        for exposes in [false, true] {
            let mut inherited = Inherited { exposes, ..Inherited::default() };
            inherited.fds.insert("old".into(), null());
            inherited.fds.insert("left".into(), null());
            inherited.take("old").expect("a descriptor");
            inherited.keep("new", null()).expect("a descriptor");
            let held = inherited.ready(None, &[]).expect("nothing to do");
            let expected: &[&str] = if exposes { &["new", "old"] } else { &[] };
            assert_eq!(held.into_keys().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn an_old_process_hears_which_sockets_are_served_on() {
        let hear = |send: &dyn Fn(&Channel)| {
            let (new, old) = Channel::pair().expect("a pair");
            send(&new);
            drop(new);
            serving::hear(&old)
        };
        let keys: Vec<String> = (0..2000).map(|n| format!("listener/127.0.0.1%3A{n}/0")).collect();
        let all: Vec<&str> = keys.iter().map(String::as_str).collect();
        let told = hear(&|new| serving::tell(new, &all).expect("there is room"));
        assert_eq!(told, Some(keys.iter().cloned().collect()));
        assert_eq!(hear(&|new| serving::tell(new, &[]).expect("there is room")), Some([].into()));
        assert_eq!(hear(&|_| ()), None);
        assert_eq!(hear(&|new| new.send(b"something else", &[]).expect("sent")), None);
        assert_eq!(hear(&|new| new.send(b"listeners a", &[]).expect("sent")), None);
    }
}
