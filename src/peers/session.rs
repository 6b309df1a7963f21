//! One connection with one peer, from the handshake on: bytes and times in, bytes and events out. Table contents move
//! in [`super::exchange`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::error::{CloseReason, DecodeError, Status};
use super::exchange::{Budget, Exchange, LaneState};
use super::handshake::{self, Members};
use super::view::Tables;
use super::wire::{self, Control, Message, TableMessage};
use crate::base::time::Mono;

/// A live peer never stays silent for longer.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);
/// After this long without a message sent, a heartbeat goes out.
pub const HEARTBEAT: Duration = Duration::from_secs(3);
/// The handshake must end within this.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// What the session's owner should know; see [`Session::poll_event`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake succeeded; messages may flow. An older session with the same peer must be closed now
    /// ([`CloseReason::Replaced`]): the last connected one wins.
    Established {
        /// The peer's name.
        peer: String,
        /// The minor version both speak.
        minor: u32,
    },
    /// The peer asked for all we know; the lesson has begun.
    LessonBegun,
    /// The peer confirmed the end of the lesson.
    LessonConfirmed,
    /// The peer has pushed all it knows; `complete` when it is up to date itself.
    Learned {
        /// Whether the sender considers itself up to date.
        complete: bool,
    },
    /// The session is over. What [`Session::poll_output`] still holds should be sent before closing.
    Closed(CloseReason),
}

/// Counters for `show peers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Heartbeats sent.
    pub heartbeats_sent: u64,
    /// Heartbeats received.
    pub heartbeats_received: u64,
    /// Entry updates sent.
    pub updates_sent: u64,
    /// Entry updates received and taken over.
    pub updates_received: u64,
    /// Updates received for tables we do not have or that differ in key type or length.
    pub updates_ignored: u64,
}

#[derive(Debug)]
enum State {
    /// Client: the hello is out.
    AwaitStatus {
        peer: String,
        minor: u32,
    },
    /// Server: nothing is known yet.
    AwaitHello {
        members: Members,
        busy: bool,
    },
    Open,
    Closed,
}

/// One peers session.
#[derive(Debug)]
pub struct Session {
    state: State,
    /// Bytes of an unfinished line or message; never more than one of them.
    partial: Vec<u8>,
    /// Handshake lines and control messages on their way out.
    control: Vec<u8>,
    events: VecDeque<Event>,
    exchange: Exchange,
    up_to_date: bool,
    last_received: Mono,
    last_sent: Mono,
    deadline: Mono,
    counters: Counters,
}

impl Session {
    /// A session on a connection that we opened to `peer`. `minor` is [`handshake::MINOR`], or 0 after a refusal
    /// with [`Status::BadVersion`]. `positions` are those of [`Session::positions`] of the last session with this
    /// peer (empty at first): updates go on from there.
    pub fn client(
        peer: &str,
        local: &str,
        pid: u32,
        minor: u32,
        tables: &Tables,
        positions: &[u64],
        now: Mono,
    ) -> Session {
        let mut s = Session::new(
            State::AwaitStatus { peer: peer.to_owned(), minor },
            Exchange::new(tables, positions),
            now,
        );
        handshake::put_hello(&mut s.control, peer, local, pid, minor);
        s
    }

    /// A session on a connection that a peer opened to us. `busy` answers 300 (we are about to leave). The positions
    /// follow with [`Session::resume`] once the peer's name is known.
    pub fn server(members: Members, busy: bool, tables: &Tables, now: Mono) -> Session {
        Session::new(State::AwaitHello { members, busy }, Exchange::new(tables, &[]), now)
    }

    fn new(state: State, exchange: Exchange, now: Mono) -> Session {
        Session {
            state,
            partial: Vec::new(),
            control: Vec::new(),
            events: VecDeque::new(),
            exchange,
            up_to_date: false,
            last_received: now,
            last_sent: now,
            deadline: now + HANDSHAKE_MAX,
            counters: Counters::default(),
        }
    }

    /// Go on from `positions`; to be called on [`Event::Established`] of a server session, before output is polled.
    pub fn resume(&mut self, positions: &[u64]) {
        self.exchange.resume(positions);
    }

    /// For each table, the position up to which the peer has acknowledged our changes.
    pub fn positions(&self) -> impl Iterator<Item = u64> + '_ {
        self.exchange.positions()
    }

    /// Whether we consider ourselves up to date: the end of a lesson says so.
    pub fn set_up_to_date(&mut self, yes: bool) {
        self.up_to_date = yes;
    }

    /// Counters so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether messages may flow.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Ask the peer for all it knows. The answer is [`Event::Learned`].
    pub fn request_resync(&mut self) {
        self.send_control(Control::ResyncRequest);
    }

    /// Push all we know without being asked: an old process does so to its successor.
    pub fn teach(&mut self, tables: &Tables) {
        if self.is_open() {
            self.exchange.begin_lesson(tables);
        }
    }

    /// End the session from our side.
    pub fn close(&mut self, reason: CloseReason) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.partial = Vec::new();
            self.deadline = Mono::NEVER;
            self.events.push_back(Event::Closed(reason));
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Session::on_timer`] wants to be called at the latest; changes with input and output.
    pub fn deadline(&self) -> Mono {
        match self.state {
            State::Open => (self.last_received + SILENCE_MAX)
                .min(self.last_sent + HEARTBEAT)
                .min(self.exchange.deadline()),
            _ => self.deadline,
        }
    }

    /// Time has passed. Output and events may follow.
    pub fn on_timer(&mut self, now: Mono) {
        match self.state {
            State::Closed => {}
            State::Open => {
                if now >= self.last_received + SILENCE_MAX {
                    self.close(CloseReason::Silent);
                } else if now >= self.last_sent + HEARTBEAT {
                    self.last_sent = now;
                    self.counters.heartbeats_sent += 1;
                    self.send_control(Control::Heartbeat);
                }
                self.exchange.on_timer(now);
                if self.exchange.is_unconfirmed(now) {
                    self.close(CloseReason::Unconfirmed);
                }
            }
            State::AwaitHello { .. } | State::AwaitStatus { .. } => {
                if now >= self.deadline {
                    self.close(CloseReason::HandshakeTimeout);
                }
            }
        }
    }

    /// The peer sent `bytes`.
    pub fn handle_input(&mut self, bytes: &[u8], tables: &Tables, now: Mono) {
        if matches!(self.state, State::Closed) {
            return;
        }
        if self.partial.is_empty() {
            let left = self.consume(bytes, tables, now);
            self.partial.extend_from_slice(&bytes[bytes.len() - left..]);
        } else {
            let mut joined = std::mem::take(&mut self.partial);
            joined.extend_from_slice(bytes);
            let left = self.consume(&joined, tables, now);
            joined.drain(..joined.len() - left);
            self.partial = joined;
        }
        debug_assert!(self.partial.len() <= wire::MESSAGE_MAX_BYTES + 16);
    }

    /// Take all that is whole off the front; how many bytes are left.
    fn consume(&mut self, mut input: &[u8], tables: &Tables, now: Mono) -> usize {
        while !input.is_empty() {
            let before = input.len();
            self.step(&mut input, tables, now);
            if matches!(self.state, State::Closed) {
                return 0;
            }
            if input.len() == before {
                break;
            }
        }
        input.len()
    }

    /// Take one line or message off the front of `input`, if it is whole.
    fn step(&mut self, input: &mut &[u8], tables: &Tables, now: Mono) {
        match &self.state {
            State::Closed => {}
            State::AwaitHello { members, busy } => {
                let busy = *busy;
                match handshake::read_hello(input, members) {
                    Ok(None) => {}
                    Ok(Some(_)) if busy => self.refuse(Status::TryAgain),
                    Ok(Some(hello)) => {
                        handshake::put_status(&mut self.control, Status::Succeeded);
                        self.open(hello.from, hello.minor, now);
                    }
                    Err(status) => self.refuse(status),
                }
            }
            State::AwaitStatus { peer, minor } => match handshake::read_status(input) {
                Ok(None) => {}
                Ok(Some(Status::Succeeded)) => {
                    let (peer, minor) = (peer.clone(), *minor);
                    self.open(peer, minor, now);
                }
                Ok(Some(status)) => self.close(CloseReason::RefusedByPeer(status)),
                Err(_) => self.close(CloseReason::BadHandshake),
            },
            State::Open => match wire::next(input) {
                Ok(None) => {}
                Ok(Some(message)) => {
                    self.last_received = now;
                    if let Err(e) = self.message(message, tables, now) {
                        self.misbehaved(e);
                    }
                }
                Err(e) => self.misbehaved(e),
            },
        }
    }

    fn open(&mut self, peer: String, minor: u32, now: Mono) {
        self.state = State::Open;
        self.last_received = now;
        self.last_sent = now;
        self.exchange.set_timed(minor >= 1);
        self.events.push_back(Event::Established { peer, minor });
    }

    fn refuse(&mut self, status: Status) {
        handshake::put_status(&mut self.control, status);
        self.close(CloseReason::Refused(status));
    }

    fn misbehaved(&mut self, error: DecodeError) {
        self.control.extend(match error {
            DecodeError::MessageTooLarge => wire::ERROR_SIZE,
            _ => wire::ERROR_PROTOCOL,
        });
        self.close(CloseReason::Misbehaved(error));
    }

    fn send_control(&mut self, control: Control) {
        if self.is_open() {
            self.control.extend(control.bytes());
        }
    }

    fn message(&mut self, message: Message<'_>, tables: &Tables, now: Mono) -> Result<(), DecodeError> {
        match message {
            Message::Control(control) => self.control_message(control, tables),
            Message::ProtocolError => self.close(CloseReason::PeerProtocolError),
            Message::SizeLimit => self.close(CloseReason::PeerSizeLimit),
            Message::Table(TableMessage::Definition, body) => self.exchange.define(body, tables)?,
            Message::Table(TableMessage::Switch, body) => self.exchange.switch(body)?,
            Message::Table(TableMessage::Ack, body) => self.exchange.ack(body)?,
            Message::Table(kind, body) => {
                let learned = self.exchange.update(kind, body, tables, now)?;
                let counter = if learned {
                    &mut self.counters.updates_received
                } else {
                    &mut self.counters.updates_ignored
                };
                *counter += 1;
            }
        }
        Ok(())
    }

    fn control_message(&mut self, control: Control, tables: &Tables) {
        match control {
            Control::ResyncRequest => {
                self.exchange.begin_lesson(tables);
                self.events.push_back(Event::LessonBegun);
            }
            Control::ResyncFinished | Control::ResyncPartial => {
                self.exchange.confirm_learned();
                self.events.push_back(Event::Learned { complete: control == Control::ResyncFinished });
            }
            Control::ResyncConfirm => {
                if self.exchange.lesson_confirmed() {
                    self.events.push_back(Event::LessonConfirmed);
                }
            }
            Control::Heartbeat => self.counters.heartbeats_received += 1,
        }
    }

    /// Append what is to be sent, until `out` holds about `max_bytes`. To be called after input, after the timer, when
    /// a table has changed and when the connection takes more. Returns whether there is more right now.
    pub fn poll_output(&mut self, tables: &Tables, now: Mono, out: &mut Vec<u8>, max_bytes: usize) -> bool {
        self.poll_some(tables, now, out, Budget { bytes: max_bytes, updates: usize::MAX })
    }

    /// [`Session::poll_output`] with a limit for updates as well.
    pub fn poll_some(&mut self, tables: &Tables, now: Mono, out: &mut Vec<u8>, budget: Budget) -> bool {
        let before = out.len();
        out.append(&mut self.control);
        let mut more = false;
        if self.is_open() {
            let up_to_date = self.up_to_date;
            more = self.exchange.poll(tables, now, up_to_date, out, budget, &mut self.counters.updates_sent);
            if out.len() > before {
                self.last_sent = now;
            }
        }
        more
    }

    /// Send the entries of one shard only: its number from 1, and how many there are.
    pub fn set_shard(&mut self, shard: Option<(u32, u32)>) {
        self.exchange.set_shard(shard);
    }

    /// For each table, where the exchange is.
    pub fn lanes(&self) -> impl Iterator<Item = LaneState> + '_ {
        self.exchange.states()
    }

    /// The tables that the last updates were for: the one sent, the one received.
    pub fn last_tables(&self) -> (Option<usize>, Option<usize>) {
        self.exchange.last_tables()
    }

    /// The names in both dictionary caches, by slot: sent, received.
    pub fn dictionaries(&self) -> (Vec<Arc<str>>, Vec<Option<Arc<str>>>) {
        self.exchange.dictionaries()
    }

    /// Whether a lesson is being given, or its confirmation awaited.
    pub fn is_teaching(&self) -> bool {
        self.exchange.is_teaching()
    }
}
