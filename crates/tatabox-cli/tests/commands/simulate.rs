//! `tatabox simulate`.

use std::fs;

use crate::shell::Shell;

#[test]
fn writes_a_genome_with_its_truth_and_says_where() {
    let shell = Shell::new();
    let stdout = shell.works(&["simulate", "--bases", "120k", "--contigs", "3", "--seed", "1", "-o", "sim"]);
    assert!(stdout.contains("sim/genome.fa  120,000 bases in 3 contigs, seed 1"), "{stdout}");
    for file in ["genome.fa", "truth.bed", "truth.json", "promoters/train.csv", "enhancers/test.csv"] {
        assert!(shell.path("sim").join(file).is_file(), "{file}");
    }
    assert!(fs::read_to_string(shell.path("sim/genome.fa")).unwrap().starts_with(">chr1\n"));
}

#[test]
fn the_same_seed_gives_the_same_bytes_with_any_number_of_threads() {
    let shell = Shell::new();
    let simulate = |output: &str, seed: &str, threads: &str| {
        shell.works(&[
            "simulate",
            "--bases",
            "100k",
            "--contigs",
            "2",
            "--seed",
            seed,
            "-o",
            output,
            "--threads",
            threads,
        ]);
        (
            fs::read(shell.path(output).join("genome.fa")).unwrap(),
            fs::read(shell.path(output).join("truth.bed")).unwrap(),
        )
    };
    let first = simulate("a", "3", "1");
    assert!(first == simulate("b", "3", "2"));
    assert!(first != simulate("c", "4", "1"));
}

#[test]
fn json_is_one_object_with_the_documented_keys() {
    let shell = Shell::new();
    let json = shell.json(&["simulate", "--bases", "120k", "--contigs", "3", "-o", "sim", "--json"]);
    assert_eq!(json["bases"], 120_000);
    assert_eq!(json["output"], "sim");
    for key in ["contigs", "seed", "records", "promoter_examples", "enhancer_examples"] {
        assert!(json[key].is_u64(), "{key}: {json}");
    }
}

#[test]
fn files_can_be_read_by_whom_the_umask_allows() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::new();
    shell.genome();
    let plain = shell.write("plain", "");
    let mode = |name: &str| fs::metadata(shell.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(format!("{:o}", mode("sim/genome.fa")), format!("{:o}", mode(&plain)));
}

#[test]
fn a_directory_that_holds_a_genome_is_kept() {
    let shell = Shell::new();
    shell.genome();
    let before = fs::read(shell.path("sim/genome.fa")).unwrap();
    shell
        .tatabox(&["simulate", "--bases", "120k", "--contigs", "3", "--seed", "2", "-o", "sim"])
        .fails(2, &["sim", "already holds", "hint: "]);
    assert!(before == fs::read(shell.path("sim/genome.fa")).unwrap());
    fs::create_dir(shell.path("mine")).unwrap();
    shell.write("mine/genome.fa", ">mine\nACGT\n");
    shell.tatabox(&["simulate", "--bases", "120k", "-o", "mine"]).fails(2, &["mine", "not empty", "hint: "]);
    assert_eq!(shell.bytes("mine/genome.fa"), b">mine\nACGT\n");
    // What a killed simulation left is its own.
    fs::remove_file(shell.path("sim/truth.json")).unwrap();
    shell.write("sim/.simulating", "");
    shell.genome();
    assert!(before == fs::read(shell.path("sim/genome.fa")).unwrap() && !shell.path("sim/.simulating").exists());
}

#[test]
fn wrong_values_are_refused_before_anything_is_written() {
    let shell = Shell::new();
    for (args, parts) in [
        (vec!["--bases", "2MB"], vec!["2MB", "k, M or G"]),
        (vec!["--bases", "5"], vec!["`bases` is 5", "at least"]),
        (vec!["--contigs", "0"], vec!["contigs"]),
        (vec!["--bases", "20G", "--contigs", "2"], vec!["`bases` is 20000000000", "--contigs 7"]),
        (vec!["--bases", "4000G", "--contigs", "4000"], vec!["made in memory", "fewer bases"]),
        (vec!["--set", "gc_mean=0.99"], vec!["`gc_mean` is 0.99", "0.25..=0.75"]),
        (vec!["--set", "gcmean=0.5"], vec!["gcmean", "known key", "hint: "]),
        (vec!["--set", "gc_mean"], vec!["key=value", "hint: "]),
        (vec!["--set", "gc_mean=high"], vec!["gc_mean=high"]),
        (vec!["--set", "contigs=2.5"], vec!["--set"]),
    ] {
        let mut all = vec!["simulate", "-o", "sim"];
        all.extend(&args);
        shell.tatabox(&all).fails(2, &parts);
    }
    assert_eq!(shell.files(), Vec::<String>::new());
}
