//! The client's connection, the listener, the server connection. Manual section 7.3.3.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::proxy_protocol::Type as Tlv;
use crate::sample::{Arg, ArgType, Args, Ctx, ExprCx, Fetch, Needs, Sample, Type};

const CLIENT: Needs = Needs::CLIENT;

/// The table.
pub const FETCHES: &[Fetch] = &[
    Fetch::new("src", Type::Addr, CLIENT, |_, c| ip(c.src())).doc("client's address"),
    Fetch::new("src_port", Type::Int, CLIENT, |_, c| port(c.src())).doc("client's port"),
    Fetch::new("dst", Type::Addr, CLIENT, |_, c| ip(c.dst())).doc("address the client connected to"),
    Fetch::new("dst_port", Type::Int, CLIENT, |_, c| port(c.dst())).doc("port the client connected to"),
    Fetch::new("fc_src", Type::Addr, CLIENT, |_, c| ip(c.client_src()))
        .doc("peer address of the client connection"),
    Fetch::new("fc_src_port", Type::Int, CLIENT, |_, c| port(c.client_src()))
        .doc("peer port of the client connection"),
    Fetch::new("fc_dst", Type::Addr, CLIENT, |_, c| ip(c.client_dst()))
        .doc("local address of the client connection"),
    Fetch::new("fc_dst_port", Type::Int, CLIENT, |_, c| port(c.client_dst()))
        .doc("local port of the client connection"),
    Fetch::new("fc_rcvd_proxy", Type::Bool, CLIENT, |_, c| Some(Sample::Bool(c.proxy_header().is_some())))
        .doc("whether the client's connection began with a PROXY protocol header"),
    Fetch::new("fc_pp_authority", Type::Str, CLIENT, |_, c| tlv(c, Tlv::AUTHORITY))
        .doc("authority in the PROXY protocol header"),
    Fetch::new("fc_pp_unique_id", Type::Str, CLIENT, |_, c| tlv(c, Tlv::UNIQUE_ID))
        .doc("unique id in the PROXY protocol header"),
    Fetch::new("fc_pp_tlv", Type::Str, CLIENT, |a, c| tlv(c, Tlv(u8::try_from(a.int_or(0, 0)).ok()?)))
        .args(1, &[ArgType::Str])
        .prepare(|_, a| tlv_type(a))
        .doc("a field of the PROXY protocol header, by number or name"),
    Fetch::new("bc_src", Type::Addr, Needs::SERVER_CONN, |_, c| ip(c.server_src()))
        .doc("local address of the server connection"),
    Fetch::new("bc_src_port", Type::Int, Needs::SERVER_CONN, |_, c| port(c.server_src()))
        .doc("local port of the server connection"),
    Fetch::new("bc_dst", Type::Addr, Needs::SERVER_CONN, |_, c| ip(c.server_dst()))
        .doc("remote address of the server connection"),
    Fetch::new("bc_dst_port", Type::Int, Needs::SERVER_CONN, |_, c| port(c.server_dst()))
        .doc("remote port of the server connection"),
    Fetch::new("src_is_local", Type::Bool, CLIENT, |_, c| local(c.src()))
        .doc("whether the client is on this machine"),
    Fetch::new("dst_is_local", Type::Bool, CLIENT, |_, c| local(c.dst()))
        .doc("whether the destination is on this machine"),
    Fetch::new("dst_conn", Type::Int, Needs::FRONTEND.or(CLIENT), |_, c| c.listener_conn().map(Sample::Int))
        .doc("current connections of the listening socket"),
    Fetch::new("so_id", Type::Int, Needs::FRONTEND.or(CLIENT), |_, c| c.listener_id().map(Sample::Int))
        .doc("numeric id of the listening socket"),
    Fetch::new("so_name", Type::Str, Needs::FRONTEND.or(CLIENT), |_, c| {
        Some(Sample::str(c.listener_name()?.as_bytes()))
    })
    .doc("name of the listening socket"),
    Fetch::new("bytes_in", Type::Int, Needs::SESSION_END.or(Needs::RES_HEAD), |_, c| {
        Some(Sample::Int(c.bytes()?.0 as i64))
    })
    .doc("bytes received from the client"),
    Fetch::new("bytes_out", Type::Int, Needs::SESSION_END.or(Needs::RES_HEAD), |_, c| {
        Some(Sample::Int(c.bytes()?.1 as i64))
    })
    .doc("bytes sent to the client"),
    Fetch::new("fc_rtt", Type::Int, CLIENT, |a, c| time(a, c.client_rtt()?.0))
        .args(0, &[ArgType::Str])
        .prepare(|_, a| rtt_unit(a))
        .doc("round-trip time of the client connection; unit ms (the default) or us"),
    Fetch::new("fc_rttvar", Type::Int, CLIENT, |a, c| time(a, c.client_rtt()?.1))
        .args(0, &[ArgType::Str])
        .prepare(|_, a| rtt_unit(a))
        .doc("variance of the round-trip time of the client connection; unit ms (the default) or us"),
    Fetch::new("bc_rtt", Type::Int, Needs::SERVER_CONN, |a, c| time(a, c.server_rtt()?.0))
        .args(0, &[ArgType::Str])
        .prepare(server_rtt)
        .doc("round-trip time of the server connection; unit ms (the default) or us"),
    Fetch::new("bc_rttvar", Type::Int, Needs::SERVER_CONN, |a, c| time(a, c.server_rtt()?.1))
        .args(0, &[ArgType::Str])
        .prepare(server_rtt)
        .doc("variance of the round-trip time of the server connection; unit ms (the default) or us"),
];

/// Some expression of the section wants to know the round-trip time of server connections: it costs a system
/// call per response, so it is measured only then.
#[derive(Clone, Copy, Debug, Default)]
pub struct WantsServerRtt(pub bool);

fn server_rtt(cx: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    cx.section.feature::<WantsServerRtt>().0 = true;
    rtt_unit(a)
}

/// The unit's length in microseconds takes the place of its name.
fn rtt_unit(a: &mut Args) -> Result<(), (usize, String)> {
    let unit = match a.str(0) {
        None | Some(b"" | b"ms") => 1000,
        Some(b"us") => 1,
        Some(other) => {
            return Err((0, format!("'{}' is no unit; ms and us are", String::from_utf8_lossy(other))));
        }
    };
    a.set(0, Arg::Int(unit));
    Ok(())
}

/// The number of the field takes the place of its name.
fn tlv_type(a: &mut Args) -> Result<(), (usize, String)> {
    const NAMES: [(&str, Tlv); 12] = [
        ("ALPN", Tlv::ALPN),
        ("AUTHORITY", Tlv::AUTHORITY),
        ("CRC32", Tlv::CRC32C),
        ("NETNS", Tlv::NETNS),
        ("NOOP", Tlv::NOOP),
        ("SSL", Tlv::SSL),
        ("SSL_CIPHER", Tlv::SSL_CIPHER),
        ("SSL_CN", Tlv::SSL_CN),
        ("SSL_KEY_ALG", Tlv::SSL_KEY_ALG),
        ("SSL_SIG_ALG", Tlv::SSL_SIG_ALG),
        ("SSL_VERSION", Tlv::SSL_VERSION),
        ("UNIQUE_ID", Tlv::UNIQUE_ID),
    ];
    let text = String::from_utf8_lossy(a.str(0).unwrap_or_default()).into_owned();
    let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text)).map(|(_, ty)| ty.0);
    let number = || match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u8::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    let Some(n) = named.or_else(number) else {
        let names = NAMES.map(|(name, _)| name).join(", ");
        return Err((0, format!("'{text}' is no field; 0 to 255 are, and {names}")));
    };
    a.set(0, Arg::Int(i64::from(n)));
    Ok(())
}

/// The first field of that type.
fn tlv(c: &dyn Ctx, ty: Tlv) -> Option<Sample<'_>> {
    c.proxy_header()?.first(ty).map(Sample::str)
}

fn time(a: &Args, d: Duration) -> Option<Sample<'static>> {
    Some(Sample::Int(i64::try_from(d.as_micros()).ok()? / a.int_or(0, 1000)))
}

fn ip(a: Option<SocketAddr>) -> Option<Sample<'static>> {
    // An IPv4 client on a dual-stack socket is an IPv4 client.
    Some(Sample::Ip(a?.ip().to_canonical()))
}

fn port(a: Option<SocketAddr>) -> Option<Sample<'static>> {
    Some(Sample::Int(i64::from(a?.port())))
}

fn local(a: Option<SocketAddr>) -> Option<Sample<'static>> {
    let a = a?.ip().to_canonical();
    let local = match a {
        IpAddr::V4(v4) if v4.is_loopback() => true,
        IpAddr::V6(v6) if v6.is_loopback() => true,
        other => std::net::UdpSocket::bind((other, 0)).is_ok(),
    };
    Some(Sample::Bool(local))
}
