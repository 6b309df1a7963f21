//! All tables of a configuration, and a thread's way to write them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::time::Mono;
use crate::config::Loc;

use super::{Dict, OpenError, Schema, Table, Writer};

/// A table: index into the configuration's list of [`TableDef`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

impl TableId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The section that declares a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableOwner {
    /// A proxy: index into the configuration's list.
    Proxy(u32),
    /// A peers section.
    Peers(String),
}

/// How a table remembers servers (`srvkey`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SrvKey {
    /// By name.
    #[default]
    Name,
    /// By address and port.
    Addr,
}

/// A table as configured, references resolved.
#[derive(Clone, Debug)]
pub struct TableDef {
    /// The proxy's name, or `<peers section>/<table>`.
    pub name: String,
    /// Key, size, expiry, data.
    pub schema: Schema,
    /// The section that declares it.
    pub owner: TableOwner,
    /// The peers section that it replicates through (`peers`, or the one that declares it), and where that is said.
    pub peers: Option<(String, Loc)>,
    /// Also gets what peers teach this table (`write-to`): same keys.
    pub write_to: Option<TableId>,
    /// Local changes are not sent to peers (`recv-only`).
    pub recv_only: bool,
    /// `srvkey`.
    pub srvkey: SrvKey,
    /// Bytes of `bytes_in_rate` and `bytes_out_rate` that count as one event (`brates-factor`).
    pub brates_factor: u32,
    /// Where it is declared.
    pub loc: Loc,
}

/// Every table of the configuration, by [`TableId`].
#[derive(Debug, Default)]
pub struct Tables {
    list: Vec<Arc<Table>>,
    origins: Vec<Origin>,
    names: HashMap<String, TableId>,
    ordered: Vec<String>,
    dict: Dict,
    notices: Vec<String>,
    /// Owners of what was copied, until it is spread.
    copiers: Mutex<Vec<Writer>>,
}

/// Where a table comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is new: empty.
    New,
    /// It is new; what it holds is copied from a process before this one.
    Copied,
    /// The segment of a process before this one, which may still use it.
    Shared,
}

/// What a start has of the processes before it.
pub struct Heritage<'a> {
    /// The segment of the table of that name.
    pub segment: &'a mut dyn FnMut(&str) -> Option<OwnedFd>,
    /// Whether the process with that id is gone.
    pub dead: &'a dyn Fn(u32) -> bool,
    /// The monotonic clock.
    pub now: Mono,
    /// Waits that long, when a table is busy.
    pub wait: &'a dyn Fn(Duration),
}

/// Threads of a process that write tables: the workers, and one that adopts.
fn writers(threads: usize) -> usize {
    threads + 1
}

/// Slabs of a new segment: room for eight processes that overlap with all their threads, or more of them that finish,
/// with less and less. Too few would cost what the others count from then on.
fn slabs(threads: usize) -> usize {
    (8 * writers(threads)).next_power_of_two().max(16)
}

/// Slabs that an old segment has to have.
fn slabs_needed(threads: usize) -> usize {
    (2 * writers(threads)).min(slabs(threads))
}

/// How often, and at what distance, a table that as many processes use as may is tried again.
const BUSY_TRIES: u32 = 10;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

impl Tables {
    /// Makes them all, empty, for that many threads.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(defs: &[TableDef], threads: usize) -> io::Result<Tables> {
        let heritage = Heritage { segment: &mut |_| None, dead: &|_| false, now: Mono(0), wait: &|_| () };
        Tables::inherit(defs, threads, heritage)
    }

    /// Makes those that are not there yet. Segments of the same definition are used as they are; from others, entries are
    /// copied. [`Tables::notices`] says what was lost.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn inherit(defs: &[TableDef], threads: usize, heritage: Heritage<'_>) -> io::Result<Tables> {
        let ordered: Vec<String> = defs.iter().map(|d| d.name.clone()).collect();
        let names = ordered.iter().enumerate().map(|(i, n)| (n.clone(), TableId(i as u32))).collect();
        let mut tables = Tables { names, ordered, ..Tables::default() };
        for def in defs {
            let (table, origin) = match (heritage.segment)(&def.name) {
                Some(fd) => tables.take_over(def, threads, fd, &heritage)?,
                None => (create(def, threads)?, Origin::New),
            };
            tables.list.push(table);
            tables.origins.push(origin);
        }
        Ok(tables)
    }

    fn take_over(
        &mut self,
        def: &TableDef,
        threads: usize,
        fd: OwnedFd,
        heritage: &Heritage<'_>,
    ) -> io::Result<(Arc<Table>, Origin)> {
        let name = &def.name;
        match open(def, threads, fd.try_clone()?, heritage) {
            Ok(table) => return Ok((table, Origin::Shared)),
            Err(OpenError::Schema) => {}
            Err(error) => self.notices.push(format!("stick-table '{name}': {error}.")),
        }
        let table = create(def, threads)?;
        let Ok(old) = Table::peek(fd) else {
            self.notices.push(format!("stick-table '{name}': it begins empty."));
            return Ok((table, Origin::New));
        };
        // There are slabs: the table was just made.
        let Some(writer) = Writer::claim(&table, std::process::id(), COPIER) else {
            return Ok((table, Origin::New));
        };
        let copied = writer.copy_from(&old, heritage.now);
        self.copiers.get_mut().unwrap_or_else(PoisonError::into_inner).push(writer);
        let mut notice = format!("stick-table '{name}': made anew; {} entries copied", copied.entries);
        if copied.left_out > 0 {
            notice.push_str(&format!(", {} dropped", copied.left_out));
        }
        if !copied.dropped.is_empty() {
            notice.push_str(&format!(", not stored any more: {}", copied.dropped.join(", ")));
        }
        self.notices.push(notice + ".");
        if old.is_complete() && copied.left_out == 0 {
            table.set_complete();
        }
        Ok((table, Origin::Copied))
    }

    /// What was lost on the way from the processes before, one line each.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Where a table comes from.
    pub fn origin(&self, id: TableId) -> Origin {
        self.origins.get(id.index()).copied().unwrap_or(Origin::New)
    }

    /// Owned slabs of a table.
    #[cfg(test)]
    pub(super) fn list_owners(&self, id: TableId) -> usize {
        let table = &self.list[id.index()];
        table.slabs() - table.free_slabs()
    }

    /// Whether there is anything for [`Tables::adopt`].
    pub fn has_orphans(&self, dead: impl Fn(u32) -> bool) -> bool {
        let copies = !self.copiers.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        copies || self.list.iter().any(|t| t.has_orphans(&dead))
    }

    /// Take over what processes that are gone left, and spread it and what was copied over this process's threads. On a
    /// thread of its own: it takes time in proportion to the tables' sizes, and waits for the others, with `wait`. Gives
    /// the entries that were taken over.
    pub fn adopt(&self, dead: impl Fn(u32) -> bool, wait: impl Fn(Duration)) -> usize {
        let mut copiers = std::mem::take(&mut *self.copiers.lock().unwrap_or_else(PoisonError::into_inner));
        let mut adopted = 0;
        let mut busy = Vec::new();
        for table in &self.list {
            let at = copiers.iter().position(|w| Arc::ptr_eq(w.table(), table));
            let own = at.map(|at| copiers.swap_remove(at));
            if own.is_none() && !table.has_orphans(&dead) {
                continue;
            }
            let copied = own.is_some();
            let Some(writer) = own.or_else(|| Writer::claim(table, std::process::id(), COPIER)) else {
                continue;
            };
            // A slab that was given up comes with what is in it.
            adopted += if copied { 0 } else { writer.entries() };
            adopted += writer.adopt(&dead);
            busy.push(writer);
        }
        let mut idle = 0;
        while !busy.is_empty() && idle < SPREAD_IDLE {
            let before = busy.len();
            let mut moved = false;
            busy.retain(|w| {
                let left = w.owned();
                let now = w.hand_out(std::process::id(), SPREAD);
                moved |= now < left;
                now > 0
            });
            idle = if moved || busy.len() < before { 0 } else { idle + 1 };
            wait(SPREAD_PAUSE);
        }
        adopted
    }

    /// A table.
    pub fn get(&self, id: TableId) -> Option<&Arc<Table>> {
        self.list.get(id.index())
    }

    /// The table of that name.
    pub fn find(&self, name: &str) -> Option<TableId> {
        self.names.get(name).copied()
    }

    /// All, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = (TableId, &str, &Arc<Table>)> {
        let ids = (0..).map(TableId);
        ids.zip(&self.ordered).zip(&self.list).map(|((id, name), t)| (id, name.as_str(), t))
    }

    /// The texts of the servers' keys in all of them (`server_key`).
    pub fn dict(&self) -> &Dict {
        &self.dict
    }

    /// True when none is configured.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Stands for the thread that adopts, in the names of owners.
const COPIER: u32 = u32::MAX - 1;
/// Records that are given to each thread at once; how long the threads have for them; how often they may have taken
/// nothing before they are taken to have ended.
const SPREAD: usize = 4096;
const SPREAD_PAUSE: Duration = Duration::from_millis(10);
const SPREAD_IDLE: u32 = 1000;

fn create(def: &TableDef, threads: usize) -> io::Result<Arc<Table>> {
    Ok(Arc::new(Table::create(&def.name, def.schema.clone(), slabs(threads))?))
}

/// The same table, with slabs for this process.
fn open(
    def: &TableDef,
    threads: usize,
    fd: OwnedFd,
    heritage: &Heritage<'_>,
) -> Result<Arc<Table>, OpenError> {
    let mut tries = 0;
    let table = loop {
        let (schema, fd) = (def.schema.clone(), fd.try_clone()?);
        match Table::open(fd, schema, slabs_needed(threads), std::process::id(), heritage.dead) {
            Err(OpenError::Busy) if tries < BUSY_TRIES => tries += 1,
            other => break Arc::new(other?),
        }
        (heritage.wait)(BUSY_PAUSE);
    };
    if table.free_slabs() < writers(threads) {
        // Processes died faster than anybody could adopt what they left.
        if let Some(writer) = Writer::claim(&table, std::process::id(), COPIER) {
            writer.adopt(heritage.dead);
        }
        if table.free_slabs() < writers(threads) {
            table.leave(std::process::id());
            return Err(OpenError::Busy);
        }
    }
    Ok(table)
}

/// A thread's slabs of all tables.
#[derive(Debug, Default)]
pub struct Writers {
    list: Vec<Option<Writer>>,
}

impl Writers {
    /// Owns a slab of every table for this thread.
    pub fn claim(tables: &Tables, thread: usize) -> Writers {
        let claim = |t: &Arc<Table>| Writer::claim(t, std::process::id(), thread as u32);
        Writers { list: tables.list.iter().map(claim).collect() }
    }

    /// The writer of that table. `None` when there are more threads than slabs.
    pub fn get(&self, id: TableId) -> Option<&Writer> {
        self.list.get(id.index())?.as_ref()
    }

    /// All there are.
    pub fn iter(&self) -> impl Iterator<Item = (TableId, &Writer)> {
        self.list.iter().enumerate().filter_map(|(i, w)| Some((TableId(i as u32), w.as_ref()?)))
    }

    /// True when there is no table.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

thread_local! {
    static WRITERS: RefCell<Rc<Writers>> = RefCell::new(Rc::new(Writers::default()));
}

/// What [`with_writers`] gives on this thread from now on.
pub fn set_writers(writers: Rc<Writers>) {
    WRITERS.set(writers);
}

/// This thread's writers; none on a thread that is no worker.
pub fn with_writers<R>(f: impl FnOnce(&Writers) -> R) -> R {
    // Taken out first, so that `f` may do anything.
    let writers = WRITERS.with_borrow(Rc::clone);
    f(&writers)
}
