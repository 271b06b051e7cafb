//! Interoperability with Hugging Face transformers, by whole commands: what Tatabox writes opens there, what transformers writes opens here, and
//! both sides compute the same loss on the same frozen masks.
//!
//! The other side is `benches/peers/` in a virtual environment in `target/peers-venv`, which `benches/peers/setup.py` makes the first time:
//! 0.6 GB from PyPI, about a minute. `cargo test` always runs these tests. Where the environment cannot be made (no network, no Python 3.11),
//! a line on stderr that begins with `skipped:` says why, and they pass.

#[path = "../commands/shell.rs"]
#[allow(dead_code, reason = "the other whole-command tests use the rest")]
mod shell;

mod fine_tuning;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use shell::{Shell, project, recipe, seen, skipped};

/// How far losses in f32 may be apart, relative: sums are taken in another order, and nothing else differs. bf16 is further off.
const TOLERANCE: f64 = 1e-5;

/// The Python with transformers, or none where it cannot be had; tests that run at once wait for the one that makes it.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = PYTHON.get_or_init(|| {
        let target = project().join("target");
        fs::create_dir_all(&target).unwrap();
        let lock = File::create(target.join("peers-venv.lock")).unwrap();
        lock.lock().unwrap();
        let mut setup = Command::new("python3");
        setup.arg(project().join("benches/peers/setup.py"));
        // Without a network, pip would try again for minutes.
        let output = setup.env("PIP_RETRIES", "1").env("PIP_DEFAULT_TIMEOUT", "15").output();
        let why = match output {
            Ok(output) if output.status.success() => return Some(target.join("peers-venv/bin/python")),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_string(),
            Err(error) => format!("cannot start python3: {error}"),
        };
        skipped(&format!("transformers cannot be asked: {why}"));
        None
    });
    made.as_deref()
}

/// Runs a program of `benches/peers` that must work; gives its stdout.
fn peer(python: &Path, shell: &Shell, program: &str, args: &[&str]) -> String {
    let script = project().join("benches/peers").join(program);
    let seen = seen(shell.command(python).arg(script).args(args).env("HF_HUB_OFFLINE", "1"));
    assert_eq!(seen.code, 0, "{program} {}: {seen:#?}", args.join(" "));
    seen.stdout
}

/// What transformers makes of a model on frozen masks; its tokenizer must give the ids that Tatabox gave to the same bases.
fn by_transformers(python: &Path, shell: &Shell, model: &str, masks: &str) -> Value {
    let stdout = peer(python, shell, "hf_evaluate.py", &[model, masks, "--genome", "sim/genome.fa"]);
    let json: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    assert_eq!(json["tokenizer"]["same_ids_back"], true, "{json}");
    json
}

fn by_tatabox(shell: &Shell, model: &str, masks: &str) -> Value {
    shell.json(&["evaluate", model, "--masks", masks, "--json"])
}

#[track_caller]
fn assert_near(ours: &Value, theirs: &Value, what: &str) {
    let (ours, theirs) = (ours.as_f64().unwrap(), theirs.as_f64().unwrap());
    assert!((ours / theirs - 1.0).abs() < TOLERANCE, "{what}: {ours} here, {theirs} in transformers");
}

/// Asserts the same loss overall and under each mask.
#[track_caller]
fn assert_same_losses(ours: &Value, theirs: &Value) {
    assert_near(&ours["loss"], &theirs["loss"], "all masks");
    assert_eq!(ours["scores"]["overall"]["masked_tokens"], theirs["labelled_tokens"]);
    let masks = ours["scores"]["by_mask"].as_array().unwrap();
    assert_eq!(masks.len(), theirs["by_mask"].as_object().unwrap().len());
    for mask in masks {
        let name = mask["mask"].as_str().unwrap();
        assert_near(&mask["nats_per_token"], &theirs["by_mask"][name]["loss"], name);
    }
}

/// Frozen masks of the simulated genome for a 6-mer model, short enough for the smoke recipe.
fn freeze(shell: &Shell) -> &'static str {
    let smoke = recipe("smoke.toml");
    shell.works(&["mask", "freeze", "sim/genome.fa", "--recipe", &smoke, "--sequences", "30", "-o", "frozen.jsonl"]);
    "frozen.jsonl"
}

#[test]
fn a_run_opens_in_transformers_with_the_same_ids_and_the_same_loss() {
    let Some(python) = python() else { return };
    let shell = Shell::new();
    shell.quick_run("run");
    let masks = freeze(&shell);
    let theirs = by_transformers(python, &shell, "run", masks);
    assert_same_losses(&by_tatabox(&shell, "run", masks), &theirs);
    assert_eq!(theirs["model"]["type"], "BertForMaskedLM");
    assert_eq!(theirs["tokenizer"]["vocabulary"], 4101);
}

#[test]
fn a_model_of_transformers_has_the_same_loss_here_and_a_run_can_start_from_it() {
    let Some(python) = python() else { return };
    let shell = Shell::new();
    let genome = shell.genome();
    let masks = freeze(&shell);
    peer(python, &shell, "hf_make_model.py", &["theirs"]);
    let theirs = by_transformers(python, &shell, "theirs", masks);
    let ours = by_tatabox(&shell, "theirs", masks);
    assert_same_losses(&ours, &theirs);
    // transformers 5 writes no vocab.txt; its tokenizer.json says the same.
    fs::remove_file(shell.path("theirs/vocab.txt")).unwrap();
    assert_eq!(by_tatabox(&shell, "theirs", masks)["loss"], ours["loss"]);

    let smoke = recipe("smoke.toml");
    let sizes = ["--set", "train.steps=1", "--set", "train.batch_tokens=256", "--set", "evaluate.sequences=4"];
    let args = ["pretrain", &genome, "--recipe", &smoke, "--init", "theirs", "-o", "run"];
    shell.works(&[&args[..], &sizes[..]].concat());
    let start = by_tatabox(&shell, "run/checkpoints/step-0", masks);
    assert_same_losses(&start, &theirs);
    assert_ne!(by_tatabox(&shell, "run", masks)["loss"], start["loss"], "one step was taken from there");
}

#[test]
fn a_vocabulary_in_another_order_is_refused_whichever_file_holds_it() {
    let shell = Shell::new();
    shell.quick_run("run");
    let masks = freeze(&shell);
    let model = shell.path("model");
    fs::create_dir(&model).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(shell.path("run").join(name), model.join(name)).unwrap();
    }
    let text = String::from_utf8(shell.bytes("run/vocab.txt")).unwrap();
    let tokenizer_json = |text: &str| {
        let vocabulary: serde_json::Map<String, Value> =
            text.lines().enumerate().map(|(id, token)| (token.to_string(), id.into())).collect();
        serde_json::json!({"version": "1.0", "model": {"type": "WordPiece", "vocab": vocabulary}}).to_string()
    };
    let swapped = text.replace("AAAAAT\nAAAAAC\n", "AAAAAC\nAAAAAT\n");
    let loss = by_tatabox(&shell, "run", masks)["loss"].clone();
    for (name, right, wrong) in [
        ("tokenizer.json", tokenizer_json(&text), tokenizer_json(&swapped)),
        ("vocab.txt", text.clone(), swapped.clone()),
    ] {
        shell.write(&format!("model/{name}"), &wrong);
        let seen = shell.tatabox(&["evaluate", "model", "--masks", masks]);
        seen.fails(1, &[name, "expected `AAAAAT`, got `AAAAAC`", "hint: "]);
        shell.write(&format!("model/{name}"), &right);
        assert_eq!(by_tatabox(&shell, "model", masks)["loss"], loss, "{name}");
    }
}

#[test]
fn a_model_without_a_vocabulary_is_evaluated_if_its_size_fits_the_masks() {
    let shell = Shell::new();
    let genome = shell.genome();
    let golden = |name: &str| project().join("crates/tatabox/tests/golden").join(name).display().to_string();
    for (length, masks) in [("40", "fitting.jsonl"), ("128", "long.jsonl")] {
        let length = format!("data.max_length={length}");
        let args =
            ["mask", "freeze", &genome, "--set", "tokenizer.k=3", "--set", &length, "--sequences", "4", "-o", masks];
        shell.works(&args);
    }
    let loss = by_tatabox(&shell, &golden("bert-3mer"), "fitting.jsonl")["loss"].as_f64().unwrap();
    assert!((3.0..9.0).contains(&loss), "{loss}");
    let other = golden("bert-odd");
    shell
        .tatabox(&["evaluate", &other, "--masks", "fitting.jsonl"])
        .fails(1, &["fitting.jsonl", "expected ids of a vocabulary of 261", "got one of 69", "hint: ", "tokenizer.k"]);
    let short = golden("bert-3mer");
    shell
        .tatabox(&["evaluate", &short, "--masks", "long.jsonl"])
        .fails(1, &["long.jsonl", "expected sequences of at most 40 tokens", "got 128", "hint: ", "data.max_length"]);
}
