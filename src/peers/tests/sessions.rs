//! Two sessions of ours with each other.

use super::*;

struct Side {
    session: Session,
    own: Vec<Arc<MemoryTable>>,
    seen: Vec<Arc<dyn TableView>>,
    events: Vec<Event>,
}

impl Side {
    fn client(positions: &[u64]) -> Side {
        let (own, seen) = tables_of(specs());
        let session = Session::client("nodea", "nodeb", 1, 1, &seen, positions, T);
        Side { session, own, seen, events: vec![] }
    }

    fn server() -> Side {
        let (own, seen) = tables_of(specs());
        let session = Session::server(members("nodea"), false, &seen, T);
        Side { session, own, seen, events: vec![] }
    }

    fn sends(&mut self, now: Mono) -> Vec<u8> {
        let mut out = Vec::new();
        // Small outputs, so that every path is cut somewhere.
        self.session.poll_output(&self.seen, now, &mut out, 40);
        out
    }

    fn hears(&mut self, bytes: &[u8], now: Mono) {
        self.session.handle_input(bytes, &self.seen, now);
        self.events.extend(events(&mut self.session));
    }
}

/// Exchange until both are quiet; the bytes each sent.
fn settle(a: &mut Side, b: &mut Side, now: Mono) -> (Vec<u8>, Vec<u8>) {
    let (mut from_a, mut from_b) = (vec![], vec![]);
    loop {
        let (x, y) = (a.sends(now), b.sends(now));
        if x.is_empty() && y.is_empty() {
            return (from_a, from_b);
        }
        b.hears(&x, now);
        a.hears(&y, now);
        from_a.extend(x);
        from_b.extend(y);
    }
}

fn cookie(server: u64, name: &str) -> Vec<Field> {
    let name = Value::Name(Some(name.into()));
    vec![int(DataType::ServerId, server), Field { data: DataType::ServerKey, index: 0, value: name }]
}

#[test]
fn updates_flow_both_ways() {
    let (mut a, mut b) = (Side::server(), Side::client(&[]));
    a.own[1].set(b"s1", cookie(1, "app1"));
    b.own[1].set(b"s2", cookie(2, "app2"));
    b.own[4].set(b"x\0\0\0\0\0\0\0", vec![int(DataType::HttpReqCnt, 5)]);
    settle(&mut a, &mut b, T);
    for side in [&a, &b] {
        assert!(side.session.is_open(), "{:?}", side.events);
        assert_eq!(side.own[1].keys(), [b"s1", b"s2"]);
        assert_eq!(side.own[1].get(b"s2").expect("there").fields, cookie(2, "app2"));
    }
    assert_eq!(a.own[4].keys().len(), 1);
    assert_eq!(b.session.positions().collect::<Vec<_>>(), [0, 1, 0, 0, 1, 0]);
    assert_eq!(a.session.positions().collect::<Vec<_>>(), [0, 1, 0, 0, 0, 0]);
    // Later ones need no definition, and the name is an id.
    a.own[1].set(b"s3", cookie(1, "app1"));
    let (bytes, _) = settle(&mut a, &mut b, T);
    assert_eq!(bytes, [10, 128, 10, 0, 0, 0, 2, 2, b's', b'3', 1, 1, 1]);
}

#[test]
fn a_storm_is_one_update_in_flight() {
    let (mut a, mut b) = (Side::server(), Side::client(&[]));
    settle(&mut a, &mut b, T);
    a.own[1].set(b"s1", cookie(1, "app1"));
    let first = a.sends(T);
    for n in 0..1000 {
        a.own[1].set(b"s1", cookie(n, "app1"));
        assert_eq!(a.sends(T), [], "nothing before the acknowledgement");
    }
    b.hears(&first, T);
    settle(&mut a, &mut b, T);
    assert_eq!(a.session.counters().updates_sent, 2);
    assert_eq!(b.own[1].get(b"s1").expect("there").fields, cookie(999, "app1"));
}

#[test]
fn a_batch_in_pieces_is_one_batch() {
    let (mut a, mut b) = (Side::server(), Side::client(&[]));
    settle(&mut a, &mut b, T);
    (0..10).for_each(|n| a.own[1].set(format!("s{n}").as_bytes(), cookie(1, "app1")));
    let budget = Budget { bytes: usize::MAX, updates: 3 };
    let mut pieces = Vec::new();
    loop {
        let mut out = Vec::new();
        let more = a.session.poll_some(&a.seen, T, &mut out, budget);
        pieces.push((a.session.counters().updates_sent, more));
        b.hears(&out, T);
        // What changes meanwhile is the next batch's.
        a.own[1].set(b"s0", cookie(2, "app2"));
        if !more {
            break;
        }
    }
    // The first three entries were sent, or have their place behind the batch by now.
    assert_eq!(pieces, [(3, true), (6, true), (9, true), (10, false)]);
    assert_eq!(b.own[1].keys().len(), 10);
    settle(&mut a, &mut b, T);
    assert_eq!(a.session.counters().updates_sent, 11);
    assert_eq!(b.own[1].get(b"s0").expect("there").fields, cookie(2, "app2"));
    assert_eq!(a.session.positions().nth(1), Some(14));
}

#[test]
fn a_peer_that_never_confirms_is_given_up() {
    let (mut a, mut b) = (Side::server(), Side::client(&[]));
    settle(&mut a, &mut b, T);
    b.session.request_resync();
    let asked = b.sends(T);
    a.hears(&asked, T);
    a.sends(T);
    assert!(a.session.is_teaching());
    let mut now = T;
    for _ in 0..59 {
        now = now + std::time::Duration::from_secs(1);
        a.hears(&[0, 4], now);
        a.session.on_timer(now);
        a.sends(now);
    }
    assert!(a.session.is_open());
    a.session.on_timer(now + std::time::Duration::from_secs(1));
    a.events.extend(events(&mut a.session));
    assert_eq!(a.events.last(), Some(&Event::Closed(CloseReason::Unconfirmed)));
}

#[test]
fn each_shard_goes_to_its_peer() {
    let keys: Vec<String> = (0..50).map(|n| format!("s{n}")).collect();
    let mut all = Vec::new();
    for shard in 1..=3 {
        let (mut a, mut b) = (Side::server(), Side::client(&[]));
        a.session.set_shard(Some((shard, 3)));
        keys.iter().for_each(|k| a.own[1].set(k.as_bytes(), cookie(1, "app1")));
        settle(&mut a, &mut b, T);
        let live = b.own[1].keys();
        assert!(live.len() > 5, "{live:?}");
        // A lesson says the same.
        let (mut c, mut d) = (Side::server(), Side::client(&[]));
        c.session.set_shard(Some((shard, 3)));
        settle(&mut c, &mut d, T);
        keys.iter().for_each(|k| c.own[1].set(k.as_bytes(), cookie(1, "app1")));
        d.session.request_resync();
        settle(&mut c, &mut d, T);
        assert_eq!(d.own[1].keys(), live);
        all.extend(live);
    }
    all.sort();
    let mut wanted: Vec<Vec<u8>> = keys.into_iter().map(String::into_bytes).collect();
    wanted.sort();
    assert_eq!(all, wanted);
}

#[test]
fn a_lost_acknowledgement_delays_only() {
    let (mut a, mut b) = (Side::server(), Side::client(&[]));
    settle(&mut a, &mut b, T);
    a.own[1].set(b"s1", cookie(1, "app1"));
    assert!(!a.sends(T).is_empty());
    a.own[1].set(b"s2", cookie(1, "app1"));
    assert_eq!(a.sends(ms(999)), []);
    assert_eq!(a.session.deadline(), ms(1000));
    a.session.on_timer(ms(1000));
    assert!(!a.sends(ms(1000)).is_empty());
    assert_eq!(a.session.positions().nth(1), Some(0), "nothing was acknowledged");
}

/// HAProxy 3.5-dev counts ids that it is not told in the wrong byte order, and acknowledges what it counted.
#[test]
fn a_peer_that_does_not_count_is_served_at_once() {
    let (mut a, mut b) = (Side::server(), Side::client(&[]));
    settle(&mut a, &mut b, T);
    (0..3).for_each(|n| a.own[1].set(format!("s{n}").as_bytes(), cookie(1, "app1")));
    let mut input = a.sends(T);
    while a.session.poll_output(&a.seen, T, &mut input, usize::MAX) {}
    let (mut rest, mut last) = (input.as_slice(), 0);
    while let Some(message) = wire::next(&mut rest).expect("honest") {
        let wire::Message::Table(kind, mut body) = message else { continue };
        if kind != wire::TableMessage::Definition {
            assert!(kind.has_id(), "{kind:?}");
            last = varint::get_u32(&mut body).expect("an id");
        }
    }
    a.hears(&[&[10, 132, 5, 2], last.to_be_bytes().as_slice()].concat(), T);
    a.own[1].set(b"s9", cookie(1, "app1"));
    assert!(!a.sends(T).is_empty(), "nothing is waited for");
}

#[test]
fn a_lesson_teaches_everything_with_its_time_left() {
    let (mut a, mut b) = (Side::server(), Side::client(&[]));
    for n in 0..500u32 {
        a.own[0].set(&n.to_be_bytes(), vec![int(DataType::Gpt0, n.into()), int(DataType::Gpc0, 1)]);
        a.own[1].set(format!("s{n}").as_bytes(), cookie(1, &format!("app{}", n % 200)));
    }
    a.session.resume(&[500, 500]);
    a.session.set_up_to_date(true);
    settle(&mut a, &mut b, T);
    assert!(b.own[0].keys().is_empty());
    b.session.request_resync();
    settle(&mut a, &mut b, T);
    assert_eq!(b.own[0].keys(), a.own[0].keys());
    for key in a.own[1].keys() {
        assert_eq!(b.own[1].get(&key), a.own[1].get(&key));
    }
    assert!(b.events.contains(&Event::Learned { complete: true }));
    assert_eq!(a.events[1..], [Event::LessonBegun, Event::LessonConfirmed]);
    assert_eq!(a.session.counters().updates_sent, 1000);
    assert_eq!(a.session.positions().collect::<Vec<_>>(), [500, 500, 0, 0, 0, 0]);
}

#[test]
fn changes_during_a_lesson_follow_it() {
    let (mut a, mut b) = (Side::server(), Side::client(&[]));
    settle(&mut a, &mut b, T);
    a.own[1].set(b"s1", cookie(1, "app1"));
    a.session.teach(&a.seen);
    let lesson = a.sends(T);
    a.own[1].set(b"s1", cookie(2, "app2"));
    b.hears(&lesson, T);
    assert_eq!(b.own[1].get(b"s1").expect("there").fields, cookie(1, "app1"));
    settle(&mut a, &mut b, T);
    assert!(b.events.contains(&Event::Learned { complete: false }));
    assert_eq!(b.own[1].get(b"s1").expect("there").fields, cookie(2, "app2"));
}

#[test]
fn old_versions_get_no_timed_updates() {
    let (_, seen) = tables_of(specs());
    let mut a = Side::server();
    a.own[1].set(b"s1", cookie(1, "app1"));
    let mut b = Session::client("nodea", "nodeb", 1, 0, &seen, &[], T);
    a.hears(&output(&mut b, &seen, T), T);
    assert_eq!(a.events, [Event::Established { peer: "nodeb".into(), minor: 0 }]);
    a.session.teach(&a.seen);
    let mut out = Vec::new();
    while a.session.poll_output(&a.seen, T, &mut out, usize::MAX) {}
    assert!(out.windows(2).any(|w| w == [10, 128]) && !out.windows(2).any(|w| w == [10, 133]));
}

#[test]
fn heartbeats_and_silence() {
    let (mut a, mut b) = (Side::server(), Side::client(&[]));
    settle(&mut a, &mut b, T);
    assert_eq!(a.session.deadline(), ms(3000));
    for n in [3000, 6000, 9000] {
        for side in [&mut a, &mut b] {
            side.session.on_timer(ms(n));
        }
        assert_eq!(settle(&mut a, &mut b, ms(n)), (vec![0, 4], vec![0, 4]));
    }
    a.session.on_timer(ms(12_000));
    assert_eq!(a.sends(ms(12_000)), [0, 4]);
    assert_eq!(a.session.deadline(), ms(14_000));
    a.session.on_timer(ms(14_000));
    assert_eq!(events(&mut a.session), [Event::Closed(CloseReason::Silent)]);
    assert_eq!(a.session.deadline(), Mono::NEVER);
}

#[test]
fn handshakes_that_fail() {
    let (_, seen) = tables_of(specs());
    let serve = |busy, bytes: &[u8]| {
        let mut s = Session::server(members("nodea"), busy, &seen, T);
        s.handle_input(bytes, &seen, T);
        (String::from_utf8(output(&mut s, &seen, T)).expect("text"), events(&mut s))
    };
    let refused = |s| vec![Event::Closed(CloseReason::Refused(s))];
    let hello = b"HAProxyS 2.1\nnodea\nnodeb 1 1\n";
    assert_eq!(serve(true, hello), ("300\n".into(), refused(Status::TryAgain)));
    assert_eq!(serve(false, b"\x16\x03\x01\n"), ("501\n".into(), refused(Status::ProtocolError)));
    assert_eq!(serve(false, b"HAProxyS 1.0\n"), ("502\n".into(), refused(Status::BadVersion)));
    assert_eq!(serve(false, b"HAProxyS 2.1\nx\n"), ("503\n".into(), refused(Status::LocalMismatch)));
    let stranger = b"HAProxyS 2.1\nnodea\nx 1 1\n";
    assert_eq!(serve(false, stranger), ("504\n".into(), refused(Status::RemoteMismatch)));

    let call = |bytes: &[u8]| {
        let mut s = Session::client("nodea", "nodeb", 1, 1, &seen, &[], T);
        s.handle_input(bytes, &seen, T);
        s.on_timer(ms(4999));
        s.on_timer(ms(5000));
        events(&mut s)
    };
    let closed = |r| vec![Event::Closed(r)];
    assert_eq!(call(b"300\n"), closed(CloseReason::RefusedByPeer(Status::TryAgain)));
    assert_eq!(call(b"hello\n"), closed(CloseReason::BadHandshake));
    assert_eq!(call(b"20"), closed(CloseReason::HandshakeTimeout));
}
