//! `tatabox pretrain`: a model of a genome, from its FASTA file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use tatabox::observer::Outcome;
use tatabox::pretrain::{Request, complete, resume, start};
use tatabox::recipe::RunConfig;

use crate::progress::Words;
use crate::settings::{RecipeArgs, Settings, names};
use crate::signals::Stop;
use crate::{scores, ui};

/// Pretrain a model of a genome, or go on with a run
#[derive(Debug, clap::Args)]
pub struct Args {
    /// FASTA files (plain, gzip, bgzip; `-` is stdin), or one .2bit file
    #[arg(value_name = "GENOME", required_unless_present = "resume", conflicts_with = "resume")]
    pub genome: Vec<PathBuf>,
    /// The run directory to make
    #[arg(short, long, value_name = "DIR", required_unless_present = "resume", conflicts_with = "resume")]
    pub output: Option<PathBuf>,
    /// Go on with this run where it stopped, bit for bit
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "set"])]
    pub resume: Option<PathBuf>,
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// How matrix products are computed: a short form of `--set train.precision=…`
    #[arg(long, value_name = "f32|bf16", conflicts_with = "resume")]
    pub precision: Option<String>,
    /// Begin with the weights of this run or Hugging Face BERT instead of fresh ones
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub init: Option<PathBuf>,
    /// Print one JSON object on stdout at the end
    #[arg(long)]
    pub json: bool,
}

/// Trains to the end or to a signal.
pub fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    let stop = Stop::listen()?;
    let outcome = match (&args.resume, &args.output) {
        (Some(run), _) => match complete(run) {
            Some(outcome) => {
                ui::say(format!(
                    "`{}` is complete: all {} steps are done, and nothing is left to do",
                    run.display(),
                    ui::count(outcome.step)
                ));
                if args.json {
                    ui::print_json(&outcome)?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            None => resume(run, &settings.cache, &mut Words::new(), stop.flag())
                .with_context(|| format!("could not go on with the run `{}`", run.display()))?,
        },
        (None, Some(output)) => begin(args, output, settings, &stop)?,
        (None, None) => unreachable!("clap asks for one of them"),
    };
    if !outcome.finished {
        ui::say(format!("stopped and saved at step {} of {}", ui::count(outcome.step), ui::count(outcome.steps)));
        ui::say(format!("go on with: tatabox pretrain --resume {}", outcome.run.display()));
    }
    if args.json {
        ui::print_json(&outcome)?;
    } else if outcome.finished {
        ui::print(summary(&outcome))?;
    }
    if outcome.finished
        && let Some(note) = behind(&outcome)
    {
        ui::say(note);
    }
    Ok(if outcome.finished { ExitCode::SUCCESS } else { ExitCode::from(stop.exit_code()) })
}

fn begin(args: &Args, output: &Path, settings: &Settings, stop: &Stop) -> anyhow::Result<Outcome> {
    // All that can be known to be wrong is told before the genome is read, which may take minutes.
    tatabox::run::check_vacant(output)?;
    let mut recipe = args.recipe.read()?;
    if let Some(precision) = &args.precision {
        recipe.set(&format!("train.precision={precision}"))?;
    }
    RunConfig::resolve(recipe.clone())?;
    let genome = settings.genome(&args.genome)?;
    let request = Request { settings: recipe, genome, output, init: args.init.as_deref() };
    start(request, &mut Words::new(), stop.flag())
        .with_context(|| format!("could not pretrain on {} into `{}`", names(&args.genome), output.display()))
}

fn summary(outcome: &Outcome) -> String {
    let mut rows = vec![("run", outcome.run.display().to_string()), ("steps", ui::count(outcome.step))];
    rows.extend(scores::losses(outcome.training_loss, outcome.loss, outcome.best, &outcome.baselines));
    rows.push(("speed", format!("{} tokens/s", ui::short(outcome.tokens_per_second))));
    ui::pairs(&rows)
}

/// A word for a run whose model guesses worse than what needs no model: its loss says how far it is with learning to copy, and nothing of the genome.
fn behind(outcome: &Outcome) -> Option<String> {
    let loss = outcome.loss?;
    let ahead: Vec<String> = scores::sorted(&outcome.baselines)
        .into_iter()
        .filter(|(_, guessed)| *guessed < loss)
        .map(|(name, guessed)| format!("`{name}` ({guessed:.4})"))
        .collect();
    (!ahead.is_empty()).then(|| {
        format!(
            "note: the held-out loss is above what can be guessed without a model: {}. The model has to learn more before it is of use: more steps \
             (`--set train.steps=…`, now {}), or more tokens a step",
            ahead.join(", "),
            ui::count(outcome.steps)
        )
    })
}
