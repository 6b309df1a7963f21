//! Request targets: the four forms of RFC 9112 3.2, path, query, authority, parameters.

use super::method::Method;
use std::ops::Range;

/// A request target taken apart. Every part is a slice of the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Uri<'a> {
    /// The whole target.
    pub all: &'a [u8],
    /// Scheme of an absolute form, without `://`.
    pub scheme: Option<&'a [u8]>,
    /// Authority of an absolute form or of CONNECT.
    pub authority: Option<&'a [u8]>,
    /// Path, from its `/`; `None` for `*`, for the authority form, and for an absolute form without one.
    pub path: Option<&'a [u8]>,
    /// Query without its `?`.
    pub query: Option<&'a [u8]>,
    path_at: usize,
}

impl<'a> Uri<'a> {
    /// Takes a target apart. Never fails: what fits no form has no parts.
    pub fn parse(_target: &'a [u8], _method: Method) -> Uri<'a> {
        todo!()
    }

    /// Where the path stands in the target (empty, at its place, when there is none).
    pub fn path_range(&self) -> Range<usize> {
        self.path_at..self.path_at + self.path.map_or(0, <[u8]>::len)
    }

    /// Where the query stands in the target, its `?` included (empty, at its place, when there is none).
    pub fn query_range_with_mark(&self) -> Range<usize> {
        let start = self.path_range().end;
        start..start + self.query.map_or(0, |q| q.len() + 1)
    }

    /// Path and query together, as `pathq` gives them.
    pub fn path_and_query(&self) -> Option<&'a [u8]> {
        self.path.map(|_| &self.all[self.path_at..self.query_range_with_mark().end])
    }
}

/// An authority cut into host and port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Authority<'a> {
    /// What stands before `@`, if anything.
    pub userinfo: Option<&'a [u8]>,
    /// Host; an IPv6 address keeps its brackets.
    pub host: &'a [u8],
    /// The port's digits (may be empty: `host:`); `None` without a colon.
    pub port: Option<&'a [u8]>,
}

/// Cuts an authority (or a Host value) into host and port. `None` when the port is not a number up to 65535 or
/// the brackets of an IPv6 address do not match.
pub fn split_authority(_authority: &[u8]) -> Option<Authority<'_>> {
    todo!()
}

/// The value of a parameter in a query string: `name=value` parts cut at `&` (and `;` when `delim` says so).
/// `delim` is the extra delimiter that starts the parameters (`url_param`'s argument), `?` by default.
pub fn param<'a>(_target: &'a [u8], _name: &[u8], _delim: u8, _ignore_case: bool) -> Option<&'a [u8]> {
    todo!()
}

/// The parameters of a query string in order: (name, value); a part without `=` has an empty value.
pub fn params(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|&b| b == b'&').map(|part| match memchr::memchr(b'=', part) {
        Some(eq) => (&part[..eq], &part[eq + 1..]),
        None => (part, &part[part.len()..]),
    })
}
