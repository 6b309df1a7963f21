//! A log target: where lines go, in which syslog format, and which of them.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;

use super::{Facility, Level};

/// Where a target's lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetAddr {
    /// UDP.
    Udp(SocketAddr),
    /// Datagrams to a unix socket; an abstract name begins with a NUL byte.
    Unix(Vec<u8>),
    /// A descriptor we inherited: 1 and 2 for `stdout` and `stderr`.
    Fd(i32),
}

/// The header in front of each line.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyslogFormat {
    #[default]
    Local,
    Rfc3164,
    Rfc5424,
    Priority,
    Short,
    Timed,
    Iso,
    Raw,
}

/// `sample 1,3-4:5`: which lines of each group of `period` go to this target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Inclusive ranges of positions, from 1.
    pub ranges: Vec<(u64, u64)>,
    /// Lines in a group.
    pub period: u64,
}

/// One `log` line of the configuration.
#[derive(Debug)]
pub struct Target {
    /// Where.
    pub addr: TargetAddr,
    /// Lines are cut to this many bytes, header included.
    pub max_len: usize,
    /// Header in front of each line; `None`: `local`, or `rfc3164` with `log-send-hostname`.
    pub format: SyslogFormat,
    /// Sampling.
    pub sample: Option<Sample>,
    /// Facility.
    pub facility: Facility,
    /// The least severe level that is sent.
    pub level: Level,
    /// More severe messages are sent as this level.
    pub min_level: Level,
    /// Lines offered, for `sample`.
    pub seen: AtomicU64,
    /// Lines lost because the receiver or the kernel did not take them.
    pub dropped: AtomicU64,
}
