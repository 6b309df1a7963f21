//! What a process has from the one before it, and what it leaves to those after it: the worker's side of [`link`].
//!
//! A master (or, without one, the process that serves until now) sends descriptors by key before anything is opened.
//! Whoever opens something asks [`Inherited::take`] first, and hands what it opened instead to [`Inherited::keep`].
//! [`Inherited::ready`] then tells the master what to hold from now on.

use std::collections::{BTreeMap, HashMap};
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
    /// The channel to the master.
    pub link: Option<Arc<Channel>>,
    /// What was opened, for successors. In the order of the keys: what is left out when something fails is the same
    /// each time.
    kept: BTreeMap<String, OwnedFd>,
}

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
    pub fn take(&mut self, key: &str) -> Option<OwnedFd> {
        self.fds.remove(key)
    }

    /// Keep this for successors under that key, in place of what has had it.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn keep(&mut self, key: impl Into<String>, fd: impl AsFd) -> io::Result<()> {
        if self.link.is_some() {
            self.kept.insert(key.into(), fd.as_fd().try_clone_to_owned()?);
        }
        Ok(())
    }

    /// Everything runs: tell the master what to hold, that this process serves now, and what nobody has taken.
    ///
    /// # Errors
    /// The master is gone, or does not read.
    pub fn ready(&mut self) -> io::Result<()> {
        let kept = std::mem::take(&mut self.kept);
        let unwanted: Vec<String> = self.fds.drain().map(|(key, _)| key).collect();
        let Some(link) = &self.link else { return Ok(()) };
        let mut keys = Vec::with_capacity(kept.len());
        for (key, fd) in kept {
            keys.push(key.clone());
            ToMaster::Keep(key, fd).send(link)?;
        }
        ToMaster::Ready.send(link)?;
        messages::log_to(None);
        for key in unwanted.into_iter().filter(|key| keys.binary_search(key).is_err()) {
            ToMaster::Forget(key).send(link)?;
        }
        Ok(())
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
        assert!(inherited.take("state").is_some() && inherited.take("state").is_none());
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
        inherited.take("used").expect("it was inherited");
        inherited.keep("replaced", null()).expect("a descriptor");
        inherited.keep("new", null()).expect("a descriptor");
        inherited.ready().expect("the master reads");
        let mut said = Vec::new();
        drop(inherited);
        while let Some(message) = ToMaster::receive(&master).expect("understood") {
            said.push(match message {
                ToMaster::Keep(key, _) => format!("keep {key}"),
                ToMaster::Forget(key) => format!("forget {key}"),
                other => format!("{other:?}"),
            });
        }
        assert_eq!(said, ["keep new", "keep replaced", "Ready", "forget unwanted"]);
    }

    #[test]
    fn without_a_master_nothing_is_said() {
        let mut inherited = Inherited::default();
        inherited.keep("new", null()).expect("a descriptor");
        assert!(inherited.kept.is_empty());
        inherited.ready().expect("nothing to do");
    }
}
