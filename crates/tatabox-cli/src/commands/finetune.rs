//! `tatabox finetune`: a pretrained encoder learns to answer a question about sequences.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use tatabox::finetune::{
    Epoch, FitObserver, FitPlan, FitProgress, Outcome, PRESETS, Pretrained, Request, Source, complete, resume, start,
};
use tatabox_core::labelled::Division;
use tatabox_core::report::{Renderer, Report, Text};

use super::data::{Form, division};
use crate::failure::Refusal;
use crate::settings::{RecipeArgs, Settings, names};
use crate::signals::Stop;
use crate::ui;

/// Fine-tune a pretrained model on labelled sequences, or go on with a fine-tuning
#[derive(Debug, clap::Args)]
#[command(mut_group("Form", |form| form.conflicts_with("resume")))]
pub struct Args {
    /// A run of `tatabox pretrain`, or a Hugging Face BERT with DNABERT's vocabulary
    #[arg(value_name = "RUN", required_unless_present_any = ["resume", "presets"], conflicts_with = "resume")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub labelled: Labelled,
    /// The percentage of train that becomes dev where there is none; 0: the last epoch counts
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=50), conflicts_with = "resume")]
    pub dev_share: u32,
    /// The run directory to make
    #[arg(short, long, value_name = "DIR", required_unless_present_any = ["resume", "presets"], conflicts_with = "resume")]
    pub output: Option<PathBuf>,
    /// Go on with this fine-tuning where it stopped
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "set", "preset"])]
    pub resume: Option<PathBuf>,
    /// Settings of a paper by name; --presets lists them
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// List the presets, their sources and values
    #[arg(long)]
    pub presets: bool,
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// How matrix products are computed: a short form of `--set train.precision=…`
    #[arg(long, value_name = "f32|bf16", conflicts_with = "resume")]
    pub precision: Option<String>,
    /// Begin with fresh weights instead of the model's: what is lost is what pretraining brought
    #[arg(long, conflicts_with = "resume")]
    pub from_scratch: bool,
    /// Print one JSON object on stdout at the end
    #[arg(long)]
    pub json: bool,
}

/// Labelled data and its parts. What is gone on with knows its own.
#[derive(Debug, clap::Args)]
pub struct Labelled {
    /// Labelled sequences: tables (CSV, TSV, JSON lines, Parquet), FASTA, BED, or folders of them; plain or gzip
    #[arg(long, value_name = "DATA", num_args = 1.., conflicts_with = "resume")]
    pub data: Vec<PathBuf>,
    #[command(flatten)]
    pub form: Form,
    /// Divide again: 90/10, 80/10/10, chromosome, chromosome:chr8,chr9 [default: the parts that the files name, else 80/10/10]
    #[arg(long, value_name = "HOW", value_parser = division, conflicts_with = "resume")]
    pub split: Option<Division>,
    /// The seed of these divisions
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "resume")]
    pub split_seed: u64,
    /// Learn from the dev part where there is no train part
    #[arg(long, conflicts_with = "resume")]
    pub learn_from_dev: bool,
}

impl Labelled {
    /// Where the data comes from; this percentage of train becomes dev where there is none.
    pub fn source(&self, dev_share: u32) -> Source {
        Source {
            data: self.data.clone(),
            task: self.form.task,
            sequence_columns: self.form.sequence_column.clone(),
            label_columns: self.form.label_column.clone(),
            genome: self.form.genome.clone(),
            split: self.split.as_ref().map(Division::to_string),
            dev_share,
            seed: self.split_seed,
            learn_from_dev: self.learn_from_dev,
        }
    }
}

/// Trains to the end or to a signal.
pub fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    if args.presets {
        ui::print(presets())?;
        return Ok(ExitCode::SUCCESS);
    }
    let stop = Stop::listen()?;
    let outcome = match (&args.resume, &args.model, &args.output) {
        (Some(run), ..) => {
            if complete(run).is_some() {
                ui::say(format!("`{}` is complete: nothing is left to do", run.display()));
            }
            resume(run, &settings.cache, &mut Words::new(), stop.flag())
                .with_context(|| format!("could not go on with the fine-tuning `{}`", run.display()))?
        }
        (None, Some(model), Some(output)) => begin(args, model, output, settings, &stop)?,
        _ => unreachable!("clap asks for them"),
    };
    if !outcome.finished {
        ui::say(format!("stopped and saved at step {} of {}", ui::count(outcome.step), ui::count(outcome.steps)));
        ui::say(format!("go on with: tatabox finetune --resume {}", outcome.run.display()));
    }
    if args.json {
        ui::print_json(&outcome)?;
    } else if outcome.finished {
        ui::print(summary(&outcome))?;
    }
    Ok(if outcome.finished { ExitCode::SUCCESS } else { ExitCode::from(stop.exit_code()) })
}

fn begin(args: &Args, model: &Path, output: &Path, settings: &Settings, stop: &Stop) -> anyhow::Result<Outcome> {
    tatabox::run::check_vacant(output)?;
    let mut recipe = args.recipe.read()?;
    if let Some(preset) = &args.preset {
        recipe.set(&format!("preset={preset}"))?;
    }
    if let Some(precision) = &args.precision {
        recipe.set(&format!("train.precision={precision}"))?;
    }
    if args.labelled.data.is_empty() {
        return Err(
            Refusal::new("there is no `--data` to learn from", "give labelled data: `--data promoters/`").into()
        );
    }
    let mut pretrained = Pretrained::open(model)?;
    if args.from_scratch {
        pretrained = pretrained.with_fresh_weights();
    }
    let config = pretrained.resolve(recipe)?;
    let source = args.labelled.source(args.dev_share);
    let what = names(&args.labelled.data);
    let spinner = ui::spinner(format!("reading {what}"));
    let read = source.read(&settings.cache);
    spinner.finish_and_clear();
    let (data, notes) = read.with_context(|| format!("could not read the labelled data {what}"))?;
    for note in pretrained.notes.iter().chain(&notes) {
        ui::say(format!("note: {note}"));
    }
    let request = Request { pretrained: &pretrained, config, data: &data, source, output };
    start(request, &mut Words::new(), stop.flag())
        .with_context(|| format!("could not fine-tune `{}` on {what} into `{}`", model.display(), output.display()))
}

/// Fine-tuning keys of a recipe, of `--set` and of a preset, as `key=value`.
pub fn keys(recipe: &RecipeArgs, preset: Option<&str>) -> anyhow::Result<Vec<String>> {
    let mut given = recipe.read()?;
    if let Some(preset) = preset {
        given.set(&format!("preset={preset}"))?;
    }
    Ok(given.given().map(|(key, value)| format!("{key}={value}")).collect())
}

fn presets() -> String {
    let rows: Vec<Vec<String>> = PRESETS
        .iter()
        .map(|preset| {
            let values: Vec<String> = preset.values.iter().map(|(key, value)| format!("{key}={value}")).collect();
            vec![preset.name.to_string(), preset.source.to_string(), values.join(" ")]
        })
        .collect();
    ui::table(&["preset", "source", "values"], &rows)
}

fn summary(outcome: &Outcome) -> String {
    let best = outcome.best_epoch.and_then(|best| outcome.epochs.get(best as usize - 1));
    let dev = best.and_then(|best| best.dev_loss).map_or(String::new(), |loss| format!(", dev loss {loss:.4}"));
    let mut text = ui::pairs(&[
        ("run", outcome.run.display().to_string()),
        ("epochs", format!("{}, the best is {}{dev}", outcome.epochs.len(), outcome.best_epoch.unwrap_or(0))),
        ("speed", format!("{} examples/s", ui::short(outcome.examples_per_second))),
    ]);
    if outcome.collapsed {
        text.push_str("\nThe model COLLAPSED: it answers the same to everything it learnt from. Lower `train.learning_rate`, or train more epochs.\n");
    }
    if let Some((part, found)) =
        (outcome.test.as_ref().map(|found| ("test", found))).or(outcome.dev.as_ref().map(|found| ("dev", found)))
    {
        let report = Report { title: String::new(), subtitle: String::new(), sections: found.tables(part) };
        text.push_str(&Text.render(&report));
    }
    text
}

/// Tells a fine-tuning on stderr. The bar is there on a terminal only; the lines are always.
struct Words {
    bar: ProgressBar,
}

impl Words {
    fn new() -> Self {
        Self { bar: ProgressBar::hidden() }
    }
}

impl FitObserver for Words {
    fn planned(&mut self, plan: &FitPlan) {
        let (all, learning) = plan.parameters;
        let windows = match plan.longest.1 {
            1 => String::new(),
            windows => format!(" in {windows} windows"),
        };
        ui::say(
            ui::pairs(&[
                (
                    "model",
                    format!("{} parameters, {} of them learn", ui::short(all as f64), ui::short(learning as f64)),
                ),
                (
                    "examples",
                    format!(
                        "{} to learn from, {} to choose on; the longest has {} tokens{windows}",
                        ui::count(plan.examples.0),
                        ui::count(plan.examples.1),
                        ui::count(plan.longest.0),
                    ),
                ),
                (
                    "steps",
                    format!("{}, {} an epoch, {}", ui::count(plan.steps.1), ui::count(plan.steps.0), plan.precision),
                ),
                ("memory", ui::bytes(plan.memory_bytes)),
            ])
            .trim_end(),
        );
        let style = ProgressStyle::with_template("{bar:30.cyan} {percent:>3} %  {msg}  {eta} left")
            .expect("the template is a constant");
        self.bar = ProgressBar::new(plan.steps.1).with_style(style.progress_chars("━╸─"));
    }

    fn message(&mut self, text: &str) {
        self.bar.suspend(|| ui::say(format!("note: {text}")));
    }

    fn step(&mut self, progress: &FitProgress) {
        self.bar.set_position(progress.step);
        self.bar.set_message(format!("loss {:.4}  {:.0} examples/s", progress.loss, progress.examples_per_second));
        if progress.step == progress.steps {
            self.bar.finish_and_clear();
        }
    }

    fn epoch(&mut self, epoch: &Epoch) {
        let dev = epoch.dev_loss.map_or(String::new(), |loss| format!("  dev {loss:.4}"));
        let right = epoch.dev_accuracy.map_or(String::new(), |right| format!("  {:.2} % right", 100.0 * right));
        let best = if epoch.best && epoch.dev_loss.is_some() { "  best" } else { "" };
        let words = format!("epoch {:>4}  training {:.4}{dev}{right}{best}", epoch.epoch, epoch.train_loss);
        self.bar.suspend(|| ui::say(words));
    }
}
