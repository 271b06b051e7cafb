//! `tatabox inspect`: what a run is, and how far it is.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tatabox::checkpoint::{Best, Checkpoints, State};
use tatabox::config::BertConfig;
use tatabox::dataset::Dataset;
use tatabox::finetune::Standing;
use tatabox::metrics::{self, Line};
use tatabox::recipe::RunConfig;
use tatabox::run::{CONFIG, DATASET, FINETUNE, METRICS};

use crate::{scores, ui};

/// Show what a run is: its configuration, its data, its losses, its checkpoints
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run directory
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// What is known of a run; the object that `--json` prints.
#[derive(Debug, Serialize)]
struct Inspection {
    run: PathBuf,
    /// Steps done, as far as a complete checkpoint holds them.
    step: u64,
    steps: u64,
    finished: bool,
    parameters: u64,
    /// Tokens seen up to that step.
    tokens: u64,
    /// The share of tokens that was masked up to that step.
    mask_rate: Option<f64>,
    /// Nats a masked token, at the last line of the log.
    training_loss: Option<f64>,
    /// Held-out nats a masked token at the last measurement.
    loss: Option<f64>,
    best: Option<Best>,
    checkpoints: Vec<Checkpoint>,
    model: BertConfig,
    config: RunConfig,
    dataset: Dataset,
}

/// A checkpoint of a run.
#[derive(Debug, Serialize)]
struct Checkpoint {
    step: u64,
    path: PathBuf,
    /// What is wrong with it, if it is torn.
    torn: Option<String>,
}

/// Prints.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.run.join(FINETUNE).is_file() {
        let standing = Standing::of(&args.run)?;
        return if args.json { ui::print_json(&standing) } else { ui::print(fine_tuning(&standing)) };
    }
    let inspection = look(&args.run)?;
    if args.json { ui::print_json(&inspection) } else { ui::print(text(&inspection)) }
}

/// Reads a run without touching it, even while it is at work.
fn look(run: &Path) -> anyhow::Result<Inspection> {
    if !run.join(CONFIG).is_file() {
        let what = if run.exists() { "is no run: it has no `config.toml`" } else { "does not exist" };
        let hint = "give the directory that `tatabox pretrain genome.fa -o DIR` made".to_string();
        return Err(tatabox::Error::Directory { path: run.to_path_buf(), what: what.to_string(), hint }.into());
    }
    let config = RunConfig::stored(tatabox::settings::Settings::read(&run.join(CONFIG))?)?;
    let model = config.bert()?;
    let folder = Checkpoints::new(run.join("checkpoints"));
    let mut state = None;
    let mut checkpoints = Vec::new();
    for step in folder.steps()? {
        let torn = match folder.verify(step) {
            Ok(found) => {
                state.get_or_insert(found);
                None
            }
            Err(why) => Some(why),
        };
        checkpoints.push(Checkpoint { step, path: folder.path(step), torn });
    }
    let state: State = state.unwrap_or_default();
    let lines = metrics::read(&run.join(METRICS))?;
    let losses = |held_out: bool| {
        lines.iter().rev().find_map(|line| match line {
            Line::Evaluation { loss, .. } if held_out => Some(*loss),
            Line::Train { loss, .. } if !held_out => *loss,
            _ => None,
        })
    };
    let finite = |value: f64| value.is_finite().then_some(value);
    Ok(Inspection {
        run: run.to_path_buf(),
        step: state.step,
        steps: config.train.steps,
        finished: state.step >= config.train.steps,
        parameters: model.parameters(),
        tokens: state.total.tokens,
        mask_rate: finite(state.total.mask_rate()),
        training_loss: losses(false),
        loss: losses(true),
        best: state.best,
        checkpoints,
        model,
        dataset: Dataset::read(&run.join(DATASET))?,
        config,
    })
}

fn fine_tuning(run: &Standing) -> String {
    let Standing { record, epochs, .. } = run;
    let parts: Vec<String> =
        run.dataset.splits.iter().map(|split| format!("{} {}", ui::count(split.records), split.name)).collect();
    let best = epochs.iter().rev().find(|epoch| epoch.best);
    let loss = best.and_then(|best| best.dev_loss).map_or(String::new(), |loss| format!(", dev loss {loss:.4}"));
    let of = record.config.train.epochs;
    let done = if run.result.is_some() { "complete" } else { "not complete" };
    let epochs = format!("{} of {of}, {done}; the best is {}{loss}", epochs.len(), best.map_or(0, |best| best.epoch));
    let mut rows = vec![
        ("run", run.run.display().to_string()),
        ("task", format!("{}: {}", record.task, record.outputs.join(", "))),
        ("encoder", record.model.display().to_string()),
        ("examples", parts.join(", ")),
        ("epochs", epochs),
    ];
    if let Some(test) = run.result.as_ref().and_then(|result| result.test.as_ref()) {
        let metrics: Vec<String> =
            test.metrics.iter().map(|(metric, of)| format!("{} {:.4}", metric.title(), of.value)).collect();
        rows.push(("test", metrics.join(", ")));
    }
    ui::pairs(&rows)
}

fn text(run: &Inspection) -> String {
    let (model, config, data) = (&run.config.model, &run.config, &run.dataset);
    let mask_rate =
        run.mask_rate.map_or(String::new(), |rate| format!(", {:.2} % of the tokens measured", 100.0 * rate));
    let files: Vec<&str> = data.genome.files.iter().map(|file| file.path.as_str()).collect();
    let held_out = if data.held_out.is_empty() { "nothing".to_string() } else { data.held_out.join(", ") };
    let init = data.init.as_ref().map_or("fresh weights".to_string(), ToString::to_string);
    let mut rows = vec![
        ("run", run.run.display().to_string()),
        ("began with", init),
        (
            "step",
            format!(
                "{} of {}, {} tokens seen",
                ui::count(run.step),
                ui::count(run.steps),
                ui::short(run.tokens as f64)
            ),
        ),
    ];
    rows.extend(scores::losses(run.training_loss, run.loss, run.best, &data.baseline_losses()));
    rows.extend([
        (
            "model",
            format!(
                "{}: {} layers x {}, {} heads, {} parameters",
                model.preset,
                model.num_hidden_layers,
                model.hidden_size,
                model.num_attention_heads,
                ui::count(run.parameters)
            ),
        ),
        (
            "tokens",
            format!(
                "{} of {} bases, stride {}, at most {} a sample",
                config.tokenizer.kind, config.tokenizer.k, config.tokenizer.stride, config.data.max_length
            ),
        ),
        ("masks", format!("{}, {} asked for{mask_rate}", config.mask.described(), config.mask.mask_rate)),
        ("precision", config.train.precision.clone()),
        ("seed", config.seed.to_string()),
        (
            "genome",
            format!(
                "{}: {} bases in {}, {:.2} % N",
                files.join(", "),
                ui::count(data.genome.bases()),
                ui::counted(data.genome.contigs.len() as u64, "contig"),
                100.0 * data.n_share
            ),
        ),
        ("held out", held_out),
    ]);
    rows.extend(run.checkpoints.iter().map(|checkpoint| {
        let torn = checkpoint.torn.as_ref().map_or(String::new(), |why| format!("  torn: {why}"));
        let best = if run.best.is_some_and(|best| best.step == checkpoint.step) { "  best" } else { "" };
        ("checkpoint", format!("{}{best}{torn}", checkpoint.path.display()))
    }));
    ui::pairs(&rows)
}
