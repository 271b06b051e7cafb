//! `pmi`: centres as in DNABERT, of which the best-ranked half hide a whole k-mer and the others one base (PMI-guided masking, section 4.2).
//!
//! Rank 1 is the best. (The paper takes the "max" of the ranks, which is the wrong way round; its program takes the smallest, as is done here.) A
//! k-mer without a rank, and a token that is none, are the worst.

use std::ops::Range;

use super::draw::{Centers, around};
use super::{Lookup, MaskStrategy, Phase, Selection};
use crate::pmi::PmiTable;
use crate::rng::SeededRng;
use crate::tokenizer::{SPECIALS, Tokens};
use crate::units::TokenId;

/// The rank of what has none: worse than all.
const WORST: u32 = u32::MAX;
/// The published program hides whole k-mers at all centres where half of them, rounded up, are fewer than these.
const FEW: usize = 5;

/// A centre, and the best of the tokens around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Center {
    rank: u32,
    position: u32,
    best: u32,
}

/// Masks that follow a ranking of the k-mers.
///
/// For each centre c the best-ranked of the tokens that a plain span around it would hide (c-2 ..= c+3 for k = 6) is its *best token*; the centre itself
/// wins a tie, then the leftmost. Of a sequence's n centres the n/2 (rounded up) with the best best tokens, at a tie the leftmost, hide all k bases
/// of their best token j: the 2k-1 tokens j-k+1 ..= j+k-1 (11 for k = 6). The others hide one base: the k tokens around the centre itself. Spans
/// are cut at the ends of the sequence and may overlap.
#[derive(Clone, Debug)]
pub struct PmiMask {
    k: u32,
    centers: Centers,
    lookup: Lookup,
    /// The rank of each k-mer by its number, [`WORST`] where it has none, `[4^k]`.
    ranks: Vec<u32>,
    phases: [Phase; 1],
}

impl PmiMask {
    /// Masks of overlapping k-mers of the table's k, centres at `center_rate` (0.0..=1.0).
    pub fn new(table: &PmiTable, lookup: Lookup, center_rate: f64) -> Self {
        let k = table.k();
        let ranks = (0..1 << (2 * k)).map(|kmer| table.rank(kmer).unwrap_or(WORST)).collect();
        Self::of_ranks(k as u32, ranks, lookup, center_rate)
    }

    fn of_ranks(k: u32, ranks: Vec<u32>, lookup: Lookup, center_rate: f64) -> Self {
        Self { k, centers: Centers::new(center_rate), lookup, ranks, phases: [phase(k, lookup, center_rate)] }
    }

    /// The same masks at another centre rate.
    pub(super) fn at_rate(self, center_rate: f64) -> Self {
        Self::of_ranks(self.k, self.ranks, self.lookup, center_rate)
    }

    /// The rank of the token at a position.
    fn rank(&self, tokens: &Tokens, position: u32) -> u32 {
        let number = |id: TokenId| id.0.checked_sub(SPECIALS).map(|number| number as usize);
        let rank = |id: TokenId| number(id).and_then(|kmer| self.ranks.get(kmer)).copied().unwrap_or(WORST);
        match self.lookup {
            Lookup::Paper => rank(tokens.ids[position as usize]),
            // A position is taken for an id. What has no rank gets 0 there, better than the best: the table is a `defaultdict(int)`.
            Lookup::PositionBug => match rank(TokenId(position)) {
                WORST => 0,
                rank => rank,
            },
        }
    }

    /// A centre with the best of the tokens around it.
    fn center(&self, tokens: &Tokens, position: u32, content: &Range<u32>) -> Center {
        let near = around(position, self.k, content);
        let mut found = Center { rank: self.rank(tokens, position), position, best: position };
        for other in near.start.0..near.end.0 {
            let rank = self.rank(tokens, other);
            if rank < found.rank {
                (found.rank, found.best) = (rank, other);
            }
        }
        found
    }

    /// How many of so many centres hide a whole k-mer.
    fn whole(&self, centers: usize) -> usize {
        let half = centers.div_ceil(2);
        if self.lookup == Lookup::PositionBug && half < FEW { centers } else { half }
    }
}

impl MaskStrategy for PmiMask {
    fn name(&self) -> &'static str {
        "pmi"
    }

    fn phases(&self) -> &[Phase] {
        &self.phases
    }

    fn select_into(&self, tokens: &Tokens, _: u64, rng: &mut SeededRng, out: &mut Selection) {
        out.clear();
        let content = tokens.content();
        let centers = &mut out.room.centers;
        centers.clear();
        let mut next = content.start; // the first token that was not yet offered as a centre
        while let Some(gap) = self.centers.gap(content.end - next, rng) {
            centers.push(self.center(tokens, next + gap, &content));
            next += gap + 1;
        }
        let whole = self.whole(centers.len());
        if whole < centers.len() {
            centers.select_nth_unstable_by_key(whole, |center| (center.rank, center.position));
        }
        for (index, center) in centers.iter().enumerate() {
            out.spans.push(if index < whole {
                around(center.best, 2 * self.k - 1, &content)
            } else {
                around(center.position, self.k, &content)
            });
        }
        out.spans.sort_unstable_by_key(|span| (span.start, span.end));
        out.take_spans(tokens);
    }
}

/// The mean length of a span, half of them k tokens and half 2k-1: 8.5 for k = 6.
pub(super) fn mean_span(k: u32) -> f64 {
    f64::from(3 * k - 1) / 2.0
}

/// What is drawn at all steps.
pub(super) fn phase(k: u32, lookup: Lookup, center_rate: f64) -> Phase {
    let few = match lookup {
        Lookup::Paper => String::new(),
        Lookup::PositionBug => format!(" (all of them where they are fewer than {})", 2 * FEW - 1),
    };
    Phase {
        first_step: 1,
        spans: vec![k, 2 * k - 1],
        mask_rate: (center_rate * mean_span(k)).min(1.0),
        drawn: format!(
            "centres at {:.3} %: {} tokens for the better half{few}, {k} for the others",
            100.0 * center_rate,
            2 * k - 1
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::tests::{tokenizer_of, tokens_of};
    use crate::mask::{Hidden, Span};
    use crate::rng::Purpose;
    use crate::tokenizer::UNK;
    use crate::units::TokenPos;
    use proptest::prelude::*;

    fn rng(index: u64) -> SeededRng {
        SeededRng::new(11, Purpose::Test, 0, index)
    }

    /// Every k-mer's rank is its number plus one, but for those that are left without.
    fn ranks(k: u32, without: impl Fn(usize) -> bool) -> Vec<u32> {
        (0..1usize << (2 * k)).map(|kmer| if without(kmer) { WORST } else { kmer as u32 + 1 }).collect()
    }

    /// The definition, written down once more without a thought for speed.
    fn by_definition(mask: &PmiMask, tokens: &Tokens, centers: &[u32]) -> Vec<TokenPos> {
        let (k, content) = (i64::from(mask.k), tokens.content());
        let inside = |position: i64| position >= 1 && position < i64::from(content.end);
        let rank = |position: i64| {
            let kmer = match mask.lookup {
                Lookup::Paper => i64::from(tokens.ids[position as usize].0) - 5,
                Lookup::PositionBug => position - 5,
            };
            let known = usize::try_from(kmer).ok().and_then(|kmer| mask.ranks.get(kmer)).filter(|&&rank| rank != WORST);
            match (known, mask.lookup) {
                (Some(&rank), _) => i64::from(rank),
                (None, Lookup::Paper) => i64::MAX,
                (None, Lookup::PositionBug) => 0,
            }
        };
        let mut best: Vec<(i64, i64, i64)> = Vec::new();
        for &center in centers {
            let center = i64::from(center);
            let near = (center - (k - 1) / 2..=center + k / 2).filter(|&position| inside(position));
            let token = near.min_by_key(|&position| (rank(position), position != center, position)).unwrap();
            best.push((rank(token), center, token));
        }
        best.sort_unstable();
        let bug = mask.lookup == Lookup::PositionBug;
        let whole = if bug && best.len() <= 8 { best.len() } else { best.len().div_ceil(2) };
        let mut selected: Vec<i64> = Vec::new();
        for (index, &(_, center, token)) in best.iter().enumerate() {
            let range =
                if index < whole { token - k + 1..=token + k - 1 } else { center - (k - 1) / 2..=center + k / 2 };
            selected.extend(range.filter(|&position| inside(position) && tokens.ids[position as usize] != UNK));
        }
        selected.sort_unstable();
        selected.dedup();
        selected.into_iter().map(|position| TokenPos(position as u32)).collect()
    }

    /// The centres that a mask draws.
    fn centers(mask: &PmiMask, tokens: &Tokens, index: u64) -> Vec<u32> {
        let mut rng = rng(index);
        let mut next = tokens.content().start;
        let mut centers = Vec::new();
        while let Some(gap) = mask.centers.gap(tokens.content().end - next, &mut rng) {
            centers.push(next + gap);
            next += gap + 1;
        }
        centers
    }

    proptest! {
        #[test]
        fn selects_what_the_definition_selects(
            codes in prop::collection::vec(prop_oneof![30 => 0u8..4, 1 => Just(4u8)], 0..150),
            k in 3u32..=7,
            bug: bool,
            rate in prop_oneof![Just(0.0), 0.005..0.3f64, Just(1.0)],
            every in 1usize..9,
            index: u64,
        ) {
            let lookup = if bug { Lookup::PositionBug } else { Lookup::Paper };
            // Every `every`-th k-mer is below the threshold; all of them where it is 1.
            let mask = PmiMask::of_ranks(k, ranks(k, |kmer| kmer % every == 0), lookup, rate);
            let tokens = tokens_of(k as usize, &codes);
            let selection = mask.select(&tokens, 1, &mut rng(index));
            let centers = centers(&mask, &tokens, index);
            prop_assert_eq!(&selection.positions, &by_definition(&mask, &tokens, &centers));
            prop_assert_eq!(selection.spans.len(), centers.len());
            // Every span holds the plain span of its centre.
            for center in centers {
                let plain = around(center, k, &tokens.content());
                let held = |span: &Span| span.start <= plain.start && plain.end <= span.end;
                prop_assert!(selection.spans.iter().any(held));
            }
        }

        #[test]
        fn a_whole_kmer_is_2k_minus_1_tokens_that_hide_its_k_bases(k in 3u32..=7, length in 1usize..60, seed: u64) {
            let mut draw = rng(seed);
            let codes: Vec<u8> = (0..length + k as usize - 1).map(|_| draw.below(4) as u8).collect();
            let tokens = tokens_of(k as usize, &codes);
            let content = tokens.content();
            let mask = PmiMask::of_ranks(k, ranks(k, |_| false), Lookup::Paper, 1.0 / length as f64);
            let drawn = centers(&mask, &tokens, seed);
            prop_assume!(drawn.len() == 1); // a lone centre belongs to the better half
            let selection = mask.select(&tokens, 1, &mut rng(seed));
            let best = mask.center(&tokens, drawn[0], &content).best;
            prop_assert_eq!(selection.spans[0].start.0, best.saturating_sub(k - 1).max(1));
            prop_assert_eq!(selection.spans[0].end.0, (best + k).min(content.end));
            let hidden = Hidden::new(&tokenizer_of(k as usize), &tokens.ids, &selection.positions);
            prop_assert_eq!(hidden.of(TokenPos(best)), k);
            if best > k && best + k < content.end {
                prop_assert_eq!(selection.positions.len() as u32, 2 * k - 1);
                prop_assert_eq!(hidden.total(), k);
            }
        }
    }

    #[test]
    fn the_middle_one_of_an_odd_number_of_centres_hides_a_whole_kmer() {
        let mask = PmiMask::of_ranks(6, ranks(6, |_| false), Lookup::Paper, 0.01);
        assert_eq!((0..6).map(|centers| mask.whole(centers)).collect::<Vec<_>>(), [0, 1, 1, 2, 2, 3]);
        let bug = PmiMask::of_ranks(6, ranks(6, |_| false), Lookup::PositionBug, 0.01);
        assert_eq!((7..11).map(|centers| bug.whole(centers)).collect::<Vec<_>>(), [7, 8, 5, 5]);
    }

    #[test]
    fn the_published_programs_masks_do_not_look_at_the_sequence() {
        let mut draw = rng(0);
        let mut sequence = || -> Vec<u8> { (0..515).map(|_| draw.below(4) as u8).collect() };
        let (one, other) = (tokens_of(6, &sequence()), tokens_of(6, &sequence()));
        let select = |lookup, tokens: &Tokens, index| {
            PmiMask::of_ranks(6, ranks(6, |_| false), lookup, 0.02).select(tokens, 1, &mut rng(index)).positions
        };
        let same =
            |lookup| (0..50).filter(|&index| select(lookup, &one, index) == select(lookup, &other, index)).count();
        assert_eq!(same(Lookup::PositionBug), 50);
        assert!(same(Lookup::Paper) < 25);
    }

    #[test]
    fn a_seed_draws_the_same_masks_in_every_version_and_on_every_machine() {
        // Written by this program. If this changes, no run resumes: say so in the changelog.
        let mut draw = rng(1);
        let codes: Vec<u8> = (0..515).map(|_| draw.below(4) as u8).collect();
        let mask = PmiMask::of_ranks(6, ranks(6, |_| false), Lookup::Paper, 0.15 / mean_span(6));
        let selection = mask.select(&tokens_of(6, &codes), 1, &mut rng(2));
        let spans: Vec<(u32, u32)> = selection.spans.iter().map(|span| (span.start.0, span.end.0)).collect();
        assert_eq!(
            spans,
            [(42, 53), (117, 128), (138, 149), (241, 247), (290, 296), (306, 312), (399, 410), (434, 440), (469, 480)]
        );
    }
}
