//! `tatabox pmi`: scores, ranks of motifs, and how much two tables agree.

use std::collections::BTreeMap;

use crate::shell::Shell;

#[test]
fn a_genome_and_its_counts_give_the_same_scores() {
    let shell = Shell::new();
    let genome = shell.genome();
    let stdout = shell.works(&["pmi", &genome, "-o", "genome.tsv"]);
    // So short a genome has few 6-mers that are seen 101 times: the first quartile is taken.
    assert!(
        stdout.starts_with("genome.tsv: 3,") && stdout.contains(" of 4,096 6-mers have a rank (eq1; seen at least 1"),
        "{stdout}"
    );
    shell.works(&["count", &genome, "-o", "counts.tsv"]);
    shell.works(&["pmi", "counts.tsv", "-o", "counts-pmi.tsv"]);
    assert!(shell.bytes("genome.tsv") == shell.bytes("counts-pmi.tsv"));
    let table = String::from_utf8(shell.bytes("genome.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0], ["kmer", "count", "pmi", "npmi", "rank"]);
    assert_eq!((rows.len(), rows[1][4]), (4097, "1"));
    assert!(rows[1..].iter().all(|row| row.len() == 5));
}

#[test]
fn every_scorer_and_length_has_its_own_ranks() {
    let shell = Shell::new();
    let genome = shell.genome();
    shell.works(&["count", &genome, "-o", "counts.tsv"]);
    let mut tables = Vec::new();
    for scorer in ["eq1", "genemask-release", "ai21"] {
        for k in ["2", "4", "10"] {
            let json = shell.json(&[
                "pmi",
                "counts.tsv",
                "-k",
                k,
                "--scorer",
                scorer,
                "--min-count",
                "2",
                "-o",
                "pmi.tsv",
                "--json",
            ]);
            assert_eq!((json["scorer"].as_str(), json["min_count"].as_u64()), (Some(scorer), Some(2)), "{json}");
            assert_eq!(json["k"].as_u64().unwrap().to_string(), k);
            assert!(json["ranked"].as_u64() <= json["kmers"].as_u64() && json["best"][0]["rank"] == 1, "{json}");
            tables.push(shell.bytes("pmi.tsv"));
        }
    }
    // Pairs have one segmentation; the release's total makes another number of it, and one total for all moves no rank but the ones that differ in it.
    tables.dedup();
    assert_eq!(tables.len(), 9);
}

#[test]
fn both_strands_rank_a_kmer_beside_its_reverse_complement() {
    let shell = Shell::new();
    let genome = shell.genome();
    shell.works(&["pmi", &genome, "-k", "4", "--strands", "both", "--min-count", "quartile", "-o", "pmi.tsv"]);
    let table = String::from_utf8(shell.bytes("pmi.tsv")).unwrap();
    let scores: BTreeMap<String, String> = (table.lines().skip(1))
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .map(|row| (row[0].to_string(), format!("{} {}", row[1], row[3])))
        .collect();
    for (word, score) in &scores {
        let other: String = word
            .chars()
            .rev()
            .map(|base| match base {
                'A' => 'T',
                'T' => 'A',
                'C' => 'G',
                _ => 'C',
            })
            .collect();
        assert_eq!(&scores[&other], score, "{word}");
    }
}

#[test]
fn a_motif_that_was_planted_ranks_high_and_one_that_was_not_does_not() {
    let shell = Shell::new();
    // Independent bases, TATA boxes before all genes or before none, and nothing else.
    let simulate = [
        "simulate",
        "--bases",
        "500k",
        "--contigs",
        "2",
        "--seed",
        "5",
        "--set",
        "genes_per_mb=600",
        "--set",
        "repeat_share=0",
    ];
    let plain = ["--set", "enhancers_per_mb=0", "--set", "markov_strength=0", "--set", "cpg_ratio=1"];
    for (rate, expected) in [("tata_rate=1", true), ("tata_rate=0", false)] {
        shell.works(&[&simulate[..], &plain, &["--set", rate, "-o", rate]].concat());
        shell.works(&["count", &format!("{rate}/genome.fa"), "-k", "1..6", "-o", "counts.tsv"]);
        for scorer in ["eq1", "genemask-release", "ai21"] {
            let json = shell.json(&["pmi", "rank", "TATATA", "--scores", "counts.tsv", "--scorer", scorer, "--json"]);
            let rank = json["motifs"][0]["kmers"][0]["rank"].as_u64().unwrap_or(u64::MAX);
            // Where bases are independent, ai21 (p squared) ranks by how many A and T a 6-mer has, so it has no say in the second case.
            assert!((rank <= 10) == expected || (!expected && scorer == "ai21"), "{rate}, {scorer}: rank {rank}");
        }
    }
}

#[test]
fn ranks_of_motifs_follow_the_papers_tables() {
    let shell = Shell::new();
    let genome = shell.genome();
    shell.works(&["pmi", &genome, "-o", "pmi.tsv"]);
    let stdout = shell.works(&["pmi", "rank", "nGAGGAGGv", "nCyyCCTCCn", "TATAAA", "--scores", "pmi.tsv"]);
    let rows: Vec<&str> = stdout.lines().skip(4).collect();
    assert_eq!(rows.len(), 2 + 5 + 1, "{stdout}");
    assert!(
        rows[..2].iter().all(|row| row.contains("window")) && rows[2..7].iter().all(|row| row.contains("CCTCC")),
        "{stdout}"
    );
    let json = shell.json(&["pmi", "rank", "nGAGGAGGv", "--scores", "pmi.tsv", "--json"]);
    let motif = &json["motifs"][0];
    assert_eq!(
        (motif["core"].as_str(), motif["rule"].as_str(), motif["kmers"].as_array().unwrap().len()),
        (Some("GAGGAGG"), Some("windows"), 2)
    );
    assert!(rows[0].split_whitespace().count() == 7 && stdout.contains("  npmi  "), "{stdout}");
    assert!(json["scorer"].is_null() && json["min_count"].is_null(), "{json}");
    // From the genome itself, the same.
    assert_eq!(json["motifs"], shell.json(&["pmi", "rank", "nGAGGAGGv", "--scores", &genome, "--json"])["motifs"]);
}

#[test]
fn ranks_say_how_they_were_scored_and_what_they_leave_out() {
    let shell = Shell::new();
    let genome = shell.genome();
    let rank = ["pmi", "rank", "--scores", &genome, "--min-count", "3", "--scorer", "ai21"];
    let seen = shell.tatabox(&[&rank[..], &["TTGACAnnnTATAAT", "AnnnnA", "A"]].concat());
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert!(seen.stdout.contains(" 6-mers (ai21; seen at least 3 times), 1 is the best"), "{seen:#?}");
    assert!(seen.stdout.ends_with("\n… and 236 more of AnnnnA (--json has all)\n"), "{seen:#?}");
    assert!(seen.stderr.contains("note: `TTGACAnnnTATAAT`: `TATAAT` is as long as `TTGACA`"), "{seen:#?}");
    assert!(seen.stderr.contains("note: `A` is looked up as 1 base in 6-mers"), "{seen:#?}");
    let json = shell.json(&[&rank[..], &["TTGACAnnnTATAAT", "AnnnnA", "--json"]].concat());
    assert_eq!((json["scorer"].as_str(), json["min_count"].as_u64()), (Some("ai21"), Some(3)));
    assert_eq!(json["motifs"][0]["ties"], serde_json::json!(["TATAAT"]));
    assert_eq!(json["motifs"][1]["kmers"].as_array().unwrap().len(), 256);
}

#[test]
fn a_genome_without_a_kmer_is_told_without_blaming_the_threshold() {
    let shell = Shell::new();
    shell.write("tiny.fa", ">a\nAC\n");
    let zeros = (1..=3).flat_map(|k| words(k).into_iter().map(|word| format!("{word}\t0\n")));
    shell.write("zeros.tsv", format!("kmer\tcount\n{}", zeros.collect::<String>()));
    for args in [["pmi", "tiny.fa", "-k", "6", "-o", "x"], ["pmi", "zeros.tsv", "-k", "3", "-o", "x"]] {
        let seen = shell.tatabox(&args);
        seen.fails(1, &["-mer occurs in what was counted", "known bases"]);
        assert!(!seen.stderr.contains("min-count"), "{seen:#?}");
    }
    let seen = shell.tatabox(&["count", "tiny.fa", "-k", "1..6", "-o", "six.tsv"]);
    assert!(seen.code == 0 && seen.stderr.contains("note: no 3-mer occurs in `tiny.fa`"), "{seen:#?}");
}

/// All words of k letters.
fn words(k: usize) -> Vec<String> {
    (0..k).fold(vec![String::new()], |words, _| {
        words.iter().flat_map(|word| ["A", "T", "C", "G"].map(|base| format!("{word}{base}"))).collect()
    })
}

#[test]
fn two_tables_are_compared() {
    let shell = Shell::new();
    let genome = shell.genome();
    for scorer in ["eq1", "genemask-release"] {
        shell.works(&["pmi", &genome, "--scorer", scorer, "-o", &format!("{scorer}.tsv")]);
    }
    let stdout = shell.works(&["pmi", "compare", "eq1.tsv", "genemask-release.tsv"]);
    for part in ["rank correlation", "of the best 20 ", "of the best 1,024"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    let stdout = shell.works(&["pmi", "compare", "eq1.tsv", "eq1.tsv", "--best", "20,20,5"]);
    assert_eq!(stdout.matches("of the best 20 ").count(), 1, "{stdout}");
    let json = shell.json(&["pmi", "compare", "eq1.tsv", "eq1.tsv", "--best", "7", "--json"]);
    assert_eq!((json["spearman"].as_f64(), json["best"][0]["shared"].as_u64()), (Some(1.0), Some(7)));
}

#[test]
fn counts_that_are_cut_or_of_several_genomes_are_scored_with_a_note() {
    let shell = Shell::new();
    let genome = shell.genome();
    shell.works(&["count", &genome, "-k", "1..3", "-o", "all.tsv"]);
    let all = String::from_utf8(shell.bytes("all.tsv")).unwrap();
    let scored = |name: &str, text: String| {
        shell.write(name, text);
        let seen = shell.tatabox(&["pmi", name, "-k", "3", "-o", "pmi.tsv"]);
        assert_eq!(seen.code, 0, "{seen:?}");
        seen.stderr
    };
    assert_eq!(scored("marked.tsv", format!("\u{feff}{all}")), "");
    let dumped = all.lines().skip(1).map(|line| line.replace('\t', " ") + "\n");
    assert_eq!(scored("whole.txt", dumped.clone().collect()), "");
    let note = scored("cut.txt", dumped.take(60).collect());
    for part in ["note: `cut.txt`: the counts do not fit together", " 2-mers in all, but ", " 3-mers;"] {
        assert!(note.contains(part), "{part}: {note}");
    }
}

#[test]
fn short_contigs_with_numbers_for_names_are_a_genome() {
    let shell = Shell::new();
    for (text, bases) in [(">1\nACGTACGGTTACGAC\n", 15), (">1\nACGTAC\n", 6), (">1\nACGTAC\n>2\nACGTACGGT\n", 15)] {
        shell.write("short.fa", text);
        let seen = shell.json(&["count", "short.fa", "-k", "1..2", "-o", "counts.tsv", "--json"]);
        assert_eq!(seen["bases"], bases, "{text}");
        shell.works(&["pmi", "short.fa", "-k", "2", "--min-count", "1", "-o", "pmi.tsv"]);
    }
}

#[test]
fn wrong_commands_are_refused() {
    let shell = Shell::new();
    let genome = shell.genome();
    shell.works(&["pmi", &genome, "-k", "4", "-o", "pmi.tsv"]);
    shell.works(&["count", &genome, "-k", "1..4", "-o", "counts.tsv"]);
    for (args, parts) in [
        (vec!["pmi", &genome], vec!["--output"]),
        (vec!["pmi", &genome, "-k", "1", "-o", "x"], vec!["expected 2 to 10"]),
        (vec!["pmi", &genome, "--scorer", "eq2", "-o", "x"], vec!["eq1, genemask-release, ai21"]),
        (vec!["pmi", &genome, "--min-count", "0", "-o", "x"], vec!["`quartile`"]),
        (vec!["pmi", "pmi.tsv", "-o", "x"], vec!["holds scores already", "hint: "]),
        (vec!["pmi", "counts.tsv", "--strands", "both", "-o", "x"], vec!["counted already", "hint: "]),
        (vec!["pmi", "counts.tsv", &genome, "-o", "x"], vec!["counts.tsv", "other files beside it", "hint: "]),
        (
            vec!["count", "counts.tsv", "-o", "x"],
            vec!["counts.tsv", "a table of counts already", "tatabox pmi counts.tsv"],
        ),
        (vec!["count", "pmi.tsv", "-o", "x"], vec!["pmi.tsv", "a table of scores", "--scores pmi.tsv"]),
        (vec!["pmi", "rank", "TATA"], vec!["--scores"]),
        (vec!["pmi", "rank", "TATX", "--scores", "pmi.tsv"], vec!["`X` is no IUPAC nucleotide code", "hint: "]),
        (vec!["pmi", "rank", "TATA", "--scores", "pmi.tsv", "-k", "6"], vec!["`-k` changes nothing", "hint: "]),
        (vec!["pmi", "compare", "pmi.tsv"], vec!["SCORES"]),
        (vec!["pmi", "compare", "pmi.tsv", "pmi.tsv", "--best", "0"], vec!["--best"]),
    ] {
        shell.tatabox(&args).fails(2, &parts);
    }
    shell
        .tatabox(&["pmi", &genome, "--min-count", "9999999", "-o", "x"])
        .fails(1, &["no 6-mer was seen 9,999,999 times", "hint: "]);
    shell.tatabox(&["pmi", "compare", "pmi.tsv", "counts.tsv"]).fails(1, &["counts.tsv", "line 1", "hint: "]);
    shell.write("empty.tsv", "");
    shell
        .tatabox(&["pmi", "empty.tsv", "-o", "x"])
        .fails(1, &["could not read `empty.tsv`", "got an empty file", "hint: "]);
    shell.write("zero.tsv", "kmer\tcount\t0\n");
    shell.tatabox(&["pmi", "zero.tsv", "-o", "x"]).fails(1, &["zero.tsv", "line 1", "`kmer<TAB>count`", "hint: "]);
    shell.works(&["pmi", &genome, "-k", "3", "-o", "three.tsv"]);
    shell.tatabox(&["pmi", "compare", "pmi.tsv", "three.tsv"]).fails(1, &["4-mers, the other of 3-mers"]);
    assert!(!shell.path("x").exists());
}

#[test]
fn a_table_of_scores_that_was_changed_is_refused() {
    let shell = Shell::new();
    let genome = shell.genome();
    shell.works(&["pmi", &genome, "-k", "3", "-o", "pmi.tsv"]);
    let good = String::from_utf8(shell.bytes("pmi.tsv")).unwrap();
    let second: Vec<&str> = good.lines().nth(1).unwrap().split('\t').collect();
    for (text, parts) in [
        (good.replacen(second[0], "AXA", 1), vec!["line 2", "got `AXA`"]),
        (good.replacen(second[0], "ACGTACG", 1), vec!["line 3", "a k-mer of 7 letters"]),
        (good.replacen(second[2], "high", 1), vec!["line 2", "expected a score"]),
        (good.replacen("\t1\n", "\t7\n", 1), vec!["line 2", "expected rank 1"]),
        (good.trim_end().to_string(), vec!["line 65", "cut short"]),
        (good.rsplitn(3, '\n').last().unwrap().to_string() + "\n", vec!["expected all 64 k-mers of length 3, got 63"]),
    ] {
        shell.write("bad.tsv", &text);
        let mut parts = parts;
        parts.extend(["bad.tsv", "hint: "]);
        shell.tatabox(&["pmi", "rank", "TAT", "--scores", "bad.tsv"]).fails(1, &parts);
    }
}
