//! `tatabox simulate`: a genome with known truth.

use std::path::PathBuf;

use serde_json::json;
use tatabox::memory::available;
use tatabox_core::simulate::{self, SimulateConfig, parse_bases};

use crate::failure::Refusal;
use crate::ui;

/// Simulate a genome with known truth: repeats, genes with promoters, enhancers, and tables to learn from
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory to write: genome.fa, truth.bed, truth.json, promoters/, enhancers/
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Length of the genome: 2000000, 500k, 2M, 1.5G
    #[arg(long, value_name = "BASES", default_value = "2M", value_parser = parse_bases)]
    pub bases: u64,
    /// Number of contigs; the first is three times as long as the last
    #[arg(long, value_name = "N", default_value_t = SimulateConfig::default().contigs)]
    pub contigs: u32,
    /// The seed: the same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Another value of the simulation, for instance --set gc_mean=0.35 (all keys: docs/guide/simulate.md)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Simulates and writes.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let config = config(args)?;
    simulate::check_vacant(&args.output)?;
    check_memory(&config)?;
    let simulated = simulate::simulate(&config)?;
    simulate::write(&simulated, &args.output)?;
    let rows = |table: &simulate::LabelledTable| table.train.len() + table.dev.len() + table.test.len();
    let (promoters, enhancers) = (rows(&simulated.promoters), rows(&simulated.enhancers));
    if args.json {
        return ui::print_json(&json!({
            "output": args.output,
            "bases": config.bases,
            "contigs": simulated.contigs.len(),
            "seed": config.seed,
            "records": simulated.truth.len(),
            "promoter_examples": promoters,
            "enhancer_examples": enhancers,
        }));
    }
    let path = |name: &str| args.output.join(name).display().to_string();
    ui::print(ui::pairs(&[
        (
            "genome",
            format!(
                "{}  {} bases in {}, seed {}",
                path("genome.fa"),
                ui::count(config.bases),
                ui::counted(u64::from(config.contigs), "contig"),
                config.seed
            ),
        ),
        (
            "truth",
            format!(
                "{}  {} records; how it was made: {}",
                path("truth.bed"),
                ui::count(simulated.truth.len() as u64),
                path("truth.json")
            ),
        ),
        ("tables", format!("{}  {} examples", path("promoters"), ui::count(promoters as u64))),
        ("", format!("{}  {} examples", path("enhancers"), ui::count(enhancers as u64))),
    ]))
}

/// Refuses a genome that does not fit into memory, where it is made.
fn check_memory(config: &SimulateConfig) -> anyhow::Result<()> {
    // Letters, their table, and the examples.
    let needed = 3 * config.bases;
    match available() {
        Some(free) if needed > free.bytes => {
            let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
            let what = format!(
                "a genome of {} bases is made in memory and needs about {}, but {} has {} free",
                ui::count(config.bases),
                gigabytes(needed),
                free.limit,
                gigabytes(free.bytes)
            );
            Err(Refusal::new(what, "ask for fewer bases").into())
        }
        _ => Ok(()),
    }
}

/// The options as one validated configuration.
fn config(args: &Args) -> anyhow::Result<SimulateConfig> {
    let given =
        SimulateConfig { bases: args.bases, contigs: args.contigs, seed: args.seed, ..SimulateConfig::default() };
    let mut values = serde_json::to_value(given)?;
    for assignment in &args.set {
        let refuse = |what: String| {
            Refusal::new(
                format!("--set {assignment}: {what}"),
                "write `--set gc_mean=0.35`: a key of docs/guide/simulate.md, `=`, and its value",
            )
        };
        let (key, text) =
            assignment.split_once('=').ok_or_else(|| refuse("expected `key=value`, got no `=`".into()))?;
        let slot =
            values.get_mut(key.trim()).ok_or_else(|| refuse(format!("expected a known key, got `{}`", key.trim())))?;
        *slot = serde_json::from_str(text.trim())
            .map_err(|_| refuse(format!("expected a number or a list of two, got `{}`", text.trim())))?;
    }
    let config: SimulateConfig = serde_json::from_value(values).map_err(|error| {
        Refusal::new(format!("--set: {error}"), "the keys and their types are in docs/guide/simulate.md")
    })?;
    config.validate()?;
    Ok(config)
}
