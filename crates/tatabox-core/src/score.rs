//! The score of a model on masked tokens, the same for neural models and baselines.

use serde::{Deserialize, Serialize};

/// How well masked tokens were guessed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The mean of -ln p(true token) over the masked tokens.
    pub nats_per_token: f64,
    /// e to the power of `nats_per_token`.
    pub perplexity: f64,
    /// All nats over ln 2 and over `hidden_bases`: what a hidden base costs. Exactly 2 for a reader that uses the visible bases and otherwise knows nothing.
    /// None where no base is hidden.
    pub bits_per_hidden_base: Option<f64>,
    /// Masked tokens.
    pub masked_tokens: u64,
    /// The sum over the masked tokens of the bases under each that no visible token spells out.
    pub hidden_bases: u64,
}

/// Scores of one model: over all masked tokens, and by evaluation mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Over all masked tokens.
    pub overall: Score,
    /// By mask, in the order in which the masks first came.
    pub by_mask: Vec<MaskScore>,
}

/// The score under one evaluation mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskScore {
    /// The mask's name: `kmer-span`, `span-8`.
    pub mask: String,
    /// The score of its tokens.
    #[serde(flatten)]
    pub score: Score,
}

/// Sums of the tokens of one mask.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    nats: f64,
    tokens: u64,
    hidden: u64,
}

impl Sum {
    fn add(&mut self, nats: f64, hidden: u32) {
        self.nats += nats;
        self.tokens += 1;
        self.hidden += u64::from(hidden);
    }

    fn score(&self) -> Option<Score> {
        (self.tokens > 0).then(|| {
            let nats_per_token = self.nats / self.tokens as f64;
            let bits = self.nats / (std::f64::consts::LN_2 * self.hidden as f64);
            Score {
                nats_per_token,
                perplexity: nats_per_token.exp(),
                bits_per_hidden_base: (self.hidden > 0).then_some(bits),
                masked_tokens: self.tokens,
                hidden_bases: self.hidden,
            }
        })
    }
}

/// Collects the masked tokens of an evaluation, sequence by sequence.
///
/// # Examples
/// ```
/// use tatabox_core::score::ScoreSums;
/// let mut sums = ScoreSums::default();
/// sums.add("kmer-span", 2.0 * 4f64.ln(), 2);
/// sums.add("kmer-span", 0.0, 0);
/// let score = sums.scores().unwrap().overall;
/// assert_eq!(score.bits_per_hidden_base, Some(2.0));
/// assert!((score.perplexity - 4.0).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ScoreSums {
    by_mask: Vec<(String, Sum)>,
}

impl ScoreSums {
    /// Adds a masked token under a mask.
    pub fn add(&mut self, mask: &str, nats: f64, hidden: u32) {
        let index = self.by_mask.iter().position(|(name, _)| name == mask).unwrap_or_else(|| {
            self.by_mask.push((mask.into(), Sum::default()));
            self.by_mask.len() - 1
        });
        self.by_mask[index].1.add(nats, hidden);
    }

    /// The scores; none where there were no tokens.
    pub fn scores(&self) -> Option<Scores> {
        let all = self.by_mask.iter().fold(Sum::default(), |all, (_, sum)| Sum {
            nats: all.nats + sum.nats,
            tokens: all.tokens + sum.tokens,
            hidden: all.hidden + sum.hidden,
        });
        let by_mask =
            self.by_mask.iter().filter_map(|(mask, sum)| Some(MaskScore { mask: mask.clone(), score: sum.score()? }));
        Some(Scores { overall: all.score()?, by_mask: by_mask.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_kept_apart_and_weigh_by_their_tokens() {
        let mut sums = ScoreSums::default();
        for (mask, nats, hidden) in [("b", 1.0, 1), ("a", 4.0, 2), ("b", 3.0, 0)] {
            sums.add(mask, nats, hidden);
        }
        let scores = sums.scores().unwrap();
        assert_eq!(scores.by_mask.iter().map(|one| one.mask.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(scores.by_mask[0].score.nats_per_token, 2.0);
        assert_eq!(scores.overall.nats_per_token, 8.0 / 3.0);
        assert_eq!((scores.overall.masked_tokens, scores.overall.hidden_bases), (3, 3));
        let json = serde_json::to_value(&scores).unwrap();
        assert_eq!(json["by_mask"][1]["nats_per_token"], 4.0);
        assert!(ScoreSums::default().scores().is_none());
    }

    #[test]
    fn tokens_that_hide_nothing_have_no_bits_a_base() {
        let mut sums = ScoreSums::default();
        sums.add("a", 0.5, 0);
        let score = sums.scores().unwrap().overall;
        assert_eq!(score.bits_per_hidden_base, None);
        assert_eq!(serde_json::to_value(score).unwrap()["bits_per_hidden_base"], serde_json::Value::Null);
    }
}
