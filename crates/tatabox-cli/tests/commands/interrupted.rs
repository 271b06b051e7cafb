//! Runs that are stopped, killed, torn: each goes on, and ends with the bytes of a run that nobody touched.

use std::fs;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::shell::{QUICK, Shell, TATABOX, end, recipe, signal};

/// Starts a quick run, or goes on with it where it was begun, and does not wait for it.
fn start(shell: &Shell, run: &str) -> Child {
    let smoke = recipe("smoke.toml");
    let mut command = shell.command(TATABOX);
    if shell.path(run).join("config.toml").exists() {
        command.args(["pretrain", "--resume", run]);
    } else {
        command.args(["pretrain", "sim/genome.fa", "--recipe", &smoke, "-o", run]).args(QUICK);
    }
    command.spawn().unwrap()
}

/// Waits until the run has written a line of metrics.
fn wait_for_a_step(shell: &Shell, run: &str) {
    let metrics = shell.path(run).join("metrics.jsonl");
    let patience = Instant::now();
    while !fs::metadata(&metrics).is_ok_and(|file| file.len() > 0) {
        assert!(patience.elapsed() < Duration::from_secs(120), "the run did not begin");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn killed_at_any_moment_a_run_ends_with_the_same_bytes() {
    let shell = Shell::new();
    shell.genome();
    let begun = Instant::now();
    shell.quick_run("whole");
    let whole = begun.elapsed();
    for (round, fractions) in [[0.1, 0.6, 0.3], [0.45, 0.2, 0.8], [0.3, 0.5, 0.05]].iter().enumerate() {
        let run = format!("killed{round}");
        for fraction in fractions {
            let mut child = start(&shell, &run);
            sleep(whole.mul_f64(*fraction));
            // It may have ended before; then there is nothing to kill.
            let _ = child.kill();
            child.wait().unwrap();
        }
        let last = end(start(&shell, &run));
        assert_eq!(last.code, 0, "{last:#?}");
        for file in ["model.safetensors", "state.safetensors", "config.json", "vocab.txt"] {
            assert!(
                shell.bytes(&format!("whole/{file}")) == shell.bytes(&format!("{run}/{file}")),
                "{run}: {file} differs"
            );
        }
    }
}

#[test]
fn sigterm_and_sigint_save_and_say_how_to_go_on() {
    let shell = Shell::new();
    shell.genome();
    shell.quick_run("whole");
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let run = format!("stopped-{name}");
        let child = start(&shell, &run);
        wait_for_a_step(&shell, &run);
        signal(&child, name);
        let seen = end(child);
        // On a fast machine the run may have been over before the signal came.
        if seen.code != 0 {
            assert_eq!(seen.code, code, "{seen:#?}");
            assert!(seen.stderr.contains(&format!("tatabox pretrain --resume {run}")), "{seen:#?}");
            assert!(!shell.checkpoints(&run).is_empty());
        }
        shell.works(&["pretrain", "--resume", &run]);
        assert!(shell.bytes("whole/model.safetensors") == shell.bytes(&format!("{run}/model.safetensors")), "{name}");
    }
}

#[test]
fn a_torn_checkpoint_is_passed_over_and_nothing_is_lost() {
    let shell = Shell::new();
    shell.quick_run("run");
    let whole = shell.bytes("run/model.safetensors");
    for file in ["state.safetensors", "model.safetensors", "state.json"] {
        let newest = *shell.checkpoints("run").last().unwrap();
        let path = shell.path(&format!("run/checkpoints/step-{newest}/{file}"));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let seen = shell.tatabox(&["pretrain", "--resume", "run"]);
        assert_eq!(seen.code, 0, "{file}: {seen:#?}");
        assert!(seen.stderr.contains(&format!("step-{newest}")), "{file}: {seen:#?}");
        assert!(shell.bytes("run/model.safetensors") == whole, "{file}");
    }
}

#[test]
fn a_run_whose_checkpoints_are_all_torn_is_refused_and_kept() {
    let shell = Shell::new();
    shell.quick_run("run");
    for step in shell.checkpoints("run") {
        fs::write(shell.path(&format!("run/checkpoints/step-{step}/state.safetensors")), "torn").unwrap();
    }
    shell.tatabox(&["pretrain", "--resume", "run"]).fails(1, &["run", "expected", "got", "hint: "]);
    assert!(shell.path("run/config.toml").is_file());
}

#[test]
fn a_finished_run_is_left_as_it_is() {
    let shell = Shell::new();
    shell.quick_run("run");
    let before = (shell.files(), shell.bytes("run/model.safetensors"), shell.bytes("run/metrics.jsonl"));
    let seen = shell.tatabox(&["pretrain", "--resume", "run"]);
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert!(seen.stderr.contains("complete"), "{seen:#?}");
    let json = shell.json(&["pretrain", "--resume", "run", "--json"]);
    let lines = String::from_utf8(before.2.clone()).unwrap();
    let last = lines.lines().rfind(|line| line.contains("\"evaluation\"")).unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!((&json["finished"], &json["step"], &json["loss"]), (&true.into(), &json["steps"], &last["loss"]));
    assert!(json["flops_per_token"].as_f64().unwrap() > 0.0, "{json}");
    assert_eq!(before, (shell.files(), shell.bytes("run/model.safetensors"), shell.bytes("run/metrics.jsonl")));
}
