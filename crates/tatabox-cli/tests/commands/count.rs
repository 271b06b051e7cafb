//! `tatabox count`, and tables of counts as every command that takes them reads them.

use crate::shell::{Shell, TATABOX, signal};

/// A table of the shell's small genome, all lengths to 3.
fn small(shell: &Shell) -> String {
    shell.write("tiny.fa", ">a\nACGTACGNNTATAAACG\n>b\nACGACG\n");
    shell.works(&["count", "tiny.fa", "-k", "1..3", "-o", "counts.tsv"]);
    String::from_utf8(shell.bytes("counts.tsv")).unwrap()
}

#[test]
fn writes_one_table_of_all_lengths() {
    let shell = Shell::new();
    let table = small(&shell);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!((rows[0], rows.len()), ("kmer\tcount", 1 + 4 + 16 + 64));
    // By hand: ACGTACG, TATAAACG, ACGACG; neither over the N nor into the next contig.
    for row in
        ["A\t8", "T\t3", "C\t5", "G\t5", "CG\t5", "GA\t1", "GN\t0", "ACG\t5", "TAT\t1", "GTA\t1", "GAC\t1", "GGG\t0"]
    {
        assert_eq!(rows.contains(&row), !row.contains('N'), "{row}: {table}");
    }
}

#[test]
fn says_what_was_counted() {
    let shell = Shell::new();
    let genome = shell.genome();
    let stdout = shell.works(&["count", &genome, "-o", "counts.tsv"]);
    assert!(stdout.starts_with("counts.tsv: ") && stdout.contains("the forward strand"), "{stdout}");
    assert_eq!(stdout.lines().count(), 2 + 2 + 10, "{stdout}");
    let json = shell.json(&["count", &genome, "-k", "6", "--strands", "both", "-o", "six.tsv", "--json"]);
    assert_eq!((json["output"].as_str(), json["strands"].as_str()), (Some("six.tsv"), Some("both")));
    assert_eq!((json["lengths"][0]["k"].as_u64(), json["lengths"].as_array().unwrap().len()), (Some(6), 1));
    assert!(json["lengths"][0]["counted"].as_u64().unwrap() > json["bases"].as_u64().unwrap(), "{json}");
}

#[test]
fn threads_and_packing_change_no_byte() {
    let shell = Shell::new();
    let genome = shell.genome();
    shell.works(&["count", &genome, "-k", "1..8", "--threads", "1", "-o", "one.tsv"]);
    shell.works(&["count", &genome, "-k", "1..8", "--threads", "5", "-o", "five.tsv"]);
    assert!(shell.bytes("one.tsv") == shell.bytes("five.tsv"));
}

#[test]
fn wrong_lengths_and_strands_are_refused() {
    let shell = Shell::new();
    let genome = shell.genome();
    for (args, part) in [
        (["-k", "0"], "1 to 10"),
        (["-k", "11"], "1 to 10"),
        (["-k", "3..2"], "the shorter first"),
        (["-k", "6mers"], "1 to 10"),
        (["--strands", "reverse"], "forward or both"),
    ] {
        shell.tatabox(&["count", &genome, args[0], args[1], "-o", "counts.tsv"]).fails(2, &[part]);
    }
    shell.tatabox(&["count", "nowhere.fa", "-o", "counts.tsv"]).fails(1, &["nowhere.fa", "hint: "]);
    assert!(!shell.path("counts.tsv").exists());
    let before = shell.bytes("sim/genome.fa");
    for output in ["sim/genome.fa", "./sim/../sim/genome.fa"] {
        shell.tatabox(&["count", &genome, "-o", output]).fails(2, &["is the input", "name another file"]);
    }
    assert!(shell.bytes("sim/genome.fa") == before);
}

#[test]
fn a_table_may_go_to_standard_output_and_the_words_about_it_do_not() {
    let shell = Shell::new();
    let table = small(&shell);
    for output in ["-", "/dev/stdout"] {
        let seen = shell.tatabox(&["count", "tiny.fa", "-k", "1..3", "-o", output]);
        assert_eq!((seen.code, &seen.stdout), (0, &table), "{seen:#?}");
        assert!(seen.stderr.contains("the forward strand"), "{seen:#?}");
        shell.tatabox(&["count", "tiny.fa", "-o", output, "--json"]).fails(2, &["`--json`", "give `-o` a file"]);
    }
    assert!(!shell.path("-").exists());
}

#[test]
fn an_output_that_cannot_be_written_is_refused_before_the_work() {
    let shell = Shell::new();
    small(&shell);
    std::fs::create_dir(shell.path("folder")).unwrap();
    shell.tatabox(&["count", "tiny.fa", "-o", "no/such/x.tsv"]).fails(2, &["`no/such`", "mkdir -p no/such"]);
    shell.tatabox(&["count", "tiny.fa", "-o", "folder"]).fails(2, &["is a folder"]);
    let genome = shell.bytes("tiny.fa");
    shell.tatabox(&["mask", "inspect", "tiny.fa", "--svg", "tiny.fa"]).fails(2, &["--svg", "is the input"]);
    assert!(shell.bytes("tiny.fa") == genome);
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_nothing_half_written() {
    use std::os::unix::process::ExitStatusExt;
    let shell = Shell::new();
    let genome = shell.genome();
    std::fs::create_dir(shell.path("out")).unwrap();
    let files = || std::fs::read_dir(shell.path("out")).unwrap().count();
    // It may have been written before the signal comes: then once more.
    let stopped = (0..20).any(|_| {
        let mut child = shell.command(TATABOX).args(["count", &genome, "-o", "out/counts.tsv"]).spawn().unwrap();
        while files() == 0 && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        signal(&child, "TERM");
        let status = child.wait().unwrap();
        if status.success() {
            std::fs::remove_file(shell.path("out/counts.tsv")).unwrap();
            return false;
        }
        assert_eq!((status.signal(), files()), (Some(15), 0));
        true
    });
    assert!(stopped, "it was done before the signal, twenty times");
}

#[test]
fn a_bad_table_is_refused_with_its_line() {
    let shell = Shell::new();
    let good = small(&shell);
    let torn = &good[..good.len() / 2 - 1];
    let (whole_lines, _) = torn.rsplit_once('\n').unwrap();
    for (table, parts) in [
        (good.replace("\nACG\t5", "\nAXG\t5"), vec!["line 33", "expected a k-mer", "got `AXG`"]),
        (
            good.replace("\nACG\t5", "\nACG\t-5"),
            vec!["line 33", "expected a count: a whole number of 0 or more", "got `-5`"],
        ),
        (good.replace("\nACG\t5", "\nACG\t18446744073709551616"), vec!["line 33", "expected a count below 2^64"]),
        (good.replace("\nACG\t5", "\nACG\t18446744073709551615"), vec!["sum is below 2^64"]),
        (good.replace("\nACG\t5", "\nACC\t5"), vec!["line 33", "expected each k-mer once", "got `ACC` again"]),
        (good.replace("\nACG\t5", "\nACG"), vec!["line 33", "expected a k-mer and its count"]),
        (
            good.replace("kmer\tcount", "kmer\tn"),
            vec!["line 1", "expected the header `kmer<TAB>count`", "got `kmer\\tn`"],
        ),
        (good.replace("\nGGG\t0", ""), vec!["expected all 64 k-mers of length 3, got 63; `GGG` is missing"]),
        (good.replace("\nCG\t5", "\nCG\t4"), vec!["contradict each other: ACG 5 times, its part CG 4", "same genome"]),
        (torn.to_string(), vec!["expected a line end", "cut short"]),
        (format!("{whole_lines}\n"), vec!["is missing", "torn"]),
        ("kmer\tcount\n".into(), vec!["a header and nothing else"]),
    ] {
        assert_ne!(table, good);
        shell.write("bad.tsv", &table);
        for verb in [
            vec!["pmi", "bad.tsv", "-k", "3", "-o", "pmi.tsv"],
            vec!["pmi", "rank", "TAT", "--scores", "bad.tsv", "-k", "3"],
        ] {
            let mut all = parts.clone();
            all.extend(["bad.tsv", "hint: "]);
            shell.tatabox(&verb).fails(1, &all);
        }
    }
    assert!(!shell.path("pmi.tsv").exists());
}

#[test]
fn lengths_that_a_scorer_needs_must_be_there() {
    let shell = Shell::new();
    let genome = shell.genome();
    shell.works(&["count", &genome, "-k", "6", "-o", "six.tsv"]);
    shell
        .tatabox(&["pmi", "six.tsv", "-o", "pmi.tsv"])
        .fails(1, &["none of length 1, 2, 3, 4, 5", "six.tsv", "-k 1..6"]);
    shell.works(&["count", &genome, "-o", "all.tsv"]);
    shell.works(&["pmi", "all.tsv", "-o", "pmi.tsv"]);
}
