//! The recording: every message is understood, and definitions and entries are written again byte for byte.

use super::*;

const RECORDING: &str = include_str!("haproxy-2.6.txt");

fn hex(text: &str) -> Vec<u8> {
    let digit = |b: u8| (b as char).to_digit(16).expect("a hex digit") as u8;
    text.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

/// All bytes of a session in one direction.
fn direction(session: &str, way: &str) -> Vec<u8> {
    let prefix = format!("{session} {way} ");
    RECORDING.lines().filter_map(|l| l.strip_prefix(&prefix)).flat_map(hex).collect()
}

fn strip_line(bytes: &[u8], lines: usize) -> &[u8] {
    let mut at = 0;
    for _ in 0..lines {
        at += bytes[at..].iter().position(|b| *b == b'\n').expect("a line") + 1;
    }
    &bytes[at..]
}

#[test]
fn every_byte_comes_out_again() {
    let specs = specs();
    let mut messages = 0;
    for (session, way, lines) in [("2", "b>a", 3), ("2", "a>b", 1), ("3", "b>a", 3), ("3", "a>b", 1)] {
        let bytes = direction(session, way);
        let mut input = strip_line(&bytes, lines);
        let (mut receive, mut send) = (dict::ReceiveCache::default(), dict::SendCache::default());
        let mut current = None;
        let mut entry = Entry::default();
        while let Some(message) = wire::next(&mut input).expect("a message") {
            messages += 1;
            let wire::Message::Table(kind, body) = message else { continue };
            match kind {
                wire::TableMessage::Definition => {
                    let (id, spec) = TableSpec::decode(body, |_| true).expect("a definition");
                    let spec = spec.expect("known");
                    assert_eq!(Some(&spec), specs.iter().find(|s| s.name == spec.name));
                    let mut again = Vec::new();
                    spec.encode(id, &mut again);
                    assert_eq!(again, body);
                    current = Some(spec);
                }
                wire::TableMessage::Ack => assert!(body.len() == 5 && (1..=6).contains(&body[0])),
                _ => {
                    let head = kind.head_bytes();
                    let spec = current.as_ref().expect("defined");
                    let body = &body[head..];
                    entry.decode(body, spec, spec, &mut receive).expect("an entry");
                    // Never learned, and thus lost on this way.
                    let mut again = Vec::new();
                    if spec.find(DataType::ConnCur).is_some() {
                        let at = entry.fields.partition_point(|f| f.data < DataType::ConnCur);
                        entry.fields.insert(at, int(DataType::ConnCur, u64::from(current_of(body))));
                    }
                    entry.encode(spec, 0, &mut send, &mut again);
                    assert_eq!(again, body, "{kind:?} {entry:?}");
                }
            }
        }
        assert!(input.is_empty());
    }
    assert!(messages > 100, "{messages}");
}

/// `conn_cur` of a `t_ip` update: behind the key, `conn_cnt` and the three numbers of `conn_rate`.
fn current_of(mut body: &[u8]) -> u8 {
    varint::take(&mut body, 4).expect("a key");
    for _ in 0..4 {
        varint::get(&mut body).expect("a number");
    }
    varint::get(&mut body).expect("a number") as u8
}

/// Our session in the place of node `b`, at any cut of the bytes.
fn replay(session: &str, step: usize) -> (Vec<Arc<MemoryTable>>, Vec<u8>, Session) {
    let (own, seen) = tables_of(specs());
    let mut s = Session::client("nodea", "nodeb", 7, 1, &seen, &[], T);
    let mut sent = output(&mut s, &seen, T);
    for piece in direction(session, "a>b").chunks(step) {
        s.handle_input(piece, &seen, T);
        sent.extend(output(&mut s, &seen, T));
    }
    (own, sent, s)
}

#[test]
fn a_client_learns_from_the_recording() {
    for step in [1, 3, usize::MAX] {
        let (own, sent, mut s) = replay("2", step);
        let got = events(&mut s);
        assert_eq!(got[0], Event::Established { peer: "nodea".into(), minor: 1 });
        // The node had just started itself.
        assert!(got.contains(&Event::LessonBegun) && got.contains(&Event::Learned { complete: false }));
        assert!(s.is_open() && s.counters().heartbeats_received > 0);
        assert!(sent.starts_with(b"HAProxyS 2.1\nnodea\nnodeb 7 1\n"));
        assert_eq!(sent.windows(2).filter(|w| *w == [0, 3]).count(), 1, "confirms once");
        assert_eq!(own[0].keys(), [[0, 0, 0, 7]]);
        let shared = own[0].get(&[0, 0, 0, 7]).expect("learned");
        assert_eq!(shared.fields, [int(DataType::Gpt0, 9), int(DataType::Gpc0, 240)]);
        assert_eq!(own[1].keys(), [b"s1", b"s2"]);
        let s2 = own[1].get(b"s2").expect("learned");
        assert_eq!(s2.fields[0], int(DataType::ServerId, 2));
        assert_eq!(s2.fields[1].value, Value::Name(Some("app2".into())));
        let ip = own[2].get(&[127, 0, 0, 1]).expect("learned");
        assert!(ip.fields.iter().all(|f| f.data != DataType::ConnCur));
        let gpt2 = ip.fields.iter().find(|f| f.data == DataType::Gpt && f.index == 2);
        assert_eq!(gpt2.expect("stored").value, Value::Int(77));
        let ip6 = own[3].get(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).expect("learned");
        assert_eq!(ip6.fields[3], int(DataType::Gpc1, 100_000));
        assert_eq!(own[4].keys(), [b"abc\0\0\0\0\0"]);
        assert_eq!(own[5].get(&[0, 0, 0, 42]).expect("learned").fields, [int(DataType::ServerId, 3)]);
    }
}

#[test]
fn a_client_that_comes_back_learns_everything() {
    let (own, _, mut s) = replay("3", 100);
    assert!(events(&mut s).contains(&Event::Learned { complete: true }));
    assert_eq!(own[1].keys(), [b"s1", b"s2", b"s5", b"s6"]);
    assert_eq!(own[4].keys(), [b"abc\0\0\0\0\0", b"xyz\0\0\0\0\0"]);
    // The lesson's messages are timed.
    assert!(own[3].get(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]).is_some());
}

#[test]
fn a_server_hears_the_recorded_client() {
    let (own, seen) = tables_of(specs());
    let mut s = Session::server(members("nodea"), false, &seen, T);
    s.handle_input(&direction("2", "b>a"), &seen, T);
    let got = events(&mut s);
    assert_eq!(got[0], Event::Established { peer: "nodeb".into(), minor: 1 });
    assert_eq!(got[1], Event::LessonBegun);
    assert!(s.is_open(), "{got:?}");
    assert_eq!(own[1].keys(), [b"s1", b"s5", b"s6"]);
    assert_eq!(own[4].keys(), [b"xyz\0\0\0\0\0"]);
    let sent = output(&mut s, &seen, T);
    assert!(sent.starts_with(b"200\n"));
    // Its last update of `app` was number 6.
    assert!(sent.windows(8).any(|w| w == [10, 132, 5, 2, 0, 0, 0, 6]), "{sent:02x?}");
}
