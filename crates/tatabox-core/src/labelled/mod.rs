//! Labelled sequences: what fine-tuning learns from and benchmarks measure on.
//!
//! ```text
//! files ─▶ rows (file, fasta) ─▶ columns, labels ─▶ Labelled ─▶ card, audit, training
//! ```
//!
//! [`read`] takes what is there: GUE's and DNABERT's tables, DeepSTARR's FASTA beside its activities, tables of intervals with a genome, FASTA with the label in
//! the header, folders of classes, JSON lines, Parquet; plain or gzip. [`write()`] writes GUE's form, with a card.

mod card;
mod columns;
mod file;
mod folder;
mod headers;
mod kmers;
mod origins;
mod problem;
mod sequences;
mod split;
mod task;
mod write;

use serde::{Deserialize, Serialize};

use crate::genome::FileCard;
use crate::interval::Interval;
use crate::names::named;
use crate::seq::Composition;

pub use card::{Card, ClassCard, Lengths, Made, SplitCard, TargetCard};
pub use file::ReadOptions;
pub use folder::read;
pub use problem::{Problem, Severity};
pub use sequences::{Record, Said, Sequences, header_labels, target_of};
pub use split::{Division, divide};
pub use write::write;

/// What is asked of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Task {
    /// One of two classes.
    Binary,
    /// One of three classes or more.
    MultiClass,
    /// Any number of labels at once.
    MultiLabel,
    /// One number or several.
    Regression,
}

named!(
    Task,
    "task",
    Binary = "binary",
    MultiClass = "multi-class",
    MultiLabel = "multi-label",
    Regression = "regression"
);

/// A part of labelled data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SplitName {
    /// What is learnt from.
    Train,
    /// What choices are made on.
    Dev,
    /// What is measured on, once.
    Test,
    /// Data that was not split.
    All,
}

named!(SplitName, "split", Train = "train", Dev = "dev", Test = "test", All = "all");

/// The answer to a sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// The index of a class, in the order of `id2label`.
    Class(u32),
    /// Which labels hold, `[labels]`.
    Labels(Vec<bool>),
    /// The numbers, `[targets]`.
    Values(Vec<f64>),
}

impl Target {
    /// The class, where there is one.
    pub fn class(&self) -> Option<usize> {
        match self {
            Target::Class(class) => Some(*class as usize),
            _ => None,
        }
    }
}

/// A sequence and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Its name; may be empty.
    pub id: String,
    /// Base codes, `[bases]`.
    pub codes: Vec<u8>,
    /// The second sequence of a pair.
    pub second: Option<Vec<u8>>,
    /// The answer.
    pub target: Target,
    /// Where on a genome it was cut, where that is known.
    pub origin: Option<Interval>,
    /// Examples with one name belong together: they are never divided between splits.
    pub group: Option<String>,
}

impl Example {
    /// What it is called in messages: its number from 1, and its name where it has one.
    pub fn called(&self, at: usize) -> String {
        if self.id.is_empty() { format!("{}", at + 1) } else { format!("{} (`{}`)", at + 1, self.id) }
    }
}

/// A part of the data and what its letters were.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Which part.
    pub name: SplitName,
    /// The examples, in the order of the files.
    pub examples: Vec<Example>,
    /// The letters of all sequences.
    pub letters: Composition,
}

/// Labelled data: one task, in one to four parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// What is asked.
    pub task: Task,
    /// Names of the classes or labels, in the order of their indices; empty for regression.
    pub id2label: Vec<String>,
    /// Names of the numbers, for regression.
    pub targets: Vec<String>,
    /// The parts that have examples: train, dev, test, all.
    pub splits: Vec<Split>,
    /// The files it was read from.
    pub files: Vec<FileCard>,
    /// What was odd in them, counted.
    pub problems: Vec<Problem>,
}

impl Labelled {
    /// The examples of a part; none where it is not there.
    pub fn split(&self, name: SplitName) -> Option<&Split> {
        self.splits.iter().find(|split| split.name == name)
    }

    /// The names of a model's outputs: the classes or labels, or the numbers of a regression.
    pub fn outputs(&self) -> &[String] {
        if self.task == Task::Regression { &self.targets } else { &self.id2label }
    }

    /// Whether the sequences come in pairs.
    pub fn pairs(&self) -> bool {
        self.splits.iter().flat_map(|split| &split.examples).any(|example| example.second.is_some())
    }

    /// All examples of all parts.
    pub fn examples(&self) -> impl Iterator<Item = &Example> {
        self.splits.iter().flat_map(|split| &split.examples)
    }
}

#[cfg(test)]
mod tests;
