//! Clients between two requests, or before their first one.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;

use super::super::http::keepalive::{self, Silence};
use super::super::state::{Proxied, Session};
use super::super::track::Track;
use super::super::worker::{View, Worker};
use super::codec::Blob;
use super::names::Arrival;
use super::state::{ClientState, Message, TrackState, Waiting};
use super::tunnel;
use crate::base::time::Mono;
use crate::net::{RecvBuf, Socket};
use crate::proxy::{ListenerId, Mode, Server, ServerId};
use crate::proxy_protocol::Tlvs;
use crate::runtime::now;
use crate::sample::VarStore;

/// Bytes of a request that go along. More of them are served here first.
pub(in crate::stream) const RECEIVED_MAX: usize = 32 * 1024;

/// What became of a client that was to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stream) enum Left {
    /// It is the successor's now.
    Moved,
    /// It stays: the successor is gone, or there is a request to be served first.
    Stays,
    /// It closed, or broke.
    Silent(Silence),
}

/// Gives a client to the successor. `first_byte`: when a request began whose head is not complete; what was received
/// of it is back in the socket.
pub(in crate::stream) async fn leave(s: &mut Session, first_byte: Option<Mono>) -> Left {
    let Some(heir) = s.worker.heir() else { return Left::Stays };
    if !keepalive::settle(s).await {
        return Left::Silent(Silence::TimedOut);
    }
    poll_fn(|cx| s.client.poll_quiet(cx)).await;
    let received = match take_received(&s.client) {
        Ok(received) => received,
        Err(silence) => return Left::Silent(silence),
    };
    if received.len() > RECEIVED_MAX {
        // It will be less: these are requests in a row, which are served here until then.
        s.client.unrecv(RecvBuf::from_vec(received));
        s.client.resume_recv();
        return Left::Stays;
    }
    let http = s.tcp_http.is_none_or(|id| heir.known().proxy(id));
    let listener = heir.known().listener(s.listener).filter(|_| http);
    let sent = if let Some(name) = listener {
        let first_byte = first_byte.or((!received.is_empty()).then(now));
        let client = ClientState::of(s, name.to_owned());
        let message = Waiting { client, first_byte, received: Blob(received.clone()) };
        heir.send(&Message::Waiting(Box::new(message)).write(), &[&s.client]).await
    } else {
        false
    };
    if sent {
        // At once: the successor counts them from now on.
        s.tracks.clear();
        // Closing our descriptor must do nothing to the connection.
        s.reset = false;
        return Left::Moved;
    }
    if !received.is_empty() {
        s.client.unrecv(RecvBuf::from_vec(received));
    }
    s.client.resume_recv();
    s.stays = true;
    Left::Stays
}

/// What was received and not yet looked at. A client that sent a request and closed its side still gets an answer.
fn take_received(client: &Socket) -> Result<Vec<u8>, Silence> {
    let mut received = Vec::new();
    loop {
        match client.try_recv() {
            None => return Ok(received),
            Some(Ok(buf)) if !buf.is_empty() => received.extend_from_slice(&buf),
            Some(Ok(_)) if received.is_empty() => return Err(Silence::Closed),
            Some(Ok(_)) => return Ok(received),
            Some(Err(_)) => return Err(Silence::Broken),
        }
    }
}

/// The life of a connection that another process has begun.
///
/// # Errors
/// When a descriptor is none that can be used, or it needs what is not here.
pub fn adopt(worker: Rc<Worker>, arrival: Arrival) -> io::Result<Pin<Box<dyn Future<Output = ()>>>> {
    let Arrival { message, listener, fds } = arrival;
    let mut sockets = fds.into_iter().map(Socket::from_fd);
    let mut socket = || sockets.next().unwrap_or_else(|| Err(io::ErrorKind::InvalidData.into()));
    match message {
        Message::Waiting(waiting) => {
            let Waiting { client, first_byte, received: Blob(received) } = *waiting;
            let socket = socket()?;
            if !received.is_empty() {
                socket.unrecv(RecvBuf::from_vec(received));
            }
            let mut s = client.session(worker, listener, socket);
            Ok(Box::pin(async move {
                keepalive::go_on(&mut s, first_byte).await;
                if s.reset {
                    s.client.abort();
                }
            }))
        }
        Message::Tunnel(t) => {
            let (client, server) = (socket()?, socket()?);
            let s = t.client.clone().session(worker, listener, client);
            tunnel::go_on(s, *t, server)
        }
    }
}

impl ClientState {
    /// Of a session; `listener` is the name of its listener.
    pub fn of(s: &Session, listener: String) -> ClientState {
        let view = &s.view;
        let snapshot = &view.shared.snapshot;
        let server = |id: ServerId| {
            let (proxy, index) = snapshot.servers[id.index()];
            let px = snapshot.proxy(proxy);
            (px.name.clone(), px.backend().servers[index].name.clone())
        };
        ClientState {
            listener,
            src: s.src,
            dst: s.known_dst(),
            header: s.header.as_ref().map(|h| (h.at, Blob(h.tlvs.as_bytes().to_vec()))),
            start: s.start,
            start_wall: s.start_wall,
            exchanges: s.exchanges,
            sent: s.sent,
            tcp_http: s.tcp_http.map(|id| view.proxy(id).name.clone()),
            last_server: s.last_server.map(server),
            vars: s.vars.all(),
            tracks: tracks_of(&s.tracks),
        }
    }

    /// The session here. What is not known here is left out.
    pub fn session(self, worker: Rc<Worker>, listener: ListenerId, socket: Socket) -> Session {
        let mut s = Session::inherited(worker, listener, socket, self.src);
        s.set_known_dst(self.dst);
        // They were read once already: what cannot be read is none of ours.
        s.header = self.header.map(|(at, Blob(tlvs))| {
            let tlvs = Tlvs::parse(&tlvs).unwrap_or_default();
            Box::new(Proxied { at: at.min(now()), tlvs })
        });
        (s.start, s.start_wall) = (self.start.min(now()), self.start_wall);
        (s.exchanges, s.sent) = (self.exchanges, self.sent);
        let snapshot = &s.view.shared.snapshot;
        s.tcp_http = self.tcp_http.map(|name| {
            let backend = snapshot.backend(&name).filter(|px| px.mode == Mode::Http);
            // It may be the frontend itself, which has switched to HTTP and knows its backend later.
            backend.map_or(s.frontend, |px| px.id)
        });
        s.last_server =
            self.last_server.and_then(|(px, server)| server_of(&s.view, &px, &server)).map(|srv| srv.id);
        s.vars = VarStore::from_all(self.vars);
        s.tracks = resume_tracks(&s.view, &self.tracks);
        s
    }
}

pub(super) fn server_of<'v>(view: &'v View, backend: &str, server: &str) -> Option<&'v Server> {
    view.shared.snapshot.backend(backend)?.backend().server(server)
}

pub(super) fn tracks_of(tracks: &[Track]) -> Vec<TrackState> {
    let state = |(sc, table, key): (usize, &str, Vec<u8>)| TrackState {
        sc: sc as u32,
        table: table.to_owned(),
        key: Blob(key),
    };
    tracks.iter().filter_map(Track::place).map(state).collect()
}

pub(super) fn resume_tracks(view: &Rc<View>, states: &[TrackState]) -> Vec<Track> {
    states.iter().filter_map(|t| Track::resume(view, t.sc as usize, &t.table, &t.key.0)).collect()
}
