//! All tables of a configuration, and a thread's way to write them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::Loc;

use super::{Dict, Schema, Table, Writer};

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
    names: HashMap<String, TableId>,
    ordered: Vec<String>,
    dict: Dict,
}

impl Tables {
    /// Makes them all, empty, for that many threads.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(defs: &[TableDef], threads: usize) -> io::Result<Tables> {
        let make = |d: &TableDef| Ok(Arc::new(Table::create(&d.name, d.schema.clone(), threads)?));
        let list = defs.iter().map(make).collect::<io::Result<_>>()?;
        let ordered: Vec<String> = defs.iter().map(|d| d.name.clone()).collect();
        let names = ordered.iter().enumerate().map(|(i, n)| (n.clone(), TableId(i as u32))).collect();
        Ok(Tables { list, names, ordered, dict: Dict::default() })
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
