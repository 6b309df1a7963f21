//! What a stream counts in the entries of stick tables that its rules track.
//!
//! What connection and session rules track lasts as long as the connection; what content and HTTP rules track, as
//! long as the exchange.

use std::rc::Rc;

use crate::base::time::Mono;
use crate::proxy::Snapshot;
use crate::runtime::now;
use crate::sample::TrackedEntry;
use crate::stick::{DataType, Entry, EntryId, Slot, TableDef, TableId};

use super::state::{Session, Stream};
use super::worker::View;

/// Where a table has the values that streams count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots {
    conn_cur: Option<Slot>,
    conn: Pair,
    sess: Pair,
    http_req: Pair,
    http_err: Pair,
    http_fail: Pair,
    bytes_in: Pair,
    bytes_out: Pair,
}

/// A count and its rate.
type Pair = (Option<Slot>, Option<Slot>);

impl Slots {
    fn new(def: &TableDef) -> Slots {
        let slot = |data| def.schema.slot(data, 0);
        let pair = |count, rate| (slot(count), slot(rate));
        Slots {
            conn_cur: slot(DataType::ConnCur),
            conn: pair(DataType::ConnCnt, DataType::ConnRate),
            sess: pair(DataType::SessCnt, DataType::SessRate),
            http_req: pair(DataType::HttpReqCnt, DataType::HttpReqRate),
            http_err: pair(DataType::HttpErrCnt, DataType::HttpErrRate),
            http_fail: pair(DataType::HttpFailCnt, DataType::HttpFailRate),
            bytes_in: pair(DataType::BytesInCnt, DataType::BytesInRate),
            bytes_out: pair(DataType::BytesOutCnt, DataType::BytesOutRate),
        }
    }

    /// For all tables of a configuration.
    pub fn of(snapshot: &Snapshot) -> Vec<Slots> {
        snapshot.tables.iter().map(Slots::new).collect()
    }
}

fn count(entry: &Entry<'_>, (total, rate): Pair, now: Mono) {
    for slot in [total, rate].into_iter().flatten() {
        entry.add(slot, 1, now);
    }
}

fn count_bytes(entry: &Entry<'_>, (total, rate): Pair, n: u64, now: Mono) {
    if n > 0 {
        for slot in [total, rate].into_iter().flatten() {
            entry.add(slot, n, now);
        }
    }
}

/// One tracked entry, until it is dropped.
pub(super) struct Track {
    sc: usize,
    table: TableId,
    /// Always there, until the drop.
    entry: Option<EntryId>,
    view: Rc<View>,
}

impl Track {
    fn begin(view: &Rc<View>, sc: usize, table: TableId, key: &[u8]) -> Option<Track> {
        let writer = view.tables.get(table)?;
        let now = now();
        let entry = writer.get_or_insert(writer.table().schema().key.key(key), now)?;
        let slots = &view.shared.slots[table.index()];
        if let Some(slot) = slots.conn_cur {
            entry.add(slot, 1, now);
        }
        count(&entry, slots.conn, now);
        entry.touch(now);
        Some(Track { sc, table, entry: Some(entry.keep()), view: view.clone() })
    }

    /// Goes on with what another process has begun to track: counted there, in use here.
    pub fn resume(view: &Rc<View>, sc: usize, table: &str, key: &[u8]) -> Option<Track> {
        let table = view.shared.stick.find(table)?;
        let writer = view.tables.get(table)?;
        let now = now();
        let entry = writer.get_or_insert(writer.table().schema().key.key(key), now)?;
        if let Some(slot) = view.shared.slots[table.index()].conn_cur {
            entry.add(slot, 1, now);
        }
        entry.touch(now);
        Some(Track { sc, table, entry: Some(entry.keep()), view: view.clone() })
    }

    /// Stick counter, table and key, for another process.
    pub fn place(&self) -> Option<(usize, &str, Vec<u8>)> {
        let table = self.view.tables.get(self.table)?.table();
        let key = table.kept(self.entry.as_ref()?).key().to_vec();
        Some((self.sc, &self.view.shared.snapshot.table(self.table).name, key))
    }

    fn with(&self, f: impl FnOnce(&Entry<'_>, &Slots, Mono)) {
        let (Some(writer), Some(id)) = (self.view.tables.get(self.table), &self.entry) else { return };
        f(&writer.table().kept(id), &self.view.shared.slots[self.table.index()], now());
    }

    fn shown(&self) -> Option<TrackedEntry<'_>> {
        let table = self.view.tables.get(self.table)?.table();
        Some(TrackedEntry { table: self.table, entry: table.kept(self.entry.as_ref()?) })
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        let Some(writer) = self.view.tables.get(self.table) else { return };
        let Some(id) = self.entry.take() else { return };
        let entry = writer.table().resume(id);
        if let Some(slot) = self.view.shared.slots[self.table.index()].conn_cur {
            entry.sub(slot, 1);
        }
        entry.touch(now());
    }
}

fn of(tracks: &[Track], sc: usize) -> Option<&Track> {
    tracks.iter().find(|t| t.sc == sc)
}

/// The session was accepted.
pub(super) fn session(s: &Session) {
    for t in &s.tracks {
        t.with(|entry, slots, now| count(entry, slots.sess, now));
    }
}

/// Bytes went by.
pub(super) fn bytes(connection: &[Track], exchange: &[Track], bytes_in: u64, bytes_out: u64) {
    for t in connection.iter().chain(exchange) {
        t.with(|entry, slots, now| {
            count_bytes(entry, slots.bytes_in, bytes_in, now);
            count_bytes(entry, slots.bytes_out, bytes_out, now);
        });
    }
}

impl Stream<'_> {
    fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.s.tracks.iter().chain(&self.x.tracks)
    }

    /// What the exchange tracks as `sc`, or else its connection.
    pub(super) fn tracked_entry(&self, sc: usize) -> Option<TrackedEntry<'_>> {
        of(&self.x.tracks, sc).or_else(|| of(&self.s.tracks, sc))?.shown()
    }

    pub(super) fn tracks_already(&self, sc: usize, session: bool) -> bool {
        // What the connection tracks stays so for its exchanges.
        of(&self.s.tracks, sc).is_some() || (!session && of(&self.x.tracks, sc).is_some())
    }

    pub(super) fn begin_tracking(&mut self, sc: usize, table: TableId, key: &[u8], session: bool) {
        let Some(track) = Track::begin(&self.s.view, sc, table, key) else { return };
        if session {
            self.s.tracks.push(track);
            return;
        }
        if self.x.has_request {
            track.with(|entry, slots, now| count(entry, slots.http_req, now));
        }
        if self.x.times.response.is_some() {
            let status = self.x.response.status();
            track.with(|entry, slots, now| count_status(entry, slots, status, now));
        }
        self.x.tracks.push(track);
    }

    /// A request came, or should have come.
    pub(super) fn count_http_request(&self) {
        for t in self.tracks() {
            t.with(|entry, slots, now| count(entry, slots.http_req, now));
        }
    }

    /// The client's fault: an invalid or refused request.
    pub(super) fn count_http_error(&self) {
        for t in self.tracks() {
            t.with(|entry, slots, now| count(entry, slots.http_err, now));
        }
    }

    /// The server's fault: no answer, or none that can be understood.
    pub(super) fn count_http_failure(&self) {
        for t in self.tracks() {
            t.with(|entry, slots, now| count(entry, slots.http_fail, now));
        }
    }

    /// What the server answered.
    pub(super) fn count_server_status(&self) {
        let status = self.x.response.status();
        for t in self.tracks() {
            t.with(|entry, slots, now| count_status(entry, slots, status, now));
        }
    }
}

/// 4xx are errors of clients; 5xx failures of servers, but for those that say what a server cannot do at all.
fn count_status(entry: &Entry<'_>, slots: &Slots, status: u16, now: Mono) {
    match status {
        400..=499 => count(entry, slots.http_err, now),
        501 | 505 => {}
        500..=599 => count(entry, slots.http_fail, now),
        _ => {}
    }
}
