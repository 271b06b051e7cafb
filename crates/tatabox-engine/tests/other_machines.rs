//! Machines that this one is not: older processors by QEMU's user-mode emulation, and each kernel path by its name in `TATABOX_CPU`.
//!
//! This program runs itself again, as another machine would, and reads what [`trains_a_small_model_and_tells`] prints there.

mod twin;

use std::process::Command;
use tatabox_engine::{AdamW, Capacity, Executor, Isa, Mode, Precision, StepKey};
use twin::emulated::skipped;
use twin::model::{Sizes, batch, bert};

const SIZES: Sizes = Sizes { vocabulary: 30, positions: 40, heads: 2, dim: 9, inner: 35, layers: 1, dropout: 0.1 };

/// The instruction sets of this machine.
fn isas() -> impl DoubleEndedIterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

/// Losses of ten steps on one batch.
fn train(precision: Precision) -> tatabox_engine::Result<Vec<f64>> {
    let batch = batch(SIZES, &[17, 1, 30], 3);
    let capacity = Capacity { tokens: 48, masked: batch.labels.len(), sequences: 0 };
    let mut executor = Executor::new(bert(SIZES).graph, capacity, precision, Mode::Train)?;
    executor.initialize(1);
    (1..=10)
        .map(|step| {
            executor.zero_gradients();
            let scale = 1.0 / batch.labels.len() as f32;
            let loss = executor.forward_backward(&batch, StepKey { seed: 1, step, micro_step: 0 }, scale)?;
            let adamw = AdamW {
                lr: 3e-3,
                beta1: 0.9,
                beta2: 0.98,
                eps: 1e-6,
                weight_decay: 0.01,
                max_grad_norm: Some(1.0),
                step,
            };
            executor.optimizer_step(&adamw);
            Ok(loss * f64::from(scale))
        })
        .collect()
}

#[test]
fn trains_a_small_model_and_tells() {
    match (Isa::detect(), train(Precision::F32), train(Precision::Bf16)) {
        (Ok(isa), Ok(single), Ok(half)) => {
            assert!(
                single[9] < 0.9 * single[0] && half[9] < 0.9 * half[0],
                "{isa:?} does not learn: {single:?} {half:?}"
            );
            println!("isa: {}", isa.name());
            println!("losses: {}", [single, half].concat().iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
        }
        (Err(error), Err(of_executor), _) => {
            assert_eq!(error, of_executor);
            println!("error: {error}");
        }
        other => panic!("the instruction set and the executor disagree: {other:?}"),
    }
}

/// What the small model says elsewhere.
#[derive(Debug)]
struct Told {
    isa: String,
    losses: Vec<f64>,
}

/// Runs the test above in a process of its own and returns the line that starts with `key`, and all of the output.
fn ask(mut command: Command) -> impl Fn(&str) -> String {
    let output = command.args(["--exact", "trains_a_small_model_and_tells", "--nocapture"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}:\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    move |key| {
        let line = text.lines().find_map(|line| line.split_once(key));
        line.unwrap_or_else(|| panic!("{command:?} prints no `{key}`:\n{text}")).1.trim().to_owned()
    }
}

fn told(command: Command) -> Told {
    let line = ask(command);
    Told { isa: line("isa:"), losses: line("losses:").split(' ').map(|loss| loss.parse().unwrap()).collect() }
}

/// This program, with the fastest kernels or those of one name.
fn this_machine(forced: Option<&str>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env_remove("TATABOX_CPU");
    if let Some(name) = forced {
        command.env("TATABOX_CPU", name);
    }
    command
}

/// Ten steps in f32, then ten in bf16.
fn assert_near(one: &Told, other: &Told) {
    assert_eq!(one.losses.len(), 20, "{one:?}");
    for (index, (a, b)) in one.losses.iter().zip(&other.losses).enumerate() {
        let tolerance = if index < 10 { 1e-4 } else { 2e-2 };
        assert!((a / b - 1.0).abs() < tolerance, "loss {index}\n{one:?}\n{other:?}");
    }
}

#[test]
fn every_path_of_this_machine_learns_the_same() {
    let fastest = told(this_machine(None));
    assert_eq!(fastest.isa, isas().next_back().unwrap().name());
    for isa in isas() {
        let forced = told(this_machine(Some(isa.name())));
        assert_eq!(forced.isa, isa.name());
        assert_near(&forced, &fastest);
    }
}

#[test]
fn a_path_that_is_not_there_is_refused_with_a_list_of_those_that_are() {
    let offered = isas().map(Isa::name).collect::<Vec<_>>().join(", ");
    let missing = Isa::ALL.into_iter().filter(|isa| !isa.is_available()).map(Isa::name);
    for name in missing.chain(["sse9", "AVX2", ""]) {
        let error = ask(this_machine(Some(name)))("error:");
        assert_eq!(error, format!("TATABOX_CPU is `{name}`, but this machine offers: {offered}"));
    }
}

#[test]
fn older_processors_find_their_kernels_and_learn_the_same() {
    const QEMU: &str = "qemu-x86_64";
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) || cfg!(target_feature = "avx") {
        return skipped("needs a program built for any x86-64 that runs Linux");
    }
    if Command::new(QEMU).arg("--version").output().is_err() {
        return skipped(&format!("no {QEMU} (Debian: apt-get install qemu-user)"));
    }
    let fastest = told(this_machine(None));
    // Before AVX; with AVX but neither AVX2 nor fused multiply-add; with both.
    for (model, isa) in [("Nehalem", "portable"), ("SandyBridge", "portable"), ("Haswell", "avx2")] {
        let mut command = Command::new(QEMU);
        command.args(["-cpu", model]).arg(std::env::current_exe().unwrap()).env_remove("TATABOX_CPU");
        let there = told(command);
        assert_eq!(there.isa, isa, "{model}");
        assert_near(&there, &fastest);
    }
}
