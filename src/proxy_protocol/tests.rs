//! Headers of both versions, as they should be and as they should not.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn endpoints(src: &str, dst: &str) -> Endpoints {
    Endpoints { src: addr(src), dst: addr(dst) }
}

/// The endpoints of a header that is complete and nothing else.
fn whole(bytes: &[u8]) -> Result<Option<Endpoints>, Error> {
    match parse(bytes, V2_MAX)? {
        Parsed::Complete(header, len) => {
            assert_eq!(len, bytes.len());
            Ok(header.endpoints)
        }
        Parsed::Incomplete => panic!("incomplete: {bytes:?}"),
    }
}

fn v1(rest: &str) -> Result<Option<Endpoints>, Error> {
    whole(format!("PROXY {rest}\r\n").as_bytes())
}

#[test]
fn version_1() {
    let v4 = endpoints("192.168.0.1:56324", "192.168.0.11:443");
    assert_eq!(v1("TCP4 192.168.0.1 192.168.0.11 56324 443"), Ok(Some(v4)));
    let v6 = endpoints("[2001:db8::1]:0", "[::ffff:1.2.3.4]:65535");
    assert_eq!(v1("TCP6 2001:DB8::1 ::ffff:1.2.3.4 0 65535"), Ok(Some(v6)));
    assert_eq!(v1("UNKNOWN"), Ok(None));
    assert_eq!(v1("UNKNOWN ffff::1 whatever 1 \t\x7f"), Ok(None));
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    assert_eq!(v1(&format!("UNKNOWN {longest} {longest} 65535 65535")), Ok(None));
}

#[test]
fn version_1_has_one_form() {
    for line in [
        "TCP4 1.2.3.4 5.6.7.8 1 65536",
        "TCP4 1.2.3.4 5.6.7.8 1 02",
        "TCP4 1.2.3.4 5.6.7.8 +1 2",
        "TCP4 1.2.3.4 5.6.7.8 -1 2",
        "TCP4 1.2.3.4 5.6.7.8 1",
        "TCP4 1.2.3.4 5.6.7.8 1 2 ",
        "TCP4 1.2.3.4 5.6.7.8 1 2 3",
        "TCP4 1.2.3.4  5.6.7.8 1 2",
        "TCP4  1.2.3.4 5.6.7.8 1 2",
        "TCP4 1.2.3.4\t5.6.7.8 1 2",
        "TCP4 01.2.3.4 5.6.7.8 1 2",
        "TCP4 1.2.3 5.6.7.8 1 2",
        "TCP4 1.2.3.256 5.6.7.8 1 2",
        "TCP4 ::1 5.6.7.8 1 2",
        "TCP6 ::1 5.6.7.8 1 2",
        "TCP6 fe80::1%lo ::2 1 2",
        "TCP6 ::1::2 ::2 1 2",
        "TCP4",
        "TCP6 ::1 ::2 1 \u{663}",
    ] {
        assert_eq!(v1(line), Err(Error::Invalid), "{line}");
    }
    for line in
        ["", " TCP4 1.2.3.4 5.6.7.8 1 2", "UDP4 1.2.3.4 5.6.7.8 1 2", "tcp4 1.2.3.4 5.6.7.8 1 2", "UNKNOWNX"]
    {
        assert_eq!(v1(line), Err(Error::Unhandled), "{line}");
    }
}

#[test]
fn version_1_ends_with_crlf_within_107_bytes() {
    for end in ["\n", "\r\r\n", "\rX", "\n\r"] {
        let line = format!("PROXY UNKNOWN{end}");
        assert_eq!(parse(line.as_bytes(), V2_MAX), Err(Error::Invalid), "{end:?}");
    }
    let line = |n: usize| format!("PROXY UNKNOWN {}\r\n", "f".repeat(n - 16));
    assert_eq!(whole(line(107).as_bytes()), Ok(None));
    assert_eq!(parse(line(108).as_bytes(), V2_MAX), Err(Error::Invalid));
    assert_eq!(parse(&line(300).as_bytes()[..106], V2_MAX), Ok(Parsed::Incomplete));
    assert_eq!(parse(&line(300).as_bytes()[..107], V2_MAX), Err(Error::Invalid));
    assert_eq!(
        parse(&line(108).as_bytes()[..107], V2_MAX),
        Err(Error::Invalid),
        "a CR is the last byte of 107"
    );
}

#[test]
fn what_follows_is_left_alone() {
    let bytes = b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nPROXY UNKNOWN\r\n";
    let Ok(Parsed::Complete(_, len)) = parse(bytes, V2_MAX) else { panic!("no header") };
    assert_eq!(&bytes[len..], b"PROXY UNKNOWN\r\n");
    let mut bytes = V2::local().finish();
    bytes.extend_from_slice(b"\r\n\r\n");
    assert_eq!(parse(&bytes, V2_MAX), Ok(Parsed::Complete(Header::default(), 16)));
}

#[test]
fn other_protocols_are_told_from_headers_at_once() {
    for bytes in [
        "GET / HTTP/1.1\r\n",
        "\x16\x03\x01",
        "\r\n\r\nGET",
        "PRI * HTTP/2.0",
        "PROXYTCP4",
        "\0",
        "\r\n\r\n\0\r\nQUIT\r",
    ] {
        assert_eq!(parse(bytes.as_bytes(), V2_MAX), Err(Error::NotHeader), "{bytes:?}");
    }
}

/// A header of version 2 from its parts; its length is right.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend_from_slice(&[command, family]);
    bytes.extend_from_slice(&(rest.len() as u16).to_be_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

const TCP4: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 0, 42, 5, 57];

fn with_tlvs(tlvs: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[&TCP4, tlvs].concat())
}

#[test]
fn version_2() {
    assert_eq!(whole(&v2(0x21, 0x11, &TCP4)), Ok(Some(endpoints("1.2.3.4:42", "5.6.7.8:1337"))));
    let tcp6: Vec<u8> = (0..36).collect();
    let v6 =
        endpoints("[1:203:405:607:809:a0b:c0d:e0f]:8225", "[1011:1213:1415:1617:1819:1a1b:1c1d:1e1f]:8739");
    assert_eq!(whole(&v2(0x21, 0x21, &tcp6)), Ok(Some(v6)));
}

#[test]
fn version_2_without_addresses_that_we_use() {
    let unix = [b'a'; 216];
    for (command, family, rest) in [
        (0x20, 0x00, &b""[..]),
        (0x20, 0x11, &TCP4),
        (0x20, 0xff, b"anything"),
        (0x21, 0x00, b""),
        (0x21, 0x01, b""),
        (0x21, 0x12, &TCP4),
        (0x21, 0x10, &TCP4),
        (0x21, 0x31, &unix),
        (0x21, 0x32, &unix),
    ] {
        assert_eq!(whole(&v2(command, family, rest)), Ok(None), "{command:x} {family:x}");
    }
}

#[test]
fn version_2_errors() {
    for (command, family, rest) in [
        (0x22, 0x11, &TCP4[..]),
        (0x2f, 0x11, &TCP4),
        (0x21, 0x13, &TCP4),
        (0x21, 0x41, &TCP4),
        (0x21, 0xf1, &TCP4),
        (0x21, 0x11, &TCP4[..11]),
        (0x21, 0x21, &TCP4),
        (0x21, 0x31, &[0; 215]),
        (0x21, 0x00, b"xx"),
    ] {
        assert_eq!(parse(&v2(command, family, rest), V2_MAX), Err(Error::Invalid), "{command:x} {family:x}");
    }
    for version in [0x11, 0x31, 0x00, 0xff] {
        assert_eq!(parse(&v2(version, 0x11, &TCP4), V2_MAX), Err(Error::NotHeader), "{version:x}");
    }
}

#[test]
fn a_header_is_not_longer_than_allowed() {
    let long = with_tlvs(&[&[4, 3, 0][..], &[0; 768]].concat());
    assert_eq!(parse(&long[..16], long.len() - 1), Err(Error::TooLong));
    assert!(matches!(parse(&long, long.len()), Ok(Parsed::Complete(_, _))));
    // A LOCAL header's length counts as well.
    assert_eq!(parse(&v2(0x20, 0, &[0; 100]), 115), Err(Error::TooLong));
}

#[test]
fn tlvs_fill_the_rest_exactly() {
    for tlvs in
        [&b"\x02"[..], b"\x02\0", b"\x02\0\x01", b"\x02\0\x0212\x04", b"\x02\0\x0a12345", b"\x02\xff\xff1"]
    {
        assert_eq!(parse(&with_tlvs(tlvs), V2_MAX), Err(Error::Invalid), "{tlvs:x?}");
    }
}

fn tlvs(bytes: &[u8]) -> Tlvs {
    match parse(&with_tlvs(bytes), V2_MAX) {
        Ok(Parsed::Complete(header, _)) => header.tlvs,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tlvs_are_found_by_type() {
    let list = tlvs(b"\x02\0\x05first\x05\0\x02id\xe0\0\0\x02\0\x06second");
    assert_eq!(list.first(Type::AUTHORITY), Some(&b"first"[..]));
    assert_eq!(list.all(Type::AUTHORITY).collect::<Vec<_>>(), [&b"first"[..], b"second"]);
    assert_eq!(list.first(Type::UNIQUE_ID), Some(&b"id"[..]));
    assert_eq!(list.first(Type(0xe0)), Some(&b""[..]));
    assert_eq!(list.first(Type::ALPN), None);
    assert_eq!(Tlvs::parse(list.as_bytes()), Ok(list));
}

#[test]
fn values_have_limits() {
    let of = |ty: u8, len: u16| {
        let value = vec![b'x'; usize::from(len)];
        parse(&with_tlvs(&[&[ty], &len.to_be_bytes()[..], &value].concat()), V2_MAX)
    };
    let kept = |ty, len| match of(ty, len) {
        Ok(Parsed::Complete(h, _)) => h.tlvs.first(Type(ty)).is_some(),
        other => panic!("{other:?}"),
    };
    assert!(kept(2, 255) && kept(5, 128) && kept(0x20, 1024));
    assert_eq!(of(2, 256), Err(Error::Invalid));
    assert_eq!(of(5, 129), Err(Error::Invalid));
    // Too long to be kept, but nothing to refuse a connection for.
    assert!(!kept(0x20, 1025) && !kept(4, 40_000));
}

#[test]
fn a_checksum_must_be_right() {
    let mut v2 = V2::proxy(Some(endpoints("1.2.3.4:42", "5.6.7.8:1337")));
    assert!(v2.tlv(Type::AUTHORITY, b"a"));
    v2.checksum();
    let bytes = v2.finish();
    assert!(matches!(parse(&bytes, V2_MAX), Ok(Parsed::Complete(_, _))));
    // All but the type of the checksum itself: without it there is none to be wrong.
    for at in (16..bytes.len()).filter(|at| *at != bytes.len() - 7) {
        let mut broken = bytes.clone();
        broken[at] ^= 0x10;
        assert!(!matches!(parse(&broken, V2_MAX), Ok(Parsed::Complete(_, _))), "byte {at}");
    }
    assert_eq!(parse(&with_tlvs(b"\x03\0\x03123"), V2_MAX), Err(Error::Invalid));
}

#[test]
fn what_is_written() {
    let v1 = |src, dst| write_v1(Some(endpoints(src, dst)));
    assert_eq!(v1("1.2.3.4:42", "5.6.7.8:1337"), "PROXY TCP4 1.2.3.4 5.6.7.8 42 1337\r\n");
    assert_eq!(v1("[::1]:42", "[2001:db8::2]:1337"), "PROXY TCP6 ::1 2001:db8::2 42 1337\r\n");
    assert_eq!(v1("[::1]:42", "5.6.7.8:1337"), "PROXY TCP6 ::1 ::ffff:5.6.7.8 42 1337\r\n");
    assert_eq!(write_v1(None), "PROXY UNKNOWN\r\n");
    assert_eq!(V2::local().finish(), v2(0x20, 0, b""));
    assert_eq!(V2::proxy(None).finish(), v2(0x21, 0, b""));
    let mut header = V2::proxy(Some(endpoints("1.2.3.4:42", "5.6.7.8:1337")));
    assert!(header.tlv(Type::UNIQUE_ID, b"id"));
    assert_eq!(header.finish(), with_tlvs(b"\x05\0\x02id"));
    let mixed = V2::proxy(Some(endpoints("[2001:db8::1]:42", "5.6.7.8:1337"))).finish();
    assert_eq!(whole(&mixed), Ok(Some(endpoints("[2001:db8::1]:42", "[::ffff:5.6.7.8]:1337"))));
}

#[test]
fn what_does_not_fit_is_left_out() {
    let mut v2 = V2::proxy(None);
    v2.checksum();
    assert!(!v2.tlv(Type::NOOP, &vec![0; 65_536]));
    assert!(v2.tlv(Type::NOOP, &vec![0; 65_500]));
    assert!(!v2.tlv(Type::NOOP, &[0; 23]));
    assert!(v2.tlv(Type::NOOP, &[0; 22]));
    assert!(!v2.tlv(Type::NOOP, b""));
    let bytes = v2.finish();
    assert_eq!(bytes.len(), V2_MAX);
    assert_eq!(whole(&bytes), Ok(None));
}

fn any_endpoints() -> impl Strategy<Value = Endpoints> {
    let any_addr = any::<(std::net::IpAddr, u16)>().prop_map(SocketAddr::from);
    (any_addr.clone(), any_addr).prop_map(|(src, dst)| Endpoints { src, dst })
}

/// Something that looks like a header: one that was written, with a few bytes changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let tlvs = proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..4);
    let header = (any::<bool>(), proptest::option::of(any_endpoints()), tlvs, any::<bool>());
    let damage = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (header, damage).prop_map(|((first, endpoints, tlvs, sum), damage)| {
        let mut bytes = if first {
            write_v1(endpoints).into_bytes()
        } else {
            let mut v2 = V2::proxy(endpoints);
            tlvs.iter().for_each(|(ty, value)| assert!(v2.tlv(Type(*ty), value)));
            if sum {
                v2.checksum();
            }
            v2.finish()
        };
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read(endpoints in any_endpoints(), value in proptest::collection::vec(any::<u8>(), 0..1024)) {
        let ports_and_ips = |e: Endpoints| {
            [e.src, e.dst].map(|a| (a.ip().to_canonical(), a.port()))
        };
        let line = whole(write_v1(Some(endpoints)).as_bytes()).expect("a header").expect("endpoints");
        prop_assert_eq!(ports_and_ips(line), ports_and_ips(endpoints));
        let mut v2 = V2::proxy(Some(endpoints));
        prop_assert!(v2.tlv(Type(0xe0), &value));
        v2.checksum();
        let bytes = v2.finish();
        let Ok(Parsed::Complete(header, len)) = parse(&bytes, V2_MAX) else { panic!("no header") };
        prop_assert_eq!(len, bytes.len());
        prop_assert_eq!(header.tlvs.first(Type(0xe0)), Some(&value[..]));
        let read = header.endpoints.expect("endpoints");
        prop_assert_eq!(ports_and_ips(read), ports_and_ips(endpoints));
        if endpoints.src.is_ipv4() == endpoints.dst.is_ipv4() {
            prop_assert_eq!((read, line), (endpoints, endpoints));
        }
    }

    /// Wherever the bytes are cut: a verdict on a part is the verdict on the whole, and a header is complete exactly
    /// at its end.
    #[test]
    fn pieces_do_not_matter(bytes in damaged(), more in proptest::collection::vec(any::<u8>(), 0..20)) {
        let all = [&bytes[..], &more].concat();
        let verdict = parse(&all, 4096);
        for cut in 0..all.len() {
            match (parse(&all[..cut], 4096), &verdict) {
                (Ok(Parsed::Incomplete), Ok(Parsed::Complete(_, len))) => prop_assert!(cut < *len),
                (Ok(Parsed::Incomplete), _) => {}
                (part, _) => prop_assert_eq!(&part, &verdict),
            }
        }
    }

    #[test]
    fn noise_is_refused_or_awaited(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes, 4096);
        let _ = parse(&[&b"PROXY "[..], &bytes].concat(), 4096);
        let _ = parse(&[&b"\r\n\r\n\0\r\nQUIT\n"[..], &bytes].concat(), 4096);
        let _ = Tlvs::parse(&bytes);
    }
}
