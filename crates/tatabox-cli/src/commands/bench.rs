//! `tatabox bench`: how fast this machine trains.

use anyhow::Context;
use tatabox::bench::{Lengths, StepBench, StepReport, Work};
use tatabox::config::{BertConfig, PRESETS, Preset};
use tatabox_core::tokenizer::{PAD, Tokenizer, TokenizerConfig};

use crate::commands::evaluate::PrecisionArg;
use crate::failure::Refusal;
use crate::ui;

/// Measure how fast this machine trains
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    Step(StepArgs),
}

/// Time whole training steps: tokens a second, share of this machine's matrix rate, and where the time goes
#[derive(Debug, clap::Args)]
pub struct StepArgs {
    /// What a step does: guess masked tokens, learn two classes of sequences, or tell them apart without learning
    #[arg(long, value_name = "WORK", value_enum, default_value_t = WorkArg::Pretrain)]
    pub work: WorkArg,
    /// The sizes of the model: dnabert, bert-small, bert-mini, tiny, logo-genemask
    #[arg(long, value_name = "PRESET", default_value = "bert-mini")]
    pub model: String,
    /// Tokens of a full sequence, the two special ones included
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub seq: usize,
    /// Sequences a step
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub batch: usize,
    /// Lengths of the sequences: all full, or half of them full and half uniform, as in training
    #[arg(long, value_name = "LENGTHS", value_enum, default_value_t = LengthsArg::Full)]
    pub lengths: LengthsArg,
    /// How matrix products are computed
    #[arg(long, value_name = "PRECISION", value_enum, default_value_t = PrecisionArg::Bf16)]
    pub precision: PrecisionArg,
    /// Steps that count
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub steps: usize,
    /// Steps before these
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub warmup: usize,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// [`Lengths`] on a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LengthsArg {
    Full,
    Mix,
}

/// [`Work`] on a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WorkArg {
    Pretrain,
    Finetune,
    Predict,
}

/// Measures and prints.
pub fn run(verb: &Verb) -> anyhow::Result<()> {
    let Verb::Step(args) = verb;
    let preset = Preset::named(&args.model).ok_or_else(|| {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        Refusal::new(
            format!("`--model` is `{}`, but it must be one of {}", args.model, names.join(", ")),
            "try `--model bert-mini`",
        )
    })?;
    let vocab_size = Tokenizer::new(TokenizerConfig::default())?.vocab_size();
    let mut config = BertConfig::of_preset(preset, vocab_size, PAD.index());
    config.max_position_embeddings = config.max_position_embeddings.max(args.seq);
    let bench = StepBench {
        work: match args.work {
            WorkArg::Pretrain => Work::Pretrain,
            WorkArg::Finetune => Work::Finetune,
            WorkArg::Predict => Work::Predict,
        },
        model: args.model.clone(),
        config,
        seq: args.seq,
        batch: args.batch,
        lengths: match args.lengths {
            LengthsArg::Full => Lengths::Full,
            LengthsArg::Mix => Lengths::Mix,
        },
        precision: args.precision.into(),
        steps: args.steps,
        warmup: args.warmup,
    };
    let spinner = ui::spinner(format!("{} steps of {}", args.warmup + args.steps, args.model));
    let report = bench.run();
    spinner.finish_and_clear();
    let report = report.context("could not time a training step")?;
    if args.json { ui::print_json(&report) } else { ui::print(text(&report, args.precision)) }
}

fn text(report: &StepReport, precision: PrecisionArg) -> String {
    let milliseconds = |seconds: f64| format!("{:.1} ms", 1e3 * seconds);
    let mut text = ui::pairs(&[
        (
            "step",
            format!(
                "{}, {} parameters, {} sequences of {} tokens",
                report.model,
                ui::short(report.parameters as f64),
                report.batch,
                report.seq
            ),
        ),
        ("kernels", format!("{}, {precision:?}, {} threads", report.kernels, report.threads).to_lowercase()),
        ("speed", format!("{} tokens/s", ui::short(report.tokens_per_second))),
        (
            "time of a step",
            format!(
                "{} ({} to {} over {} steps)",
                milliseconds(report.step_seconds_median),
                milliseconds(report.step_seconds_min),
                milliseconds(report.step_seconds_max),
                report.steps
            ),
        ),
        (
            "matrix rate",
            format!(
                "{}FLOP/s, {:.1} % of the {}FLOP/s of one large product here",
                ui::short(1e9 * report.gflops),
                100.0 * report.share_of_matrix_rate,
                ui::short(1e9 * report.matrix_gflops)
            ),
        ),
        ("memory", ui::bytes(report.memory_bytes as u64)),
    ]);
    let rows: Vec<Vec<String>> = report
        .profile
        .iter()
        .map(|op| {
            let rate = if op.gflops > 0.0 { format!("{:.0}", op.gflops) } else { "–".to_string() };
            vec![
                op.op.clone(),
                format!("{:.2}", op.forward_ms),
                format!("{:.2}", op.backward_ms),
                format!("{:.1} %", 100.0 * op.share),
                rate,
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&ui::table(&["op", "forward ms", "backward ms", "share", "GFLOP/s"], &rows));
    text
}
