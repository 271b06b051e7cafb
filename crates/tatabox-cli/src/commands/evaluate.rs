//! `tatabox evaluate`: held-out loss on frozen masks, beside what can be guessed without a model.

use std::path::PathBuf;

use anyhow::Context;
use tatabox::evaluate::{Request, evaluate};
use tatabox_core::corpus::Holdout;
use tatabox_core::score::Scores;
use tatabox_engine::Precision;

use crate::settings::Settings;
use crate::{scores, ui};

/// Measure the held-out loss of a run, or of any Hugging Face BERT, on frozen masks
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run, or a directory written by transformers
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Frozen masks, from `tatabox mask freeze`
    #[arg(long, value_name = "FILE")]
    pub masks: PathBuf,
    /// The genome that the baselines count [default: the run's own]
    #[arg(long, value_name = "GENOME")]
    pub genome: Vec<PathBuf>,
    /// What the baselines leave out of that genome: auto, none, or contigs and regions (chrI,chrII:1001-2000)
    #[arg(long, value_name = "REGIONS", default_value = "auto", requires = "genome")]
    pub holdout: String,
    /// How matrix products are computed; f32 gives the numbers of transformers
    #[arg(long, value_name = "PRECISION", value_enum, default_value_t = PrecisionArg::F32)]
    pub precision: PrecisionArg,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// The precision of the engine, on a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PrecisionArg {
    F32,
    Bf16,
}

impl From<PrecisionArg> for Precision {
    fn from(given: PrecisionArg) -> Self {
        match given {
            PrecisionArg::F32 => Precision::F32,
            PrecisionArg::Bf16 => Precision::Bf16,
        }
    }
}

/// Evaluates and prints.
pub fn run(args: &Args, settings: &Settings) -> anyhow::Result<()> {
    let genome = match args.genome.as_slice() {
        [] => None,
        inputs => Some(settings.genome(inputs)?),
    };
    let Ok(holdout) = args.holdout.parse::<Holdout>();
    let request = Request {
        model: &args.model,
        masks: &args.masks,
        precision: args.precision.into(),
        genome,
        holdout,
        cache: &settings.cache,
    };
    let spinner = ui::spinner(format!("evaluating `{}`", args.model.display()));
    let result = evaluate(request);
    spinner.finish_and_clear();
    let evaluation = result
        .with_context(|| format!("could not evaluate `{}` on `{}`", args.model.display(), args.masks.display()))?;
    evaluation.notes.iter().for_each(|note| ui::say(format!("note: {note}")));
    if args.json {
        return ui::print_json(&evaluation);
    }
    let step = evaluation.step.map_or(String::new(), |step| format!(" at step {}", ui::count(step)));
    let mut rows: Vec<(String, &Scores)> = vec![(evaluation.model.clone(), &evaluation.scores)];
    rows.extend(evaluation.baselines.iter().rev().map(|baseline| (baseline.name.clone(), &baseline.scores)));
    ui::print(format!(
        "{}{step} on the {} sequences of {}: {} masked tokens, {} tokens/s\n\n{}",
        evaluation.model,
        ui::count(evaluation.sequences as u64),
        args.masks.display(),
        ui::count(evaluation.scores.overall.masked_tokens),
        ui::short(evaluation.tokens_per_second),
        scores::tables(&rows),
    ))
}
