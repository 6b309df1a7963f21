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
    },
    Scenario {
        name: "keepalive-tcp",
        title: "Keep-alive GET, 64 connections, TCP mode",
        unit: Unit::MicrosPerRequest,
        load: &["--connections", "64"],
        path: "/",
        contestants: &[HARING_TCP, HAPROXY_TCP, NGINX_TCP],
        targets: &[("haproxy", 0.93)],
    },
    Scenario {
        name: "close-http",
        title: "A connection per request, 64 at a time, HTTP mode",
        unit: Unit::MicrosPerRequest,
        load: &["--connections", "64", "--close"],
        path: "/",
        contestants: &[HARING_HTTP, HAPROXY_HTTP, HAPROXY_ALWAYS, NGINX_HTTP],
        targets: &[("haproxy", 0.45)],
    },
    Scenario {
        name: "close-tcp",
        title: "A connection per request, 64 at a time, TCP mode",
        unit: Unit::MicrosPerRequest,
        load: &["--connections", "64", "--close"],
        path: "/",
        contestants: &[HARING_TCP, HAPROXY_TCP, NGINX_TCP],
        targets: &[],
    },
    Scenario {
        name: "bulk-http",
        title: "1 MiB objects, 8 connections, HTTP mode",
        unit: Unit::SecondsPerGib,
        load: &["--connections", "8"],
        path: "/1048576",
        contestants: &[HARING_HTTP, HAPROXY_HTTP, HAPROXY_HTTP_SPLICE, HAPROXY_HTTP_FORCED, NGINX_HTTP],
        targets: &[("haproxy", 0.45), ("haproxy-splice", 0.65)],
    },
    Scenario {
        name: "bulk-tcp",
        title: "1 MiB objects, 8 connections, TCP mode",
        unit: Unit::SecondsPerGib,
        load: &["--connections", "8"],
        path: "/1048576",
        contestants: &[HARING_TCP, HAPROXY_TCP, HAPROXY_TCP_SPLICE, HAPROXY_TCP_FORCED, NGINX_TCP],
        targets: &[("haproxy", 0.35)],
    },
    Scenario {
        name: "latency-http",
        title: "Latency at a fixed rate, 64 connections, HTTP mode",
        unit: Unit::Latency,
        load: &["--connections", "64", "--rate", "@RATE@"],
        path: "/",
        contestants: &[HARING_HTTP, HAPROXY_HTTP, NGINX_HTTP],
        targets: &[],
    },
    Scenario {
        name: "syscalls",
        title: "System calls per keep-alive request, HTTP mode",
        unit: Unit::Calls,
        load: &["--connections", "64"],
        path: "/",
        contestants: &[HARING_HTTP, HAPROXY_HTTP, NGINX_HTTP],
        targets: &[("", 1.0)],
    },
    Scenario {
        name: "idle",
        title: "Memory of an idle keep-alive connection, HTTP mode",
        unit: Unit::BytesPerConnection,
        load: &[],
        path: "/",
        contestants: &[HARING_HTTP, HAPROXY_HTTP, NGINX_HTTP],
        targets: &[("", 4096.0)],
    },
];
