//! Table contents in both directions of an open session: definitions, lessons, live updates, acknowledgements.
//!
//! Update ids are the session's own: each table counts from 1 in every session. A lesson sends one absolute id, and all
//! others are incremental. Live updates all carry theirs: HAProxy 3.5-dev counts wrong when it is to count itself, and
//! acknowledges ids that were never sent. Live updates go out in batches, and a table's next batch waits for the acknowledgement
//! of the one before: an entry that changes all the time is in flight once, and every batch carries its newest state.

use std::sync::Arc;
use std::time::Duration;

use super::dict::{ReceiveCache, SendCache};
use super::entry::Entry;
use super::error::DecodeError;
use super::types::TableSpec;
use super::varint;
use super::view::{TableView, Tables};
use super::wire::{self, Control, TableMessage};
use crate::base::time::Mono;

/// A peer that does not acknowledge a batch within this gets the next one all the same.
const ACK_WAIT: Duration = Duration::from_secs(1);
/// A peer that does not confirm the end of a lesson within this is not one that can be taught.
pub const CONFIRM_MAX: Duration = Duration::from_secs(60);

/// Entries with longer keys stay at home: their messages could exceed what a peer takes.
const KEY_MAX_BYTES: u32 = 8 * 1024;
const _: () = assert!((KEY_MAX_BYTES as usize) < wire::MESSAGE_MAX_BYTES / 2 + 1);

/// One table's two directions.
#[derive(Debug, Default)]
struct Lane {
    /// Sent up to this position.
    sent_position: u64,
    /// Acknowledged up to this position.
    acked_position: u64,
    /// Update id of the last entry sent, 0 before the first.
    sent_id: u32,
    /// Update id last acknowledged.
    acked_id: u32,
    /// Where the batch at hand ends, and the update id before it, until all of it is sent.
    batch: Option<(u64, u32)>,
    /// When an unacknowledged batch is given up on.
    ack_deadline: Option<Mono>,
    /// The peer's number and definition of this table, when they can be exchanged.
    remote: Option<(u64, TableSpec)>,
    /// Last update id received, and whether it is still to be acknowledged.
    received_id: u32,
    owes_ack: bool,
}

/// Where updates that come in go.
#[derive(Debug)]
enum Incoming {
    Undefined,
    /// The last definition named a table that we do not have or cannot exchange. Where that can be read, what comes for
    /// it is: names are told once for all tables.
    Ignored(Option<Box<TableSpec>>),
    Table(usize),
}

/// A full push of all tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lesson {
    None,
    /// Walking through a table.
    Running {
        table: usize,
        cursor: u64,
    },
    /// The end was said; the peer's confirmation is to come. Live updates wait for it.
    AwaitConfirm {
        until: Mono,
    },
}

/// What a table's peers may know about an exchange, for `show peers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneState {
    /// The peer's number of the table, 0 before it has said one.
    pub remote_id: u64,
    /// The data types that the peer defined, a bit each.
    pub remote_data: u64,
    /// Update id that the peer has acknowledged last.
    pub last_acked: u32,
    /// Update id sent last.
    pub last_pushed: u32,
    /// Update id received last.
    pub last_get: u32,
    /// Update id received that we have acknowledged last.
    pub last_get_acked: u32,
    /// Local changes up to this position were sent.
    pub position: u64,
}

/// How much may be sent by one call.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Bytes in the output, about.
    pub bytes: usize,
    /// Updates.
    pub updates: usize,
}

/// See the module's head.
#[derive(Debug)]
pub struct Exchange {
    lanes: Vec<Lane>,
    incoming: Incoming,
    /// The table that the peer holds for the current one of our updates.
    outgoing: Option<usize>,
    /// The peer's table that our last update was for.
    last_incoming: Option<usize>,
    /// Only the entries of this shard go to the peer: its number from 1, and how many there are.
    shard: Option<(u32, u32)>,
    lesson: Lesson,
    owes_confirm: bool,
    timed: bool,
    send_dict: SendCache,
    receive_dict: ReceiveCache,
    entry: Entry,
    body: Vec<u8>,
}

impl Exchange {
    pub fn new(tables: &Tables, positions: &[u64]) -> Exchange {
        let mut e = Exchange {
            lanes: tables.iter().map(|_| Lane::default()).collect(),
            incoming: Incoming::Undefined,
            outgoing: None,
            last_incoming: None,
            shard: None,
            lesson: Lesson::None,
            owes_confirm: false,
            timed: true,
            send_dict: SendCache::default(),
            receive_dict: ReceiveCache::default(),
            entry: Entry::default(),
            body: Vec::new(),
        };
        e.resume(positions);
        e
    }

    pub fn resume(&mut self, positions: &[u64]) {
        for (lane, position) in self.lanes.iter_mut().zip(positions) {
            lane.sent_position = *position;
            lane.acked_position = *position;
        }
    }

    pub fn positions(&self) -> impl Iterator<Item = u64> + '_ {
        self.lanes.iter().map(|l| l.acked_position)
    }

    /// Whether the peer understands timed updates.
    pub fn set_timed(&mut self, timed: bool) {
        self.timed = timed;
    }

    /// Send the entries of one shard only.
    pub fn set_shard(&mut self, shard: Option<(u32, u32)>) {
        self.shard = shard;
    }

    /// For each table.
    pub fn states(&self) -> impl Iterator<Item = LaneState> + '_ {
        self.lanes.iter().map(|l| LaneState {
            remote_id: l.remote.as_ref().map_or(0, |(id, _)| *id),
            remote_data: l.remote.as_ref().map_or(0, |(_, spec)| spec.data_bits()),
            last_acked: l.acked_id,
            last_pushed: l.sent_id,
            last_get: l.received_id,
            last_get_acked: if l.owes_ack { 0 } else { l.received_id },
            position: l.sent_position,
        })
    }

    /// The tables that the last updates were for: the one sent, the one received.
    pub fn last_tables(&self) -> (Option<usize>, Option<usize>) {
        (self.outgoing, self.last_incoming)
    }

    /// Whether a lesson is being given, or its confirmation awaited.
    pub fn is_teaching(&self) -> bool {
        self.lesson != Lesson::None
    }

    /// The names in both dictionary caches, by slot: sent, received.
    pub fn dictionaries(&self) -> (Vec<Arc<str>>, Vec<Option<Arc<str>>>) {
        (self.send_dict.names().cloned().collect(), self.receive_dict.names().to_vec())
    }

    pub fn deadline(&self) -> Mono {
        let lesson = if let Lesson::AwaitConfirm { until } = self.lesson { until } else { Mono::NEVER };
        self.lanes.iter().filter_map(|l| l.ack_deadline).fold(lesson, Mono::min)
    }

    /// The peer was to confirm a lesson and did not.
    pub fn is_unconfirmed(&self, now: Mono) -> bool {
        matches!(self.lesson, Lesson::AwaitConfirm { until } if now >= until)
    }

    pub fn on_timer(&mut self, now: Mono) {
        for lane in &mut self.lanes {
            if lane.ack_deadline.is_some_and(|d| now >= d) {
                lane.ack_deadline = None;
            }
        }
    }

    pub fn begin_lesson(&mut self, tables: &Tables) {
        for (lane, table) in self.lanes.iter_mut().zip(tables) {
            // What changes from here on is a live update after the lesson.
            lane.sent_position = table.position();
            lane.batch = None;
            lane.ack_deadline = None;
        }
        self.lesson = Lesson::Running { table: 0, cursor: 0 };
    }

    pub fn lesson_confirmed(&mut self) -> bool {
        let awaited = matches!(self.lesson, Lesson::AwaitConfirm { .. });
        if awaited {
            self.lesson = Lesson::None;
            for lane in &mut self.lanes {
                lane.acked_position = lane.sent_position;
            }
        }
        awaited
    }

    pub fn confirm_learned(&mut self) {
        self.owes_confirm = true;
    }

    pub fn define(&mut self, body: &[u8], tables: &Tables) -> Result<(), DecodeError> {
        self.incoming = Incoming::Ignored(None);
        let mut at = None;
        let (id, spec) = TableSpec::decode(body, |name| {
            at = tables.iter().position(|t| t.spec().name == name);
            at.is_some()
        })?;
        // A number means one table at a time.
        for lane in &mut self.lanes {
            if lane.remote.as_ref().is_some_and(|(n, _)| *n == id) {
                lane.remote = None;
            }
        }
        match at.filter(|at| spec.as_ref().is_some_and(|s| tables[*at].spec().same_keys(s))) {
            Some(at) => {
                self.lanes[at].remote = spec.map(|s| (id, s));
                self.last_incoming = Some(at);
                self.incoming = Incoming::Table(at);
            }
            None => {
                if let Some(lane) = at.and_then(|at| self.lanes.get_mut(at)) {
                    lane.remote = None;
                }
                self.incoming = Incoming::Ignored(spec.map(Box::new));
            }
        }
        Ok(())
    }

    pub fn switch(&mut self, mut body: &[u8]) -> Result<(), DecodeError> {
        let id = varint::get(&mut body)?;
        if matches!(self.incoming, Incoming::Undefined) {
            return Err(DecodeError::NoTable);
        }
        let lane = self.lanes.iter().position(|l| l.remote.as_ref().is_some_and(|(n, _)| *n == id));
        self.incoming = lane.map_or(Incoming::Ignored(None), Incoming::Table);
        Ok(())
    }

    pub fn ack(&mut self, mut body: &[u8]) -> Result<(), DecodeError> {
        let table = varint::get(&mut body)?;
        let id = varint::get_u32(&mut body)?;
        let lane = table.checked_sub(1).and_then(|n| usize::try_from(n).ok());
        let lane = lane.and_then(|n| self.lanes.get_mut(n)).ok_or(DecodeError::AckTable(table))?;
        // Of a batch, only its last id counts: what was sent before it is then there as well. Ids never sent change
        // nothing.
        if id == lane.sent_id {
            lane.acked_id = id;
            lane.ack_deadline = None;
            if self.lesson == Lesson::None {
                lane.acked_position = lane.sent_position;
            }
        }
        Ok(())
    }

    /// An update came; whether one of our tables took it.
    pub fn update(
        &mut self,
        kind: TableMessage,
        mut body: &[u8],
        tables: &Tables,
        now: Mono,
    ) -> Result<bool, DecodeError> {
        let at = match &self.incoming {
            Incoming::Undefined => return Err(DecodeError::NoTable),
            Incoming::Ignored(spec) => {
                if let Some(spec) = spec {
                    // Nobody uses the entry: what is wrong with it harms nobody.
                    let rest = body.get(kind.head_bytes()..).unwrap_or_default();
                    let _ = self.entry.decode(rest, spec, spec, &mut self.receive_dict);
                }
                return Ok(false);
            }
            Incoming::Table(at) => *at,
        };
        let (Some(lane), Some(table)) = (self.lanes.get_mut(at), tables.get(at)) else { return Ok(false) };
        let Some((_, remote)) = &lane.remote else { return Ok(false) };
        let id = if kind.has_id() { varint::get_u32(&mut body)? } else { lane.received_id.wrapping_add(1) };
        let expire_ms = if kind.is_timed() { Some(varint::get_u32(&mut body)?) } else { None };
        self.entry.decode(body, remote, table.spec(), &mut self.receive_dict)?;
        // HAProxy says that no time is left in a table where entries live for ever.
        self.entry.expire_ms = expire_ms.filter(|_| remote.expire_ms > 0);
        lane.received_id = id;
        lane.owes_ack = true;
        Ok(table.learn(&self.entry, now))
    }

    /// Append what may be sent. Returns whether there is more right now.
    pub fn poll(
        &mut self,
        tables: &Tables,
        now: Mono,
        up_to_date: bool,
        out: &mut Vec<u8>,
        budget: Budget,
        sent: &mut u64,
    ) -> bool {
        self.put_acks(out);
        if std::mem::take(&mut self.owes_confirm) {
            out.extend(Control::ResyncConfirm.bytes());
        }
        let before = *sent;
        let mut room = Room { budget, updates: 0 };
        let more = match self.lesson {
            Lesson::AwaitConfirm { .. } => false,
            Lesson::None => self.poll_live(tables, now, out, &mut room),
            Lesson::Running { table, cursor } => {
                self.lesson = self.poll_lesson(tables, now, (table, cursor), out, &mut room);
                let ended = matches!(self.lesson, Lesson::AwaitConfirm { .. });
                if ended {
                    let end = if up_to_date { Control::ResyncFinished } else { Control::ResyncPartial };
                    out.extend(end.bytes());
                }
                !ended
            }
        };
        *sent = before + room.updates as u64;
        more
    }

    fn put_acks(&mut self, out: &mut Vec<u8>) {
        for lane in self.lanes.iter_mut().filter(|l| l.owes_ack) {
            lane.owes_ack = false;
            let Some((id, _)) = &lane.remote else { continue };
            self.body.clear();
            varint::put(&mut self.body, *id);
            self.body.extend(lane.received_id.to_be_bytes());
            wire::put_table(out, TableMessage::Ack, &self.body);
        }
    }

    fn poll_lesson(
        &mut self,
        tables: &Tables,
        now: Mono,
        (mut table, mut cursor): (usize, u64),
        out: &mut Vec<u8>,
        room: &mut Room,
    ) -> Lesson {
        while let Some(view) = tables.get(table) {
            if room.is_full(out) {
                return Lesson::Running { table, cursor };
            }
            self.entry.clear();
            let Some(next) = view.next_entry(cursor, now, &mut self.entry) else {
                (table, cursor) = (table + 1, 0);
                continue;
            };
            cursor = next;
            // The peer must end up with the time the entry really has left.
            self.put_update(table, view.as_ref(), Push::Lesson { timed: self.timed }, out);
            room.updates += 1;
        }
        Lesson::AwaitConfirm { until: now + CONFIRM_MAX }
    }

    fn poll_live(&mut self, tables: &Tables, now: Mono, out: &mut Vec<u8>, room: &mut Room) -> bool {
        for (at, view) in tables.iter().enumerate() {
            let Some(lane) = self.lanes.get_mut(at) else { continue };
            if lane.ack_deadline.is_some_and(|d| now < d) {
                continue;
            }
            // Changes after this one are the next batch's: a hot entry must not come round twice.
            let (end, id_before) = *lane.batch.get_or_insert_with(|| (view.position(), lane.sent_id));
            while self.lanes[at].sent_position < end {
                if room.is_full(out) {
                    return true;
                }
                self.entry.clear();
                let next = view.next_update(self.lanes[at].sent_position, now, &mut self.entry);
                let Some(position) = next.filter(|p| *p > self.lanes[at].sent_position) else { break };
                if position > end {
                    break;
                }
                self.lanes[at].sent_position = position;
                self.put_update(at, view.as_ref(), Push::Live, out);
                room.updates += 1;
            }
            let lane = &mut self.lanes[at];
            lane.batch = None;
            if lane.sent_id != id_before {
                lane.ack_deadline = Some(now + ACK_WAIT);
            }
        }
        false
    }

    /// Append the entry at hand as an update of table `at`, and the table's definition when the peer's current table
    /// is another.
    fn put_update(&mut self, at: usize, view: &dyn TableView, push: Push, out: &mut Vec<u8>) {
        if view.spec().key_len > KEY_MAX_BYTES {
            return;
        }
        if let Some((own, all)) = self.shard
            && shard_of(&view.spec().name, &self.entry.key, all) != own
        {
            return;
        }
        let switched = self.outgoing != Some(at);
        let absolute = switched || push == Push::Live;
        if switched {
            self.outgoing = Some(at);
            self.body.clear();
            view.spec().encode(at as u64 + 1, &mut self.body);
            wire::put_table(out, TableMessage::Definition, &self.body);
        }
        let lane = &mut self.lanes[at];
        lane.sent_id = lane.sent_id.wrapping_add(1);
        self.body.clear();
        if absolute {
            self.body.extend(lane.sent_id.to_be_bytes());
        }
        let expire = self.entry.expire_ms.filter(|_| push == Push::Lesson { timed: true });
        if let Some(ms) = expire {
            self.body.extend(ms.to_be_bytes());
        }
        self.entry.encode(view.spec(), at, &mut self.send_dict, &mut self.body);
        let kind = match (absolute, expire.is_some()) {
            (true, true) => TableMessage::TimedUpdate,
            (true, false) => TableMessage::Update,
            (false, true) => TableMessage::TimedIncremental,
            (false, false) => TableMessage::Incremental,
        };
        wire::put_table(out, kind, &self.body);
    }
}

/// Why an update is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Push {
    Live,
    /// `timed`: with the time the entry has left.
    Lesson {
        timed: bool,
    },
}

/// What one call has used of its budget.
struct Room {
    budget: Budget,
    updates: usize,
}

impl Room {
    fn is_full(&self, out: &[u8]) -> bool {
        out.len() >= self.budget.bytes || self.updates >= self.budget.updates
    }
}

/// The shard of a key, from 1.
fn shard_of(table: &str, key: &[u8], shards: u32) -> u32 {
    let seed = xxhash_rust::xxh64::xxh64(table.as_bytes(), 0);
    let hash = xxhash_rust::xxh64::xxh64(key, seed);
    1 + (hash % u64::from(shards.max(1))) as u32
}
