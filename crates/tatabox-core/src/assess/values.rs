//! Predicted numbers.

use super::{Curves, Measure, Measured, Metric, curve, mean_of};
use crate::labelled::Target;
use crate::metrics::Paired;

/// The numbers of every target, and their predictions.
pub(super) struct Values {
    targets: Vec<Paired>,
    truth: Vec<Vec<f64>>,
    predicted: Vec<Vec<f64>>,
}

impl Values {
    pub fn of(outputs: usize, targets: &[&Target], scores: &[Vec<f64>]) -> Values {
        let number = |target: &Target, at: usize| match target {
            Target::Values(values) => values[at],
            _ => panic!("a regression has numbers"),
        };
        let truth: Vec<Vec<f64>> =
            (0..outputs).map(|at| targets.iter().map(|target| number(target, at)).collect()).collect();
        let predicted: Vec<Vec<f64>> = (0..outputs).map(|at| scores.iter().map(|row| row[at]).collect()).collect();
        let targets = truth.iter().zip(&predicted).map(|(truth, predicted)| Paired::of(truth, predicted)).collect();
        Values { targets, truth, predicted }
    }
}

impl Measure for Values {
    fn measure(&self, times: &[u32]) -> Vec<Measured> {
        use Metric::*;
        let mut measured = Vec::new();
        for (at, target) in self.targets.iter().enumerate() {
            measured.extend([
                (Some(at), Pearson, target.pearson(times)),
                (Some(at), Spearman, target.spearman(times)),
                (Some(at), MeanSquaredError, target.mean_squared_error(times)),
            ]);
        }
        let of = |metric: Metric| mean_of(measured.iter().filter(|one| one.1 == metric).map(|one| one.2));
        let overall = [Pearson, Spearman, MeanSquaredError].map(|metric| (None, metric, of(metric)));
        overall.into_iter().chain(measured.iter().copied()).collect()
    }

    fn output(&self, target: usize) -> (u64, Option<Curves>) {
        let (truth, predicted) = (&self.truth[target], &self.predicted[target]);
        let curves = Curves { means: curve::means(truth, predicted), ..Curves::default() };
        (truth.len() as u64, Some(curves))
    }
}
