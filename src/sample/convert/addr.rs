//! Addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::sample::{ArgType, Args, Converter, Ctx, Sample, Type};

/// The table.
pub const CONVERTERS: &[Converter] = &[Converter::new("ipmask", Type::Addr, Type::Addr, ipmask)
    .args(1, &[ArgType::Mask4, ArgType::Mask6])
    .doc("the address masked; IPv6 needs a mask of its own")];

fn ipmask<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let Sample::Ip(ip) = s else { return None };
    // A mapped address is one of IPv4, as everywhere.
    Some(Sample::Ip(match (ip.to_canonical(), a.ip(0), a.ip(1)) {
        (IpAddr::V4(ip), Some(IpAddr::V4(m)), _) => Ipv4Addr::from(u32::from(ip) & u32::from(m)).into(),
        (IpAddr::V6(ip), _, Some(IpAddr::V6(m))) => Ipv6Addr::from(u128::from(ip) & u128::from(m)).into(),
        _ => return None,
    }))
}
