//! Rule sets of a proxy.

use super::{MessageCx, Verdict};

/// Rules of one kind in the order written. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {}

impl RuleSet {
    /// Evaluate from rule `*at` on. `*at` is where to go on after a verdict that waits; start with 0.
    pub fn run<'r>(&'r self, at: &mut usize, cx: &mut dyn MessageCx) -> Verdict<'r> {
        let _ = (at, cx);
        todo!()
    }

    /// True when there is nothing to evaluate.
    pub fn is_empty(&self) -> bool {
        true
    }
}

/// Everything this module stores in a proxy's section: a section feature.
#[derive(Clone, Debug, Default)]
pub struct ProxyRules {
    /// `tcp-request connection`.
    pub tcp_connection: RuleSet,
    /// `tcp-request session`.
    pub tcp_session: RuleSet,
    /// `tcp-request content`.
    pub tcp_content: RuleSet,
    /// `tcp-response content`.
    pub tcp_response: RuleSet,
    /// `http-request`, `block`, and the 1.x `req*` family, in the order of their evaluation.
    pub http_request: RuleSet,
    /// `redirect`.
    pub redirect: RuleSet,
    /// `http-response` and the 1.x `rsp*` family.
    pub http_response: RuleSet,
    /// `http-after-response`.
    pub http_after_response: RuleSet,
    /// `tcp-request inspect-delay`.
    pub request_delay: Option<std::time::Duration>,
    /// `tcp-response inspect-delay`.
    pub response_delay: Option<std::time::Duration>,
}
