//! Curves with as many points as a plot can show.

use super::Curves;
use crate::metrics::{BINS, Ranking, Reliability};

/// Points of a curve that are kept at most.
pub const POINTS: usize = 101;

/// The curves of one class or label against the rest.
pub(super) fn of<T>(ranking: &Ranking, reliability: &Reliability, examples: &[T]) -> Curves {
    let kept = |curve: Option<Vec<(f64, f64)>>| curve.map_or_else(Vec::new, |points| thinned(&points));
    Curves {
        roc: kept(ranking.roc_curve()),
        precision_recall: kept(ranking.pr_curve()),
        calibration: reliability.bins(&vec![1; examples.len()]),
        means: Vec::new(),
    }
}

/// At most [`POINTS`] points of a curve, its ends among them, evenly spread along its way (steps along either axis, summed). What is left out of a curve that
/// never turns back lies no further from its neighbours than a hundredth of the way.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= POINTS {
        return points.to_vec();
    }
    let mut way = 0.0;
    let mut ways = vec![0.0];
    for pair in points.windows(2) {
        way += (pair[1].0 - pair[0].0).abs() + (pair[1].1 - pair[0].1).abs();
        ways.push(way);
    }
    let mut kept: Vec<usize> = (0..POINTS)
        .map(|at| ways.partition_point(|&before| before < way * at as f64 / (POINTS - 1) as f64).min(points.len() - 1))
        .collect();
    kept.dedup();
    kept.into_iter().map(|at| points[at]).collect()
}

/// The mean prediction and the mean truth of each tenth of the examples, the lowest predictions first.
pub(super) fn means(truth: &[f64], predicted: &[f64]) -> Vec<(f64, f64)> {
    let mut order: Vec<usize> = (0..truth.len()).collect();
    order.sort_by(|&one, &other| predicted[one].total_cmp(&predicted[other]));
    let mean = |part: &[usize], of: &[f64]| part.iter().map(|&at| of[at]).sum::<f64>() / part.len() as f64;
    let parts = (0..BINS).map(|part| &order[part * order.len() / BINS..(part + 1) * order.len() / BINS]);
    parts.filter(|part| !part.is_empty()).map(|part| (mean(part, predicted), mean(part, truth))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_keeps_its_ends_and_no_gap_is_longer_than_two_hundredths() {
        // A staircase to (1, 1), steep at first.
        let points: Vec<(f64, f64)> = (0..=5_000).map(|at| f64::from(at) / 5_000.0).map(|x| (x * x, x)).collect();
        let kept = thinned(&points);
        assert!(kept.len() <= POINTS && kept[0] == (0.0, 0.0) && kept[kept.len() - 1] == (1.0, 1.0), "{}", kept.len());
        let gap = |pair: &[(f64, f64)]| pair[1].0 - pair[0].0 + pair[1].1 - pair[0].1;
        assert!(kept.windows(2).all(|pair| gap(pair) < 0.0205), "{kept:?}");
        assert_eq!(thinned(&points[..50]), points[..50]);
    }

    #[test]
    fn tenths_of_the_examples_have_their_means() {
        let predicted: Vec<f64> = (0..25).rev().map(f64::from).collect();
        let truth: Vec<f64> = predicted.iter().map(|value| 2.0 * value).collect();
        let found = means(&truth, &predicted);
        assert_eq!((found.len(), found[0], found[9]), (10, (0.5, 1.0), (23.0, 46.0)));
        assert_eq!(means(&[1.0, 2.0], &[3.0, 3.0]).len(), 2);
        assert!(means(&[], &[]).is_empty());
    }
}
