use std::collections::HashSet;
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::corpus::{Holdout, Region};

fn genome(fasta: &str) -> Genome {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.fa");
    fs::write(&path, fasta).unwrap();
    // The map outlives the folder: the file goes when the last map of it does.
    Genome::open(&[path], &folder.path().join("cache")).unwrap()
}

/// Bases without a pattern that a window could hit or miss by chance.
fn bases(count: usize, seed: u64) -> String {
    let mut rng = SeededRng::new(seed, Purpose::Test, 0, 0);
    (0..count).map(|_| char::from(b"ACGT"[rng.below(4) as usize])).collect()
}

fn config() -> SamplerConfig {
    SamplerConfig {
        full_tokens: 20,
        min_tokens: 5,
        k: 6,
        stride: 1,
        sampling: Sampling::Random,
        both_strands: true,
        repeat_weight: 1.0,
        holdout: Holdout::None,
    }
}

fn windows(sampler: &Sampler, count: u64) -> Vec<Window> {
    (0..count).map(|index| sampler.window(1, 0, index)).collect()
}

fn list(items: &[&str]) -> Holdout {
    Holdout::List(items.iter().map(|item| item.to_string()).collect())
}

#[test]
fn half_of_the_windows_are_full_and_half_of_any_length() {
    let genome = genome(&format!(">a\n{}\n", bases(5000, 0)));
    let sampler = Sampler::new(&genome, config(), Part::Train).unwrap();
    let mut counts = [0u32; 21];
    windows(&sampler, 32_000).iter().for_each(|window| counts[window.bases as usize - 5] += 1);
    assert_eq!(counts[..5], [0; 5]);
    // 20 tokens come from both halves, 5..20 from one: 17,000 and 1,000, within five standard errors.
    assert!(counts[5..20].iter().all(|&count| count.abs_diff(1000) < 160), "{counts:?}");
    assert!(counts[20].abs_diff(17_000) < 450, "{counts:?}");
}

#[test]
fn a_start_is_as_likely_as_any_other_over_all_contigs() {
    // 25-base windows: 6, 1 and 13 places, none in the short contig.
    let fasta = format!(">a\n{}NN{}\n>b\n{}\n>c\n{}\n", bases(30, 1), bases(25, 2), bases(24, 3), bases(37, 4));
    let genome = genome(&fasta);
    let one_length = SamplerConfig { min_tokens: 20, ..config() };
    let sampler = Sampler::new(&genome, one_length, Part::Train).unwrap();
    let mut counts = std::collections::BTreeMap::new();
    windows(&sampler, 20_000)
        .iter()
        .for_each(|window| *counts.entry((window.contig, window.start)).or_insert(0u32) += 1);
    let expected: Vec<(usize, u64)> = (0..6).map(|s| (0, s)).chain([(0, 32)]).chain((0..13).map(|s| (2, s))).collect();
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), expected);
    // Chi-square with 19 degrees of freedom: above 43.8 once in a thousand.
    let chi: f64 = counts.values().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
    assert!(chi < 43.8, "{chi}");
}

#[test]
fn reads_the_other_strand_of_half_of_the_windows() {
    let genome = genome(&format!(">a\n{}\n", bases(400, 0)));
    let sampler = Sampler::new(&genome, config(), Part::Train).unwrap();
    let drawn = windows(&sampler, 2000);
    assert!(drawn.iter().filter(|window| window.reverse).count().abs_diff(1000) < 112);
    let reverse = *drawn.iter().find(|window| window.reverse).unwrap();
    let (mut there, mut back) = (Vec::new(), Vec::new());
    sampler.read(&reverse, &mut there);
    sampler.read(&Window { reverse: false, ..reverse }, &mut back);
    crate::seq::reverse_complement(&mut back);
    assert_eq!(there, back);
    let forward = Sampler::new(&genome, SamplerConfig { both_strands: false, ..config() }, Part::Train).unwrap();
    assert!(windows(&forward, 100).iter().all(|window| !window.reverse));
}

#[test]
fn holds_out_a_twentieth_from_within_each_long_contig() {
    // Full windows of 25 bases: 500 bases are long.
    let genome = genome(&format!(">a\n{}\n>b\n{}\n>c\n{}\n", bases(1000, 0), bases(499, 1), bases(510, 2)));
    let regions = Holdout::Auto.regions(&genome, 25).unwrap();
    let expected = [Region { contig: 0, start: 700, end: 750 }, Region { contig: 2, start: 357, end: 382 }];
    assert_eq!(regions, expected);
    assert_eq!(regions[0].label(&genome), "a:701-750");
    assert_eq!(Holdout::Auto.regions(&genome, 100).unwrap(), [expected[0]]);
}

#[test]
fn reads_contigs_and_regions_as_samtools_does() {
    let genome = genome(&format!(">a\n{}\n>b:1\n{}\n", bases(100, 0), bases(50, 1)));
    let regions = list(&["b:1", "a:11-20", "a:15-30", "a:31-31"]).regions(&genome, 25).unwrap();
    assert_eq!(regions, [Region { contig: 0, start: 10, end: 31 }, Region { contig: 1, start: 0, end: 50 }]);
    for (item, expected) in [
        ("a:0-5", "`a` has the bases 1 to 100"),
        ("a:5-101", "`a` has the bases 1 to 100"),
        ("a:9-5", "`a` has the bases 1 to 100"),
        ("a:5", "a region has a first and a last base"),
        ("a:5-x", "the ends of a region are whole numbers"),
    ] {
        let error = list(&[item]).regions(&genome, 25).unwrap_err();
        assert_eq!(error.to_string(), format!("`data.holdout` is `{item}`, but {expected}"));
        assert!(error.is_usage() && error.hint().is_some());
    }
}

#[test]
fn names_the_nearest_contig_for_an_unknown_one() {
    let genome = genome(">chr1\nACGT\n>chr2\nACGT\n>chrIV\nACGT\n");
    for (asked, nearest) in [("2", "chr2"), ("chrVI", "chrIV"), ("Chr1:1-2", "chr1")] {
        let error = list(&[asked]).regions(&genome, 25).unwrap_err();
        assert!(error.to_string().contains("the genome has no contig"), "{error}");
        assert!(error.hint().unwrap().starts_with(&format!("write `{nearest}`")), "{:?}", error.hint());
    }
    let error = list(&["scaffold_12"]).regions(&genome, 25).unwrap_err();
    assert_eq!(error.hint().unwrap(), "the contigs are `chr1`, `chr2`, `chrIV`");
}

#[test]
fn weighs_soft_masked_repeats() {
    let genome = genome(&format!(">a\n{}{}\n", bases(10_000, 0), bases(10_000, 1).to_lowercase()));
    let share = |weight: f64, sampling: Sampling| {
        let config = SamplerConfig { repeat_weight: weight, sampling, ..config() };
        let sampler = Sampler::new(&genome, config, Part::Train).unwrap();
        let count = sampler.windows_per_epoch().unwrap_or(4000);
        windows(&sampler, count).iter().filter(|window| window.start >= 10_000).count() as f64 / count as f64
    };
    for sampling in [Sampling::Random, Sampling::Tiling { windows_per_step: 0 }] {
        assert!((share(1.0, sampling) - 0.5).abs() < 0.04);
        assert!((share(0.25, sampling) - 0.2).abs() < 0.05);
        assert_eq!(share(0.0, sampling), 0.0);
    }
}

#[test]
fn tiling_sees_each_piece_once_an_epoch_in_another_order() {
    let genome = genome(&format!(">a\n{}NNN{}\n>b\n{}\n", bases(600, 0), bases(333, 1), bases(9, 2)));
    let config = SamplerConfig { sampling: Sampling::Tiling { windows_per_step: 7 }, ..config() };
    let sampler = Sampler::new(&genome, config, Part::Train).unwrap();
    let count = sampler.windows_per_epoch().unwrap();
    let row: Vec<Window> = (0..2 * count).map(|i| sampler.window(3, i / 7, i % 7)).collect();
    let place = |window: &Window| (window.contig, window.start, window.bases);
    let epochs: Vec<Vec<_>> = row.chunks(count as usize).map(|epoch| epoch.iter().map(place).collect()).collect();
    assert_ne!(epochs[0], epochs[1]);
    let sorted = |epoch: &Vec<(usize, u64, u64)>| {
        let mut sorted = epoch.clone();
        sorted.sort_unstable();
        sorted
    };
    assert_eq!(sorted(&epochs[0]), sorted(&epochs[1]));
    // Side by side, and nothing is lost but ends too short for the shortest window of 10 bases.
    let pieces = sorted(&epochs[0]);
    assert!(pieces.windows(2).all(|pair| pair[0].1 + pair[0].2 <= pair[1].1));
    assert!(pieces.iter().map(|piece| piece.2).sum::<u64>() > 933 - 20);
}

#[test]
fn refuses_a_genome_shorter_than_a_window_and_says_what_would_fit() {
    let short = genome(&format!(">a\n{}NN{}\n", bases(20, 0), bases(15, 1)));
    let error = Sampler::new(&short, config(), Part::Train).err().unwrap();
    assert!(error.to_string().ends_with("has 20 bases, a full window has 25"), "{error}");
    assert_eq!(error.hint().unwrap(), "set `data.max_length = 17`, or give a longer genome");
    let fits = SamplerConfig { full_tokens: 15, ..config() };
    assert!(Sampler::new(&short, fits, Part::Train).is_ok());
    let tiny = genome(">a\nACGTNN\n");
    assert_eq!(Sampler::new(&tiny, config(), Part::Train).err().unwrap().hint().unwrap(), "give a longer genome");
}

#[test]
fn refuses_a_part_that_cannot_be_drawn_from() {
    let genome = genome(&format!(">a\n{}\n>b\n{}\n", bases(400, 0), bases(100, 1).to_lowercase()));
    let refused = |holdout: Holdout, repeat_weight: f64, part: Part| {
        let error = Sampler::new(&genome, SamplerConfig { holdout, repeat_weight, ..config() }, part).err().unwrap();
        assert!(error.hint().is_some());
        error.to_string()
    };
    assert!(refused(Holdout::Auto, 1.0, Part::HeldOut).contains("stretch of A, C, G, T has 20 bases"));
    assert!(refused(Holdout::None, 1.0, Part::HeldOut).contains("nothing is held out"));
    assert!(refused(list(&["a", "b"]), 1.0, Part::Train).contains("has 0 bases"));
    assert!(refused(list(&["a"]), 0.0, Part::Train).contains("soft-masked"));
    assert!(refused(Holdout::None, 1.5, Part::Train).contains("`data.repeat_weight` is 1.5"));
    let config = SamplerConfig { full_tokens: 4, ..config() };
    let error = Sampler::new(&genome, config, Part::Train).err().unwrap();
    assert_eq!(
        error.to_string(),
        "`data.max_length` is 6, but the shortest window has 5 tokens, and 2 special tokens are added"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn windows_keep_to_their_part_and_cover_no_unknown_base(
        pieces in proptest::collection::vec(proptest::collection::vec((1usize..300, 0usize..60), 1..5), 1..4),
        regions in proptest::collection::vec((0usize..4, 0u64..900, 1u64..300), 1..4),
        tiling in any::<bool>(), stride in 1u64..7, seed in any::<u64>(),
    ) {
        let mut fasta = String::new();
        for (contig, runs) in pieces.iter().enumerate() {
            fasta += &format!(">c{contig}\n");
            for (i, (known, unknown)) in runs.iter().enumerate() {
                fasta += &format!("{}{}\n", bases(*known, i as u64), "N".repeat(*unknown));
            }
        }
        let genome = genome(&fasta);
        let items: Vec<String> = regions.iter().filter_map(|&(contig, start, length)| {
            let contig = genome.contigs().get(contig)?;
            (start < contig.bases).then(|| format!("{}:{}-{}", contig.name, start + 1, (start + length).min(contig.bases)))
        }).collect();
        let held_out = Holdout::List(items).regions(&genome, 1).unwrap();
        let within = |window: &Window, region: &Region| {
            window.contig == region.contig && window.start < region.end && window.start + window.bases > region.start
        };
        let sampling = if tiling { Sampling::Tiling { windows_per_step: 50 } } else { Sampling::Random };
        let holdout = Holdout::List(held_out.iter().map(|region| region.label(&genome)).collect());
        let config = SamplerConfig { full_tokens: 8, min_tokens: 2, stride, sampling, holdout, ..config() };
        let mut codes = Vec::new();
        for part in [Part::Train, Part::HeldOut] {
            // A part too small for a window is refused; that is another test's matter.
            let Ok(sampler) = Sampler::new(&genome, config.clone(), part) else { continue };
            for index in 0..100 {
                let window = sampler.window(seed, 3, index);
                prop_assert_eq!(window, sampler.window(seed, 3, index));
                sampler.read(&window, &mut codes);
                prop_assert_eq!(codes.len() as u64, window.bases);
                prop_assert!(codes.iter().all(|&code| code < 4));
                prop_assert_eq!((window.bases - 6) % stride, 0);
                let whole = |region: &&Region| {
                    window.contig == region.contig && window.start >= region.start
                        && window.start + window.bases <= region.end
                };
                match part {
                    Part::Train => prop_assert!(!held_out.iter().any(|region| within(&window, region))),
                    Part::HeldOut => prop_assert!(held_out.iter().any(|region| whole(&region))),
                }
            }
        }
    }
}

#[test]
fn a_window_depends_on_seed_step_and_index() {
    let genome = genome(&format!(">a\n{}\n", bases(100_000, 0)));
    let sampler = Sampler::new(&genome, config(), Part::Train).unwrap();
    let drawn: HashSet<Window> = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
        .map(|(seed, step, index)| sampler.window(seed, step, index))
        .into();
    assert_eq!(drawn.len(), 4);
}
