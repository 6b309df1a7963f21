//! Hashes, the same as those of load balancing. None is for secrets.

use crate::base::hash;
use crate::sample::{ArgType, Args, Converter, Ctx, Sample, Type};

const fn entry(name: &'static str, f: crate::sample::ConvertFn) -> Converter {
    Converter::new(name, Type::Bin, Type::Int, f)
        .args(0, &[ArgType::Int])
        .doc("hash of the input; with 1, mixed by a full avalanche, or with a seed for xxh*")
}

/// The table.
pub const CONVERTERS: &[Converter] = &[
    entry("crc32", |a, s, _| mixed(a, s, hash::crc32)),
    entry("crc32c", |a, s, _| mixed(a, s, hash::crc32c)),
    entry("djb2", |a, s, _| mixed(a, s, hash::djb2)),
    entry("sdbm", |a, s, _| mixed(a, s, hash::sdbm)),
    entry("wt6", |a, s, _| mixed(a, s, hash::wt6)),
    entry("xxh32", |a, s, _| {
        Some(Sample::Int(i64::from(xxhash_rust::xxh32::xxh32(s.bytes()?, a.int_or(0, 0) as u32))))
    }),
    entry("xxh64", |a, s, _| {
        Some(Sample::Int(xxhash_rust::xxh64::xxh64(s.bytes()?, a.int_or(0, 0) as u64) as i64))
    }),
    entry("xxh3", xxh3),
];

fn mixed<'a>(a: &'a Args, s: Sample<'a>, f: fn(&[u8]) -> u32) -> Option<Sample<'a>> {
    let h = f(s.bytes()?);
    Some(Sample::Int(i64::from(if a.int_or(0, 0) == 0 { h } else { hash::avalanche(h) })))
}

fn xxh3<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    Some(Sample::Int(xxhash_rust::xxh3::xxh3_64_with_seed(s.bytes()?, a.int_or(0, 0) as u64) as i64))
}
