//! The one source of randomness: seedable, portable, and addressed by what is drawn.
//!
//! A generator is made for one purpose, step and index. What it draws depends on nothing else: not on what was drawn before, not on
//! threads, not on the machine. So a resumed run draws what an uninterrupted one draws.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What numbers are drawn for; each purpose has its own stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Where a window lies on the genome, its length and strand.
    Window = 1,
    /// Which tokens are selected.
    Select = 2,
    /// How the selected tokens are hidden.
    Corrupt = 3,
    /// Frozen evaluation masks.
    Freeze = 4,
    /// Simulated genomes.
    Simulate = 5,
    /// Tests and everything that is not saved.
    Test = 6,
    /// Scores that are shuffled over the k-mers, as a control.
    Permute = 7,
    /// Permutation tests and bootstraps.
    Resample = 8,
    /// Which examples go to which part of labelled data.
    Divide = 9,
    /// Negatives of promoter data: blocks, letters, places.
    Negative = 10,
    /// Which examples a few-shot draw takes.
    Shots = 11,
    /// The small convolutional network: fresh weights, the order of the examples, dropout.
    Network = 12,
    /// The order of labelled examples in an epoch.
    Shuffle = 13,
    /// From which strand a labelled example is read.
    Strand = 14,
}

/// ChaCha with 8 rounds, keyed by seed, purpose, step and index.
#[derive(Clone, Debug)]
pub struct SeededRng(ChaCha8Rng);

impl SeededRng {
    /// The generator of one purpose, step and index under a seed.
    pub fn new(seed: u64, purpose: Purpose, step: u64, index: u64) -> Self {
        let mut key = [0u8; 32];
        key[0..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
        key[16..24].copy_from_slice(&step.to_le_bytes());
        key[24..32].copy_from_slice(&index.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`, without bias (Lemire, 2019, "Fast random integer generation in an interval"). `bound` must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has nothing to draw");
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            let low = product as u64;
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }

    /// Uniform in `0.0..1.0`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Puts things into a random order (Fisher and Yates; Durstenfeld 1964), every order as likely as any other.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for at in (1..things.len()).rev() {
            things.swap(at, self.below(at as u64 + 1) as usize);
        }
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_on_each_part_of_its_address() {
        let first = |seed, purpose, step, index| SeededRng::new(seed, purpose, step, index).bits();
        let base = first(1, Purpose::Window, 2, 3);
        assert_eq!(base, first(1, Purpose::Window, 2, 3));
        assert_ne!(base, first(2, Purpose::Window, 2, 3));
        assert_ne!(base, first(1, Purpose::Select, 2, 3));
        assert_ne!(base, first(1, Purpose::Window, 3, 3));
        assert_ne!(base, first(1, Purpose::Window, 2, 4));
    }

    #[test]
    fn below_is_uniform_within_four_standard_errors() {
        let mut rng = SeededRng::new(0, Purpose::Test, 0, 0);
        let mut counts = [0u32; 6];
        (0..60_000).for_each(|_| counts[rng.below(6) as usize] += 1);
        for count in counts {
            assert!((f64::from(count) - 10_000.0).abs() < 4.0 * (10_000.0f64 * 5.0 / 6.0).sqrt(), "{counts:?}");
        }
    }
}
