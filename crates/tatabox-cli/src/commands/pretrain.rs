//! `tatabox pretrain`: a model of a genome, from its FASTA file.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::settings::{RecipeArgs, Settings};

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
    /// Begin with the weights of this Hugging Face BERT or run instead of fresh ones
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub init: Option<PathBuf>,
}

pub fn run(_args: &Args, _settings: &Settings) -> anyhow::Result<ExitCode> { todo!() }
