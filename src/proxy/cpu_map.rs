//! `cpu-map`: which CPUs a thread runs on.

use std::ops::RangeInclusive;

use crate::base::limits::MAX_THREADS;

/// Highest CPU number plus one.
const MAX_CPUS: usize = 4096;
/// Highest thread group.
const MAX_GROUPS: usize = 64;

/// Every `cpu-map` line, in order: later ones win where they overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuMap {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// `auto:`: the n-th thread gets the n-th CPU.
    auto: bool,
    groups: Numbers,
    threads: Numbers,
    cpus: Vec<Span>,
}

/// CPUs `low` to `high`; an open end is cut at the machine's last CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    low: usize,
    high: Option<usize>,
}

/// `all`, `odd`, `even`, `N`, `N-`, `N-M`; numbers start at 1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Numbers {
    range: RangeInclusive<usize>,
    /// 1: every number; 2: every second one from the start of the range.
    step: usize,
}

impl Numbers {
    fn all(max: usize) -> Numbers {
        Numbers { range: 1..=max, step: 1 }
    }

    fn parse(text: &str, max: usize) -> Result<Numbers, String> {
        match text {
            "all" => return Ok(Numbers::all(max)),
            "odd" => return Ok(Numbers { range: 1..=max, step: 2 }),
            "even" => return Ok(Numbers { range: 2..=max, step: 2 }),
            _ => {}
        }
        let number = |t: &str| t.parse::<usize>().ok().filter(|n| (1..=max).contains(n));
        let bad = || format!("'{text}' is not 'all', 'odd', 'even', a number or a range from 1 to {max}");
        let range = match text.split_once('-') {
            Some((low, "")) => number(low).ok_or_else(bad)?..=max,
            Some((low, high)) => number(low).ok_or_else(bad)?..=number(high).ok_or_else(bad)?,
            None => {
                let n = number(text).ok_or_else(bad)?;
                n..=n
            }
        };
        if range.is_empty() {
            return Err(bad());
        }
        Ok(Numbers { range, step: 1 })
    }

    /// Position of `n` among the numbers, from 0.
    fn position(&self, n: usize) -> Option<usize> {
        let offset = n.checked_sub(*self.range.start())?;
        (self.range.contains(&n) && offset.is_multiple_of(self.step)).then_some(offset / self.step)
    }

    fn single(&self) -> bool {
        self.range.start() == self.range.end()
    }
}

impl CpuMap {
    /// True when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Add one line: `[auto:]GROUP[/THREADS]`, then CPU sets.
    pub fn add<'a>(&mut self, target: &str, cpus: impl Iterator<Item = &'a str>) -> Result<(), String> {
        let (auto, target) = match target.strip_prefix("auto:") {
            Some(rest) => (true, rest),
            None => (false, target),
        };
        let (groups, threads) = match target.split_once('/') {
            Some((g, t)) => (Numbers::parse(g, MAX_GROUPS)?, Numbers::parse(t, MAX_THREADS)?),
            None => (Numbers::parse(target, MAX_GROUPS)?, Numbers::all(MAX_THREADS)),
        };
        if auto && !groups.single() && !threads.single() {
            return Err("'auto:' takes one range only: a single group with its threads".to_owned());
        }
        let mut spans = Vec::new();
        for word in cpus {
            for part in word.split(',') {
                spans.push(parse_span(part)?);
            }
        }
        if auto {
            check_auto(&threads, &spans)?;
        }
        self.entries.push(Entry { auto, groups, threads, cpus: spans });
        Ok(())
    }

    /// The CPUs of thread `index` (from 0) of `nbthread`, which form `groups` thread groups; `None` when no line
    /// names it. `cpu_count` cuts open ranges.
    pub fn cpus(&self, index: usize, nbthread: usize, groups: usize, cpu_count: usize) -> Option<Vec<usize>> {
        let per_group = nbthread.div_ceil(groups.max(1)).max(1);
        let (group, thread) = (index / per_group + 1, index % per_group + 1);
        for e in self.entries.iter().rev() {
            let Some(nth) = e.threads.position(thread).filter(|_| e.groups.position(group).is_some()) else {
                continue;
            };
            let mut list: Vec<usize> = Vec::new();
            for s in &e.cpus {
                list.extend(s.low..=s.high.unwrap_or(cpu_count.saturating_sub(1)));
            }
            list.sort_unstable();
            list.dedup();
            return match e.auto {
                // Beyond the set (a machine with fewer CPUs than an open range hoped for): all of it.
                true => Some(list.get(nth).map_or(list.clone(), |c| vec![*c])),
                false => Some(list),
            };
        }
        None
    }
}

fn parse_span(text: &str) -> Result<Span, String> {
    let bad = || format!("'{text}' is not a CPU number or a range of them");
    let number = |t: &str| t.parse::<usize>().ok().filter(|n| *n < MAX_CPUS).ok_or_else(bad);
    match text.split_once('-') {
        Some((low, "")) => Ok(Span { low: number(low)?, high: None }),
        Some((low, high)) => {
            let (low, high) = (number(low)?, number(high)?);
            if low > high {
                return Err(bad());
            }
            Ok(Span { low, high: Some(high) })
        }
        None => number(text).map(|n| Span { low: n, high: Some(n) }),
    }
}

/// With `auto:` there must be as many CPUs as threads, unless either side is open.
fn check_auto(threads: &Numbers, spans: &[Span]) -> Result<(), String> {
    if *threads.range.end() == MAX_THREADS || spans.iter().any(|s| s.high.is_none()) {
        return Ok(());
    }
    let wanted = (threads.range.end() - threads.range.start()) / threads.step + 1;
    let mut cpus: Vec<usize> = spans.iter().flat_map(|s| s.low..=s.high.unwrap_or(s.low)).collect();
    cpus.sort_unstable();
    cpus.dedup();
    if cpus.len() != wanted {
        return Err(format!("'auto:' needs as many CPUs as threads: {wanted} threads, {} CPUs", cpus.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[&str]) -> CpuMap {
        let mut map = CpuMap::default();
        for line in lines {
            let mut words = line.split(' ');
            map.add(words.next().expect("target"), words).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        map
    }

    #[test]
    fn examples_of_the_manual() {
        assert_eq!(map(&["1/all 0-3"]).cpus(5, 8, 1, 8), Some(vec![0, 1, 2, 3]));
        assert_eq!(map(&["1 0-3"]).cpus(5, 8, 1, 8), Some(vec![0, 1, 2, 3]));
        for line in ["auto:1/1-4 0-3", "auto:1/1-4 0-1 2-3", "auto:1/1-4 3 2 1 0", "auto:1/1-4 3,2,1,0"] {
            let m = map(&[line]);
            let got: Vec<_> = (0..5).map(|t| m.cpus(t, 5, 1, 8)).collect();
            assert_eq!(got, [Some(vec![0]), Some(vec![1]), Some(vec![2]), Some(vec![3]), None], "{line}");
        }
        assert_eq!(map(&["auto:1/all 0-63"]).cpus(7, 8, 1, 8), Some(vec![7]));
        assert_eq!(map(&["auto:1/even 0-31"]).cpus(3, 8, 1, 64), Some(vec![1]));
        assert_eq!(map(&["auto:1/odd 32-63"]).cpus(4, 8, 1, 64), Some(vec![34]));
        assert_eq!(map(&["1/1- 0-"]).cpus(1, 2, 1, 3), Some(vec![0, 1, 2]));
    }

    #[test]
    fn later_lines_win_and_groups_split_the_threads() {
        let m = map(&["1/all 0-3", "1/2 7"]);
        assert_eq!((m.cpus(0, 4, 1, 8), m.cpus(1, 4, 1, 8)), (Some(vec![0, 1, 2, 3]), Some(vec![7])));
        let m = map(&["auto:1/1-2 0-1", "auto:2/1-2 8-9"]);
        assert_eq!((m.cpus(1, 4, 2, 16), m.cpus(3, 4, 2, 16)), (Some(vec![1]), Some(vec![9])));
    }

    #[test]
    fn mistakes() {
        for (target, cpus) in [
            ("auto:1/1-4", "0"),
            ("auto:1/1", "0-3"),
            ("auto:1-2/1-4", "0-3"),
            ("0", "0"),
            ("1/x", "0"),
            ("1/4-2", "0"),
            ("1", "x"),
            ("1", "3-1"),
            ("1", "99999"),
        ] {
            assert!(CpuMap::default().add(target, [cpus].into_iter()).is_err(), "{target} {cpus}");
        }
    }
}
