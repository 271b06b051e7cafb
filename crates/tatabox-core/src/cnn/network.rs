//! The network: bases to answers, and slopes back. Generic over the number, so that the gradients can be checked in f64.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Mul};

use crate::seq::UNKNOWN;

/// Patterns that are looked for.
pub const FILTERS: usize = 64;
/// Bases of a pattern.
pub const WIDTH: usize = 12;
/// Numbers that a sequence becomes: the highest and the mean activation of each filter.
pub const FEATURES: usize = 2 * FILTERS;
/// Weights of the filters, `[WIDTH][4 bases][FILTERS]`; their biases follow.
const CONVOLUTION: usize = WIDTH * 4 * FILTERS;

/// What the network computes with.
pub(super) trait Real:
    Copy + Default + Debug + PartialOrd + Add<Output = Self> + Mul<Output = Self> + AddAssign + Send + Sync
{
    fn of(value: f64) -> Self;
    fn wide(self) -> f64;
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn wide(self) -> f64 {
        self
    }
}

/// Sizes of a network: what its weights mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Sequences of an example: 1, or 2 for pairs.
    pub sequences: usize,
    /// Classes, labels or numbers.
    pub outputs: usize,
}

/// A sequence as features, and where they came from.
pub(super) struct Pooled<R> {
    /// Activations, `[bases][FILTERS]`.
    active: Vec<R>,
    /// The base at which each filter is highest, `[FILTERS]`.
    highest: [u32; FILTERS],
    /// Highest, then mean activations, `[FEATURES]`.
    pub features: [R; FEATURES],
}

impl Shape {
    /// How many weights there are: those of the filters and their biases, then `[outputs][sequences * FEATURES]` and the outputs' biases.
    pub fn weights(self) -> usize {
        CONVOLUTION + FILTERS + self.outputs * (self.sequences * FEATURES + 1)
    }

    /// Where the weights of the answers begin; those before are the filters'.
    pub const fn head() -> usize {
        CONVOLUTION + FILTERS
    }

    /// Whether a weight is a bias, which no penalty draws to 0.
    pub fn is_bias(self, at: usize) -> bool {
        (CONVOLUTION..Self::head()).contains(&at) || at >= self.weights() - self.outputs
    }

    /// Answers before their probabilities, `[outputs]`, of features, `[sequences * FEATURES]`.
    pub fn logits<R: Real>(self, weights: &[R], features: &[R]) -> Vec<f64> {
        let (head, bias) = weights[Self::head()..].split_at(self.outputs * features.len());
        let rows = head.chunks_exact(features.len()).zip(bias);
        rows.map(|(row, &bias)| row.iter().zip(features).fold(bias, |sum, (&weight, &one)| sum + weight * one).wide())
            .collect()
    }

    /// Adds the slopes of the answers' weights to `gradient` and gives those of the features; `slopes` are those of the logits, `[outputs]`.
    pub fn back_to_features<R: Real>(
        self,
        weights: &[R],
        features: &[R],
        slopes: &[f64],
        gradient: &mut [R],
    ) -> Vec<R> {
        let mut back = vec![R::default(); features.len()];
        for (output, &slope) in slopes.iter().enumerate() {
            let slope = R::of(slope);
            let at = Self::head() + output * features.len();
            for index in 0..features.len() {
                gradient[at + index] += slope * features[index];
                back[index] += slope * weights[at + index];
            }
            gradient[Self::head() + self.outputs * features.len() + output] += slope;
        }
        back
    }
}

/// The weights that each base of a window picks: `[FILTERS]` for every base that is known. Bases outside the sequence are unknown.
fn window(codes: &[u8], at: usize) -> impl Iterator<Item = usize> + '_ {
    let (first, outside) = (at.saturating_sub(WIDTH / 2), (WIDTH / 2).saturating_sub(at));
    let inside = codes[first..].iter().take(WIDTH - outside).enumerate();
    inside
        .filter(|(_, code)| **code < UNKNOWN)
        .map(move |(place, &code)| ((place + outside) * 4 + usize::from(code)) * FILTERS)
}

/// Activations of all windows, and what is kept of them.
pub(super) fn pool<R: Real>(weights: &[R], codes: &[u8]) -> Pooled<R> {
    let bias = &weights[CONVOLUTION..CONVOLUTION + FILTERS];
    let mut active = vec![R::default(); codes.len() * FILTERS];
    let mut highest = [0u32; FILTERS];
    let mut features = [R::default(); FEATURES];
    let share = R::of(1.0 / codes.len().max(1) as f64);
    let (top, mean) = features.split_at_mut(FILTERS);
    for (at, sums) in active.chunks_exact_mut(FILTERS).enumerate() {
        sums.copy_from_slice(bias);
        for row in window(codes, at) {
            for (sum, &weight) in sums.iter_mut().zip(&weights[row..row + FILTERS]) {
                *sum += weight;
            }
        }
        for filter in 0..FILTERS {
            // Not above 0 is 0: a filter is silent there.
            let value = if sums[filter] > R::default() { sums[filter] } else { R::default() };
            sums[filter] = value;
            mean[filter] += value;
            if value > top[filter] {
                top[filter] = value;
                highest[filter] = at as u32;
            }
        }
    }
    mean.iter_mut().for_each(|mean| *mean = *mean * share);
    Pooled { active, highest, features }
}

/// Adds the slopes of the filters to `gradient`; `slopes` are those of the features, `[FEATURES]`.
pub(super) fn back_to_filters<R: Real>(pooled: &Pooled<R>, codes: &[u8], slopes: &[R], gradient: &mut [R]) {
    let share = R::of(1.0 / codes.len().max(1) as f64);
    let (of_top, of_mean) = slopes.split_at(FILTERS);
    let zero = R::default();
    for (at, active) in pooled.active.chunks_exact(FILTERS).enumerate() {
        let mut here = [zero; FILTERS];
        for filter in 0..FILTERS {
            here[filter] = if active[filter] > zero { share * of_mean[filter] } else { zero };
        }
        for row in window(codes, at).chain([CONVOLUTION]) {
            for (sum, &one) in gradient[row..row + FILTERS].iter_mut().zip(&here) {
                *sum += one;
            }
        }
    }
    for filter in (0..FILTERS).filter(|&filter| pooled.features[filter] > zero) {
        for row in window(codes, pooled.highest[filter] as usize).chain([CONVOLUTION]) {
            gradient[row + filter] += of_top[filter];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, SeededRng};

    #[test]
    fn a_window_is_centred_and_knows_its_ends_and_unknown_bases() {
        let codes: Vec<u8> = (0..20).map(|at| if at == 3 { UNKNOWN } else { (at % 4) as u8 }).collect();
        let places = |at: usize| -> Vec<(usize, usize)> {
            window(&codes, at).map(|row| (row / FILTERS / 4, row / FILTERS % 4)).collect()
        };
        // At base 0 the window holds bases -6..6.
        assert_eq!(places(0), [(6, 0), (7, 1), (8, 2), (10, 0), (11, 1)]);
        assert_eq!(places(10), (4..16).map(|base| (base - 4, base % 4)).collect::<Vec<_>>());
        assert_eq!(places(19), (13..20).map(|base| (base - 13, base % 4)).collect::<Vec<_>>());
    }

    #[test]
    fn slopes_are_finite_differences_in_f64() {
        let shape = Shape { sequences: 2, outputs: 3 };
        let mut rng = SeededRng::new(5, Purpose::Test, 0, 0);
        let mut weights: Vec<f64> = (0..shape.weights()).map(|_| rng.unit() - 0.5).collect();
        let mut sequence = |bases: u64| -> Vec<u8> { (0..bases).map(|_| rng.below(5) as u8).collect() };
        let pair = [sequence(31), sequence(7)];
        // Any smooth function of the logits will do: their product with fixed numbers, squared.
        let loss = |weights: &[f64]| -> (f64, Vec<f64>, Vec<f64>) {
            let features: Vec<f64> = pair.iter().flat_map(|codes| pool(weights, codes).features).collect();
            let logits = shape.logits(weights, &features);
            let sum: f64 = logits.iter().zip([1.0, -0.5, 0.25]).map(|(logit, factor)| factor * logit).sum();
            (sum * sum, [1.0, -0.5, 0.25].map(|factor| 2.0 * sum * factor).into(), features)
        };
        let (_, slopes, features) = loss(&weights);
        let mut gradient = vec![0.0; shape.weights()];
        let back = shape.back_to_features(&weights, &features, &slopes, &mut gradient);
        for (codes, slopes) in pair.iter().zip(back.chunks(FEATURES)) {
            back_to_filters(&pool(&weights, codes), codes, slopes, &mut gradient);
        }
        let size = gradient.iter().fold(0.0, |most: f64, slope| most.max(slope.abs()));
        for at in (0..shape.weights())
            .step_by(7)
            .chain(CONVOLUTION..Shape::head())
            .chain(shape.weights() - 3..shape.weights())
        {
            let kept = weights[at];
            let mut beside = |step: f64| {
                weights[at] = kept + step;
                let value = loss(&weights).0;
                weights[at] = kept;
                value
            };
            let difference = (beside(1e-6) - beside(-1e-6)) / 2e-6;
            assert!((difference - gradient[at]).abs() < 1e-6 * size, "weight {at}: {difference} {}", gradient[at]);
        }
        assert!(shape.is_bias(CONVOLUTION) && !shape.is_bias(Shape::head()) && shape.is_bias(shape.weights() - 1));
    }
}
