//! `tatabox demo`: everything once. A small genome with known truth, two models that differ only in their masks, one set of questions.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use tatabox::data;
use tatabox::evaluate::{Request as EvaluateRequest, evaluate};
use tatabox::observer::Outcome;
use tatabox::pretrain::{Request, resume, start};
use tatabox::recipe::RunConfig;
use tatabox::run::CONFIG;
use tatabox_core::corpus::Holdout;
use tatabox_core::genome::Genome;
use tatabox_core::score::Scores;
use tatabox_core::simulate::{self, SimulateConfig};
use tatabox_engine::Precision;

use crate::failure::Refusal;
use crate::progress::Words;
use crate::settings::Settings;
use crate::signals::Stop;
use crate::{scores, ui};

const RECIPE: &str = include_str!("../../../../recipes/demo.toml");
const STRATEGIES: [&str; 2] = ["kmer-span", "random-mask"];
/// Lines of the frozen masks.
const SEQUENCES: usize = 500;

/// Simulate a small genome, pretrain with two kinds of masks, and compare them: three minutes on two cores
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where everything goes
    #[arg(short, long, value_name = "DIR", default_value = "runs/demo")]
    pub output: PathBuf,
    /// Steps of each run [default: those of recipes/demo.toml]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: Option<u32>,
    /// Print one JSON object on stdout at the end
    #[arg(long)]
    pub json: bool,
}

/// Runs the demo, or what is left of it.
pub fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let stop = Stop::listen()?;
    check_place(&args.output)?;
    let genome = genome(args)?;
    let masks = args.output.join("frozen.jsonl");
    for (number, strategy) in (1..).zip(STRATEGIES) {
        ui::say(format!("\n{number}. pretrain with {strategy} masks"));
        let outcome = train(args, strategy, &genome, settings, &stop)?;
        if !outcome.finished {
            ui::say(format!("stopped and saved; go on with: tatabox demo -o {}", args.output.display()));
            return Ok(ExitCode::from(stop.exit_code()));
        }
    }
    if !masks.exists() {
        let config = RunConfig::resolve(recipe(args, STRATEGIES[0])?)?;
        let opened = Genome::open(std::slice::from_ref(&genome), &settings.cache)?;
        let mut frozen = data::freeze(&config, &opened, SEQUENCES)?;
        frozen.sequences.truncate(SEQUENCES);
        frozen.write(&masks)?;
    }
    ui::say(format!("\n3. evaluate both on the same {SEQUENCES} masked sequences of the held-out part\n"));
    let evaluations = STRATEGIES
        .iter()
        .map(|strategy| {
            evaluate(EvaluateRequest {
                model: &args.output.join(strategy),
                masks: &masks,
                precision: Precision::F32,
                genome: None,
                holdout: Holdout::Auto,
                cache: &settings.cache,
            })
        })
        .collect::<tatabox::Result<Vec<_>>>()
        .context("could not evaluate the runs of the demo")?;
    if args.json {
        let object =
            serde_json::json!({ "output": args.output, "genome": genome, "masks": masks, "evaluations": evaluations });
        ui::print_json(&object)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows: Vec<(String, &Scores)> = STRATEGIES
        .iter()
        .zip(&evaluations)
        .map(|(strategy, evaluation)| ((*strategy).to_string(), &evaluation.scores))
        .collect();
    rows.extend(evaluations[0].baselines.iter().rev().map(|baseline| (baseline.name.clone(), &baseline.scores)));
    ui::print(format!("{}\n{}", scores::tables(&rows), whereabouts(&args.output, &genome, &masks)))?;
    ui::say(format!("\ndone in {}", ui::duration(begun.elapsed().as_secs_f64())));
    Ok(ExitCode::SUCCESS)
}

/// The demo writes into an empty directory, or into one of its own.
fn check_place(output: &Path) -> anyhow::Result<()> {
    let mut entries = match std::fs::read_dir(output) {
        Ok(entries) => entries.flatten().peekable(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", output.display())),
    };
    // The genome comes first: a directory that was simulated, or that a killed demo was simulating.
    let genome = output.join("genome");
    if entries.peek().is_none() || genome.join("truth.json").is_file() || genome.join(simulate::MARK).is_file() {
        return Ok(());
    }
    let what = format!("`{}` is not empty and holds no demo", output.display());
    Err(Refusal::new(what, "choose another directory with `-o`").into())
}

/// The simulated genome's FASTA, made if it is not there yet.
fn genome(args: &Args) -> anyhow::Result<PathBuf> {
    let folder = args.output.join("genome");
    let fasta = folder.join("genome.fa");
    // `truth.json` is written last.
    if folder.join("truth.json").exists() {
        ui::say(format!("the genome of an earlier demo is there: {}", fasta.display()));
        return Ok(fasta);
    }
    let config = SimulateConfig { bases: 2_000_000, contigs: 4, seed: 1, ..SimulateConfig::default() };
    ui::say(format!("a genome of {} bases with known truth: {}", ui::count(config.bases), fasta.display()));
    simulate::write(&simulate::simulate(&config)?, &folder).context("could not write the simulated genome")?;
    Ok(fasta)
}

fn recipe(args: &Args, strategy: &str) -> anyhow::Result<tatabox::settings::Settings> {
    let mut settings = tatabox::settings::Settings::parse(RECIPE, "recipes/demo.toml")?;
    settings.set(&format!("mask.strategy={strategy}"))?;
    if let Some(steps) = args.steps {
        settings.set(&format!("train.steps={steps}"))?;
    }
    Ok(settings)
}

/// Refuses another number of steps than the demo that is there has.
fn check_steps(args: &Args, run: &Path) -> anyhow::Result<()> {
    let there = RunConfig::stored(tatabox::settings::Settings::read(&run.join(CONFIG))?)?.train.steps;
    match args.steps.map(u64::from) {
        Some(asked) if asked != there => {
            let what = format!("the demo in `{}` has {there} steps, not {asked}", args.output.display());
            Err(Refusal::new(what, "leave `--steps` away, or choose another directory with `-o`").into())
        }
        _ => Ok(()),
    }
}

/// Trains, goes on, or finds that it is done.
fn train(args: &Args, strategy: &str, genome: &Path, settings: &Settings, stop: &Stop) -> anyhow::Result<Outcome> {
    let run = args.output.join(strategy);
    let mut words = Words::new();
    if run.join(CONFIG).is_file() {
        check_steps(args, &run)?;
        return resume(&run, &settings.cache, &mut words, stop.flag())
            .with_context(|| format!("could not go on with the run `{}`", run.display()));
    }
    let opened = Genome::open(&[genome.to_path_buf()], &settings.cache)?;
    let request = Request { settings: recipe(args, strategy)?, genome: opened, output: &run, init: None };
    start(request, &mut words, stop.flag()).with_context(|| format!("could not pretrain into `{}`", run.display()))
}

fn whereabouts(output: &Path, genome: &Path, masks: &Path) -> String {
    let mut rows = vec![("genome", genome.display().to_string()), ("frozen masks", masks.display().to_string())];
    for strategy in STRATEGIES {
        let run = output.join(strategy);
        rows.push((strategy, format!("{}/  (report: {})", run.display(), run.join("report.html").display())));
    }
    ui::pairs(&rows)
}
