//! What an HTTP server's answer to a check says.

use memchr::memmem;

use super::CheckStatus;
use super::rules::{Expect, HeaderMatch, Look, Match};
use crate::http::{BodyLen, Method, ResponseHead};
use crate::http1::{ChunkDecoder, ChunkStep, Limits, Parsed, Relax, ResponseError, parse_response};

/// The final response head in `data` and its length, that of interim responses before it included. `None` while it is
/// incomplete.
pub fn parse_head(data: &[u8], head: &mut ResponseHead) -> Result<Option<usize>, ResponseError> {
    let limits = Limits { head_bytes: super::ANSWER_BYTES_MAX, ..Limits::default() };
    let mut at = 0;
    loop {
        match parse_response(&data[at..], &limits, Relax::Unsafe, Method::Get, head)? {
            Parsed::Complete { head_len } if head.is_interim() => {
                at += head_len;
                head.clear();
            }
            Parsed::Complete { head_len } => return Ok(Some(at + head_len)),
            Parsed::Partial => return Ok(None),
        }
    }
}

/// Judge everything received so far. `ended`: nothing more will come.
pub fn look(expect: &Expect, data: &[u8], ended: bool, disable_on_404: bool) -> Look {
    if data.is_empty() {
        return if ended { Look::invalid("") } else { Look::More };
    }
    let mut head = ResponseHead::new();
    let head_len = match parse_head(data, &mut head) {
        Ok(Some(head_len)) => head_len,
        Ok(None) if !ended => return Look::More,
        Ok(None) | Err(_) => return Look::invalid(""),
    };
    let code = u32::from(head.status());
    let reason = String::from_utf8_lossy(head.reason()).into_owned();
    if disable_on_404 && head.status() == 404 {
        // It precedes what was expected (manual, "http-check disable-on-404").
        return Look::Bad { status: CheckStatus::L7OkCond, code, info: String::new() };
    }
    let body = || body_so_far(head.framing(), &data[head_len..], ended);
    let (found, in_body) = match &expect.what {
        Match::Status(ranges) => {
            (ranges.iter().any(|(low, high)| (*low..=*high).contains(&head.status())), false)
        }
        Match::StatusRegex(r) => (r.is_match(head.status().to_string().as_bytes()), false),
        Match::Header(h) => (header(h, &head), false),
        Match::Body(p) => {
            let (bytes, complete) = body();
            let found = memmem::find(&bytes, p).is_some();
            if !found && !complete {
                return Look::More;
            }
            if bytes.is_empty() && !p.is_empty() && !expect.negated {
                return Look::invalid("HTTP content check could not find a response body");
            }
            (found, true)
        }
        Match::BodyRegex(r) => {
            let (bytes, complete) = body();
            let found = r.is_match(&bytes);
            if !found && !complete {
                return Look::More;
            }
            if bytes.is_empty() && !expect.negated {
                return Look::invalid("HTTP content check could not find a response body");
            }
            (found, true)
        }
        // Formats were resolved before.
        _ => return Look::invalid(""),
    };
    match (found != expect.negated, in_body) {
        (true, _) => Look::Good { code, info: String::new() },
        (false, false) => Look::Bad { status: CheckStatus::L7Status, code, info: reason },
        (false, true) if expect.negated => Look::invalid("HTTP check matched unwanted content"),
        (false, true) => Look::invalid("HTTP content check did not match"),
    }
}

fn header(pattern: &HeaderMatch, head: &ResponseHead) -> bool {
    head.fields.iter().filter(|(name, _)| pattern.name.matches(name, true)).any(|(_, value)| {
        let Some(want) = &pattern.value else { return true };
        if pattern.full {
            return want.matches(value, false);
        }
        value.split(|b| *b == b',').any(|part| want.matches(part.trim_ascii(), false))
    })
}

/// The body's bytes that are there, and whether that is all of it.
pub fn body_so_far(framing: BodyLen, rest: &[u8], ended: bool) -> (Vec<u8>, bool) {
    match framing {
        BodyLen::None => (Vec::new(), true),
        BodyLen::Length(n) => {
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            (rest[..rest.len().min(n)].to_vec(), ended || rest.len() >= n)
        }
        BodyLen::UntilClose | BodyLen::Tunnel => (rest.to_vec(), ended),
        BodyLen::Chunked => {
            let (mut out, mut decoder, mut at) = (Vec::new(), ChunkDecoder::new(), 0);
            loop {
                match decoder.decode(&rest[at..]) {
                    Ok(ChunkStep::Data { data, consumed }) => {
                        out.extend_from_slice(&rest[at + data.start..at + data.end]);
                        at += consumed;
                    }
                    Ok(ChunkStep::End { .. }) => return (out, true),
                    Ok(ChunkStep::More { .. }) => return (out, ended),
                    Err(_) => return (out, true),
                }
            }
        }
    }
}
