//! A compiled set of patterns of one match method.

use crate::sample::{Groups, Regex, Sample, to_bin, to_int, to_ip, to_str};

use super::Method;
use super::ints::{self, IntSet, Op};
use super::ip::{self, IpSet};
use super::strings::{Position, StrSet};

/// One pattern as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The text.
    pub text: Box<[u8]>,
    /// The operator in front, for integers.
    pub op: Op,
}

impl Pattern {
    /// A pattern without operator.
    pub fn new(text: &[u8]) -> Pattern {
        Pattern { text: text.into(), op: Op::Eq }
    }
}

/// Patterns in the form that evaluation uses. Immutable; a change makes a new one.
#[derive(Debug)]
pub enum Matcher {
    /// Presence and truth need no pattern.
    None(Method),
    /// Integers; of the length of the text when the flag is set.
    Int(IntSet, bool),
    /// Addresses.
    Ip(IpSet),
    /// Strings.
    Str(StrSet),
    /// Exact bytes.
    Bin(StrSet),
    /// Regexes one by one, and all in one to find out whether any matches.
    Reg {
        /// In order.
        each: Vec<Regex>,
        /// `None` when there is only one, or when they are too many for one.
        any: Option<Regex>,
    },
}

impl Matcher {
    /// Compile. The error is the index of the pattern and a sentence about it.
    pub fn build(
        method: Method,
        ignore_case: bool,
        patterns: &[Pattern],
    ) -> Result<Matcher, (usize, String)> {
        let all = || patterns.iter().enumerate().map(|(i, p)| (&*p.text, i as u32));
        let strings = |position: Position, ci: bool| StrSet::build(position, ci, all()).map_err(|e| (0, e));
        Ok(match method {
            Method::Found | Method::Bool => Matcher::None(method),
            Method::Int | Method::Version | Method::Len => {
                let mut set = IntSet::default();
                for (i, p) in patterns.iter().enumerate() {
                    set.add(
                        ints::parse(&p.text, p.op, method == Method::Version).map_err(|e| (i, e))?,
                        i as u32,
                    );
                }
                Matcher::Int(set, method == Method::Len)
            }
            Method::Ip => {
                let mut nets = Vec::with_capacity(patterns.len());
                for (i, p) in patterns.iter().enumerate() {
                    let net = ip::parse(&p.text).ok_or_else(|| {
                        let t = String::from_utf8_lossy(&p.text);
                        (i, format!("'{t}' is not a valid IPv4 or IPv6 address or network"))
                    })?;
                    nets.push((net, i as u32));
                }
                Matcher::Ip(IpSet::build(nets))
            }
            Method::Bin => {
                let mut keys = Vec::with_capacity(patterns.len());
                for (i, p) in patterns.iter().enumerate() {
                    let bytes = crate::sample::unhex(&p.text)
                        .ok_or_else(|| (i, "an even number of hexadecimal digits is expected".to_owned()))?;
                    keys.push((bytes, i as u32));
                }
                let keys = keys.iter().map(|(b, i)| (b.as_slice(), *i));
                Matcher::Bin(StrSet::build(Position::Exact, false, keys).map_err(|e| (0, e))?)
            }
            // Methods are case-sensitive (RFC 9110 9.1): 'get' is another method than GET.
            Method::Str | Method::Meth => Matcher::Str(strings(Position::Exact, ignore_case)?),
            Method::Beg => Matcher::Str(strings(Position::Prefix, ignore_case)?),
            Method::End => Matcher::Str(strings(Position::Suffix, ignore_case)?),
            Method::Sub => Matcher::Str(strings(Position::Inside, ignore_case)?),
            Method::Dir => Matcher::Str(strings(Position::Dir, ignore_case)?),
            Method::Dom => Matcher::Str(strings(Position::Domain, ignore_case)?),
            Method::Reg => {
                let mut each = Vec::with_capacity(patterns.len());
                for (i, p) in patterns.iter().enumerate() {
                    each.push(Regex::new(&p.text, ignore_case).map_err(|e| (i, e))?);
                }
                let texts: Vec<&[u8]> = patterns.iter().map(|p| &*p.text).collect();
                let any = if each.len() > 1 { Regex::any_of(&texts, ignore_case) } else { None };
                Matcher::Reg { each, any }
            }
        })
    }

    /// Whether the sample matches any pattern.
    pub fn is_match(&self, s: &Sample<'_>) -> bool {
        match self {
            Matcher::Reg { any: Some(any), .. } => with_text(s, |t| any.is_match(t)).unwrap_or(false),
            Matcher::Str(set) => with_text(s, |t| set.is_match(t)).unwrap_or(false),
            _ => self.find(s).is_some(),
        }
    }

    /// The index of the pattern that matches; 0 for those without patterns.
    pub fn find(&self, s: &Sample<'_>) -> Option<u32> {
        match self {
            Matcher::None(Method::Bool) => (to_int(s)? != 0).then_some(0),
            Matcher::None(_) => Some(0),
            Matcher::Int(set, false) => set.find(to_int(s)?),
            Matcher::Int(set, true) => with_text(s, |t| set.find(t.len() as i64))?,
            Matcher::Ip(set) => set.find(to_ip(s)?),
            Matcher::Bin(set) => match s.bytes() {
                Some(b) => set.find(b),
                None => set.find(&to_bin(clone_scalar(s)?)?),
            },
            Matcher::Str(set) => with_text(s, |t| set.find(t))?,
            Matcher::Reg { each, any } => with_text(s, |t| {
                if any.as_ref().is_some_and(|a| !a.is_match(t)) {
                    return None;
                }
                each.iter().position(|r| r.is_match(t)).map(|i| i as u32)
            })?,
        }
    }

    /// The first regex that matches, with its groups; for `map_regm`.
    pub fn groups<'t>(&self, text: &'t [u8]) -> Option<(u32, Groups<'t>)> {
        match self {
            Matcher::Reg { each, .. } => {
                each.iter().enumerate().find_map(|(i, r)| r.groups(text).map(|g| (i as u32, g)))
            }
            _ => None,
        }
    }
}

/// A copy of a sample that owns no memory.
fn clone_scalar(s: &Sample<'_>) -> Option<Sample<'static>> {
    Some(match s {
        Sample::Bool(b) => Sample::Bool(*b),
        Sample::Int(i) => Sample::Int(*i),
        Sample::Ip(a) => Sample::Ip(*a),
        _ => return None,
    })
}

/// Call `f` with the text of a sample: text ends at the first NUL of a binary one.
fn with_text<R>(s: &Sample<'_>, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
    Some(match s {
        Sample::Bin(b) => f(&b[..memchr::memchr(0, b).unwrap_or(b.len())]),
        Sample::Str(b) | Sample::Meth(b) => f(b),
        scalar => f(&to_str(clone_scalar(scalar)?)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(m: Method, ci: bool, patterns: &[&str], s: Sample<'_>) -> bool {
        let list: Vec<Pattern> = patterns.iter().map(|p| Pattern::new(p.as_bytes())).collect();
        Matcher::build(m, ci, &list).expect("valid patterns").is_match(&s)
    }

    #[test]
    fn every_method_matches_its_kind() {
        assert!(hit(Method::Found, false, &[], Sample::str(b"")));
        assert!(hit(Method::Bool, false, &[], Sample::Int(3)));
        assert!(!hit(Method::Bool, false, &[], Sample::Bool(false)));
        assert!(hit(Method::Int, false, &["1:5"], Sample::str(b"4")));
        assert!(hit(Method::Len, false, &["3"], Sample::str(b"abc")));
        assert!(hit(Method::Ip, false, &["10.0.0.0/8"], Sample::str(b"10.2.3.4")));
        assert!(hit(Method::Bin, false, &["48656C6c6f"], Sample::str(b"Hello")));
        assert!(hit(Method::Str, true, &["a", "B"], Sample::str(b"b")));
        assert!(hit(Method::Str, false, &["12"], Sample::Int(12)));
        assert!(hit(Method::Meth, false, &["GET", "HEAD"], Sample::Meth(b"GET"[..].into())));
        assert!(!hit(Method::Meth, false, &["get"], Sample::Meth(b"GET"[..].into())));
        assert!(hit(Method::Reg, true, &["^www", "[.]org$"], Sample::str(b"x.ORG")));
        assert!(!hit(Method::Reg, false, &["^www", "[.]org$"], Sample::str(b"x.com")));
    }

    #[test]
    fn wrong_patterns_are_named() {
        let e = Matcher::build(Method::Ip, false, &[Pattern::new(b"1.1.1.1"), Pattern::new(b"x")]);
        assert_eq!(e.map(|_| ()).map_err(|e| e.0), Err(1));
        let e = Matcher::build(Method::Reg, false, &[Pattern::new(b"(")]);
        assert!(e.is_err());
    }
}
