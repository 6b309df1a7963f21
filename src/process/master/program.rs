//! Helper programs: the `program` sections.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::backoff::Backoff;
use super::notify;
use super::state::{self, Record};
use super::supervisor::OBEY_MAX;
use super::{FIRST_WAIT, Ns};
use crate::config::{Env, Loc};
use crate::process::link;
use crate::process::privileges::{group_id, user_id};
use crate::proxy::global::Account;
use crate::proxy::program::ProgramConf;
use crate::sys::process::{die_with_parent, unblock_signals};

/// A helper program.
#[derive(Debug)]
pub struct Program {
    /// Name of its section.
    pub name: String,
    /// What the section says: a reload that fails must not change what becomes of it.
    pub conf: ProgramConf,
    /// Its process id; 0 while it waits to be started again.
    pub pid: i32,
    /// Monotonic time of its start.
    pub started_ns: Ns,
    /// Reloads since.
    pub reloads: u32,
    /// It was told to end: when it is killed.
    pub kill_ns: Option<Ns>,
    /// When it is to be started again.
    pub again_ns: Option<Ns>,
    /// How often it has failed.
    pub backoff: Backoff,
}

impl Program {
    /// One that runs.
    pub fn new(name: &str, conf: ProgramConf, pid: i32, now_ns: Ns) -> Program {
        Program {
            name: name.to_owned(),
            conf,
            pid,
            started_ns: now_ns,
            reloads: 0,
            kill_ns: None,
            again_ns: None,
            backoff: Backoff::new(FIRST_WAIT),
        }
    }

    /// Send it a signal.
    pub fn signal(&mut self, signal: Signal, now_ns: Ns) {
        if matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGUSR1) {
            self.again_ns = None;
            if signal != Signal::SIGUSR1 {
                self.kill_ns.get_or_insert(now_ns + OBEY_MAX.as_nanos() as Ns);
            }
        }
        if self.pid > 0 {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// For the next image.
    pub fn save(&self, leaving: bool) -> Record {
        let record = Record::new("program").with(self.pid).with(&self.name).with(u8::from(leaving));
        let record = record.with(self.reloads).with(self.started_ns).with(self.kill_ns.unwrap_or(0));
        let record = record.with(self.again_ns.unwrap_or(0));
        let record = record.with(account_word(&self.conf.user)).with(account_word(&self.conf.group));
        self.conf.command.iter().fold(record, Record::with)
    }

    /// What [`Program::save`] has written, and whether it is leaving.
    pub fn restore(record: &Record) -> Option<(Program, bool)> {
        let again_ns = record.number(7).filter(|ns| *ns > 0);
        let pid = record.number::<i32>(1).filter(|pid| *pid > 1 || (*pid == 0 && again_ns.is_some()))?;
        let (user, group) = (account_of_word(record.text(8)), account_of_word(record.text(9)));
        let conf = ProgramConf { command: record.texts(10).to_vec(), user, group, stays: false };
        let mut program = Program::new(record.text(2), conf, pid, record.number(5).unwrap_or(0));
        program.again_ns = again_ns;
        program.reloads = record.number(4).unwrap_or(0);
        program.kill_ns = record.number(6).filter(|ns| *ns > 0);
        Some((program, record.number::<u8>(3) == Some(1)))
    }
}

fn account_word(account: &Option<Account>) -> String {
    match account {
        None => String::new(),
        Some(Account::Id(id)) => format!("#{id}"),
        Some(Account::Name(name, _)) => format!("={name}"),
    }
}

fn account_of_word(word: &str) -> Option<Account> {
    match word.strip_prefix('#') {
        Some(id) => id.parse().ok().map(Account::Id),
        None => word.strip_prefix('=').map(|name| Account::Name(name.to_owned(), Loc::default())),
    }
}

/// Start a program; gives its process id.
///
/// # Errors
/// One line: why it could not be started.
pub fn spawn(conf: &ProgramConf, env: &Env) -> Result<i32, String> {
    let (name, words) = conf.command.split_first().ok_or("it has no command")?;
    let mut command = Command::new(name);
    command.args(words).env_clear();
    command.envs(env.iter().map(|(k, v)| (OsStr::from_bytes(k), OsStr::from_bytes(v))));
    for name in notify::OWN_VARIABLES.into_iter().chain([state::ENV, link::ENV]) {
        command.env_remove(name);
    }
    command.env("HAPROXY_MWORKER", "1");
    if let Some(group) = &conf.group {
        command.gid(group_id(group)?);
    }
    if let Some(user) = &conf.user {
        command.uid(user_id(user)?);
    }
    // A master that was killed is started anew, and starts its programs: there must not be two of each.
    die_with_parent(&mut command);
    unblock_signals(&mut command);
    let child = command.spawn().map_err(|e| format!("cannot run {name}: {e}"))?;
    Ok(child.id() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_comes_back() {
        let user = Some(Account::Name("no body".to_owned(), Loc::default()));
        let command = vec!["/bin/x".to_owned(), String::new(), "1 2".to_owned()];
        let conf = ProgramConf { command, user, group: Some(Account::Id(7)), stays: false };
        let mut program = Program::new("a b", conf.clone(), 4711, 12);
        program.reloads = 2;
        let text = state::write(&[program.save(true)]);
        let (again, leaving) = Program::restore(&state::parse(&text)[0]).expect("a program");
        assert_eq!((again.name.as_str(), again.pid, again.reloads, leaving), ("a b", 4711, 2, true));
        assert_eq!((again.started_ns, again.kill_ns, &again.conf), (12, None, &conf));
        // One that waits to be started again.
        (program.pid, program.again_ns) = (0, Some(99));
        let (again, _) = Program::restore(&program.save(false)).expect("it waits");
        assert_eq!((again.pid, again.again_ns), (0, Some(99)));
        assert!(Program::restore(&Record::new("program").with(0).with("x")).is_none());
    }

    #[test]
    fn what_cannot_be_started_is_said() {
        let conf = ProgramConf { command: vec!["/nonexistent/program".into()], ..ProgramConf::default() };
        let why = spawn(&conf, &Env::empty()).expect_err("it is not there");
        assert!(why.contains("/nonexistent/program"), "{why}");
    }
}
