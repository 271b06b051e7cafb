//! The k-mer frequency model: a masked k-mer is as likely as it is frequent, among those that agree with its visible bases.

use std::collections::HashMap;

use super::HIDDEN;

/// Frequencies of k-mers, one added to every count.
#[derive(Clone, Debug)]
pub struct KmerFrequency<'a> {
    /// Counts of the k-mers, `[4^k]`.
    counts: &'a [u64],
    /// For each pattern of visible digits (as a mask over the k-mer's number): the smoothed counts summed over the hidden ones, at the number with its
    /// hidden digits 0. Filled as patterns come; neighbours hide few different ones.
    sums: HashMap<usize, Vec<u64>>,
}

impl<'a> KmerFrequency<'a> {
    /// The model of the counts of all k-mers of one length, `[4^k]`.
    pub fn new(counts: &'a [u64]) -> Self {
        Self { counts, sums: HashMap::new() }
    }

    /// -ln of the probability of the true k-mer given its visible bases; `visible` and `truth` are `[k]`.
    pub fn nats(&mut self, visible: &[u8], truth: &[u8]) -> f64 {
        let pattern = visible.iter().fold(0, |mask, &code| mask << 2 | if code == HIDDEN { 0 } else { 3 });
        let number = truth.iter().fold(0, |number, &code| number << 2 | usize::from(code & 3));
        let counts = self.counts;
        let sums = self.sums.entry(pattern).or_insert_with(|| {
            let mut sums = vec![0; counts.len()];
            for (number, count) in counts.iter().enumerate() {
                sums[number & pattern] += count + 1;
            }
            sums
        });
        (sums[number & pattern] as f64).ln() - ((counts[number] + 1) as f64).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::{Strands, count_sequences};

    #[test]
    fn weighs_only_the_kmers_that_agree_with_what_is_visible() {
        let counts = count_sequences(&[&[0, 0, 0, 0, 1]], 2..=2, Strands::Forward).unwrap(); // AA three times, AT once
        let mut model = KmerFrequency::new(counts.of(2).unwrap());
        // A?: AA 3+1, AT 1+1, AC 1, AG 1.
        assert!((model.nats(&[0, HIDDEN], &[0, 0]) - (8.0f64 / 4.0).ln()).abs() < 1e-12);
        assert!((model.nats(&[0, HIDDEN], &[0, 3]) - 8.0f64.ln()).abs() < 1e-12);
        // ??: 16 k-mers and 4 counts.
        assert!((model.nats(&[HIDDEN, HIDDEN], &[0, 1]) - (20.0f64 / 2.0).ln()).abs() < 1e-12);
        assert_eq!(model.nats(&[0, 1], &[0, 1]), 0.0);
    }
}
