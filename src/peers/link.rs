//! One connection with a peer: bytes between its socket and its session.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::error::CloseReason;
use super::exchange::Budget;
use super::group::SessionId;
use super::section::{LINGER_MAX, Section};
use super::session::{Event, Session};
use crate::base::time::Mono;
use crate::log::Level;
use crate::net::{RecvBuf, SockAddr, Socket};
use crate::runtime::{self, Notify, Timer};

/// Bytes that are made for sending at once.
const CHUNK: usize = 16 * 1024;
/// With so many bytes waiting for the kernel, no more are made ...
const PENDING_MAX: usize = 64 * 1024;
/// ... until only so many wait.
const PENDING_LOW: usize = 16 * 1024;
/// What is said last may take so long to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection, from the call or the accept on.
pub struct Link {
    pub(super) id: SessionId,
    peer: Cell<Option<usize>>,
    /// `None` while the connection is being opened.
    session: RefCell<Option<Session>>,
    closing: Cell<Option<CloseReason>>,
    teaches: Cell<bool>,
    news: Notify,
    has_news: Cell<bool>,
    /// Turns of its task.
    turns: Cell<u64>,
    /// Both ends: ours, theirs.
    ends: RefCell<Option<(SockAddr, SockAddr)>>,
}

/// What a task waited for.
enum Woke {
    Data(RecvBuf),
    /// The connection is over.
    End,
    /// A change, room, or time.
    News,
}

impl Link {
    pub(super) fn new(id: SessionId, peer: Option<usize>) -> Link {
        Link {
            id,
            peer: Cell::new(peer),
            session: RefCell::new(None),
            closing: Cell::new(None),
            teaches: Cell::new(false),
            news: Notify::new(),
            has_news: Cell::new(false),
            turns: Cell::new(0),
            ends: RefCell::new(None),
        }
    }

    /// The member at the other end, once that is known.
    pub fn peer(&self) -> Option<usize> {
        self.peer.get()
    }

    /// Whether its handshake is over.
    pub fn is_open(&self) -> bool {
        self.with_session(|s| s.is_open()) == Some(true)
    }

    /// Turns of its task.
    pub fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// The addresses of both ends: ours, theirs.
    pub fn ends(&self) -> Option<(SockAddr, SockAddr)> {
        self.ends.borrow().clone()
    }

    /// Acts on the session, when there is one.
    pub fn with_session<R>(&self, f: impl FnOnce(&mut Session) -> R) -> Option<R> {
        self.session.borrow_mut().as_mut().map(f)
    }

    /// There may be something to send.
    pub(super) fn wake(&self) {
        self.has_news.set(true);
        self.news.notify_all();
    }

    /// End it.
    pub(super) fn close(&self, reason: CloseReason) {
        self.closing.set(Some(reason));
        self.wake();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get().is_some()
    }

    /// Push all we know as soon as the peer listens.
    pub(super) fn teach_on_open(&self) {
        self.teaches.set(true);
    }
}

/// A session on a connection that we opened.
pub(super) async fn run_client(
    section: &Rc<Section>,
    link: &Rc<Link>,
    socket: Socket,
    peer: usize,
    minor: u32,
) {
    let session = {
        let group = section.group.borrow();
        let mut session = Session::client(
            &section.conf.members[peer].name,
            &section.names.local,
            std::process::id(),
            minor,
            &section.tables,
            group.positions(peer),
            runtime::now(),
        );
        session.set_up_to_date(group.is_up_to_date());
        session
    };
    run(section, link, socket, session).await;
}

/// A session on a connection that a peer opened.
pub(super) async fn run_server(section: &Rc<Section>, link: &Rc<Link>, socket: Socket) {
    let now = runtime::now();
    let mut session = Session::server(section.names.clone(), section.is_stopping(), &section.tables, now);
    session.set_up_to_date(section.group.borrow().is_up_to_date());
    run(section, link, socket, session).await;
}

async fn run(section: &Rc<Section>, link: &Rc<Link>, socket: Socket, session: Session) {
    *link.session.borrow_mut() = Some(session);
    *link.ends.borrow_mut() = socket.local_addr().ok().zip(socket.peer_addr().ok());
    let mut timer = Timer::new();
    let reason = loop {
        link.turns.set(link.turns.get() + 1);
        link.has_news.set(false);
        if let Some(reason) = link.closing.get() {
            link.with_session(|s| s.close(reason));
        }
        if let Some(reason) = handle_events(section, link) {
            break reason;
        }
        let full = socket.send_pending() > PENDING_MAX;
        if !full && send(section, link, &socket) {
            // There is more, but others have their turn first.
            runtime::yield_now().await;
            match socket.try_recv() {
                None => continue,
                Some(Ok(data)) if !data.is_empty() => {
                    receive(section, link, &data);
                    continue;
                }
                Some(_) => {
                    link.with_session(|s| s.close(CloseReason::Disconnected));
                    continue;
                }
            }
        }
        timer.set(link.with_session(|s| s.deadline()).unwrap_or(Mono::NEVER));
        match wait(link, &socket, &mut timer, full).await {
            Woke::Data(data) => receive(section, link, &data),
            Woke::End => {
                link.with_session(|s| s.close(CloseReason::Disconnected));
            }
            Woke::News => {
                link.with_session(|s| s.on_timer(runtime::now()));
            }
        }
    };
    finish(section, link, &socket, reason).await;
}

fn receive(section: &Section, link: &Link, data: &[u8]) {
    let now = runtime::now();
    link.with_session(|s| s.handle_input(data, &section.tables, now));
}

/// Hands the kernel what may be sent. True when there is more right now.
fn send(section: &Section, link: &Link, socket: &Socket) -> bool {
    let mut out = runtime::take_vec();
    let budget = Budget { bytes: CHUNK, updates: section.conf.max_updates as usize };
    let more = link.with_session(|s| s.poll_some(&section.tables, runtime::now(), &mut out, budget));
    if out.is_empty() {
        runtime::put_vec(out);
    } else {
        socket.send(out);
    }
    more == Some(true)
}

async fn wait(link: &Link, socket: &Socket, timer: &mut Timer, full: bool) -> Woke {
    let mut news = pin!(link.news.notified());
    std::future::poll_fn(|cx| {
        match socket.poll_recv(cx) {
            Poll::Ready(Ok(data)) if !data.is_empty() => return Poll::Ready(Woke::Data(data)),
            Poll::Ready(_) => return Poll::Ready(Woke::End),
            Poll::Pending => {}
        }
        if full && let Poll::Ready(sent) = socket.poll_sent(cx, PENDING_LOW) {
            return Poll::Ready(if sent.is_ok() { Woke::News } else { Woke::End });
        }
        if link.has_news.get() || timer.poll_expired(cx).is_ready() {
            return Poll::Ready(Woke::News);
        }
        news.as_mut().poll(cx).map(|()| Woke::News)
    })
    .await
}

/// What the session has to tell. The reason when it is over.
fn handle_events(section: &Rc<Section>, link: &Rc<Link>) -> Option<CloseReason> {
    loop {
        let event = link.with_session(|s| s.poll_event()).flatten()?;
        match event {
            Event::Established { peer, .. } => established(section, link, &peer),
            Event::LessonBegun => {}
            Event::LessonConfirmed => {
                if link.teaches.get() {
                    section.say(Level::Notice, "the new process knows what this one knows");
                    section.handed_over();
                }
            }
            Event::Learned { complete } => {
                let name = link.peer().map_or("", |p| section.conf.members[p].name.as_str());
                let much = if complete { "everything" } else { "what it knows" };
                if section.group.borrow_mut().learned(link.id, complete, runtime::now()) {
                    section.say(Level::Notice, &format!("{name} has taught {much}"));
                    section.wake();
                }
            }
            Event::Closed(reason) => return Some(reason),
        }
    }
}

fn established(section: &Rc<Section>, link: &Rc<Link>, name: &str) {
    let now = runtime::now();
    let mut group = section.group.borrow_mut();
    // The handshake takes members only.
    let Some(peer) = group.find(name) else { return };
    link.peer.set(Some(peer));
    let member = &section.conf.members[peer];
    let shard =
        (member.shard > 0 && peer != section.conf.local).then_some((member.shard, section.conf.shards));
    link.with_session(|s| {
        s.resume(group.positions(peer));
        s.set_shard(shard);
        if link.teaches.get() {
            s.teach(&section.tables);
        }
    });
    group.established(peer, link.id, now);
    drop(group);
    let mut members = section.members.borrow_mut();
    let state = &mut members[peer];
    (state.status, state.changed) = ("ESTA", Some(now));
    state.connects += 1;
    drop(members);
    section.say(Level::Notice, &format!("session with {name} established"));
    section.wake();
}

/// The end: what is still to be said, then the books.
async fn finish(section: &Rc<Section>, link: &Rc<Link>, socket: &Socket, reason: CloseReason) {
    let now = runtime::now();
    send(section, link, socket);
    if let Some(session) = link.session.borrow().as_ref() {
        let mut group = section.group.borrow_mut();
        group.closed(link.id, &reason, session.positions(), now);
        if let Some(peer) = link.peer() {
            book(&mut section.members.borrow_mut()[peer], session, reason);
        }
    }
    section.links.borrow_mut().remove(&link.id);
    match link.peer() {
        Some(peer) => {
            let name = &section.conf.members[peer].name;
            let level = if reason == CloseReason::Stopping { Level::Notice } else { Level::Warning };
            section.say(level, &format!("session with {name} is over: {reason}"));
        }
        // Nothing was wrong with it, and there may be very many.
        None if reason == CloseReason::Crowded => {}
        None => section.say(Level::Warning, &format!("a connection is over: {reason}")),
    }
    section.wake();
    if section.lingering.get() < LINGER_MAX || reason == CloseReason::Stopping {
        section.lingering.set(section.lingering.get() + 1);
        linger(socket, reason, now).await;
        section.lingering.set(section.lingering.get() - 1);
    }
}

/// Let what was said last arrive.
async fn linger(socket: &Socket, reason: CloseReason, now: Mono) {
    if socket.send_pending() > 0 {
        let _ = runtime::timeout_at(now + LAST_WORDS, socket.flushed()).await;
    }
    if matches!(reason, CloseReason::Refused(_) | CloseReason::Misbehaved(_) | CloseReason::Stopping) {
        // What the peer has sent and we never read would turn the close into a reset, which may overtake our answer.
        let _ = socket.shutdown_write();
        let _ = runtime::timeout_at(now + LAST_WORDS, drained(socket)).await;
    }
}

async fn drained(socket: &Socket) {
    let mut left = 16;
    while left > 0 && socket.recv().await.is_ok_and(|data| !data.is_empty()) {
        left -= 1;
    }
}

fn book(state: &mut super::section::MemberState, session: &Session, reason: CloseReason) {
    let c = session.counters();
    state.heartbeats.0 += c.heartbeats_sent;
    state.heartbeats.1 += c.heartbeats_received;
    state.updates.0 += c.updates_sent;
    state.updates.1 += c.updates_received;
    state.updates.2 += c.updates_ignored;
    state.changed = Some(runtime::now());
    state.status = match reason {
        CloseReason::Misbehaved(_) | CloseReason::BadHandshake | CloseReason::PeerProtocolError => {
            state.protocol_errors += 1;
            "PROT"
        }
        CloseReason::PeerSizeLimit | CloseReason::Unconfirmed => {
            state.protocol_errors += 1;
            "SIZE"
        }
        CloseReason::Silent => {
            state.silences += 1;
            "CLOS"
        }
        CloseReason::Replaced => {
            state.collisions += 1;
            // The newer one has said how it is.
            state.status
        }
        CloseReason::Refused(_) | CloseReason::RefusedByPeer(_) => "REFU",
        CloseReason::HandshakeTimeout => "TIME",
        CloseReason::Disconnected | CloseReason::Stopping | CloseReason::Crowded => "CLOS",
    };
}
