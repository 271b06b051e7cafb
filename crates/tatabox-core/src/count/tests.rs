use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::seq::{LETTERS, reverse_complement};

fn genome(contigs: &[String]) -> (TempDir, Genome) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("genome.fa");
    let text: String = contigs.iter().enumerate().map(|(at, bases)| format!(">contig{at}\n{bases}\n")).collect();
    std::fs::write(&path, text).unwrap();
    let genome = Genome::open(&[path], &folder.path().join("cache")).unwrap();
    (folder, genome)
}

/// Counted window by window.
fn windows(contigs: &[Vec<u8>], k: usize, strands: Strands) -> Vec<u64> {
    let mut counts = vec![0; 1 << (2 * k)];
    for codes in contigs {
        let mut strand = codes.clone();
        for _ in 0..if strands == Strands::Both { 2 } else { 1 } {
            for window in strand.windows(k).filter(|window| window.iter().all(|&code| code < UNKNOWN)) {
                counts[kmer_of(window).0] += 1;
            }
            reverse_complement(&mut strand);
        }
    }
    counts
}

fn all(genome: &Genome, lengths: RangeInclusive<usize>, strands: Strands) -> KmerCounts {
    count(genome, &[], lengths, strands, &|_| ()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn equals_counting_window_by_window(contigs in prop::collection::vec("[ACGT]{1,90}(N{1,3}[acgtN]{1,40}){0,3}", 1..4), both in any::<bool>()) {
        // A genome must hold a base that is known.
        let strands = if both { Strands::Both } else { Strands::Forward };
        let (_folder, genome) = genome(&contigs);
        let codes: Vec<Vec<u8>> = contigs.iter().map(|bases| crate::seq::Sequence::parse(bases.as_bytes()).unwrap().0.codes).collect();
        let slices: Vec<&[u8]> = codes.iter().map(Vec::as_slice).collect();
        for lengths in [1..=10, 1..=1, 3..=7] {
            let counted = all(&genome, lengths.clone(), strands);
            prop_assert_eq!(counted.lengths().collect::<Vec<_>>(), lengths.clone().collect::<Vec<_>>());
            for k in lengths.clone() {
                prop_assert!(counted.of(k).unwrap() == windows(&codes, k, strands), "k = {}", k);
            }
            prop_assert!(counted == count_sequences(&slices, lengths, strands).unwrap());
        }
    }
}

/// A contig of several chunks.
fn long() -> String {
    let mut rng = crate::rng::SeededRng::new(1, crate::rng::Purpose::Test, 0, 0);
    (0..3 * CHUNK + 12_345).map(|_| char::from(LETTERS[rng.below(4) as usize])).collect()
}

#[test]
fn chunks_and_threads_change_nothing() {
    let contigs = [format!("ACG{}", long()), "ACGTACGTAC".into()];
    let (_folder, genome) = genome(&contigs);
    let codes: Vec<Vec<u8>> =
        contigs.iter().map(|bases| crate::seq::Sequence::parse(bases.as_bytes()).unwrap().0.codes).collect();
    let in_pool = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| all(&genome, 1..=10, Strands::Forward))
    };
    let one = in_pool(1);
    assert!(one == in_pool(2) && one == in_pool(7));
    for k in [1, 6, 10] {
        assert!(one.of(k).unwrap() == windows(&codes, k, Strands::Forward));
    }
}

#[test]
fn progress_adds_up_to_the_bases() {
    let (_folder, genome) = genome(&[long(), "ACGNNACGTACGTACG".into()]);
    let seen = std::sync::atomic::AtomicU64::new(0);
    count(&genome, &[], 1..=10, Strands::Forward, &|bases| {
        seen.fetch_add(bases, Ordering::Relaxed);
    })
    .unwrap();
    assert_eq!(seen.into_inner(), genome.card().known());
}

#[test]
fn what_is_held_out_is_not_counted() {
    let (_folder, genome) = genome(&["A".repeat(100) + &"C".repeat(50) + &"G".repeat(100)]);
    let held_out = [Region { contig: 0, start: 95, end: 155 }];
    let counts = count(&genome, &held_out, 1..=3, Strands::Forward, &|_| ()).unwrap();
    assert_eq!(counts.of(1).unwrap(), [95, 0, 0, 95]);
    assert_eq!(counts.of(3).unwrap()[kmer::number(b"AAA").unwrap()], 93);
    assert_eq!(counts.of(3).unwrap().iter().sum::<u64>(), 2 * 93);
}

#[test]
fn a_count_of_32_bits_is_given_away_before_it_overflows() {
    let mut tally = Tally::new(6);
    assert!(!tally.is_full(u64::from(u32::MAX)));
    tally.scan(scan::code_words(&[0; 100]), 0, 100);
    assert!(tally.is_full(u64::from(u32::MAX)) && !tally.is_full(u64::from(u32::MAX) - 100));
    let mut sums = vec![1 << 40; 1 << 12];
    tally.add_to(&mut sums);
    assert_eq!((sums[0], sums[1], tally.bases), ((1 << 40) + 95, 1 << 40, 0));
    assert!(tally.table.iter().all(|&count| count == 0));
}

#[test]
fn lengths_that_are_not_counted_are_refused() {
    for (lengths, got) in [(0..=3, "0..3"), (1..=11, "1..11"), (RangeInclusive::new(5, 4), "5..4")] {
        let error = count_sequences(&[&[0]], lengths, Strands::Forward).unwrap_err();
        assert!(error.is_usage());
        assert_eq!(
            error.to_string(),
            format!("`k` is {got}, but k-mers of 1 to 10 bases are counted, the shortest first")
        );
    }
}
