//! Gathers the tables of every feature; the only file that names them all.

use crate::config::Tables;
use crate::{acl, cli, log, proxy, rules, sample, stick};

/// Every table of every feature.
pub fn tables() -> Tables {
    let mut tables = Tables::default();
    tables.add(log::keywords::KEYWORDS);
    proxy::keywords::register(&mut tables);
    tables.add(proxy::check::keywords::KEYWORDS);
    tables.add(proxy::global_keywords::KEYWORDS);
    tables.add(proxy::global_keywords::WITHOUT_EFFECT);
    tables.add(proxy::global_keywords::INERT);
    sample::register(&mut tables);
    acl::register(&mut tables);
    rules::register(&mut tables);
    tables.add(stick::keywords::KEYWORDS);
    tables.note("table-data", stick::keywords::data_names());
    tables.note("cli", cli::command_names());
    tables
}
