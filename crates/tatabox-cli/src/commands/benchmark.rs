//! `tatabox benchmark`: several models on many data sets, as one table in the shape of the papers'.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use tatabox::benchmark::{BENCHMARK, Benchmark, Design, Suite, begin, check, resume};
use tatabox::experiment::Outcome;
use tatabox::trial;

use super::fewshot::models;
use super::finetune::keys;
use crate::experiment::{Begin, PlaceArgs, seed};
use crate::failure::Refusal;
use crate::settings::{RecipeArgs, Settings};
use crate::signals::Stop;
use crate::trials::Words;

/// Measure models on a suite of data sets (GUE, Genomic Benchmarks, DeepSTARR, or your own), beside baselines and the papers' figures
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Models: runs of `tatabox pretrain` or Hugging Face BERTs, RUN or NAME=RUN; without any, the baselines alone
    #[arg(value_name = "RUN", conflicts_with = "resume")]
    pub models: Vec<String>,
    /// gue, genomic-benchmarks, deepstarr, or a TOML file of one's own
    #[arg(long, value_name = "SUITE", required_unless_present = "resume", conflicts_with = "resume")]
    pub suite: Option<String>,
    /// The folder that holds the data sets of the suite
    #[arg(long, value_name = "DIR", required_unless_present = "resume", conflicts_with = "resume")]
    pub data: Option<PathBuf>,
    /// Of the suite, only these data sets or groups: EMP,PD-tata
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', conflicts_with = "resume")]
    pub only: Vec<String>,
    /// The seeds: everybody learns every data set once under each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,2,3", value_parser = seed, conflicts_with = "resume")]
    pub seeds: Vec<u64>,
    /// Train so many epochs instead of the presets'; the tables say so
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    pub epochs: Option<u32>,
    /// One fine-tuning preset for all data sets instead of the suite's
    #[arg(long, value_name = "NAME", conflicts_with = "resume")]
    pub preset: Option<String>,
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Learn from the dev part where there is no train part; the tables say so
    #[arg(long, conflicts_with = "resume")]
    pub learn_from_dev: bool,
    /// The percentage of train that becomes dev where there is none; 0: the last epoch counts
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=50), conflicts_with = "resume")]
    pub dev_share: u32,
    /// A genome that intervals lie on: a FASTA or .2bit file; NAME=FILE for one genome of several, by its name in the suite or by data set
    #[arg(long, value_name = "[NAME=]FILE", conflicts_with = "resume")]
    pub genome: Vec<String>,
    /// Let each model take part with fresh weights too, as NAME-fresh: what it lacks is what pretraining brought
    #[arg(long, conflicts_with = "resume")]
    pub with_fresh: bool,
    /// Leave the k-mer regression and the small CNN away
    #[arg(long, conflicts_with = "resume")]
    pub without_baselines: bool,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Measures to the end or to a signal.
pub fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    let stop = Stop::listen()?;
    let mut words = Words::new();
    let place = |dir| trial::Place { dir, cache: &settings.cache, contestants: &trial::open };
    let outcome = match args.place.begin() {
        Begin::Resume(dir) => resume(&place(dir), &mut words, stop.flag())
            .with_context(|| format!("could not go on with the benchmark `{}`", dir.display()))?,
        Begin::Here(dir) => start(args, &place(dir), &mut words, &stop)?,
    };
    args.place.end(&BENCHMARK, &outcome, &stop)
}

fn start(args: &Args, place: &trial::Place<'_>, words: &mut Words, stop: &Stop) -> anyhow::Result<Outcome<Benchmark>> {
    check(place.dir)?;
    let (Some(name), Some(data)) = (&args.suite, &args.data) else { unreachable!("clap asks for them") };
    if !data.is_dir() {
        let what = format!("`{}` is no folder with data sets", data.display());
        return Err(Refusal::new(what, "give the folder that holds them: `--data GUE`").into());
    }
    let suite = Suite::open(name)?.only(&args.only)?;
    let mut set = keys(&args.recipe, args.preset.as_deref())?;
    if let Some(epochs) = args.epochs {
        set.push(format!("train.epochs={epochs}"));
    }
    let design = Design {
        suite: suite.name.clone(),
        data: data.clone(),
        seeds: args.seeds.clone(),
        dev_share: args.dev_share,
        learn_from_dev: args.learn_from_dev,
        baselines: !args.without_baselines,
        genome: args.genome.clone(),
        set,
        missing: Vec::new(),
        models: models(&args.models, args.with_fresh)?,
        datasets: Vec::new(),
    };
    begin(design, &suite, place, words, stop.flag()).with_context(|| {
        format!("could not measure suite {} of `{}` into `{}`", suite.name, data.display(), place.dir.display())
    })
}
