//! Messages come back as they were, and nothing else is understood.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::codec::Blob;
use super::state::{ClientState, ExchangeState, HeadState, Message, TimesState, TrackState, Tunnel, Waiting};
use crate::base::hash::crc32;
use crate::base::time::{Mono, Wall};
use crate::sample::Value;

fn blob() -> impl Strategy<Value = Blob> {
    vec(any::<u8>(), 0..40).prop_map(Blob)
}

fn value() -> impl Strategy<Value = Value> {
    let text = vec(any::<u8>(), 0..20);
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<std::net::IpAddr>().prop_map(Value::Ip),
        text.clone().prop_map(Value::Str),
        text.clone().prop_map(Value::Bin),
        text.prop_map(Value::Meth),
    ]
}

/// Flow labels stay behind: nobody looks at them.
fn addr() -> impl Strategy<Value = SocketAddr> {
    any::<SocketAddr>().prop_map(|mut a| {
        if let SocketAddr::V6(v6) = &mut a {
            v6.set_flowinfo(0);
        }
        a
    })
}

fn track() -> impl Strategy<Value = TrackState> {
    (any::<u32>(), ".{0,9}", blob()).prop_map(|(sc, table, key)| TrackState { sc, table, key })
}

fn client() -> impl Strategy<Value = ClientState> {
    let header = option::of((mono(), blob()));
    let place = (".{0,20}", option::of(addr()), option::of(option::of(addr())), header);
    let numbers = any::<(u64, u64, u32, u64)>();
    let names = (option::of(".{0,9}"), option::of((".{0,9}", ".{0,9}")));
    let lists = (vec((any::<u64>(), value()), 0..4), vec(track(), 0..4));
    (place, numbers, names, lists).prop_map(|(place, numbers, names, lists)| ClientState {
        listener: place.0,
        src: place.1,
        dst: place.2,
        header: place.3,
        start: Mono(numbers.0),
        start_wall: Wall(numbers.1),
        exchanges: numbers.2,
        sent: numbers.3,
        tcp_http: names.0,
        last_server: names.1,
        vars: lists.0,
        tracks: lists.1,
    })
}

fn mono() -> impl Strategy<Value = Mono> {
    any::<u64>().prop_map(Mono)
}

fn times() -> impl Strategy<Value = TimesState> {
    (mono(), mono(), vec(option::of(mono()), 5)).prop_map(|(accept, handshake, t)| TimesState {
        accept,
        handshake,
        first_byte: t[0],
        request: t[1],
        queue: t[2],
        connect: t[3],
        response: t[4],
    })
}

fn limit() -> impl Strategy<Value = Option<Duration>> {
    option::of(any::<u64>().prop_map(Duration::from_nanos))
}

fn exchange() -> impl Strategy<Value = ExchangeState> {
    let heads = (option::of((blob(), blob())), option::of(blob()), option::of(blob()));
    let vars = vec(vec((any::<u64>(), value()), 0..3), 3);
    let captures = vec(vec(option::of(blob()), 0..3), 2);
    let flags = (vec(any::<bool>(), 5), option::of(any::<u16>()), any::<(u8, u8)>(), option::of(-1_i64..8));
    let numbers = any::<[u64; 8]>();
    let lists = (vec(track(), 0..3), vec(blob(), 2), vec(limit(), 3), option::of(addr()));
    (times(), heads, vars, captures, flags, numbers, lists).prop_map(|(times, heads, v, c, f, n, lists)| {
        let rtt = f.0[0].then(|| (Duration::from_nanos(n[6]), Duration::from_nanos(n[7])));
        ExchangeState {
            times,
            start_wall: Wall(n[0]),
            first: f.0[0],
            has_request: f.0[1],
            request: heads.0.map(|(bytes, line)| HeadState { bytes, line }),
            response: heads.1,
            vars_txn: v[0].clone(),
            vars_req: v[1].clone(),
            vars_res: v[2].clone(),
            tracks: lists.0,
            req_captures: c[0].clone(),
            res_captures: c[1].clone(),
            req_cookie: lists.1[0].clone(),
            res_cookie: lists.1[1].clone(),
            unique_id: heads.2,
            status: f.1,
            bytes_in: (n[1], n[2]),
            bytes_out: (n[3], n[4]),
            retries: n[5] as u32,
            redispatched: f.0[2],
            persistent: f.0[3],
            srv_queue: n[6],
            be_queue: n[7],
            cookie: f.2,
            level: f.3,
            client_timeout: lists.2[0],
            server_timeout: lists.2[1],
            tunnel_timeout: lists.2[2],
            server_src: lists.3,
            server_rtt: rtt,
            logged: f.0[4],
        }
    })
}

fn tunnel() -> impl Strategy<Value = Tunnel> {
    let rest = (any::<(bool, bool)>(), mono(), mono());
    (client(), ".{0,9}", ".{0,9}", exchange(), rest).prop_map(|(client, backend, server, exchange, rest)| {
        Tunnel {
            client,
            backend,
            server,
            exchange,
            up_closed: rest.0.0,
            down_closed: rest.0.1,
            client_active: rest.1,
            server_active: rest.2,
        }
    })
}

fn message() -> impl Strategy<Value = Message> {
    let waiting = (client(), option::of(any::<u64>()), blob()).prop_map(|(client, at, received)| Waiting {
        client,
        first_byte: at.map(Mono),
        received,
    });
    prop_oneof![
        waiting.prop_map(|w| Message::Waiting(Box::new(w))),
        tunnel().prop_map(|t| Message::Tunnel(Box::new(t)))
    ]
}

proptest! {
    #[test]
    fn messages_come_back(m in message()) {
        prop_assert_eq!(Message::read(&m.write()), Ok(m));
    }

    #[test]
    fn half_a_message_is_none(m in message(), cut in any::<prop::sample::Index>()) {
        let whole = m.write();
        prop_assert!(Message::read(&whole[..cut.index(whole.len())]).is_err());
        prop_assert!(Message::read(&[&whole[..], b"x"].concat()).is_err());
    }

    #[test]
    fn garbage_does_no_harm(bytes: Vec<u8>, m in message(), at in any::<prop::sample::Index>(), with: u8) {
        let _ = Message::read(&bytes);
        let mut spoiled = m.write();
        let at = at.index(spoiled.len());
        spoiled[at] = with;
        let _ = Message::read(&spoiled);
    }
}

/// The bytes of a message may change only with [`super::VERSION`]: another process may have been built before.
#[test]
fn another_layout_is_another_version() {
    let tracks = vec![TrackState { sc: 1, table: "t".into(), key: Blob(vec![1, 2]) }];
    let client = ClientState {
        listener: "listener http web 127.0.0.1:80".into(),
        src: Some("10.0.0.1:1024".parse().expect("an address")),
        dst: Some(None),
        header: Some((Mono(11), Blob(b"\x02\0\x01a".to_vec()))),
        start: Mono(3),
        start_wall: Wall(4),
        exchanges: 5,
        sent: 6,
        tcp_http: Some("b".into()),
        last_server: Some(("b".into(), "s".into())),
        vars: vec![(7, Value::Int(-8)), (9, Value::Str(b"x".to_vec()))],
        tracks,
    };
    let waiting = Waiting { client, first_byte: Some(Mono(10)), received: Blob(b"GET".to_vec()) };
    let bytes = Message::Waiting(Box::new(waiting)).write();
    assert_eq!((super::VERSION, bytes.len(), crc32(&bytes)), (2, 181, 3_087_319_778));
    let bytes = Message::Tunnel(Box::default()).write();
    assert_eq!((super::VERSION, bytes.len(), crc32(&bytes)), (2, 202, 2_924_796_418));
}
