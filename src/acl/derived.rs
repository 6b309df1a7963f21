//! ACL criteria that are a fetch and a match method in one word: `hdr_beg(host)`, `path_end`.

use crate::config::Tables;
use crate::sample::Fetch;

use super::Method;

/// What may stand in front of a suffix, and the fetch that it means. `hdr_beg` is of the request always.
const BASES: &[(&str, &str)] = &[
    ("base", "base"),
    ("cook", "req.cook"),
    ("req.cook", "req.cook"),
    ("res.cook", "res.cook"),
    ("scook", "res.cook"),
    ("hdr", "req.hdr"),
    ("req.hdr", "req.hdr"),
    ("res.hdr", "res.hdr"),
    ("shdr", "res.hdr"),
    ("path", "path"),
    ("url", "url"),
    ("urlp", "urlp"),
    ("url_param", "urlp"),
    ("ssl_fc_sni", "ssl_fc_sni"),
];

const SUFFIXES: &[(&str, Method)] = &[
    ("beg", Method::Beg),
    ("dir", Method::Dir),
    ("dom", Method::Dom),
    ("end", Method::End),
    ("len", Method::Len),
    ("reg", Method::Reg),
    ("sub", Method::Sub),
];

/// Criteria whose method is not the usual one of their type.
const SPECIAL: &[(&str, &str, Method)] =
    &[("req.ssl_ver", "req.ssl_ver", Method::Version), ("req_ssl_ver", "req.ssl_ver", Method::Version)];

/// The fetch and the implied method of a criterion.
pub fn find(tables: &Tables, name: &str) -> Option<(&'static Fetch, Option<Method>)> {
    if let Some((_, fetch, method)) = SPECIAL.iter().find(|(n, ..)| *n == name) {
        return tables.find::<Fetch>(fetch).map(|f| (f, Some(*method)));
    }
    if let Some(f) = tables.find::<Fetch>(name) {
        return Some((f, None));
    }
    let (base, suffix) = name.rsplit_once('_')?;
    let (_, method) = SUFFIXES.iter().find(|(s, _)| *s == suffix)?;
    let (_, fetch) = BASES.iter().find(|(b, _)| *b == base)?;
    tables.find::<Fetch>(fetch).map(|f| (f, Some(*method)))
}

/// Every derived name, for "did you mean" and for the list of what exists.
pub fn names() -> impl Iterator<Item = String> {
    BASES.iter().flat_map(|(b, _)| SUFFIXES.iter().map(move |(s, _)| format!("{b}_{s}")))
}

/// For `query_beg`: the fetch exists, only the combined word does not.
pub fn split_hint(tables: &Tables, name: &str) -> Option<String> {
    let (base, suffix) = name.rsplit_once('_')?;
    SUFFIXES.iter().find(|(s, _)| *s == suffix)?;
    tables.find::<Fetch>(base)?;
    Some(format!("write '{base} -m {suffix}'"))
}
