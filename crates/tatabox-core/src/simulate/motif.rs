//! Motifs as matrices of probabilities, and their planted instances.

use serde::Serialize;

use super::composition::LETTERS;
use super::truth::Strand;
use crate::rng::SeededRng;

/// Probability that a base is one of those that the consensus letter allows.
const FAITHFUL: f64 = 0.94;

/// A motif: the probability of each base at each place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Motif {
    /// Its name, as in the truth's `name`.
    pub name: String,
    /// Its consensus in IUPAC letters.
    pub consensus: String,
    /// Probabilities of A, T, C and G by place, `[places][4]`.
    pub probabilities: Vec<[f64; 4]>,
}

impl Motif {
    /// The motif of a consensus (A, C, G, T, R, Y, S, W, K, M, N): 94 % on the letters it allows, in equal parts, the rest on the others.
    pub(super) fn new(name: &str, consensus: &str) -> Self {
        let probabilities = consensus.bytes().map(|letter| {
            let allowed: &[u8] = match letter {
                b'R' => b"AG",
                b'Y' => b"CT",
                b'S' => b"CG",
                b'W' => b"AT",
                b'K' => b"GT",
                b'M' => b"AC",
                b'N' => b"ACGT",
                _ => std::slice::from_ref(LETTERS.iter().find(|base| **base == letter).unwrap_or(&LETTERS[0])),
            };
            LETTERS.map(|base| match (allowed.contains(&base), allowed.len()) {
                (_, 4) => 0.25,
                (true, letters) => FAITHFUL / letters as f64,
                (false, letters) => (1.0 - FAITHFUL) / (4 - letters) as f64,
            })
        });
        Self { name: name.into(), consensus: consensus.into(), probabilities: probabilities.collect() }
    }

    /// Its length in bases.
    pub(super) fn bases(&self) -> u64 {
        self.probabilities.len() as u64
    }

    /// An instance, as letters on its own strand.
    pub(super) fn draw(&self, rng: &mut SeededRng) -> Vec<u8> {
        let instance = self.probabilities.iter().map(|place| {
            let draw = rng.unit();
            let mut reached = 0.0;
            let base = place.iter().take(3).take_while(|probability| {
                reached += **probability;
                draw >= reached
            });
            LETTERS[base.count()]
        });
        instance.collect()
    }
}

/// The complement of a letter, keeping its case; letters other than A, C, G and T stay as they are.
pub(super) fn complement(letter: u8) -> u8 {
    match letter {
        b'A' => b'T',
        b'T' => b'A',
        b'C' => b'G',
        b'G' => b'C',
        b'a' => b't',
        b't' => b'a',
        b'c' => b'g',
        b'g' => b'c',
        other => other,
    }
}

/// Writes letters over `bases` from `start` on, reverse complemented on the minus strand.
pub(super) fn plant(bases: &mut [u8], start: u64, strand: Strand, letters: &[u8]) {
    let place = &mut bases[start as usize..start as usize + letters.len()];
    match strand {
        Strand::Minus => {
            place.iter_mut().zip(letters.iter().rev()).for_each(|(base, letter)| *base = complement(*letter))
        }
        Strand::Plus | Strand::Either => place.copy_from_slice(letters),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn instances_follow_the_matrix() {
        let motif = Motif::new("TATA", "TATAWAWR");
        assert!(motif.probabilities.iter().all(|place| (place.iter().sum::<f64>() - 1.0).abs() < 1e-12));
        let mut rng = SeededRng::new(0, Purpose::Test, 0, 0);
        let mut counts = vec![[0f64; 4]; 8];
        for _ in 0..10_000 {
            for (place, letter) in motif.draw(&mut rng).into_iter().enumerate() {
                counts[place][LETTERS.iter().position(|base| *base == letter).unwrap()] += 1.0;
            }
        }
        for (count, probability) in counts.iter().flatten().zip(motif.probabilities.iter().flatten()) {
            let error = (10_000.0 * probability * (1.0 - probability)).sqrt();
            assert!((count - 10_000.0 * probability).abs() < 4.0 * error, "{count} of 10,000, asked {probability}");
        }
    }

    #[test]
    fn minus_strand_is_the_reverse_complement() {
        let mut bases = *b"NNNNNNN";
        plant(&mut bases, 1, Strand::Minus, b"TATAG");
        assert_eq!(&bases, b"NCTATAN");
        plant(&mut bases, 0, Strand::Plus, b"GG");
        assert_eq!(&bases, b"GGTATAN");
    }
}
