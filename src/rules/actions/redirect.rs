//! `redirect`, as a rule and as an action.

use crate::http::uri::Uri;
use crate::log::LogFormat;
use crate::rules::action::{Act, Action, ActionCx, Parsed, Sets, Step};
use crate::rules::{MessageCx, Redirect, Verdict};
use crate::sample::Scratch;

/// The table.
pub const ACTIONS: &[Action] = &[Action::new(
    "redirect",
    Sets::HTTP_REQ.or(Sets::HTTP_RES),
    "redirect { location <fmt> | prefix <fmt> | scheme <fmt> } [code <code>] [drop-query] [append-slash] \
     [ignore-empty] [set-cookie <name>[=<value>]] [clear-cookie <name>[=]]",
    |cx| parse(cx, true),
)
.doc("answers with a redirection")];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Location,
    Prefix,
    Scheme,
}

struct Rule {
    kind: Kind,
    target: LogFormat,
    status: u16,
    drop_query: bool,
    append_slash: bool,
    ignore_empty: bool,
    set_cookie: Option<Vec<u8>>,
}

/// Parse a redirect rule; with `formats`, its target is a log-format string.
pub(in crate::rules) fn parse(cx: &mut ActionCx<'_, '_>, formats: bool) -> Parsed {
    let mut kind = None;
    let mut rule = Rule {
        kind: Kind::Location,
        target: LogFormat::text(b""),
        status: 302,
        drop_query: false,
        append_slash: false,
        ignore_empty: false,
        set_cookie: None,
    };
    while let Some(w) = cx.peek() {
        cx.pos += 1;
        match w.bytes.as_slice() {
            k @ (b"location" | b"prefix" | b"scheme") => {
                kind = Some(match k {
                    b"location" => Kind::Location,
                    b"prefix" => Kind::Prefix,
                    _ => Kind::Scheme,
                });
                rule.target = if formats {
                    cx.format("a target")?
                } else {
                    LogFormat::text(&cx.arg("a target")?.bytes)
                };
            }
            b"code" => {
                let c = cx.arg("a status code")?;
                rule.status = match c.text().parse() {
                    Ok(s @ (301 | 302 | 303 | 307 | 308)) => s,
                    _ => {
                        return cx.error(
                            c.loc,
                            format_args!(
                                "'{}' is no code of a redirection; 301, 302, 303, 307 and 308 are",
                                c.text()
                            ),
                        );
                    }
                };
            }
            b"drop-query" => rule.drop_query = true,
            b"append-slash" => rule.append_slash = true,
            b"ignore-empty" => rule.ignore_empty = true,
            b"set-cookie" => {
                rule.set_cookie = Some([&cx.arg("a cookie")?.bytes[..], b"; path=/;"].concat());
            }
            b"clear-cookie" => {
                rule.set_cookie = Some([&cx.arg("a cookie")?.bytes[..], b"; path=/; Max-Age=0;"].concat());
            }
            _ => {
                let text = w.text().into_owned();
                return cx.error(
                    w.loc,
                    format_args!(
                        "'{text}' is not known here; location, prefix, scheme, code, drop-query, append-slash, \
                         ignore-empty, set-cookie and clear-cookie are"
                    ),
                );
            }
        }
    }
    let Some(kind) = kind else {
        let end = cx.end();
        return cx.error(end, "'location', 'prefix' or 'scheme' is missing");
    };
    rule.kind = kind;
    Some(Box::new(rule))
}

impl Rule {
    fn path(&self, uri: Uri<'_>, out: &mut Vec<u8>) {
        let path = uri.path.filter(|p| !p.is_empty()).unwrap_or(b"/");
        out.extend_from_slice(path);
        if self.drop_query {
            if self.append_slash && !path.ends_with(b"/") {
                out.push(b'/');
            }
        } else if let Some(q) = uri.query {
            out.push(b'?');
            out.extend_from_slice(q);
        }
    }
}

impl Act for Rule {
    fn run<'r>(&'r self, cx: &mut dyn MessageCx) -> Step<'r> {
        let mut location = Scratch::new();
        cx.render(&self.target, location.vec());
        if self.ignore_empty && location.is_empty() {
            return Step::Next;
        }
        let request = cx.ctx().request();
        match self.kind {
            Kind::Location => {}
            Kind::Prefix => {
                // A prefix of "/" stands for the same URL.
                if &*location == b"/" {
                    location.vec().clear();
                }
                if let Some(r) = request {
                    self.path(r.uri(), location.vec());
                }
            }
            Kind::Scheme => {
                location.vec().extend_from_slice(b"://");
                if let Some(r) = request {
                    location.vec().extend_from_slice(r.host().unwrap_or_default());
                    self.path(r.uri(), location.vec());
                }
            }
        }
        // What a client sent must not end the header line.
        location.vec().retain(|c| !matches!(c, b'\r' | b'\n' | 0));
        Step::End(Verdict::Redirect(Redirect {
            status: self.status,
            location,
            set_cookie: self.set_cookie.as_deref(),
        }))
    }
}
