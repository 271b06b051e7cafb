//! Spans around centres that are drawn token by token: the machine that the strategies share.

use std::fmt;
use std::ops::Range;

use super::{Selection, Span};
use crate::rng::SeededRng;
use crate::tokenizer::Tokens;
use crate::units::TokenPos;

/// How many survival probabilities are kept; a longer gap is drawn in pieces.
const TABLE: usize = 128;

/// Draws centres: each token is one with the same probability, on its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Centers {
    rate: f64,
    /// `survival[i]` is the probability that a gap is longer than i tokens: (1 - rate)^(i + 1).
    survival: [f64; TABLE],
}

impl Centers {
    /// Centres at `rate` (0.0..=1.0).
    pub fn new(rate: f64) -> Self {
        let mut survival = [0.0; TABLE];
        let mut left = 1.0;
        for entry in &mut survival {
            left *= 1.0 - rate;
            *entry = left;
        }
        Self { rate, survival }
    }

    /// The probability of a token to be a centre.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// How many tokens lie before the next centre, or none where no centre is among the next `left` tokens. One draw a centre instead of one a
    /// token: the gap between centres is geometric. It is looked up in a table of products, because a logarithm's last bit differs between
    /// machines.
    pub fn gap(&self, left: u32, rng: &mut SeededRng) -> Option<u32> {
        let mut gap = 0;
        while gap < left {
            let unit = rng.unit();
            let within = self.survival.partition_point(|&survival| unit < survival) as u32;
            gap += within;
            if within < TABLE as u32 {
                return (gap < left).then_some(gap);
            }
        }
        None
    }
}

/// The span of `tokens` tokens around a centre: i-(m-1)/2 ..= i+m/2 in whole numbers, cut at the ends of the content.
pub(super) fn around(center: u32, tokens: u32, content: &Range<u32>) -> Span {
    let start = center.saturating_sub((tokens - 1) / 2).max(content.start);
    let end = center.saturating_add(tokens / 2).saturating_add(1).min(content.end);
    Span { start: TokenPos(start), end: TokenPos(end) }
}

/// Draws spans of one length around centres, each content token being a centre with the same probability, on its own.
///
/// A span of m tokens around centre i is i-(m-1)/2 ..= i+m/2 in whole numbers: symmetric for odd m, one more to the right for even m. That is
/// DNABERT's `MASK_LIST` for k = 3, 4, 5, 6 (`DNABERT:examples/run_pretrain.py`) and RandomMask's i-m/2+1 ..= i+m/2 (Algorithm 1). Spans are cut at
/// the ends of the content and may overlap.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanDraw {
    tokens: u32,
    centers: Centers,
}

impl SpanDraw {
    /// Spans of `tokens` tokens (at least 1), centres at `center_rate` (0.0..=1.0).
    pub fn new(tokens: u32, center_rate: f64) -> Self {
        Self { tokens: tokens.max(1), centers: Centers::new(center_rate) }
    }

    /// Spans of `tokens` tokens whose union covers `mask_rate` of the tokens of a long sequence: 1 - (1 - p)^m = `mask_rate`.
    ///
    /// # Examples
    /// ```
    /// use tatabox_core::mask::SpanDraw;
    /// let rates: Vec<String> = [6, 8, 10, 12, 14].map(|m| format!("{:.5}", SpanDraw::covering(m, 0.15).center_rate())).to_vec();
    /// assert_eq!(rates, ["0.02672", "0.02011", "0.01612", "0.01345", "0.01154"]);
    /// ```
    pub fn covering(tokens: u32, mask_rate: f64) -> Self {
        // By halving, with products only: `powf` differs in its last bit between machines, and a mask must not.
        let (mut low, mut high) = (0.0f64, 1.0f64);
        for _ in 0..80 {
            let middle = 0.5 * (low + high);
            let visible = (0..tokens).fold(1.0, |share, _| share * (1.0 - middle));
            if 1.0 - visible < mask_rate { low = middle } else { high = middle }
        }
        Self::new(tokens, 0.5 * (low + high))
    }

    /// Tokens in a span.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// The probability of a token to be a centre.
    pub fn center_rate(&self) -> f64 {
        self.centers.rate()
    }

    /// The share of the tokens of a long sequence that is selected: 1 - (1 - p)^m.
    pub fn mask_rate(&self) -> f64 {
        1.0 - (0..self.tokens).fold(1.0, |share, _| share * (1.0 - self.center_rate()))
    }

    /// Selects tokens into `out`, whose content is replaced.
    pub fn select_into(&self, tokens: &Tokens, rng: &mut SeededRng, out: &mut Selection) {
        out.clear();
        let content = tokens.content();
        let mut next = content.start; // the first token that was not yet offered as a centre
        while let Some(gap) = self.centers.gap(content.end - next, rng) {
            let center = next + gap;
            out.spans.push(around(center, self.tokens, &content));
            next = center + 1;
        }
        out.take_spans(tokens);
    }
}

impl fmt::Display for SpanDraw {
    /// `6 at 2.500 %`: tokens at centre rate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:.3} %", self.tokens, 100.0 * self.center_rate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;
    use crate::units::TokenId;

    fn tokens(content: usize) -> Tokens {
        let ids = [vec![TokenId(2)], vec![TokenId(9); content], vec![TokenId(3)]].concat();
        Tokens { ids, unknown: 0, leftover: 0 }
    }

    fn rng(seed: u64) -> SeededRng {
        SeededRng::new(seed, Purpose::Test, 0, 0)
    }

    #[test]
    fn offsets_are_those_of_dnabert_and_random_mask() {
        // DNABERT:examples/run_pretrain.py MASK_LIST for k = 3..6; RandomMask, Algorithm 1, lines 13 and 14 for 8 and 14.
        for (m, first, last) in [(1, 0, 0), (3, -1, 1), (4, -1, 2), (5, -2, 2), (6, -2, 3), (8, -3, 4), (14, -6, 7)] {
            let mut selection = Selection::default();
            let tokens = tokens(100_000);
            SpanDraw::new(m, 0.0005).select_into(&tokens, &mut rng(u64::from(m)), &mut selection);
            let mut again = rng(u64::from(m));
            let draw = SpanDraw::new(1, 0.0005); // the same centres, alone
            let mut centers = Selection::default();
            draw.select_into(&tokens, &mut again, &mut centers);
            assert_eq!(centers.spans.len(), selection.spans.len());
            assert!(!centers.spans.is_empty());
            for (center, span) in centers.spans.iter().zip(&selection.spans) {
                let center = i64::from(center.start.0);
                assert_eq!(i64::from(span.start.0), (center + first).max(1), "m = {m}");
                assert_eq!(i64::from(span.end.0), (center + last + 1).min(100_001), "m = {m}");
            }
        }
    }

    #[test]
    fn centres_are_independent_draws_at_the_asked_rate() {
        for rate in [0.0025, 0.025, 0.15, 0.7] {
            let mut selection = Selection::default();
            SpanDraw::new(1, rate).select_into(&tokens(200_000), &mut rng(1), &mut selection);
            let count = selection.positions.len() as f64;
            let spread = (200_000.0 * rate * (1.0 - rate)).sqrt();
            assert!((count - 200_000.0 * rate).abs() < 4.0 * spread, "{rate}: {count}");
            // Neighbours both being centres happens with probability rate^2, as it does only for independent draws.
            let pairs = selection.positions.windows(2).filter(|pair| pair[1].0 == pair[0].0 + 1).count() as f64;
            let expected = 200_000.0 * rate * rate;
            assert!((pairs - expected).abs() < 5.0 * expected.sqrt() + 3.0, "{rate}: {pairs} for {expected}");
        }
    }

    #[test]
    fn a_seed_draws_the_same_masks_in_every_version_and_on_every_machine() {
        // Written by this program. If this changes, no run resumes and no frozen set is drawn as before: say so in the changelog.
        let mut selection = Selection::default();
        SpanDraw::covering(8, 0.15).select_into(&tokens(510), &mut rng(42), &mut selection);
        let starts: Vec<u32> = selection.spans.iter().map(|span| span.start.0).collect();
        assert_eq!(starts, [222, 253, 272, 326, 506]);
    }

    #[test]
    fn the_extremes_select_nothing_and_everything() {
        let mut selection = Selection::default();
        SpanDraw::new(6, 0.0).select_into(&tokens(1_000), &mut rng(0), &mut selection);
        assert!(selection.positions.is_empty());
        SpanDraw::new(6, 1.0).select_into(&tokens(1_000), &mut rng(0), &mut selection);
        assert_eq!(selection.positions.len(), 1_000);
        SpanDraw::new(6, 1.0).select_into(&tokens(0), &mut rng(0), &mut selection);
        assert!(selection.positions.is_empty() && selection.spans.is_empty());
    }

    #[test]
    fn covering_gives_the_asked_share_for_every_span() {
        for m in [1, 3, 6, 14, 40] {
            let draw = SpanDraw::covering(m, 0.15);
            assert!((draw.mask_rate() - 0.15).abs() < 1e-12, "{m}");
            let mut selection = Selection::default();
            draw.select_into(&tokens(400_000), &mut rng(3), &mut selection);
            let share = selection.positions.len() as f64 / 400_000.0;
            let spread = f64::from(m) * (draw.center_rate() / 400_000.0).sqrt(); // centres are independent, their tokens are not
            assert!((share - 0.15).abs() < 4.0 * spread, "{m}: {share}");
        }
    }
}
