//! A peers section at work, on one thread: its sessions, its listener, its reconnections, its end.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::conf::SectionConf;
use super::error::CloseReason;
use super::feed::Feed;
use super::group::{Action, Group, SessionId};
use super::handshake::{MINOR, Members};
use super::link::{self, Link};
use super::view::TableView;
use crate::base::time::Mono;
use crate::log::{self, Level};
use crate::net::{Listener, Socket};
use crate::runtime::{self, Notify, Timer};
use crate::stick;

/// Connections whose peer has not said its name yet, at most: the oldest gives way to a newer one, so that mute
/// strangers cannot keep a peer out.
const NAMELESS_MAX: usize = 64;
/// Connections that linger after their end, so that what was said last arrives, at most.
pub(super) const LINGER_MAX: usize = 64;
/// How often what was learned and found no room is tried again.
const ROOM_PAUSE: Duration = Duration::from_millis(50);
/// Opening a connection takes no longer.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// An old process tries so often to reach the new one ...
const HAND_OVER_TRIES: u32 = 20;
/// ... and waits so long in between.
const HAND_OVER_PAUSE: Duration = Duration::from_millis(100);

/// A section that is to be started: made before the threads are, so that none misses a change.
pub struct Prepared {
    pub(super) conf: Arc<SectionConf>,
    pub(super) feeds: Vec<Arc<Feed>>,
}

/// Prepares all sections.
pub fn prepare(
    confs: &[Arc<SectionConf>],
    defs: &[stick::TableDef],
    tables: &Arc<stick::Tables>,
    threads: usize,
) -> Vec<Prepared> {
    let feed = |id: &stick::TableId| Feed::new(*id, defs, tables, threads).map(Arc::new);
    let one = |conf: &Arc<SectionConf>| {
        let active = conf.is_active();
        let feeds = if active { conf.tables.iter().filter_map(feed).collect() } else { Vec::new() };
        Prepared { conf: conf.clone(), feeds }
    };
    confs.iter().map(one).collect()
}

/// What is remembered of a member beyond its sessions.
#[derive(Clone, Debug, Default)]
pub struct MemberState {
    /// How its last session ended, or went on.
    pub status: &'static str,
    /// Sessions that came to stand.
    pub connects: u64,
    /// Sessions that ended because the peer broke the protocol.
    pub protocol_errors: u64,
    /// Sessions that ended because the peer fell silent.
    pub silences: u64,
    /// Sessions that gave way to a newer one.
    pub collisions: u64,
    /// Heartbeats of past sessions: sent, received.
    pub heartbeats: (u64, u64),
    /// Updates of past sessions: sent, received, ignored.
    pub updates: (u64, u64, u64),
    /// When its last session came to stand or ended.
    pub changed: Option<Mono>,
}

/// How far an old process is with teaching the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandOver {
    /// There is nothing to do.
    No,
    Running,
    Done,
}

/// A section at work.
pub struct Section {
    pub(super) conf: Arc<SectionConf>,
    pub(super) names: Members,
    pub(super) tables: Vec<Arc<dyn TableView>>,
    pub(super) feeds: Vec<Arc<Feed>>,
    pub(super) group: RefCell<Group>,
    pub(super) links: RefCell<BTreeMap<SessionId, Rc<Link>>>,
    pub(super) members: RefCell<Vec<MemberState>>,
    /// Times that the section's own task ran.
    pub(super) turns: Cell<u64>,
    pub(super) hand_over: Cell<HandOver>,
    /// Connections that are over and linger.
    pub(super) lingering: Cell<usize>,
    stopping: Cell<bool>,
    next_id: Cell<SessionId>,
    /// The group is to be asked for actions.
    news: Notify,
    has_news: Cell<bool>,
    /// The listener is to be closed.
    deaf: Notify,
    is_over: Box<dyn Fn()>,
}

thread_local! {
    static SECTIONS: RefCell<Vec<Rc<Section>>> = const { RefCell::new(Vec::new()) };
}

/// The sections that run on this thread.
pub fn with_sections<R>(f: impl FnOnce(&[Rc<Section>]) -> R) -> R {
    let sections = SECTIONS.with_borrow(Clone::clone);
    f(&sections)
}

/// Starts the sections on this thread. `listeners` are the sockets of their local members, by the sections' positions.
/// `on_over` is called when a section that was stopped needs the thread no longer.
pub fn start(
    prepared: Vec<Prepared>,
    listeners: Vec<(usize, OwnedFd)>,
    on_over: impl Fn() + Clone + 'static,
) {
    let sections: Vec<Rc<Section>> =
        prepared.into_iter().map(|p| Section::new(p, Box::new(on_over.clone()))).collect();
    SECTIONS.set(sections.clone());
    for (at, section) in sections.iter().enumerate().filter(|(_, s)| s.conf.is_active()) {
        for (table, feed) in section.feeds.iter().enumerate() {
            if let Some(changes) = feed.table().changes() {
                let handle = runtime::handle();
                changes.on_change(move || handle.post(Box::new(move || changed(at, table))));
            }
            feed.collect();
        }
        runtime::spawn(manage(section.clone()));
        runtime::spawn(find_room(section.clone()));
    }
    for (at, fd) in listeners {
        if let Some(section) = sections.get(at) {
            runtime::spawn(listen(section.clone(), fd));
        }
    }
}

/// Tells sections to stop: sessions end, and a newer process that listens in our place is taught.
pub fn stop() {
    with_sections(|all| all.iter().for_each(Section::stop));
}

/// Whether stopped sections need the thread no longer. True on threads without any.
pub fn is_over() -> bool {
    with_sections(|all| all.iter().all(|s| s.hand_over.get() != HandOver::Running))
}

/// The end of the thread: nothing may keep its sections.
pub fn forget() {
    SECTIONS.take();
}

/// Entries of a table changed.
fn changed(section: usize, table: usize) {
    with_sections(|all| {
        let Some(section) = all.get(section) else { return };
        if section.feeds.get(table).is_some_and(|f| f.collect()) {
            section.links.borrow().values().for_each(|l| l.wake());
        }
    });
}

impl Section {
    fn new(prepared: Prepared, is_over: Box<dyn Fn()>) -> Rc<Section> {
        let Prepared { conf, feeds } = prepared;
        let (names, now) = (conf.names(), runtime::now());
        let group = Group::new(&names, conf.predecessor, now.0 ^ u64::from(std::process::id()), now);
        let state = MemberState { status: "NONE", ..MemberState::default() };
        Rc::new(Section {
            names,
            tables: feeds.iter().map(|f| f.clone() as Arc<dyn TableView>).collect(),
            feeds,
            group: RefCell::new(group),
            links: RefCell::default(),
            members: RefCell::new(vec![state; conf.members.len()]),
            turns: Cell::new(0),
            hand_over: Cell::new(HandOver::No),
            lingering: Cell::new(0),
            stopping: Cell::new(false),
            next_id: Cell::new(1),
            news: Notify::new(),
            has_news: Cell::new(false),
            deaf: Notify::new(),
            is_over,
            conf,
        })
    }

    /// The section's task looks around.
    pub(super) fn wake(&self) {
        self.has_news.set(true);
        self.news.notify_all();
    }

    pub(super) fn say(&self, level: Level, text: &str) {
        let line = format!("peers {}: {text}", self.conf.name);
        log::emit_system(&self.conf.log, level, &line, runtime::wall());
    }

    /// As configured.
    pub fn conf(&self) -> &SectionConf {
        &self.conf
    }

    /// All members together.
    pub fn group(&self) -> Ref<'_, Group> {
        self.group.borrow()
    }

    /// What is known of a member.
    pub fn member(&self, at: usize) -> MemberState {
        self.members.borrow().get(at).cloned().unwrap_or_default()
    }

    /// The connection with a member: the one that counts, or one that is being made.
    pub fn link_of(&self, member: usize) -> Option<Rc<Link>> {
        let links = self.links.borrow();
        let mut all = links.values().filter(|l| l.peer() == Some(member));
        let any = all.clone().next_back().cloned();
        all.find(|l| l.is_open()).cloned().or(any)
    }

    /// The replicated tables.
    pub fn feeds(&self) -> &[Arc<Feed>] {
        &self.feeds
    }

    /// Times that its task ran.
    pub fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// Whether the section is being stopped.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    fn new_link(self: &Rc<Section>, peer: Option<usize>) -> Rc<Link> {
        let id = self.next_id.replace(self.next_id.get() + 1);
        let link = Rc::new(Link::new(id, peer));
        self.links.borrow_mut().insert(id, link.clone());
        link
    }

    /// Whether one more connection may come that has not said its name; the oldest of too many is closed.
    fn has_room(&self) -> bool {
        let links = self.links.borrow();
        let nameless: Vec<&Rc<Link>> = links.values().filter(|l| l.peer().is_none()).collect();
        let mut mute = nameless.iter().filter(|l| !l.is_closing());
        if mute.clone().count() >= NAMELESS_MAX
            && let Some(oldest) = mute.next()
        {
            oldest.close(CloseReason::Crowded);
        }
        // Those that give way are gone after their next turn.
        nameless.len() < 2 * NAMELESS_MAX
    }

    fn stop(self: &Rc<Section>) {
        if self.stopping.replace(true) || !self.conf.is_active() {
            return;
        }
        self.deaf.notify_all();
        let links: Vec<Rc<Link>> = self.links.borrow().values().cloned().collect();
        links.iter().for_each(|l| l.close(CloseReason::Stopping));
        // Also when we do not know everything ourselves: the session says so at the end of the lesson.
        if self.conf.listen.is_some() {
            self.hand_over.set(HandOver::Running);
            runtime::spawn(hand_over(self.clone()));
        }
        self.wake();
    }

    /// The newer process knows what we know, or there is none.
    pub(super) fn handed_over(&self) {
        if self.hand_over.get() == HandOver::Running {
            self.hand_over.set(HandOver::Done);
            (self.is_over)();
        }
    }

    fn act(self: &Rc<Section>, action: Action) {
        match action {
            Action::Connect { peer, minor } => {
                let link = self.new_link(Some(peer));
                self.group.borrow_mut().calling(peer, link.id);
                runtime::spawn(call(self.clone(), link, peer, minor));
            }
            Action::Close(id) => self.with_link(id, |l| l.close(CloseReason::Replaced)),
            Action::RequestResync(id) => self.with_link(id, |l| {
                l.with_session(|s| s.request_resync());
                l.wake();
            }),
            Action::UpToDate => {
                for link in self.links.borrow().values() {
                    link.with_session(|s| s.set_up_to_date(true));
                }
                self.say(Level::Notice, "this node is up to date");
            }
        }
    }

    fn with_link(&self, id: SessionId, f: impl FnOnce(&Link)) {
        let link = self.links.borrow().get(&id).cloned();
        if let Some(link) = link {
            f(&link);
        }
    }
}

/// Stores what was learned while its table had no room on this thread.
async fn find_room(section: Rc<Section>) {
    loop {
        runtime::sleep(ROOM_PAUSE).await;
        let now = runtime::now();
        section.feeds.iter().filter(|f| f.has_waiting()).for_each(|f| f.store_waiting(now));
    }
}

/// The section's own task: does what the group says.
async fn manage(section: Rc<Section>) {
    let mut timer = Timer::new();
    while !section.stopping.get() {
        section.turns.set(section.turns.get() + 1);
        section.has_news.set(false);
        section.group.borrow_mut().on_timer(runtime::now());
        loop {
            let action = section.group.borrow_mut().poll_action();
            let Some(action) = action else { break };
            section.act(action);
        }
        timer.set(section.group.borrow().deadline());
        let mut news = pin!(section.news.notified());
        std::future::poll_fn(|cx| {
            if section.has_news.get() || timer.poll_expired(cx).is_ready() {
                return Poll::Ready(());
            }
            std::future::Future::poll(news.as_mut(), cx)
        })
        .await;
    }
}

/// Opens a connection to a member and keeps the session on it.
async fn call(section: Rc<Section>, link: Rc<Link>, peer: usize, minor: u32) {
    let socket = match connect(&section, peer).await {
        Ok(socket) if !link.is_closing() && !section.stopping.get() => socket,
        other => {
            section.links.borrow_mut().remove(&link.id);
            if other.is_err() {
                section.members.borrow_mut()[peer].status = "CONN";
            }
            section.group.borrow_mut().call_failed(peer, runtime::now());
            section.wake();
            return;
        }
    };
    link::run_client(&section, &link, socket, peer, minor).await;
}

async fn connect(section: &Section, peer: usize) -> Result<Socket, ()> {
    let member = section.conf.members.get(peer).ok_or(())?;
    let addr = member.addr.as_ref().ok_or(())?;
    let until = runtime::now() + CONNECT_MAX;
    let opened = runtime::timeout_at(until, Socket::connect(addr, &member.connect)).await;
    opened.and_then(Result::ok).ok_or(())
}

/// What a listening socket brings.
enum Heard {
    Connection(Socket),
    End,
}

async fn listen(section: Rc<Section>, fd: OwnedFd) {
    let Ok(listener) = Listener::from_fd(fd) else {
        section.say(Level::Alert, "cannot listen");
        return;
    };
    while !section.stopping.get() {
        let mut deaf = pin!(section.deaf.notified());
        let heard = std::future::poll_fn(|cx| {
            if std::future::Future::poll(deaf.as_mut(), cx).is_ready() {
                return Poll::Ready(Heard::End);
            }
            listener.poll_accept(cx).map(|r| r.map_or(Heard::End, |(socket, _)| Heard::Connection(socket)))
        })
        .await;
        match heard {
            Heard::Connection(socket) if !section.conf.is_active() => drop(socket),
            Heard::Connection(socket) => {
                while !section.has_room() {
                    runtime::yield_now().await;
                }
                let link = section.new_link(None);
                let section = section.clone();
                runtime::spawn(async move { link::run_server(&section, &link, socket).await });
            }
            Heard::End => break,
        }
    }
}

/// An old process teaches the one that took its place, then tells it of each further change.
async fn hand_over(section: Rc<Section>) {
    let local = section.conf.local;
    for _ in 0..HAND_OVER_TRIES {
        // Our own listener is closed by then.
        runtime::sleep(HAND_OVER_PAUSE).await;
        let Ok(socket) = connect(&section, local).await else { break };
        let link = section.new_link(Some(local));
        link.teach_on_open();
        link::run_client(&section, &link, socket, local, MINOR).await;
        if section.hand_over.get() == HandOver::Done {
            return;
        }
    }
    section.handed_over();
}
