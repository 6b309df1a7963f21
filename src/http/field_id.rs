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
        let candidates: &[FieldId] = match name.len() {
            2 => &[FieldId::Te],
            4 => &[FieldId::Host, FieldId::Date, FieldId::Vary, FieldId::Etag],
            5 => &[FieldId::Range],
            6 => &[
                FieldId::Cookie,
                FieldId::Accept,
                FieldId::Expect,
                FieldId::Server,
                FieldId::Pragma,
                FieldId::Origin,
            ],
            7 => &[FieldId::Upgrade, FieldId::Referer, FieldId::Trailer, FieldId::Expires],
            8 => &[FieldId::Location],
            9 => &[FieldId::Forwarded],
            10 => &[FieldId::Connection, FieldId::UserAgent, FieldId::KeepAlive, FieldId::SetCookie],
            11 => &[FieldId::SetCookie2],
            12 => &[FieldId::ContentType],
            13 => &[
                FieldId::CacheControl,
                FieldId::Authorization,
                FieldId::LastModified,
                FieldId::IfNoneMatch,
                FieldId::AcceptRanges,
                FieldId::XOriginalTo,
            ],
            14 => &[FieldId::ContentLength],
            15 => &[FieldId::AcceptEncoding, FieldId::AcceptLanguage, FieldId::XForwardedFor],
            16 => &[FieldId::ContentEncoding, FieldId::ProxyConnection],
            17 => &[FieldId::TransferEncoding, FieldId::IfModifiedSince],
            19 => &[FieldId::ProxyAuthorization],
            25 => &[FieldId::UpgradeInsecureRequests],
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
