//! `tatabox mask freeze`, `tatabox mask inspect` and `tatabox evaluate`.

use std::fs;

use crate::shell::{Shell, recipe};

fn freeze(shell: &Shell, output: &str) {
    let smoke = recipe("smoke.toml");
    shell.json(&["mask", "freeze", "sim/genome.fa", "--recipe", &smoke, "--sequences", "20", "-o", output, "--json"]);
}

#[test]
fn frozen_masks_are_lines_that_another_program_can_read() {
    let shell = Shell::new();
    shell.genome();
    freeze(&shell, "frozen.jsonl");
    freeze(&shell, "again.jsonl");
    let text = String::from_utf8(shell.bytes("frozen.jsonl")).unwrap();
    assert!(text.into_bytes() == shell.bytes("again.jsonl"), "the same seed gives the same masks");
    let text = String::from_utf8(shell.bytes("frozen.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sequences: Vec<_> = lines.iter().filter(|line| line["input_ids"].is_array()).collect();
    assert_eq!(sequences.len(), 20);
    for line in sequences {
        let (ids, labels) = (line["input_ids"].as_array().unwrap(), line["labels"].as_array().unwrap());
        assert_eq!(ids.len(), labels.len());
        assert_eq!((ids[0].as_u64(), ids[ids.len() - 1].as_u64()), (Some(2), Some(3)));
        assert!(labels.iter().all(|label| label == -100 || label.as_u64().is_some_and(|id| (5..4101).contains(&id))));
    }
}

#[test]
fn evaluate_prints_the_loss_beside_the_baselines() {
    let shell = Shell::new();
    shell.quick_run("run");
    freeze(&shell, "frozen.jsonl");
    let text = shell.works(&["evaluate", "run", "--masks", "frozen.jsonl"]);
    for word in ["nats", "perplexity", "bits", "markov-5"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let json = shell.json(&["evaluate", "run", "--masks", "frozen.jsonl", "--json"]);
    let number = |key: &str| json[key].as_f64().unwrap_or_else(|| panic!("{key}: {json}"));
    assert!(number("loss") > 0.0 && number("loss") < 9.0);
    assert!((number("perplexity") - number("loss").exp()).abs() < 1e-6 * number("perplexity"));
    assert!(number("bits_per_hidden_base") > 0.0);
    assert_eq!(json["baselines"].as_array().unwrap().len(), 3, "{json}");
}

#[test]
fn evaluate_says_where_the_masks_lie_on_what_the_run_trained_on() {
    let shell = Shell::new();
    shell.quick_run("run");
    freeze(&shell, "frozen.jsonl");
    assert!(!shell.works(&["evaluate", "run", "--masks", "frozen.jsonl"]).contains("may have trained"));
    let (smoke, contig) = (recipe("smoke.toml"), "data.holdout=chr1:1-20000");
    let elsewhere = ["mask", "freeze", "sim/genome.fa", "--recipe", &smoke, "--set", contig, "--sequences", "20"];
    shell.works(&[&elsewhere[..], &["-o", "elsewhere.jsonl"]].concat());
    let seen = shell.tatabox(&["evaluate", "run", "--masks", "elsewhere.jsonl"]);
    assert!(
        format!("{seen:?}").contains("20 of the 20 frozen sequences are not in what this run held out"),
        "{seen:#?}"
    );
}

#[test]
fn evaluate_gives_the_same_numbers_with_any_number_of_threads() {
    let shell = Shell::new();
    shell.quick_run("run");
    freeze(&shell, "frozen.jsonl");
    let loss = |threads: &str| {
        shell.json(&["evaluate", "run", "--masks", "frozen.jsonl", "--json", "--threads", threads])["loss"].clone()
    };
    assert_eq!(loss("1"), loss("3"));
}

/// Adds a layer to a `config.json`.
fn add_a_layer(path: &std::path::Path) {
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    json["num_hidden_layers"] = (json["num_hidden_layers"].as_u64().unwrap() + 1).into();
    fs::write(path, json.to_string()).unwrap();
}

#[test]
fn weights_that_do_not_match_their_configuration_are_refused() {
    let shell = Shell::new();
    shell.quick_run("run");
    freeze(&shell, "frozen.jsonl");
    fs::create_dir(shell.path("hf")).unwrap();
    for file in ["config.json", "vocab.txt", "model.safetensors"] {
        fs::copy(shell.path("run").join(file), shell.path("hf").join(file)).unwrap();
    }
    shell.works(&["evaluate", "hf", "--masks", "frozen.jsonl"]);
    add_a_layer(&shell.path("hf/config.json"));
    let told = ["hf/model.safetensors", "configuration", "encoder.layer.", "hint: "];
    shell.tatabox(&["evaluate", "hf", "--masks", "frozen.jsonl"]).fails(1, &told);
    shell.tatabox(&["pretrain", "sim/genome.fa", "--init", "hf", "--set", "train.steps=2", "-o", "on"]).fails(1, &told);
    assert!(!shell.path("on").exists());
    // A run's own configuration, changed by hand, is not passed over in silence.
    add_a_layer(&shell.path("run/config.json"));
    shell
        .tatabox(&["evaluate", "run", "--masks", "frozen.jsonl"])
        .fails(1, &["run/model.safetensors", "config.json", "hint: "]);
}

#[test]
fn masks_that_are_torn_or_of_another_vocabulary_are_refused() {
    let shell = Shell::new();
    shell.quick_run("run");
    freeze(&shell, "frozen.jsonl");
    let text = String::from_utf8(shell.bytes("frozen.jsonl")).unwrap();
    shell.write("torn.jsonl", &text[..text.len() - 40]);
    shell.tatabox(&["evaluate", "run", "--masks", "torn.jsonl"]).fails(1, &["torn.jsonl", "line ", "expected", "got"]);
    let args = ["mask", "freeze", "sim/genome.fa", "--set", "tokenizer.k=7", "--sequences", "3", "-o", "k7.jsonl"];
    shell.works(&args);
    let seen = shell.tatabox(&["evaluate", "run", "--masks", "k7.jsonl"]);
    assert!(seen.code == 1 || seen.code == 2, "{seen:#?}");
    seen.fails(seen.code, &["k7.jsonl", "hint: "]);
    shell.tatabox(&["evaluate", "run", "--masks", "nowhere.jsonl"]).fails(1, &["nowhere.jsonl", "hint: "]);
    let smoke = recipe("smoke.toml");
    let mut other =
        vec!["mask", "freeze", "sim/genome.fa", "--recipe", &smoke, "--sequences", "3", "-o", "other.jsonl"];
    other.extend(["--set", "tokenizer.stride=6"]);
    shell.works(&other);
    shell
        .tatabox(&["evaluate", "run", "--masks", "other.jsonl"])
        .fails(1, &["other.jsonl", "expected tokens of stride 1", "got stride 6", "tokenizer.stride=1"]);
    shell.works(&["mask", "freeze", "sim/genome.fa", "--sequences", "5", "-o", "long.jsonl"]);
    let seen = shell.tatabox(&["evaluate", "run", "--masks", "long.jsonl"]);
    assert!(seen.code == 0 && seen.stderr.contains("positions that it never saw"), "{seen:#?}");
}

#[test]
fn mask_inspect_shows_spans_hidden_bases_and_the_measured_rate() {
    let shell = Shell::new();
    let genome = shell.genome();
    let recipe = recipe("randommask.toml");
    let text = shell.works(&["mask", "inspect", "--recipe", &recipe, &genome]);
    for word in ["random-mask", "14", "hidden", "rate"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let json = shell.json(&["mask", "inspect", "--recipe", &recipe, &genome, "--json"]);
    assert!(json.is_object(), "{json}");
}
