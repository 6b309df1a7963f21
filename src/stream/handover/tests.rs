//! Messages come back as they were, and nothing else is understood.

use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::codec::Blob;
use super::state::{ClientState, Message, TrackState, Waiting};
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
    let place = (".{0,20}", option::of(addr()), option::of(option::of(addr())));
    let numbers = any::<(u64, u64, u32, u64)>();
    let names = (option::of(".{0,9}"), option::of((".{0,9}", ".{0,9}")));
    let lists = (vec((any::<u64>(), value()), 0..4), vec(track(), 0..4));
    (place, numbers, names, lists).prop_map(|(place, numbers, names, lists)| ClientState {
        listener: place.0,
        src: place.1,
        dst: place.2,
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

fn message() -> impl Strategy<Value = Message> {
    let waiting = (client(), option::of(any::<u64>()), blob()).prop_map(|(client, at, received)| Waiting {
        client,
        first_byte: at.map(Mono),
        received,
    });
    waiting.prop_map(Message::Waiting)
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
