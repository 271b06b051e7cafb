//! The command line, as clap sees it. Each verb keeps its own arguments in `commands/`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tatabox_engine::DeviceChoice;

use crate::commands::{
    bench, benchmark, compare, count, data, demo, devices, evaluate, fewshot, finetune, inspect, mask, pmi, predict,
    pretrain, simulate,
};

const EXAMPLES: &str = "\
Examples:
  tatabox demo                                                    everything once, on a simulated genome
  tatabox pretrain genome.fa.gz -o runs/rice                      bert-mini on your genome, an hour on this machine
  tatabox pretrain --resume runs/rice                             go on where it stopped
  tatabox mask freeze genome.fa.gz --recipe runs/rice/config.toml --sequences 500 -o frozen.jsonl
  tatabox evaluate runs/rice --masks frozen.jsonl
  tatabox compare genome.fa.gz --recipe recipes/compare-masks.toml --seeds 1,2,3 -o cmp
  tatabox fewshot runs/a runs/b --data promoters/ --shots 10,100 -o few    a few examples, many draws, spread and tests

Results go to stdout, words to stderr. Exit code: 0 done, 1 the work failed, 2 the command line or the recipe was wrong.";

/// Language models of DNA: pretrain, fine-tune, predict and measure, from a FASTA file.
#[derive(Debug, Parser)]
#[command(name = "tatabox", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub machine: Machine,
}

/// What every verb may be told about the machine.
#[derive(Clone, Debug, Args)]
pub struct Machine {
    /// How many threads compute. The results do not depend on it [default: one a core]
    #[arg(long, global = true, value_name = "N", help_heading = "Machine")]
    pub threads: Option<NonZeroUsize>,
    /// What computes: auto (a GPU if there is one that can be used, else the processor), cpu, cuda, cuda:1
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto", help_heading = "Machine")]
    pub device: DeviceChoice,
    /// Where converted genomes are kept [default: $TATABOX_CACHE, $XDG_CACHE_HOME/tatabox, or ~/.cache/tatabox]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Machine")]
    pub cache: Option<PathBuf>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    Pretrain(pretrain::Args),
    Evaluate(evaluate::Args),
    Finetune(finetune::Args),
    Predict(predict::Args),
    Fewshot(fewshot::Args),
    Benchmark(benchmark::Args),
    Compare(compare::Args),
    #[command(subcommand)]
    Mask(mask::Verb),
    Count(count::Args),
    Pmi(pmi::Args),
    #[command(subcommand)]
    Data(data::Verb),
    Inspect(inspect::Args),
    Simulate(simulate::Args),
    #[command(subcommand)]
    Bench(bench::Verb),
    Devices(devices::Args),
    Demo(demo::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
