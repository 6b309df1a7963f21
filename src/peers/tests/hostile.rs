//! Bytes that no honest peer sends.

use proptest::prelude::*;

use super::*;

fn open(seen: &Tables) -> Session {
    let mut s = Session::client("nodea", "nodeb", 1, 1, seen, &[], T);
    s.handle_input(b"200\n", seen, T);
    output(&mut s, seen, T);
    events(&mut s);
    s
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![10, kind];
    varint::put(&mut out, body.len() as u64);
    out.extend(body);
    out
}

fn definition(spec: &TableSpec, id: u64) -> Vec<u8> {
    let mut body = Vec::new();
    spec.encode(id, &mut body);
    message(130, &body)
}

/// What ends the session, and what the peer is told.
fn verdict(bytes: &[u8]) -> (Option<CloseReason>, Vec<u8>) {
    let (_, seen) = tables_of(specs());
    let mut s = open(&seen);
    s.handle_input(bytes, &seen, T);
    let reason = events(&mut s).into_iter().find_map(|e| match e {
        Event::Closed(r) => Some(r),
        _ => None,
    });
    (reason, output(&mut s, &seen, T))
}

#[test]
fn offences_have_names() {
    let specs = specs();
    let (shared, app, ip) = (&specs[0], &specs[1], &specs[2]);
    let after = |spec: &TableSpec, bytes: Vec<u8>| [definition(spec, 1), bytes].concat();
    let bad_definition =
        |key: u8, len: u8, rest: &[u8]| message(130, &[&[1, 3, b'a', b'p', b'p', key, len], rest].concat());
    let mut too_large = vec![1, b'x'];
    varint::put(&mut too_large, 1 << 32);
    let bad_array = |elements| {
        let mut rest = Vec::new();
        for n in [1 << DataType::Gpt.number(), 0, DataType::Gpt.number().into(), elements] {
            varint::put(&mut rest, n);
        }
        bad_definition(6, 33, &rest)
    };
    for (bytes, error) in [
        (vec![3, 0], DecodeError::UnknownClass(3)),
        (vec![0, 9], DecodeError::UnknownType { class: 0, kind: 9 }),
        (message(128, &[0; 20]), DecodeError::NoTable),
        (message(131, &[1]), DecodeError::NoTable),
        (message(132, &[0, 0, 0, 0, 1]), DecodeError::AckTable(0)),
        (message(132, &[7, 0, 0, 0, 1]), DecodeError::AckTable(7)),
        (message(132, &[1, 0, 0]), DecodeError::Truncated),
        (message(130, &[]), DecodeError::Truncated),
        (message(130, &[1, 9, b'a']), DecodeError::Truncated),
        (message(130, &[1, 1, 0xff]), DecodeError::TableName),
        (message(130, &[1, 0]), DecodeError::TableName),
        (bad_definition(3, 4, &[0, 0]), DecodeError::KeyType(3)),
        (bad_definition(6, 0, &[0, 0]), DecodeError::KeyLength(0)),
        (bad_definition(4, 5, &[0, 0]), DecodeError::KeyLength(5)),
        (bad_definition(6, 33, &[8, 0, 5, 9]), DecodeError::DataParameters { expected: 3, found: 5 }),
        (bad_definition(6, 33, &[8, 0, 3, 0]), DecodeError::Period(0)),
        (bad_definition(6, 33, &[8, 0, 3]), DecodeError::Truncated),
        (bad_array(0), DecodeError::Elements(0)),
        (bad_array(101), DecodeError::Elements(101)),
        (after(app, message(128, &[0, 0, 0])), DecodeError::Truncated),
        (after(app, message(129, &[40, 1, 2])), DecodeError::Truncated),
        (
            after(app, message(129, &[[33].as_slice(), &[b'x'; 33], &[0, 0]].concat())),
            DecodeError::KeyTooLong,
        ),
        (after(app, message(129, &[1, b'x', 1, 1, 200])), DecodeError::DictionaryId(200)),
        (after(app, message(129, &too_large)), DecodeError::ValueRange { data: 0, value: 1 << 32 }),
        (after(shared, message(129, &[0, 0, 0, 1, 5])), DecodeError::Truncated),
        (after(ip, message(134, &[0, 0, 0])), DecodeError::Truncated),
    ] {
        let (got, told) = verdict(&bytes);
        assert_eq!(got, Some(CloseReason::Misbehaved(error)), "{bytes:02x?}");
        assert_eq!(told, [1, 0], "{bytes:02x?}");
    }
    let mut large = vec![10, 128];
    varint::put(&mut large, 1 << 40);
    let size = CloseReason::Misbehaved(DecodeError::MessageTooLarge);
    assert_eq!(verdict(&large), (Some(size), vec![1, 1]));
    assert_eq!(verdict(&[1, 0]), (Some(CloseReason::PeerProtocolError), vec![]));
    assert_eq!(verdict(&[1, 1]), (Some(CloseReason::PeerSizeLimit), vec![]));
}

#[test]
fn foreign_tables_are_passed_over() {
    let (own, seen) = tables_of(specs());
    let mut s = open(&seen);
    let unknown = TableSpec::new("unknown", KeyType::Integer, 4, 0, vec![]);
    let other_length = TableSpec::new("app", KeyType::String, 65, 0, vec![]);
    let other_type = TableSpec::new("app", KeyType::Binary, 33, 0, vec![]);
    for spec in [&unknown, &other_length, &other_type] {
        s.handle_input(&definition(spec, 1), &seen, T);
        s.handle_input(&message(128, &[0; 40]), &seen, T);
        s.handle_input(&message(131, &[1]), &seen, T);
        s.handle_input(&message(128, &[0; 40]), &seen, T);
    }
    assert!(s.is_open() && own.iter().all(|t| t.keys().is_empty()));
    assert_eq!(s.counters().updates_ignored, 6);
    assert_eq!(output(&mut s, &seen, T), []);
}

/// HAProxy tells a name once for all tables, also when the peer has not the first of them.
#[test]
fn names_told_with_foreign_tables_count() {
    let (own, seen) = tables_of(specs());
    let mut s = open(&seen);
    let app = seen[1].spec().clone();
    let like_app = |name, key_len| TableSpec::new(name, KeyType::String, key_len, 0, app.data().to_vec());
    let (unknown, other_length) = (like_app("unknown", 33), like_app("app", 9));
    let told = |id: u8, name: u8| [1, b'x', 1, 3, id, 1, name];
    s.handle_input(&definition(&unknown, 1), &seen, T);
    s.handle_input(&message(133, &[[0u8; 8].as_slice(), &told(1, b'a')].concat()), &seen, T);
    s.handle_input(&message(129, &told(9, b'?')[..4]), &seen, T);
    s.handle_input(&definition(&other_length, 2), &seen, T);
    s.handle_input(&message(129, &told(2, b'b')), &seen, T);
    s.handle_input(&definition(&app, 3), &seen, T);
    for (key, id, name) in [(b'1', 1, Some("a")), (b'2', 2, Some("b")), (b'3', 3, None)] {
        s.handle_input(&message(129, &[1, key, 1, 1, id]), &seen, T);
        let entry = own[1].get(&[key]).expect("learned");
        assert_eq!(entry.fields[1].value, Value::Name(name.map(Into::into)));
    }
    assert!(s.is_open());
}

/// HAProxy's timed updates of a table without `expire` say 0.
#[test]
fn entries_of_a_table_without_expiry_do_not_expire_at_once() {
    for (theirs, left) in [(0, None), (60_000, Some(0))] {
        let (own, seen) = tables_of(specs());
        let mut s = open(&seen);
        let shared = TableSpec::new("/shared", KeyType::Integer, 4, theirs, seen[0].spec().data().to_vec());
        s.handle_input(&definition(&shared, 1), &seen, T);
        s.handle_input(&message(133, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2]), &seen, T);
        assert_eq!(own[0].get(&[0, 0, 0, 7]).expect("learned").expire_ms, left);
    }
}

#[test]
fn differing_data_is_learned_as_far_as_it_is_shared() {
    use DataType::*;
    let (own, seen) = tables_of(specs());
    let mut s = open(&seen);
    // A shorter array, another period, a type more; then a type from the future and a tail behind it.
    let theirs = vec![
        DataSpec { data: Gpt, elements: 5, period_ms: 0 },
        DataSpec::rate(ConnRate, 9000),
        DataSpec::counter(Gpc0),
        DataSpec::counter(ConnCnt),
        DataSpec::counter(ConnCur),
    ];
    let spec = TableSpec::new("t_ip", KeyType::Ipv4, 4, 0, theirs);
    let mut body = Vec::new();
    spec.encode(9, &mut body);
    s.handle_input(&message(130, &body), &seen, T);
    let update = [0, 0, 0, 8, 10, 0, 0, 1, 50, 60, 1, 2, 3, 70, 81, 82, 83, 84, 85, 99, 99];
    s.handle_input(&message(128, &update), &seen, T);
    let gpt = |index: u8, n| Field { data: Gpt, index, value: Value::Int(n) };
    let got = own[2].get(&[10, 0, 0, 1]).expect("learned");
    assert_eq!(got.fields, [int(ConnCnt, 60), gpt(0, 81), gpt(1, 82), gpt(2, 83)]);
    assert_eq!(output(&mut s, &seen, T), [10, 132, 5, 9, 0, 0, 0, 8]);
}

fn any_value(spec: DataSpec) -> BoxedStrategy<Value> {
    match spec.data.kind() {
        Kind::U32 => any::<u32>().prop_map(|n| Value::Int(n.into())).boxed(),
        Kind::U64 => any::<u64>().prop_map(Value::Int).boxed(),
        Kind::Rate => any::<(u32, u32, u32)>()
            .prop_map(|(elapsed_ms, current, previous)| Value::Rate { elapsed_ms, current, previous })
            .boxed(),
        Kind::Name => proptest::option::of("[a-z]{1,3}").prop_map(|n| Value::Name(n.map(Into::into))).boxed(),
    }
}

/// A table's fields with any values, without what is never learned.
fn any_fields(spec: &TableSpec) -> BoxedStrategy<Vec<Field>> {
    let one = |d: DataSpec, index| any_value(d).prop_map(move |value| Field { data: d.data, index, value });
    let all: Vec<_> = spec
        .data()
        .iter()
        .filter(|d| d.data.is_learned())
        .flat_map(|d| (0..d.elements).map(|i| one(*d, i)).collect::<Vec<_>>())
        .collect();
    all.boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn entries_round_trip(
        (table, fields) in (0..specs().len()).prop_flat_map(|t| (Just(t), any_fields(&specs()[t]))),
        key in proptest::collection::vec(any::<u8>(), 16),
    ) {
        let spec = &specs()[table];
        let key = key[..(spec.key_len as usize).min(16)].to_vec();
        let entry = Entry { key, expire_ms: None, fields };
        let (mut send, mut receive) = Default::default();
        for _ in 0..2 {
            let (mut bytes, mut again) = (Vec::new(), Entry::default());
            entry.encode(spec, 0, &mut send, &mut bytes);
            again.decode(&bytes, spec, spec, &mut receive).expect("own bytes");
            prop_assert_eq!(&again, &entry);
        }
    }

    #[test]
    fn definitions_round_trip(bits in 0u32..1 << 27, id: u64, expire: u64, elements in 1u8..=100, period in 1u32..) {
        let data = DataType::ALL.iter().filter(|d| bits >> d.number() & 1 == 1).map(|d| DataSpec {
            data: *d,
            elements: if d.is_array() { elements } else { 1 },
            period_ms: if d.kind() == Kind::Rate { period } else { 0 },
        });
        let spec = TableSpec::new("t", KeyType::Binary, 12, expire, data.collect());
        let mut body = Vec::new();
        spec.encode(id, &mut body);
        prop_assert_eq!(TableSpec::decode(&body, |_| true), Ok((id, Some(spec))));
    }

    /// Random bytes, bare, as bodies, and as flips in honest messages: no panic, the same end however they are cut.
    #[test]
    fn random_bytes(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        kind in 128u8..136,
        table in 0usize..6,
        flip: (prop::sample::Index, u8),
        step in 1usize..9,
    ) {
        let mut all = definition(&specs()[table], 3);
        all.extend(message(kind, &bytes));
        let at = flip.0.index(all.len());
        let mut flipped = all.clone();
        flipped[at] ^= flip.1;
        for input in [bytes, all, flipped] {
            let (_, seen) = tables_of(specs());
            let (mut whole, mut cut) = (open(&seen), open(&seen));
            whole.handle_input(&input, &seen, T);
            for piece in input.chunks(step) {
                cut.handle_input(piece, &seen, T);
            }
            prop_assert_eq!(events(&mut whole), events(&mut cut));
            prop_assert_eq!(output(&mut whole, &seen, T), output(&mut cut, &seen, T));
        }
    }
}
