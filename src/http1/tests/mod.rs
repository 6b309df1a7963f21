//! Tests of the codec: attacks, ordinary messages, properties.

mod attacks;
mod messages;
mod properties;

use super::*;
use crate::http::{Method, RequestHead, ResponseHead};

/// Parses a whole request strictly.
fn request(bytes: &[u8]) -> Result<(Parsed, RequestHead), RequestError> {
    request_as(bytes, Relax::Strict)
}

fn request_as(bytes: &[u8], relax: Relax) -> Result<(Parsed, RequestHead), RequestError> {
    let mut head = RequestHead::new();
    parse_request(bytes, &Limits::default(), relax, &mut head).map(|parsed| (parsed, head))
}

/// Parses a whole response to a GET strictly.
fn response(bytes: &[u8]) -> Result<(Parsed, ResponseHead), ResponseError> {
    response_to(bytes, Method::Get, Relax::Strict)
}

fn response_to(bytes: &[u8], method: Method, relax: Relax) -> Result<(Parsed, ResponseHead), ResponseError> {
    let mut head = ResponseHead::new();
    parse_response(bytes, &Limits::default(), relax, method, &mut head).map(|parsed| (parsed, head))
}

fn complete_request(bytes: &[u8]) -> RequestHead {
    match request(bytes) {
        Ok((Parsed::Complete { .. }, head)) => head,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

fn complete_response(bytes: &[u8], method: Method) -> ResponseHead {
    match response_to(bytes, method, Relax::Strict) {
        Ok((Parsed::Complete { .. }, head)) => head,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
