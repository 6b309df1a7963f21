//! Message heads.

use super::field_id::FieldId;
use super::fields::{Fields, Span};
use super::method::{Method, Version};
use super::{token, uri};

/// How long a message's body is (RFC 9112 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BodyLen {
    /// There is no body.
    #[default]
    None,
    /// Exactly that many bytes (`Content-Length`).
    Length(u64),
    /// Chunked transfer coding; ends with the last chunk and the trailers.
    Chunked,
    /// Everything until the peer closes (responses only).
    UntilClose,
    /// Not HTTP any more: the answer to CONNECT, or what follows a 101.
    Tunnel,
}

impl BodyLen {
    /// Whether no body byte follows the head.
    pub fn is_empty(self) -> bool {
        matches!(self, BodyLen::None | BodyLen::Length(0))
    }
}

/// What the `Connection` fields of a received head say, all their values together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnectionFlags {
    /// `close` is listed.
    pub close: bool,
    /// `keep-alive` is listed.
    pub keep_alive: bool,
    /// `upgrade` is listed, an `Upgrade` field is there, and the version has upgrades (1.1).
    pub upgrade: bool,
    /// `te` is listed.
    pub te: bool,
}

/// How far a head that is not complete yet has been read, so that the next attempt goes on from there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScanState {
    /// Start of the line that is not complete.
    pub(crate) line: usize,
    /// Everything before this has been looked at.
    pub(crate) pos: usize,
    /// The start line has been read.
    pub(crate) started: bool,
    /// Field lines read so far.
    pub(crate) lines: usize,
    /// Whether lines of this head end with a LF alone; `None` before the first.
    pub(crate) bare_lf: Option<bool>,
    /// Some value goes over several lines.
    pub(crate) folded: bool,
}

/// A request's head. Recycle it: [`RequestHead::clear`] keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The field list.
    pub fields: Fields,
    pub(crate) method: Method,
    pub(crate) method_span: Span,
    pub(crate) target: Span,
    pub(crate) version: Version,
    /// A version that is none of HTTP/1.x (unsafe mode only), passed on as it is; empty otherwise.
    pub(crate) raw_version: Span,
    /// The request line for the log.
    pub(crate) line: Span,
    pub(crate) body: BodyLen,
    pub(crate) connection: ConnectionFlags,
    pub(crate) scan: ScanState,
    pub(crate) head_len: u32,
}

impl RequestHead {
    /// An empty head.
    pub fn new() -> RequestHead {
        RequestHead::default()
    }

    /// A head that we make ourselves (checks, the demo): HTTP/1.1 unless changed.
    pub fn build(method: &[u8], target: &[u8], version: Version) -> RequestHead {
        let mut head = RequestHead { version, ..RequestHead::default() };
        head.set_method(method);
        head.set_target(target);
        head
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = RequestHead { fields, ..RequestHead::default() };
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as written.
    pub fn method_token(&self) -> &[u8] {
        self.fields.bytes(self.method_span)
    }

    /// The request target as it stands now (edits included).
    pub fn target(&self) -> &[u8] {
        self.fields.bytes(self.target)
    }

    /// The target taken apart.
    pub fn uri(&self) -> uri::Uri<'_> {
        uri::Uri::parse(self.target(), self.method)
    }

    /// The path part of the target, without the query; `None` for `*` and for the authority form.
    pub fn path(&self) -> Option<&[u8]> {
        self.uri().path
    }

    /// The query part of the target, without its `?`.
    pub fn query(&self) -> Option<&[u8]> {
        self.uri().query
    }

    /// The value of the `Host` field.
    pub fn host(&self) -> Option<&[u8]> {
        self.fields.get_id(FieldId::Host)
    }

    /// The protocol version the client spoke.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is framed.
    pub fn framing(&self) -> BodyLen {
        self.body
    }

    /// What the Connection fields said when the head was received.
    pub fn connection(&self) -> ConnectionFlags {
        self.connection
    }

    /// Whether the client waits for a 100 before it sends the body (`Expect: 100-continue`, RFC 9110 10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.fields.get_id(FieldId::Expect).is_some_and(|v| token::list_contains(v, b"100-continue"))
    }

    /// Bytes of the head as received, the empty line included.
    pub fn received_len(&self) -> usize {
        self.head_len as usize
    }

    /// The head's bytes as received (line folds turned into spaces); edits do not touch them.
    pub fn received(&self) -> &[u8] {
        &self.fields.buf[..self.head_len as usize]
    }

    /// The request line as received (after the normalisation of an absolute target), without its line end:
    /// what the log's `%r` shows. Later edits do not touch it.
    pub fn request_line(&self) -> &[u8] {
        self.fields.bytes(self.line)
    }

    /// Changes what [`RequestHead::request_line`] shows (a head that was written and parsed again).
    pub fn set_request_line(&mut self, line: &[u8]) {
        self.line = self.fields.append(line);
    }

    /// Changes the method (`http-request set-method`).
    pub fn set_method(&mut self, token: &[u8]) {
        self.method = Method::from_token(token);
        self.method_span = self.fields.append(token);
    }

    /// Changes the whole target (`http-request set-uri`).
    pub fn set_target(&mut self, target: &[u8]) {
        self.target = self.fields.append(target);
    }

    /// Changes the path and keeps scheme, authority and query (`http-request set-path`).
    pub fn set_path(&mut self, path: &[u8]) {
        let part = self.uri().path_range();
        self.splice_target(part, path);
    }

    /// Changes the query (without its `?`); an empty one removes the `?` (`http-request set-query`).
    pub fn set_query(&mut self, query: &[u8]) {
        let part = self.uri().query_range_with_mark();
        if query.is_empty() {
            self.splice_target(part, b"");
        } else {
            let at = part.start;
            self.splice_target(part, b"?");
            self.splice_target(at + 1..at + 1, query);
        }
    }

    /// Replaces a part of the target (byte positions in it).
    pub fn splice_target(&mut self, part: std::ops::Range<usize>, with: &[u8]) {
        let old = self.target.range();
        let buf = &mut self.fields.buf;
        let start = buf.len();
        buf.extend_from_within(old.start..old.start + part.start);
        buf.extend_from_slice(with);
        buf.extend_from_within(old.start + part.end..old.end);
        self.target = Span::new(start..buf.len());
    }

    /// Sets the version (heads we make, and requests passed on in another version).
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Sets the framing (heads we make). It does not touch the fields.
    pub fn set_framing(&mut self, body: BodyLen) {
        self.body = body;
    }
}

/// A response's head. Recycle it: [`ResponseHead::clear`] keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The field list.
    pub fields: Fields,
    pub(crate) status: u16,
    pub(crate) reason: Span,
    pub(crate) version: Version,
    /// A version that is none of HTTP/1.x (unsafe mode only), passed on as it is; empty otherwise.
    pub(crate) raw_version: Span,
    pub(crate) body: BodyLen,
    pub(crate) connection: ConnectionFlags,
    pub(crate) scan: ScanState,
    pub(crate) head_len: u32,
}

impl ResponseHead {
    /// An empty head.
    pub fn new() -> ResponseHead {
        ResponseHead::default()
    }

    /// A head that we make ourselves; the reason phrase is the usual one for the status.
    pub fn build(status: u16, version: Version) -> ResponseHead {
        let mut head = ResponseHead { version, ..ResponseHead::default() };
        head.set_status(status, None);
        head
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = ResponseHead { fields, ..ResponseHead::default() };
    }

    /// The status code, 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase; may be empty.
    pub fn reason(&self) -> &[u8] {
        self.fields.bytes(self.reason)
    }

    /// The protocol version the server spoke.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is framed; knows what the request was (HEAD, CONNECT).
    pub fn framing(&self) -> BodyLen {
        self.body
    }

    /// What the Connection fields said when the head was received.
    pub fn connection(&self) -> ConnectionFlags {
        self.connection
    }

    /// Whether this is an interim response (1xx except 101) that another one follows.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// Bytes of the head as received, the empty line included.
    pub fn received_len(&self) -> usize {
        self.head_len as usize
    }

    /// The head's bytes as received (line folds turned into spaces); edits do not touch them.
    pub fn received(&self) -> &[u8] {
        &self.fields.buf[..self.head_len as usize]
    }

    /// Changes the status (`http-response set-status`); without a reason the usual phrase is taken.
    pub fn set_status(&mut self, status: u16, reason: Option<&[u8]>) {
        self.status = status;
        self.reason = match reason {
            Some(reason) => self.fields.append(reason),
            None => self.fields.append(super::status::reason(status).as_bytes()),
        };
    }

    /// Sets the version.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Sets the framing (heads we make). It does not touch the fields.
    pub fn set_framing(&mut self, body: BodyLen) {
        self.body = body;
    }
}
