//! The header of the PROXY protocol, both versions. The first two bytes are the longest header that is taken.
//!
//! Checked: no panic; a cut anywhere gives the same verdict or "incomplete"; a header is not longer than allowed; what it
//! says is the same when written anew.
#![no_main]

use haring::proxy_protocol::{Parsed, Tlvs, Type, V1_MAX, V2, V2_MAX, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&[high, low], bytes)) = data.split_first_chunk::<2>() else { return };
    let max = usize::from(u16::from_be_bytes([high, low]));
    let verdict = parse(bytes, max);
    for cut in 0..bytes.len() {
        match (parse(&bytes[..cut], max), &verdict) {
            (Ok(Parsed::Incomplete), Ok(Parsed::Complete(_, len))) => assert!(cut < *len),
            (Ok(Parsed::Incomplete), _) => {}
            (part, _) => assert_eq!(&part, &verdict),
        }
    }
    let Ok(Parsed::Complete(header, len)) = verdict else { return };
    assert!(len <= bytes.len() && len <= max.max(V1_MAX));
    assert_eq!(Tlvs::parse(header.tlvs.as_bytes()).as_ref(), Ok(&header.tlvs));
    let mut anew = V2::proxy(header.endpoints);
    for ty in 0..=255 {
        for value in header.tlvs.all(Type(ty)).filter(|_| ty != Type::CRC32C.0) {
            assert!(anew.tlv(Type(ty), value));
        }
    }
    anew.checksum();
    let Ok(Parsed::Complete(read, _)) = parse(&anew.finish(), V2_MAX) else { panic!("not read again") };
    assert_eq!(read.endpoints, header.endpoints);
});
