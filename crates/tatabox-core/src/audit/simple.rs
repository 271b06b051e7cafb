//! What can be had without a model: length, GC content, and k-mer counts.

use serde::{Deserialize, Serialize};

use super::measured;
use crate::assess::{Metric, Metrics, assess};
use crate::labelled::{Division, Example, Labelled, Split, SplitName, Target, divide};
use crate::logistic::{Fit, Logistic};
use crate::metrics::auroc;

/// What can be had without a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simple {
    /// What was measured on.
    pub measured_on: SplitName,
    /// What the logistic regression learnt from.
    pub learnt_from: SplitName,
    /// Whether the data had no parts, and a fifth of it was taken to measure on.
    pub divided: bool,
    /// Records that were measured on.
    pub records: u64,
    /// GC content by class, in the order of the classes, over all parts.
    pub gc: Vec<Gc>,
    /// Area under the ROC curve of GC content alone, either direction (the mean over the classes against all others where there are several).
    pub gc_auroc: Option<f64>,
    /// The same of length alone.
    pub length_auroc: Option<f64>,
    /// Logistic regression on k-mer counts; none where a class is missing on either side.
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

/// How well logistic regression on k-mer counts does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Bases of a k-mer.
    pub k: usize,
    /// Its metrics.
    pub metrics: Metrics,
}

impl Simple {
    /// Measures; none where there are no classes or one only.
    pub fn of(data: &Labelled, seed: u64) -> Option<Simple> {
        let classes = data.id2label.len();
        if classes < 2 || data.examples().any(|one| one.target.class().is_none()) {
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
        let truth: Vec<usize> = test.examples.iter().filter_map(|one| one.target.class()).collect();
        let (gcs, lengths): (Vec<f64>, Vec<f64>) =
            test.examples.iter().map(|one| (gc(one), one.codes.len() as f64)).unzip();
        Some(Simple {
            measured_on: parts.1,
            learnt_from: parts.0,
            divided,
            records: truth.len() as u64,
            gc: (0..classes).map(|class| Gc::of(data, class)).collect(),
            gc_auroc: alone(&truth, &gcs, classes),
            length_auroc: alone(&truth, &lengths, classes),
            kmers: kmers(data, train, test),
        })
    }
}

impl Scored {
    /// The area under its ROC curve.
    pub(super) fn auroc(&self) -> Option<f64> {
        self.metrics.get(&Metric::Auroc).map(|of| of.value)
    }
}

impl Gc {
    fn of(data: &Labelled, class: usize) -> Gc {
        let all: Vec<f64> = data.examples().filter(|one| one.target.class() == Some(class)).map(gc).collect();
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

/// How well one number tells the classes apart, whichever direction.
fn alone(truth: &[usize], values: &[f64], classes: usize) -> Option<f64> {
    let one = |class: usize| {
        let is: Vec<bool> = truth.iter().map(|&of| of == class).collect();
        auroc(&is, values).map(|area| area.max(1.0 - area))
    };
    if classes == 2 {
        return one(1);
    }
    let areas: Vec<f64> = (0..classes).filter_map(one).collect();
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}

fn kmers(data: &Labelled, train: &Split, test: &Split) -> Option<Scored> {
    let classes = data.id2label.len();
    let joined = |split: &Split| -> Vec<Vec<u8>> {
        let text = |one: &Example| {
            one.codes
                .iter()
                .copied()
                .chain(one.second.iter().flat_map(|more| [4].into_iter().chain(more.iter().copied())))
                .collect()
        };
        split.examples.iter().map(text).collect()
    };
    let labels: Vec<usize> = train.examples.iter().filter_map(|one| one.target.class()).collect();
    if (0..classes).any(|class| !labels.contains(&class)) || test.examples.is_empty() {
        return None;
    }
    let (learnt, asked) = (joined(train), joined(test));
    let (learnt, asked): (Vec<&[u8]>, Vec<&[u8]>) =
        (learnt.iter().map(Vec::as_slice).collect(), asked.iter().map(Vec::as_slice).collect());
    let fit = Fit::default();
    let scores = Logistic::fit(&learnt, &labels, classes, fit).predict(&asked);
    let targets: Vec<&Target> = test.examples.iter().map(|one| &one.target).collect();
    Some(Scored { k: fit.k, metrics: assess(data.task, &data.id2label, &targets, &scores).metrics })
}
