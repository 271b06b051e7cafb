//! Does bf16 train as f32 does? The same small model on the same samples, in both precisions, once for each of some seeds; held-out losses on the same
//! frozen masks, measured in f32.
//!
//! `cargo run --release -p tatabox-benches --bin precision -- --help` lists the options.
//!
//! Without a genome, one of a million bases is simulated. Without a recipe: 2 layers x 128, 6-mers, 128 tokens, 1,000 steps of 4,096 tokens; `--set` changes a
//! key of either. A seed decides fresh weights, samples, masks and dropout, the same in both precisions, so each seed is also a pair. `--json` prints one
//! object: `losses` (`f32` and `bf16`, nats a masked token, seed by seed), `mean`, `deviation` (standard, between seeds), `difference` of the means,
//! `seed_spread` (the larger deviation), `within_spread`, and `uniform` (who knows nothing). Exit code 1 where the difference is larger than the spread.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::Parser;
use serde_json::json;
use tatabox::data::freeze;
use tatabox::evaluate::{self, evaluate};
use tatabox::pretrain::{self, start};
use tatabox::recipe::RunConfig;
use tatabox::settings::Settings;
use tatabox_core::corpus::Holdout;
use tatabox_core::genome::Genome;
use tatabox_core::mask::frozen::FrozenMasks;
use tatabox_core::simulate::{self, SimulateConfig};
use tatabox_engine::Precision;

const RECIPE: &str = r#"
[model]
preset = "tiny"
[data]
max_length = 128
[train]
steps = 1000
batch_tokens = 4096
learning_rate = 2e-3
warmup_ratio = 0.1
[checkpoint]
every = 1_000_000
"#;
/// Held-out windows, each under every evaluation mask.
const WINDOWS: usize = 200;
const PRECISIONS: [&str; 2] = ["f32", "bf16"];

/// Does bf16 train as f32 does?
#[derive(clap::Parser)]
struct Options {
    /// FASTA files; without one, a million bases are simulated
    genome: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Trainings in each precision; one has no spread
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..))]
    seeds: u64,
    /// What is trained, instead of this program's own recipe
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Change a key of the recipe
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Options {
    fn settings(&self) -> Result<Settings> {
        let mut settings = match &self.recipe {
            Some(path) => Settings::read(path)?,
            None => Settings::parse(RECIPE, "the recipe of this program")?,
        };
        self.set.iter().try_for_each(|assignment| settings.set(assignment))?;
        Ok(settings)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation of a sample.
fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// Trains a model and gives its held-out loss.
fn loss(settings: &Settings, precision: &str, seed: u64, genome: &Genome, masks: &Path, folder: &Path) -> Result<f64> {
    let mut settings = settings.clone();
    // Held-out loss is measured once, at the end, on masks that do not depend on the seed.
    for assignment in [format!("seed={seed}"), format!("train.precision={precision}"), "evaluate.sequences=0".into()] {
        settings.set(&assignment)?;
    }
    let output = folder.join(format!("{precision}-{seed}"));
    let request = pretrain::Request { settings, genome: genome.clone(), output: &output, init: None };
    let outcome = start(request, &mut (), &AtomicBool::new(false))?;
    let request = evaluate::Request {
        model: &output,
        masks,
        precision: Precision::F32,
        genome: None,
        holdout: Holdout::Auto,
        cache: &folder.join("cache"),
    };
    let loss = evaluate(request)?.loss;
    eprintln!("{precision} seed {seed}: {loss:.5} nats ({:.0} tokens/s)", outcome.tokens_per_second);
    std::fs::remove_dir_all(&output)?;
    Ok(loss)
}

fn main() -> Result<ExitCode> {
    let mut options = Options::parse();
    let settings = options.settings()?;
    let folder = tempfile::tempdir()?;
    if options.genome.is_empty() {
        let simulated = simulate::simulate(&SimulateConfig { bases: 1_000_000, seed: 1, ..SimulateConfig::default() })?;
        simulate::write(&simulated, folder.path())?;
        options.genome = vec![folder.path().join("genome.fa")];
    }
    let genome = Genome::open(&options.genome, &folder.path().join("cache"))?;
    let config = RunConfig::resolve(settings.clone())?;
    let masks = folder.path().join("frozen.jsonl");
    let frozen: FrozenMasks = freeze(&config, &genome, WINDOWS)?;
    frozen.write(&masks)?;

    let mut losses = [Vec::new(), Vec::new()];
    for seed in 1..=options.seeds {
        for (losses, precision) in losses.iter_mut().zip(PRECISIONS) {
            losses.push(loss(&settings, precision, seed, &genome, &masks, folder.path())?);
        }
    }
    let (means, deviations) = (losses.each_ref().map(|of| mean(of)), losses.each_ref().map(|of| deviation(of)));
    let (difference, spread) = (means[1] - means[0], deviations[0].max(deviations[1]));
    let within = difference.abs() <= spread;
    let uniform = f64::from(frozen.tokenizer.content_ids().len() as u32).ln();
    if options.json {
        let report = json!({
            "genome": options.genome, "steps": config.train.steps, "uniform": uniform,
            "losses": {"f32": losses[0], "bf16": losses[1]},
            "mean": {"f32": means[0], "bf16": means[1]},
            "deviation": {"f32": deviations[0], "bf16": deviations[1]},
            "difference": difference, "seed_spread": spread, "within_spread": within,
        });
        println!("{report}");
    } else {
        println!(
            "held-out nats a masked token after {} steps, {} seeds; who knows nothing: {uniform:.4}",
            config.train.steps, options.seeds
        );
        for (at, precision) in PRECISIONS.iter().enumerate() {
            println!("{precision:<5} mean {:.5}, deviation {:.5}: {:.5?}", means[at], deviations[at], losses[at]);
        }
        let verdict = if within { "within" } else { "beyond" };
        println!("bf16 - f32 = {difference:+.5}, {verdict} the spread of the seeds ({spread:.5})");
    }
    Ok(if within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
