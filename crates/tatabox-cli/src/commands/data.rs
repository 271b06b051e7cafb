//! `tatabox data`: what labelled data holds, what is wrong with it, and the papers' data from a genome.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;
use tatabox_core::audit::Audit;
use tatabox_core::interval::Interval;
use tatabox_core::io::{input, whole};
use tatabox_core::labelled::{self, Card, Division, Labelled, Made, ReadOptions, Severity, Task, divide};
use tatabox_core::logistic::LONGEST_K;
use tatabox_core::promoters::{self, Kind, LEAST, MATRIX, PromoterConfig, Recipe, STARTS, Window};
use tatabox_core::report::{Html, Renderer, Text};

use crate::settings::{Settings, check_output, names};
use crate::ui;

/// Labelled sequences: what they hold, what is wrong with them, and the papers' data sets from a genome
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    Audit(AuditArgs),
    Card(CardArgs),
    Intervals(IntervalsArgs),
    Promoters(PromotersArgs),
}

/// How labelled data is read.
#[derive(Debug, clap::Args)]
pub struct Reading {
    /// Tables (CSV, TSV, JSON lines, Parquet), FASTA, BED, or folders of them; plain or gzip
    #[arg(value_name = "DATA", required = true)]
    pub data: Vec<PathBuf>,
    #[command(flatten)]
    pub form: Form,
}

/// What labelled data looks like, where it does not say so itself.
#[derive(Debug, clap::Args)]
pub struct Form {
    /// What is asked of the sequences [default: what the labels say]
    #[arg(long, value_name = "TASK", value_parser = task)]
    pub task: Option<Task>,
    /// The column of the sequence, or the two of a pair [default: by name, else by content]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub sequence_column: Vec<String>,
    /// The column of the label, or several [default: by name, else by content]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub label_column: Vec<String>,
    /// The genome that intervals lie on: FASTA files or one .2bit file
    #[arg(long, value_name = "GENOME")]
    pub genome: Vec<PathBuf>,
}

/// Look for leaks between train and test, and for what can be guessed without a model
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    #[command(flatten)]
    pub reading: Reading,
    /// The length of the k-mers a model will read: shorter sequences are counted
    #[arg(short, value_name = "K", default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=LONGEST_K as u64))]
    pub k: u64,
    /// The seed of the division of data that has no parts
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Write the page as HTML too
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Exit with 1 where a finding is serious: a leak, a label that is not in train, one class only
    #[arg(long)]
    pub strict: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Show what is in labelled data: task, parts, labels, lengths, letters, hashes
#[derive(Debug, clap::Args)]
pub struct CardArgs {
    #[command(flatten)]
    pub reading: Reading,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Turn intervals and a genome (Genomic Benchmarks, BED), or any labelled data, into train, dev and test tables
#[derive(Debug, clap::Args)]
pub struct IntervalsArgs {
    #[command(flatten)]
    pub reading: Reading,
    /// Divide again: 90/10, 80/10/10, chromosome, chromosome:chr8,chr9 [default: the parts that the files name]
    #[arg(long, value_name = "HOW", value_parser = division)]
    pub split: Option<Division>,
    /// The seed of the division
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// The directory to write: train.csv, dev.csv, test.csv, origins.tsv, dataset.json
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Build promoter data from transcription start sites and a genome, with negatives by a named recipe
#[derive(Debug, clap::Args)]
pub struct PromotersArgs {
    /// The genome: FASTA files or one .2bit file
    #[arg(long, value_name = "GENOME", required = true)]
    pub genome: Vec<PathBuf>,
    /// Transcription start sites: BED with the TSS as an interval of one base (EPDnew)
    #[arg(long, value_name = "BED")]
    pub tss: PathBuf,
    /// What is cut out: 300 (-249..+50) or core (-34..+35)
    #[arg(long, value_name = "WINDOW", default_value_t = Window::default(), value_parser = window)]
    pub window: Window,
    /// Which promoters: all, tata or notata (by the matrix JASPAR MA0108.2 at -39..-22)
    #[arg(long, value_name = "KIND", default_value_t = Kind::default(), value_parser = kind)]
    pub kind: Kind,
    /// How negatives are made: deepromoter, permuted-blocks or genomic
    #[arg(long, value_name = "RECIPE", value_parser = recipe)]
    pub negatives: Recipe,
    /// For genomic negatives: bases to the nearest TSS, at least
    #[arg(long, value_name = "BASES", default_value_t = 1_000)]
    pub away: u64,
    /// How the records are divided: 90/10, 80/10/10, chromosome, chromosome:chr8,chr9
    #[arg(long, value_name = "HOW", default_value = "90/10", value_parser = division)]
    pub split: Division,
    /// The genome is a part of that of the TSS: leave out and count the TSS that do not lie on it
    #[arg(long)]
    pub partial: bool,
    /// The seed: the same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// The directory to write: train.csv, test.csv, origins.tsv, dataset.json
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Runs one of them.
pub fn run(verb: &Verb, settings: &Settings) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Audit(args) => return audit(args, settings),
        Verb::Card(args) => {
            let data = read(&args.reading, settings)?;
            let card = Card::of(&data, None);
            if args.json { ui::print_json(&card)? } else { ui::print(shown(&card, &data))? }
        }
        Verb::Intervals(args) => intervals(args, settings)?,
        Verb::Promoters(args) => build(args, settings)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn read(reading: &Reading, settings: &Settings) -> anyhow::Result<Labelled> {
    let genome = if reading.form.genome.is_empty() { None } else { Some(settings.genome(&reading.form.genome)?) };
    let options = ReadOptions {
        task: reading.form.task,
        sequence_columns: reading.form.sequence_column.clone(),
        label_columns: reading.form.label_column.clone(),
        genome,
    };
    let spinner = ui::spinner(format!("reading {}", names(&reading.data)));
    let data = labelled::read(&reading.data, &options);
    spinner.finish_and_clear();
    data.with_context(|| format!("could not read labelled data from {}", names(&reading.data)))
}

fn audit(args: &AuditArgs, settings: &Settings) -> anyhow::Result<ExitCode> {
    if let Some(html) = &args.html {
        check_output("--html", html, &args.reading.data)?;
    }
    let data = read(&args.reading, settings)?;
    let spinner = ui::spinner("comparing sequences, fitting the baseline".into());
    let audit = Audit::of(&data, args.k as usize, args.seed);
    spinner.finish_and_clear();
    let page = audit.page(&names(&args.reading.data));
    if let Some(path) = &args.html {
        whole::write(path, |out| out.write_all(Html.render(&page).as_bytes())).context("could not save the page")?;
    }
    if args.json {
        let count = |severity| audit.findings.iter().filter(|finding| finding.severity == severity).count();
        let mut object = serde_json::to_value(&audit)?;
        object["serious"] = json!(count(Severity::Serious));
        object["warnings"] = json!(count(Severity::Warning));
        ui::print_json(&object)?;
    } else {
        ui::print(Text.render(&page))?;
    }
    Ok(if args.strict && audit.is_serious() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn intervals(args: &IntervalsArgs, settings: &Settings) -> anyhow::Result<()> {
    let mut data = read(&args.reading, settings)?;
    if let Some(split) = &args.split {
        divide(&mut data, split, args.seed)?;
    }
    let genome: Vec<String> = args.reading.form.genome.iter().map(|path| path.display().to_string()).collect();
    let split = args.split.as_ref().map_or("as the files have it".into(), Division::to_string);
    let settings = json!({"genome": genome, "split": split, "seed": args.seed});
    save(&data, &args.output, "data intervals", settings, json!({}), args.json)
}

fn build(args: &PromotersArgs, settings: &Settings) -> anyhow::Result<()> {
    let genome = settings.genome(&args.genome)?;
    let tss = starts(&args.tss)?;
    let config = PromoterConfig {
        window: args.window,
        kind: args.kind,
        negatives: args.negatives,
        away: args.away,
        seed: args.seed,
        partial: args.partial,
    };
    let (mut data, counts) = promoters::build(&genome, &tss, &config)
        .with_context(|| format!("could not build promoters from `{}`", args.tss.display()))?;
    divide(&mut data, &args.split, args.seed)?;
    let file = input::fingerprint(&args.tss)?;
    let mut chosen = serde_json::to_value(&config)?;
    chosen["split"] = json!(args.split.to_string());
    chosen["tss"] = json!({"path": args.tss, "bytes": file.bytes, "sha256": file.sha256});
    chosen["tata"] = json!({"matrix": MATRIX, "starts": [STARTS.start(), STARTS.end()], "least": LEAST});
    save(&data, &args.output, "data promoters", chosen, serde_json::to_value(counts)?, args.json)
}

/// The start sites of a BED file.
fn starts(path: &Path) -> anyhow::Result<Vec<Interval>> {
    tatabox_core::interval::read_start_sites(path)
        .with_context(|| format!("could not read start sites from `{}`", path.display()))
}

fn save(
    data: &Labelled,
    output: &Path,
    by: &str,
    settings: serde_json::Value,
    counts: serde_json::Value,
    as_json: bool,
) -> anyhow::Result<()> {
    let object = |value: serde_json::Value| value.as_object().cloned().unwrap_or_default();
    let made = Made { by: by.into(), settings: object(settings), counts: object(counts) };
    let card = labelled::write(data, output, Some(made)).context("could not save the data")?;
    if as_json {
        let mut object = serde_json::to_value(&card)?;
        object["output"] = json!(output);
        return ui::print_json(&object);
    }
    ui::print(format!("{}\n{}", output.display(), shown(&card, data)))
}

/// A card to read.
fn shown(card: &Card, data: &Labelled) -> String {
    let pairs = if card.pairs { " of pairs" } else { "" };
    let mut rows = vec![("task", format!("{}{pairs}", card.task))];
    if !card.targets.is_empty() {
        rows.push(("targets", card.targets.join(", ")));
    }
    if let Some(made) = &card.made {
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let of = |key: &str| made.settings.get(key).map(|value| format!("{key} {}", text(value)));
        let how: Vec<String> = ["window", "kind", "negatives", "split", "seed"].into_iter().filter_map(of).collect();
        rows.push(("made by", format!("tatabox {}: {}", made.by, how.join(", "))));
        for (name, value) in &made.counts {
            rows.push((name, text(value)));
        }
    }
    for problem in &data.problems {
        rows.push(("note", problem.what.clone()));
    }
    let mut header = vec!["part", "records", "bases"];
    header.extend(card.id2label.iter().map(String::as_str));
    header.push("sha256");
    let cells = card.splits.iter().map(|split| {
        let lengths = split.lengths;
        let bases = if lengths.min == lengths.max {
            ui::count(lengths.min)
        } else {
            format!("{}–{}", lengths.min, lengths.max)
        };
        let mut cells = vec![split.name.to_string(), ui::count(split.records), bases];
        cells.extend(split.classes.iter().map(|class| ui::count(class.records)));
        cells.push(split.sha256[..12].to_string());
        cells
    });
    format!("{}\n{}", ui::pairs(&rows), ui::table(&header, &cells.collect::<Vec<_>>()))
}

/// Reads a name of a choice, with the library's own words where it is none.
pub fn named<T: std::str::FromStr<Err = tatabox_core::Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: tatabox_core::Error| error.to_string())
}

pub fn task(text: &str) -> Result<Task, String> {
    named(text)
}

fn window(text: &str) -> Result<Window, String> {
    named(text)
}

fn kind(text: &str) -> Result<Kind, String> {
    named(text)
}

fn recipe(text: &str) -> Result<Recipe, String> {
    named(text)
}

pub fn division(text: &str) -> Result<Division, String> {
    named(text)
}
