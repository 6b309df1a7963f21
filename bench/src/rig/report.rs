//! Results for people (markdown), for programs (JSON) and for the eye (SVG).

use super::measure::Sample;
use super::scenario::Unit;
use super::{Options, Results, Series, plot};
use crate::net::Failure;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

impl Series {
    /// The median of something over all runs.
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            n if n % 2 == 1 => Some(values[middle]),
            _ => Some((values[middle - 1] + values[middle]) / 2.0),
        }
    }

    /// The figure that counts.
    pub fn figure(&self) -> Option<f64> {
        self.median(|s| s.figure)
    }

    fn spread(&self) -> (f64, f64) {
        let figures = || self.samples.iter().map(|s| s.figure);
        (figures().fold(f64::INFINITY, f64::min), figures().fold(0.0, f64::max))
    }

    fn failed(&self) -> u64 {
        self.samples.iter().map(|s| s.failed).sum()
    }
}

impl Results {
    /// The figure of a contestant.
    pub fn figure_of(&self, key: &str) -> Option<f64> {
        self.series.iter().find(|s| s.who.key == key)?.figure()
    }

    /// Each target in words, and whether ours meets it.
    fn verdicts(&self) -> Vec<(String, bool)> {
        let Some(ours) = self.figure_of("haring") else { return Vec::new() };
        let mut all = Vec::new();
        for &(against, limit) in self.scenario.targets {
            if against.is_empty() {
                let text = format!("Haring: {} (target: at most {limit})", self.scenario.unit.show(ours));
                all.push((text, ours <= limit));
            } else if let Some(series) = self.series.iter().find(|s| s.who.key == against)
                && let Some(theirs) = series.figure()
            {
                let ratio = ours / theirs;
                let text = format!("Haring / {}: {ratio:.2} (target: at most {limit:.2})", series.who.label);
                all.push((text, ratio <= limit));
            }
        }
        if let (Some(limit), Some(ours), Some(theirs)) =
            (self.scenario.added, self.added("haring"), self.added("haproxy"))
        {
            let unit = self.scenario.unit;
            let text = format!(
                "Added by the rules: Haring {}, HAProxy {} {} (target: less than HAProxy's)",
                unit.show(ours),
                unit.show(theirs),
                unit.text()
            );
            all.push((text, ours < theirs * limit));
        }
        all
    }

    /// What a contestant costs more than its plain form.
    fn added(&self, key: &str) -> Option<f64> {
        Some(self.figure_of(key)? - self.figure_of(&format!("{key}-plain"))?)
    }
}

/// All scenarios as markdown tables.
pub fn tables(all: &[Results]) -> String {
    let mut text = String::new();
    for results in all {
        table(&mut text, results);
    }
    text
}

fn table(text: &mut String, results: &Results) {
    let unit = results.scenario.unit;
    let runs = matches!(unit, Unit::MicrosPerRequest | Unit::SecondsPerGib | Unit::Latency);
    let _ = writeln!(text, "\n## {}\n", results.scenario.title);
    let mut head = format!("| | {} | to HAProxy |", unit.text());
    let mut line = "|---|---:|---:|".to_string();
    if runs {
        head.push_str(" lowest to highest | requests/s | p50 µs | p99 µs | p99.9 µs | failed |");
        line.push_str("---:|---:|---:|---:|---:|---:|");
    }
    let _ = writeln!(text, "{head}\n{line}");
    let reference = results.figure_of("haproxy");
    for series in &results.series {
        let Some(figure) = series.figure() else {
            let why = series.problem.as_deref().unwrap_or("no run").lines().next().unwrap_or("");
            let _ = writeln!(text, "| {} | not measured: {why} | |", series.who.label);
            continue;
        };
        let ratio = reference.map_or(String::new(), |r| format!("{:.2}", figure / r));
        let _ = write!(text, "| {} | **{}** | {ratio} |", series.who.label, unit.show(figure));
        if runs {
            let (low, high) = series.spread();
            let rate = series.median(|s| s.requests as f64 / s.seconds).unwrap_or(0.0);
            let latency = |i: usize| series.median(|s| s.latency[i]).unwrap_or(0.0);
            let _ = write!(
                text,
                " {} to {} | {rate:.0} | {:.0} | {:.0} | {:.0} | {} |",
                unit.show(low),
                unit.show(high),
                latency(0),
                latency(2),
                latency(3),
                series.failed()
            );
        }
        text.push('\n');
    }
    for (verdict, met) in results.verdicts() {
        let _ = writeln!(text, "\n{verdict}: {}", if met { "met" } else { "**not met**" });
    }
}

/// Writes the three files; the markdown one's path.
pub fn write(options: &Options, all: &[Results], machine: &[(String, String)]) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(&options.out)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let day = date(now / 86_400);
    let name = (1..)
        .map(|n| if n == 1 { day.clone() } else { format!("{day}-{n}") })
        .find(|name| !options.out.join(format!("{name}.md")).exists())
        .unwrap_or(day.clone());
    let path = options.out.join(format!("{name}.md"));
    let mut text = format!("# Measured on {day}\n\n![CPU per unit of work]({name}.svg)\n\n");
    for (key, value) in machine {
        let _ = writeln!(text, "- {key}: {value}");
    }
    let _ = writeln!(
        text,
        "- {} runs of {} s each, interleaved; proxy alone on processor {}, load and origin on processor {}\n\n\
         Figures are medians. Processor time is user and system time of the whole proxy with all its threads,\n\
         as /proc counts it; less is better. Latencies of the closed-loop runs show how long a request waits when\n\
         all connections ask as fast as they can; those at a fixed rate count from when a request was due.",
        options.rounds, options.seconds, options.proxy_cpu, options.load_cpu
    );
    text.push_str(&tables(all));
    std::fs::write(&path, text)?;
    std::fs::write(options.out.join(format!("{name}.json")), json(options, all, machine, &day))?;
    std::fs::write(options.out.join(format!("{name}.svg")), plot::draw(all, &day))?;
    Ok(path)
}

/// `YYYY-MM-DD` of a day since 1970-01-01.
fn date(days: u64) -> String {
    let mut left = days;
    let mut year = 1970;
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", left + 1)
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if (c as u32) < 32 => out.push(' '),
            c => out.push(c),
        }
    }
    out + "\""
}

fn json(options: &Options, all: &[Results], machine: &[(String, String)], day: &str) -> String {
    let list = |items: Vec<String>| items.join(",");
    let machine = list(machine.iter().map(|(k, v)| format!("{}:{}", quoted(k), quoted(v))).collect());
    let sample = |s: &Sample| {
        let latency = list(s.latency.iter().map(|l| format!("{l:.1}")).collect());
        format!(
            "{{\"figure\":{:.4},\"requests\":{},\"failed\":{},\"bytes\":{},\"seconds\":{:.4},\"cpu\":{:.3},\"latency_us\":[{latency}]}}",
            s.figure, s.requests, s.failed, s.bytes, s.seconds, s.cpu
        )
    };
    let series = |s: &Series| {
        format!(
            "{{\"contestant\":{},\"label\":{},\"problem\":{},\"runs\":[{}]}}",
            quoted(s.who.key),
            quoted(s.who.label),
            s.problem.as_deref().map_or("null".to_string(), quoted),
            list(s.samples.iter().map(sample).collect())
        )
    };
    let scenario = |r: &Results| {
        format!(
            "\n{{\"scenario\":{},\"title\":{},\"unit\":{},\"series\":[{}]}}",
            quoted(r.scenario.name),
            quoted(r.scenario.title),
            quoted(r.scenario.unit.text()),
            list(r.series.iter().map(series).collect())
        )
    };
    format!(
        "{{\"date\":{},\"machine\":{{{machine}}},\"seconds\":{},\"rounds\":{},\"latency_percentiles\":[50,90,99,99.9,99.99,100],\"scenarios\":[{}\n]}}\n",
        quoted(day),
        options.seconds,
        options.rounds,
        list(all.iter().map(scenario).collect())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_777), "2026-11-20");
    }

    #[test]
    fn json_text_is_quoted() {
        assert_eq!(quoted("a\"b\\c\nd\te"), "\"a\\\"b\\\\c\\nd e\"");
    }
}
