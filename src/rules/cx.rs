//! What actions may change.

use std::net::SocketAddr;
use std::time::Duration;

use crate::http::{RequestHead, ResponseHead};
use crate::log::{LevelOverride, LogFields, LogFormat};
use crate::sample::{Ctx, LastRule, TimeoutKind};
use crate::stick::TableId;

/// The live stream as actions see it. Implemented by the stream; what it cannot do stays at the default,
/// which does nothing.
pub trait MessageCx: Ctx {
    /// The same object for expressions.
    fn ctx(&self) -> &dyn Ctx;
    /// Append a log-format string. The stream overrides this to fill in what log variables show.
    fn render(&self, format: &LogFormat, out: &mut Vec<u8>) {
        format.render(&LogFields::default(), self.ctx(), out);
    }
    /// The rule that ended a set, for `last_rule_line` and `last_rule_file`.
    fn set_last_rule(&mut self, _rule: LastRule) {}
    /// The request head, to be changed.
    fn request_mut(&mut self) -> Option<&mut RequestHead> {
        None
    }
    /// The response head, to be changed.
    fn response_mut(&mut self) -> Option<&mut ResponseHead> {
        None
    }
    /// `set-src`, `set-src-port`.
    fn set_src(&mut self, _addr: SocketAddr) {}
    /// `set-dst`, `set-dst-port`.
    fn set_dst(&mut self, _addr: SocketAddr) {}
    /// `set-log-level`.
    fn set_log_level(&mut self, _level: LevelOverride) {}
    /// `set-timeout`.
    fn set_timeout(&mut self, _which: TimeoutKind, _value: Duration) {}
    /// `set-retries`.
    fn set_retries(&mut self, _n: u32) {}
    /// `set-mark`, `set-fc-mark`: SO_MARK of the client connection.
    fn set_mark(&mut self, _mark: u32) {}
    /// `set-tos`, `set-fc-tos`: IP_TOS of the client connection.
    fn set_tos(&mut self, _tos: u8) {}
    /// `early-hint`: one field of a 103 response; `last` when the next rule is no early hint.
    fn early_hint(&mut self, _name: &[u8], _value: &[u8], _last: bool) {}
    /// Whether stick counter `sc` tracks already: for the connection (`session`), or for this exchange.
    fn is_tracking(&self, _sc: usize, _session: bool) -> bool {
        false
    }
    /// Track the entry of a key as stick counter `sc`.
    fn track(&mut self, _sc: usize, _table: TableId, _key: &[u8], _session: bool) {}
    /// `expect-proxy`: a header of the PROXY protocol comes first.
    fn expect_proxy(&mut self) {}
    /// `disable-l7-retry`.
    fn disable_l7_retry(&mut self) {}
    /// `set-priority-class`, already in -2047..2047.
    fn set_priority_class(&mut self, _class: i32) {}
    /// `set-priority-offset`, in milliseconds.
    fn set_priority_offset(&mut self, _ms: i32) {}
}
