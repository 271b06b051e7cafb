//! Whether probabilities are what they say: of all that is given 0.8, four in five should be true.

use serde::{Deserialize, Serialize};

/// Equal parts of 0..1 in which probabilities are compared with what was true.
pub const BINS: usize = 10;

/// The examples whose probabilities lie in one part of 0..1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// The mean probability.
    pub predicted: f64,
    /// The share that is true.
    pub share: f64,
    /// How many there are.
    pub records: u64,
}

/// Probabilities and what was true, by parts of 0..1: the metrics can be asked for many weightings of the examples, as a bootstrap does.
///
/// `times` says how often each example counts, `[examples]`.
#[derive(Clone, Debug)]
pub struct Reliability {
    bins: Vec<u8>,
    truth: Vec<bool>,
    probabilities: Vec<f64>,
}

impl Reliability {
    /// Probabilities that something is true, `[examples]`. Of a border between two parts, the lower part has it (scikit-learn's `calibration_curve`).
    ///
    /// # Panics
    /// Where the two are not equally long.
    pub fn of(truth: &[bool], probabilities: &[f64]) -> Reliability {
        assert_eq!(truth.len(), probabilities.len());
        let bin = |&value: &f64| (1..BINS).filter(|&border| border as f64 * (1.0 / BINS as f64) < value).count() as u8;
        Reliability {
            bins: probabilities.iter().map(bin).collect(),
            truth: truth.to_vec(),
            probabilities: probabilities.to_vec(),
        }
    }

    /// The parts that have examples, the lowest probabilities first.
    ///
    /// # Examples
    /// ```
    /// use tatabox_core::metrics::Reliability;
    /// let bins = Reliability::of(&[true, false, true], &[0.75, 0.75, 0.15]).bins(&[1, 1, 1]);
    /// assert_eq!((bins.len(), bins[1].predicted, bins[1].share, bins[1].records), (2, 0.75, 0.5, 2));
    /// ```
    pub fn bins(&self, times: &[u32]) -> Vec<Bin> {
        let mut sums = [(0.0, 0u64, 0u64); BINS];
        for (at, &times) in times.iter().enumerate() {
            let (predicted, truth, records) = &mut sums[usize::from(self.bins[at])];
            *predicted += self.probabilities[at] * f64::from(times);
            *truth += u64::from(self.truth[at]) * u64::from(times);
            *records += u64::from(times);
        }
        let bin = |&(predicted, truth, records): &(f64, u64, u64)| Bin {
            predicted: predicted / records as f64,
            share: truth as f64 / records as f64,
            records,
        };
        sums.iter().filter(|sum| sum.2 > 0).map(bin).collect()
    }

    /// The expected calibration error (Naeini et al. 2015; Guo et al. 2017): the mean over the examples of the distance between the mean probability of their
    /// part and the share that is true in it. None of nothing.
    pub fn error(&self, times: &[u32]) -> Option<f64> {
        let bins = self.bins(times);
        let all: u64 = bins.iter().map(|bin| bin.records).sum();
        let sum: f64 = bins.iter().map(|bin| bin.records as f64 * (bin.predicted - bin.share).abs()).sum();
        (all > 0).then(|| sum / all as f64)
    }
}

/// Brier's score of each example, to be averaged: the squared distance between the probabilities and the truth, summed over the classes. With two classes half of
/// it, the squared distance of one probability (scikit-learn's `brier_score_loss`). `probabilities` is `[examples][classes]`.
pub fn squared_distances(truth: &[usize], probabilities: &[Vec<f64>]) -> Vec<f64> {
    let of = |(&truth, row): (&usize, &Vec<f64>)| {
        let squares = row.iter().enumerate().map(|(class, value)| value - f64::from(u8::from(class == truth)));
        squares.map(|distance| distance * distance).sum::<f64>() / if row.len() == 2 { 2.0 } else { 1.0 }
    };
    truth.iter().zip(probabilities).map(of).collect()
}
