//! One linear model of k-mer counts for every task.

use rayon::prelude::*;

use super::{Fit, Logistic, Row, outputs_of, weights};
use crate::labelled::{Target, Task};

/// A fitted linear model of k-mer counts.
#[derive(Clone, Debug, PartialEq)]
pub enum KmerModel {
    /// One of several classes.
    Classes(Logistic),
    /// Each label by itself; one that all examples had or none has no model, but its share of the examples.
    Labels(Vec<Result<Logistic, f64>>),
    /// Numbers.
    Values {
        /// Bases of a k-mer.
        k: usize,
        /// `[targets][4^k + 1]`, the intercept last, in units of `spread` around `center`.
        weights: Vec<f64>,
        /// The mean of each target, `[targets]`.
        center: Vec<f64>,
        /// The standard deviation of each target, `[targets]`; 1 where it does not vary.
        spread: Vec<f64>,
    },
}

impl KmerModel {
    /// Fits sequences (base codes, `[examples][bases]`) to their targets, `[examples]`, all of the kind of `task`, with `outputs` classes, labels or numbers.
    ///
    /// # Examples
    /// ```
    /// use tatabox_core::labelled::{Target, Task};
    /// use tatabox_core::logistic::{Fit, KmerModel};
    /// let sequences: [&[u8]; 2] = [&[0; 20], &[1; 20]];
    /// let targets = [Target::Values(vec![1.0]), Target::Values(vec![3.0])];
    /// let model = KmerModel::fit(Task::Regression, &sequences, &targets.each_ref(), 1, Fit { k: 2, c: 1e6, ..Fit::default() });
    /// assert!((model.answer(&[0; 9])[0] - 1.0).abs() < 1e-3);
    /// ```
    pub fn fit(task: Task, sequences: &[&[u8]], targets: &[&Target], outputs: usize, fit: Fit) -> KmerModel {
        match task {
            Task::Binary | Task::MultiClass => {
                let labels: Vec<usize> = targets.iter().map(|target| target.class().unwrap_or(0)).collect();
                KmerModel::Classes(Logistic::fit(sequences, &labels, outputs, fit))
            }
            Task::MultiLabel => {
                KmerModel::Labels((0..outputs).map(|label| one(sequences, targets, label, fit)).collect())
            }
            Task::Regression => numbers(sequences, targets, outputs, fit),
        }
    }

    /// The answer to a sequence: probabilities of the classes or of each label, or numbers, `[outputs]`.
    pub fn answer(&self, codes: &[u8]) -> Vec<f64> {
        match self {
            KmerModel::Classes(model) => model.probabilities(codes),
            KmerModel::Labels(models) => models
                .iter()
                .map(|model| model.as_ref().map_or_else(|share| *share, |model| model.probabilities(codes)[1]))
                .collect(),
            KmerModel::Values { k, weights, center, spread } => {
                let outputs = outputs_of(&Row::of(codes, *k), weights, weights.len() / center.len().max(1));
                outputs.iter().zip(center).zip(spread).map(|((out, center), spread)| center + spread * out).collect()
            }
        }
    }

    /// The answers to many sequences, `[sequences][outputs]`.
    pub fn answers(&self, sequences: &[&[u8]]) -> Vec<Vec<f64>> {
        sequences.par_iter().map(|codes| self.answer(codes)).collect()
    }
}

/// The model of one label.
fn one(sequences: &[&[u8]], targets: &[&Target], label: usize, fit: Fit) -> Result<Logistic, f64> {
    let holds = |target: &&Target| matches!(target, Target::Labels(labels) if labels.get(label) == Some(&true));
    let labels: Vec<usize> = targets.iter().map(|target| usize::from(holds(target))).collect();
    let positives: usize = labels.iter().sum();
    if positives == 0 || positives == labels.len() {
        return Err(positives as f64 / labels.len().max(1) as f64);
    }
    Ok(Logistic::fit(sequences, &labels, 2, fit))
}

fn numbers(sequences: &[&[u8]], targets: &[&Target], outputs: usize, fit: Fit) -> KmerModel {
    let value = |target: &Target, at: usize| match target {
        Target::Values(values) => values[at],
        _ => 0.0,
    };
    let (center, spread): (Vec<f64>, Vec<f64>) = (0..outputs)
        .map(|at| {
            let count = targets.len().max(1) as f64;
            let mean = targets.iter().map(|target| value(target, at)).sum::<f64>() / count;
            let squares = targets.iter().map(|target| (value(target, at) - mean).powi(2)).sum::<f64>();
            (mean, if squares > 0.0 { (squares / count).sqrt() } else { 1.0 })
        })
        .unzip();
    let rows: Vec<Row> = sequences.par_iter().map(|codes| Row::of(codes, fit.k)).collect();
    let weights = weights(&rows, outputs, fit, |example, guesses, slopes| {
        let mut loss = 0.0;
        for (at, (guess, slope)) in guesses.iter().zip(slopes).enumerate() {
            *slope = guess - (value(targets[example], at) - center[at]) / spread[at];
            loss += 0.5 * *slope * *slope;
        }
        loss
    });
    KmerModel::Values { k: fit.k, weights, center, spread }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| crate::seq::Sequence::parse(text.as_bytes()).unwrap().0.codes).collect()
    }

    #[test]
    fn numbers_equal_the_normal_equations_of_ridge_regression() {
        // Ridge(alpha=0.5) of the counts of A, T, C, G over the root of their squares on [1, 2, 4, 0] at mean 0 and variance 1, solved by the normal equations
        // (x centred, so that the intercept is free) in plain Python, and brought back.
        let sequences = codes(&["AAAT", "TTCG", "CCCA", "GGGA"]);
        let sequences: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
        let targets: Vec<Target> = [1.0, 2.0, 4.0, 0.0].map(|value| Target::Values(vec![value])).into();
        let fit = Fit { k: 1, c: 2.0, steps: 1_000 };
        let model = KmerModel::fit(Task::Regression, &sequences, &targets.iter().collect::<Vec<_>>(), 1, fit);
        let expected = [1.310594534, 1.924479197, 3.168177420, 0.596748849];
        for (sequence, expected) in sequences.iter().zip(expected) {
            let got = model.answer(sequence)[0];
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }
    }

    #[test]
    fn every_label_has_its_own_regression_and_one_that_never_varies_its_share() {
        let sequences = codes(&["AAAAAAAA", "TTTTTTTT", "AAAATTTT", "CCCCCCCC"]);
        let sequences: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
        let targets: Vec<Target> = [[true, false, true], [false, true, true], [true, true, true], [false, false, true]]
            .map(|labels| Target::Labels(labels.into()))
            .into();
        let fit = Fit { k: 1, ..Fit::default() };
        let model = KmerModel::fit(Task::MultiLabel, &sequences, &targets.iter().collect::<Vec<_>>(), 3, fit);
        let alone = Logistic::fit(&sequences, &[1, 0, 1, 0], 2, fit);
        let answers = model.answers(&sequences);
        assert_eq!(answers[2][0], alone.probabilities(sequences[2])[1]);
        assert!(answers[0][0] > 0.6 && answers[0][1] < 0.4 && answers[1][1] > 0.6, "{answers:?}");
        assert!(answers.iter().all(|answer| answer[2] == 1.0), "{answers:?}");
    }

    #[test]
    fn targets_of_any_unit_are_fitted_alike() {
        let sequences = codes(&["AAAT", "TTCG", "CCCA", "GGGA"]);
        let sequences: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
        let with = |scale: f64, shift: f64| {
            let targets: Vec<Target> =
                [1.0, 2.0, 4.0, 0.0].map(|value| Target::Values(vec![scale * value + shift, 7.0])).into();
            KmerModel::fit(Task::Regression, &sequences, &targets.iter().collect::<Vec<_>>(), 2, Fit::default())
                .answer(sequences[1])
        };
        let (one, other) = (with(1.0, 0.0), with(1000.0, -5.0));
        assert!((other[0] - (1000.0 * one[0] - 5.0)).abs() < 1e-3, "{one:?} {other:?}");
        assert_eq!(one[1], 7.0);
    }
}
