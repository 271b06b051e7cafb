//! What a model must beat: readers of the visible bases that have learnt only counts, scored on the same frozen masks.
//!
//! | name | what it knows |
//! |---|---|
//! | `uniform` | the visible bases; every other base is one of four |
//! | `kmer-frequency` | the visible bases of the masked token, and how frequent each k-mer is in the training part |
//! | `markov-5` | all visible bases, and how frequent each base is after each five, in the training part |
//!
//! A base is visible where a token that was not selected covers it. Selected tokens never count, not even the 10 % that are left as they are: a reader
//! cannot tell these from the replaced ones.

mod kmer;
mod markov;

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::count::KmerCounts;
use crate::error::{Error, Result};
use crate::mask::Hidden;
use crate::mask::frozen::{FrozenMasks, FrozenSequence};
use crate::score::{ScoreSums, Scores};
use crate::tokenizer::Tokenizer;
use crate::units::TokenPos;

pub use kmer::KmerFrequency;
pub use markov::Markov;

/// A base that no visible token spells out.
pub const HIDDEN: u8 = 4;

/// The scores of one baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineScores {
    /// `uniform`, `kmer-frequency` or `markov-5`.
    pub name: String,
    /// Its scores.
    #[serde(flatten)]
    pub scores: Scores,
}

/// Counts of the training part, from which the baselines are made.
///
/// # Examples
/// ```
/// use tatabox_core::baseline::Baselines;
/// use tatabox_core::count::{Strands, count_sequences};
/// use tatabox_core::mask::frozen::{Freezer, Origin};
/// use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig};
/// let codes: Vec<u8> = (0..600).map(|base| [0, 0, 1, 2, 3, 1][base % 6]).collect(); // AATCGT again and again
/// let tokenizer = Tokenizer::new(TokenizerConfig::default())?;
/// let origin = Origin { contig: "c".into(), start: 0, bases: 600, reverse: false };
/// let masks = Freezer::new(tokenizer.clone(), 1).freeze_all([Ok((codes.clone(), origin))])?;
/// let counts = count_sequences(&[&codes], Baselines::lengths(&tokenizer), Strands::Forward)?;
/// let scores = Baselines::new(&tokenizer, counts)?.score(&masks)?;
/// assert_eq!(scores[0].name, "uniform");
/// assert!((scores[0].scores.overall.bits_per_hidden_base.unwrap() - 2.0).abs() < 1e-9);
/// assert!(scores[2].scores.overall.perplexity < 1.2); // five bases say the sixth
/// # Ok::<(), tatabox_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Baselines {
    k: usize,
    counts: KmerCounts,
}

impl Baselines {
    /// The lengths of k-mers that the baselines of a tokenizer need the counts of.
    pub fn lengths(tokenizer: &Tokenizer) -> RangeInclusive<usize> {
        let markov = markov::ORDER + 1;
        tokenizer.k().min(markov)..=tokenizer.k().max(markov)
    }

    /// The baselines of a tokenizer, by counts on the training part (on both strands, for a model that is trained on both).
    ///
    /// # Errors
    /// [`Error::Data`] where the counts lack one of [`Baselines::lengths`].
    pub fn new(tokenizer: &Tokenizer, counts: KmerCounts) -> Result<Self> {
        for k in [tokenizer.k(), markov::ORDER + 1] {
            if counts.of(k).is_none() {
                let what = format!("the baselines need the counts of {k}-mers, and there are none");
                return Err(Error::Data { what, hint: String::new() });
            }
        }
        Ok(Self { k: tokenizer.k(), counts })
    }

    /// The scores of all baselines on frozen masks.
    ///
    /// # Errors
    /// [`Error::Value`] where the masks have another k; [`Error::Data`] where they ask nothing or their ids contradict each other.
    pub fn score(&self, masks: &FrozenMasks) -> Result<Vec<BaselineScores>> {
        if masks.tokenizer.k() != self.k {
            return Err(Error::Value {
                key: "tokenizer.k".into(),
                got: self.k.to_string(),
                expected: format!("the frozen masks have k = {}", masks.tokenizer.k()),
                hint: String::new(),
            });
        }
        let of = |k: usize| self.counts.of(k).expect("the lengths were checked");
        let mut frequency = KmerFrequency::new(of(self.k));
        let markov = Markov::new(of(markov::ORDER + 1));
        let mut sums = [ScoreSums::default(), ScoreSums::default(), ScoreSums::default()];
        let [uniform_sums, frequency_sums, markov_sums] = &mut sums;
        for sequence in &masks.sequences {
            let asked = Asked::new(&masks.tokenizer, sequence)?;
            let posteriors = markov.posteriors(&asked.visible);
            for (start, &hidden) in asked.starts.iter().zip(&sequence.hidden) {
                let range = *start..start + masks.tokenizer.k();
                let (visible, truth) = (&asked.visible[range.clone()], &asked.truth[range.clone()]);
                uniform_sums.add(&sequence.mask, f64::from(hidden) * 4f64.ln(), hidden);
                frequency_sums.add(&sequence.mask, frequency.nats(visible, truth), hidden);
                markov_sums.add(&sequence.mask, posteriors.nats(*start, truth), hidden);
            }
        }
        let nothing = || Error::Data { what: "the frozen masks ask nothing".into(), hint: String::new() };
        ["uniform", "kmer-frequency", "markov-5"]
            .into_iter()
            .zip(&sums)
            .map(|(name, sums)| Ok(BaselineScores { name: name.into(), scores: sums.scores().ok_or_else(nothing)? }))
            .collect()
    }
}

/// A frozen sequence in bases.
struct Asked {
    /// The true bases, `[bases]`.
    truth: Vec<u8>,
    /// The same with [`HIDDEN`] where no visible token spells the base out, `[bases]`.
    visible: Vec<u8>,
    /// The first base of each target, `[targets]`.
    starts: Vec<usize>,
}

impl Asked {
    fn new(tokenizer: &Tokenizer, sequence: &FrozenSequence) -> Result<Self> {
        let ids = sequence.original_ids();
        let truth = tokenizer.decode(&ids)?;
        let positions: Vec<TokenPos> = sequence.masked.targets.iter().map(|&(position, _)| position).collect();
        let hidden = Hidden::new(tokenizer, &ids, &positions);
        let visible =
            truth.iter().enumerate().map(|(base, &code)| if hidden.is_hidden(base) { HIDDEN } else { code }).collect();
        let starts = positions.iter().map(|position| (position.index() - 1) * tokenizer.stride()).collect();
        Ok(Self { truth, visible, starts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::{Strands, count_sequences};
    use crate::mask::frozen::{Freezer, Origin};
    use crate::rng::{Purpose, SeededRng};
    use crate::tokenizer::TokenizerConfig;

    fn masks(tokenizer: &Tokenizer, sequences: &[Vec<u8>]) -> FrozenMasks {
        let origin =
            |codes: &Vec<u8>| Origin { contig: "c".into(), start: 0, bases: codes.len() as u64, reverse: false };
        let windows = sequences.iter().map(|codes| Ok((codes.clone(), origin(codes))));
        Freezer::new(tokenizer.clone(), 5).freeze_all(windows).unwrap()
    }

    /// The baselines that have counted these sequences.
    fn baselines(tokenizer: &Tokenizer, sequences: &[&[u8]]) -> Baselines {
        let counts = count_sequences(sequences, Baselines::lengths(tokenizer), Strands::Forward).unwrap();
        Baselines::new(tokenizer, counts).unwrap()
    }

    /// Bases of a chain in which a base follows the one before it more often than any other.
    fn chain(bases: usize, index: u64) -> Vec<u8> {
        let mut rng = SeededRng::new(1, Purpose::Test, 7, index);
        let mut last = 0;
        let step = |_| {
            last = if rng.chance(0.7) { (last + 1) % 4 } else { rng.below(4) as u8 };
            last
        };
        (0..bases).map(step).collect()
    }

    #[test]
    fn knowing_nothing_costs_two_bits_a_hidden_base() {
        for (k, stride) in [(3, 1), (6, 1), (6, 6)] {
            let tokenizer = Tokenizer::new(TokenizerConfig { k, stride, ..TokenizerConfig::default() }).unwrap();
            let set = masks(&tokenizer, &[chain(300, 0), chain(40, 1)]);
            // Nothing was observed: every count is the smoothing's.
            for scores in baselines(&tokenizer, &[]).score(&set).unwrap() {
                let bits = scores.scores.overall.bits_per_hidden_base.unwrap();
                assert!((bits - 2.0).abs() < 1e-9, "{}: {bits}", scores.name);
            }
        }
    }

    #[test]
    fn on_a_chain_the_markov_model_is_best_and_near_the_truth() {
        let tokenizer = Tokenizer::new(TokenizerConfig::default()).unwrap();
        let baselines = baselines(&tokenizer, &[&chain(400_000, 100)]);
        let held_out: Vec<Vec<u8>> = (0..60).map(|index| chain(515, index)).collect();
        let scores = baselines.score(&masks(&tokenizer, &held_out)).unwrap();
        let bits = |index: usize, mask: usize| scores[index].scores.by_mask[mask].score.bits_per_hidden_base.unwrap();
        for mask in 0..5 {
            assert!(bits(2, mask) < bits(1, mask) - 0.05 && bits(1, mask) < bits(0, mask) - 0.05, "mask {mask}");
        }
        // The chain's entropy is -(0.775 log2 0.775 + 3 * 0.075 log2 0.075) = 1.126 bits; one hidden base between known ones costs less.
        assert!(bits(2, 0) < 1.126);
    }

    #[test]
    fn masks_of_another_k_are_refused() {
        let three = Tokenizer::new(TokenizerConfig { k: 3, ..TokenizerConfig::default() }).unwrap();
        let six = Tokenizer::new(TokenizerConfig::default()).unwrap();
        let error = baselines(&six, &[]).score(&masks(&three, &[chain(50, 0)])).unwrap_err();
        assert_eq!(error.to_string(), "`tokenizer.k` is 6, but the frozen masks have k = 3");
    }

    #[test]
    fn counts_of_other_lengths_are_refused() {
        let eight = Tokenizer::new(TokenizerConfig { k: 8, ..TokenizerConfig::default() }).unwrap();
        assert_eq!(Baselines::lengths(&eight), 6..=8);
        let counts = count_sequences(&[&chain(50, 0)], 6..=7, Strands::Forward).unwrap();
        let error = Baselines::new(&eight, counts).unwrap_err();
        assert_eq!(error.to_string(), "the baselines need the counts of 8-mers, and there are none");
    }
}
