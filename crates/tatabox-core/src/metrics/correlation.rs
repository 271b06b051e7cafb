//! Metrics of predicted numbers.

use super::order::Order;

/// Numbers and what was predicted for them, sorted once: the metrics can be asked for many weightings of the examples, as a bootstrap does.
///
/// `times` says how often each example counts, `[examples]`.
#[derive(Clone, Debug)]
pub struct Paired {
    truth: Vec<f64>,
    predicted: Vec<f64>,
    orders: [Order; 2],
}

impl Paired {
    /// Numbers and their predictions, `[examples]` each.
    ///
    /// # Panics
    /// Where the two are not equally long.
    pub fn of(truth: &[f64], predicted: &[f64]) -> Paired {
        assert_eq!(truth.len(), predicted.len());
        let orders = [Order::of(truth), Order::of(predicted)];
        Paired { truth: truth.to_vec(), predicted: predicted.to_vec(), orders }
    }

    /// Pearson's correlation; none where one of the two does not vary.
    pub fn pearson(&self, times: &[u32]) -> Option<f64> {
        correlation(&self.truth, &self.predicted, times)
    }

    /// Spearman's correlation: Pearson's of the ranks, equal values with the mean of their ranks. None where one of the two does not vary.
    pub fn spearman(&self, times: &[u32]) -> Option<f64> {
        let ranks = self.orders.each_ref().map(|order| ranks(order, times));
        correlation(&ranks[0], &ranks[1], times)
    }

    /// The mean of squared differences; none of nothing.
    pub fn mean_squared_error(&self, times: &[u32]) -> Option<f64> {
        let pairs = self.truth.iter().zip(&self.predicted);
        let squares: Vec<f64> = pairs.map(|(one, other)| (one - other) * (one - other)).collect();
        mean(&squares, times)
    }
}

/// The mean of values, `[examples]`, each as often as `times` says; none of nothing.
pub fn mean(values: &[f64], times: &[u32]) -> Option<f64> {
    let sum: f64 = values.iter().zip(times).map(|(value, &times)| value * f64::from(times)).sum();
    let all: u64 = times.iter().map(|&times| u64::from(times)).sum();
    (all > 0).then(|| sum / all as f64)
}

fn correlation(one: &[f64], other: &[f64], times: &[u32]) -> Option<f64> {
    let (left, right) = (mean(one, times)?, mean(other, times)?);
    let mut sums = [0.0; 3];
    for ((one, other), &times) in one.iter().zip(other).zip(times) {
        let (one, other, times) = (one - left, other - right, f64::from(times));
        [one * one, other * other, one * other].iter().zip(&mut sums).for_each(|(term, sum)| *sum += times * term);
    }
    let spread = (sums[0] * sums[1]).sqrt();
    (spread > 0.0 && varies(one, times) && varies(other, times)).then(|| (sums[2] / spread).clamp(-1.0, 1.0))
}

fn varies(values: &[f64], times: &[u32]) -> bool {
    let mut seen = values.iter().zip(times).filter(|(_, times)| **times > 0).map(|(value, _)| value);
    let first = seen.next();
    seen.any(|value| Some(value) != first)
}

/// Ranks from 1, `[examples]`, ties with their mean; those of examples that do not count say nothing.
fn ranks(order: &Order, times: &[u32]) -> Vec<f64> {
    let mut ranks = vec![0.0; times.len()];
    let mut before = 0u64;
    for group in order.groups() {
        let here: u64 = group.iter().map(|&at| u64::from(times[at as usize])).sum();
        let rank = before as f64 + 0.5 * (here as f64 + 1.0);
        group.iter().for_each(|&at| ranks[at as usize] = rank);
        before += here;
    }
    ranks
}

/// Pearson's correlation, see [`Paired::pearson`].
pub fn pearson(one: &[f64], other: &[f64]) -> Option<f64> {
    correlation(one, other, &vec![1; one.len()])
}

/// Spearman's correlation, see [`Paired::spearman`].
pub fn spearman(one: &[f64], other: &[f64]) -> Option<f64> {
    Paired::of(one, other).spearman(&vec![1; one.len()])
}

/// The mean of squared differences; none of nothing.
pub fn mean_squared_error(truth: &[f64], predicted: &[f64]) -> Option<f64> {
    Paired::of(truth, predicted).mean_squared_error(&vec![1; truth.len()])
}
