//! The background: base composition that varies along a contig, over a Markov chain that is the same read from either strand.
//!
//! Every (order + 1)-mer has a weight, the same for it and its reverse complement; a sequence is as probable as the product of the
//! weights of its (order + 1)-mers. Weights are random, times a pull to G and C that sets the share of an isochore, times a factor
//! for CG that sets its depletion. The chain that draws such sequences follows from the leading eigenvector of the weights.

use rayon::prelude::*;

use super::SimulateConfig;
use super::draw::{Part, normal, stream};
use crate::rng::SeededRng;

/// Base letters in the order of their codes.
pub(super) const LETTERS: [u8; 4] = *b"ATCG";
/// Shares of G and C are whole percents, from this one to `HIGHEST`: one chain each.
const LOWEST: usize = 20;
const HIGHEST: usize = 80;
/// How much of an isochore's difference from the mean is left in the next one.
const DRIFT: f64 = 0.7;

/// A segment of a contig with one share of G and C.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Isochore {
    /// First base, 0-based.
    pub start: u64,
    /// One past the last base.
    pub end: u64,
    /// Share of G and C asked of the background, in percent.
    pub gc_percent: usize,
}

/// Cuts a contig into isochores whose shares drift around the mean.
pub(super) fn isochores(config: &SimulateConfig, contig: usize, bases: u64) -> Vec<Isochore> {
    let mut rng = stream(config.seed, Part::Isochores, contig);
    let mut found = Vec::new();
    let mut level = normal(&mut rng);
    let mut start = 0;
    while start < bases {
        let gc = 100.0 * (config.gc_mean + config.gc_sd * level);
        let length = (config.isochore_bases as f64 * (0.5 + rng.unit())) as u64;
        let end = if start + length + config.isochore_bases / 2 > bases { bases } else { start + length };
        found.push(Isochore { start, end, gc_percent: (gc.round() as usize).clamp(LOWEST, HIGHEST) });
        level = DRIFT * level + (1.0 - DRIFT * DRIFT).sqrt() * normal(&mut rng);
        start = end;
    }
    found
}

/// The chains of every share of G and C that a genome uses.
pub(super) struct Background {
    order: u32,
    chains: Vec<Option<Chain>>,
}

/// Thresholds in 0..=65535 of the next base by context, `[4^order]`: the base is the number of thresholds that a draw reaches.
struct Chain(Vec<[u16; 3]>);

impl Background {
    /// Makes the chains for the shares of G and C (percents) that are needed.
    pub(super) fn new(config: &SimulateConfig, gc_percents: impl Iterator<Item = usize>) -> Self {
        let order = config.markov_order;
        let weights = symmetric_weights(config);
        let mut needed = vec![false; HIGHEST + 1];
        gc_percents.for_each(|percent| needed[percent] = true);
        let chains = needed
            .par_iter()
            .enumerate()
            .map(|(percent, needed)| needed.then(|| chain(&weights, order, percent as f64 / 100.0, config.cpg_ratio)))
            .collect();
        Self { order, chains }
    }

    /// Fills `out` with letters of one share of G and C; `context` carries over from piece to piece.
    pub(super) fn fill(&self, gc_percent: usize, context: &mut usize, rng: &mut SeededRng, out: &mut [u8]) {
        let Some(Chain(thresholds)) = &self.chains[gc_percent] else { unreachable!("a share that was not announced") };
        let mask = thresholds.len() - 1;
        let mut state = *context & mask;
        for four in out.chunks_mut(4) {
            let mut bits = rng.bits();
            for letter in four {
                let draw = bits as u16;
                bits >>= 16;
                let [first, second, third] = thresholds[state];
                let base = usize::from(draw >= first) + usize::from(draw >= second) + usize::from(draw >= third);
                *letter = LETTERS[base];
                state = (state << 2 | base) & mask;
            }
        }
        *context = state;
    }

    /// A context drawn by running the chain from an arbitrary one until that is forgotten.
    pub(super) fn warmed_context(&self, gc_percent: usize, rng: &mut SeededRng) -> usize {
        let mut context = rng.below(1 << (2 * self.order)) as usize;
        self.fill(gc_percent, &mut context, rng, &mut [0; 64]);
        context
    }
}

/// The share of G and C of `config.gc_mean` as the percent of a chain.
pub(super) fn mean_percent(config: &SimulateConfig) -> usize {
    ((100.0 * config.gc_mean).round() as usize).clamp(LOWEST, HIGHEST)
}

/// Reverse complement of a word of `length` bases, two bits a base, the first in the highest bits.
fn reverse_complement(word: usize, length: u32) -> usize {
    (0..length).fold(0, |reversed, place| reversed << 2 | ((word >> (2 * place)) & 3 ^ 1))
}

/// Random weights of the (order + 1)-mers, equal for reverse complements.
fn symmetric_weights(config: &SimulateConfig) -> Vec<f64> {
    let mut rng = stream(config.seed, Part::Background, 0);
    let length = config.markov_order + 1;
    let mut weights = vec![0.0; 1 << (2 * length)];
    for word in 0..weights.len() {
        let other = reverse_complement(word, length);
        weights[word] = if other < word { weights[other] } else { (config.markov_strength * normal(&mut rng)).exp() };
    }
    weights
}

/// The chain with a share `gc` of G and C and `cpg_ratio` of the CG pairs that this share lets expect.
fn chain(weights: &[f64], order: u32, gc: f64, cpg_ratio: f64) -> Chain {
    let contexts = 1usize << (2 * order);
    let is_gc = |base: usize| f64::from(u8::from(base >= 2)); // A 0, T 1, C 2, G 3
    let is_cg = |pair: usize| f64::from(u8::from(pair & 15 == 0b1011));
    let reversed: Vec<usize> = (0..contexts).map(|context| reverse_complement(context, order)).collect();
    let (mut pull, mut depletion) = ((gc / (1.0 - gc)).ln(), cpg_ratio.ln());
    let mut right = vec![1.0; contexts];
    let mut current = weights.to_vec();
    // 40 corrections of pull and depletion, each with a few steps of the power iteration; then the iteration alone.
    for round in 0..44 {
        for (word, weight) in current.iter_mut().enumerate() {
            // Half on each end, so that a word and its reverse complement keep the same weight.
            let ends = is_gc(word >> (2 * order)) + is_gc(word & 3);
            let pairs = is_cg(word >> (2 * (order - 1))) + is_cg(word);
            *weight = weights[word] * (0.5 * (pull * ends + depletion * pairs)).exp();
        }
        for _ in 0..if round < 40 { 6 } else { 20 } {
            let mut next: Vec<f64> =
                (0..contexts).map(|context| step(&current, &right, context).iter().sum()).collect();
            let largest = next.iter().fold(0.0f64, |largest, &value| largest.max(value));
            next.iter_mut().for_each(|value| *value /= largest);
            right = next;
        }
        if round >= 40 {
            continue;
        }
        // By symmetry the left eigenvector is the right one at the reverse complement; their product is the stationary distribution.
        let (mut total, mut share, mut pairs) = (0.0, 0.0, 0.0);
        for context in 0..contexts {
            for (base, weight) in step(&current, &right, context).into_iter().enumerate() {
                let probability = right[reversed[context]] * weight;
                total += probability;
                share += probability * is_gc(base);
                pairs += probability * is_cg(context << 2 | base);
            }
        }
        let (share, pairs) = (share / total, pairs / total);
        pull += (gc / (1.0 - gc)).ln() - (share / (1.0 - share)).ln();
        depletion += cpg_ratio.ln() - (pairs / (share * share / 4.0)).ln();
    }
    // Sixteen bits are coarse enough that the last bit of `exp` and `ln`, which differs between platforms, is rounded away.
    let thresholds = (0..contexts).map(|context| {
        let probabilities = step(&current, &right, context);
        let total: f64 = probabilities.iter().sum();
        let mut reached = 0.0;
        [0, 1, 2].map(|base| {
            reached += probabilities[base];
            (65_536.0 * reached / total).round().min(65_535.0) as u16
        })
    });
    Chain(thresholds.collect())
}

/// Unnormalised probabilities of the four bases after a context.
fn step(weights: &[f64], right: &[f64], context: usize) -> [f64; 4] {
    [0, 1, 2, 3].map(|base| weights[context << 2 | base] * right[(context << 2 | base) & (right.len() - 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(config: &SimulateConfig, percent: usize, bases: usize) -> Vec<u8> {
        let background = Background::new(config, [percent].into_iter());
        let mut rng = stream(1, Part::Bases, 0);
        let mut context = background.warmed_context(percent, &mut rng);
        let mut out = vec![0; bases];
        background.fill(percent, &mut context, &mut rng, &mut out);
        out
    }

    #[test]
    fn share_of_g_and_c_and_of_cg_pairs_are_those_asked() {
        for (percent, cpg_ratio, markov_order) in [(30, 0.2, 5), (45, 0.3, 3), (60, 1.0, 1), (40, 0.5, 6)] {
            let config = SimulateConfig { cpg_ratio, markov_order, ..SimulateConfig::default() };
            let bases = drawn(&config, percent, 2_000_000);
            let share = |letter: u8| bases.iter().filter(|&&base| base == letter).count() as f64 / bases.len() as f64;
            let pairs = bases.windows(2).filter(|pair| pair == b"CG").count() as f64 / bases.len() as f64;
            let gc = share(b'G') + share(b'C');
            assert!((gc - percent as f64 / 100.0).abs() < 0.003, "{percent} %: {gc}");
            let ratio = pairs / (share(b'G') * share(b'C'));
            assert!((ratio / cpg_ratio - 1.0).abs() < 0.03, "{cpg_ratio}: {ratio}");
        }
    }

    #[test]
    fn either_strand_has_the_same_words() {
        // Chargaff's second rule: 4-mers are as frequent as their reverse complements.
        let mut counts = [0f64; 256];
        let bases = drawn(&SimulateConfig::default(), 42, 1_000_000);
        for word in bases.windows(4) {
            counts[word
                .iter()
                .fold(0, |sum, base| sum << 2 | LETTERS.iter().position(|letter| letter == base).unwrap())] += 1.0;
        }
        for word in 0..256 {
            let other = counts[reverse_complement(word, 4)];
            // Words of a chain come in clumps: twice the variance of independent draws.
            assert!(
                (counts[word] - other).abs() < 4.0 * (2.0 * (counts[word] + other)).sqrt(),
                "{word}: {} {other}",
                counts[word]
            );
        }
    }

    #[test]
    fn words_are_more_predictable_than_their_bases() {
        let config = SimulateConfig::default();
        let weights = symmetric_weights(&config);
        let Chain(thresholds) = chain(&weights, config.markov_order, 0.42, config.cpg_ratio);
        let first: Vec<u16> = thresholds.iter().map(|thresholds| thresholds[0]).collect();
        let (low, high) = (first.iter().min().unwrap(), first.iter().max().unwrap());
        assert!(high - low > 20_000, "the next base hardly depends on the context: {low}..{high}");
    }

    #[test]
    fn isochores_cover_the_contig_and_drift() {
        let config = SimulateConfig::default();
        let found = isochores(&config, 0, 2_000_000);
        assert_eq!((found[0].start, found.last().unwrap().end), (0, 2_000_000));
        assert!(found.windows(2).all(|pair| pair[0].end == pair[1].start));
        let percents: Vec<usize> = found.iter().map(|isochore| isochore.gc_percent).collect();
        assert!(percents.iter().max().unwrap() - percents.iter().min().unwrap() >= 8, "{percents:?}");
    }
}
