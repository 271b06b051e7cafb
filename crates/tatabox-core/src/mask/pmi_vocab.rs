//! `pmi-vocab`: a sequence is divided into units, the entries of a masking vocabulary, and units are hidden whole (PMI-guided masking, section 5.4,
//! after Levine et al. 2021).

use super::{MaskStrategy, MaskVocabulary, Phase, Selection, Span};
use crate::rng::SeededRng;
use crate::seq::UNKNOWN;
use crate::tokenizer::{SPECIALS, Tokens};
use crate::units::TokenPos;

/// Masks of whole units.
///
/// **Division.** The longest entries come first, as in Levine et al.; of entries of one length the best-ranked, then the leftmost. Each takes its bases
/// if all of them are still free. A base that no entry takes is a unit by itself; an unknown base is in none.
///
/// **Selection.** Units are drawn one after the other, each as likely as any other, until `mask_rate` of the sequence's known tokens are hidden. A unit that
/// would lead past that point is taken with the probability that makes the expected share exact, and is the last. To hide a unit of w bases, all
/// w+k-1 tokens over it are selected, fewer at the ends of the sequence.
#[derive(Clone, Debug)]
pub struct PmiVocabMask {
    k: usize,
    mask_rate: f64,
    lengths: Vec<Ranks>,
    phases: [Phase; 1],
}

/// The entries of one length.
#[derive(Clone, Debug)]
struct Ranks {
    /// Bases.
    length: usize,
    /// The rank of each word by its number, 0 where it is no entry, `[4^length]`.
    of: Vec<u16>,
}

/// How a sequence is divided: kept from one to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Division {
    /// Base codes, `[bases]`; the bases of a taken unit become unknown.
    codes: Vec<u8>,
    /// Words of one length that are entries: rank and first base.
    found: Vec<(u16, u32)>,
    /// First base and bases of each unit.
    units: Vec<(u32, u32)>,
    /// Whether a content token is selected, `[content]`.
    taken: Vec<bool>,
}

impl PmiVocabMask {
    /// Masks of tokens of k bases at stride 1 (k = 1: single bases) that hide `mask_rate` of the tokens.
    pub fn new(vocabulary: &MaskVocabulary, k: usize, mask_rate: f64) -> Self {
        let mut lengths: Vec<Ranks> = Vec::new();
        for (rank, entry) in (1..).zip(vocabulary.entries()) {
            let at = lengths.iter().position(|ranks| ranks.length == entry.length).unwrap_or_else(|| {
                lengths.push(Ranks { length: entry.length, of: vec![0; 1 << (2 * entry.length)] });
                lengths.len() - 1
            });
            lengths[at].of[entry.kmer] = rank;
        }
        lengths.sort_unstable_by_key(|ranks| std::cmp::Reverse(ranks.length));
        let phases = [phase(k, mask_rate, lengths.iter().map(|ranks| ranks.length))];
        Self { k, mask_rate, lengths, phases }
    }

    /// Divides a sequence into units.
    fn divide(&self, tokens: &Tokens, division: &mut Division) {
        let Division { codes, found, units, .. } = division;
        spell(tokens, self.k, codes);
        units.clear();
        for Ranks { length, of } in &self.lengths {
            found.clear();
            let (mut number, mut known) = (0usize, 0);
            for (base, &code) in codes.iter().enumerate() {
                number = (number << 2 | usize::from(code & 3)) & (of.len() - 1);
                known = if code < UNKNOWN { known + 1 } else { 0 };
                if known >= *length && of[number] != 0 {
                    found.push((of[number], (base + 1 - length) as u32));
                }
            }
            found.sort_unstable();
            for &(_, start) in found.iter() {
                let bases = start as usize..start as usize + length;
                // What was taken at this length has this length: it holds the first base or the last, or none.
                if codes[bases.start] < UNKNOWN && codes[bases.end - 1] < UNKNOWN {
                    codes[bases].fill(UNKNOWN);
                    units.push((start, *length as u32));
                }
            }
        }
        units.extend((0..).zip(codes.iter()).filter(|&(_, &code)| code < UNKNOWN).map(|(base, _)| (base, 1)));
    }
}

/// The bases that the known tokens of a sequence spell out, into `codes`.
fn spell(tokens: &Tokens, k: usize, codes: &mut Vec<u8>) {
    let content = &tokens.ids[1..tokens.content().end as usize];
    codes.clear();
    if content.is_empty() {
        return;
    }
    codes.resize(content.len() + k - 1, UNKNOWN);
    let mut follows = false; // the token before is known and has spelt all but the last base
    for (start, id) in content.iter().enumerate() {
        let Some(number) = id.0.checked_sub(SPECIALS) else {
            follows = false;
            continue;
        };
        for place in if follows { k - 1..k } else { 0..k } {
            codes[start + place] = (number >> (2 * (k - 1 - place)) & 3) as u8;
        }
        follows = true;
    }
}

impl MaskStrategy for PmiVocabMask {
    fn name(&self) -> &'static str {
        "pmi-vocab"
    }

    fn phases(&self) -> &[Phase] {
        &self.phases
    }

    fn select_into(&self, tokens: &Tokens, _: u64, rng: &mut SeededRng, out: &mut Selection) {
        out.clear();
        self.divide(tokens, &mut out.room.division);
        let Division { units, taken, .. } = &mut out.room.division;
        let content = tokens.content();
        // Unknown tokens are never selected: they count as taken from the start.
        taken.clear();
        taken.extend(tokens.ids[1..content.end as usize].iter().map(|id| id.0 < SPECIALS));
        let mut budget = self.mask_rate * taken.iter().filter(|&&taken| !taken).count() as f64;
        for drawn in 0..units.len() {
            let other = drawn + rng.below((units.len() - drawn) as u64) as usize;
            units.swap(drawn, other);
            let (start, bases) = units[drawn];
            let (first, end) = (start.saturating_sub(self.k as u32 - 1), (start + bases).min(taken.len() as u32));
            let under = &mut taken[first as usize..end as usize];
            let new = under.iter().filter(|&&taken| !taken).count() as f64;
            let last = new > budget;
            if last && !rng.chance(budget / new) {
                break;
            }
            under.fill(true);
            out.spans.push(Span { start: TokenPos(content.start + first), end: TokenPos(content.start + end) });
            budget -= new;
            if last {
                break;
            }
        }
        out.spans.sort_unstable_by_key(|span| (span.start, span.end));
        out.take_spans(tokens);
    }
}

/// What is drawn at all steps, from units of these lengths in bases and of single bases.
pub(super) fn phase(k: usize, mask_rate: f64, lengths: impl Iterator<Item = usize>) -> Phase {
    let mut spans: Vec<u32> = lengths.chain([1]).map(|bases| (bases + k - 1) as u32).collect();
    spans.sort_unstable();
    spans.dedup();
    let words: Vec<String> = spans.iter().map(u32::to_string).collect();
    let drawn =
        format!("units of the masking vocabulary up to {:.2} %: {} tokens", 100.0 * mask_rate, words.join(", "));
    Phase { first_step: 1, spans, mask_rate, drawn }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::tests::{tokenizer_of, tokens_of};
    use crate::mask::{Hidden, VocabularyEntry};
    use crate::rng::Purpose;
    use proptest::prelude::*;

    fn rng(index: u64) -> SeededRng {
        SeededRng::new(13, Purpose::Test, 0, index)
    }

    fn codes(text: &str) -> Vec<u8> {
        text.bytes().map(|letter| b"ATCG".iter().position(|&other| other == letter).map_or(4, |at| at as u8)).collect()
    }

    /// Words as a vocabulary, the best first.
    fn vocabulary(words: &[&str]) -> MaskVocabulary {
        let entry = |word: &&str| VocabularyEntry {
            length: word.len(),
            kmer: codes(word).iter().fold(0, |number, &code| 4 * number + usize::from(code)),
            count: 1,
            pmi: 0.0,
            npmi: 0.0,
        };
        MaskVocabulary::of(words.iter().map(entry).collect())
    }

    fn units(words: &[&str], k: usize, text: &str) -> Vec<String> {
        let mask = PmiVocabMask::new(&vocabulary(words), k, 0.15);
        let mut division = Division::default();
        mask.divide(&tokens_of(k, &codes(text)), &mut division);
        division.units.sort_unstable();
        division.units.iter().map(|&(start, bases)| text[start as usize..(start + bases) as usize].into()).collect()
    }

    #[test]
    fn the_longest_entry_wins_then_the_best_ranked_then_the_leftmost() {
        assert_eq!(units(&["AC", "ACGT"], 3, "TACGTT"), ["T", "ACGT", "T"]);
        // CGT and TTA overlap in a T: the better one takes it.
        assert_eq!(units(&["CGT", "TTA"], 3, "CGTTA"), ["CGT", "T", "A"]);
        assert_eq!(units(&["CGT", "GTT"], 3, "CGTTA"), ["CGT", "T", "A"]);
        assert_eq!(units(&["GTT", "CGT"], 3, "CGTTA"), ["C", "GTT", "A"]);
        assert_eq!(units(&["AA"], 3, "AAAAA"), ["AA", "AA", "A"]);
        // What a longer entry leaves is divided among shorter ones.
        assert_eq!(units(&["ACG", "TA", "CC"], 3, "TAACGCC"), ["TA", "ACG", "CC"]);
    }

    #[test]
    fn no_unit_holds_an_unknown_base() {
        assert_eq!(units(&["ACGT", "AC"], 3, "ACGACNTACGT"), ["AC", "G", "AC", "T", "ACGT"]);
        assert_eq!(units(&["ACG"], 1, "ACGNACG"), ["ACG", "ACG"]);
        // Bases that no known token spells out are unknown as well.
        assert!(units(&["AC"], 3, "ACNAC").is_empty());
        assert!(units(&["AC"], 3, "AC").is_empty());
    }

    #[test]
    fn a_unit_of_w_bases_is_hidden_by_w_plus_k_minus_1_tokens() {
        let word = "ACGTACGG";
        let text = format!("{}{word}{}", "T".repeat(20), "T".repeat(20));
        let tokens = tokens_of(6, &codes(&text));
        let mask = PmiVocabMask::new(&vocabulary(&[word]), 6, 0.3);
        let found = (0..200).find_map(|index| {
            let selection = mask.select(&tokens, 1, &mut rng(index));
            let span = selection.spans.iter().copied().find(|span| span.end.0 - span.start.0 == 13)?;
            Some((selection, span))
        });
        let (selection, span) = found.unwrap();
        assert_eq!(span.start, TokenPos(1 + 20 - 5));
        let hidden = Hidden::new(&tokenizer_of(6), &tokens.ids, &selection.positions);
        assert!((20..28).all(|base| hidden.is_hidden(base)));
    }

    proptest! {
        #[test]
        fn units_tile_the_known_bases_and_are_hidden_whole(
            text in prop::collection::vec(prop_oneof![40 => 0u8..4, 1 => Just(4u8)], 0..120),
            k in prop_oneof![Just(1usize), 3usize..=8],
            rate in 0.01..0.99f64,
            index: u64,
        ) {
            let words = ["AAA", "TT", "ACGTAC", "GGC", "CCCCCCCCCC", "CA", "TGTG"];
            let mask = PmiVocabMask::new(&vocabulary(&words), k, rate);
            let tokens = tokens_of(k, &text);
            let selection = mask.select(&tokens, 1, &mut rng(index));
            let division = &selection.room.division;
            let mut bases: Vec<u32> = division.units.iter().flat_map(|&(start, bases)| start..start + bases).collect();
            bases.sort_unstable();
            let mut spelt = Vec::new();
            spell(&tokens, k, &mut spelt);
            let known: Vec<u32> = (0..).zip(&spelt).filter(|&(_, &code)| code < UNKNOWN).map(|(base, _)| base).collect();
            prop_assert_eq!(bases, known.clone(), "every known base is in one unit");
            prop_assert!(known.iter().all(|&base| spelt[base as usize] == text[base as usize]));
            // The units that were drawn come first; all bases of each are hidden.
            let hidden = Hidden::new(&tokenizer_of(k), &tokens.ids, &selection.positions);
            for &(start, bases) in &division.units[..selection.spans.len()] {
                prop_assert!((start..start + bases).all(|base| hidden.is_hidden(base as usize)));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_expected_share_is_the_asked_one_for_every_length(length in 6usize..80, rate in 0.05..0.6f64, seed: u64) {
            let mut draw = rng(seed);
            let text: Vec<u8> = (0..length).map(|_| draw.below(4) as u8).collect();
            let tokens = tokens_of(6, &text);
            let mask = PmiVocabMask::new(&vocabulary(&["ACGT", "AA", "TTG", "CC"]), 6, rate);
            let draws = 2_000;
            let selected: usize = (0..draws).map(|index| mask.select(&tokens, 1, &mut rng(index)).positions.len()).sum();
            let content = (length - 5) as f64;
            // A sequence ends within one span of what it should have: at most 9 tokens, or all of a short one.
            let spread = content.min(9.0) / f64::from(draws as u32).sqrt();
            prop_assert!((selected as f64 / draws as f64 - rate * content).abs() < 4.0 * spread, "{}", selected);
        }
    }

    #[test]
    fn a_seed_draws_the_same_masks_in_every_version_and_on_every_machine() {
        // Written by this program. If this changes, no run resumes: say so in the changelog.
        let mut draw = rng(1);
        let text: Vec<u8> = (0..515).map(|_| draw.below(4) as u8).collect();
        let mask = PmiVocabMask::new(&vocabulary(&["ACGT", "AA", "TTG", "CC", "GATTA"]), 6, 0.15);
        let selection = mask.select(&tokens_of(6, &text), 1, &mut rng(2));
        let starts: Vec<u32> = selection.spans.iter().map(|span| span.start.0).collect();
        assert_eq!(starts, [20, 58, 119, 142, 166, 186, 209, 258, 265, 428, 462, 499]);
    }
}
