//! Starts of workers and reloads: from the wish to `ready`, or to the reason why not.

use std::os::fd::OwnedFd;

use nix::sys::signal::Signal;

use super::program;
use super::supervisor::{Load, Master, execute_anew};
use super::worker::{self, Phase, Start, Why, Worker};
use super::{Kind, Program};
use crate::config::{Severity, prefix};
use crate::net::Channel;
use crate::process::args::of_worker;
use crate::process::control::mono;
use crate::process::link::{ToMaster, ToWorker};
use crate::process::{daemon, messages};

/// What is said when a descriptor is refused.
const NOT_HELD: &str = "not every descriptor can be held: the next worker will not get all";
/// Characters of the reason in a status line at most.
const REASON_MAX: usize = 300;

impl Master {
    /// SIGUSR2, SIGHUP: replace the worker by one with the configuration (and the program) as it is now. Returns when
    /// that was put off or is not possible; else another image of this process goes on.
    pub fn reload(&mut self) {
        if self.stop.is_some() {
            return messages::warning("reload: not now, everything ends");
        }
        if self.workers.iter().any(Worker::is_starting) {
            self.loads.asked_again = true;
            return messages::notice("reload: put off until the worker that starts now is ready");
        }
        self.loads.reloads = self.loads.reloads.saturating_add(1);
        self.again_ns = None;
        let now_us = mono().0 / 1000;
        self.notify.send(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=Reloading."));
        if let Err(why) = self.places.check() {
            return self.loaded(Err(why));
        }
        messages::notice("reload: executing the program anew");
        // Who has ended by now must not be named to the next image: its number may be another's later.
        self.reap();
        self.cli.fit();
        let error = execute_anew(self);
        messages::alert(&format!("cannot execute {}: {error}: this one goes on", self.places.own.display()));
        self.start_worker(Why::Reload);
    }

    /// A reload for the admin socket. `hard`: the worker before ends at once.
    pub fn reload_as(&mut self, hard: bool) {
        if self.workers.iter().any(Worker::is_starting) {
            self.loads.hard_again |= hard;
        } else {
            self.loads.hard = hard;
        }
        self.reload();
    }

    /// Start a worker, and hand everything to it.
    pub fn start_worker(&mut self, why: Why) {
        self.again_ns = None;
        let options = of_worker(&self.places.words, why == Why::First);
        // Not by `-Ws` alone: that is also what people and tests call by hand.
        let service = self.notify.is_service();
        let (pid, link) = match worker::spawn(&self.places.program, &options, service) {
            Ok(started) => started,
            Err(error) => {
                let text = format!("cannot run {}: {error}", self.places.program.display());
                messages::alert(&text);
                return self.not_started(why, text, 1);
            }
        };
        let serving = self.serving().map(|w| w.pid);
        let mut start = Start { why, handover: None, kept: Vec::new() };
        let mut worker_link = Some(link);
        match worker_link.as_ref().map(|link| worker::equip(link, self.store.iter(), serving)) {
            Some(Ok(rest)) => start.handover = serving.zip(rest),
            Some(Err(error)) => {
                messages::alert(&format!("worker {pid} does not take over what there is: {error}"));
                // It ends when it sees that.
                worker_link = None;
            }
            None => {}
        }
        messages::notice(&format!("worker {pid} started"));
        // Before the first one accepts: whoever can connect finds the number.
        if why == Why::First {
            self.write_worker_pid(pid);
        }
        self.workers.push(Worker::new(pid, worker_link, Phase::Starting(start), mono().0));
    }

    /// Read what one worker says, up to so many messages.
    pub fn hear_one(&mut self, pid: i32, most: usize) {
        for _ in 0..most {
            let Some(worker) = self.worker(pid) else { return };
            let Some(link) = &worker.link else { return };
            match ToMaster::receive(link) {
                Ok(Some(message)) => self.take_message(pid, message),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // A message of a later version than this one's, or there was no room for its descriptor.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    worker.complain(&format!("a message is lost: {error}"));
                }
                Ok(None) | Err(_) => {
                    worker.link = None;
                    if !worker.ours {
                        self.ended(pid, worker::Outcome::Unknown);
                    }
                    return;
                }
            }
        }
    }

    fn take_message(&mut self, pid: i32, message: ToMaster) {
        let Some(worker) = self.workers.iter_mut().find(|w| w.pid == pid) else { return };
        match (message, &mut worker.phase) {
            (ToMaster::Keep(key, fd), Phase::Starting(start)) => {
                if self.store.may_keep(&key, start.kept.len()) {
                    start.kept.push((key, fd));
                } else {
                    worker.complain(NOT_HELD);
                }
            }
            (ToMaster::Keep(key, fd), Phase::Serving) => self.keep(pid, key, fd),
            (ToMaster::Forget(key), Phase::Serving) => self.store.forget(&key, &self.notify),
            (ToMaster::Log(text), Phase::Starting(_)) => worker.add_log(&text),
            (ToMaster::Status(text), _) => {
                worker.set_status(&text);
                if worker.is_serving() {
                    self.tell_status();
                }
            }
            (ToMaster::Ready, Phase::Starting(_)) => self.ready(pid),
            // What a worker that leaves wants is its successor's to say.
            (ToMaster::Keep(..) | ToMaster::Forget(_) | ToMaster::Ready | ToMaster::Log(_), _) => {}
        }
    }

    fn keep(&mut self, pid: i32, key: String, fd: OwnedFd) {
        if !self.store.keep(key, fd, &self.notify)
            && let Some(worker) = self.worker(pid)
        {
            worker.complain(NOT_HELD);
        }
    }

    /// A worker accepts: it is the one that serves.
    fn ready(&mut self, pid: i32) {
        let now = mono().0;
        let Some(worker) = self.workers.iter_mut().find(|w| w.pid == pid) else { return };
        let Phase::Starting(start) = std::mem::replace(&mut worker.phase, Phase::Serving) else { return };
        worker.ready_ns = now;
        let took_ms = (now - worker.started_ns) / 1_000_000;
        messages::notice(&format!("worker {pid} serves, after {took_ms} ms"));
        for (key, fd) in start.kept {
            self.keep(pid, key, fd);
        }
        if let Some(worker) = self.workers.iter().find(|w| w.pid == pid)
            && let Some(link) = &worker.link
        {
            self.notify.store(&worker.key(), std::os::fd::AsFd::as_fd(link));
        }
        let mut handover = start.handover;
        let others = self.workers.iter().filter(|w| w.pid != pid && w.is_serving());
        let others: Vec<i32> = others.map(|w| w.pid).collect();
        for other in others {
            let channel = handover.take_if(|(to, _)| *to == other).map(|(_, channel)| channel);
            let channel = channel.filter(|_| !self.loads.hard);
            self.retire(other, pid, channel);
        }
        if start.why != Why::Replace {
            self.age_leaving();
        }
        if std::mem::take(&mut self.loads.hard) {
            let leaving = self.workers.iter_mut().filter(|w| matches!(w.phase, Phase::Leaving));
            leaving.for_each(|w| w.signal(Signal::SIGTERM, now));
        }
        self.write_worker_pid(pid);
        match start.why {
            Why::First => self.first_serves(),
            Why::Reload => self.restart_programs(),
            Why::Replace => {}
        }
        self.loaded(Ok(pid));
    }

    /// The pid file of the wrapper has the worker's number.
    fn write_worker_pid(&self, pid: i32) {
        if self.kind == Kind::Wrapper
            && let Some(Err(lines)) = self.pidfile.as_ref().map(|file| file.write(pid))
        {
            lines.iter().for_each(|line| messages::warning(line));
        }
    }

    fn first_serves(&mut self) {
        // The worker has told them too, but it may not be allowed to.
        daemon::signal_old(&self.args);
        self.restart_programs();
        if self.parent.is_some() {
            let left = daemon::leave_terminal();
            self.tell_parent(0);
            if let Err(why) = left {
                messages::warning(&why);
            }
        }
    }

    /// Tell the worker that has served that another one does.
    fn retire(&mut self, old: i32, new: i32, channel: Option<Channel>) {
        let Some(worker) = self.workers.iter_mut().find(|w| w.pid == old) else { return };
        let before = worker.key();
        worker.phase = Phase::Leaving;
        // In this order: systemd does not keep one that it has already, under whatever name.
        self.notify.forget(&before);
        if let Some(link) = &worker.link {
            self.notify.store(&worker.key(), std::os::fd::AsFd::as_fd(link));
        }
        let told = match (&worker.link, channel) {
            (Some(link), Some(channel)) => ToWorker::Successor(new, channel.into_fd()).send(link).is_ok(),
            _ => false,
        };
        if !told {
            worker.signal(Signal::SIGUSR1, mono().0);
        }
    }

    /// Workers that are leaving have survived one more reload.
    fn age_leaving(&mut self) {
        let (now, most) = (mono().0, self.conf.global.process.max_reloads);
        for worker in self.workers.iter_mut().filter(|w| matches!(w.phase, Phase::Leaving)) {
            worker.reloads = worker.reloads.saturating_add(1);
            if worker.reloads > most && worker.kill_ns.is_none() {
                let (pid, reloads) = (worker.pid, worker.reloads);
                messages::warning(&format!(
                    "worker {pid} has survived {reloads} reloads (mworker-max-reloads): it is stopped"
                ));
                worker.signal(Signal::SIGTERM, now);
            }
        }
    }

    /// A worker has ended before it was ready, or could not be started at all; `log` is what was said about it.
    pub fn not_started(&mut self, why: Why, log: String, code: u8) {
        let left = self.serving().is_some();
        if !left && why == Why::First {
            messages::alert("the first worker could not be started: exit");
            self.code = code.max(1);
            self.stop = Some(super::supervisor::Stop::All);
        } else if !left && self.stop.is_none() {
            let wait = self.crashes.failed(std::time::Duration::ZERO);
            // At once only when it did serve: what fails to start is likely to fail again.
            self.again_ns = Some(mono().0 + wait.max(super::FIRST_WAIT).as_nanos() as super::Ns);
        }
        self.loaded(Err(log));
    }

    /// The end of each start of a worker: its process id, or why it does not serve.
    pub fn loaded(&mut self, how: Result<i32, String>) {
        let log = match how {
            Ok(pid) => self.log_of(pid),
            Err(ref log) => log.clone(),
        };
        self.loads.failed = if how.is_ok() { 0 } else { self.loads.failed.saturating_add(1) };
        self.loads.hard = false;
        self.loads.last = Some(Load { ok: how.is_ok(), log: log.clone() });
        let mut cli = std::mem::take(&mut self.cli);
        cli.loaded(self, how.is_ok(), &log);
        self.cli = cli;
        if let (Err(log), Some(pid)) = (&how, self.serving().map(|w| w.pid)) {
            messages::warning(&format!("reload failed, worker {pid} goes on: {}", reason(log)));
        }
        if self.stop.is_none() && self.serving().is_some() {
            let (pid, status) = (std::process::id(), self.status());
            self.notify.send(&format!("READY=1\nMAINPID={pid}\nSTATUS={status}"));
        } else {
            self.tell_status();
        }
        if std::mem::take(&mut self.loads.asked_again) {
            self.loads.hard = std::mem::take(&mut self.loads.hard_again);
            self.cli.reload_begins();
            self.reload();
        }
    }

    /// What a worker has said until it was ready, and that it is.
    fn log_of(&mut self, pid: i32) -> String {
        let mut log = self.worker(pid).map(|w| std::mem::take(&mut w.log)).unwrap_or_default();
        log.push_str(&format!("{}worker {pid} serves\n", prefix(Severity::Notice, std::process::id())));
        log
    }

    /// The line of `systemctl status`.
    pub fn tell_status(&self) {
        if self.stop.is_some() && self.loads.last.as_ref().is_some_and(|load| load.ok) {
            return;
        }
        self.notify.send(&format!("STATUS={}", self.status()));
    }

    /// How things are, in one line.
    pub fn status(&self) -> String {
        let reloads = self.loads.reloads;
        let mut text = match self.serving() {
            Some(worker) => format!("Worker {} serves, {reloads} reloads", worker.pid),
            None => format!("No worker serves, {reloads} reloads"),
        };
        let leaving = self.workers.iter().filter(|w| matches!(w.phase, Phase::Leaving)).count();
        if self.loads.crashes > 0 {
            text.push_str(&format!(", {} workers have died", self.loads.crashes));
        }
        if leaving > 0 {
            text.push_str(&format!(", {leaving} old workers finish"));
        }
        if let Some(load) = self.loads.last.as_ref().filter(|load| !load.ok) {
            return format!("Last start failed: {}. {text}.", reason(&load.log));
        }
        match self.serving().map(|w| w.status.as_str()).filter(|s| !s.is_empty()) {
            Some(status) => format!("{text}: {status}"),
            None => format!("{text}."),
        }
    }

    /// The programs of the configuration as it is now; those that run are told to end, unless they are to stay.
    fn restart_programs(&mut self) {
        let now = mono().0;
        let mut before = std::mem::take(&mut self.programs);
        for (name, conf) in &self.conf.programs {
            let stays = before.iter().position(|p| p.name == *name && p.pid > 0).filter(|_| conf.stays);
            if let Some(at) = stays {
                let mut program = before.remove(at);
                program.reloads = program.reloads.saturating_add(1);
                program.conf = conf.clone();
                self.programs.push(program);
                continue;
            }
            match program::spawn(conf, &self.conf.env) {
                Ok(pid) => {
                    messages::notice(&format!("program '{name}' ({pid}) started"));
                    self.programs.push(Program::new(name, conf.clone(), pid, now));
                }
                Err(why) => messages::alert(&format!("program '{name}': {why}")),
            }
        }
        for mut program in before.into_iter().filter(|p| p.pid > 0) {
            program.signal(Signal::SIGUSR1, now);
            program.reloads = 0;
            self.leaving_programs.push(program);
        }
        let most = self.conf.global.process.max_reloads;
        for program in &mut self.leaving_programs {
            program.reloads = program.reloads.saturating_add(1);
            // It does not heed SIGUSR1; else there would be one more with each reload.
            if program.reloads > most && program.kill_ns.is_none() {
                program.signal(Signal::SIGTERM, now);
            }
        }
    }
}

/// The first error of what a worker has said, without what stands in front of each line.
fn reason(log: &str) -> String {
    let lines = || log.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find(|line| line.starts_with("[ALERT]")).or_else(|| lines().next_back());
    let line = line.unwrap_or("it said nothing");
    let text = match line.strip_prefix("[ALERT]") {
        Some(rest) => rest.split_once(" : ").map_or(rest, |(_, text)| text),
        None => line,
    };
    text.trim().trim_end_matches('.').chars().filter(|c| !c.is_control()).take(REASON_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn the_first_error_is_the_reason() {
        let log = "[WARNING]  (7) : old\n[ALERT]    (7) : config : [a.cfg:3] : unknown keyword 'x'.\n  x\n  ^\n[ALERT] (7) : b\n";
        assert_eq!(reason(log), "config : [a.cfg:3] : unknown keyword 'x'");
        assert_eq!(reason("cannot run x\n\n"), "cannot run x");
        assert_eq!(reason(""), "it said nothing");
        assert_eq!(reason("[ALERT]").as_str(), "");
        assert_eq!(reason(&"é".repeat(999)).chars().count(), 300);
    }
}
