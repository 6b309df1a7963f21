//! Tests of the records and of state changes.

use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::base::time::Mono;
use crate::proxy::testing::backend;

#[test]
fn totals_are_sums_over_threads() {
    let (s, live) = backend(&["server a 127.0.0.1:80", "server b 127.0.0.1:80"]);
    let b = s.backend("b").expect("declared").backend().servers[1].id;
    live.thread(0).servers[b.index()].sessions.add(3);
    live.thread(1).servers[b.index()].sessions.inc();
    live.thread(1).servers[b.index()].total_time.add(10);
    live.thread(0).servers[b.index()].total_time.add(21);
    let t = live.server_totals(b);
    assert_eq!((t.sessions, t.bytes_in), (4, 0));
    assert_eq!((t.total_time.mean(), t.total_time.max), (16, 21));
    live.thread(1).servers[b.index()].clear();
    assert_eq!(live.server_totals(b).sessions, 3);
}

#[test]
fn means_follow_the_last_values() {
    let m = Mean::default();
    (0..Mean::WINDOW).for_each(|_| m.add(100));
    (0..10 * Mean::WINDOW).for_each(|_| m.add(5));
    let (sum, count, max) = m.parts();
    assert_eq!((sum.div_ceil(count), max), (5, 100));
}

#[test]
fn rates() {
    let r = Rate::default();
    r.tick(0, 1_000_000_000);
    r.tick(50, 2_000_000_000);
    assert_eq!(r.get(50, 2_000_000_000), 50);
    assert_eq!(r.get(60, 2_500_000_000), 10 + 25, "half of the last second still counts");
    r.tick(150, 4_000_000_000);
    assert_eq!((r.get(150, 4_000_000_000), r.max()), (50, 50), "a late tick is no burst");
    r.reset_max();
    assert_eq!(r.max(), 0);
    assert_eq!(r.get(150, 9_000_000_000), 0);
}

#[test]
fn gauges_keep_their_limit() {
    let g = Gauge::default();
    assert!(g.inc_below(2) && g.inc_below(2) && !g.inc_below(2));
    assert!(g.inc_below(0), "0 is no limit");
    assert_eq!((g.get(), g.max()), (3, 3));
    g.dec();
    g.reset_max();
    assert_eq!((g.get(), g.max()), (2, 2));
}

#[test]
fn downtime_and_changes_are_counted() {
    let (s, live) = backend(&["server a 127.0.0.1:80", "server b 127.0.0.1:80 backup"]);
    let px = s.backend("b").expect("declared");
    let epoch = live.backend(px.id).epoch.load(SeqCst);
    assert_eq!(live.usable_counts(px), (1, 1));
    let c = live.set_status(px, 0, ServerStatus::Stopped, Mono(1000));
    assert_eq!(c, Changed { was_up: true, is_up: false, backend_up: true });
    let c = live.set_status(px, 1, ServerStatus::Stopped, Mono(2000));
    assert!(!c.backend_up);
    assert_eq!(live.backend(px.id).downs.load(SeqCst), 1);
    live.set_status(px, 1, ServerStatus::Stopped, Mono(2500));
    assert_eq!(live.server(px.backend().servers[1].id).downs.load(SeqCst), 1, "it was down already");
    live.set_status(px, 0, ServerStatus::Running, Mono(5000));
    let a = live.server(px.backend().servers[0].id);
    assert_eq!((a.down_ns.load(SeqCst), a.changed_ns.load(SeqCst)), (4000, 5000));
    assert_eq!(live.backend(px.id).down_ns.load(SeqCst), 3000);
    assert_ne!(live.backend(px.id).epoch.load(SeqCst), epoch);
}

#[test]
fn records_have_a_fixed_layout() {
    assert_eq!(align_of::<ServerState>(), 64);
    assert_eq!(size_of::<ServerState>() % 64, 0);
    assert_eq!(size_of::<Gauge>(), 8);
    assert_eq!(size_of::<Rate>(), 24);
    assert_eq!(size_of::<ServerCounters>() % 64, 0);
}

#[test]
fn start_state_follows_the_configuration() {
    let (s, live) = backend(&[
        "server a 127.0.0.1:80 weight 7 maxconn 3",
        "server b 127.0.0.1:80 disabled",
        "server c nothing.invalid:80 init-addr none",
    ]);
    let px = s.backend("b").expect("declared");
    let state = |i: usize| live.server(px.backend().servers[i].id);
    assert_eq!((state(0).weight(), state(0).eweight(), state(0).maxconn.load(SeqCst)), (7, 112, 3));
    assert!(state(0).is_up() && state(0).is_usable());
    let disabled = AdminFlags(AdminFlags::CONFIG_MAINT.0 | AdminFlags::FORCED_MAINT.0);
    assert_eq!(state(1).admin(), disabled);
    assert_eq!(state(2).admin(), AdminFlags::RESOLVE_MAINT);
    assert!(!state(1).is_up() && !state(2).is_up());
}
