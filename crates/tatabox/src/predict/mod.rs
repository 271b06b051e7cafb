//! Prediction: what a fine-tuned model says of sequences, or of the windows of a genome.
//!
//! ```text
//! sequences, windows ─▶ chunks ─▶ model ─▶ journal on disk ─▶ table, BED, bedGraph, bigWig
//! ```
//!
//! Answers go to a journal beside the output, chunk by chunk; the output is written from it, whole, at the end. A prediction that was killed goes on behind the
//! last chunk that is safe, and ends with the same bytes.

mod journal;
mod labels;
mod page;
mod sequences;
mod spool;
mod table;
mod track;
mod windows;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};
use tatabox_core::assess::{Assessment, assess};
use tatabox_core::genome::Genome;
use tatabox_core::interval::Interval;
use tatabox_core::io::whole;
use tatabox_core::labelled::{ReadOptions, Target, Task};
use tatabox_core::seq;

use crate::error::{Error, Result};
use crate::finetune::{Classifier, Query};
use journal::Journal;
use spool::Spool;

pub use track::Format;
pub use windows::WindowConfig;

/// Bases of a chunk, about: what is computed again after a kill, and how long a stop waits.
const CHUNK: usize = 1 << 16;

/// What can be asked.
pub trait Model {
    /// The kind of its answers.
    fn task(&self) -> Task;

    /// Names of the classes, labels or target numbers.
    fn outputs(&self) -> &[String];

    /// The fewest bases that are a token, the k of its k-mers.
    fn shortest(&self) -> usize;

    /// Whether it answers to pairs of sequences, and to nothing else.
    fn pairs(&self) -> bool {
        false
    }

    /// The answers, `[queries][outputs]`: probabilities of the classes or of each label, or numbers. The answer to one query does not depend on the others.
    ///
    /// # Errors
    /// A query does not fit the model.
    fn predict(&mut self, queries: &[Query<'_>]) -> Result<Vec<Vec<f32>>>;
}

impl Model for Classifier {
    fn task(&self) -> Task {
        Classifier::task(self)
    }

    fn outputs(&self) -> &[String] {
        Classifier::outputs(self)
    }

    fn pairs(&self) -> bool {
        Classifier::pairs(self)
    }

    fn shortest(&self) -> usize {
        let tokenizer = self.windows().tokenizer();
        (1..tokenizer.k()).find(|&bases| tokenizer.tokens_of(bases) > 0).unwrap_or(tokenizer.k())
    }

    fn predict(&mut self, queries: &[Query<'_>]) -> Result<Vec<Vec<f32>>> {
        Classifier::predict(self, queries)
    }
}

/// What is asked of.
pub enum Inputs<'a> {
    /// Files of sequences, one after another.
    Sequences {
        /// FASTA, tables, JSON lines, BED with a genome.
        paths: &'a [PathBuf],
        /// How they are read.
        options: &'a ReadOptions,
    },
    /// Windows of a genome.
    Windows {
        /// The genome.
        genome: &'a Genome,
        /// Which windows.
        config: WindowConfig,
        /// Where: all of it, or within these regions.
        regions: Option<&'a [Interval]>,
    },
}

/// What is wanted.
pub struct Request<'a> {
    /// What is asked of.
    pub inputs: Inputs<'a>,
    /// The file to write.
    pub output: &'a Path,
    /// Its form.
    pub format: Format,
    /// The class, label or target whose numbers a track shows; none for the only one, or the second of two classes.
    pub shown: Option<&'a str>,
    /// For BED: the number from which a window is written; none for 0.5, the border between yes and no.
    pub threshold: Option<f64>,
    /// What the model is called on a page.
    pub name: String,
    /// What tells one model, and the way it is asked, from another: a prediction goes on with the same one only.
    pub model: Value,
    /// Go on where an earlier prediction of the same stopped.
    pub resume: bool,
}

/// How far a prediction is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Sequences or windows whose answers are safe.
    pub done: u64,
    /// All of them.
    pub total: u64,
    /// How many a second, in this process.
    pub per_second: f64,
    /// Seconds until the last one.
    pub seconds_left: f64,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The file.
    pub output: PathBuf,
    /// False where it was stopped before the end: there is no file then.
    pub finished: bool,
    /// Sequences or windows.
    pub records: u64,
    /// Those of them that are safe.
    pub done: u64,
    /// Sequences that hold no k-mer of known bases and have no answer.
    pub unanswered: u64,
    /// Windows that were left out because they touch an N.
    pub windows_over_n: u64,
    /// How many a second, in this process.
    pub per_second: f64,
    /// What should be known of the input.
    pub notes: Vec<String>,
    /// How good the answers are, where the input has labels.
    pub assessment: Option<Assessment>,
    /// The page that shows it.
    pub report: Option<PathBuf>,
}

/// What is asked, in chunks.
trait Asked {
    /// All sequences or windows.
    fn total(&self) -> u64;

    /// What identifies them, for the journal.
    fn identity(&self) -> Value;

    /// The chunks from a record on, which begins one.
    fn chunks<'a>(&'a self, from: u64) -> Result<Box<dyn Iterator<Item = Result<Vec<Item>>> + 'a>>;
}

/// A sequence or window of a chunk.
#[derive(Clone, Debug, Default, PartialEq)]
struct Item {
    id: String,
    codes: Vec<u8>,
    second: Option<Vec<u8>>,
}

/// Predicts, to the end or until `stop` is set; `watch` hears of it after every chunk.
///
/// # Errors
/// The inputs cannot be read or do not fit the model; the output's form does not fit the inputs; an unfinished prediction lies there and is not to be resumed, or
/// is another one; nothing can be written.
pub fn predict(
    model: &mut dyn Model,
    request: &Request<'_>,
    watch: &mut dyn FnMut(&Progress),
    stop: &AtomicBool,
) -> Result<Outcome> {
    let (task, outputs) = (model.task(), model.outputs().to_vec());
    let shown = track::shown(request, task, &outputs)?;
    check_folder(request.output)?;
    match &request.inputs {
        Inputs::Sequences { paths, options } => {
            let spool = Spool::of(paths, request.output, &mut io::stdin())?;
            let asked = sequences::Asked::of(&spool.paths, options, model)?;
            let mut outcome = Outcome { unanswered: asked.unanswered, notes: asked.notes(), ..begun(request, &asked) };
            if let Some(mut journal) = answer(model, request, &asked, &mut outcome, watch, stop)? {
                if let Some(targets) = &asked.targets {
                    let assessment = assessed(task, &outputs, targets, &mut journal)?;
                    outcome.report = Some(page::write(request, &assessment, &outcome.notes)?);
                    outcome.assessment = Some(assessment);
                }
                // The output comes last: where it is, everything is.
                table::sequences(request, task, &outputs, &asked, &mut journal)?;
                journal.remove()?;
            }
            Ok(outcome)
        }
        Inputs::Windows { genome, config, regions } => {
            if model.pairs() {
                let what = "the model learnt from pairs of sequences, and a window is one".to_string();
                let hint = "give a table with both columns: `--sequence-column A,B`, without `--windows`".to_string();
                return Err(tatabox_core::Error::Data { what, hint }.into());
            }
            let asked = windows::Asked::of(genome, *config, *regions, model.shortest())?;
            let mut outcome = Outcome { windows_over_n: asked.over_n, notes: asked.notes(), ..begun(request, &asked) };
            if let Some(mut journal) = answer(model, request, &asked, &mut outcome, watch, stop)? {
                match request.format {
                    Format::Tsv | Format::Csv => table::windows(request, task, &outputs, &asked, &mut journal)?,
                    _ => track::write(request, task, &outputs, shown, &asked, &mut journal)?,
                }
                journal.remove()?;
            }
            Ok(outcome)
        }
    }
}

fn begun(request: &Request<'_>, asked: &dyn Asked) -> Outcome {
    Outcome {
        output: request.output.into(),
        finished: false,
        records: asked.total(),
        done: 0,
        unanswered: 0,
        windows_over_n: 0,
        per_second: 0.0,
        notes: Vec::new(),
        assessment: None,
        report: None,
    }
}

/// The folder of the output must be there before hours of work, not after.
fn check_folder(output: &Path) -> Result<()> {
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let what = "is no directory, and nothing can be written into it".into();
        return Err(Error::Directory { path: folder.into(), what, hint: "make it first, or change `-o`".into() });
    }
    if output.is_dir() {
        let what = "is a directory, not a file".into();
        return Err(Error::Directory { path: output.into(), what, hint: "name a file: `-o scores.tsv`".into() });
    }
    if whole::is_stream(output) {
        let what = "is no file, and a prediction keeps what it has so far beside its file".into();
        return Err(Error::Directory { path: output.into(), what, hint: "name a file: `-o scores.tsv`".into() });
    }
    Ok(())
}

/// All answers, safe in the journal; none where it was stopped.
fn answer(
    model: &mut dyn Model,
    request: &Request<'_>,
    asked: &dyn Asked,
    outcome: &mut Outcome,
    watch: &mut dyn FnMut(&Progress),
    stop: &AtomicBool,
) -> Result<Option<Journal>> {
    let identity = json!({
        "tatabox": env!("CARGO_PKG_VERSION"),
        "model": request.model,
        "input": asked.identity(),
    });
    let mut journal = Journal::open(request.output, &identity, model.outputs().len(), request.resume)?;
    let (start, before, total) = (Instant::now(), journal.records(), asked.total());
    outcome.done = before;
    let mut tell = |done: u64| {
        let per_second = (done - before) as f64 / start.elapsed().as_secs_f64().max(1e-9);
        watch(&Progress { done, total, per_second, seconds_left: (total - done) as f64 / per_second });
        per_second
    };
    if before < total {
        for chunk in asked.chunks(before)? {
            if stop.load(Ordering::Relaxed) {
                journal.sync()?;
                return Ok(None);
            }
            let rows = answers(model, &chunk?)?;
            journal.add(&rows)?;
            outcome.done = journal.records();
            outcome.per_second = tell(outcome.done);
        }
    }
    journal.sync()?;
    outcome.finished = true;
    Ok(Some(journal))
}

/// The answers to a chunk, in its order; those that the model cannot read have no number. Sequences of like length are asked side by side.
fn answers(model: &mut dyn Model, chunk: &[Item]) -> Result<Vec<Vec<f32>>> {
    let shortest = model.shortest();
    let mut order: Vec<usize> = (0..chunk.len()).filter(|&at| chunk[at].is_readable(shortest)).collect();
    order.sort_by_key(|&at| chunk[at].bases());
    let mut rows = vec![vec![f32::NAN; model.outputs().len()]; chunk.len()];
    let query = |at: &usize| {
        let Item { id, codes, second } = &chunk[*at];
        Query { id, codes, second: second.as_deref() }
    };
    let queries: Vec<Query<'_>> = order.iter().map(query).collect();
    for (&at, row) in order.iter().zip(model.predict(&queries)?) {
        rows[at] = row;
    }
    Ok(rows)
}

impl Item {
    fn bases(&self) -> usize {
        self.codes.len() + self.second.as_ref().map_or(0, Vec::len)
    }

    /// Whether each of its sequences holds so many known bases in a row.
    fn is_readable(&self, shortest: usize) -> bool {
        let holds = |codes: &[u8]| codes.split(|&code| code >= seq::UNKNOWN).any(|run| run.len() >= shortest);
        holds(&self.codes) && self.second.as_deref().is_none_or(holds)
    }
}

/// How good the answers are, where there are any.
fn assessed(task: Task, outputs: &[String], targets: &[Target], journal: &mut Journal) -> Result<Assessment> {
    let mut scores = Vec::with_capacity(targets.len());
    let mut measured = Vec::with_capacity(targets.len());
    let mut rows = journal.rows(0)?;
    for target in targets {
        let row = rows.next_row()?;
        if !row[0].is_nan() {
            scores.push(row.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>());
            measured.push(target);
        }
    }
    Ok(assess(task, outputs, &measured, &scores))
}

#[cfg(test)]
mod tests;
