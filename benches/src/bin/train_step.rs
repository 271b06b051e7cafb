//! A training step of BERT, Tatabox against PyTorch + transformers on the same machine, in one run, as ratios.
//!
//! `cargo run --release -p tatabox-benches --bin train_step -- --help` lists the options.
//!
//! Makes PyTorch's environment by itself (`benches/peers/setup.py`, into `target/peers-venv`), and runs `benches/peers/train_step.py` in several
//! configurations; the strongest is the peer that counts. Rounds alternate between the two sides, so that both see the same machine; each side
//! is one process with nothing else running, all cores. A figure is the median of its rounds. Batches lie ready in memory on both sides; a step is
//! forward, backward, clipping and AdamW; tokens are real ones, padding never counts.

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use tatabox::bench::{Lengths, StepBench, Work};
use tatabox::config::{BertConfig, Preset};
use tatabox_benches::{environment, positive};
use tatabox_engine::Precision;

/// DNABERT's 6-mers.
const VOCABULARY: usize = 4101;

/// One row of the table: a workload, and the peer's configurations that compete in it.
struct Workload {
    name: &'static str,
    preset: &'static str,
    batch: usize,
    precision: Precision,
    lengths: Lengths,
    dropout: f64,
    peers: &'static [&'static [&'static str]],
}

const F32_PEERS: &[&[&str]] = &[
    &["--precision", "f32"],
    &["--precision", "f32", "--attention", "sdpa", "--malloc", "tuned"],
    &["--precision", "f32", "--head", "masked-only", "--malloc", "tuned"],
];
const BF16_PEERS: &[&[&str]] = &[
    &["--precision", "bf16"],
    &["--precision", "bf16", "--attention", "sdpa", "--malloc", "tuned"],
    &["--precision", "bf16", "--head", "masked-only", "--malloc", "tuned"],
    &["--precision", "f32", "--head", "masked-only", "--malloc", "tuned"],
    &["--precision", "bf16", "--attention", "sdpa", "--head", "masked-only", "--malloc", "tuned", "--compile"],
];
const FEW_BF16_PEERS: &[&[&str]] = &[
    &["--precision", "bf16", "--head", "masked-only", "--malloc", "tuned"],
    &["--precision", "f32", "--head", "masked-only", "--malloc", "tuned"],
];

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "mini f32",
        preset: "bert-mini",
        batch: 8,
        precision: Precision::F32,
        lengths: Lengths::Full,
        dropout: 0.1,
        peers: F32_PEERS,
    },
    Workload {
        name: "mini bf16",
        preset: "bert-mini",
        batch: 8,
        precision: Precision::Bf16,
        lengths: Lengths::Full,
        dropout: 0.1,
        peers: BF16_PEERS,
    },
    Workload {
        name: "mini bf16 no dropout",
        preset: "bert-mini",
        batch: 8,
        precision: Precision::Bf16,
        lengths: Lengths::Full,
        dropout: 0.0,
        peers: BF16_PEERS,
    },
    Workload {
        name: "mini bf16 length mix",
        preset: "bert-mini",
        batch: 8,
        precision: Precision::Bf16,
        lengths: Lengths::Mix,
        dropout: 0.1,
        peers: FEW_BF16_PEERS,
    },
    Workload {
        name: "base f32",
        preset: "dnabert",
        batch: 2,
        precision: Precision::F32,
        lengths: Lengths::Full,
        dropout: 0.1,
        peers: F32_PEERS,
    },
    Workload {
        name: "base bf16",
        preset: "dnabert",
        batch: 2,
        precision: Precision::Bf16,
        lengths: Lengths::Full,
        dropout: 0.1,
        peers: FEW_BF16_PEERS,
    },
    Workload {
        name: "base bf16 length mix",
        preset: "dnabert",
        batch: 2,
        precision: Precision::Bf16,
        lengths: Lengths::Mix,
        dropout: 0.1,
        peers: FEW_BF16_PEERS,
    },
];

/// A training step of BERT against PyTorch + transformers.
#[derive(clap::Parser)]
struct Options {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Only workloads whose name holds this: `mini`, `base bf16`
    #[arg(long, default_value = "")]
    only: String,
    /// How often the two sides take turns
    #[arg(long, default_value_t = 2, value_parser = positive)]
    rounds: usize,
    /// Timed steps in a round
    #[arg(long, default_value_t = 8, value_parser = positive)]
    steps: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository's root")?;
    let python = environment(root)?;
    let mut rows = Vec::new();
    for workload in WORKLOADS.iter().filter(|workload| workload.name.contains(&options.only)) {
        let row = measure(workload, &options, root, &python)?;
        if !options.json {
            print_row(&row);
        }
        rows.push(row);
    }
    if options.json {
        println!("{}", json!({ "workloads": rows }));
    }
    Ok(())
}

fn measure(workload: &Workload, options: &Options, root: &Path, python: &Path) -> Result<Value> {
    let mut ours: Vec<(f64, Value)> = Vec::new();
    let mut peers: Vec<Vec<f64>> = vec![Vec::new(); workload.peers.len()];
    for round in 0..options.rounds {
        eprintln!("{}: round {} of {}", workload.name, round + 1, options.rounds);
        let report = step_bench(workload, options)?.run()?;
        ours.push((report.tokens_per_second, serde_json::to_value(&report)?));
        for (index, arguments) in workload.peers.iter().enumerate() {
            let result = peer(workload, options, root, python, arguments)?;
            peers[index].push(result["tokens_per_second"].as_f64().context("`tokens_per_second` of the peer")?);
        }
    }
    ours.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (our_speed, report) = &ours[ours.len() / 2];
    let medians: Vec<(f64, String)> = peers
        .iter_mut()
        .zip(workload.peers)
        .map(|(speeds, arguments)| {
            speeds.sort_by(f64::total_cmp);
            (speeds[speeds.len() / 2], arguments.join(" "))
        })
        .collect();
    let best = medians.iter().max_by(|a, b| a.0.total_cmp(&b.0)).context("a peer")?;
    Ok(json!({
        "workload": workload.name,
        "tokens_per_second": our_speed,
        "best_peer_tokens_per_second": best.0,
        "best_peer": best.1,
        "ratio": our_speed / best.0,
        "ratio_to_eager": our_speed / medians[0].0,
        "peers": medians.iter().map(|(speed, name)| json!({ "peer": name, "tokens_per_second": speed })).collect::<Vec<_>>(),
        "ours": report,
    }))
}

fn step_bench(workload: &Workload, options: &Options) -> Result<StepBench> {
    let preset = Preset::named(workload.preset).context("a preset")?;
    let mut config = BertConfig::of_preset(preset, VOCABULARY, 0);
    config.hidden_dropout_prob = workload.dropout;
    config.attention_probs_dropout_prob = workload.dropout;
    Ok(StepBench {
        work: Work::Pretrain,
        model: workload.preset.into(),
        config,
        seq: 512,
        batch: workload.batch,
        lengths: workload.lengths,
        precision: workload.precision,
        steps: options.steps,
        warmup: 2,
    })
}

fn peer(workload: &Workload, options: &Options, root: &Path, python: &Path, arguments: &[&str]) -> Result<Value> {
    let lengths = if workload.lengths == Lengths::Mix { "mix" } else { "full" };
    let output = Command::new(python)
        .arg(root.join("benches/peers/train_step.py"))
        .args(["--model", workload.preset, "--seq", "512", "--lengths", lengths])
        .args(["--batch", &workload.batch.to_string(), "--dropout", &workload.dropout.to_string()])
        .args([
            "--steps",
            &options.steps.to_string(),
            "--warmup",
            if arguments.contains(&"--compile") { "4" } else { "2" },
        ])
        .args(arguments)
        .output()
        .context("benches/peers/train_step.py")?;
    if !output.status.success() {
        bail!("the peer failed ({}):\n{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    serde_json::from_str(text.lines().last().context("a line of JSON from the peer")?).context("the peer's JSON")
}

fn print_row(row: &Value) {
    let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
    println!(
        "{:24} {:8.0} tokens/s, {:4.2}x PyTorch's best ({:.0} tokens/s, {}), {:4.2}x plain; {:.0} % of this machine's matrix rate ({:.0} of {:.0} GFLOP/s)",
        row["workload"].as_str().unwrap_or_default(),
        number("tokens_per_second"),
        number("ratio"),
        number("best_peer_tokens_per_second"),
        row["best_peer"].as_str().unwrap_or_default(),
        number("ratio_to_eager"),
        100.0 * row["ours"]["share_of_matrix_rate"].as_f64().unwrap_or(f64::NAN),
        row["ours"]["gflops"].as_f64().unwrap_or(f64::NAN),
        row["ours"]["matrix_gflops"].as_f64().unwrap_or(f64::NAN),
    );
    for peer in row["peers"].as_array().into_iter().flatten() {
        println!(
            "    {:8.0}  {}",
            peer["tokens_per_second"].as_f64().unwrap_or(f64::NAN),
            peer["peer"].as_str().unwrap_or_default()
        );
    }
    for op in row["ours"]["profile"].as_array().into_iter().flatten() {
        let number = |key: &str| op[key].as_f64().unwrap_or(f64::NAN);
        println!(
            "      {:28} {:5.1} %  forward {:7.2} ms  backward {:7.2} ms  {:6.0} GFLOP/s",
            op["op"].as_str().unwrap_or_default(),
            100.0 * number("share"),
            number("forward_ms"),
            number("backward_ms"),
            number("gflops")
        );
    }
}
