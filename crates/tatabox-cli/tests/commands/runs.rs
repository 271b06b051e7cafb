//! Runs: `pretrain`, `inspect`, and directories that cannot take one.

use std::fs;

use crate::shell::{QUICK, Shell, TATABOX, recipe};

#[test]
fn a_run_is_a_hugging_face_directory_with_its_history() {
    let shell = Shell::new();
    shell.quick_run("run");
    for file in [
        "config.toml",
        "config.json",
        "vocab.txt",
        "tokenizer_config.json",
        "model.safetensors",
        "state.json",
        "metrics.jsonl",
        "dataset.json",
    ] {
        assert!(shell.path("run").join(file).is_file(), "{file}: {:#?}", shell.files());
    }
    assert!(shell.files().iter().any(|name| name.contains("events.out.tfevents.")), "{:#?}", shell.files());
    let metrics = String::from_utf8(shell.bytes("run/metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["step"] == 40));
}

#[test]
fn the_same_seed_gives_the_same_model_with_any_number_of_threads() {
    let shell = Shell::new();
    let genome = shell.genome();
    let smoke = recipe("smoke.toml");
    let model = |run: &str, threads: &str, seed: &str| {
        let seed = format!("seed={seed}");
        let args = [
            "pretrain",
            &genome,
            "--recipe",
            &smoke,
            "--set",
            "train.steps=10",
            "--set",
            &seed,
            "-o",
            run,
            "--threads",
            threads,
        ];
        shell.works(&args);
        shell.bytes(&format!("{run}/model.safetensors"))
    };
    let first = model("a", "1", "1");
    assert!(first == model("b", "3", "1"));
    assert!(first != model("c", "1", "2"));
}

#[test]
fn before_the_start_it_says_what_will_happen() {
    let shell = Shell::new();
    let genome = shell.genome();
    let smoke = recipe("smoke.toml");
    let seen = shell.tatabox(&["pretrain", &genome, "--recipe", &smoke, "--set", "train.steps=3", "-o", "run"]);
    assert_eq!(seen.code, 0, "{seen:#?}");
    for word in ["parameters", "steps", "tokens", "memory", "time"] {
        assert!(seen.stderr.contains(word), "{word}: {}", seen.stderr);
    }
}

#[test]
fn a_model_too_large_for_the_machine_is_refused_before_the_start() {
    let shell = Shell::new();
    let genome = shell.genome();
    let args =
        ["pretrain", &genome, "--set", "model.num_hidden_layers=24", "--set", "model.hidden_size=65536", "-o", "run"];
    shell.tatabox(&args).fails(1, &["memory", "free", "hint: "]);
    assert!(!shell.path("run").exists());
}

#[test]
fn a_directory_that_holds_a_run_is_kept() {
    let shell = Shell::new();
    shell.quick_run("run");
    let before = (shell.files(), shell.bytes("run/model.safetensors"));
    let smoke = recipe("smoke.toml");
    shell
        .tatabox(&["pretrain", "sim/genome.fa", "--recipe", &smoke, "-o", "run"])
        .fails(2, &["`run` already holds a run", "hint: ", "tatabox pretrain --resume run"]);
    assert_eq!(before, (shell.files(), shell.bytes("run/model.safetensors")));
}

#[test]
fn a_directory_that_holds_something_else_is_kept() {
    let shell = Shell::new();
    let genome = shell.genome();
    fs::create_dir(shell.path("thesis")).unwrap();
    shell.write("thesis/chapter1.txt", "It was a dark and stormy night.");
    shell.tatabox(&["pretrain", &genome, "-o", "thesis"]).fails(2, &["`thesis`", "not empty", "hint: "]);
    assert_eq!(shell.bytes("thesis/chapter1.txt"), b"It was a dark and stormy night.");
}

#[test]
fn what_is_no_run_cannot_be_resumed_or_inspected() {
    let shell = Shell::new();
    shell.tatabox(&["pretrain", "--resume", "nowhere"]).fails(2, &["`nowhere`", "does not exist", "hint: "]);
    shell.tatabox(&["inspect", "nowhere"]).fails(2, &["`nowhere`", "does not exist", "hint: "]);
    fs::create_dir(shell.path("empty")).unwrap();
    shell.tatabox(&["pretrain", "--resume", "empty"]).fails(2, &["`empty`", "is no run", "hint: "]);
    shell.tatabox(&["inspect", "empty"]).fails(2, &["`empty`", "is no run", "hint: "]);
}

#[test]
fn inspect_tells_what_a_run_is() {
    let shell = Shell::new();
    shell.quick_run("run");
    let text = shell.works(&["inspect", "run"]);
    for word in ["40 of 40", "kmer", "sim/genome.fa", "held-out", "checkpoint", "without a model  ", " uniform\n"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    // A tiny model after 40 steps: nothing that chance could turn.
    let outcome = shell.json(&["pretrain", "--resume", "run", "--json"]);
    let uniform = outcome["baselines"]["uniform"].as_f64().unwrap();
    assert!(outcome["loss"].as_f64().unwrap() > uniform, "{outcome}");
    let genome = shell.path("sim/genome.fa").display().to_string();
    let smoke = recipe("smoke.toml");
    let again = [&["pretrain", &genome, "--recipe", &smoke, "-o", "again"][..], &QUICK].concat();
    let told = format!("{:?}", shell.tatabox(&again));
    assert!(
        told.contains("above what can be guessed without a model")
            && told.contains(&format!("`uniform` ({uniform:.4})")),
        "{told}"
    );
    let json = shell.json(&["inspect", "run", "--json"]);
    assert_eq!(json["step"], 40);
    for key in ["config", "dataset", "checkpoints", "best"] {
        assert!(!json[key].is_null(), "{key}: {json}");
    }
}

#[test]
fn a_run_that_begins_with_another_reads_as_that_did_and_says_so() {
    let shell = Shell::new();
    let genome = shell.genome();
    let smoke = recipe("smoke.toml");
    let own = ["--set", "tokenizer.k=3", "--set", "tokenizer.stride=3", "--set", "data.max_length=64"];
    let few =
        ["--recipe", &smoke, "--set", "train.steps=2", "--set", "evaluate.sequences=2", "--set", "checkpoint.every=2"];
    shell.works(&[&["pretrain", &genome, "-o", "first"], &few[..], &own].concat());
    let begin = ["pretrain", &genome, "--init", "first", "--set", "train.steps=2", "--set", "evaluate.sequences=2"];
    shell.works(&[&begin[..], &["-o", "second"]].concat());
    let config = String::from_utf8(shell.bytes("second/config.toml")).unwrap();
    for line in ["k = 3", "stride = 3", "max_length = 64", "preset = \"tiny\""] {
        assert!(config.lines().any(|own| own == line), "{line}: {config}");
    }
    let dataset: serde_json::Value = serde_json::from_slice(&shell.bytes("second/dataset.json")).unwrap();
    assert!(dataset["init"]["path"].as_str().unwrap().ends_with("first"), "{dataset}");
    assert_eq!((&dataset["init"]["step"], dataset["init"]["sha256"].as_str().unwrap().len()), (&2.into(), 64));
    assert!(shell.works(&["inspect", "second"]).contains("first, step 2"));
    let seen = shell.tatabox(&[&begin[..], &["--set", "model.preset=dnabert", "-o", "fourth"]].concat());
    assert!(seen.code == 0 && seen.stderr.contains("2 layers x 128: its sizes are taken"), "{seen:#?}");
    for name in ["config.json", "model.safetensors"] {
        std::fs::create_dir_all(shell.path("bare")).unwrap();
        std::fs::copy(shell.path(&format!("first/{name}")), shell.path(&format!("bare/{name}"))).unwrap();
    }
    let bare = ["pretrain", &genome, "--init", "bare", "--set", "tokenizer.k=3", "--set", "train.steps=2"];
    let seen = shell.tatabox(&[&bare[..], &["--set", "evaluate.sequences=2", "-o", "third"]].concat());
    assert!(seen.code == 0 && seen.stderr.contains("taken to be in the order of DNABERT's"), "{seen:#?}");
}

#[test]
fn a_genome_from_a_pipe_is_there_again_when_the_run_goes_on() {
    let shell = Shell::new();
    let genome = shell.genome();
    let smoke = recipe("smoke.toml");
    let piped = std::fs::File::open(shell.path(&genome)).unwrap();
    let few = ["--recipe", &smoke, "--set", "train.steps=4", "--set", "checkpoint.every=2"];
    let all = [&["pretrain", "-", "-o", "run"], &few[..]].concat();
    assert!(shell.command(TATABOX).args(all).stdin(piped).status().unwrap().success());
    let config = String::from_utf8(shell.bytes("run/config.toml")).unwrap();
    shell.write("run/config.toml", config.replace("steps = 4\n", "steps = 6\n"));
    shell.works(&["pretrain", "--resume", "run"]);
    assert_eq!(shell.checkpoints("run").last(), Some(&6));
}
