//! `tatabox mask`: freeze evaluation masks, and look at what a recipe's masks do.

use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;
use tatabox::data;
use tatabox::learned::{self, Learned};
use tatabox::recipe::RunConfig;
use tatabox_core::corpus::Part;
use tatabox_core::genome::Genome;
use tatabox_core::io::whole;
use tatabox_core::mask::inspect::{MaskReport, inspect as inspect_masks};
use tatabox_core::mask::{Lookup, MaskConfig, MaskStrategy, Rate, Strategy};
use tatabox_core::tokenizer::Tokenizer;

use crate::failure::Refusal;
use crate::settings::{RecipeArgs, Settings, check_one_on_stdout, check_output, names};
use crate::{mask_drawing, ui};

/// Freeze masks for evaluation, or look at the masks of a recipe
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    Freeze(FreezeArgs),
    Inspect(InspectArgs),
}

/// Freeze evaluation masks: drawn once from the held-out part, the same for every run that is compared
#[derive(Debug, clap::Args)]
pub struct FreezeArgs {
    /// FASTA files (plain, gzip, bgzip; `-` is stdin), or one .2bit file
    #[arg(value_name = "GENOME", required = true)]
    pub genome: Vec<PathBuf>,
    /// How many masked sequences: each window of the genome is masked in several ways, one a line
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub sequences: u32,
    /// The file to write (JSON lines)
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Show what the masks of a recipe do on a genome: spans, hidden bases, the measured rate
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// FASTA files (plain, gzip, bgzip; `-` is stdin), or one .2bit file
    #[arg(value_name = "GENOME", required = true)]
    pub genome: Vec<PathBuf>,
    /// How many windows are masked
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub sequences: u32,
    /// At which step of the run; masks may change from phase to phase [default: the last]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub step: Option<u64>,
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// All masks side by side, in one table, each with the keys of the recipe that its strategy has
    #[arg(long, conflicts_with = "svg")]
    pub all: bool,
    /// Also draw the shortest and the longest span as a picture
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Runs one of them.
pub fn run(verb: &Verb, settings: &Settings) -> anyhow::Result<()> {
    match verb {
        Verb::Freeze(args) => freeze(args, settings),
        Verb::Inspect(args) => inspect(args, settings),
    }
}

fn freeze(args: &FreezeArgs, settings: &Settings) -> anyhow::Result<()> {
    check_output("-o", &args.output, &args.genome)?;
    check_one_on_stdout(&args.output, args.json)?;
    let config = args.recipe.resolve()?;
    let genome = settings.genome(&args.genome)?;
    let sequences = args.sequences as usize;
    // One window gives a line for each evaluation mask; the last window may give fewer, so that there are as many lines as asked.
    let mut frozen = data::freeze(&config, &genome, 1)
        .with_context(|| format!("could not draw windows from {}", names(&args.genome)))?;
    let masks = frozen.sequences.len();
    let windows = sequences.div_ceil(masks);
    frozen = data::freeze(&config, &genome, windows)?;
    frozen.sequences.truncate(sequences);
    frozen.write(&args.output).context("could not save the frozen masks")?;
    let masked: u64 = frozen.sequences.iter().map(|sequence| sequence.masked.targets.len() as u64).sum();
    let hidden: u64 = frozen.sequences.iter().map(|sequence| u64::from(sequence.hidden_bases)).sum();
    if args.json {
        return ui::print_json(&json!({
            "output": args.output, "sequences": sequences, "windows": windows, "masks": masks,
            "masked_tokens": masked, "hidden_bases": hidden, "seed": config.seed,
        }));
    }
    let text = ui::pairs(&[
        ("frozen masks", args.output.display().to_string()),
        (
            "sequences",
            format!(
                "{}: {masks} masks on each of {} held-out windows",
                ui::count(sequences as u64),
                ui::count(windows as u64)
            ),
        ),
        ("masked tokens", ui::count(masked)),
        ("hidden bases", ui::count(hidden)),
    ]);
    ui::print_about(&args.output, text)
}

fn inspect(args: &InspectArgs, settings: &Settings) -> anyhow::Result<()> {
    if let Some(svg) = &args.svg {
        check_output("--svg", svg, &args.genome)?;
    }
    let config = args.recipe.resolve()?;
    let step = args.step.unwrap_or(config.train.steps);
    if step > config.train.steps {
        let what = format!("`--step {step}` is past the end: the recipe's run has {} steps", config.train.steps);
        let hint = format!("give a step from 1 to {}, or a longer run: `--set train.steps={step}`", config.train.steps);
        return Err(Refusal::new(what, hint).into());
    }
    let genome = settings.genome(&args.genome)?;
    let tokenizer = Tokenizer::new(config.tokenizer.clone())?;
    let sampler = data::sampler(&config, &genome, Part::Train)
        .with_context(|| format!("could not draw windows from {}", names(&args.genome)))?;
    let windows: Vec<Vec<u8>> = (0..u64::from(args.sequences))
        .map(|index| {
            let mut codes = Vec::new();
            sampler.read(&sampler.window(config.seed, step - 1, index), &mut codes);
            codes
        })
        .collect();
    if args.all {
        let mut reports: Vec<(String, MaskReport)> = Vec::new();
        let mut left_out: Vec<(String, String)> = Vec::new();
        for (name, row) in all_masks(&config) {
            let fits = row.mask.phases(&tokenizer, row.train.steps, row.seed).map_err(anyhow::Error::from);
            match fits.and_then(|_| masks(&row, &genome)) {
                Ok((strategy, _)) => {
                    reports.push((name, inspect_masks(&*strategy, &row.mask, &tokenizer, &windows, step, row.seed)));
                }
                // What the recipe asks for itself must work; a row that its tokens or its scores do not allow is left out.
                Err(error) if row.mask.strategy == config.mask.strategy => return Err(error),
                Err(error) => left_out.push((name, format!("{error:#}"))),
            }
        }
        if args.json {
            let named = |(name, report): &(String, MaskReport)| {
                let mut report = serde_json::to_value(report)?;
                report["name"] = json!(name);
                Ok(report)
            };
            let reports: Vec<serde_json::Value> = reports.iter().map(named).collect::<serde_json::Result<_>>()?;
            let left_out: Vec<_> = left_out.iter().map(|(name, why)| json!({"name": name, "reason": why})).collect();
            return ui::print_json(&json!({ "masks": reports, "left_out": left_out }));
        }
        for same in left_out.chunk_by(|one, other| one.1 == other.1) {
            let names: Vec<String> = same.iter().map(|(name, _)| format!("`{name}`")).collect();
            ui::say(format!("note: left out: {}: {}", names.join(", "), same[0].1));
        }
        return ui::print(side_by_side(&reports));
    }
    let (strategy, learned) = masks(&config, &genome)?;
    if let Some(path) = &args.svg {
        let drawing = mask_drawing::masks(&*strategy, &tokenizer, &windows, step, config.seed).ok_or_else(|| {
            Refusal::new("no span stands alone in these windows", "draw more of them: `--sequences 1000`")
        })?;
        whole::write(path, |out| out.write_all(drawing.as_bytes()))?;
    }
    let report = inspect_masks(&*strategy, &config.mask, &tokenizer, &windows, step, config.seed);
    if args.json {
        return ui::print_json(&report);
    }
    let mut text = learned.map_or(String::new(), |learned| learned.described() + "\n\n");
    if strategy.phases().len() > 1 {
        text.push_str("phases\n");
        for phase in strategy.phases() {
            let spans: Vec<String> = phase.spans.iter().map(u32::to_string).collect();
            text.push_str(&format!(
                "  from step {:>9}  spans of {} tokens\n",
                ui::count(phase.first_step),
                spans.join(", ")
            ));
        }
        text.push('\n');
    }
    let report = match ui::columns() {
        Some(columns) => report.within(columns),
        None => report,
    };
    ui::print(text + &report.to_string())
}

/// The masks of a recipe on a genome; those that go by scores count it first.
fn masks(config: &RunConfig, genome: &Genome) -> anyhow::Result<(Box<dyn MaskStrategy>, Option<Learned>)> {
    let bar = ui::bar(genome.card().known(), "counting");
    let learned = Learned::new(config, genome, &|bases| bar.inc(bases));
    bar.finish_and_clear();
    let learned = learned?;
    Ok((learned::strategy(config, learned.as_ref())?, learned))
}

/// Every kind of masks, with a name: each with the keys of the recipe that its strategy has, but for those that tell the rows apart.
fn all_masks(config: &RunConfig) -> Vec<(String, RunConfig)> {
    let mask = |strategy, rate| MaskConfig { selection: None, permuted: None, ..config.mask.under(strategy, rate) };
    let bug = MaskConfig { selection: Some(Lookup::PositionBug), ..mask(Strategy::Pmi, Rate::Paper) };
    let permuted = MaskConfig { permuted: Some(true), ..mask(Strategy::Pmi, Rate::Constant) };
    let kinds = [
        ("token", mask(Strategy::Token, Rate::Paper)),
        ("kmer-span", mask(Strategy::KmerSpan, Rate::Paper)),
        ("kmer-span, constant", mask(Strategy::KmerSpan, Rate::Constant)),
        ("random-mask", mask(Strategy::RandomMask, Rate::Paper)),
        ("random-mask, constant", mask(Strategy::RandomMask, Rate::Constant)),
        ("pmi", mask(Strategy::Pmi, Rate::Paper)),
        ("pmi, constant", mask(Strategy::Pmi, Rate::Constant)),
        ("pmi, constant, permuted", permuted),
        ("pmi, position-bug", bug),
        ("pmi-vocab", mask(Strategy::PmiVocab, Rate::Paper)),
    ];
    kinds.into_iter().map(|(name, mask)| (name.to_string(), RunConfig { mask, ..config.clone() })).collect()
}

/// One row for each kind of masks.
fn side_by_side(reports: &[(String, MaskReport)]) -> String {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let mean = |counts: &std::collections::BTreeMap<u32, u64>| {
        let (sum, all) =
            counts.iter().fold((0, 0), |(sum, all), (&value, &count)| (sum + u64::from(value) * count, all + count));
        if all == 0 { "–".to_string() } else { format!("{:.2}", sum as f64 / all as f64) }
    };
    let rows: Vec<Vec<String>> = reports
        .iter()
        .map(|(name, report)| {
            vec![
                name.clone(),
                percent(report.mask_rate),
                percent(report.hidden_bases as f64 / report.bases.max(1) as f64),
                mean(&report.spans),
                mean(&report.runs),
                mean(&report.hidden_by_run),
                percent(report.leak),
                percent(report.input_leak),
            ]
        })
        .collect();
    let header = [
        "masks",
        "tokens masked",
        "bases hidden",
        "tokens a span",
        "tokens a run",
        "bases hidden a run",
        "leak",
        "input leak",
    ];
    ui::table(&header, &rows)
}
