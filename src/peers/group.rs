//! The peers of one section together: reconnect timing, one session per peer, and from whom to learn everything
//! after a start.

use std::collections::VecDeque;
use std::time::Duration;

use super::error::{CloseReason, Status};
use super::handshake::{MINOR, Members};
use crate::base::time::Mono;

/// A failed call is repeated after this.
const RECONNECT: Duration = Duration::from_secs(5);
/// After a session has ended, the next call waits between this ...
const REDIAL_MIN_MS: u64 = 50;
/// ... and so much longer, by chance: two peers that closed both their sessions must not collide again.
const REDIAL_SPREAD_MS: u64 = 2000;
/// How long each step of the initial resync waits for somebody to learn from.
const RESYNC_WAIT: Duration = Duration::from_secs(5);
/// How long a peer that was asked may take to teach everything.
const LESSON_MAX: Duration = Duration::from_secs(60);

/// A number that the owner gives each of its sessions.
pub type SessionId = u64;

/// What the owner is to do; see [`Group::poll_action`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection to the peer and start a client session on it; tell the group by [`Group::calling`], or by
    /// [`Group::call_failed`].
    Connect {
        /// Index in the list of members.
        peer: usize,
        /// The minor version to offer.
        minor: u32,
    },
    /// Close the session, [`CloseReason::Replaced`].
    Close(SessionId),
    /// Call the session's `request_resync`.
    RequestResync(SessionId),
    /// We know what the others know: tell every session, present and future, by `set_up_to_date`.
    UpToDate,
}

#[derive(Debug)]
struct Peer {
    name: String,
    local: bool,
    /// The session that counts, and whether its handshake is over.
    session: Option<(SessionId, bool)>,
    /// When to call; `NEVER` while a call or session is there.
    call_at: Mono,
    minor: u32,
    /// Acknowledged positions, for the next session.
    positions: Vec<u64>,
    /// It was asked and does not know everything itself.
    partial: bool,
    /// It was asked, and has not said the end yet.
    asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resync {
    /// The process before us may call and teach.
    AwaitLocal {
        until: Mono,
    },
    /// Some peer is asked, or to be asked as soon as one is there.
    Remote {
        until: Mono,
        asked: Option<SessionId>,
    },
    Done,
}

/// All peers of a section.
#[derive(Debug)]
pub struct Group {
    peers: Vec<Peer>,
    resync: Resync,
    actions: VecDeque<Action>,
    random: u64,
}

impl Group {
    /// The members of a section at the start of the process. `predecessor`: an old process of ours is there and may
    /// teach us. `seed` feeds the random delays.
    pub fn new(members: &Members, predecessor: bool, seed: u64, now: Mono) -> Group {
        let until = now + RESYNC_WAIT;
        // A process before us knows most, and is asked before anybody else is called.
        let call_at = if predecessor { until } else { now };
        let peers = members.all.iter().map(|name| {
            let local = *name == members.local;
            Peer {
                name: name.clone(),
                local,
                session: None,
                call_at: if local { Mono::NEVER } else { call_at },
                minor: MINOR,
                positions: Vec::new(),
                partial: false,
                asked: false,
            }
        });
        Group {
            peers: peers.collect(),
            resync: if predecessor {
                Resync::AwaitLocal { until }
            } else {
                Resync::Remote { until, asked: None }
            },
            actions: VecDeque::new(),
            random: seed,
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether the initial resync is over.
    pub fn is_up_to_date(&self) -> bool {
        self.resync == Resync::Done
    }

    /// Until when the initial resync waits at this step; `NEVER` when it is over.
    pub fn resync_deadline(&self) -> Mono {
        match self.resync {
            Resync::AwaitLocal { until } | Resync::Remote { until, .. } => until,
            Resync::Done => Mono::NEVER,
        }
    }

    /// When the peer is called next; `NEVER` while there is a session, or when it never is.
    pub fn call_at(&self, peer: usize) -> Mono {
        self.peers.get(peer).map_or(Mono::NEVER, |p| p.call_at)
    }

    /// Positions to start a session with this peer from.
    pub fn positions(&self, peer: usize) -> &[u64] {
        self.peers.get(peer).map_or(&[], |p| &p.positions)
    }

    /// Index of the peer of that name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.peers.iter().position(|p| p.name == name)
    }

    /// When [`Group::on_timer`] wants to be called.
    pub fn deadline(&self) -> Mono {
        self.peers.iter().map(|p| p.call_at).fold(self.resync_deadline(), Mono::min)
    }

    /// Time has passed.
    pub fn on_timer(&mut self, now: Mono) {
        for (at, peer) in self.peers.iter_mut().enumerate() {
            if now >= peer.call_at {
                // Until the owner reports back; a call whose report is lost is made again.
                peer.call_at = now + RECONNECT;
                self.actions.push_back(Action::Connect { peer: at, minor: peer.minor });
            }
        }
        match self.resync {
            Resync::AwaitLocal { until } if now >= until => self.look_for_teacher(now),
            Resync::Remote { until, asked: Some(_) } if now >= until => self.look_for_teacher(now),
            Resync::Remote { until, asked: None } if now >= until => self.done(),
            _ => {}
        }
    }

    /// A connection to the peer is being opened, or its handshake goes on, as session `id`.
    pub fn calling(&mut self, peer: usize, id: SessionId) {
        let Some(p) = self.peers.get_mut(peer) else { return };
        p.call_at = Mono::NEVER;
        if p.session.is_some() {
            // The peer was faster.
            self.actions.push_back(Action::Close(id));
        } else {
            p.session = Some((id, false));
        }
    }

    /// The connection could not be opened.
    pub fn call_failed(&mut self, peer: usize, now: Mono) {
        if let Some(p) = self.peers.get_mut(peer).filter(|p| p.session.is_none_or(|(_, open)| !open)) {
            p.session = None;
            p.call_at = now + RECONNECT;
        }
    }

    /// Session `id` with the peer has ended its handshake: it replaces any other one.
    pub fn established(&mut self, peer: usize, id: SessionId, now: Mono) {
        let Some(p) = self.peers.get_mut(peer) else { return };
        p.call_at = Mono::NEVER;
        if let Some((old, _)) = p.session.replace((id, true)).filter(|(old, _)| *old != id) {
            p.asked = false;
            self.actions.push_back(Action::Close(old));
            if matches!(self.resync, Resync::Remote { asked: Some(a), .. } if a == old) {
                self.look_for_teacher(now);
            }
        }
        if let Resync::Remote { asked: None, until } = self.resync
            && !self.ask(now)
        {
            self.resync = Resync::Remote { asked: None, until };
        }
    }

    /// Session `id` is over; `positions` are what it leaves behind.
    pub fn closed(
        &mut self,
        id: SessionId,
        reason: &CloseReason,
        positions: impl Iterator<Item = u64>,
        now: Mono,
    ) {
        let delay = Duration::from_millis(REDIAL_MIN_MS + self.next_random() % (REDIAL_SPREAD_MS + 1));
        // A replaced session is no longer its peer's: its successor has started from the same positions.
        let Some(p) = self.peers.iter_mut().find(|p| p.session.is_some_and(|(s, _)| s == id)) else { return };
        let open = p.session.take().is_some_and(|(_, open)| open);
        p.asked = false;
        if open {
            p.positions.clear();
            p.positions.extend(positions);
        }
        if *reason == CloseReason::RefusedByPeer(Status::BadVersion) {
            p.minor = 0;
        }
        if !p.local {
            p.call_at = now + if open { delay } else { RECONNECT };
        }
        if matches!(self.resync, Resync::Remote { asked: Some(a), .. } if a == id) {
            self.look_for_teacher(now);
        }
    }

    /// Session `id` said that its peer has pushed all it knows. False when nobody asked it: it is not believed then
    /// (but an older process of ours teaches without being asked).
    pub fn learned(&mut self, id: SessionId, complete: bool, now: Mono) -> bool {
        let peer = self.peers.iter_mut().find(|p| p.session.is_some_and(|(s, _)| s == id));
        if !peer.is_some_and(|p| std::mem::take(&mut p.asked) || p.local) {
            return false;
        }
        if complete {
            if matches!(self.resync, Resync::AwaitLocal { .. }) {
                let waiting = self.peers.iter_mut().filter(|p| p.call_at != Mono::NEVER);
                waiting.for_each(|p| p.call_at = p.call_at.min(now));
            }
            self.done();
            return true;
        }
        if let Some(p) = self.peers.iter_mut().find(|p| p.session.is_some_and(|(s, _)| s == id)) {
            p.partial = true;
        }
        match &mut self.resync {
            Resync::AwaitLocal { until } => *until = now + RESYNC_WAIT,
            Resync::Remote { asked: Some(a), .. } if *a == id => self.look_for_teacher(now),
            _ => {}
        }
        true
    }

    fn done(&mut self) {
        if self.resync != Resync::Done {
            self.resync = Resync::Done;
            self.actions.push_back(Action::UpToDate);
        }
    }

    fn look_for_teacher(&mut self, now: Mono) {
        let before = match self.resync {
            Resync::Remote { asked, .. } => asked,
            _ => None,
        };
        // Who did not finish in time is not asked again.
        if let Some(p) = self.peers.iter_mut().find(|p| p.session.is_some_and(|(s, _)| Some(s) == before)) {
            p.partial = true;
        }
        self.resync = Resync::Remote { until: now + RESYNC_WAIT, asked: None };
        self.ask(now);
    }

    /// Ask one of the remote peers that are there, by chance.
    fn ask(&mut self, now: Mono) -> bool {
        let pick = self.next_random();
        let able: Vec<SessionId> = self
            .peers
            .iter()
            .filter(|p| !p.local && !p.partial)
            .filter_map(|p| p.session.filter(|(_, open)| *open).map(|(id, _)| id))
            .collect();
        if able.is_empty() {
            return false;
        }
        let id = able[(pick % able.len() as u64) as usize];
        if let Some(p) = self.peers.iter_mut().find(|p| p.session.is_some_and(|(s, _)| s == id)) {
            p.asked = true;
        }
        self.resync = Resync::Remote { until: now + LESSON_MAX, asked: Some(id) };
        self.actions.push_back(Action::RequestResync(id));
        true
    }

    /// SplitMix64: spreads delays, guards nothing.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Mono = Mono(1_000_000_000);

    fn at(s: u64) -> Mono {
        T + Duration::from_secs(s)
    }

    fn group(predecessor: bool) -> Group {
        let all = ["a", "b", "c"].map(String::from).to_vec();
        Group::new(&Members { local: "a".into(), all }, predecessor, 7, T)
    }

    fn actions(g: &mut Group) -> Vec<Action> {
        std::iter::from_fn(|| g.poll_action()).collect()
    }

    fn none() -> impl Iterator<Item = u64> {
        std::iter::empty()
    }

    #[test]
    fn calls_and_repeats() {
        let mut g = group(false);
        g.on_timer(T);
        let call = |peer| Action::Connect { peer, minor: 1 };
        assert_eq!(actions(&mut g), [call(1), call(2)]);
        g.call_failed(1, T);
        g.calling(2, 20);
        g.closed(20, &CloseReason::RefusedByPeer(Status::BadVersion), none(), T);
        g.on_timer(at(4));
        assert_eq!(actions(&mut g), []);
        g.on_timer(at(5));
        let got = actions(&mut g);
        assert_eq!(got, [call(1), Action::Connect { peer: 2, minor: 0 }, Action::UpToDate]);
    }

    #[test]
    fn last_connected_session_wins() {
        let mut g = group(false);
        g.on_timer(T);
        actions(&mut g);
        g.calling(1, 10);
        // Their call arrives while ours is in its handshake.
        g.established(1, 11, T);
        assert_eq!(actions(&mut g), [Action::Close(10), Action::RequestResync(11)]);
        g.closed(10, &CloseReason::Replaced, none(), T);
        g.calling(1, 12);
        assert_eq!(actions(&mut g), [Action::Close(12)]);
        g.established(1, 13, T);
        assert_eq!(actions(&mut g), [Action::Close(11), Action::RequestResync(13)]);
        g.closed(13, &CloseReason::Silent, [4, 5].into_iter(), T);
        assert_eq!(g.positions(1), [4, 5]);
        let wait = g.peers[1].call_at.since(T);
        assert!(wait >= Duration::from_millis(50) && wait <= Duration::from_millis(2050), "{wait:?}");
    }

    #[test]
    fn resync_goes_from_peer_to_peer() {
        let mut g = group(true);
        assert!(!g.is_up_to_date());
        g.established(0, 1, T);
        g.learned(1, false, at(3));
        g.established(1, 10, at(3));
        g.on_timer(at(7));
        assert!(!actions(&mut g).contains(&Action::RequestResync(10)), "still waits for its predecessor");
        g.on_timer(at(8));
        assert_eq!(actions(&mut g).last(), Some(&Action::RequestResync(10)));
        g.established(2, 20, at(9));
        assert_eq!(actions(&mut g), []);
        g.learned(10, false, at(9));
        assert_eq!(actions(&mut g), [Action::RequestResync(20)]);
        g.closed(20, &CloseReason::Disconnected, none(), at(9));
        assert_eq!(actions(&mut g), []);
        g.established(2, 21, at(10));
        assert_eq!(actions(&mut g), [Action::RequestResync(21)]);
        g.learned(21, true, at(10));
        assert_eq!(actions(&mut g), [Action::UpToDate]);
        assert!(g.is_up_to_date());
    }

    #[test]
    fn who_was_not_asked_is_not_believed() {
        let mut g = group(false);
        g.established(1, 10, T);
        assert_eq!(actions(&mut g), [Action::RequestResync(10)]);
        g.established(2, 20, T);
        for complete in [true, false] {
            assert!(!g.learned(20, complete, T));
        }
        assert!(!g.is_up_to_date());
        assert!(g.learned(10, true, T) && g.is_up_to_date());
        assert!(!g.learned(10, true, T), "once is enough");
    }

    #[test]
    fn others_are_called_when_the_predecessor_has_taught() {
        let mut g = group(true);
        g.on_timer(T);
        assert_eq!(actions(&mut g), []);
        g.established(0, 1, T);
        g.learned(1, true, at(1));
        g.on_timer(at(1));
        let call = |peer| Action::Connect { peer, minor: 1 };
        assert_eq!(actions(&mut g), [Action::UpToDate, call(1), call(2)]);
        // Or when it does not come.
        let mut g = group(true);
        g.on_timer(at(5));
        assert_eq!(actions(&mut g), [call(1), call(2)]);
    }

    #[test]
    fn a_teacher_that_never_ends_is_given_up() {
        let mut g = group(false);
        g.established(1, 10, T);
        g.established(2, 20, T);
        let Some(Action::RequestResync(first)) = g.poll_action() else { panic!("nobody asked") };
        g.on_timer(at(60));
        assert_eq!(actions(&mut g), [Action::RequestResync(30 - first)]);
        g.on_timer(at(120));
        assert_eq!(actions(&mut g), []);
        g.on_timer(at(125));
        assert_eq!(actions(&mut g), [Action::UpToDate]);
    }
}
