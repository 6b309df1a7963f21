//! What a check computes while it runs: variables, and texts that are log-format strings.

use std::sync::Arc;

use crate::base::time::{Mono, Wall};
use crate::http::ResponseHead;
use crate::log::{LogFields, LogFormat};
use crate::sample::{BodyView, Ctx, Expr, Sample, Scope, Scratch, SetConditions, VarName, VarStore, vars};

use super::http_answer;

/// A text that is written, or computed when it is needed.
#[derive(Clone, Debug)]
pub enum Text {
    /// These bytes.
    Fixed(Vec<u8>),
    /// A log-format string.
    Format(Arc<LogFormat>),
}

impl Text {
    /// The text as it is now, at the end of `out`.
    pub fn write(&self, cx: &dyn Ctx, out: &mut Vec<u8>) {
        match self {
            Text::Fixed(bytes) => out.extend_from_slice(bytes),
            Text::Format(format) => format.render(&LogFields::default(), cx, out),
        }
    }

    /// The text as it is now.
    pub fn bytes(&self, cx: &dyn Ctx) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(cx, &mut out);
        out
    }
}

/// `set-var`, `set-var-fmt`, `unset-var`.
#[derive(Clone, Debug)]
pub struct VarStep {
    /// The variable.
    pub name: VarName,
    /// When it is set.
    pub conditions: SetConditions,
    /// Its new value.
    pub value: VarValue,
}

/// What a variable becomes.
#[derive(Clone, Debug)]
pub enum VarValue {
    /// The value of an expression; without one, the variable keeps what it holds.
    Expr(Expr),
    /// A text.
    Format(Arc<LogFormat>),
    /// Nothing.
    Unset,
}

impl VarStep {
    /// Set the variable, or unset it.
    pub fn run(&self, cx: &dyn Ctx) {
        let mut text = Scratch::new();
        let sample = match &self.value {
            VarValue::Unset => return vars::clear(self.name, cx),
            VarValue::Expr(e) => e.eval(cx),
            VarValue::Format(f) => {
                f.render(&LogFields::default(), cx, text.vec());
                Some(Sample::str(&text))
            }
        };
        if let Some(s) = sample
            && self.conditions.hold(self.name, &s, cx)
        {
            vars::write(self.name, &s, cx);
        }
    }
}

/// A running check as expressions see it.
pub struct CheckCx<'a> {
    clock: (Mono, Wall),
    vars: &'a VarStore,
    received: &'a [u8],
    head: ResponseHead,
    has_head: bool,
    body: Vec<u8>,
    body_complete: bool,
}

impl<'a> CheckCx<'a> {
    /// `received`: what the server said so far; `ended`: it will say no more; `clock`: when the check began.
    pub fn new(clock: (Mono, Wall), vars: &'a VarStore, received: &'a [u8], ended: bool) -> CheckCx<'a> {
        let mut cx = CheckCx {
            clock,
            vars,
            received,
            head: ResponseHead::new(),
            has_head: false,
            body: Vec::new(),
            body_complete: false,
        };
        if let Ok(Some(head_len)) = http_answer::parse_head(received, &mut cx.head) {
            cx.has_head = true;
            (cx.body, cx.body_complete) =
                http_answer::body_so_far(cx.head.framing(), &received[head_len..], ended);
        }
        cx
    }
}

impl Ctx for CheckCx<'_> {
    fn now(&self) -> Mono {
        self.clock.0
    }

    fn wall(&self) -> Wall {
        self.clock.1
    }

    fn response(&self) -> Option<&ResponseHead> {
        self.has_head.then_some(&self.head)
    }

    fn response_body(&self) -> Option<BodyView<'_>> {
        self.has_head.then_some(BodyView {
            bytes: &self.body,
            complete: self.body_complete,
            advertised: None,
        })
    }

    fn response_payload(&self) -> Option<&[u8]> {
        Some(self.received)
    }

    fn vars(&self, scope: Scope) -> Option<&VarStore> {
        (scope == Scope::Check).then_some(self.vars)
    }
}
