//! Metrics of scores: how well they put one class above the other. Equal scores are never taken apart.

use super::order::Order;

/// The scores of two classes, sorted once: its metrics can be asked for many weightings of the examples, as a bootstrap does.
///
/// `times` says how often each example counts, `[examples]`.
#[derive(Clone, Debug)]
pub struct Ranking {
    order: Order,
    truth: Vec<bool>,
}

impl Ranking {
    /// The ranking of scores, `[examples]`, the higher the more of the class that `truth` names.
    ///
    /// # Panics
    /// Where the two are not equally long.
    pub fn of(truth: &[bool], scores: &[f64]) -> Ranking {
        assert_eq!(truth.len(), scores.len());
        Ranking { order: Order::of(scores), truth: truth.to_vec() }
    }

    /// The area under the ROC curve: the probability that a positive has a higher score than a negative, ties counted half. None without both.
    pub fn auroc(&self, times: &[u32]) -> Option<f64> {
        // Twice the number of pairs in order, in whole numbers: nothing is lost by rounding.
        let (mut twice, mut above, mut before) = (0u128, 0u64, 0u64);
        self.steps(times, |hits, misses| {
            twice += u128::from(misses - before) * u128::from(above + hits);
            (above, before) = (hits, misses);
        });
        let pairs = u128::from(above) * u128::from(before);
        (pairs > 0).then(|| twice as f64 / (2 * pairs) as f64)
    }

    /// Average precision: the sum over thresholds of precision times the recall gained, without interpolation (scikit-learn's `average_precision_score`). None
    /// without positives.
    pub fn average_precision(&self, times: &[u32]) -> Option<f64> {
        let (mut sum, mut before) = (0.0, 0);
        self.steps(times, |hits, misses| {
            if hits > before {
                sum += (hits - before) as f64 * (hits as f64 / (hits + misses) as f64);
            }
            before = hits;
        });
        (before > 0).then(|| sum / before as f64)
    }

    /// The ROC curve from (0, 0) to (1, 1): false positive rate and true positive rate a threshold, the highest first. None without both classes.
    pub fn roc_curve(&self) -> Option<Vec<(f64, f64)>> {
        let steps = self.all_steps();
        let &(positives, negatives) = steps.last()?;
        let point = |&(hits, misses): &(u64, u64)| (misses as f64 / negatives as f64, hits as f64 / positives as f64);
        (positives > 0 && negatives > 0).then(|| [(0.0, 0.0)].into_iter().chain(steps.iter().map(point)).collect())
    }

    /// The precision-recall curve: recall and precision a threshold, the highest first. None without positives.
    pub fn pr_curve(&self) -> Option<Vec<(f64, f64)>> {
        let steps = self.all_steps();
        let &(positives, _) = steps.last()?;
        let point =
            |&(hits, misses): &(u64, u64)| (hits as f64 / positives as f64, hits as f64 / (hits + misses) as f64);
        (positives > 0).then(|| steps.iter().map(point).collect())
    }

    fn all_steps(&self) -> Vec<(u64, u64)> {
        let mut steps = Vec::new();
        self.steps(&vec![1; self.truth.len()], |hits, misses| steps.push((hits, misses)));
        steps
    }

    /// For each distinct score, from the highest: how many positives and negatives have it or a higher one.
    fn steps(&self, times: &[u32], mut visit: impl FnMut(u64, u64)) {
        let (mut hits, mut misses) = (0, 0);
        for group in self.order.groups().rev() {
            for &at in group {
                let times = u64::from(times[at as usize]);
                if self.truth[at as usize] { hits += times } else { misses += times }
            }
            visit(hits, misses);
        }
    }
}

/// The area under the ROC curve, see [`Ranking::auroc`].
///
/// # Examples
/// ```
/// use tatabox_core::metrics::auroc;
/// assert_eq!(auroc(&[false, true, true], &[0.1, 0.4, 0.4]), Some(1.0));
/// assert_eq!(auroc(&[false, true], &[0.3, 0.3]), Some(0.5));
/// ```
pub fn auroc(truth: &[bool], scores: &[f64]) -> Option<f64> {
    Ranking::of(truth, scores).auroc(&vec![1; truth.len()])
}

/// Average precision, see [`Ranking::average_precision`].
pub fn average_precision(truth: &[bool], scores: &[f64]) -> Option<f64> {
    Ranking::of(truth, scores).average_precision(&vec![1; truth.len()])
}
