//! The service in a machine of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::origin;
use crate::support::{self, Dir, free_port};

/// Its unit.
pub const UNIT: &str = "haring.service";
/// The wrapper's.
pub const CLASSIC: &str = "haring-classic.service";

/// The service in a machine of its own, and its port.
pub struct Service {
    pub machine: Machine,
    pub port: u16,
    /// Port of what answers behind it.
    pub origin: u16,
}

impl Service {
    pub fn start() -> Service {
        let service = Service::installed();
        service.machine.done(&["systemctl", "start", UNIT]);
        service
    }

    /// Not started yet.
    pub fn installed() -> Service {
        let (origin, _) = origin::start();
        let port = free_port();
        let dir = Dir::new();
        dir.file("haring.cfg", &config(port, origin, 2));
        let files = [
            (env!("CARGO_BIN_EXE_haring"), "haring"),
            (env!("CARGO_BIN_EXE_haring-systemd-wrapper"), "haring-systemd-wrapper"),
        ];
        for (from, name) in files {
            std::fs::copy(from, dir.0.join(name)).expect("the program can be copied");
        }
        for name in [UNIT, CLASSIC] {
            let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
            std::fs::copy(unit, dir.0.join(name)).expect("the unit can be copied");
        }
        let machine = Machine::boot(
            dir,
            "install -m 755 /mnt/source/haring /mnt/source/haring-systemd-wrapper /usr/sbin/\n\
             mkdir -p /etc/haring\n\
             cp /mnt/source/haring.cfg /etc/haring/\n\
             cp /mnt/source/*.service /etc/systemd/system/\n",
        );
        Service { machine, port, origin }
    }

    pub fn main(&self) -> i32 {
        self.machine.property(UNIT, "MainPID").parse().unwrap_or(0)
    }

    pub fn active(&self) -> bool {
        self.machine.property(UNIT, "ActiveState") == "active"
    }

    pub fn processes(&self) -> Vec<(i32, String)> {
        self.machine.processes(UNIT)
    }

    /// The processes that serve.
    pub fn workers(&self) -> Vec<i32> {
        let main = self.main();
        self.processes().into_iter().map(|p| p.0).filter(|p| *p != main).collect()
    }

    /// Waits for something.
    pub fn wait(&self, what: &str, ready: impl Fn(&Service) -> bool) {
        let until = Instant::now() + support::PATIENCE;
        while !ready(self) {
            assert!(Instant::now() < until, "no {what}: {:?}\n{}", self.processes(), self.machine.journal());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Soon, one worker is left.
    pub fn settled(&self) -> bool {
        let until = Instant::now() + support::PATIENCE;
        while self.workers().len() != 1 {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }

    /// Writes another configuration, for the next reload.
    pub fn configure(&self, text: &str) {
        let file = format!("/proc/{}/root/etc/haring/haring.cfg", self.machine.init);
        std::fs::write(file, text).expect("the configuration can be written");
    }

    /// Resident memory of the worker, in kB.
    pub fn memory(&self) -> u64 {
        let status = self.machine.done(&["cat", &format!("/proc/{}/status", self.workers()[0])]);
        let line = status.lines().find(|l| l.starts_with("RssAnon")).expect("a number");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    }
}

/// What it runs.
pub fn config(port: u16, origin: u16, threads: u32) -> String {
    format!(
        "global\n    nbthread {threads}\n    user nobody\n    group nogroup\n    stats socket /run/haring.sock mode 600 level admin\n\
         defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n    \
         timeout tunnel 1h\n    option http-no-delay\n\
         frontend fe\n    bind 127.0.0.1:{port}\n    http-request track-sc0 src table seen\n    \
         http-response set-header worker %pid\n    default_backend be\n\
         backend be\n    server s 127.0.0.1:{origin}\n\
         backend others\n    server a 127.0.0.1:{origin} weight 10\n    server b 127.0.0.1:{origin} weight 10\n    \
         server c 127.0.0.1:{origin}\n    server d 127.0.0.1:{origin}\n\
         backend seen\n    stick-table type ip size 2m expire 1h store gpc0,gpt0,http_req_cnt\n"
    )
}
