//! `if a !b or { src 10.0.0.0/8 }`.

use crate::config::{ParseCx, Word};
use crate::sample::{Ctx, ExprCx, Place};

/// A compiled condition. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Condition {}

impl Condition {
    /// Parse the words from `if` or `unless` on, to the end. `None` after an error was reported.
    pub fn parse(cx: &mut ExprCx<'_>, words: &[Word]) -> Option<Condition> {
        let _ = (cx, words);
        todo!()
    }

    /// Parse what is left of a directive: nothing (`Some(None)`), or a condition. `None` after an error
    /// was reported.
    pub fn parse_tail(cx: &mut ParseCx<'_>, place: Place) -> Option<Option<Condition>> {
        let _ = (cx, place);
        todo!()
    }

    /// Whether the directive applies (`unless` already turned round).
    pub fn eval(&self, cx: &dyn Ctx) -> bool {
        self.eval_partial(cx).unwrap_or(false)
    }

    /// Like [`Condition::eval`], but `None` when input that is still to come may decide otherwise
    /// (content rules before the inspect delay is over).
    pub fn eval_partial(&self, cx: &dyn Ctx) -> Option<bool> {
        let _ = cx;
        todo!()
    }
}
