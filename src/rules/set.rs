//! Rule sets of a proxy.

use std::sync::Arc;
use std::time::Duration;

use crate::acl::Condition;
use crate::config::Loc;
use crate::sample::{LastRule, Scratch};

use super::action::{Act, Step};
use super::switching::{BackendRule, ServerRule};
use super::{Answer, MessageCx, PageRef, Verdict};

/// Where a rule stands among the kinds that share a set: `block` first, then `http-request`, then the 1.x
/// `req*` family, whatever the order in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// `block`.
    Block,
    /// The set's own keyword.
    Normal,
    /// `req*`, `rsp*`.
    Legacy,
}

/// An action with its condition.
pub struct Rule {
    /// The action.
    pub act: Box<dyn Act>,
    /// When it applies; `None`: always.
    pub condition: Option<Condition>,
    /// Where it stands.
    pub origin: LastRule,
    /// The header of the section it was written in: of a `defaults` section when it was inherited.
    pub owner: Loc,
    /// Its place in the order.
    pub rank: Rank,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rule at line {}", self.origin.line)
    }
}

/// Rules of one kind in the order of their evaluation. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Arc<Rule>>,
}

impl RuleSet {
    /// Add a rule behind those of its rank.
    pub fn push(&mut self, rule: Rule) {
        let at = self.rules.partition_point(|r| r.rank <= rule.rank);
        self.rules.insert(at, Arc::new(rule));
    }

    /// True when there is nothing to evaluate.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Evaluate from rule `*at` on. `*at` is where to go on after a verdict that waits; start with 0.
    pub fn run<'r>(&'r self, at: &mut usize, cx: &mut dyn MessageCx) -> Verdict<'r> {
        while let Some(rule) = self.rules.get(*at) {
            match rule.condition.as_ref().map_or(Some(true), |c| c.eval_partial(cx.ctx())) {
                None => return Verdict::Wait,
                Some(false) => *at += 1,
                Some(true) => {
                    let step = match rule.act.hint() {
                        Some(_) => {
                            self.hint(*at, cx);
                            Step::Next
                        }
                        None => rule.act.run(cx),
                    };
                    if matches!(step, Step::End(Verdict::Wait)) {
                        return Verdict::Wait;
                    }
                    *at += 1;
                    let Step::End(verdict) = step else { continue };
                    match verdict {
                        Verdict::WaitForBody { .. } | Verdict::Pause(_) => {}
                        // It ends the rules of its own rank only.
                        Verdict::Allow => {
                            cx.set_last_rule(rule.origin);
                            let rest = &self.rules[*at..];
                            match rest.iter().position(|r| r.rank > rule.rank) {
                                Some(n) => {
                                    *at += n;
                                    continue;
                                }
                                None => *at = self.rules.len(),
                            }
                        }
                        _ => cx.set_last_rule(rule.origin),
                    }
                    return verdict;
                }
            }
        }
        Verdict::Continue
    }

    /// The header of the `defaults` section that a rule comes from, if any does not stand in `section` itself.
    pub fn inherited(&self, section: Loc) -> Option<Loc> {
        self.rules.iter().map(|r| r.owner).find(|o| *o != section)
    }

    /// One field of an early hint; the last of a run of neighbours that apply sends them.
    fn hint(&self, at: usize, cx: &mut dyn MessageCx) {
        let Some((name, format)) = self.rules[at].act.hint() else { return };
        let more = self.rules[at + 1..]
            .iter()
            .take_while(|r| r.act.hint().is_some())
            .any(|r| r.condition.as_ref().is_none_or(|c| c.eval(cx.ctx())));
        let mut value = Scratch::new();
        cx.render(format, value.vec());
        cx.early_hint(name, &value, !more);
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
    /// `block`, `http-request` and the 1.x `req*` family, in the order of their evaluation.
    pub http_request: RuleSet,
    /// `redirect`.
    pub redirect: RuleSet,
    /// `http-response` and the 1.x `rsp*` family.
    pub http_response: RuleSet,
    /// `http-after-response`.
    pub http_after_response: RuleSet,
    /// `tcp-request inspect-delay`.
    pub request_delay: Option<Duration>,
    /// `tcp-response inspect-delay`.
    pub response_delay: Option<Duration>,
    /// `use_backend`.
    pub use_backend: Vec<Arc<BackendRule>>,
    /// `force-be-switch`: when one of them holds, routing takes disabled and unpublished backends too.
    pub force_be_switch: Vec<Condition>,
    /// `use-server`.
    pub use_server: Vec<Arc<ServerRule>>,
    /// `http-error`: what is answered instead of the page of a status; the last of a status counts.
    pub errors: Vec<Arc<Answer>>,
    /// Pages of `http-errors` sections that answers ask for; `proxy::resolve` fills them in.
    pub pages: Vec<Arc<PageRef>>,
    /// The latest kind of rule in the file and its place in the order of evaluation.
    pub(super) latest: Option<(u8, &'static str)>,
    /// Sets (and their section) that ended with a rule behind which nothing is evaluated.
    pub(super) ended: Vec<(u32, Loc)>,
}

impl ProxyRules {
    /// The answer that `http-error` gives for a status.
    pub fn error_answer(&self, status: u16) -> Option<&Arc<Answer>> {
        self.errors.iter().rev().find(|a| a.status == status)
    }

    /// The header of the `defaults` section that rules come from, if any were inherited.
    pub fn inherited(&self, section: Loc) -> Option<Loc> {
        [
            &self.tcp_connection,
            &self.tcp_session,
            &self.tcp_content,
            &self.tcp_response,
            &self.http_request,
            &self.http_response,
            &self.http_after_response,
        ]
        .into_iter()
        .find_map(|s| s.inherited(section))
    }
}
