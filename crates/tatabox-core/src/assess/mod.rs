//! How good predictions are: the metrics of a task with their intervals, overall and by class, label or target, and the curves to draw.
//!
//! ```text
//! task, targets, scores ─▶ assess ─▶ Assessment (JSON) ─▶ sections of a report
//! ```
//!
//! | task | overall | by output |
//! |---|---|---|
//! | binary | accuracy, MCC, F1 of the second class, macro F1, AUROC, average precision, Brier's score, calibration error | precision, recall, F1 |
//! | multi-class | accuracy, MCC, macro F1, AUROC and average precision (means of one against the others), Brier's score, calibration error (of the class predicted) | precision, recall, F1, AUROC, average precision |
//! | multi-label | accuracy (all labels right), macro and micro F1, means over the labels of AUROC, average precision and Brier's score | precision, recall, F1, MCC, AUROC, average precision, Brier's score, calibration error |
//! | regression | with several targets, means over them | Pearson, Spearman, mean squared error |
//!
//! The class predicted is the one with the highest probability, the first of equal ones; a label is predicted from 0.5 on. What is not defined (the AUROC of data
//! with one class) is left out. Intervals hold 95 % and come from 1,000 bootstrap draws of the examples, the same for every metric.

mod classes;
mod collapse;
mod curve;
mod labels;
mod page;
mod values;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::labelled::{Target, Task};
use crate::metrics::{Bin, Confusion, bootstrap};
use crate::names::named;
use crate::stats::Interval;

/// Draws of the bootstrap.
const DRAWS: usize = 1_000;

/// A metric, by its name in JSON; see [`crate::metrics`] for what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Metric {
    /// The share that was right; of several labels, the share of examples with all of them right.
    Accuracy,
    /// Matthews' correlation.
    Mcc,
    /// Of what was predicted, the share that is true.
    Precision,
    /// Of what is true, the share that was predicted.
    Recall,
    /// The harmonic mean of both.
    F1,
    /// The mean of F1 over the classes or labels; one that is not defined counts as 0.
    MacroF1,
    /// F1 of all labels together.
    MicroF1,
    /// The area under the ROC curve.
    Auroc,
    /// The area under the precision-recall curve, without interpolation.
    AveragePrecision,
    /// The mean squared distance between probabilities and the truth.
    Brier,
    /// How far probabilities are from the shares that are true, by tenths.
    CalibrationError,
    /// Pearson's correlation.
    Pearson,
    /// Spearman's correlation.
    Spearman,
    /// The mean squared error.
    MeanSquaredError,
}

named!(
    Metric,
    "metric",
    Accuracy = "accuracy",
    Mcc = "mcc",
    Precision = "precision",
    Recall = "recall",
    F1 = "f1",
    MacroF1 = "macro_f1",
    MicroF1 = "micro_f1",
    Auroc = "auroc",
    AveragePrecision = "average_precision",
    Brier = "brier",
    CalibrationError = "calibration_error",
    Pearson = "pearson",
    Spearman = "spearman",
    MeanSquaredError = "mean_squared_error"
);

/// A metric's value and how far it moves with the examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value on all examples.
    pub value: f64,
    /// The interval that holds 95 %; none for fewer than two examples.
    pub interval: Option<Interval>,
}

/// Metrics by name; one that is not defined is not there.
pub type Metrics = BTreeMap<Metric, Estimate>;

/// How good predictions are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// What was asked.
    pub task: Task,
    /// Examples.
    pub records: u64,
    /// Everything got the same answer, see [`is_collapsed`].
    pub collapsed: bool,
    /// The metrics of all together.
    pub metrics: Metrics,
    /// The metrics of each class, label or target, in the order of the outputs.
    pub outputs: Vec<Output>,
    /// How often each class was predicted for each; none without classes.
    pub confusion: Option<Confusion>,
}

/// How good the predictions of a class, label or target are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Examples that have it; all of them for a target.
    pub records: u64,
    /// Its metrics.
    pub metrics: Metrics,
    /// Its curves. Of two classes, the second alone has them.
    pub curves: Option<Curves>,
}

/// Curves to draw: at most [`POINTS`] points each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// False positive rate and true positive rate, from (0, 0) to (1, 1); empty where one of the two is not defined.
    pub roc: Vec<(f64, f64)>,
    /// Recall and precision; empty without positives.
    pub precision_recall: Vec<(f64, f64)>,
    /// Probabilities and the shares that are true, by tenths of the probability.
    pub calibration: Vec<Bin>,
    /// Of a target: the mean prediction and the mean truth of each tenth of the examples, by prediction.
    pub means: Vec<(f64, f64)>,
}

pub use collapse::is_collapsed;
pub use curve::POINTS;

/// A metric of all (`None`) or of one output, and its value.
type Measured = (Option<usize>, Metric, Option<f64>);

/// A task's predictions, ready to be measured on any draw of the examples.
trait Measure: Sync {
    /// The metrics, always the same ones in the same order, with each example as often as `times` says, `[examples]`.
    fn measure(&self, times: &[u32]) -> Vec<Measured>;

    /// Examples that have an output, and its curves.
    fn output(&self, output: usize) -> (u64, Option<Curves>);

    /// How often each class was predicted for each.
    fn confusion(&self) -> Option<Confusion> {
        None
    }
}

/// Measures predictions. `outputs` are the names of the classes, labels or targets; `targets` the truth, `[examples]`; `scores` the probabilities of the classes
/// (of sum 1) or of each label, or the numbers, `[examples][outputs]`.
///
/// # Examples
/// ```
/// use tatabox_core::assess::{Metric, assess};
/// use tatabox_core::labelled::{Target, Task};
/// let outputs = ["no".to_string(), "yes".to_string()];
/// let (no, yes) = (Target::Class(0), Target::Class(1));
/// let scores = [vec![0.9, 0.1], vec![0.2, 0.8], vec![0.6, 0.4]];
/// let found = assess(Task::Binary, &outputs, &[&no, &yes, &yes], &scores);
/// assert_eq!(found.metrics[&Metric::Accuracy].value, 2.0 / 3.0);
/// assert_eq!(found.metrics[&Metric::Auroc].value, 1.0);
/// assert_eq!(found.outputs[1].metrics[&Metric::Recall].value, 0.5);
/// ```
///
/// # Panics
/// Where the three do not fit each other: other numbers of examples or outputs, or targets that are not those of the task.
pub fn assess(task: Task, outputs: &[String], targets: &[&Target], scores: &[Vec<f64>]) -> Assessment {
    drawn(task, outputs, targets, scores, DRAWS)
}

/// As [`assess`], without intervals: for one of many runs, whose spread is seen in the others.
///
/// # Panics
/// As [`assess`].
pub fn assess_one_of_many(task: Task, outputs: &[String], targets: &[&Target], scores: &[Vec<f64>]) -> Assessment {
    drawn(task, outputs, targets, scores, 0)
}

fn drawn(task: Task, outputs: &[String], targets: &[&Target], scores: &[Vec<f64>], draws: usize) -> Assessment {
    assert_eq!(targets.len(), scores.len());
    assert!(scores.iter().all(|row| row.len() == outputs.len()));
    let measure: Box<dyn Measure> = match task {
        Task::Binary | Task::MultiClass => Box::new(classes::Classes::of(outputs.len(), targets, scores)),
        Task::MultiLabel => Box::new(labels::Labels::of(outputs.len(), targets, scores)),
        Task::Regression => Box::new(values::Values::of(outputs.len(), targets, scores)),
    };
    let values = measure.measure(&vec![1; targets.len()]);
    let numbers = |times: &[u32]| measure.measure(times).into_iter().map(|(_, _, value)| value).collect();
    let intervals = match draws {
        0 => vec![None; values.len()],
        draws => bootstrap(targets.len(), draws, 0.95, 0, numbers),
    };
    let of = |output: Option<usize>| -> Metrics {
        let own = values.iter().zip(&intervals).filter(|((place, _, _), _)| *place == output);
        own.filter_map(|(&(_, metric, value), &interval)| {
            let value = value.filter(|value| value.is_finite())?;
            Some((metric, Estimate { value, interval }))
        })
        .collect()
    };
    let output = |(at, name): (usize, &String)| {
        let (records, curves) = measure.output(at);
        Output { name: name.clone(), records, metrics: of(Some(at)), curves }
    };
    Assessment {
        task,
        records: targets.len() as u64,
        collapsed: is_collapsed(task, targets, scores),
        metrics: of(None),
        outputs: outputs.iter().enumerate().map(output).collect(),
        confusion: measure.confusion(),
    }
}

/// The mean of what is defined; none where nothing is.
fn mean_of(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values.flatten().fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests;
