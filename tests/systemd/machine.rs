//! A systemd in namespaces of its own.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::Dir;

/// It is killed with the value, and everything that it runs with it.
pub struct Machine {
    unshare: Child,
    /// Process 1 of it, as seen from outside.
    pub init: i32,
    /// Its /mnt/source.
    pub dir: Dir,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

impl Machine {
    /// Boot it. `prepare` is a shell script that runs in it before systemd does, with the directory in /mnt/source.
    pub fn boot(dir: Dir, prepare: &str) -> Machine {
        use std::os::unix::fs::PermissionsExt;
        let script = dir.file("prepare", &format!("#!/bin/sh\nset -eu\n{prepare}"));
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))
            .expect("the mode can be set");
        let boot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systemd/boot.sh");
        let log = std::fs::File::create(dir.0.join("boot.log")).expect("a log file");
        let unshare = Command::new(boot)
            .arg(&dir.0)
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a second descriptor"))
            .stdout(log)
            .spawn()
            .expect("bash and unshare (util-linux) run");
        let mut machine = Machine { unshare, init: 0, dir };
        let until = Instant::now() + Duration::from_secs(20);
        while !machine.is_up() {
            let ended = machine.unshare.try_wait().expect("it is our child").is_some();
            assert!(
                Instant::now() < until && !ended,
                "systemd does not come up: {}",
                read(&machine.dir.0.join("boot.log").display().to_string())
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        machine
    }

    fn is_up(&mut self) -> bool {
        let child = |pid: i32| {
            let children = read(&format!("/proc/{pid}/task/{pid}/children"));
            children.split_whitespace().next().and_then(|p| p.parse().ok()).unwrap_or(0)
        };
        // The script, unshare, systemd.
        self.init = child(child(self.unshare.id() as i32));
        self.init > 0 && self.run(&["systemctl", "is-active", "harness.target"]).status.success()
    }

    /// Run a command in it.
    pub fn run(&self, command: &[&str]) -> Output {
        Command::new("nsenter")
            .args(["-t", &self.init.to_string(), "-m", "-p", "-C", "-u", "-i", "--"])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("nsenter (util-linux) runs")
    }

    /// The same, which must succeed; gives what it printed.
    pub fn done(&self, command: &[&str]) -> String {
        let out = self.run(command);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            out.status.success(),
            "{command:?}: {}{}\n{}",
            text(&out.stdout),
            text(&out.stderr),
            self.journal()
        );
        text(&out.stdout)
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.done(&["systemctl", "show", unit, "-P", name]).trim().to_owned()
    }

    /// What the services said.
    pub fn journal(&self) -> String {
        let out = self.run(&[
            "journalctl",
            "--no-pager",
            "-o",
            "cat",
            "-n",
            "100",
            "_TRANSPORT=stdout",
            "+",
            "_PID=1",
        ]);
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// The processes of a unit, by what is written in /proc: (process id in there, command line).
    pub fn processes(&self, unit: &str) -> Vec<(i32, String)> {
        let file = format!("/sys/fs/cgroup/system.slice/{unit}/cgroup.procs");
        let out = self.run(&["cat", &file]);
        let pids = String::from_utf8_lossy(&out.stdout).into_owned();
        let line = |pid: &str| {
            let raw = self.run(&["cat", &format!("/proc/{pid}/cmdline")]).stdout;
            String::from_utf8_lossy(&raw).replace('\0', " ").trim().to_owned()
        };
        pids.split_whitespace().map(|p| (p.parse().unwrap_or(0), line(p))).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the journal ---\n{}", self.journal());
        }
        if self.init > 1 {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(self.init),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
        // The script takes its cgroups away, and ends.
        let _ = self.unshare.wait();
    }
}
