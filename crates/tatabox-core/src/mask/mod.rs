//! Masking: which tokens the model must guess, and what it sees in their place.
//!
//! [`MaskStrategy::select`] chooses *which*; [`corrupt`](corrupt::corrupt) decides *how* they are hidden (80/10/10, Devlin et al. 2019, 3.1). Strategies
//! differ only in the first; the second is written, and tested, once.
//!
//! | name | what is drawn | source |
//! |---|---|---|
//! | `token` | tokens, one by one | BERT; right for tokens side by side |
//! | `kmer-span` | centres, each with its k-1 neighbours | DNABERT |
//! | `random-mask` | spans of m tokens, m even and drawn per sequence, from a set that changes by phase | RandomMask, Algorithm 1 |

mod choice;
mod config;
mod corrupt;
mod draw;
pub mod frozen;
mod hidden;
pub mod inspect;
mod kmer_span;
mod random_mask;
mod token;

use crate::rng::SeededRng;
use crate::tokenizer::Tokens;
use crate::units::TokenPos;

pub use choice::{Rate, Schedule, Strategy};
pub use config::MaskConfig;
pub use corrupt::{Corruption, CorruptionUnit, Masked, corrupt};
pub use draw::SpanDraw;
pub use hidden::Hidden;
pub use kmer_span::KmerSpan;
pub use random_mask::RandomMask;
pub use token::TokenMask;

/// Neighbouring tokens that were selected together: half-open, cut at the ends of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first token.
    pub start: TokenPos,
    /// One past the last token.
    pub end: TokenPos,
}

/// The tokens that a model must guess. Kept and refilled, so that selecting allocates nothing once it is warm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The selected positions, increasing, each once. Never a special token, `[UNK]` among them. Empty where the draw found no centre, as in DNABERT.
    pub positions: Vec<TokenPos>,
    /// The spans as they were drawn, by centre; they may overlap.
    pub spans: Vec<Span>,
}

impl Selection {
    /// Forgets what was selected.
    pub fn clear(&mut self) {
        self.positions.clear();
        self.spans.clear();
    }
}

/// Steps in which a strategy draws from the same spans.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// The first step of the phase, from 1.
    pub first_step: u64,
    /// What is drawn, each with the same probability, once a sequence.
    pub draws: Vec<SpanDraw>,
}

/// Chooses the tokens to mask.
pub trait MaskStrategy: Send + Sync {
    /// The name in recipes: `kmer-span`.
    fn name(&self) -> &'static str;

    /// The phases in the order of their steps, at least one; the first begins at step 1, the last never ends.
    fn phases(&self) -> &[Phase];

    /// Selects tokens into `out`, whose content is replaced. `step` is the optimizer step, from 1 (Algorithm 1's S); 0 is taken as 1.
    fn select_into(&self, tokens: &Tokens, step: u64, rng: &mut SeededRng, out: &mut Selection) {
        let draws = &self.phase(step).draws;
        let draw = &draws[if draws.len() == 1 { 0 } else { rng.below(draws.len() as u64) as usize }];
        draw.select_into(tokens, rng, out);
    }

    /// As [`MaskStrategy::select_into`], into a new selection.
    fn select(&self, tokens: &Tokens, step: u64, rng: &mut SeededRng) -> Selection {
        let mut out = Selection::default();
        self.select_into(tokens, step, rng, &mut out);
        out
    }

    /// The phase of a step.
    fn phase(&self, step: u64) -> &Phase {
        let phases = self.phases();
        &phases[phases.partition_point(|phase| phase.first_step <= step.max(1)).max(1) - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Strategy;
    use crate::rng::Purpose;
    use crate::tokenizer::{Tokenizer, TokenizerConfig, UNK};
    use proptest::prelude::*;
    use proptest::strategy::Strategy as _;

    fn any_strategy() -> impl proptest::strategy::Strategy<Value = MaskConfig> {
        let schedules = [Schedule::Expanding, Schedule::FixedWide, Schedule::Contracting, Schedule::Shuffled];
        (
            prop::sample::select(vec![Strategy::Token, Strategy::KmerSpan, Strategy::RandomMask]),
            prop::sample::select(vec![Rate::Paper, Rate::Constant]),
            prop::sample::select(schedules.to_vec()),
            0.01..0.9f64,
        )
            .prop_map(|(strategy, rate, schedule, mask_rate)| MaskConfig {
                strategy,
                rate,
                schedule,
                mask_rate,
                ..MaskConfig::default()
            })
    }

    proptest! {
        #[test]
        fn never_selects_a_special_token_and_keeps_order_and_bounds(
            config in any_strategy(),
            codes in prop::collection::vec(prop_oneof![30 => 0u8..4, 1 => Just(4u8)], 0..120),
            step in 0u64..2_000,
            seed: u64,
        ) {
            let tokenizer = Tokenizer::new(TokenizerConfig::default()).unwrap();
            let mut tokens = Tokens::default();
            tokenizer.encode(&codes, &mut tokens);
            let strategy = config.build(tokenizer.cover(), 1_000, seed).unwrap();
            let selection = strategy.select(&tokens, step, &mut SeededRng::new(seed, Purpose::Select, step, 0));
            let content = tokens.content();
            prop_assert!(selection.positions.windows(2).all(|pair| pair[0] < pair[1]));
            for span in &selection.spans {
                prop_assert!(content.start <= span.start.0 && span.start < span.end && span.end.0 <= content.end);
            }
            // The positions are the union of the spans, less the unknown tokens.
            let union: Vec<TokenPos> = content
                .map(TokenPos)
                .filter(|&pos| selection.spans.iter().any(|span| span.start <= pos && pos < span.end))
                .filter(|pos| tokens.ids[pos.index()] != UNK)
                .collect();
            prop_assert_eq!(&selection.positions, &union);
            let again = strategy.select(&tokens, step, &mut SeededRng::new(seed, Purpose::Select, step, 0));
            prop_assert_eq!(selection, again);
        }
    }
}
