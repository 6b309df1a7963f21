//! Stick tables that outlive this process: segments of the process before it are used on, and what processes that are
//! gone left in them is taken over.

use std::fs;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollTimeout, poll};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::control::mono;
use super::inherit::Inherited;
use super::{keys, messages};
use crate::proxy::Snapshot;
use crate::stick::{Heritage, Origin, Tables};

/// The tables of a configuration: what there is of them already, and new ones for the others. Those are kept for
/// successors.
///
/// # Errors
/// Out of memory or descriptors.
pub fn open(snapshot: &Snapshot, threads: usize, inherited: &mut Inherited) -> io::Result<Tables> {
    // Without a descriptor for it, a new one would fail as well.
    let mut segment = |name: &str| inherited.take(&key(name)).ok().flatten();
    let heritage = Heritage { segment: &mut segment, dead: &is_gone, now: mono(), wait: &wait };
    let tables = Tables::inherit(&snapshot.tables, threads, heritage)?;
    tables.notices().iter().for_each(|line| messages::notice(line));
    for (id, name, table) in tables.iter() {
        if tables.origin(id) != Origin::Shared {
            inherited.keep(&key(name), table.fd())?;
        }
    }
    Ok(tables)
}

fn key(table: &str) -> String {
    keys::key(&["table", table])
}

fn wait(time: Duration) {
    let _ = poll(&mut [], PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
}

/// Whether the process with that id has ended. One that has another name is another process that has got its id since.
pub fn is_gone(pid: u32) -> bool {
    if pid == std::process::id() {
        return false;
    }
    let Ok(id) = i32::try_from(pid) else { return true };
    if kill(Pid::from_raw(id), None) == Err(Errno::ESRCH) {
        return true;
    }
    // Not to be seen in a chroot: then it is taken for one of ours.
    let name = |of: &str| fs::read(format!("/proc/{of}/comm")).ok();
    matches!((name("self"), name(&pid.to_string())), (Some(own), Some(its)) if own != its)
}

/// Takes over what processes that are gone left in the tables, on a thread of its own each time.
pub struct Adopter {
    tables: Arc<Tables>,
    at_work: Option<JoinHandle<usize>>,
}

impl Adopter {
    /// Of these tables.
    pub fn new(tables: Arc<Tables>) -> Adopter {
        Adopter { tables, at_work: None }
    }

    /// See whether there is something to take over, and begin.
    pub fn look(&mut self) {
        if self.at_work.as_ref().is_some_and(|thread| !thread.is_finished())
            || !self.tables.has_orphans(is_gone)
        {
            return;
        }
        let tables = self.tables.clone();
        let thread = std::thread::Builder::new().name("haring/adopt".to_owned());
        // Without a thread, the next look may have one.
        self.at_work = thread.spawn(move || tables.adopt(is_gone, wait)).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn who_is_gone() {
        assert!(!is_gone(std::process::id()));
        let mut child = Command::new("sleep").arg("60").spawn().expect("it runs");
        let pid = child.id();
        assert!(is_gone(pid), "that is not one of ours");
        child.kill().and_then(|()| child.wait()).expect("it is our child");
        assert!(is_gone(pid) && is_gone(u32::MAX));
    }
}
