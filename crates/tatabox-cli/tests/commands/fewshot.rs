//! `tatabox fewshot`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use crate::shell::{Shell, TATABOX, described, end, signal};
use crate::trials::{keys, tables, written};

const TABLES: [&str; 7] =
    ["table.txt", "table.csv", "table.md", "table.tex", "fewshot.json", "report.html", "draws.json"];

/// A shell with simulated promoters and a model that has read their genome.
fn shell() -> Shell {
    let shell = Shell::new();
    shell.quick_run("run");
    shell
}

fn args<'a>(output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["fewshot", "run", "--data", "sim/promoters", "--shots", "2,4", "--draws", "3", "-o", output];
    args.extend(["--set", "train.epochs=2", "--test-examples", "8"]);
    args.extend(more);
    args
}

#[test]
fn a_model_learns_beside_the_baselines_from_the_same_draws() {
    let shell = shell();
    let json = shell.json(&args("few", &["--with-fresh", "--json"]));
    assert_eq!((&json["finished"], &json["runs"], &json["runs_finished"]), (&true.into(), &24.into(), &24.into()));
    let names: Vec<&str> =
        json["learners"].as_array().unwrap().iter().map(|one| one["learner"].as_str().unwrap()).collect();
    assert_eq!((names, &json["against"]), (vec!["run", "run-fresh", "kmer-regression", "cnn"], &"run".into()));
    let section = described(&["fewshot"]);
    for key in keys(&json) {
        assert!(section.contains(&format!("`{key}`")), "{key}");
    }
    for learner in json["learners"].as_array().unwrap() {
        for (at, of) in learner["by_shots"].as_array().unwrap().iter().enumerate() {
            for (draw, run) in of["runs"].as_array().unwrap().iter().enumerate() {
                assert_eq!(run["train_sha256"], json["learners"][0]["by_shots"][at]["runs"][draw]["train_sha256"]);
            }
        }
    }
    // What pretraining brought is what the fresh weights lack: they answer otherwise.
    let runs = |learner: usize| json["learners"][learner]["by_shots"][1]["runs"].to_string();
    assert_ne!(runs(0), runs(1));
    let saved: serde_json::Value = serde_json::from_slice(&shell.bytes("few/fewshot.json")).unwrap();
    assert_eq!(saved["learners"], json["learners"]);
    let text = String::from_utf8(shell.bytes("few/table.txt")).unwrap();
    for words in ["MCC", "MCC against run", "2 shots", "cannot bring below 0.25", "genemask-fs", "train.epochs = 2"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(shell.works(&args("few", &["--with-fresh"])).starts_with(&text));
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let shell = shell();
    shell.works(&args("one", &["--threads", "1"]));
    shell.works(&args("three", &["--threads", "3"]));
    assert!(tables(&shell, "one", &TABLES) == tables(&shell, "three", &TABLES));
}

fn spawn(shell: &Shell, output: &str) -> Child {
    shell.command(TATABOX).args(args(output, &[])).spawn().unwrap()
}

#[test]
fn killed_at_any_moment_it_ends_with_the_same_tables_and_computes_nothing_twice() {
    let shell = shell();
    let begun = Instant::now();
    shell.works(&args("whole", &[]));
    let whole = begun.elapsed();
    for (round, fractions) in [[0.2, 0.5, 0.3], [0.4, 0.1, 0.6]].iter().enumerate() {
        let output = format!("killed{round}");
        let mut before: BTreeMap<String, SystemTime> = BTreeMap::new();
        for fraction in fractions {
            let mut child = spawn(&shell, &output);
            sleep(whole.mul_f64(*fraction));
            let _ = child.kill();
            child.wait().unwrap();
            let now = written(&shell, &output);
            assert!(before.iter().all(|(file, when)| now[file] == *when), "a finished run was made again");
            before = now;
        }
        let last = end(spawn(&shell, &output));
        assert_eq!(last.code, 0, "{last:#?}");
        let now = written(&shell, &output);
        assert!(before.iter().all(|(file, when)| now[file] == *when), "a finished run was made again");
        assert!(tables(&shell, &output, &TABLES) == tables(&shell, "whole", &TABLES), "{output}");
    }
}

#[test]
fn a_signal_stops_it_and_resume_needs_no_command_line() {
    let shell = shell();
    shell.works(&args("whole", &[]));
    let child = spawn(&shell, "stopped");
    let patience = Instant::now();
    while written(&shell, "stopped").is_empty() {
        assert!(patience.elapsed() < Duration::from_secs(120), "no run was finished");
        sleep(Duration::from_millis(2));
    }
    signal(&child, "TERM");
    let stopped = end(child);
    // On a fast machine it may have been over before the signal came.
    if stopped.code != 0 {
        assert_eq!((stopped.code, stopped.stdout.as_str()), (143, ""), "{stopped:#?}");
        assert!(stopped.stderr.contains("go on with: tatabox fewshot --resume stopped"), "{stopped:#?}");
    }
    shell.works(&["fewshot", "--resume", "stopped"]);
    assert!(tables(&shell, "stopped", &TABLES) == tables(&shell, "whole", &TABLES));
    let before = written(&shell, "stopped");
    let other = shell.json(&["fewshot", "--resume", "stopped", "--against", "cnn", "--metric", "auroc", "--json"]);
    assert_eq!((&other["against"], &other["metric"]), (&"cnn".into(), &"auroc".into()));
    // More shots and draws are added; what is there is kept.
    let more = shell.json(&[
        "fewshot",
        "run",
        "--data",
        "sim/promoters",
        "--shots",
        "6",
        "--draws",
        "4",
        "-o",
        "stopped",
        "--set",
        "train.epochs=2",
        "--test-examples",
        "8",
        "--json",
    ]);
    assert_eq!((&more["runs"], &more["shots"]), (&36.into(), &serde_json::json!([2, 4, 6])));
    let now = written(&shell, "stopped");
    assert!(before.iter().all(|(file, when)| now[file] == *when), "a finished run was made again");
}

#[test]
fn a_wrong_command_is_refused_before_anything_is_written() {
    let shell = shell();
    let before = shell.files();
    let refused = |more: &[&str], code: i32, parts: &[&str]| shell.tatabox(&args("few", more)).fails(code, parts);
    refused(&["--metric", "mcv"], 2, &["mcc"]);
    refused(&["--metric", "pearson"], 2, &["`pearson`", "--metric mcc"]);
    refused(&["--against", "rum"], 2, &["`rum`", "`run`"]);
    refused(&["--set", "train.epoch=3"], 2, &["train.epoch", "train.epochs"]);
    refused(&["--preset", "genemask-sf"], 2, &["genemask-fs"]);
    refused(&["--task", "regression", "--metric", "mcc"], 2, &["`mcc`", "pearson"]);
    let many = ["fewshot", "run", "--data", "sim/promoters", "--shots", "2,100000", "-o", "few"];
    shell.tatabox(&many).fails(2, &["`shots` is 100000", "examples to learn from", "--shots 2"]);
    shell.tatabox(&["fewshot", "run", "--data", "nowhere.csv", "-o", "few"]).fails(1, &["nowhere.csv"]);
    shell.tatabox(&["fewshot", "run", "-o", "few"]).fails(2, &["--data", "hint: "]);
    shell.tatabox(&["fewshot", "nothing", "--data", "sim/promoters", "-o", "few"]).fails(2, &["nothing", "hint: "]);
    for verb in ["fewshot", "finetune"] {
        for (option, value) in [("--data", "sim"), ("--split", "90/10"), ("--split-seed", "3"), ("--label-column", "y")]
        {
            shell
                .tatabox(&[verb, "--resume", "nowhere", option, value])
                .fails(2, &[option, "cannot be used with", "--resume"]);
        }
    }
    shell.tatabox(&["fewshot", "--resume", "nowhere"]).fails(2, &["`nowhere`", "does not exist", "hint: "]);
    shell
        .tatabox(&["fewshot", "x=run", "X=run", "--data", "sim/promoters", "-o", "few"])
        .fails(2, &["same name", "hint: "]);
    fs::create_dir(shell.path("one")).unwrap();
    shell.write("one/train.csv", "sequence,label\nACGTACGT,0\nACGTACGA,0\n");
    shell.write("one/test.csv", "sequence,label\nACGTACGT,0\n");
    shell.tatabox(&["fewshot", "--data", "one", "--shots", "1", "-o", "few"]).fails(1, &["one class only", "hint: "]);
    shell.write("one/test.csv", "sequence,label\nACGTACGT,1\n");
    shell
        .tatabox(&["fewshot", "--data", "one", "--shots", "1", "-o", "few"])
        .fails(1, &["class `1` stands in test and not in train"]);
    let after: Vec<String> = shell.files().into_iter().filter(|file| !file.starts_with("one")).collect();
    assert_eq!(after, before);
}
