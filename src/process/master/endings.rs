//! What becomes of children that have ended.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::supervisor::{Master, Stop};
use super::worker::{Outcome, Phase, Worker};
use super::{Ns, Program, program};
use crate::process::control::mono;
use crate::process::link::ToWorker;
use crate::process::messages;

/// Messages of a process that has ended at most.
const LAST_MESSAGES_MAX: usize = 4096;
/// A program that fails is not started again at once.
const PROGRAM_WAIT: Duration = Duration::from_secs(1);

impl Master {
    /// Collect every child that has ended.
    pub fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid.as_raw(), Outcome::Exited(code as u8)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    self.ended(pid.as_raw(), Outcome::Killed(signal as i32));
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// A child has ended, or the worker of a master before this one.
    pub fn ended(&mut self, pid: i32, how: Outcome) {
        // What it said last; all of it has arrived. More than a channel holds is somebody else's, to whom it gave its end.
        self.hear_one(pid, LAST_MESSAGES_MAX);
        let Some(at) = self.workers.iter().position(|w| w.pid == pid) else {
            return self.program_ended(pid, how);
        };
        let worker = self.workers.remove(at);
        self.notify.forget(&worker.key());
        for link in self.workers.iter().filter_map(|w| w.link.as_ref()) {
            // Who is not ready yet reads it then.
            let _ = ToWorker::Gone(pid).send(link);
        }
        match worker.phase {
            Phase::Starting(start) => {
                messages::warning(&format!("worker {pid} {} before it was ready", how.words()));
                if self.stop.is_some() {
                    self.code = self.code.max(how.code());
                } else {
                    let mut log = worker.log;
                    if log.is_empty() {
                        log = format!("worker {pid} {}", how.words());
                    }
                    self.not_started(start.why, log, how.code());
                }
            }
            Phase::Leaving => {
                messages::notice(&format!("former worker {pid} {}", how.words()));
                self.tell_status();
            }
            Phase::Serving => self.serving_ended(&worker, how),
        }
    }

    /// The worker that served has ended. It is replaced, unless somebody wanted its end.
    fn serving_ended(&mut self, worker: &Worker, how: Outcome) {
        let pid = worker.pid;
        let wanted = matches!(how, Outcome::Exited(0))
            || [Signal::SIGTERM, Signal::SIGINT].iter().any(|s| how == Outcome::Killed(*s as i32));
        if self.stop.is_some() {
            self.code = how.code();
            return messages::notice(&format!("worker {pid} {}", how.words()));
        }
        // One that starts, or that was told to go on by a master before this one, takes its place.
        if self.workers.iter().any(|w| w.is_starting() || w.is_serving()) {
            return messages::alert(&format!("worker {pid} {}", how.words()));
        }
        if wanted {
            messages::warning(&format!("worker {pid} {}: the master ends with it", how.words()));
            self.code = how.code();
            self.stop = Some(Stop::All);
            self.notify.send("STOPPING=1");
            return self.signal_programs(Signal::SIGTERM);
        }
        let now = mono().0;
        self.loads.crashes = self.loads.crashes.saturating_add(1);
        let wait = self.crashes.failed(Duration::from_nanos(now.saturating_sub(worker.ready_ns)));
        let when = if wait.is_zero() { "now".to_owned() } else { format!("in {} ms", wait.as_millis()) };
        messages::alert(&format!("worker {pid} {}: another one is started {when}", how.words()));
        self.again_ns = Some(now + wait.as_nanos() as Ns);
        self.tell_status();
    }

    fn program_ended(&mut self, pid: i32, how: Outcome) {
        if let Some(at) = self.leaving_programs.iter().position(|p| p.pid == pid) {
            let program = self.leaving_programs.remove(at);
            return messages::notice(&format!("former program '{}' ({pid}) {}", program.name, how.words()));
        }
        let stops = self.stop.is_some();
        let Some(program) = self.programs.iter_mut().find(|p| p.pid == pid) else { return };
        let now = mono().0;
        program.pid = 0;
        program.kill_ns = None;
        messages::warning(&format!("program '{}' ({pid}) {}", program.name, how.words()));
        // One that ends with success has done its work.
        if !stops && how != Outcome::Exited(0) {
            let ran = Duration::from_nanos(now.saturating_sub(program.started_ns));
            let wait = program.backoff.failed(ran).max(PROGRAM_WAIT);
            program.again_ns = Some(now + wait.as_nanos() as Ns);
        }
    }

    /// Programs that wait to be started again, and those that do not obey.
    pub fn look_at_programs(&mut self, now: Ns) {
        for program in self.programs.iter_mut().chain(&mut self.leaving_programs) {
            if program.pid > 0 && program.kill_ns.is_some_and(|at| now >= at) {
                messages::warning(&format!("program '{}' ({}) is killed", program.name, program.pid));
                program.kill_ns = Some(Ns::MAX);
                program.signal(Signal::SIGKILL, now);
            }
        }
        for program in self.programs.iter_mut().filter(|p| p.again_ns.is_some_and(|at| now >= at)) {
            program.again_ns = None;
            let name = &program.name;
            match program::spawn(&program.conf, &self.conf.env) {
                Ok(pid) => {
                    messages::notice(&format!("program '{name}' ({pid}) started again"));
                    (program.pid, program.started_ns) = (pid, now);
                }
                Err(why) => {
                    messages::alert(&format!("program '{name}': {why}"));
                    let wait = program.backoff.failed(Duration::ZERO).max(PROGRAM_WAIT);
                    program.again_ns = Some(now + wait.as_nanos() as Ns);
                }
            }
        }
    }

    /// Send the programs a signal.
    pub fn signal_programs(&mut self, signal: Signal) {
        let now = mono().0;
        let all: Vec<&mut Program> = self.programs.iter_mut().chain(&mut self.leaving_programs).collect();
        all.into_iter().for_each(|p| p.signal(signal, now));
    }
}
