//! The PROXY protocol's header: read from clients before anything else, and put in front of what servers get.

use crate::log;
use crate::net::RecvBuf;
use crate::proxy::HeaderVersion;
use crate::proxy::Server;
use crate::proxy_protocol::{self, Endpoints, Error, Header, Parsed, Type, V2};
use crate::runtime::{now, wall};

use super::logging;
use super::state::{Proxied, Session, Stream, after};
use super::wait::until;

/// Unique ids that are sent are cut to this length, as in the reference; receivers take one byte more.
const UNIQUE_ID_MAX: usize = 127;
/// A client without TLS, in the value of [`Type::SSL`]: no flag is set, and nothing was verified.
const NO_TLS: [u8; 5] = [0; 5];

/// Why there is no header. The words are the manual's (`fc_err_str`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Empty,
    Broken,
    TimedOut,
    Truncated,
    Wrong(Error),
}

impl Refused {
    fn message(self) -> &'static str {
        match self {
            Refused::Empty => "Connection closed while waiting for PROXY protocol header",
            Refused::Broken => "Connection error while waiting for PROXY protocol header",
            Refused::TimedOut => "Timeout while waiting for PROXY protocol header",
            Refused::Truncated | Refused::Wrong(Error::TooLong) => "Truncated PROXY protocol header received",
            Refused::Wrong(Error::NotHeader) => {
                "Received something which does not look like a PROXY protocol header"
            }
            Refused::Wrong(Error::Invalid) => "Received an invalid PROXY protocol header",
            Refused::Wrong(Error::Unhandled) => "Received an unhandled protocol in the PROXY protocol header",
        }
    }
}

/// Takes the header off the connection, and nothing behind it: the session has the addresses that it names from then on.
/// False when there is none: that is counted and logged.
pub(super) async fn take(s: &mut Session) -> bool {
    let (header, received) = receive(s).await;
    match header {
        Ok(header) => {
            if s.view.shared.snapshot.listener(s.listener).accept_proxy {
                // `expect-proxy` was not known of when the others were counted.
                s.view.counters().frontends[s.frontend.index()].sessions.inc();
            }
            s.proxied(header, now());
            true
        }
        Err(why) => {
            refuse(s, why, received);
            false
        }
    }
}

/// The header, and how much was received in search of it.
async fn receive(s: &mut Session) -> (Result<Header, Refused>, usize) {
    let timeouts = &s.view.proxy(s.frontend).timeouts;
    let deadline = after(timeouts.client_hs.or(timeouts.client));
    // Longer ones find no room in the reference, either.
    let max = s.view.shared.settings.bufsize;
    let mut held: Vec<u8> = Vec::new();
    loop {
        let client = &s.client;
        let received = match until(&mut s.timer, deadline, |cx| client.poll_recv(cx)).await {
            None => Err(Refused::TimedOut),
            Some(Err(_)) => Err(Refused::Broken),
            Some(Ok(buf)) if !buf.is_empty() => Ok(buf),
            Some(Ok(_)) if held.is_empty() => Err(Refused::Empty),
            Some(Ok(_)) => Err(Refused::Truncated),
        };
        let mut buf = match received {
            Ok(buf) => buf,
            Err(why) => return (Err(why), held.len()),
        };
        let in_pieces = !held.is_empty();
        if in_pieces {
            held.extend_from_slice(&buf);
        }
        let bytes: &[u8] = if in_pieces { &held } else { &buf };
        match proxy_protocol::parse(bytes, max) {
            Ok(Parsed::Complete(header, len)) => {
                if in_pieces {
                    buf = RecvBuf::from_vec(held.split_off(len));
                } else {
                    buf.advance(len);
                }
                if !buf.is_empty() {
                    s.client.unrecv(buf);
                }
                return (Ok(header), len);
            }
            // It is shorter than `max`, and so is what is held.
            Ok(Parsed::Incomplete) if in_pieces => {}
            Ok(Parsed::Incomplete) => held.extend_from_slice(&buf),
            Err(e) => return (Err(Refused::Wrong(e)), bytes.len()),
        }
    }
}

/// Counts and logs a connection whose header did not come or was none.
fn refuse(s: &mut Session, why: Refused, received: usize) {
    let view = s.view.clone();
    let plan = view.plan(s.frontend);
    let conf = view.shared.snapshot.listener(s.listener);
    let bind = conf.name.clone().unwrap_or_else(|| conf.uuid.to_string());
    let mut st = Stream::begin(s);
    st.x.bytes_in = received as u64;
    st.x.times.end = now();
    let fields = logging::fields(&view, plan, &st);
    log::connection_error(&plan.log, &fields, &bind, why.message(), &st, wall());
    st.end();
}

impl Session {
    /// The session is that of the client that the header names.
    fn proxied(&mut self, header: Header, at: crate::base::time::Mono) {
        if let Some(Endpoints { src, dst }) = header.endpoints {
            self.src = Some(src);
            self.timer.brief.src(self.src);
            self.set_dst(dst);
        }
        self.header = Some(Box::new(Proxied { at, tlvs: header.tlvs }));
    }
}

/// What a connection to the server begins with for this client; `None`: nothing.
pub(super) fn of_server(st: &Stream<'_>, srv: &Server) -> Option<Box<[u8]>> {
    let conf = srv.send_proxy.as_deref()?;
    let endpoints = match (st.s.src, st.s.dst()) {
        (Some(src), Some(dst)) => Some(Endpoints { src, dst }),
        _ => None,
    };
    if conf.version == HeaderVersion::V1 {
        return Some(proxy_protocol::write_v1(endpoints).into_bytes().into());
    }
    // A client without an address (on a Unix socket) cannot be told from ourselves.
    let mut header = if endpoints.is_some() { V2::proxy(endpoints) } else { V2::local() };
    if conf.checksum {
        header.checksum();
    }
    if endpoints.is_none() {
        return Some(header.finish().into());
    }
    for (ty, format) in &conf.tlvs {
        let mut value = Vec::new();
        if let Some(format) = format {
            logging::render(st, format, &mut value);
        }
        header.tlv(*ty, &value);
    }
    if conf.unique_id
        && let Some(id) = logging::unique_id(st)
    {
        header.tlv(Type::UNIQUE_ID, &id[..id.len().min(UNIQUE_ID_MAX)]);
    }
    if conf.ssl {
        header.tlv(Type::SSL, &NO_TLS);
    }
    Some(header.finish().into())
}
