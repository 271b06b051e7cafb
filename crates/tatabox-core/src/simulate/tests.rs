//! The truth agrees with the sequences, and the rates with what was asked.

use sha2::{Digest, Sha256};

use super::motif::complement;
use super::*;

fn genome() -> Simulated {
    simulate(&SimulateConfig { bases: 1_000_000, contigs: 4, seed: 1, ..SimulateConfig::default() }).unwrap()
}

/// The letters of a record on its own strand, upper-case.
fn letters(genome: &Simulated, record: &TruthRecord) -> Vec<u8> {
    let mut letters =
        genome.contigs[record.contig].bases[record.start as usize..record.end as usize].to_ascii_uppercase();
    if record.strand == Strand::Minus {
        letters.reverse();
        letters.iter_mut().for_each(|letter| *letter = complement(*letter));
    }
    letters
}

fn records(genome: &Simulated, kind: Kind) -> impl Iterator<Item = &TruthRecord> {
    genome.truth.iter().filter(move |record| record.kind == kind)
}

/// Whether the share `got` of `of` draws is at most four standard errors from `asked`.
fn within_four_errors(got: f64, asked: f64, of: f64) -> bool {
    (got - asked).abs() <= 4.0 * (asked * (1.0 - asked) / of).sqrt()
}

#[test]
fn planted_motifs_stand_where_the_truth_says() {
    let genome = genome();
    for motif in &genome.motifs {
        for (name, minus) in [("plus", false), ("minus", true)] {
            let found: Vec<Vec<u8>> = records(&genome, Kind::Motif)
                .filter(|record| record.name == motif.name && (record.strand == Strand::Minus) == minus)
                .map(|record| letters(&genome, record))
                .collect();
            assert!(found.len() > 20, "{} has {} instances on the {name} strand", motif.name, found.len());
            for (place, probabilities) in motif.probabilities.iter().enumerate() {
                for (letter, &probability) in b"ATCG".iter().zip(probabilities) {
                    let count = found.iter().filter(|instance| instance[place] == *letter).count() as f64;
                    let share = count / found.len() as f64;
                    let message =
                        format!("{} place {place} on the {name} strand: {share}, asked {probability}", motif.name);
                    assert!(within_four_errors(share, probability, found.len() as f64), "{message}");
                }
            }
        }
    }
}

#[test]
fn motifs_lie_at_their_distances_from_the_tss() {
    let genome = genome();
    let tss: std::collections::HashMap<&str, &TruthRecord> =
        records(&genome, Kind::Tss).map(|record| (record.parent.as_deref().unwrap(), record)).collect();
    let elements = promoters::elements(&genome.config);
    for record in records(&genome, Kind::Motif) {
        let Some(element) = elements.iter().find(|element| element.motif.name == record.name) else { continue };
        let tss = tss[record.parent.as_deref().unwrap()];
        let first = match tss.strand {
            Strand::Minus => tss.end as i64 - record.end as i64,
            _ => record.start as i64 - tss.start as i64,
        };
        assert!((element.offsets[0]..=element.offsets[1]).contains(&first), "{} at {first}", record.name);
    }
    for promoter in records(&genome, Kind::Promoter) {
        let tss = tss[promoter.parent.as_deref().unwrap()];
        let before = if tss.strand == Strand::Minus { promoter.end - tss.end } else { tss.start - promoter.start };
        assert_eq!((before, promoter.end - promoter.start), (249, 300));
    }
}

#[test]
fn spacings_of_pairs_fill_the_range_asked_and_keep_the_order() {
    let genome = genome();
    let mut seen = std::collections::BTreeSet::new();
    for pair in records(&genome, Kind::Pair) {
        let (first, second) = pair.name.split_once('+').unwrap();
        let inside = |name: &str| {
            records(&genome, Kind::Motif)
                .find(|motif| {
                    motif.contig == pair.contig
                        && motif.name == name
                        && motif.start >= pair.start
                        && motif.end <= pair.end
                })
                .unwrap()
        };
        let (first, second) = (inside(first), inside(second));
        let spacing = if pair.strand == Strand::Minus { first.start - second.end } else { second.start - first.end };
        seen.insert(spacing);
    }
    assert_eq!(seen, (5..=15).collect());
}

#[test]
fn rates_are_within_four_standard_errors_of_those_asked() {
    let genome = genome();
    let bases = genome.config.bases as f64;
    for rate in &genome.rates {
        let good = match rate.name {
            "gc_mean" => (rate.realised - rate.asked).abs() < 4.0 * genome.config.gc_sd / (rate.of as f64 / 6.0).sqrt(),
            // Motifs, and isochores of different shares, move the ratio of the whole genome a little.
            "cpg_ratio" => (rate.realised / rate.asked - 1.0).abs() < 0.15,
            // The last copy of a contig may be left out; families are drawn by copy, so old and young ones do not weigh the same.
            "repeat_share" => (rate.realised - rate.asked).abs() < 40.0 * 4.0 / bases,
            "repeat_divergence" => (rate.realised / rate.asked - 1.0).abs() < 0.25,
            name if name.ends_with("_per_mb") => (rate.realised - rate.asked).abs() <= 4.0 * 1e6 / bases,
            _ => within_four_errors(rate.realised, rate.asked, rate.of as f64),
        };
        assert!(good, "{rate:?}");
    }
    assert_eq!(genome.rates.len(), 11);
    let minus = records(&genome, Kind::Repeat).filter(|record| record.strand == Strand::Minus).count() as f64;
    let copies = records(&genome, Kind::Repeat).count() as f64;
    assert!(within_four_errors(minus / copies, 0.5, copies));
}

#[test]
fn composition_varies_as_the_isochores_say() {
    let genome = genome();
    let mut levels = std::collections::BTreeSet::new();
    for isochore in records(&genome, Kind::Isochore) {
        let asked: f64 = isochore.name.trim_start_matches("gc").parse::<f64>().unwrap() / 100.0;
        // Upper-case letters are background, genes and enhancers; N and repeats are left out.
        let bases = &genome.contigs[isochore.contig].bases[isochore.start as usize..isochore.end as usize];
        let known: Vec<u8> = bases.iter().copied().filter(|base| b"ACGT".contains(base)).collect();
        let gc = known.iter().filter(|base| b"GC".contains(base)).count() as f64 / known.len() as f64;
        assert!((gc - asked).abs() < 0.02, "{isochore:?}: {gc}");
        levels.insert(isochore.name.clone());
    }
    assert!(levels.len() >= 5, "{levels:?}");
}

#[test]
fn lower_case_is_repeats_and_n_is_runs_and_nothing_overlaps() {
    let genome = genome();
    for (contig, sequence) in genome.contigs.iter().enumerate() {
        let mut expected = vec![b'u'; sequence.bases.len()];
        for record in genome.truth.iter().filter(|record| record.contig == contig) {
            let letter = match record.kind {
                Kind::Repeat => b'r',
                Kind::NRun => b'n',
                Kind::Gene | Kind::Enhancer => b'g',
                _ => continue,
            };
            let place = &mut expected[record.start as usize..record.end as usize];
            assert!(place.iter().all(|&letter| letter == b'u'), "{record:?} lies over another");
            place.fill(letter);
        }
        for (base, expected) in sequence.bases.iter().zip(&expected) {
            let good = match expected {
                b'r' => b"acgt".contains(base),
                b'n' => *base == b'N',
                _ => b"ACGT".contains(base),
            };
            assert!(good, "{} where {} was expected", char::from(*base), char::from(*expected));
        }
    }
}

#[test]
fn copies_of_a_repeat_differ_from_its_consensus_as_asked() {
    let genome = genome();
    for family in &genome.families {
        let (mut different, mut bases) = (0, 0);
        for copy in records(&genome, Kind::Repeat).filter(|copy| copy.name == family.name) {
            let letters = letters(&genome, copy);
            let consensus = &family.consensus.as_bytes()[family.consensus.len() - letters.len()..];
            different += letters.iter().zip(consensus).filter(|(letter, consensus)| letter != consensus).count();
            bases += letters.len();
        }
        let share = different as f64 / bases as f64;
        assert!(within_four_errors(share, family.divergence, bases as f64), "{}: {share}", family.name);
    }
}

#[test]
fn tables_hold_every_promoter_and_as_many_windows_without_tss() {
    let genome = genome();
    assert_eq!(genome.split, Split::Contig { dev: "chr3".into(), test: "chr4".into() });
    let in_test = |kind| records(&genome, kind).filter(|record| record.contig == 3).count();
    for (table, kind, bases) in [(&genome.promoters, Kind::Promoter, 300), (&genome.enhancers, Kind::Enhancer, 200)] {
        let all: Vec<&Example> = table.train.iter().chain(&table.dev).chain(&table.test).collect();
        let positives = all.iter().filter(|example| example.label == 1).count();
        assert_eq!((positives, all.len()), (records(&genome, kind).count(), 2 * positives));
        assert_eq!(table.test.len(), 2 * in_test(kind));
        assert!(
            all.iter().all(|example| example.sequence.len() == bases
                && example.sequence.bytes().all(|base| b"ACGT".contains(&base)))
        );
    }
    // Positives are cut on the gene's strand: with a TATA box in every promoter, each row has it 31 bases, give or take one, before the TSS.
    let all_tata = simulate(&SimulateConfig { bases: 200_000, tata_rate: 1.0, ..SimulateConfig::default() }).unwrap();
    let boxes = |label| {
        let examples = all_tata.promoters.train.iter().filter(|example| example.label == label);
        let found =
            examples.filter(|example| (217..=219).any(|start| example.sequence[start..].starts_with("TATA"))).count();
        found as f64 / all_tata.promoters.train.iter().filter(|example| example.label == label).count() as f64
    };
    assert!(boxes(1) > 0.6 && boxes(0) < 0.2, "{} {}", boxes(1), boxes(0));
}

#[test]
fn two_contigs_are_split_at_random() {
    let genome = simulate(&SimulateConfig { bases: 400_000, contigs: 2, ..SimulateConfig::default() }).unwrap();
    assert_eq!(genome.split, Split::Random);
    let table = &genome.promoters;
    let all = (table.train.len() + table.dev.len() + table.test.len()) as f64;
    assert!(
        within_four_errors(table.train.len() as f64 / all, 0.8, all)
            && within_four_errors(table.dev.len() as f64 / all, 0.1, all)
    );
}

#[test]
fn same_seed_same_bytes() {
    let config = SimulateConfig { bases: 60_000, contigs: 3, seed: 42, ..SimulateConfig::default() };
    let digest = |config: &SimulateConfig| {
        let folder = tempfile::tempdir().unwrap();
        write(&simulate(config).unwrap(), folder.path()).unwrap();
        let mut digest = Sha256::new();
        for name in
            ["genome.fa", "truth.bed", "truth.json", "promoters/train.csv", "promoters/dev.csv", "enhancers/test.csv"]
        {
            digest.update(std::fs::read(folder.path().join(name)).unwrap());
        }
        crate::io::input::hex(&digest.finalize()[..8])
    };
    assert_eq!(digest(&config), "0cf99cde6801a32f");
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(one_thread.install(|| digest(&config)), digest(&config));
    assert_ne!(digest(&SimulateConfig { seed: 43, ..config.clone() }), digest(&config));
}

#[test]
fn smallest_genomes_and_none_of_anything_work() {
    let none = SimulateConfig {
        bases: 10_000,
        contigs: 1,
        repeat_share: 0.0,
        genes_per_mb: 0.0,
        enhancers_per_mb: 0.0,
        n_runs_per_mb: 0.0,
        markov_strength: 0.0,
        ..SimulateConfig::default()
    };
    let genome = simulate(&none).unwrap();
    assert_eq!((genome.contigs[0].bases.len(), genome.promoters.train.len()), (10_000, 0));
    assert!(genome.rates.iter().all(|rate| rate.realised.is_finite()));
    for seed in 0..20 {
        simulate(&SimulateConfig { bases: 100_000, contigs: 5, seed, ..SimulateConfig::default() }).unwrap();
    }
}

#[test]
fn files_say_what_the_genome_is_and_none_is_left_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let genome = simulate(&SimulateConfig { bases: 60_000, contigs: 3, ..SimulateConfig::default() }).unwrap();
    write(&genome, &folder.path().join("sim")).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join("sim").join(name)).unwrap();
    let fasta = read("genome.fa");
    assert!(fasta.lines().all(|line| line.starts_with('>') || line.len() <= 60));
    let joined: String = fasta.lines().filter(|line| !line.starts_with('>')).collect();
    assert_eq!(joined.into_bytes(), genome.contigs.iter().flat_map(|contig| contig.bases.clone()).collect::<Vec<u8>>());
    assert_eq!(read("truth.bed").lines().count(), genome.truth.len());
    assert!(read("truth.bed").lines().all(|line| line.split('\t').count() == 8));
    let truth: serde_json::Value = serde_json::from_str(&read("truth.json")).unwrap();
    assert_eq!(truth["config"]["bases"], 60_000);
    assert_eq!(truth["motifs"][2]["name"], "TATA");
    assert_eq!(read("promoters/train.csv").lines().count(), genome.promoters.train.len() + 1);
    let names: Vec<String> = std::fs::read_dir(folder.path().join("sim"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 5, "{names:?}");
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = write(&genome, &folder.path().join("file")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read `") && error.contains("file"), "{error}");
}
