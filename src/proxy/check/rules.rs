//! Check rule sets as data: what to send, what to expect. Every dialogue (tcp-check, http-check, mysql, ...)
//! is one of these, and [`Dialogue`](super::Dialogue) is the only thing that runs them.

use std::net::IpAddr;

use regex::bytes::Regex;

use super::CheckStatus;
use super::computed::{Text, VarStep};
use super::raw::HttpSend;
use crate::sample::Ctx;

/// A dialogue: steps in order.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    /// The steps; the first one is always a connect.
    pub steps: Vec<Step>,
    /// Failures say at which step they happened (`tcp-check` rules).
    pub numbered: bool,
    /// `http-check disable-on-404`.
    pub disable_on_404: bool,
    /// `http-check send-state`.
    pub send_state: bool,
}

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// Open a (new) connection.
    Connect(Connect),
    /// Send.
    Send(Send),
    /// Set a variable.
    Var(VarStep),
    /// Receive until the verdict is clear.
    Expect(Expect),
}

/// `connect`.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    /// Not written in the configuration: it has no step number.
    pub implicit: bool,
    /// `port`.
    pub port: Option<u16>,
    /// `addr`.
    pub addr: Option<IpAddr>,
    /// `send-proxy`.
    pub send_proxy: bool,
    /// `linger`: close in an orderly way instead of with a reset.
    pub linger: bool,
    /// `default`: use the server's own options (`check-send-proxy`).
    pub default_options: bool,
    /// `comment`.
    pub comment: Option<String>,
}

/// `send`.
#[derive(Clone, Debug)]
pub struct Send {
    /// What.
    pub payload: Payload,
    /// `comment`.
    pub comment: Option<String>,
}

/// What to send.
#[derive(Clone, Debug)]
pub enum Payload {
    /// These bytes.
    Bytes(Vec<u8>),
    /// This text, taken for hexadecimal digits when `hex` is set.
    Text {
        /// The text.
        text: Text,
        /// It stands for bytes.
        hex: bool,
    },
    /// An HTTP request. The state field of `send-state` is put in when it is sent.
    Http(Box<HttpSend>),
}

/// `expect`.
#[derive(Clone, Debug)]
pub struct Expect {
    /// What to look for.
    pub what: Match,
    /// `!`.
    pub negated: bool,
    /// `min-recv`, in bytes; `None`: go on waiting until something matches or the connection ends.
    pub min_recv: Option<usize>,
    /// `comment`.
    pub comment: Option<String>,
    /// `ok-status`.
    pub ok_status: Option<CheckStatus>,
    /// `error-status`.
    pub error_status: Option<CheckStatus>,
    /// `tout-status`.
    pub timeout_status: Option<CheckStatus>,
    /// `on-success`.
    pub on_success: Option<String>,
    /// `on-error`.
    pub on_error: Option<String>,
}

impl Expect {
    /// Expect `what`, nothing special.
    pub fn new(what: Match) -> Expect {
        Expect {
            what,
            negated: false,
            min_recv: None,
            comment: None,
            ok_status: None,
            error_status: None,
            timeout_status: None,
            on_success: None,
            on_error: None,
        }
    }
}

/// What `expect` looks for.
#[derive(Clone, Debug)]
pub enum Match {
    /// `string`.
    Str(Vec<u8>),
    /// `rstring`.
    Regex(Regex),
    /// `binary`.
    Binary(Vec<u8>),
    /// `rbinary`: over the upper-case hexadecimal form.
    BinaryRegex(Regex),
    /// `status`: ranges, both ends included.
    Status(Vec<(u16, u16)>),
    /// `rstatus`.
    StatusRegex(Regex),
    /// `string` in an HTTP body.
    Body(Vec<u8>),
    /// `rstring` in an HTTP body.
    BodyRegex(Regex),
    /// `hdr` and `fhdr`.
    Header(HeaderMatch),
    /// `string-lf` and `binary-lf`: becomes one of the others when it is looked at.
    Format(FormatKind, Text),
    /// A codec: looks at everything received so far; `ended` when nothing more will come.
    Codec(fn(received: &[u8], ended: bool) -> Look),
}

/// What a computed pattern becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatKind {
    /// [`Match::Str`].
    Str,
    /// [`Match::Binary`].
    Binary,
    /// [`Match::Body`].
    Body,
}

/// The bytes that hexadecimal digits stand for.
pub fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let pair = |p: &[u8]| match p {
        [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

impl Match {
    /// True when the pattern must be computed first.
    pub fn is_computed(&self) -> bool {
        match self {
            Match::Format(..) => true,
            Match::Header(h) => {
                [Some(&h.name), h.value.as_ref()].into_iter().flatten().any(TextMatch::is_computed)
            }
            _ => false,
        }
    }

    /// The same with its patterns computed. `None`: what came out is no pattern.
    pub fn computed(&self, cx: &dyn Ctx) -> Option<Match> {
        Some(match self {
            Match::Format(FormatKind::Str, t) => Match::Str(t.bytes(cx)),
            Match::Format(FormatKind::Body, t) => Match::Body(t.bytes(cx)),
            Match::Format(FormatKind::Binary, t) => Match::Binary(unhex(&t.bytes(cx))?),
            Match::Header(h) => {
                let value = match &h.value {
                    Some(v) => Some(v.computed(cx)?),
                    None => None,
                };
                Match::Header(HeaderMatch { name: h.name.computed(cx)?, value, full: h.full })
            }
            other => other.clone(),
        })
    }
}

/// `hdr name ... value ...`.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// Pattern of the name; always without regard to case.
    pub name: TextMatch,
    /// Pattern of the value; `None`: being there is enough.
    pub value: Option<TextMatch>,
    /// `fhdr`: the whole value, not cut at commas.
    pub full: bool,
}

/// A text and how it is compared (`-m`).
#[derive(Clone, Debug)]
pub enum TextMatch {
    /// `str`.
    Exact(Vec<u8>),
    /// `beg`.
    Prefix(Vec<u8>),
    /// `end`.
    Suffix(Vec<u8>),
    /// `sub`.
    Contains(Vec<u8>),
    /// `reg`.
    Regex(Regex),
    /// A log-format string, and what to make of it.
    Computed(fn(Vec<u8>) -> Option<TextMatch>, Text),
}

impl TextMatch {
    fn is_computed(&self) -> bool {
        matches!(self, TextMatch::Computed(..))
    }

    fn computed(&self, cx: &dyn Ctx) -> Option<TextMatch> {
        match self {
            TextMatch::Computed(make, text) => make(text.bytes(cx)),
            other => Some(other.clone()),
        }
    }

    /// Compare; `fold`: without regard to ASCII case.
    pub fn matches(&self, text: &[u8], fold: bool) -> bool {
        let eq = |a: &[u8], b: &[u8]| if fold { a.eq_ignore_ascii_case(b) } else { a == b };
        match self {
            TextMatch::Exact(p) => eq(text, p),
            TextMatch::Prefix(p) => text.len() >= p.len() && eq(&text[..p.len()], p),
            TextMatch::Suffix(p) => text.len() >= p.len() && eq(&text[text.len() - p.len()..], p),
            TextMatch::Contains(p) => p.is_empty() || text.windows(p.len()).any(|w| eq(w, p)),
            TextMatch::Regex(r) => r.is_match(text),
            // Computed before it is asked.
            TextMatch::Computed(..) => false,
        }
    }
}

/// What a codec says about the bytes received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Not clear yet.
    More,
    /// As hoped: go to the next step. The code and the words are shown when it was the last one.
    Good {
        /// Status code to show.
        code: u32,
        /// What to show beside it.
        info: String,
    },
    /// Not as hoped.
    Bad {
        /// Layer and kind of the failure.
        status: CheckStatus,
        /// Status code to show.
        code: u32,
        /// What to show beside it.
        info: String,
    },
}

impl Look {
    /// A failure of the answer's form, without words of its own.
    pub fn invalid(info: &str) -> Look {
        Look::Bad { status: CheckStatus::L7Response, code: 0, info: info.to_owned() }
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Code of the result.
    pub status: CheckStatus,
    /// Status code of the application, shown when the status has one.
    pub code: u32,
    /// What to show beside it; may be empty.
    pub info: String,
}

impl Outcome {
    /// A result without a code.
    pub fn new(status: CheckStatus, info: impl Into<String>) -> Outcome {
        Outcome { status, code: 0, info: info.into() }
    }

    /// The verdict on the server.
    pub fn verdict(&self) -> super::Verdict {
        match self.status {
            CheckStatus::L4Ok | CheckStatus::L6Ok | CheckStatus::L7Ok | CheckStatus::ProcOk => {
                super::Verdict::Passed
            }
            CheckStatus::L7OkCond => super::Verdict::Conditional,
            _ => super::Verdict::Failed,
        }
    }
}
