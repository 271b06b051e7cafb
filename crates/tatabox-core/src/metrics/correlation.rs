//! Metrics of predicted numbers.

/// Pearson's correlation of two lists; none where one of them does not vary.
pub fn pearson(one: &[f64], other: &[f64]) -> Option<f64> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (left, right) = (mean(one), mean(other));
    let sum = |term: &dyn Fn(f64, f64) -> f64| {
        one.iter().zip(other).map(|(one, other)| term(one - left, other - right)).sum::<f64>()
    };
    let spread = (sum(&|one, _| one * one) * sum(&|_, other| other * other)).sqrt();
    (spread > 0.0 && varies(one) && varies(other)).then(|| (sum(&|one, other| one * other) / spread).clamp(-1.0, 1.0))
}

fn varies(values: &[f64]) -> bool {
    values.windows(2).any(|pair| pair[0] != pair[1])
}

/// Spearman's correlation: Pearson's of the ranks, equal values with the mean of their ranks. None where one list does not vary.
pub fn spearman(one: &[f64], other: &[f64]) -> Option<f64> {
    pearson(&ranks(one), &ranks(other))
}

/// The mean of squared differences; none of nothing.
pub fn mean_squared_error(truth: &[f64], predicted: &[f64]) -> Option<f64> {
    let sum: f64 = truth.iter().zip(predicted).map(|(one, other)| (one - other) * (one - other)).sum();
    (!truth.is_empty()).then(|| sum / truth.len() as f64)
}

/// Ranks from 1, ties with their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&one, &other| values[one].total_cmp(&values[other]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for run in order.chunk_by(|&one, &other| values[one] == values[other]) {
        let rank = start as f64 + 0.5 * (run.len() as f64 + 1.0);
        run.iter().for_each(|&at| ranks[at] = rank);
        start += run.len();
    }
    ranks
}
