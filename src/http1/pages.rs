//! The answers the proxy gives itself, and the check of `errorfile` contents.

use super::{
    BodyForm, Limits, Parsed, Persistence, Relax, ResponseError, connection, parse_response, write_response,
};
use crate::http::{BodyLen, Method, ResponseHead, Version, status};
use std::sync::LazyLock;
use thiserror::Error;

/// The statuses with a page of their own, and what it says.
const TEXTS: [(u16, &str); 21] = [
    (200, "Service is up."),
    (400, "Your client sent a request that cannot be understood."),
    (401, "You need to log in to see this page."),
    (403, "You are not allowed to do this."),
    (404, "There is nothing at this address."),
    (405, "This method is not allowed here."),
    (407, "You need to log in at the proxy first."),
    (408, "Your client took too long to send its request."),
    (410, "What was here is gone for good."),
    (413, "The request is larger than it may be."),
    (414, "The address is longer than it may be."),
    (421, "This request was sent to the wrong server."),
    (422, "The request was understood but cannot be carried out."),
    (425, "The request was sent too early to be safe. Try again."),
    (429, "Too many requests in too short a time. Try again later."),
    (431, "The header fields of the request are larger than they may be."),
    (500, "Something went wrong inside the proxy."),
    (501, "The request needs something that is not available here."),
    (502, "The server's response was empty, broken or cut short."),
    (503, "No server can take this request at the moment. Try again later."),
    (504, "The server did not answer in time."),
];

/// The statuses with a page of their own.
pub const STATUSES: [u16; TEXTS.len()] = {
    let mut all = [0; TEXTS.len()];
    let mut i = 0;
    while i < all.len() {
        all[i] = TEXTS[i].0;
        i += 1;
    }
    all
};

/// A complete response kept ready: one of our pages, or the contents of an `errorfile`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredResponse {
    bytes: Vec<u8>,
    head_len: usize,
    status: u16,
}

static PAGES: LazyLock<Vec<StoredResponse>> =
    LazyLock::new(|| TEXTS.iter().map(|&(status, text)| build(status, text)).collect());

/// Whether the client connection ends with this page: the end of the request was not found, or will not be
/// waited for.
pub fn closes(status: u16) -> bool {
    matches!(status, 400 | 408 | 413 | 414 | 431 | 501)
}

fn build(code: u16, text: &str) -> StoredResponse {
    let title = format!("{code} {}", status::reason(code));
    let body = format!("<html><body><h1>{title}</h1>\n{text}\n</body></html>\n");
    let close = if closes(code) { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {title}\r\nContent-Length: {}\r\nCache-Control: no-cache\r\n{close}Content-Type: text/html\r\n\r\n",
        body.len()
    );
    StoredResponse { head_len: head.len(), status: code, bytes: (head + &body).into_bytes() }
}

/// The page for a status; for one without a page of its own, that of its class (400, else 500).
pub fn stored(status: u16) -> &'static StoredResponse {
    let wanted = match STATUSES.contains(&status) {
        true => status,
        false if (400..500).contains(&status) => 400,
        false => 500,
    };
    let at = STATUSES.iter().position(|&s| s == wanted).unwrap_or(0);
    &PAGES[at]
}

/// The complete response (head and body) for a status, as bytes to send to a client whose request could not be
/// read.
pub fn page(status: u16) -> &'static [u8] {
    stored(status).bytes()
}

impl StoredResponse {
    /// Takes the contents of an `errorfile`: a complete HTTP response that fits a buffer with room for rewrites
    /// (manual, `errorfile`).
    pub fn from_file(
        contents: &[u8],
        bufsize: usize,
        maxrewrite: usize,
    ) -> Result<StoredResponse, ErrorFileProblem> {
        if contents.len() > bufsize.saturating_sub(maxrewrite) {
            return Err(ErrorFileProblem::TooLarge(contents.len()));
        }
        // People write these files by hand: the limits are those of the file, and LF ends are fine.
        let limits = Limits { head_bytes: contents.len().saturating_add(1), ..Limits::default() };
        let mut head = ResponseHead::new();
        match parse_response(contents, &limits, Relax::Strict, Method::Get, &mut head) {
            Ok(Parsed::Complete { head_len }) => {
                let body = contents.len() - head_len;
                match head.framing() {
                    BodyLen::Length(said) if said != body as u64 => {
                        return Err(ErrorFileProblem::WrongLength { said, found: body });
                    }
                    BodyLen::Chunked => return Err(ErrorFileProblem::Chunked),
                    _ => {}
                }
                if head.status() < 200 {
                    return Err(ErrorFileProblem::Interim(head.status()));
                }
                Ok(StoredResponse { bytes: contents.to_vec(), head_len, status: head.status() })
            }
            Ok(Parsed::Partial) => Err(ErrorFileProblem::Incomplete),
            Err(e) => Err(ErrorFileProblem::Invalid(e)),
        }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Head and body as they are.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.head_len..]
    }

    /// Fills a head with the response's, for rules that look at or change it. A body without a length gets one,
    /// so that the client connection need not close for it.
    pub fn fill(&self, out: &mut ResponseHead) {
        out.clear();
        let limits = Limits { head_bytes: self.bytes.len() + 1, ..Limits::default() };
        let parsed = parse_response(&self.bytes, &limits, Relax::Strict, Method::Get, out);
        debug_assert!(matches!(parsed, Ok(Parsed::Complete { .. })), "checked when it was stored");
        if out.framing() == BodyLen::UntilClose {
            let mut digits = Vec::with_capacity(20);
            crate::http::token::push_u64(&mut digits, self.body().len() as u64);
            out.fields.add(b"Content-Length", &digits);
            out.set_framing(BodyLen::Length(self.body().len() as u64));
        }
    }

    /// Appends the whole response for a client: its Connection field set, no body for HEAD.
    pub fn write(&self, head_only: bool, client: Version, persistence: Persistence, out: &mut Vec<u8>) {
        let mut head = ResponseHead::new();
        self.fill(&mut head);
        let form = connection::rewrite_response(&mut head, client, persistence);
        debug_assert_eq!(form, BodyForm::AsIs);
        write_response(&head, out);
        if !head_only {
            out.extend_from_slice(self.body());
        }
    }
}

/// Why the contents of an error file cannot be sent as a response.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ErrorFileProblem {
    /// It does not fit a buffer.
    #[error("larger than a buffer can hold ({0} bytes)")]
    TooLarge(usize),
    /// The head has no end.
    #[error("the head is not complete: there is no empty line after the header fields")]
    Incomplete,
    /// The head is not HTTP.
    #[error("not an HTTP response: {0}")]
    Invalid(ResponseError),
    /// `Content-Length` disagrees with the body.
    #[error("Content-Length says {said} bytes but {found} follow the head")]
    WrongLength {
        /// What the field says.
        said: u64,
        /// Bytes behind the head.
        found: usize,
    },
    /// The body is chunked.
    #[error("a chunked body is not supported here")]
    Chunked,
    /// The status announces another response.
    #[error("status {0} is not a final response")]
    Interim(u16),
}

/// Checks the contents of an `errorfile`: a complete HTTP response that fits a buffer.
pub fn check_error_file(contents: &[u8], bufsize: usize) -> Result<(), ErrorFileProblem> {
    StoredResponse::from_file(contents, bufsize, 0).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_a_response_with_the_right_length() {
        for status in STATUSES {
            let page = stored(status);
            assert_eq!(page.status(), status);
            let again = StoredResponse::from_file(page.bytes(), 16384, 1024).unwrap();
            assert_eq!(&again, page);
            let mut head = ResponseHead::new();
            page.fill(&mut head);
            assert_eq!(head.framing(), BodyLen::Length(page.body().len() as u64));
            assert_eq!(head.fields.get(b"cache-control"), Some(&b"no-cache"[..]));
            assert_eq!(head.connection().close, closes(status));
        }
        assert_eq!(stored(418).status(), 400);
        assert_eq!(stored(599).status(), 500);
    }

    #[test]
    fn error_files() {
        let ok = b"HTTP/1.0 503 Busy\r\nCache-Control: no-cache\r\nContent-Type: text/html\r\n\r\nbusy\n";
        let stored = StoredResponse::from_file(ok, 16384, 1024).unwrap();
        let mut out = Vec::new();
        stored.write(false, Version::HTTP_11, Persistence::Close, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("HTTP/1.0 503 Busy\r\n") && text.contains("Content-Length: 5\r\n"),
            "{text}"
        );
        assert!(text.ends_with("Connection: close\r\n\r\nbusy\n"), "{text}");
        assert!(check_error_file(b"HTTP/1.0 503 Busy\n\nbusy\n", 16384).is_ok());
        let bad = |text: &[u8]| check_error_file(text, 100).unwrap_err();
        assert_eq!(bad(b"HTTP/1.0 503 Busy\r\n"), ErrorFileProblem::Incomplete);
        assert_eq!(bad(b"HTTP/1.1 100 C\r\n\r\n"), ErrorFileProblem::Interim(100));
        assert_eq!(bad(&[b'x'; 101]), ErrorFileProblem::TooLarge(101));
        assert!(matches!(bad(b"hello"), ErrorFileProblem::Invalid(_)));
        assert_eq!(
            bad(b"HTTP/1.1 503 x\r\nContent-Length: 9\r\n\r\nabc"),
            ErrorFileProblem::WrongLength { said: 9, found: 3 }
        );
    }
}
