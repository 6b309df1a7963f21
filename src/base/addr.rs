//! Addresses as the configuration writes them (manual section "Address formats"), and socket addresses.
//!
//! [`AddrSpec`] is what was written: perhaps a host name, perhaps a range of ports. [`SockAddr`] is what a
//! socket takes. Resolving the first into the second is up to the caller: names may block.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Something a socket can be bound or connected to, or a descriptor that stands for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SockAddr {
    /// TCP or UDP over IPv4 or IPv6.
    Inet(SocketAddr),
    /// A unix socket in the file system; an empty path is an unnamed peer.
    Unix(Box<[u8]>),
    /// A Linux abstract socket, its name padded with zeroes to the whole of `sun_path` (`abns@`).
    Abstract(Box<[u8]>),
    /// A Linux abstract socket, its address as long as its name, as other software does it (`abnsz@`).
    AbstractZ(Box<[u8]>),
    /// An inherited descriptor, already bound (`fd@`).
    Fd(i32),
    /// An inherited unix socket over which connected sockets are passed (`sockpair@`).
    SockPair(i32),
}

impl SockAddr {
    /// The internet address, if it is one.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            SockAddr::Inet(a) => Some(*a),
            _ => None,
        }
    }

    /// The IP address, if it has one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.inet().map(|a| a.ip())
    }

    /// The port, if it has one.
    pub fn port(&self) -> Option<u16> {
        self.inet().map(|a| a.port())
    }

    /// True for unix sockets of every kind.
    pub fn is_unix(&self) -> bool {
        matches!(self, SockAddr::Unix(_) | SockAddr::Abstract(_) | SockAddr::AbstractZ(_))
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(a: SocketAddr) -> SockAddr {
        SockAddr::Inet(a)
    }
}

impl fmt::Display for SockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SockAddr::Inet(a) => a.fmt(f),
            SockAddr::Unix(p) => write!(f, "unix@{}", String::from_utf8_lossy(p)),
            SockAddr::Abstract(n) => write!(f, "abns@{}", String::from_utf8_lossy(n)),
            SockAddr::AbstractZ(n) => write!(f, "abnsz@{}", String::from_utf8_lossy(n)),
            SockAddr::Fd(n) => write!(f, "fd@{n}"),
            SockAddr::SockPair(n) => write!(f, "sockpair@{n}"),
        }
    }
}

/// How bytes travel, when a prefix says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `stream+`, `tcp@`, `tcp4@`, `tcp6@`, `uxst@`.
    Stream,
    /// `dgram+`, `udp@`, `udp4@`, `udp6@`, `uxdg@`.
    Dgram,
    /// `quic+`, `quic4@`, `quic6@`.
    Quic,
    /// `mptcp@`, `mptcp4@`, `mptcp6@`.
    Mptcp,
}

/// The address families that a host name may resolve to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[allow(missing_docs)]
pub enum Family {
    #[default]
    Any,
    V4,
    V6,
}

/// The host part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// `*` or nothing: every address (of IPv4 unless the family says IPv6).
    Any(Family),
    /// A literal address.
    Ip(IpAddr),
    /// A name to be resolved to addresses of the given family.
    Name(String, Family),
    /// Unix, abstract, descriptor: has no port.
    Other(SockAddr),
    /// `ring@NAME`: a ring section (log targets only).
    Ring(String),
}

/// The port part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// Nothing, or an empty part after the colon.
    None,
    /// One port.
    One(u16),
    /// `low-high`, both included.
    Range(u16, u16),
    /// `+N` or `-N`: the client's destination port plus this offset (servers).
    Offset(i32),
}

/// An address as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AddrSpec {
    /// The host.
    pub host: Host,
    /// The port or ports.
    pub ports: Ports,
    /// Forced by a prefix.
    pub transport: Option<Transport>,
}

/// What a statement accepts.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddrRules {
    /// An internet address needs a port.
    pub port_required: bool,
    /// A port may be given.
    pub port_allowed: bool,
    /// `low-high` is allowed.
    pub range: bool,
    /// `+N`, `-N` are allowed.
    pub offset: bool,
    /// Host names are allowed.
    pub names: bool,
    /// Unix and abstract sockets are allowed.
    pub unix: bool,
    /// `fd@` and `sockpair@` are allowed.
    pub fd: bool,
    /// `ring@` is allowed.
    pub ring: bool,
    /// Datagram sockets (`udp@`, `uxdg@`, `dgram+`) are allowed.
    pub dgram: bool,
}

impl AddrRules {
    /// `bind`, `listen NAME addr`: port or range needed.
    pub const BIND: AddrRules = AddrRules {
        port_required: true,
        port_allowed: true,
        range: true,
        offset: false,
        names: true,
        unix: true,
        fd: true,
        ring: false,
        dgram: false,
    };
    /// `server`: port optional, with offsets.
    pub const SERVER: AddrRules = AddrRules {
        port_required: false,
        port_allowed: true,
        range: false,
        offset: true,
        names: true,
        unix: true,
        fd: false,
        ring: false,
        dgram: false,
    };
    /// `log`, nameservers, peers: one optional port.
    pub const TARGET: AddrRules = AddrRules {
        port_required: false,
        port_allowed: true,
        range: false,
        offset: false,
        names: true,
        unix: true,
        fd: true,
        ring: true,
        dgram: true,
    };
    /// `source`: an internet address with an optional port or range.
    pub const SOURCE: AddrRules = AddrRules {
        port_required: false,
        port_allowed: true,
        range: true,
        offset: false,
        names: true,
        unix: false,
        fd: false,
        ring: false,
        dgram: false,
    };
}

/// What is wrong with a written address; the span is bytes into the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AddrError {
    /// What is wrong.
    pub message: String,
    /// Start and length in bytes.
    pub span: (usize, usize),
    /// What to write instead.
    pub help: Option<&'static str>,
}

impl AddrSpec {
    /// The socket addresses when no name has to be resolved: one for each port. `None` for a name, and for
    /// `ring@`. A missing port or an offset gives port 0.
    pub fn sock_addrs(&self) -> Option<Vec<SockAddr>> {
        let ip = match &self.host {
            Host::Any(Family::V6) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            Host::Any(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Host::Ip(ip) => *ip,
            Host::Other(a) => return Some(vec![a.clone()]),
            Host::Name(..) | Host::Ring(_) => return None,
        };
        Some(self.with_ip(ip))
    }

    /// The socket addresses at `ip`, one for each port.
    pub fn with_ip(&self, ip: IpAddr) -> Vec<SockAddr> {
        let (low, high) = match self.ports {
            Ports::None | Ports::Offset(_) => (0, 0),
            Ports::One(p) => (p, p),
            Ports::Range(low, high) => (low, high),
        };
        (low..=high).map(|p| SockAddr::Inet(SocketAddr::new(ip, p))).collect()
    }

    /// Parse one address.
    pub fn parse(text: &str, rules: AddrRules) -> Result<AddrSpec, AddrError> {
        parse::parse(text, rules)
    }
}

mod parse {
    use super::{
        AddrError, AddrRules, AddrSpec, Family, Host, IpAddr, Ipv4Addr, Ipv6Addr, Ports, SockAddr, Transport,
    };

    /// Family prefixes after the transport was cut off.
    #[derive(Clone, Copy, PartialEq)]
    enum Prefix {
        Guess,
        Ip(Family),
        Unix,
        Abns,
        Abnsz,
        Fd,
        SockPair,
        Ring,
    }

    const PREFIXES: [(&str, Option<Transport>, Prefix); 23] = [
        ("ip@", None, Prefix::Ip(Family::Any)),
        ("ipv4@", None, Prefix::Ip(Family::V4)),
        ("ipv6@", None, Prefix::Ip(Family::V6)),
        ("tcp@", Some(Transport::Stream), Prefix::Ip(Family::Any)),
        ("tcp4@", Some(Transport::Stream), Prefix::Ip(Family::V4)),
        ("tcp6@", Some(Transport::Stream), Prefix::Ip(Family::V6)),
        ("mptcp@", Some(Transport::Mptcp), Prefix::Ip(Family::Any)),
        ("mptcp4@", Some(Transport::Mptcp), Prefix::Ip(Family::V4)),
        ("mptcp6@", Some(Transport::Mptcp), Prefix::Ip(Family::V6)),
        ("udp@", Some(Transport::Dgram), Prefix::Ip(Family::Any)),
        ("udp4@", Some(Transport::Dgram), Prefix::Ip(Family::V4)),
        ("udp6@", Some(Transport::Dgram), Prefix::Ip(Family::V6)),
        ("quic@", Some(Transport::Quic), Prefix::Ip(Family::Any)),
        ("quic4@", Some(Transport::Quic), Prefix::Ip(Family::V4)),
        ("quic6@", Some(Transport::Quic), Prefix::Ip(Family::V6)),
        ("unix@", None, Prefix::Unix),
        ("uxst@", Some(Transport::Stream), Prefix::Unix),
        ("uxdg@", Some(Transport::Dgram), Prefix::Unix),
        ("abns@", None, Prefix::Abns),
        ("abnsz@", None, Prefix::Abnsz),
        ("fd@", None, Prefix::Fd),
        ("sockpair@", None, Prefix::SockPair),
        ("ring@", None, Prefix::Ring),
    ];

    fn err(message: impl Into<String>, span: (usize, usize)) -> AddrError {
        AddrError { message: message.into(), span, help: None }
    }

    fn cut_prefix(text: &str) -> (Option<Transport>, Prefix, usize) {
        let mut at = 0;
        let mut transport = None;
        for (name, t) in
            [("stream+", Transport::Stream), ("dgram+", Transport::Dgram), ("quic+", Transport::Quic)]
        {
            if text.starts_with(name) {
                at = name.len();
                transport = Some(t);
                break;
            }
        }
        for (name, t, prefix) in PREFIXES {
            if text[at..].starts_with(name) {
                return (t.or(transport), prefix, at + name.len());
            }
        }
        (transport, Prefix::Guess, at)
    }

    pub(super) fn parse(text: &str, rules: AddrRules) -> Result<AddrSpec, AddrError> {
        if text.is_empty() {
            return Err(err("an address is missing", (0, 0)));
        }
        if text.starts_with("rhttp@") {
            return Err(err("reverse HTTP ('rhttp@') is known, but not supported yet", (0, text.len())));
        }
        let (transport, mut prefix, at) = cut_prefix(text);
        let rest = &text[at..];
        let all = (0, text.len());
        match transport {
            Some(Transport::Dgram) if !rules.dgram => {
                return Err(err("a datagram socket is not permitted here", all));
            }
            Some(Transport::Quic) => return Err(err("QUIC is known, but not supported yet", all)),
            Some(Transport::Mptcp) => return Err(err("MPTCP is known, but not supported yet", all)),
            _ => {}
        }
        if prefix == Prefix::Guess && rest.starts_with('/') {
            prefix = Prefix::Unix;
        }
        let other = |host| Ok(AddrSpec { host: Host::Other(host), ports: Ports::None, transport });
        match prefix {
            Prefix::Guess => inet(text, at, Family::Any, rules, transport),
            Prefix::Ip(family) => inet(text, at, family, rules, transport),
            Prefix::Ring if rules.ring => {
                Ok(AddrSpec { host: Host::Ring(rest.to_owned()), ports: Ports::None, transport })
            }
            Prefix::Ring => Err(err("'ring@' is not permitted here", all)),
            Prefix::Unix | Prefix::Abns | Prefix::Abnsz => {
                if !rules.unix {
                    return Err(err("a unix socket is not permitted here", all));
                }
                unix(rest, at, prefix).and_then(other)
            }
            Prefix::Fd | Prefix::SockPair => {
                if !rules.fd {
                    return Err(err("a file descriptor is not permitted here", all));
                }
                let n: i32 = rest.parse().ok().filter(|n| *n >= 0).ok_or_else(|| {
                    err(format!("file descriptor '{rest}' is not a number"), (at, rest.len()))
                })?;
                other(if prefix == Prefix::Fd { SockAddr::Fd(n) } else { SockAddr::SockPair(n) })
            }
        }
    }

    /// `sun_path` is 108 bytes; one is the terminator, or the leading zero of an abstract name.
    const SUN_PATH_MAX: usize = 107;

    fn unix(path: &str, at: usize, prefix: Prefix) -> Result<SockAddr, AddrError> {
        let span = (at, path.len());
        if path.is_empty() {
            return Err(err("the socket's path is missing", span));
        }
        if path.len() > SUN_PATH_MAX {
            let m =
                format!("socket path too long: {} bytes where the kernel takes {SUN_PATH_MAX}", path.len());
            return Err(err(m, span));
        }
        let bytes: Box<[u8]> = path.as_bytes().into();
        Ok(match prefix {
            Prefix::Abns => SockAddr::Abstract(bytes),
            Prefix::Abnsz => SockAddr::AbstractZ(bytes),
            _ => SockAddr::Unix(bytes),
        })
    }

    fn inet(
        text: &str,
        at: usize,
        family: Family,
        rules: AddrRules,
        transport: Option<Transport>,
    ) -> Result<AddrSpec, AddrError> {
        let rest = &text[at..];
        // The port follows the last colon, unless that colon is inside brackets; an IPv6 address without a
        // port needs brackets or a final colon where a port is allowed.
        let colon = match rest.rfind([':', ']']) {
            Some(i) if rest.as_bytes()[i] == b':' && rules.port_allowed => Some(i),
            _ => None,
        };
        let (host, port) = match colon {
            Some(i) => (&rest[..i], Some((&rest[i + 1..], at + i + 1))),
            None => (rest, None),
        };
        let ports = match port {
            Some((p, p_at)) => parse_ports(p, p_at, rules)?,
            None => Ports::None,
        };
        if rules.port_required && ports == Ports::None {
            let mut e = err(format!("missing port number in '{text}'"), (0, text.len()));
            e.help = Some("write ADDRESS:PORT, :PORT or ADDRESS:LOW-HIGH");
            return Err(e);
        }
        if rules.port_required && ports == Ports::One(0) {
            return Err(err("port 0 stands for none here", (0, text.len())));
        }
        let host = parse_host(host, at, family, rules)?;
        Ok(AddrSpec { host, ports, transport })
    }

    fn parse_host(host: &str, at: usize, family: Family, rules: AddrRules) -> Result<Host, AddrError> {
        let span = (at, host.len());
        if host.is_empty() || host == "*" {
            return Ok(Host::Any(family));
        }
        if let Some(inner) = host.strip_prefix('[') {
            let Some(inner) = inner.strip_suffix(']') else {
                return Err(err("the bracket is not closed", span));
            };
            if family == Family::V4 {
                return Err(err(format!("'{host}' is not an IPv4 address"), span));
            }
            return match inner.parse::<Ipv6Addr>() {
                Ok(ip) => Ok(Host::Ip(IpAddr::V6(ip))),
                Err(_) => Err(err(format!("'{inner}' is not an IPv6 address"), span)),
            };
        }
        if let Ok(ip) = host.parse::<Ipv4Addr>() {
            if family == Family::V6 {
                return Err(err(format!("'{host}' is not an IPv6 address"), span));
            }
            return Ok(Host::Ip(IpAddr::V4(ip)));
        }
        if let Ok(ip) = host.parse::<Ipv6Addr>() {
            if family == Family::V4 {
                return Err(err(format!("'{host}' is not an IPv4 address"), span));
            }
            return Ok(Host::Ip(IpAddr::V6(ip)));
        }
        if !rules.names {
            return Err(err(format!("'{host}' is not an IP address"), span));
        }
        let name_ok = host.len() <= 253
            && host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
        // Only digits and dots: a mistyped address, never a name that could be resolved.
        let numeric = host.bytes().all(|c| c.is_ascii_digit() || c == b'.');
        if !name_ok || numeric {
            return Err(err(format!("invalid address: '{host}'"), span));
        }
        Ok(Host::Name(host.to_owned(), family))
    }

    fn parse_ports(text: &str, at: usize, rules: AddrRules) -> Result<Ports, AddrError> {
        let bad = |m: String| err(m, (at, text.len()));
        if text.is_empty() {
            return Ok(Ports::None);
        }
        if let Some(sign) = text.chars().next().filter(|c| matches!(c, '+' | '-')) {
            if !rules.offset {
                return Err(bad(format!("port offset '{text}' is not permitted here")));
            }
            let n: i32 = text[1..]
                .parse()
                .ok()
                .filter(|n| (0..=65535).contains(n))
                .ok_or_else(|| bad(format!("invalid port offset '{text}'")))?;
            return Ok(Ports::Offset(if sign == '-' { -n } else { n }));
        }
        if let Some((low, high)) = text.split_once('-') {
            if !rules.range {
                return Err(bad(format!("port range '{text}' is not permitted here")));
            }
            let low = one_port(low, text, at)?;
            let high = one_port(high, text, at)?;
            if low > high || low == 0 {
                return Err(bad(format!("invalid port range '{text}'")));
            }
            return Ok(if low == high { Ports::One(low) } else { Ports::Range(low, high) });
        }
        one_port(text, text, at).map(Ports::One)
    }

    fn one_port(text: &str, whole: &str, at: usize) -> Result<u16, AddrError> {
        if text.is_empty() || !text.bytes().all(|c| c.is_ascii_digit()) {
            return Err(err(format!("invalid port '{whole}'"), (at, whole.len())));
        }
        text.parse().map_err(|_| {
            let mut e = err(format!("port '{text}' out of range"), (at, whole.len()));
            e.help = Some("ports are 1 to 65535");
            e
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ok(text: &str, rules: AddrRules) -> AddrSpec {
        AddrSpec::parse(text, rules).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn shown(text: &str, rules: AddrRules) -> String {
        let list = ok(text, rules).sock_addrs().expect("no name to resolve");
        list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn bind_forms() {
        let b = AddrRules::BIND;
        assert_eq!(shown(":80", b), "0.0.0.0:80");
        assert_eq!(shown("*:80", b), "0.0.0.0:80");
        assert_eq!(shown("127.0.0.1:8080-8082", b), "127.0.0.1:8080 127.0.0.1:8081 127.0.0.1:8082");
        assert_eq!(shown("::1:80", b), "[::1]:80");
        assert_eq!(shown(":::80", b), "[::]:80");
        assert_eq!(shown("[::1]:80", b), "[::1]:80");
        assert_eq!(shown("ipv6@:80", b), "[::]:80");
        assert_eq!(shown("ipv4@:80", b), "0.0.0.0:80");
        assert_eq!(shown("ipv6@*:80", b), "[::]:80");
        assert_eq!(shown("/run/s.sock", b), "unix@/run/s.sock");
        assert_eq!(shown("unix@s.sock", b), "unix@s.sock");
        assert_eq!(shown("abns@name", b), "abns@name");
        assert_eq!(shown("abnsz@name", b), "abnsz@name");
        assert_eq!(shown("fd@7", b), "fd@7");
        assert_eq!(shown("sockpair@7", b), "sockpair@7");
        let a = ok("stream+fd@7", b);
        assert_eq!((a.transport, a.host), (Some(Transport::Stream), Host::Other(SockAddr::Fd(7))));
        assert_eq!(ok("udp6@:53", AddrRules::TARGET).transport, Some(Transport::Dgram));
        assert_eq!(
            ok("localhost:80", b),
            AddrSpec {
                host: Host::Name("localhost".into(), Family::Any),
                ports: Ports::One(80),
                transport: None
            }
        );
    }

    #[test]
    fn server_forms() {
        let s = AddrRules::SERVER;
        assert_eq!(ok("10.0.0.1", s).ports, Ports::None);
        assert_eq!(ok("10.0.0.1:", s).ports, Ports::None);
        assert_eq!(ok("10.0.0.1:+1000", s).ports, Ports::Offset(1000));
        assert_eq!(ok("10.0.0.1:-1000", s).ports, Ports::Offset(-1000));
        assert_eq!(ok("*:8080", s).host, Host::Any(Family::Any));
        assert_eq!(ok("[fd00::1]", s).ports, Ports::None);
        assert_eq!(ok("fd00::1:", s).host, Host::Ip("fd00::1".parse().unwrap()));
        assert_eq!(ok("web-1.example.org:80", s).host, Host::Name("web-1.example.org".into(), Family::Any));
    }

    #[test]
    fn errors_point_at_the_part() {
        let e = |t: &str, r| AddrSpec::parse(t, r).expect_err(t);
        assert_eq!(e("127.0.0.1", AddrRules::BIND).message, "missing port number in '127.0.0.1'");
        assert_eq!(e("127.0.0.1:99999", AddrRules::BIND).span, (10, 5));
        assert_eq!(e("127.0.0.1:8o", AddrRules::BIND).span, (10, 2));
        assert_eq!(e("10.0.0.1:80-90", AddrRules::SERVER).span, (9, 5));
        assert_eq!(e("10.0.0.1:+5", AddrRules::BIND).span, (9, 2));
        assert_eq!(e("ipv4@[::1]:80", AddrRules::BIND).span, (5, 5));
        assert_eq!(e("300.1.1.1:80", AddrRules::BIND).message, "invalid address: '300.1.1.1'");
        assert!(AddrSpec::parse("a b:80", AddrRules::BIND).is_err());
        assert!(AddrSpec::parse("[::1:80", AddrRules::BIND).is_err());
        assert!(AddrSpec::parse("fd@x", AddrRules::BIND).is_err());
        assert!(AddrSpec::parse("fd@-1", AddrRules::BIND).is_err());
        assert!(AddrSpec::parse(":90-80", AddrRules::BIND).is_err());
        assert!(AddrSpec::parse(&format!("/{}", "x".repeat(200)), AddrRules::BIND).is_err());
        assert!(AddrSpec::parse("/run/x", AddrRules::SOURCE).is_err());
        assert!(AddrSpec::parse("ring@r", AddrRules::SERVER).is_err());
        for (text, rules) in [
            ("udp@1.1.1.1:53", AddrRules::SERVER),
            ("uxdg@/run/x", AddrRules::BIND),
            ("fd@3", AddrRules::SERVER),
            ("quic4@:443", AddrRules::BIND),
            ("mptcp@:443", AddrRules::BIND),
            ("127.0.0.1:0", AddrRules::BIND),
        ] {
            assert!(AddrSpec::parse(text, rules).is_err(), "{text} would be accepted and do something else");
        }
        assert_eq!(ok("ring@r", AddrRules::TARGET).host, Host::Ring("r".into()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn never_panics_and_spans_stay_inside(text in "[a-z0-9:@./+*\\[\\]\\-é]{0,24}") {
            for rules in [AddrRules::BIND, AddrRules::SERVER, AddrRules::TARGET, AddrRules::SOURCE] {
                if let Err(e) = AddrSpec::parse(&text, rules) {
                    prop_assert!(e.span.0 + e.span.1 <= text.len());
                }
            }
        }

        #[test]
        fn written_addresses_come_back(ip: [u8; 4], port in 1u16..) {
            let a = SocketAddr::from((ip, port));
            prop_assert_eq!(ok(&a.to_string(), AddrRules::BIND).sock_addrs(), Some(vec![SockAddr::Inet(a)]));
        }

        #[test]
        fn written_v6_addresses_come_back(ip: [u16; 8], port in 1u16..) {
            let a = SocketAddr::from((ip, port));
            prop_assert_eq!(ok(&a.to_string(), AddrRules::BIND).sock_addrs(), Some(vec![SockAddr::Inet(a)]));
        }
    }
}
