//! `tatabox benchmark`.

use std::fs;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::shell::{Shell, TATABOX, described, end, signal};
use crate::trials::{keys, tables, written};

const TABLES: [&str; 6] = ["table.txt", "table.csv", "table.md", "table.tex", "benchmark.json", "report.html"];

/// A shell with a model and two data sets in GUE's layout, cut from simulated promoters: the second has no train part.
fn shell() -> Shell {
    let shell = Shell::new();
    shell.quick_run("run");
    let part = |name: &str, rows: usize| -> String {
        let text = String::from_utf8(shell.bytes(&format!("sim/promoters/{name}.csv"))).unwrap();
        let mut lines = text.lines();
        let header = lines.next().unwrap();
        let (mut zeros, mut ones) = (Vec::new(), Vec::new());
        lines.for_each(|line| if line.ends_with(",1") { ones.push(line) } else { zeros.push(line) });
        let both = zeros.iter().zip(&ones).flat_map(|(zero, one)| [*zero, *one]).take(rows);
        std::iter::once(header).chain(both).collect::<Vec<_>>().join("\n") + "\n"
    };
    for (place, parts) in [("mouse/0", ["train", "dev", "test"].as_slice()), ("prom_300_all", &["dev", "test"])] {
        fs::create_dir_all(shell.path("GUE").join(place)).unwrap();
        for name in parts {
            shell.write(&format!("GUE/{place}/{name}.csv"), part(name, 16));
        }
    }
    shell
}

fn args<'a>(output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["benchmark", "run", "--suite", "gue", "--data", "GUE", "--seeds", "1,2", "--epochs", "2"];
    args.extend(["--learn-from-dev", "-o", output]);
    args.extend(more);
    args
}

#[test]
fn data_sets_that_are_there_are_measured_beside_the_papers_figures() {
    let shell = shell();
    let json = shell.json(&args("bench", &["--json"]));
    assert_eq!((&json["finished"], &json["runs"], &json["runs_finished"]), (&true.into(), &12.into(), &12.into()));
    let section = described(&["benchmark"]);
    for key in keys(&json) {
        assert!(section.contains(&format!("`{key}`")), "{key}");
    }
    assert_eq!(json["missing"].as_array().unwrap().len(), 27);
    let sets = json["datasets"].as_array().unwrap();
    assert_eq!((&sets[0]["dataset"], &sets[1]["dataset"]), (&"TF-M-0".into(), &"PD-all".into()));
    let printed = sets[0]["published"].as_array().unwrap();
    assert!(printed.iter().any(|one| one["model"] == "DNABERT+RandomMask" && one["percent"] == 55.61));
    assert!(sets[1]["partial"].as_str().unwrap().contains("learnt from the dev part"));
    assert_eq!(sets[0]["learners"][0]["runs"][0]["epochs"], 2);
    let text = String::from_utf8(shell.bytes("bench/table.txt")).unwrap();
    for words in [
        "TF-M: MCC, percent",
        "PD: MCC, percent",
        "all †",
        "90.48",
        "RandomMask, Table 3",
        "randommask-tf",
        "train.epochs=2",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(shell.works(&args("bench", &[])).starts_with(&text));
}

fn spawn(shell: &Shell, output: &str) -> Child {
    shell.command(TATABOX).args(args(output, &[])).spawn().unwrap()
}

#[test]
fn killed_and_started_again_it_ends_with_the_same_tables() {
    let shell = shell();
    let begun = Instant::now();
    shell.works(&args("whole", &[]));
    let whole = begun.elapsed();
    for fraction in [0.3, 0.6, 0.4] {
        let before = written(&shell, "killed");
        let mut child = spawn(&shell, "killed");
        sleep(whole.mul_f64(fraction));
        let _ = child.kill();
        child.wait().unwrap();
        let now = written(&shell, "killed");
        assert!(before.iter().all(|(file, when)| now[file] == *when), "a finished run was made again");
    }
    let last = end(spawn(&shell, "killed"));
    assert_eq!(last.code, 0, "{last:#?}");
    assert!(tables(&shell, "killed", &TABLES) == tables(&shell, "whole", &TABLES));

    let child = spawn(&shell, "stopped");
    let patience = Instant::now();
    while written(&shell, "stopped").is_empty() {
        assert!(patience.elapsed() < Duration::from_secs(120), "no run was finished");
        sleep(Duration::from_millis(2));
    }
    signal(&child, "INT");
    let stopped = end(child);
    // On a fast machine it may have been over before the signal came.
    if stopped.code != 0 {
        assert_eq!(stopped.code, 130, "{stopped:#?}");
        assert!(stopped.stderr.contains("go on with: tatabox benchmark --resume stopped"), "{stopped:#?}");
    }
    shell.works(&["benchmark", "--resume", "stopped"]);
    assert!(tables(&shell, "stopped", &TABLES) == tables(&shell, "whole", &TABLES));
}

#[test]
fn a_suite_of_ones_own_is_measured_and_a_wrong_command_refused() {
    let shell = shell();
    let suite = "name = \"mine\"\n[[datasets]]\nname = \"mouse\"\npath = \"mouse/0\"\nmetric = \"auroc\"\npreset = \"genemask\"\nepochs = 1\n";
    shell.write("mine.toml", suite);
    let own = ["benchmark", "m=run", "--suite", "mine.toml", "--data", "GUE", "--seeds", "5", "-o", "own", "--json"];
    let json = shell.json(&own);
    assert_eq!((&json["suite"], &json["datasets"][0]["metric"]), (&"mine".into(), &"auroc".into()));
    assert_eq!(json["datasets"][0]["learners"][0]["runs"][0]["epochs"], 1);

    let before = shell.files();
    let refused = |more: &[&str], code: i32, parts: &[&str]| {
        let mut all = vec!["benchmark", "run", "--data", "GUE", "-o", "bench"];
        all.extend(more);
        shell.tatabox(&all).fails(code, parts);
    };
    refused(&["--suite", "geu"], 2, &["`geu`", "`gue`"]);
    refused(&["--suite", "gue", "--only", "EMPP"], 2, &["EMPP", "`EMP`"]);
    refused(&["--suite", "gue", "--only", "EMP"], 1, &["no data set of suite gue", "hint: "]);
    refused(&["--suite", "gue"], 1, &["data set PD-all", "no train part", "--learn-from-dev"]);
    refused(&["--suite", "gue", "--only", "TF-M", "--seeds", "1,1"], 2, &["seed 1", "twice"]);
    refused(&["--suite", "gue", "--only", "TF-M", "--set", "train.epoch=1"], 2, &["train.epoch", "train.epochs"]);
    refused(&["--suite", "nowhere.toml"], 1, &["nowhere.toml"]);
    let genome = ["--suite", "genomic-benchmarks", "--genome", "mose=mm10.fa"];
    refused(&genome, 2, &["is called `mose`", "`mouse`"]);
    shell
        .tatabox(&["benchmark", "run", "--suite", "gue", "--data", "nowhere", "-o", "bench"])
        .fails(2, &["nowhere", "hint: "]);
    shell.tatabox(&["benchmark", "--resume", "nowhere"]).fails(2, &["`nowhere`", "does not exist", "hint: "]);
    assert_eq!(shell.files(), before);
}
