//! The scripts for operators: `scripts/tune-host` against trees of files that stand for a machine, and all scripts in
//! the eyes of shellcheck.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// A machine of files.
struct Machine(PathBuf);

/// What a well set machine with two CPUs and no network device has.
const WELL_SET: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.1.0-44-amd64"),
    ("proc/sys/kernel/io_uring_disabled", "0"),
    ("proc/sys/net/core/somaxconn", "65535"),
    ("proc/sys/net/core/netdev_budget", "300"),
    ("proc/sys/net/core/netdev_budget_usecs", "2000"),
    ("proc/sys/net/core/netdev_max_backlog", "1000"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "100000"),
    ("proc/sys/net/ipv4/tcp_syncookies", "1"),
    ("proc/sys/net/ipv4/ip_local_port_range", "10240\t65535"),
    ("proc/sys/net/ipv4/tcp_timestamps", "1"),
    ("proc/sys/net/ipv4/tcp_tw_reuse", "1"),
    ("proc/sys/net/ipv4/tcp_fin_timeout", "15"),
    ("proc/sys/net/ipv4/tcp_max_tw_buckets", "262144"),
    ("proc/sys/fs/nr_open", "1073741816"),
    ("proc/sys/fs/file-max", "9223372036854775807"),
    ("proc/sys/fs/pipe-max-size", "1048576"),
    ("proc/sys/fs/pipe-user-pages-soft", "0"),
    ("proc/sys/fs/pipe-user-pages-hard", "0"),
    ("proc/net/softnet_stat", "00001000 00000000 00000000 0\n00000abc 00000000 00000000 0"),
    ("proc/interrupts", "           CPU0 CPU1"),
    ("proc/1/comm", "systemd"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never"),
    ("sys/devices/system/cpu/online", "0-1"),
];

impl Machine {
    fn new() -> Machine {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("haring-host-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let machine = Machine(std::env::temp_dir().join(name));
        WELL_SET.iter().for_each(|(path, value)| machine.set(path, value));
        machine
    }

    fn set(&self, path: &str, value: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
        fs::write(path, format!("{value}\n")).expect("a file");
    }

    fn get(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap_or_default().trim().to_owned()
    }

    /// A network device with so many queues, which have the interrupts 40, 41, ...; all on `cpu`.
    fn device(&self, queues: usize, cpu: &str) {
        let mut table = "           CPU0 CPU1\n  7:   1 1 IO-APIC 7-edge eth0-not-a-queue\n".to_owned();
        for q in 0..queues {
            let irq = 40 + q;
            table += &format!(" {irq}:   9 9 PCI-MSI {irq}-edge eth0-TxRx-{q}\n");
            self.set(&format!("proc/irq/{irq}/smp_affinity_list"), cpu);
            self.set(&format!("sys/class/net/eth0/device/msi_irqs/{irq}"), "msix");
            self.set(&format!("sys/class/net/eth0/queues/rx-{q}/rps_cpus"), "0");
            self.set(&format!("sys/class/net/eth0/queues/tx-{q}/xps_cpus"), "0");
        }
        table += " 39:   9 9 PCI-MSI 39-edge eth0-config\n";
        self.set("sys/class/net/eth0/device/msi_irqs/39", "msix");
        self.set("proc/interrupts", &table);
    }

    /// Exit code and output.
    fn tune(&self, args: &[&str]) -> (i32, String) {
        let root = self.0.display().to_string();
        let mut command = Command::new(Path::new(TOP).join("scripts/tune-host"));
        let out = command.args(["--root", &root]).args(args).output().expect("the script runs");
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), text)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The line about `item`, blanks made single.
fn line(text: &str, item: &str) -> String {
    let found = text.lines().find(|l| !l.starts_with(' ') && l.contains(item));
    let found = found.unwrap_or_else(|| panic!("nothing about {item} in\n{text}"));
    found.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_well_set_machine_is_left_alone() {
    let m = Machine::new();
    let (code, text) = m.tune(&[]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(line(&text, "somaxconn"), "ok net.core.somaxconn 65535 (wanted: 65535 or more)");
    assert_eq!(line(&text, "limits of haring"), "skip limits of haring not running");
    // Each line has its reason below.
    assert!(text.lines().skip(1).step_by(2).all(|l| l.starts_with("        ")), "{text}");
    assert_eq!(m.tune(&["--quiet"]), (0, String::new()));
}

#[test]
fn each_value_is_judged_and_told() {
    for (path, value, expected) in [
        ("proc/sys/kernel/osrelease", "6.0.12", "cannot kernel 6.0.12 (wanted: 6.1 or newer)"),
        ("proc/sys/kernel/osrelease", "5.15.0-1", "cannot kernel 5.15.0-1 (wanted: 6.1 or newer)"),
        ("proc/sys/kernel/osrelease", "nonsense", "cannot kernel nonsense (wanted: 6.1 or newer)"),
        ("proc/sys/kernel/io_uring_disabled", "2", "change kernel.io_uring_disabled 2 (wanted: 0)"),
        ("proc/sys/net/core/somaxconn", "4096", "change net.core.somaxconn 4096 (wanted: 65535 or more)"),
        (
            "proc/sys/net/ipv4/ip_local_port_range",
            "32768\t60999",
            "change net.ipv4.ip_local_port_range 32768 60999 (wanted: 10240 65535)",
        ),
        ("proc/sys/net/ipv4/tcp_tw_reuse", "2", "change net.ipv4.tcp_tw_reuse 2 (wanted: 1)"),
        (
            "proc/sys/net/ipv4/tcp_fin_timeout",
            "60",
            "change net.ipv4.tcp_fin_timeout 60 (wanted: 30 or less)",
        ),
        (
            "proc/sys/fs/pipe-user-pages-soft",
            "16384",
            "change fs.pipe-user-pages-soft 16384 (wanted: 262144 or more, or 0 for no limit)",
        ),
        (
            "proc/sys/net/netfilter/nf_conntrack_max",
            "262144",
            "change net.netfilter.nf_conntrack_max 262144 (wanted: 400000 or more)",
        ),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
            "change transparent huge pages always (wanted: madvise)",
        ),
        ("proc/77/comm", "irqbalance", "cannot irqbalance running (wanted: not running)"),
    ] {
        let m = Machine::new();
        m.set(path, value);
        let (code, text) = m.tune(&["--quiet"]);
        assert_eq!((code, text.lines().count()), (1, 2), "{path}: {text}");
        assert_eq!(line(&text, ""), expected);
        assert_eq!(m.get(path), value.trim(), "only looked at");
    }
}

#[test]
fn what_the_kernel_never_ran_out_of_is_left_alone() {
    let m = Machine::new();
    m.set("proc/net/softnet_stat", "00001000 00000000 00000010 0\n00000abc 00000003 00000001 0");
    let (code, text) = m.tune(&["--quiet"]);
    assert_eq!(code, 1);
    assert_eq!(line(&text, "netdev_budget "), "change net.core.netdev_budget 300 (wanted: 600 or more)");
    assert!(text.contains("ended too early 17 times"), "{text}");
    assert!(text.contains("3 were dropped"), "{text}");
}

#[test]
fn the_running_process_is_looked_at() {
    let m = Machine::new();
    m.set("run/haring.pid", "4711");
    let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                  Max open files            1024                 4096                 files\n\
                  Max locked memory         8388608              8388608              bytes";
    m.set("proc/4711/limits", limits);
    let (code, text) = m.tune(&["--quiet"]);
    assert_eq!(code, 1);
    assert!(line(&text, "memlock").starts_with("cannot memlock of haring 8388608"), "{text}");
    assert!(line(&text, "open files").starts_with("cannot open files of haring 4096"), "{text}");
    m.set("proc/4711/limits", &limits.replace("8388608 ", "unlimited ").replace("4096 ", "1048576 "));
    let (code, text) = m.tune(&["--connections", "100000"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(line(&text, "memlock"), "ok memlock of haring unlimited");
}

#[test]
fn apply_sets_reads_back_and_keeps() {
    let m = Machine::new();
    m.set("proc/sys/net/core/somaxconn", "128");
    m.set("proc/sys/net/ipv4/tcp_tw_reuse", "2");
    m.set("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
    // One that takes what is written and keeps its own, and one that refuses.
    for (path, target) in
        [("proc/sys/fs/nr_open", "/dev/null"), ("proc/sys/fs/pipe-max-size", "/proc/sys/kernel/osrelease")]
    {
        fs::remove_file(m.0.join(path)).expect("it was there");
        symlink(target, m.0.join(path)).expect("a link");
    }
    let (code, text) = m.tune(&["--apply", "--persist", "--quiet"]);
    assert_eq!(code, 1, "{text}");
    assert_eq!(m.get("proc/sys/net/core/somaxconn"), "65535");
    assert_eq!(m.get("proc/sys/net/ipv4/tcp_tw_reuse"), "1");
    assert_eq!(m.get("sys/kernel/mm/transparent_hugepage/enabled"), "madvise");
    assert!(line(&text, "nr_open").starts_with("cannot fs.nr_open"), "{text}");
    assert!(line(&text, "pipe-max-size").starts_with("cannot fs.pipe-max-size"), "{text}");
    let file = "etc/sysctl.d/60-haring.conf";
    let kept = "net.core.somaxconn = 65535\nnet.ipv4.tcp_tw_reuse = 1";
    assert!(m.get(file).ends_with(&format!("at the next boot.\n{kept}")), "{}", m.get(file));
    // Once more: what is set by now stays in the file, with the value that it has.
    m.set("proc/sys/net/core/somaxconn", "100000");
    m.tune(&["--apply", "--persist"]);
    assert!(m.get(file).ends_with(&kept.replace("65535", "100000")), "{}", m.get(file));
}

#[test]
fn without_persist_no_file_is_written() {
    let m = Machine::new();
    m.set("proc/sys/net/core/somaxconn", "128");
    let (code, text) = m.tune(&["--apply"]);
    assert_eq!((code, line(&text, "somaxconn")), (0, "set net.core.somaxconn 65535 (was 128)".to_owned()));
    assert!(!m.0.join("etc").exists());
}

#[test]
fn interrupts_are_spread_over_the_cpus() {
    let m = Machine::new();
    m.set("sys/devices/system/cpu/online", "0-3");
    m.device(4, "0-3");
    let (code, text) = m.tune(&["--quiet"]);
    assert_eq!(code, 1);
    assert_eq!(line(&text, "interrupt 42"), "change eth0: interrupt 42 0-3 (wanted: 2)");
    assert!(!text.contains("interrupt 39") && !text.contains("interrupt 7"), "no queues: {text}");
    let (code, text) = m.tune(&["--apply"]);
    assert_eq!(code, 0, "{text}");
    let at = |irq: usize| m.get(&format!("proc/irq/{irq}/smp_affinity_list"));
    assert_eq!([40, 41, 42, 43].map(at), ["0", "1", "2", "3"]);
    let tx = |q: usize| m.get(&format!("sys/class/net/eth0/queues/tx-{q}/xps_cpus"));
    assert_eq!([0, 1, 2, 3].map(tx), ["00000001", "00000002", "00000004", "00000008"]);
    assert_eq!(line(&m.tune(&[]).1, "eth0: interrupts"), "ok eth0: interrupts 4 queues on 4 CPUs");
    // What the interrupt controller made of a wide list counts.
    m.set("proc/irq/40/smp_affinity_list", "0-3");
    m.set("proc/irq/40/effective_affinity_list", "0");
    assert_eq!(m.tune(&[]).0, 0);
    m.set("proc/irq/40/effective_affinity_list", "1");
    assert_eq!(m.tune(&[]).0, 1, "two queues on CPU 1");
    // Some CPUs only.
    let (code, text) = m.tune(&["--apply", "--irq-cpus", "2-3"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!([40, 41, 42, 43].map(at), ["2", "3", "2", "3"]);
}

#[test]
fn few_queues_are_shared_out_and_many_are_not() {
    let m = Machine::new();
    m.set("sys/devices/system/cpu/online", "0-39");
    m.device(1, "3");
    let (_, text) = m.tune(&["--apply"]);
    assert_eq!(line(&text, "RPS"), "set eth0: rx-0 RPS 000000ff,ffffffff (was 0)");
    assert_eq!(line(&m.tune(&[]).1, "RPS"), "ok eth0: rx-0 RPS 000000ff,ffffffff");
    // The kernel may write the same mask in another way.
    m.set("sys/class/net/eth0/queues/rx-0/rps_cpus", "ff,ffffffff");
    assert_eq!(m.tune(&[]).0, 0);
    m.set("sys/devices/system/cpu/online", "0-1");
    m.device(2, "0");
    m.set("sys/class/net/eth0/queues/rx-1/rps_cpus", "3");
    let (_, text) = m.tune(&["--apply"]);
    assert_eq!(line(&text, "rx-1 RPS"), "set eth0: rx-1 RPS 0 (was 3)");
}

#[test]
fn wrong_use_is_told() {
    let m = Machine::new();
    for args in [
        &["--frobnicate"][..],
        &["--persist"],
        &["--connections", "many"],
        &["--connections"],
        &["--irq-cpus", "7"],
        &["--irq-cpus", "a-b"],
    ] {
        let (code, text) = m.tune(args);
        assert_eq!(code, 2, "{args:?}: {text}");
        assert!(text.contains("tune-host: "), "{text}");
    }
    let (code, text) = m.tune(&["--help"]);
    assert!(code == 0 && text.contains("--apply --persist"), "{text}");
}

#[test]
fn shellcheck_finds_nothing() {
    let mut files = Vec::new();
    for dir in ["scripts", "packaging/debian", ".ci", "tests/systemd"] {
        for entry in fs::read_dir(Path::new(TOP).join(dir)).into_iter().flatten().flatten() {
            let starts = fs::read(entry.path()).is_ok_and(|t| t.starts_with(b"#!"));
            files.extend(starts.then(|| entry.path()));
        }
    }
    assert!(files.len() >= 9, "{files:?}");
    let out = Command::new("shellcheck").arg("-x").args(&files).output().expect("shellcheck is installed");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}
