//! Request methods and protocol versions.

use std::fmt;

/// A request method. HAProxy numbers eight of them; every other token is `Other` and its bytes are read
/// with [`super::RequestHead::method_token`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Method {
    /// `OPTIONS`
    Options,
    /// `GET`
    #[default]
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `TRACE`
    Trace,
    /// `CONNECT`
    Connect,
    /// Any other token (`PATCH`, `PROPFIND`, ...).
    Other,
}

impl Method {
    /// The method that a token names. Methods are case-sensitive (RFC 9110 9.1).
    pub fn from_token(token: &[u8]) -> Method {
        match token {
            b"GET" => Method::Get,
            b"POST" => Method::Post,
            b"HEAD" => Method::Head,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"CONNECT" => Method::Connect,
            b"TRACE" => Method::Trace,
            _ => Method::Other,
        }
    }

    /// The method's token; empty for [`Method::Other`].
    pub fn token(self) -> &'static [u8] {
        match self {
            Method::Options => b"OPTIONS",
            Method::Get => b"GET",
            Method::Head => b"HEAD",
            Method::Post => b"POST",
            Method::Put => b"PUT",
            Method::Delete => b"DELETE",
            Method::Trace => b"TRACE",
            Method::Connect => b"CONNECT",
            Method::Other => b"",
        }
    }

    /// Whether sending the request twice has the effect of sending it once (RFC 9110 9.2.2). An unknown
    /// method is taken as not idempotent.
    pub fn is_idempotent(self) -> bool {
        !matches!(self, Method::Post | Method::Connect | Method::Other)
    }
}

/// A protocol version. HTTP/1 messages carry one digit on each side of the dot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Version {
    /// Major number.
    pub major: u8,
    /// Minor number.
    pub minor: u8,
}

impl Version {
    /// HTTP/1.0
    pub const HTTP_10: Version = Version { major: 1, minor: 0 };
    /// HTTP/1.1
    pub const HTTP_11: Version = Version { major: 1, minor: 1 };
}

impl Default for Version {
    fn default() -> Version {
        Version::HTTP_11
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
