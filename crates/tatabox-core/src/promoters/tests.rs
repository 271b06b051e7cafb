use super::*;
use std::io::Write;

/// Two contigs of 6,000 bases of a chain without repeats, and a genome of them.
fn genome() -> (tempfile::TempDir, Genome) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.fa");
    let mut file = std::fs::File::create(&path).unwrap();
    for contig in ["chr1", "chr2"] {
        let mut rng =
            crate::rng::SeededRng::new(5, crate::rng::Purpose::Test, contig.len() as u64, u64::from(contig == "chr1"));
        let bases: String = (0..6_000).map(|_| char::from(b"ACGT"[rng.below(4) as usize])).collect();
        writeln!(file, ">{contig}\n{bases}").unwrap();
    }
    let genome = Genome::open(&[path], folder.path()).unwrap();
    (folder, genome)
}

fn site(contig: &str, start: u64, reverse: bool) -> Interval {
    Interval { contig: contig.into(), start, end: start + 1, reverse, name: format!("{contig}_{start}") }
}

fn config(negatives: Recipe) -> PromoterConfig {
    PromoterConfig { window: Window::Three, kind: Kind::All, negatives, away: 200, seed: 1, partial: false }
}

fn origins(data: &Labelled, class: u32) -> Vec<Interval> {
    data.examples().filter(|one| one.target == Target::Class(class)).map(|one| one.origin.clone().unwrap()).collect()
}

#[test]
fn windows_hold_the_tss_at_the_papers_place_on_both_strands() {
    let (_folder, genome) = genome();
    let tss = [site("chr1", 1000, false), site("chr2", 3000, true)];
    for (window, before, bases) in [(Window::Three, 249, 300), (Window::Core, 34, 70)] {
        let (data, counts) =
            build(&genome, &tss, &PromoterConfig { window, ..config(Recipe::PermutedBlocks) }).unwrap();
        assert_eq!((counts.positives, data.examples().count()), (2, 4));
        let found = origins(&data, 1);
        assert_eq!((found[0].start, found[0].end), (1000 - before, 1000 - before + bases));
        assert_eq!((found[1].start, found[1].end), (3000 + before + 1 - bases, 3000 + before + 1));
        // The base at the TSS, read on its strand, is base `before` of the window.
        let base = Interval { end: 3001, ..site("chr2", 3000, true) }.read(&genome).unwrap()[0];
        let minus = data.examples().find(|one| one.id == "chr2_3000").unwrap();
        assert_eq!((minus.codes.len() as u64, minus.codes[before as usize]), (bases, base));
    }
}

#[test]
fn overlapping_promoters_and_their_negatives_are_one_group() {
    let (_folder, genome) = genome();
    let tss =
        [site("chr1", 1000, false), site("chr1", 1080, true), site("chr1", 2000, false), site("chr1", 2000, false)];
    let (data, counts) = build(&genome, &tss, &config(Recipe::DeePromoter)).unwrap();
    assert_eq!((counts.positives, counts.repeated), (3, 1));
    let group = |id: &str| data.examples().find(|one| one.id == id).unwrap().group.clone().unwrap();
    assert_eq!(group("chr1_1000"), group("chr1_1080"));
    assert_eq!(group("chr1_1000"), group("chr1_1000_negative"));
    assert_ne!(group("chr1_1000"), group("chr1_2000"));
}

#[test]
fn genomic_negatives_lie_away_from_every_tss_and_each_other() {
    let (_folder, genome) = genome();
    let tss: Vec<Interval> = [700, 2500, 3300].map(|at| site("chr1", at, false)).to_vec();
    let (data, _) = build(&genome, &tss, &config(Recipe::Genomic)).unwrap();
    let negatives = origins(&data, 0);
    assert_eq!(negatives.len(), 3);
    for (at, one) in negatives.iter().enumerate() {
        assert!(tss.iter().all(|site| site.start >= one.end + 200 || one.start > site.start + 200), "{one:?}");
        assert!(negatives[..at].iter().all(|other| one.start >= other.end || other.start >= one.end));
    }
    let error = build(&genome, &tss, &PromoterConfig { away: 5_000, ..config(Recipe::Genomic) }).unwrap_err();
    assert!(
        error.to_string().contains("contig `chr1` has no room for 3 windows of 300 bases that lie 5000 bases away"),
        "{error}"
    );
}

#[test]
fn another_genome_is_refused_with_the_names_of_its_contigs() {
    let (_folder, genome) = genome();
    let refused =
        |tss: &[Interval], partial| build(&genome, tss, &PromoterConfig { partial, ..config(Recipe::PermutedBlocks) });
    let error = refused(&[site("1", 1000, false), site("2", 1000, false)], true).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the genome has no contig `1`; it has `chr1`, `chr2` (nor 1 more of the TSS: `2`)"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("says `chr1` for `1`"));
    let some =
        [site("chr1", 1000, false), site("chr9", 1000, false), site("chr2", 7_000, false), site("chr2", 100, false)];
    assert!(refused(&some, false).unwrap_err().hint().unwrap().contains("--partial"));
    let error = refused(&some[2..], false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the TSS `chr2_7000` at chr2:7000 lies behind the end of its contig, which has 6000 bases"
    );
    let (_, counts) = refused(&some, true).unwrap();
    assert_eq!((counts.tss, counts.other_contigs, counts.outside, counts.positives), (4, 1, 2, 1));
}

#[test]
fn kinds_divide_the_promoters_by_their_tata_box() {
    let (_folder, genome) = genome();
    let tss: Vec<Interval> = (1..18).map(|at| site("chr1", at * 330, false)).collect();
    let count = |kind| {
        build(&genome, &tss, &PromoterConfig { kind, ..config(Recipe::PermutedBlocks) })
            .map_or(0, |(_, counts)| counts.positives)
    };
    assert_eq!(count(Kind::All), 17);
    assert_eq!(count(Kind::Tata) + count(Kind::NoTata), 17);
}

#[test]
fn the_same_seed_gives_the_same_data() {
    let (_folder, genome) = genome();
    let tss = [site("chr1", 1000, false), site("chr2", 3000, true)];
    for recipe in [Recipe::DeePromoter, Recipe::PermutedBlocks, Recipe::Genomic] {
        let built = |seed| build(&genome, &tss, &PromoterConfig { seed, ..config(recipe) }).unwrap().0;
        assert_eq!(built(1), built(1));
        assert_ne!(built(1), built(2));
    }
}
