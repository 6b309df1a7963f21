//! Check options of `server` and `default-server` lines.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::Loc;

/// `observe layer4|layer7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observe {
    /// Connection attempts count.
    Layer4,
    /// HTTP answers count.
    Layer7,
}

/// `on-error`: what happens when `error-limit` errors were observed in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnError {
    /// Check at `fastinter`.
    Fastinter,
    /// One failed check, and `fastinter`.
    #[default]
    FailCheck,
    /// As if the next failed check would take it down.
    SuddenDeath,
    /// Down at once, and `fastinter`.
    MarkDown,
}

/// Check options of a `server` line. Each is `None` until written, so that `default-server` can be laid below.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerCheck {
    /// `check` / `no-check`.
    pub enabled: Option<bool>,
    /// `inter`.
    pub inter: Option<Duration>,
    /// `fastinter`.
    pub fastinter: Option<Duration>,
    /// `downinter`.
    pub downinter: Option<Duration>,
    /// `rise`.
    pub rise: Option<u32>,
    /// `fall`.
    pub fall: Option<u32>,
    /// `port`: checks only.
    pub port: Option<u16>,
    /// `addr`: checks (and the agent, unless `agent-addr`).
    pub addr: Option<IpAddr>,
    /// Port given with `addr ip:port`.
    pub addr_port: Option<u16>,
    /// `observe`.
    pub observe: Option<Observe>,
    /// `error-limit`.
    pub error_limit: Option<u32>,
    /// `on-error`.
    pub on_error: Option<OnError>,
    /// `on-marked-down shutdown-sessions`.
    pub shutdown_on_down: Option<bool>,
    /// `on-marked-up shutdown-backup-sessions`.
    pub shutdown_backup_on_up: Option<bool>,
    /// `track [backend/]server`.
    pub track: Option<(String, Loc)>,
    /// `check-send-proxy`.
    pub send_proxy: Option<bool>,
    /// `agent-check`.
    pub agent: Option<bool>,
    /// `agent-port`.
    pub agent_port: Option<u16>,
    /// `agent-addr`.
    pub agent_addr: Option<IpAddr>,
    /// `agent-inter`.
    pub agent_inter: Option<Duration>,
    /// `agent-send`.
    pub agent_send: Option<Vec<u8>>,
}

impl ServerCheck {
    /// `inter`; 2 seconds when not written.
    pub fn inter(&self) -> Duration {
        self.inter.unwrap_or(Duration::from_secs(2))
    }

    /// `rise`; 2 when not written.
    pub fn rise(&self) -> u32 {
        self.rise.unwrap_or(2).max(1)
    }

    /// `fall`; 3 when not written.
    pub fn fall(&self) -> u32 {
        self.fall.unwrap_or(3).max(1)
    }

    /// `error-limit`; 10 when not written.
    pub fn error_limit(&self) -> u32 {
        self.error_limit.unwrap_or(10).max(1)
    }
}
