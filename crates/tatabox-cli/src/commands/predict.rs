//! `tatabox predict`: what a fine-tuned model says of sequences, or of the windows of a genome.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tatabox::finetune::Classifier;
use tatabox::predict::{Format, Inputs, Outcome, Progress, Request, WindowConfig, predict};
use tatabox_core::io::input;
use tatabox_core::labelled::ReadOptions;
use tatabox_core::report::{Renderer, Report, Text};

use super::evaluate::PrecisionArg;
use crate::settings::{Settings, check_output, names};
use crate::signals::Stop;
use crate::ui;

/// Ask a fine-tuned model: of sequences, or of all windows of a genome
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run of `tatabox finetune`
    #[arg(value_name = "RUN")]
    pub model: PathBuf,
    /// Sequences: FASTA, CSV, TSV, JSON lines, Parquet, BED with `--genome` (`-` is stdin); or with `--windows` a genome
    #[arg(value_name = "INPUT", required = true)]
    pub inputs: Vec<PathBuf>,
    /// The file to write; it appears when it is whole
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Its form [default: by the end of its name: .tsv, .csv, .bed, .bedgraph, .bw]
    #[arg(long, value_name = "FORM", value_enum)]
    pub format: Option<FormatArg>,
    /// INPUT is a genome: ask of its windows of so many bases
    #[arg(long, value_name = "BASES")]
    pub windows: Option<u64>,
    /// Bases from the start of one window to that of the next [default: those of a window]
    #[arg(long, value_name = "BASES", requires = "windows")]
    pub step: Option<u64>,
    /// Ask of windows within these regions only
    #[arg(long, value_name = "BED", requires = "windows")]
    pub regions: Option<PathBuf>,
    /// The class, label or target that a BED, bedGraph or bigWig shows [default: the second of two classes]
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,
    /// BED has the windows whose number is at least this [default: 0.5; a regression has none]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub threshold: Option<f64>,
    /// Ask one strand, or both and take the mean [default: as the model was fine-tuned]
    #[arg(long, value_name = "STRANDS", value_enum)]
    pub strands: Option<StrandsArg>,
    /// The column of the sequence, or the two of a pair [default: by name, else by content]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', conflicts_with = "windows")]
    pub sequence_column: Vec<String>,
    /// The column of the label, or several, to measure with [default: by name, where the labels are the model's]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', conflicts_with = "windows")]
    pub label_column: Vec<String>,
    /// The genome that intervals lie on: FASTA files or one .2bit file
    #[arg(long, value_name = "GENOME", conflicts_with = "windows")]
    pub genome: Vec<PathBuf>,
    /// How matrix products are computed; f32 gives the numbers of transformers
    #[arg(long, value_name = "PRECISION", value_enum, default_value_t = PrecisionArg::F32)]
    pub precision: PrecisionArg,
    /// Go on where the same prediction stopped or was killed; begins where there is none
    #[arg(long)]
    pub resume: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// The form of the output, on a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FormatArg {
    Tsv,
    Csv,
    Bed,
    Bedgraph,
    Bigwig,
}

impl From<FormatArg> for Format {
    fn from(given: FormatArg) -> Self {
        match given {
            FormatArg::Tsv => Format::Tsv,
            FormatArg::Csv => Format::Csv,
            FormatArg::Bed => Format::Bed,
            FormatArg::Bedgraph => Format::BedGraph,
            FormatArg::Bigwig => Format::BigWig,
        }
    }
}

/// The strands that are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StrandsArg {
    One,
    Both,
}

/// Predicts, and says what came out.
pub fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    let stop = Stop::listen()?;
    check_output("-o", &args.output, &args.inputs)?;
    let format = args.format.map_or_else(|| Format::of(&args.output), |format| Ok(format.into()))?;
    let mut model = Classifier::open(&args.model, args.precision.into())
        .with_context(|| format!("could not open the model `{}`", args.model.display()))?;
    if let Some(strands) = args.strands {
        model.set_both_strands(strands == StrandsArg::Both);
    }
    // Whatever was put into this directory by another fine-tuning is another model.
    let weights = input::fingerprint(&args.model.join("model.safetensors"))?.sha256;
    let identity = json!({
        "weights": weights,
        "strands": if model.both_strands() { "both" } else { "one" },
        "precision": format!("{:?}", args.precision).to_lowercase(),
    });
    let opened = |paths: &[PathBuf]| if paths.is_empty() { Ok(None) } else { settings.genome(paths).map(Some) };
    let options = ReadOptions {
        task: None,
        sequence_columns: args.sequence_column.clone(),
        label_columns: args.label_column.clone(),
        genome: opened(&args.genome)?,
    };
    let genome = if args.windows.is_some() { opened(&args.inputs)? } else { None };
    let regions = args.regions.as_ref().map(|path| tatabox_core::interval::read(path));
    let regions = regions.transpose().context("could not read the regions")?;
    let inputs = match (&genome, args.windows) {
        (Some(genome), Some(window)) => Inputs::Windows {
            genome,
            config: WindowConfig { window, step: args.step.unwrap_or(window) },
            regions: regions.as_deref(),
        },
        _ => Inputs::Sequences { paths: &args.inputs, options: &options },
    };
    let request = Request {
        inputs,
        output: &args.output,
        format,
        shown: args.class.as_deref(),
        threshold: args.threshold,
        name: args.model.display().to_string(),
        model: identity,
        resume: args.resume,
    };
    let bar = bar(args.windows.is_some());
    let outcome = predict(&mut model, &request, &mut |progress| show(&bar, progress), stop.flag());
    bar.finish_and_clear();
    let outcome = outcome.with_context(|| format!("could not predict on {}", names(&args.inputs)))?;
    outcome.notes.iter().for_each(|note| ui::say(format!("note: {note}")));
    if !outcome.finished {
        ui::say(format!("stopped and saved: {} of {} are done", ui::count(outcome.done), ui::count(outcome.records)));
        ui::say("go on with the same command and `--resume`");
    }
    if args.json {
        ui::print_json(&outcome)?;
    } else if outcome.finished {
        ui::print(summary(&outcome, args.windows.is_some()))?;
    }
    Ok(if outcome.finished { ExitCode::SUCCESS } else { ExitCode::from(stop.exit_code()) })
}

fn bar(windows: bool) -> ProgressBar {
    let words = if windows { "windows" } else { "sequences" };
    let template = format!("{{bar:30.cyan}} {{percent:>3}} %  {{pos}} of {{len}} {words}  {{msg}}");
    let style = ProgressStyle::with_template(&template).expect("the template is a constant");
    ProgressBar::new(0).with_style(style.progress_chars("━╸─"))
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_length(progress.total);
    bar.set_position(progress.done);
    bar.set_message(format!("{}/s  {} left", ui::short(progress.per_second), ui::duration(progress.seconds_left)));
}

fn summary(outcome: &Outcome, windows: bool) -> String {
    let mut rows = vec![
        ("output", outcome.output.display().to_string()),
        (
            if windows { "windows" } else { "sequences" },
            format!("{}, {} a second", ui::count(outcome.records), ui::short(outcome.per_second)),
        ),
    ];
    if let Some(report) = &outcome.report {
        rows.push(("report", report.display().to_string()));
    }
    let mut text = ui::pairs(&rows);
    if let Some(found) = &outcome.assessment {
        let report = Report { title: String::new(), subtitle: String::new(), sections: found.tables("predictions") };
        text.push_str(&Text.render(&report));
    }
    text
}
