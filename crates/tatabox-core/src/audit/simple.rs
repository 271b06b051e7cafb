//! What can be had without a model: length, GC content, and k-mer counts.

use serde::{Deserialize, Serialize};

use super::measured;
use crate::labelled::{Division, Example, Labelled, Split, SplitName, divide};
use crate::logistic::{Fit, Logistic};
use crate::metrics::{Confusion, auroc, auroc_one_vs_rest, bootstrap};
use crate::rng::{Purpose, SeededRng};
use crate::stats::Interval;

/// Draws of the bootstrap.
const DRAWS: usize = 1_000;

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

/// The scores of logistic regression on k-mer counts; intervals are bootstrapped over the records and hold 95 %.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Bases of a k-mer.
    pub k: usize,
    /// The share that was right.
    pub accuracy: f64,
    /// Its interval.
    pub accuracy_interval: Option<Interval>,
    /// Matthews' correlation.
    pub mcc: f64,
    /// Its interval.
    pub mcc_interval: Option<Interval>,
    /// Macro F1.
    pub f1: f64,
    /// Area under the ROC curve, of two classes; of more, the mean of one against the others.
    pub auroc: Option<f64>,
    /// Its interval.
    pub auroc_interval: Option<Interval>,
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
            kmers: kmers(train, test, &truth, classes, seed),
        })
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

fn kmers(train: &Split, test: &Split, truth: &[usize], classes: usize, seed: u64) -> Option<Scored> {
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
    if (0..classes).any(|class| !labels.contains(&class)) || truth.is_empty() {
        return None;
    }
    let (learnt, asked) = (joined(train), joined(test));
    let (learnt, asked): (Vec<&[u8]>, Vec<&[u8]>) =
        (learnt.iter().map(Vec::as_slice).collect(), asked.iter().map(Vec::as_slice).collect());
    let fit = Fit::default();
    let scores = Logistic::fit(&learnt, &labels, classes, fit).predict(&asked);
    let best = |row: &Vec<f64>| (0..classes).rev().max_by(|&one, &other| row[one].total_cmp(&row[other])).unwrap_or(0);
    let predicted: Vec<usize> = scores.iter().map(best).collect();
    let confusion = |drawn: &[usize]| {
        let pick = |of: &[usize]| drawn.iter().map(|&at| of[at]).collect::<Vec<_>>();
        Confusion::of(&pick(truth), &pick(&predicted), classes)
    };
    let area = |drawn: &[usize]| {
        if classes == 2 {
            let is: Vec<bool> = drawn.iter().map(|&at| truth[at] == 1).collect();
            return auroc(&is, &drawn.iter().map(|&at| scores[at][1]).collect::<Vec<_>>());
        }
        let is: Vec<usize> = drawn.iter().map(|&at| truth[at]).collect();
        let by_class: Vec<Vec<f64>> =
            (0..classes).map(|class| drawn.iter().map(|&at| scores[at][class]).collect()).collect();
        auroc_one_vs_rest(&is, &by_class)
    };
    let all: Vec<usize> = (0..truth.len()).collect();
    // The same draws for every metric.
    let rng = || SeededRng::new(seed, Purpose::Resample, 0, 0);
    let whole = confusion(&all);
    Some(Scored {
        k: fit.k,
        accuracy: whole.accuracy()?,
        accuracy_interval: bootstrap(all.len(), DRAWS, 0.95, &mut rng(), |drawn| confusion(drawn).accuracy()),
        mcc: whole.mcc()?,
        mcc_interval: bootstrap(all.len(), DRAWS, 0.95, &mut rng(), |drawn| confusion(drawn).mcc()),
        f1: whole.macro_mean()?[2],
        auroc: area(&all),
        auroc_interval: bootstrap(all.len(), DRAWS, 0.95, &mut rng(), area),
    })
}
