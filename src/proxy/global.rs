//! The `global` section: what was written, and the limits computed from it.

use std::time::Duration;

use super::cpu_map::CpuMap;
use super::raw::At;
use crate::base::limits;
use crate::config::{Loc, Section, SectionKind, Word};

/// Everything that the `global` section says (but `log` and its kin, which belong to `log`).
#[derive(Clone, Debug)]
pub struct GlobalConf {
    /// Threads, users, directories.
    pub process: ProcessConf,
    /// Limits as written.
    pub limits: LimitsConf,
    /// The admin socket.
    pub stats: StatsConf,
    /// Buffers and sockets.
    pub tune: TuneConf,
    /// `node`.
    pub node: Option<String>,
    /// `description`.
    pub description: Option<String>,
    /// `spread-checks`: percent by which check intervals vary.
    pub spread_checks: u32,
    /// `max-spread-checks`: how far apart the first checks of all servers may lie.
    pub max_spread_checks: Option<Duration>,
    /// `unix-bind`: defaults of unix listeners.
    pub unix_bind: UnixBind,
    /// What concerns `peers` sections.
    pub peers: PeersGlobal,
}

/// What concerns `peers` sections.
#[derive(Clone, Debug, Default)]
pub struct PeersGlobal {
    /// `localpeer`.
    pub local: Option<At<String>>,
    /// `-L`: goes before `localpeer`.
    pub command_line: Option<String>,
    /// `tune.peers.max-updates-at-once`.
    pub max_updates: Option<u32>,
    /// The command line names an older process of ours, which may teach us.
    pub predecessor: bool,
}

/// Threads, users, directories, start and stop.
#[derive(Clone, Debug)]
pub struct ProcessConf {
    /// `nbthread`; one per usable CPU when absent.
    pub nbthread: Option<usize>,
    /// `thread-hard-limit`.
    pub thread_hard_limit: Option<usize>,
    /// `thread-groups`: only the numbering of threads in `cpu-map` follows it.
    pub thread_groups: usize,
    /// `cpu-map`.
    pub cpu_map: CpuMap,
    /// `daemon`.
    pub daemon: bool,
    /// `master-worker`.
    pub master_worker: bool,
    /// `mworker-max-reloads`: reloads that a worker survives.
    pub max_reloads: u32,
    /// `quiet`.
    pub quiet: bool,
    /// `debug` (1.5): stay in the foreground and talk.
    pub debug: bool,
    /// `zero-warning`: any warning is fatal.
    pub zero_warning: bool,
    /// `pidfile`.
    pub pidfile: Option<String>,
    /// `chroot`.
    pub chroot: Option<String>,
    /// `user` or `uid`.
    pub user: Option<Account>,
    /// `group` or `gid`.
    pub group: Option<Account>,
    /// `setcap`: names out of [`CAPABILITIES`].
    pub capabilities: Vec<String>,
    /// `insecure-setuid-wanted`: programs that the process executes may gain rights.
    pub may_gain_rights: bool,
    /// `set-dumpable`.
    pub dumpable: bool,
    /// `noreuseport`: one listening socket for all threads.
    pub no_reuseport: bool,
    /// `hard-stop-after`.
    pub hard_stop_after: Option<Duration>,
    /// `close-spread-time`: during a soft stop, connections that could be closed at once are closed in the course of that
    /// time; never (until their timeouts) when it is the longest one there is.
    pub close_spread: Option<Duration>,
    /// `grace`: time between the signal and the start of a soft stop.
    pub grace: Duration,
}

/// What `setcap` takes (capabilities(7)).
pub const CAPABILITIES: [&str; 5] =
    ["cap_net_admin", "cap_net_bind_service", "cap_net_raw", "cap_sys_admin", "cap_sys_resource"];

/// A user or a group, by name or by number; names are looked up at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// `user NAME`, `group NAME`.
    Name(String, Loc),
    /// `uid N`, `gid N`.
    Id(u32),
}

/// Limits as written.
#[derive(Clone, Debug)]
pub struct LimitsConf {
    /// `maxconn`.
    pub maxconn: Option<usize>,
    /// `maxconnrate`, connections per second over all frontends.
    pub maxconnrate: Option<u32>,
    /// `maxsessrate`, sessions per second over all frontends.
    pub maxsessrate: Option<u32>,
    /// `maxpipes`.
    pub maxpipes: Option<usize>,
    /// `ulimit-n`.
    pub ulimit_n: Option<u64>,
    /// `fd-hard-limit`.
    pub fd_hard_limit: Option<u64>,
    /// `strict-limits`: a limit that cannot be had is fatal. `None` when the configuration does not say: then
    /// `maxconn` is lowered to what the limit carries, with a warning.
    pub strict: Option<bool>,
}

/// The admin socket.
#[derive(Clone, Debug)]
pub struct StatsConf {
    /// `stats socket`, in order.
    pub sockets: Vec<StatsSocket>,
    /// `stats timeout`.
    pub timeout: Duration,
    /// `stats maxconn`.
    pub maxconn: usize,
}

/// One `stats socket` line as written.
#[derive(Clone, Debug)]
pub struct StatsSocket {
    /// The address.
    pub address: Word,
    /// What follows: `mode`, `level`, `user`, ...
    pub params: Vec<Word>,
}

/// Buffers and sockets. Sizes in bytes; `None` leaves the kernel's default.
#[derive(Clone, Debug)]
pub struct TuneConf {
    /// `tune.bufsize`.
    pub bufsize: usize,
    /// `tune.stick-counters`
    pub stick_counters: Option<u32>,
    /// `tune.maxrewrite`: room kept free for added headers; at most half a buffer.
    pub maxrewrite: Option<usize>,
    /// `tune.http.maxhdr`.
    pub max_headers: usize,
    /// `tune.http.logurilen`: longest request line in logs.
    pub log_uri_len: usize,
    /// `tune.rcvbuf.client`.
    pub rcvbuf_client: Option<usize>,
    /// `tune.rcvbuf.server`.
    pub rcvbuf_server: Option<usize>,
    /// `tune.sndbuf.client`.
    pub sndbuf_client: Option<usize>,
    /// `tune.sndbuf.server`.
    pub sndbuf_server: Option<usize>,
    /// `nosplice`: never use splice(2).
    pub no_splice: bool,
}

impl TuneConf {
    /// `tune.maxrewrite` as it takes effect.
    pub fn maxrewrite(&self) -> usize {
        self.maxrewrite.unwrap_or(limits::DEFAULT_MAXREWRITE).min(self.bufsize / 2)
    }

    /// The longest message head, bytes.
    pub fn max_head(&self) -> usize {
        self.bufsize - self.maxrewrite()
    }
}

/// `unix-bind`.
#[derive(Clone, Debug, Default)]
pub struct UnixBind {
    /// Put before every socket path.
    pub prefix: Option<String>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub user: Option<Account>,
    /// Group.
    pub group: Option<Account>,
}

impl Default for GlobalConf {
    fn default() -> GlobalConf {
        GlobalConf {
            process: ProcessConf {
                nbthread: None,
                thread_hard_limit: None,
                thread_groups: 1,
                cpu_map: CpuMap::default(),
                daemon: false,
                master_worker: false,
                max_reloads: 50,
                quiet: false,
                debug: false,
                zero_warning: false,
                pidfile: None,
                chroot: None,
                user: None,
                group: None,
                capabilities: Vec::new(),
                may_gain_rights: false,
                dumpable: false,
                no_reuseport: false,
                hard_stop_after: None,
                close_spread: None,
                grace: Duration::ZERO,
            },
            limits: LimitsConf {
                maxconn: None,
                maxconnrate: None,
                maxsessrate: None,
                maxpipes: None,
                ulimit_n: None,
                fd_hard_limit: None,
                strict: None,
            },
            stats: StatsConf { sockets: Vec::new(), timeout: Duration::from_secs(10), maxconn: 10 },
            tune: TuneConf {
                stick_counters: None,
                bufsize: limits::DEFAULT_BUFSIZE,
                maxrewrite: None,
                max_headers: limits::DEFAULT_MAX_HEADERS,
                log_uri_len: limits::DEFAULT_LOG_URI_LEN,
                rcvbuf_client: None,
                rcvbuf_server: None,
                sndbuf_client: None,
                sndbuf_server: None,
                no_splice: false,
            },
            node: None,
            description: None,
            spread_checks: 0,
            max_spread_checks: None,
            peers: PeersGlobal::default(),
            unix_bind: UnixBind::default(),
        }
    }
}

impl GlobalConf {
    /// What the loaded sections say; the defaults when there is no `global` section.
    pub fn of(sections: &[Section]) -> GlobalConf {
        sections
            .iter()
            .find(|s| s.kind == SectionKind::Global)
            .and_then(|s| s.get::<GlobalConf>().cloned())
            .unwrap_or_default()
    }
}

/// What the number of descriptors is computed from, besides [`LimitsConf`].
#[derive(Clone, Copy, Debug, Default)]
pub struct DescriptorNeeds {
    /// Worker threads.
    pub threads: usize,
    /// Listening sockets, those of every thread counted.
    pub listeners: usize,
    /// Servers with a check.
    pub checks: usize,
    /// Connections of the admin socket; 0 without one.
    pub admin: usize,
    /// Some proxy may use splice(2), hence pipes.
    pub splice: bool,
    /// The process's hard limit on descriptors.
    pub hard_limit: u64,
}

/// Connections, pipes and descriptors that the process will use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Connections from clients.
    pub maxconn: usize,
    /// Pipes.
    pub maxpipes: usize,
    /// Descriptors: what `RLIMIT_NOFILE` should be.
    pub descriptors: u64,
}

/// Descriptors that any process needs: standard streams, configuration, logs.
const BASE_DESCRIPTORS: u64 = 10;
/// Descriptors that a thread needs for itself: its ring and what wakes it.
const THREAD_DESCRIPTORS: u64 = 3;
/// Connections when the hard limit leaves next to nothing.
const MIN_MAXCONN: u64 = 10;

/// The limits as HAProxy computes them: two descriptors for each connection, two for each pipe (one pipe for
/// every four connections unless `maxpipes` says otherwise), and what threads, listeners, checks and the admin
/// socket need. Without `maxconn` the other way round: as many connections as the descriptors allow.
pub fn process_limits(conf: &LimitsConf, maxconn: Option<usize>, needs: DescriptorNeeds) -> ProcessLimits {
    let fixed = BASE_DESCRIPTORS
        + THREAD_DESCRIPTORS * needs.threads as u64
        + (needs.listeners + needs.checks + needs.admin) as u64;
    let cap = conf.fd_hard_limit.unwrap_or(u64::MAX);
    let pipes_for = |maxconn: usize| match conf.maxpipes {
        Some(n) => n,
        None if needs.splice => maxconn / 4,
        None => 0,
    };
    let maxconn = maxconn.or(conf.maxconn).unwrap_or_else(|| {
        let limit = conf.ulimit_n.unwrap_or(needs.hard_limit).min(needs.hard_limit).min(cap);
        let left = limit.saturating_sub(fixed);
        let conns = match (conf.maxpipes, needs.splice) {
            (Some(n), _) => left.saturating_sub(2 * n as u64) / 2,
            (None, true) => left * 2 / 5,
            (None, false) => left / 2,
        };
        usize::try_from(conns.max(MIN_MAXCONN)).unwrap_or(usize::MAX)
    });
    let maxpipes = pipes_for(maxconn);
    let computed = fixed + 2 * maxconn as u64 + 2 * maxpipes as u64;
    ProcessLimits { maxconn, maxpipes, descriptors: conf.ulimit_n.unwrap_or(computed) }
}

impl ProcessLimits {
    /// The same with as many connections as `hard_limit` descriptors carry when most of them are idle: a quarter
    /// is left for connections to servers. Never raises anything.
    pub fn lowered_to(self, hard_limit: u64) -> ProcessLimits {
        let fixed = self.descriptors.saturating_sub(2 * (self.maxconn + self.maxpipes) as u64);
        let carried = usize::try_from(hard_limit.saturating_sub(fixed) / 4 * 3).unwrap_or(usize::MAX);
        ProcessLimits {
            maxconn: self.maxconn.min(carried.max(1)),
            maxpipes: self.maxpipes.min(carried / 8),
            descriptors: self.descriptors.min(hard_limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_hard_limit_lowers_connections_and_leaves_some_for_servers() {
        let asked = limits(Some(20_000), 2, |_, _| {});
        let l = asked.lowered_to(20_000);
        assert_eq!((l.maxconn, l.descriptors), (14_979, 20_000));
        assert_eq!(asked.lowered_to(1_000_000), asked);
        assert_eq!(asked.lowered_to(3).maxconn, 1);
    }

    fn limits(
        maxconn: Option<usize>,
        threads: usize,
        change: impl Fn(&mut LimitsConf, &mut DescriptorNeeds),
    ) -> ProcessLimits {
        let mut conf = GlobalConf::default().limits;
        conf.maxconn = maxconn;
        // One `bind`, one `stats socket` with its ten connections.
        let mut needs =
            DescriptorNeeds { threads, listeners: 2, admin: 10, hard_limit: 20_000, ..Default::default() };
        change(&mut conf, &mut needs);
        process_limits(&conf, None, needs)
    }

    /// Figures that the reference binary shows in `show info` for the same configurations.
    #[test]
    fn same_figures_as_the_reference_binary() {
        let l = limits(Some(1000), 2, |_, _| {});
        assert_eq!((l.maxconn, l.maxpipes, l.descriptors), (1000, 0, 2028));
        assert_eq!(limits(Some(1000), 1, |_, _| {}).descriptors, 2025);
        assert_eq!(limits(Some(2000), 1, |_, _| {}).descriptors, 4025);
        assert_eq!(limits(Some(1000), 4, |_, _| {}).descriptors, 2034);
        assert_eq!(limits(Some(1000), 1, |_, n| n.checks = 2).descriptors, 2027);
        let l = limits(Some(1000), 1, |_, n| n.splice = true);
        assert_eq!((l.maxpipes, l.descriptors), (250, 2525));
        let l = limits(Some(1000), 1, |c, _| c.maxpipes = Some(100));
        assert_eq!((l.maxpipes, l.descriptors), (100, 2225));
        let l = limits(None, 1, |_, _| {});
        assert_eq!((l.maxconn, l.descriptors), (9987, 19_999));
        let l = limits(None, 2, |_, _| {});
        assert_eq!((l.maxconn, l.descriptors), (9986, 20_000));
        let l = limits(None, 1, |c, _| c.fd_hard_limit = Some(5000));
        assert_eq!((l.maxconn, l.descriptors), (2487, 4999));
        let l = limits(Some(100), 1, |c, _| c.ulimit_n = Some(5000));
        assert_eq!((l.maxconn, l.descriptors), (100, 5000));
        let l = limits(Some(1000), 1, |_, n| n.admin = 50);
        assert_eq!(l.descriptors, 2065);
    }

    #[test]
    fn descriptors_always_suffice_for_what_was_computed() {
        for hard_limit in [64, 1024, 4096, 1_000_000] {
            for splice in [false, true] {
                let l = limits(None, 2, |_, n| {
                    n.hard_limit = hard_limit;
                    n.splice = splice;
                });
                assert!(l.descriptors <= hard_limit, "{hard_limit} {splice}: {l:?}");
            }
        }
    }

    #[test]
    fn half_a_buffer_is_left() {
        let mut tune = GlobalConf::default().tune;
        assert_eq!((tune.maxrewrite(), tune.max_head()), (1024, 15_360));
        tune.bufsize = 1024;
        assert_eq!((tune.maxrewrite(), tune.max_head()), (512, 512));
    }
}
