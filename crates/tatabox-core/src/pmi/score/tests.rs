use super::*;
use crate::count::{Strands, count_sequences};
use crate::pmi::PAPER_THRESHOLD;
use crate::rng::{Purpose, SeededRng};

fn number(word: &str) -> usize {
    kmer::number(word.as_bytes()).unwrap()
}

/// A sequence in which some words are planted.
fn counts(lengths: std::ops::RangeInclusive<usize>) -> KmerCounts {
    let mut rng = SeededRng::new(3, Purpose::Test, 0, 0);
    let mut codes: Vec<u8> = (0..60_000).map(|_| rng.below(4) as u8).collect();
    for at in (0..59_000).step_by(200) {
        codes[at..at + 6].copy_from_slice(&[1, 0, 1, 0, 0, 0]); // TATAAA
    }
    count_sequences(&[&codes], lengths, Strands::Forward).unwrap()
}

#[test]
fn equation_1_is_the_least_over_all_segmentations_of_every_6mer() {
    let counts = counts(1..=6);
    let p =
        |k: usize, word: usize| counts.of(k).unwrap()[word] as f64 / counts.of(k).unwrap().iter().sum::<u64>() as f64;
    let table = PmiTable::score(&counts, 6, Scorer::Eq1, Threshold::Count(1)).unwrap();
    for row in table.rows() {
        let ratio = |cuts: usize| {
            let (mut product, mut start) = (1.0, 0);
            for end in 1..=6 {
                if end == 6 || cuts >> (end - 1) & 1 == 1 {
                    product *= p(end - start, row.kmer >> (2 * (6 - end)) & ((1 << (2 * (end - start))) - 1));
                    start = end;
                }
            }
            (p(6, row.kmer) / product).ln()
        };
        let least = (1..32).map(ratio).fold(f64::INFINITY, f64::min);
        assert!((row.pmi - least).abs() < 1e-8, "{}: {} for {least}", kmer::spell(row.kmer, 6), row.pmi);
    }
    assert_eq!(table.rank(number("TATAAA")), Some(1));
}

#[test]
fn the_release_cuts_into_singles_and_pairs_and_has_one_total() {
    // 8 bases, 7 pairs, 6 triples: AAT stands there three times. A 5, T 3; AA 2? counted by hand below.
    let codes = [0, 0, 1, 0, 0, 1, 0, 1]; // AATAATAT: A 5, T 3; AA 2, AT 3, TA 2; AAT 2, ATA 2, TAA 1, TAT 1
    let counts = count_sequences(&[&codes], 1..=3, Strands::Forward).unwrap();
    let table = PmiTable::score(&counts, 3, Scorer::GenemaskRelease, Threshold::Count(1)).unwrap();
    let total = 15.0f64;
    let best =
        ((5.0 / total) * (3.0 / total)).max((2.0 / total) * (3.0 / total)).max((5.0 * 5.0 * 3.0) / total.powi(3));
    let expected = (2.0 / total / best).ln();
    let row = table.row(number("AAT")).unwrap();
    assert!((row.pmi - expected).abs() < 1e-8, "{} for {expected}", row.pmi);
    // Pieces of three bases would be allowed by Equation 1; here they are not, and 4-mers need no counts of 3-mers.
    let mut without = count_sequences(&[&codes], 4..=4, Strands::Forward).unwrap();
    (1..=2).for_each(|k| without.set(k, counts.of(k).unwrap().to_vec()));
    assert!(PmiTable::score(&without, 4, Scorer::GenemaskRelease, Threshold::Count(1)).is_ok());
}

#[test]
fn ai21_squares_the_probability_and_ranks_by_that() {
    let counts = counts(1..=5);
    let eq1 = PmiTable::score(&counts, 5, Scorer::Eq1, Threshold::Count(5)).unwrap();
    let ai21 = PmiTable::score(&counts, 5, Scorer::Ai21, Threshold::Count(5)).unwrap();
    let total = counts.of(5).unwrap().iter().sum::<u64>() as f64;
    for row in ai21.rows() {
        let expected = eq1.row(row.kmer).unwrap().pmi + (row.count as f64 / total).ln();
        assert!((row.pmi - expected).abs() < 1e-8);
        assert_eq!(row.pmi, row.npmi);
    }
    assert!(ai21.rows().is_sorted_by(|better, worse| better.pmi >= worse.pmi));
}

#[test]
fn equation_2_discounts_by_the_threshold() {
    let counts = counts(1..=6);
    for least in [2, 20] {
        let table = PmiTable::score(&counts, 6, Scorer::Eq1, Threshold::Count(least)).unwrap();
        for row in table.rows() {
            let f = (row.count as f64).ln();
            assert!((row.npmi - row.pmi * f / ((least as f64).ln() + f)).abs() < 1e-8);
        }
        let words = counts.of(6).unwrap();
        assert!((0..words.len()).all(|kmer| table.rank(kmer).is_some() == (words[kmer] >= least)));
    }
    // c = 1 discounts nothing.
    let all = PmiTable::score(&counts, 6, Scorer::Eq1, Threshold::Count(1)).unwrap();
    assert!(all.rows().iter().all(|row| row.npmi == row.pmi));
}

#[test]
fn the_first_quartile_leaves_out_at_most_a_quarter_of_what_occurs() {
    let counts = counts(1..=6);
    let words = counts.of(6).unwrap();
    let table = PmiTable::score(&counts, 6, Scorer::Eq1, Threshold::FirstQuartile).unwrap();
    let seen = words.iter().filter(|&&count| count > 0).count();
    let c = table.rows().iter().map(|row| row.count).min().unwrap();
    let fewer = words.iter().filter(|&&count| count > 0 && count < c).count();
    let up_to = words.iter().filter(|&&count| count > 0 && count <= c).count();
    assert!(fewer <= seen / 4 && up_to > seen / 4, "{fewer} and {up_to} of {seen}");
    // The paper's 101 is more than the quartile of so short a text, and less than that of single pairs.
    assert_eq!(table, PmiTable::score(&counts, 6, Scorer::Eq1, Threshold::Default).unwrap());
    let pairs = PmiTable::score(&counts, 2, Scorer::Eq1, Threshold::Default).unwrap();
    assert_eq!(pairs, PmiTable::score(&counts, 2, Scorer::Eq1, Threshold::Count(PAPER_THRESHOLD)).unwrap());
}

#[test]
fn both_strands_give_a_kmer_and_its_reverse_complement_one_score() {
    let mut rng = SeededRng::new(5, Purpose::Test, 0, 0);
    let codes: Vec<u8> = (0..30_000).map(|_| rng.below(4) as u8).collect();
    let counts = count_sequences(&[&codes], 1..=6, Strands::Both).unwrap();
    for scorer in [Scorer::Eq1, Scorer::GenemaskRelease, Scorer::Ai21] {
        let table = PmiTable::score(&counts, 6, scorer, Threshold::Default).unwrap();
        for row in table.rows() {
            let other = table.row(kmer::reverse_complement(row.kmer, 6)).unwrap();
            assert_eq!((row.npmi, row.count), (other.npmi, other.count), "{}", kmer::spell(row.kmer, 6));
        }
    }
}

#[test]
fn every_length_can_be_scored() {
    let counts = counts(1..=10);
    for k in LENGTHS {
        let table = PmiTable::score(&counts, k, Scorer::Eq1, Threshold::Default).unwrap();
        assert_eq!(table.k(), k);
    }
}

#[test]
fn what_cannot_be_scored_says_why() {
    let six = counts(6..=6);
    let error = |counts: &KmerCounts, k, scorer, threshold| PmiTable::score(counts, k, scorer, threshold).unwrap_err();
    let missing = error(&six, 6, Scorer::Eq1, Threshold::Default);
    assert!(
        missing.to_string().ends_with("lengths 1, 2, 3, 4, 5, 6, but there are none of length 1, 2, 3, 4, 5"),
        "{missing}"
    );
    assert!(missing.hint().unwrap().contains("-k 1..6"));
    for k in [0, 1, 11] {
        assert!(error(&six, k, Scorer::Eq1, Threshold::Default).is_usage());
    }
    let all = counts(1..=6);
    assert!(error(&all, 6, Scorer::Eq1, Threshold::Count(0)).is_usage());
    let rare = error(&all, 6, Scorer::Eq1, Threshold::Count(1_000_000));
    assert!(rare.to_string().starts_with("no 6-mer was seen 1,000,000 times; the most"), "{rare}");
    let none = count_sequences(&[&[0, 1]], 1..=6, Strands::Forward).unwrap();
    let none = error(&none, 6, Scorer::Eq1, Threshold::Default);
    assert_eq!(none.to_string(), "no 6-mer occurs in what was counted");
    assert!(none.hint().unwrap().contains("6 known bases"), "{none:?}");
    let mut lie = all.clone();
    let mut pairs = all.of(2).unwrap().to_vec();
    pairs[number("TA")] = 3;
    lie.set(2, pairs);
    let lie = error(&lie, 6, Scorer::Eq1, Threshold::Default);
    assert!(lie.to_string().contains("contradict each other"), "{lie}");
    // G stands in the middle alone.
    let mut inner = KmerCounts::default();
    for k in 1..=3 {
        let mut table = vec![0; 1 << (2 * k)];
        for word in ["A", "C", "AG", "GC", "AGC"].into_iter().filter(|word| word.len() == k) {
            table[number(word)] = 5;
        }
        inner.set(k, table);
    }
    let inner = error(&inner, 3, Scorer::GenemaskRelease, Threshold::Count(1));
    assert!(inner.to_string().contains("AGC 5 times, its part G 0"), "{inner}");
}
