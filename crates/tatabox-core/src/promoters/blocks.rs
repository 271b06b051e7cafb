//! Negatives made of positives: 20 blocks, of which 12 are replaced or change places.

use crate::rng::{Purpose, SeededRng};

/// Blocks of a sequence.
pub const BLOCKS: usize = 20;

/// Blocks that are changed.
pub const CHANGED: usize = 12;

/// The borders of the blocks, `[21]`: lengths that 20 does not divide get blocks that differ by one base.
pub(super) fn borders(bases: usize) -> Vec<usize> {
    (0..=BLOCKS).map(|block| block * bases / BLOCKS).collect()
}

/// 12 of 20 blocks drawn without replacement are filled with random bases, all four equally likely; 8 stay as and where they are (DeePromoter, Oubounyt et
/// al. 2019). `index` is the number of the positive: the same seed and number give the same negative.
pub fn deepromoter(codes: &[u8], seed: u64, index: u64) -> Vec<u8> {
    let mut rng = SeededRng::new(seed, Purpose::Negative, 0, index);
    let borders = borders(codes.len());
    let mut out = codes.to_vec();
    for block in drawn(&mut rng) {
        out[borders[block]..borders[block + 1]].iter_mut().for_each(|code| *code = rng.below(4) as u8);
    }
    out
}

/// 12 of 20 blocks drawn without replacement change places among themselves, 8 keep their rank (GENA-LM): not one base is new. A block may draw its own
/// place again.
pub fn permuted_blocks(codes: &[u8], seed: u64, index: u64) -> Vec<u8> {
    let mut rng = SeededRng::new(seed, Purpose::Negative, 1, index);
    let borders = borders(codes.len());
    let from = drawn(&mut rng);
    let mut to = from.clone();
    to.sort_unstable();
    let mut order: Vec<usize> = (0..BLOCKS).collect();
    to.iter().zip(&from).for_each(|(&place, &block)| order[place] = block);
    order.iter().flat_map(|&block| &codes[borders[block]..borders[block + 1]]).copied().collect()
}

/// 12 of 20 blocks in a random order.
fn drawn(rng: &mut SeededRng) -> Vec<usize> {
    let mut blocks: Vec<usize> = (0..BLOCKS).collect();
    for at in 0..CHANGED {
        let other = at + rng.below((BLOCKS - at) as u64) as usize;
        blocks.swap(at, other);
    }
    blocks.truncate(CHANGED);
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_differ_by_one_base_at_most() {
        for bases in [70, 300, 249, 20] {
            let lengths: Vec<usize> = borders(bases).windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert_eq!(lengths.iter().sum::<usize>(), bases);
            assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1, "{bases}: {lengths:?}");
        }
    }

    /// Blocks of a sequence as they are in another.
    fn kept(one: &[u8], other: &[u8]) -> usize {
        borders(one.len()).windows(2).filter(|pair| one[pair[0]..pair[1]] == other[pair[0]..pair[1]]).count()
    }

    #[test]
    fn deepromoter_keeps_eight_blocks_and_draws_the_others_evenly() {
        let positive = vec![2; 300];
        let (mut counts, mut changed) = ([0u32; 4], [0u32; BLOCKS]);
        for index in 0..200 {
            let negative = deepromoter(&positive, 1, index);
            // 15 random bases are all C once in a billion.
            assert_eq!(kept(&positive, &negative), BLOCKS - CHANGED);
            negative.iter().for_each(|&code| counts[usize::from(code)] += 1);
            for (block, pair) in borders(300).windows(2).enumerate() {
                changed[block] += u32::from(negative[pair[0]..pair[1]] != positive[pair[0]..pair[1]]);
            }
        }
        // 200 * 180 random bases, a quarter each: 9,000, standard deviation 82; C has the 200 * 120 kept ones too.
        assert!(
            [counts[0], counts[1], counts[2] - 24_000, counts[3]].iter().all(|&count| count.abs_diff(9_000) < 350),
            "{counts:?}"
        );
        // Every block 120 times of 200, standard deviation 7.
        assert!(changed.iter().all(|&count| count.abs_diff(120) < 32), "{changed:?}");
    }

    #[test]
    fn permuted_blocks_keep_every_base_and_eight_blocks() {
        let positive: Vec<u8> = (0..300u32).map(|at| (at * at / 7 % 4) as u8).collect();
        let mut sorted = positive.clone();
        sorted.sort_unstable();
        let kept: Vec<usize> = (0..50)
            .map(|index| {
                let mut negative = permuted_blocks(&positive, 1, index);
                let kept = kept(&positive, &negative);
                negative.sort_unstable();
                assert_eq!(negative, sorted);
                kept
            })
            .collect();
        // A block draws its own place again once in 12.
        assert!(kept.iter().all(|&kept| kept >= BLOCKS - CHANGED) && kept.iter().sum::<usize>() < 50 * 12, "{kept:?}");
        let core: Vec<u8> = positive[..70].to_vec();
        assert_eq!(permuted_blocks(&core, 1, 0).len(), 70);
        assert_ne!(permuted_blocks(&positive, 1, 0), permuted_blocks(&positive, 2, 0));
    }
}
