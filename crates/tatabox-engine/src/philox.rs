//! Philox 4x32: random numbers as a function of a counter and a key (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
//!
//! A draw depends on where it is used (seed, step, op, row, column) and on nothing else, so that dropout is recomputed in the backward pass
//! instead of stored, is the same on every device and with any number of threads, and a resumed run draws what an uninterrupted one draws.
//! Seven rounds pass BigCrush (the paper's table 2); initialisation and dropout both use them.

#![allow(unsafe_code)] // Calling the AVX-512 kernel, where the processor has it.

use crate::isa::Isa;
use std::f32::consts::TAU;

pub(crate) const ROUNDS: usize = 7;
pub(crate) const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
pub(crate) const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Sixteen counters at once: what vector registers hold.
pub const LANES: usize = 16;

/// What a draw belongs to: the run's seed, the optimizer step, the accumulation step in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StepKey {
    /// The run's seed.
    pub seed: u64,
    /// The optimizer step.
    pub step: u64,
    /// The accumulation step.
    pub micro_step: u64,
}

impl StepKey {
    /// The key of one op in this step: 64 bits, mixed so that neighbouring steps and ops share nothing.
    pub fn of_op(self, op: usize) -> [u32; 2] {
        let mut state = self.seed;
        for part in [self.step, self.micro_step, op as u64] {
            // SplitMix64's finaliser (Steele, Lea, Flood 2014).
            state = state.wrapping_add(part).wrapping_add(0x9E37_79B9_7F4A_7C15);
            state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            state ^= state >> 31;
        }
        [state as u32, (state >> 32) as u32]
    }
}

/// A word of each of sixteen counters.
type Words = [u32; LANES];

/// The high halves of the products with a constant.
#[inline(always)]
fn multiply_high(words: Words, constant: u32) -> Words {
    let mut high = [0; LANES];
    for lane in 0..LANES {
        high[lane] = ((u64::from(words[lane]) * u64::from(constant)) >> 32) as u32;
    }
    high
}

/// The low halves.
#[inline(always)]
fn multiply_low(words: Words, constant: u32) -> Words {
    let mut low = [0; LANES];
    for lane in 0..LANES {
        low[lane] = words[lane].wrapping_mul(constant);
    }
    low
}

/// Lane by lane `a ^ b ^ key`.
#[inline(always)]
fn mix(a: Words, b: Words, key: u32) -> Words {
    let mut mixed = [0; LANES];
    for lane in 0..LANES {
        mixed[lane] = a[lane] ^ b[lane] ^ key;
    }
    mixed
}

/// Four words for each of sixteen counters `[c0[lane], c1, c2, 0]`, `[word][lane]`.
#[inline(always)]
pub fn philox(c0: [u32; LANES], c1: u32, c2: u32, key: [u32; 2]) -> [[u32; LANES]; 4] {
    let [mut x0, mut x1, mut x2, mut x3] = [c0, [c1; LANES], [c2; LANES], [0; LANES]];
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        let (high0, low0) = (multiply_high(x0, MULTIPLIERS[0]), multiply_low(x0, MULTIPLIERS[0]));
        let (high1, low1) = (multiply_high(x2, MULTIPLIERS[1]), multiply_low(x2, MULTIPLIERS[1]));
        (x0, x1, x2, x3) = (mix(high1, x1, k0), low1, mix(high0, x3, k1), low0);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [x0, x1, x2, x3]
}

/// Columns that one call of [`Dropout::scales`] covers.
pub const GROUP: usize = 128;

/// Dropout of one op in one step: which elements stay, and by how much those are scaled.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    isa: Isa,
    key: [u32; 2],
    /// A 16-bit draw below this drops the element.
    threshold: u32,
    scale: f32,
}

impl Dropout {
    /// Drops with probability `p`, rounded to 1/65536 and at most 65535 of them, and scales what stays so that the expectation is kept exactly. None if nothing is dropped.
    ///
    /// # Panics
    /// If the instruction set is not available.
    pub fn new(isa: Isa, p: f32, key: [u32; 2]) -> Option<Self> {
        assert!(isa.is_available(), "{isa:?} is not available on this machine");
        let (threshold, scale) = Self::threshold_and_scale(p);
        (threshold > 0).then_some(Self { isa, key, threshold, scale })
    }

    /// What a 16-bit draw must reach to be kept, and what the kept is multiplied with.
    pub(crate) fn threshold_and_scale(p: f32) -> (u32, f32) {
        // Below 65536, so that it fits in the 16 bits that it is compared with, and the scale is finite.
        let threshold = ((p * 65_536.0).round() as u32).min(65_535);
        (threshold, 65_536.0 / (65_536 - threshold) as f32)
    }

    /// The factors (0 or `scale`) of columns `group * 128 ..` of a row; `plane` tells apart what has the same row (attention heads).
    #[inline(always)]
    pub fn scales(&self, row: u32, plane: u32, group: u32, out: &mut [f32; GROUP]) {
        let first = group * LANES as u32;
        #[cfg(target_arch = "x86_64")]
        if self.isa >= Isa::Avx512 {
            let kept = (self.threshold, self.scale);
            // SAFETY: `new` asked for `isa`.
            unsafe { crate::kernels::philox_avx512::scales([first, row, plane], self.key, kept, out) };
            return;
        }
        let mut counters = [0u32; LANES];
        for lane in 0..LANES {
            counters[lane] = first + lane as u32;
        }
        let words = philox(counters, row, plane, self.key);
        for (word, out) in words.iter().zip(out.chunks_exact_mut(2 * LANES)) {
            let (mut low, mut high) = ([0f32; LANES], [0f32; LANES]);
            for lane in 0..LANES {
                low[lane] = if (word[lane] & 0xffff) < self.threshold { 0.0 } else { self.scale };
            }
            for lane in 0..LANES {
                high[lane] = if (word[lane] >> 16) < self.threshold { 0.0 } else { self.scale };
            }
            out[..LANES].copy_from_slice(&low);
            out[LANES..].copy_from_slice(&high);
        }
    }

    /// Multiplies a row by its factors.
    #[inline(always)]
    pub fn apply(&self, row: u32, plane: u32, values: &mut [f32]) {
        let mut factors = [0f32; GROUP];
        for (group, values) in values.chunks_mut(GROUP).enumerate() {
            self.scales(row, plane, group as u32, &mut factors);
            if let Ok(values) = <&mut [f32; GROUP]>::try_from(&mut *values) {
                for column in 0..GROUP {
                    values[column] *= factors[column];
                }
            } else {
                values.iter_mut().zip(&factors).for_each(|(value, factor)| *value *= factor);
            }
        }
    }
}

/// Fills with normal numbers of mean 0 and standard deviation `std` (Box and Muller 1958), addressed by seed, tensor and element.
pub fn fill_normal(values: &mut [f32], std: f32, seed: u64, tensor: usize) {
    let key = StepKey { seed, step: u64::MAX, micro_step: 0 }.of_op(tensor);
    for (block, values) in values.chunks_mut(4 * LANES).enumerate() {
        let mut counters = [0u32; LANES];
        for lane in 0..LANES {
            counters[lane] = lane as u32;
        }
        let words = philox(counters, block as u32, 0, key);
        for (index, value) in values.iter_mut().enumerate() {
            let (lane, word) = (index / 4, index % 4);
            let (radius, angle) = (words[word & 2][lane], words[word | 1][lane]);
            // 1 - u is in (0, 1], so that the logarithm is finite.
            let radius = (-2.0 * (1.0 - f64::from(radius) / 4_294_967_296.0).ln()).sqrt() as f32;
            let angle = TAU * (f64::from(angle) / 4_294_967_296.0) as f32;
            *value = std * radius * if word % 2 == 0 { angle.cos() } else { angle.sin() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_published_test_vectors() {
        // Random123's kat_vectors, "philox4x32 7": counter and key all zeros.
        let words = philox([0; LANES], 0, 0, [0, 0]);
        assert_eq!(
            [words[0][3], words[1][3], words[2][3], words[3][3]],
            [0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48]
        );
    }

    #[test]
    fn drops_the_asked_share_and_keeps_the_mean() {
        let dropout =
            Dropout::new(Isa::detect().unwrap(), 0.1, StepKey { seed: 7, step: 1, micro_step: 0 }.of_op(3)).unwrap();
        let mut values = vec![1.0f32; 1000];
        let (mut dropped, mut sum) = (0, 0.0);
        for row in 0..1000 {
            values.fill(1.0);
            dropout.apply(row, 0, &mut values);
            dropped += values.iter().filter(|value| **value == 0.0).count();
            sum += values.iter().map(|value| f64::from(*value)).sum::<f64>();
        }
        assert!((dropped as f64 / 1e6 - 0.1).abs() < 0.0015, "{dropped}");
        assert!((sum / 1e6 - 1.0).abs() < 0.002, "{sum}");
    }

    #[test]
    fn every_processor_drops_the_same() {
        let key = StepKey { seed: 7, step: 1, micro_step: 0 }.of_op(3);
        for p in [1e-5, 0.1, 0.5, 0.9999, 1.0] {
            let factors = |isa, group| {
                let mut factors = [f32::NAN; GROUP];
                Dropout::new(isa, p, key).unwrap().scales(5, 2, group, &mut factors);
                factors
            };
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                assert!((0..4_000).all(|group| factors(isa, group) == factors(Isa::Portable, group)), "{isa:?} {p}");
            }
        }
    }

    #[test]
    fn rows_planes_and_steps_differ() {
        let factors = |step, row, plane| {
            let mut factors = [0f32; GROUP];
            let key = StepKey { seed: 7, step, micro_step: 0 }.of_op(3);
            Dropout::new(Isa::detect().unwrap(), 0.5, key).unwrap().scales(row, plane, 0, &mut factors);
            factors
        };
        let base = factors(1, 0, 0);
        assert_eq!(base, factors(1, 0, 0));
        assert!(base != factors(2, 0, 0) && base != factors(1, 1, 0) && base != factors(1, 0, 1));
    }

    #[test]
    fn normal_numbers_have_their_moments() {
        let mut values = vec![0.0; 100_000];
        fill_normal(&mut values, 0.02, 1, 0);
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 1e5;
        let variance = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 1e5;
        let fourth = values.iter().map(|v| f64::from(*v).powi(4)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 3e-4 && (variance / 4e-4 - 1.0).abs() < 0.02, "{mean} {variance}");
        assert!((fourth / variance.powi(2) - 3.0).abs() < 0.1, "kurtosis {}", fourth / variance.powi(2));
    }
}
