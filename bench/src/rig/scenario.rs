//! What is measured, and who takes part.

/// A program under test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// Ours.
    Haring,
    /// The reference.
    Haproxy,
    /// The other one people use.
    Nginx,
}

/// A program with a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contestant {
    /// Short name for files and options.
    pub key: &'static str,
    /// Name in the report.
    pub label: &'static str,
    /// Which program.
    pub program: Program,
    /// File under `bench/conf`.
    pub conf: &'static str,
    /// What stands for `@OPTIONS@` in it.
    pub options: &'static str,
}

/// `splice-auto` waits for streams that look fast; this does not.
const FORCED: &str = "option splice-request\n    option splice-response";

const HARING_HTTP: Contestant = contestant("haring", "Haring", Program::Haring, "haring-http.cfg", "");
const HARING_TCP: Contestant = contestant("haring", "Haring", Program::Haring, "haring-tcp.cfg", "");
const HAPROXY_HTTP: Contestant = contestant("haproxy", "HAProxy", Program::Haproxy, "haproxy-http.cfg", "");
const HAPROXY_TCP: Contestant = contestant("haproxy", "HAProxy", Program::Haproxy, "haproxy-tcp.cfg", "");
const HAPROXY_ALWAYS: Contestant = contestant(
    "haproxy-always",
    "HAProxy, http-reuse always",
    Program::Haproxy,
    "haproxy-http.cfg",
    "http-reuse always",
);
const HAPROXY_HTTP_SPLICE: Contestant = contestant(
    "haproxy-splice",
    "HAProxy, splice-auto",
    Program::Haproxy,
    "haproxy-http.cfg",
    "option splice-auto",
);
const HAPROXY_TCP_SPLICE: Contestant = contestant(
    "haproxy-splice",
    "HAProxy, splice-auto",
    Program::Haproxy,
    "haproxy-tcp.cfg",
    "option splice-auto",
);
const HAPROXY_HTTP_FORCED: Contestant =
    contestant("haproxy-forced", "HAProxy, splice forced", Program::Haproxy, "haproxy-http.cfg", FORCED);
const HAPROXY_TCP_FORCED: Contestant =
    contestant("haproxy-forced", "HAProxy, splice forced", Program::Haproxy, "haproxy-tcp.cfg", FORCED);
const NGINX_HTTP: Contestant = contestant("nginx", "nginx", Program::Nginx, "nginx-http.conf", "");
const NGINX_TCP: Contestant = contestant("nginx", "nginx stream", Program::Nginx, "nginx-tcp.conf", "");

/// One tracked counter: the client's address, with three kinds of data.
const TRACK_ONE: &str = "http-request track-sc0 src table t0";
/// Ten, each in a table of its own; HAProxy has `tune.stick-counters` from 2.8 on.
const TRACK_TEN: &str = "http-request track-sc0 src table t0
    http-request track-sc1 src table t1
    http-request track-sc2 src table t2
    http-request track-sc3 src table t3
    http-request track-sc4 src table t4
    http-request track-sc5 src table t5
    http-request track-sc6 src table t6
    http-request track-sc7 src table t7
    http-request track-sc8 src table t8
    http-request track-sc9 src table t9";

const fn track(key: &'static str, label: &'static str, program: Program, rules: &'static str) -> Contestant {
    contestant(key, label, program, "track.cfg", rules)
}

const HARING_UNTRACKED: Contestant = track("haring-plain", "Haring, no rule", Program::Haring, "");
const HAPROXY_UNTRACKED: Contestant = track("haproxy-plain", "HAProxy, no rule", Program::Haproxy, "");

const fn contestant(
    key: &'static str,
    label: &'static str,
    program: Program,
    conf: &'static str,
    options: &'static str,
) -> Contestant {
    Contestant { key, label, program, conf, options }
}

/// What a figure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Processor time per request, in microseconds.
    MicrosPerRequest,
    /// Processor time per GiB of body, in seconds.
    SecondsPerGib,
    /// Latency at the 99th percentile, in microseconds, at a fixed rate of requests.
    Latency,
    /// System calls per request.
    Calls,
    /// Private memory per idle connection, in bytes.
    BytesPerConnection,
}

impl Unit {
    /// The unit in words.
    pub fn text(self) -> &'static str {
        match self {
            Unit::MicrosPerRequest => "µs of CPU per request",
            Unit::SecondsPerGib => "s of CPU per GiB",
            Unit::Latency => "µs, 99th percentile at a fixed rate",
            Unit::Calls => "system calls per request",
            Unit::BytesPerConnection => "bytes of private memory per idle connection",
        }
    }

    /// A figure with as many digits as it deserves.
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::MicrosPerRequest => format!("{value:.2}"),
            Unit::SecondsPerGib => format!("{value:.3}"),
            Unit::Latency => format!("{value:.0}"),
            Unit::Calls => format!("{value:.2}"),
            Unit::BytesPerConnection => format!("{value:.0}"),
        }
    }
}

/// One kind of work.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Name for `--only`.
    pub name: &'static str,
    /// Name in the report.
    pub title: &'static str,
    /// What is counted.
    pub unit: Unit,
    /// Options of the load generator.
    pub load: &'static [&'static str],
    /// What is asked for.
    pub path: &'static str,
    /// Who takes part.
    pub contestants: &'static [Contestant],
    /// What we want to reach: (contestant, most of its figure), or an absolute figure for "".
    pub targets: &'static [(&'static str, f64)],
    /// What counts is what `haring` costs more than `haring-plain`: at most this part of the same for HAProxy.
    pub added: Option<f64>,
}

/// All of them, in the order of the report.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "keepalive-http",
        title: "Keep-alive GET, 64 connections, HTTP mode",
        unit: Unit::MicrosPerRequest,
        load: &["--connections", "64"],
        path: "/",
        contestants: &[HARING_HTTP, HAPROXY_HTTP, HAPROXY_ALWAYS, NGINX_HTTP],
        targets: &[("haproxy", 0.80)],
        added: None,
    },
    Scenario {
        name: "keepalive-tcp",
        title: "Keep-alive GET, 64 connections, TCP mode",
        unit: Unit::MicrosPerRequest,
        load: &["--connections", "64"],
        path: "/",
        contestants: &[HARING_TCP, HAPROXY_TCP, NGINX_TCP],
        targets: &[("haproxy", 0.93)],
        added: None,
    },
    Scenario {
        name: "close-http",
        title: "A connection per request, 64 at a time, HTTP mode",
        unit: Unit::MicrosPerRequest,
        load: &["--connections", "64", "--close"],
        path: "/",
        contestants: &[HARING_HTTP, HAPROXY_HTTP, HAPROXY_ALWAYS, NGINX_HTTP],
        targets: &[("haproxy", 0.45)],
        added: None,
    },
    Scenario {
        name: "close-tcp",
        title: "A connection per request, 64 at a time, TCP mode",
        unit: Unit::MicrosPerRequest,
        load: &["--connections", "64", "--close"],
        path: "/",
        contestants: &[HARING_TCP, HAPROXY_TCP, NGINX_TCP],
        targets: &[],
        added: None,
    },
    Scenario {
        name: "bulk-http",
        title: "1 MiB objects, 8 connections, HTTP mode",
        unit: Unit::SecondsPerGib,
        load: &["--connections", "8"],
        path: "/1048576",
        contestants: &[HARING_HTTP, HAPROXY_HTTP, HAPROXY_HTTP_SPLICE, HAPROXY_HTTP_FORCED, NGINX_HTTP],
        targets: &[("haproxy", 0.45), ("haproxy-splice", 0.65)],
        added: None,
    },
    Scenario {
        name: "bulk-tcp",
        title: "1 MiB objects, 8 connections, TCP mode",
        unit: Unit::SecondsPerGib,
        load: &["--connections", "8"],
        path: "/1048576",
        contestants: &[HARING_TCP, HAPROXY_TCP, HAPROXY_TCP_SPLICE, HAPROXY_TCP_FORCED, NGINX_TCP],
        targets: &[("haproxy", 0.35)],
        added: None,
    },
    Scenario {
        name: "track-1",
        title: "track-sc0 src with three counters, keep-alive GET, 64 connections",
        unit: Unit::MicrosPerRequest,
        load: &["--connections", "64"],
        path: "/",
        contestants: &[
            track("haring", "Haring, track-sc0", Program::Haring, TRACK_ONE),
            HARING_UNTRACKED,
            track("haproxy", "HAProxy, track-sc0", Program::Haproxy, TRACK_ONE),
            HAPROXY_UNTRACKED,
        ],
        targets: &[],
        added: Some(1.0),
    },
    Scenario {
        name: "track-10",
        title: "Ten track-sc rules, keep-alive GET, 64 connections",
        unit: Unit::MicrosPerRequest,
        load: &["--connections", "64"],
        path: "/",
        contestants: &[
            track("haring", "Haring, track-sc0 to 9", Program::Haring, TRACK_TEN),
            HARING_UNTRACKED,
            track("haproxy", "HAProxy, track-sc0 to 9", Program::Haproxy, TRACK_TEN),
            HAPROXY_UNTRACKED,
        ],
        targets: &[],
        added: Some(1.0),
    },
    Scenario {
        name: "latency-http",
        title: "Latency at a fixed rate, 64 connections, HTTP mode",
        unit: Unit::Latency,
        load: &["--connections", "64", "--rate", "@RATE@"],
        path: "/",
        contestants: &[HARING_HTTP, HAPROXY_HTTP, NGINX_HTTP],
        targets: &[],
        added: None,
    },
    Scenario {
        name: "syscalls",
        title: "System calls per keep-alive request, HTTP mode",
        unit: Unit::Calls,
        load: &["--connections", "64"],
        path: "/",
        contestants: &[HARING_HTTP, HAPROXY_HTTP, NGINX_HTTP],
        targets: &[("", 1.0)],
        added: None,
    },
    Scenario {
        name: "idle",
        title: "Memory of an idle keep-alive connection, HTTP mode",
        unit: Unit::BytesPerConnection,
        load: &[],
        path: "/",
        contestants: &[HARING_HTTP, HAPROXY_HTTP, NGINX_HTTP],
        targets: &[("", 4096.0)],
        added: None,
    },
];
