//! Header fields: set, add, delete, replace.

use smallvec::SmallVec;

use crate::http::{FieldId, Fields, token};
use crate::log::LogFormat;
use crate::rules::MessageCx;
use crate::rules::action::{Act, Action, ActionCx, Parsed, Sets, Step, effect};
use crate::sample::{Regex, Scratch, expand};

/// The table.
pub const ACTIONS: &[Action] = &[
    Action::new("set-header", Sets::HTTP, "set-header <name> <fmt>", |cx| set(cx, true))
        .doc("replaces all fields of that name by one"),
    Action::new("add-header", Sets::HTTP, "add-header <name> <fmt>", |cx| set(cx, false)).doc("adds a field"),
    Action::new("del-header", Sets::HTTP, "del-header <name> [ -m <meth> ]", del)
        .doc("removes fields by name"),
    Action::new("replace-header", Sets::HTTP, "replace-header <name> <match-regex> <replace-fmt>", |cx| {
        replace(cx, false)
    })
    .doc("replaces whole values that match"),
    Action::new("replace-value", Sets::HTTP, "replace-value <name> <match-regex> <replace-fmt>", |cx| {
        replace(cx, true)
    })
    .doc("replaces comma-separated values that match"),
    Action::new("early-hint", Sets::HTTP_REQ, "early-hint <name> <fmt>", early_hint)
        .doc("sends a 103 response with the field; neighbours go out together"),
];

/// Fields that frame the body: rules must not make them lie.
fn is_framing(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
}

fn fields(cx: &mut dyn MessageCx, response: bool) -> Option<&mut Fields> {
    if response { cx.response_mut().map(|r| &mut r.fields) } else { cx.request_mut().map(|r| &mut r.fields) }
}

/// A field name that may be written to the wire. `None` after an error.
fn field_name(cx: &mut ActionCx<'_, '_>) -> Option<Vec<u8>> {
    let w = cx.arg("a header name")?;
    if w.bytes.is_empty() || !w.bytes.iter().all(|c| token::is_tchar(*c)) {
        return cx.error(w.loc, format_args!("'{}' is no header name", w.text()));
    }
    if is_framing(&w.bytes) {
        let message = format!("'{}' does not change '{}': it follows from the body", cx.what, w.text());
        cx.ex.diags.warning(w.loc, message);
    }
    Some(w.bytes.clone())
}

/// A rendered value must not end its line.
fn clean(value: &mut Scratch) {
    for c in value.vec() {
        if matches!(c, b'\r' | b'\n' | 0) {
            *c = b' ';
        }
    }
}

fn set(cx: &mut ActionCx<'_, '_>, replace: bool) -> Parsed {
    let name = field_name(cx)?;
    let format = cx.format("a value")?;
    let response = cx.set.is_response();
    let framing = is_framing(&name);
    effect(move |cx| {
        if framing {
            return;
        }
        let mut value = Scratch::new();
        cx.render(&format, value.vec());
        clean(&mut value);
        if let Some(f) = fields(cx, response) {
            if replace {
                f.set(&name, &value);
            } else {
                f.add(&name, &value);
            }
        }
    })
}

enum NameTest {
    Exact(Vec<u8>),
    Begin(Vec<u8>),
    End(Vec<u8>),
    Inside(Vec<u8>),
    Regex(Regex),
}

impl NameTest {
    fn matches(&self, name: &[u8]) -> bool {
        let same = |a: &[u8], b: &[u8]| a.eq_ignore_ascii_case(b);
        match self {
            NameTest::Exact(n) => same(name, n),
            NameTest::Begin(n) => name.len() >= n.len() && same(&name[..n.len()], n),
            NameTest::End(n) => name.len() >= n.len() && same(&name[name.len() - n.len()..], n),
            NameTest::Inside(n) => n.is_empty() || name.windows(n.len()).any(|w| same(w, n)),
            NameTest::Regex(r) => r.is_match(name),
        }
    }
}

fn del(cx: &mut ActionCx<'_, '_>) -> Parsed {
    let name = cx.arg("a header name")?;
    let text = name.bytes.clone();
    let test = if cx.accept("-m") {
        let method = cx.arg("a match method")?;
        match method.bytes.as_slice() {
            b"str" => NameTest::Exact(text),
            b"beg" => NameTest::Begin(text),
            b"end" => NameTest::End(text),
            b"sub" => NameTest::Inside(text),
            b"reg" => match Regex::new(&text, true) {
                Ok(r) => NameTest::Regex(r),
                Err(e) => return cx.error(name.loc, e),
            },
            _ => {
                return cx.error(
                    method.loc,
                    format_args!(
                        "'{}' is no match method for header names; str, beg, end, sub and reg are",
                        method.text()
                    ),
                );
            }
        }
    } else {
        NameTest::Exact(text)
    };
    let response = cx.set.is_response();
    effect(move |cx| {
        let Some(f) = fields(cx, response) else { return };
        match &test {
            NameTest::Exact(n) if is_framing(n) => {}
            NameTest::Exact(n) => {
                f.remove(n);
            }
            other => {
                f.remove_if(|x| {
                    !matches!(x.id, FieldId::ContentLength | FieldId::TransferEncoding)
                        && other.matches(x.name)
                });
            }
        }
    })
}

/// A changed value: index of the field, new value.
type Change = (usize, Scratch);

fn replace(cx: &mut ActionCx<'_, '_>, each_value: bool) -> Parsed {
    let name = field_name(cx)?;
    let w = cx.arg("a regular expression")?;
    let regex = match Regex::new(&w.bytes, false) {
        Ok(r) => r,
        Err(e) => return cx.error(w.loc, e),
    };
    let format = cx.format("a replacement")?;
    let response = cx.set.is_response();
    let framing = is_framing(&name);
    effect(move |cx| {
        let present = fields(cx, response).is_some_and(|f| f.has(&name));
        if framing || !present {
            return;
        }
        let mut template = Scratch::new();
        cx.render(&format, template.vec());
        let Some(f) = fields(cx, response) else { return };
        let mut changes: SmallVec<[Change; 4]> = SmallVec::new();
        for x in f.named(&name) {
            let new = if each_value {
                replace_values(&regex, x.value, &template)
            } else {
                replace_whole(&regex, x.value, &template)
            };
            changes.extend(new.map(|mut v| {
                clean(&mut v);
                (x.index, v)
            }));
        }
        for (index, value) in &changes {
            f.set_value_at(*index, value);
        }
    })
}

fn replace_whole(regex: &Regex, value: &[u8], template: &[u8]) -> Option<Scratch> {
    let groups = regex.groups(value)?;
    let mut out = Scratch::new();
    expand(template, &groups, out.vec());
    Some(out)
}

/// Commas between the values stay as they are.
fn replace_values(regex: &Regex, value: &[u8], template: &[u8]) -> Option<Scratch> {
    let mut out = Scratch::new();
    let mut hit = false;
    for (i, part) in value.split(|c| *c == b',').enumerate() {
        if i > 0 {
            out.vec().push(b',');
        }
        let one = part.trim_ascii();
        match regex.groups(one) {
            Some(groups) => {
                hit = true;
                let lead = part.len() - part.trim_ascii_start().len();
                out.vec().extend_from_slice(&part[..lead]);
                expand(template, &groups, out.vec());
            }
            None => out.vec().extend_from_slice(part),
        }
    }
    hit.then_some(out)
}

struct EarlyHint {
    name: Vec<u8>,
    format: LogFormat,
}

impl Act for EarlyHint {
    fn run<'r>(&'r self, _: &mut dyn MessageCx) -> Step<'r> {
        // The rule set sends it together with its neighbours.
        Step::Next
    }
    fn hint(&self) -> Option<(&[u8], &LogFormat)> {
        Some((&self.name, &self.format))
    }
}

fn early_hint(cx: &mut ActionCx<'_, '_>) -> Parsed {
    let name = field_name(cx)?;
    let format = cx.format("a value")?;
    Some(Box::new(EarlyHint { name, format }))
}
