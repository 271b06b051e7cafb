//! Fine-tuning and prediction, Tatabox against the Trainer of transformers on the same machine, in one run, as ratios.
//!
//! `cargo run --release -p tatabox-benches --bin finetune -- --help` lists the options.
//!
//! Promoter-like sequences of 300 bases, 32 a step, in two classes; the model has fresh weights. Rounds alternate between the sides; each side is one process with
//! nothing else running, all cores; a figure is the median of its rounds. Both sides read sequences that are tokenised (theirs) or tokenise on the way (ours).

#![expect(clippy::disallowed_methods, reason = "files in a temporary folder, of use to this process alone")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::{Value, json};
use tatabox::finetune::{Classifier, Fit, FitObserver, FitProgress, Pretrained, Query, Request, Source, start};
use tatabox::learner::Lesson;
use tatabox::settings::Settings;
use tatabox_benches::{environment, positive};
use tatabox_core::labelled::{Example, Labelled};
use tatabox_core::rng::{Purpose, SeededRng};
use tatabox_engine::Precision;

/// Bases of a sequence: DNABERT's and GUE's promoters.
const BASES: usize = 300;
/// Examples a step.
const BATCH: usize = 32;
/// Steps before the clock starts.
const WARMUP: usize = 2;

/// The Trainer's configurations that compete.
const PEERS: &[&[&str]] = &[
    &["--precision", "f32", "--attention", "eager"],
    &["--precision", "f32", "--attention", "sdpa", "--malloc", "tuned"],
    &["--precision", "bf16", "--attention", "eager", "--malloc", "tuned"],
    &["--precision", "bf16", "--attention", "sdpa", "--malloc", "tuned"],
];

/// Fine-tuning and prediction against the Trainer of transformers.
#[derive(clap::Parser)]
struct Options {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Only this model: `bert-mini` or `dnabert`
    #[arg(long, default_value = "")]
    only: String,
    /// How often the two sides take turns
    #[arg(long, default_value_t = 2, value_parser = positive)]
    rounds: usize,
    /// Timed steps in a round
    #[arg(long, default_value_t = 6, value_parser = positive)]
    steps: usize,
    /// Examples that are predicted
    #[arg(long, default_value_t = 256, value_parser = positive)]
    examples: usize,
}

/// The time of each step.
#[derive(Default)]
struct Clock(Vec<Instant>);

impl FitObserver for Clock {
    fn step(&mut self, _: &FitProgress) {
        self.0.push(Instant::now());
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository's root")?;
    let python = environment(root)?;
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data.csv");
    write_data(&data, options.examples.max(BATCH * (options.steps + WARMUP + 1)))?;
    let mut rows = Vec::new();
    for preset in ["bert-mini", "dnabert"].into_iter().filter(|preset| preset.contains(&options.only)) {
        let model = prepared(folder.path(), preset, &data)?;
        let row = measure(preset, &model, &data, &options, root, &python)?;
        if !options.json {
            print_row(&row);
        }
        rows.push(row);
    }
    if options.json {
        println!("{}", json!({ "models": rows }));
    }
    Ok(())
}

fn write_data(path: &Path, examples: usize) -> Result<()> {
    let mut text = "sequence,label\n".to_string();
    for example in 0..examples {
        let mut rng = SeededRng::new(1, Purpose::Test, 0, example as u64);
        text.extend((0..BASES).map(|_| char::from(b"ACGT"[rng.below(4) as usize])));
        text.push_str(if example % 2 == 0 { ",0\n" } else { ",1\n" });
    }
    std::fs::write(path, text).context("writing the data")
}

/// A classifier of fresh weights that both sides open: an encoder that was never trained, fine-tuned for one step.
fn prepared(folder: &Path, preset: &str, data: &Path) -> Result<PathBuf> {
    let (encoder, model) = (folder.join(preset), folder.join(format!("{preset}-classifier")));
    write_encoder(&encoder, preset)?;
    let pretrained = Pretrained::open(&encoder)?;
    let source = source(data);
    let (labelled, _) = source.read(folder)?;
    let config = config(&pretrained, "f32", 1)?;
    let request = Request { pretrained: &pretrained, config, data: &labelled, source, output: &model };
    start(request, &mut (), &AtomicBool::new(false))?;
    Ok(model)
}

/// An encoder of fresh weights as a Hugging Face directory.
fn write_encoder(folder: &Path, preset: &str) -> Result<()> {
    use tatabox::config::{BertConfig, Preset};
    use tatabox::models::bert::masked_lm;
    use tatabox::weights::{Tensor, write_weights};
    use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig};
    use tatabox_engine::{Capacity, Executor, Mode};
    let tokenizer = Tokenizer::new(TokenizerConfig::default())?;
    let preset = Preset::named(preset).context("a preset")?;
    let config = BertConfig::of_preset(preset, tokenizer.vocab_size(), 0);
    let capacity = Capacity { tokens: 8, masked: 8, sequences: 0 };
    let mut executor = Executor::new(masked_lm(&config)?, capacity, Precision::F32, Mode::Evaluate)?;
    executor.initialize(1);
    std::fs::create_dir(folder)?;
    std::fs::write(folder.join("config.json"), config.to_json())?;
    std::fs::write(folder.join("vocab.txt"), tokenizer.vocab_txt())?;
    let tensors: Vec<Tensor<'_>> = executor
        .specs()
        .iter()
        .enumerate()
        .map(|(index, spec)| Tensor { name: &spec.name, shape: &spec.shape, values: executor.param(index) })
        .collect();
    write_weights(&folder.join("model.safetensors"), &tensors)?;
    Ok(())
}

fn source(data: &Path) -> Source {
    Source {
        data: vec![data.to_path_buf()],
        task: None,
        sequence_columns: Vec::new(),
        label_columns: Vec::new(),
        genome: Vec::new(),
        split: Some("98/2".to_string()),
        learn_from_dev: false,
        dev_share: 0,
        seed: 0,
    }
}

fn config(pretrained: &Pretrained, precision: &str, steps: usize) -> Result<tatabox::finetune::FinetuneConfig> {
    let mut settings = Settings::empty();
    for assignment in [
        format!("train.precision={precision}"),
        format!("train.max_steps={steps}"),
        format!("train.batch_size={BATCH}"),
        "train.learning_rate=5e-5".to_string(),
    ] {
        settings.set(&assignment)?;
    }
    Ok(pretrained.resolve(settings)?)
}

/// Examples a second of ours: fine-tuning, prediction.
fn ours(model: &Path, data: &Labelled, precision: &str, options: &Options) -> Result<(f64, f64)> {
    let pretrained = Pretrained::open(model)?;
    let steps = WARMUP + options.steps + 1;
    let config = config(&pretrained, precision, steps)?;
    let train: Vec<&Example> = data.examples().collect();
    let lesson = Lesson { task: data.task, outputs: 2, train: &train, dev: &[], test: &[], seed: 1 };
    let mut clock = Clock::default();
    let stop = AtomicBool::new(false);
    let mut fit = Fit::new(&pretrained, &config, lesson)?;
    while !fit.is_done() {
        fit.go_on(&stop, &mut clock)?;
    }
    drop(fit);
    let mut seconds: Vec<f64> =
        clock.0[WARMUP..].windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs_f64()).collect();
    let precision = if precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let mut classifier = Classifier::open(model, precision)?;
    let queries: Vec<Query<'_>> = train.iter().map(|example| Query::from(*example)).collect();
    classifier.predict(&queries[..64.min(queries.len())])?;
    let start = Instant::now();
    classifier.predict(&queries)?;
    Ok((BATCH as f64 / median(&mut seconds), queries.len() as f64 / start.elapsed().as_secs_f64()))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(preset: &str, model: &Path, data: &Path, options: &Options, root: &Path, python: &Path) -> Result<Value> {
    let (labelled, _) = source(data).read(model)?;
    let mut speeds: Vec<(String, Vec<f64>, Vec<f64>)> = Vec::new();
    let mut add = |name: String, (tuned, predicted): (f64, f64)| match speeds.iter_mut().find(|one| one.0 == name) {
        Some((_, tunes, predictions)) => {
            tunes.push(tuned);
            predictions.push(predicted);
        }
        None => speeds.push((name, vec![tuned], vec![predicted])),
    };
    for round in 0..options.rounds {
        eprintln!("{preset}: round {} of {}", round + 1, options.rounds);
        for precision in ["f32", "bf16"] {
            add(format!("tatabox {precision}"), ours(model, &labelled, precision, options)?);
        }
        for arguments in PEERS {
            let mut command = Command::new(python);
            command.arg(root.join("benches/peers/finetune.py")).arg(model).arg(data).args(*arguments);
            command.args(["--batch", &BATCH.to_string(), "--steps", &options.steps.to_string()]);
            let output = command.output().context("running the peer")?;
            let text = String::from_utf8_lossy(&output.stdout);
            let last = text.lines().last().unwrap_or_default();
            let value: Value = serde_json::from_str(last)
                .with_context(|| format!("the peer said: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
            let of = |key: &str| value[key].as_f64().with_context(|| format!("`{key}` of the peer"));
            add(arguments.join(" "), (of("finetune")?, of("predict")?));
        }
    }
    let medians: Vec<(String, f64, f64)> =
        speeds.into_iter().map(|(name, mut a, mut b)| (name, median(&mut a), median(&mut b))).collect();
    let best = |ours: bool, which: fn(&(String, f64, f64)) -> f64| {
        let side = medians.iter().filter(|one| one.0.starts_with("tatabox") == ours);
        side.max_by(|a, b| which(a).total_cmp(&which(b))).map(|one| (one.0.clone(), which(one))).context("a side")
    };
    let (tuned, their_tuned) = (best(true, |one| one.1)?, best(false, |one| one.1)?);
    let (predicted, their_predicted) = (best(true, |one| one.2)?, best(false, |one| one.2)?);
    let default = medians.iter().find(|one| one.0 == PEERS[0].join(" ")).context("the default peer")?;
    Ok(json!({
        "model": preset,
        "finetune_ratio": tuned.1 / their_tuned.1,
        "finetune_ratio_to_default": tuned.1 / default.1,
        "finetune_best_peer": their_tuned.0,
        "predict_ratio": predicted.1 / their_predicted.1,
        "predict_ratio_to_default": predicted.1 / default.2,
        "predict_best_peer": their_predicted.0,
        "examples_per_second": medians.iter().map(|(name, a, b)| json!({"who": name, "finetune": a, "predict": b})).collect::<Vec<_>>(),
    }))
}

fn print_row(row: &Value) {
    println!("{}", row["model"].as_str().unwrap_or_default());
    for one in row["examples_per_second"].as_array().into_iter().flatten() {
        let number = |key: &str| one[key].as_f64().unwrap_or(f64::NAN);
        println!(
            "  {:60} {:>8.1} {:>8.1}",
            one["who"].as_str().unwrap_or_default(),
            number("finetune"),
            number("predict")
        );
    }
    let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
    println!(
        "  fine-tuning {:.2}x the best peer, {:.2}x the Trainer's default; prediction {:.2}x and {:.2}x",
        number("finetune_ratio"),
        number("finetune_ratio_to_default"),
        number("predict_ratio"),
        number("predict_ratio_to_default"),
    );
}
