//! Answers along a genome: BED, bedGraph, bigWig.
//!
//! Overlapping windows cannot stand side by side in a bedGraph or a bigWig: there, a base has the mean over the windows that cover it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;

use tatabox_core::io::bigwig::{self, Stretch};
use tatabox_core::io::whole;
use tatabox_core::labelled::Task;
use tatabox_core::names::nearest;

use super::journal::{Journal, Rows};
use super::windows::{Asked, Run, Window};
use super::{Inputs, Request};
use crate::error::{Error, Result};

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table with tabs.
    Tsv,
    /// A table with commas.
    Csv,
    /// Windows from a threshold on, BED with six columns.
    Bed,
    /// The mean over the windows that cover a base, as text.
    BedGraph,
    /// The same, indexed.
    BigWig,
}

impl Format {
    /// The form that a file's name asks for.
    ///
    /// # Errors
    /// Its ending is none that is known.
    pub fn of(path: &Path) -> Result<Format> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        Ok(match ending.as_str() {
            "tsv" | "txt" => Format::Tsv,
            "csv" => Format::Csv,
            "bed" => Format::Bed,
            "bedgraph" | "bg" => Format::BedGraph,
            "bigwig" | "bw" => Format::BigWig,
            _ => {
                let expected = "it must end with .tsv, .csv, .bed, .bedgraph or .bw".into();
                let hint = "say what it is: `--format tsv`".into();
                let got = format!("`{}`", path.display());
                return Err(tatabox_core::Error::Value { key: "--output".into(), got, expected, hint }.into());
            }
        })
    }

    fn is_track(self) -> bool {
        !matches!(self, Format::Tsv | Format::Csv)
    }
}

/// The output whose numbers a track shows, by its index.
///
/// # Errors
/// The form does not fit the inputs; no output is named where there are several; the name is none of them; a regression has no threshold.
pub(super) fn shown(request: &Request<'_>, task: Task, outputs: &[String]) -> Result<usize> {
    let refuse = |key: &str, got: &str, expected: String, hint: String| -> Error {
        tatabox_core::Error::Value { key: key.into(), got: got.into(), expected, hint }.into()
    };
    if request.format != Format::Bed && request.threshold.is_some() {
        let expected = "only BED has a threshold: the other forms have every answer".into();
        return Err(refuse("--threshold", "given", expected, "leave it away, or write BED: `-o windows.bed`".into()));
    }
    if !request.format.is_track() {
        return match request.shown {
            None => Ok(0),
            Some(name) => {
                let expected = "a table has a column for each of them".into();
                let hint = "leave it away, or write a track: `-o scores.bedgraph`".into();
                Err(refuse("--class", &format!("`{name}`"), expected, hint))
            }
        };
    }
    if matches!(request.inputs, Inputs::Sequences { .. }) {
        let expected = "BED, bedGraph and bigWig need places on a genome".into();
        let hint = "give a genome and `--windows 300`, or write a table: `-o scores.tsv`".into();
        return Err(refuse("--format", "a track", expected, hint));
    }
    if request.format == Format::Bed && task == Task::Regression && request.threshold.is_none() {
        let expected = "a regression has no border between yes and no".into();
        return Err(refuse(
            "--threshold",
            "not given",
            expected,
            "give the number from which windows are written".into(),
        ));
    }
    match (request.shown, outputs.len()) {
        (Some(name), _) => outputs.iter().position(|output| output == name).ok_or_else(|| {
            let near = nearest(name, outputs.iter().map(String::as_str));
            let expected = format!("the model knows {}", outputs.join(", "));
            refuse(
                "--class",
                &format!("`{name}`"),
                expected,
                near.map_or(String::new(), |near| format!("write `--class {near}`")),
            )
        }),
        (None, 1) => Ok(0),
        (None, 2) if task == Task::Binary => Ok(1),
        (None, _) => {
            let expected = format!("a track shows one of {}", outputs.join(", "));
            Err(refuse("--class", "not given", expected, format!("write `--class {}`", outputs[0])))
        }
    }
}

/// Writes a track.
///
/// # Errors
/// It cannot be written, or the answers cannot be read.
pub(super) fn write(
    request: &Request<'_>,
    task: Task,
    outputs: &[String],
    shown: usize,
    asked: &Asked<'_>,
    journal: &mut Journal,
) -> Result<()> {
    match request.format {
        Format::BigWig => big_wig(request, shown, asked, journal),
        Format::BedGraph => {
            let values = Values { rows: journal.rows(0)?, shown };
            let stretches = Means::over(asked.windows(&asked.runs), values);
            lines(request.output, stretches, |out, stretch| {
                let contig = &asked.genome.contigs()[stretch.contig].name;
                writeln!(out, "{contig}\t{}\t{}\t{}", stretch.start, stretch.end, stretch.value)
            })
        }
        _ => bed(request, task, &outputs[shown], shown, asked, journal),
    }
}

fn lines<T>(
    path: &Path,
    items: impl Iterator<Item = Result<T>>,
    line: impl Fn(&mut dyn Write, T) -> io::Result<()>,
) -> Result<()> {
    let mut failure = None;
    let done = whole::write(path, |out| {
        for item in items {
            match item {
                Ok(item) => line(out, item)?,
                Err(error) => {
                    let word = io::Error::other(error.to_string());
                    failure = Some(error);
                    return Err(word);
                }
            }
        }
        Ok(())
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(done?),
    }
}

/// The windows from the threshold on. BED's score is whole, from 0 to 1000: a thousand times a probability; of a regression, 0 for the lowest number of all
/// windows and 1000 for the highest.
fn bed(
    request: &Request<'_>,
    task: Task,
    name: &str,
    shown: usize,
    asked: &Asked<'_>,
    journal: &mut Journal,
) -> Result<()> {
    let (mut low, mut high) = (0.0, 1.0);
    if task == Task::Regression {
        (low, high) = (f32::INFINITY, f32::NEG_INFINITY);
        let mut values = Values { rows: journal.rows(0)?, shown };
        for _ in asked.windows(&asked.runs) {
            let value = values.next_value()?;
            (low, high) = (low.min(value), high.max(value));
        }
    }
    let threshold = request.threshold.unwrap_or(0.5);
    let score = |value: f32| match high > low {
        true => (1000.0 * (f64::from(value) - f64::from(low)) / (f64::from(high) - f64::from(low)))
            .round()
            .clamp(0.0, 1000.0),
        false => 0.0,
    };
    let name: String = name.chars().map(|letter| if letter.is_whitespace() { '_' } else { letter }).collect();
    let mut values = Values { rows: journal.rows(0)?, shown };
    let windows = asked.windows(&asked.runs).map(|window| Ok((window, values.next_value()?)));
    let kept = windows.filter(|one| one.as_ref().map_or(true, |(_, value)| f64::from(*value) >= threshold));
    lines(request.output, kept, |out, (window, value): (Window, f32)| {
        let contig = &asked.genome.contigs()[window.contig].name;
        writeln!(out, "{contig}\t{}\t{}\t{name}\t{}\t.", window.start, window.end, score(value))
    })
}

/// A bigWig has its contigs in the order of their names.
fn big_wig(request: &Request<'_>, shown: usize, asked: &Asked<'_>, journal: &mut Journal) -> Result<()> {
    let contigs = asked.genome.contigs();
    let mut order: Vec<usize> = (0..contigs.len()).collect();
    order.sort_by_key(|&contig| &contigs[contig].name);
    let named: Vec<(&str, u64)> =
        order.iter().map(|&contig| (contigs[contig].name.as_str(), contigs[contig].bases)).collect();
    let mut parts = Vec::new();
    for (place, &contig) in order.iter().enumerate() {
        let first = asked.runs.partition_point(|run| run.contig < contig);
        let runs: &[Run] = &asked.runs[first..asked.runs.partition_point(|run| run.contig <= contig)];
        if let Some(run) = runs.first() {
            parts.push((place, runs, Values { rows: journal.rows(run.first)?, shown }));
        }
    }
    let stretches = parts.into_iter().flat_map(|(place, runs, values)| {
        Means::over(asked.windows(runs), values).map(move |stretch| Ok(Stretch { contig: place, ..stretch? }))
    });
    // An error of reading passes through the writer, which knows only its own kind.
    let mut failure = None;
    let stretches = stretches.map(|stretch: Result<Stretch>| {
        stretch.map_err(|error| {
            let word = tatabox_core::Error::Data { what: error.to_string(), hint: String::new() };
            failure = Some(error);
            word
        })
    });
    let done = bigwig::write(request.output, &named, asked.config.step.min(asked.config.window), stretches);
    match failure {
        Some(error) => Err(error),
        None => Ok(done?),
    }
}

/// The numbers of one output.
struct Values {
    rows: Rows,
    shown: usize,
}

impl Values {
    fn next_value(&mut self) -> Result<f32> {
        Ok(self.rows.next_row()?[self.shown])
    }
}

/// Stretches between the borders of windows, each with the mean over the windows that cover it. Windows come in the order of their starts.
struct Means<I> {
    windows: I,
    values: Values,
    /// The window that comes next.
    next: Option<(Window, f32)>,
    /// Those that reach beyond `at`, the first to end first.
    open: VecDeque<(Window, f32)>,
    at: u64,
}

impl<I: Iterator<Item = Window>> Means<I> {
    fn over(windows: I, values: Values) -> Means<I> {
        Means { windows, values, next: None, open: VecDeque::new(), at: 0 }
    }

    fn pull(&mut self) -> Result<()> {
        if self.next.is_none()
            && let Some(window) = self.windows.next()
        {
            self.next = Some((window, self.values.next_value()?));
        }
        Ok(())
    }
}

impl<I: Iterator<Item = Window>> Iterator for Means<I> {
    type Item = Result<Stretch>;

    fn next(&mut self) -> Option<Result<Stretch>> {
        loop {
            if let Err(error) = self.pull() {
                return Some(Err(error));
            }
            // Windows that begin here, or where nothing is open.
            if let Some((window, value)) = self.next {
                let here =
                    self.open.front().is_none_or(|(open, _)| open.contig == window.contig && window.start == self.at);
                if here {
                    self.at = window.start;
                    self.open.push_back((window, value));
                    self.next = None;
                    continue;
                }
            }
            let (first, _) = *self.open.front()?;
            let until = match self.next {
                Some((window, _)) if window.contig == first.contig => first.end.min(window.start),
                _ => first.end,
            };
            let sum: f64 = self.open.iter().map(|(_, value)| f64::from(*value)).sum();
            let value = (sum / self.open.len() as f64) as f32;
            let stretch = Stretch { contig: first.contig, start: self.at, end: until, value };
            self.at = until;
            while self.open.front().is_some_and(|(window, _)| window.end <= until) {
                self.open.pop_front();
            }
            return Some(Ok(stretch));
        }
    }
}
