//! Whole commands on a GPU: an emulated one, so that they run everywhere (where there is a C++ compiler).

#[path = "../../../tatabox-engine/tests/cuda/emulated/mod.rs"]
#[allow(dead_code, reason = "the tests of the engine use the rest")]
mod emulated;

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::shell::{Shell, TATABOX, project, seen};

/// A command that finds the emulated card.
fn on_gpu(shell: &Shell) -> Option<Command> {
    let places = emulated::places()?;
    let mut command = shell.command(TATABOX);
    command.env("TATABOX_CUDA_LIBRARIES", &places.libraries[0]);
    Some(command)
}

/// Step and loss of each line of the log.
fn losses(shell: &Shell, run: &str) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(shell.path(run).join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let training = lines.filter(|line| line["kind"] == "train");
    training.map(|line| (line["step"].as_u64().unwrap(), line["loss"].as_f64().unwrap())).collect()
}

#[test]
fn a_run_on_a_gpu_loses_what_it_loses_on_the_processor() {
    let shell = Shell::new();
    let Some(mut command) = on_gpu(&shell) else { return };
    let genome = shell.genome();
    let recipe = project().join("recipes/smoke.toml").display().to_string();
    let common = ["pretrain", &genome, "--recipe", &recipe, "--set", "train.steps=3", "--set", "train.batch_size=2"];
    let more = ["--set", "evaluate.sequences=2", "--set", "log.every=1"];
    let on = |device: &'static str, run: &'static str| {
        common.iter().chain(&more).copied().chain(["--device", device, "-o", run]).collect::<Vec<&str>>()
    };
    let seen = seen(command.args(on("cuda", "gpu")));
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert!(seen.stderr.contains("f32, cuda"), "{seen:#?}");
    shell.works(&on("cpu", "cpu"));
    let (there, here) = (losses(&shell, "gpu"), losses(&shell, "cpu"));
    assert_eq!(there.len(), 3);
    for ((step, there), (_, here)) in there.iter().zip(&here) {
        assert!((there - here).abs() < 1e-4, "step {step}: {there} on the GPU, {here} on the processor");
    }
}

#[test]
fn devices_are_listed_with_what_is_missing() {
    let shell = Shell::new();
    let none = shell.json(&["devices", "--json"]);
    assert_eq!(none["gpus"], Value::Array(vec![]));
    assert!(none["no_gpu"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{none}");
    let Some(mut command) = on_gpu(&shell) else { return };
    let seen = seen(command.args(["devices", "--json"]));
    let found: Value = serde_json::from_str(&seen.stdout).unwrap_or_else(|error| panic!("{error}: {seen:#?}"));
    assert_eq!(found["gpus"][0]["name"], "Emulated GPU");
    assert_eq!(found["gpus"][0]["trouble"], Value::Null);
}

#[test]
fn a_gpu_that_is_asked_for_and_not_there_is_an_error_with_a_hint() {
    let shell = Shell::new();
    let seen = shell.tatabox(&["--device", "cuda:7", "bench", "step", "--model", "tiny"]);
    assert_eq!(seen.code, 1, "{seen:#?}");
    assert!(seen.stderr.contains("error: ") && seen.stderr.contains("hint: "), "{seen:#?}");
    let wrong = shell.tatabox(&["--device", "gpu", "devices"]);
    assert_eq!(wrong.code, 2, "{wrong:#?}");
    assert!(wrong.stderr.contains("expected auto, cpu, cuda"), "{wrong:#?}");
}
