//! The picture: one panel per scenario, one bar per contestant, ours in colour.

use super::Results;
use super::scenario::Program;
use std::fmt::Write as _;

const WIDTH: f64 = 980.0;
const GAP: f64 = 28.0;
const PANEL_WIDTH: f64 = (WIDTH - 3.0 * GAP) / 2.0;
const BAR: f64 = 22.0;
const STEP: f64 = 32.0;
const HEAD: f64 = 60.0;
const LABEL: f64 = 186.0;
/// Room for the figure behind the longest bar.
const FIGURE: f64 = 92.0;

const STYLE: &str = "text{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2933}\
.title{font-size:20px;font-weight:650}.sub{font-size:12.5px;fill:#616e7c}.name{font-size:13.5px;font-weight:600}\
.unit{font-size:11.5px;fill:#7b8794}.label{font-size:12px}.figure{font-size:12.5px;font-weight:600}\
.ratio{font-size:11.5px;fill:#7b8794;font-weight:400}.target{font-size:11px;fill:#9aa5b1}";

fn colour(program: Program) -> &'static str {
    match program {
        Program::Haring => "#0b7a75",
        Program::Haproxy => "#9fb3c8",
        Program::Nginx => "#cbd2d9",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Draws all scenarios that have a figure.
pub fn draw(all: &[Results], day: &str) -> String {
    let shown: Vec<&Results> = all.iter().filter(|r| r.series.iter().any(|s| s.figure().is_some())).collect();
    let height_of =
        |r: &Results| HEAD + r.series.iter().filter(|s| s.figure().is_some()).count() as f64 * STEP + 14.0;
    let mut body = String::new();
    let mut top = 92.0;
    for row in shown.chunks(2) {
        let height = row.iter().map(|r| height_of(r)).fold(0.0, f64::max);
        for (column, results) in row.iter().enumerate() {
            let left = GAP + column as f64 * (PANEL_WIDTH + GAP);
            panel(&mut body, results, left, top, height);
        }
        top += height + GAP * 0.7;
    }
    let height = top + 10.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\
         <style>{STYLE}</style><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\
         <text class=\"title\" x=\"{GAP}\" y=\"42\">What a proxy costs</text>\
         <text class=\"sub\" x=\"{GAP}\" y=\"64\">Shorter is better. Medians of interleaved runs, one proxy processor, \
         {day}. × is the ratio to HAProxy, the dotted line our target.</text>{body}</svg>\n"
    )
}

fn panel(out: &mut String, results: &Results, left: f64, top: f64, height: f64) {
    let unit = results.scenario.unit;
    let figures: Vec<_> = results.series.iter().filter_map(|s| Some((s, s.figure()?))).collect();
    let longest = figures.iter().map(|(_, f)| *f).fold(f64::MIN_POSITIVE, f64::max);
    let room = PANEL_WIDTH - LABEL - FIGURE - 14.0;
    let reference = results.figure_of("haproxy").filter(|r| *r > 0.0);
    let _ = write!(
        out,
        "<g><rect x=\"{left}\" y=\"{top}\" width=\"{PANEL_WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#f7f9fb\"/>\
         <text class=\"name\" x=\"{}\" y=\"{}\">{}</text><text class=\"unit\" x=\"{}\" y=\"{}\">{}</text>",
        left + 14.0,
        top + 25.0,
        escape(results.scenario.title),
        left + 14.0,
        top + 43.0,
        escape(unit.text())
    );
    let x = left + LABEL;
    for (row, (series, figure)) in figures.iter().enumerate() {
        let y = top + HEAD + row as f64 * STEP;
        let length = (figure / longest * room).max(1.5);
        let ratio = reference
            .filter(|_| series.who.key != "haproxy")
            .map_or(String::new(), |r| format!(" <tspan class=\"ratio\">×{:.2}</tspan>", figure / r));
        let _ = write!(
            out,
            "<text class=\"label\" text-anchor=\"end\" x=\"{}\" y=\"{}\">{}</text>\
             <rect x=\"{x}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"3\" fill=\"{}\"/>\
             <text class=\"figure\" x=\"{:.1}\" y=\"{}\">{}{ratio}</text>",
            x - 10.0,
            y + 15.5,
            escape(series.who.label),
            colour(series.who.program),
            x + length + 8.0,
            y + 15.5,
            unit.show(*figure)
        );
        if series.who.program == Program::Haring {
            target_lines(out, results, x, y, room / longest, room);
        }
    }
    out.push_str("</g>");
}

/// A dotted mark on our bar for each target that falls inside the panel.
fn target_lines(out: &mut String, results: &Results, x: f64, y: f64, scale: f64, room: f64) {
    for &(against, limit) in results.scenario.targets {
        let figure = match against {
            "" => limit,
            key => match results.figure_of(key) {
                Some(theirs) => theirs * limit,
                None => continue,
            },
        };
        let at = figure * scale;
        if at <= room {
            let _ = write!(
                out,
                "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#e12d39\" stroke-width=\"1.5\" \
                 stroke-dasharray=\"2 2\"/>",
                x + at,
                y - 4.0,
                y + BAR + 4.0
            );
        }
    }
}
