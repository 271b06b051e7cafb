//! Results as pages to look at: what a report holds, and the renderers that show it.
//!
//! A [`Report`] is plain values; [`Html`] makes one self-contained page of it, [`Json`] an object with the keys of the types below,
//! [`Text`] lines for a terminal, [`Markdown`] a text for a repository or a paper's draft, and [`Latex`] its tables for the paper.

mod curve;
mod figure;
mod html;
mod latex;
mod legend;
mod markdown;
mod number;
mod text;

use serde::Serialize;

use crate::stats::Summary;

pub use html::Html;
pub use latex::Latex;
pub use markdown::Markdown;
pub use text::Text;

/// A page of results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What it is about.
    pub title: String,
    /// One line below the title; may be empty.
    pub subtitle: String,
    /// Its parts, in order.
    pub sections: Vec<Section>,
}

/// A part of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Section {
    /// Its name in links and in JSON; letters, digits and `-`, unique in the report.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// What the reader should know of it: units, what is better, how it was measured; may be empty.
    pub note: String,
    /// What it shows.
    pub body: Body,
}

impl Section {
    /// A section without a note.
    pub fn new(id: &str, title: &str, body: Body) -> Self {
        Self { id: id.into(), title: title.into(), note: String::new(), body }
    }

    /// The same section with a note.
    pub fn with_note(self, note: &str) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// What a section shows; in JSON its `kind` is `facts`, `table`, `curves`, `bars` or `text`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// Names and their values.
    Facts {
        /// In order.
        facts: Vec<Fact>,
    },
    /// A table.
    Table(Table),
    /// Curves over a common x axis.
    Curves(Curves),
    /// Bars to compare.
    Bars(Bars),
    /// Paragraphs.
    Text {
        /// In order.
        paragraphs: Vec<String>,
    },
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fact {
    /// The name.
    pub name: String,
    /// The value, ready to read.
    pub value: String,
}

impl Fact {
    /// A fact.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A table; each row has a cell a column.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Table {
    /// Headings.
    pub columns: Vec<String>,
    /// Cells, `[rows][columns]`.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table; in JSON a string, a number or null.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Words, aligned to the left.
    Text(String),
    /// A number, aligned to the right.
    Number(#[serde(serialize_with = "number::serialize")] Number),
    /// Nothing to say; shown as a dash.
    Missing,
}

/// A number and how many decimals of it are shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// The number; one that is not finite is shown as a dash and is null in JSON.
    pub value: f64,
    /// Decimals shown.
    pub decimals: usize,
}

impl Cell {
    /// A cell of words.
    pub fn text(text: impl Into<String>) -> Self {
        Cell::Text(text.into())
    }

    /// A cell with a number and the decimals to show.
    pub fn number(value: f64, decimals: usize) -> Self {
        Cell::Number(Number { value, decimals })
    }

    /// A difference with its sign, also where it is above 0.
    pub fn signed(value: f64, decimals: usize) -> Self {
        let text = format!("{value:+.decimals$}");
        let zero = text.chars().all(|letter| !letter.is_ascii_digit() || letter == '0');
        Cell::Text(if zero { format!("{:.decimals$}", 0.0) } else { text.replace('-', "−") })
    }

    /// The mean of several values and their standard deviation, where there is one: `0.612 ± 0.034`.
    pub fn mean_sd(summary: &Summary, decimals: usize) -> Self {
        let shown = |value: f64| format!("{value:.decimals$}").replace('-', "−");
        Cell::Text(match summary.sd {
            Some(sd) => format!("{} ± {}", shown(summary.mean), shown(sd)),
            None => shown(summary.mean),
        })
    }

    /// What is shown.
    pub fn shown(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Number(number) if number.value.is_finite() => number::grouped(number.value, number.decimals),
            Cell::Number(_) | Cell::Missing => "–".into(),
        }
    }

    /// Whether it is aligned to the right.
    fn is_number(&self) -> bool {
        matches!(self, Cell::Number(_))
    }
}

/// Curves over a common x axis.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Curves {
    /// What x is, with its unit.
    pub x_label: String,
    /// Whether x is drawn on a logarithmic axis, marked at the points of the curves; every x is then above 0.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub x_log: bool,
    /// What y is, with its unit.
    pub y_label: String,
    /// The curves.
    pub series: Vec<Series>,
    /// Single runs behind the curves, drawn thin in the colour of theirs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repeats: Vec<Repeat>,
    /// Horizontal lines that the curves are held against.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<Level>,
    /// Vertical markers.
    pub events: Vec<Event>,
}

/// A named curve.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Points `(x, y)`, x increasing; the line is broken where y is not finite.
    pub points: Vec<(f64, f64)>,
}

/// One of the runs whose mean is a curve.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Repeat {
    /// The index of that curve.
    pub series: usize,
    /// Points `(x, y)`, as those of a curve.
    pub points: Vec<(f64, f64)>,
}

/// A value of y that does not depend on x.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Its name in the legend.
    pub name: String,
    /// The value; one that is not finite is listed without a line.
    pub y: f64,
}

/// A vertical marker on the x axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Where.
    pub x: f64,
    /// What happened there.
    pub label: String,
}

/// Horizontal bars to compare, from zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Bars {
    /// What the length of a bar is, with its unit.
    pub label: String,
    /// The bars, from top to bottom.
    pub bars: Vec<Bar>,
    /// Decimals shown.
    pub decimals: usize,
}

/// A bar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// Its length; one that is not finite is listed without a bar.
    pub value: f64,
    /// A standard deviation, drawn as a line across its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
}

impl Bar {
    /// The standard deviation that is drawn; 0 for none.
    fn spread(&self) -> f64 {
        self.spread.filter(|spread| spread.is_finite()).unwrap_or(0.0)
    }
}

/// Turns a report into a document.
pub trait Renderer {
    /// The whole document.
    fn render(&self, report: &Report) -> String;
}

/// The report as one JSON object: its keys are the fields of the types of this module; numbers that are not finite are null.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Renderer for Json {
    fn render(&self, report: &Report) -> String {
        // Strings and numbers alone: nothing here can fail.
        serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign_and_means_their_spread() {
        let shown = |value: f64| Cell::signed(value, 2).shown();
        assert_eq!([shown(0.125), shown(-0.5), shown(-0.001), shown(0.0)], ["+0.12", "−0.50", "0.00", "0.00"]);
        let of = |values: &[f64]| Cell::mean_sd(&Summary::of(values).unwrap(), 1).shown();
        assert_eq!([of(&[-1.0, 3.0]), of(&[-0.5])], ["1.0 ± 2.8", "−0.5"]);
    }

    #[test]
    fn json_has_the_keys_of_the_types() {
        let curves = Curves {
            x_label: "step".into(),
            x_log: false,
            y_label: "nats".into(),
            series: vec![Series { name: "loss".into(), points: vec![(0.0, 8.5), (10.0, f64::NAN)] }],
            repeats: vec![Repeat { series: 0, points: vec![(0.0, 8.0)] }],
            levels: vec![Level { name: "chain".into(), y: 4.5 }],
            events: vec![Event { x: 5.0, label: "phase 2 starts".into() }],
        };
        let table = Table {
            columns: vec!["model".into(), "loss".into()],
            rows: vec![
                vec![Cell::text("a"), Cell::number(1.5, 2)],
                vec![Cell::Missing, Cell::number(f64::INFINITY, 2)],
            ],
        };
        let report = Report {
            title: "run".into(),
            subtitle: String::new(),
            sections: vec![
                Section::new("loss", "Loss", Body::Curves(curves)).with_note("lower is better"),
                Section::new("models", "Models", Body::Table(table)),
                Section::new("facts", "Facts", Body::Facts { facts: vec![Fact::new("seed", "1")] }),
            ],
        };
        let value: serde_json::Value = serde_json::from_str(&Json.render(&report)).unwrap();
        let expected = serde_json::json!({
            "title": "run",
            "subtitle": "",
            "sections": [
                {"id": "loss", "title": "Loss", "note": "lower is better", "body": {
                    "kind": "curves", "x_label": "step", "y_label": "nats",
                    "series": [{"name": "loss", "points": [[0.0, 8.5], [10.0, null]]}],
                    "repeats": [{"series": 0, "points": [[0.0, 8.0]]}],
                    "levels": [{"name": "chain", "y": 4.5}],
                    "events": [{"x": 5.0, "label": "phase 2 starts"}]}},
                {"id": "models", "title": "Models", "note": "", "body": {
                    "kind": "table", "columns": ["model", "loss"], "rows": [["a", 1.5], [null, null]]}},
                {"id": "facts", "title": "Facts", "note": "", "body": {"kind": "facts", "facts": [{"name": "seed", "value": "1"}]}},
            ],
        });
        assert_eq!(value, expected);
    }
}
