//! What can be had without a model: length, GC content, and k-mer counts, for every task.

use serde::{Deserialize, Serialize};

use super::measured;
use crate::assess::{Metric, Metrics, assess};
use crate::labelled::{Division, Example, Labelled, Split, SplitName, Target, Task, divide};
use crate::logistic::{Fit, KmerModel};
use crate::metrics::{auroc, spearman};
use crate::seq::UNKNOWN;

/// What can be had without a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simple {
    /// What was measured on.
    pub measured_on: SplitName,
    /// What the regression learnt from.
    pub learnt_from: SplitName,
    /// Whether the data had no parts, and a fifth of it was taken to measure on.
    pub divided: bool,
    /// Records that were measured on.
    pub records: u64,
    /// GC content by class or label, in their order, over all parts; empty for a regression.
    pub gc: Vec<Gc>,
    /// Area under the ROC curve of GC content alone, either direction (the mean over classes against all others, or over labels, where there are several).
    /// None for a regression.
    pub gc_auroc: Option<f64>,
    /// The same of length alone.
    pub length_auroc: Option<f64>,
    /// Spearman's correlation of GC content with the target that it goes with most, without its sign; none but for a regression.
    pub gc_spearman: Option<f64>,
    /// The same of length.
    pub length_spearman: Option<f64>,
    /// Regression on k-mer counts; none where a class is missing on either side.
    pub kmers: Option<Scored>,
}

/// The GC content of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gc {
    /// The class.
    pub label: String,
    /// The mean over its sequences.
    pub mean: f64,
    /// The standard deviation over them.
    pub sd: f64,
}

/// How well regression on k-mer counts does: logistic for classes and labels, ridge for numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Bases of a k-mer.
    pub k: usize,
    /// Its metrics.
    pub metrics: Metrics,
}

impl Simple {
    /// Measures; none where there is one class only, or nothing to measure on.
    pub fn of(data: &Labelled, seed: u64) -> Option<Simple> {
        if data.id2label.len() < 2 && matches!(data.task, Task::Binary | Task::MultiClass) {
            return None;
        }
        let mut own = None;
        let (divided, parts) = match measured(data) {
            Some(parts) => (false, parts),
            None => {
                let mut again = data.clone();
                divide(&mut again, &Division::Shares([80, 0, 20]), seed).ok()?;
                own = Some(again);
                (true, (SplitName::Train, SplitName::Test))
            }
        };
        let used = own.as_ref().unwrap_or(data);
        let (train, test) = (used.split(parts.0)?, used.split(parts.1)?);
        let targets: Vec<&Target> = test.examples.iter().map(|one| &one.target).collect();
        let (gcs, lengths): (Vec<f64>, Vec<f64>) =
            test.examples.iter().map(|one| (gc(one), one.codes.len() as f64)).unzip();
        let classes = data.id2label.len();
        Some(Simple {
            measured_on: parts.1,
            learnt_from: parts.0,
            divided,
            records: targets.len() as u64,
            gc: (0..classes).map(|class| Gc::of(data, class)).collect(),
            gc_auroc: tells_apart(&targets, &gcs, data),
            length_auroc: tells_apart(&targets, &lengths, data),
            gc_spearman: goes_with(&targets, &gcs, data.targets.len()),
            length_spearman: goes_with(&targets, &lengths, data.targets.len()),
            kmers: kmers(data, train, test),
        })
    }
}

impl Scored {
    /// One of its metrics.
    pub(super) fn value(&self, metric: Metric) -> Option<f64> {
        self.metrics.get(&metric).map(|of| of.value)
    }
}

impl Gc {
    fn of(data: &Labelled, class: usize) -> Gc {
        let all: Vec<f64> = data.examples().filter(|one| has(&one.target, class)).map(gc).collect();
        let count = all.len().max(1) as f64;
        let mean = all.iter().sum::<f64>() / count;
        let sd = (all.iter().map(|gc| (gc - mean) * (gc - mean)).sum::<f64>() / (count - 1.0).max(1.0)).sqrt();
        Gc { label: data.id2label[class].clone(), mean, sd }
    }
}

/// Both sequences of a pair, or the only one.
fn codes(example: &Example) -> impl Iterator<Item = u8> + '_ {
    example.codes.iter().chain(example.second.iter().flatten()).copied()
}

/// The share of C and G among the known bases.
fn gc(example: &Example) -> f64 {
    let known = codes(example).filter(|&code| code < 4).count();
    codes(example).filter(|&code| code == 2 || code == 3).count() as f64 / known.max(1) as f64
}

/// Whether a record has a class or label.
fn has(target: &Target, class: usize) -> bool {
    match target {
        Target::Class(of) => *of as usize == class,
        Target::Labels(labels) => labels[class],
        Target::Values(_) => false,
    }
}

/// How well one number tells classes or labels apart, whichever direction.
fn tells_apart(targets: &[&Target], values: &[f64], data: &Labelled) -> Option<f64> {
    let one = |class: usize| {
        let is: Vec<bool> = targets.iter().map(|target| has(target, class)).collect();
        auroc(&is, values).map(|area| area.max(1.0 - area))
    };
    if data.task == Task::Binary {
        return one(1);
    }
    let areas: Vec<f64> = (0..data.id2label.len()).filter_map(one).collect();
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}

/// How well one number goes with the target that it goes with most, whichever direction.
fn goes_with(targets: &[&Target], values: &[f64], numbers: usize) -> Option<f64> {
    let one = |at: usize| {
        let truth: Vec<f64> = targets
            .iter()
            .map(|target| match target {
                Target::Values(values) => values[at],
                _ => f64::NAN,
            })
            .collect();
        spearman(&truth, values).map(f64::abs)
    };
    (0..numbers).filter_map(one).max_by(f64::total_cmp)
}

fn kmers(data: &Labelled, train: &Split, test: &Split) -> Option<Scored> {
    let joined = |split: &Split| -> Vec<Vec<u8>> {
        // N between the two of a pair: no k-mer reaches from one to the other.
        let both = |one: &Example| {
            let second = one.second.iter().flat_map(|more| [UNKNOWN].into_iter().chain(more.iter().copied()));
            one.codes.iter().copied().chain(second).collect()
        };
        split.examples.iter().map(both).collect()
    };
    let classes = matches!(data.task, Task::Binary | Task::MultiClass);
    let learnt_has = |class: usize| train.examples.iter().any(|one| has(&one.target, class));
    if classes && !(0..data.id2label.len()).all(learnt_has) || test.examples.is_empty() || train.examples.is_empty() {
        return None;
    }
    let outputs = data.outputs();
    let (learnt, asked) = (joined(train), joined(test));
    let learnt: Vec<&[u8]> = learnt.iter().map(Vec::as_slice).collect();
    let asked: Vec<&[u8]> = asked.iter().map(Vec::as_slice).collect();
    let known: Vec<&Target> = train.examples.iter().map(|one| &one.target).collect();
    let truth: Vec<&Target> = test.examples.iter().map(|one| &one.target).collect();
    let fit = Fit::default();
    let scores = KmerModel::fit(data.task, &learnt, &known, outputs.len(), fit).answers(&asked);
    Some(Scored { k: fit.k, metrics: assess(data.task, outputs, &truth, &scores).metrics })
}
