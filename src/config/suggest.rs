//! "Did you mean": the closest of known names.

/// The candidate closest to `word`, if any is close enough to be a likely typing error.
pub fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = match word.len() {
        0..=2 => return None,
        3..=5 => 1,
        6..=9 => 2,
        _ => 3,
    };
    candidates
        .filter(|c| c.len().abs_diff(word.len()) <= limit && *c != word)
        .map(|c| (distance(word.as_bytes(), c.as_bytes()), c))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// The hint that names `best`.
pub fn did_you_mean(best: &str) -> String {
    format!("did you mean '{best}'?")
}

/// Edit distance with transposition of neighbours (optimal string alignment).
pub fn distance(a: &[u8], b: &[u8]) -> usize {
    let width = b.len() + 1;
    let mut before_last = vec![0usize; width];
    let mut last: Vec<usize> = (0..width).collect();
    let mut row = vec![0usize; width];
    for i in 1..=a.len() {
        row[0] = i;
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut d = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                d = d.min(before_last[j - 2] + 1);
            }
            row[j] = d;
        }
        std::mem::swap(&mut before_last, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"frontend", b"frontend"), 0);
        assert_eq!(distance(b"fronted", b"frontend"), 1);
        assert_eq!(distance(b"frotnend", b"frontend"), 1);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
    }

    #[test]
    fn only_likely_ones() {
        let known = ["balance", "backlog", "bind", "timeout client"];
        assert_eq!(closest("balnace", known.into_iter()), Some("balance"));
        assert_eq!(closest("timeout cleint", known.into_iter()), Some("timeout client"));
        assert_eq!(closest("zzzzzz", known.into_iter()), None);
        assert_eq!(closest("bi", known.into_iter()), None);
    }
}
