//! A report as lines for a terminal: no colour, no escape sequences, tables aligned.

use super::number::{decimals, plain};
use super::{Bars, Body, Cell, Curves, Renderer, Report, Table};

/// Columns of a sparkline and of the longest bar.
const COLUMNS: usize = 40;

/// The report as text. Control characters in names are shown as `?`, so that no name can drive the terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text;

impl Renderer for Text {
    fn render(&self, report: &Report) -> String {
        let mut out = format!("{}\n", report.title);
        if !report.subtitle.is_empty() {
            out += &format!("{}\n", report.subtitle);
        }
        for section in &report.sections {
            out += &format!("\n{}\n{}\n", section.title, "─".repeat(section.title.chars().count()));
            out += &match &section.body {
                Body::Facts { facts } => {
                    let rows = facts.iter().map(|fact| vec![Cell::text(&fact.name), Cell::text(&fact.value)]);
                    aligned(&[], &rows.collect::<Vec<_>>())
                }
                Body::Table(Table { columns, rows }) => aligned(columns, rows),
                Body::Curves(curves) => self::curves(curves),
                Body::Bars(bars) => self::bars(bars),
                Body::Text { paragraphs } => paragraphs.join("\n\n") + "\n",
            };
            if !section.note.is_empty() {
                out += &format!("{}\n", section.note);
            }
        }
        out.chars().map(|letter| if letter.is_control() && letter != '\n' { '?' } else { letter }).collect()
    }
}

/// A table with columns as wide as their widest cell, numbers to the right.
fn aligned(columns: &[String], rows: &[Vec<Cell>]) -> String {
    let number = rows.iter().map(Vec::len).max().unwrap_or(0).max(columns.len());
    let shown: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(Cell::shown).collect()).collect();
    let width = |column: usize| {
        let cells = shown.iter().filter_map(|row| row.get(column)).chain(columns.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..number).map(width).collect();
    let right: Vec<bool> =
        (0..number).map(|column| rows.iter().any(|row| row.get(column).is_some_and(Cell::is_number))).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if right[column] { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_string() + "\n"
    };
    let mut out = if columns.is_empty() { String::new() } else { line(columns) };
    shown.iter().for_each(|row| out += &line(row));
    out
}

/// A line a curve, a level and an event.
fn curves(curves: &Curves) -> String {
    let Table { columns, rows } = sparkline_rows(curves);
    let mut out = aligned(&columns, &rows);
    curves.levels.iter().for_each(|level| out += &format!("{}: {} throughout\n", level.name, plain(level.y)));
    curves.events.iter().for_each(|event| out += &format!("{} {}: {}\n", curves.x_label, plain(event.x), event.label));
    out
}

/// A row a curve: its shape, where it starts and ends, and its lowest point.
pub(super) fn sparkline_rows(curves: &Curves) -> Table {
    let finite =
        || curves.series.iter().flat_map(|series| &series.points).map(|point| point.1).filter(|y| y.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
    let y_decimals = decimals(finite());
    let x_decimals = decimals(curves.series.iter().flat_map(|series| &series.points).map(|point| point.0));
    let rows = curves.series.iter().map(|series| {
        let points: Vec<(f64, f64)> = series.points.iter().copied().filter(|point| point.1.is_finite()).collect();
        let lowest = points.iter().copied().min_by(|one, other| one.1.total_cmp(&other.1));
        let ends =
            [points.first().map(|point| point.1), points.last().map(|point| point.1), lowest.map(|point| point.1)];
        let [first, last, low_y] = ends.map(|y| y.map_or(Cell::Missing, |y| Cell::number(y, y_decimals)));
        let at = lowest.map_or(Cell::Missing, |lowest| Cell::number(lowest.0, x_decimals));
        vec![Cell::text(&series.name), first, last, low_y, at, Cell::text(sparkline(&points, low, high))]
    });
    let columns = ["", "first", "last", "lowest", &format!("at {}", curves.x_label), &curves.y_label].map(String::from);
    Table { columns: columns.to_vec(), rows: rows.collect() }
}

/// The mean of each of up to 40 equal groups of points as a block of eighths.
fn sparkline(points: &[(f64, f64)], low: f64, high: f64) -> String {
    let columns = points.len().min(COLUMNS);
    let block = |column: usize| {
        let group = &points[column * points.len() / columns..(column + 1) * points.len() / columns];
        let mean = group.iter().map(|point| point.1).sum::<f64>() / group.len() as f64;
        let eighth = if high > low { (7.0 * (mean - low) / (high - low)).round() } else { 3.0 };
        ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][eighth.clamp(0.0, 7.0) as usize]
    };
    (0..columns).map(block).collect()
}

/// A line a bar.
fn bars(bars: &Bars) -> String {
    let longest = bars.bars.iter().map(|bar| bar.value.abs()).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let rows = bars.bars.iter().map(|bar| {
        let length =
            if longest > 0.0 && bar.value.is_finite() { COLUMNS as f64 * bar.value.abs() / longest } else { 0.0 };
        vec![
            Cell::text(&bar.name),
            Cell::number(bar.value, bars.decimals),
            Cell::text("█".repeat(length.round() as usize)),
        ]
    });
    format!("{}\n{}", bars.label, aligned(&[], &rows.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::super::{Bar, Event, Level, Section, Series};
    use super::*;

    #[test]
    fn terminal_lines_are_aligned_and_plain() {
        let table = Table {
            columns: vec!["model".into(), "nats".into()],
            rows: vec![
                vec![Cell::text("kmer-span"), Cell::number(4.25, 3)],
                vec![Cell::text("µ\x1b[31m"), Cell::number(12.0, 3)],
            ],
        };
        let points = (0..100).map(|step| (f64::from(step), 8.0 - 0.05 * f64::from(step))).collect();
        let curves = Curves {
            x_label: "step".into(),
            y_label: "nats".into(),
            series: vec![Series { name: "loss".into(), points }, Series { name: "empty".into(), points: vec![] }],
            levels: vec![Level { name: "chain".into(), y: 4.25 }],
            events: vec![Event { x: 50.0, label: "phase 2 starts".into() }],
            ..Curves::default()
        };
        let bars = Bars {
            label: "tokens/s".into(),
            bars: vec![
                Bar { name: "us".into(), value: 2_000.0, spread: None },
                Bar { name: "them".into(), value: 500.0, spread: None },
            ],
            decimals: 0,
        };
        let report = Report {
            title: "Title".into(),
            subtitle: "sub".into(),
            sections: vec![
                Section::new("t", "Models", Body::Table(table)).with_note("lower is better"),
                Section::new("c", "Loss", Body::Curves(curves)),
                Section::new("b", "Speed", Body::Bars(bars)),
            ],
        };
        let expected = "\
Title
sub

Models
──────
model        nats
kmer-span   4.250
µ?[31m     12.000
lower is better

Loss
────
        first    last  lowest  at step  nats
loss   8.0000  3.0500  3.0500       99  ███▇▇▇▇▇▇▆▆▆▆▆▅▅▅▅▅▅▄▄▄▄▄▄▃▃▃▃▃▂▂▂▂▂▂▁▁▁
empty       –       –       –        –
chain: 4.2500 throughout
step 50: phase 2 starts

Speed
─────
tokens/s
us    2,000  ████████████████████████████████████████
them    500  ██████████
";
        let text = Text.render(&report);
        assert!(text == expected, "{text}");
    }
}
