//! What is written about checks: on `server` lines, and in the proxy section.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::Loc;

/// Which dialogue a check holds (`option httpchk`, `option mysql-check`, ...).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum CheckKind {
    /// Connect, and that is all.
    #[default]
    Tcp,
    /// `option tcp-check`: the rules of [`ProxyCheck::tcp_rules`].
    TcpRules,
    /// `option httpchk`: request line as in 1.5, and the rules of [`ProxyCheck::http_rules`].
    Http,
    /// `option smtpchk`, with the command sent (`HELO localhost`).
    Smtp(String),
    /// `option mysql-check [user NAME [post-41|pre-41]]`.
    Mysql {
        /// User to log in as; without one only the greeting is read.
        user: Option<String>,
        /// Use the protocol of 4.1 and later.
        post_41: bool,
    },
    /// `option pgsql-check user NAME`.
    Pgsql(String),
    /// `option redis-check`.
    Redis,
    /// `option ldap-check`.
    Ldap,
    /// `option ssl-hello-chk`.
    SslHello,
}

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

/// What a proxy section says about checks.
#[derive(Clone, Debug, Default)]
pub struct ProxyCheck {
    /// The dialogue.
    pub kind: CheckKind,
    /// `option log-health-checks`.
    pub log_results: bool,
    /// `http-check disable-on-404`.
    pub disable_on_404: bool,
    /// `http-check send-state`.
    pub send_state: bool,
}
