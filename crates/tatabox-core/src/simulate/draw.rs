//! Numbers that a simulated genome draws, beyond the uniform ones.
//!
//! None of them calls a logarithm or a cosine, which differ in their last bit between platforms: the same seed gives the same bytes
//! everywhere.

use crate::rng::{Purpose, SeededRng};

/// What a stream of numbers is for; each part of each contig has its own, so that contigs can be made in any order.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(super) enum Part {
    Background = 1,
    Families = 2,
    Isochores = 3,
    Bases = 4,
    Layout = 5,
    Tables = 6,
    Split = 7,
}

/// The generator of one part of one contig (0 for what belongs to the whole genome).
pub(super) fn stream(seed: u64, part: Part, contig: usize) -> SeededRng {
    SeededRng::new(seed, Purpose::Simulate, part as u64, contig as u64)
}

/// Nearly normal, mean 0 and variance 1: the sum of twelve uniform numbers less 6.
pub(super) fn normal(rng: &mut SeededRng) -> f64 {
    (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0
}

/// Uniform in `low..=high`.
pub(super) fn between(rng: &mut SeededRng, low: u64, high: u64) -> u64 {
    low + rng.below(high - low + 1)
}

/// `expected` rounded up or down at random, so that its mean is `expected`.
pub(super) fn rounded(rng: &mut SeededRng, expected: f64) -> u64 {
    (expected + rng.unit()) as u64
}

/// Puts the items in random order.
pub(super) fn shuffle<T>(rng: &mut SeededRng, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.below(last as u64 + 1) as usize);
    }
}
