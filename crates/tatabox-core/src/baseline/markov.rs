//! A Markov chain of order 5 and its exact posterior of hidden bases, by the forward-backward algorithm (Rabiner 1989, section III, with its scaling).
//!
//! A state is the last five bases. Only states that agree with the visible bases are kept: after five visible bases there is one. The posterior of a masked
//! k-mer is the product of the forward weight before it, its own transitions and the backward weight after it, so k needs no longer states.

use super::HIDDEN;

/// Bases that the next one depends on.
pub(super) const ORDER: usize = 5;
/// States: all words of five bases.
const STATES: usize = 1 << (2 * ORDER);
/// What is added to every count of a base after five.
const SMOOTHING: f64 = 0.5;

/// The chain.
#[derive(Clone, Debug)]
pub struct Markov {
    /// The probability of a base after five, `[states * 4]`: at the base-4 number of all six.
    next: Vec<f64>,
    /// The probability of five bases before a window, `[states]`.
    start: Vec<f64>,
}

/// What the visible bases of one sequence say about its hidden ones.
#[derive(Clone, Debug)]
pub struct Posteriors<'a> {
    markov: &'a Markov,
    /// After i bases: the states that are possible, increasing, and their probability given the visible ones among these i, `[bases + 1]`.
    forward: Vec<Vec<(u16, f64)>>,
    /// After i bases, in the order of `forward`: the probability of the visible bases that follow, scaled so that the products with `forward` sum to 1.
    backward: Vec<Vec<f64>>,
    /// The probability of base i, if it is visible, given the visible ones before it; 1 for a hidden one, `[bases]`.
    scale: Vec<f64>,
}

impl Markov {
    /// The chain of the counts of all 6-mers, `[4^6]`, a half added to every count.
    pub fn new(sixmers: &[u64]) -> Self {
        debug_assert_eq!(sixmers.len(), 4 * STATES);
        let smoothed: Vec<f64> = sixmers.iter().map(|&count| count as f64 + SMOOTHING).collect();
        let after: Vec<f64> = smoothed.chunks(4).map(|bases| bases.iter().sum()).collect();
        let total: f64 = after.iter().sum();
        let next = smoothed.iter().enumerate().map(|(number, count)| count / after[number >> 2]).collect();
        Self { next, start: after.iter().map(|count| count / total).collect() }
    }

    /// Runs over a sequence of base codes, [`HIDDEN`] (or anything above 3) where a base is not known. The five bases before the sequence are taken as hidden.
    pub fn posteriors(&self, visible: &[u8]) -> Posteriors<'_> {
        let mut forward: Vec<Vec<(u16, f64)>> = Vec::with_capacity(visible.len() + 1);
        let mut scale = Vec::with_capacity(visible.len());
        forward.push(self.start.iter().enumerate().map(|(state, &p)| (state as u16, p)).collect());
        let mut dense = vec![0.0; STATES];
        for (index, &code) in visible.iter().enumerate() {
            let mut reached: Vec<u16> = Vec::new();
            for &(state, p) in &forward[index] {
                for base in possible(code) {
                    let (to, number) = step(state, base);
                    // Probabilities are above 0 (every count is smoothed), so 0 says "not reached yet". One that underflows to 0 is listed
                    // twice at worst with a weight of 0.
                    if dense[to as usize] == 0.0 {
                        reached.push(to);
                    }
                    dense[to as usize] += p * self.next[number];
                }
            }
            reached.sort_unstable();
            let sum: f64 = reached.iter().map(|&state| dense[state as usize]).sum();
            scale.push(sum);
            forward
                .push(reached.iter().map(|&state| (state, std::mem::take(&mut dense[state as usize]) / sum)).collect());
        }
        let mut backward = vec![Vec::new(); forward.len()];
        backward[visible.len()] = vec![1.0; forward[visible.len()].len()];
        for (index, &code) in visible.iter().enumerate().rev() {
            for (&(state, _), &weight) in forward[index + 1].iter().zip(&backward[index + 1]) {
                dense[state as usize] = weight;
            }
            let weight = |state: u16| {
                let reached = possible(code).map(|base| step(state, base));
                reached.map(|(to, number)| self.next[number] * dense[to as usize]).sum::<f64>() / scale[index]
            };
            backward[index] = forward[index].iter().map(|&(state, _)| weight(state)).collect();
        }
        Posteriors { markov: self, forward, backward, scale }
    }
}

impl Posteriors<'_> {
    /// -ln of the probability that the bases from `start` on are `truth`, given all visible ones. `truth` must agree with what is visible.
    pub fn nats(&self, start: usize, truth: &[u8]) -> f64 {
        // Follow the true bases from every state before them; paths that meet are kept apart, which changes no sum.
        let mut paths = self.forward[start].clone();
        for (offset, &code) in truth.iter().enumerate() {
            for (state, weight) in &mut paths {
                let (to, number) = step(*state, code & 3);
                *weight *= self.markov.next[number] / self.scale[start + offset];
                *state = to;
            }
        }
        let end = start + truth.len();
        let after = |state: u16| {
            let found = self.forward[end].binary_search_by_key(&state, |&(other, _)| other);
            found.map_or(0.0, |index| self.backward[end][index])
        };
        let probability: f64 = paths.iter().map(|&(state, weight)| weight * after(state)).sum();
        -probability.min(1.0).ln()
    }
}

/// The bases that a code allows.
fn possible(code: u8) -> std::ops::Range<u8> {
    if code < HIDDEN { code..code + 1 } else { 0..4 }
}

/// The state after a base, and the number of the six bases.
fn step(state: u16, base: u8) -> (u16, usize) {
    let number = usize::from(state) << 2 | usize::from(base);
    ((number % STATES) as u16, number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::{Strands, count_sequences};
    use crate::rng::{Purpose, SeededRng};

    fn markov() -> Markov {
        let mut rng = SeededRng::new(2, Purpose::Test, 0, 0);
        let mut last = 0;
        let bases = (0..4_000).map(|_| {
            last = if rng.chance(0.5) { (last + 3) % 4 } else { rng.below(4) as u8 };
            last
        });
        let counts = count_sequences(&[&bases.collect::<Vec<u8>>()], 6..=6, Strands::Forward).unwrap();
        Markov::new(counts.of(6).unwrap())
    }

    /// The probability of the bases, by the sum over the five unknown bases before them.
    fn joint(markov: &Markov, bases: &[u8]) -> f64 {
        let path = |state: usize| {
            bases.iter().fold((state as u16, markov.start[state]), |(state, p), &base| {
                let (to, number) = step(state, base);
                (to, p * markov.next[number])
            })
        };
        (0..STATES).map(|state| path(state).1).sum()
    }

    /// All ways to fill the hidden bases.
    fn fillings(visible: &[u8]) -> Vec<Vec<u8>> {
        visible.iter().fold(vec![Vec::new()], |words, &code| {
            words.iter().flat_map(|word| possible(code).map(|base| [&word[..], &[base]].concat())).collect()
        })
    }

    #[test]
    fn equals_the_sum_over_all_ways_to_fill_the_hidden_bases() {
        let markov = markov();
        let h = HIDDEN;
        for (visible, start, length) in [
            (vec![0, 1, 2, 3, 0, 1, h, h, 2, 3, 3, 1], 4, 6),
            (vec![h, h, 2, 3, 0, 1, 1, 0], 0, 3),
            (vec![1, 0, 3, 2, 1, h, h], 1, 6),
            (vec![h, 1, h, 0, 2, h, 3, 3, h, 0], 2, 7),
            (vec![h, h, h], 0, 3),
            (vec![h], 0, 1),
            (vec![0, h, 1, h, h, 0, 0, 2], 1, 4),
        ] {
            let fillings = fillings(&visible);
            let whole: f64 = fillings.iter().map(|bases| joint(&markov, bases)).sum();
            let posteriors = markov.posteriors(&visible);
            let mut words: Vec<&[u8]> = fillings.iter().map(|bases| &bases[start..start + length]).collect();
            words.sort_unstable();
            words.dedup();
            let mut sum = 0.0;
            for word in words {
                let agreeing = fillings.iter().filter(|bases| &bases[start..start + length] == word);
                let expected = agreeing.map(|bases| joint(&markov, bases)).sum::<f64>() / whole;
                let got = (-posteriors.nats(start, word)).exp();
                assert!((got - expected).abs() < 1e-10, "{visible:?} {word:?}: {got} for {expected}");
                sum += got;
            }
            assert!((sum - 1.0).abs() < 1e-10);
        }
    }

    #[test]
    fn what_is_visible_costs_nothing_however_long_the_sequence() {
        let markov = markov();
        let visible: Vec<u8> = (0..5_000).map(|base| if base == 2_500 { HIDDEN } else { (base % 4) as u8 }).collect();
        let posteriors = markov.posteriors(&visible);
        assert!(posteriors.nats(100, &visible[100..106]).abs() < 1e-9);
        let known: f64 = (0..4u8).map(|base| (-posteriors.nats(2_500, &[base])).exp()).sum();
        assert!((known - 1.0).abs() < 1e-9);
    }
}
