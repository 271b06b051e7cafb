//! What comparisons, few-shot evaluations and benchmarks share on the command line: where their results go, and how they end.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use tatabox::experiment::{Kind, Outcome};

use crate::signals::Stop;
use crate::ui;

/// Where the results go, and in which form they are printed.
#[derive(Debug, clap::Args)]
pub struct PlaceArgs {
    /// The directory of the results; what is finished there is kept, and more can be added to it
    #[arg(short, long, value_name = "DIR", required_unless_present = "resume", conflicts_with = "resume")]
    output: Option<PathBuf>,
    /// Go on with what was begun in this directory, as it was begun
    #[arg(long, value_name = "DIR", conflicts_with_all = ["recipe", "set"])]
    resume: Option<PathBuf>,
    /// Print one JSON object on stdout at the end
    #[arg(long)]
    json: bool,
}

/// Reads one of `--seeds`.
pub fn seed(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| "expected whole numbers with commas: 1,2,3".to_string())
}

/// What is asked of an experiment.
pub enum Begin<'a> {
    /// To begin, or to add to what is there.
    Here(&'a Path),
    /// To go on as it was begun.
    Resume(&'a Path),
}

impl PlaceArgs {
    /// Whether to begin or to go on, and where.
    pub fn begin(&self) -> Begin<'_> {
        match (&self.resume, &self.output) {
            (Some(dir), _) => Begin::Resume(dir),
            (None, Some(dir)) => Begin::Here(dir),
            (None, None) => unreachable!("clap asks for one of them"),
        }
    }

    /// Prints the end: the tables and where everything lies, or how to go on after a signal.
    pub fn end<R: Serialize>(&self, kind: &Kind, outcome: &Outcome<R>, stop: &Stop) -> anyhow::Result<ExitCode> {
        if !outcome.finished {
            ui::say(format!("stopped and saved: {} of {} runs are finished", outcome.runs_finished, outcome.runs));
            ui::say(format!("go on with: tatabox {} --resume {}", kind.verb, outcome.output.display()));
        }
        if self.json {
            ui::print_json(outcome)?;
        } else if outcome.finished {
            ui::print(tables_and_places(&outcome.output, kind)?)?;
        }
        Ok(if outcome.finished { ExitCode::SUCCESS } else { ExitCode::from(stop.exit_code()) })
    }
}

fn tables_and_places(output: &Path, kind: &Kind) -> anyhow::Result<String> {
    let path = |name: &str| output.join(name);
    let table = path("table.txt");
    let text = std::fs::read_to_string(&table).with_context(|| format!("cannot read `{}`", table.display()))?;
    Ok(format!(
        "{text}\n{}",
        ui::pairs(&[
            ("report", path("report.html").display().to_string()),
            ("tables", format!("{} (and .csv, .md, .tex)", table.display())),
            ("result", path(&format!("{}.json", kind.verb)).display().to_string()),
            ("runs", format!("{}{}", path("runs").display(), std::path::MAIN_SEPARATOR)),
        ])
    ))
}
