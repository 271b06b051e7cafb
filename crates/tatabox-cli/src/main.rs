//! The command `tatabox`: reads the command line, runs one verb, and says what happened.

mod args;
mod commands;
mod experiment;
mod failure;
mod mask_drawing;
mod progress;
mod scores;
mod settings;
mod signals;
mod trials;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use settings::Settings;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(error) if failure::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let (error_word, hint_word) = ui::marks();
            ui::say(failure::render(&error, error_word, hint_word).trim_end());
            ExitCode::from(failure::exit_code(&error))
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    signals::leave_nothing_unfinished()?;
    let settings = Settings::resolve(&cli.machine)?;
    match &cli.command {
        Command::Pretrain(args) => return commands::pretrain::run(args, &settings),
        Command::Finetune(args) => return commands::finetune::run(args, &settings),
        Command::Predict(args) => return commands::predict::run(args, &settings),
        Command::Compare(args) => return commands::compare::run(args, &settings),
        Command::Benchmark(args) => return commands::benchmark::run(args, &settings),
        Command::Fewshot(args) => return commands::fewshot::run(args, &settings),
        Command::Evaluate(args) => commands::evaluate::run(args, &settings)?,
        Command::Mask(verb) => commands::mask::run(verb, &settings)?,
        Command::Count(args) => commands::count::run(args, &settings)?,
        Command::Pmi(args) => commands::pmi::run(args, &settings)?,
        Command::Data(verb) => return commands::data::run(verb, &settings),
        Command::Inspect(args) => commands::inspect::run(args)?,
        Command::Simulate(args) => commands::simulate::run(args)?,
        Command::Bench(verb) => commands::bench::run(verb)?,
        Command::Devices(args) => commands::devices::run(args)?,
        Command::Demo(args) => return commands::demo::run(args, &settings),
    }
    Ok(ExitCode::SUCCESS)
}
