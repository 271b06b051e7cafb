//! The most probable segmentation of every word, by dynamic programming over the lengths.

/// The highest sum of log probabilities over all segmentations into two or more pieces, for each word of length k, `[4^k]`.
///
/// `pieces[i]` are the log probabilities of all words of length i + 1, `[4^(i+1)]`; longer pieces do not exist. The last piece of a segmentation is one of
/// these, and what is before it is a shorter word, whole or segmented: its best is known already. A word's number without its last digits is the number of
/// its beginning.
pub(super) fn best(pieces: &[Vec<f64>], k: usize) -> Vec<f64> {
    // whole_or_cut[i]: the best of each word of length i + 1, if it may also stay whole.
    let mut whole_or_cut: Vec<Vec<f64>> = Vec::with_capacity(k - 1);
    for length in 1..k {
        let mut words = if length == 1 { vec![f64::NEG_INFINITY; 4] } else { cut(pieces, &whole_or_cut, length) };
        if let Some(whole) = pieces.get(length - 1) {
            words.iter_mut().zip(whole).for_each(|(best, &whole)| *best = best.max(whole));
        }
        whole_or_cut.push(words);
    }
    cut(pieces, &whole_or_cut, k)
}

/// The best of each word of a length that is cut at least once.
fn cut(pieces: &[Vec<f64>], shorter: &[Vec<f64>], length: usize) -> Vec<f64> {
    let mut best = vec![f64::NEG_INFINITY; 1 << (2 * length)];
    for (last, piece) in (1..length).zip(pieces) {
        let before = &shorter[length - last - 1];
        // The words with one beginning are neighbours, one for each last piece.
        for (words, &before) in best.chunks_exact_mut(piece.len()).zip(before) {
            words.iter_mut().zip(piece).for_each(|(best, &piece)| *best = best.max(before + piece));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, SeededRng};

    /// The best of all ways to cut one word, by trying each of the 2^(k-1) - 1.
    fn enumerated(pieces: &[Vec<f64>], word: usize, k: usize) -> f64 {
        let sum = |cuts: usize| {
            let (mut sum, mut start) = (0.0, 0);
            for end in 1..=k {
                if end == k || cuts >> (end - 1) & 1 == 1 {
                    let piece = word >> (2 * (k - end)) & ((1 << (2 * (end - start))) - 1);
                    sum += pieces.get(end - start - 1).map_or(f64::NEG_INFINITY, |of| of[piece]);
                    start = end;
                }
            }
            sum
        };
        (1..1 << (k - 1)).map(sum).fold(f64::NEG_INFINITY, f64::max)
    }

    #[test]
    fn equals_the_enumeration_for_every_6mer() {
        let mut rng = SeededRng::new(1, Purpose::Test, 0, 0);
        let pieces: Vec<Vec<f64>> =
            (1..=6).map(|k| (0..1 << (2 * k)).map(|_| -10.0 * k as f64 * rng.unit()).collect()).collect();
        for longest in [1, 2, 3, 5, 6] {
            let found = best(&pieces[..longest], 6);
            for (word, &found) in found.iter().enumerate() {
                let expected = enumerated(&pieces[..longest], word, 6);
                assert!((found - expected).abs() < 1e-9, "pieces up to {longest}, word {word}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn equals_the_enumeration_for_other_lengths() {
        let mut rng = SeededRng::new(2, Purpose::Test, 0, 0);
        let pieces: Vec<Vec<f64>> =
            (1..=8).map(|k| (0..1 << (2 * k)).map(|_| -10.0 * k as f64 * rng.unit()).collect()).collect();
        for k in [2, 3, 8] {
            for (word, &found) in best(&pieces[..k], k).iter().enumerate().step_by(7) {
                assert!((found - enumerated(&pieces[..k], word, k)).abs() < 1e-9, "k {k}, word {word}");
            }
        }
    }
}
