//! A log target: where lines go, in which syslog format, and which of them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::base::addr::SockAddr;
use crate::base::time::Wall;

use super::date::with_second;
use super::escape::push_int;
use super::{Facility, Level, ProxyLog};

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

/// The formats by the names of the configuration.
pub const FORMATS: [(&str, SyslogFormat); 8] = [
    ("local", SyslogFormat::Local),
    ("rfc3164", SyslogFormat::Rfc3164),
    ("rfc5424", SyslogFormat::Rfc5424),
    ("priority", SyslogFormat::Priority),
    ("short", SyslogFormat::Short),
    ("timed", SyslogFormat::Timed),
    ("iso", SyslogFormat::Iso),
    ("raw", SyslogFormat::Raw),
];

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
    /// Number in the process; the index of the per-thread sockets.
    pub(super) id: usize,
    /// Where: UDP, a unix datagram socket, or a descriptor (1 and 2 for `stdout` and `stderr`).
    pub addr: SockAddr,
    /// Lines are cut to this many bytes, header included, line end not. `usize::MAX` for descriptors.
    pub max_len: usize,
    /// Header in front of each line; `None`: `local`, or `rfc3164` with `log-send-hostname`.
    pub format: Option<SyslogFormat>,
    /// Sampling.
    pub sample: Option<Sample>,
    /// Facility.
    pub facility: Facility,
    /// The least severe level that is sent.
    pub level: Level,
    /// More severe messages are sent as this level.
    pub min_level: Level,
    /// Lines offered so far, for `sample`.
    seen: AtomicU64,
    /// Lines lost because the receiver or the kernel did not take them.
    dropped: AtomicU64,
}

static NEXT_ID: AtomicUsize = AtomicUsize::new(0);

impl Target {
    /// A target with the defaults of the manual: 1024 bytes, all levels.
    pub fn new(addr: SockAddr, facility: Facility) -> Target {
        Target {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            max_len: if matches!(addr, SockAddr::Fd(_)) { usize::MAX } else { super::DEFAULT_LINE_LEN },
            addr,
            format: None,
            sample: None,
            facility,
            level: Level::Debug,
            min_level: Level::Emerg,
            seen: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Lines lost so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn count_dropped(&self, n: u64) {
        self.dropped.fetch_add(n, Ordering::Relaxed);
    }

    /// True when a message of `level` goes to this target; counts it for `sample`.
    pub(super) fn takes(&self, level: Level) -> bool {
        if level > self.level {
            return false;
        }
        let Some(s) = &self.sample else { return true };
        // One counter for all threads: the share of each receiver is exact. Only sampled targets pay for it.
        let at = self.seen.fetch_add(1, Ordering::Relaxed) % s.period + 1;
        s.ranges.iter().any(|(low, high)| (*low..=*high).contains(&at))
    }

    /// Append the whole datagram: header, structured data, message, line end.
    pub(super) fn frame(
        &self,
        out: &mut Vec<u8>,
        log: &ProxyLog,
        level: Level,
        now: Wall,
        sd: &[u8],
        message: &[u8],
    ) {
        let start = out.len();
        let limit = start.saturating_add(self.max_len);
        let format = self.format.unwrap_or(match log.hostname {
            Some(_) => SyslogFormat::Rfc3164,
            None => SyslogFormat::Local,
        });
        self.header(out, format, log, level.max(self.min_level), now);
        if format == SyslogFormat::Rfc5424 {
            // Structured data is never cut in the middle: a receiver could not parse the line.
            let sd = if sd.is_empty() { b"-" } else { sd };
            if out.len() + sd.len() < limit {
                out.extend_from_slice(sd);
                if out.len() + 1 < limit {
                    out.push(b' ');
                }
            }
        }
        let room = limit.saturating_sub(out.len());
        out.extend_from_slice(&message[..message.len().min(room)]);
        out.truncate(limit);
        out.push(b'\n');
    }

    fn header(&self, out: &mut Vec<u8>, format: SyslogFormat, log: &ProxyLog, level: Level, now: Wall) {
        match format {
            SyslogFormat::Raw | SyslogFormat::Iso => {}
            SyslogFormat::Short | SyslogFormat::Timed => push_pri(out, level as u8),
            _ => push_pri(out, self.facility.pri(level)),
        }
        match format {
            SyslogFormat::Local | SyslogFormat::Rfc3164 => {
                with_second(now, |s| out.extend_from_slice(s.syslog.as_bytes()));
                out.push(b' ');
                if format == SyslogFormat::Rfc3164 {
                    out.extend_from_slice(log.hostname.as_deref().unwrap_or(b"localhost"));
                    out.push(b' ');
                }
                out.extend_from_slice(&log.tag);
                out.push(b'[');
                push_int(out, i64::from(super::logger::pid()));
                out.extend_from_slice(b"]: ");
            }
            SyslogFormat::Rfc5424 => {
                out.extend_from_slice(b"1 ");
                push_iso(out, now);
                out.push(b' ');
                out.extend_from_slice(log.hostname.as_deref().unwrap_or(b"-"));
                out.push(b' ');
                out.extend_from_slice(&log.tag);
                out.push(b' ');
                push_int(out, i64::from(super::logger::pid()));
                out.extend_from_slice(b" - ");
            }
            SyslogFormat::Timed | SyslogFormat::Iso => {
                push_iso(out, now);
                out.push(b' ');
            }
            SyslogFormat::Priority | SyslogFormat::Short | SyslogFormat::Raw => {}
        }
    }
}

fn push_pri(out: &mut Vec<u8>, pri: u8) {
    out.push(b'<');
    push_int(out, i64::from(pri));
    out.push(b'>');
}

/// `2026-11-20T23:03:08.885692+00:00`.
fn push_iso(out: &mut Vec<u8>, t: Wall) {
    with_second(t, |s| {
        out.extend_from_slice(s.iso.as_bytes());
        let micros = t.0 % 1_000_000;
        out.push(b'.');
        out.extend_from_slice(&super::escape::three_digits(micros / 1000));
        out.extend_from_slice(&super::escape::three_digits(micros));
        out.extend_from_slice(s.iso_offset.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::ProxyLog;

    const NOW: Wall = Wall(1_795_215_788_885_692);

    fn frame(change: impl FnOnce(&mut Target), log: &ProxyLog, message: &str) -> String {
        let addr = SockAddr::Inet("127.0.0.1:514".parse().expect("valid"));
        let mut t = Target::new(addr, Facility::parse("local2").expect("known"));
        change(&mut t);
        let mut out = Vec::new();
        t.frame(&mut out, log, Level::Info, NOW, b"[ex@1 h=\"/a\\]b\" b=54]", message.as_bytes());
        let pid = format!("{}", std::process::id());
        String::from_utf8(out)
            .expect("ASCII")
            .replace(&format!("[{pid}]"), "[PID]")
            .replace(&format!(" {pid} "), " PID ")
    }

    fn log() -> ProxyLog {
        ProxyLog { tag: b"haproxy".to_vec(), ..ProxyLog::default() }
    }

    // The expected texts are what HAProxy 2.6 sends for the same message, with the pid replaced.
    #[test]
    fn headers_are_those_of_the_reference() {
        let of = |f| frame(|t| t.format = Some(f), &log(), "text");
        assert_eq!(of(SyslogFormat::Local), "<150>Nov 20 23:03:08 haproxy[PID]: text\n");
        assert_eq!(of(SyslogFormat::Rfc3164), "<150>Nov 20 23:03:08 localhost haproxy[PID]: text\n");
        assert_eq!(
            of(SyslogFormat::Rfc5424),
            "<150>1 2026-11-20T23:03:08.885692+00:00 - haproxy PID - [ex@1 h=\"/a\\]b\" b=54] text\n"
        );
        assert_eq!(of(SyslogFormat::Timed), "<6>2026-11-20T23:03:08.885692+00:00 text\n");
        assert_eq!(of(SyslogFormat::Iso), "2026-11-20T23:03:08.885692+00:00 text\n");
        assert_eq!(of(SyslogFormat::Priority), "<150>text\n");
        assert_eq!(of(SyslogFormat::Short), "<6>text\n");
        assert_eq!(of(SyslogFormat::Raw), "text\n");
    }

    #[test]
    fn log_send_hostname_changes_the_default_format() {
        let with_host = ProxyLog { hostname: Some(b"my-host".to_vec()), ..log() };
        assert!(frame(|_| {}, &with_host, "x").contains(" my-host haproxy[PID]: x\n"));
        assert!(frame(|_| {}, &log(), "x").contains(" haproxy[PID]: x\n"));
        let rfc = frame(|t| t.format = Some(SyslogFormat::Rfc5424), &with_host, "x");
        assert!(rfc.contains(" my-host haproxy PID - "), "{rfc}");
    }

    #[test]
    fn the_limit_counts_the_header_and_not_the_line_end() {
        let line = frame(
            |t| {
                t.max_len = 80;
                t.format = Some(SyslogFormat::Raw);
            },
            &log(),
            &"m".repeat(200),
        );
        assert_eq!(line.len(), 81);
        let sd_does_not_fit = frame(
            |t| {
                t.max_len = 60;
                t.format = Some(SyslogFormat::Rfc5424);
            },
            &log(),
            "text",
        );
        assert!(!sd_does_not_fit.contains("[ex@1"), "{sd_does_not_fit}");
    }

    #[test]
    fn more_severe_messages_are_capped_and_less_severe_ones_refused() {
        let t = |level, min_level| {
            let mut t = Target::new(SockAddr::Fd(1), Facility(3));
            (t.level, t.min_level, t.format) = (level, min_level, Some(SyslogFormat::Short));
            t
        };
        assert!(!t(Level::Notice, Level::Emerg).takes(Level::Info));
        assert!(t(Level::Notice, Level::Emerg).takes(Level::Err));
        let mut out = Vec::new();
        t(Level::Debug, Level::Notice).frame(&mut out, &log(), Level::Emerg, NOW, b"", b"x");
        assert_eq!(out, b"<5>x\n");
    }

    #[test]
    fn a_sampled_target_takes_its_share_of_each_group() {
        let mut t = Target::new(SockAddr::Fd(1), Facility(3));
        t.sample = Some(Sample { ranges: vec![(1, 1), (3, 4)], period: 5 });
        let taken: Vec<bool> = (0..10).map(|_| t.takes(Level::Info)).collect();
        let group = [true, false, true, true, false];
        assert_eq!(taken, [group, group].concat());
    }
}
