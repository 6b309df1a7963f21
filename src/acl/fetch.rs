//! `acl(a,!b)`: named ACLs as a sample.

use std::sync::Arc;

use crate::sample::{ArgType, Args, Ctx, ExprCx, Fetch, Needs, Sample, Type};

use super::Acl;
use super::condition::find;
use super::test::Outcome;

const NAMES: &[ArgType] = &[ArgType::Str; 12];

/// The table.
pub const FETCHES: &[Fetch] = &[Fetch::new("acl", Type::Bool, Needs::INTERNAL, eval)
    .args(1, NAMES)
    .prepare(prepare)
    .doc("whether all named ACLs hold; '!' in front of a name inverts it")];

/// ACLs to evaluate, each with its inversion.
type Terms = Vec<(bool, Arc<Acl>)>;

fn prepare(cx: &mut ExprCx<'_>, args: &mut Args) -> Result<(), (usize, String)> {
    let mut terms = Terms::new();
    for i in 0..args.len() {
        let text = String::from_utf8_lossy(args.str(i).unwrap_or_default()).into_owned();
        let (negated, name) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        match find(cx, name) {
            Some(acl) => terms.push((negated, acl)),
            None => return Err((i, format!("no such ACL: '{name}'"))),
        }
    }
    args.set_extra(terms);
    Ok(())
}

fn eval<'a>(args: &'a Args, cx: &'a dyn Ctx) -> Option<Sample<'a>> {
    let terms: &Terms = args.extra()?;
    Some(Sample::Bool(terms.iter().all(|(negated, acl)| (acl.eval(cx) == Outcome::Pass) != *negated)))
}
