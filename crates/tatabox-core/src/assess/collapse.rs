//! Models that tell nothing apart.

use super::labels::FROM;
use crate::labelled::{Target, Task};
use crate::metrics::argmax;

/// The share of the targets' spread below which numbers count as equal.
const LEAST: f64 = 0.01;

/// Whether answers, `[examples][outputs]` as [`assess`](super::assess) takes them, are all the same though the right ones are not: one class, one set of labels,
/// or numbers that vary by less than a hundredth of the targets.
///
/// # Examples
/// ```
/// use tatabox_core::assess::is_collapsed;
/// use tatabox_core::labelled::{Target, Task};
/// let (low, high) = (Target::Values(vec![0.0]), Target::Values(vec![1.0]));
/// assert!(is_collapsed(Task::Regression, &[&low, &high], &[vec![0.5], vec![0.501]]));
/// assert!(!is_collapsed(Task::Regression, &[&low, &high], &[vec![0.5], vec![0.6]]));
/// assert!(!is_collapsed(Task::Regression, &[&low, &low], &[vec![0.5], vec![0.5]]));
/// ```
///
/// # Panics
/// As [`assess`](super::assess()).
pub fn is_collapsed(task: Task, targets: &[&Target], scores: &[Vec<f64>]) -> bool {
    if targets.windows(2).all(|pair| pair[0] == pair[1]) {
        return false;
    }
    let same = |equal: fn(&[f64], &[f64]) -> bool| scores.windows(2).all(|pair| equal(&pair[0], &pair[1]));
    match task {
        Task::Binary | Task::MultiClass => same(|one, other| argmax(one) == argmax(other)),
        Task::MultiLabel => {
            same(|one, other| one.iter().zip(other).all(|(one, other)| (*one >= FROM) == (*other >= FROM)))
        }
        Task::Regression => (0..scores[0].len()).all(|output| {
            let right = spread(targets.iter().map(|target| match target {
                Target::Values(values) => values[output],
                _ => panic!("a regression has numbers"),
            }));
            // A target that is the same everywhere asks for nothing to be told apart.
            right == 0.0 || spread(scores.iter().map(|row| row[output])) < LEAST * right
        }),
    }
}

/// The root of the summed squares around the mean.
fn spread(values: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let mean = values.clone().sum::<f64>() / values.len() as f64;
    values.map(|value| (value - mean).powi(2)).sum::<f64>().sqrt()
}
