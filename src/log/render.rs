//! Rendering: a compiled format, the fields and the sample context become bytes.

use std::net::IpAddr;
use std::sync::OnceLock;

use crate::base::time::{Mono, Wall};
use crate::sample::{Ctx, Sample, to_int, to_str};

use super::date::with_second;
use super::escape::{Escape, push, push_cbor_head, push_hex, push_int, push_json};
use super::format::{Flags, Item, ItemType, What};
use super::var::Var;
use super::{Captures, LogAddr, LogFields, LogFormat, Origin, Timeline};

/// Milliseconds since the exchange began, one for each milestone; -1 where it was not reached.
struct Millis {
    handshake: i64,
    idle_end: i64,
    request: i64,
    queue: i64,
    connect: i64,
    response: i64,
    end: i64,
}

impl Millis {
    fn of(t: &Timeline) -> Millis {
        let since = |m: Mono| m.ms_since(t.accept) as i64;
        let reached = |m: Option<Mono>| m.map_or(-1, since);
        let handshake = since(t.handshake);
        Millis {
            handshake,
            idle_end: t.first_byte.map_or(handshake, since).max(handshake),
            request: reached(t.request),
            queue: reached(t.queue),
            connect: reached(t.connect),
            response: reached(t.response),
            end: since(t.end),
        }
    }

    /// `to - from`, -1 when `to` was not reached.
    fn span(from: i64, to: i64) -> i64 {
        if to < 0 { -1 } else { (to - from.max(0)).max(0) }
    }

    fn get(&self, var: Var) -> i64 {
        match var {
            Var::HandshakeTime => self.handshake,
            Var::IdleTime => self.idle_end - self.handshake,
            Var::RequestTime => Millis::span(self.idle_end, self.request),
            Var::QueryTime => self.request,
            Var::QueueTime => Millis::span(self.request.max(self.handshake), self.queue),
            Var::ConnectTime => Millis::span(self.queue, self.connect),
            Var::ResponseTime => Millis::span(self.connect, self.response),
            Var::DataTime => {
                if self.response < 0 {
                    -1
                } else {
                    self.end - self.response
                }
            }
            Var::ActiveTime => self.end - self.idle_end,
            Var::UserTime => self.end - (self.idle_end - self.handshake),
            _ => self.end,
        }
    }
}

/// The first moment of the request: what `%tr` shows.
fn request_wall(f: &LogFields<'_>) -> Wall {
    let t = &f.timeline;
    let idle = t.first_byte.unwrap_or(t.handshake).0.saturating_sub(t.accept.0);
    Wall(f.accept_wall.0 + idle / 1000)
}

pub(super) fn hostname() -> &'static [u8] {
    static NAME: OnceLock<Vec<u8>> = OnceLock::new();
    NAME.get_or_init(|| {
        use std::os::unix::ffi::OsStringExt;
        nix::unistd::gethostname().map_or_else(|_| b"localhost".to_vec(), |n| n.into_vec())
    })
}

/// Where a value goes: plain, or as a member of a JSON or CBOR object.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    flags: Flags,
    ty: Option<ItemType>,
    dash: bool,
}

impl Writer<'_> {
    fn encodes(&self) -> bool {
        self.flags.has(Flags::JSON) || self.flags.has(Flags::CBOR)
    }

    /// Text that may have to be quoted and escaped; `None` and the empty string are "missing".
    fn text(&mut self, text: Option<&[u8]>, how: Escape) {
        let text = text.filter(|t| !t.is_empty());
        if self.encodes() {
            return self.encoded_text(text);
        }
        let quote = self.flags.has(Flags::QUOTE);
        if quote {
            self.out.push(b'"');
        }
        match text {
            Some(t) => push(self.out, t, how, self.flags.has(Flags::ESC)),
            None if self.dash && !quote => self.out.push(b'-'),
            None => {}
        }
        if quote {
            self.out.push(b'"');
        }
    }

    /// As `text`, but the empty string is a value and prints nothing.
    fn text_or_empty(&mut self, text: &[u8], how: Escape) {
        let dash = std::mem::replace(&mut self.dash, false);
        self.text(Some(text), how);
        self.dash = dash;
    }

    fn encoded_text(&mut self, text: Option<&[u8]>) {
        let as_int = || text.and_then(crate::sample::parse_int);
        match (self.ty, text) {
            (Some(ItemType::Int), _) => self.encoded_int(as_int().unwrap_or(0)),
            (Some(ItemType::Bool), _) => {
                let on = as_int().map_or(text == Some(b"true"), |i| i != 0);
                self.encoded_bool(on);
            }
            (_, None) if self.flags.has(Flags::JSON) => self.out.extend_from_slice(b"null"),
            (_, None) => self.cbor(&[0xf6]),
            (_, Some(t)) if self.flags.has(Flags::JSON) => push_json(self.out, t),
            (_, Some(t)) => {
                let mut item = Vec::new();
                push_cbor_head(&mut item, 3, t.len() as u64);
                item.extend_from_slice(t);
                self.cbor(&item);
            }
        }
    }

    fn encoded_bool(&mut self, on: bool) {
        if self.flags.has(Flags::JSON) {
            self.out.extend_from_slice(if on { b"true" } else { b"false" });
        } else {
            self.cbor(&[0xf4 + u8::from(on)]);
        }
    }

    fn encoded_int(&mut self, n: i64) {
        if self.flags.has(Flags::JSON) {
            return push_int(self.out, n);
        }
        let mut item = Vec::new();
        // CBOR writes -1-n for negative numbers: the complement.
        push_cbor_head(&mut item, u8::from(n < 0), if n < 0 { !n as u64 } else { n as u64 });
        self.cbor(&item);
    }

    /// CBOR is printed in hexadecimal unless `bin` is set.
    fn cbor(&mut self, item: &[u8]) {
        cbor_bytes(self.out, self.flags, item);
    }

    fn int(&mut self, n: i64) {
        match self.ty {
            _ if !self.encodes() => push_int(self.out, n),
            Some(ItemType::Str) => {
                let mut text = Vec::new();
                push_int(&mut text, n);
                self.encoded_text(Some(&text));
            }
            Some(ItemType::Bool) => self.encoded_bool(n != 0),
            _ => self.encoded_int(n),
        }
    }

    /// A number that the flag `X` turns into hexadecimal.
    fn hex_int(&mut self, n: u64) {
        if self.flags.has(Flags::HEX) && !self.encodes() {
            push_hex(self.out, n, 4);
        } else {
            self.int(n as i64);
        }
    }

    /// Text that is never quoted (dates, termination states).
    fn raw(&mut self, text: &[&[u8]]) {
        if self.encodes() {
            return self.encoded_text(Some(&text.concat()));
        }
        for t in text {
            self.out.extend_from_slice(t);
        }
    }

    /// Text that `write` appends: never empty, nothing in it to escape.
    fn written(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.encodes() {
            let mut text = Vec::new();
            write(&mut text);
            return self.encoded_text(Some(&text));
        }
        let quote = self.flags.has(Flags::QUOTE);
        if quote {
            self.out.push(b'"');
        }
        write(self.out);
        if quote {
            self.out.push(b'"');
        }
    }

    fn address(&mut self, a: LogAddr) {
        let hex = self.flags.has(Flags::HEX);
        match a {
            LogAddr::None => self.text(None, Escape::None),
            LogAddr::Unix { .. } => self.text(Some(b"unix"), Escape::None),
            LogAddr::Inet(a) => self.written(|out| match a.ip() {
                IpAddr::V4(ip) if hex => push_hex(out, u64::from(u32::from(ip)), 8),
                IpAddr::V6(ip) if hex => ip.octets().iter().for_each(|o| push_hex(out, u64::from(*o), 2)),
                IpAddr::V4(ip) => {
                    for (i, octet) in ip.octets().iter().enumerate() {
                        if i > 0 {
                            out.push(b'.');
                        }
                        push_int(out, i64::from(*octet));
                    }
                }
                IpAddr::V6(ip) => {
                    use std::io::Write;
                    // Writing into memory cannot fail.
                    let _ = write!(out, "{ip}");
                }
            }),
        }
    }

    fn port(&mut self, a: LogAddr) {
        match a {
            LogAddr::None => self.text(None, Escape::None),
            LogAddr::Unix { id } => self.int(i64::from(id)),
            LogAddr::Inet(a) => self.hex_int(u64::from(a.port())),
        }
    }
}

fn cbor_bytes(out: &mut Vec<u8>, flags: Flags, item: &[u8]) {
    if flags.has(Flags::BIN) {
        out.extend_from_slice(item);
    } else {
        item.iter().for_each(|b| push_hex(out, u64::from(*b), 2));
    }
}

/// A captured request line, cut into its parts as `%HM`, `%HU`, `%HV` show them.
struct RequestLine<'a> {
    method: &'a [u8],
    uri: &'a [u8],
    version: &'a [u8],
}

impl<'a> RequestLine<'a> {
    fn cut(line: &'a [u8]) -> RequestLine<'a> {
        let (method, rest) = split_at_space(line);
        let (uri, version) = split_at_space(rest);
        RequestLine { method, uri, version }
    }

    /// The target without scheme and authority; nothing when there is no path.
    fn path_and_query(&self) -> &'a [u8] {
        if self.uri.starts_with(b"/") {
            return self.uri;
        }
        let Some(scheme) = memchr::memmem::find(self.uri, b"://") else { return b"" };
        let rest = &self.uri[scheme + 3..];
        memchr::memchr(b'/', rest).map_or(b"", |slash| &rest[slash..])
    }
}

fn split_at_space(s: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', s) {
        Some(i) => (&s[..i], &s[i + 1..]),
        None => (s, b""),
    }
}

fn before_query(s: &[u8]) -> &[u8] {
    &s[..memchr::memchr(b'?', s).unwrap_or(s.len())]
}

fn from_query(s: &[u8]) -> &[u8] {
    memchr::memchr(b'?', s).map_or(b"", |i| &s[i..])
}

const BADREQ: &[u8] = b"<BADREQ>";

impl Writer<'_> {
    fn request_part(&mut self, f: &LogFields<'_>, part: Var) {
        let Some(line) = f.request_line else {
            return self.text(Some(BADREQ), Escape::None);
        };
        let r = RequestLine::cut(line);
        let text = match part {
            Var::Request => line,
            Var::Method => r.method,
            Var::UriNoQuery => before_query(r.uri),
            Var::Path => before_query(r.path_and_query()),
            Var::Query => from_query(r.uri),
            Var::Uri => r.uri,
            _ => r.version,
        };
        self.text_or_empty(text, Escape::Log);
    }

    /// `{a|b}`. False when there are no slots: nothing was printed.
    fn captures(&mut self, captures: Option<&Captures>) -> bool {
        let Some(c) = captures.filter(|c| !c.is_empty()) else { return false };
        let backslash = self.flags.has(Flags::ESC) && !self.encodes();
        self.written(|out| {
            out.push(b'{');
            for (i, value) in c.iter().enumerate() {
                if i > 0 {
                    out.push(b'|');
                }
                push(out, value.unwrap_or_default(), Escape::Header, backslash);
            }
            out.push(b'}');
        });
        true
    }

    /// One field per slot, separated by spaces.
    fn captures_clf(&mut self, captures: Option<&Captures>) -> bool {
        let Some(c) = captures.filter(|c| !c.is_empty()) else { return false };
        for (i, value) in c.iter().enumerate() {
            if i > 0 {
                self.out.push(b' ');
            }
            self.text(value, Escape::Header);
        }
        true
    }

    fn timer(&mut self, f: &LogFields<'_>, var: Var) {
        let incomplete = f.incomplete && matches!(var, Var::ActiveTime | Var::TotalTime | Var::UserTime);
        if incomplete && !self.encodes() {
            self.out.push(b'+');
        }
        self.int(Millis::of(&f.timeline).get(var));
    }

    fn date(&mut self, t: Wall, var: Var) {
        let ms = super::escape::three_digits(t.0 / 1000);
        with_second(t, |s| match var {
            Var::AcceptDate | Var::RequestDate => self.raw(&[s.local.as_bytes(), b".", &ms]),
            Var::AcceptGmt | Var::RequestGmt => self.raw(&[s.gmt.as_bytes()]),
            Var::AcceptLocal | Var::RequestLocal => {
                self.raw(&[s.local.as_bytes(), b" ", s.offset.as_bytes()]);
            }
            _ => self.raw(&[&ms]),
        });
    }

    /// One variable. False when it prints nothing at all, not even for a separator to follow.
    fn var(&mut self, var: Var, f: &LogFields<'_>) -> bool {
        match var {
            Var::BytesRead => {
                if f.incomplete && !self.encodes() {
                    self.out.push(b'+');
                }
                self.int(f.bytes_read as i64);
            }
            Var::BytesUploaded => self.int(f.bytes_uploaded as i64),
            Var::RequestCookie => self.text(f.request_cookie, Escape::Control),
            Var::ResponseCookie => self.text(f.response_cookie, Escape::Control),
            Var::Hostname => self.text(Some(hostname()), Escape::None),
            Var::Method
            | Var::UriNoQuery
            | Var::Path
            | Var::Query
            | Var::Uri
            | Var::Version
            | Var::Request => self.request_part(f, var),
            Var::UniqueId => self.text(f.unique_id, Escape::Control),
            Var::Status => self.int(f.status.map_or(if f.http { -1 } else { 0 }, i64::from)),
            Var::ActiveTime
            | Var::ConnectTime
            | Var::DataTime
            | Var::HandshakeTime
            | Var::IdleTime
            | Var::RequestTime
            | Var::ResponseTime
            | Var::QueryTime
            | Var::TotalTime
            | Var::UserTime
            | Var::QueueTime => self.timer(f, var),
            Var::AcceptGmt | Var::AcceptLocal | Var::AcceptDate => self.date(f.accept_wall, var),
            Var::Millis => self.date(f.accept_wall, var),
            Var::RequestDate | Var::RequestGmt | Var::RequestLocal => self.date(request_wall(f), var),
            Var::Timestamp => self.hex_int(f.accept_wall.0 / 1_000_000),
            Var::RequestCaptures => return self.captures(f.request_captures),
            Var::ResponseCaptures => return self.captures(f.response_captures),
            Var::RequestCapturesClf => return self.captures_clf(f.request_captures),
            Var::ResponseCapturesClf => return self.captures_clf(f.response_captures),
            _ => self.plain_var(var, f),
        }
        true
    }

    /// Counts, names and addresses.
    fn plain_var(&mut self, var: Var, f: &LogFields<'_>) {
        match var {
            Var::ActConn => self.int(i64::from(f.actconn)),
            Var::FeConn => self.int(i64::from(f.feconn)),
            Var::BeConn => self.int(i64::from(f.beconn)),
            Var::SrvConn => self.int(i64::from(f.srvconn)),
            Var::ServerQueue => self.int(f.srv_queue as i64),
            Var::BackendQueue => self.int(f.be_queue as i64),
            Var::Retries => {
                if f.redispatched && !self.encodes() {
                    self.out.push(b'+');
                }
                self.int(i64::from(f.retries));
            }
            Var::LogCounter => self.hex_int(u64::from(f.log_counter)),
            Var::RequestCounter => self.hex_int(u64::from(f.request_counter)),
            Var::Pid => self.hex_int(u64::from(super::logger::pid())),
            Var::Frontend => self.text(Some(f.frontend.as_bytes()), Escape::None),
            Var::FrontendTransport if f.frontend_tls => self.written(|out| {
                out.extend_from_slice(f.frontend.as_bytes());
                out.push(b'~');
            }),
            Var::FrontendTransport => self.text(Some(f.frontend.as_bytes()), Escape::None),
            Var::Backend => self.text(Some(f.backend.as_bytes()), Escape::None),
            Var::Server => self.text(Some(f.server.unwrap_or("<NOSRV>").as_bytes()), Escape::None),
            Var::ClientIp => self.address(f.client),
            Var::ClientPort => self.port(f.client),
            Var::FrontendIp => self.address(f.frontend_addr),
            Var::FrontendPort => self.port(f.frontend_addr),
            Var::BackendIp => self.address(f.backend_source),
            Var::BackendPort => self.port(f.backend_source),
            Var::ServerIp => self.address(f.server_addr),
            Var::ServerPort => self.port(f.server_addr),
            Var::TlsCipher => self.text(f.tls_cipher.map(str::as_bytes), Escape::None),
            Var::TlsVersion => self.text(f.tls_version.map(str::as_bytes), Escape::None),
            Var::Termination => self.raw(&[&f.termination[..2]]),
            Var::TerminationCookie => self.raw(&[&f.termination]),
            Var::Origin => self.raw(&[origin_name(f.origin).as_bytes()]),
            _ => self.raw(&[if f.http { b"HTTP" } else { b"TCP" }]),
        }
    }

    fn sample(&mut self, s: Option<Sample<'_>>, how: Escape) {
        if self.encodes() {
            match (&s, self.ty) {
                (Some(Sample::Bool(b)), None) => return self.encoded_bool(*b),
                (Some(Sample::Int(i)), _) => return self.int(*i),
                (Some(Sample::Bool(_)), Some(ItemType::Int)) => {
                    return self.int(s.as_ref().and_then(to_int).unwrap_or(0));
                }
                _ => {}
            }
        }
        let text = match s {
            Some(Sample::Bin(b)) if self.flags.has(Flags::BIN) => Some(b),
            Some(s) => to_str(s),
            None => None,
        };
        self.text(text.as_deref(), how);
    }
}

fn origin_name(o: Origin) -> &'static str {
    match o {
        Origin::Unspec => "unspec",
        Origin::SessError => "sess_error",
        Origin::SessKilled => "sess_killed",
        Origin::TxnAccept => "txn_accept",
        Origin::TxnRequest => "txn_request",
        Origin::TxnConnect => "txn_connect",
        Origin::TxnResponse => "txn_response",
        Origin::TxnClose => "txn_close",
    }
}

impl LogFormat {
    /// Append the line (no syslog header, no line end) to `out`.
    pub fn render(&self, fields: &LogFields<'_>, cx: &dyn Ctx, out: &mut Vec<u8>) {
        if self.global.has(Flags::JSON) || self.global.has(Flags::CBOR) {
            return self.render_object(fields, cx, out);
        }
        // Spaces at the start and next to something that printed nothing collapse.
        let mut after_space = true;
        for item in &self.items {
            match item {
                Item::Text(t) => {
                    out.extend_from_slice(t);
                    after_space = false;
                }
                Item::Space => {
                    if !after_space {
                        out.push(b' ');
                    }
                    after_space = true;
                }
                Item::Value { what, flags, ty, .. } => {
                    let w = Writer { out, flags: *flags, ty: *ty, dash: self.usage.dash() };
                    if self.value(w, what, fields, cx) {
                        after_space = false;
                    }
                }
            }
        }
    }

    fn value(&self, mut w: Writer<'_>, what: &What, fields: &LogFields<'_>, cx: &dyn Ctx) -> bool {
        match what {
            What::Var(v) => w.var(*v, fields),
            What::Expr(e) => {
                let bin = w.flags.has(Flags::BIN);
                let how = match self.usage {
                    _ if bin => Escape::None,
                    super::Usage::Log | super::Usage::StructuredData => Escape::Control,
                    super::Usage::UniqueId | super::Usage::Http => Escape::Http,
                    super::Usage::Bytes => Escape::None,
                };
                w.sample(e.eval(cx), how);
                true
            }
        }
    }

    /// `%{+json}o` and `%{+cbor}o`: one object of the named items.
    fn render_object(&self, fields: &LogFields<'_>, cx: &dyn Ctx, out: &mut Vec<u8>) {
        let json = self.global.has(Flags::JSON);
        let flags = self.global;
        if json {
            out.push(b'{');
        } else {
            cbor_bytes(out, flags, &[0xbf]);
        }
        let mut first = true;
        for item in &self.items {
            let Item::Value { what, flags: own, name: Some(name), ty } = item else { continue };
            if json && !first {
                out.extend_from_slice(b", ");
            }
            first = false;
            let own = Flags(own.0 | (flags.0 & (Flags::JSON.0 | Flags::CBOR.0 | Flags::BIN.0)));
            let mut key = Writer { out, flags: own, ty: None, dash: false };
            key.encoded_text(Some(name.as_bytes()));
            if json {
                out.extend_from_slice(b": ");
            }
            let before = out.len();
            let w = Writer { out, flags: own, ty: *ty, dash: false };
            self.value(w, what, fields, cx);
            if out.len() == before {
                Writer { out, flags: own, ty: None, dash: false }.encoded_text(None);
            }
        }
        if json {
            out.push(b'}');
        } else {
            cbor_bytes(out, flags, &[0xff]);
        }
    }
}
