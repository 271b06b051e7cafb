//! Tiling: a genome cut into pieces that do not overlap, each seen once an epoch, in an order shuffled by seed and epoch.
//!
//! As DNABERT's preprocessing cuts (`examples/data_process_template/process_pretrain_data.py`): piece after piece, half of them full,
//! half of a uniform length. Unlike there no last k-mer is lost. The cuts do not depend on the seed; order and strand do.

use super::sampler::{Lengths, Window};
use super::segments::Segments;
use crate::genome::Genome;
use crate::rng::{Purpose, SeededRng};

/// The step under which the cuts and orders are drawn; no run has so many.
const NO_STEP: u64 = u64::MAX;

/// The pieces. Contigs have less than 2^32 bases, and 12 bytes a piece keep a human genome's under 100 MB.
#[derive(Clone, Debug)]
pub struct Tiles {
    pieces: Vec<(u32, u32, u32)>,
}

impl Tiles {
    /// Cuts stretches; a piece is kept with the probability that `keep` gives it.
    pub fn new(segments: &Segments, lengths: &Lengths, keep: impl Fn(&Window) -> f64) -> Tiles {
        let mut rng = SeededRng::new(0, Purpose::Window, NO_STEP, 0);
        let mut pieces = Vec::new();
        for segment in segments.sorted() {
            let mut at = 0;
            // What is left at the end of a stretch is a piece too, if it is long enough.
            while let Some(tokens) = lengths.fitting(segment.bases - at) {
                let bases = lengths.bases(lengths.draw(&mut rng).min(tokens));
                let piece = Window { contig: segment.contig, start: segment.start + at, bases, reverse: false };
                let chance = keep(&piece);
                if chance >= 1.0 || rng.chance(chance) {
                    pieces.push((segment.contig as u32, piece.start as u32, bases as u32));
                }
                at += bases;
            }
        }
        Tiles { pieces }
    }

    /// Pieces of an epoch.
    pub fn len(&self) -> u64 {
        self.pieces.len() as u64
    }

    /// The piece that stands at a place of the endless row of epochs.
    pub fn window(&self, seed: u64, cursor: u64) -> Window {
        let epoch = cursor / self.len();
        let key = SeededRng::new(seed, Purpose::Window, NO_STEP, epoch + 1).bits();
        let (contig, start, bases) = self.pieces[shuffled(cursor % self.len(), self.len(), key) as usize];
        Window { contig: contig as usize, start: start.into(), bases: bases.into(), reverse: false }
    }
}

/// Where a number below `count` goes in a shuffle of all of them, without making the shuffle: a Feistel network over the next power of
/// four, walked until it lands below `count` (Black and Rogaway, 2002, "Ciphers with arbitrary finite domains").
fn shuffled(number: u64, count: u64, key: u64) -> u64 {
    let half = (64 - (count - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1 << half) - 1;
    let mut at = number;
    loop {
        let (mut left, mut right) = (at >> half, at & mask);
        for round in 1..=8u64 {
            // The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
            let mut mixed = (right ^ key).wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            (left, right) = (right, (left ^ mixed) & mask);
        }
        at = left << half | right;
        if at < count {
            return at;
        }
    }
}

/// The probability to keep a window: 1 where nothing of it is soft-masked, `weight` where all is.
pub(super) fn keep_chance(genome: &Genome, window: &Window, weight: f64) -> f64 {
    if weight >= 1.0 {
        return 1.0;
    }
    1.0 - (1.0 - weight) * genome.masked_share(window.contig, window.start..window.start + window.bases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_gives_every_number_once() {
        for count in [1, 2, 3, 4, 5, 16, 17, 1000] {
            let mut seen: Vec<u64> = (0..count).map(|number| shuffled(number, count, 7)).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..count));
        }
    }

    #[test]
    fn a_shuffle_sends_each_number_anywhere() {
        // Each of 10 numbers lands at each of 10 places in a tenth of 5,000 shuffles, within five standard errors.
        let mut landed = [[0u32; 10]; 10];
        for key in 0..5000 {
            (0..10).for_each(|number| landed[number][shuffled(number as u64, 10, key) as usize] += 1);
        }
        let spread = (5000.0f64 * 0.1 * 0.9).sqrt();
        assert!(landed.iter().flatten().all(|&n| (f64::from(n) - 500.0).abs() < 5.0 * spread), "{landed:?}");
    }
}
