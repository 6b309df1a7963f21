//! A long run of the service under a real systemd: load all the time, a reload every two seconds, now and then a killed
//! worker, a killed master, a restart. `scripts/soak [minutes [seed]]`.
//!
//! Rounds of twenty seconds. Nothing may fail in a round without a killed worker; in one with it, no more than what the
//! worker can have carried. The report is a table on standard output; the exit code says whether everything held.

#![allow(clippy::disallowed_methods)] // Real processes, real time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[path = "../tests/systemd/machine.rs"]
mod machine;
#[path = "../tests/systemd/origin.rs"]
mod origin;
#[allow(dead_code)]
#[path = "../tests/systemd/service.rs"]
mod service;
#[allow(dead_code)]
#[path = "../tests/e2e/support.rs"]
mod support;
#[allow(dead_code)]
#[path = "../tests/systemd/traffic.rs"]
mod traffic;

use service::{Service, UNIT, config};
use traffic::{Tally, Traffic, Wrk, wrk};

/// Seconds of a round.
const ROUND: u32 = 20;
/// Between two reloads.
const PERIOD: Duration = Duration::from_secs(2);
/// Clients of each kind: slow downloads, tunnels, idle keep-alive.
const CLIENTS: [usize; 3] = [50, 50, 200];
/// Connections of the two wrk.
const WRK: u64 = 32;

/// Knuth's MMIX generator: a run can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// What is done to the service besides the reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    None,
    KilledWorker,
    KilledMaster,
    Restart,
}

impl Blow {
    fn any(random: &mut Random) -> Blow {
        [Blow::None, Blow::None, Blow::KilledWorker, Blow::KilledMaster, Blow::Restart]
            [random.below(5) as usize]
    }

    fn strike(self, service: &Service, random: &mut Random) {
        let kill =
            |pid: i32| pid > 1 && service.machine.run(&["kill", "-KILL", &pid.to_string()]).status.success();
        match self {
            Blow::None => {}
            // One that has just ended by itself cannot be killed.
            Blow::KilledWorker => while !kill(any(&service.workers(), random)) {},
            Blow::KilledMaster => while !kill(service.main()) {},
            Blow::Restart => {
                service.machine.done(&["systemctl", "restart", UNIT]);
            }
        }
    }
}

/// One of them; 0 when there is none.
fn any(pids: &[i32], random: &mut Random) -> i32 {
    pids.get(random.below(pids.len().max(1) as u64) as usize).copied().unwrap_or(0)
}

/// Another number of threads, and a second address or not.
fn another_config(service: &Service, spare: u16, random: &mut Random) -> String {
    let mut text = config(service.port, service.origin, 1 + random.below(4) as u32);
    if random.below(2) == 0 {
        text.push_str(&format!(
            "frontend more\n    bind 127.0.0.1:{spare}\n    bind /run/more.sock\n    default_backend be\n"
        ));
    }
    text
}

/// What a round did.
struct Round {
    blow: Blow,
    reloads: u32,
    tally: Tally,
    keep: Wrk,
    close: Wrk,
}

impl Round {
    fn run(service: &Service, traffic: &Traffic, blow: Blow, spare: u16, random: &mut Random) -> Round {
        let before = traffic.tally();
        let (keep, close) = wrk(service.port, ROUND);
        let since = Instant::now();
        let end = Duration::from_secs(u64::from(ROUND)) - PERIOD;
        let moment = PERIOD + Duration::from_millis(random.below((end - PERIOD).as_millis() as u64));
        let (mut struck, mut reloads) = (blow == Blow::None, 0);
        while since.elapsed() < end {
            if !struck && since.elapsed() >= moment {
                struck = true;
                blow.strike(service, random);
            }
            let next = PERIOD * (reloads + 1);
            if since.elapsed() >= next {
                reloads += 1;
                service.configure(&another_config(service, spare, random));
                // A master that was just killed has no number for a moment.
                service.machine.run(&["systemctl", "kill", "--kill-who=main", "-s", "USR2", UNIT]);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let (keep, close) = (keep.join().expect("wrk ends"), close.join().expect("wrk ends"));
        traffic.wake_idle();
        Round { blow, reloads, tally: traffic.tally().since(&before), keep, close }
    }

    fn failures(&self) -> u64 {
        self.tally.failures() + self.keep.failures() + self.close.failures()
    }

    /// What one worker can have carried.
    fn allowed(&self) -> u64 {
        if self.blow == Blow::KilledWorker { CLIENTS.iter().map(|n| *n as u64).sum::<u64>() + WRK } else { 0 }
    }
}

/// What is left at the end of a round.
fn state(service: &Service) -> (usize, u64, usize) {
    let settled = service.settled();
    let workers = service.workers();
    let fds = service.machine.done(&["sh", "-c", &format!("ls /proc/{}/fd | wc -l", workers[0])]);
    let count = if settled { 1 } else { workers.len() };
    (count, service.memory(), fds.trim().parse().unwrap_or(0))
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let minutes = numbers.first().copied().unwrap_or(20);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_secs());
    let seed = numbers.get(1).copied().unwrap_or(clock);
    let mut random = Random(seed);
    let service = Service::start();
    let traffic = Traffic::start(service.port, CLIENTS[0], CLIENTS[1], CLIENTS[2]);
    println!("{minutes} minutes, seed {seed}\n");
    println!(
        "| round | besides | reloads | keep-alive | connections | downloads | echoes | idle | failed | allowed | workers | kB | fds |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let spare = support::free_port();
    let (mut held, mut all) = (true, [0; 8]);
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    for number in 1.. {
        let blow = Blow::any(&mut random);
        let r = Round::run(&service, &traffic, blow, spare, &mut random);
        let (workers, memory, fds) = state(&service);
        println!(
            "| {number} | {blow:?} | {} | {} | {} | {} | {} | {} | {} | {} | {workers} | {memory} | {fds} |",
            r.reloads,
            r.keep.requests,
            r.close.requests,
            r.tally.downloads,
            r.tally.echoes,
            r.tally.answered,
            r.failures(),
            r.allowed()
        );
        if r.failures() > r.allowed() || workers != 1 || r.tally.refused > 0 {
            held = false;
            println!(
                "\n{:?} {:?} {:?}\n{:#?}\n{}",
                r.tally,
                r.keep,
                r.close,
                traffic.reasons(),
                service.machine.journal()
            );
        }
        let t = &r.tally;
        let values = [
            u64::from(r.reloads),
            r.keep.requests,
            r.close.requests,
            t.downloads,
            t.echoes,
            t.answered,
            r.failures(),
            u64::from(blow != Blow::None),
        ];
        all.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
        if Instant::now() >= until {
            break;
        }
    }
    let [reloads, keep, close, downloads, echoes, idle, failed, blows] = all;
    println!(
        "\n{reloads} reloads and {blows} blows; {keep} requests on kept connections, {close} on connections of their own, \
         {downloads} downloads, {echoes} echoes through tunnels, {idle} requests of idle clients; {failed} failed, all \
         allowed: {held}"
    );
    // The machine ends with it; `exit` would leave it behind.
    drop((traffic, service));
    std::process::exit(i32::from(!held));
}
