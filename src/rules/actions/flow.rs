//! Actions that only decide how it goes on.

use std::time::Duration;

use crate::base::duration::{self, Unit};
use crate::base::size;
use crate::rules::action::{Act, Action, ActionCx, Parsed, Sets, Step, effect};
use crate::rules::{MessageCx, Verdict};
use crate::sample::{Expr, Type, to_int};

const REQ_RES: Sets = Sets::HTTP_REQ.or(Sets::HTTP_RES);

/// The table.
pub const ACTIONS: &[Action] = &[
    Action::new("allow", Sets::HTTP, "allow", |_| ending(|| Verdict::Allow))
        .doc("ends the rules: the message goes on"),
    Action::new("accept", Sets::TCP, "accept", |_| ending(|| Verdict::Allow)).doc("ends the rules: go on"),
    Action::new("reject", Sets::TCP.or(Sets::HTTP_REQ), "reject", |_| ending(|| Verdict::Reject))
        .doc("closes the connection without an answer"),
    Action::new("close", Sets::TCP_RES, "close", |_| ending(|| Verdict::Close))
        .doc("closes the connection to the server"),
    Action::new("silent-drop", Sets::TCP.or(REQ_RES), "silent-drop [ rst-ttl <ttl> ]", |cx| {
        if cx.accept("rst-ttl") {
            cx.int("a TTL", 1, 255)?;
        }
        ending(|| Verdict::SilentDrop)
    })
    .doc("lets the connection vanish for the client"),
    Action::new("switch-mode", Sets::TCP_REQ, "switch-mode http [ proto <name> ]", |cx| {
        let w = cx.arg("'http'")?;
        if !w.is("http") {
            return cx.error(w.loc, format_args!("only the mode 'http' is possible, not '{}'", w.text()));
        }
        if cx.accept("proto") {
            cx.arg("a protocol")?;
        }
        ending(|| Verdict::SwitchToHttp)
    })
    .doc("takes the connection for HTTP from here on"),
    Action::new("expect-proxy", Sets::TCP_CONN, "expect-proxy layer4", |cx| {
        let w = cx.arg("'layer4'")?;
        if !w.is("layer4") {
            return cx.error(w.loc, format_args!("only 'layer4' is possible, not '{}'", w.text()));
        }
        effect(|cx| cx.expect_proxy())
    })
    .doc("expects a PROXY protocol header"),
    Action::new("wait-for-body", REQ_RES, "wait-for-body time <time> [ at-least <bytes> ]", wait_for_body)
        .doc("waits for the body, or a part of it"),
    Action::new("wait-for-handshake", Sets::HTTP_REQ, "wait-for-handshake", |_| effect(|_| {}))
        .no_effect("there is no early data to wait for"),
    Action::new("pause", REQ_RES, "pause { <timeout> | <expr> }", pause).doc("holds the message"),
    Action::new("use-service", Sets::HTTP_REQ.or(Sets::TCP_REQ), "use-service <service-name>", use_service)
        .doc("hands the request to an internal service"),
    Action::new("strict-mode", Sets::HTTP, "strict-mode { on | off }", |cx| {
        let w = cx.arg("'on' or 'off'")?;
        if !w.is("on") && !w.is("off") {
            return cx.error(w.loc, format_args!("'on' or 'off' is expected, not '{}'", w.text()));
        }
        // Rewriting cannot fail here: heads grow as they need.
        effect(|_| {})
    })
    .doc("what happens when rewriting fails, which it does not here"),
    Action::new("disable-l7-retry", Sets::HTTP_REQ, "disable-l7-retry", |_| {
        effect(|cx| cx.disable_l7_retry())
    })
    .doc("retries this request after connection failures only"),
    Action::new("set-nice", Sets::CONTENT, "set-nice <nice>", |cx| {
        cx.int("a nice value", -1024, 1024)?;
        effect(|_| {})
    })
    .no_effect("every request gets the same share of its thread"),
];

struct Ending(fn() -> Verdict<'static>);

impl Act for Ending {
    fn run<'r>(&'r self, _: &mut dyn MessageCx) -> Step<'r> {
        Step::End((self.0)())
    }
}

/// An action without arguments that ends the evaluation.
pub(in crate::rules) fn ending(verdict: fn() -> Verdict<'static>) -> Parsed {
    Some(Box::new(Ending(verdict)))
}

struct WaitForBody {
    time: Duration,
    at_least: u64,
}

impl Act for WaitForBody {
    fn run<'r>(&'r self, _: &mut dyn MessageCx) -> Step<'r> {
        Step::End(Verdict::WaitForBody { time: self.time, at_least: self.at_least })
    }
}

fn wait_for_body(cx: &mut ActionCx<'_, '_>) -> Parsed {
    let mut time = None;
    let mut at_least = 0;
    loop {
        if cx.accept("time") {
            let w = cx.arg("a time")?;
            match duration::parse(&w.text(), Unit::Ms) {
                Ok(d) => time = Some(d),
                Err(e) => return cx.error(w.loc, format_args!("{e} in '{}'", w.text())),
            }
        } else if cx.accept("at-least") {
            let w = cx.arg("a number of bytes")?;
            match size::parse(&w.text()) {
                Ok(n) => at_least = n,
                Err(e) => return cx.error(w.loc, format_args!("{e} in '{}'", w.text())),
            }
        } else if !cx.accept("use-large-buffer") {
            break;
        }
    }
    let Some(time) = time else {
        let end = cx.end();
        return cx.error(end, "'time' is missing");
    };
    Some(Box::new(WaitForBody { time, at_least }))
}

enum Pause {
    Fixed(Duration),
    Computed(Expr),
}

impl Act for Pause {
    fn run<'r>(&'r self, cx: &mut dyn MessageCx) -> Step<'r> {
        let time = match self {
            Pause::Fixed(d) => Some(*d),
            Pause::Computed(e) => e
                .eval_as(cx.ctx(), Type::Int)
                .and_then(|s| to_int(&s))
                .and_then(|ms| u64::try_from(ms).ok())
                .map(Duration::from_millis),
        };
        match time {
            Some(d) if !d.is_zero() => Step::End(Verdict::Pause(d)),
            _ => Step::Next,
        }
    }
}

fn pause(cx: &mut ActionCx<'_, '_>) -> Parsed {
    if let Some(w) = cx.peek()
        && let Ok(d) = duration::parse(&w.text(), Unit::Ms)
    {
        cx.pos += 1;
        return Some(Box::new(Pause::Fixed(d)));
    }
    Some(Box::new(Pause::Computed(cx.expr("a time or an expression")?)))
}

fn use_service(cx: &mut ActionCx<'_, '_>) -> Parsed {
    let w = cx.arg("the name of a service")?;
    cx.error(w.loc, format_args!("the service '{}' does not exist here", w.text()))
}
