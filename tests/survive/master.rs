//! A master and its workers.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

use haring::net::Channel;
use haring::process::link::{self, ToMaster, ToWorker};

use super::support::{Dir, HARING, PATIENCE, Process, ask};

/// What a master holds.
#[derive(Default)]
pub struct Master {
    pub held: BTreeMap<String, OwnedFd>,
}

pub struct Worker {
    pub process: Process,
    pub channel: Channel,
    /// What it said while it started.
    pub log: String,
    /// What was to be let go of.
    pub forgotten: Vec<String>,
}

impl Master {
    /// A worker that serves, with all that is held.
    pub fn start(&mut self, dir: &Dir, config: &str) -> Worker {
        let (channel, theirs) = Channel::pair().expect("a pair");
        let theirs = theirs.into_fd();
        let mut command = Command::new(HARING);
        command.args(["-db", "-f", config]);
        command.env(link::ENV, format!("{}:{}", std::process::id(), theirs.as_raw_fd()));
        let process = Process::spawn(&mut command, dir, |_| {
            haring::sys::process::close_on_exec(&theirs, false).expect("it is open");
        });
        let mut worker = Worker { process, channel, log: String::new(), forgotten: Vec::new() };
        for (key, fd) in &self.held {
            worker.send(&ToWorker::Inherit(key.clone(), fd.try_clone().expect("a descriptor")));
        }
        worker.send(&ToWorker::Go);
        loop {
            match worker.next().expect("it lives") {
                ToMaster::Keep(key, fd) => drop(self.held.insert(key, fd)),
                ToMaster::Log(text) => worker.log.push_str(&text),
                ToMaster::Ready => return worker,
                other => panic!("before it was ready: {other:?}"),
            }
        }
    }

    /// A worker in place of another one, which goes on as long as it has connections.
    pub fn succeed(&mut self, old: &Worker, dir: &Dir, config: &str) -> Worker {
        let worker = self.start(dir, config);
        let (theirs, ours) = Channel::pair().expect("a pair");
        drop(ours);
        old.send(&ToWorker::Successor(worker.process.pid(), theirs.into_fd()));
        worker
    }

    /// What a worker wants to be let go of, which it says after it is ready.
    pub fn forget(&mut self, worker: &mut Worker, count: usize) {
        while worker.forgotten.len() < count {
            match worker.next().expect("it lives") {
                ToMaster::Forget(key) => {
                    self.held.remove(&key);
                    worker.forgotten.push(key);
                }
                ToMaster::Keep(key, fd) => drop(self.held.insert(key, fd)),
                other => panic!("not expected: {other:?}"),
            }
        }
    }
}

impl Worker {
    pub fn send(&self, message: &ToWorker) {
        message.send(&self.channel).expect("it reads");
    }

    fn next(&self) -> Option<ToMaster> {
        self.channel.wait(PATIENCE);
        ToMaster::receive(&self.channel).expect("something it says")
    }

    /// An admin command.
    pub fn ask(&self, command: &str) -> String {
        let (own, theirs) = UnixStream::pair().expect("a pair");
        self.send(&ToWorker::Cli("admin".into(), theirs.into()));
        ask(own, command)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.child.kill().expect("it runs");
        self.process.ended();
    }
}
