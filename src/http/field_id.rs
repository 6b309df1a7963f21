//! Identities of the field names the proxy itself looks at, so that asking for one of them is a bit test.

macro_rules! field_ids {
    ($($variant:ident = $name:literal,)*) => {
        /// The identity of a well-known field name; [`FieldId::Other`] for all the rest.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
        #[repr(u8)]
        pub enum FieldId {
            /// A name without an identity of its own: compare its bytes.
            #[default]
            Other,
            $(
                #[doc = concat!("`", $name, "`")]
                $variant,
            )*
        }

        impl FieldId {
            /// All identities except `Other`.
            pub const ALL: &'static [FieldId] = &[$(FieldId::$variant),*];

            /// The name in lower case; empty for `Other`.
            pub fn name(self) -> &'static str {
                match self {
                    FieldId::Other => "",
                    $(FieldId::$variant => $name,)*
                }
            }
        }
    };
}

field_ids! {
    Host = "host",
    Connection = "connection",
    ContentLength = "content-length",
    TransferEncoding = "transfer-encoding",
    Cookie = "cookie",
    SetCookie = "set-cookie",
    Upgrade = "upgrade",
    Expect = "expect",
    KeepAlive = "keep-alive",
    ProxyConnection = "proxy-connection",
    XForwardedFor = "x-forwarded-for",
    XOriginalTo = "x-original-to",
    Authorization = "authorization",
    ProxyAuthorization = "proxy-authorization",
    UserAgent = "user-agent",
    Referer = "referer",
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    Location = "location",
    CacheControl = "cache-control",
    ContentType = "content-type",
    ContentEncoding = "content-encoding",
    Date = "date",
    Server = "server",
    Te = "te",
    Trailer = "trailer",
    Vary = "vary",
    Pragma = "pragma",
    Expires = "expires",
    Etag = "etag",
    LastModified = "last-modified",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    Range = "range",
    Origin = "origin",
    Forwarded = "forwarded",
    SetCookie2 = "set-cookie2",
    AcceptRanges = "accept-ranges",
    UpgradeInsecureRequests = "upgrade-insecure-requests",
}

// `Fields` keeps one presence bit per identity in a u64.
const _: () = assert!(FieldId::ALL.len() < 64);

impl FieldId {
    /// The identity of a name in any case.
    pub fn from_name(name: &[u8]) -> FieldId {
        let Some(first) = name.first() else { return FieldId::Other };
        // Length and first letter leave one or two names to compare.
        let candidates: &[FieldId] = match (name.len(), first | 0x20) {
            (2, b't') => &[FieldId::Te],
            (4, b'd') => &[FieldId::Date],
            (4, b'e') => &[FieldId::Etag],
            (4, b'h') => &[FieldId::Host],
            (4, b'v') => &[FieldId::Vary],
            (5, b'r') => &[FieldId::Range],
            (6, b'a') => &[FieldId::Accept],
            (6, b'c') => &[FieldId::Cookie],
            (6, b'e') => &[FieldId::Expect],
            (6, b'o') => &[FieldId::Origin],
            (6, b'p') => &[FieldId::Pragma],
            (6, b's') => &[FieldId::Server],
            (7, b'e') => &[FieldId::Expires],
            (7, b'r') => &[FieldId::Referer],
            (7, b't') => &[FieldId::Trailer],
            (7, b'u') => &[FieldId::Upgrade],
            (8, b'l') => &[FieldId::Location],
            (9, b'f') => &[FieldId::Forwarded],
            (10, b'c') => &[FieldId::Connection],
            (10, b'k') => &[FieldId::KeepAlive],
            (10, b's') => &[FieldId::SetCookie],
            (10, b'u') => &[FieldId::UserAgent],
            (11, b's') => &[FieldId::SetCookie2],
            (12, b'c') => &[FieldId::ContentType],
            (13, b'a') => &[FieldId::Authorization, FieldId::AcceptRanges],
            (13, b'c') => &[FieldId::CacheControl],
            (13, b'i') => &[FieldId::IfNoneMatch],
            (13, b'l') => &[FieldId::LastModified],
            (13, b'x') => &[FieldId::XOriginalTo],
            (14, b'c') => &[FieldId::ContentLength],
            (15, b'a') => &[FieldId::AcceptEncoding, FieldId::AcceptLanguage],
            (15, b'x') => &[FieldId::XForwardedFor],
            (16, b'c') => &[FieldId::ContentEncoding],
            (16, b'p') => &[FieldId::ProxyConnection],
            (17, b'i') => &[FieldId::IfModifiedSince],
            (17, b't') => &[FieldId::TransferEncoding],
            (19, b'p') => &[FieldId::ProxyAuthorization],
            (25, b'u') => &[FieldId::UpgradeInsecureRequests],
            _ => &[],
        };
        for &id in candidates {
            if name.eq_ignore_ascii_case(id.name().as_bytes()) {
                return id;
            }
        }
        FieldId::Other
    }

    /// The presence bit; zero for `Other`.
    pub(crate) fn bit(self) -> u64 {
        (1u64 << self as u8) & !1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identity_is_found_by_its_name_in_any_case() {
        for &id in FieldId::ALL {
            assert_eq!(FieldId::from_name(id.name().as_bytes()), id, "{}", id.name());
            assert_eq!(FieldId::from_name(id.name().to_ascii_uppercase().as_bytes()), id);
        }
        assert_eq!(FieldId::from_name(b"hosts"), FieldId::Other);
        assert_eq!(FieldId::from_name(b""), FieldId::Other);
        assert_eq!(FieldId::Other.bit(), 0);
    }
}
