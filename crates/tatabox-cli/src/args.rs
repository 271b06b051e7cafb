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

    /// Every command that does something, by its verbs: `mask freeze`.
    fn commands(command: &clap::Command, verbs: &str) -> Vec<(String, clap::Command)> {
        let name = |inner: &clap::Command| format!("{verbs} {}", inner.get_name()).trim_start().to_string();
        let below = command.get_subcommands().flat_map(|inner| commands(inner, &name(inner)));
        let own = !verbs.is_empty() && !command.is_subcommand_required_set();
        own.then(|| (verbs.to_string(), command.clone())).into_iter().chain(below).collect()
    }

    /// The options of a command, each as it may be typed: `--output` and `-o`.
    fn options(command: &clap::Command) -> Vec<Vec<String>> {
        let typed = |option: &clap::Arg| {
            let long = option.get_long().map(|long| format!("--{long}"));
            long.into_iter().chain(option.get_short().map(|short| format!("-{short}"))).collect()
        };
        command.get_arguments().filter(|one| !one.is_positional() && !one.is_hide_set()).map(typed).collect()
    }

    #[test]
    fn the_book_names_every_verb_and_every_option() {
        let page = include_str!("../../../docs/reference/commands.md");
        let objects = include_str!("../../../docs/reference/json.md");
        let (of_all, table) = page.split_once("\n| command |").unwrap();
        let cli = Cli::command();
        let commands = commands(&cli, "");
        let of = |row: &str, verbs: &str| {
            let rest = row.strip_prefix("| `tatabox ").and_then(|row| row.strip_prefix(verbs));
            rest.is_some_and(|rest| rest.starts_with([' ', '`']))
        };
        // A row of `pmi rank` is none of `pmi`.
        let of_another = |row: &str, verbs: &str| {
            commands.iter().any(|(other, _)| other.starts_with(verbs) && other != verbs && of(row, other))
        };
        let rows = |verbs: &str| -> String {
            table.lines().filter(|row| of(row, verbs) && !of_another(row, verbs)).collect::<Vec<_>>().join("\n")
        };
        let named = |text: &str, option: &[String]| {
            let mut words = text.split(|one: char| !one.is_alphanumeric() && one != '-');
            words.any(|word| option.iter().any(|typed| typed == word))
        };
        for option in options(&cli) {
            assert!(named(of_all, &option), "{option:?}");
        }
        for (verbs, command) in &commands {
            let mut text = rows(verbs);
            assert!(!text.is_empty(), "{verbs}");
            if text.contains("the options of `data card`") {
                text += &rows("data card");
            }
            text += of_all;
            for option in options(command) {
                assert!(named(&text, &option), "{verbs}: {option:?}");
                assert!(option != ["--json"] || objects.contains(&format!("`{verbs} --json`")), "{verbs}");
            }
        }
    }
}
