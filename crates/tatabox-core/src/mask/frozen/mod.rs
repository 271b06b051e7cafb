//! Frozen evaluation masks: drawn once, saved, and the same for every run and strategy that is compared.
//!
//! For every window a set holds one sequence per evaluation mask, all at a masked share of 15 %: `kmer-span` (`token` where tokens lie side by side) and
//! the four wider spans of RandomMask (`span-8` to `span-14` for 6-mers). They are corrupted 80/10/10 as in training. The file is JSON lines that any
//! program can read: `input_ids` and `labels` (-100 where nothing is asked), so that another program can compute the same loss.

mod file;

use super::config::default_spans;
use super::{Corruption, CorruptionUnit, Hidden, Masked, Selection, SpanDraw, corrupt};
use crate::error::Result;
use crate::rng::{Purpose, SeededRng};
use crate::tokenizer::{SPECIALS, Tokenizer, Tokens};
use crate::units::{TokenId, TokenPos};

/// The share of tokens that every evaluation mask hides.
pub const MASK_RATE: f64 = 0.15;

/// Where a frozen sequence came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The contig's name.
    pub contig: String,
    /// The first base on the contig, from 0, in the contig's own direction.
    pub start: u64,
    /// Bases of the window.
    pub bases: u64,
    /// True where the sequence is the reverse complement of the contig's.
    pub reverse: bool,
}

/// One masked sequence of an evaluation set.
#[derive(Clone, Debug, PartialEq)]
pub struct FrozenSequence {
    /// What the model sees and must answer.
    pub masked: Masked,
    /// For each target, how many of its own bases no visible token spells out, `[targets]`.
    pub hidden: Vec<u32>,
    /// The bases of the sequence that no visible token spells out, each counted once.
    pub hidden_bases: u32,
    /// The evaluation mask: `kmer-span`, `span-8`.
    pub mask: String,
    /// Tokens in a span of it.
    pub span: u32,
    /// The window's index in the set; the sequences of one window differ in their mask only.
    pub window: u64,
    /// Where the window lies.
    pub origin: Origin,
}

impl FrozenSequence {
    /// The true ids, `[tokens]`: what the model sees with the answers filled in.
    pub fn original_ids(&self) -> Vec<TokenId> {
        let mut ids = self.masked.input_ids.clone();
        for &(position, id) in &self.masked.targets {
            ids[position.index()] = id;
        }
        ids
    }

    /// The facts that follow from the ids: hidden bases of the targets, and of the sequence.
    fn new(tokenizer: &Tokenizer, masked: Masked, mask: String, span: u32, window: u64, origin: Origin) -> Self {
        let mut sequence = Self { masked, hidden: Vec::new(), hidden_bases: 0, mask, span, window, origin };
        let positions: Vec<TokenPos> = sequence.masked.targets.iter().map(|&(position, _)| position).collect();
        let hidden = Hidden::new(tokenizer, &sequence.original_ids(), &positions);
        sequence.hidden = positions.iter().map(|&position| hidden.of(position)).collect();
        sequence.hidden_bases = hidden.total();
        sequence
    }
}

/// An evaluation set.
#[derive(Clone, Debug, PartialEq)]
pub struct FrozenMasks {
    /// The tokenizer of its ids.
    pub tokenizer: Tokenizer,
    /// The seed that its masks were drawn under.
    pub seed: u64,
    /// The sequences, window by window.
    pub sequences: Vec<FrozenSequence>,
}

/// Draws the evaluation masks of one window after the other.
#[derive(Clone, Debug)]
pub struct Freezer {
    tokenizer: Tokenizer,
    corruption: Corruption,
    masks: Vec<(String, SpanDraw)>,
    seed: u64,
}

impl Freezer {
    /// A freezer for a tokenizer; what it draws depends on the seed and the window's index only.
    pub fn new(tokenizer: Tokenizer, seed: u64) -> Self {
        let cover = tokenizer.cover() as u32;
        let first = if cover == 1 { "token" } else { "kmer-span" };
        let mut masks = vec![(first.to_string(), SpanDraw::covering(cover, MASK_RATE))];
        for &span in &default_spans(cover)[1..] {
            masks.push((format!("span-{span}"), SpanDraw::covering(span, MASK_RATE)));
        }
        let corruption = Corruption::new(&tokenizer, CorruptionUnit::Token, false);
        Self { tokenizer, corruption, masks, seed }
    }

    /// The names of the evaluation masks.
    pub fn masks(&self) -> impl Iterator<Item = &str> {
        self.masks.iter().map(|(name, _)| name.as_str())
    }

    /// The masked sequences of one window of base codes, one per evaluation mask. A draw that selects nothing is made again, so that every sequence
    /// asks something; none come of a window without a single known token.
    pub fn freeze(&self, codes: &[u8], window: u64, origin: &Origin) -> Vec<FrozenSequence> {
        let mut tokens = Tokens::default();
        self.tokenizer.encode(codes, &mut tokens);
        if tokens.ids[1..tokens.ids.len() - 1].iter().all(|id| id.0 < SPECIALS) {
            return Vec::new();
        }
        let freeze = |(name, draw): &(String, SpanDraw)| {
            let mut rng = SeededRng::new(self.seed, Purpose::Freeze, u64::from(draw.tokens()), window);
            let mut selection = Selection::default();
            while selection.positions.is_empty() {
                draw.select_into(&tokens, &mut rng, &mut selection);
            }
            let mut masked = Masked::default();
            corrupt(&tokens, &selection, &self.corruption, &mut rng, &mut masked);
            FrozenSequence::new(&self.tokenizer, masked, name.clone(), draw.tokens(), window, origin.clone())
        };
        self.masks.iter().map(freeze).collect()
    }

    /// A set of windows: their base codes and origins, in the order of their indices.
    ///
    /// # Errors
    /// Those of `windows`.
    pub fn freeze_all(&self, windows: impl IntoIterator<Item = Result<(Vec<u8>, Origin)>>) -> Result<FrozenMasks> {
        let mut sequences = Vec::new();
        for (window, drawn) in windows.into_iter().enumerate() {
            let (codes, origin) = drawn?;
            sequences.extend(self.freeze(&codes, window as u64, &origin));
        }
        Ok(FrozenMasks { tokenizer: self.tokenizer.clone(), seed: self.seed, sequences })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::TokenizerConfig;

    pub(super) fn origin() -> Origin {
        Origin { contig: "chrI".into(), start: 1_000, bases: 515, reverse: true }
    }

    pub(super) fn codes(bases: usize, index: u64) -> Vec<u8> {
        let mut rng = SeededRng::new(3, Purpose::Test, 0, index);
        (0..bases).map(|_| rng.below(4) as u8).collect()
    }

    pub(super) fn frozen(windows: u64) -> FrozenMasks {
        let freezer = Freezer::new(Tokenizer::new(TokenizerConfig::default()).unwrap(), 11);
        freezer.freeze_all((0..windows).map(|window| Ok((codes(515, window), origin())))).unwrap()
    }

    #[test]
    fn every_window_has_every_mask_over_the_same_tokens() {
        let set = frozen(3);
        let masks: Vec<(u64, &str)> = set.sequences.iter().map(|one| (one.window, one.mask.as_str())).collect();
        assert_eq!(
            masks[..6],
            [(0, "kmer-span"), (0, "span-8"), (0, "span-10"), (0, "span-12"), (0, "span-14"), (1, "kmer-span")]
        );
        for one in &set.sequences {
            assert_eq!(set.tokenizer.decode(&one.original_ids()).unwrap(), codes(515, one.window));
            assert!(!one.masked.targets.is_empty());
        }
    }

    #[test]
    fn every_mask_hides_fifteen_percent() {
        let set = frozen(300);
        for mask in ["kmer-span", "span-8", "span-10", "span-12", "span-14"] {
            let of_mask = set.sequences.iter().filter(|one| one.mask == mask);
            let (masked, content) = of_mask.fold((0, 0), |(masked, content), one| {
                (masked + one.masked.targets.len(), content + one.masked.input_ids.len() - 2)
            });
            let share = masked as f64 / content as f64;
            assert!((share - 0.15).abs() < 0.01, "{mask}: {share}");
        }
    }

    #[test]
    fn short_windows_ask_something_and_unknown_ones_give_nothing() {
        let freezer = Freezer::new(Tokenizer::new(TokenizerConfig::default()).unwrap(), 0);
        let sequences = freezer.freeze(&codes(6, 0), 0, &origin());
        assert!(sequences.iter().all(|one| one.masked.targets.len() == 1 && one.hidden == [6]));
        assert!(freezer.freeze(&[4; 40], 0, &origin()).is_empty());
        assert!(freezer.freeze(&[0; 5], 0, &origin()).is_empty());
    }

    #[test]
    fn tokens_side_by_side_hide_all_their_bases() {
        let config = TokenizerConfig { stride: 6, ..TokenizerConfig::default() };
        let freezer = Freezer::new(Tokenizer::new(config).unwrap(), 0);
        assert_eq!(freezer.masks().collect::<Vec<_>>(), ["token", "span-4", "span-6", "span-8", "span-10"]);
        for one in freezer.freeze(&codes(600, 0), 0, &origin()) {
            assert!(one.hidden.iter().all(|&hidden| hidden == 6));
            assert_eq!(one.hidden_bases as usize, 6 * one.masked.targets.len());
        }
    }
}
