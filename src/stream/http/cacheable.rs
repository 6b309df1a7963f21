//! Whether a cache on the way could keep a response, and the cookies in it (`cookie ... nocache`,
//! `option checkcache`). Pure.

use crate::http::token::split_commas;
use crate::http::{FieldId, Fields, Method, RequestHead, ResponseHead};

/// What a cache may keep of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stream) struct Cacheable {
    /// The response itself.
    pub response: bool,
    /// Its cookies with it.
    pub cookies: bool,
}

impl Cacheable {
    /// Judges a response as the manual does under `option checkcache`.
    pub fn of(request: &RequestHead, response: &ResponseHead) -> Cacheable {
        let safe = matches!(request.method(), Method::Get | Method::Head | Method::Options | Method::Trace);
        let status =
            matches!(response.status(), 200 | 203 | 204 | 206 | 300 | 301 | 404 | 405 | 410 | 414 | 501);
        let mut verdict = Cacheable { response: safe && status, cookies: safe && status };
        verdict.read_fields(&response.fields);
        verdict
    }

    fn read_fields(&mut self, fields: &Fields) {
        if fields.with_id(FieldId::Pragma).any(|f| f.value.eq_ignore_ascii_case(b"no-cache")) {
            *self = Cacheable { response: false, cookies: false };
        }
        for f in fields.with_id(FieldId::CacheControl) {
            for directive in split_commas(f.value) {
                self.read_directive(directive);
            }
        }
    }

    fn read_directive(&mut self, directive: &[u8]) {
        let lower = directive.to_ascii_lowercase();
        match lower.as_slice() {
            b"private" | b"no-store" | b"no-cache" | b"max-age=0" | b"s-maxage=0" => {
                *self = Cacheable { response: false, cookies: false };
            }
            b"public" => *self = Cacheable { response: true, cookies: true },
            d if d.starts_with(b"no-cache=\"set-cookie") => self.cookies = false,
            d if d.starts_with(b"no-cache=") => {}
            _ => {}
        }
    }

    /// Something in the response lets a cache reuse it: a validator, or an age.
    pub fn has_freshness(fields: &Fields) -> bool {
        let ages = |f: crate::http::Field<'_>| {
            split_commas(f.value).any(|d| {
                let d = d.to_ascii_lowercase();
                d.starts_with(b"max-age=") || d.starts_with(b"s-maxage=")
            })
        };
        [FieldId::Etag, FieldId::LastModified, FieldId::Expires].iter().any(|&id| fields.has_id(id))
            || fields.with_id(FieldId::CacheControl).any(ages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Version;

    fn judge(method: &[u8], status: u16, fields: &[(&str, &str)]) -> Cacheable {
        let request = RequestHead::build(method, b"/", Version::HTTP_11);
        let mut response = ResponseHead::build(status, Version::HTTP_11);
        for (name, value) in fields {
            response.fields.add(name.as_bytes(), value.as_bytes());
        }
        Cacheable::of(&request, &response)
    }

    #[test]
    fn the_manuals_list_holds() {
        let yes = Cacheable { response: true, cookies: true };
        let no = Cacheable { response: false, cookies: false };
        assert_eq!(judge(b"GET", 200, &[]), yes);
        assert_eq!(judge(b"POST", 200, &[]), no);
        assert_eq!(judge(b"POST", 200, &[("Cache-Control", "public")]), yes);
        assert_eq!(judge(b"GET", 302, &[]), no);
        assert_eq!(judge(b"GET", 302, &[("cache-control", "Public")]), yes);
        for value in ["private", "no-store", "max-age=0", "s-maxage=0", "no-cache", "foo, PRIVATE"] {
            assert_eq!(judge(b"GET", 200, &[("Cache-Control", value)]), no, "{value}");
        }
        assert_eq!(judge(b"GET", 200, &[("Pragma", "no-cache")]), no);
        for value in ["no-cache=\"set-cookie\"", "no-cache=\"set-cookie, x\""] {
            let c = judge(b"GET", 200, &[("Cache-Control", value)]);
            assert_eq!(c, Cacheable { response: true, cookies: false }, "{value}");
        }
    }

    #[test]
    fn a_validator_or_an_age_makes_fresh() {
        let fresh = |name: &str, value: &str| {
            let mut response = ResponseHead::build(200, Version::HTTP_11);
            response.fields.add(name.as_bytes(), value.as_bytes());
            Cacheable::has_freshness(&response.fields)
        };
        assert!(fresh("ETag", "\"x\""));
        assert!(fresh("Cache-Control", "public, Max-Age=5"));
        assert!(!fresh("Cache-Control", "public"));
        assert!(!fresh("Content-Type", "text/html"));
    }
}
