//! Keywords of the `global` section.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::global::{Account, CAPABILITIES, GlobalConf, StatsSocket};
use crate::base::duration::Unit;
use crate::base::limits::MAX_THREADS;
use crate::config::{DefaultPath, Keyword, ParseCx, ParseFn, Sections, Status};

const fn full(name: &'static str, syntax: &'static str, doc: &'static str, parse: ParseFn) -> Keyword {
    Keyword { name, sections: Sections::GLOBAL, syntax, doc, status: Status::Full, parse }
}

const fn no_effect(name: &'static str, syntax: &'static str, why: &'static str) -> Keyword {
    Keyword {
        name,
        sections: Sections::GLOBAL,
        syntax,
        doc: "accepted for compatibility",
        status: Status::NoEffect { why },
        parse: Keyword::nothing,
    }
}

const fn fixed(
    name: &'static str,
    syntax: &'static str,
    ours: &'static [&'static str],
    why: &'static str,
) -> Keyword {
    Keyword {
        name,
        sections: Sections::GLOBAL,
        syntax,
        doc: "accepted for compatibility",
        status: Status::Fixed { ours, why },
        parse: Keyword::nothing,
    }
}

/// Tunes a feature that is not there yet and that is an error wherever it is asked for: nothing to warn about.
const fn inert(name: &'static str, syntax: &'static str, feature: &'static str) -> Keyword {
    Keyword {
        name,
        sections: Sections::GLOBAL,
        syntax,
        doc: "accepted; has a meaning only together with a feature that is not supported yet",
        status: Status::Inert { feature },
        parse: Keyword::nothing,
    }
}

/// The table of what takes effect.
pub static KEYWORDS: &[Keyword] = &[
    full("maxconn", "maxconn <number>", "connections that the process accepts at once", |cx| {
        number(cx, "a number of connections", 0..=i64::from(i32::MAX), |g, n| {
            g.limits.maxconn = (n > 0).then_some(n as usize);
        });
    }),
    full("maxconnrate", "maxconnrate <number>", "connections per second that the process accepts", |cx| {
        number(cx, "a number of connections per second", 0..=i64::from(i32::MAX), |g, n| {
            g.limits.maxconnrate = (n > 0).then_some(n as u32);
        });
    }),
    full("maxsessrate", "maxsessrate <number>", "sessions per second that the process accepts", |cx| {
        number(cx, "a number of sessions per second", 0..=i64::from(i32::MAX), |g, n| {
            g.limits.maxsessrate = (n > 0).then_some(n as u32);
        });
    }),
    full("maxpipes", "maxpipes <number>", "pipes that splice(2) may use", |cx| {
        number(cx, "a number of pipes", 0..=i64::from(i32::MAX), |g, n| g.limits.maxpipes = Some(n as usize));
    }),
    full(
        "ulimit-n",
        "ulimit-n <number>",
        "descriptors that the process asks for; computed when absent",
        |cx| {
            number(cx, "a number of descriptors", 1..=i64::MAX, |g, n| g.limits.ulimit_n = Some(n as u64));
        },
    ),
    full("fd-hard-limit", "fd-hard-limit <number>", "most descriptors that the process asks for", |cx| {
        number(cx, "a number of descriptors", 1..=i64::MAX, |g, n| g.limits.fd_hard_limit = Some(n as u64));
    }),
    full("strict-limits", "[no] strict-limits", "a limit that cannot be raised as needed is fatal", |cx| {
        flag(cx, |g, on| g.limits.strict = Some(on));
    }),
    full("nbthread", "nbthread <number>", "worker threads; one per usable CPU when absent", |cx| {
        number(cx, "a number of threads", 1..=MAX_THREADS as i64, |g, n| {
            g.process.nbthread = Some(n as usize)
        });
    }),
    full("thread-hard-limit", "thread-hard-limit <number>", "most worker threads", |cx| {
        number(cx, "a number of threads", 1..=i64::MAX, |g, n| {
            g.process.thread_hard_limit = Some(n as usize)
        });
    }),
    full("thread-groups", "thread-groups <number>", "groups that cpu-map numbers threads by", |cx| {
        number(cx, "a number of groups", 1..=64, |g, n| g.process.thread_groups = n as usize);
    }),
    full(
        "cpu-map",
        "cpu-map [auto:]<thread-group>[/<thread-set>] <cpu-set>[,...] [...]",
        "CPUs of threads",
        cpu_map,
    ),
    full("daemon", "daemon", "go to the background", |cx| flag(cx, |g, on| g.process.daemon = on)),
    full(
        "master-worker",
        "master-worker [no-exit-on-failure]",
        "run the worker under a master process",
        |cx| {
            cx.accept("no-exit-on-failure");
            flag(cx, |g, on| g.process.master_worker = on);
        },
    ),
    full(
        "mworker-max-reloads",
        "mworker-max-reloads <number>",
        "reloads that a worker survives before it is ended",
        |cx| {
            number(cx, "a number of reloads", 0..=i64::from(i32::MAX), |g, n| {
                g.process.max_reloads = n as u32;
            });
        },
    ),
    full("quiet", "quiet", "print nothing at start but errors", |cx| flag(cx, |g, on| g.process.quiet = on)),
    full("debug", "debug", "stay in the foreground", |cx| flag(cx, |g, on| g.process.debug = on)),
    full("zero-warning", "zero-warning", "any warning is fatal", |cx| {
        flag(cx, |g, on| g.process.zero_warning = on)
    }),
    full("pidfile", "pidfile <pidfile>", "file that holds the process's number", |cx| {
        text(cx, "a file name", |g, t| g.process.pidfile = Some(t));
    }),
    full("chroot", "chroot <jail dir>", "directory that becomes the root", |cx| {
        text(cx, "a directory", |g, t| g.process.chroot = Some(t));
    }),
    full("user", "user <user name>", "user to run as", |cx| {
        account(cx, "a user name", |g| &mut g.process.user, Some(has_user));
    }),
    full("uid", "uid <number>", "user to run as, by number", |cx| {
        account(cx, "a user number", |g| &mut g.process.user, None);
    }),
    full("group", "group <group name>", "group to run as", |cx| {
        account(cx, "a group name", |g| &mut g.process.group, Some(has_group));
    }),
    full("gid", "gid <number>", "group to run as, by number", |cx| {
        account(cx, "a group number", |g| &mut g.process.group, None);
    }),
    full("setcap", "setcap <name>[,<name>...]", "capabilities that stay when the user is changed", setcap),
    full("insecure-setuid-wanted", "[no] insecure-setuid-wanted", "programs may gain rights", |cx| {
        flag(cx, |g, on| g.process.may_gain_rights = on);
    }),
    full("set-dumpable", "[no] set-dumpable [ on | off | libs ]", "allow core dumps", set_dumpable),
    full("hard-stop-after", "hard-stop-after <time>", "longest time that a soft stop takes", |cx| {
        time(cx, Unit::Ms, |g, d| g.process.hard_stop_after = Some(d));
    }),
    full(
        "close-spread-time",
        "close-spread-time { <time> | infinite }",
        "time that closes of a soft stop take",
        |cx| {
            if cx.accept("infinite") {
                if cx.end() {
                    let g: &mut GlobalConf = cx.section.feature();
                    g.process.close_spread = Some(Duration::MAX);
                }
                return;
            }
            time(cx, Unit::Ms, |g, d| g.process.close_spread = Some(d));
        },
    ),
    full("grace", "grace <time>", "time between the signal and the start of a soft stop", |cx| {
        time(cx, Unit::Ms, |g, d| g.process.grace = d);
    }),
    full("stats socket", "stats socket [<address:port>|<path>] [param*]", "admin socket", stats_socket),
    full("stats timeout", "stats timeout <timeout>", "longest silence on the admin socket", |cx| {
        time(cx, Unit::Ms, |g, d| g.stats.timeout = d);
    }),
    full("stats maxconn", "stats maxconn <connections>", "connections to the admin socket", |cx| {
        number(cx, "a number of connections", 1..=65536, |g, n| g.stats.maxconn = n as usize);
    }),
    full("node", "node <name>", "name of this machine, for the statistics", node),
    full("description", "description <text>", "text for the statistics", |cx| {
        let Some(first) = cx.expect_text("a text") else { return };
        let mut words = vec![first];
        words.extend(cx.rest().iter().map(|w| w.text().into_owned()));
        cx.section.feature::<GlobalConf>().description = Some(words.join(" "));
    }),
    full("spread-checks", "spread-checks <0..50, in percent>", "how far check intervals vary", |cx| {
        number(cx, "a percentage", 0..=50, |g, n| g.spread_checks = n as u32);
    }),
    full(
        "max-spread-checks",
        "max-spread-checks <delay>",
        "longest time over which first checks spread",
        |cx| {
            time(cx, Unit::Ms, |g, d| g.max_spread_checks = Some(d));
        },
    ),
    full(
        "unix-bind",
        "unix-bind [ prefix <prefix> ] [ mode <mode> ] [ user <user> ] [ uid <uid> ] [ group <group> ] [ gid <gid> ]",
        "defaults of unix listeners",
        unix_bind,
    ),
    full(
        "default-path",
        "default-path { current | config | parent | origin <path> }",
        "base of relative paths",
        default_path,
    ),
    full("setenv", "setenv <name> <value>", "set an environment variable", |cx| set_variable(cx, true)),
    full("presetenv", "presetenv <name> <value>", "set an environment variable unless it is set", |cx| {
        set_variable(cx, false);
    }),
    full("unsetenv", "unsetenv [<name> ...]", "remove environment variables", |cx| {
        for w in cx.rest() {
            cx.state.env.unset(&w.bytes);
        }
    }),
    full("resetenv", "resetenv [<name> ...]", "remove every environment variable but these", |cx| {
        let keep: Vec<&[u8]> = cx.rest().iter().map(|w| w.bytes.as_slice()).collect();
        cx.state.env.reset(&keep);
    }),
    full("noreuseport", "noreuseport", "one listening socket for all threads", |cx| {
        flag(cx, |g, on| g.process.no_reuseport = on);
    }),
    full("nosplice", "nosplice", "never use splice(2)", |cx| flag(cx, |g, on| g.tune.no_splice = on)),
    full("tune.bufsize", "tune.bufsize <size>", "largest message head, with tune.maxrewrite bytes", bufsize),
    full("tune.stick-counters", "tune.stick-counters <number>", "stick counters of a stream (3)", |cx| {
        number(cx, "a number of stick counters", 0..=255, |g, n| g.tune.stick_counters = Some(n as u32));
    }),
    full("tune.maxrewrite", "tune.maxrewrite <number>", "bytes of a buffer kept for added headers", |cx| {
        size(cx, |g, n| g.tune.maxrewrite = Some(n));
    }),
    full("tune.http.maxhdr", "tune.http.maxhdr <number>", "most headers of a message", |cx| {
        number(cx, "a number of headers", 1..=32767, |g, n| g.tune.max_headers = n as usize);
    }),
    full("tune.http.logurilen", "tune.http.logurilen <number>", "longest request line in logs", |cx| {
        number(cx, "a number of bytes", 1..=65535, |g, n| g.tune.log_uri_len = n as usize);
    }),
    full("tune.rcvbuf.client", "tune.rcvbuf.client <size>", "kernel receive buffer towards clients", |cx| {
        size(cx, |g, n| g.tune.rcvbuf_client = Some(n));
    }),
    full("tune.rcvbuf.server", "tune.rcvbuf.server <size>", "kernel receive buffer towards servers", |cx| {
        size(cx, |g, n| g.tune.rcvbuf_server = Some(n));
    }),
    full("tune.sndbuf.client", "tune.sndbuf.client <size>", "kernel send buffer towards clients", |cx| {
        size(cx, |g, n| g.tune.sndbuf_client = Some(n));
    }),
    full("tune.sndbuf.server", "tune.sndbuf.server <size>", "kernel send buffer towards servers", |cx| {
        size(cx, |g, n| g.tune.sndbuf_server = Some(n));
    }),
];

const NO_POLLER: &str = "io_uring is the only event mechanism";
const NO_PROCESSES: &str = "one process runs all threads; see nbthread";
const OWN_LISTENERS: &str = "every thread has listeners of its own (SO_REUSEPORT)";
const OWN_SCHEDULER: &str = "every turn of a thread is bounded by the engine itself";
const OWN_BUFFERS: &str =
    "every thread has a buffer ring of a fixed size, which idle connections do not hold";
const AFFINITY: &str = "threads are pinned to the CPUs of the process's affinity mask, or as cpu-map says";
const ONE_RELAY: &str = "one relay moves all data; nosplice turns splice(2) off";

/// The table of what means nothing here.
pub static WITHOUT_EFFECT: &[Keyword] = &[
    fixed("nbproc", "nbproc <number>", &["1"], NO_PROCESSES),
    no_effect("noepoll", "noepoll", NO_POLLER),
    no_effect("nokqueue", "nokqueue", NO_POLLER),
    no_effect("noevports", "noevports", NO_POLLER),
    no_effect("nopoll", "nopoll", NO_POLLER),
    no_effect("nosepoll", "nosepoll", NO_POLLER),
    fixed(
        "insecure-fork-wanted",
        "[no] insecure-fork-wanted",
        &["", "no"],
        "the master may start programs anyway",
    ),
    no_effect(
        "tune.pipesize",
        "tune.pipesize <size>",
        "pipes are as large as the kernel lets them be, up to 1 MiB",
    ),
    no_effect("nogetaddrinfo", "nogetaddrinfo", "names are resolved by the system's own resolver"),
    fixed(
        "busy-polling",
        "[no] busy-polling",
        &["no"],
        "a thread waits in the kernel when it has nothing to do",
    ),
    no_effect("stats bind-process", "stats bind-process <set>", NO_PROCESSES),
    no_effect("cpu-policy", "cpu-policy <policy>", AFFINITY),
    no_effect("cpu-affinity", "cpu-affinity <affinity>", AFFINITY),
    no_effect("cpu-set", "cpu-set <directive>...", AFFINITY),
    fixed("numa-cpu-mapping", "[no] numa-cpu-mapping", &["no"], AFFINITY),
    no_effect(
        "thread-group",
        "thread-group <group> [<thread-range>...]",
        "thread groups share nothing that differs from threads",
    ),
    no_effect("max-threads-per-group", "max-threads-per-group <number>", "a group has no limit"),
    no_effect(
        "prealloc-fd",
        "prealloc-fd",
        "the kernel's descriptor table grows without stopping threads for long",
    ),
    fixed("no-memory-trimming", "no-memory-trimming", &[""], "memory is never trimmed at a stop or reload"),
    fixed("quick-exit", "[no] quick-exit", &[""], "the process always exits without taking its memory apart"),
    fixed("debug.counters", "debug.counters { on | off }", &["off"], "there are no such counters"),
    fixed("profiling.tasks", "profiling.tasks { auto | on | off }", &["off"], "use perf(1)"),
    fixed("profiling.memory", "profiling.memory { on | off }", &["off"], "use a heap profiler"),
    no_effect(
        "force-cfg-parser-pause",
        "force-cfg-parser-pause <timeout>",
        "it only serves to test watchdogs",
    ),
    no_effect("stress-level", "stress-level <level>", "it only serves HAProxy's developers"),
    fixed(
        "expose-deprecated-directives",
        "expose-deprecated-directives",
        &[""],
        "old forms are always accepted, with a warning",
    ),
    fixed(
        "expose-experimental-directives",
        "expose-experimental-directives",
        &[""],
        "whatever is supported is accepted",
    ),
    no_effect("warn-blocked-traffic-after", "warn-blocked-traffic-after <time>", OWN_SCHEDULER),
    no_effect("tune.maxpollevents", "tune.maxpollevents <number>", NO_POLLER),
    no_effect("tune.maxaccept", "tune.maxaccept <number>", OWN_SCHEDULER),
    no_effect("tune.runqueue-depth", "tune.runqueue-depth <number>", OWN_SCHEDULER),
    fixed("tune.sched.low-latency", "tune.sched.low-latency { on | off }", &["on", "off"], OWN_SCHEDULER),
    no_effect("tune.events.max-events-at-once", "tune.events.max-events-at-once <number>", OWN_SCHEDULER),
    no_effect("tune.max-rules-at-once", "tune.max-rules-at-once <number>", OWN_SCHEDULER),
    no_effect(
        "tune.max-checks-per-thread",
        "tune.max-checks-per-thread <number>",
        "a check costs a thread next to nothing while it waits",
    ),
    no_effect(
        "tune.recv_enough",
        "tune.recv_enough <size>",
        "the kernel delivers what is there in one piece",
    ),
    no_effect(
        "tune.http.cookielen",
        "tune.http.cookielen <number>",
        "a captured cookie may be as long as its 'capture cookie' line says",
    ),
    no_effect("tune.chksize", "tune.chksize <size>", "checks take the buffers that they need"),
    fixed("tune.fd.edge-triggered", "tune.fd.edge-triggered { on | off }", &["off"], NO_POLLER),
    no_effect(
        "tune.fd.tables",
        "tune.fd.tables { shared | per-thread-group }",
        "descriptors are the kernel's",
    ),
    no_effect("tune.epoll.mask-events", "tune.epoll.mask-events <event[,...]>", NO_POLLER),
    no_effect("tune.idletimer", "tune.idletimer <timeout>", "streams keep no state that could grow stale"),
    no_effect("tune.buffers.limit", "tune.buffers.limit <number>", OWN_BUFFERS),
    no_effect("tune.buffers.reserve", "tune.buffers.reserve <number>", OWN_BUFFERS),
    no_effect("tune.bufsize.small", "tune.bufsize.small <size>", OWN_BUFFERS),
    no_effect("tune.bufsize.large", "tune.bufsize.large <size>", OWN_BUFFERS),
    no_effect("tune.memory.hot-size", "tune.memory.hot-size <number>", OWN_BUFFERS),
    no_effect("tune.fail-alloc", "tune.fail-alloc", "it only serves HAProxy's developers"),
    no_effect(
        "tune.pattern.cache-size",
        "tune.pattern.cache-size <number>",
        "patterns are indexed, regular expressions take linear time",
    ),
    fixed(
        "tune.listener.multi-queue",
        "tune.listener.multi-queue { on | fair | off }",
        &["on", "fair"],
        OWN_LISTENERS,
    ),
    fixed(
        "tune.listener.default-shards",
        "tune.listener.default-shards { by-process | by-thread | by-group }",
        &["by-thread"],
        OWN_LISTENERS,
    ),
    fixed(
        "tune.idle-pool.shared",
        "tune.idle-pool.shared { full | on | off }",
        &["off"],
        "every thread keeps server connections of its own",
    ),
    no_effect(
        "tune.takeover-other-tg-connections",
        "tune.takeover-other-tg-connections <value>",
        "every thread keeps server connections of its own",
    ),
    no_effect(
        "tune.pool-low-fd-ratio",
        "tune.pool-low-fd-ratio <number>",
        "pool-max-conn bounds idle server connections",
    ),
    no_effect(
        "tune.pool-high-fd-ratio",
        "tune.pool-high-fd-ratio <number>",
        "pool-max-conn bounds idle server connections",
    ),
    no_effect("tune.disable-fast-forward", "tune.disable-fast-forward", ONE_RELAY),
    no_effect("tune.disable-zero-copy-forwarding", "tune.disable-zero-copy-forwarding", ONE_RELAY),
    no_effect("tune.applet.zero-copy-forwarding", "tune.applet.zero-copy-forwarding { on | off }", ONE_RELAY),
    no_effect("tune.pt.zero-copy-forwarding", "tune.pt.zero-copy-forwarding { on | off }", ONE_RELAY),
    no_effect("tune.h1.zero-copy-fwd-recv", "tune.h1.zero-copy-fwd-recv { on | off }", ONE_RELAY),
    no_effect("tune.h1.zero-copy-fwd-send", "tune.h1.zero-copy-fwd-send { on | off }", ONE_RELAY),
    no_effect(
        "tune.defaults.purge",
        "tune.defaults.purge [{ all | none | <element[,...]> }]",
        "what is not used after loading is always freed",
    ),
    no_effect("tune.ring.queues", "tune.ring.queues <number>", "rings are not shared between threads"),
];

const TLS: &str = "TLS";
const HTTP2: &str = "HTTP/2";
const COMPRESSION: &str = "compression";
const VARIABLES: &str = "variables";
const LUA: &str = "Lua";
const HTTP_CLIENT: &str = "the HTTP client";

/// The table of what tunes features that are not there yet.
pub static INERT: &[Keyword] = &[
    inert("ca-base", "ca-base <dir>", TLS),
    inert("crt-base", "crt-base <dir>", TLS),
    inert("key-base", "key-base <dir>", TLS),
    inert("maxsslconn", "maxsslconn <number>", TLS),
    inert("maxsslrate", "maxsslrate <number>", TLS),
    inert("noktls", "noktls", TLS),
    inert("ssl-default-bind-ciphers", "ssl-default-bind-ciphers <ciphers>", TLS),
    inert("ssl-default-bind-ciphersuites", "ssl-default-bind-ciphersuites <ciphersuites>", TLS),
    inert("ssl-default-bind-client-sigalgs", "ssl-default-bind-client-sigalgs <sigalgs>", TLS),
    inert("ssl-default-bind-curves", "ssl-default-bind-curves <curves>", TLS),
    inert("ssl-default-bind-options", "ssl-default-bind-options [<option>]...", TLS),
    inert("ssl-default-bind-sigalgs", "ssl-default-bind-sigalgs <sigalgs>", TLS),
    inert("ssl-default-server-ciphers", "ssl-default-server-ciphers <ciphers>", TLS),
    inert("ssl-default-server-ciphersuites", "ssl-default-server-ciphersuites <ciphersuites>", TLS),
    inert("ssl-default-server-client-sigalgs", "ssl-default-server-client-sigalgs <sigalgs>", TLS),
    inert("ssl-default-server-curves", "ssl-default-server-curves <curves>", TLS),
    inert("ssl-default-server-options", "ssl-default-server-options [<option>]...", TLS),
    inert("ssl-default-server-sigalgs", "ssl-default-server-sigalgs <sigalgs>", TLS),
    inert("ssl-dh-param-file", "ssl-dh-param-file <file>", TLS),
    inert("ssl-load-extra-del-ext", "ssl-load-extra-del-ext", TLS),
    inert("ssl-load-extra-files", "ssl-load-extra-files <none|all|bundle|sctl|ocsp|issuer|key>*", TLS),
    inert("ssl-mode-async", "ssl-mode-async", TLS),
    inert("ssl-security-level", "ssl-security-level <number>", TLS),
    inert("ssl-server-verify", "ssl-server-verify [none|required]", TLS),
    inert("ssl-skip-self-issued-ca", "ssl-skip-self-issued-ca", TLS),
    inert("issuers-chain-path", "issuers-chain-path <dir>", TLS),
    inert("tune.ssl.cachesize", "tune.ssl.cachesize <number>", TLS),
    inert("tune.ssl.capture-buffer-size", "tune.ssl.capture-buffer-size <number>", TLS),
    inert("tune.ssl.capture-cipherlist-size", "tune.ssl.capture-cipherlist-size <number>", TLS),
    inert("tune.ssl.certificate-compression", "tune.ssl.certificate-compression { auto | off }", TLS),
    inert("tune.ssl.default-dh-param", "tune.ssl.default-dh-param <number>", TLS),
    inert("tune.ssl.force-private-cache", "tune.ssl.force-private-cache", TLS),
    inert("tune.ssl.hard-maxrecord", "tune.ssl.hard-maxrecord <number>", TLS),
    inert("tune.ssl.keylog", "tune.ssl.keylog { on | off }", TLS),
    inert("tune.ssl.lifetime", "tune.ssl.lifetime <timeout>", TLS),
    inert("tune.ssl.maxrecord", "tune.ssl.maxrecord <number>", TLS),
    inert("tune.ssl.ssl-ctx-cache-size", "tune.ssl.ssl-ctx-cache-size <number>", TLS),
    inert("tune.h2.header-table-size", "tune.h2.header-table-size <number>", HTTP2),
    inert("tune.h2.initial-window-size", "tune.h2.initial-window-size <number>", HTTP2),
    inert("tune.h2.max-concurrent-streams", "tune.h2.max-concurrent-streams <number>", HTTP2),
    inert("tune.h2.max-frame-size", "tune.h2.max-frame-size <number>", HTTP2),
    inert("tune.h2.be.initial-window-size", "tune.h2.be.initial-window-size <number>", HTTP2),
    inert("tune.h2.be.max-concurrent-streams", "tune.h2.be.max-concurrent-streams <number>", HTTP2),
    inert("tune.h2.fe.initial-window-size", "tune.h2.fe.initial-window-size <number>", HTTP2),
    inert("tune.h2.fe.max-concurrent-streams", "tune.h2.fe.max-concurrent-streams <number>", HTTP2),
    inert("h2-workaround-bogus-websocket-clients", "h2-workaround-bogus-websocket-clients", HTTP2),
    inert("limited-quic", "limited-quic", "QUIC"),
    inert("maxcompcpuusage", "maxcompcpuusage <number>", COMPRESSION),
    inert("maxcomprate", "maxcomprate <number>", COMPRESSION),
    inert("maxzlibmem", "maxzlibmem <number>", COMPRESSION),
    inert("tune.comp.maxlevel", "tune.comp.maxlevel <number>", COMPRESSION),
    inert("tune.zlib.memlevel", "tune.zlib.memlevel <number>", COMPRESSION),
    inert("tune.zlib.windowsize", "tune.zlib.windowsize <number>", COMPRESSION),
    inert("tune.vars.global-max-size", "tune.vars.global-max-size <size>", VARIABLES),
    inert("tune.vars.proc-max-size", "tune.vars.proc-max-size <size>", VARIABLES),
    inert("tune.vars.reqres-max-size", "tune.vars.reqres-max-size <size>", VARIABLES),
    inert("tune.vars.sess-max-size", "tune.vars.sess-max-size <size>", VARIABLES),
    inert("tune.vars.txn-max-size", "tune.vars.txn-max-size <size>", VARIABLES),
    inert("tune.vars.check-max-size", "tune.vars.check-max-size <size>", VARIABLES),
    inert("tune.lua.forced-yield", "tune.lua.forced-yield <number>", LUA),
    inert("tune.lua.maxmem", "tune.lua.maxmem <number>", LUA),
    inert("tune.lua.session-timeout", "tune.lua.session-timeout <timeout>", LUA),
    inert("tune.lua.service-timeout", "tune.lua.service-timeout <timeout>", LUA),
    inert("tune.lua.task-timeout", "tune.lua.task-timeout <timeout>", LUA),
    inert("httpclient.resolvers.disabled", "httpclient.resolvers.disabled <on|off>", HTTP_CLIENT),
    inert("httpclient.resolvers.id", "httpclient.resolvers.id <resolvers id>", HTTP_CLIENT),
    inert("httpclient.resolvers.prefer", "httpclient.resolvers.prefer <ipv4|ipv6>", HTTP_CLIENT),
    inert("httpclient.retries", "httpclient.retries <number>", HTTP_CLIENT),
    inert("httpclient.ssl.ca-file", "httpclient.ssl.ca-file <cafile>", HTTP_CLIENT),
    inert("httpclient.ssl.verify", "httpclient.ssl.verify [none|required]", HTTP_CLIENT),
    inert("httpclient.timeout.connect", "httpclient.timeout.connect <timeout>", HTTP_CLIENT),
];

fn number(cx: &mut ParseCx<'_>, what: &str, range: RangeInclusive<i64>, set: fn(&mut GlobalConf, i64)) {
    let Some(n) = cx.expect_int(what, range) else { return };
    if cx.end() {
        set(cx.section.feature(), n);
    }
}

fn size(cx: &mut ParseCx<'_>, set: fn(&mut GlobalConf, usize)) {
    let Some(n) = cx.expect_size("a size in bytes") else { return };
    if cx.end() {
        set(cx.section.feature(), usize::try_from(n).unwrap_or(usize::MAX));
    }
}

fn time(cx: &mut ParseCx<'_>, unit: Unit, set: fn(&mut GlobalConf, Duration)) {
    let Some(d) = cx.expect_duration("a time", unit) else { return };
    if cx.end() {
        set(cx.section.feature(), d);
    }
}

fn text(cx: &mut ParseCx<'_>, what: &str, set: fn(&mut GlobalConf, String)) {
    let Some(t) = cx.expect_text(what) else { return };
    if cx.end() {
        set(cx.section.feature(), t);
    }
}

fn flag(cx: &mut ParseCx<'_>, set: fn(&mut GlobalConf, bool)) {
    if cx.end() {
        let on = !cx.dir.negated;
        set(cx.section.feature(), on);
    }
}

/// `user`, `uid`, `group`, `gid`: the second mention is a mistake worth a word.
fn account(
    cx: &mut ParseCx<'_>,
    what: &str,
    slot: fn(&mut GlobalConf) -> &mut Option<Account>,
    exists: Option<fn(&str) -> bool>,
) {
    let value = match exists {
        None => cx.expect_int(what, 0..=i64::from(u32::MAX)).map(|n| Account::Id(n as u32)),
        Some(exists) => cx.expect(what).and_then(|w| {
            let name = w.text().into_owned();
            if exists(&name) {
                return Some(Account::Name(name, w.loc));
            }
            let message = format!("cannot find {} id for '{name}'", cx.keyword());
            cx.error(w.loc, message);
            None
        }),
    };
    let Some(value) = value else { return };
    if !cx.end() {
        return;
    }
    let old = slot(cx.section.feature::<GlobalConf>()).replace(value);
    if old.is_some() {
        let message = format!("'{}' overrides an earlier line", cx.keyword());
        cx.warning(cx.dir.loc, message).help("user and uid, like group and gid, set the same thing");
    }
}

/// The machine knows the user. (When it cannot tell, the start will.)
pub(super) fn has_user(name: &str) -> bool {
    !matches!(nix::unistd::User::from_name(name), Ok(None))
}

/// The machine knows the group.
pub(super) fn has_group(name: &str) -> bool {
    !matches!(nix::unistd::Group::from_name(name), Ok(None))
}

fn setcap(cx: &mut ParseCx<'_>) {
    let Some(word) = cx.expect("capabilities") else { return };
    let text = word.text().into_owned();
    let mut names: Vec<String> = Vec::new();
    for name in text.split(',') {
        if !CAPABILITIES.contains(&name) {
            cx.error(word.loc, format!("'setcap' : unknown capability '{name}'"))
                .help(format!("one or more of {}, with commas between", CAPABILITIES.join(", ")));
            return;
        }
        names.push(name.to_owned());
    }
    if cx.end() {
        cx.section.feature::<GlobalConf>().process.capabilities.extend(names);
    }
}

fn set_dumpable(cx: &mut ParseCx<'_>) {
    let on = match cx.peek() {
        None => true,
        Some(_) => match cx.expect_one_of("a mode", &["on", "off", "libs"]) {
            Some(choice) => choice != 1,
            None => return,
        },
    };
    if cx.end() {
        let on = on && !cx.dir.negated;
        cx.section.feature::<GlobalConf>().process.dumpable = on;
    }
}

fn cpu_map(cx: &mut ParseCx<'_>) {
    let Some(target) = cx.expect("threads") else { return };
    let Some(first) = cx.expect("CPUs") else { return };
    let mut cpus = vec![first.text().into_owned()];
    cpus.extend(cx.rest().iter().map(|w| w.text().into_owned()));
    let map = &mut cx.section.feature::<GlobalConf>().process.cpu_map;
    if let Err(e) = map.add(&target.text(), cpus.iter().map(String::as_str)) {
        cx.error(cx.dir.loc, format!("'cpu-map' : {e}"))
            .help("for example: cpu-map auto:1/1-4 0-3 (thread 1 on CPU 0, thread 2 on CPU 1, ...)");
    }
}

fn node(cx: &mut ParseCx<'_>) {
    let Some(w) = cx.expect("a name") else { return };
    let ok = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    if !w.bytes.iter().all(ok) {
        let message = format!("'node' : '{}' holds a character that is not permitted", w.text());
        cx.error(w.loc, message).help("names are made of letters, digits, '-', '_' and '.'");
        return;
    }
    if cx.end() {
        cx.section.feature::<GlobalConf>().node = Some(w.text().into_owned());
    }
}

fn bufsize(cx: &mut ParseCx<'_>) {
    let Some(n) = cx.expect_size("a size in bytes") else { return };
    if !(1024..=1 << 30).contains(&n) {
        let message = format!("'tune.bufsize' : {n} is out of range (1024 to 1g)");
        cx.error(cx.dir.words[1].loc, message);
        return;
    }
    if cx.end() {
        // Rounded up as HAProxy does on 64-bit machines.
        cx.section.feature::<GlobalConf>().tune.bufsize = (n as usize).next_multiple_of(16);
    }
}

fn stats_socket(cx: &mut ParseCx<'_>) {
    let Some(address) = cx.expect("an address or a path") else { return };
    let params = cx.rest().to_vec();
    let socket = StatsSocket { address: address.clone(), params };
    cx.section.feature::<GlobalConf>().stats.sockets.push(socket);
}

fn default_path(cx: &mut ParseCx<'_>) {
    let Some(choice) = cx.expect_one_of("a mode", &["current", "config", "parent", "origin"]) else { return };
    let mode = match choice {
        0 => DefaultPath::Current,
        1 => DefaultPath::Config,
        2 => DefaultPath::Parent,
        _ => {
            let Some(w) = cx.expect("a directory") else { return };
            DefaultPath::Origin(cx.path(w))
        }
    };
    if cx.end() {
        cx.state.default_path = mode;
        cx.state.update_base_dir();
    }
}

fn set_variable(cx: &mut ParseCx<'_>, replace: bool) {
    let Some(name) = cx.expect("a name and a value") else { return };
    let Some(value) = cx.expect("a name and a value") else { return };
    if name.bytes.is_empty() || name.bytes.contains(&b'=') {
        cx.error(name.loc, format!("'{}' is not a name of a variable", name.text()));
        return;
    }
    if !cx.end() {
        return;
    }
    if replace {
        cx.state.env.set(name.bytes.clone(), value.bytes.clone());
    } else {
        cx.state.env.preset(name.bytes.clone(), value.bytes.clone());
    }
}

fn unix_bind(cx: &mut ParseCx<'_>) {
    const PARAMS: [&str; 6] = ["prefix", "mode", "user", "uid", "group", "gid"];
    while cx.peek().is_some() {
        let Some(param) = cx.expect_one_of("a parameter", &PARAMS) else { return };
        let Some(value) = cx.expect("a value after each parameter") else { return };
        let text = value.text().into_owned();
        let number = |radix| u32::from_str_radix(&text, radix).ok();
        let conf = &mut cx.section.feature::<GlobalConf>().unix_bind;
        let ok = match PARAMS[param] {
            "prefix" => {
                conf.prefix = Some(text.clone());
                true
            }
            "mode" => {
                conf.mode = number(8).filter(|m| *m <= 0o7777);
                conf.mode.is_some()
            }
            "uid" => {
                conf.user = number(10).map(Account::Id);
                conf.user.is_some()
            }
            "gid" => {
                conf.group = number(10).map(Account::Id);
                conf.group.is_some()
            }
            "user" => {
                conf.user = Some(Account::Name(text.clone(), value.loc));
                true
            }
            _ => {
                conf.group = Some(Account::Name(text.clone(), value.loc));
                true
            }
        };
        if !ok {
            cx.error(value.loc, format!("'unix-bind' : '{text}' is not a valid {}", PARAMS[param]));
        }
    }
}
