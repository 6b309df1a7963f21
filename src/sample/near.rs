//! "Did you mean": the nearest known name.

/// Damerau-Levenshtein distance (restricted), at most `max + 1`.
fn distance(a: &[u8], b: &[u8], max: usize) -> usize {
    if a.len().abs_diff(b.len()) > max {
        return max + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut prev: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = a[i - 1].eq_ignore_ascii_case(&b[j - 1]);
            let mut d = (prev[j - 1] + usize::from(!same)).min(prev[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                d = d.min(before[j - 2] + 1);
            }
            row.push(d);
        }
        before = std::mem::replace(&mut prev, row);
    }
    prev[b.len()]
}

/// The known name nearest to `name`, when one is near enough to be meant.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let max = (name.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|k| (distance(name.as_bytes(), k.as_bytes(), max), k))
        .filter(|(d, _)| *d <= max)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// `did you mean 'x' maybe?`, or nothing.
pub fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    nearest(name, known).map(|k| format!("did you mean '{k}'?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typos_and_not_strangers() {
        let names = ["path_beg", "path_end", "src", "hdr"];
        assert_eq!(nearest("path_bge", names), Some("path_beg"));
        assert_eq!(nearest("sr", names), Some("src"));
        assert_eq!(nearest("completely", names), None);
    }
}
