//! Bad input: each kind is a clear error with the right exit code, and nothing is left behind.

use std::io::Write;

use crate::shell::{Shell, recipe};

/// A genome of this content is refused by every verb that reads one, with these words.
#[track_caller]
fn genome_is_refused(name: &str, content: &[u8], parts: &[&str]) {
    let shell = Shell::new();
    let name = shell.write(name, content);
    let before = shell.files();
    let recipe = recipe("smoke.toml");
    let mut parts = parts.to_vec();
    parts.push(&name);
    for verb in [vec!["pretrain", "-o", "run"], vec!["mask", "freeze", "-o", "frozen.jsonl"], vec!["mask", "inspect"]] {
        let mut args = verb;
        args.extend(["--recipe", &recipe, &name]);
        shell.tatabox(&args).fails(1, &parts);
        assert_eq!(shell.files(), before, "after {args:?}");
    }
}

#[test]
fn an_empty_file_is_refused() {
    genome_is_refused("empty.fa", b"", &["expected", "got", "empty"]);
}

#[test]
fn a_file_that_is_not_fasta_is_refused() {
    genome_is_refused(
        "letter.fa",
        b"Dear genome,\nhow are you?\n",
        &["line 1", "expected", "`>name`", "got", "hint: "],
    );
}

#[test]
fn a_truncated_gzip_is_refused() {
    let fasta: Vec<u8> =
        (0..20_000u32).flat_map(|i| format!(">contig{i}\n{}\n", "ACGTTGCATGCCATTA".repeat(4)).into_bytes()).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&fasta).unwrap();
    let whole = gzip.finish().unwrap();
    genome_is_refused("cut.fa.gz", &whole[..whole.len() / 2], &["gzip", "expected", "got", "hint: "]);
}

#[test]
fn a_protein_fasta_is_refused() {
    let protein =
        b">sp|P68871|HBB_HUMAN Hemoglobin subunit beta\nMVHLTPEEKSAVTALWGKVNVDEVGGEALGRLLVVYPWTQRFFESFGDLSTPDAVMGNPK\n";
    genome_is_refused("hbb.fa", protein, &["line 2", "expected", "got", "protein"]);
}

#[test]
fn a_genome_shorter_than_a_window_is_refused() {
    genome_is_refused("short.fa", b">tiny\nACGTACG\n", &["window", "hint: "]);
}

#[test]
fn a_contig_of_n_only_is_refused() {
    let content = format!(">gap\n{}\n", "N".repeat(20_000));
    genome_is_refused("gap.fa", content.as_bytes(), &["N"]);
}

#[test]
fn duplicate_contig_names_are_refused() {
    let contig = "ACGTTGCATGCCATTA".repeat(1_000);
    let content = format!(">chr1\n{contig}\n>chr2\n{contig}\n>chr1 again\n{contig}\n");
    genome_is_refused("twice.fa", content.as_bytes(), &["chr1", "line 5", "hint: "]);
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let shell = Shell::new();
    shell.tatabox(&["pretrain", "nowhere.fa", "-o", "run"]).fails(1, &["nowhere.fa", "No such file", "hint: "]);
    assert_eq!(shell.files(), Vec::<String>::new());
}

#[test]
fn a_directory_is_no_genome() {
    let shell = Shell::new();
    std::fs::create_dir(shell.path("folder")).unwrap();
    shell.tatabox(&["pretrain", "folder", "-o", "run"]).fails(1, &["folder", "directory"]);
    assert_eq!(shell.files(), ["folder"]);
}

#[test]
fn a_wrong_recipe_is_refused_with_exit_code_two() {
    let shell = Shell::new();
    let genome = shell.genome();
    let before = shell.files().len();
    for (content, parts) in [
        ("[train]\nstepz = 5\n", vec!["bad.toml, line 2", "`train.stepz`", "known key", "hint: ", "`train.steps`"]),
        ("[train]\nsteps = 0\n", vec!["bad.toml, line 2", "`train.steps` is 0", "hint: "]),
        ("[tokenizer]\nk = 99\n", vec!["bad.toml, line 2", "`tokenizer.k` is 99", "hint: "]),
        ("[mask]\nstrategy = \"kmer-spam\"\n", vec!["`mask.strategy`", "kmer-spam", "hint: ", "kmer-span"]),
        ("[model]\npreset = \"bert-maxi\"\n", vec!["`model.preset`", "bert-maxi", "hint: "]),
        ("[train\nsteps = 5\n", vec!["bad.toml, line 1", "TOML"]),
        ("seed = \"seven\"\n", vec!["`seed`", "seven"]),
    ] {
        shell.write("bad.toml", content);
        shell.tatabox(&["pretrain", &genome, "--recipe", "bad.toml", "-o", "run"]).fails(2, &parts);
    }
    assert_eq!(shell.files().len(), before + 1);
}

#[test]
fn a_recipe_that_is_not_there_is_refused() {
    let shell = Shell::new();
    let genome = shell.genome();
    shell
        .tatabox(&["pretrain", &genome, "--recipe", "nowhere.toml", "-o", "run"])
        .fails(2, &["nowhere.toml", "hint: "]);
}

#[test]
fn a_wrong_set_is_refused_with_exit_code_two() {
    let shell = Shell::new();
    let genome = shell.genome();
    for (set, parts) in [
        ("train.steps", vec!["--set train.steps", "key=value", "hint: "]),
        ("train.stesp=5", vec!["--set train.stesp=5", "`train.steps`"]),
        ("train.steps=-5", vec!["--set train.steps=-5", "-5", "hint: "]),
        ("data.max_length=100000", vec!["data.max_length", "100000", "hint: "]),
    ] {
        shell.tatabox(&["pretrain", &genome, "--set", set, "-o", "run"]).fails(2, &parts);
    }
    assert!(!shell.path("run").exists());
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let shell = Shell::new();
    for args in [
        vec!["pretrain"],
        vec!["pretrain", "genome.fa"],
        vec!["pretrain", "genome.fa", "--resume", "run"],
        vec!["pretrain", "--resume", "run", "-o", "other"],
        vec!["evaluate", "run"],
        vec!["mask"],
        vec!["mask", "freeze", "genome.fa"],
        vec!["inspect"],
    ] {
        let seen = shell.tatabox(&args);
        assert_eq!((seen.code, seen.stdout.as_str()), (2, ""), "{args:?}: {seen:#?}");
    }
}
