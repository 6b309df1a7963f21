//! `appsession` (1.x): stick to the server that gave out the application's session, by its id in a cookie or in the
//! URL. It is a stick table of its own with rules of its own. Manual: 1.5, `appsession`.

use crate::base::duration::Unit;
use crate::config::{Keyword, Loc, ParseCx, SectionKind, Sections, Status};
use crate::http::cookie::{pairs, parse_set_cookie};
use crate::http::{FieldId, Fields, RequestHead};
use crate::stick::{DataDef, DataType, KeyType, Schema, TableDecl, TableId};

use crate::sample::KeyBytes;

/// Sessions that a table holds at most. It takes memory only for those there were; 1.x knew no limit.
const SESSIONS_MAX: u32 = 1_048_576;
const ID_MAX: i64 = 4096;

/// Where the id stands in a URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UrlMode {
    /// Behind a `;` in the path: `/page;jsessionid=1234`.
    #[default]
    PathParameters,
    /// A parameter of the query: `/page?sid=1234`.
    QueryString,
}

/// What says which session a message belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionId {
    /// Name of the cookie and of the parameter.
    pub name: Vec<u8>,
    /// The name may go on; the id is the rest of it, `=` and the value.
    pub prefix: bool,
    /// Where in the URL.
    pub mode: UrlMode,
    /// Bytes of the id that count.
    pub len: usize,
}

/// The sessions of a backend: a section feature.
#[derive(Clone, Debug)]
pub struct AppSession {
    /// What to look for.
    pub id: SessionId,
    /// Learn the id of a request, too, when the response does not set one.
    pub request_learn: bool,
    /// Life of a session after its last use.
    pub timeout_ms: u64,
    /// Where the line stands.
    pub loc: Loc,
    /// Its table, once there is one.
    pub table: Option<TableId>,
}

/// The section's: none until the keyword is there.
#[derive(Clone, Debug, Default)]
pub struct AppSessions(pub Option<AppSession>);

impl AppSessions {
    /// The declaration of their table.
    pub fn table(&self) -> Option<TableDecl> {
        self.0.as_ref().map(AppSession::declare)
    }
}

impl AppSession {
    /// The table of a backend's sessions, as rules and commands name it.
    pub fn table_name(backend: &str) -> String {
        format!("{backend}/appsession")
    }

    fn declare(&self) -> TableDecl {
        let mut schema = Schema::new(KeyType::String(self.id.len as u32), SESSIONS_MAX);
        schema.expire_ms = Some(self.timeout_ms);
        for data in [DataType::ServerId, DataType::ServerKey] {
            // Cannot fail: neither has arguments, and the schema is empty.
            let _ = schema.store(DataDef::plain(data));
        }
        TableDecl::plain(schema, self.loc)
    }
}

impl SessionId {
    /// The id in the request's cookies: the first one.
    pub fn in_cookies(&self, fields: &Fields) -> Option<KeyBytes> {
        fields.with_id(FieldId::Cookie).find_map(|f| {
            pairs(f.value).find_map(|p| self.of(&f.value[p.name], &f.value[p.value], <[u8]>::eq))
        })
    }

    /// The id in the request's URL.
    pub fn in_url(&self, request: &RequestHead) -> Option<KeyBytes> {
        let (text, separator) = match self.mode {
            UrlMode::PathParameters => {
                let path = request.path()?;
                (&path[memchr::memchr(b';', path)? + 1..], b';')
            }
            UrlMode::QueryString => (request.query()?, b'&'),
        };
        text.split(|b| *b == separator).find_map(|part| {
            // A parameter of one segment of the path ends with it.
            let end = match self.mode {
                UrlMode::PathParameters => memchr::memchr(b'/', part).unwrap_or(part.len()),
                UrlMode::QueryString => part.len(),
            };
            let part = &part[..end];
            let at = memchr::memchr(b'=', part)?;
            // Servlets write the name of the parameter in lower case, that of the cookie in upper case.
            self.of(&part[..at], &part[at + 1..], <[u8]>::eq_ignore_ascii_case)
        })
    }

    /// The id that the response gives to its client: the last one, which is the one that browsers keep.
    pub fn in_response(&self, fields: &Fields) -> Option<KeyBytes> {
        fields.with_id(FieldId::SetCookie).rev().find_map(|f| {
            let c = parse_set_cookie(f.value)?;
            self.of(&f.value[c.name], &f.value[c.value], <[u8]>::eq)
        })
    }

    fn of(&self, name: &[u8], value: &[u8], same: fn(&[u8], &[u8]) -> bool) -> Option<KeyBytes> {
        let own = self.name.len();
        if value.is_empty() || !name.get(..own).is_some_and(|n| same(n, &self.name)) {
            return None;
        }
        let rest = &name[own..];
        if !self.prefix {
            return rest.is_empty().then(|| KeyBytes::from_slice(&value[..value.len().min(self.len)]));
        }
        let parts = [rest, b"=", value];
        Some(parts.into_iter().flatten().copied().take(self.len).collect())
    }
}

/// The keyword.
pub static KEYWORDS: &[Keyword] = &[Keyword {
    name: "appsession",
    sections: Sections::BACKEND,
    syntax: "appsession <cookie> len <length> timeout <holdtime> [request-learn] [prefix] \
             [mode {path-parameters | query-string}]",
    doc: "sticks to the server that gave out the application's session; the table is '<backend>/appsession'",
    status: Status::Full,
    parse: appsession,
}];

fn appsession(cx: &mut ParseCx<'_>) {
    let loc = cx.dir.words[0].loc;
    if cx.section.kind == SectionKind::Defaults {
        cx.error(loc, "'appsession' is not allowed in 'defaults'");
        return;
    }
    let Some(conf) = parse(cx, loc) else { return };
    let own = cx.section.feature::<AppSessions>();
    let first = own.0.as_ref().map(|a| a.loc.line);
    match first {
        Some(line) => {
            let message = format!("'appsession': the section has one already, in line {line}");
            cx.error(loc, message);
        }
        None => own.0 = Some(conf),
    }
}

fn parse(cx: &mut ParseCx<'_>, loc: Loc) -> Option<AppSession> {
    let name = cx.expect("the name of a cookie")?.bytes.to_vec();
    let (mut len, mut timeout_ms) = (None, None);
    let (mut request_learn, mut prefix, mut mode) = (false, false, UrlMode::default());
    while let Some(w) = cx.next() {
        match &*w.text() {
            "len" => len = Some(cx.expect_int("the length of ids in bytes", 1..=ID_MAX)? as usize),
            "timeout" => {
                let at = cx.peek().map_or(w.loc, |w| w.loc);
                let d = cx.expect_duration("how long a session is remembered", Unit::Ms)?;
                if d.is_zero() {
                    cx.error(at, "'appsession': a 'timeout' of 0 remembers nothing");
                    return None;
                }
                timeout_ms = Some(u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
            }
            "request-learn" => request_learn = true,
            "prefix" => prefix = true,
            "mode" => {
                let modes = ["path-parameters", "query-string"];
                mode = match cx.expect_one_of("where the URL has the id", &modes)? {
                    0 => UrlMode::PathParameters,
                    _ => UrlMode::QueryString,
                };
            }
            other => {
                let message = format!("'appsession' cannot handle unexpected argument '{other}'");
                cx.error(w.loc, message);
                return None;
            }
        }
    }
    let (Some(len), Some(timeout_ms)) = (len, timeout_ms) else {
        let what = if len.is_none() { "'len <length>'" } else { "'timeout <holdtime>'" };
        let at = cx.end_loc();
        cx.error(at, format!("'appsession' expects {what}"));
        return None;
    };
    let id = SessionId { name, prefix, mode, len };
    Some(AppSession { id, request_learn, timeout_ms, loc, table: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Relax, parse_request};
    use proptest::prelude::*;

    fn id(name: &str, prefix: bool, mode: UrlMode, len: usize) -> SessionId {
        SessionId { name: name.into(), prefix, mode, len }
    }

    fn cookies(name: FieldId, values: &[&str]) -> Fields {
        let mut f = Fields::default();
        for v in values {
            f.add(if name == FieldId::Cookie { b"Cookie" } else { b"Set-Cookie" }, v.as_bytes());
        }
        f
    }

    fn text(key: Option<KeyBytes>) -> Option<String> {
        key.map(|k| String::from_utf8_lossy(&k).into_owned())
    }

    fn request(target: &[u8]) -> Option<RequestHead> {
        let mut head = RequestHead::default();
        let bytes = [b"GET ", target, b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
        parse_request(&bytes, &Default::default(), Relax::Unsafe, &mut head).ok()?;
        Some(head)
    }

    fn url(id: &SessionId, target: &str) -> Option<String> {
        text(id.in_url(&request(target.as_bytes()).expect("a valid request")))
    }

    #[test]
    fn ids_in_cookies() {
        let sid = id("SID", false, UrlMode::PathParameters, 6);
        let of = |values: &[&str]| text(sid.in_cookies(&cookies(FieldId::Cookie, values)));
        assert_eq!(of(&["SID=1"]).as_deref(), Some("1"));
        assert_eq!(of(&["a=b; SID=12; SID=13"]).as_deref(), Some("12"));
        assert_eq!(of(&["a=b", "c=d;SID=1234567"]).as_deref(), Some("123456"));
        for none in ["sid=1", "SID2=1", "XSID=1", "SID", "SID=", "SID=; a=b"] {
            assert_eq!(of(&[none]), None, "{none}");
        }
        // A pair without a value does not hide the next one.
        assert_eq!(of(&["SID=; SID=2"]).as_deref(), Some("2"));
    }

    #[test]
    fn ids_behind_a_prefix() {
        let asp = id("ASPSESSIONID", true, UrlMode::QueryString, 9);
        let of = |v: &str| text(asp.in_cookies(&cookies(FieldId::Cookie, &[v])));
        assert_eq!(of("ASPSESSIONIDABCD=YYYY").as_deref(), Some("ABCD=YYYY"));
        assert_eq!(of("ASPSESSIONIDABCD=YYYYZ").as_deref(), Some("ABCD=YYYY"));
        assert_eq!(of("ASPSESSIONID=Y").as_deref(), Some("=Y"));
        assert_eq!(of("ASPSESSIONI=Y"), None);
        assert_eq!(url(&asp, "/?ASPSESSIONIDAB=1").as_deref(), Some("AB=1"));
        let set = cookies(FieldId::SetCookie, &["ASPSESSIONIDAB=1; path=/"]);
        assert_eq!(text(asp.in_response(&set)).as_deref(), Some("AB=1"));
    }

    #[test]
    fn ids_in_urls() {
        let path = id("JSESSIONID", false, UrlMode::PathParameters, 20);
        assert_eq!(url(&path, "/a/b;jsessionid=12?x=1").as_deref(), Some("12"));
        assert_eq!(url(&path, "/a;v=1;JSESSIONID=12;w=2").as_deref(), Some("12"));
        assert_eq!(url(&path, "/a;JSESSIONID=12/b;v=1").as_deref(), Some("12"));
        assert_eq!(url(&path, "/a;v=1/b;JSESSIONID=12").as_deref(), Some("12"));
        assert_eq!(url(&path, "http://h/a;jsessionid=12").as_deref(), Some("12"));
        for none in
            ["/a?jsessionid=1", "/a?;jsessionid=1", "/;jsessionid", "/;jsessionid=", "/;xjsessionid=1"]
        {
            assert_eq!(url(&path, none), None, "{none}");
        }
        let query = id("sid", false, UrlMode::QueryString, 20);
        assert_eq!(url(&query, "/a?x=1&sid=12&y").as_deref(), Some("12"));
        assert_eq!(url(&query, "/a?sid=a/b;c").as_deref(), Some("a/b;c"));
        for none in ["/a;sid=1", "/a?x&y", "/a?", "/sid=1?a", "/a?x=sid=1"] {
            assert_eq!(url(&query, none), None, "{none}");
        }
    }

    #[test]
    fn ids_that_a_response_sets() {
        let sid = id("SID", false, UrlMode::PathParameters, 20);
        let of = |values: &[&str]| text(sid.in_response(&cookies(FieldId::SetCookie, values)));
        assert_eq!(of(&["SID=1; path=/", "X=SID=9", "SID=2"]).as_deref(), Some("2"));
        assert_eq!(of(&["SID=1", "SID=; Max-Age=0"]).as_deref(), Some("1"));
        assert_eq!(of(&["X=1; SID=2"]), None);
    }

    proptest! {
        /// Whatever a client sends: no panic, never more than the length, nothing that was not sent.
        #[test]
        fn any_input(
            value in proptest::collection::vec(any::<u8>(), 0..300),
            name in "[A-Z=; ]{0,3}",
            prefix: bool,
            query: bool,
            len in 1_usize..40,
        ) {
            let mode = if query { UrlMode::QueryString } else { UrlMode::PathParameters };
            let sid = id(&name, prefix, mode, len);
            let mut f = Fields::default();
            f.add(b"Cookie", &value);
            f.add(b"Set-Cookie", &value);
            let mut all: Vec<_> = [sid.in_cookies(&f), sid.in_response(&f)].into_iter().flatten().collect();
            let target = [b"/".as_slice(), &value].concat();
            all.extend(request(&target).and_then(|r| sid.in_url(&r)));
            for key in all {
                prop_assert!(!key.is_empty() && key.len() <= len);
                prop_assert!(prefix || memchr::memmem::find(&value, &key).is_some());
            }
        }

        /// An id is found where it was put, whatever stands around it.
        #[test]
        fn what_is_sent_is_found(
            value in "[a-zA-Z0-9._-]{1,60}",
            before in "[a-z]=[a-z0-9]{0,8}",
            len in 1_usize..70,
        ) {
            let cut = value[..value.len().min(len)].to_owned();
            let sid = id("SID", false, UrlMode::PathParameters, len);
            let f = cookies(FieldId::Cookie, &[&format!("{before}; SID={value}; x=y")]);
            prop_assert_eq!(text(sid.in_cookies(&f)), Some(cut.clone()));
            let set = cookies(FieldId::SetCookie, &[&format!("SID={value}; {before}")]);
            prop_assert_eq!(text(sid.in_response(&set)), Some(cut.clone()));
            prop_assert_eq!(url(&sid, &format!("/p;{before};sid={value}?q")), Some(cut.clone()));
            let sid = id("SID", false, UrlMode::QueryString, len);
            prop_assert_eq!(url(&sid, &format!("/p?{before}&sid={value}&x")), Some(cut));
        }
    }
}
