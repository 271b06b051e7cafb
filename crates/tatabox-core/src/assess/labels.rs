//! Predicted labels, any number of them at once.

use super::{Curves, Measure, Measured, Metric, curve, mean_of};
use crate::labelled::Target;
use crate::metrics::{Confusion, Ranking, Reliability, mean, squared_distances};

/// The probability from which a label is predicted.
pub(super) const FROM: f64 = 0.5;

/// One label, its probabilities, and what is prepared of them.
struct Label {
    truth: Vec<usize>,
    predicted: Vec<usize>,
    ranking: Ranking,
    reliability: Reliability,
    squares: Vec<f64>,
}

/// Labels.
pub(super) struct Labels {
    labels: Vec<Label>,
    /// 1 where all labels of an example are right, `[examples]`.
    right: Vec<f64>,
}

impl Labels {
    pub fn of(labels: usize, targets: &[&Target], scores: &[Vec<f64>]) -> Labels {
        let holds = |target: &Target, label: usize| match target {
            Target::Labels(labels) => labels[label],
            _ => panic!("a multi-label task has sets of labels"),
        };
        let one = |label: usize| {
            let truth: Vec<bool> = targets.iter().map(|target| holds(target, label)).collect();
            let given: Vec<f64> = scores.iter().map(|row| row[label]).collect();
            let classes: Vec<usize> = truth.iter().map(|&holds| usize::from(holds)).collect();
            let both: Vec<Vec<f64>> = given.iter().map(|&given| vec![1.0 - given, given]).collect();
            Label {
                predicted: given.iter().map(|&given| usize::from(given >= FROM)).collect(),
                ranking: Ranking::of(&truth, &given),
                reliability: Reliability::of(&truth, &given),
                squares: squared_distances(&classes, &both),
                truth: classes,
            }
        };
        let labels: Vec<Label> = (0..labels).map(one).collect();
        let all = |at: usize| labels.iter().all(|label| label.truth[at] == label.predicted[at]);
        let right = (0..targets.len()).map(|at| f64::from(u8::from(all(at)))).collect();
        Labels { labels, right }
    }
}

impl Measure for Labels {
    fn measure(&self, times: &[u32]) -> Vec<Measured> {
        use Metric::*;
        let mut measured = Vec::new();
        let mut all = [0u64; 3];
        for (at, label) in self.labels.iter().enumerate() {
            let confusion = Confusion::drawn(&label.truth, &label.predicted, 2, times);
            let of = confusion.class(1);
            let [[_, wrong], [missed, hit]] = [0, 1].map(|truth| [0, 1].map(|given| confusion.counts[truth][given]));
            [hit, wrong, missed].iter().zip(&mut all).for_each(|(count, sum)| *sum += count);
            measured.extend([
                (Some(at), Precision, of.precision),
                (Some(at), Recall, of.recall),
                (Some(at), F1, of.f1),
                (Some(at), Mcc, confusion.mcc()),
                (Some(at), Auroc, label.ranking.auroc(times)),
                (Some(at), AveragePrecision, label.ranking.average_precision(times)),
                (Some(at), Brier, mean(&label.squares, times)),
                (Some(at), CalibrationError, label.reliability.error(times)),
            ]);
        }
        let of = |metric: Metric| measured.iter().filter(move |one| one.1 == metric).map(|one| one.2);
        let twice = 2.0 * all[0] as f64;
        let micro = (all.iter().sum::<u64>() > 0).then(|| twice / (twice + (all[1] + all[2]) as f64));
        let right = mean(&self.right, times);
        // A label that is neither true nor predicted anywhere counts as 0, as in scikit-learn.
        let macro_f1 = right.and_then(|_| mean_of(of(F1).map(|value| Some(value.unwrap_or(0.0)))));
        let overall = [
            (None, Accuracy, right),
            (None, MacroF1, macro_f1),
            (None, MicroF1, micro),
            (None, Auroc, mean_of(of(Auroc))),
            (None, AveragePrecision, mean_of(of(AveragePrecision))),
            (None, Brier, mean_of(of(Brier))),
        ];
        overall.into_iter().chain(measured.iter().copied()).collect()
    }

    fn output(&self, label: usize) -> (u64, Option<Curves>) {
        let Label { truth, ranking, reliability, .. } = &self.labels[label];
        (truth.iter().sum::<usize>() as u64, Some(curve::of(ranking, reliability, truth)))
    }
}
