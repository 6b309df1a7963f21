//! Sessions against each other, against a recording of HAProxy, and against hostile bytes.

mod hostile;
mod recorded;
mod sessions;
mod table;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::base::time::Mono;
use table::MemoryTable;

const T: Mono = Mono(50_000_000_000);

fn ms(n: u64) -> Mono {
    T + Duration::from_millis(n)
}

fn members(local: &str) -> Members {
    Members { local: local.into(), all: ["nodea", "nodeb", "nodec"].map(String::from).to_vec() }
}

/// The tables of the recording.
fn specs() -> Vec<TableSpec> {
    use DataType::*;
    let c = DataSpec::counter;
    let r = DataSpec::rate;
    let array = |data, elements, period_ms| DataSpec { data, elements, period_ms };
    vec![
        TableSpec::new("/shared", KeyType::Integer, 4, 3_600_000, vec![c(Gpt0), c(Gpc0)]),
        TableSpec::new("app", KeyType::String, 33, 300_000, vec![c(ServerId), c(ServerKey)]),
        TableSpec::new(
            "t_ip",
            KeyType::Ipv4,
            4,
            30_000,
            vec![
                array(Gpt, 3, 0),
                array(Gpc, 2, 0),
                array(GpcRate, 2, 10_000),
                c(ConnCnt),
                r(ConnRate, 3000),
                c(ConnCur),
                c(SessCnt),
                r(SessRate, 4000),
                c(HttpReqCnt),
                r(HttpReqRate, 5000),
                c(HttpErrCnt),
                r(HttpErrRate, 6000),
                c(HttpFailCnt),
                r(HttpFailRate, 7000),
                c(BytesInCnt),
                r(BytesInRate, 8000),
                c(BytesOutCnt),
                r(BytesOutRate, 9000),
            ],
        ),
        TableSpec::new(
            "t_ip6",
            KeyType::Ipv6,
            16,
            30_000,
            vec![c(Gpt0), c(Gpc0), r(Gpc0Rate, 10_000), c(Gpc1), r(Gpc1Rate, 11_000)],
        ),
        TableSpec::new("t_bin", KeyType::Binary, 8, 30_000, vec![c(HttpReqCnt)]),
        TableSpec::new("t_none", KeyType::Integer, 4, 0, vec![c(ServerId)]),
    ]
}

/// Tables, as what they are and as what sessions see.
fn tables_of(specs: Vec<TableSpec>) -> (Vec<Arc<MemoryTable>>, Vec<Arc<dyn TableView>>) {
    let own: Vec<_> = specs.into_iter().map(|s| Arc::new(MemoryTable::new(s))).collect();
    let seen = own.iter().map(|t| t.clone() as Arc<dyn TableView>).collect();
    (own, seen)
}

fn int(data: DataType, n: u64) -> Field {
    Field { data, index: 0, value: Value::Int(n) }
}

fn events(s: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| s.poll_event()).collect()
}

fn output(s: &mut Session, tables: &Tables, now: Mono) -> Vec<u8> {
    let mut out = Vec::new();
    while s.poll_output(tables, now, &mut out, usize::MAX) {}
    out
}
