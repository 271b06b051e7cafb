//! Metrics of predicted classes, all from the confusion matrix.

use serde::{Deserialize, Serialize};

/// The index of the largest value, the first of equal ones: the class that is predicted.
pub fn argmax<T: PartialOrd>(values: &[T]) -> usize {
    (1..values.len()).fold(0, |best, at| if values[at] > values[best] { at } else { best })
}

/// How often each class was predicted for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Counts, `[true class][predicted class]`.
    pub counts: Vec<Vec<u64>>,
}

/// The metrics of one class against all others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Of what was predicted as this class, the share that is; none where nothing was.
    pub precision: Option<f64>,
    /// Of this class, the share that was predicted so; none where there is none of it.
    pub recall: Option<f64>,
    /// The harmonic mean of both, 2 TP / (2 TP + FP + FN); none where all three are 0.
    pub f1: Option<f64>,
}

impl Confusion {
    /// Counts classes, `[examples]` each, below `classes`.
    ///
    /// # Panics
    /// Where the two are not equally long or a class is not below `classes`.
    pub fn of(truth: &[usize], predicted: &[usize], classes: usize) -> Confusion {
        Confusion::drawn(truth, predicted, classes, &vec![1; truth.len()])
    }

    /// The same, with each example as often as `times` says, `[examples]`.
    ///
    /// # Panics
    /// As [`Confusion::of`].
    pub fn drawn(truth: &[usize], predicted: &[usize], classes: usize, times: &[u32]) -> Confusion {
        assert_eq!(truth.len(), predicted.len());
        let mut counts = vec![vec![0; classes]; classes];
        let pairs = truth.iter().zip(predicted).zip(times);
        pairs.for_each(|((&truth, &predicted), &times)| counts[truth][predicted] += u64::from(times));
        Confusion { counts }
    }

    fn classes(&self) -> usize {
        self.counts.len()
    }

    /// All examples.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// The share that was right; none of no examples.
    pub fn accuracy(&self) -> Option<f64> {
        let right: u64 = (0..self.classes()).map(|class| self.counts[class][class]).sum();
        ratio(right as f64, self.total() as f64)
    }

    /// The metrics of one class.
    pub fn class(&self, class: usize) -> ClassMetrics {
        let hit = self.counts[class][class] as f64;
        let support: u64 = self.counts[class].iter().sum();
        let predicted: u64 = self.counts.iter().map(|row| row[class]).sum();
        ClassMetrics {
            precision: ratio(hit, predicted as f64),
            recall: ratio(hit, support as f64),
            f1: ratio(2.0 * hit, (support + predicted) as f64),
        }
    }

    /// The mean over the classes that are true or predicted somewhere: precision, recall, F1; what is not defined counts as 0.
    pub fn macro_mean(&self) -> Option<[f64; 3]> {
        let seen: Vec<ClassMetrics> = (0..self.classes())
            .map(|class| self.class(class))
            .filter(|of| of.precision.is_some() || of.recall.is_some())
            .collect();
        let mean = |value: fn(&ClassMetrics) -> Option<f64>| {
            ratio(seen.iter().map(|of| value(of).unwrap_or(0.0)).sum(), seen.len() as f64)
        };
        Some([mean(|of| of.precision)?, mean(|of| of.recall)?, mean(|of| of.f1)?])
    }

    /// Matthews' correlation coefficient, for any number of classes (Gorodkin 2004); 0 where one class only is true or predicted, as scikit-learn has it.
    pub fn mcc(&self) -> Option<f64> {
        let total = self.total() as f64;
        if total == 0.0 {
            return None;
        }
        let right: f64 = (0..self.classes()).map(|class| self.counts[class][class] as f64).sum();
        let truth: Vec<f64> = self.counts.iter().map(|row| row.iter().sum::<u64>() as f64).collect();
        let predicted: Vec<f64> =
            (0..self.classes()).map(|class| self.counts.iter().map(|row| row[class]).sum::<u64>() as f64).collect();
        let dot = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(one, other)| one * other).sum::<f64>();
        let covariance = right * total - dot(&truth, &predicted);
        let spread = (total * total - dot(&predicted, &predicted)) * (total * total - dot(&truth, &truth));
        Some(if spread == 0.0 { 0.0 } else { covariance / spread.sqrt() })
    }
}

fn ratio(above: f64, below: f64) -> Option<f64> {
    (below > 0.0).then(|| above / below)
}
