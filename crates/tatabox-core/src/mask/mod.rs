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
//! | `pmi` | centres; the best-ranked half of them hide a whole k-mer, the rest one base | PMI-guided masking, section 4.2 |
//! | `pmi-vocab` | units of a masking vocabulary of 2- to 10-mers, into which the sequence is divided | PMI-guided masking, section 5.4 |
//!
//! The first three are a [`SpanMask`], `pmi` is a [`PmiMask`], `pmi-vocab` a [`PmiVocabMask`]; [`MaskConfig`] makes each of them from its name.

mod choice;
mod config;
mod corrupt;
mod draw;
pub mod frozen;
mod hidden;
pub mod inspect;
mod learned;
mod pmi;
mod pmi_vocab;
mod random_mask;
mod solve;
mod span_mask;
mod vocabulary;

use crate::rng::SeededRng;
use crate::tokenizer::{SPECIALS, Tokens};
use crate::units::TokenPos;

pub use choice::{Lookup, Rate, Schedule, Strategy};
pub use config::{MaskConfig, OWN_GENOME};
pub use corrupt::{Corruption, CorruptionUnit, Masked, corrupt};
pub use draw::SpanDraw;
pub use hidden::Hidden;
pub use learned::{Learned, MaskScores};
pub use pmi::PmiMask;
pub use pmi_vocab::PmiVocabMask;
pub use span_mask::SpanMask;
pub use vocabulary::{MaskVocabulary, VocabularyEntry};

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
    /// The spans as they were drawn, by their first token; they may overlap.
    pub spans: Vec<Span>,
    /// Room for a strategy to work in; it says nothing about the selection.
    pub room: Room,
}

/// Where strategies that look at the sequence keep their notes between two selections, so that these allocate nothing.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// `pmi`: the centres of the sequence.
    centers: Vec<pmi::Center>,
    /// `pmi-vocab`: how the sequence is divided.
    division: pmi_vocab::Division,
}

/// Notes are no part of what was selected: all are equal.
impl PartialEq for Room {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Room {}

impl Selection {
    /// Forgets what was selected.
    pub fn clear(&mut self) {
        self.positions.clear();
        self.spans.clear();
    }

    /// Selects what lies under the spans (in the order of their first tokens), less the unknown tokens.
    fn take_spans(&mut self, tokens: &Tokens) {
        let mut free = 0; // the first token that no span has taken
        for span in &self.spans {
            for position in span.start.0.max(free)..span.end.0 {
                if tokens.ids[position as usize].0 >= SPECIALS {
                    self.positions.push(TokenPos(position));
                }
            }
            free = free.max(span.end.0);
        }
    }
}

/// Steps in which a strategy draws the same kinds of spans.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// The first step of the phase, from 1.
    pub first_step: u64,
    /// The lengths that a span may have, in tokens, increasing; at the ends of a sequence they are cut.
    pub spans: Vec<u32>,
    /// The share of the tokens of a long sequence that is selected, by the draw that selects most; to plan with, not to report.
    pub mask_rate: f64,
    /// What is drawn, in words.
    pub drawn: String,
}

impl Phase {
    /// A phase in which each sequence draws one of these spans.
    fn of_draws(first_step: u64, draws: &[SpanDraw]) -> Self {
        let words: Vec<String> = draws.iter().map(SpanDraw::to_string).collect();
        let one = if draws.len() == 1 { "" } else { ", one length a sequence" };
        Self {
            first_step,
            spans: draws.iter().map(SpanDraw::tokens).collect(),
            mask_rate: draws.iter().map(SpanDraw::mask_rate).fold(0.0, f64::max),
            drawn: format!("{} (tokens at centre rate{one})", words.join(", ")),
        }
    }
}

/// Chooses the tokens to mask.
pub trait MaskStrategy: Send + Sync {
    /// The name in recipes: `kmer-span`.
    fn name(&self) -> &'static str;

    /// The phases in the order of their steps, at least one; the first begins at step 1, the last never ends.
    fn phases(&self) -> &[Phase];

    /// Selects tokens into `out`, whose content is replaced. `step` is the optimizer step, from 1 (Algorithm 1's S); 0 is taken as 1.
    fn select_into(&self, tokens: &Tokens, step: u64, rng: &mut SeededRng, out: &mut Selection);

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
    use crate::tokenizer::{TokenKind, Tokenizer, TokenizerConfig, UNK};
    use crate::units::TokenId;
    use proptest::prelude::*;
    use proptest::strategy::Strategy as _;

    /// Overlapping 6-mers.
    pub(super) fn tokenizer() -> Tokenizer {
        Tokenizer::new(TokenizerConfig::default()).unwrap()
    }

    /// Overlapping k-mers, or single bases.
    pub(super) fn tokenizer_of(k: usize) -> Tokenizer {
        let kind = if k == 1 { TokenKind::Base } else { TokenKind::Kmer };
        Tokenizer::new(TokenizerConfig { kind, k, ..TokenizerConfig::default() }).unwrap()
    }

    /// The tokens of base codes.
    pub(super) fn tokens_of(k: usize, codes: &[u8]) -> Tokens {
        let mut tokens = Tokens::default();
        tokenizer_of(k).encode(codes, &mut tokens);
        tokens
    }

    /// `count` content tokens that are all the same, between the special ones.
    pub(super) fn same_tokens(count: usize) -> Tokens {
        let ids = [vec![TokenId(2)], vec![TokenId(7); count], vec![TokenId(3)]].concat();
        Tokens { ids, unknown: 0, leftover: 0 }
    }

    /// The share of the content tokens that a strategy selects in windows at a step.
    pub(super) fn share_of(strategy: &dyn MaskStrategy, windows: &[Tokens], step: u64) -> f64 {
        let (mut selected, mut all) = (0, 0);
        for (index, tokens) in windows.iter().enumerate() {
            let mut rng = SeededRng::new(21, Purpose::Test, step, index as u64);
            selected += strategy.select(tokens, step, &mut rng).positions.len();
            all += tokens.ids.len() - 2;
        }
        assert!(all >= 100_000);
        selected as f64 / all as f64
    }

    #[test]
    fn the_rate_is_the_asked_one_within_half_a_point_for_every_strategy_that_needs_no_scores() {
        let mut rng = SeededRng::new(20, Purpose::Test, 0, 0);
        let codes: Vec<u8> = (0..515).map(|_| rng.below(4) as u8).collect();
        let windows = vec![tokens_of(6, &codes); 1_500];
        let overlaps = |m: i32| 1.0 - 0.975f64.powi(m);
        let widest = [6, 8, 10, 12, 14].map(overlaps).iter().sum::<f64>() / 5.0;
        for (strategy, rate, schedule, asked) in [
            (Strategy::Token, Rate::Paper, Schedule::Expanding, 0.15),
            (Strategy::KmerSpan, Rate::Paper, Schedule::Expanding, overlaps(6)),
            (Strategy::KmerSpan, Rate::Constant, Schedule::Expanding, 0.15),
            (Strategy::RandomMask, Rate::Paper, Schedule::Expanding, overlaps(6)),
            (Strategy::RandomMask, Rate::Paper, Schedule::FixedWide, widest),
            (Strategy::RandomMask, Rate::Constant, Schedule::FixedWide, 0.15),
        ] {
            let schedule = (strategy == Strategy::RandomMask).then_some(schedule);
            let config = MaskConfig { strategy, rate, schedule, ..MaskConfig::default() };
            let share = share_of(&*config.build(&tokenizer(), 480_000, 0, None).unwrap(), &windows, 1);
            assert!((share - asked).abs() < 0.005, "{strategy} {rate} {schedule:?}: {share}, asked {asked}");
        }
    }

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
                schedule: (strategy == Strategy::RandomMask).then_some(schedule),
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
            let strategy = config.build(&tokenizer, 1_000, seed, None).unwrap();
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
