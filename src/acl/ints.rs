//! Integers, ranges, comparisons.

use std::collections::HashMap;

/// A comparison operator before integer patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `eq`
    Eq,
    /// `ge`
    Ge,
    /// `gt`
    Gt,
    /// `le`
    Le,
    /// `lt`
    Lt,
}

impl Op {
    /// By its name.
    pub fn parse(word: &[u8]) -> Option<Op> {
        Some(match word {
            b"eq" => Op::Eq,
            b"ge" => Op::Ge,
            b"gt" => Op::Gt,
            b"le" => Op::Le,
            b"lt" => Op::Lt,
            _ => return None,
        })
    }
}

/// Inclusive bounds.
pub type Range = (i64, i64);

/// A number, or `major.minor` as `major * 65536 + minor`; `fill` is the minor of a version without one.
fn number(t: &str, dotted: bool, fill: i64) -> Option<i64> {
    if !dotted {
        return t.parse().ok();
    }
    match t.split_once('.') {
        Some((a, b)) => Some((a.parse::<i64>().ok()? << 16) + b.parse::<u16>().map(i64::from).ok()?),
        None => Some((t.parse::<i64>().ok()? << 16) + fill),
    }
}

/// Parse `5`, `5:10`, `:10`, `5:` under an operator. The error is a sentence.
pub fn parse(text: &[u8], op: Op, dotted: bool) -> Result<Range, String> {
    let t = String::from_utf8_lossy(text);
    let (low, high) = match t.split_once(':') {
        Some((a, b)) => {
            let low = if a.is_empty() { Some(i64::MIN) } else { number(a, dotted, 0) };
            let high = if b.is_empty() { Some(i64::MAX) } else { number(b, dotted, 0xffff) };
            match (low, high) {
                (Some(l), Some(h)) if l <= h => (l, h),
                _ => return Err(format!("'{t}' is not a valid number range")),
            }
        }
        None => {
            match (number(&t, dotted, 0), number(&t, dotted, if dotted && op == Op::Eq { 0xffff } else { 0 }))
            {
                (Some(l), Some(h)) => (l, h),
                _ => return Err(format!("'{t}' is neither a number nor an operator (eq, ge, gt, le, lt)")),
            }
        }
    };
    Ok(match op {
        Op::Eq => (low, high),
        Op::Ge => (low, i64::MAX),
        Op::Gt => match high.checked_add(1) {
            Some(l) => (l, i64::MAX),
            None => return Err(format!("nothing is greater than {t}")),
        },
        Op::Le => (i64::MIN, high),
        Op::Lt => match low.checked_sub(1) {
            Some(h) => (i64::MIN, h),
            None => return Err(format!("nothing is less than {t}")),
        },
    })
}

/// A set of ranges; finds the first in order that holds a value.
#[derive(Debug, Default)]
pub struct IntSet {
    exact: HashMap<i64, u32>,
    ranges: Vec<(i64, i64, u32)>,
}

impl IntSet {
    /// Add the pattern with that index; indexes grow.
    pub fn add(&mut self, r: Range, index: u32) {
        if r.0 == r.1 {
            self.exact.entry(r.0).or_insert(index);
        } else {
            self.ranges.push((r.0, r.1, index));
        }
    }

    /// The first pattern that holds `v`.
    pub fn find(&self, v: i64) -> Option<u32> {
        let exact = match self.exact.len() {
            0 => None,
            _ => self.exact.get(&v).copied(),
        };
        let range = self.ranges.iter().find(|(l, h, _)| (*l..=*h).contains(&v)).map(|(_, _, i)| *i);
        match (exact, range) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_operators() {
        let p = |t: &str, op| parse(t.as_bytes(), op, false);
        assert_eq!(p("5", Op::Eq), Ok((5, 5)));
        assert_eq!(p("1024:65535", Op::Eq), Ok((1024, 65535)));
        assert_eq!(p(":1023", Op::Eq), Ok((i64::MIN, 1023)));
        assert_eq!(p("5", Op::Gt), Ok((6, i64::MAX)));
        assert_eq!(p("5", Op::Lt), Ok((i64::MIN, 4)));
        assert!(p("x", Op::Eq).is_err() && p("9:1", Op::Eq).is_err() && p("3.1", Op::Eq).is_err());
    }

    #[test]
    fn versions() {
        let p = |t: &str| parse(t.as_bytes(), Op::Eq, true);
        assert_eq!(p("3:3.1"), Ok((3 << 16, (3 << 16) + 1)));
        assert_eq!(p("3.1"), Ok(((3 << 16) + 1, (3 << 16) + 1)));
        assert_eq!(p("3"), Ok((3 << 16, (3 << 16) + 0xffff)));
    }

    #[test]
    fn first_pattern_wins() {
        let mut s = IntSet::default();
        s.add((10, 20), 0);
        s.add((15, 15), 1);
        s.add((30, 30), 2);
        assert_eq!((s.find(15), s.find(30), s.find(9)), (Some(0), Some(2), None));
    }
}
