//! `tatabox data`: audits, cards, intervals, promoters.

use crate::shell::{Shell, project};

/// Bases that do not repeat.
fn bases(seed: u64, count: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b"ACGT"[(state >> 61) as usize % 4])
    };
    (0..count).map(|_| next()).collect()
}

/// A folder in GUE's form; `shared` of the test records stand in train too, as reverse complements.
fn gue(shell: &Shell, shared: usize) {
    std::fs::create_dir_all(shell.path("gue")).unwrap();
    let table = |rows: Vec<String>| format!("sequence,label\n{}\n", rows.join("\n"));
    let turned = |text: &str| -> String {
        let other = |base| ['T', 'G', 'C', 'A']["ACGT".find(base).unwrap()];
        text.chars().rev().map(other).collect()
    };
    let row = |at: u64| format!("{},{}", bases(at, 80), at % 2);
    shell.write("gue/train.csv", table((0..60).map(row).collect()));
    let test = |at: u64| {
        let same = (at - 100) < shared as u64;
        if same { format!("{},{}", turned(&bases(at - 100, 80)), at % 2) } else { row(at) }
    };
    shell.write("gue/test.csv", table((100..130).map(test).collect()));
}

#[test]
fn an_audit_names_leaks_and_strict_makes_them_fail() {
    let shell = Shell::new();
    gue(&shell, 7);
    let stdout = shell.works(&["data", "audit", "gue", "--html", "page.html"]);
    assert!(
        stdout.contains("7 of 30 records of test stand in train too (7 of them as reverse complements)"),
        "{stdout}"
    );
    assert!(stdout.contains("serious") && stdout.contains("5-mer regression"), "{stdout}");
    assert!(String::from_utf8(shell.bytes("page.html")).unwrap().contains("7 of 30 records"));
    let json = shell.json(&["data", "audit", "gue", "--json"]);
    assert_eq!((json["serious"].as_u64(), json["duplicates"]["across"][0]["records"].as_u64()), (Some(1), Some(7)));
    let seen = shell.tatabox(&["data", "audit", "gue", "--strict"]);
    assert_eq!((seen.code, seen.stderr.as_str()), (1, ""));
    assert_eq!(seen.stdout, stdout);
    let clean = Shell::new();
    gue(&clean, 0);
    clean.works(&["data", "audit", "gue", "--strict"]);
}

#[test]
fn a_card_says_what_the_data_holds() {
    let shell = Shell::new();
    gue(&shell, 0);
    let stdout = shell.works(&["data", "card", "gue"]);
    assert!(stdout.starts_with("task  binary\n") && stdout.contains("train       60     80  30  30"), "{stdout}");
    let json = shell.json(&["data", "card", "gue", "--json"]);
    assert_eq!((json["task"].as_str(), json["splits"][1]["records"].as_u64()), (Some("binary"), Some(30)));
    assert_eq!(json["files"].as_array().unwrap().len(), 2);
}

/// A genome of two contigs and start sites on both.
fn genome(shell: &Shell) {
    shell.write("g.fa", format!(">chr1\n{}\n>chr2\n{}\n", bases(1, 40_000), bases(2, 40_000)));
    let site = |at: usize| {
        format!(
            "chr{}\t{}\t{}\tG_{at}\t1\t{}\n",
            1 + at % 2,
            1_000 + 900 * (at / 2),
            1_001 + 900 * (at / 2),
            ["+", "-"][at % 3 % 2]
        )
    };
    shell.write("tss.bed", (0..80).map(site).collect::<String>());
}

const PROMOTERS: [&str; 8] = ["data", "promoters", "--genome", "g.fa", "--tss", "tss.bed", "--away", "100"];

#[test]
fn promoters_are_cut_divided_and_named_in_their_card() {
    let shell = Shell::new();
    genome(&shell);
    for (recipe, window, bases) in
        [("deepromoter", "300", 300), ("permuted-blocks", "core", 70), ("genomic", "core", 70)]
    {
        let args =
            [&PROMOTERS[..], &["--negatives", recipe, "--window", window, "--seed", "3", "-o", recipe, "--json"]]
                .concat();
        let json = shell.json(&args);
        assert_eq!(
            (json["output"].as_str(), json["made"]["settings"]["negatives"].as_str()),
            (Some(recipe), Some(recipe))
        );
        assert_eq!(json["made"]["settings"]["seed"].as_u64(), Some(3));
        assert_eq!(json["made"]["counts"]["positives"].as_u64(), Some(80));
        let lengths = &json["splits"][0]["lengths"];
        assert_eq!((lengths["min"].as_u64(), lengths["max"].as_u64()), (Some(bases), Some(bases)));
        assert_eq!(
            (json["splits"][0]["records"].as_u64(), json["splits"][1]["records"].as_u64()),
            (Some(144), Some(16))
        );
        let origins = String::from_utf8(shell.bytes(&format!("{recipe}/origins.tsv"))).unwrap();
        assert_eq!(origins.lines().count(), 161);
        shell.tatabox(&args).fails(1, &["already holds a data set", "-o"]);
        // It is read again as it was written.
        let again = shell.json(&["data", "card", recipe, "--json"]);
        assert_eq!(again["splits"][1]["sha256"], json["splits"][1]["sha256"]);
    }
    let by_contig =
        [&PROMOTERS[..], &["--negatives", "permuted-blocks", "--split", "chromosome:chr2", "-o", "by"]].concat();
    assert!(shell.works(&by_contig).contains("test        80"));
    shell.works(&["data", "audit", "by", "--strict"]);
}

#[test]
fn promoters_refuse_another_genome_and_unknown_words() {
    let shell = Shell::new();
    genome(&shell);
    let args = |more: &[&'static str]| [&PROMOTERS[..], &["-o", "out"], more].concat();
    shell.write("tss.bed", "1\t5000\t5001\tA\t1\t+\n");
    shell.tatabox(&args(&["--negatives", "genomic"])).fails(1, &["no contig `1`; it has `chr1`, `chr2`", "rename"]);
    shell.write("tss.bed", "chr1\t50000\t50001\tA\t1\t+\n");
    shell.tatabox(&args(&["--negatives", "genomic"])).fails(1, &["lies behind the end of its contig", "--partial"]);
    shell.tatabox(&args(&["--negatives", "genome"])).fails(2, &["the nearest known name is `genomic`"]);
    shell.tatabox(&args(&["--negatives", "genomic", "--split", "90/20"])).fails(2, &["shares that sum to 100"]);
    shell.tatabox(&args(&["--negatives", "genomic", "--window", "301"])).fails(2, &["`300`, `core`"]);
    assert!(!shell.path("out").exists());
}

#[test]
fn intervals_become_tables() {
    let shell = Shell::new();
    genome(&shell);
    for (part, first) in [("train", 0), ("test", 20_000)] {
        for (class, strand) in [("positive", "+"), ("negative", "-")] {
            std::fs::create_dir_all(shell.path(&format!("gb/{part}"))).unwrap();
            let row = |at: usize| format!("{at},chr1,{},{},{strand}\n", first + 300 * at, first + 300 * at + 120);
            let rows: String = (0..30).map(|at| row(2 * at + usize::from(class == "negative"))).collect();
            shell.write(&format!("gb/{part}/{class}.csv"), format!("id,region,start,end,strand\n{rows}"));
        }
    }
    let stdout = shell.works(&["data", "intervals", "gb", "--genome", "g.fa", "-o", "out"]);
    assert!(stdout.contains("train       60    120") && stdout.contains("negative  positive"), "{stdout}");
    let genome = bases(1, 40_000);
    let train = String::from_utf8(shell.bytes("out/train.csv")).unwrap();
    assert!(train.contains(&format!("{},positive", &genome[600..720])), "{train}");
    let json =
        shell.json(&["data", "intervals", "gb", "--genome", "g.fa", "--split", "80/10/10", "-o", "again", "--json"]);
    let counts: Vec<u64> = (0..3).map(|at| json["splits"][at]["records"].as_u64().unwrap()).collect();
    assert_eq!(counts, [96, 12, 12]);
    shell
        .tatabox(&["data", "intervals", "gb", "-o", "none"])
        .fails(1, &["holds intervals and no sequences", "--genome"]);
}

#[test]
fn data_that_cannot_be_read_says_what_to_type() {
    let shell = Shell::new();
    for (name, text, parts) in [
        ("a.csv", "sequence,note,more\nACGTACGT,x,y\n", vec!["expected labels", "sequences alone", "--label-column"]),
        (
            "b.csv",
            "sequence,label\nACGTACGT,1\nAC-TACGT,0\n",
            vec!["`b.csv`, line 3", "`-` at position 3", "alignment"],
        ),
        ("c.csv", "sequence,label\nACGTACGT,1\n", vec![]),
        ("d.csv", "", vec!["an empty file"]),
        ("e.csv", "sequence,label\nACGTACGT,0.5\nACGTACGA,x\n", vec![]),
    ] {
        shell.write(name, text);
        let seen = shell.tatabox(&["data", "audit", name]);
        if parts.is_empty() {
            assert_eq!(seen.code, 0, "{name}: {seen:#?}");
        } else {
            seen.fails(1, &parts);
        }
    }
    assert!(shell.works(&["data", "audit", "c.csv"]).contains("there is one class only"));
    shell
        .tatabox(&["data", "card", "e.csv", "--task", "regression"])
        .fails(1, &["line 3: expected a number (the task is regression), got `x`"]);
    shell.tatabox(&["data", "card", "c.csv", "--label-column", "lable"]).fails(2, &["`--label-column label`"]);
    shell.tatabox(&["data", "card", "nowhere"]).fails(1, &["nowhere", "hint: "]);
    std::fs::create_dir(shell.path("empty")).unwrap();
    shell.tatabox(&["data", "card", "empty"]).fails(1, &["there is no labelled data in `empty`"]);
    // A length below zero: the crate that reads Parquet panics.
    let mut parquet = std::fs::read(project().join("crates/tatabox-core/tests/golden/snappy.parquet")).unwrap();
    parquet[404] ^= 0x55;
    shell.write("x.parquet", parquet);
    let seen = shell.tatabox(&["data", "card", "x.parquet"]);
    seen.fails(1, &["`x.parquet`: expected whole Parquet data", "got damaged data", "copy or download the file again"]);
    assert!(seen.stderr.starts_with("error: "), "{seen:#?}");
}

#[test]
fn what_is_odd_in_labelled_data_is_counted_and_strict_fails_where_it_is_serious() {
    let shell = Shell::new();
    let row = |at: u64, label: &str| format!("s{at},{},{label}\n", bases(at, 60));
    let rows = |first: u64| (first..first + 40).map(|at| row(at, ["0", "1"][at as usize % 2])).collect::<String>();
    let audit = |train: &str, test: &str| {
        std::fs::create_dir_all(shell.path("d")).unwrap();
        shell.write("d/train.csv", format!("id,sequence,label\n{}{train}", rows(0)));
        shell.write("d/test.csv", format!("id,sequence,label\n{}{test}", rows(100)));
        shell.tatabox(&["data", "audit", "d", "--strict"])
    };
    let rna = bases(500, 60).replace('T', "U");
    for (train, test, code, finding) in [
        ("", row(200, "2").as_str(), 1, "label `2` has 1 records in test and none in train"),
        (&row(200, "2"), "", 0, "label `2` has 1 records in train and none in test"),
        (&format!("s300,{rna},0\n"), "", 0, "1 sequences are written with U and"),
        ("s300,ACG,0\n", "", 0, "1 sequences are shorter than k = 6 bases"),
        (&format!("\n\n{}", row(300, "0")), "", 0, "2 rows are empty and were skipped"),
        (
            "",
            &row(101, "1").replace("s101", "s100"),
            0,
            "1 records have an id that another has before them, `s100` the first",
        ),
        ("", &row(3, "1"), 1, "1 of 41 records of test stand in train too"),
        ("", &row(3, "0"), 1, "1 sequences stand there with different labels"),
    ] {
        let seen = audit(train, test);
        assert!(seen.code == code && seen.stdout.contains(finding), "{finding}: {seen:#?}");
    }
    for (label, part) in [("NaN", "expected a label or a number, got `NaN`"), ("", "expected a label, got nothing")] {
        let path = "`d/train.csv`, line 42";
        audit(&row(200, label), "").fails(1, &[path, part, "remove the row, or give its label"]);
    }
    shell.write("floats.csv", "sequence,label\nACGTACGT,1\nACGTACGA,0.25\n");
    shell
        .tatabox(&["data", "audit", "floats.csv", "--task", "binary"])
        .fails(1, &["line 3: expected a class (the task is binary), got `0.25`", "leave `--task` away"]);
}
