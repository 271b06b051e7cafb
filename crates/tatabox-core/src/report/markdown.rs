//! A report as Markdown: its words and tables, for a repository, an issue or the draft of a paper. Plots stay in the page.

use super::text::sparkline_rows;
use super::{Bars, Body, Cell, Renderer, Report, Table};

/// The report as Markdown. Curves become a table of where they start, end, and are lowest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Markdown;

impl Renderer for Markdown {
    fn render(&self, report: &Report) -> String {
        let mut out = format!("# {}\n", escaped(&report.title));
        if !report.subtitle.is_empty() {
            out += &format!("\n{}\n", escaped(&report.subtitle));
        }
        for section in &report.sections {
            out += &format!("\n## {}\n\n", escaped(&section.title));
            if !section.note.is_empty() {
                out += &format!("{}\n\n", marked(&section.note));
            }
            out += &match &section.body {
                Body::Facts { facts } => {
                    let rows = facts.iter().map(|fact| vec![Cell::text(&fact.name), Cell::text(&fact.value)]);
                    table(&Table { columns: vec![String::new(); 2], rows: rows.collect() })
                }
                Body::Table(one) => table(one),
                Body::Curves(curves) => table(&sparkline_rows(curves)),
                Body::Bars(bars) => table(&bar_rows(bars)),
                Body::Text { paragraphs } => {
                    let paragraphs: Vec<String> = paragraphs.iter().map(|paragraph| escaped(paragraph)).collect();
                    paragraphs.join("\n\n") + "\n"
                }
            };
        }
        out
    }
}

/// A table of pipes, numbers to the right.
fn table(table: &Table) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let right = |column: usize| table.rows.iter().any(|row| row.get(column).is_some_and(Cell::is_number));
    let rule = (0..table.columns.len()).map(|column| if right(column) { "---:" } else { "---" }.to_string());
    let mut out = line(table.columns.iter().map(|column| escaped(column)).collect()) + &line(rule.collect());
    for row in &table.rows {
        out += &line(row.iter().map(|cell| escaped(&cell.shown())).collect());
    }
    out
}

fn bar_rows(bars: &Bars) -> Table {
    let rows = bars.bars.iter().map(|bar| vec![Cell::text(&bar.name), Cell::number(bar.value, bars.decimals)]);
    Table { columns: vec![String::new(), bars.label.clone()], rows: rows.collect() }
}

/// A note, with what stands between backticks as code.
fn marked(note: &str) -> String {
    if !note.matches('`').count().is_multiple_of(2) {
        return escaped(note);
    }
    let part = |(at, part): (usize, &str)| {
        if at % 2 == 0 { escaped(part) } else { format!("`{}`", part.replace(char::is_control, " ")) }
    };
    note.split('`').enumerate().map(part).collect()
}

/// Text on one line, without what Markdown or the HTML in it would read as marks.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' => out.extend(['\\', letter]),
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Bar, Curves, Fact, Section, Series};
    use super::*;

    #[test]
    fn tables_keep_their_columns_whatever_stands_in_them() {
        let models = Table {
            columns: vec!["model".into(), "nats".into()],
            rows: vec![vec![Cell::text("a|b\n*c*"), Cell::number(4.25, 2)], vec![Cell::text("uniform"), Cell::Missing]],
        };
        let curves = Curves {
            x_label: "step".into(),
            y_label: "nats".into(),
            series: vec![Series { name: "loss".into(), points: vec![(0.0, 8.0), (10.0, 7.5)] }],
            ..Curves::default()
        };
        let bars =
            Bars { label: "bits".into(), bars: vec![Bar { name: "us".into(), value: 1.5, spread: None }], decimals: 1 };
        let report = Report {
            title: "A <b>".into(),
            subtitle: "three seeds".into(),
            sections: vec![
                Section::new("m", "Models", Body::Table(models)).with_note("lower is better"),
                Section::new("c", "Loss", Body::Curves(curves)),
                Section::new("b", "Bits", Body::Bars(bars)),
                Section::new("f", "Facts", Body::Facts { facts: vec![Fact::new("seed", "1")] }),
                Section::new("t", "Words", Body::Text { paragraphs: vec!["one".into(), "two".into()] }),
            ],
        };
        let expected = "\
# A \\<b\\>

three seeds

## Models

lower is better

| model | nats |
| --- | ---: |
| a\\|b \\*c\\* | 4.25 |
| uniform | – |

## Loss

|  | first | last | lowest | at step | nats |
| --- | ---: | ---: | ---: | ---: | --- |
| loss | 8.0000 | 7.5000 | 7.5000 | 10 | █▁ |

## Bits

|  | bits |
| --- | ---: |
| us | 1.5 |

## Facts

|  |  |
| --- | --- |
| seed | 1 |

## Words

one

two
";
        let text = Markdown.render(&report);
        assert!(text == expected, "{text}");
    }
}
