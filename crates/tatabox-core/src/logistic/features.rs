//! A sequence as the counts of its k-mers, of which few are not 0.

use crate::seq::UNKNOWN;

/// The longest k-mers that are counted.
pub const LONGEST_K: usize = 8;

/// The k-mers of a sequence, each once, by index, with its count over the root of the sum of squared counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(Vec<(u32, f32)>);

impl Row {
    /// Counts the k-mers of base codes; those with an unknown base are left out.
    pub fn of(codes: &[u8], k: usize) -> Row {
        let mask = (1usize << (2 * k)) - 1;
        let (mut number, mut known) = (0usize, 0usize);
        let mut found: Vec<u32> = Vec::with_capacity(codes.len());
        for &code in codes {
            known = if code < UNKNOWN { known + 1 } else { 0 };
            number = (number << 2 | usize::from(code & 3)) & mask;
            if known >= k {
                found.push(number as u32);
            }
        }
        found.sort_unstable();
        let counts: Vec<(u32, f64)> =
            found.chunk_by(|one, other| one == other).map(|run| (run[0], run.len() as f64)).collect();
        let norm = counts.iter().map(|(_, count)| count * count).sum::<f64>().sqrt();
        Row(counts.into_iter().map(|(index, count)| (index, (count / norm) as f32)).collect())
    }

    /// The sum of weights times counts and of the intercept, which is the last weight.
    pub(super) fn dot(&self, weights: &[f64]) -> f64 {
        self.0.iter().map(|&(index, value)| weights[index as usize] * f64::from(value)).sum::<f64>()
            + weights[weights.len() - 1]
    }

    /// Adds this row times `factor`, and `factor` to the intercept.
    pub(super) fn add_to(&self, sums: &mut [f64], factor: f64) {
        self.0.iter().for_each(|&(index, value)| sums[index as usize] += factor * f64::from(value));
        let last = sums.len() - 1;
        sums[last] += factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_over_their_root_of_squares_and_skip_what_is_unknown() {
        // AAAT, N, AA: AA three times, AT once.
        let row = Row::of(&[0, 0, 0, 1, UNKNOWN, 0, 0], 2);
        let root = 10f64.sqrt();
        assert_eq!(row, Row(vec![(0, (3.0 / root) as f32), (1, (1.0 / root) as f32)]));
        assert_eq!(Row::of(&[0], 2), Row(Vec::new()));
    }
}
